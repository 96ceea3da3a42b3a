#!/usr/bin/env python3
"""All five servers, handed a listening socket by somebody else (LISTEN_FDS)."""

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
GET = b'GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'


def talk(name):
    """What a client says, and what it then hears in the answers."""
    if name == 'smtp-server':
        return b'EHLO me\r\nQUIT\r\n', b'\r\n221 '
    return GET, b'HTTP/1.1 200 OK\r\n'


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
