#!/usr/bin/env python3
"""rest-server, spoken to in raw bytes: what it answers, what it refuses, how
it bears bad peers, and how it starts and stops."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import wire

INDEX = b'{"name": "my-rest-server", "version": 0}'
USERS = b'{"data": [{"id": 1, "first_name": "Bob", "second_name": "Smith"}]}'
NOT_FOUND = b'{"error": "Not Found"}'
NOT_ALLOWED = b'{"error": "Method Not Allowed"}'
RED = (b'{"id":1,"first_name":"Bob","second_name":"Smith","type":"red"}')
BLUE = (b'{"id":2,"first_name":"David","second_name":"Clements",'
        b'"type":"blue"}')
HOST = b'Host: localhost\r\n'


def get(target='/', lines=b'', method='GET'):
    return (('%s %s HTTP/1.1\r\n' % (method, target)).encode() + HOST + lines +
            b'\r\n')


def ask(server, request, head=False):
    """The one response to a request after which the server need not close."""
    with server.connect() as peer:
        peer.send(request)
        return peer.read_response(head=head)


def responses(data, heads=()):
    """All that came on a connection, taken apart; heads are the places of
    answers to HEAD."""
    peer = wire.Peer.__new__(wire.Peer)
    peer.received = data
    peer.receive = lambda limit: False
    found = []
    while peer.received:
        found.append(peer.read_response(head=len(found) in heads))
    return found


def statuses(data):
    return [response.status for response in responses(data)]


class Case(unittest.TestCase):
    args, settings = [], {}

    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.server = self.stack.enter_context(
            wire.Server('rest-server', *self.args, **self.settings))

    def check(self, response, status, body, close=False):
        self.assertEqual((response.status, response.body), (status, body))
        headers = response.headers
        self.assertEqual(headers['Content-Type'], 'application/json')
        self.assertEqual(headers['Content-Length'], str(len(body)))
        self.assertEqual(headers['X-Content-Type-Options'], 'nosniff')
        self.assertEqual(headers['Connection'],
                         'close' if close else 'keep-alive')
        self.assertRegex(headers['Date'],
                         r'^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$')
        self.assertEqual(len(headers), 5 + ('Allow' in headers))


class Answers(Case):
    def test_routes(self):
        for target, status, body in (
                ('/', 200, INDEX), ('/users', 200, USERS),
                ('http://localhost:8080/users', 200, USERS),
                ('http://localhost', 200, INDEX),
                ('HTTP://[::1]:1/', 200, INDEX),
                ('/healthz', 200, b'{"status":"ok"}'),
                ('/users?x=1', 404, NOT_FOUND), ('/users?', 404, NOT_FOUND),
                ('/users?type=blue', 404, NOT_FOUND), ('/?', 404, NOT_FOUND),
                ('/users/', 404, NOT_FOUND), ('//users', 404, NOT_FOUND),
                ('/USERS', 404, NOT_FOUND), ('/%75sers', 404, NOT_FOUND),
                ('/users#f', 404, NOT_FOUND), ('/..', 404, NOT_FOUND),
                ('http://localhost?x', 404, NOT_FOUND)):
            with self.subTest(target):
                self.check(ask(self.server, get(target)), status, body)

    def test_other_methods_before_the_path(self):
        for method in ('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE',
                       'PROPFIND', 'get', 'GETS'):
            for target in ('/', '/users', '/nowhere'):
                response = ask(self.server, get(target, method=method))
                self.check(response, 405, NOT_ALLOWED)
                self.assertEqual(response.headers['Allow'], 'GET, HEAD')
        for start in ('OPTIONS *', 'CONNECT localhost:80'):
            response = ask(self.server, start.encode() + b' HTTP/1.1\r\n' +
                           HOST + b'\r\n')
            self.check(response, 405, NOT_ALLOWED)

    def test_head_is_get_without_the_body(self):
        with self.server.connect() as peer:
            for target, status, body in (('/', 200, INDEX),
                                         ('/nowhere', 404, NOT_FOUND),
                                         ('/users', 200, USERS)):
                peer.send(get(target, method='HEAD'))
                response = peer.read_response(head=True)
                self.assertEqual(response.status, status)
                self.assertEqual(response.headers['Content-Length'],
                                 str(len(body)))
            peer.send(get())
            self.check(peer.read_response(), 200, INDEX)

    def test_http_1_0(self):
        data = wire.exchange(self.server, b'GET / HTTP/1.0\r\n\r\n')
        self.check(responses(data)[0], 200, INDEX, close=True)
        with self.server.connect() as peer:
            peer.send(b'GET / HTTP/1.0\r\n\r\n' + get())
            self.assertEqual(statuses(peer.recv_all()), [200])
        with self.server.connect() as peer:
            peer.send(b'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n' +
                      get(lines=b'Connection: close\r\n'))
            first, second = responses(peer.recv_all())
            self.check(first, 200, INDEX)
            self.check(second, 200, INDEX, close=True)

    def test_typed_into_nc(self):
        with self.server.connect() as peer:
            for line in (b'GET / HTTP/1.1\n', b'Host: x\n', b'\n'):
                peer.send(line)
            self.check(peer.read_response(), 200, INDEX)

    def test_empty_lines_are_no_request(self):
        for lines in (b'\r\n', b'\n', b'\r\n\r\n', b'\r'):
            data = wire.exchange(self.server, get() + lines)
            self.assertEqual(statuses(data), [200], lines)
        data = wire.exchange(self.server, b'\r\n\n' + get() + b'\r\n' + get())
        self.assertEqual(statuses(data), [200, 200])
        self.assertEqual(wire.exchange(self.server, b'\r\n'), b'')
        self.assertEqual(wire.exchange(self.server, b''), b'')

    def test_expect(self):
        for lines in (b'Content-Length: 5\r\n',
                      b'Transfer-Encoding: chunked\r\n'):
            with self.server.connect() as peer:
                peer.send(get(lines=b'Expect: 100-continue\r\n' + lines,
                              method='POST'))
                self.check(peer.read_response(), 405, NOT_ALLOWED, close=True)
                self.assertEqual(peer.recv_all(), b'')
        self.check(ask(self.server, get(lines=b'Expect: 100-continue\r\n')),
                   200, INDEX)
        data = wire.exchange(self.server, get(lines=b'Expect: x\r\n') + get())
        self.assertEqual(statuses(data), [417])

    def test_byte_by_byte(self):
        with self.server.connect() as peer:
            for byte in get('/users', b'X: ' + b'x' * 300 + b'\r\n'):
                peer.send(bytes([byte]))
            self.check(peer.read_response(), 200, USERS)


class Dynamic(Case):
    args = ['-d']

    def test_users_by_type(self):
        everyone = b'{"data": [' + RED + b',' + BLUE + b']}'
        red, blue = b'{"data": [' + RED + b']}', b'{"data": [' + BLUE + b']}'
        none = b'{"data": []}'
        self.assertEqual([len(x) for x in (everyone, red, blue, none)],
                         [143, 74, 80, 12])
        for body, targets in (
                (everyone, '''/users /users? /users#f /users?type= /users?type
                 /users?x=1 /users?TYPE=blue /users?type[]=blue
                 /users?__proto__=1 /users?& /users?=blue
                 http://localhost/users'''),
                (blue, '''/users?type=blue /users?type=bl%75e
                 /users?%74ype=blue /users?x=1&type=blue /users?&&type=blue
                 /users?type=blue#x /users?type=blue&x=2&types=red
                 http://localhost:8080/users?type=blue'''),
                (red, '/users?type=red /users?type=%72%65%64'),
                (none, '''/users?type=blue&type=red /users?type=blue&type=blue
                 /users?type=&type= /users?type=green /users?type==blue
                 /users?type=blue? /users?type=blue%20 /users?type=+blue
                 /users?type=%2Bblue /users?type=%zz /users?type=%E4%BD
                 /users?type=%00 /users?type=blue%00 /users?type=BLUE
                 /users?type=constructor /users?type=blue;type=red
                 /users?type=%26 /users?type=b&type=lue''')):
            for target in targets.split():
                with self.subTest(target):
                    self.check(ask(self.server, get(target)), 200, body)
        for target in ('/?', '/?a=1', '/users/?type=blue', '/users;x',
                       '//users?type=blue', '/%75sers', '/Users'):
            with self.subTest(target):
                self.check(ask(self.server, get(target)), 404, NOT_FOUND)

    def test_a_query_as_long_as_a_target_may_be(self):
        for start in ('/users?', '/users?type=', '/users?x='):
            target = start + '%' * (8192 - len(start))
            self.assertEqual(ask(self.server, get(target)).status, 200)
        self.assertEqual(ask(self.server, get(target + '%')).status, 414)


class Refusals(Case):
    REFUSED = [
        (400, b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
        (400, b'GET /\r\n\r\n'),
        (400, b'GET  / HTTP/1.1\r\nHost: x\r\n\r\n'),
        (400, b'GET /a b HTTP/1.1\r\nHost: x\r\n\r\n'),
        (400, b'GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n'),
        (400, b'GET / HTTP/1.1\r\n\r\n'),
        (400, b'GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n'),
        (400, b'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n'),
        (400, b'GET / HTTP/1.1\r\nHost: x:65536\r\n\r\n'),
        (400, b'GET http://[/users HTTP/1.1\r\nHost: x\r\n\r\n'),
        (400, b'GET https://x/ HTTP/1.1\r\nHost: x\r\n\r\n'),
        (400, get(lines=b'A : b\r\n')),
        (400, get(lines=b'A: b\r\n c\r\n')),
        (400, get(lines=b'A: b\rc\r\n')),
        (400, get(lines=b'A: \0\r\n')),
        (400, get(lines=b'A\r\n')),
        (400, get(lines=b'Content-Length: x\r\n')),
        (400, get(lines=b'Content-Length: -1\r\n')),
        (400, get(lines=b'Content-Length: 18446744073709551616\r\n')),
        (400, get(lines=b'Content-Length: 5\r\nContent-Length: 6\r\n')),
        (400, get(lines=b'Content-Length: 5\r\n'
                        b'Transfer-Encoding: chunked\r\n')),
        (400, get(lines=b'Transfer-Encoding: gzip\r\n')),
        (400, get(lines=b'Transfer-Encoding: chunked, chunked\r\n')),
        (400, get(lines=b'Transfer-Encoding: chunked, gzip\r\n')),
        (400, b'POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n'),
        (414, get('/' + 'a' * 8192)),
        (417, get(lines=b'Expect: tea\r\n')),
        (431, get(lines=b'A: ' + b'a' * 32768 + b'\r\n')),
        (431, get(lines=b'A: b\r\n' * 200)),
        (501, b'A' * 33 + b' / HTTP/1.1\r\n'),
        (505, b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
        (505, b'GET / HTTP/0.9\r\nHost: x\r\n\r\n'),
    ]

    def test_refused_once_and_closed(self):
        for status, request in self.REFUSED:
            with self.subTest(request[:200]):
                with self.server.connect() as peer:
                    peer.send(request + b'5\r\nhello\r\n0\r\n\r\n' + get())
                    found = responses(peer.recv_all())
                self.assertEqual([f.status for f in found], [status])
                self.check(found[0], status, b'{"error": "%s"}' %
                           found[0].reason.encode(), close=True)

    def test_refused_byte_by_byte(self):
        for status, request in self.REFUSED:
            if len(request) > 1000:
                continue
            with self.subTest(request), self.server.connect() as peer:
                try:
                    for i in range(len(request)):
                        peer.send(request[i:i + 1])
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self.assertEqual(statuses(peer.recv_all()), [status])

    def test_limits_exactly(self):
        rest = len(get('', b'A: \r\n'))
        whole = get('', b'A: ' + b'a' * (32768 - rest - 1) + b'\r\n')
        whole = whole.replace(b'GET  ', b'GET / ')
        self.assertEqual(len(whole), 32768)
        self.assertEqual(ask(self.server, whole).status, 200)
        self.assertEqual(ask(self.server, whole.replace(b'A: ', b'A: a'))
                         .status, 431)
        self.assertEqual(ask(self.server, get('/' + 'a' * 8191)).status, 404)
        self.assertEqual(ask(self.server, get(lines=b'A: b\r\n' * 199)).status,
                         200)
        self.assertEqual(ask(self.server, get(method='A' * 32)).status, 405)

    def test_head_is_refused_without_a_body(self):
        for status, request in ((400, b'HEAD / HTTP/1.1\r\n\r\n'),
                                (400, b'HEAD / HTTP/1.1\r\nA'),
                                (417, get(lines=b'Expect: x\r\n',
                                          method='HEAD'))):
            found = responses(wire.exchange(self.server, request), heads=(0,))
            self.assertEqual([f.status for f in found], [status])

    def test_an_unfinished_head(self):
        for head in (b'G', b'GET / HTTP/1.1\r\n', get()[:-1], get()[:-2]):
            self.assertEqual(statuses(wire.exchange(self.server, head)), [400])
            self.assertEqual(statuses(wire.exchange(self.server,
                                                    get() + head)), [200, 400])

    def refused_whole(self, start, status, n, block):
        """A refusal arrives whole while n bytes more are being sent."""
        with self.server.connect() as peer:
            peer.send(start)
            for _ in range(n // len(block)):
                peer.send(block)
            self.assertEqual(statuses(peer.recv_all()), [status])

    def test_a_refusal_outlives_50_megabytes(self):
        self.refused_whole(get(lines=b'Content-Length: x\r\n'), 400, 50 << 20,
                           b'x' * 65536)

    def test_a_head_that_does_not_end(self):
        for first in (1, 5000, 9999, 10240, 16384):
            start = b'GET / HTTP/1.1\r\nHost: x\r\nA: '
            with self.server.connect() as peer:
                peer.send(start)
                peer.send(b'a' * first)
                wire.exchange(self.server, get())  # it has read that
                for _ in range(64):
                    peer.send(b'a' * 65536)
                self.assertEqual(statuses(peer.recv_all()), [431])


class Smuggling(Case):
    """The second request is the body's, or is not read: it is not answered."""

    INNER = b'GET /users HTTP/1.1\r\nHost: x\r\n\r\n'

    def answers(self, lines, body, method='POST'):
        with self.server.connect() as peer:
            peer.send(get(lines=lines, method=method) + body)
            peer.half_close()
            return statuses(peer.recv_all())

    def test_a_request_within_a_body(self):
        inner = self.INNER
        length = b'Content-Length: %d\r\n' % len(inner)
        chunk = b'%x\r\n%s\r\n0\r\n\r\n' % (len(inner), inner)
        chunked = b'Transfer-Encoding: chunked\r\n'
        for method, status in (('POST', 405), ('GET', 200)):
            self.assertEqual(self.answers(length, inner, method), [status])
            self.assertEqual(self.answers(chunked, chunk, method), [status])
            self.assertEqual(self.answers(length, inner + inner, method),
                             [status, 200])
            self.assertEqual(self.answers(chunked, chunk + inner, method),
                             [status, 200])

    def test_two_lengths(self):
        for lines in (
                b'Content-Length: 0\r\nTransfer-Encoding: chunked\r\n',
                b'Transfer-Encoding: chunked\r\nContent-Length: 0\r\n',
                b'Content-Length: 0\r\nContent-Length: 1\r\n',
                b'Content-Length: 0, 1\r\n',
                b'Content-Length: 0\r\nTransfer-Encoding: xchunked\r\n',
                b'Content-Length: 0\r\nTransfer-Encoding: identity\r\n',
                b'Content-Length: 0\r\nTransfer-Encoding:\r\n chunked\r\n',
                b'Content-Length: 0\r\nTransfer-Encoding : chunked\r\n',
                b'Content-Length: 0\r\n Transfer-Encoding: chunked\r\n',
                b'Content-Length: 0\r\nX: y\rTransfer-Encoding: chunked\r\n',
                b'Content-Length: 0\r\nX: y\r\n\tTransfer-Encoding: x\r\n',
                b'Content-Length: 0\r\nTransfer-Encoding: \x0bchunked\r\n',
                b'Content-Length: 0\nTransfer-Encoding: chunked\n',
                b'Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n',
                b'Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n',
                b'Content-Length: +5\r\n', b'Content-Length: 0x5\r\n',
                b'Content-Length : 5\r\n', b'Content-Length: 5 5\r\n'):
            with self.subTest(lines):
                self.assertEqual(self.answers(lines, b'0\r\n\r\n' +
                                              self.INNER), [400])

    def test_broken_chunks(self):
        """One request has one answer: a second one would be taken for that of
        the next."""
        for body in (b'0\n\n', b'0\r\n\n', b'5\nhello\r\n0\r\n\r\n',
                     b'5\r\nhello\n0\r\n\r\n', b'5\r\nhello0\r\n\r\n',
                     b'5\r\nhelloXX0\r\n\r\n', b'0x0\r\n\r\n', b'+0\r\n\r\n',
                     b'-0\r\n\r\n', b' 0\r\n\r\n', b'0 \r\n\r\n', b'\r\n',
                     b'0;a\nb\r\n\r\n', b'0;a\rb\r\n\r\n', b'g\r\n\r\n',
                     b'10000000000000000\r\n\r\n', b'0\r\nA : b\r\n\r\n',
                     b'0\r\nA: b\r\n c\r\n\r\n', b'0\r\nA: b\n\r\n'):
            with self.subTest(body):
                self.assertEqual(
                    self.answers(b'Transfer-Encoding: chunked\r\n',
                                 body + self.INNER), [405])


