// http.test.mjs -- other clients against our HTTP servers: wget, nc, what is
// built into Node and Python, and undici.

import assert from 'node:assert/strict';
import {Buffer, File} from 'node:buffer';
import {once} from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import {Readable, Writable} from 'node:stream';
import {text} from 'node:stream/consumers';
import {pipeline} from 'node:stream/promises';
import {test} from 'node:test';
import undici from 'undici';
import {atEnd, folder, run, start, TOP, within} from './program.mjs';

const index = '{"name": "my-rest-server", "version": 0}';
const users =
    '{"data": [{"id": 1, "first_name": "Bob", "second_name": "Smith"}]}';
const healthy = '{"status":"ok"}';

// The files that an upload server has saved: field, name and content.
function saved(server) {
    const uploads = path.join(server.root, 'uploads');
    return fs.readdirSync(uploads).filter(name => !name.startsWith('.'))
        .map(name => {
            const [, field, file] = name.match(/^(.*?)-\d{13}-(.*)$/);
            return [field, file,
                    fs.readFileSync(path.join(uploads, name), 'utf8')];
        }).sort();
}

// ---- wget -------------------------------------------------------------------

const wget = (t, words, options) =>
    run(t, 'wget', ['--tries=1', '--timeout=60', ...words],
        {env: {LC_ALL: 'C'}, ...options});

test('wget: one connection for a page and all that it needs', async t => {
    for (const [name, file] of [['websocket-app', 'index.html'],
                                ['post-form', 'json'],
                                ['file-upload', 'put']]) {
        const server = await start(t, name);
        const cwd = folder(t);
        const {status, stderr} = await wget(
            t, ['-nd', '-p', `${server.url}/${file.replace(/^index.*/, '')}`],
            {cwd});
        assert.equal(status, 0, stderr);
        assert.match(stderr, /Reusing existing connection/);
        assert.equal(stderr.match(/^Connecting to/gm).length, 1);
        const pages = path.join(server.root, 'public');
        const page = fs.readFileSync(path.join(cwd, file), 'utf8');
        assert.ok(page === fs.readFileSync(path.join(
            pages, file.replace(/^\w+$/, '$&.html')), 'utf8'));
        const needed = [...page.matchAll(/(?:href|src)="(\/?[\w.]+\.\w+)"/g)]
            .map(match => path.basename(match[1]));
        assert.ok(needed.length >= 2);
        for (const each of needed)
            assert.equal(fs.readFileSync(path.join(cwd, each), 'utf8'),
                         fs.readFileSync(path.join(pages, each), 'utf8'));
    }
});

test('wget: posts, puts, errors', async t => {
    const rest = await start(t, 'rest-server');
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload');
    const cwd = folder(t);
    fs.writeFileSync(path.join(cwd, 'data'), 'a=1&a=2&b=%C3%A9');
    const rows = [ // status 8: the server issued an error response
        [rest, '/users', [], 0, users, '200 OK'],
        [rest, '/nowhere', [], 8, '{"error": "Not Found"}', '404 Not Found'],
        [rest, '/', ['--spider'], 0, '', '200 OK'],
        [rest, '/', ['--no-http-keep-alive'], 0, index, '200 OK'],
        [rest, '/', ['--post-data=a=b'], 8, '{"error": "Method Not Allowed"}',
         '405 Method Not Allowed'],
        [form, '/', ['--post-data=userinput1=a+b&userinput2='], 0,
         'You Posted: {"userinput1":"a b","userinput2":""}', '200 OK'],
        [form, '/', ['--post-file=data'], 0,
         'You Posted: {"a":["1","2"],"b":"é"}', '200 OK'],
        [form, '/', ['--post-data=[1]', '--header=Content-Type: ' +
                     'application/json'], 0, '{"data": [1]}', '200 OK'],
        [form, '/', ['--post-data=[1', '--header=Content-Type: ' +
                     'application/json'], 8, 'Bad Request', '400 Bad Request'],
        [upload, '/data', ['--method=PUT', '--body-file=data'], 0,
         'data successfully saved!\n', '200 OK'],
        [upload, '/', ['--method=PUT', '--body-data=hello'], 8,
         'Bad Request', '400 Bad Request'],
    ];
    for (const [server, target, words, code, body, line] of rows) {
        await t.test(`${words.join(' ')} ${target}`, async t => {
            const {status, stdout, stderr} = await wget(t, [
                '-S', '--content-on-error', '-O', '-', ...words,
                server.url + target], {cwd});
            assert.deepEqual([status, stdout], [code, body]);
            assert.match(stderr, new RegExp(`^  HTTP/1.1 ${line}$`, 'm'));
        });
    }
    assert.deepEqual(saved(upload), [['file', 'data', 'a=1&a=2&b=%C3%A9']]);
});

