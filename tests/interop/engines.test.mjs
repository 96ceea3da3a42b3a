// engines.test.mjs -- our servers behind what others use to run many of them:
// HAProxy, nginx, and systemd's way to hand over a listening socket.

import assert from 'node:assert/strict';
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import {test} from 'node:test';
import nodemailer from 'nodemailer';
import {Agent, FormData, request} from 'undici';
import {WebSocket} from 'ws';
import {TOP, atEnd, folder, freePort, launch, listening, program, run, start,
        within} from './program.mjs';

const MiB = 1 << 20;
const CONFIG = path.join(TOP, 'tests/interop/haproxy.cfg');
const SERVERS = ['rest-server', 'post-form', 'file-upload', 'websocket-app',
                 'smtp-server'];

// ---- HAProxy ----------------------------------------------------------------

// .command() sends one to its stats socket, and returns the answer; .use() puts
// a server into one of its places; .figures() tells of such a place.
async function haproxy(t) {
    const [httpPort, smtpPort] = [await freePort(), await freePort()];
    const socket = path.join(folder(t), 'stats');
    const proxy = launch(t, '/usr/sbin/haproxy', ['-db', '-f', CONFIG],
        {env: {HTTP_PORT: httpPort, SMTP_PORT: smtpPort, STATS: socket}});
    await Promise.all([socket, httpPort, smtpPort].map(listening));
    const command = async line => {
        const peer = net.connect(socket);
        let answer = '';
        peer.setEncoding('utf8').on('data', text => { answer += text; });
        peer.end(line + '\n');
        await within(once(peer, 'close'), `answer to ${line}`);
        return answer.trim();
    };
    return Object.assign(proxy, {
        command, httpPort, smtpPort, url: `http://127.0.0.1:${httpPort}`,
        use: async (place, {address, port}) => {
            assert.match(await command(
                `set server ${place} addr ${address} port ${port}`), /changed/);
            assert.equal(await command(`enable server ${place}`), '');
        },
        figures: async place => {
            const [head, ...rows] = (await command('show stat')).slice(2)
                .split('\n').map(row => row.split(','));
            const row = rows.find(r => `${r[0]}/${r[1]}` === place);
            return Object.fromEntries(head.map((key, i) => [key, row[i]]));
        },
    });
}

// A request a turn from each of 16 clients that keep their connections, until
// .stop(), which tells {good, bad: []}. .more(n): when n more have been good.
function load(t, url) {
    const agent = new Agent({connections: 16, pipelining: 1});
    const told = {good: 0, bad: []};
    let running = true, wanted = Infinity, reached;
    const client = async () => {
        while (running) {
            try {
                const {statusCode, body} = await request(url,
                                                         {dispatcher: agent});
                const text = await body.text();
                if (statusCode === 200 && text.startsWith('{"data": '))
                    told.good++;
                else
                    told.bad.push(`${statusCode} ${text}`);
            } catch (error) {
                told.bad.push(error.message);
            }
            if (told.good >= wanted) reached();
        }
    };
    const clients = Array.from({length: 16}, client);
    const stop = async () => {
        running = false;
        await within(Promise.all(clients), 'end of the load');
        await agent.close();
        return told;
    };
    atEnd(t, () => { running = false; return agent.destroy(); });
    return {
        stop,
        more: n => within(new Promise(resolve => {
            wanted = told.good + n;
            reached = resolve;
        }), `${n} more answers`, () => told.bad.slice(0, 5).join('\n')),
    };
}

test('HAProxy: a server leaves and others come, under load', async t => {
    const proxy = await haproxy(t);
    const env = {PROXY: '1', DRAIN_MS: '3000'};
    const begin = async place => {
        const server = await start(t, 'rest-server', [], env);
        await proxy.use(place, server);
        return server;
    };
    const first = await begin('web/web1');
    await begin('web/web2');
    await begin('web/web3');
    const clients = load(t, proxy.url + '/users');
    await clients.more(1000);

    const left = first.stop(); // it says so, and goes on for DRAIN_MS
    await proxy.line('Server web/web1 is DOWN');
    await clients.more(1000);
    await begin('web/web4');
    await clients.more(1000);
    assert.equal(await left, 0);
    await clients.more(1000);
    await begin('web/web1'); // another one in the place of the first
    await proxy.line('Server web/web1 is UP, ');
    await clients.more(1000);

    const {good, bad} = await clients.stop();
    assert.deepEqual(bad, []);
    assert.ok(good >= 5000);
    for (let i = 1; i <= 4; i++) {
        const figures = await proxy.figures(`web/web${i}`);
        assert.equal(figures.status, 'UP');
        assert.ok(Number(figures.hrsp_2xx) > 0, `web${i} did nothing`);
        assert.deepEqual([figures.econ, figures.eresp, figures.wretr],
                         ['0', '0', '0']);
    }
});