class Bodies(Case):
    settings = {'ASAN_OPTIONS': 'quarantine_size_mb=1'}

    def test_skipped_on_a_kept_connection(self):
        big = b'x' * 300000
        chunked = b'Transfer-Encoding: chunked\r\n'
        with self.server.connect() as peer:
            for lines, body in (
                    (b'Content-Length: 0\r\n', b''),
                    (b'Content-Length: 5\r\n', b'hello'),
                    (b'Content-Length: 300000\r\n', big),
                    (chunked, b'0\r\n\r\n'),
                    (chunked, b'5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n'),
                    (chunked, b'493E0\r\n' + big + b'\r\n0\r\n\r\n'),
                    (chunked, b'1\r\nx\r\n' * 20000 + b'0\r\n\r\n')):
                for method, status in (('POST', 405), ('GET', 200)):
                    peer.send(get(lines=lines, method=method) + body)
                    self.assertEqual(peer.read_response().status, status)
            peer.send(get('/users'))
            self.check(peer.read_response(), 200, USERS)

    def test_skipped_in_pieces(self):
        for lines, body in (
                (b'Content-Length: 12\r\n', b'GET / HTTP/1'),
                (b'Transfer-Encoding: chunked\r\n',
                 b'5;a=b\r\nhello\r\nA\r\nGET / HTTP\r\n0\r\nB: c\r\n\r\n')):
            whole = get(lines=lines, method='PUT') + body + get('/users')
            with self.server.connect() as peer:
                for i in range(len(whole)):
                    peer.send(whole[i:i + 1])
                self.assertEqual(peer.read_response().status, 405)
                self.check(peer.read_response(), 200, USERS)

    def test_answered_before_the_body_is_there(self):
        with self.server.connect() as peer:
            peer.send(get(lines=b'Content-Length: 5\r\n', method='POST'))
            self.check(peer.read_response(), 405, NOT_ALLOWED)
            peer.send(b'hello' + get())
            self.check(peer.read_response(), 200, INDEX)

    def test_a_body_that_ends_early(self):
        for lines, body in ((b'Content-Length: 5\r\n', b'hell'),
                            (b'Transfer-Encoding: chunked\r\n', b'5\r\nhel')):
            data = wire.exchange(self.server, get(lines=lines) + body)
            self.assertEqual(statuses(data), [200])

    def test_50_megabytes_behind_an_answer(self):
        before = self.server.rss()
        with self.server.connect() as peer:
            peer.send(get(lines=b'Content-Length: 52428800\r\n'
                                b'Connection: close\r\n', method='PUT'))
            for _ in range(800):
                peer.send(b'x' * 65536)
            self.assertEqual(statuses(peer.recv_all()), [405])
        self.assertLess(self.server.rss() - before, 8 << 20)