// ---- nc: requests as one types them, each line ended by a bare LF -----------

test('nc: typed requests', async t => {
    const servers = {};
    for (const name of ['rest-server', 'post-form', 'file-upload',
                        'websocket-app'])
        servers[name] = await start(t, name);
    const rows = [
        ['rest-server', 'GET / HTTP/1.0\n\n', '200 OK', index],
        ['rest-server', 'GET /users HTTP/1.1\nHost: x\nConnection: close\n\n',
         '200 OK', users],
        ['rest-server', '\nGET /users HTTP/1.0\n\n', '200 OK', users],
        ['rest-server', 'HEAD / HTTP/1.0\n\n', '200 OK', ''],
        ['rest-server', 'hello\n\n', '400 Bad Request',
         '{"error": "Bad Request"}'],
        ['rest-server', 'GET / HTTP/1.1\n\n', '400 Bad Request',
         '{"error": "Bad Request"}'],
        ['rest-server', 'GET / HTTP/3.0\n\n', '505 HTTP Version Not Supported',
         '{"error": "HTTP Version Not Supported"}'],
        ['post-form', 'POST / HTTP/1.0\nContent-Type: ' +
         'application/x-www-form-urlencoded\nContent-Length: 3\n\na=b\n',
         '200 OK', 'You Posted: {"a":"b"}'],
        ['post-form', 'POST / HTTP/1.1\nHost: x\nConnection: close\n' +
         'Content-Type: application/json\nTransfer-Encoding: chunked\n\n' +
         '2\r\n[1\r\n1\r\n]\r\n0\r\n\r\n', '200 OK', '{"data": [1]}'],
        ['file-upload', 'PUT /typed HTTP/1.0\nContent-Length: 6\n\nhello\n',
         '200 OK', 'typed successfully saved!\n'],
        ['websocket-app', 'GET /healthz HTTP/1.0\n\n', '200 OK', healthy],
    ];
    for (const [name, input, line, body] of rows) {
        const shown = JSON.stringify(input).slice(0, 60);
        await t.test(`${name}: ${shown}`, async t => {
            const {address, port} = servers[name];
            const {status, stdout} =
                await run(t, 'nc', [address, port], {input});
            assert.equal(status, 0);
            const end = stdout.indexOf('\r\n\r\n');
            assert.equal(stdout.split('\r\n')[0], `HTTP/1.1 ${line}`);
            assert.equal(stdout.slice(end + 4), body);
        });
    }
    assert.deepEqual(saved(servers['file-upload']),
                     [['file', 'typed', 'hello\n']]);
});

// ---- Node: fetch, which is undici -------------------------------------------

