// pictures.mjs -- takes the pictures in the READMEs anew: one of each page, as
// pages in browser.mjs prepares it. The same fonts give the same bytes.

import fs from 'node:fs';
import path from 'node:path';
import {after, test} from 'node:test';
import {launchBrowser, openPage, pages, picture} from './browser.mjs';
import {start, TOP} from './program.mjs';

const browser = await launchBrowser();
after(() => browser.close());

for (const {recipe, path: where, file, use} of pages)
    test(`${recipe} ${where}`, async t => {
        const server = await start(t, recipe);
        const page = await openPage(t, browser, server.url + where,
                                    {viewport: {width: 480, height: 400}});
        await use(page);
        const name = path.join(TOP, picture(recipe, file));
        fs.mkdirSync(path.dirname(name), {recursive: true});
        await page.locator('main').screenshot({path: name});
        t.diagnostic(`${picture(recipe, file)}: ` +
                     `${fs.statSync(name).size} bytes`);
    });
