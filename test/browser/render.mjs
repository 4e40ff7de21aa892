// Tests the page alone: its files served as they are, the workspace played by
// this program over the page's own WebSocket protocol.

import axe from 'axe-core';
import { DESKTOP, PHONE, check, run, shoot, withBrowser } from './browser.mjs';
import { HOSTILE, ROOT, controls, ephemeral, evidenceView, formView, hostile, message, verdictMessage } from './fixtures.mjs';
import { Workspace, serveFiles } from './workspace.mjs';

// accessible holds what is on the screen against the WCAG rules that a program
// can check, in both colour schemes.
async function accessible(page, what) {
  for (const colorScheme of ['dark', 'light']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.evaluate(axe.source);
    const { violations } = await page.evaluate(() => window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    const found = violations.map((v) => `${v.id}: ${v.help} at ${v.nodes.slice(0, 3).map((n) => n.target.join(' ')).join(', ')}`);
    check(found.length === 0, `${what} in ${colorScheme} colours is accessible ${found.join('; ')}`);
  }
}

async function thread(page, ws) {
  await page.locator('.replies').first().click();
  const panel = page.locator('#thread');
  await panel.getByText('Approval needed').waitFor();
  check(await panel.locator('.message').count() === 4, 'a click on the replies opens the thread with all its messages');
  check(page.url().endsWith(`#C0INC/${ROOT}`), 'the address names the thread');
  await shoot(page, 'render-thread', { dark: true });
  await accessible(page, 'a thread');
  await panel.getByRole('button', { name: 'Show evidence' }).click();
  await ws.got('press', (r) => r.action_id === 'run.evidence', 'a button press reaches the server');
}

async function confirmed(page, ws) {
  const before = ws.of('press').length;
  const approve = page.getByRole('button', { name: 'Approve adding one security group rule' });
  await approve.click();
  const dialog = page.getByRole('dialog', { name: 'Add this rule in prod?' });
  await dialog.waitFor();
  await shoot(page, 'render-confirm', { dark: true });
  await dialog.getByRole('button', { name: 'Back' }).click();
  check(ws.of('press').length === before, 'a confirm dialog that was left sends nothing');
  await approve.click();
  await page.keyboard.press('Escape');
  check(ws.of('press').length === before, 'Escape is a no too');
  await approve.click();
  await dialog.getByRole('button', { name: 'Add rule' }).click();
  await ws.got('press', (r) => r.action_id === 'rem.approve' && r.value === 'req-91c:4be1' && r.block_id === 'req', 'a confirmed press carries the value and the block');
  ws.send({ type: 'ephemeral', message: ephemeral() });
  await page.getByText('Only visible to you').waitFor();
  await shoot(page, 'render-ephemeral');
}

async function modals(page, ws) {
  ws.send({ type: 'view', view: evidenceView });
  await page.getByRole('dialog', { name: 'Evidence' }).waitFor();
  await shoot(page, 'render-modal', { dark: true });
  ws.send({ type: 'view', view: formView });
  const dialog = page.getByRole('dialog', { name: 'Reject request 91c' });
  await dialog.waitFor();
  await dialog.getByRole('button', { name: 'Reject' }).click();
  await dialog.getByText('Please complete this required field.').waitFor();
  check(ws.of('submit_view').length === 0, 'an empty required input is not submitted');
  await dialog.getByLabel('Reason').fill('We are in a freeze');
  await dialog.getByRole('button', { name: 'Reject' }).click();
  await ws.got('submit_view', (r) => r.view_id === 'V2' && r.values.why.text.value === 'We are in a freeze', 'a submit carries the values by block and action');
  ws.send({ type: 'view_errors', view_id: 'V2', errors: { why: 'Please name a ticket.' } });
  await dialog.getByText('Please name a ticket.').waitFor();
  await shoot(page, 'render-form');
  await accessible(page, 'a form');
  ws.send({ type: 'view_close', view_ids: ['V2'] });
  await page.getByRole('dialog', { name: 'Evidence' }).waitFor();
  await page.keyboard.press('Escape');
  await ws.got('close_view', (r) => r.view_id === 'V1', 'Escape asks to close the modal');
  ws.send({ type: 'view_close', view_ids: ['V1'] });
  await page.getByRole('dialog').waitFor({ state: 'detached' });
}

async function writing(page, ws) {
  const box = page.getByRole('textbox', { name: 'Message #incidents' });
  await box.fill('two');
  await box.press('Shift+Enter');
  await box.pressSequentially('lines');
  await box.press('Enter');
  await ws.got('say', (r) => r.text === 'two\nlines' && r.channel === 'C0INC', 'Shift+Enter makes a line, Enter sends');
  await box.fill('');
  await box.pressSequentially('/hop');
  await page.getByRole('option', { name: /hopwise/ }).waitFor();
  await shoot(page, 'render-command');
  await box.press('Enter');
  await box.pressSequentially('ALB returns 502');
  await box.press('Enter');
  await ws.got('command', (r) => r.command === '/hopwise' && r.text === 'ALB returns 502', 'a slash command is sent as one');
  await box.fill('/nonsense');
  await box.press('Enter');
  await page.getByText('/nonsense is not a command').waitFor();
  await page.getByRole('button', { name: 'DNS failure', exact: true }).click();
  await ws.got('say', (r) => r.text === 'DNS failure', 'a phrase of the demo bar is sent');
}

async function live(page, ws) {
  const root = message('UANA', 200, { text: 'is it live?' });
  ws.send({ type: 'message', message: root });
  ws.send({ type: 'message', message: message('UBOT', 201, { text: 'Looking', thread_ts: root.ts }) });
  await page.locator('#thread').getByText('Looking').waitFor();
  check(true, 'the thread opens when the bot answers');
  ws.send({ type: 'message', message: message('UBO', 202, { channel: 'C0OPS', text: 'hello' }) });
  await page.getByRole('button', { name: 'ops, 1 unread' }).waitFor();
  await scrolling(page, ws, root);
  const before = ws.connections;
  ws.more = [message('UBO', 210, { text: 'said while the socket was down' })];
  await ws.socket.close();
  await page.locator('#channel').getByText('said while the socket was down').waitFor();
  check(ws.connections === before + 1, 'after a lost connection the page connects again and has what it missed');
}

// scrolling: the list stays at the end until the reader goes away from it.
async function scrolling(page, ws, root) {
  const list = page.locator('#thread-list');
  const reply = (text) => ws.send({ type: 'message', message: message('UBOT', 205, { text, thread_ts: root.ts }) });
  const toEnd = () => list.evaluate((l) => l.scrollHeight - l.scrollTop - l.clientHeight);
  reply('long\n'.repeat(60));
  await page.waitForTimeout(100);
  reply('short');
  await page.locator('#thread').getByText('short').waitFor();
  check(await toEnd() < 5, 'a new message after a long one is in view');
  await list.evaluate((l) => { l.scrollTop = 0; });
  reply('unseen');
  await page.locator('#thread').getByText('unseen').waitFor();
  check(await list.evaluate((l) => l.scrollTop) === 0, 'who reads further up is left there');
  await page.locator('#thread').getByRole('button', { name: 'Latest' }).click();
  check(await toEnd() < 5, 'one press leads to the latest message');
}

async function elements(page, ws) {
  ws.send({ type: 'message', message: controls() });
  const box = page.locator('#channel .message').last();
  const image = box.getByRole('img', { name: 'Failed connections per minute' });
  await image.waitFor();
  check(await image.evaluate((i) => i.complete && i.naturalWidth > 0), 'a file of the workspace is shown as an image');
  await box.getByLabel('Pick a layer').selectOption('DNS');
  await ws.got('press', (r) => r.action_id === 'layer' && r.value === 'dns', 'a choice in a menu is sent with its value');
  await box.getByRole('button', { name: 'Nobody hears this' }).click();
  await box.getByText('No answer. Press again.').waitFor();
  check(true, 'a press that the app did not take gets a sign');
  await shoot(page, 'render-elements');
}

async function untrusted(page, ws) {
  ws.more = hostile();
  await page.goto(new URL('/', page.url()).href);
  await page.locator('#channel').getByText('blocks of a type').first().waitFor().catch(() => {});
  await page.locator('#channel .b-header').first().waitFor();
  check(await page.evaluate(() => window.hacked) === undefined, 'hostile text does not run');
  check(await page.locator('#channel img[src="x"], #channel script, #channel svg[onload]').count() === 0, 'hostile text makes no element');
  check((await page.locator('#channel .message').allInnerTexts()).some((t) => t.includes(HOSTILE)), 'hostile text is shown as it is');
  check(await page.locator('#channel a[href^="javascript"], #channel a[href^="data"]').count() === 0, 'only web and mail addresses become links');
  check(await page.locator('#channel .b-unknown').count() === 7, 'what the page cannot show becomes a visible note');
  await page.locator('#channel .b-header').first().scrollIntoViewIfNeeded();
  await shoot(page, 'render-hostile', { dark: true });
  await page.getByText('a quote').scrollIntoViewIfNeeded();
  await shoot(page, 'render-mrkdwn');
}

async function phone(page, ws) {
  ws.more = [];
  await page.setViewportSize(PHONE);
  await page.goto(new URL('/', page.url()).href);
  await page.locator('.replies').first().waitFor();
  check(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than a phone');
  await shoot(page, 'render-phone-channel', { dark: true });
  await page.getByRole('button', { name: 'Show channels' }).click();
  await shoot(page, 'render-phone-drawer');
  await page.keyboard.press('Escape');
  await page.locator('.replies').first().click();
  await page.getByRole('button', { name: 'Approve adding one security group rule' }).waitFor();
  ws.send({ type: 'message', message: verdictMessage() });
  await page.getByText('Fixed and checked').waitFor();
  check(await page.locator('#channel').isHidden(), 'a thread takes the whole phone');
  await shoot(page, 'render-phone-thread', { dark: true });
  await accessible(page, 'a phone');
  await page.getByRole('button', { name: 'Back to the channel' }).click();
  check(await page.locator('#thread').isHidden(), 'back leads to the channel');
  await page.setViewportSize(DESKTOP);
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
      await page.locator('.replies').first().waitFor();
      await shoot(page, 'render-channel', { dark: true });
      for (const step of [thread, confirmed, modals, writing, live, elements, untrusted, phone]) await step(page, ws);
      check(problems.length === 0, `no errors in the console ${problems.join('; ')}`);
    });
  } finally {
    server.close();
  }
});
