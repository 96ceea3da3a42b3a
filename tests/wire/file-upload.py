#!/usr/bin/env python3
"""file-upload on the wire: what is uploaded is saved whole and alone, or
nothing is left of it."""

import os
import re
import resource
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import time
import unittest

import wire

MAX_FILE = 51200
B = 'AaB03x'
TYPE = 'multipart/form-data; boundary=' + B
DONE = 'All files processed!'
PUBLIC = os.path.join(wire.TOP, 'file-upload', 'public')


# ---- requests ---------------------------------------------------------------

def head(method, path, length, *more, version='1.1'):
    lines = ['%s %s HTTP/%s' % (method, path, version), 'Host: localhost']
    if length is not None:
        lines.append('Content-Length: %d' % length)
    return '\r\n'.join(lines + list(more) + ['', '']).encode()


def get(path='/', *more):
    return head('GET', path, None, *more)


def put(body, name='a.txt', field='userfile1', *more, path='/'):
    names = ['X-%s: %s' % item for item in
             (('Field', field), ('Filename', name)) if item[1] is not None]
    return head('PUT', path, len(body), *names, *more) + body


def part(disposition, body=b'', *more):
    lines = ['--' + B, 'Content-Disposition: form-data; ' + disposition]
    return ('\r\n'.join(lines + list(more)).encode() + b'\r\n\r\n' + body +
            b'\r\n')


def file_part(body=b'hello', name='a.txt', field='userfile1'):
    return part('name="%s"; filename="%s"' % (field, name), body,
                'Content-Type: application/octet-stream')


def text_part(value, field='userinput1'):
    return part('name="%s"' % field, value)


END = b'--' + B.encode() + b'--\r\n'


def post(body, type=TYPE, *more):
    more = list(more) + (['Content-Type: ' + type] if type else [])
    return head('POST', '/', len(body), *more) + body


def form(*parts):
    return post(b''.join(parts) + END)


def chunked(body, size=7):
    data = b''.join(b'%x\r\n%s\r\n' % (len(piece), piece) for piece in
                    (body[i:i + size] for i in range(0, len(body), size)))
    return data + b'0\r\n\r\n'


def lines(*names):
    """The answer to a form, with these lines before the last."""
    return ''.join(name + '\n' for name in names) + DONE


def saved_line(name='a.txt'):
    return name + ' successfully saved!'


# ---- uploads/ ---------------------------------------------------------------

def listing(root):
    """All that is in uploads/ but the lock."""
    return sorted(name for name in os.listdir(os.path.join(root, 'uploads'))
                  if name != '.lock')


def until(ready, what):
    """For what the server does unasked, when a peer has gone."""
    end = time.monotonic() + wire.LIMIT
    while not ready():
        if time.monotonic() > end:
            raise wire.Failure('waited in vain for: ' + what)
        time.sleep(0.005)


