// Renders cards as Teams would, with Microsoft's renderer and its configuration of Teams, and measures what is drawn.
// {program, cards: [{name, card}], widths, themes, folder, everything} on stdin; a measurement per line on stdout, and one PNG file
// for each measurement in `folder`, unless it is null.
'use strict';
const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'];
const DESIGNER = path.dirname(require.resolve('adaptivecards-designer/package.json'));
const HEIGHT = 1200; // of the page; a taller card is drawn all the same

// runs in the page
const install = (hostConfig) => {
  const { AdaptiveCard, HostConfig, SerializationContext } = window.AdaptiveCards;
  // The clients for the widths that the gallery draws. Teams publishes no limits in pixels.
  // https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format
  const CLASSES = ['veryNarrow', 'narrow', 'standard', 'wide'];
  const classOf = (width) => CLASSES.indexOf(width < 400 ? 'narrow' : 'standard');

  // The renderer does not know targetWidth yet.
  const isFor = (target, width) => {
    const [bound, name] = target.includes(':') ? target.split(':') : ['', target];
    const [wanted, own] = [CLASSES.indexOf(name), classOf(width)];
    if (wanted < 0) throw new Error(`targetWidth ${target}`);
    if (bound.toLowerCase() === 'atleast') return own >= wanted;
    return bound.toLowerCase() === 'atmost' ? own <= wanted : own === wanted;
  };
  const fitted = (tree, width) => {
    if (Array.isArray(tree)) {
      return tree.filter((each) => !each?.targetWidth || isFor(each.targetWidth, width)).map((each) => fitted(each, width));
    }
    if (tree === null || typeof tree !== 'object') return tree;
    const kept = Object.entries(tree).filter(([name]) => name !== 'targetWidth');
    return Object.fromEntries(kept.map(([name, value]) => [name, fitted(value, width)]));
  };

  // Texts in TextBlocks are ours and have no Markdown. A mention is drawn as a name.
  AdaptiveCard.onProcessMarkdown = (text, result) => {
    const made = document.createElement('div');
    made.append(...text.split(/<at>(.*?)<\/at>/).map((piece) => new Text(piece)));
    result.outputHtml = made.innerHTML;
    result.didProcess = true;
  };

  const host = document.createElement('div');
  document.body.style.margin = '0';
  document.body.append(host);
  let root;
  let invalid;

  const visible = (element) => element.checkVisibility({ checkVisibilityCSS: true });
  const brief = (text) => text.replace(/\u200b/g, '').trim().slice(0, 80);

  const texts = () => {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    const found = [];
    while (walker.nextNode()) {
      const text = walker.currentNode;
      if (text.data.trim() && visible(text.parentElement)) found.push(text);
    }
    return found;
  };
  const rectangles = (text) => {
    const range = document.createRange();
    range.selectNodeContents(text);
    return [...range.getClientRects()].filter((each) => each.width > 0);
  };
  const leaves = (text) => { // the card
    const card = root.getBoundingClientRect();
    return rectangles(text).some((each) => (
      each.left < card.left - 0.5 || each.right > card.right + 0.5
      || each.top < card.top - 0.5 || each.bottom > card.bottom + 0.5));
  };
  const block = (element) => (element.clientWidth ? element : block(element.parentElement)); // of an inline element
  const overflows = (text) => block(text.parentElement).scrollWidth > block(text.parentElement).clientWidth;
  const clipped = () => [...new Set(
    texts().filter((each) => leaves(each) || overflows(each)).map((each) => brief(block(each.parentElement).innerText)))];

  // https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio
  const channels = (color) => {
    const [red, green, blue, alpha = 1] = color.match(/[\d.]+/g).map(Number);
    return { red, green, blue, alpha };
  };
  const over = (top, under) => {
    const mixed = (name) => top[name] * top.alpha + under[name] * (1 - top.alpha);
    return { red: mixed('red'), green: mixed('green'), blue: mixed('blue'), alpha: 1 };
  };
  const background = (element) => {
    if (!element) return channels('rgb(255, 255, 255)');
    const own = channels(getComputedStyle(element).backgroundColor);
    return own.alpha === 1 ? own : over(own, background(element.parentElement));
  };
  const luminance = (color) => {
    const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear(color.red / 255) + 0.7152 * linear(color.green / 255) + 0.0722 * linear(color.blue / 255);
  };
  const contrast = (text) => {
    const under = background(text.parentElement);
    const ink = over(channels(getComputedStyle(text.parentElement).color), under);
    const [dark, light] = [luminance(under), luminance(ink)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const lowestContrast = () => {
    const ours = texts().filter((each) => !each.parentElement.closest('button')); // Teams chooses the colors of buttons
    const ratios = ours.map((each) => ({ ratio: Math.round(contrast(each) * 100) / 100, text: brief(each.data) }));
    return ratios.reduce((lowest, each) => (each.ratio < lowest.ratio ? each : lowest), { ratio: 21, text: '' });
  };

  const nameOf = (element) => brief(element.getAttribute('aria-label') || element.innerText);
  // The renderer makes an aria-label of a placeholder, which vanishes with the first letter: that is no label.
  const labelled = (element) => element.labels.length > 0
    || (element.getAttribute('aria-labelledby') || '').split(' ').some((id) => document.getElementById(id)?.innerText.trim());
  const matching = (selector) => [...root.querySelectorAll(selector)].filter(visible);
  const buttons = () => matching('button, [role=button]');
  const openers = () => buttons().filter((each) => each.hasAttribute('aria-expanded') || each.hasAttribute('aria-controls'));

  const measured = () => {
    const top = root.getBoundingClientRect().top;
    return {
      height: Math.ceil(root.getBoundingClientRect().height),
      buttons: buttons().map((each) => ({ name: nameOf(each), bottom: Math.ceil(each.getBoundingClientRect().bottom - top) })),
      clipped: clipped(),
      contrast: lowestContrast(),
      unlabelled: matching('input, textarea, select').filter((each) => !labelled(each)).map((each) => each.outerHTML.slice(0, 160)),
      unnamed: buttons().filter((each) => !nameOf(each)).map((each) => each.outerHTML.slice(0, 80)),
      headings: matching('h1, h2, h3, h4, h5, h6, [role=heading]').map((each) => brief(each.innerText)),
      invalid,
    };
  };

  const show = (json, width) => {
    host.style.width = `${width}px`;
    const card = new AdaptiveCard();
    const context = new SerializationContext();
    card.hostConfig = new HostConfig(hostConfig);
    const { lang, ...rest } = fitted(json, width); // the renderer refuses every second card with a language
    card.parse(rest, context);
    const validated = card.validateProperties();
    invalid = [
      ...Array.from({ length: context.eventCount }, (_, at) => context.getEventAt(at).message),
      ...validated.validationEvents.map((each) => each.message),
    ];
    root = card.render();
    root.lang = lang || '';
    host.replaceChildren(root);
  };

  window.gallery = {
    // Draws a card, clicks on its button number `at` that opens a hidden part, and returns the names of all such buttons.
    draw({ card, width, at }) {
      show(card, width);
      const parts = openers().map(nameOf);
      if (at >= 0) openers()[at].click();
      return parts;
    },
    // All in one call, so that the browser paints only the last.
    measure: (drawings) => drawings.map((each) => ({ parts: window.gallery.draw(each), measurement: measured() })),
  };
};

const styled = (theme) => path.join(DESIGNER, 'dist', 'containers', `teams-container-${theme}.css`);
const configuration = (theme) => JSON.parse(
  fs.readFileSync(path.join(DESIGNER, 'lib', 'hostConfigs', `microsoft-teams-${theme}.json`), 'utf8'));

const opened = async (browser, theme) => {
  const context = await browser.newContext({ locale: 'en-US', timezoneId: 'UTC', viewport: { width: 640, height: HEIGHT } });
  const page = await context.newPage();
  await page.route('**/*', (route) => route.abort());
  await page.setContent('<!doctype html><body></body>');
  await page.addStyleTag({ path: styled(theme) });
  await page.addScriptTag({ path: require.resolve('adaptivecards/dist/adaptivecards.min.js') });
  await page.evaluate(install, configuration(theme));
  return page;
};

const photographed = async (session, file, { height }, width) => {
  const { data } = await session.send('Page.captureScreenshot', {
    format: 'png', optimizeForSpeed: true, captureBeyondViewport: height > HEIGHT,
    clip: { x: 0, y: 0, width, height, scale: 1 },
  });
  fs.writeFileSync(file, Buffer.from(data, 'base64'));
};

// The drawings with the longest JSON among those with the same parts to open.
const largestOfEach = (measured) => {
  const found = new Map();
  for (const each of measured) {
    const parts = each.parts.join();
    const size = JSON.stringify(each.card).length;
    if (size > (found.get(parts)?.size || 0)) found.set(parts, { each, size });
  }
  return [...found.values()].map(({ each }) => each);
};

// Measures each card as it is delivered, and again after each click on a button that shows a hidden part.
const themed = async (browser, theme, { cards, widths, themes, folder, everything }) => {
  const page = await opened(browser, theme);
  const session = await page.context().newCDPSession(page);
  const measure = async (drawings) => {
    const found = await page.evaluate((all) => window.gallery.measure(all), drawings);
    return drawings.map((each, number) => ({ ...each, ...found[number] }));
  };
  const own = everything ? widths : [Math.min(...widths)];
  const closed = await measure(cards.flatMap((each) => own.map((width) => ({ ...each, width, at: -1 }))));
  const withParts = everything ? closed : largestOfEach(closed).filter(() => theme === themes[0]);
  const open = await measure(withParts.flatMap((each) => each.parts.map((_, at) => ({ ...each, at }))));
  for (const each of [...closed, ...open]) {
    const { name, width, at, parts, measurement } = each;
    const picture = `${name}-${width}-${theme}${at < 0 ? '' : `-${at + 1}`}.png`;
    if (folder) {
      await page.evaluate((drawing) => window.gallery.draw(drawing), each);
      await photographed(session, path.join(folder, picture), measurement, width);
    }
    process.stdout.write(`${JSON.stringify({ name, width, theme, opened: at < 0 ? '' : parts[at], picture, ...measurement })}\n`);
  }
};

const main = async (job) => {
  const browser = await chromium.launch({ executablePath: job.program, args: FLAGS });
  try {
    await Promise.all(job.themes.map((theme) => themed(browser, theme, job)));
  } finally {
    await browser.close();
  }
};

let input = '';
process.stdin.setEncoding('utf8').on('data', (piece) => { input += piece; }).on('end', () => main(JSON.parse(input)));