test('HAProxy: one that is killed is left out', async t => {
    const proxy = await haproxy(t);
    const [killed, other] = [await start(t, 'rest-server', [], {PROXY: '1'}),
                             await start(t, 'rest-server', [], {PROXY: '1'})];
    await proxy.use('web/web1', killed);
    await proxy.use('web/web2', other);
    assert.equal(await killed.stop('SIGKILL'), null);
    await proxy.line('Server web/web1 is DOWN');
    for (let i = 0; i < 20; i++)
        assert.equal((await answer(proxy.url + '/users'))[0], 200);
});

test('HAProxy: option smtpchk before smtp-server', async t => {
    const proxy = await haproxy(t);
    const server = await start(t, 'smtp-server', [],
                               {PROXY: '1', TRACE: '1'});
    await proxy.use('mail/mail1', server);
    await server.errorLine('C: EHLO haproxy');
    await server.errorLine('C: QUIT');
    const {status, stderr} = await run(t, program('smtp-client'),
        ['-t', 'you@example.com', '127.0.0.1', proxy.smtpPort],
        {input: 'hello\n'});
    assert.equal(status, 0, stderr);
    const figures = await proxy.figures('mail/mail1');
    assert.deepEqual([figures.status, figures.check_status], ['UP', 'L7OK']);
    assert.equal(await server.stop(), 0);
    await proxy.line('Server mail/mail1 is DOWN');
});

// A client that hears 421 comes again, as mail programs do.
test('HAProxy: a mail server leaves, and each mail arrives once', async t => {
    const proxy = await haproxy(t);
    const env = {PROXY: '1'};
    const [first, second] = [await start(t, 'smtp-server', [], env),
                             await start(t, 'smtp-server', [], env)];
    await proxy.use('mail/mail1', first);
    await proxy.use('mail/mail2', second);
    const mails = Array.from({length: 200}, (_, i) => `number ${i}\r\n`);
    let again = 0, sent = 0;
    const send = async raw => {
        const transport = nodemailer.createTransport(
            {host: '127.0.0.1', port: proxy.smtpPort});
        const envelope = {from: 'me@me.com', to: ['you@example.com']};
        try {
            await transport.sendMail({envelope, raw});
        } catch (error) {
            if (++again > 50 || error.responseCode > 421) throw error;
            await send(raw);
            return;
        } finally {
            transport.close();
        }
        if (++sent === mails.length / 2) first.child.kill('SIGTERM');
    };
    const left = [...mails];
    const client = async () => {
        while (left.length > 0) await send(left.pop());
    };
    await within(Promise.all(Array.from({length: 8}, client)), 'end of all');
    t.diagnostic(`${again} mails were sent again`);
    assert.equal((await first.wait()).status, 0);
    const stored = [first, second].map(({root}) => {
        const of = path.join(root, 'mail/you');
        return fs.readdirSync(of).map(name =>
            fs.readFileSync(path.join(of, name), 'utf8').split(' \n\n')[1]);
    });
    assert.notEqual(stored[0].length, 0);
    assert.deepEqual(stored.flat().sort(), mails.sort());
});

// ---- WebSocket, Origin and uploads through either ---------------------------

// The lines that README tells nginx's users to write.
const NGINX = `\
proxy_pass http://localhost:8080;
proxy_http_version 1.1;
proxy_set_header Host $http_host;
proxy_set_header Upgrade $http_upgrade;
proxy_set_header Connection $connection_or_upgrade;
`;
const MAP =
    "map $http_upgrade $connection_or_upgrade { default upgrade; '' ''; }";

async function nginx(t, text) {
    const at = folder(t);
    const config = path.join(at, 'nginx.conf');
    fs.writeFileSync(config, `
        daemon off;
        master_process off;
        pid ${at}/pid;
        error_log stderr warn;
        load_module /usr/lib/nginx/modules/ngx_stream_module.so;
        events {}
        ${text(at)}`);
    return launch(t, '/usr/sbin/nginx', ['-e', 'stderr', '-p', at, '-c',
                                         config]);
}

