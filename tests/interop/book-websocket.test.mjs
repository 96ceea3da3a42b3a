// book-websocket.test.mjs -- what the book's WebSocket server and client were
// seen to do, as facts about ours. Where the book's program is wrong or unsafe,
// the row says what is right, and its name says so: "not as the book".

import assert from 'node:assert/strict';
import {Buffer} from 'node:buffer';
import {once} from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import {test} from 'node:test';
import {WebSocketServer} from 'ws';
import {atEnd, freePort, launch, program, run, say, start, within}
    from './program.mjs';
import {terminal} from './terminal.mjs';

// ---- the server -------------------------------------------------------------

const handshake = ({line = 'GET / HTTP/1.1', ...more} = {}) => {
    const headers = {
        'Host': 'localhost:8080', 'Upgrade': 'websocket',
        'Connection': 'Upgrade', 'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...more};
    return [line, ...Object.entries(headers)
        .filter(([, value]) => value !== undefined)
        .map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
};
const agreed = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n' +
    'Connection: Upgrade\r\n' +
    'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';

// A masked frame. FIRST is its first byte; all else is as it should be unless
// told otherwise.
function frame(first, payload = '', {
    length = Buffer.byteLength(payload), long = length > 125, bits = 0x80,
    mask = [1, 2, 3, 4]} = {}) {
    const masked = Buffer.from(payload).map(
        (byte, i) => bits ? byte ^ mask[i % 4] : byte);
    let head = Buffer.from([first, bits | length]);
    if (long) {
        head = Buffer.alloc(length > 65535 ? 10 : 4);
        head[0] = first;
        head[1] = bits | (length > 65535 ? 127 : 126);
        if (length > 65535) head.writeBigUInt64BE(BigInt(length), 2);
        else head.writeUInt16BE(length, 2);
    }
    return Buffer.concat([head, Buffer.from(bits ? mask : []), masked]);
}
const text = (payload, more) => frame(0x81, payload, more);
const close = (code, reason = '') => frame(0x88, Buffer.concat([
    Buffer.from([code >> 8, code & 0xFF]), Buffer.from(reason)]));

// What the server sends, as text of a byte a character.
const closed = code =>
    '\x88\x02' + String.fromCharCode(code >> 8, code & 0xFF);
const websockets = '\x81\x0BWebsockets!';

test('websocket-app: handshakes', async t => {
    const server = await start(t, 'websocket-app');
    const bye = frame(0x88);
    const rows = [ // what is changed in the request; what comes back
        ['as the book', {}, agreed + '\x88\0'],
        ['any path', {line: 'GET /any?x HTTP/1.1'}, agreed + '\x88\0'],
        ['Connection: keep-alive, Upgrade',
         {Connection: 'keep-alive, Upgrade'}, agreed + '\x88\0'],
        ['Upgrade: WebSocket', {Upgrade: 'WebSocket'}, agreed + '\x88\0'],
        ['unknown extensions', {'Sec-WebSocket-Extensions': 'x-y; z=1'},
         agreed + '\x88\0'],
        ['no compression: not as the book',
         {'Sec-WebSocket-Extensions': 'permessage-deflate'},
         agreed + '\x88\0'],
        ['no subprotocol: not as the book',
         {'Sec-WebSocket-Protocol': 'chat, superchat'}, agreed + '\x88\0'],
        ['no key', {'Sec-WebSocket-Key': undefined}, /^HTTP\/1.1 400 /],
        ['a short key: not as the book', {'Sec-WebSocket-Key': 'aGVsbG8='},
         /^HTTP\/1.1 400 /],
        ['garbage for a key: not as the book',
         {'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25j****'},
         /^HTTP\/1.1 400 /],
        ...[undefined, '8', '12', '99'].map(version => [
            `version ${version}: not as the book`,
            {'Sec-WebSocket-Version': version},
            /^HTTP\/1.1 426 [^]*\r\nSec-WebSocket-Version: 13\r\n/]),
        ['POST: not as the book', {line: 'POST / HTTP/1.1'},
         /^HTTP\/1.1 405 /],
        ['HTTP/1.0: not as the book', {line: 'GET / HTTP/1.0'},
         /^HTTP\/1.1 400 /],
        ['no Host: not as the book', {Host: undefined}, /^HTTP\/1.1 400 /],
        ['Upgrade: h2c', {Upgrade: 'h2c'}, /^HTTP\/1.1 400 /],
        ['no Connection: Upgrade: not as the book', {Connection: 'close'},
         /^HTTP\/1.1 400 /],
        ['another site: not as the book', {Origin: 'http://example.com'},
         /^HTTP\/1.1 403 /],
        ['our own site', {Origin: 'http://localhost:8080'},
         agreed + '\x88\0'],
    ];
    for (const [what, changes, expected] of rows)
        await t.test(what, async t => {
            const came = await say(
                t, server, Buffer.concat([
                    Buffer.from(handshake(changes)),
                    typeof expected === 'string' ? bye : Buffer.alloc(0)]),
                {encoding: 'latin1', end: typeof expected !== 'string'});
            if (typeof expected === 'string') assert.equal(came, expected);
            else assert.match(came, expected);
        });
    const page = fs.readFileSync(
        path.join(server.root, 'public/index.html'), 'utf8');
    for (const lines of ['GET / HTTP/1.1', 'GET /any?x HTTP/1.1',
                         'GET / HTTP/1.1\r\nUpgrade: h2c'])
        await t.test(`${lines.slice(0, 30)}: the page`, async t => {
            const came = await say(t, server,
                `${lines}\r\nHost: x\r\nConnection: close\r\n\r\n`);
            assert.match(came, /^HTTP\/1.1 200 OK\r\n/);
            assert.match(came, /\r\nContent-Type: text\/html/);
            assert.ok(came.endsWith('\r\n\r\n' + page));
        });
});

test('websocket-app: messages', async t => {
    const server = await start(t, 'websocket-app');
    const long = n => 'x'.repeat(n);
    const cut = n => `${long(10000)}... ${n - 10000} more bytes`;
    const rows = [ // what is sent; what comes back; what is printed
        ['Hello', [text('Hello')], websockets, ['Hello']],
        ...['hello', 'Hello ', '', 'ünï😀'].map(each => [
            `"${each}"`, [text(each)], '', [each]]),
        ['Hello, binary: not as the book', [frame(0x82, 'Hello')], '',
         ['(binary, 5 bytes)']],
        ...[125, 126].map(n => [`${n} bytes`, [text(long(n))], '', [long(n)]]),
        ...[65535, 65536, 1 << 20].map(n => [
            `${n} bytes`, [text(long(n))], '', [cut(n)]]),
        ['ESC and a line end: not as the book', [text('a\n\x1B[31m')], '',
         ['a\\x0A\\x1B[31m']],
        ['two fragments', [frame(0x01, 'Hel'), frame(0x80, 'lo')], websockets,
         ['Hello']],
        ['fragments of a byte', [frame(0x01, 'H'), ...'ell'.split('').map(
            each => frame(0x00, each)), frame(0x80, 'o')], websockets,
         ['Hello']],
        ['empty first and last fragments', [frame(0x01), frame(0x00, 'Hello'),
                                            frame(0x80)], websockets,
         ['Hello']],
        ['a ping between fragments', [frame(0x01, 'Hel'), frame(0x89, 'p'),
                                      frame(0x80, 'lo')],
         `\x8A\x01p${websockets}`, ['Hello']],
        ['two at once', [text('Hello'), text('Hello')],
         websockets + websockets, ['Hello', 'Hello']],
        ['ping of nothing', [frame(0x89)], '\x8A\0', []],
        ['ping of 125', [frame(0x89, long(125))], `\x8A\x7D${long(125)}`, []],
        ['a pong that nobody asked for', [frame(0x8A, 'x')], '', []],
    ];
    for (const [what, frames, answer, messages] of rows)
        await t.test(what, async t => {
            assert.equal(await say(t, server, Buffer.concat([
                Buffer.from(handshake()), ...frames, close(1000)]),
                {encoding: 'latin1'}), agreed + answer + closed(1000));
            for (const message of messages) {
                assert.equal(await server.next(), `Received: ${message}`);
                assert.equal(await server.next(), 'From IP: 127.0.0.1');
            }
        });
    await t.test('::1', async t => {
        const six = await start(t, 'websocket-app', [], {HOST: '::1'});
        await say(t, six, Buffer.concat([Buffer.from(handshake()),
                                         text('x'), close(1000)]));
        assert.equal(await six.next(), 'Received: x');
        assert.equal(await six.next(), 'From IP: ::1');
    });
});

test('websocket-app: how it ends, and that the server does not', async t => {
    const server = await start(t, 'websocket-app');
    const big = (first, n, bits) => Buffer.concat([
        Buffer.from([first, 0xFF]), Buffer.from(bits ??
            n.toString(16).padStart(16, '0'), 'hex'), Buffer.alloc(4)]);
    const rows = [ // what is sent; what comes back
        ...[1000, 1001, 1002, 1003, 1007, 1010, 1011, 3000, 4000, 4999].map(
            code => [`close ${code}`, [close(code)], closed(code)]),
        ['text after a close', [close(1000), text('Hello')], closed(1000)],
        ['no reason comes back: not as the book', [close(4000, 'enough')],
         closed(4000)],
        ['an empty close comes back: not as the book', [frame(0x88)],
         '\x88\0'],
    ];
    const wrong = [ // and the code that the server closes with, and says why
        ['a close with a reason that is not UTF-8',
         [close(1000, Buffer.from([0xFF]))], 1007],
        ['text without a mask', [text('Hello', {bits: 0})], 1002],
        ...[[0xFF], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xE4, 0xBD]].map(
            bytes => [`text of ${Buffer.from(bytes).toString('hex')}`,
                      [text(Buffer.from(bytes))], 1007]),
        ...[0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000,
            65535].map(code => [`close ${code}`, [close(code)], 1002]),
        ['a close of one byte', [frame(0x88, '\x03')], 1002],
        ['RSV1', [frame(0xC1, 'x')], 1002],
        ['RSV2', [frame(0xA1, 'x')], 1002],
        ['RSV3', [frame(0x91, 'x')], 1002],
        ['opcode 3', [frame(0x83, 'x')], 1002],
        ['opcode 11', [frame(0x8B)], 1002],
        ['a ping of 126', [frame(0x89, 'x'.repeat(126))], 1002],
        ['a close of 126', [frame(0x88, 'x'.repeat(126))], 1002],
        ['a ping in fragments', [frame(0x09, 'x')], 1002],
        ['a continuation of nothing', [frame(0x80, 'x')], 1002],
        ['a text within a text', [frame(0x01, 'x'), text('y')], 1002],
        ['HTTP after the handshake', [Buffer.from(handshake())],
         1002],
        ['a length not in its shortest form', [text('x', {long: true})],
         1002],
        ['200 MiB', [big(0x81, 200 << 20)], 1009],
        ['2^53 bytes', [big(0x81, 2 ** 53)], 1009],
        ['2^63 bytes', [big(0x81, 0, '8000000000000000')], 1002],
    ];
    const after = async (t, frames) => {
        const came = await say(t, server, Buffer.concat([
            Buffer.from(handshake()), ...frames]), {encoding: 'latin1'});
        assert.equal(came.slice(0, agreed.length), agreed);
        return came.slice(agreed.length);
    };
    for (const [what, frames, answer] of rows)
        await t.test(what, async t =>
            assert.equal(await after(t, frames), answer));
    for (const [what, frames, code] of wrong)
        await t.test(`${what}: not as the book`, async t => {
            const came = Buffer.from(await after(t, frames), 'latin1');
            assert.equal(came[0], 0x88);
            assert.equal(came[1], came.length - 2); // nothing follows
            assert.equal(came.readUInt16BE(2), code);
        });
    for (const [what, bytes] of [['after the handshake', Buffer.alloc(0)],
                                 ['in a frame', text('Hello').subarray(0, 4)]])
        await t.test(`the client just leaves ${what}`, async t =>
            assert.equal(await say(t, server, Buffer.concat([
                Buffer.from(handshake()), bytes]),
                {encoding: 'latin1', end: true}), agreed));
    await t.test('SIGINT: 1001 to each; not as the book', async t => {
        const stopping = await start(t, 'websocket-app', [],
                                     {GRACE_MS: '300'});
        const saying = say(t, stopping, Buffer.concat([
            Buffer.from(handshake()), text('x')]), {encoding: 'latin1'});
        await stopping.line('Received: x');
        assert.equal(await stopping.stop('SIGINT'), 0);
        assert.equal(await saying, agreed + closed(1001));
    });
    assert.equal(server.status, null);
});

// ---- the client -------------------------------------------------------------

// A server to talk to: .url, .requests, .received(n) (a promise of the next n
// messages), .closed (of the first close: [code, reason]); met(socket) is
// called for each client.
async function peer(t, met = () => {}, options = {}) {
    const server = new WebSocketServer({
        port: 0, host: '127.0.0.1', clientTracking: true, ...options});
    await once(server, 'listening');
    atEnd(t, () => {
        for (const client of server.clients) client.terminate();
        server.close();
    });
    const messages = [];
    server.requests = [];
    server.received = n => within((async () => {
        while (messages.length < n) await once(server, 'received');
        return messages.splice(0, n);
    })(), `${n} messages`);
    server.url = `ws://127.0.0.1:${server.address().port}`;
    server.closed = new Promise(resolve => {
        server.on('connection', (socket, request) => {
            server.requests.push(request);
            socket.on('message', message => {
                messages.push(String(message));
                server.emit('received');
            });
            socket.on('close', (code, reason) =>
                resolve([code, String(reason)]));
            met(socket);
        });
    });
    return server;
}

const connected = '-- Connected --\n\n';
const sent = (line, ...received) => [
    `-> ${line}\n<= ${line}\n`, ...received.map(each => `=> ${each}\n`), '\n']
    .join('');

test('websocket-client: the screens of the book', async t => {
    const server = await start(t, 'websocket-app');
    const client = await terminal(t, 'websocket-client',
                                  [server.url.replace('http', 'ws')]);
    let screen = connected;
    await client.screen(screen + '->');
    await client.type('Hello');
    await client.key('Enter');
    screen += sent('Hello', 'Websockets!'); // not as the book: >= Websockets!
    await client.screen(screen + '->');
    await client.type('nothing');
    await client.key('Enter');
    screen += sent('nothing');
    await client.screen(screen + '->');
    await client.type('half');
    await client.screen(screen + '-> half');
    assert.equal(await server.stop(), 0);
    await client.screen(screen + '-- Disconnected -- (1001)\n\nexit 0');
});

test('websocket-client: a message while a line is typed', async t => {
    const server = await peer(t);
    const client = await terminal(t, 'websocket-client', [server.url]);
    await client.screen(connected + '->');
    await client.type('abc');
    await client.screen(connected + '-> abc');
    for (const socket of server.clients) socket.send('news');
    const news = '-- Connected --\n=> news\n\n'; // in the empty row
    await client.screen(news + '-> abc');
    await client.type('def');
    await client.key('Enter');
    await client.screen(news + sent('abcdef') + '->');
    assert.deepEqual(await server.received(1), ['abcdef']);
});

test('websocket-client: colours, errors, and how it ends', async t => {
    const gray = '\x1B[90m', red = '\x1B[31m', plain = '\x1B[39m';
    const refused = `ws://127.0.0.1:${await freePort()}`;
    await t.test('gray and red', async t => {
        const server = await start(t, 'websocket-app');
        const client = await terminal(t, 'websocket-client',
                                      [server.url.replace('http', 'ws')]);
        await client.screen(connected + '->');
        await client.type('Hello');
        await client.key('Enter');
        await client.colours(`${gray}-- Connected --\n\n${plain}-> Hello\n` +
                             `${gray}<= Hello\n=> Websockets!\n\n${plain}->`);
        const none = await terminal(t, 'websocket-client', [refused]);
        await none.colours(
            `${red}-- Error --\n${refused}: Connection refused\n` +
            `${gray}-- Disconnected --\n\n${plain}exit 1`); // the book: 0
    });
    await t.test('NO_COLOR', async t => {
        const client = await terminal(t, 'websocket-client', [refused],
                                      {NO_COLOR: '1'});
        await client.colours(`-- Error --\n${refused}: Connection refused\n` +
                             '-- Disconnected --\n\nexit 1');
    });
    for (const [key, status, code] of [['C-d', 0, 1000], ['C-c', 130, 1001]])
        await t.test(`${key}: not as the book`, async t => {
            const server = await peer(t);
            const client = await terminal(t, 'websocket-client', [server.url]);
            await client.screen(connected + '->');
            await client.key(key);
            assert.deepEqual(await within(server.closed, 'close'), [code, '']);
            const end =
                `${connected}-- Disconnected --\n\nexit ${status}`;
            await client.screen(end);
            await client.type('the terminal is as it was');
            await client.screen(`${end}\nthe terminal is as it was`);
        });
    await t.test('the server\'s reason is told: not as the book', async t => {
        const server = await peer(t, socket => socket.close(1008, 'policy'));
        const client = await terminal(t, 'websocket-client', [server.url]);
        await client.screen(connected + '-- Disconnected -- ' +
                            '(1008: policy)\n\nexit 0');
    });
});

test('websocket-client: what is typed, and what comes', async t => {
    const server = await peer(t);
    const client = await terminal(t, 'websocket-client', [server.url]);
    await client.screen(connected + '->');
    const [socket] = server.clients;
    const clear = async () => { // what is left is an empty row and the prompt
        await client.key('C-l');
        await client.screen('\n->');
    };
    await t.test('three lines at once', async t => {
        await client.type('one\rtwo\rthree\r');
        await client.screen(connected + sent('one') + sent('two') +
                            sent('three') + '->');
        assert.deepEqual(await server.received(3), ['one', 'two', 'three']);
        await clear();
    });
    await t.test('up, backspace, and an empty line', async t => {
        await client.key('Up', 'Up', 'BSpace', 'Enter', 'Enter');
        await client.screen(`\n${sent('tw')}->\n<=\n\n->`);
        assert.deepEqual(await server.received(2), ['tw', '']);
        await clear();
    });
    await t.test('a ping is answered, and not shown', async t => {
        socket.ping('x');
        const [data] = await within(once(socket, 'pong'), 'pong');
        assert.equal(String(data), 'x');
        socket.send('after');
        await client.screen('=> after\n\n->');
        await clear();
    });
    await t.test('fragments are one message', async t => {
        socket.send('Hel', {fin: false});
        socket.send('lo', {fin: true});
        await client.screen('=> Hello\n\n->');
        await clear();
    });
    await t.test('none drives the terminal: not as the book', async t => {
        socket.send('a\n\x1B[31mred\x07');
        await client.screen('=> a\\x0A\\x1B[31mred\\x07\n\n->');
        await clear();
    });
    await t.test('binary is told as such: not as the book', async t => {
        socket.send(Buffer.from([0, 0xFF, 0x10]));
        await client.screen('=> (binary, 3 bytes) 00 FF 10\n\n->');
        await clear();
    });
    await t.test('a line longer than the row: not as the book', async t => {
        const long = 'x'.repeat(90);
        await client.type(long);
        await client.screen(/^\n-> x{20,}$/);
        socket.send('second');
        await client.screen(/^=> second\n\n-> x{20,}$/);
        await client.key('Enter');
        await client.screen(
            /^=> second\n\n-> x{20,}\n<= x{57}\nx{33}\n\n->$/);
        assert.deepEqual(await server.received(1), [long]);
    });
});

test('websocket-client: its handshake', async t => {
    const keys = [];
    for (let i = 0; i < 2; i++) {
        const server = await peer(t);
        const got = await run(t, program('websocket-client'),
                              [server.url + '/a/b?c=d']);
        assert.deepEqual(got, {status: 0, stdout: '', stderr: ''});
        const [{url, method, httpVersion, headers}] = server.requests;
        assert.deepEqual([url, method, httpVersion],
                         ['/a/b?c=d', 'GET', '1.1']);
        const {'sec-websocket-key': key, ...others} = headers;
        assert.deepEqual(others, {
            'host': server.url.slice(5), 'upgrade': 'websocket',
            'connection': 'Upgrade', 'sec-websocket-version': '13'});
        assert.equal(Buffer.from(key, 'base64').length, 16);
        keys.push(key);
    }
    assert.notEqual(keys[0], keys[1]);
    // The book's begins with "13-" and the time.
    assert.ok(keys.every(key => !/^13-/.test(Buffer.from(key, 'base64'))));
});

test('websocket-client: a line before it is connected', async t => {
    let allow;
    const asked = new Promise(resolve => {
        allow = (info, answer) => resolve(answer);
    });
    const server = await peer(t, undefined, {verifyClient: (info, answer) =>
        allow(info, answer)});
    const client = await terminal(t, 'websocket-client', [server.url]);
    const answer = await within(asked, 'handshake');
    await client.type('early');
    await client.key('Enter');
    answer(true);
    await client.screen(connected + sent('early') + '->');
    assert.deepEqual(await server.received(1), ['early']); // not the book's
});

test('websocket-client: answers that are none: not as the book', async t => {
    const rows = [
        ['200', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', /200/],
        ['302', 'HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n', /302/],
        ['garbage', 'hello\r\n\r\n', /./],
        ['a wrong Sec-WebSocket-Accept', agreed, /Accept/],
        ['nothing', '', /closed before it answered/],
    ];
    for (const [what, bytes, error] of rows)
        await t.test(what, async t => {
            const server = net.createServer(socket => {
                socket.on('error', () => {});
                socket.once('data', () => socket.end(bytes));
            }).listen(0, '127.0.0.1');
            await once(server, 'listening');
            atEnd(t, () => server.close());
            const got = await run(t, program('websocket-client'), [
                `ws://127.0.0.1:${server.address().port}`], {input: 'x\n'});
            assert.deepEqual([got.status, got.stdout], [1, '']);
            assert.match(got.stderr, error);
            assert.match(got.stderr, /^[^\n]*\n$/);
        });
    for (const url of ['http://localhost:1', 'foo', 'localhost:8080',
                       'wss://localhost:1'])
        await t.test(url, async t => {
            const got = await run(t, program('websocket-client'), [url]);
            assert.deepEqual([got.status, got.stdout], [2, '']);
            assert.match(got.stderr, /^[^\n]*\n$/);
        });
});

test('websocket-client: a pipe is a pipe: not as the book', async t => {
    const server = await start(t, 'websocket-app');
    const url = server.url.replace('http', 'ws');
    for (const [what, input, stdout] of [
        ['lines', 'Hello\nnothing\nHello\n', 'Websockets!\nWebsockets!\n'],
        ['a last line without its end', 'Hello', 'Websockets!\n'],
        ['nothing', '', '']])
        await t.test(what, async t =>
            assert.deepEqual(
                await run(t, program('websocket-client'), [url], {input}),
                {status: 0, stdout, stderr: ''}));
    await t.test('whose reader has gone', async t => {
        const client = launch(t, program('websocket-client'), [url]);
        client.child.stdout.destroy();
        client.stdin.end('Hello\n');
        assert.deepEqual(await client.wait(), {status: 1, signal: null});
        assert.equal(client.stderr, '');
    });
});
