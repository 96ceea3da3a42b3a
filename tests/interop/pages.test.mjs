// pages.test.mjs -- our pages in Chromium, used as people use them: by keyboard
// or pointer, with and without scripts, on a narrow screen, in the dark.

import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {after, test} from 'node:test';
import {forgive, launchBrowser, openPage, pages, picture}
    from './browser.mjs';
import {atEnd, folder, start, TOP} from './program.mjs';

const browser = await launchBrowser();
after(() => browser.close());

const hostile = '<img src=x onerror="window.hit = 1">';

// Nothing of HOSTILE has become HTML, or has run.
async function stayedText(page) {
    assert.equal(await page.locator('img').count(), 0);
    assert.equal(await page.evaluate(() => window.hit), undefined);
}

// The label of what has the keyboard, or else its text.
function focused(page) {
    return page.evaluate(() => {
        const at = document.activeElement;
        return at.labels?.[0]?.textContent ?? at.textContent;
    });
}

async function tabTo(page, name) {
    await page.keyboard.press('Tab');
    assert.equal(await focused(page), name);
}

async function press(page, ...keys) {
    for (const key of keys) await page.keyboard.press(key);
}

// Opens the file dialog by KEY, and chooses FILES in it.
async function choose(page, key, files) {
    const [dialog] = await Promise.all([page.waitForEvent('filechooser'),
                                        page.keyboard.press(key)]);
    await dialog.setFiles(files);
}

function someFile(t, name, size) {
    const file = path.join(folder(t), name);
    fs.writeFileSync(file, randomBytes(size));
    return file;
}

// What was saved, each file as [FIELD, NAME, bytes], sorted.
function saved(server) {
    const uploads = path.join(server.root, 'uploads');
    return fs.readdirSync(uploads).filter(name => !name.startsWith('.'))
        .map(name => [...name.match(/^(\w+)-\d{13}-(.*)$/).slice(1),
                      fs.readFileSync(path.join(uploads, name))]).sort();
}

function assertSaved(server, expected) {
    const got = saved(server);
    assert.deepEqual(got.map(([field, name]) => [field, name]),
                     expected.map(([field, name]) => [field, name]));
    got.forEach(([, name, bytes], i) => assert.ok(
        bytes.equals(fs.readFileSync(expected[i][2])), `${name} differs`));
}

// ---- post-form -------------------------------------------------------------

test('post-form: the form by keyboard', async t => {
    const server = await start(t, 'post-form');
    const page = await openPage(t, browser, server.url);
    await tabTo(page, 'First input');
    await page.keyboard.type('Cian Ó Maidín & "Co"');
    await tabTo(page, 'Second input');
    await page.keyboard.type(hostile);
    await tabTo(page, 'Submit');
    await press(page, 'Space');
    const posted = JSON.stringify({userinput1: 'Cian Ó Maidín & "Co"',
                                   userinput2: hostile});
    await page.getByText('You Posted:').waitFor();
    assert.equal(await page.innerText('body'), 'You Posted: ' + posted);
    await server.line('User Posted:  ' + posted);
    await stayedText(page);
});

test('post-form: Enter in a field posts', async t => {
    const server = await start(t, 'post-form');
    const page = await openPage(t, browser, server.url);
    await tabTo(page, 'First input');
    await page.keyboard.type('a');
    await press(page, 'Enter');
    await page.getByText('You Posted: {"userinput1":"a","userinput2":""}')
        .waitFor();
});

test('post-form: both pages without scripts', async t => {
    const server = await start(t, 'post-form');
    for (const where of ['/', '/json']) {
        const page = await openPage(t, browser, server.url + where,
                                    {javaScriptEnabled: false});
        await page.getByLabel('First input').fill('a');
        await page.getByLabel('Second input').fill(where);
        await page.getByRole('button', {name: 'Submit'}).click();
        await page.getByText(
            `You Posted: {"userinput1":"a","userinput2":"${where}"}`).waitFor();
    }
});