// nginx before one of our HTTP servers, with LINES in its place.
async function reverse(t, {port}, lines = NGINX) {
    const own = await freePort();
    const proxy = await nginx(t, at => `
        http {
            access_log off;
            client_body_temp_path ${at}/body;
            proxy_temp_path ${at}/proxy;
            fastcgi_temp_path ${at}/fastcgi;
            uwsgi_temp_path ${at}/uwsgi;
            scgi_temp_path ${at}/scgi;
            client_max_body_size 0;
            ${MAP}
            upstream web { server 127.0.0.1:${port}; keepalive 4; }
            server {
                listen 127.0.0.1:${own};
                location / {
                    ${lines.replace('localhost:8080', 'web')}
                }
            }
        }`);
    await listening(own);
    return Object.assign(proxy, {port: own, host: `127.0.0.1:${own}`,
                                 url: `http://127.0.0.1:${own}`});
}

// The same by HAProxy.
async function balanced(t, server) {
    const proxy = await haproxy(t);
    await proxy.use('web/web1', server);
    return proxy;
}

async function opened(t, {url}, options) {
    const socket = new WebSocket(url.replace('http:', 'ws:'), options);
    atEnd(t, () => socket.terminate());
    await within(once(socket, 'open'), 'open');
    return socket;
}

async function answer(url, {headers = {}, ...options} = {}) {
    const {statusCode, body} = await request(url, {headers, ...options});
    return [statusCode, await body.text()];
}

for (const [name, before, env] of [['HAProxy', balanced, {PROXY: '1'}],
                                   ['nginx', reverse, {}]]) {
    test(`${name}: a WebSocket through it`, async t => {
        const server = await start(t, 'websocket-app', ['-e'], env);
        const proxy = await before(t, server);
        const socket = await opened(t, proxy, {origin: proxy.url});
        for (const message of ['Hello', '', 'a'.repeat(16 * MiB)]) {
            socket.send(message);
            const [data] = await within(once(socket, 'message'), 'message');
            assert.ok(data.toString() === message);
        }
        socket.ping('there?');
        const [payload] = await within(once(socket, 'pong'), 'pong');
        assert.equal(payload.toString(), 'there?');
        socket.close(4000, 'enough');
        assert.equal((await within(once(socket, 'close'), 'close'))[0], 4000);

        // All has arrived before the one byte too many: HAProxy resets clients
        // that go on sending to a server that has closed.
        const [big, last] = [await opened(t, proxy), await opened(t, proxy)];
        big.send(Buffer.alloc(16 * MiB), {fin: false});
        big.ping();
        await within(once(big, 'pong'), 'pong');
        big.send(Buffer.alloc(1));
        assert.equal((await within(once(big, 'close'), 'close'))[0], 1009);
        const status = server.stop();
        assert.equal((await within(once(last, 'close'), 'close'))[0], 1001);
        assert.equal(await status, 0);
    });

    test(`${name}: pages of other origins stay outside`, async t => {
        const server = await start(t, 'websocket-app', ['-e'], env);
        const proxy = await before(t, server);
        for (const origin of [server.url, 'http://elsewhere.example']) {
            const socket = new WebSocket(proxy.url.replace('http:', 'ws:'),
                                         {origin});
            const [, response] = await within(
                once(socket, 'unexpected-response'), 'refusal');
            assert.equal(response.statusCode, 403);
            response.destroy();
        }
        const form = await start(t, 'post-form', [], env);
        const second = await before(t, form);
        const post = origin => answer(second.url, {method: 'POST',
            headers: {origin, 'content-type': 'application/json'},
            body: '{"a":1}'});
        assert.deepEqual(await post(second.url), [200, '{"data": {"a":1}}']);
        assert.equal((await post(form.url))[0], 403);
        assert.equal((await post('http://elsewhere.example'))[0], 403);
    });

    test(`${name}: X-Forwarded-For is no proof of an address`, async t => {
        const server = await start(t, 'websocket-app', [], env);
        const proxy = await before(t, server);
        const socket = await opened(t, proxy, {headers: {
            'X-Forwarded-For': '192.0.2.1', 'X-Forwarded-Proto': 'https',
            'X-Forwarded-Host': 'elsewhere.example', 'X-Real-IP': '192.0.2.1',
            Forwarded: 'for=192.0.2.1;host=elsewhere.example'}});
        socket.send('Hello');
        await within(once(socket, 'message'), 'message');
        await server.line('From IP: 127.0.0.1');
        assert.doesNotMatch(server.stdout, /192\.0\.2\.1/);
    });

    test(`${name}: uploads, and one that is refused`, async t => {
        const server = await start(t, 'file-upload', [],
                                   {...env, MAX_FILE: String(4 * MiB)});
        const proxy = await before(t, server);
        await uploads(server, proxy);
    });

    test(`${name}: a connection to the server serves many`, async t => {
        const server = await start(t, 'rest-server', [],
                                   {...env, TRACE: '1'});
        const proxy = await before(t, server);
        for (let i = 0; i < 50; i++)
            assert.deepEqual(await answer(proxy.url + '/?' + i),
                             [404, '{"error": "Not Found"}']);
        await server.errorLine('C: GET /?49 ');
        const checks = server.stderr.match(/^C: GET \/healthz /mg) ?? [];
        const closed = server.stderr.match(/^---$/mg) ?? [];
        assert.ok(closed.length <= checks.length); // else it was not kept
    });
}

