#!/usr/bin/env python3
"""post-form on the wire: what is posted and what is answered, whole, however
the peer behaves."""

import json
import os
import re
import select
import shutil
import signal
import socket
import threading
import unittest

import wire

BODY_MAX = 2097152
FORM = 'application/x-www-form-urlencoded'
JSON = 'application/json'
PUBLIC = os.path.join(wire.TOP, 'post-form', 'public')


def head(method='POST', path='/', type=FORM, length=None, *more,
         version='1.1', host='localhost'):
    lines = ['%s %s HTTP/%s' % (method, path, version), 'Host: ' + host]
    if type is not None:
        lines.append('Content-Type: ' + type)
    if length is not None:
        lines.append('Content-Length: %s' % length)
    return '\r\n'.join(lines + list(more) + ['', '']).encode()


def post(body, type=FORM, *more, path='/', **options):
    return head('POST', path, type, len(body), *more, **options) + body


def get(path='/', *more, **options):
    return head('GET', path, None, None, *more, **options)


def chunked(body, size=7):
    data = b''.join(b'%x\r\n%s\r\n' % (len(part), part) for part in
                    (body[i:i + size] for i in range(0, len(body), size)))
    return data + b'0\r\n\r\n'


class ServerTest(unittest.TestCase):
    """One server for all tests of a class, and it must be well at the end."""
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.server = wire.Server('post-form', **cls.settings).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.server.__exit__(None, None, None)

    def tearDown(self):
        for peer in self.server.peers:
            peer.close()
        self.server.peers.clear()

    def ask(self, request, head=False):
        with self.server.connect() as peer:
            peer.send(request)
            return peer.read_response(head=head)

    def check(self, response, status, body=None, type='text/plain'):
        self.assertEqual(response.status, status, response.raw[:500])
        if body is not None:
            body = body.encode() if isinstance(body, str) else body
            self.assertEqual(response.body, body)
        self.assertEqual(response.headers['Content-Type'].split(';')[0], type)
        self.assertEqual(response.headers['X-Content-Type-Options'], 'nosniff')
        self.assertRegex(response.headers['Date'], r' GMT$')
        self.assertIn(response.headers['Connection'], ('close', 'keep-alive'))
        return response

    def check_next(self, peer):
        """The connection goes on."""
        peer.send(get('/healthz'))
        self.check(peer.read_response(), 200, '{"status":"ok"}', JSON)


class Printed(unittest.TestCase):
    """What the terminal shows: each test has a server of its own."""

    def lines_after(self, *requests):
        """The lines printed for these requests."""
        with wire.Server('post-form') as server:
            for request in requests:
                try:
                    wire.exchange(server, request)
                except (wire.Failure, OSError):
                    pass  # what was printed is looked at
            wire.exchange(server, post(b'the=end'))
            server.wait_line('User Posted:  {"the":"end"}')
            return server.out.lines[1:-1]

    def test_posts(self):
        self.assertEqual(
            self.lines_after(
                post(b'userinput1=firstVal&userinput2=secondVal'),
                post(b''),
                post(b' {"a" : 1 }', JSON),
                get('/'), post(b'{}', JSON, path='/api/users')),
            ['User Posted:  {"userinput1":"firstVal",'
             '"userinput2":"secondVal"}',
             'User Posted:  {}', 'User Posted:   {"a" : 1 }'])

    def test_refused_are_not_printed(self):
        self.assertEqual(
            self.lines_after(
                post(b'a=1', 'text/plain'), head(length=None) + b'a=1',
                head(length=BODY_MAX + 1), post(b'{', JSON),
                post(b'a=1', FORM, 'Origin: http://evil.example'),
                head('PUT', length=3) + b'a=1'),
            [])

    def test_short_bodies_are_not_printed(self):
        self.assertEqual(
            self.lines_after(
                head(length=5) + b'a=1',
                head(length=5, type=JSON) + b'{}',
                head(length=5),
                head('POST', '/', FORM, None, 'Transfer-Encoding: chunked') +
                b'3\r\na=1\r\n'),
            [])

    def test_control_characters(self):
        self.assertEqual(
            self.lines_after(
                post('a=\x7f\u009b31m\u202e'.encode()),
                post('"\x7f\u2028x"\n'.encode(), JSON),
                post(b'["a",\r\n"User Posted:  lie"]', JSON)),
            ['User Posted:  {"a":"\\x7F\\xC2\\x9B31m\\xE2\\x80\\xAE"}',
             'User Posted:  "\\x7F\\xE2\\x80\\xA8x"\\x0A',
             'User Posted:  ["a",\\x0D\\x0A"User Posted:  lie"]'])

    def test_long_ones_are_cut(self):
        lines = self.lines_after(
            post(('"' + 'é' * 9000 + '"').encode(), JSON),
            post(b'"' + b'\x7f' * 20000 + b'"', JSON))
        self.assertEqual(lines[0], 'User Posted:  "' + 'é' * 4999 +
                         '... 8003 more bytes')
        self.assertEqual(lines[1], 'User Posted:  "' + '\\x7F' * 9999 +
                         '... 10002 more bytes')