test('post-form: the JSON page by keyboard', async t => {
    const server = await start(t, 'post-form');
    const page = await openPage(t, browser, server.url);
    await press(page, 'Tab', 'Tab', 'Tab');
    await tabTo(page, 'The same as JSON, by a script');
    await press(page, 'Enter');
    await page.waitForURL('**/json');
    await tabTo(page, 'First input');
    await page.keyboard.type('☃ "\\');
    await tabTo(page, 'Second input');
    await page.keyboard.type(hostile);
    await tabTo(page, 'Submit');
    await press(page, 'Enter');
    const posted = JSON.stringify({userinput1: '☃ "\\', userinput2: hostile});
    const status = page.getByRole('status');
    await status.getByText('You Posted: ' + posted, {exact: true}).waitFor();
    await server.line('User Posted:  ' + posted);
    await stayedText(page);

    // It stays on its page, and posts again.
    await Promise.all([page.waitForResponse(server.url + '/'),
                       page.keyboard.press('Enter')]);
    assert.equal(page.url(), server.url + '/json');
});

test('post-form: the JSON page tells what went wrong', async t => {
    const server = await start(t, 'post-form');
    const page = await openPage(t, browser, server.url + '/json');
    const status = page.getByRole('status');
    const submit = page.getByRole('button', {name: 'Submit'});
    const first = page.locator('#userinput1');
    await first.evaluate(input => { // hidden: it would take long to draw
        input.type = 'hidden';
        input.value = 'x'.repeat(3000000);
    });
    await submit.click();
    await status.getByText('Error: 413 Too Large', {exact: true}).waitFor();
    await forgive(page, /status of 413/);

    await first.evaluate(input => { input.value = 'y'; });
    await submit.click();
    await status.getByText('You Posted: {"userinput1":"y","userinput2":""}',
                           {exact: true}).waitFor();

    assert.equal(await server.stop(), 0);
    await submit.click();
    await status.getByText('Error: ').waitFor();
    await forgive(page, /ERR_CONNECTION_REFUSED/);
});

test('post-form: a refusal while the form is still being sent', async t => {
    const server = await start(t, 'post-form');
    const page = await openPage(t, browser, server.url);
    const input = page.locator('#userinput1');
    const submit = page.getByRole('button', {name: 'Submit'});
    await input.evaluate(input => { // hidden: it would take long to draw
        input.type = 'hidden';
        input.value = 'x'.repeat(2097153);
    });
    await submit.click();
    await page.getByText('Too Large', {exact: true}).waitFor();
    await forgive(page, /status of 413/);

    await page.goto(server.url);
    await input.evaluate(input => {
        input.type = 'file';
        input.form.enctype = 'multipart/form-data';
    });
    await input.setInputFiles(someFile(t, 'large', 50000000));
    await submit.click();
    await page.getByText('Unsupported Media Type', {exact: true}).waitFor();
    await forgive(page, /status of 415/);
});

// ---- file-upload -----------------------------------------------------------

const ways = [['by keyboard', {}],
              ['without scripts', {javaScriptEnabled: false}]];
for (const [way, options] of ways)
    test(`file-upload: two files and a field, ${way}`, async t => {
        const server = await start(t, 'file-upload');
        const page = await openPage(t, browser, server.url, options);
        const first = someFile(t, 'käse & brot.bin', 300001);
        const second = someFile(t, '2.bin', 8 * 1024 * 1024);
        await press(page, 'Tab');
        await page.keyboard.type('hi thére');
        await press(page, 'Tab');
        await choose(page, 'Enter', first);
        await press(page, 'Tab');
        await choose(page, 'Space', second);
        await press(page, 'Tab', 'Enter');
        await page.getByText('All files processed!').waitFor();
        assert.equal(await page.innerText('body'),
                     'processed "userinput1" input.\n' +
                     'käse & brot.bin successfully saved!\n' +
                     '2.bin successfully saved!\n' +
                     'All files processed!');
        await server.line('parsing multipart data');
        await server.line('userinput1: hi thére');
        await server.line('finished parsing');
        await server.line('-2.bin: 8388608 bytes');
        assertSaved(server, [['userfile1', 'käse & brot.bin', first],
                             ['userfile2', '2.bin', second]]);
    });

test('file-upload: a form with nothing chosen', async t => {
    const server = await start(t, 'file-upload');
    const page = await openPage(t, browser, server.url);
    await tabTo(page, 'Some text');
    await press(page, 'Enter');
    await page.getByText('All files processed!').waitFor();
    assertSaved(server, []);
});

test('file-upload: names that are HTML', async t => {
    const server = await start(t, 'file-upload', [], {MAX_FILE: '1000'});
    const page = await openPage(t, browser, server.url + '/put');
    const [small, large] = [1, 1001].map(size => ({
        name: `${hostile} ${size}`, mimeType: '', buffer: Buffer.alloc(size)}));
    await page.getByLabel('Choose files').setInputFiles([small, large]);
    const log = page.getByRole('log', {name: 'Files sent'});
    await log.getByText(`${small.name} successfully saved!`).waitFor();
    await log.getByText(`${large.name} is larger than`).waitFor();
    await forgive(page, /status of 413/);
    await stayedText(page);
    assert.deepEqual(saved(server).map(([, name]) => name), [small.name]);
});