test('fetch: forms, JSON, files', async t => {
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload');
    const post = (server, body, headers = {}) =>
        fetch(server.url, {method: 'POST', body, headers, duplex: 'half'});

    await t.test('URLSearchParams, with its charset', async () => {
        const answer = await post(form, new URLSearchParams([
            ['a', '1 & 2'], ['a', 'ü%'], ['', '日本語']]));
        assert.equal(await answer.text(),
                     'You Posted: {"a":["1 & 2","ü%"],"":"日本語"}');
    });
    await t.test('JSON', async () => {
        const told = {text: 'ü\n"', list: [1, null, true], deep: {}};
        const answer = await post(form, JSON.stringify(told),
                                  {'Content-Type': 'application/json'});
        assert.equal(answer.headers.get('content-type'), 'application/json');
        assert.deepEqual(await answer.json(), {data: told});
    });
    await t.test('a stream is sent in chunks', async () => {
        const answer = await post(
            form, Readable.toWeb(Readable.from(['["', 'one', '",', '2]'])),
            {'Content-Type': 'application/json'});
        assert.equal(await answer.text(), '{"data": ["one",2]}');
    });
    await t.test('text is 415', async () => {
        const answer = await post(form, 'hello');
        assert.deepEqual([answer.status, await answer.text()],
                         [415, 'Unsupported Media Type']);
    });
    await t.test('FormData', async () => {
        const data = new FormData();
        data.append('userinput1', 'line 1\nline 2 ü');
        data.append('userfile1', new File(['one'], 'a "b" ü.txt'));
        data.append('userfile1', new Blob(['two\r\n--x']), 'b.txt');
        const answer = await post(upload, data);
        assert.equal(await answer.text(),
                     'processed "userinput1" input.\n' +
                     'a "b" ü.txt successfully saved!\n' +
                     'b.txt successfully saved!\nAll files processed!');
        assert.deepEqual(saved(upload), [
            ['userfile1', 'a "b" ü.txt', 'one'],
            ['userfile1', 'b.txt', 'two\r\n--x']]);
    });
    await t.test('PUT', async () => {
        const answer = await fetch(upload.url, {
            method: 'PUT', body: 'hello',
            headers: {'X-Field': 'put', 'X-Filename': '%E4%BD%A0'}});
        assert.equal(await answer.text(), '你 successfully saved!\n');
        assert.deepEqual(saved(upload)[0], ['put', '你', 'hello']);
    });
    await t.test('the pages', async () => {
        for (const target of ['/', '/put', '/put.js', '/style.css']) {
            const answer = await fetch(upload.url + target);
            assert.equal(answer.headers.get('content-length'),
                         String(Buffer.byteLength(await answer.text())));
        }
    });
});

// ---- Node: http -------------------------------------------------------------

// One request: {status, body, reused, continued}; told(request) may send more.
async function ask(t, url, options, told = request => request.end()) {
    const request = http.request(url, options);
    let continued = false;
    request.on('continue', () => { continued = true; });
    const answered = once(request, 'response');
    answered.catch(() => {}); // told() may be the first to notice
    await told(request);
    const [response] = await within(answered, 'response');
    return {status: response.statusCode, headers: response.headers,
            body: await within(text(response), 'end of the response'),
            reused: request.reusedSocket, continued};
}

test('http.Agent: twenty requests on one connection', async t => {
    const agent = new http.Agent({keepAlive: true, maxSockets: 1});
    atEnd(t, () => agent.destroy());
    const answers = new Map([
        ['rest-server', [['/', 200], ['/users', 200], ['/nowhere', 404],
                         ['/users', 405, 'POST', 'a=b']]],
        ['post-form', [['/api/users', 200, 'HEAD'], ['/api/users', 200],
                       ['/', 405, 'DELETE'],
                       ['/', 415, 'POST', 'hello']]],
        ['file-upload', [['/', 200], ['/a', 200, 'PUT', 'hello'],
                         ['/', 415, 'POST', 'hello'], ['/', 405, 'DELETE']]],
        ['websocket-app', [['/', 200], ['/app.js', 200],
                           ['/style.css', 200], ['/healthz', 200]]],
    ]);
    for (const [name, rows] of answers) {
        await t.test(name, async t => {
            const server = await start(t, name);
            for (let i = 0; i < 20; i++) {
                const [target, status, method = 'GET', body = ''] = rows[i % 4];
                const got = await ask(t, server.url + target, {
                    agent, method, headers: {'Content-Length': body.length},
                }, request => request.end(body));
                assert.deepEqual([got.status, got.reused], [status, i > 0]);
            }
        });
    }
});