class Pipelines(Case):
    TARGETS = ('/', '/users', '/nowhere', '/healthz')

    def batch(self, n, last=b''):
        return b''.join(get(self.TARGETS[i % 4], last if i == n - 1 else b'')
                        for i in range(n))

    def in_order(self, found, n):
        bodies = (INDEX, USERS, NOT_FOUND, b'{"status":"ok"}')
        self.assertEqual(len(found), n)
        for i, response in enumerate(found):
            self.assertEqual(response.body, bodies[i % 4])

    def test_one_write(self):
        with self.server.connect() as peer:
            peer.send(self.batch(500))
            self.in_order([peer.read_response() for _ in range(500)], 500)
            peer.send(get())
            self.check(peer.read_response(), 200, INDEX)

    def test_one_write_and_half_close(self):
        self.in_order(responses(wire.exchange(self.server, self.batch(900))),
                      900)

    def test_the_last_says_close(self):
        with self.server.connect() as peer:
            peer.send(self.batch(400, b'Connection: close\r\n') + get() * 9)
            found = responses(peer.recv_all())
            self.in_order(found, 400)
            self.check(found[-1], 200, b'{"status":"ok"}', close=True)

    def test_heads_and_bodies_among_them(self):
        data = wire.exchange(
            self.server, get(method='HEAD') +
            get(lines=b'Content-Length: 3\r\n', method='POST') + b'abc' +
            get('/users', method='HEAD') +
            get(lines=b'Transfer-Encoding: chunked\r\n') + b'0\r\n\r\n' +
            get('/users'))
        found = responses(data, heads=(0, 2))
        self.assertEqual([f.status for f in found], [200, 405, 200, 200, 200])
        self.assertEqual(found[-1].body, USERS)

    def test_odd_pieces(self):
        whole = self.batch(300)
        with self.server.connect() as peer:
            at, step = 0, 1
            while at < len(whole):
                peer.send(whole[at:at + step])
                at, step = at + step, step * 7 % 211
            self.in_order([peer.read_response() for _ in range(300)], 300)

    def slow_reader(self, n, receive_buffer, piece, half_close):
        """Sends n requests as fast as they are taken, and reads the answers
        in small pieces: nothing may be lost."""
        request = b'GET / HTTP/1.1\r\nHost: x\r\n\r\n'
        want = n * len(ask(self.server, request).raw)
        with self.server.connect(receive_buffer=receive_buffer) as peer:
            got, problem = 0, []

            def send():
                try:
                    peer.socket.sendall(request * n)
                    if half_close:
                        peer.half_close()
                except OSError as error:
                    problem.append(error)
            sender = threading.Thread(target=send)
            sender.start()
            try:
                while got < want:
                    data = peer.socket.recv(piece)
                    if not data:
                        break
                    got += len(data)
            except OSError as error:
                problem.append(error)
            if half_close and not problem:
                got += len(peer.recv_all())
            if problem:
                peer.close()
            sender.join()
        self.assertEqual((got, problem), (want, []))

    def test_a_slow_reader(self):
        self.slow_reader(60000, 2304, 512, half_close=False)
        self.slow_reader(60000, 2304, 512, half_close=True)
        self.slow_reader(30000, 8192, 3000, half_close=True)


