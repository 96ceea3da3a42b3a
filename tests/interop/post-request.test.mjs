// post-request.test.mjs -- our client against servers that others wrote:
// Node's http, Python's http.server, nginx; and parsers of forms.

import busboy from 'busboy';
import assert from 'node:assert/strict';
import {Buffer} from 'node:buffer';
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {Readable} from 'node:stream';
import {buffer, text} from 'node:stream/consumers';
import {test} from 'node:test';
import {atEnd, folder, freePort, launch, program, run, start}
    from './program.mjs';

const client = (t, args, options) =>
    run(t, program('post-request'), args, options);

// A server of Node's; .url, and .requests, each with its .body (a promise).
async function serve(t, answer) {
    const server = http.createServer((request, response) => {
        request.body = buffer(request);
        server.requests.push(request);
        Promise.all([request.body, answer(request, response)])
            .catch(() => response.destroy()); // the client has broken off
    });
    server.requests = [];
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    atEnd(t, () => {
        server.closeAllConnections();
        server.close();
    });
    server.url = `http://127.0.0.1:${server.address().port}`;
    return server;
}

const hash = bytes => createHash('sha256').update(bytes).digest('hex');

const guid = '9c4e0f5d-2b1a-4c7e-8d36-5a0b7f1e6c42';
const json = JSON.stringify({name: 'Cian Ó Maidín', guid});

// ---- what is sent, as Node understands it -----------------------------------

test('POST to Node: the request', async t => {
    const server = await serve(t, async (request, response) => {
        await request.body;
        response.writeHead(201).end('created');
    });
    const {host} = new URL(server.url);
    const rows = [
        ['the object of the book', [], '',
         '{\n  "name": "Cian Ó Maidín",\n  "company": "nearForm"\n}',
         {'content-type': 'application/json', 'content-length': '56'}],
        ['-d', ['-d', '[1]'], '', '[1]',
         {'content-type': 'application/json', 'content-length': '3'}],
        ['-d of nothing', ['-d', ''], '', '',
         {'content-type': 'application/json', 'content-length': '0'}],
        ['-d -', ['-d', '-'], 'é', 'é',
         {'content-type': 'application/json', 'content-length': '2'}],
        ['-s -', ['-s', '-'], 'streamed', 'streamed',
         {'content-type': 'application/json', 'transfer-encoding': 'chunked'}],
        ['-s - of nothing', ['-s', '-'], '', '',
         {'content-type': 'application/json', 'transfer-encoding': 'chunked'}],
    ];
    for (const [name, words, input, body, headers] of rows) {
        await t.test(name, async t => {
            const got = await client(t, [...words, server.url + '/a?b=c'],
                                     {input});
            assert.deepEqual(got, {
                status: 0, stderr: '',
                stdout: '\n Status: 201\n Body: created\n\n'});
            const request = server.requests.at(-1);
            assert.deepEqual([request.method, request.url],
                             ['POST', '/a?b=c']);
            assert.deepEqual(request.headers,
                             {...headers, host, connection: 'close'});
            assert.equal(String(await request.body), body);
        });
    }
});

test('POST to Node: what of the URL is sent', async t => {
    const server = http.createServer((request, response) =>
        response.end(`${request.headers.host} ${request.url}`))
        .listen(0, '::');
    await once(server, 'listening');
    atEnd(t, () => server.close());
    const {port} = server.address();
    for (const [host, rest, target] of [
        ['[::1]', '/a', '/a'], ['127.0.0.1', '', '/'],
        ['localhost', '?b', '/?b'], ['LOCALHOST', '/a?b#c', '/a?b'],
        ['127.0.0.1', '/%zz', '/%zz']])
        await t.test(host + rest, async t => assert.deepEqual(
            await client(t, [`http://${host}:${port}${rest}`]),
            {status: 0, stderr: '', stdout: '\n Status: 200\n ' +
                `Body: ${host}:${port} ${target}\n\n`}));
});