def no_core():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def small_files():
    """No file may be over 100,000 bytes: a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))


class Case(unittest.TestCase):
    def start(self, *args, **settings):
        server = wire.Server('file-upload', *args, **settings)
        server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.server = server
        return server

    def check(self, response, status, body=None, type='text/plain'):
        self.assertEqual(response.status, status, response.raw[:500])
        if body is not None:
            self.assertEqual(response.body.decode(), body)
        self.assertEqual(response.headers['Content-Type'].split(';')[0], type)
        self.assertEqual(response.headers['X-Content-Type-Options'], 'nosniff')
        self.assertRegex(response.headers['Date'], r' GMT$')
        self.assertIn(response.headers['Connection'], ('close', 'keep-alive'))
        return response

    def ask(self, request, status=200, body=None, **options):
        with self.server.connect() as peer:
            peer.send(request)
            return self.check(peer.read_response(), status, body, **options)

    def check_next(self, peer):
        """The connection goes on."""
        peer.send(get('/healthz'))
        self.check(peer.read_response(), 200, '{"status":"ok"}',
                   'application/json')

    def files(self):
        """What has been saved: field, name and content of each file. It is
        taken away."""
        found = []
        for name in listing(self.server.root):
            path = os.path.join(self.server.root, 'uploads', name)
            match = re.fullmatch(r'(.*?)-(1\d{12})-(.*)', name, re.DOTALL)
            self.assertTrue(match, name)
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            self.assertEqual(os.stat(path).st_nlink, 1)
            with open(path, 'rb') as file:
                found.append((match.group(1), match.group(3), file.read()))
            os.remove(path)
        return found

    def check_empty(self):
        until(lambda: not listing(self.server.root), 'an empty uploads/, not ' +
              ', '.join(listing(self.server.root)))


class OneServer(Case):
    """One server for all tests of a class; it must be well at the end."""
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = wire.Server('file-upload', **cls.settings).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def tearDown(self):
        for peer in self.server.peers:
            peer.close()
        self.server.peers.clear()
        self.check_empty()


# ---- what is asked ----------------------------------------------------------

class Pages(OneServer):
    def page(self, name):
        with open(os.path.join(PUBLIC, name), encoding='utf-8') as file:
            return file.read()

    def test_pages(self):
        for path, name, type in (
                ('/', 'form.html', 'text/html'),
                ('/any/path', 'form.html', 'text/html'),
                ('/put', 'put.html', 'text/html'),
                ('/put?x', 'put.html', 'text/html'),
                ('/put.js', 'put.js', 'text/javascript'),
                ('/style.css', 'style.css', 'text/css')):
            with self.subTest(path):
                text = self.page(name)
                response = self.ask(get(path), 200, text, type=type)
                with self.server.connect() as peer:
                    peer.send(head('HEAD', path, None))
                    of_head = self.check(peer.read_response(head=True), 200,
                                         '', type)
                    self.check_next(peer)
                self.assertEqual(of_head.headers['Content-Length'],
                                 str(len(text.encode())))
                policy = response.headers['Content-Security-Policy']
                self.assertEqual(policy is not None, type == 'text/html')

    def test_the_forms_fields(self):
        text = self.page('form.html')
        for words in ('enctype="multipart/form-data"', 'method="POST"',
                      'type="text" id="userinput1" name="userinput1"',
                      'type="file" id="userfile1" name="userfile1"',
                      'type="file" id="userfile2" name="userfile2"'):
            self.assertIn(words, text)

    def test_nothing_inline(self):
        for name in ('form.html', 'put.html'):
            self.assertNotRegex(self.page(name),
                                r'<style|style=|<script>|\son\w+=|https?:')

    def test_other_methods(self):
        for method in ('DELETE', 'PATCH', 'OPTIONS', 'get', 'TRACE'):
            for path in ('/', '/healthz'):
                response = self.ask(head(method, path, None), 405,
                                    'Method Not Allowed')
                self.assertEqual(response.headers['Allow'],
                                 'GET, HEAD, POST, PUT')

    def test_health(self):
        self.ask(get('/healthz'), 200, '{"status":"ok"}',
                 type='application/json')

    def test_http(self):
        """A sample; all of it is tested with rest-server."""
        self.ask(b'GET / HTTP/1.1\r\n\r\n', 400, 'Bad Request')
        self.ask(b'GET / HTTP/2.0\r\nHost: x\r\n\r\n', 505)
        self.ask(get('/' + 'x' * 9000), 414)
        self.ask(get('/', 'X: ' + 'x' * 40000), 431)
        self.ask(head('POST', '/', 5, 'Transfer-Encoding: chunked'), 400)
        self.ask(put(b'x', 'a', 'f', 'Expect: a miracle'), 417)


class Forms(OneServer):
    def test_one_file(self):
        with self.server.connect() as peer:
            for _ in range(2):
                peer.send(form(file_part()))
                response = self.check(peer.read_response(), 200,
                                      lines(saved_line()))
                self.assertEqual(response.headers['Connection'], 'keep-alive')
        self.assertEqual(self.files(),
                         2 * [('userfile1', 'a.txt', b'hello')])

    def test_all_field_types(self):
        self.ask(form(text_part(b'hi there'), file_part(),
                      file_part(b'', 'empty', 'userfile2')), 200,
                 lines('processed "userinput1" input.', saved_line(),
                       saved_line('empty')))
        self.assertEqual(self.files(), [('userfile1', 'a.txt', b'hello'),
                                        ('userfile2', 'empty', b'')])

    def test_nothing_chosen(self):
        none = file_part(b'', '')
        self.ask(form(none, none), 200, DONE)
        self.ask(form(), 200, DONE)
        self.ask(form(text_part(b'')), 200,
                 lines('processed "userinput1" input.'))
        self.ask(form(none, file_part()), 200, lines(saved_line()))
        self.ask(form(file_part(), none), 200, lines(saved_line()))
        self.assertEqual(len(self.files()), 2)

    def test_same_names_in_one_form(self):
        bodies = [b'A' * 10, b'bbb', b'c']
        self.ask(form(*map(file_part, bodies)), 200,
                 lines(*3 * [saved_line()]))
        self.assertEqual(sorted(file[2] for file in self.files()), bodies)

    def test_any_bytes(self):
        body = (bytes(range(256)) * 40 + b'\r\n--AaB03\r\n--AaB03xy\r\n--' +
                b'\r\r\n' + b'\r\n--' * 1000)
        request = form(file_part(body))
        for size in (1, 2, 1000, 65536):
            with self.server.connect() as peer:
                for at in range(0, len(request), size):
                    peer.send(request[at:at + size])
                self.check(peer.read_response(), 200, lines(saved_line()))
            self.assertEqual(self.files(), [('userfile1', 'a.txt', body)])

    def test_chunked(self):
        body = text_part(b'v') + file_part(b'\r\n--AaB03' * 100) + END
        for size in (1, 7, 70000):
            self.ask(head('POST', '/', None, 'Transfer-Encoding: chunked',
                          'Content-Type: ' + TYPE) + chunked(body, size), 200,
                     lines('processed "userinput1" input.', saved_line()))
            self.assertEqual(self.files()[0][2], b'\r\n--AaB03' * 100)

    def test_tiny_pieces_and_long_ones(self):
        body = (b'\r\n--AaB03xZ' * 20000 + b'y' * 5000) * 3 + b'\r\n--AaB03xZ'
        self.ask(form(file_part(body)), 200, lines(saved_line()))
        self.assertEqual(self.files()[0][2], body)

    def test_forms_of_a_form(self):
        body = file_part()
        long_head = part('name=f; filename=a.txt', b'hello',
                         'X: ' + 'x' * 20000)
        blanks = body.replace(b'AaB03x\r\n', b'AaB03x \t \r\n')
        for request in (
                post(b'preamble\r\n' + body + END + b'epilogue'),
                post(b'\r\n' + body + END), post(body + END[:-2]),
                post(blanks + END), post(long_head + END),
                post(body + END, 'MULTIPART/Form-Data;BOUNDARY="AaB03x"; x'),
                post(body + END, 'multipart/form-data; x=y;boundary=AaB03x')):
            self.ask(request, 200, lines(saved_line()))
            self.assertEqual(self.files()[0][2], b'hello')

    def test_a_file_of_any_type(self):
        self.ask(form(part('name=f; filename=a.mhtml', b'--x--',
                           'Content-Type: multipart/related; boundary=x')))
        self.assertEqual(self.files(), [('f', 'a.mhtml', b'--x--')])

    def test_encoded_parts_are_kept_as_they_are(self):
        self.ask(form(part('name=f; filename=a.txt', b'aGVsbG8=',
                           'Content-Transfer-Encoding: base64')))
        self.assertEqual(self.files(), [('f', 'a.txt', b'aGVsbG8=')])

    def test_boundaries(self):
        for length, status in ((1, 200), (70, 200), (71, 400), (300, 400)):
            b = b'b' * length
            body = file_part().replace(B.encode(), b) + b'--' + b + b'--'
            self.ask(post(body, 'multipart/form-data; boundary=' + b.decode()),
                     status)
            self.assertEqual(len(self.files()), status == 200)

    def test_malformed(self):
        """Nothing is left of what is not whole; what was, stays and is
        told."""
        whole = file_part(b'1', 'whole')
        start = b'--' + B.encode() + b'\r\n'
        for bad, after in (
                (b'', False), (file_part().replace(b'\r', b''), False),
                (file_part()[:-10], True), (file_part(), True),
                (file_part() + END[:-4], True),
                (start + b'\r\nx\r\n' + END, True),
                (start + b'Content-Type: text/plain\r\n\r\nx\r\n' + END, True),
                (part('x', b'x') + END, True),
                (part('filename=a', b'x') + END, True),
                # files within a part, as curl -F f=@a,b sends them
                (part('name=f', b'--x--\r\n', 'Content-Type: ' +
                      'multipart/mixed; boundary=x') + END, True),
                (part('name="a', b'x') + END, True),
                (file_part().replace(b'form-data', b'attachment') + END, True),
                (start + b'X: ' + b'x' * 40000 + b'\r\n\r\n' + END, True)):
            with self.subTest(bad[:200]), self.server.connect() as peer:
                peer.send(post(whole + bad))
                self.check(peer.read_response(), 400, after *
                           (saved_line('whole') + '\n') + 'Bad Request')
                self.check_next(peer)
                self.assertEqual(self.files(),
                                 after * [('userfile1', 'whole', b'1')])

    def test_no_boundary_that_fits(self):
        self.ask(post(file_part() + END, 'multipart/form-data; boundary=other'),
                 400, 'Bad Request')
        for type in ('multipart/form-data', 'multipart/form-data; boundary=',
                     'multipart/form-data; boundary="'):
            self.ask(post(file_part() + END, type), 400, 'Bad Request')
        self.ask(post(b''), 400, 'Bad Request')

    def test_other_types(self):
        for type in (None, 'text/plain', 'application/x-www-form-urlencoded',
                     'text/plain; x=multipart/form-data', 'multipart/mixed',
                     'multipart/form-data-x; boundary=' + B):
            with self.server.connect() as peer:
                peer.send(post(file_part() + END, type))
                self.check(peer.read_response(), 415, 'Unsupported Media Type')
                self.check_next(peer)

    def test_no_length(self):
        self.ask(head('POST', '/', None, 'Content-Type: ' + TYPE), 400,
                 'Bad Request')

    def test_many_parts(self):
        text = text_part(b'', 'f')
        line = 'processed "f" input.'
        self.ask(form(*1000 * [text]), 200, lines(*1000 * [line]))
        self.ask(form(*1001 * [text]), 413, '\n'.join(1000 * [line]) +
                 '\nToo Large')
        self.ask(form(*100 * [file_part()]), 200,
                 lines(*100 * [saved_line()]))
        self.assertEqual(len(self.files()), 100)

    def test_a_long_text(self):
        for n, status in ((1 << 20, 200), ((1 << 20) + 1, 413)):
            with self.server.connect() as peer:
                peer.send(form(text_part(b't' * n), text_part(b'')))
                self.check(peer.read_response(), status)
                self.check_next(peer)

    def test_a_pause_between_two_files(self):
        request = form(file_part(b'1', 'a'), file_part(b'2', 'b'))
        cut = request.index(b'--AaB03x', request.index(b'name="a"'))
        with self.server.connect() as peer:
            peer.send(request[:cut + 20])
            until(lambda: len(listing(self.server.root)) == 1, 'the first')
            peer.send(request[cut + 20:])
            self.check(peer.read_response(), 200,
                       lines(saved_line('a'), saved_line('b')))
        self.assertEqual(len(self.files()), 2)

    def test_pipelined(self):
        count = 20
        with self.server.connect() as peer:
            peer.send((form(file_part(), file_part(b'2')) + get('/healthz') +
                       put(b'x', 'p') + form(text_part(b'v'))) * count)
            for _ in range(count):
                self.check(peer.read_response(), 200,
                           lines(saved_line(), saved_line()))
                self.check(peer.read_response(), 200,
                           type='application/json')
                self.check(peer.read_response(), 200, saved_line('p') + '\n')
                self.check(peer.read_response(), 200)
        self.assertEqual(len(self.files()), 3 * count)

    def test_expect(self):
        body = file_part() + END
        with self.server.connect() as peer:
            peer.send(head('POST', '/', len(body), 'Content-Type: ' + TYPE,
                           'Expect: 100-continue'))
            self.assertEqual(peer.read_response().status, 100)
            peer.send(body)
            self.check(peer.read_response(), 200, lines(saved_line()))
            self.check_next(peer)
            peer.send(head('POST', '/', 5, 'Expect: 100-continue'))
            response = self.check(peer.read_response(), 415)
            self.assertEqual(response.headers['Connection'], 'close')
            self.assertEqual(peer.recv_all(), b'')
        self.assertEqual(len(self.files()), 1)

    def test_other_sites(self):
        for origin, status in (('http://evil.example', 403), ('null', 403),
                               ('http://localhost', 200),
                               ('http://localhost:81', 403)):
            self.ask(post(file_part() + END, TYPE, 'Origin: ' + origin), status)
            self.ask(put(b'x', 'a', 'f', 'Origin: ' + origin), status)
            self.assertEqual(len(self.files()), 2 * (status == 200))

    def test_a_body_longer_than_the_form(self):
        body = file_part() + END
        with self.server.connect() as peer:
            peer.send(head('POST', '/', len(body) + 10,
                           'Content-Type: ' + TYPE) + body)
            until(lambda: len(listing(self.server.root)) == 1, 'the file')
            peer.send(b'x' * 10)
            self.check(peer.read_response(), 200, lines(saved_line()))
        self.assertEqual(len(self.files()), 1)


class Together(Case):
    def test_text_fields_of_all_clients(self):
        """What is beyond MAX_HELD is refused; the other clients go on."""
        value = b'v' * 900000
        request = form(text_part(value))
        end = len(request) - 1000
        with wire.Server('file-upload', MAX_HELD=1) as server:
            peers = [server.connect(), server.connect()]
            for peer in peers:
                peer.send(request[:end])
            ready, _, _ = select.select([peer.socket for peer in peers], [],
                                        [], wire.LIMIT)
            refused, kept = sorted(peers, key=lambda p: p.socket not in ready)
            self.check(refused.read_response(), 503, 'Service Unavailable')
            kept.send(request[end:])
            self.check(kept.read_response(), 200,
                       lines('processed "userinput1" input.'))


    def test_parts_of_all_clients(self):
        """Each takes some memory, even one that is empty."""
        request = form(*[text_part(b'')] * 999)
        end = len(request) - 10
        with wire.Server('file-upload', MAX_HELD=1) as server:
            peers = [server.connect() for _ in range(3)]
            for peer in peers:
                peer.send(request[:end])
            ready, _, _ = select.select([peer.socket for peer in peers], [],
                                        [], wire.LIMIT)
            for peer in peers:
                if peer.socket not in ready:
                    peer.send(request[end:])
            answers = [peer.read_response() for peer in peers]
            self.assertEqual(sorted(a.status for a in answers), [200, 200, 503])


class Names(OneServer):
    """Field and name as they are sent, and as they are saved."""
    TABLE = [
        (b'a b;\'<b>.txt', 'a b;\'<b>.txt'),
        ('café 你.txt'.encode(), 'café 你.txt'),
        (b'../../x', 'x'), (b'/etc/passwd', 'passwd'), (b'a\\..\\x', 'x'),
        (b'C:\\dir\\f.txt', 'f.txt'), (b'..', 'upload'), (b'x/', 'upload'),
        (b'...hidden', 'hidden'), (b'.\x01.x', 'x'), (b'-rf', '-rf'),
        (b'a\tb\x1b[31m\x7fc', 'ab[31mc'), (b'a\xffb\xc3', 'a\ufffdb\ufffd'),
        (b'n' * 300, 'n' * 200), ('é'.encode() * 150, 'é' * 100),
        (b'n' + 'é'.encode() * 150, 'n' + 'é' * 99), (b'%2e%2e%2fx',
                                                      '%2e%2e%2fx'),
    ]

    def test_in_a_form(self):
        table = self.TABLE + [(b'%22q%22', '"q"'), (b'\\"q\\"', '"q"'),
                              (b'a\0b', 'ab')]
        for sent, name in table:
            with self.subTest(sent):
                quoted = b'name="userfile1"; filename="' + sent + b'"'
                body = part('X', b'hello').replace(b'X', quoted)
                self.ask(form(body), 200, lines(saved_line(name)))
                self.assertEqual(self.files(), [('userfile1', name, b'hello')])

    def test_other_ways_to_write_it(self):
        for disposition, name in (
                ('FILENAME=f.txt;NAME=u', 'f.txt'),
                ('name=u; filename=b; filename*=UTF-8\'\'caf%C3%A9.txt',
                 'café.txt'),
                ('name=u; filename*=UTF-8\'\'..%2F..%2fx', 'x'),
                ('filename="file.txt; name=\\"x\\"";name="u"',
                 'file.txt; name="x"')):
            self.ask(form(part(disposition, b'1')), 200,
                     lines(saved_line(name)))
            self.assertEqual(self.files(), [('u', name, b'1')])

    def test_of_a_field(self):
        for sent, field in (('../../../t/escaped', 'escaped'), ('', 'file'),
                            ('..', 'file'), ('a\\b', 'b'), ('f' * 300,
                                                            'f' * 200)):
            self.ask(form(file_part(b'1', 'n', sent)))
            self.ask(put(b'1', 'n', sent))
            self.assertEqual(self.files(), 2 * [(field, 'n', b'1')])

    def test_the_longest_together(self):
        for name, field in (('n' * 300, 'f' * 300), ('é' * 300, 'é' * 300)):
            self.ask(form(file_part(b'1', name, field)))
            saved = listing(self.server.root)[0]
            self.assertIn(len(saved.encode()), (254, 255))
            self.assertEqual(len(self.files()), 1)

    def test_in_put(self):
        """Percent-encoded, so that %2e%2e%2fx is two dots, a slash, and x."""
        for sent, name in self.TABLE[:-1] + [(b'../x', 'x')]:
            if sent.endswith(b'/'):
                continue  # see test_no_name()
            with self.subTest(sent):
                sent = ''.join('%%%02X' % byte for byte in sent)
                self.ask(put(b'1', sent), 200, saved_line(name) + '\n')
                self.assertEqual(self.files(), [('userfile1', name, b'1')])

    def test_in_put_raw(self):
        for sent, name in (('café+1.txt', 'café+1.txt'), ('100%', '100%'),
                           ('a%00b', 'ab'), ('a%0Ab', 'ab')):
            request = put(b'1', 'NAME').replace(b'NAME', sent.encode())
            self.ask(request, 200, saved_line(name) + '\n')
            self.assertEqual(self.files(), [('userfile1', name, b'1')])

    def test_in_the_path(self):
        for path, name in (('/a.txt', 'a.txt'), ('/x/y/a+b.txt?q', 'a+b.txt'),
                           ('/caf%C3%A9', 'café'), ('/a%2Fb', 'b'),
                           ('/%2e%2e', 'upload')):
            self.ask(put(b'1', None, None, path=path), 200,
                     saved_line(name) + '\n')
            self.assertEqual(self.files(), [('file', name, b'1')])

    def test_no_name(self):
        for path in ('/', '/x/', '/?x'):
            self.ask(put(b'1', None, path=path), 400, 'Bad Request')
            self.ask(put(b'1', '', path=path), 400, 'Bad Request')
        self.ask(put(b'1', 'x%2F'), 400, 'Bad Request')


class Puts(OneServer):
    def test_sizes(self):
        with self.server.connect() as peer:
            for size in (0, 1, 5, MAX_FILE):
                body = os.urandom(size)
                peer.send(put(body))
                self.check(peer.read_response(), 200, saved_line() + '\n')
                self.assertEqual(self.files(), [('userfile1', 'a.txt', body)])

    def test_too_large(self):
        with self.server.connect() as peer:
            peer.send(put(b'x' * (MAX_FILE + 1)))
            self.check(peer.read_response(), 413, 'Too Large')
            self.check_next(peer)
        self.ask(head('PUT', '/x', 10 ** 9), 413, 'Too Large')
        self.ask(head('PUT', '/x', 2 ** 64 - 1), 413, 'Too Large')

    def test_chunked(self):
        encoded = head('PUT', '/x', None, 'Transfer-Encoding: chunked')
        for size, piece in ((0, 1), (5, 2), (MAX_FILE, 1000)):
            body = os.urandom(size)
            self.ask(encoded + chunked(body, piece))
            self.assertEqual(self.files(), [('file', 'x', body)])
        with self.server.connect() as peer:
            peer.send(encoded + chunked(b'x' * (MAX_FILE + 1), 5000))
            self.check(peer.read_response(), 413, 'Too Large')
            self.check_next(peer)
        self.check_empty()

    def test_no_length(self):
        self.ask(head('PUT', '/x', None), 400, 'Bad Request')

    def test_a_piece_of_a_file(self):
        """As curl -C 5 -T does: it is not the file, RFC 9110, 14.5."""
        with self.server.connect() as peer:
            peer.send(put(b'hello', 'a.txt', 'f',
                          'Content-Range: bytes 5-9/10'))
            self.check(peer.read_response(), 400, 'Bad Request')
            self.check_next(peer)
        self.check_empty()

    def test_expect(self):
        """As curl -T does: it waits a second for the 100."""
        with self.server.connect() as peer:
            peer.send(head('PUT', '/x', 5, 'Expect: 100-continue'))
            self.assertEqual(peer.read_response().status, 100)
            peer.send(b'hello')
            self.check(peer.read_response(), 200, saved_line('x') + '\n')
            peer.send(head('PUT', '/x', 51201, 'Expect: 100-continue'))
            response = self.check(peer.read_response(), 413, 'Too Large')
            self.assertEqual(response.headers['Connection'], 'close')
            self.assertEqual(peer.recv_all(), b'')
        self.assertEqual(len(self.files()), 1)

    def test_broken_chunks(self):
        for data in (b'5\r\nhelloX', b'x\r\n', b'5\nhello\r\n',
                     b'fffffffffffffffff\r\n'):
            self.ask(head('PUT', '/x', None, 'Transfer-Encoding: chunked') +
                     data, 400, 'Bad Request')
        self.check_empty()

    def test_http_1_0(self):
        with self.server.connect() as peer:
            peer.send(head('PUT', '/x', 5, version='1.0') + b'hello')
            self.check(peer.read_response(), 200)
            self.assertEqual(peer.recv_all(), b'')
        self.assertEqual(len(self.files()), 1)


class Terminal(Case):
    def test_what_is_printed(self):
        server = self.start()
        self.ask(form(text_part(b'hi there'), file_part()))
        server.wait_line('parsing multipart data')
        server.wait_line('userinput1: hi there')
        server.wait_line('finished parsing')
        line = server.wait_line('a.txt')
        self.assertRegex(line, r'^uploads/userfile1-1\d{12}-a\.txt: '
                               r'5 bytes, \d+ ms$')
        self.assertEqual(len(server.out.lines), 5)
        self.ask(put(b'1234', 'b.txt', 'f'))
        self.assertRegex(server.wait_line('b.txt'),
                         r'^uploads/f-1\d{12}-b\.txt: 4 bytes, \d+ ms$')

    def test_nothing_moves_the_cursor(self):
        server = self.start()
        value = b'\x1b[31m\nfinished parsing\r\x00\xff \xc2\x9b \xe2\x80\xae'
        self.ask(form(text_part(value, 'a\x1b'),
                      file_part(b'', 'x\u202ey')))
        self.assertEqual(
            server.wait_line('a'[:1] + ': '),
            'a: \\x1B[31m\\x0Afinished parsing\\x0D\\x00\\xFF \\xC2\\x9B '
            '\\xE2\\x80\\xAE')
        self.assertIn('-x\\xE2\\x80\\xAEy', server.wait_line('uploads/'))


# ---- the disk ---------------------------------------------------------------

class Disk(Case):
    def test_simultaneous_same_names(self):
        server = self.start()
        peers = [server.connect() for _ in range(40)]
        for i, peer in enumerate(peers):
            request = put(b'%04d' % i) if i % 2 else form(file_part(b'%04d' % i))
            peer.rest = request[-1:]
            peer.send(request[:-1])
        for peer in peers:
            peer.send(peer.rest)
        for peer in peers:
            self.check(peer.read_response(), 200)
        self.assertEqual(sorted(file[2] for file in self.files()),
                         [b'%04d' % i for i in range(40)])

    def test_a_thousand_at_once(self):
        """Each file its own, and flat memory."""
        server = self.start(MAX_FILE=10 ** 6)
        if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 1100:
            self.skipTest('too few descriptors')
        size = 20000
        peers = []
        for i in range(1000):
            peers.append(server.connect())
            peers[-1].send(head('PUT', '/same', size) + b'%05d' % i * 2000)
        until(lambda: len(listing(server.root)) == 1000, '1,000 beginnings')
        memory = server.rss()
        for i, peer in enumerate(peers):
            peer.send(b'%05d' % i * 2000)
        for peer in peers:
            self.check(peer.read_response(limit=60), 200)
        bodies = {file[2] for file in self.files()}
        self.assertEqual(bodies, {b'%05d' % i * 4000 for i in range(1000)})
        if 'BUILD' not in os.environ:  # sanitizers take their share
            self.assertLess(memory, 4 << 20)

    def test_memory_does_not_grow_with_the_file(self):
        server = self.start(ASAN_OPTIONS='quarantine_size_mb=1')
        size = 64 << 20
        block = os.urandom(1 << 20)
        start = (b'--' + B.encode() + b'\r\nContent-Disposition: form-data; '
                 b'name=f; filename=x\r\n\r\n')
        with server.connect() as peer:
            self.check_next(peer)
            before = server.rss()
            peer.send(head('POST', '/', len(start) + size + 2 + len(END),
                           'Content-Type: ' + TYPE) + start)
            for _ in range(size >> 20):
                peer.send(block)
            peer.send(b'\r\n' + END)
            self.check(peer.read_response(limit=60), 200,
                       lines(saved_line('x')))
        limit = 16 if 'BUILD' in os.environ else 1
        self.assertLess(server.rss() - before, limit << 20)
        [(field, name, body)] = self.files()
        self.assertTrue(body == block * (size >> 20))

    def check_full(self, server, too_big):
        """A file finds no room: 507, and everything goes on."""
        with server.connect() as peer:
            peer.send(put(too_big, 'big'))
            self.check(peer.read_response(), 507, 'Error saving big!\n')
            peer.send(put(b'small', 'small'))
            self.check(peer.read_response(), 200, saved_line('small') + '\n')
            peer.send(form(file_part(b'1', 'a'), file_part(too_big, 'big'),
                           file_part(b'2', 'b')))
            self.check(peer.read_response(), 507, lines(
                saved_line('a'), 'Error saving big!', saved_line('b')))
            self.check_next(peer)
        self.assertEqual(len(self.files()), 3)
        wire.assert_idle(server)
        wire.assert_serves(server)

    def test_a_file_too_large_for_the_system(self):
        server = self.start(MAX_FILE=10 ** 6, preexec=small_files)
        self.check_full(server, b'x' * 100001)
        server.wait_error('big: File too large')

    def test_a_full_disk(self):
        root = tempfile.mkdtemp(prefix='file-upload-')
        self.addCleanup(shutil.rmtree, root)
        shutil.copytree(PUBLIC, os.path.join(root, 'public'))
        os.mkdir(os.path.join(root, 'uploads'))
        mount = 'mount -t tmpfs -o size=1m tmpfs %s/uploads' % root
        if not shutil.which('unshare') or subprocess.run(
                ['unshare', '-rm', 'sh', '-c', mount],
                stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest('no disk of our own to fill')
        server = wire.Server(['unshare', '-rm', 'sh', '-c', mount + ' && exec ' +
                              wire.program('file-upload')],
                             ROOT=root, MAX_FILE=10 ** 7)
        with server:
            self.server = server
            too_big = b'x' * (2 << 20)
            with server.connect() as peer:
                for _ in range(3):  # each time its room is given back
                    peer.send(put(too_big, 'big'))
                    self.check(peer.read_response(), 507,
                               'Error saving big!\n')
                    peer.send(put(b'x' * 700000, 'half'))
                    status = peer.read_response().status
                self.assertEqual(status, 507)  # one half fits, not three
                peer.send(form(file_part(too_big, 'big')))
                self.check(peer.read_response(), 507,
                           lines('Error saving big!'))
                self.check_next(peer)
            server.wait_error('big: No space left on device')

    def test_a_folder_that_has_gone(self):
        server = self.start()
        uploads = os.path.join(server.root, 'uploads')
        os.rename(uploads, uploads + '2')
        with server.connect() as peer:
            peer.send(put(b'x', 'a'))
            self.check(peer.read_response(), 500, 'Error saving a!\n')
            peer.send(form(text_part(b'x'), file_part()))
            self.check(peer.read_response(), 500, lines(
                'processed "userinput1" input.', 'Error saving a.txt!'))
            os.rename(uploads + '2', uploads)
            peer.send(put(b'x', 'a'))
            self.check(peer.read_response(), 200)
        self.assertEqual(len(self.files()), 1)

    def test_a_folder_that_goes_while_a_file_comes(self):
        server = self.start()
        uploads = os.path.join(server.root, 'uploads')
        with server.connect() as peer:
            peer.send(put(b'hello')[:-1])
            until(lambda: listing(server.root), 'the temporary file')
            os.rename(uploads, uploads + '2')
            peer.send(b'o')
            self.check(peer.read_response(), 500, 'Error saving a.txt!\n')
        wire.assert_serves(server)
        os.rename(uploads + '2', uploads)

    def test_the_folder_may_be_a_link(self):
        root = tempfile.mkdtemp(prefix='file-upload-')
        self.addCleanup(shutil.rmtree, root)
        shutil.copytree(PUBLIC, os.path.join(root, 'public'))
        os.mkdir(os.path.join(root, 'elsewhere'))
        os.symlink('elsewhere', os.path.join(root, 'uploads'))
        self.start(ROOT=root)
        self.ask(put(b'hello'))
        self.assertEqual(len(self.files()), 1)

    def test_planted_links(self):
        """The name of the temporary file, and where the final one may go."""
        server = self.start()
        target = os.path.join(server.root, 'target')
        for i in range(3):
            os.symlink(target, os.path.join(
                server.root, 'uploads', '.upload-%d-%d' % (server.pid, i)))
        now = int(time.time() * 1000)
        for ms in range(now, now + 3000):
            os.symlink(target, os.path.join(server.root, 'uploads',
                                            'f-%d-a' % ms))
        self.ask(put(b'hello', 'a', 'f'))
        self.assertFalse(os.path.exists(target))
        real = [name for name in listing(server.root) if not os.path.islink(
            os.path.join(server.root, 'uploads', name))]
        self.assertEqual(len(real), 1)

    def test_killed(self):
        """What a crash leaves is cleared at the next start, and no more."""
        root = tempfile.mkdtemp(prefix='file-upload-')
        self.addCleanup(shutil.rmtree, root)
        shutil.copytree(PUBLIC, os.path.join(root, 'public'))
        first = wire.Server('file-upload', ROOT=root, preexec=no_core)
        with first:
            self.server = first
            peers = [first.connect() for _ in range(5)]
            for peer in peers:
                peer.send(put(b'hello')[:-1])
            self.ask(put(b'whole'))
            until(lambda: len(listing(root)) == 6, 'five temporary files')
            first.kill()
        with open(os.path.join(root, 'uploads', '.mine'), 'w'):
            pass
        self.assertEqual(len(listing(root)), 7)
        with wire.Server('file-upload', ROOT=root) as second:
            self.server = second
            self.assertEqual(listing(root)[0], '.mine')
            os.remove(os.path.join(root, 'uploads', '.mine'))
            self.assertEqual(self.files(),
                             [('userfile1', 'a.txt', b'whole')])

    def test_two_servers_in_one_folder(self):
        """The second does not take the first one's files for left-overs."""
        first = self.start()
        with first.connect() as peer:
            peer.send(put(b'hello')[:-1])
            until(lambda: listing(first.root), 'the temporary file')
            with wire.Server('file-upload', ROOT=first.root) as second:
                wire.assert_serves(second)
                self.assertEqual(
                    wire.run('file-upload', ROOT=first.root, HOST='127.0.0.1',
                             PORT=first.port).returncode, 1)
            peer.send(b'o')
            self.check(peer.read_response(), 200)
        self.assertEqual(len(self.files()), 1)

    def children(self, pid):
        with open('/proc/%d/task/%d/children' % (pid, pid)) as file:
            return [int(word) for word in file.read().split()]

    def test_the_disk_is_slow(self):
        """The syncers are stopped: so is what they save, but nothing else."""
        server = self.start()
        syncers = self.children(server.pid)
        self.assertEqual(len(syncers), 2)
        for pid in syncers:
            wire.pause(self, pid)
        peers = [server.connect() for _ in range(5)]
        for peer in peers[:-1]:
            peer.send(put(b'hello') + get('/healthz'))
        peers[-1].send(form(file_part(), file_part()))
        until(lambda: len(listing(server.root)) == 6, 'six files')
        wire.assert_serves(server)
        wire.assert_idle(server)
        peers.pop(0).reset()  # its file is being saved
        peers.pop(2).close()  # its file waits
        until(lambda: len(listing(server.root)) < 6, 'one file less')
        for pid in syncers:
            os.kill(pid, signal.SIGCONT)
        for peer in peers[:-1]:
            self.check(peer.read_response(), 200, saved_line() + '\n')
            self.check(peer.read_response(), 200, type='application/json')
        self.check(peers[-1].read_response(), 200,
                   lines(saved_line(), saved_line()))
        until(lambda: not [name for name in listing(server.root)
                           if name[0] == '.'], 'nothing unfinished')

    def test_many_forms_wait_for_the_disk(self):
        """What follows a file is not kept in memory while that is saved."""
        server = self.start()
        syncers = self.children(server.pid)
        for pid in syncers:
            wire.pause(self, pid)
        count, body = 300, b'x' * 50000
        peers = [server.connect() for _ in range(count)]
        for peer in peers:
            peer.send(form(file_part(body), file_part(body)))
        until(lambda: len(listing(server.root)) == 2 * count, 'all files')
        if 'BUILD' not in os.environ:  # sanitizers take their share
            self.assertLess(server.rss(), 4 << 20)
        for pid in syncers:
            os.kill(pid, signal.SIGCONT)
        for peer in peers:
            self.check(peer.read_response(limit=60), 200,
                       lines(saved_line(), saved_line()))
        self.assertEqual([file[2] for file in self.files()],
                         2 * count * [body])

    def test_the_syncers_are_killed(self):
        server = self.start()
        syncers = self.children(server.pid)
        for pid in syncers:
            wire.pause(self, pid)
        peers = [server.connect() for _ in range(4)]
        for peer in peers:
            peer.send(put(b'hello'))
        until(lambda: len(listing(server.root)) == 4, 'four files')
        for pid in syncers:
            os.kill(pid, signal.SIGKILL)
        for peer in peers:
            self.check(peer.read_response(), 500)
        self.check_empty()
        self.ask(form(file_part(), file_part()), 200,
                 lines(saved_line(), saved_line()))
        self.assertEqual(len(self.files()), 2)


