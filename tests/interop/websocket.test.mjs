// websocket.test.mjs -- WebSocket clients and servers that others wrote, with
// our two programs: npm's ws, Node's own undici, Debian's python3-websockets.

import assert from 'node:assert/strict';
import {on, once} from 'node:events';
import path from 'node:path';
import {test} from 'node:test';
import {WebSocket as Undici} from 'undici';
import {WebSocket, WebSocketServer} from 'ws';
import {TOP, atEnd, folder, launch, program, run, start, within}
    from './program.mjs';

const MiB = 1 << 20;
const SIZES = [0, 1, 125, 126, 65535, 65536, MiB, 16 * MiB];
// What a peer may say in a Close frame: RFC 6455, 7.4, and what IANA added.
const CODES = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012,
               1013, 1014, 3000, 4999];

// ---- npm's ws, either side --------------------------------------------------

// .next(): the next message, text as a string; .closed: [code, reason].
function watch(t, socket) {
    const messages = on(socket, 'message', {close: ['close']});
    const closed = once(socket, 'close')
        .then(([code, reason]) => [code, reason.toString()]);
    closed.catch(() => {}); // an error that nobody waits for is no news
    atEnd(t, () => socket.terminate());
    return Object.assign(socket, {
        next: async () => {
            const {value, done} = await within(messages.next(), 'message');
            assert.ok(!done, 'the connection ended before the message');
            const [data, isBinary] = value;
            return isBinary ? data : data.toString();
        },
        end: () => within(closed, 'close'),
    });
}

function client(t, server, ...args) {
    return watch(t, new WebSocket(server.url.replace('http:', 'ws:'), ...args));
}

async function connected(t, server, ...args) {
    const socket = client(t, server, ...args);
    await within(once(socket, 'open'), 'open');
    return socket;
}

// Text or bytes, perhaps many: where they differ, not the whole of both.
function same(got, expected) {
    const [a, b] = [Buffer.from(got), Buffer.from(expected)];
    let at = 0;
    assert.equal(typeof got, typeof expected);
    if (a.equals(b)) return;
    while (at < a.length && a[at] === b[at]) at++;
    assert.fail(`${a.length} bytes instead of ${b.length}; at ${at}: ` +
                `${a.subarray(at, at + 40)} instead of ` +
                `${b.subarray(at, at + 40)}`);
}

async function echoed(socket, message) {
    socket.send(message);
    same(await socket.next(), message);
}

async function refused(t, server, status, ...args) {
    const socket = client(t, server, ...args);
    const [, response] = await within(once(socket, 'unexpected-response'),
                                      'refusal');
    response.resume();
    assert.equal(response.statusCode, status);
    return response;
}

test('ws: the book\'s Hello', async t => {
    const server = await start(t, 'websocket-app');
    const socket = await connected(t, server);
    socket.send('nothing');
    socket.send(Buffer.from([1, 2, 3]));
    socket.send('Hello');
    assert.equal(await socket.next(), 'Websockets!');
    await server.line('Received: Hello');
    assert.deepEqual(server.stdout.split('\n').slice(1), [
        'Received: nothing', 'From IP: 127.0.0.1',
        'Received: (binary, 3 bytes)', 'From IP: 127.0.0.1',
        'Received: Hello', 'From IP: 127.0.0.1', '']);
});

test('ws: text and binary of every size, to the byte', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const socket = await connected(t, server);
    for (const size of SIZES) {
        await echoed(socket, 'a'.repeat(size));
        await echoed(socket, Buffer.alloc(size, 0xff));
    }
    await echoed(socket, 'κόσμε \u{10FFFF}');
    socket.send(Buffer.alloc(16 * MiB + 1));
    assert.deepEqual(await socket.end(), [1009, '']);
});

test('ws: fragments, with pings between', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const socket = await connected(t, server);
    const bytes = Buffer.from('κόσμε'.repeat(1000));
    const pongs = on(socket, 'pong');
    for (let at = 0; at < bytes.length; at += 7) { // within characters, too
        socket.send(bytes.subarray(at, at + 7),
                    {binary: false, fin: at + 7 >= bytes.length});
        socket.ping(String(at));
    }
    assert.equal(await socket.next(), bytes.toString());
    for (let at = 0; at < bytes.length; at += 7) {
        const {value: [payload]} = await within(pongs.next(), 'pong');
        assert.equal(payload.toString(), String(at));
    }
    socket.send('too ', {fin: false});
    socket.send(Buffer.alloc(16 * MiB - 3), {fin: true});
    assert.deepEqual(await socket.end(), [1009, '']);
});