test('file-upload: PUT by keyboard', async t => {
    const server = await start(t, 'file-upload');
    const page = await openPage(t, browser, server.url);
    await press(page, 'Tab', 'Tab', 'Tab', 'Tab');
    await tabTo(page, 'One file at a time, with PUT');
    await press(page, 'Enter');
    await page.waitForURL('**/put');
    const first = someFile(t, '1% ☃.bin', 51200);
    const second = someFile(t, 'empty', 0);
    await tabTo(page, 'Choose files, or drop them here');
    await choose(page, 'Space', [first, second]);
    await page.getByText('empty successfully saved!').waitFor();
    await page.getByText('No file is on its way').waitFor();
    assert.deepEqual(await page.getByRole('listitem').allTextContents(), [
        '1% ☃.bin successfully saved!', 'empty successfully saved!']);

    // The same one, a second time.
    await choose(page, 'Enter', second);
    await page.getByRole('listitem').nth(2).waitFor();
    assertSaved(server, [['userfile1', '1% ☃.bin', first],
                         ['userfile1', 'empty', second],
                         ['userfile1', 'empty', second]]);
});

test('file-upload: the progress of a PUT', async t => {
    const size = 64 * 1024 * 1024;
    const server = await start(t, 'file-upload', [],
                               {MAX_FILE: String(size)});
    const page = await openPage(t, browser, server.url + '/put');
    const files = [someFile(t, 'big', size), someFile(t, 'next', 10),
                   someFile(t, 'last', 10)];
    const bar = name => page.getByRole('progressbar', {name, exact: true});
    const value = () => page.locator('progress').evaluate(bar => bar.value);
    assert.equal(await value(), 0);

    // A server that stands still has taken a part of it.
    process.kill(server.pid, 'SIGSTOP');
    const input = page.getByLabel('Choose files');
    await input.setInputFiles(files.slice(0, 2));
    await bar('Sending big, 1 more to go').waitFor();
    await page.waitForFunction(
        () => document.querySelector('progress').value > 0);
    assert.ok(await value() < 1);
    await input.setInputFiles(files[2]); // it waits for its turn
    assert.equal(await bar('Sending big, 1 more to go').count(), 1);
    process.kill(server.pid, 'SIGCONT');

    await page.getByText('last successfully saved!').waitFor();
    await bar('No file is on its way').waitFor();
    assert.equal(await value(), 1);
    assert.deepEqual(await page.getByRole('listitem').allTextContents(), [
        'big successfully saved!', 'next successfully saved!',
        'last successfully saved!']);
    assertSaved(server, [['userfile1', 'big', files[0]],
                         ['userfile1', 'last', files[2]],
                         ['userfile1', 'next', files[1]]]);
});

// As the browser itself gives files that are dragged from the desktop.
async function drag(page, type, locator, files) {
    const box = await locator.boundingBox();
    page.devtools ??= await page.context().newCDPSession(page);
    await page.devtools.send('Input.dispatchDragEvent', {
        type, x: box.x + box.width / 2, y: box.y + box.height / 2,
        data: {items: [], files, dragOperationsMask: 1}});
}

test('file-upload: files dropped into the zone, and beside it', async t => {
    const server = await start(t, 'file-upload');
    const page = await openPage(t, browser, server.url + '/put');
    const files = [someFile(t, 'a', 1000), someFile(t, 'b', 2000)];
    const zone = page.locator('#drop');
    const over = page.locator('#drop.over');
    await drag(page, 'dragEnter', zone, files);
    await drag(page, 'dragOver', zone, files);
    await over.waitFor();

    // The browser would show a file that misses the zone.
    await drag(page, 'dragOver', page.locator('h1'), files);
    await over.waitFor({state: 'detached'});
    await drag(page, 'drop', page.locator('h1'), files);

    await drag(page, 'dragEnter', zone, files);
    await drag(page, 'dragOver', zone, files);
    await drag(page, 'drop', zone, files);
    await over.waitFor({state: 'detached'});
    await page.getByText('b successfully saved!').waitFor();
    assert.equal(page.url(), server.url + '/put');
    assertSaved(server, [['userfile1', 'a', files[0]],
                         ['userfile1', 'b', files[1]]]);
});