class Forms(ServerTest):
    def you_posted(self, body, text, *more):
        response = self.ask(post(body, FORM, *more))
        self.check(response, 200, 'You Posted: ' + text)

    def test_book(self):
        response = self.ask(post(b'userinput1=firstVal&userinput2=secondVal'))
        self.check(response, 200, 'You Posted: {"userinput1":"firstVal",'
                   '"userinput2":"secondVal"}')
        self.assertEqual(response.headers['Content-Length'], '62')
        self.assertEqual(response.headers['Content-Type'],
                         'text/plain; charset=utf-8')

    def test_decoding(self):
        for body, text in [
                (b'', '{}'),
                (b'&&a=1&&', '{"a":"1"}'),
                (b'a=1&b=2&a=3', '{"a":["1","3"],"b":"2"}'),
                (b'a+b=c+d', '{"a b":"c d"}'),
                (b'a=%zz%', '{"a":"%zz%"}'),
                (b'a=%E4%BD', '{"a":"\ufffd"}'),
                (b'a=%ED%A0%80', '{"a":"\ufffd\ufffd\ufffd"}'),
                (b'a=%22%5C%2F%00', '{"a":"\\"\\\\/\\u0000"}'),
                (b'__proto__=x', '{"__proto__":"x"}'),
                (b'1=x&0=y', '{"1":"x","0":"y"}'),
                (b'a=<script>', '{"a":"<script>"}')]:
            with self.subTest(body):
                self.you_posted(body, text)

    def test_nothing_is_dropped(self):
        names = ['n%d' % i for i in range(5000)]
        body = '&'.join('%s=%s' % (name, name) for name in names)
        response = self.ask(post(body.encode()))
        posted = json.loads(response.body[len('You Posted: '):])
        self.assertEqual(list(posted), names)
        self.assertEqual(list(posted.values()), names)

    def test_media_type(self):
        for type in [FORM.upper(), FORM + ';', FORM + '; charset=utf-8',
                     FORM + ' ;charset=UTF-8']:
            with self.subTest(type):
                self.check(self.ask(post(b'a=1', type)), 200,
                           'You Posted: {"a":"1"}')
        for type in [None, '', 'text/plain', 'multipart/form-data',
                     FORM + 'x', 'text/plain; x=' + FORM, FORM + ', ' + JSON,
                     'application/jsonp', 'x' + FORM]:
            with self.subTest(type):
                self.check(self.ask(post(b'a=1', type)), 415,
                           'Unsupported Media Type')

    def test_first_media_type_counts(self):
        self.check(self.ask(post(b'{}', FORM, 'Content-Type: ' + JSON)), 200,
                   'You Posted: {"{}":""}')

    def test_any_path(self):
        for path in ['/', '/json', '/style.css', '/x/y?z', '/healthz',
                     'http://localhost/', '/api/users/']:
            with self.subTest(path):
                self.check(self.ask(post(b'a=1', path=path)), 200,
                           'You Posted: {"a":"1"}')

    def test_2_mib(self):
        body = b'a=' + b'x' * (BODY_MAX - 2)
        for request in [
                post(body),
                head('POST', '/', FORM, None,
                     'Transfer-Encoding: chunked') + chunked(body, 65000)]:
            response = self.check(self.ask(request), 200)
            self.assertEqual(len(response.body), 2097170)

    def test_largest_answer(self):
        """Six bytes for one, of all that 2 MiB hold."""
        response = self.ask(post(b'\x01' * BODY_MAX))
        self.check(response, 200, b'You Posted: {"' + b'\\u0001' * BODY_MAX +
                   b'":""}')

    def test_a_million_names(self):
        body = b'a&' * (BODY_MAX // 2)
        response = self.ask(post(body))
        self.check(response, 200, b'You Posted: {"a":[' +
                   b','.join([b'""'] * (BODY_MAX // 2)) + b']}')

    def test_ended_by_the_client(self):
        with self.server.connect() as peer:
            peer.send(post(b'a=1'))
            peer.half_close()
            self.check(peer.read_response(), 200, 'You Posted: {"a":"1"}')
            self.assertEqual(peer.recv_all(), b'')

    def test_http_10(self):
        with self.server.connect() as peer:
            peer.send(post(b'a=1', version='1.0'))
            response = peer.read_response()
            self.check(response, 200, 'You Posted: {"a":"1"}')
            self.assertEqual(response.headers['Connection'], 'close')
            self.assertEqual(peer.recv_all(), b'')

    def test_bare_line_feeds(self):
        """Typed into nc."""
        self.check(self.ask(post(b'a=1').replace(b'\r\n', b'\n')), 200,
                   'You Posted: {"a":"1"}')

    def test_byte_by_byte(self):
        with self.server.connect() as peer:
            for byte in post(b'a=1') + post(b'{"a":"1"}', JSON):
                peer.send(bytes([byte]))
            self.check(peer.read_response(), 200, 'You Posted: {"a":"1"}')
            self.check(peer.read_response(), 200, '{"data": {"a":"1"}}', JSON)


class Documents(ServerTest):
    def test_byte_for_byte(self):
        for text in ['{}', '[]', 'null', 'true', '1', '"s"', '-0', '1E5',
                     '1e999', '{"a":1,"a":2}', ' {"a" : 1 } ', '\n[1]\r\n\t',
                     '"\\ud800"', '12345678901234567890', '"\u2028"', '"\x7f"',
                     '{"__proto__":1}', '"\\u0000"', '"é😀"',
                     '[' * 512 + ']' * 512, '{"a":' * 512 + '1' + '}' * 512]:
            with self.subTest(text[:50]):
                text = text.encode()
                self.check(self.ask(post(text, JSON)), 200,
                           b'{"data": ' + text + b'}', JSON)

    def test_refused(self):
        for text in ['', ' ', '{', '{"a":}', "{'a':1}", '[1,]', '{"a":1,}',
                     '01', '-01', '.5', '1.', '1e', '1e+', '-', '+1', 'NaN',
                     'Infinity', 'undefined', 'tru', 'TRUE', '"\n"', '"\t"',
                     '"\0"', '"\\x41"', '"\\uD83"', '1//', '/**/1', '1 2',
                     '[] x', '[]\0', '\ufeff[]', '\x0c1', '\xa01', '[' * 513,
                     '[' * 513 + ']' * 513, '[' * 100000 + ']' * 100000,
                     b'"\xff\xfe"', b'"\xc0\x80"', b'"\xed\xa0\x80"',
                     b'"\xf4\x90\x80\x80"', b'"\xe4\xbd"', b'"a\0']:
            if isinstance(text, str):
                text = text.encode()
            with self.subTest(text[:50]):
                self.check(self.ask(post(text, JSON)), 400, 'Bad Request')

    def test_media_type(self):
        for type in ['APPLICATION/JSON', JSON + '; charset=utf-8']:
            with self.subTest(type):
                self.check(self.ask(post(b'1', type)), 200, '{"data": 1}',
                           JSON)

    def test_2_mib(self):
        text = b'"' + b'x' * (BODY_MAX - 2) + b'"'
        self.check(self.ask(post(text, JSON)), 200, b'{"data": %s}' % text,
                   JSON)
        text = b'[' + b'1,' * (BODY_MAX // 2 - 1) + b'1'
        self.check(self.ask(post(text, JSON)), 400, 'Bad Request')

    def test_bad_document_then_good(self):
        with self.server.connect() as peer:
            peer.send(post(b'{', JSON) + post(b'{}', JSON))
            self.check(peer.read_response(), 400, 'Bad Request')
            self.check(peer.read_response(), 200, '{"data": {}}', JSON)


class Framing(ServerTest):
    CHUNKED = head('POST', '/', FORM, None, 'Transfer-Encoding: chunked')

    def test_chunked(self):
        for data in [chunked(b'a=1&b=2', 1), chunked(b'a=1&b=2'),
                     b'7;x="y"\r\na=1&b=2\r\n0\r\nX: y\r\n\r\n',
                     b'0007\r\na=1&b=2\r\n000\r\n\r\n']:
            with self.subTest(data):
                self.check(self.ask(self.CHUNKED + data), 200,
                           'You Posted: {"a":"1","b":"2"}')
        self.check(self.ask(self.CHUNKED + b'0\r\n\r\n'), 200,
                   'You Posted: {}')

    def test_malformed_chunks(self):
        for data in [b'x\r\n', b'-1\r\n', b'3\r\na=12\r\n', b'3\na=1\r\n',
                     b'11111111111111111\r\n', b'ffffffffffffffff0\r\n',
                     b'3 x\r\n', b';\r\n', b'0\r\n X: y\r\n\r\n']:
            with self.subTest(data), self.server.connect() as peer:
                peer.send(self.CHUNKED + data)
                self.check(peer.read_response(), 400, 'Bad Request')
                self.assertEqual(peer.recv_all(), b'')

    def test_malformed_chunks_after_the_answer(self):
        request = head('POST', '/', 'text/plain', None,
                       'Transfer-Encoding: chunked')
        with self.server.connect() as peer:
            peer.send(request + b'x\r\n')
            self.check(peer.read_response(), 415, 'Unsupported Media Type')
            self.assertEqual(peer.recv_all(), b'')

    def test_a_huge_chunk_is_only_a_number(self):
        before = self.server.rss()
        with self.server.connect() as peer:
            peer.send(self.CHUNKED + b'7fffffffffffffff\r\na=1')
            self.check_well(before)

    def check_well(self, before):
        wire.assert_serves(self.server)
        self.assertLess(self.server.rss() - before, 1024 * 1024)

    def test_a_length_is_only_a_number(self):
        """What is claimed is not allocated."""
        before = self.server.rss()
        peers = [self.server.connect() for _ in range(50)]
        for peer in peers:
            peer.send(head(length=BODY_MAX) + b'a')
        self.check_well(before)

    def test_bad_lengths(self):
        for length in ['-1', 'abc', '', '+5', '0x10', '5abc', '5, 6', '5 5',
                       '18446744073709551616', '9' * 40]:
            with self.subTest(length), self.server.connect() as peer:
                peer.send(head(length=length))
                self.check(peer.read_response(), 400, 'Bad Request')
                self.assertEqual(peer.recv_all(), b'')

    def test_two_lengths(self):
        for more in ['Content-Length: 4', 'Transfer-Encoding: chunked']:
            with self.subTest(more):
                self.check(self.ask(head('POST', '/', FORM, 3, more)), 400,
                           'Bad Request')

    def test_unknown_codings(self):
        for coding in ['gzip', 'gzip, chunked', 'chunked, chunked',
                       'chunked, gzip', 'identity', '']:
            with self.subTest(coding):
                response = self.ask(head('POST', '/', FORM, None,
                                         'Transfer-Encoding: ' + coding))
                self.check(response, 400, 'Bad Request')

    def test_no_length(self):
        """What follows may be the body: it is not taken for a request."""
        for type in [FORM, JSON]:
            with self.server.connect() as peer:
                peer.send(head(type=type) + b'GET / HTTP/1.1\r\n')
                response = self.check(peer.read_response(), 400,
                                      'Bad Request')
                self.assertEqual(response.headers['Connection'], 'close')
                self.assertEqual(peer.recv_all(), b'')

    def test_order_of_refusals(self):
        self.check(self.ask(head(type='text/plain')), 415)
        self.check(self.ask(head(type='text/plain', length=BODY_MAX + 1)), 415)
        self.check(self.ask(head('PUT', type=None, length=BODY_MAX + 1)), 405)
        self.check(self.ask(head('POST', '/', 'text/plain', 1,
                                 'Origin: http://evil.example')), 403)

    def test_short_body(self):
        for request in [head(length=5) + b'a=1', head(length=5),
                        self.CHUNKED + b'3\r\na=1\r\n', self.CHUNKED,
                        self.CHUNKED + b'3\r\na=1\r\n0\r\n']:
            with self.subTest(request), self.server.connect() as peer:
                peer.send(request)
                peer.half_close()
                self.check(peer.read_response(), 400, 'Bad Request')
                self.assertEqual(peer.recv_all(), b'')

    def test_pipelined(self):
        with self.server.connect() as peer:
            peer.send(post(b'a=1') + self.CHUNKED + chunked(b'b=2') +
                      post(b'a=1', 'text/plain') + get('/healthz') +
                      head('HEAD', type=None) + post(b'{}', JSON))
            self.check(peer.read_response(), 200, 'You Posted: {"a":"1"}')
            self.check(peer.read_response(), 200, 'You Posted: {"b":"2"}')
            self.check(peer.read_response(), 415)
            self.check(peer.read_response(), 200, '{"status":"ok"}', JSON)
            self.check(peer.read_response(head=True), 200, b'', 'text/html')
            self.check(peer.read_response(), 200, '{"data": {}}', JSON)

    def test_a_longer_body(self):
        """What is beyond the length is the next request, and none."""
        with self.server.connect() as peer:
            peer.send(head(length=3) + b'a=1&b=2 \r\n\r\n')
            self.check(peer.read_response(), 200, 'You Posted: {"a":"1"}')
            self.check(peer.read_response(), 400, 'Bad Request')
            self.assertEqual(peer.recv_all(), b'')


class Expect(ServerTest):
    EXPECT = 'Expect: 100-continue'

    def test_continue(self):
        for request, body in [
                (head('POST', '/', FORM, 3, self.EXPECT), b'a=1'),
                (head('POST', '/', FORM, None, self.EXPECT,
                      'Transfer-Encoding: chunked'), chunked(b'a=1'))]:
            with self.server.connect() as peer:
                peer.send(request)
                self.assertEqual(peer.recv_until(b'\r\n\r\n'),
                                 b'HTTP/1.1 100 Continue\r\n\r\n')
                peer.send(body)
                self.check(peer.read_response(), 200, 'You Posted: {"a":"1"}')
                self.check_next(peer)

    def test_final_answer_instead(self):
        for request, status in [
                (head('POST', '/', FORM, BODY_MAX + 1, self.EXPECT), 413),
                (head('POST', '/', 'text/plain', 3, self.EXPECT), 415),
                (head('PUT', '/', FORM, 3, self.EXPECT), 405),
                (head('GET', '/', None, 3, self.EXPECT), 200),
                (head('POST', '/', FORM, 3, self.EXPECT, 'Origin: null'), 403),
                (head('POST', '/', FORM, 3, 'Expect: tea'), 417)]:
            with self.subTest(status), self.server.connect() as peer:
                peer.send(request)
                response = peer.read_response()
                self.assertEqual(response.status, status)
                self.assertEqual(response.headers['Connection'], 'close')
                self.assertEqual(peer.recv_all(), b'')

    def test_counted_too_large(self):
        with self.server.connect() as peer:
            peer.send(head('POST', '/', FORM, None, self.EXPECT,
                           'Transfer-Encoding: chunked'))
            self.assertEqual(peer.read_response().status, 100)
            peer.send(b'%x\r\n' % (BODY_MAX + 1) + b'x' * (BODY_MAX + 1))
            self.check(peer.read_response(), 413, 'Too Large')

    def test_http_10_has_no_interim_answers(self):
        self.check(self.ask(post(b'a=1', FORM, self.EXPECT, version='1.0')),
                   200, 'You Posted: {"a":"1"}')

    def test_an_empty_body(self):
        self.check(self.ask(post(b'', FORM, self.EXPECT)), 200,
                   'You Posted: {}')


class TooMuch(ServerTest):
    """Answers arrive whole while the peer goes on sending."""
    PIECE = b'x' * 1048576

    def answer_then_send(self, request, status, body, megabytes=100):
        """The answer is there before the body is; then all of it is sent,
        and only then the answer is looked at again."""
        with self.server.connect() as peer:
            peer.send(request)
            first = peer.read_response()
            self.check(first, status, body)
            try:
                for _ in range(megabytes):
                    peer.send(self.PIECE)
            except (BrokenPipeError, ConnectionResetError):
                self.fail('reset after the answer')

    def test_declared(self):
        for length in [BODY_MAX + 1, 10 ** 9, 2 ** 64 - 1]:
            response = self.ask(head(length=length))
            self.check(response, 413, 'Too Large')

    def test_declared_and_sent(self):
        n = 100 * len(self.PIECE)
        self.answer_then_send(head(length=n), 413, 'Too Large')
        self.answer_then_send(head(length=n, type='x/y'), 415,
                              'Unsupported Media Type')
        self.answer_then_send(head('PUT', length=n), 405,
                              'Method Not Allowed')

    def test_closing_connections_too(self):
        n = 100 * len(self.PIECE)
        close = 'Connection: close'
        self.answer_then_send(head('POST', '/', FORM, n, close), 413,
                              'Too Large')
        self.answer_then_send(head('POST', '/', 'x/y', n, close), 415,
                              'Unsupported Media Type')
        self.answer_then_send(head(), 400, 'Bad Request')
        self.answer_then_send(head(length='x'), 400, 'Bad Request')

    def test_sent_before_the_answer_is_read(self):
        for request, status in [(head(length=50 * len(self.PIECE)), 413),
                                (head(), 400),
                                (head('POST', '/', 'x/y', 10 ** 9,
                                      'Connection: close'), 415)]:
            with self.subTest(status), self.server.connect() as peer:
                peer.send(request)
                for _ in range(50):
                    peer.send(self.PIECE)
                self.check(peer.read_response(), status)

    def test_counted(self):
        chunks = head('POST', '/', FORM, None, 'Transfer-Encoding: chunked')
        piece = b'%x\r\n%s\r\n' % (len(self.PIECE), self.PIECE)
        with self.server.connect() as peer:
            peer.send(chunks + piece + piece)
            peer.send(b'1\r\nx')
            self.check(peer.read_response(), 413, 'Too Large')
            peer.send(b'\r\n')
            for _ in range(50):
                peer.send(piece)
            peer.send(b'0\r\n\r\n')
            self.check_next(peer)
            peer.send(chunks + piece + piece + b'0\r\n\r\n')
            self.check(peer.read_response(), 200)

    def test_the_next_request_is_answered(self):
        for status, type, n in [(413, FORM, 3000000), (415, 'x/y', 3000000)]:
            with self.subTest(status), self.server.connect() as peer:
                peer.send(head(type=type, length=n) + b'x' * n +
                          get('/healthz'))
                self.check(peer.read_response(), status)
                self.check(peer.read_response(), 200, '{"status":"ok"}', JSON)

    def test_memory_stays_flat(self):
        before = self.server.rss()
        self.answer_then_send(head(length=10 ** 9), 413, 'Too Large')
        self.assertLess(self.server.rss() - before, 2 ** 20)


class CrossSite(ServerTest):
    def test_origins(self):
        for origin, status in [('http://localhost', 200),
                               ('https://LOCALHOST', 200),
                               ('http://localhost:80', 403),
                               ('http://evil.example', 403),
                               ('http://localhost.evil.example', 403),
                               ('null', 403), ('', 403)]:
            for path in ['/', '/api/users']:
                with self.subTest(origin):
                    response = self.ask(post(b'{}', JSON, 'Origin: ' + origin,
                                             path=path))
                    expected = 201 if (path, status) == ('/api/users', 200) \
                        else status
                    self.assertEqual(response.status, expected)

    def test_refusal(self):
        with self.server.connect() as peer:
            peer.send(post(b'a=1', FORM, 'Origin: http://evil.example'))
            self.check(peer.read_response(), 403, 'Forbidden')
            self.check_next(peer)

    def test_port(self):
        response = self.ask(post(b'a=1', FORM, 'Origin: http://localhost:8080',
                                 host='localhost:8080'))
        self.check(response, 200)


class Pages(ServerTest):
    POLICY = ("default-src 'none'; script-src 'self'; style-src 'self'; "
              "connect-src 'self'; img-src data:; form-action 'self'; "
              "base-uri 'none'; frame-ancestors 'none'")

    def file(self, name):
        with open(os.path.join(PUBLIC, name), 'rb') as file:
            return file.read()

    def test_table(self):
        for path, name, type in [
                ('/', 'form.html', 'text/html'),
                ('/json', 'json.html', 'text/html'),
                ('/json?x=1', 'json.html', 'text/html'),
                ('/json.js', 'json.js', 'text/javascript'),
                ('/style.css', 'style.css', 'text/css'),
                ('/any/other', 'form.html', 'text/html'),
                ('/form.html', 'form.html', 'text/html'),
                ('/../../etc/passwd', 'form.html', 'text/html'),
                ('/%6ason', 'form.html', 'text/html'),
                ('http://localhost/json', 'json.html', 'text/html')]:
            with self.subTest(path):
                response = self.ask(get(path))
                self.check(response, 200, self.file(name), type)
                self.assertEqual(response.headers['Content-Security-Policy'],
                                 self.POLICY)

    def test_head(self):
        for path in ['/', '/json', '/healthz', '/api/users',
                     '/ncb3/some.json']:
            with self.subTest(path), self.server.connect() as peer:
                peer.send(get(path) + head('HEAD', path, None))
                whole = peer.read_response()
                only = peer.read_response(head=True)
                del whole.headers['Date'], only.headers['Date']
                self.assertEqual(only.headers.items(), whole.headers.items())
                self.check_next(peer)

    def test_methods(self):
        for method in ['PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'get']:
            with self.subTest(method):
                response = self.ask(head(method, type=None))
                self.check(response, 405, 'Method Not Allowed')
                self.assertEqual(response.headers['Allow'], 'GET, HEAD, POST')

    def test_what_the_policy_demands(self):
        """No script or style within a page, nothing from elsewhere."""
        for name in ['form.html', 'json.html']:
            text = self.file(name).decode()
            self.assertNotRegex(text, r'<style|\sstyle=|\son\w+=')
            self.assertNotRegex(text, r'(?:src|href|action)="(?!/|data:,")')
            # Without an icon, browsers ask for one that the policy forbids.
            self.assertIn('<link rel="icon" href="data:,">', text)
            for script in re.findall(r'<script[^>]*>(.*?)</script>', text):
                self.assertEqual(script, '')
            for field in re.findall(r'<input [^>]*id="(\w+)"', text):
                self.assertIn('<label for="%s">' % field, text)
        self.assertNotRegex(self.file('json.js').decode(),
                            r'innerHTML|insertAdjacent|document\.write|eval')

    def test_body_of_a_get_is_skipped(self):
        with self.server.connect() as peer:
            peer.send(head('GET', '/healthz', None, 3) + b'a=1')
            self.check(peer.read_response(), 200, '{"status":"ok"}', JSON)
            self.check_next(peer)


class Counterpart(ServerTest):
    """What post-request talks to."""

    def create(self, document, type=JSON):
        return self.ask(post(document.encode(), type, path='/api/users'))

    def test_mirror(self):
        response = self.create('{\n  "name": "Cian Ó Maidín",\n'
                               '  "company": "near Form"\n}')
        self.check(response, 201, None, JSON)
        self.assertRegex(
            response.body.decode(),
            r'^\{"name":"Cian Ó Maidín","company":"near Form",'
            r'"id":"\d{3}","createdAt":'
            r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"\}$')

    def test_objects(self):
        for document in ['{}', ' { } ', '{"a":{}}', '{"a":"}"}',
                         '{"a b":" \\" \\\\"," ":[1, {"c" : null} ]}',
                         '{"id":5}']:
            with self.subTest(document):
                mirrored = json.loads(self.create(document).body)
                self.assertRegex(mirrored.pop('id'), r'^\d{3}$')
                self.assertIn('createdAt', mirrored)
                del mirrored['createdAt']
                expected = json.loads(document)
                expected.pop('id', None)
                self.assertEqual(mirrored, expected)

    def test_ids_differ(self):
        first, second = (json.loads(self.create('{}').body)['id']
                         for _ in range(2))
        self.assertNotEqual(first, second)

    def test_refused(self):
        for document in ['', '[]', '"{}"', '1', 'null', '{', '{"a":}', '{} x']:
            with self.subTest(document):
                self.check(self.create(document), 400, 'Bad Request')
        self.check(self.create('a=1', FORM), 415, 'Unsupported Media Type')

    def test_large(self):
        text = '{"a":"' + 'x' * (BODY_MAX - 8) + '"}'
        self.assertEqual(len(json.loads(self.create(text).body)['a']),
                         BODY_MAX - 8)

    def test_users(self):
        response = self.ask(get('/api/users'))
        self.check(response, 200, None, JSON)
        self.assertEqual(response.headers['Transfer-Encoding'], 'chunked')
        self.assertNotIn('Content-Length', response.headers)
        page = json.loads(response.body)
        data = page.pop('data')
        self.assertEqual(page, {'page': 1, 'per_page': 3, 'total': 12,
                                'total_pages': 4})
        self.assertEqual([(user['id'], user['first_name']) for user in data],
                         [(1, 'george'), (2, 'lucille'), (3, 'tobias')])

    def test_users_for_http_10(self):
        """No chunks: the body ends where the connection does."""
        with self.server.connect() as peer:
            peer.send(get('/api/users', 'Connection: keep-alive',
                          version='1.0') + get('/'))
            response = peer.read_response()
            self.check(response, 200, self.ask(get('/api/users')).body, JSON)
            self.assertNotIn('Transfer-Encoding', response.headers)
            self.assertEqual(response.headers['Connection'], 'close')

    def test_guid(self):
        response = self.check(self.ask(get('/ncb3/some.json')), 200, None,
                              JSON)
        self.assertRegex(json.loads(response.body)['guid'], r'^[0-9a-f-]{36}$')


class Late(ServerTest):
    settings = {'IDLE_MS': 300, 'HEAD_MS': 300}

    def test_body_that_stops(self):
        for start in [head(length=10) + b'a=1', head(length=10),
                      Framing.CHUNKED + b'3\r\na=']:
            with self.subTest(start), self.server.connect() as peer:
                peer.send(start)
                self.check(peer.read_response(), 408, 'Request Timeout')
                self.assertEqual(peer.recv_all(), b'')

    def test_head_that_trickles(self):
        """No byte of it buys more time."""
        with self.server.connect() as peer:
            peer.socket.settimeout(0.05)
            sent = head(length=3) * 100
            for byte in sent:
                try:
                    peer.socket.sendall(bytes([byte]))
                    peer.received += peer.socket.recv(4096)
                    break
                except socket.timeout:
                    pass
            self.check(peer.read_response(), 408, 'Request Timeout')

    def test_body_that_comes_slowly(self):
        """Each byte of a body buys IDLE_MS."""
        body = b'a=0123456789'
        with self.server.connect() as peer:
            peer.send(head(length=len(body)))
            for byte in body[:-1]:
                peer.send(bytes([byte]))
                with self.assertRaises(socket.timeout):
                    peer.receive(0.05)
            peer.send(body[-1:])
            self.check(peer.read_response(), 200,
                       'You Posted: {"a":"0123456789"}')

    def test_quiet_connection(self):
        with self.server.connect() as peer:
            peer.send(post(b'a=1'))
            self.check(peer.read_response(), 200)
            self.assertEqual(peer.recv_all(), b'')


class BadPeers(unittest.TestCase):
    def survives(self, server):
        wire.assert_serves(server)
        wire.assert_idle(server)

    def test_vanishes(self):
        with wire.Server('post-form') as server:
            for request in [head(length=5), head(length=5) + b'a=1',
                            post(b'a=' + b'x' * (BODY_MAX - 2)),
                            head(length=10 ** 9) + b'x' * 100000,
                            Framing.CHUNKED + b'ff\r\na', get()]:
                peer = server.connect()
                peer.send(request)
                peer.reset()
            self.survives(server)
            fds = server.fds()
            for _ in range(20):
                peer = server.connect()
                peer.send(head(length=5) + b'a=1')
                peer.reset()
            self.survives(server)
            self.assertLessEqual(server.fds(), fds)

    def test_never_reads(self):
        """Its answers are bounded, and nobody else waits for it."""
        with wire.Server('post-form') as server:
            wire.assert_serves(server)
            before = server.rss()
            peer = server.connect(receive_buffer=4096)
            peer.socket.setblocking(False)
            requests = post(b'\x01' * 200000) * 50
            sent = 0
            quiet = 0
            while sent < len(requests) and quiet < 3:
                try:
                    sent += peer.socket.send(requests[sent:sent + 65536])
                    quiet = 0
                except BlockingIOError:
                    wire.assert_serves(server)
                    wire.assert_idle(server)
                    quiet += 1
            self.assertLess(sent, len(requests))
            self.assertLess(server.rss() - before, 40 * 2 ** 20)
            peer.close()
            self.survives(server)

    def test_reads_slowly_but_all(self):
        with wire.Server('post-form') as server:
            n = 500000
            with server.connect(receive_buffer=4096) as peer:
                peer.send(post(b'\x01' * n) + post(b'a=1'))
                wire.assert_serves(server)
                response = peer.read_response(limit=60)
                self.assertEqual(response.body, b'You Posted: {"' +
                                 b'\\u0001' * n + b'":""}')
                self.assertEqual(peer.read_response().body,
                                 b'You Posted: {"a":"1"}')

    def test_pipelines(self):
        """Ten thousand requests at once: all answered, in order."""
        with wire.Server('post-form') as server:
            n = 10000
            requests = b''.join(post(b'n=%d' % i) for i in range(n))
            with server.connect() as peer:
                sender = threading.Thread(target=peer.send, args=(requests,))
                sender.start()
                for i in range(n):
                    self.assertEqual(peer.read_response().body,
                                     b'You Posted: {"n":"%d"}' % i)
                sender.join()
            self.survives(server)

    def test_overflows(self):
        with wire.Server('post-form') as server:
            for request, status in [
                    (b'GET /' + b'x' * 9000 + b' HTTP/1.1\r\n\r\n', 414),
                    (get('/', 'X: ' + 'x' * 33000), 431),
                    (get('/', *['X: y'] * 201), 431),
                    (head('POST', '/', FORM, None,
                          'Transfer-Encoding: chunked') + b'0\r\n' +
                     b'X: y\r\n' * 10000, 431),
                    (Framing.CHUNKED + b'1;' + b'x' * 5000, 400),
                    (Framing.CHUNKED + (b'1;' + b'x' * 900 +
                                        b'\r\nx\r\n') * 100, 400),
                    (b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400)]:
                with self.subTest(request[:60]), server.connect() as peer:
                    peer.send(request)
                    self.assertEqual(peer.read_response().status, status)
                    self.assertEqual(peer.recv_all(), b'')
            self.survives(server)

    def test_trickles(self):
        with wire.Server('post-form', HEAD_MS=500) as server:
            peers = [server.connect() for _ in range(20)]
            for peer in peers:
                peer.send(b'POST / HT')
            wire.assert_serves(server)
            for peer in peers:
                self.assertEqual(peer.read_response().status, 408)
                self.assertEqual(peer.recv_all(), b'')
            self.survives(server)

    def test_holds_memory(self):
        """Many bodies at once: what is beyond MAX_HELD is refused, and room
        again when they have gone."""
        with wire.Server('post-form', MAX_HELD=3) as server:
            body = b'a=' + b'x' * 1500000
            peers = [server.connect(), server.connect()]
            for peer in peers:
                peer.send(head(length=len(body)) + body[:-1])
            ready, _, _ = select.select([peer.socket for peer in peers], [],
                                        [], wire.LIMIT)
            refused, kept = sorted(peers, key=lambda p: p.socket not in ready)
            response = refused.read_response()
            self.assertEqual((response.status, response.body),
                             (503, b'Service Unavailable'))
            small = server.connect()
            small.send(post(b'a=1'))
            self.assertEqual(small.read_response().status, 200)
            for peer in peers:
                peer.send(body[-1:])
            self.assertEqual(kept.read_response().status, 200)
            refused.send(post(body))
            self.assertEqual(refused.read_response().status, 200)

    def test_twelve_descriptors(self):
        with wire.Server('post-form',
                         preexec=wire.files_at_most(12)) as server:
            peers = [server.connect() for _ in range(20)]
            server.wait_error('accept: ')
            wire.assert_idle(server)
            self.assertEqual(len(server.err.lines), 1)
            for peer in peers:
                peer.close()
            self.survives(server)

    def test_connections_give_their_memory_back(self):
        """Kept open, after 2 MiB posted and 12 MiB answered, they hold
        nothing: it is not more for twenty than for ten."""
        with wire.Server('post-form') as server:
            used = []
            for _ in range(20):
                peer = server.connect()
                peer.send(post(b'a=' + b'\x01' * (BODY_MAX - 2)))
                self.assertEqual(peer.read_response().status, 200)
                used.append(server.rss())
            wire.assert_serves(server)
            self.assertLess(used[-1] - used[9], 4 * 2 ** 20)


class StartAndStop(unittest.TestCase):
    def test_missing_pages(self):
        for name in sorted(os.listdir(PUBLIC)):
            with self.subTest(name), wire.Server('post-form') as server:
                copy = os.path.join(server.root, 'copy')
                shutil.copytree(os.path.join(server.root, 'public'),
                                os.path.join(copy, 'public'))
                os.remove(os.path.join(copy, 'public', name))
                done = wire.run('post-form', ROOT=copy, PORT=0)
                self.assertEqual(done.returncode, 1)
                self.assertEqual(done.stdout, b'')
                self.assertEqual(
                    done.stderr.decode(),
                    'public/%s: No such file or directory\n' % name)

    def test_bad_pages(self):
        with wire.Server('post-form') as server:
            page = os.path.join(server.root, 'public', 'json.html')
            os.remove(page)
            os.mkdir(page)
            done = wire.run('post-form', ROOT=server.root, PORT=0)
            self.assertEqual((done.returncode, done.stderr),
                             (1, b'public/json.html: Is a directory\n'))
            os.rmdir(page)
            with open(page, 'wb') as file:
                file.write(b'x' * 70000)
            done = wire.run('post-form', ROOT=server.root, PORT=0)
            self.assertEqual((done.returncode, done.stderr),
                             (1, b'public/json.html: File too large\n'))

    def test_pages_are_read_at_the_start(self):
        with wire.Server('post-form') as server:
            shutil.rmtree(os.path.join(server.root, 'public'))
            with server.connect() as peer:
                peer.send(get('/json.js'))
                self.assertEqual(peer.read_response().status, 200)

    def test_relative_root(self):
        with wire.Server('post-form') as server:
            parent, name = os.path.split(server.root)
            with wire.Server('post-form', ROOT=name, cwd=parent) as other:
                wire.assert_serves(other)

    def test_from_another_folder(self):
        folder = os.path.dirname(wire.program('post-form'))
        if not os.path.isdir(os.path.join(folder, 'public')):
            self.skipTest('public/ is not beside a program built elsewhere')
        parent = os.path.dirname(folder)
        for command in ['post-form/post-form',
                        './post-form/../post-form/post-form']:
            with wire.Server([command], cwd=parent, ROOT=None) as server:
                with server.connect() as peer:
                    peer.send(get('/json.js'))
                    self.assertEqual(peer.read_response().status, 200)

    def test_default_host(self):
        with wire.Server('post-form', HOST=None) as server:
            self.assertEqual(server.address, '127.0.0.1')

    def test_bad_settings(self):
        for name, value in [('PORT', 'abc'), ('PORT', '65536'),
                            ('MAX_HELD', '0'), ('MAX_HELD', 'x')]:
            with self.subTest(name):
                done = wire.run('post-form', **{'PORT': 0, name: value})
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stderr.count(b'\n'), 1)

    def test_taken_port(self):
        with wire.Server('post-form') as server:
            done = wire.run('post-form', PORT=server.port, ROOT=server.root)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(  # musl says "in use"
                done.stderr.decode(),
                r'^127\.0\.0\.1 port %d: Address (already )?in use\n$' %
                server.port)

    def test_arguments(self):
        for word in ['-h', '--help', '--version']:
            done = wire.run('post-form', word)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            self.assertIn(b'post-form', done.stdout)
        done = wire.run('post-form', '-d')
        self.assertEqual((done.returncode, done.stdout), (2, b''))
        self.assertEqual(done.stderr.count(b'\n'), 1)

    def test_body_under_way(self):
        """What has begun is finished, and then it ends."""
        with wire.Server('post-form') as server:
            idle = server.connect()
            peer = server.connect()
            peer.send(head(length=7) + b'a=1')
            wire.assert_serves(server)
            server.signal()
            self.assertEqual(idle.recv_all(), b'')
            peer.send(b'&b=2')
            response = peer.read_response()
            self.assertEqual(response.body, b'You Posted: {"a":"1","b":"2"}')
            self.assertEqual(response.headers['Connection'], 'close')
            self.assertEqual(peer.recv_all(), b'')
            peer.close()
            self.assertEqual(server.wait(), 0)

    def test_answer_under_way(self):
        with wire.Server('post-form') as server:
            peer = server.connect(receive_buffer=4096)
            peer.send(post(b'\x01' * 1000000))
            peer.recv_until(b'\r\n\r\n')
            server.signal()
            body = peer.recv_all(limit=30)
            self.assertEqual(len(body), len('You Posted: {"":""}') + 6000000)
            self.assertEqual(server.wait(), 0)

    def test_grace(self):
        with wire.Server('post-form', GRACE_MS=100) as server:
            peer = server.connect()
            peer.send(head(length=7) + b'a=1')
            wire.assert_serves(server)
            server.signal(signal.SIGINT)
            self.assertEqual(server.wait(), 0)

    def test_drain(self):
        with wire.Server('post-form', DRAIN_MS=60000) as server:
            peer = server.connect()
            peer.send(get('/healthz'))
            self.assertEqual(peer.read_response().status, 200)
            server.signal()
            while True:  # until the signal has been seen
                with server.connect() as other:
                    other.send(get('/healthz'))
                    response = other.read_response()
                if response.status == 503:
                    break
            self.assertEqual(response.body, b'{"status":"draining"}')
            self.assertEqual(response.headers['Connection'], 'close')
            peer.send(post(b'a=1'))
            response = peer.read_response()
            self.assertEqual(response.body, b'You Posted: {"a":"1"}')
            self.assertEqual(response.headers['Connection'], 'close')
            server.signal()  # the second is final
            server.stop(expect=-signal.SIGTERM)

    def test_trace(self):
        with wire.Server('post-form', TRACE=1) as server:
            wire.exchange(server, post(b'a=\x1b[31m'))
            server.wait_error('C: POST / HTTP/1.1')
            server.wait_error('C: a=\\x1B[31m\\')
            server.wait_error('S: HTTP/1.1 200 OK')


if __name__ == '__main__':
    wire.main()