test('http.request: Expect, trailers, refusals', async t => {
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload');
    const asForm = {'Content-Type': 'application/x-www-form-urlencoded'};

    await t.test('waits for 100 Continue, and gets it', async t => {
        const got = await ask(t, form.url, {
            method: 'POST',
            headers: {...asForm, 'Content-Length': 3, Expect: '100-continue'},
        }, async request => {
            request.flushHeaders();
            await within(once(request, 'continue'), '100 Continue');
            request.end('a=b');
        });
        assert.equal(got.body, 'You Posted: {"a":"b"}');
    });
    await t.test('or the refusal, and sends nothing', async t => {
        const got = await ask(t, form.url, {
            method: 'POST', headers: {...asForm, 'Content-Length': 3000000,
                                      Expect: '100-continue'},
        }, request => request.flushHeaders());
        assert.deepEqual([got.status, got.continued], [413, false]);
    });
    await t.test('trailers after the chunks', async t => {
        const agent = new http.Agent({keepAlive: true, maxSockets: 1});
        atEnd(t, () => agent.destroy());
        for (const reused of [false, true]) {
            const got = await ask(t, form.url, {
                method: 'POST', agent, headers: {...asForm, Trailer: 'X-Sum'},
            }, request => {
                request.write('a=');
                request.addTrailers({'X-Sum': '42', 'Content-Length': '7'});
                request.end('b');
            });
            assert.deepEqual([got.body, got.reused],
                             ['You Posted: {"a":"b"}', reused]);
        }
    });
    for (const [name, server, options] of [
        ['a form', form, {method: 'POST', headers: asForm}],
        ['a file', upload, {method: 'PUT', path: '/x'}]]) {
        await t.test(`413 for ${name} that never ends`, async t => {
            const got = await ask(t, server.url, options, async request => {
                const piece = Buffer.alloc(65536, 'x');
                let answered = false;
                request.on('response', () => { answered = true; });
                request.on('error', () => {}); // once it has been answered
                while (!answered)
                    await new Promise(done => request.write(piece, done));
                request.destroy();
            });
            assert.deepEqual([got.status, got.body], [413, 'Too Large']);
        });
    }
});

// ---- undici -----------------------------------------------------------------

test('undici: a hundred requests, ten of them on their way', async t => {
    const server = await start(t, 'rest-server', ['-d']);
    const client = new undici.Client(server.url, {pipelining: 10});
    atEnd(t, () => client.destroy());
    let connections = 0;
    client.on('connect', () => { connections++; });
    const types = ['red', 'blue', 'green', ''];
    const answers = await within(Promise.all(
        Array.from({length: 100}, async (_, i) => {
            const {body} = await client.request({
                method: 'GET', path: `/users?type=${types[i % 4]}`});
            return (await body.json()).data.length;
        })), 'hundred answers');
    assert.deepEqual(answers, Array.from({length: 100},
                                         (_, i) => [1, 1, 0, 2][i % 4]));
    assert.equal(connections, 1);
});

test('undici: posts that are pipelined, refusals among them', async t => {
    const server = await start(t, 'post-form');
    const client = new undici.Client(server.url, {pipelining: 10});
    atEnd(t, () => client.destroy());
    let connections = 0;
    client.on('connect', () => { connections++; });
    const answers = await within(Promise.all(
        Array.from({length: 40}, async (_, i) => {
            const {statusCode, body} = await client.request({
                method: 'POST', path: '/', idempotent: true, body: `n=${i}`,
                headers: {'Content-Type': i % 5 === 4 ? 'text/plain'
                    : 'application/x-www-form-urlencoded'}});
            return [statusCode, await body.text()];
        })), 'forty answers');
    assert.deepEqual(answers, Array.from({length: 40}, (_, i) =>
        i % 5 === 4 ? [415, 'Unsupported Media Type']
            : [200, `You Posted: {"n":"${i}"}`]));
    assert.equal(connections, 1);
});

test('undici: streams in both directions', async t => {
    const server = await start(t, 'post-form');
    const client = new undici.Client(server.url);
    atEnd(t, () => client.destroy());
    const megabyte = 'x'.repeat(1024 * 1024);
    const pieces = ['["', ...megabyte.match(/.{1,50000}/g), '"]'];
    const options = {method: 'POST', path: '/',
                     headers: {'Content-Type': 'application/json'}};
    await t.test('pipeline()', async () => {
        let got = '';
        await within(pipeline(
            Readable.from(pieces),
            client.pipeline(options, ({statusCode, body}) => {
                assert.equal(statusCode, 200);
                return body;
            }),
            new Writable({write(data, _, done) { got += data; done(); }}),
        ), 'end of the pipeline');
        assert.ok(got === `{"data": ["${megabyte}"]}`);
    });
    await t.test('stream()', async () => {
        let got = '';
        await within(client.stream(
            {...options, body: Readable.from(pieces)},
            () => new Writable({write(data, _, done) { got += data; done(); }}),
        ), 'end of the stream');
        assert.ok(got === `{"data": ["${megabyte}"]}`);
    });
});

// ---- Python -----------------------------------------------------------------

const python = (t, code, ...args) =>
    run(t, '/usr/bin/python3', ['-c', code, ...args], {env: {}});