test('ws: who answers pings stays, who does not is dropped', async t => {
    const server = await start(t, 'websocket-app', ['-e'], {IDLE_MS: '200'});
    const stays = await connected(t, server);
    const pings = on(stays, 'ping');
    const dropped = await connected(t, server, {autoPong: false});
    assert.deepEqual(await dropped.end(), [1006, '']);
    await within(pings.next(), 'ping');
    await within(pings.next(), 'second ping');
    await echoed(stays, 'still here');
});

test('ws: our answer to a Close is its code', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    for (const code of CODES) {
        const socket = await connected(t, server);
        socket.close(code, 'reason ✓');
        assert.deepEqual(await socket.end(), [code, '']);
    }
    const socket = await connected(t, server);
    socket.close();
    assert.deepEqual(await socket.end(), [1005, '']); // ws: there was no code
});

test('ws: a server that stops says 1001', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const sockets = await Promise.all(
        Array.from({length: 20}, () => connected(t, server)));
    const status = server.stop();
    for (const socket of sockets)
        assert.deepEqual(await socket.end(), [1001, '']);
    assert.equal(await status, 0);
});

test('ws: text that is not UTF-8 is 1007', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    for (const bytes of [[0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80],
                         [0xf4, 0x90, 0x80, 0x80], [0xce]]) {
        const socket = await connected(t, server);
        socket.send(Buffer.from(bytes), {binary: false});
        assert.deepEqual(await socket.end(), [1007, '']);
    }
});

test('ws: compression is offered and declined', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const socket = await connected(t, server, {perMessageDeflate: true});
    assert.equal(socket.extensions, '');
    await echoed(socket, 'a'.repeat(MiB));
});

test('ws: no subprotocol is selected, which ws minds', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const socket = client(t, server, ['chat', 'superchat']);
    const [error] = await within(once(socket, 'error'), 'error');
    assert.equal(error.message, 'Server sent no subprotocol');
});

test('ws: pages of other origins stay outside', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const closed = await start(t, 'websocket-app', ['-e'], {ORIGIN: '*'});
    for (const origin of ['http://elsewhere.example', 'null',
                          `http://localhost:${server.port}`,
                          `http://127.0.0.1:${server.port}0`]) {
        await refused(t, server, 403, {origin});
        await echoed(await connected(t, closed, {origin}), 'open to all');
    }
    await echoed(await connected(t, server, {origin: server.url}), 'same');
});

test('ws: an older version is refused, and ours named', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const response = await refused(t, server, 426, {protocolVersion: 8});
    assert.equal(response.headers['sec-websocket-version'], '13');
});

test('ws: 500 clients at once', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const sockets = await Promise.all(
        Array.from({length: 500}, () => connected(t, server)));
    await Promise.all(sockets.map(async (socket, i) => {
        for (let round = 0; round < 5; round++)
            await echoed(socket, `client ${i}, round ${round}`.repeat(50));
        socket.close(1000);
        assert.deepEqual(await socket.end(), [1000, '']);
    }));
});

// ---- undici, the WebSocket of Node itself -----------------------------------

async function undici(t, server, options) {
    const socket = new Undici(server.url.replace('http:', 'ws:'), options);
    socket.binaryType = 'arraybuffer';
    const messages = on(socket, 'message', {close: ['close']});
    const closed = once(socket, 'close').then(([event]) => event);
    atEnd(t, () => socket.close());
    await within(once(socket, 'open'), 'open');
    return Object.assign(socket, {
        next: async () => {
            const {value, done} = await within(messages.next(), 'message');
            assert.ok(!done, 'the connection ended before the message');
            const {data} = value[0];
            return typeof data === 'string' ? data : Buffer.from(data);
        },
        end: async () => {
            const {code, reason} = await within(closed, 'close');
            return [code, reason];
        },
    });
}

test('undici: messages and Close', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const socket = await undici(t, server);
    assert.equal(socket.extensions, ''); // it offers permessage-deflate
    for (const size of SIZES) {
        await echoed(socket, 'a'.repeat(size));
        await echoed(socket, Buffer.alloc(size, 0xff));
    }
    await echoed(socket, 'κόσμε');
    socket.close(3000, 'reason ✓');
    assert.deepEqual(await socket.end(), [3000, '']);

    const another = await undici(t, server);
    another.send(Buffer.alloc(16 * MiB + 1));
    assert.deepEqual(await another.end(), [1009, '']);
});

