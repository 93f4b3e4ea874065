// Renders cards with Microsoft's own library in one page of Chromium: {program, cards} on stdin, the results on stdout.
// Text that the library treats as Markdown goes into the page as HTML, as in the worst possible client.
'use strict';
const { chromium } = require('playwright-core');

const FLAGS = ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-sync'];

// runs in the page
const render = (cards) => {
  // A form is drawn only while it is open. Opening one closes the other.
  const typed = (all) => {
    const fields = () => all('textarea').map((each) => each.value);
    const opened = all('[aria-expanded]').flatMap((each) => {
      each.click();
      const found = fields();
      each.click();
      return found;
    });
    return opened.length ? opened : fields();
  };
  const { AdaptiveCard } = window.AdaptiveCards;
  AdaptiveCard.onProcessMarkdown = (text, result) => { result.outputHtml = text; result.didProcess = true; };
  return cards.map((json) => {
    const card = new AdaptiveCard();
    card.parse(json);
    const root = card.render();
    document.body.append(root);
    const all = (what) => [...root.querySelectorAll(what)];
    const seen = {
      blocks: all('.ac-richTextBlock').filter((each) => !each.closest('label')).map((each) => each.innerText),
      typed: typed(all),
      ats: all('at').map((each) => each.innerText),
      live: all('a, img, script, svg, iframe, b, em, strong, object, embed, link, style, form').map((each) => each.outerHTML),
    };
    root.remove();
    return seen;
  });
};

const main = async ({ program, cards }) => {
  const browser = await chromium.launch({ executablePath: program, args: FLAGS });
  try {
    const page = await (await browser.newContext({ locale: 'en-US', timezoneId: 'UTC' })).newPage();
    const asked = [];
    await page.route('**/*', (route) => { asked.push(route.request().url()); route.abort(); });
    await page.setContent('<!doctype html><body></body>');
    await page.addScriptTag({ path: require.resolve('adaptivecards/dist/adaptivecards.min.js') });
    const shown = await page.evaluate(render, cards);
    await page.evaluate(() => new Promise((done) => { setTimeout(done, 0); })); // lets pending scripts run
    return { shown, ran: await page.evaluate(() => window.live !== undefined), asked };
  } finally {
    await browser.close();
  }
};

let input = '';
process.stdin.setEncoding('utf8').on('data', (piece) => { input += piece; }).on('end', async () => {
  process.stdout.write(JSON.stringify(await main(JSON.parse(input))));
});
