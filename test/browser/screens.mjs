// Shows every screen of the bot, as its own tests recorded them, in a thread of
// the page: none may have a part that the page cannot show, on a desktop or on
// a phone.

import { readFile, readdir } from 'node:fs/promises';
import { DESKTOP, PHONE, check, run, shoot, withBrowser } from './browser.mjs';
import { message, state } from './fixtures.mjs';
import { Workspace, serveFiles } from './workspace.mjs';

const SCREENS = new URL('../../internal/slackui/testdata/screens/', import.meta.url);

// sections reads a txtar file: name of a section -> its text.
function sections(text) {
  const parts = text.split(/^-- (.+) --\n/m).slice(1);
  return Object.fromEntries(Array.from({ length: parts.length / 2 }, (_, i) => [parts[2 * i], parts[2 * i + 1]]));
}

async function screens() {
  const files = (await readdir(SCREENS)).filter((f) => f.endsWith('.txtar')).sort();
  return Promise.all(files.map(async (file) => {
    const found = sections(await readFile(new URL(file, SCREENS), 'utf8'));
    return { name: file.replace('.txtar', ''), text: (found.text ?? '').trim(), blocks: JSON.parse(found['blocks.json'] ?? 'null') };
  }));
}

async function shown(page, ws, screen) {
  const root = message('UANA', 300, { text: 'network issue', reply_count: 1 });
  root.thread_ts = root.ts;
  const reply = message('UBOT', 301, { thread_ts: root.ts, text: screen.text, blocks: screen.blocks });
  ws.send({ ...state('UANA'), messages: { C0INC: [root, reply] } });
  await page.evaluate((ts) => { location.hash = `#C0INC/${ts}`; }, root.ts);
  const box = page.locator(`#thread [data-ts="${reply.ts}"]`);
  await box.waitFor();
  return box;
}

async function fits(box) {
  return box.evaluate((node) => node.getBoundingClientRect().right <= innerWidth && [...node.querySelectorAll('.content')].every((n) => n.scrollWidth <= n.clientWidth + 1));
}

run(async () => {
  const { server, base } = await serveFiles();
  try {
    await withBrowser(async (context, problems) => {
      const page = await context.newPage();
      page.setDefaultTimeout(8000);
      const ws = new Workspace();
      await ws.attach(page);
      await page.goto(base);
      for (const screen of await screens()) {
        const box = await shown(page, ws, screen);
        check(await box.locator('.b-unknown').count() === 0, `${screen.name}: the page can show all of it`);
        await shoot(page, `screen-${screen.name}`);
        await page.setViewportSize(PHONE);
        check(await fits(box), `${screen.name}: fits a phone`);
        await shoot(page, `screen-${screen.name}-phone`);
        await page.setViewportSize(DESKTOP);
      }
      check(problems.length === 0, `no errors in the console ${problems.join('; ')}`);
    });
  } finally {
    server.close();
  }
});
