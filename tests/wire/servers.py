#!/usr/bin/env python3
"""What is the same in all five servers: how they start, and how they stop; and
in the four that speak HTTP, how a connection begins."""

import os
import shutil
import signal
import tempfile
import unittest

import wire

SERVERS = ['rest-server', 'post-form', 'file-upload', 'websocket-app',
           'smtp-server']


class Case(unittest.TestCase):
    def each(self, names=SERVERS):
        for name in names:
            with self.subTest(name):
                yield name

    def fails(self, name, status, text, **settings):
        done = wire.run(name, **settings)
        self.assertEqual((done.returncode, done.stdout), (status, b''), done)
        self.assertRegex(done.stderr.decode(), text)
        self.assertEqual(done.stderr.count(b'\n'), 1)


class Starting(Case):
    def test_bad_settings(self):
        for name in self.each():
            for port in ('abc', '80a', '-1', '65536', ' ', '9' * 20):
                self.fails(name, 2, '^PORT=', PORT=port)
            for setting in ('IDLE_MS', 'HEAD_MS', 'MAX_CONNS'):
                self.fails(name, 2, '^%s=0: ' % setting, **{setting: 0})

    def test_bad_places(self):
        for name in self.each():
            self.fails(name, 1, '^ROOT=/no/such/folder: ',
                       ROOT='/no/such/folder')
            root = os.path.join(wire.TOP, name)
            self.fails(name, 1, r'^no\.such\.host\.invalid port 0: ',
                       ROOT=root, HOST='no.such.host.invalid', PORT=0)
            self.fails(name, 1, r'^192\.0\.2\.1 port 0: ', ROOT=root,
                       HOST='192.0.2.1', PORT=0)

    def test_taken_port(self):
        for name in self.each():
            with wire.Server(name) as server:
                text = '^127.0.0.1 port %d: Address (already )?in use\n$'
                self.fails(name, 1, text % server.port, HOST='127.0.0.1',
                           PORT=server.port, ROOT=os.path.join(wire.TOP, name))

    def test_addresses(self):
        """An empty setting is none."""
        for name in self.each():
            for host, family in (('', 'IPv4'), ('::1', 'IPv6'), ('::', 'IPv6')):
                with wire.Server(name, HOST=host, IDLE_MS='',
                                 PROXY='') as server:
                    self.assertIn('"family":"%s"' % family,
                                  server.out.lines[0])
                    wire.assert_serves(server)
                    if host == '::':  # takes IPv4 as well
                        server.connect('127.0.0.1').reset()
                        wire.assert_serves(server)

    def test_from_any_folder(self):
        """By its path, through $PATH, and through a symbolic link."""
        for name in self.each():
            with tempfile.TemporaryDirectory(prefix='servers-') as top:
                folder = os.path.join(top, name)
                os.mkdir(folder)
                program = shutil.copy(wire.program(name), folder)
                public = os.path.join(wire.TOP, name, 'public')
                if os.path.isdir(public):
                    shutil.copytree(public, os.path.join(folder, 'public'))
                os.symlink(program, os.path.join(top, 'link'))
                path = 'PATH=:/none:%s:%s' % (folder, os.environ['PATH'])
                for command, cwd in (
                        ([program], '/'), ([name + '/' + name], top),
                        ([top + '/link'], '/'), (['./link'], top),
                        (['env', path, name], '/')):
                    with wire.Server(command, cwd=cwd, ROOT='') as server:
                        server.name = name
                        wire.assert_serves(server)


class Serving(Case):
    GET = b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'

    def test_one_at_a_time(self):
        """Who finds no place waits for one."""
        for name in self.each(SERVERS[:-1]):
            with wire.Server(name, MAX_CONNS=1) as server:
                first, second = server.connect(), server.connect()
                second.send(self.GET)
                first.send(self.GET)
                self.assertEqual(first.read_response().status, 200)
                first.close()
                self.assertEqual(second.read_response().status, 200)

    def test_empty_lines_before_a_request(self):
        """RFC 9112, 2.2; also when they come in pieces."""
        for name in self.each(SERVERS[:-1]):
            with wire.Server(name, TRACE=1) as server, \
                    server.connect() as peer:
                peer.send(b'\r\n\r\n' + self.GET)
                self.assertEqual(peer.read_response().status, 200)
                peer.send(b'\r')
                server.wait_error('C: \\x0D')
                peer.send(b'\n' + self.GET)
                self.assertEqual(peer.read_response().status, 200)

    def test_half_a_request(self):
        for name in self.each(SERVERS[:-1]):
            with wire.Server(name) as server:
                self.assertIn(b'HTTP/1.1 400 Bad Request\r\n',
                              wire.exchange(server, self.GET[:-2]))
                self.assertEqual(wire.exchange(server, b''), b'')
                self.assertEqual(wire.exchange(server, b'\r'), b'')


class Stopping(Case):
    def test_health(self):
        """A load balancer is told before the listener goes."""
        for name in self.each(SERVERS[:-1]):
            with wire.Server(name, DRAIN_MS=60000) as server:
                get = b'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'
                with server.connect() as peer:
                    peer.send(get)
                    response = peer.read_response()
                    self.assertEqual((response.status, response.body),
                                     (200, b'{"status":"ok"}'))
                    server.signal()
                    while response.status == 200:
                        with server.connect() as other:
                            other.send(get)
                            response = other.read_response()
                    self.assertEqual((response.status, response.body),
                                     (503, b'{"status":"draining"}'))
                    self.assertEqual(response.headers['Connection'], 'close')
                server.signal()  # the second is final
                server.stop(expect=-signal.SIGTERM)


if __name__ == '__main__':
    wire.main()