test('http.client: one connection, chunks, errors, HEAD', async t => {
    const server = await start(t, 'post-form');
    const {status, stdout, stderr} = await python(t, `
import http.client, sys
c = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=20)
form = {'Content-Type': 'application/x-www-form-urlencoded'}
json = {'Content-Type': 'Application/JSON; charset=utf-8'}
c.connect()
c.auto_open = 0  # one connection must do
for method, path, body, headers in [
        ('HEAD', '/', None, {}),
        ('GET', '/ncb3/some.json', None, {}),
        ('POST', '/', 'a=1&b=2', form),
        ('POST', '/', iter([b'a=', b'1', b'&b=3']), form),
        ('POST', '/', '[1, 2]', json),
        ('POST', '/', 'hello', {}),
        ('PUT', '/', 'hello', form),
        ('GET', '/api/users', None, {}),
        ('GET', '/healthz', None, {})]:
    c.request(method, path, body, headers)
    r = c.getresponse()
    print(r.status, r.version, r.getheader('Transfer-Encoding'),
          r.read().decode()[:40])
`, server.address, server.port);
    assert.equal(status, 0, stderr);
    assert.deepEqual(stdout.split('\n'), [
        '200 11 None ',
        '200 11 None {"guid":"9c4e0f5d-2b1a-4c7e-8d36-5a0b7f1',
        '200 11 None You Posted: {"a":"1","b":"2"}',
        '200 11 None You Posted: {"a":"1","b":"3"}',
        '200 11 None {"data": [1, 2]}',
        '415 11 None Unsupported Media Type',
        '405 11 None Method Not Allowed',
        '200 11 chunked {"page":1,"per_page":3,"total":12,"total',
        `200 11 None ${healthy}`, '']);
});

test('http.client: HTTP/1.0', async t => {
    const server = await start(t, 'post-form');
    const {status, stdout, stderr} = await python(t, `
import http.client, sys
class Old(http.client.HTTPConnection):
    _http_vsn, _http_vsn_str = 10, 'HTTP/1.0'
for path in '/api/users', '/healthz':
    c = Old(sys.argv[1], int(sys.argv[2]), timeout=20)
    c.request('GET', path)
    r = c.getresponse()
    print(r.status, r.getheader('Connection'), r.chunked, len(r.read()))
`, server.address, server.port);
    assert.equal(status, 0, stderr);
    const {length} = await (await fetch(server.url + '/api/users')).text();
    assert.equal(stdout, `200 close False ${length}\n200 close False 15\n`);
});

test('urllib: GET, POST, PUT, and errors as exceptions', async t => {
    const rest = await start(t, 'rest-server');
    const form = await start(t, 'post-form');
    const upload = await start(t, 'file-upload');
    const {status, stdout, stderr} = await python(t, `
import sys, urllib.error, urllib.parse, urllib.request
rest, form, upload = sys.argv[1:]
def ask(url, data=None, **rest):
    request = urllib.request.Request(url, data, **rest)
    try:
        with urllib.request.urlopen(request, timeout=20) as r:
            print(r.status, r.read().decode().rstrip())
    except urllib.error.HTTPError as e:
        print(e.code, e.reason, e.headers['Allow'], e.read().decode())
ask(rest + '/users')
ask(rest + '/nowhere')
ask(rest + '/', method='DELETE')
ask(form, urllib.parse.urlencode({'a': 'ü &', 'b': '1'}).encode())
ask(form, iter([b'[1', b']']), headers={'Content-Type': 'application/json'})
ask(form, b'x', headers={'Content-Type': 'text/plain'})
ask(upload + '/caf%C3%A9', b'hello', method='PUT')
ask(upload, b'x' * 51201, method='PUT', headers={'X-Filename': 'x'})
`, rest.url, form.url, upload.url);
    assert.equal(status, 0, stderr);
    assert.deepEqual(stdout.split('\n'), [
        `200 ${users}`,
        '404 Not Found None {"error": "Not Found"}',
        '405 Method Not Allowed GET, HEAD {"error": "Method Not Allowed"}',
        '200 You Posted: {"a":"ü &","b":"1"}',
        '200 {"data": [1]}',
        '415 Unsupported Media Type None Unsupported Media Type',
        '200 café successfully saved!',
        '413 Content Too Large None Too Large', '']);
    assert.deepEqual(saved(upload), [['file', 'café', 'hello']]);
});