test('undici: it answers pings, and stays', async t => {
    const server = await start(t, 'websocket-app', ['-e'],
                               {IDLE_MS: '200', TRACE: '1'});
    const socket = await undici(t, server);
    await server.errorLine('S: \\x89\\x00\\');
    await server.errorLine('C: \\x8A\\x80');
    await echoed(socket, 'still here');
});

test('undici: no subprotocol is selected, which it minds', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const socket = new Undici(server.url.replace('http:', 'ws:'), ['chat']);
    await within(once(socket, 'error'), 'error');
});

test('undici: pages of other origins stay outside', async t => {
    const server = await start(t, 'websocket-app', ['-e'], {TRACE: '1'});
    const origin = 'http://elsewhere.example';
    const socket = new Undici(server.url.replace('http:', 'ws:'),
                              {headers: {origin}});
    await within(once(socket, 'error'), 'error');
    await server.errorLine('S: HTTP/1.1 403 ');
    await echoed(await undici(t, server, {headers: {origin: server.url}}),
                 'same');
});

test('undici: a server that stops says 1001', async t => {
    const server = await start(t, 'websocket-app');
    const socket = await undici(t, server);
    socket.send('Hello');
    assert.equal(await socket.next(), 'Websockets!');
    const status = server.stop();
    assert.deepEqual(await socket.end(), [1001, '']);
    assert.equal(await status, 0);
});

// ---- python3-websockets -----------------------------------------------------

const python = (...args) => ['/usr/bin/python3',
    [path.join(TOP, 'tests/interop/websockets_peer.py'), ...args]];

for (const name of ['messages', 'fragments', 'pings', 'closes', 'too_large',
                    'offers', 'origin', 'many'])
    test(`python3-websockets as client: ${name}`, async t => {
        const server = await start(t, 'websocket-app', ['-e']);
        const {status, stderr} = await run(t, ...python(
            'client', name, server.url.replace('http:', 'ws:')));
        assert.equal(status, 0, stderr);
    });

test('python3-websockets as client: a server that stops', async t => {
    const server = await start(t, 'websocket-app', ['-e']);
    const client = launch(t, ...python('client', 'stopped',
                                       server.url.replace('http:', 'ws:')));
    await client.line('open');
    assert.equal(await server.stop(), 0);
    assert.equal((await client.wait()).status, 0, client.stderr);
});

async function pythonServer(t, name) {
    const server = launch(t, ...python('server', name));
    server.url = 'ws://127.0.0.1:' +
                 (await server.line('port ')).split(' ')[1];
    return server;
}

test('websocket-client and python3-websockets: lines', async t => {
    const server = await pythonServer(t, 'echo');
    const us = ours(t, server);
    const lines = ['', 'Hello', 'κόσμε \u{10FFFF}', 'a'.repeat(MiB), 'last'];
    us.stdin.write(lines.join('\n') + '\n');
    await us.line('last'); // it sends nothing more after our Close
    us.stdin.end();
    assert.equal((await us.wait()).status, 0);
    same(us.stdout, lines.join('\n') + '\n');
    assert.equal(us.stderr, '');
    await server.line('closed 1000');
});

test('websocket-client and python3-websockets: its Close', async t => {
    const server = await pythonServer(t, 'close');
    const ours = launch(t, program('websocket-client'), [server.url]);
    assert.equal((await ours.wait()).status, 0);
    assert.equal(ours.stderr, `${server.url}: disconnected (4001: enough ✓)\n`);
    await server.line('closed 4001');
});

test('websocket-client -e and python3-websockets', async t => {
    const server = await pythonServer(t, 'questions');
    const ours = launch(t, program('websocket-client'), ['-e', server.url]);
    await server.line('all came back');
    await server.line('closed 1000');
    assert.equal((await ours.wait()).status, 0);
});

test('websocket-client and python3-websockets: too large', async t => {
    const server = await pythonServer(t, 'too_large');
    const ours = launch(t, program('websocket-client'), [server.url]);
    assert.equal((await ours.wait()).status, 1);
    await server.line('closed 1009');
    assert.match(ours.stderr, /: the server sends more than MAX_MESSAGE\n/);
});

// ---- websocket-client in a pipe, and ws as its server -----------------------

// .url, and .peer(): the next of those that connect.
async function listen(t, options = {}) {
    const server = new WebSocketServer({host: '127.0.0.1', port: 0,
                                        ...options});
    const peers = on(server, 'connection');
    server.on('connection', socket => watch(t, socket));
    await once(server, 'listening');
    atEnd(t, () => server.close());
    return {
        url: `ws://127.0.0.1:${server.address().port}`,
        peer: async () => {
            const {value} = await within(peers.next(), 'client');
            return value[0];
        },
    };
}