// ---- what is answered -------------------------------------------------------

// Each answers with all the ways of HTTP/1.1 to say where a body ends.
const framings = {
    'Content-Length': (response, status, body) => {
        response.writeHead(status, {'Content-Length': Buffer.byteLength(body)});
        response.end(body);
    },
    'chunks': (response, status, body) => {
        response.writeHead(status);
        for (const byte of Buffer.from(body)) response.write(Buffer.of(byte));
        response.end();
    },
    'chunks and trailers': (response, status, body) => {
        response.writeHead(status, {Trailer: 'X-Sum, X-Other'});
        response.write(body);
        response.addTrailers({'X-Sum': '42', 'X-Other': 'a: b'});
        response.end();
    },
    'the close': (response, status, body) => {
        response.useChunkedEncodingByDefault = false;
        response.removeHeader('Transfer-Encoding');
        response.shouldKeepAlive = false;
        response.writeHead(status, {Connection: 'close'});
        response.end(body);
    },
    '103 Early Hints before it': (response, status, body) => {
        response.writeEarlyHints({link: '</style.css>; rel=preload'}, () => {
            response.writeEarlyHints({link: '</x.js>; rel=preload'});
            response.writeProcessing();
            response.writeContinue();
            response.writeHead(status, {'X-Long': 'x'.repeat(30000)});
            response.end(body);
        });
    },
};

test('Node answers: framings of a body', async t => {
    let answer;
    const server = await serve(t, (_, response) => answer(response));
    for (const [name, frame] of Object.entries(framings)) {
        await t.test(name, async t => {
            for (const body of [json, '']) {
                answer = response => frame(response, 201, body);
                assert.deepEqual(await client(t, [server.url]), {
                    status: 0, stderr: '',
                    stdout: `\n Status: 201\n Body: ${body}\n\n`});
            }
            answer = response => frame(response, 200, json);
            assert.deepEqual(await client(t, ['-g', server.url]), {
                status: 0, stderr: '', stdout: `GUID: ${guid}\n`});
            const megabytes = 'é'.repeat(1 << 20);
            answer = response => frame(response, 500, megabytes);
            if (name === 'chunks') return; // a byte each: that is tried above
            const got = await client(t, [server.url]);
            assert.equal(got.status, 5);
            assert.ok(got.stdout ===
                      `\n Status: 500\n Body: ${megabytes}\n\n`);
        });
    }
});

test('Node answers: the status decides what there is and how we exit',
     async t => {
    let answer;
    const server = await serve(t, (_, response) => answer(response));
    const told = (status, text = '') => `\n Status: ${status}\n${text}`;
    const rows = [
        [200, {}, 'ok', 0, ' Body: ok\n\n'],
        [204, {}, undefined, 0, ' Body: \n\n'],
        [301, {Location: 'http://example.com/'}, 'moved', 3,
         ' Location: http://example.com/\n Body: moved\n\n'],
        [304, {'Content-Length': '1000'}, undefined, 3, ' Body: \n\n'],
        [404, {}, 'no', 4, ' Body: no\n\n'],
        [413, {}, 'large', 4, ' Body: large\n\n'],
        [503, {}, 'later', 5, ' Body: later\n\n'],
        [299, {'Content-Encoding': 'gzip'}, 'not gzip', 0,
         ' Body: not gzip\n\n'],
    ];
    for (const [code, headers, body, status, shown] of rows) {
        await t.test(String(code), async t => {
            answer = response => response.writeHead(code, headers).end(body);
            assert.deepEqual(await client(t, [server.url]),
                             {status, stderr: '', stdout: told(code, shown)});
        });
    }
    for (const [name, body, error] of [
        ['no JSON', '{"guid": "a"', /the body is not JSON/],
        ['no guid', '{"Guid": "a"}', /the JSON has no guid/]]) {
        await t.test(`-g, ${name}`, async t => {
            answer = response => response.end(body);
            const got = await client(t, ['-g', server.url]);
            assert.deepEqual([got.status, got.stdout], [1, '']);
            assert.match(got.stderr, error);
        });
    }
});