test('file-upload: PUT that is refused, or meets no server', async t => {
    const server = await start(t, 'file-upload');
    const page = await openPage(t, browser, server.url + '/put');
    const input = page.getByLabel('Choose files');
    const progress = () => page.locator('progress')
        .evaluate(bar => bar.value);
    const files = [someFile(t, 'one too many', 51201),
                   someFile(t, 'far too many', 20 * 1024 * 1024),
                   someFile(t, 'fits', 51200)];
    await input.setInputFiles(files);
    await page.getByText('fits successfully saved!').waitFor();
    assert.deepEqual(await page.getByRole('listitem').allTextContents(), [
        'one too many is larger than this server takes',
        'far too many is larger than this server takes',
        'fits successfully saved!']);
    await forgive(page, /status of 413/);
    await forgive(page, /status of 413/);
    assertSaved(server, [['userfile1', 'fits', files[2]]]);
    assert.equal(await progress(), 1);

    await input.setInputFiles(files[0]);
    await page.getByRole('listitem').nth(3).waitFor();
    await forgive(page, /status of 413/);
    assert.equal(await progress(), 0);

    assert.equal(await server.stop(), 0);
    await input.setInputFiles(files[2]);
    await page.getByText('fits was not sent: the server is gone').waitFor();
    assert.equal(await progress(), 0);
    await forgive(page, /ERR_CONNECTION_REFUSED/);
});

// ---- websocket-app ---------------------------------------------------------

// The log, its lines as "Kind: text".
const lines = page => page.getByRole('log', {name: 'Messages'})
    .getByRole('listitem').allTextContents();

async function connected(page) {
    await page.getByRole('status').getByText('Connected', {exact: true})
        .waitFor();
}

async function send(page, text) {
    await page.keyboard.type(text);
    await press(page, 'Enter');
}

test('websocket-app: two browsers', async t => {
    const other = await launchBrowser();
    atEnd(t, () => other.close());
    const server = await start(t, 'websocket-app');
    const one = await openPage(t, browser, server.url);
    const two = await openPage(t, other, server.url);
    await connected(one);
    await connected(two);
    await send(one, 'Good morning');
    await server.line('Received: Good morning');
    await send(two, 'Hello');
    await two.getByText('Websockets!').waitFor();
    await send(one, 'Hello');
    await one.getByText('Websockets!').waitFor();
    assert.deepEqual(await lines(one), [
        'Sent: Good morning', 'Sent: Hello', 'Received: Websockets!']);
    assert.deepEqual(await lines(two), [
        'Sent: Hello', 'Received: Websockets!']);
    assert.equal(server.stdout.split('\n').slice(1).join('\n'),
                 'Received: Good morning\nFrom IP: 127.0.0.1\n' +
                 'Received: Hello\nFrom IP: 127.0.0.1\n' +
                 'Received: Hello\nFrom IP: 127.0.0.1\n');

    // One leaves; the other does not notice.
    await two.goto('about:blank');
    await send(one, 'Hello');
    await one.getByText('Websockets!').nth(1).waitFor();
});

test('websocket-app: a message stays text', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const page = await openPage(t, browser, server.url);
    await connected(page);
    for (const text of [hostile, '<script>window.hit = 1</script>',
                        '<b>bold</b> &amp;  two  blanks', '☃ Ó']) {
        await send(page, text);
        await page.getByRole('listitem').getByText(`Received: ${text}`)
            .waitFor();
        assert.deepEqual((await lines(page)).slice(-2),
                         [`Sent: ${text}`, `Received: ${text}`]);
    }
    await stayedText(page);
});

test('websocket-app: by keyboard, over a restart of the server', async t => {
    const server = await start(t, 'websocket-app');
    const page = await openPage(t, browser, server.url);
    await connected(page);
    await send(page, 'Hello');
    await page.getByText('Websockets!').waitFor();
    const status = page.getByRole('status');
    const reconnect = page.getByRole('button', {name: 'Reconnect'});
    assert.equal(await reconnect.count(), 0);

    assert.equal(await server.stop(), 0);
    await status.getByText('Disconnected').waitFor();
    assert.equal((await lines(page)).at(-1), 'Disconnected: 1001');
    assert.deepEqual(await faults(page), []);
    await page.keyboard.type('not lost');
    await press(page, 'Enter'); // there is nobody to send it to
    await tabTo(page, 'Reconnect');
    await press(page, 'Space'); // too early
    await page.getByText('Disconnected: 1006').waitFor();
    await forgive(page, /ERR_CONNECTION_REFUSED/);
    assert.deepEqual((await lines(page)).slice(2), [
        'Disconnected: 1001', 'Error: the connection failed',
        'Disconnected: 1006']);

    const again = await start(t, 'websocket-app', [],
                              {PORT: String(server.port)});
    assert.equal(again.port, server.port);
    await tabTo(page, 'Reconnect');
    await press(page, 'Enter');
    await connected(page);
    assert.equal(await reconnect.count(), 0);
    await press(page, 'Enter');
    await again.line('Received: not lost');
    await send(page, 'Hello');
    await page.getByText('Websockets!').nth(1).waitFor();
});