async function uploads(server, proxy) {
    const bytes = randomBytes(20e6);
    const form = new FormData();
    form.append('userinput1', 'κόσμε');
    form.append('userfile1', new Blob([bytes]), 'bytes.bin');
    form.append('userfile2', new Blob(['small']), 'small.txt');
    assert.deepEqual(await answer(proxy.url, {method: 'POST', body: form}),
        [200, 'processed "userinput1" input.\nbytes.bin successfully saved!\n' +
              'small.txt successfully saved!\nAll files processed!']);

    const put = (size, more = {}) => answer(proxy.url, {method: 'PUT',
        headers: {'x-field': 'put', 'x-filename': 'put.bin', ...more},
        body: bytes.subarray(0, size)});
    assert.equal((await put(4 * MiB))[0], 200);
    assert.equal((await put(4 * MiB + 1))[0], 413);
    assert.equal((await put(1, {origin: 'http://elsewhere.example'}))[0], 403);

    const of = path.join(server.root, 'uploads');
    const names = fs.readdirSync(of).filter(name => name !== '.lock').sort();
    const hash = data => createHash('sha256').update(data).digest('hex');
    const saved = names.map(name => [name.replace(/-\d+-/, ' '),
        hash(fs.readFileSync(path.join(of, name)))]);
    assert.deepEqual(saved, [['put put.bin', hash(bytes.subarray(0, 4 * MiB))],
                             ['userfile1 bytes.bin', hash(bytes)],
                             ['userfile2 small.txt', hash('small')]]);
}

test('nginx: uploads that it does not hold back', async t => {
    const server = await start(t, 'file-upload', [],
                               {MAX_FILE: String(4 * MiB)});
    const proxy = await reverse(t, server,
                                NGINX + 'proxy_request_buffering off;');
    await uploads(server, proxy);

    // The first bytes are at the server before the last are at nginx.
    const sending = http.request(proxy.url + '/slow.txt', {method: 'PUT'});
    sending.write('first ');
    const of = path.join(server.root, 'uploads');
    const watcher = fs.watch(of);
    atEnd(t, () => watcher.close());
    const begun = async () => {
        while (!fs.readdirSync(of).some(name => /^\.(?!lock$)/.test(name)))
            await once(watcher, 'change');
    };
    await within(begun(), 'temporary file');
    sending.end('last');
    const [response] = await within(once(sending, 'response'), 'response');
    response.resume();
    assert.equal(response.statusCode, 200);
    const name = fs.readdirSync(of).find(each => each.endsWith('slow.txt'));
    assert.equal(fs.readFileSync(path.join(of, name), 'utf8'), 'first last');
});

test('nginx: without the Host that the browser sees, all is cross-site',
     async t => {
    const server = await start(t, 'post-form');
    const proxy = await reverse(t, server,
        NGINX.replace('proxy_set_header Host $http_host;\n', ''));
    const [status] = await answer(proxy.url, {method: 'POST', body: '{}',
        headers: {'content-type': 'application/json', origin: proxy.url}});
    assert.equal(status, 403);
});

test('README says what is tested here', () => {
    const readme = fs.readFileSync(path.join(TOP, 'README.md'), 'utf8');
    for (const text of [fs.readFileSync(CONFIG, 'utf8'), NGINX])
        assert.ok(readme.includes('\n```\n' + text + '```\n'), text);
    assert.ok(readme.includes('`' + MAP + '`'), MAP);
});

// ---- PROXY=1: who the client is ---------------------------------------------