class BadPeers(Case):
    settings = {'HEAD_MS': 400, 'IDLE_MS': 400,
                'ASAN_OPTIONS': 'quarantine_size_mb=1'}

    def tearDown(self):
        wire.assert_serves(self.server)
        wire.assert_idle(self.server)

    def test_a_trickle(self):
        """At any pace, the head has HEAD_MS from its first byte."""
        for pace in (0.005, 0.15):
            with self.server.connect() as peer:
                start = time.monotonic()
                peer.send(b'GET / HTTP/1.1\r\nHost: x\r\nA: ')
                peer.socket.settimeout(pace)
                while True:
                    try:
                        data = peer.socket.recv(4096)
                        break
                    except socket.timeout:
                        with contextlib.suppress(OSError):
                            peer.socket.sendall(b'a')
                self.assertEqual(statuses(data), [408])
                self.assertTrue(0.3 < time.monotonic() - start < 1.3)

    def test_a_trickle_behind_an_answer(self):
        with self.server.connect() as peer:
            peer.send(get() + b'G')
            self.assertEqual(statuses(peer.recv_all()), [200, 408])

    def test_silence(self):
        for first in (b'', get(), get() + b'\r\n', b'\r\n', b'\r'):
            with self.server.connect() as peer:
                peer.send(first)
                start = time.monotonic()
                expected = [200] if first.startswith(b'GET') else []
                self.assertEqual(statuses(peer.recv_all()), expected)
                self.assertTrue(0.3 < time.monotonic() - start < 1.3)

    def test_it_never_reads(self):
        before = self.server.rss()
        with self.server.connect(receive_buffer=4096) as peer:
            peer.socket.settimeout(0.3)
            sent = 0
            try:
                while sent < 400 << 20:
                    sent += peer.socket.send(get() * 1000)
            except socket.timeout:
                pass
            self.assertLess(sent, 400 << 20)
            wire.assert_serves(self.server)
            wire.assert_idle(self.server)
            self.assertLess(self.server.rss() - before, 8 << 20)

    def test_it_vanishes(self):
        for data in (b'', b'GET', get(), get() * 500,
                     get(lines=b'Content-Length: 5\r\n')):
            for _ in range(20):
                peer = self.server.connect()
                peer.send(data)
                peer.reset()
        wire.assert_serves(self.server)
        end = time.monotonic() + wire.LIMIT
        while self.server.fds() > 6 and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(self.server.fds(), 6)  # 0 1 2, listener, pipe
        self.assertEqual(self.server.err.lines, [])

    def test_it_overflows(self):
        before = self.server.rss()
        for line in (b'a', b'A: b\r\n', b'\0', b'\r\n', b'GET / '):
            with self.server.connect() as peer:
                with contextlib.suppress(OSError, wire.Failure):
                    peer.socket.settimeout(0.3)
                    for _ in range(20):
                        peer.socket.sendall(line * 50000)
        self.assertLess(self.server.rss() - before, 8 << 20)