test('websocket-app: the log keeps the last 1,000 lines', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const page = await openPage(t, browser, server.url);
    await connected(page);
    await page.evaluate(() => {
        for (let i = 1; i <= 600; i++) {
            document.getElementById('message').value = `message ${i}`;
            document.getElementById('form').requestSubmit();
        }
    });
    await page.getByText('Received: message 600').waitFor();
    const log = await lines(page);
    assert.equal(log.length, 1000);
    assert.deepEqual(log.slice(-600), Array.from(
        {length: 600}, (_, i) => `Received: message ${i + 1}`));
    assert.ok(await page.getByRole('log').evaluate(
        log => log.scrollTop + log.clientHeight > log.scrollHeight - 2));
});

test('websocket-app: large messages, and why it closes', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const page = await openPage(t, browser, server.url);
    // Sends SIZE bytes and, when the same have come back, says goodbye.
    const echo = (binary, size) => page.evaluate(
        ([binary, size]) => new Promise(resolve => {
            const ws = new WebSocket('ws://' + location.host);
            const text = '☃'.repeat(size / 3) + 'x'.repeat(size % 3);
            ws.onopen = () => ws.send(binary ? new Blob([text]) : text);
            ws.onmessage = async ({data}) => ws.close(
                (binary ? await data.text() : data) === text ? 3999 : 3000);
            ws.onclose = ({code, wasClean}) => resolve([code, wasClean]);
        }), [binary, size]);
    for (const size of [0, 125, 126, 65535, 65536])
        for (const binary of [true, false])
            assert.deepEqual(await echo(binary, size), [3999, true],
                             `${size} bytes`);
    const max = 16 * 1024 * 1024;
    assert.deepEqual(await echo(false, max), [3999, true]);
    assert.deepEqual(await echo(true, max + 1), [1009, true]);
});

// ---- all servers -----------------------------------------------------------

test('by IPv6, and by a name', async t => {
    for (const HOST of ['::1', '127.0.0.1']) {
        const [form, ws] = [await start(t, 'post-form', [], {HOST}),
                            await start(t, 'websocket-app', [], {HOST})];
        for (const name of [form.host, 'localhost']) {
            const page = await openPage(t, browser,
                                        `http://${name}:${form.port}`);
            await page.getByRole('button', {name: 'Submit'}).click();
            await page.getByText('You Posted:').waitFor();
            await page.goto(`http://${name}:${ws.port}`);
            await connected(page);
        }
    }
});

test('a page of another site can do nothing here', async t => {
    const other = await start(t, 'post-form'); // its JSON has no policy
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload');
    const ws = await start(t, 'websocket-app');
    const open = await start(t, 'websocket-app', [], {ORIGIN: '*'});
    const page = await openPage(t, browser, other.url + '/api/users');

    // The browser sends both of these without asking first.
    await page.evaluate(url => fetch(url, {
        method: 'POST', mode: 'no-cors',
        body: new URLSearchParams({userinput1: 'forged'})}), form.url);
    await forgive(page, /status of 403/);
    await page.evaluate(url => {
        const body = new FormData();
        body.append('userfile1', new File(['forged'], 'forged'));
        return fetch(url, {method: 'POST', mode: 'no-cors', body});
    }, upload.url);
    await forgive(page, /status of 403/);
    assertSaved(upload, []);
    assert.equal(await page.evaluate(url => fetch(
        url, {method: 'PUT', body: 'forged'}).catch(error => error.name),
    upload.url + '/forged'), 'TypeError');
    await forgive(page, /CORS policy/);
    await forgive(page, /ERR_FAILED/);
    assertSaved(upload, []);

    const connect = url => page.evaluate(url => new Promise(resolve => {
        const ws = new WebSocket(url);
        ws.onopen = () => resolve('open');
        ws.onclose = event => resolve(event.code);
    }), url.replace('http:', 'ws:'));
    assert.equal(await connect(ws.url), 1006);
    await forgive(page, /response code: 403/);
    assert.equal(await connect(open.url), 'open');

    // A form that the visitor is made to send.
    await page.evaluate(url => {
        const form = document.createElement('form');
        Object.assign(form, {method: 'POST', action: url});
        document.body.append(form);
        form.submit();
    }, form.url);
    await page.getByText('Forbidden').waitFor();
    await forgive(page, /status of 403/);
    assert.doesNotMatch(form.stdout, /User Posted/);
});