// A client at 127.0.0.2, which PROXY then knows to the server behind it. It
// needs no proxy that reads what it passes on.
async function seen(t, server, name, port) {
    if (name === 'smtp-server') {
        const {stdout} = await run(t, 'swaks', ['--server', '127.0.0.1',
            '--port', port, '--local-interface', '127.0.0.2', '--quit-after',
            'EHLO', '--ehlo', 'me']);
        assert.match(stdout, /250-localhost greets me \[127\.0\.0\.2\]$/m);
        return;
    }
    const {stdout, status} = await run(t, 'curl', ['-sS', '--interface',
        '127.0.0.2', `http://127.0.0.1:${port}/?seen`]);
    assert.equal(status, 0);
    assert.notEqual(stdout, '');
    await server.errorLine('from 127.0.0.2');
    if (name === 'websocket-app') {
        const socket = await opened(t, {url: `http://127.0.0.1:${port}`},
                                    {localAddress: '127.0.0.2'});
        socket.send('Hello');
        await within(once(socket, 'message'), 'message');
        await server.line('From IP: 127.0.0.2');
    }
}

for (const name of SERVERS) {
    const env = {PROXY: '1', TRACE: '1', HEAD_MS: '500'};

    test(`PROXY: HAProxy tells ${name} who the client is`, async t => {
        const server = await start(t, name, [], env);
        const proxy = await haproxy(t);
        const [of, port] = name === 'smtp-server' ? ['mail', proxy.smtpPort]
                                                  : ['web', proxy.httpPort];
        await proxy.use(`${of}/${of}1`, server); // version 2
        await server.errorLine(of === 'mail' ? 'C: EHLO haproxy'
                                             : 'C: GET /healthz');
        await seen(t, server, name, port);
        assert.equal(await server.stop(), 0);

        const second = await start(t, name, [], env);
        assert.equal(await proxy.command(`add server ${of}/one 127.0.0.1:` +
            `${second.port} send-proxy check check-send-proxy`),
            'New server registered.');
        await proxy.command(`enable health ${of}/one; enable server ${of}/one`);
        await second.errorLine('C: PROXY ');
        await seen(t, second, name, port);
        assert.equal((await proxy.figures(`${of}/one`)).status, 'UP');
        assert.match(second.stderr, /^C: PROXY TCP4 127\.0\.0\.2 /m);
    });

    test(`PROXY: nginx tells ${name} who the client is`, async t => {
        const server = await start(t, name, [], env);
        const port = await freePort();
        await nginx(t, () => `
            stream {
                server {
                    listen 127.0.0.1:${port};
                    proxy_pass 127.0.0.1:${server.port};
                    proxy_protocol on;
                }
            }`);
        await listening(port);
        await seen(t, server, name, port);
        assert.match(server.stderr, /^C: PROXY TCP4 127\.0\.0\.2 /m);
    });

    test(`PROXY: ${name} requires it of curl`, async t => {
        const server = await start(t, name, [], env);
        const args = ['-sS', '--interface', '127.0.0.2',
            name === 'smtp-server' ? server.url.replace('http', 'smtp')
                                   : server.url];
        const {status, stdout} = await run(t, 'curl', args);
        assert.ok([52, 56].includes(status), String(status)); // no answer
        assert.equal(stdout, '');
        assert.doesNotMatch(server.stderr, /^S: /m);
        const told = await run(t, 'curl', ['--haproxy-protocol', ...args]);
        assert.equal(told.status, 0, told.stderr);
        await server.errorLine('from 127.0.0.2');
    });
}

// ---- a socket that listens already ------------------------------------------

for (const name of SERVERS)
    test(`systemd-socket-activate starts ${name}`, async t => {
        const port = await freePort();
        const root = folder(t);
        const pages = path.join(TOP, name, 'public');
        if (fs.existsSync(pages))
            fs.cpSync(pages, path.join(root, 'public'), {recursive: true});
        const server = launch(t, '/usr/bin/systemd-socket-activate', ['-l',
            `127.0.0.1:${port}`, '-E', `ROOT=${root}`, '-E', 'PORT=1',
            program(name)]);
        await server.errorLine(`Listening on 127.0.0.1:${port}`);
        const {status, stdout, stderr} = await run(t, 'curl', ['-sS',
            `${name === 'smtp-server' ? 'smtp' : 'http'}://127.0.0.1:${port}`]);
        assert.equal(status, 0, stderr);
        assert.notEqual(stdout, '');
        assert.deepEqual(JSON.parse(await server.next()),
                         {address: '127.0.0.1', family: 'IPv4', port});
        assert.equal(await server.stop(), 0);
    });