class Files(unittest.TestCase):
    def test_twelve_descriptors(self):
        with wire.Server('rest-server', preexec=wire.files_at_most(12),
                         IDLE_MS=60000) as server:
            peers = [server.connect() for _ in range(40)]
            for peer in peers:
                peer.send(get())
            served = peers[:3]
            for peer in served:
                self.assertEqual(peer.read_response().status, 200)
            server.wait_error('accept: ')
            wire.assert_idle(server)
            # Who leaves makes room for who waits: all get their turn.
            for peer in peers:
                if peer not in served:
                    self.assertEqual(peer.read_response().status, 200)
                peer.close()
            wire.assert_serves(server)
            wire.assert_idle(server)
            self.assertEqual(len(server.err.lines), 1)  # said once

    def test_max_conns(self):
        with wire.Server('rest-server', MAX_CONNS=2) as server:
            first, second, third = (server.connect() for _ in range(3))
            for peer in (first, second, third):
                peer.send(get())
            self.assertEqual(first.read_response().status, 200)
            self.assertEqual(second.read_response().status, 200)
            with self.assertRaises(wire.Failure):
                third.recv_exactly(1, 0.3)
            wire.assert_idle(server)
            first.close()
            self.assertEqual(third.read_response().status, 200)

    def test_hundreds_at_once(self):
        with wire.Server('rest-server') as server:
            before = server.rss()
            peers = [server.connect() for _ in range(400)]
            for peer in peers:
                peer.send(get()[:20])
            for peer in reversed(peers):
                peer.send(get()[20:])
            for peer in peers:
                self.assertEqual(peer.read_response().status, 200)
            for peer in peers[::2]:
                peer.close()
            for peer in peers[1::2]:
                peer.send(get('/users'))
                self.assertEqual(peer.read_response().body, USERS)
            self.assertLess(server.rss() - before, 24 << 20)


