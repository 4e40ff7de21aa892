// The whole way in a browser, against a running demo: a question, the report,
// two refusals, the approval, the verdict, and the same thread after a reload.
//
//   HOPWISE_URL=http://127.0.0.1:8080/ [HOPWISE_SCENARIO=name] node demo.mjs
//
// The scenario, by default the demo's own, must have a fix that the bot can make.

import { DESKTOP, PHONE, check, run, shoot, withBrowser } from './browser.mjs';

const BASE = process.env.HOPWISE_URL ?? 'http://127.0.0.1:8080/';
const SCENARIO = process.env.HOPWISE_SCENARIO ?? '';
const FIRST_SIGN = 10_000; // ms, far above what it takes, for slow machines
const REPORT = 60_000;
const VERDICT = 120_000;

const ASKER = 'UANA';
const APPROVER = 'UBO';
const GUEST = 'UGIL';

// The first proposal that waits. (Undo is the same action, in red.)
const approveButton = (page) => page.locator('#thread .button.primary[data-action="rem.approve"]').first();
const ephemerals = (page) => page.locator('#thread .message.ephemeral');

async function look(page, user) {
  await page.locator(`#demobar [data-user=${user}]`).click();
  await page.locator(`#demobar [data-user=${user}][aria-checked=true]`).waitFor();
}

// shots saves the moment on a desktop and on a phone, light and dark.
async function shots(page, name) {
  await shoot(page, `demo-${name}`, { dark: true });
  await page.setViewportSize(PHONE);
  await shoot(page, `demo-${name}-phone`, { dark: true });
  await page.setViewportSize(DESKTOP);
}

// changes does something that changes the world, and waits until it has.
async function changes(page, what, act) {
  const answered = page.waitForResponse((r) => r.url().endsWith(`/demo/${what}`));
  const listed = page.waitForResponse((r) => r.url().endsWith('/demo/scenarios'));
  await act();
  check((await answered).ok(), `the page's ${what} changes the world`);
  await listed;
}

async function start(page) {
  await page.goto(BASE);
  await page.locator('#sidebar .current').waitFor();
  await page.locator('#demobar .world option[value]').first().waitFor({ state: 'attached' });
  if (SCENARIO) await changes(page, 'scenario', () => page.getByLabel('Scenario').selectOption(SCENARIO));
  await changes(page, 'reset', () => page.getByRole('button', { name: 'Reset' }).click());
  await page.locator('#sidebar .bot-state.on').waitFor({ timeout: FIRST_SIGN });
  await look(page, ASKER);
  await page.getByRole('button', { name: /^incidents/ }).click();
  await shots(page, '1-start');
}

async function ask(page) {
  const box = page.getByRole('textbox', { name: 'Message #incidents' });
  await box.fill('network issue');
  await box.press('Enter');
  const began = Date.now();
  await page.locator('#thread .message.from-app').first().waitFor({ timeout: FIRST_SIGN });
  check(true, `the thread opens with the bot's first sign (${Date.now() - began} ms)`);
  await shots(page, '2-progress');
  const propose = page.locator('#thread [data-action^="rem.propose"]');
  await approveButton(page).or(propose).first().waitFor({ timeout: REPORT });
  if (!await approveButton(page).isVisible()) await propose.first().click();
  await approveButton(page).waitFor({ timeout: REPORT });
  check(true, `the report and the proposal are there (${Date.now() - began} ms)`);
  await shots(page, '3-report');
}

async function evidence(page) {
  const button = page.locator('#thread [data-action="run.evidence"]').first();
  check(await button.isVisible(), 'the report offers its evidence');
  await button.click();
  await page.locator('dialog.modal').waitFor({ timeout: FIRST_SIGN });
  await shots(page, '4-evidence');
  await page.locator('dialog.modal').getByRole('button', { name: 'Close', exact: true }).first().click();
  await page.locator('dialog.modal').waitFor({ state: 'detached' });
}

// approve presses Approve and says yes; name is for the picture of the dialog.
async function approve(page, name) {
  await approveButton(page).click();
  await page.locator('dialog.confirm').waitFor();
  if (name) await shots(page, name);
  await page.locator('dialog.confirm [data-confirm=yes]').click();
}

async function refused(page, user, who, name) {
  await look(page, user);
  check(await ephemerals(page).count() === 0, `${who} sees nobody else's ephemeral message`);
  await approve(page);
  await ephemerals(page).first().waitFor({ timeout: FIRST_SIGN });
  check(await approveButton(page).isVisible(), `${who} is refused, and the proposal stays open`);
  const raw = (await ephemerals(page).first().innerText()).match(/<[@!#][^>]*>/);
  check(!raw, `the refusal of ${who} names people by their names ${raw ?? ''}`);
  await shots(page, name);
  await page.reload();
  await approveButton(page).waitFor();
  check(await ephemerals(page).count() === 0, 'an ephemeral message is gone after a reload');
}

async function fixed(page) {
  await look(page, APPROVER);
  const ts = await approveButton(page).evaluate((button) => button.closest('.message').dataset.ts);
  await approve(page, '7-confirm');
  await page.locator(`#thread [data-ts="${ts}"] [data-action="rem.approve"]`).waitFor({ state: 'detached', timeout: FIRST_SIGN });
  check(true, 'the buttons are gone after the decision');
  const table = page.locator('#thread .b-table').filter({ hasText: 'Before' }).filter({ hasText: 'After' }).first();
  await table.waitFor({ timeout: VERDICT });
  check(await table.locator('tbody tr').count() > 0, 'the verdict shows before and after');
  await shots(page, '8-verdict');
}

// thread is what the thread says, message by message.
async function thread(page) {
  const texts = await page.locator('#thread .message:not(.ephemeral) .content').allInnerTexts();
  return texts.map((t) => t.trim());
}

// settled reads the thread when nothing has changed in it for a while.
async function settled(page) {
  for (let last = ''; ;) {
    const now = await thread(page);
    if (JSON.stringify(now) === last) return now;
    last = JSON.stringify(now);
    await page.waitForTimeout(1500);
  }
}

async function reloaded(page) {
  const before = await settled(page);
  await page.reload();
  await page.locator('#thread .message').nth(before.length - 1).waitFor();
  const after = await thread(page);
  check(JSON.stringify(after) === JSON.stringify(before), `a reload shows the same ${before.length} messages`);
  const counter = `${before.length - 1} ${before.length === 2 ? 'reply' : 'replies'}`;
  check(await page.locator('#channel .replies').last().getByText(counter, { exact: true }).isVisible(), `the channel counts ${counter}`);
  await shots(page, '9-reloaded');
}

run(() => withBrowser(async (context, problems) => {
  const page = await context.newPage();
  page.setDefaultTimeout(10_000);
  await start(page);
  await ask(page);
  await evidence(page);
  await refused(page, ASKER, 'the asker', '5-refused-asker');
  await refused(page, GUEST, 'the guest', '6-refused-guest');
  await fixed(page);
  await reloaded(page);
  check(problems.length === 0, `no errors in the console ${problems.join('; ')}`);
}));
