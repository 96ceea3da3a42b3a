#!/usr/bin/env python3
"""All five servers behind others: a proxy that says who the client is
(PROXY=1), and somebody who hands them a listening socket (LISTEN_FDS)."""

import os
import shutil
import socket
import sys
import tempfile
import threading
import unittest

import wire

SERVERS = ['rest-server', 'post-form', 'file-upload', 'websocket-app',
           'smtp-server']
LINE = b'PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n'
SIGNATURE = b'\r\n\r\n\0\r\nQUIT\n'
BLOCK = (SIGNATURE + b'\x21\x11\x00\x0f\xc0\x00\x02\x01\xc0\x00\x02\x09'
         b'\xdc\x04\x01\xbb' b'\x04\x00\x00')
GET = b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'


def talk(name):
    """What a client says, and what it then hears in the answers."""
    if name == 'smtp-server':
        return b'EHLO me\r\nQUIT\r\n', b'\r\n221 '
    return GET, b'HTTP/1.1 200 OK\r\n'


class Proxied(unittest.TestCase):
    def servers(self, **settings):
        for name in SERVERS:
            with wire.Server(name, PROXY=1, **settings) as server:
                yield name, server

    def hear(self, server, *pieces):
        """All that a client hears who sends these and closes its side."""
        with server.connect() as peer:
            for piece in pieces:
                peer.send(piece)
            peer.half_close()
            return peer.recv_all()

    def assert_dropped(self, peer):
        """The server closes or resets the connection, without a word."""
        try:
            peer.receive()
        except ConnectionResetError:
            pass
        self.assertEqual(peer.received, b'')

    def test_both_versions(self):
        for name, server in self.servers():
            says, hears = talk(name)
            for header in LINE, BLOCK:
                self.assertIn(hears, self.hear(server, header + says))
                self.assertIn(hears, self.hear(server, header, says))

    def test_byte_by_byte(self):
        for name, server in self.servers():
            says, hears = talk(name)
            self.assertIn(hears, self.hear(
                server, *[bytes([byte]) for byte in BLOCK + says]))

    def test_who_says_nothing_hears_nothing(self):
        for name, server in self.servers():
            says, _ = talk(name)
            for first in (says, b'', LINE[:-1], LINE[:-2] + b'\n', BLOCK[:20],
                          b'PROXY TCP4 192.0.2.1 192.0.2.9 1 x\r\n' + says,
                          SIGNATURE + b'\x21\x11\xff\xff' + says):
                with server.connect() as peer:
                    peer.send(first)
                    peer.half_close()
                    self.assert_dropped(peer)
            wire.assert_idle(server)

    def test_a_header_that_does_not_come(self):
        for _, server in self.servers(HEAD_MS=100):
            with server.connect() as peer:
                peer.send(LINE[:10])
                self.assert_dropped(peer)

    def test_a_header_that_has_not_begun_holds_up_no_stop(self):
        for _, server in self.servers(HEAD_MS=60000, GRACE_MS=60000):
            with server.connect():
                with server.connect() as peer: # when it is served, so is the
                    peer.send(LINE + b'x\r\n') # other one, which came first
                    peer.receive()
                server.signal()
                self.assertEqual(server.wait(), 0)

    def test_nothing_is_said_before_the_header(self):
        with wire.Server('smtp-server', PROXY=1, TRACE=1) as server:
            with server.connect() as peer:
                peer.send(LINE[:10])
                server.wait_error('C: PROXY TCP4')
                peer.send(LINE[10:])
                peer.recv_until(b'220 ')
                server.wait_error('S: 220')
            said = [line[:2] for line in server.err.lines if line[0] in 'CS']
            self.assertEqual(said[:3], ['C:', 'C:', 'S:'])

    def test_the_client_is_the_one_the_proxy_names(self):
        told = [(LINE, '192.0.2.1'), (BLOCK, '192.0.2.1'),
                (b'PROXY TCP6 2001:DB8::1 ::1 1 2\r\n', '2001:db8::1'),
                (b'PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n', '192.0.2.7'),
                (b'PROXY UNKNOWN\r\n', '127.0.0.1'),
                (SIGNATURE + b'\x20\x00\x00\x00', '127.0.0.1')]
        with wire.Server('smtp-server', PROXY=1) as server:
            for header, ip in told:
                heard = self.hear(server, header + b'EHLO me\r\nQUIT\r\n')
                self.assertIn(b'greets me [%s]\r\n' % ip.encode(), heard)
        with wire.Server('websocket-app', PROXY=1) as server:
            for header, ip in told:
                with server.connect() as peer:
                    peer.send(header + b'GET / HTTP/1.1\r\nHost: x\r\n'
                              b'Upgrade: websocket\r\nConnection: Upgrade\r\n'
                              b'Sec-WebSocket-Version: 13\r\n'
                              b'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n'
                              b'\r\n' b'\x81\x82\0\0\0\0hi')
                    server.wait_line('From IP: ' + ip)

    def test_the_trace_names_each_client(self):
        for name, server in self.servers(TRACE=1):
            says, _ = talk(name)
            for ip in b'192.0.2.1', b'192.0.2.7':
                self.hear(server, LINE.replace(b'192.0.2.1', ip) + says)
                server.wait_error(' from ' + ip.decode())

    def test_helpers_are_no_clients(self):
        with wire.Server('file-upload', PROXY=1) as server:
            self.assertIn(b'a.txt successfully saved!', self.hear(
                server, LINE + b'PUT /a.txt HTTP/1.1\r\nHost: x\r\n'
                b'Content-Length: 2\r\nConnection: close\r\n\r\nhi'))
        with wire.Server('smtp-server', PROXY=1) as server:
            self.assertIn(b'354 OK\r\n250 ', self.hear(
                server, LINE + b'helo me\r\nmail from: a@b.c\r\n'
                b'rcpt to: you@example.com\r\ndata\r\nhello\r\n.\r\nquit\r\n'))

    def test_off_it_is_no_header(self):
        with wire.Server('rest-server') as server:
            self.assertIn(b' 400 Bad Request\r\n',
                          self.hear(server, LINE + GET))

    def test_other_settings_are_told(self):
        done = wire.run('rest-server', PROXY=2)
        self.assertEqual((done.returncode, done.stderr),
                         (2, b'PROXY=2: not a number from 0 to 1\n'))


