#!/usr/bin/env python3
"""post-request against servers that speak raw bytes, good and bad ones."""

import email.parser
import email.policy
import json
import os
import pty
import re
import resource
import select
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import unittest

import wire

BOOK_OBJECT = ('{\n  "name": "Cian Ó Maidín",\n  "company": "nearForm"\n}'
               .encode())
SHORT = 300  # milliseconds, for time-outs that are to be seen
OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
OK_SHOWN = b'\n Status: 200\n Body: ok\n\n'
TOO_LARGE = (b'HTTP/1.1 413 Content Too Large\r\nContent-Length: 9\r\n'
             b'Connection: close\r\n\r\nToo Large')
TOO_LARGE_SHOWN = b'\n Status: 413\n Body: Too Large\n\n'


class Conn:
    """The server's end of one connection."""

    def __init__(self, sock):
        self.socket = sock
        self.data = b''  # received, not yet asked for
        sock.settimeout(wire.LIMIT)

    def receive(self):
        piece = self.socket.recv(65536)
        self.data += piece
        return piece

    def until(self, marker):
        while marker not in self.data:
            if not self.receive():
                raise wire.Failure('the client closed before %r, after %s' %
                                   (marker, wire.shown(self.data)))
        n = self.data.index(marker) + len(marker)
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def exactly(self, n):
        while len(self.data) < n:
            if not self.receive():
                raise wire.Failure('the client closed too soon: ' +
                                   wire.shown(self.data))
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def head(self):
        return self.until(b'\r\n\r\n')

    def chunk(self):
        """The data of the next chunk; empty: it was the last."""
        size = int(self.until(b'\r\n')[:-2], 16)
        data = self.exactly(size)
        if self.exactly(2) != b'\r\n':
            raise wire.Failure('a chunk without its end')
        return data

    def chunks(self):
        return list(iter(self.chunk, b''))

    def rest(self):
        """What comes until the client closes, or is lost."""
        try:
            while self.receive():
                pass
        except ConnectionResetError:
            pass
        taken, self.data = self.data, b''
        return taken

    def request(self):
        """A whole request: its head, and its body without the framing."""
        head = self.head()
        length = re.search(rb'\r\nContent-Length: (\d+)\r\n', head)
        if b'\r\nTransfer-Encoding: chunked\r\n' in head:
            return head, b''.join(self.chunks())
        return head, self.exactly(int(length.group(1)) if length else 0)

    def send(self, data):
        self.socket.sendall(data)

    def trickle(self, data):
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            self.socket.sendall(data[i:i + 1])

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                               struct.pack('ii', 1, 0))
        self.socket.close()


class Fake:
    """A server: script(conn) plays one connection, and what it returns is
    kept in .results. At the end of `with` all have ended, and well."""

    def __init__(self, script, host='127.0.0.1', small=False):
        self.script = script
        self.results, self.problems, self.threads = [], [], []
        family = socket.AF_INET6 if ':' in host else socket.AF_INET
        self.listener = socket.socket(family, socket.SOCK_STREAM)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if small:  # of buffers, so that a stop is soon felt
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self.listener.setsockopt(socket.SOL_SOCKET, option, 32768)
        self.listener.bind((host, 0))
        self.listener.listen(8)
        self.port = self.listener.getsockname()[1]
        self.url = 'http://%s:%d' % ('[::1]' if ':' in host else host,
                                     self.port)

    def __enter__(self):
        self.accepting = threading.Thread(target=self._accept, daemon=True)
        self.accepting.start()
        return self

    def _accept(self):
        while True:
            sock, _ = self.listener.accept()
            if self.listener.fileno() == -1 or sock.getpeername() == \
                    getattr(self, 'last', None):
                sock.close()
                return
            thread = threading.Thread(target=self._serve, args=(sock,),
                                      daemon=True)
            self.threads.append(thread)
            thread.start()

    def _serve(self, sock):
        try:
            with sock:
                self.results.append(self.script(Conn(sock)))
        except Exception as problem:
            self.problems.append(problem)

    def __exit__(self, kind, problem, trace):
        # Wake accept(): a connection of our own, known by its address.
        with socket.socket(self.listener.family) as waker:
            waker.bind((self.listener.getsockname()[0], 0))
            self.last = waker.getsockname()
            waker.connect(self.listener.getsockname())
            self.accepting.join(wire.LIMIT)
        self.listener.close()
        for thread in self.threads:
            thread.join(wire.LIMIT)
            if thread.is_alive() and kind is None:
                raise wire.Failure('a connection has not ended')
        if self.problems and kind is None:
            raise self.problems[0]

    @property
    def result(self):
        if len(self.results) != 1:
            raise wire.Failure('not one connection but %d' %
                               len(self.results))
        return self.results[0]


def answering(raw, then=None, trickle=False, surplus=b''):
    """A script: take a whole request, answer raw; returns the request. Of the
    surplus the client need not take anything."""
    def script(conn):
        request = conn.request()
        (conn.trickle if trickle else conn.send)(raw)
        try:
            conn.send(surplus)
        except OSError:
            pass
        if then:
            then(conn)
        return request
    return script


def post(*args, **settings):
    """Run it to its end. A time-out in milliseconds that no test of ours
    should reach, unless it says so."""
    settings.setdefault('REPLY_MS', 20000)
    return wire.run('post-request', *args, **settings)


class Client:
    """It runs while the test goes on."""

    def __init__(self, *args, stdin=subprocess.DEVNULL,
                 stdout=subprocess.PIPE, preexec=None, **settings):
        settings.setdefault('REPLY_MS', 20000)
        self.process = subprocess.Popen(
            wire.command_of('post-request', args), stdin=stdin, stdout=stdout,
            stderr=subprocess.PIPE, env=wire.environment(settings),
            preexec_fn=preexec)
        self.pid = self.process.pid
        self.name = 'post-request'

    cpu = wire.Server.cpu

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout,
                       self.process.stderr):
            if stream:
                stream.close()

    def end(self):
        """Exit status, stdout and stderr."""
        try:
            out, err = self.process.communicate(timeout=wire.START_LIMIT)
        except subprocess.TimeoutExpired:
            raise wire.Failure('post-request does not end') from None
        wire.no_report(err.decode('utf-8', 'replace'))
        return self.process.returncode, out, err

    def rss(self):
        """Bytes of memory in use."""
        with open('/proc/%d/statm' % self.pid) as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()


class Case(unittest.TestCase):
    maxDiff = 2000

    def assert_shown(self, done, stdout, status=0):
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (status, stdout, b''))

    def assert_error(self, done, words, stdout=b''):
        """One line on stderr that holds the words; exit 1."""
        err = done.stderr.decode()
        self.assertEqual(done.returncode, 1, err)
        self.assertRegex(err, r'\AError: [^\n]*%s[^\n]*\n\Z' % words)
        self.assertEqual(done.stdout, stdout)

    def files(self, **contents):
        """A folder with these files, where _ in a name stands for a dot."""
        folder = tempfile.TemporaryDirectory(prefix='post-request-')
        self.addCleanup(folder.cleanup)
        for name, content in contents.items():
            path = os.path.join(folder.name, name.replace('_', '.'))
            with open(path, 'wb') as file:
                file.write(content)
        return folder.name