# ---- bad peers --------------------------------------------------------------

class BadPeers(OneServer):
    settings = {'IDLE_MS': 300, 'HEAD_MS': 300}

    def tearDown(self):
        super().tearDown()
        wire.assert_idle(self.server)
        wire.assert_serves(self.server)

    def test_it_ends_early(self):
        for request in (put(b'hello'), form(file_part()),
                        form(file_part(), text_part(b'x')),
                        head('PUT', '/x', None, 'Transfer-Encoding: chunked') +
                        chunked(b'hello')):
            for cut in range(request.index(b'\r\n\r\n') + 4, len(request),
                             max(1, len(request) // 40)):
                with self.server.connect() as peer:
                    peer.send(request[:cut])
                    peer.half_close()
                    response = peer.read_response()
                    self.assertEqual(response.status, 400, request[:cut])
                    self.assertEqual(response.headers['Connection'], 'close')
                    self.assertEqual(peer.recv_all(), b'')
            self.assertLessEqual({file[2] for file in self.files()},
                                 {b'hello'})

    def test_it_vanishes(self):
        for request in (put(b'hello'), form(file_part())):
            for gone in ('close', 'reset'):
                peer = self.server.connect()
                peer.send(request[:-15 if b'POST' in request else -1])
                until(lambda: listing(self.server.root), 'a temporary file')
                getattr(peer, gone)()
                self.check_empty()

    def test_it_stops(self):
        for request in (put(b'hello')[:-1], form(file_part())[:-1],
                        put(b'hello')[:30]):
            with self.server.connect() as peer:
                peer.send(request)
                response = self.check(peer.read_response(), 408)
                self.assertEqual(peer.recv_all(), b'')
        self.files()

    def test_it_trickles(self):
        """A head must be whole in time; a body may take longer."""
        request = put(b'h' * 20)
        with self.server.connect() as peer:
            start = time.monotonic()
            peer.send(request[:-20])
            for _ in range(20):
                time.sleep(0.03)
                peer.send(b'h')
            self.check(peer.read_response(), 200)
            self.assertGreater(time.monotonic() - start, 0.3)
        self.assertEqual(len(self.files()), 1)

    def test_it_never_reads(self):
        """It is not read from, and in the end it is closed."""
        page = get('/') * 100
        peer = self.server.connect(receive_buffer=4096)
        peer.socket.settimeout(2)
        sent = 0
        with self.assertRaises(OSError):
            while sent < 1 << 28:
                peer.socket.sendall(page)
                sent += len(page)
        peer.close()

    def test_it_overflows(self):
        with self.server.connect() as peer:
            peer.send(head('PUT', '/x', None, 'Transfer-Encoding: chunked'))
            try:
                for _ in range(300):
                    peer.send(b'10000\r\n' + b'x' * 65536 + b'\r\n')
                peer.send(b'0\r\n\r\n')
            except OSError:
                pass
            self.check(peer.read_response(), 413, 'Too Large')


class Files(Case):
    def test_twelve_descriptors(self):
        server = self.start(preexec=wire.files_at_most(12))
        peers = [server.connect() for _ in range(20)]
        for peer in peers:
            peer.send(put(b'hello'))
        statuses = []
        for peer in peers:
            statuses.append(peer.read_response().status)
            peer.close()
        self.assertLessEqual(set(statuses), {200, 500})
        wire.assert_idle(server)
        self.ask(put(b'hello'))
        self.assertEqual(len(self.files()), statuses.count(200) + 1)

    def test_max_conns(self):
        """As many clients as are said; the syncers do not count."""
        for limit in (1, 3):
            with wire.Server('file-upload', MAX_CONNS=limit) as server:
                peers = [server.connect() for _ in range(limit + 1)]
                for peer in peers[1:]:
                    peer.send(get('/healthz'))
                for peer in peers[1:-1]:
                    peer.read_response()
                self.assertFalse(peers[-1].drain())
                peers[0].close()
                self.assertEqual(peers[-1].read_response().status, 200)


class Stopping(Case):
    def test_what_has_begun_is_finished(self):
        server = self.start(DRAIN_MS=0)
        with server.connect() as peer, server.connect() as idle:
            self.check_next(idle)
            peer.send(put(b'hello')[:-1])
            until(lambda: listing(server.root), 'the temporary file')
            server.signal()
            self.assertEqual(idle.recv_all(), b'')
            peer.send(b'o')
            response = self.check(peer.read_response(), 200)
            self.assertEqual(response.headers['Connection'], 'close')
            self.assertEqual(peer.recv_all(), b'')
        server.wait()
        server.stop()
        self.assertEqual(len(self.files()), 1)

    def test_drain(self):
        server = self.start(DRAIN_MS=60000)
        with server.connect() as peer:
            self.check_next(peer)
            server.signal()
            until(lambda: self.healthz() == 503, '503')
            peer.send(form(file_part()))
            response = self.check(peer.read_response(), 200)
            self.assertEqual(response.headers['Connection'], 'close')
        server.signal()
        server.stop(expect=-signal.SIGTERM)
        self.assertEqual(len(self.files()), 1)

    def healthz(self):
        with self.server.connect() as peer:
            peer.send(get('/healthz'))
            return peer.read_response().status

    def test_grace(self):
        server = self.start(GRACE_MS=100)
        with server.connect() as peer:
            peer.send(put(b'hello')[:-1])
            until(lambda: listing(server.root), 'the temporary file')
            server.signal()
            self.assertEqual(peer.recv_all(), b'')
        server.wait()
        server.stop()
        self.assertEqual(listing(server.root), [])

    def test_no_process_is_left(self):
        server = self.start()
        syncers = Disk.children(self, server.pid)
        server.stop()
        until(lambda: not any(map(self.lives, syncers)), 'their end')

    def lives(self, pid):
        try:
            with open('/proc/%d/stat' % pid) as file:
                return file.read().rpartition(')')[2].split()[0] != 'Z'
        except FileNotFoundError:
            return False


class Starting(Case):
    def test_wrong_arguments(self):
        for args, settings in ((['-x'], {}), (['x'], {}),
                               ([], {'PORT': 'abc'}),
                               ([], {'MAX_FILE': '-1'}),
                               ([], {'MAX_CONNS': '0'})):
            root = tempfile.mkdtemp()
            shutil.copytree(PUBLIC, os.path.join(root, 'public'))
            self.addCleanup(shutil.rmtree, root)
            done = wire.run('file-upload', *args, ROOT=root, **settings)
            self.assertEqual(done.returncode, 2)
            self.assertEqual(done.stdout, b'')
            self.assertEqual(done.stderr.count(b'\n'), 1)

    def test_help_and_version(self):
        for option in ('-h', '--help', '--version'):
            done = wire.run('file-upload', option)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            self.assertIn(b'file-upload', done.stdout)

    def test_no_pages(self):
        with tempfile.TemporaryDirectory() as root:
            done = wire.run('file-upload', ROOT=root)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr, b'public/form.html: '
                                          b'No such file or directory\n')

    def test_uploads_is_no_folder(self):
        with tempfile.TemporaryDirectory() as root:
            shutil.copytree(PUBLIC, os.path.join(root, 'public'))
            with open(os.path.join(root, 'uploads'), 'w'):
                pass
            done = wire.run('file-upload', ROOT=root)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(done.stderr.count(b'\n'), 1)

    def test_from_any_folder(self):
        """Its folders lie beside it, however it is started."""
        with tempfile.TemporaryDirectory() as folder:
            place = os.path.join(folder, 'file-upload')
            shutil.copytree(PUBLIC, os.path.join(place, 'public'))
            program = os.path.join(place, 'file-upload')
            shutil.copy2(wire.program('file-upload'), program)
            os.symlink(program, os.path.join(folder, 'link'))
            path = place + ':' + os.environ['PATH']
            for command, settings in (
                    ('./file-upload/file-upload', {}), (program, {}),
                    ('./link', {}), ('file-upload', {'PATH': path}),
                    ('./link', {'ROOT': 'file-upload'})):
                with wire.Server(['sh', '-c', 'exec ' + command], cwd=folder,
                                 **settings) as server:
                    server.root = place
                    self.server = server
                    self.ask(put(b'hello'))
                    self.assertEqual(len(self.files()), 1)

    def test_addresses(self):
        server = self.start(HOST=None)
        self.assertEqual(server.address, '127.0.0.1')


if __name__ == '__main__':
    wire.main()