test('what cannot do without scripts says so', async t => {
    for (const [recipe, where, said] of [
        ['file-upload', '/put', /cannot send anything; the form can/],
        ['websocket-app', '/', /this page needs one/]]) {
        const server = await start(t, recipe);
        const page = await openPage(t, browser, server.url + where,
                                    {javaScriptEnabled: false});
        assert.match(await page.innerText('main'), said);
    }
});

// ---- all pages -------------------------------------------------------------

const require = createRequire(import.meta.url);
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

// What the accessibility rules find, best practice and WCAG 2.2 included.
async function faults(page) {
    await page.evaluate(axe);
    const {violations, incomplete, passes} = await page.evaluate(
        () => window.axe.run({rules: {'target-size': {enabled: true}}}));
    assert.ok(passes.length > 10);
    return [...violations, ...incomplete].map(
        ({id, nodes}) => `${id}: ${nodes.map(node => node.html).join(' ')}`);
}

// What is wider than the screen: the page itself, or something on it.
const sticksOut = page => page.evaluate(() => {
    const {clientWidth, scrollWidth} = document.documentElement;
    const out = [...document.querySelectorAll('main *')].filter(each => {
        const box = each.getBoundingClientRect();
        return box.left < 0 || box.right > clientWidth;
    });
    return [...scrollWidth > clientWidth ? ['the page'] : [],
            ...out.map(each => each.outerHTML)];
});

for (const {recipe, path: where, file, use} of pages) {
    test(`${recipe} ${where}: axe finds nothing`, async t => {
        const server = await start(t, recipe);
        const page = await openPage(t, browser, server.url + where);
        const found = [];
        const look = async state => {
            for (const colorScheme of ['light', 'dark']) {
                await page.emulateMedia({colorScheme});
                for (const fault of await faults(page))
                    found.push(`${state}, ${colorScheme}: ${fault}`);
            }
        };
        await look('new');
        await use(page);
        await look('used');
        assert.deepEqual(found, []);
    });

    test(`${recipe} ${where}: fits the width of any screen`, async t => {
        const server = await start(t, recipe);
        const page = await openPage(t, browser, server.url + where);
        await use(page);
        for (const text of await page.locator('li, label, [role=status]').all())
            await text.evaluate(node => node.append('long'.repeat(50)));
        // A telephone; a screen of 1,280 pixels at 200 % and at 400 %; and the
        // telephone at 200 %.
        for (const width of [360, 640, 320, 180]) {
            await page.setViewportSize({width, height: 640});
            assert.deepEqual(await sticksOut(page), [], `at ${width} pixels`);
        }
    });

    test(`${recipe} ${where}: the policy holds`, async t => {
        const server = await start(t, recipe);
        const page = await openPage(t, browser, server.url + where);
        await page.evaluate(() => {
            const script = document.createElement('script');
            script.textContent = 'window.hit = 1';
            document.body.append(script);
            document.body.setAttribute('style', 'color: red');
        });
        await stayedText(page);
        for (const what of [/policy script-src/, /policy style-src/,
                            /inline script/, /inline style/])
            await forgive(page, what);
    });

    test(`${recipe} ${where}: has its picture in the README`, () => {
        const name = picture(recipe, file);
        const readme = fs.readFileSync(path.join(TOP, recipe, 'README.md'),
                                       'utf8');
        const [, alt] = readme.match(new RegExp(
            `!\\[([^\\]]+)\\]\\(${path.relative(recipe, name)}\\)`)) ?? [];
        assert.ok(alt?.length > 10, 'an alternative text');
        const bytes = fs.readFileSync(path.join(TOP, name));
        assert.equal(bytes.toString('latin1', 1, 4), 'PNG');
        assert.ok(bytes.length < 25600, `${name}: ${bytes.length} bytes`);
    });
}