function ours(t, server, args = [], options = {}) {
    return launch(t, program('websocket-client'), [...args, server.url],
                  options);
}

test('websocket-client: lines are messages, both ways', async t => {
    const server = await listen(t);
    const us = ours(t, server);
    const peer = await server.peer();
    peer.send('you speak first');
    await us.line('you speak first');
    const lines = ['Hello', '', 'κόσμε \u{10FFFF}', 'a'.repeat(16 * MiB)];
    us.stdin.write(lines.join('\n') + '\n');
    for (const line of lines) same(await peer.next(), line);
    peer.send('in ', {fin: false});
    peer.send('two pieces');
    await us.line('in two pieces');
    us.stdin.end('the end needs no newline');
    assert.equal(await peer.next(), 'the end needs no newline');
    assert.deepEqual(await peer.end(), [1000, '']);
    assert.equal((await us.wait()).status, 0);
    assert.equal(us.stdout, 'you speak first\nin two pieces\n');
    assert.equal(us.stderr, '');
});

// The end of input comes with the lines; ws answers each as it reads it.
test('websocket-client: as a filter', async t => {
    const server = await listen(t);
    const input = Array.from({length: 10000}, (_, i) => `line ${i}\n`).join('');
    const us = ours(t, server);
    us.stdin.end(input);
    const peer = await server.peer();
    peer.on('message', data => peer.send(data, {binary: false}));
    assert.deepEqual(await peer.end(), [1000, '']);
    assert.equal((await us.wait()).status, 0);
    same(us.stdout, input);
});

test('websocket-client: binary messages, shown and raw', async t => {
    const bytes = Buffer.from(Array.from({length: 256}, (_, i) => i));
    const server = await listen(t);
    for (const [args, expected] of [
        [[], '=> (binary, 256 bytes) 00 01 02 03 04 05 06 07 08 09 0A 0B 0C ' +
             '0D 0E 0F ...\n'],
        [['-b'], bytes.toString('latin1')]]) {
        const us = ours(t, server, args, {encoding: 'latin1'});
        const peer = await server.peer();
        peer.send(bytes);
        peer.close(1000);
        assert.equal((await us.wait()).status, 0);
        assert.equal(us.stdout, expected);
    }
});

test('websocket-client -b: 16 MiB as they are', async t => {
    const server = await listen(t);
    const us = ours(t, server, ['-b'], {encoding: 'latin1'});
    const peer = await server.peer();
    const bytes = Buffer.alloc(16 * MiB, 'bytes\n\xff\0', 'latin1');
    peer.send(bytes);
    peer.close(1000);
    assert.equal((await us.wait()).status, 0);
    same(us.stdout, bytes.toString('latin1'));
});

test('websocket-client -e: every message comes back', async t => {
    const server = await listen(t);
    const us = ours(t, server, ['-e']);
    const peer = await server.peer();
    for (const size of SIZES) {
        await echoed(peer, 'a'.repeat(size));
        await echoed(peer, Buffer.alloc(size, 0xff));
    }
    await echoed(peer, 'κόσμε \u{10FFFF}');
    peer.send('many ', {fin: false});
    peer.ping('within');
    const [payload] = await within(once(peer, 'pong'), 'pong');
    assert.equal(payload.toString(), 'within');
    peer.send('pieces', {fin: true});
    assert.equal(await peer.next(), 'many pieces');
    peer.close(1000, 'thanks');
    assert.deepEqual(await peer.end(), [1000, '']);
    assert.equal((await us.wait()).status, 0);
});

test('websocket-client: a server that closes first', async t => {
    const server = await listen(t);
    for (const code of CODES) {
        const us = ours(t, server);
        const peer = await server.peer();
        peer.close(code, 'reason ✓');
        assert.deepEqual(await peer.end(), [code, '']);
        assert.equal((await us.wait()).status, 0);
        assert.equal(us.stdout, '');
        assert.equal(us.stderr, code <= 1001 ? '' :
            `${server.url}: disconnected (${code}: reason ✓)\n`);
    }
    const us = ours(t, server);
    (await server.peer()).terminate();
    assert.equal((await us.wait()).status, 1);
    assert.equal(us.stderr, `${server.url}: disconnected (1006: ` +
                            'the server closed without a Close frame)\n');
});