class Request(Case):
    def request(self, *args, at='/api/users', **settings):
        """What arrives: head and body."""
        with Fake(answering(OK)) as fake:
            self.port = fake.port
            args = [fake.url + at if arg == 'URL' else arg for arg in args]
            self.assert_shown(post(*args, **settings), OK_SHOWN)
        return fake.result

    def test_book(self):
        head, body = self.request('URL')
        self.assertEqual(len(BOOK_OBJECT), 56)
        self.assertEqual(body, BOOK_OBJECT)
        self.assertEqual(
            head, b'POST /api/users HTTP/1.1\r\n'
            b'Host: 127.0.0.1:%d\r\n'
            b'Content-Type: application/json\r\n'
            b'Content-Length: 56\r\n'
            b'Connection: close\r\n\r\n' % self.port)

    def test_targets(self):
        for at, target in (('', b'/'), ('?a=1', b'/?a=1'), ('/a#b', b'/a'),
                           ('/a?b/c', b'/a?b/c')):
            with self.subTest(at=at):
                head, _ = self.request('URL', at=at)
                self.assertTrue(head.startswith(b'POST %s HTTP/1.1\r\n' %
                                                target), head)

    def test_data(self):
        self.assertEqual(self.request('-d', '{"é": 1}', 'URL')[1],
                         '{"é": 1}'.encode())
        self.assertEqual(self.request('URL', '-d', '-1')[1], b'-1')
        head, body = self.request('-d', '', 'URL')
        self.assertIn(b'\r\nContent-Length: 0\r\n', head)

    def test_data_of_stdin(self):
        sent = bytes(range(256)) * 3000
        head, body = self.request('-d', '-', 'URL', stdin=sent)
        self.assertEqual(body, sent)
        self.assertIn(b'\r\nContent-Length: %d\r\n' % len(sent), head)

    def test_data_of_a_file(self):
        folder = self.files(a_json=b'{"a": 1}\n')
        _, body = self.request('-d', '@%s/a.json' % folder, 'URL')
        self.assertEqual(body, b'{"a": 1}\n')

    def test_data_of_no_file(self):
        with Fake(answering(OK)) as fake:
            done = post('-d', '@/nowhere/at/all', fake.url)
            self.assert_error(done, '/nowhere/at/all: No such file')
            self.assert_error(post('-d', '@/tmp', fake.url),
                              'tmp: Is a directory')
        self.assertEqual(fake.results, [])

    def test_ipv6(self):
        with Fake(answering(OK), host='::1') as fake:
            self.assert_shown(post(fake.url), OK_SHOWN)
        self.assertIn(b'\r\nHost: [::1]:%d\r\n' % fake.port, fake.result[0])

    def test_localhost_has_every_address(self):
        """A server on one of the addresses of localhost is found, whichever
        that is."""
        found = socket.getaddrinfo('localhost', 80, 0, socket.SOCK_STREAM)
        for host in sorted({address[4][0] for address in found}):
            with self.subTest(host=host), Fake(answering(OK), host) as fake:
                url = 'http://localhost:%d/' % fake.port
                self.assert_shown(post(url), OK_SHOWN)


class Usage(Case):
    def test_help(self):
        done = post('--help')
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        for word in (b'-d', b'-g', b'-s', b'-m', b'-u', b'CONNECT_MS=10000',
                     b'REPLY_MS=30000', b'TRACE=1', b'Try: '):
            self.assertIn(word, done.stdout)
        self.assertEqual(post('-h').stdout, done.stdout)
        self.assertEqual(post('--version').returncode, 0)

    def test_wrong(self):
        url = 'http://127.0.0.1:1/'
        for args in (['-x'], ['--nothing'], [url, url], ['-d'], ['-d', '1', '-g'],
                     ['-g', '-s'], ['-g', url, url], ['-s', '-', url, url],
                     ['-m'], ['-m', 'a', '-u'], ['-u', url, url],
                     ['ftp://127.0.0.1/'], ['localhost:8080'], ['http://'],
                     ['http://a:99999/'], ['http://a b/'], ['http:///x'],
                     ['http://u@127.0.0.1/'], ['http://%s/' % ('a' * 300)],
                     ['-s', 'nowhere', url]):
            with self.subTest(args=args):
                done = post(*args)
                self.assertEqual((done.returncode, done.stdout), (2, b''))
                self.assertRegex(done.stderr, rb'\A[^\n]+\n\Z')

    def test_https(self):
        for args in (['https://127.0.0.1/'], ['-s', 'HTTPS://localhost'],
                     ['-m', '/bin/sh', '-u', 'https://127.0.0.1/']):
            done = post(*args)
            self.assertEqual(done.returncode, 2)
            self.assertRegex(done.stderr, rb'\A[^\n]*stunnel[^\n]*\n\Z')

    def test_settings(self):
        done = post(REPLY_MS='soon')
        self.assertEqual(done.returncode, 2)
        self.assertEqual(post(CONNECT_MS='0').returncode, 2)


