// Starts headless Chromium with an empty profile and collects what goes wrong
// in its console.

import { mkdtemp, mkdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

const SCREENSHOTS = process.env.SCREENSHOTS ?? fileURLToPath(new URL('../../out/screenshots/', import.meta.url));

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];

// withBrowser runs work(context, problems) and cleans up after it. problems
// fills with the page's console errors and uncaught exceptions.
export async function withBrowser(work) {
  const profile = await mkdtemp(join(tmpdir(), 'hopwise-browser-'));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: FLAGS, viewport: DESKTOP, colorScheme: 'light', locale: 'en-GB', timezoneId: 'UTC', reducedMotion: 'reduce',
  });
  const problems = [];
  context.on('weberror', (e) => problems.push(`uncaught: ${e.error()}`));
  context.on('console', (m) => { if (m.type() === 'error') problems.push(`console: ${m.text()} (${m.location().url})`); });
  try {
    await work(context, problems);
  } finally {
    await context.close();
    await rm(profile, { recursive: true, force: true });
  }
}

// shoot saves the page as it is, and on request in dark colours too.
export async function shoot(page, name, { dark = false } = {}) {
  await mkdir(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
  if (!dark) return;
  await page.emulateMedia({ colorScheme: 'dark' });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}-dark.png`) });
  await page.emulateMedia({ colorScheme: 'light' });
}

// check stops the test with a sentence when what was expected is not so.
export function check(ok, sentence) {
  if (!ok) throw new Error(sentence);
  console.log(`ok   ${sentence}`);
}

// run is the main program of a test file.
export function run(test) {
  test().catch((err) => {
    console.error(`FAIL ${err.stack ?? err}`);
    process.exitCode = 1;
  });
}
