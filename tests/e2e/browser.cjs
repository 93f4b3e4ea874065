// Drives headless Chromium: one command as JSON per line on stdin, one answer per line on stdout.
// All knowledge about the structure of the Playground's pages is here, not in the tests.
'use strict';
const readline = require('readline');
const { chromium } = require('playwright-core');

const LOOPBACK = new Set(['127.0.0.1', 'localhost']);
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-default-apps', '--disable-extensions',
  // A page of the Playground has 9 MB of script. V8 would parse it twice, for the source positions of its errors, and
  // compile parts of it for a long run: a page opens in 60 % of the time without.
  '--js-flags=--no-enable-lazy-source-positions --no-opt --no-maglev',
];
const PATIENCE = Number(process.env.BROWSER_PATIENCE || 30000); // milliseconds for anything to appear

let browser;
const pages = new Map();

const page = (command) => {
  const found = pages.get(command.page);
  if (!found) throw new Error(`no page ${command.page}`);
  return found;
};
const allCards = (command) => page(command).locator('.ac-adaptiveCard:not(.ac-adaptiveCard .ac-adaptiveCard)'); // not the forms in it
const cards = (command) => (command.of ? allCards(command).filter({ hasText: command.of }) : allCards(command));
const within = (command) => (command.of ? cards(command).last() : page(command));
const compose = (command) => page(command).locator('[role=textbox][contenteditable=true]').first();
const ready = async (command) => {
  await compose(command).waitFor();
  await page(command).locator('[role=toolbar] button').last().click(); // hides the log panel
};
// messages move while the page lays them out; after two frames they are stable
const settled = (p) => p.evaluate(() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r))));

const commands = {
  async launch({ program }) {
    browser = await chromium.launch({ executablePath: program, args: FLAGS });
    return browser.version();
  },
  async open(command) {
    const context = await browser.newContext({
      viewport: { width: command.width, height: command.height },
      deviceScaleFactor: command.scale, locale: command.locale, timezoneId: command.timezone,
    });
    context.setDefaultTimeout(PATIENCE);
    const opened = await context.newPage();
    pages.set(command.page, opened);
    await opened.route('**/*', (route) => (
      LOOPBACK.has(new URL(route.request().url()).hostname) ? route.continue() : route.abort()));
    await opened.goto(command.url, { waitUntil: 'domcontentloaded' });
    if (command.hideLog) await ready(command);
    else await compose(command).waitFor();
  },
  async draw({ svg, size }) { // returns a PNG file in base64
    const context = await browser.newContext({ viewport: { width: size, height: size }, deviceScaleFactor: 1 });
    const drawing = await context.newPage();
    await drawing.setContent(`<style>body { margin: 0 } svg { display: block }</style>${svg}`);
    const picture = await drawing.screenshot({ omitBackground: true });
    await context.close();
    return picture.toString('base64');
  },
  async reload(command) {
    await page(command).reload({ waitUntil: 'domcontentloaded' });
    await ready(command);
  },
  async select(command) {
    await page(command).getByRole('treeitem', { name: command.name }).first().click();
    await compose(command).waitFor();
  },
  async say(command) {
    await compose(command).click();
    const { keyboard } = page(command);
    if (command.mention) {
      await keyboard.type('@');
      await page(command).getByText(command.mention, { exact: true }).last().click();
    }
    await keyboard.insertText(command.text);
    const post = page(command).getByRole('button', { name: 'Post', exact: true });
    if (await post.count()) await post.first().click();
    else await keyboard.press('Enter');
  },
  async comment(command) {
    const box = cards(command).last().locator('textarea:visible').last();
    await box.click(); // without this click a channel's card loses the text when its button is clicked
    await box.fill(command.text);
  },
  async click(command) {
    await within(command).getByRole('button', { name: command.name, exact: true }).last().click();
  },
  async waitForText(command) {
    const { of, text } = command;
    await (of ? cards(command).filter({ hasText: text }) : page(command).getByText(text, { exact: false })).last().waitFor();
  },
  async waitForNoText(command) {
    const { of, text } = command;
    const left = of ? cards(command).filter({ hasText: text }) : page(command).getByText(text, { exact: false });
    await left.first().waitFor({ state: 'detached' });
  },
  async waitForCards(command) {
    await cards(command).nth(command.count - 1).waitFor();
  },
  async countCards(command) { return cards(command).count(); },
  async countButtons(command) {
    return within(command).getByRole('button', { name: command.name, exact: true }).count();
  },
  async cardInSight(command) {
    await settled(page(command));
    return cards(command).last().evaluate((card) => {
      let { top, bottom } = card.getBoundingClientRect();
      for (let box = card.parentElement; box; box = box.parentElement) { // what scrolls or is laid over it hides a part
        if (getComputedStyle(box).overflowY === 'visible') continue;
        const within = box.getBoundingClientRect();
        top = Math.max(top, within.top);
        bottom = Math.min(bottom, within.bottom);
      }
      return [Math.max(top, 0), Math.min(bottom, window.innerHeight)];
    });
  },
  async text(command) {
    const last = cards(command).last();
    return (await last.count()) ? last.innerText() : '';
  },
  async settle(command) { await settled(page(command)); },
  async pageText(command) { return page(command).locator('body').innerText(); },
  async shoot(command) {
    await settled(page(command));
    await page(command).screenshot({ path: command.path });
  },
  async shootCard(command) {
    const last = cards(command).last();
    await last.scrollIntoViewIfNeeded();
    await settled(page(command));
    await last.screenshot({ path: command.path });
  },
  async closePages() {
    await Promise.all([...pages.values()].map((each) => each.context().close()));
    pages.clear();
  },
};

const answer = (id, result) => process.stdout.write(`${JSON.stringify({ id, ...result })}\n`);

readline.createInterface({ input: process.stdin })
  .on('line', async (line) => {
    const command = JSON.parse(line);
    try {
      const value = await commands[command.do](command);
      answer(command.id, { value: value === undefined ? null : value });
    } catch (error) {
      answer(command.id, { error: String(error.message || error) });
    }
  })
  .on('close', async () => { // the tests have ended or were aborted
    if (browser) await browser.close();
    process.exit(0);
  });