class Answers(Case):
    """Every framing; each whole and byte by byte."""

    def shown(self, raw, status, body, exit_status=0, then=None, extra=b'',
              surplus=b''):
        expected = (b'\n Status: %d\n%s Body: ' % (status, extra) + body +
                    b'\n\n')
        for trickle in (False, True):
            if trickle and len(raw) > 1000:
                continue
            with self.subTest(trickle=trickle), \
                    Fake(answering(raw, then, trickle, surplus)) as fake:
                self.assert_shown(post(fake.url), expected, exit_status)

    def test_length(self):
        self.shown(b'HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello',
                   201, b'hello')
        self.shown(b'HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n', 200, b'')
        self.shown(b'HTTP/1.0 200\r\nContent-Length: 5, 5\r\n\r\nhello', 200,
                   b'hello')

    def test_chunked(self):
        head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n'
        self.shown(head + b'5\r\nhello\r\n0\r\n\r\n', 200, b'hello')
        self.shown(head + b'2;a=b;c="d"\r\nhe\r\n003 ;x\r\nllo\r\n00\r\n'
                   b'Checksum: 1\r\nMore: 2\r\n\r\n', 200, b'hello')
        self.shown(head + b'0\r\n\r\n', 200, b'')
        self.shown(head + b'A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n', 200,
                   b'0\r\n\r\n0\r\n\r\n')

    def test_to_close(self):
        self.shown(b'HTTP/1.1 200 OK\r\n\r\nhello', 200, b'hello')
        self.shown(b'HTTP/1.0 200 OK\r\n\r\n', 200, b'')
        self.shown(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nzz',
                   200, b'zz')

    def test_interim(self):
        self.shown(b'HTTP/1.1 100 Continue\r\n\r\n'
                   b'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n'
                   b'Content-Length: 7\r\n\r\n'
                   b'HTTP/1.1 102 Processing\r\n\r\n' + OK, 200, b'ok')

    def test_without_a_body(self):
        """204 and 304 have none, whatever their headers say."""
        wait = Conn.rest  # the connection stays open
        self.shown(b'HTTP/1.1 204 No Content\r\n\r\n', 204, b'', then=wait)
        self.shown(b'HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n',
                   304, b'', 3, then=wait)
        self.shown(b'HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked'
                   b'\r\n\r\n', 204, b'', then=wait)

    def test_exit_status(self):
        for status, exit_status in ((200, 0), (299, 0), (300, 3), (404, 4),
                                    (500, 5), (599, 5), (799, 5)):
            self.shown(b'HTTP/1.1 %d X\r\nContent-Length: 4\r\n\r\nbody' %
                       status, status, b'body', exit_status)

    def test_redirect(self):
        self.shown(b'HTTP/1.1 301 Moved Permanently\r\n'
                   b'location:  http://127.0.0.1:1/\xc3\xa9\x80 \r\n'
                   b'Content-Length: 4\r\n\r\ngone', 301, b'gone', 3,
                   extra=b' Location: http://127.0.0.1:1/\xc3\xa9\\x80\n')

    def test_any_bytes(self):
        """In a pipe nothing is changed."""
        body = bytes(range(256)) * 4096
        self.shown(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' %
                   len(body) + body, 200, body)

    def test_more_than_the_length(self):
        self.shown(OK, 200, b'ok', surplus=b'and more')
        self.shown(OK, 200, b'ok', surplus=OK, then=Conn.rest)
        with Fake(answering(OK + OK)) as fake:  # in one piece
            self.assert_shown(post(fake.url), OK_SHOWN)

    def test_kept_connection(self):
        """An answer that is whole is the end: nobody waits for a close."""
        self.shown(OK, 200, b'ok', then=Conn.rest)

    def test_bare_line_feeds(self):
        self.shown(b'HTTP/1.1 200 OK\nContent-Length: 2\n\nok', 200, b'ok')

    def test_folded_header(self):
        self.shown(b'HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n'
                   b'\r\nok', 200, b'ok')

    def test_streamed(self):
        """The body is printed as it comes, not when it is whole."""
        printed = threading.Event()

        def script(conn):
            conn.request()
            conn.send(b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst')
            if not printed.wait(wire.LIMIT):
                raise wire.Failure('the first half is not printed')
            conn.send(b'later')

        with Fake(script) as fake, Client(fake.url) as client:
            out = b''
            while not out.endswith(b'first'):
                piece = os.read(client.process.stdout.fileno(), 100)
                self.assertTrue(piece, out)
                out += piece
            printed.set()
            status, rest, err = client.end()
            self.assertEqual((status, rest, err), (0, b'later\n\n', b''))

    def test_flat_memory(self):
        """The same for an answer of 8 MB and of 128 MB."""
        in_use = []
        for megabytes in (8, 128):
            body = b'HTTP/1.1 200 OK\r\n\r\n' + b'x' * (megabytes << 20)
            got = 0

            with Fake(answering(body)) as fake, Client(fake.url) as client:
                while True:
                    piece = os.read(client.process.stdout.fileno(), 1 << 20)
                    if got < megabytes << 20:
                        used = client.rss()
                    got += len(piece)
                    if got >= megabytes << 20 or not piece:
                        break
                self.assertEqual(client.end()[0], 0)
            in_use.append(used)
        self.assertLess(in_use[1] - in_use[0], 4 << 20)


class Failures(Case):
    """Each told apart, in one line; never exit 0."""

    def failing(self, script, words, shown=b'', **settings):
        with Fake(script) as fake:
            done = post(fake.url, **settings)
            self.assert_error(done, words, shown)
            self.assertIn(b'127.0.0.1 port %d: ' % fake.port, done.stderr)

    def test_refused(self):
        with socket.socket() as unused:  # bound, but nobody listens
            unused.bind(('127.0.0.1', 0))
            port = unused.getsockname()[1]
            self.assert_error(post('http://127.0.0.1:%d' % port),
                              '127.0.0.1 port %d: Connection refused' % port)

    def test_no_such_host(self):
        self.assert_error(post('http://nowhere.invalid/'),
                          'nowhere.invalid port 80: ')

    def test_connect_time_out(self):
        """A listener whose queue is full lets new clients wait."""
        with socket.socket() as full:
            full.bind(('127.0.0.1', 0))
            full.listen(0)
            waiting = []
            self.addCleanup(lambda: [sock.close() for sock in waiting])
            for _ in range(8):
                sock = socket.socket()
                sock.setblocking(False)
                waiting.append(sock)
                sock.connect_ex(full.getsockname())
            done = post('http://127.0.0.1:%d/' % full.getsockname()[1],
                        CONNECT_MS=SHORT)
            self.assert_error(done, 'timed out')

    def test_silent(self):
        self.failing(answering(b'', Conn.rest),
                     'time-out: for %d ms no answer came' % SHORT,
                     REPLY_MS=SHORT)
        self.failing(answering(b'HTTP/1.1 200 OK\r\nX: y', Conn.rest),
                     'time-out: for %d ms no answer came' % SHORT,
                     REPLY_MS=SHORT)

    def test_stops_half_way(self):
        self.failing(answering(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n'
                               b'half', Conn.rest),
                     'time-out: for %d ms no more of the answer' % SHORT,
                     b'\n Status: 200\n Body: half', REPLY_MS=SHORT)

    def test_does_not_take_the_request(self):
        gone = threading.Event()

        def script(conn):
            gone.wait(wire.LIMIT)

        with Fake(script, small=True) as fake:
            done = post('-d', '-', fake.url, stdin=b'x' * (32 << 20),
                        REPLY_MS=SHORT)
            gone.set()
            self.assert_error(done, 'time-out: for %d ms it took no more of '
                              'the request' % SHORT)

    def test_a_trickle_is_progress(self):
        """REPLY_MS is for the next byte, not for the whole."""
        def script(conn):
            conn.request()
            pause = threading.Event()  # never set: the time is the matter
            for i in range(len(OK)):
                pause.wait(0.02)
                conn.send(OK[i:i + 1])

        with Fake(script) as fake:
            self.assert_shown(post(fake.url, REPLY_MS=SHORT), OK_SHOWN)

    def test_closed_before_an_answer(self):
        self.failing(answering(b''), 'closed before an answer came')
        self.failing(answering(b'HTTP/1.1 100 Continue\r\n\r\n'),
                     'closed before an answer came')

    def test_closed_within_the_head(self):
        self.failing(answering(b'HTTP/1.1 200 OK\r\nContent-Length: 5'),
                     'closed within the head of the answer: truncated')

    def test_truncated(self):
        self.failing(answering(b'HTTP/1.1 201 Created\r\n'
                               b'Content-Length: 100\r\n\r\n0123456789'),
                     'closed after 10 bytes of the body: truncated',
                     b'\n Status: 201\n Body: 0123456789')
        head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        for cut in (b'5\r\nhello', b'5\r\nhello\r\n', b'5\r\nhello\r\n0\r\n',
                    b'5\r\nhello\r\n0\r\nA: b\r\n'):
            self.failing(answering(head + cut), 'truncated',
                         b'\n Status: 200\n Body: hello')

    def test_malformed(self):
        start = b'HTTP/1.1 200 OK\r\n'
        for raw in (b'220 smtp.example.com\r\n', b'\x16\x03\x01\x00\x05',
                    b'HTTP/2.0 200 OK\r\n\r\n', b'HTTP/1.1 20 OK\r\n\r\n',
                    b'HTTP/1.1 099 OK\r\n\r\n', start + b'no colon\r\n\r\n',
                    start + b'Content-Length: x\r\n\r\n',
                    start + b'Content-Length: -1\r\n\r\n',
                    start + b'Content-Length: 99999999999999999999\r\n\r\n',
                    start + b'Content-Length: 1\r\nContent-Length: 2\r\n\r\n',
                    start + b'Content-Length: 1\r\n'
                    b'Transfer-Encoding: chunked\r\n\r\n',
                    start + b'Transfer-Encoding: gzip, chunked\r\n\r\n',
                    start + b'X: ' + b'y' * 40000,
                    b'HTTP/1.1 101 Switching Protocols\r\n\r\n'):
            with self.subTest(raw=raw[:60]):
                self.failing(answering(raw, Conn.rest), 'malformed answer')

    def test_malformed_chunks(self):
        head = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
        for bad in (b'zz\r\n', b'\r\n', b'-1\r\n', b'5\nhello', b'0x5\r\n',
                    b'fffffffffffffffff\r\n', b'1;' + b'a' * 2000,
                    b'0\r\nno colon\r\n', b' 5\r\n'):
            with self.subTest(bad=bad[:40]):
                self.failing(answering(head + b'2\r\nok\r\n' + bad, Conn.rest),
                             'malformed answer: a bad chunk after 2 bytes',
                             b'\n Status: 200\n Body: ok')
        self.failing(answering(head + b'2\r\nok!\r\n', Conn.rest),
                     'malformed answer', b'\n Status: 200\n Body: ok')

    def test_reset(self):
        self.failing(answering(b'', Conn.reset),
                     'Connection reset by peer before an answer came')

    def test_reset_is_no_end_of_a_body(self):
        """A body to the close must end with a close."""
        half = threading.Event()

        def script(conn):
            conn.request()
            conn.send(b'HTTP/1.1 200 OK\r\n\r\nhalf')
            half.wait(wire.LIMIT)
            conn.reset()

        with Fake(script) as fake, Client(fake.url) as client:
            out = b''
            while not out.endswith(b'half'):
                out += os.read(client.process.stdout.fileno(), 100)
            half.set()
            status, rest, err = client.end()
        self.assertEqual((status, rest), (1, b''))
        self.assertIn(b'reset by peer after 4 bytes of the body: truncated',
                      err)

    def test_stdout_closed_early(self):
        body = b'line\n' * (1 << 20)
        raw = b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body)

        def script(conn):
            conn.request()
            try:
                conn.send(raw + body)
            except OSError:
                pass  # as it should be

        with Fake(script) as fake, Client(fake.url) as client:
            os.read(client.process.stdout.fileno(), 10)
            client.process.stdout.close()
            client.process.stdout = None
            status, _, err = client.end()
            self.assertEqual((status, err),
                             (1, b'Error: stdout: Broken pipe\n'))

    def test_stdout_full(self):
        with Fake(answering(OK)) as fake, open('/dev/full', 'wb') as full, \
                Client(fake.url, stdout=full) as client:
            status, _, err = client.end()
            self.assertEqual(
                (status, err),
                (1, b'Error: stdout: No space left on device\n'))

    def test_stdout_not_open(self):
        """The connection does not take its place."""
        with Fake(lambda conn: (conn.request(), conn.send(OK),
                                conn.rest())) as fake:
            done = wire.run(['sh', '-c', 'exec "$0" "$1" >&-',
                             wire.program('post-request'), fake.url])
            self.assertEqual(done.returncode, 1)
            self.assertIn(b'Error: stdout: ', done.stderr)
        self.assertEqual(fake.result[2], b'')

    def test_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            asked = threading.Event()

            def script(conn):
                conn.request()
                asked.set()
                conn.rest()

            with self.subTest(number=number), Fake(script) as fake, \
                    Client(fake.url) as client:
                self.assertTrue(asked.wait(wire.LIMIT))
                client.process.send_signal(number)
                self.assertEqual(client.end(), (130, b'', b''))

    def test_descriptors_are_left_blocking(self):
        """The shell shares them."""
        with Fake(answering(OK)) as fake:
            read_end, write_end = os.pipe()
            with Client('-s', '-', fake.url, stdin=read_end) as client:
                os.write(write_end, b'x')
                blocking = os.get_blocking(read_end)
                os.close(write_end)
                self.assertEqual(client.end()[0], 0)
            self.assertTrue(blocking and os.get_blocking(read_end))
            os.close(read_end)