test('Node breaks off: that is never taken for the whole', async t => {
    let answer;
    const server = await serve(t, (_, response) => answer(response));
    const broken = (head, told) => response => {
        response.writeHead(200, head);
        response.write('{"guid":"a"}', () => response.destroy());
    };
    const rows = [
        ['a body with a length', broken({'Content-Length': 100}), 'truncated'],
        ['chunks', broken({}), 'truncated'],
        ['no answer at all', response => response.destroy(),
         'before an answer came'],
    ];
    for (const [name, how, error] of rows) {
        for (const words of [[], ['-g'], ['-s', '-']]) {
            await t.test(`${name} ${words.join(' ')}`, async t => {
                answer = how;
                const got = await client(t, [...words, server.url]);
                assert.equal(got.status, 1);
                assert.match(got.stderr, new RegExp(`^Error: .*${error}\n$`));
                assert.doesNotMatch(got.stdout, /GUID|\n\n$/);
            });
        }
    }
});

test('Node answers early: 413 is shown, and sending ends', async t => {
    const file = path.join(folder(t), 'large');
    fs.writeFileSync(file, Buffer.alloc(8 << 20));
    const server = http.createServer((request, response) => {
        response.writeHead(413, {Connection: 'close'}).end('Too Large');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    atEnd(t, () => server.close());
    const url = `http://127.0.0.1:${server.address().port}`;
    for (const words of [['-m', file, '-u', url], ['-d', '@' + file, url],
                         ['-s', '-', url]]) {
        await t.test(words[0], async t => {
            const got = await client(t, words,
                                     {input: Buffer.alloc(8 << 20)});
            assert.deepEqual(got, {status: 4, stderr: '',
                stdout: '\n Status: 413\n Body: Too Large\n\n'});
        });
    }
});

// ---- -m: three parsers of forms ---------------------------------------------

const python = `
import email.policy, json, sys
head = b'Content-Type: ' + sys.argv[1].encode() + b'\\r\\n\\r\\n'
message = email.message_from_bytes(head + sys.stdin.buffer.read(),
                                   policy=email.policy.HTTP)
assert not message.defects, message.defects
for part in message.iter_parts():
    assert not part.defects, part.defects
    disposition = part['Content-Disposition']
    print(json.dumps([disposition.params['name'],
                      disposition.params['filename'], part.get_content_type(),
                      part.get_payload(decode=True).hex()]))
`;

// Each makes [field, file name, type, hex of its bytes] of every part.
const parsers = {
    'formData() of Node': async (t, type, body) => {
        const form = await new Response(body, {headers: {'Content-Type': type}})
            .formData();
        return Promise.all([...form].map(async ([field, file]) => [
            field, file.name, file.type,
            Buffer.from(await file.arrayBuffer()).toString('hex')]));
    },
    'busboy': async (t, type, body) => {
        const parts = [];
        const parser = busboy({headers: {'content-type': type},
                               defParamCharset: 'utf8'});
        parser.on('file', (field, stream, {filename, mimeType}) => {
            parts.push(buffer(stream).then(bytes => [
                field, filename, mimeType, bytes.toString('hex')]));
        });
        parser.end(body);
        await once(parser, 'close');
        return Promise.all(parts);
    },
    'email of Python': async (t, type, body) => {
        const {status, stdout, stderr} = await run(
            t, '/usr/bin/python3', ['-c', python, type], {input: body});
        assert.equal(status, 0, stderr);
        return stdout.split('\n').slice(0, -1).map(line => JSON.parse(line));
    },
};

test('-m: parsers of forms find each file whole', async t => {
    const cwd = folder(t);
    const files = [
        ['a.txt', 'text/plain', Buffer.from('hello\n')],
        ['empty.json', 'application/json', Buffer.alloc(0)],
        ['no extension', 'application/octet-stream', randomBytes(300000)],
        ['líne.PNG', 'image/png', Buffer.from('\r\n--\r\n\r\n--x--\r\n')],
    ];
    for (const [name, , bytes] of files)
        fs.writeFileSync(path.join(cwd, name), bytes);
    const server = await serve(t, async (request, response) => {
        await request.body;
        response.end();
    });
    const got = await client(
        t, ['-m', ...files.map(([name]) => `./${name}`), '-u', server.url],
        {cwd});
    assert.deepEqual([got.status, got.stderr], [0, '']);
    const [request] = server.requests;
    assert.equal(request.headers['transfer-encoding'], 'chunked');
    const expected = files.map(([name, type, bytes], i) => [
        `userfile${i}`, name, type, bytes.toString('hex')]);
    for (const [name, parse] of Object.entries(parsers)) {
        await t.test(name, async t => {
            assert.deepEqual(
                await parse(t, request.headers['content-type'],
                            await request.body), expected);
        });
    }
});

test('-m: a name with quotes and line ends', async t => {
    const cwd = folder(t);
    const name = 'a "b"\r\nX-Forged: yes;c=\\d';
    fs.writeFileSync(path.join(cwd, name), 'hello');
    const server = await serve(t, async (request, response) => {
        await request.body;
        response.end();
    });
    assert.equal((await client(t, ['-m', name, '-u', server.url],
                               {cwd})).status, 0);
    const [request] = server.requests;
    const form = await new Response(await request.body, {
        headers: {'Content-Type': request.headers['content-type']}}).formData();
    assert.equal(form.get('userfile0').name, name);
    assert.equal(await form.get('userfile0').text(), 'hello');
});

// ---- -s: from one server to another -----------------------------------------

// Python's own file server, for a folder.
async function pythonServer(t, cwd) {
    const server = launch(t, '/usr/bin/python3', [
        '-u', '-m', 'http.server', '--bind', '127.0.0.1', '0'], {cwd});
    const line = await server.line('Serving HTTP');
    return `http://127.0.0.1:${line.match(/port (\d+)/)[1]}`;
}

async function nginx(t, cwd) {
    const port = await freePort();
    fs.mkdirSync(path.join(cwd, 'tmp'));
    fs.writeFileSync(path.join(cwd, 'tmp/nginx.conf'), `
        daemon off;
        master_process off;
        user root;
        pid tmp/nginx.pid;
        error_log stderr notice;
        events {}
        http {
            access_log off;
            default_type application/json;
            client_body_temp_path tmp/body;
            client_max_body_size 1000;
            server {
                listen 127.0.0.1:${port};
                root .;
                location /created { return 201 created; }
                location /moved { return 301 /some.json; }
                location /ssi/ { alias ./; ssi on; ssi_types *; }
                location /read { proxy_pass http://127.0.0.1:${port}/created; }
            }
        }`);
    const server = launch(t, '/usr/sbin/nginx', [
        '-p', cwd + '/', '-c', 'tmp/nginx.conf', '-e', 'stderr']);
    await server.errorLine('using the "epoll" event method');
    return `http://127.0.0.1:${port}`;
}

// A folder with some.json and a large file, and what serves it.
async function sources(t) {
    const cwd = folder(t);
    const large = randomBytes(8 << 20).toString('base64');
    fs.writeFileSync(path.join(cwd, 'some.json'), json);
    fs.writeFileSync(path.join(cwd, 'large'), large);
    return {large, 'http.server of Python': await pythonServer(t, cwd),
            'nginx': await nginx(t, cwd)};
}

test('-s: streams from others to others, whole', async t => {
    const {large, ...urls} = await sources(t);
    const node = await serve(t, (_, response) =>
        Readable.from(large.match(/.{1,100000}/g)).pipe(response));
    const sink = await serve(t, async (request, response) => {
        response.writeHead(201).end(hash(await request.body));
    });
    const expected = {
        status: 0, stderr: '',
        stdout: `\n Status: 201\n Body: ${hash(large)}\n\n`};
    for (const [name, url] of Object.entries({...urls, Node: node.url})) {
        await t.test(`from ${name} to Node`, async t => {
            assert.deepEqual(
                await client(t, ['-s', url + '/large', sink.url]), expected);
        });
    }
    await t.test('from nginx to post-form', async t => {
        const form = await start(t, 'post-form');
        const got = await client(t, ['-s', urls.nginx + '/some.json',
                                     form.url + '/api/users']);
        assert.equal(got.status, 0);
        const [, body] = got.stdout.match(/^\n Status: 201\n Body: (.*)\n\n$/);
        assert.equal(JSON.parse(body).guid, guid);
    });
    await t.test('a source that says no is not posted', async t => {
        for (const [name, url] of Object.entries(urls)) {
            const before = sink.requests.length;
            const got = await client(t, ['-s', url + '/nowhere', sink.url]);
            assert.equal(got.status, 1);
            assert.match(got.stderr, /answered 404; nothing was posted/);
            assert.equal(sink.requests.length, before);
        }
    });
    await t.test('a source that breaks off is no end for the sink', async t => {
        let begun;
        const beginning = new Promise(resolve => { begun = resolve; });
        const sink = await serve(t, begun);
        const bad = await serve(t, async (_, response) => {
            response.write('half');
            await beginning;
            response.destroy();
        });
        const got = await client(t, ['-s', bad.url, sink.url]);
        assert.equal(got.status, 1);
        assert.match(got.stderr, /truncated; the POST was broken off\n$/);
        await assert.rejects(sink.requests[0].body, /aborted/);
    });
});

test('Python and nginx answer', async t => {
    const {large, ...urls} = await sources(t);
    const rows = [
        // HTTP/1.0 here, HTTP/1.1 there
        ['http.server of Python', ['-g', '/some.json'], 0, `GUID: ${guid}\n`],
        ['http.server of Python', ['-g', '/nowhere'], 4,
         /^\n Status: 404\n Body: <!DOCTYPE[^]*File not found[^]*\n\n$/],
        ['http.server of Python', ['/'], 5,
         /^\n Status: 501\n Body: <!DOCTYPE[^]*Unsupported method[^]*\n\n$/],
        ['nginx', ['-g', '/some.json'], 0, `GUID: ${guid}\n`],
        ['nginx', ['-g', '/ssi/some.json'], 0, `GUID: ${guid}\n`], // in chunks
        ['nginx', ['/created'], 0, '\n Status: 201\n Body: created\n\n'],
        ['nginx', ['-d', '', '/created'], 0,
         '\n Status: 201\n Body: created\n\n'],
        ['nginx', ['/some.json'], 4, /^\n Status: 405\n Body: <html>[^]*\n\n$/],
        ['nginx', ['/moved'], 3, new RegExp(
            '^\n Status: 301\n Location: http://127.0.0.1.*/some.json\n' +
            ' Body: <html>[^]*\n\n$')],
        ['nginx', ['-d', '-', '/read'], 4,
         /^\n Status: 413\n Body: <html>[^]*\n\n$/],
        ['nginx', ['-s', '-', '/read'], 4,
         /^\n Status: 413\n Body: <html>[^]*\n\n$/],
    ];
    for (const [name, words, status, stdout] of rows) {
        await t.test(`${name}: ${words.join(' ')}`, async t => {
            const got = await client(
                t, words.map(word => word.startsWith('/')
                    ? urls[name] + word : word), {input: large});
            assert.deepEqual([got.stderr, got.status], ['', status]);
            if (typeof stdout === 'string') assert.equal(got.stdout, stdout);
            else assert.match(got.stdout, stdout);
        });
    }
});
