// book-websocket.test.mjs -- what the book's WebSocket server and client were
// seen to do, as facts about ours. Where the book's program is wrong or unsafe,
// the row says what is right, and its name says so: "not as the book".

import assert from 'node:assert/strict';
import {Buffer} from 'node:buffer';
import fs from 'node:fs';
import path from 'node:path';
import {test} from 'node:test';
import {say, start} from './program.mjs';

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
        const stopping = await start(t, 'websocket-app');
        const saying = say(t, stopping, Buffer.concat([
            Buffer.from(handshake()), text('x')]), {encoding: 'latin1'});
        await stopping.line('Received: x');
        assert.equal(await stopping.stop('SIGINT'), 0);
        assert.equal(await saying, agreed + closed(1001));
    });
    assert.equal(server.status, null);
});