class Early(Case):
    """An answer that comes while we still send."""

    def answered(self, script, *args, **settings):
        with Fake(script) as fake:
            args = [fake.url if arg == 'URL' else arg for arg in args]
            done = post(*args, **settings)
            self.assert_shown(done, TOO_LARGE_SHOWN, 4)
        return fake.result

    @staticmethod
    def and_close(conn):
        """Answers, and closes at once on all that is still unread."""
        conn.head()
        conn.send(TOO_LARGE)

    @staticmethod
    def and_wait(conn):
        """Answers, reads no more, and keeps the connection open: without
        the client's leaving there would be no end."""
        conn.head()
        conn.send(TOO_LARGE)
        return conn.rest()

    def test_stream(self):
        big = b'x' * (100 << 20)
        for script in (self.and_close, self.and_wait):
            self.answered(script, '-s', '-', 'URL', stdin=big)

    def test_data(self):
        big = b'x' * (100 << 20)
        for script in (self.and_close, self.and_wait):
            self.answered(script, '-d', '-', 'URL', stdin=big)

    def test_files(self):
        folder = self.files(a_bin=b'x' * (100 << 20))
        for script in (self.and_close, self.and_wait):
            self.answered(script, '-m', folder + '/a.bin', '-u', 'URL')

    def test_a_file_over_2_gib(self):
        """Its size is no reason to refuse it, on a 32-bit system either."""
        folder = self.files(a_bin=b'')
        os.truncate(folder + '/a.bin', 3 << 30)
        self.answered(self.and_close, '-m', folder + '/a.bin', '-u', 'URL')

    def test_sending_ends_with_the_head(self):
        """The rest of the answer waits until the client has fallen silent."""
        def script(conn):
            conn.head()
            conn.send(TOO_LARGE[:-4])
            silent = conn.rest()
            conn.send(TOO_LARGE[-4:])
            return silent

        sent = self.answered(script, '-s', '-', 'URL',
                             stdin=b'x' * (100 << 20))
        self.assertLess(len(sent), 100 << 20)
        self.assertFalse(sent.endswith(b'0\r\n\r\n'))

    def test_to_close(self):
        def script(conn):
            conn.head()
            conn.send(b'HTTP/1.1 413 X\r\n\r\nToo Large')
            conn.socket.shutdown(socket.SHUT_WR)
            conn.rest()

        self.answered(script, '-s', '-', 'URL', stdin=b'x' * (100 << 20))

    def test_endless_source(self):
        with open('/dev/zero', 'rb') as zeros, Fake(self.and_close) as fake, \
                Client('-s', '-', fake.url, stdin=zeros) as client:
            self.assertEqual(client.end(), (4, TOO_LARGE_SHOWN, b''))

    def test_source_that_waits(self):
        """An answer is seen while there is nothing to send."""
        read_end, write_end = os.pipe()
        with Fake(self.and_wait) as fake, \
                Client('-s', '-', fake.url, stdin=read_end) as client:
            self.assertEqual(client.end(), (4, TOO_LARGE_SHOWN, b''))
        os.close(read_end)
        os.close(write_end)

    def test_closed_while_the_source_waits(self):
        read_end, write_end = os.pipe()
        with Fake(Conn.head) as fake, \
                Client('-s', '-', fake.url, stdin=read_end) as client:
            status, out, err = client.end()
        self.assertEqual((status, out), (1, b''))
        self.assertIn(b'closed before an answer came', err)
        os.close(read_end)
        os.close(write_end)

    def test_answer_of_lines(self):
        """A good answer may begin before the request has ended, and the
        request goes on: so file-upload tells of each file."""
        def script(conn):
            conn.head()
            conn.send(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n'
                      b'\r\n')
            got = 0
            for chunk in iter(conn.chunk, b''):
                got += len(chunk)
                conn.send(b'2\r\n.\n\r\n')
            conn.send(b'4\r\nend\n\r\n0\r\n\r\n')
            return got

        with Fake(script) as fake:
            done = post('-s', '-', fake.url, stdin=b'x' * (8 << 20))
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            self.assertRegex(done.stdout,
                             rb'\A\n Status: 200\n Body: (\.\n)+end\n\n\n\Z')
        self.assertEqual(fake.result, 8 << 20)

    def test_answer_outlives_the_connection(self):
        """The client learns by a failing send() that the server has gone,
        while some of the answer is still to be read: its stdout was full."""
        body = b'x' * 150000  # more than stdout's pipe and one read take
        go = threading.Event()

        def script(conn):
            conn.head()
            conn.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' %
                      len(body) + body)
            go.wait(wire.LIMIT)  # and then it closes on unread chunks

        with open('/dev/zero', 'rb') as zeros, Fake(script) as fake, \
                Client('-s', '-', fake.url, stdin=zeros) as client:
            wire.assert_idle(client)  # all has arrived, and all is full
            go.set()
            fake.threads[0].join(wire.LIMIT)
            wire.assert_idle(client)
            status, out, err = client.end()
            self.assertEqual(out, b'\n Status: 200\n Body: ' + body +
                             b'\n\n')
            self.assertEqual(status, 0)
            self.assertRegex(err, rb'\ANote: [^\n]*\n\Z')

    def test_good_and_whole(self):
        """The answer is there: more would not be read. It is told, though."""
        def script(conn):
            conn.head()
            conn.send(OK)
            conn.rest()

        with open('/dev/zero', 'rb') as zeros, Fake(script) as fake, \
                Client('-s', '-', fake.url, stdin=zeros) as client:
            status, out, err = client.end()
            self.assertEqual((status, out), (0, OK_SHOWN))
            self.assertRegex(err, rb'\ANote: [^\n]*\n\Z')