test('websocket-client: violations end with their code', async t => {
    const server = await listen(t);
    for (const [code, message, text] of [
        [1009, 'a'.repeat(16 * MiB + 1), 'the server sends more than ' +
                                         'MAX_MESSAGE'],
        [1007, Buffer.from([0xce]), 'the server sends text that is not ' +
                                    'UTF-8']]) {
        const us = ours(t, server);
        const peer = await server.peer();
        peer.on('error', () => {}); // we may leave while it still sends
        peer.send(message, {binary: false});
        assert.deepEqual(await peer.end(), [code, '']);
        assert.equal((await us.wait()).status, 1);
        assert.match(us.stderr, new RegExp(`: ${text}\n`));
    }
});

test('websocket-client: asks for no extension, names no origin', async t => {
    let request;
    const server = await listen(t, {
        perMessageDeflate: true,
        verifyClient: info => { request = info.req; return true; },
    });
    const us = ours(t, server);
    const peer = await server.peer();
    assert.equal(peer.extensions, '');
    assert.equal(peer.protocol, '');
    assert.equal(request.headers.origin, undefined);
    assert.equal(request.headers.host, server.url.slice('ws://'.length));
    peer.send('a'.repeat(MiB));
    peer.close(1000);
    assert.equal((await us.wait()).status, 0);
    same(us.stdout, 'a'.repeat(MiB) + '\n');
});

test('websocket-client: a server that refuses', async t => {
    const server = await listen(t, {
        path: '/chat',
        verifyClient: (info, tell) => tell(false, 401),
    });
    for (const [url, answer] of [[server.url, '400 Bad Request'],
                                 [server.url + '/chat', '401 Unauthorized']]) {
        const us = ours(t, {url});
        assert.equal((await us.wait()).status, 1);
        assert.match(us.stderr,
            new RegExp(`: unexpected server response: ${answer}\n`));
    }
});

test('websocket-client: 25 at once', async t => {
    const server = await listen(t);
    const all = Array.from({length: 25}, () => ours(t, server, ['-e']));
    const peers = await Promise.all(all.map(() => server.peer()));
    await Promise.all(peers.map((peer, i) => echoed(peer, `number ${i}`)));
    for (const peer of peers) peer.close(1000);
    for (const us of all) assert.equal((await us.wait()).status, 0);
});

// ---- websocket-client on a terminal -----------------------------------------

// script(1) gives it one; what is written to .stdin are keys.
function onTerminal(t, server, args = []) {
    const command = [program('websocket-client'), ...args, server.url];
    return launch(t, '/usr/bin/script', ['-qefc', command.join(' '),
                                         path.join(folder(t), 'screen')]);
}

test('websocket-client on a terminal: the book\'s screen', async t => {
    const server = await listen(t);
    const us = onTerminal(t, server);
    const peer = await server.peer();
    await us.line('-- Connected --');
    us.stdin.write('Hello κόσμε\r');
    assert.equal(await peer.next(), 'Hello κόσμε');
    await us.line('<= Hello κόσμε');
    peer.send('Websockets!');
    await us.line('=> Websockets!');
    peer.send('\x1b[2J');
    await us.line('=> \\x1B[2J');
    peer.send(Buffer.from([0, 255]));
    await us.line('=> (binary, 2 bytes) 00 FF');
    us.stdin.write('/ping are you there?\r');
    await us.line('=> (pong) are you there?');
    us.stdin.write('/close 4000 enough ✓\r');
    assert.deepEqual(await peer.end(), [4000, 'enough ✓']);
    await us.line('-- Disconnected -- (4000: enough ✓)');
    assert.equal((await us.wait()).status, 0);
});

test('websocket-client on a terminal: ^D, ^C and a lost server', async t => {
    const server = await listen(t);
    for (const [end, code, status, last] of [
        ['\x04', 1000, 0, '-- Disconnected --'],
        ['\x03', 1001, 130, '-- Disconnected --'],
        [peer => peer.close(1012, 'restart'), 1012, 0,
         '-- Disconnected -- (1012: restart)'],
        [peer => peer.terminate(), 1006, 1, '-- Disconnected -- (1006: ']]) {
        const us = onTerminal(t, server);
        const peer = await server.peer();
        await us.line('-- Connected --');
        if (typeof end === 'string')
            us.stdin.write(end);
        else
            end(peer);
        assert.equal((await peer.end())[0], code);
        await us.line(last);
        assert.equal((await us.wait()).status, status);
    }
});

test('websocket-client -e on a terminal', async t => {
    const server = await listen(t);
    const us = onTerminal(t, server, ['-e']);
    const peer = await server.peer();
    await echoed(peer, 'text');
    await us.line('<= text');
    await echoed(peer, Buffer.from([1]));
    await us.line('<= (binary, 1 bytes) 01');
    peer.close(1000);
    assert.equal((await us.wait()).status, 0);
});