class Stopping(unittest.TestCase):
    def start(self, **settings):
        server = wire.Server('rest-server', **settings)
        self.addCleanup(server.__exit__, None, None, None)
        return server.__enter__()

    def refused(self, server):
        """That nobody listens any more, soon."""
        end = time.monotonic() + wire.LIMIT
        while time.monotonic() < end:
            try:
                server.connect().close()
            except ConnectionResetError:
                pass  # it is just closing
            except ConnectionRefusedError:
                return
            time.sleep(0.01)
        self.fail('it still listens')

    def test_idle_ones_are_closed_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.start()
            peers = [server.connect() for _ in range(3)]
            peers[1].send(get())
            peers[1].read_response()
            peers[2].send(get() + b'\r\n')
            peers[2].read_response()
            wire.assert_serves(server)  # so that all three are accepted
            start = time.monotonic()
            server.signal(number)
            for peer in peers:
                self.assertEqual(peer.recv_all(), b'')
            self.assertEqual(server.wait(), 0)
            self.assertLess(time.monotonic() - start, 1)

    def test_what_has_begun_is_finished(self):
        server = self.start()
        half, body = server.connect(), server.connect()
        half.send(get()[:10])
        body.send(get(lines=b'Content-Length: 5\r\n'))
        body.read_response()
        wire.assert_serves(server)
        server.signal()
        self.refused(server)
        half.send(get()[10:] + get())
        found = responses(half.recv_all())
        self.assertEqual([f.headers['Connection'] for f in found], ['close'])
        half.close()
        body.send(b'hello')
        self.assertEqual(body.recv_all(), b'')
        body.close()
        self.assertEqual(server.wait(), 0)

    def test_grace(self):
        server = self.start(GRACE_MS=400)
        peer = server.connect()
        peer.send(get()[:10])
        wire.assert_serves(server)
        start = time.monotonic()
        server.signal()
        self.assertEqual(server.wait(), 0)
        self.assertTrue(0.3 < time.monotonic() - start < 1.5)

    def test_drain(self):
        server = self.start(DRAIN_MS=700)
        kept, idle = server.connect(), server.connect()
        kept.send(get())
        kept.read_response()
        start = time.monotonic()
        server.signal()
        while ask(server, get('/healthz')).status == 200:
            pass
        kept.send(get('/users') + get())
        found = responses(kept.recv_all())
        self.assertEqual([f.body for f in found], [USERS])
        self.assertEqual(found[0].headers['Connection'], 'close')
        kept.close()
        while time.monotonic() - start < 0.4:
            response = ask(server, get('/healthz'))
            self.assertEqual((response.status, response.body),
                             (503, b'{"status":"draining"}'))
            self.assertEqual(response.headers['Connection'], 'close')
            self.assertEqual(ask(server, get()).body, INDEX)
        before = server.cpu()
        self.assertEqual(idle.recv_all(), b'')
        self.assertGreater(time.monotonic() - start, 0.6)
        self.assertEqual(server.wait(), 0)
        self.assertLess(time.monotonic() - start, 1.5)
        self.assertLess(before, 0.5)

    def test_a_second_signal_is_final(self):
        server = self.start(DRAIN_MS=60000)
        server.signal()
        while ask(server, get('/healthz')).status != 503:
            pass
        server.signal()
        self.assertEqual(server.wait(), -signal.SIGTERM)
        server.stop(expect=-signal.SIGTERM)

    def test_an_answer_that_nobody_reads(self):
        server = self.start(GRACE_MS=300)
        peer = server.connect(receive_buffer=4096)
        peer.socket.settimeout(0.2)
        with contextlib.suppress(socket.timeout):
            while True:
                peer.socket.send(get() * 1000)
        server.signal()
        self.assertEqual(server.wait(), 0)