class Stream(Case):
    def stream(self, source_script, server_script, *, words=None, **settings):
        with Fake(source_script) as source, Fake(server_script) as server:
            done = post('-s', source.url + '/s', server.url + '/t',
                        **settings)
            if words:
                self.assert_error(done, words)
            else:
                self.assert_shown(done, OK_SHOWN)
        return source, server

    def test_chunk_as_it_comes(self):
        """Each read is a chunk, sent before the next one comes."""
        seen = threading.Semaphore(0)

        def source(conn):
            head = conn.head()
            conn.send(b'HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n')
            for n in (10, 20, 60):
                conn.send(b'x' * n)
                if not seen.acquire(timeout=wire.LIMIT):
                    raise wire.Failure('it was not passed on')
            return head

        def server(conn):
            head = conn.head()
            sizes = []
            for chunk in iter(conn.chunk, b''):
                sizes.append(len(chunk))
                seen.release()
            conn.send(OK)
            return head, sizes

        source, server = self.stream(source, server)
        self.assertEqual(source.result, b'GET /s HTTP/1.1\r\n'
                         b'Host: 127.0.0.1:%d\r\nConnection: close\r\n\r\n' %
                         source.port)
        head, sizes = server.result
        self.assertEqual(head, b'POST /t HTTP/1.1\r\n'
                         b'Host: 127.0.0.1:%d\r\n'
                         b'Content-Type: application/json\r\n'
                         b'Transfer-Encoding: chunked\r\n'
                         b'Connection: close\r\n\r\n' % server.port)
        self.assertEqual(sizes, [10, 20, 60])

    def test_framings(self):
        for raw, body in (
                (OK, b'ok'), (b'HTTP/1.1 200 OK\r\n\r\nto close', b'to close'),
                (b'HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\n'
                 b'Transfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n3\r\nbcd'
                 b'\r\n0\r\nT: r\r\n\r\n', b'abcd'),
                (b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', b''),
                (b'HTTP/1.1 204 No Content\r\n\r\n', b'')):
            with self.subTest(raw=raw):
                _, server = self.stream(answering(raw), answering(OK))
                self.assertEqual(server.result[1], body)

    def test_stdin(self):
        sent = bytes(range(256)) * 5000
        with Fake(answering(OK)) as fake:
            self.assert_shown(post('-s', '-', fake.url, stdin=sent), OK_SHOWN)
        self.assertEqual(fake.result[1], sent)
        with Fake(answering(OK)) as fake:
            self.assert_shown(post('-s', '-', fake.url, stdin=b''), OK_SHOWN)
        self.assertEqual(fake.result[1], b'')

    def test_default_source_is_asked(self):
        """-s URL alone takes the URL as the source."""
        with Fake(answering(b'HTTP/1.1 404 X\r\n\r\n')) as source:
            self.assert_error(post('-s', source.url), 'answered 404')

    @staticmethod
    def broken_post(conn):
        """What came of the POST when the client had left."""
        conn.head()
        return conn.rest()

    def assert_broken(self, server, body):
        """The data came, but not the end of it."""
        self.assertIn(body, server.result)
        self.assertNotIn(b'0\r\n\r\n', server.result)

    def test_source_breaks_off(self):
        length = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf'
        chunked = (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
                   b'4\r\nhalf\r\n')
        for raw, words in ((length, 'closed after 4 bytes of the body: '
                            'truncated; the POST was broken off'),
                           (chunked, 'truncated; the POST was broken off'),
                           (chunked + b'zz\r\n', 'malformed answer')):
            with self.subTest(raw=raw):
                begun = threading.Event()

                def source(conn):
                    conn.head()
                    conn.send(raw[:raw.index(b'half') + 4])
                    begun.wait(wire.LIMIT)
                    conn.send(raw[raw.index(b'half') + 4:])

                def server(conn):
                    conn.head()
                    data = conn.chunk()
                    begun.set()
                    return data + conn.rest()

                _, server = self.stream(source, server, words=words)
                self.assertEqual(server.result, b'half')

    def test_source_is_reset(self):
        begun = threading.Event()

        def source(conn):
            conn.head()
            conn.send(b'HTTP/1.1 200 OK\r\n\r\nhalf')
            begun.wait(wire.LIMIT)
            conn.reset()

        def server(conn):
            conn.head()
            data = conn.chunk()
            begun.set()
            return data + conn.rest()

        _, server = self.stream(
            source, server,
            words='reset by peer after 4 bytes of the body: truncated; '
            'the POST was broken off')
        self.assertEqual(server.result, b'half')

    def test_source_falls_silent(self):
        _, server = self.stream(
            answering(b'HTTP/1.1 200 OK\r\n\r\nhalf', Conn.rest),
            self.broken_post, words='time-out: for %d ms no more of the '
            'answer came; the POST was broken off' % SHORT, REPLY_MS=SHORT)
        self.assertEqual(server.result, b'4\r\nhalf\r\n')

    def test_source_that_says_no(self):
        """Then the server is not even asked."""
        for raw, words in ((b'HTTP/1.1 500 X\r\n\r\noops', 'answered 500'),
                           (b'HTTP/1.1 301 X\r\nLocation: /\r\n\r\n',
                            'answered 301'),
                           (b'nonsense\r\n\r\n', 'malformed'),
                           (b'', 'closed before an answer came')):
            with self.subTest(raw=raw):
                _, server = self.stream(answering(raw), answering(OK),
                                        words=words)
                self.assertEqual(server.results, [])

    def test_patience_with_stdin(self):
        """A user who thinks is not a server that is silent."""
        read_end, write_end = os.pipe()
        with Fake(answering(OK)) as fake, \
                Client('-s', '-', fake.url, stdin=read_end,
                       REPLY_MS=SHORT) as client:
            os.write(write_end, b'one')
            threading.Event().wait(3 * SHORT / 1000)
            os.write(write_end, b'two')
            os.close(write_end)
            self.assertEqual(client.end(), (0, OK_SHOWN, b''))
        os.close(read_end)
        self.assertEqual(fake.result[1], b'onetwo')

    def test_slow_server_slows_the_source(self):
        """The source is not read faster than the server reads."""
        total = 64 << 20
        taken, waiting = threading.Event(), threading.Event()
        sent = [0]

        def source(conn):
            conn.head()
            conn.send(b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' %
                      total)
            while sent[0] < total:
                ready = select.select([], [conn.socket], [],
                                      wire.LIMIT if taken.is_set() else 0.5)
                if not ready[1]:
                    waiting.set()  # all buffers between us are full
                    if not taken.wait(wire.LIMIT):
                        raise wire.Failure('the server never reads')
                    continue
                sent[0] += conn.socket.send(b'x' * 65536)

        def server(conn):
            conn.head()
            if not waiting.wait(wire.LIMIT):
                raise wire.Failure('the source was read to its end')
            held_back = sent[0]
            taken.set()
            got = sum(len(chunk) for chunk in iter(conn.chunk, b''))
            conn.send(OK)
            return held_back, got

        with Fake(source) as source, Fake(server) as server, \
                Client('-s', source.url, server.url) as client:
            self.assertEqual(client.end(), (0, OK_SHOWN, b''))
        held_back, got = server.result
        self.assertEqual(got, total)
        self.assertLess(held_back, total // 2)

    def test_flat_memory(self):
        """The same for 8 MB and for 128 MB."""
        in_use = []

        def server(conn):
            conn.head()
            n = 0
            for chunk in iter(conn.chunk, b''):
                n += len(chunk)
            in_use.append(client.rss())
            conn.send(OK)
            return n

        for megabytes in (8, 128):
            body = b'HTTP/1.1 200 OK\r\n\r\n' + b'x' * (megabytes << 20)
            with Fake(answering(body)) as source, Fake(server) as server_, \
                    Client('-s', source.url, server_.url) as client:
                self.assertEqual(client.end(), (0, OK_SHOWN, b''))
            self.assertEqual(server_.result, megabytes << 20)
        self.assertLess(in_use[1] - in_use[0], 4 << 20)


class Buffering(Case):
    def get(self, raw):
        with Fake(answering(raw)) as fake:
            done = post('-g', fake.url + '/ncb3/some.json')
        head, _ = fake.result
        self.assertEqual(head, b'GET /ncb3/some.json HTTP/1.1\r\n'
                         b'Host: 127.0.0.1:%d\r\n'
                         b'Connection: close\r\n\r\n' % fake.port)
        return done

    @staticmethod
    def ok(body):
        return (b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body) +
                body)

    def test_guid(self):
        for body, guid in ((b'{"guid":"9c4e"}', b'9c4e'),
                           (b' {"a":[{"guid":1}],"guid" : "x"}\n', b'x'),
                           (b'{"guid":"a\\u00e9\\n"}', b'a\xc3\xa9\n'),
                           (b'{"guid":7}', b'7'),
                           (b'{"gu\\u0069d":{"a":1}}', b'{"a":1}'),
                           (b'{"guid":1,"guid":2}', b'2')):
            with self.subTest(body=body):
                self.assert_shown(self.get(self.ok(body)),
                                  b'GUID: ' + guid + b'\n')

    def test_framings(self):
        self.assert_shown(self.get(b'HTTP/1.1 200 OK\r\n\r\n{"guid":"x"}'),
                          b'GUID: x\n')
        self.assert_shown(
            self.get(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n'
                     b'7\r\n{"guid"\r\n5\r\n:"x"}\r\n0\r\n\r\n'),
            b'GUID: x\n')

    def test_bad(self):
        for body in (b'', b'{', b'{"guid":"x",}', b'oops', b'\xef\xbb\xbf{}',
                     b'{"guid":"\xff"}', b'{"guid":"x"}}'):
            self.assert_error(self.get(self.ok(body)), 'not JSON')
        for body in (b'{}', b'[]', b'null', b'"guid"', b'{"GUID":"x"}',
                     b'{"a":{"guid":"x"}}'):
            self.assert_error(self.get(self.ok(body)), 'no guid')

    def test_truncated(self):
        self.assert_error(self.get(self.ok(b'{"guid":"x"}  ')[:-2]),
                          'closed after 12 bytes of the body: truncated')

    def test_size(self):
        """16 MiB are held, and one byte more is refused."""
        limit = 16 << 20
        body = b'{"guid":"x"}'.ljust(limit)
        self.assert_shown(self.get(self.ok(body)), b'GUID: x\n')

        def script(conn):
            conn.request()
            try:
                conn.send(self.ok(body + b' '))
            except OSError:
                pass  # it may leave as soon as it is too much

        with Fake(script) as fake:
            self.assert_error(post('-g', fake.url), 'over %d bytes' % limit)

    def test_claimed_size_is_not_believed(self):
        with Fake(answering(b'HTTP/1.1 200 OK\r\nContent-Length: '
                            b'18446744073709551615\r\n\r\n{}')) as fake:
            self.assert_error(post('-g', fake.url), 'truncated')

    def test_refusal_is_shown(self):
        raw = (b'HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\n'
               b'{"guid":"x"}')
        self.assert_shown(self.get(raw),
                          b'\n Status: 404\n Body: {"guid":"x"}\n\n', 4)


class Multipart(Case):
    def upload(self, *paths, preexec=None):
        """The head, and the parts as an independent parser sees them."""
        with Fake(answering(OK)) as fake, \
                Client('-m', *paths, '-u', fake.url + '/up',
                       preexec=preexec) as client:
            self.assertEqual(client.end(), (0, OK_SHOWN, b''))
        head, body = fake.result
        kind = re.search(rb'\r\n(Content-Type: multipart/form-data; '
                         rb'boundary=([\w-]+))\r\n', head)
        self.boundary = kind.group(2)
        self.head, self.body = head, body
        parts = (b'\r\n' + body).split(b'\r\n--' + self.boundary)
        self.assertEqual((parts[0], parts[-1]), (b'', b'--\r\n'))
        split = [part.split(b'\r\n\r\n', 1) for part in parts[1:-1]]
        parser = email.parser.BytesParser(policy=email.policy.HTTP)
        message = parser.parsebytes(kind.group(1) + b'\r\n\r\n' + body)
        self.assertEqual(len(list(message.iter_parts())), len(split))
        return [(part[0].decode(), part[1]) for part in split]

    def test_parts(self):
        folder = self.files(a_txt=b'hello\n', b_JPG=bytes(range(256)),
                            c_bin=b'', d=b'\r\n--\r\n')
        parts = self.upload(*('%s/%s' % (folder, name) for name in
                              ('a.txt', 'b.JPG', 'c.bin', 'd')))
        names = ['a.txt', 'b.JPG', 'c.bin', 'd']
        types = ['text/plain', 'image/jpeg'] + 2 * ['application/octet-stream']
        bodies = [b'hello\n', bytes(range(256)), b'', b'\r\n--\r\n']
        for i, (head, body) in enumerate(parts):
            self.assertEqual(head, '\r\nContent-Disposition: form-data; '
                             'name="userfile%d"; filename="%s"\r\n'
                             'Content-Type: %s' % (i, names[i], types[i]))
            self.assertEqual(body, bodies[i])
        self.assertEqual(len(parts), 4)
        self.assertTrue(self.head.startswith(b'POST /up HTTP/1.1\r\n'))
        self.assertIn(b'\r\nTransfer-Encoding: chunked\r\n', self.head)

    def test_names(self):
        folder = self.files()
        for name, written in (('we"ird.txt', 'we%22ird.txt'),
                              ('a\r\nX: y', 'a%0D%0AX: y'),
                              ('back\\slash', 'back\\slash'),
                              ('café %41;', 'café %41;'), ('.txt', '.txt')):
            with self.subTest(name=name):
                path = os.path.join(folder, name)
                with open(path, 'wb') as file:
                    file.write(b'x')
                (head, body), = self.upload(path)
                self.assertIn('filename="%s"\r\n' % written, head)
                self.assertEqual((head.count('\r\n'), body), (2, b'x'))

    def test_boundary_is_random(self):
        path = self.files(a=b'x') + '/a'
        self.upload(path)
        first = self.boundary
        self.upload(path)
        self.assertNotEqual(self.boundary, first)
        self.assertGreaterEqual(len(first), 22)
        self.assertLessEqual(len(first), 70)

    def test_checked_beforehand(self):
        folder = self.files(a=b'x')
        for bad, words in ((folder + '/none', 'No such file'),
                           (folder, 'Is a directory')):
            with Fake(answering(OK)) as fake:
                done = post('-m', folder + '/a', bad, '-u', fake.url)
                self.assert_error(done, words)
                self.assertIn(bad.encode(), done.stderr)
            self.assertEqual(fake.results, [])

    @unittest.skipIf(os.geteuid() == 0, 'root may read everything')
    def test_unreadable(self):
        folder = self.files(a=b'x')
        os.chmod(folder + '/a', 0)
        with Fake(answering(OK)) as fake:
            self.assert_error(post('-m', folder + '/a', '-u', fake.url),
                              'Permission denied')
        self.assertEqual(fake.results, [])

    def test_hostile_name_in_a_message(self):
        done = post('-m', '/nowhere/\x1b[31m\n')
        self.assert_error(done, re.escape('\\x1B[31m\\x0A: '))

    def test_many_files_few_descriptors(self):
        folder = self.files(**{'f%d' % i: b'%d' % i for i in range(50)})
        parts = self.upload(*('%s/f%d' % (folder, i) for i in range(50)),
                            preexec=wire.files_at_most(12))
        self.assertEqual([body for _, body in parts],
                         [b'%d' % i for i in range(50)])

    def test_file_that_changes_its_size(self):
        """What is there when it is read is what goes, whole chunks of it."""
        folder = self.files(a=b'x' * (8 << 20), b=b'y')
        begun = threading.Event()

        def script(conn):
            head = conn.head()
            conn.chunk()
            begun.set()
            if not grown.wait(wire.LIMIT):
                raise wire.Failure('not grown')
            body = b''.join(conn.chunks())
            conn.send(OK)
            return body

        grown = threading.Event()
        with Fake(script, small=True) as fake, \
                Client('-m', folder + '/a', folder + '/b', '-u',
                       fake.url) as client:
            self.assertTrue(begun.wait(wire.LIMIT))
            with open(folder + '/a', 'ab') as file:
                file.write(b'z' * 1000)
            grown.set()
            self.assertEqual(client.end(), (0, OK_SHOWN, b''))
        self.assertIn(b'xz' + b'z' * 999 + b'\r\n--', fake.result)

    def test_file_that_vanishes(self):
        """Between the check and its turn: the POST has no end."""
        folder = self.files(a=b'x' * (8 << 20), b=b'y')
        gone = threading.Event()

        def script(conn):
            conn.head()
            conn.chunk()
            os.unlink(folder + '/b')
            return conn.rest()

        with Fake(script, small=True) as fake:
            done = post('-m', folder + '/a', folder + '/b', '-u', fake.url)
            self.assert_error(done, 'b: No such file or directory; '
                              'the POST was broken off')
        self.assertNotIn(b'\r\n0\r\n\r\n', fake.result)

    def test_pipe_as_a_file(self):
        folder = self.files()
        fifo = folder + '/fifo.json'
        os.mkfifo(fifo)

        def feed():
            with open(fifo, 'wb') as pipe:
                pipe.write(b'{"a":1}')

        feeding = threading.Thread(target=feed, daemon=True)
        feeding.start()
        (head, body), = self.upload(fifo)
        feeding.join(wire.LIMIT)
        self.assertEqual(body, b'{"a":1}')
        self.assertIn('Content-Type: application/json', head)

    def test_flat_memory(self):
        folder = self.files()
        path = folder + '/big'
        in_use = []

        def script(conn):
            conn.head()
            n = sum(len(chunk) for chunk in iter(conn.chunk, b''))
            in_use.append(client.rss())
            conn.send(OK)
            return n

        for megabytes in (8, 128):
            with open(path, 'wb') as file:
                file.truncate(megabytes << 20)
            with Fake(script) as fake, \
                    Client('-m', path, '-u', fake.url) as client:
                self.assertEqual(client.end(), (0, OK_SHOWN, b''))
            self.assertGreater(fake.result, megabytes << 20)
        self.assertLess(in_use[1] - in_use[0], 4 << 20)


class Terminal(Case):
    """What a person sees, and what a hostile server cannot do to him."""

    def seen(self, raw, *args, trickle=False):
        main, side = pty.openpty()
        out = b''
        with Fake(answering(raw, trickle=trickle)) as fake, \
                Client(*args, fake.url, stdout=side) as client:
            os.close(side)
            while True:
                try:
                    piece = os.read(main, 65536)
                except OSError:  # the terminal has no more users
                    break
                if not piece:
                    break
                out += piece
            status, _, err = client.end()
        os.close(main)
        return status, out.replace(b'\r\n', b'\n'), err

    def test_body(self):
        body = ('a\tb\nc\r\nd \x1b[31mred\x07 \x00 \x7f é 你 😀 \u009b '
                '\u202e').encode() + b' \xff\xc3 \r'
        shown = ('a\tb\nc\nd \\x1B[31mred\\x07 \\x00 \\x7F é 你 😀 \\xC2\\x9B '
                 '\\xE2\\x80\\xAE \\xFF\\xC3 \\x0D').encode()
        raw = (b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n' % len(body) +
               body)
        for trickle in (False, True):
            with self.subTest(trickle=trickle):
                self.assertEqual(self.seen(raw, trickle=trickle),
                                 (0, b'\n Status: 200\n Body: ' + shown +
                                  b'\n\n', b''))

    def test_character_cut_off(self):
        raw = b'HTTP/1.1 200 OK\r\n\r\nend \xe4\xbd'
        self.assertEqual(self.seen(raw)[1],
                         b'\n Status: 200\n Body: end \\xE4\\xBD\n\n')

    def test_guid(self):
        raw = b'HTTP/1.1 200 OK\r\n\r\n{"guid":"\\u001b[2J\\n"}'
        self.assertEqual(self.seen(raw, '-g'),
                         (0, b'GUID: \\x1B[2J\\x0A\n', b''))

    def test_location(self):
        raw = (b'HTTP/1.1 302 X\r\nLocation: /\xc2\x9b2J\r\n'
               b'Content-Length: 0\r\n\r\n')
        self.assertEqual(self.seen(raw)[1], b'\n Status: 302\n'
                         b' Location: /\\xC2\\x9B2J\n Body: \n\n')

    def test_error_has_a_line_of_its_own(self):
        raw = b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf'
        status, out, err = self.seen(raw)
        self.assertEqual((status, out), (1, b'\n Status: 200\n Body: half\n'))
        self.assertIn(b'truncated', err)


class Waiting(Case):
    """Whoever is slow, waiting for him costs nothing."""

    def test_for_stdin(self):
        read_end, write_end = os.pipe()
        with Fake(answering(OK)) as fake, \
                Client('-s', '-', fake.url, stdin=read_end) as client:
            os.write(write_end, b'x')
            wire.assert_idle(client)
            os.close(write_end)
            self.assertEqual(client.end(), (0, OK_SHOWN, b''))
        os.close(read_end)

    def test_for_a_server_that_takes_nothing(self):
        go = threading.Event()

        def script(conn):
            go.wait(wire.LIMIT)
            conn.request()
            conn.send(OK)

        with Fake(script) as fake, \
                Client('-m', self.files(a=b'x' * (32 << 20)) + '/a', '-u',
                       fake.url) as client:
            wire.assert_idle(client)
            go.set()
            self.assertEqual(client.end(), (0, OK_SHOWN, b''))

    def test_for_the_reader_of_stdout(self):
        """The server has even closed meanwhile."""
        body = b'x' * (1 << 20)
        with Fake(answering(b'HTTP/1.1 200 OK\r\n\r\n' + body)) as fake, \
                Client(fake.url, REPLY_MS=SHORT) as client:
            wire.assert_idle(client)
            self.assertEqual(client.end(), (0, b'\n Status: 200\n Body: ' +
                                            body + b'\n\n', b''))

    def test_for_the_end_of_a_refusal(self):
        """The source still has something, but nobody wants it."""
        go = threading.Event()

        def script(conn):
            conn.head()
            conn.send(TOO_LARGE[:-4])
            go.wait(wire.LIMIT)
            conn.send(TOO_LARGE[-4:])
            conn.rest()

        with open('/dev/zero', 'rb') as zeros, Fake(script) as fake, \
                Client('-s', '-', fake.url, stdin=zeros) as client:
            wire.assert_idle(client)
            go.set()
            self.assertEqual(client.end(), (4, TOO_LARGE_SHOWN, b''))


class Trace(Case):
    def test_both_conversations(self):
        with Fake(answering(OK)) as source, Fake(answering(OK)) as server:
            done = post('-s', source.url, server.url, TRACE=1)
            self.assertEqual((done.returncode, done.stdout), (0, OK_SHOWN))
        lines = done.stderr.decode().split('\n')
        self.assertIn('# 127.0.0.1 port %d' % source.port, lines)
        self.assertIn('# 127.0.0.1 port %d' % server.port, lines)
        for line in ('C: GET / HTTP/1.1', 'C: POST / HTTP/1.1', 'C: 2',
                     'C: ok', 'C: 0', 'S: HTTP/1.1 200 OK', 'S: ok\\'):
            self.assertIn(line, lines)


class Others(Case):
    """The other recipes, as peers."""
    needs = ['post-form']

    def test_post_form(self):
        with wire.Server('post-form') as server:
            base = 'http://127.0.0.1:%d' % server.port
            done = post(base + '/api/users')
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            shown = re.fullmatch(rb'\n Status: 201\n Body: (\{.*\})\n\n',
                                 done.stdout, re.DOTALL)
            mirrored = json.loads(shown.group(1))
            self.assertEqual((mirrored['name'], mirrored['company']),
                             ('Cian Ó Maidín', 'nearForm'))
            self.assertRegex(post('-g', base + '/ncb3/some.json').stdout,
                             rb'\AGUID: [0-9a-f-]{36}\n\Z')
            done = post('-s', base + '/api/users', base + '/api/users')
            self.assertEqual(done.returncode, 0)
            self.assertIn(b'"first_name":"george"', done.stdout)

    def test_too_large(self):
        """post-form takes 2 MiB."""
        with wire.Server('post-form') as server:
            url = 'http://127.0.0.1:%d/api/users' % server.port
            for args in (['-d', '-', url], ['-s', '-', url]):
                done = post(*args, stdin=b'1' * (20 << 20))
                self.assertEqual((done.returncode, done.stderr), (4, b''))
                self.assertIn(b' Status: 413\n', done.stdout)


class Uploads(Case):
    needs = ['file-upload']

    def test_its_own_source_twice(self):
        """The book's test: what is sent is what arrives."""
        path = os.path.join(wire.TOP, 'post-request', 'post-request.c')
        with open(path, 'rb') as file:
            source = file.read()
        with wire.Server('file-upload') as server:
            done = post('-m', path, path, '-u',
                        'http://127.0.0.1:%d/' % server.port)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            self.assertIn(b'post-request.c successfully saved!\n'
                          b'post-request.c successfully saved!\n'
                          b'All files processed!', done.stdout)
            folder = os.path.join(server.root, 'uploads')
            saved = [name for name in os.listdir(folder)
                     if not name.startswith('.')]
            self.assertEqual(len(saved), 2)
            for name in saved:
                with open(os.path.join(folder, name), 'rb') as file:
                    self.assertEqual(file.read(), source)


if __name__ == '__main__':
    wire.main()
