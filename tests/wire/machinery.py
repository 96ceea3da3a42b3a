#!/usr/bin/env python3
"""Can the tests be trusted? Here they meet a small server in Python, which
does as it should or does not: the machinery must tell the difference."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

import wire

TESTS = os.path.join(wire.TOP, 'tests')
sys.path.insert(0, TESTS)
import play  # noqa: E402
import readme  # noqa: E402

# One line in, one line out; `bye` closes. FAKE says what goes wrong.
FAKE_SERVER = r'''#!/usr/bin/env python3
import os, signal, socket, sys
fake = os.environ.get('FAKE', '')
status = 3 if fake == 'status' else 0
signal.signal(signal.SIGTERM, lambda *_: os._exit(status))
listener = socket.create_server(('127.0.0.1', int(os.environ['PORT'])))
print('{"address":"127.0.0.1","family":"IPv4","port":%d}' %
      listener.getsockname()[1], flush=True)
if fake == 'report':
    print('x.c:1:2: runtime error: signed overflow', file=sys.stderr)
while fake == 'spin':
    pass
while True:
    peer, _ = listener.accept()
    file = peer.makefile('rwb')
    for line in file:
        print('heard', line.decode().rstrip(), flush=True)
        file.write(b'you said ' + line)
        if fake == 'extra':
            file.write(b'and more')
        file.flush()
        if line == b'bye\r\n':
            break
    file.close()
    peer.close()
'''

SESSION = '''\
# program: %s
# env: FAKE=%s
C: one
S: you said one
C: \\(5)\\x79\\\\
S: you \\(4) \\(5)y\\\\
---
C: Mon, 23 Nov 2026 16:29:00 GMT
S: you said Tue, 24 Nov 2026 00:00:00 GMT
C: bye
S: you said %s
S: <close>
'''

README = '''\
# A recipe

```console
$ ./rest-server
{"address":"127.0.0.1","family":"IPv4","port":8080}
```

```console skip
$ false
never seen
```

```console
$ printf 'port 8080\\r\\nbye\\r\\n' | nc -N localhost 8080
you said port 8080
you said %s
$ printf 'a\\nb\\nc\\n1482249544330'
a
...
1482249500000
$ echo one \\
> two; false
one two
```

```console
heard port 8080
heard %s
```

```console
$ ./rest-server
{"address":"127.0.0.1","family":"IPv4","port":9090}
$ printf 'bye\\r\\n' | nc -N localhost 9090
you said bye
```
'''


class Case(unittest.TestCase):
    """With a folder of its own, in which a fake rest-server stands."""

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='machinery-')
        self.addCleanup(shutil.rmtree, self.folder)
        os.mkdir(os.path.join(self.folder, 'rest-server'))
        self.fake = self.write('rest-server/rest-server', FAKE_SERVER)
        os.chmod(self.fake, 0o755)
        for patch in (mock.patch.object(wire, 'TOP', self.folder),
                      mock.patch.object(wire, 'LIMIT', 2),
                      mock.patch.dict(os.environ)):
            patch.start()
            self.addCleanup(patch.stop)
        os.environ.pop('BUILD', None)

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, 'w', encoding='utf-8') as file:
            file.write(text)
        return path

    def counts(self, function, *args):
        """What it returns; and what it prints, as self.told."""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            result = function(*args)
        self.told = out.getvalue()
        return result


class Sessions(Case):
    def play(self, fake='', last='bye'):
        path = self.write('a.txt', SESSION % ('rest-server', fake, last))
        return self.counts(play.play, play.Session(path))

    def test_right_session_passes_in_three_ways(self):
        self.assertEqual(self.play(), (3, 0))

    def test_other_byte_fails(self):
        self.assertEqual(self.play(last='byf'), (0, 3))
        self.assertIn('S: you said byf\n', self.told)
        self.assertIn('got:\nS: you said bye\n', self.told)
        self.assertIn('again: python3 tests/play.py a.txt\n', self.told)

    def test_missing_byte_fails(self):
        self.assertEqual(self.play(last='bye...'), (0, 3))

    def test_more_bytes_fail(self):
        self.assertEqual(self.play(fake='extra'), (0, 3))

    def test_bytes_after_the_end_fail(self):
        path = self.write('a.txt', '# program: rest-server\n'
                                   '# env: FAKE=extra\n'
                                   'C: one\nS: you said one\n')
        self.assertEqual(self.counts(play.play, play.Session(path)), (0, 3))

    def test_wrong_exit_status_fails(self):
        self.assertEqual(self.play(fake='status'), (0, 3))

    def test_sanitizer_report_fails(self):
        self.assertEqual(self.play(fake='report'), (0, 3))

    def test_what_is_got_is_written_as_a_session(self):
        data = b'a\\b\x00\r\n\r\nc\n' + b'd' * 500
        self.assertEqual(play.written('S', data), [
            'S: a\\\\b\\x00', 'S: ',
            'S: c\\x0A' + 398 * 'd' + '\\(102)\\'])


class Readmes(Case):
    def play(self, first='bye', second='bye'):
        self.write('rest-server/README.md', README % (first, second))
        return self.counts(readme.play_recipe, 'rest-server')

    def test_right_readme_matches(self):
        self.assertEqual((7, 0), self.play(), self.told)

    def test_other_output_does_not(self):
        self.assertEqual((6, 1), self.play(first='byf'), self.told)
        self.assertIn('FAILED rest-server/README.md:14\n', self.told)
        self.assertIn('    you said byf\n', self.told)
        self.assertIn('    you said bye\n', self.told)

    def test_other_server_output_does_not(self):
        self.assertEqual((6, 1), self.play(second='byf'), self.told)

    def test_wrong_exit_status_does_not(self):
        os.environ['FAKE'] = 'status'
        self.assertEqual((7, 2), self.play(), self.told)

    def test_stand_ins_do_as_well(self):
        with mock.patch.object(shutil, 'which', return_value=None):
            self.assertEqual((7, 0), self.play(), self.told)


class Servers(Case):
    def server(self, fake):
        return wire.Server([self.fake], FAKE=fake)

    def test_spinning_is_noticed(self):
        with self.assertRaisesRegex(wire.Failure, 'used'):
            with self.server('spin') as server:
                wire.assert_idle(server)

    def test_waiting_is_idle(self):
        with self.server('') as server:
            wire.assert_idle(server)
            self.assertEqual(wire.exchange(server, b'x\r\n'),
                             b'you said x\r\n')
            self.assertEqual(server.wait_line('heard'), 'heard x')

    def test_what_had_come_is_told(self):
        with self.assertRaisesRegex(wire.Failure, "after b'you said x"):
            with self.server('') as server:
                peer = server.connect()
                peer.send(b'x\r\n')
                peer.recv_until(b'never', limit=0.2)

    def test_dead_server_is_a_failure(self):
        with self.assertRaisesRegex(wire.Failure, 'status -9'):
            with self.server('') as server:
                server.signal(9)
                server.wait()

    def test_asked_for_death_is_none(self):
        with self.server('') as server:
            server.kill()


HTTP_SERVER = r'''
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def version_string(self): return 'fake'
    def date_time_string(self): return 'Mon, 23 Nov 2026 16:29:00 GMT'
    def log_message(self, *_): pass
    def answer(self):
        h = self.headers
        body = self.rfile.read(int(h.get('Content-Length', 0)))
        if h.get('Transfer-Encoding'):
            body = b''
            while True:
                size = int(self.rfile.readline(), 16)
                body += self.rfile.read(size + 2)[:size]
                if size == 0: break
        kind = h.get('Content-Type', '')
        if 'boundary=' in kind:
            body = body.replace(kind.split('boundary=')[1].encode(), b'BB')
            kind = kind.split(';')[0]
        text = '%s|%s|%s|%s|%s|%s' % (
            self.requestline, h.get('Accept'), kind, h.get('X-A'),
            h.get('Transfer-Encoding'),
            self.command == 'POST' and h.get('Expect'))
        data = text.encode() + b'|' + body
        self.send_response(404 if self.path == '/none' else 200)
        self.send_header('Content-Length', len(data))
        self.end_headers()
        if self.command != 'HEAD': self.wfile.write(data)
    def handle_expect_100(self):
        if self.path != '/no': return super().handle_expect_100()
        self.send_response(413)
        self.send_header('Content-Length', 0)
        self.end_headers()
        self.close_connection = True
        return False
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print('{"address":"127.0.0.1","port":%d}' % server.server_port, flush=True)
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server.serve_forever()
'''


class StandIns(Case):
    """Whether the stand-in for curl does what curl does; where there is no
    curl, at least that it runs."""

    def output(self, tool, words, url):
        done = subprocess.run([tool] + words + url, cwd=self.folder,
                              input=b'from stdin', stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=10)
        return done.returncode, done.stdout, done.stderr

    def test_curl(self):
        self.write('a.txt', 'one\r\ntwo\n')
        self.write('mib', 'a' * 2 ** 20)
        self.write('more', 'a' * (2 ** 20 + 1))
        stand_in = os.path.join(TESTS, 'bin', 'curl')
        real = shutil.which('curl') or stand_in
        lines = [
            '/', '-i /?a=b', '-I /', '-i /none', '-d a=1 -d b=2 /',
            '-d @a.txt /', '--data-binary @a.txt /', '-X DELETE /',
            '-d {} -H Content-Type:application/json /',
            '-H X-A:1 -H Accept: /',
            '-F a=1 -F f=@a.txt -F g=@a.txt;type=x/y;filename=z /',
            '-T a.txt /', '-T a.txt /b', '-T - /b', '-T - /b -H X-A:2',
            '-d a -H Transfer-Encoding:chunked /', '-o out /',
            '-d @mib /', '-d @more /', '-i -d @more /no',
            '-d @more -H Expect: /no',
            '-o /dev/null -w %{http_code}\\n /none']
        server = wire.Server([sys.executable, '-c', HTTP_SERVER])
        with server:
            for line in lines:
                words = ['-s']
                words += [('http://localhost:%d' % server.port) + word
                          if word.startswith('/') and word != '/dev/null'
                          else word for word in line.split()]
                with self.subTest(line):
                    self.assertEqual(self.output(stand_in, words, []),
                                     self.output(real, words, []))

    def test_curl_into_a_pipe_that_closes(self):
        server = wire.Server([sys.executable, '-c', HTTP_SERVER])
        with server:
            done = subprocess.run(
                ['sh', '-c', '"$0" -s -d @- http://localhost:%d/ | true' %
                 server.port, os.path.join(TESTS, 'bin', 'curl')],
                input=b'a' * 2 ** 20, stderr=subprocess.PIPE, timeout=10)
        self.assertEqual(done.stderr, b'')

    def test_curl_without_a_server(self):
        stand_in = os.path.join(TESTS, 'bin', 'curl')
        status, _, told = self.output(stand_in, ['localhost:1'], [])
        self.assertEqual(status, 7)
        self.assertIn(b'curl: (7) Failed to connect to localhost', told)


if __name__ == '__main__':
    wire.main()