# Hands over a socket as systemd does, and becomes the program.
GIVE = '''
import os, socket, sys
made, pid, count, *command = sys.argv[1:]
if made == 'file':
    fd = os.open('/dev/null', os.O_RDONLY)
elif made == 'unix':
    given = socket.socket(socket.AF_UNIX)
    given.bind(os.environ['ROOT'] + '/socket')
    given.listen()
    fd = given.fileno()
elif made.startswith('/'):
    keeper = socket.socket(socket.AF_UNIX)
    keeper.connect(made)
    fd = socket.recv_fds(keeper, 1, 1)[1][0]
else:
    given = socket.socket()
    given.bind(('127.0.0.1', 0))
    if made == 'listens':
        given.listen()
    fd = given.fileno()
if fd != 3:
    os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=pid or str(os.getpid()), LISTEN_FDS=count)
os.execv(command[0], command)
'''


class Inherited(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='inherited-')
        self.addCleanup(folder.cleanup)
        self.root = folder.name

    def command(self, name, made='listens', pid='', count='1'):
        return [sys.executable, '-c', GIVE, made, pid, count,
                wire.program(name)]

    def test_all_serve_on_it(self):
        for name in SERVERS:
            public = os.path.join(wire.TOP, name, 'public')
            root = public[:-7] if os.path.isdir(public) else self.root
            with self.subTest(name):
                server = wire.Server(self.command(name), ROOT=root, PORT=1)
                with server, server.connect() as peer:
                    says, hears = talk(name)
                    peer.send(says)
                    self.assertIn(hears, peer.recv_all())
                    wire.assert_idle(server)

    def test_clients_wait_while_it_is_started_again(self):
        path = os.path.join(self.root, 'keeper')
        with socket.create_server(('127.0.0.1', 0)) as kept, \
                socket.socket(socket.AF_UNIX) as keeper:
            keeper.bind(path)
            keeper.listen()

            def hand_over():
                with keeper.accept()[0] as link:
                    socket.send_fds(link, [b'!'], [kept.fileno()])

            for n in range(3):
                with socket.create_connection(kept.getsockname()) as client:
                    client.sendall(GET) # nobody accepts it yet
                    thread = threading.Thread(target=hand_over)
                    thread.start()
                    with wire.Server(self.command('rest-server', path),
                                     ROOT=self.root):
                        thread.join()
                        client.settimeout(wire.LIMIT)
                        self.assertIn(b'200 OK', client.recv(1000))

    def test_what_is_for_another_process_is_left_alone(self):
        command = self.command('rest-server', pid='1')
        with wire.Server(command, ROOT=self.root) as server:
            with server.connect() as peer:
                peer.send(GET)
                self.assertIn(b'200 OK', peer.recv_all())

    def test_anything_else_is_refused(self):
        for name in SERVERS:
            root = os.path.join(self.root, name)
            public = os.path.join(wire.TOP, name, 'public')
            os.mkdir(root)
            if os.path.isdir(public):
                shutil.copytree(public, os.path.join(root, 'public'))
            for made, count in (('listens', '2'), ('listens', '0'),
                                ('file', '1'), ('bound', '1'), ('unix', '1')):
                with self.subTest(name, made=made, count=count):
                    done = wire.run(self.command(name, made, '', count),
                                    ROOT=root, PORT=0)
                    self.assertEqual((done.returncode, done.stderr.decode()), (
                        1, 'LISTEN_FDS=%s: not one TCP socket that listens\n' %
                        count))


if __name__ == '__main__':
    wire.main()