class Starting(unittest.TestCase):
    def fails(self, status, text, *args, **settings):
        done = wire.run('rest-server', *args, **settings)
        self.assertEqual(done.returncode, status, done)
        self.assertEqual(done.stdout, b'')
        self.assertRegex(done.stderr.decode(), text)
        self.assertEqual(done.stderr.count(b'\n'), 1)

    def test_bad_port(self):
        for port in ('abc', '80a', '-1', '65536', '8.5', '0x50', ' ', '/tmp/x',
                     '99999999999999999999', '8080 '):
            with self.subTest(port):
                self.fails(2, '^PORT=', PORT=port)
        self.fails(2, '^IDLE_MS=', IDLE_MS='soon')
        self.fails(2, '^HEAD_MS=', HEAD_MS=0)
        self.fails(2, '^MAX_CONNS=', MAX_CONNS=-1)
        self.fails(2, '^DRAIN_MS=', DRAIN_MS=-1)
        self.fails(2, '^GRACE_MS=', GRACE_MS='1s')

    def test_bad_host(self):
        self.fails(1, r'^no\.such\.host\.invalid port 0: ',
                   HOST='no.such.host.invalid', PORT=0)
        self.fails(1, r'^192\.0\.2\.1 port 0: ', HOST='192.0.2.1', PORT=0)

    def test_taken_port(self):
        with wire.Server('rest-server') as server:
            self.fails(1, '^127.0.0.1 port %d: Address (already )?in use\n$' %
                       server.port, HOST='127.0.0.1', PORT=server.port)

    def test_wrong_options(self):
        for option in ('-x', '--helps', 'x', '-', '--', '-dd', ''):
            with self.subTest(option):
                self.fails(2, '^rest-server: ', option)

    def test_help_and_version(self):
        for args in (['-h'], ['--help'], ['-d', '--help']):
            done = wire.run('rest-server', *args, PORT='x')
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            for word in (b'HOST', b'PORT', b'IDLE_MS', b'HEAD_MS',
                         b'MAX_CONNS', b'DRAIN_MS', b'GRACE_MS', b'TRACE',
                         b'75000', b'10000', b'5000', b'Try: curl'):
                self.assertIn(word, done.stdout)
        done = wire.run('rest-server', '--version')
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        self.assertRegex(done.stdout, rb'^rest-server \d[\d.]*\n$')

    def test_addresses(self):
        for host, line in (
                (None, '"address":"0.0.0.0","family":"IPv4"'),
                ('', '"address":"0.0.0.0","family":"IPv4"'),
                ('127.0.0.1', '"address":"127.0.0.1","family":"IPv4"'),
                ('::1', '"address":"::1","family":"IPv6"'),
                ('::', '"address":"::","family":"IPv6"')):
            with wire.Server('rest-server', HOST=host) as server:
                self.assertEqual(server.out.lines, [
                    '{%s,"port":%d}' % (line, server.port)])
                self.assertNotEqual(server.port, 0)
                self.assertEqual(ask(server, get()).status, 200)
                if host == '::':  # takes both
                    with server.connect('127.0.0.1') as peer:
                        peer.send(get())
                        self.assertEqual(peer.read_response().status, 200)

    def test_a_port_of_our_own(self):
        with wire.Server('rest-server') as server:
            port = server.port
            with server.connect() as peer:  # leaves TIME_WAIT behind
                peer.send(get(lines=b'Connection: close\r\n'))
                peer.recv_all()
        with wire.Server('rest-server', PORT='0%d' % port) as server:
            self.assertEqual(server.port, port)

    def test_with_descriptors_closed(self):
        """As a daemon may be started: nothing else may take their place."""
        with socket.create_server(('127.0.0.1', 0)) as taken:
            port = taken.getsockname()[1]
        process = subprocess.Popen(
            ['sh', '-c', 'exec "$0" <&- >&- 2>&-', wire.program('rest-server')],
            env=wire.environment({'HOST': '127.0.0.1', 'PORT': port}))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        end = time.monotonic() + wire.LIMIT
        served = 0
        while served < 10:
            self.assertIsNone(process.poll(), 'it has ended')
            self.assertLess(time.monotonic(), end, 'it does not listen')
            with contextlib.suppress(ConnectionRefusedError):
                with wire.Peer('127.0.0.1', port) as peer:
                    peer.send(get())
                    self.assertEqual(peer.read_response().status, 200)
                served += 1

    def test_from_any_folder(self):
        """By its path, through $PATH, and through a symbolic link."""
        folder = os.path.dirname(wire.program('rest-server'))
        with tempfile.TemporaryDirectory() as other:
            link = os.path.join(other, 'link')
            os.symlink(wire.program('rest-server'), link)
            path = folder + ':' + os.environ['PATH']
            for command, cwd in (
                    (['rest-server/rest-server'], os.path.dirname(folder)),
                    ([link], '/'), (['./link'], other),
                    (['env', 'PATH=' + path, 'rest-server'], other)):
                with wire.Server(command, cwd=cwd) as server:
                    self.assertEqual(ask(server, get()).status, 200)


