// browser.mjs -- Chromium and our pages: what the tests of the pages and the
// pictures in the READMEs have in common.
//
//     const browser = await launchBrowser();
//     after(() => browser.close());
//     test('the form', async t => {
//         const page = await openPage(t, browser, server.url);

import assert from 'node:assert/strict';
import {chromium} from 'playwright-core';
import {atEnd, LIMIT} from './program.mjs';

// Debian's, with a new and empty profile. It takes seconds to start: one serves
// all tests of a file.
export function launchBrowser() {
    return chromium.launch({
        executablePath: '/usr/bin/chromium',
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic',
               '--disable-sync']});
}

// A page of its own, with an empty cache and 360 pixels wide unless OPTIONS say
// otherwise. What the browser complains of, a breach of our policy say, is
// in page.complaints: the test fails if any are left at its end.
export async function openPage(t, browser, url, options = {}) {
    const context = await browser.newContext({
        viewport: {width: 360, height: 640}, ...options});
    const page = await context.newPage();
    page.setDefaultTimeout(LIMIT);
    page.on('filechooser', () => {}); // from now on, none on the screen
    page.complaints = [];
    page.on('console', message => {
        if (['error', 'warning'].includes(message.type()))
            page.complaints.push(message.text());
    });
    page.on('pageerror', error => page.complaints.push(String(error)));
    page.on('crash', () => page.complaints.push('the page crashed'));
    await page.addInitScript(() => document.addEventListener(
        'securitypolicyviolation',
        event => console.error('policy', event.violatedDirective)));
    atEnd(t, async () => {
        await context.close();
        assert.deepEqual(page.complaints, []);
    });
    await page.goto(url);
    return page;
}

// The complaint that a test provokes: it must come, and is forgiven.
export async function forgive(page, pattern) {
    const find = () => page.complaints.findIndex(text => pattern.test(text));
    if (find() === -1)
        await page.waitForEvent('console',
                                message => pattern.test(message.text()));
    page.complaints.splice(find(), 1);
}

const small = {name: 'notes.txt', mimeType: 'text/plain',
               buffer: Buffer.from('hello\n')};
const large = {name: 'holiday.jpg', mimeType: 'image/jpeg',
               buffer: Buffer.alloc(51201)};

// Every page, where its picture is, and how it comes to look like that.
export const pages = [
    {recipe: 'post-form', path: '/', file: 'form.html',
     use: async page => {
         await page.getByLabel('First input').fill('firstVal');
         await page.getByLabel('Second input').fill('secondVal');
     }},
    {recipe: 'post-form', path: '/json', file: 'json.html',
     use: async page => {
         await page.getByLabel('First input').fill('firstVal');
         await page.getByLabel('Second input').fill('secondVal');
         await page.getByRole('button', {name: 'Submit'}).click();
         await page.getByText('You Posted:').waitFor();
     }},
    {recipe: 'file-upload', path: '/', file: 'form.html',
     use: async page => {
         await page.getByLabel('Some text').fill('hi there');
         await page.getByLabel('First file').setInputFiles(small);
         await page.getByLabel('Second file').setInputFiles(large);
     }},
    {recipe: 'file-upload', path: '/put', file: 'put.html',
     use: async page => {
         await page.getByLabel('Choose files').setInputFiles([large, small]);
         await page.getByText('notes.txt successfully saved!').waitFor();
         await page.getByText('No file is on its way').waitFor();
         await forgive(page, /status of 413/);
     }},
    {recipe: 'websocket-app', path: '/', file: 'index.html',
     use: async page => {
         await page.getByRole('textbox').fill('Hello');
         await page.getByRole('button', {name: 'Send'}).click();
         await page.getByText('Websockets!').waitFor();
         await page.getByRole('textbox').fill('Is anybody there?');
         await page.getByRole('button', {name: 'Send'}).click();
     }},
];

// Where a page's picture is kept.
export function picture(recipe, file) {
    return `${recipe}/pictures/${file.replace('.html', '.png')}`;
}