class Trace(unittest.TestCase):
    def test_it_can_be_played_again(self):
        with wire.Server('rest-server', TRACE=1) as server:
            wire.exchange(server, get() + get('/users') + b'\r\n')
            wire.exchange(server, get(lines=b'Connection: close\r\n'))
            with server.connect() as peer:
                peer.send(get(lines=b'Content-Length: 5000\r\n'))
                peer.read_response()
                peer.send(b'x' * 5000)
                wire.assert_idle(server)
                peer.send(get())
                peer.read_response()
            wire.exchange(server, b'\x1b[31m\\ <close>\r\n')
            wire.exchange(server, b'<close>\r\n')
            server.stop()
            text = server.err.text() + '\n'
        self.assertNotIn('\x1b', text)
        with tempfile.NamedTemporaryFile('w', suffix='.txt') as file:
            file.write('# program: rest-server\n' + text)
            file.flush()
            done = subprocess.run(
                [sys.executable, os.path.join(wire.TOP, 'tests', 'play.py'),
                 file.name], stdout=subprocess.PIPE, timeout=60)
        played = done.stdout.decode()
        self.assertRegex(played, r'^[23] passed, 0 failed\n$', text)

    def test_what_it_looks_like(self):
        with wire.Server('rest-server', TRACE=1) as server:
            ask(server, get('/users'))
            server.stop()
            lines = [line for line in server.err.lines
                     if not line.startswith(('#', '---', 'S: Date'))]
        self.assertEqual(lines, [
            'C: GET /users HTTP/1.1', 'C: Host: localhost', 'C: ',
            'S: HTTP/1.1 200 OK', 'S: Content-Type: application/json',
            'S: Content-Length: 66', 'S: X-Content-Type-Options: nosniff',
            'S: Connection: keep-alive', 'S: ', 'S: ' + USERS.decode() + '\\'])


if __name__ == '__main__':
    wire.main()
