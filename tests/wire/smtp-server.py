#!/usr/bin/env python3
"""smtp-server: sessions, mailboxes, bad peers, crashes."""

import glob
import os
import re
import resource
import select
import signal
import socket
import tempfile
import time
import unittest

import wire

BODY = b'hello\r\n'
ENVELOPE = (b'MAIL FROM:<me@me.com>\r\nRCPT TO:<you@example.com>\r\n')
GREETING = b'220 localhost\r\n'


def start(**settings):
    return wire.Server('smtp-server', **settings)


class Client:
    """A session: say() a command, and get the reply's code."""

    def __init__(self, server, hello=b'HELO me', **options):
        self.peer = server.connect(**options)
        self.lines = []
        greeting = self.reply()
        if greeting != 220:
            raise wire.Failure('the greeting is %d' % greeting)
        if hello:
            self.expect(250, hello)

    def reply(self, limit=wire.LIMIT):
        self.lines = []
        while True:
            line = self.peer.recv_until(b'\r\n', limit)
            self.lines.append(line[:-2])
            if not re.match(rb'[2345]\d\d[ -]', line):
                raise wire.Failure('not a reply: %r' % line)
            if line[3:4] == b' ':
                return int(line[:3])

    def say(self, line):
        self.peer.send(line + b'\r\n')
        return self.reply()

    def expect(self, code, line):
        got = self.say(line)
        if got != code:
            raise wire.Failure('%r: %r, not %d' % (line, self.lines, code))

    def start_data(self, to=(b'you@example.com',), sender=b'me@me.com'):
        self.expect(250, b'MAIL FROM:<' + sender + b'>')
        for one in to:
            self.expect(250, b'RCPT TO:<' + one + b'>')
        self.expect(354, b'DATA')

    def mail(self, body=BODY, **envelope):
        """Send a message; the code that the dot is answered."""
        self.start_data(**envelope)
        self.peer.send(body + b'.\r\n')
        return self.reply()


def letters(root, user='you'):
    """What readers of a mailbox see: names and contents."""
    folder = os.path.join(root, 'mail', user)
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.startswith('.'):
            with open(os.path.join(folder, name), 'rb') as file:
                found[name] = file.read()
    return found


def left_overs(root):
    return glob.glob(os.path.join(root, 'mail', '*', '.*'))


def letter(body=BODY, sender=b'me@me.com', to=b'you@example.com'):
    return b'From: %s \nTo: %s \n\n%s' % (sender, to, body)


def syncers(server):
    with open('/proc/%d/task/%d/children' %
              (server.pid, server.pid)) as children:
        return [int(pid) for pid in children.read().split()]


def silent(peer):
    """Whether nothing has come to this peer that it has not read."""
    return not peer.received and not select.select([peer.socket], [], [], 0)[0]


class Mailboxes(unittest.TestCase):
    def test_as_the_book_types_it(self):
        with start() as server:
            peer = server.connect()
            peer.send(b'helo\nmail from: me@me.com\nrcpt to: you@example.com\n'
                      b'data\nhello there!\n.\nquit\n')
            self.assertEqual(
                peer.recv_all(),
                GREETING + b'250 OK\r\n' * 3 + b'354 OK\r\n250 OK\r\n'
                b'221 Bye!\r\n')
            (name, content), = letters(server.root).items()
            self.assertRegex(name, r'^me@me\.com-\d{13}$')
            self.assertEqual(content, letter(b'hello there!\n'))
            path = os.path.join(server.root, 'mail', 'you', name)
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
            self.assertEqual(os.stat(path).st_nlink, 1)
            self.assertEqual(left_overs(server.root), [])

    def test_text_exactly(self):
        text = (b'..\r\n..two\r\n. \r\nbare\rCR\nbare LF\n.\n\x00\xff\xfe\r\n' +
                b'long ' * 30000 + b'\r\n')
        want = (b'.\r\n.two\r\n \r\nbare\rCR\nbare LF\n.\n\x00\xff\xfe\r\n' +
                b'long ' * 30000 + b'\r\n')
        with start() as server:
            client = Client(server)
            self.assertEqual(client.mail(text), 250)
            self.assertEqual(client.mail(b''), 250)
            self.assertEqual(sorted(letters(server.root).values()),
                             sorted([letter(want), letter(b'')]))

    def test_once_for_each_recipient(self):
        with start() as server:
            to = (b'you@example.com', b'you@localhost', b'another@localhost',
                  b'YOU@example.com', b'you@EXAMPLE.COM', b'you@example.com')
            client = Client(server)
            client.expect(250, b'MAIL FROM:<me@me.com>')
            self.assertEqual([client.say(b'RCPT TO:<' + one + b'>')
                              for one in to], [250, 250, 250, 550, 250, 250])
            client.expect(354, b'DATA')
            client.expect(250, BODY + b'.')
            self.assertEqual(sorted(letters(server.root).values()),
                             [letter(to=to[0]), letter(to=to[1])])
            self.assertEqual(list(letters(server.root, 'another').values()),
                             [letter(to=to[2])])

    def test_second_message_goes_only_where_it_should(self):
        with start() as server:
            client = Client(server)
            self.assertEqual(client.mail(), 250)
            self.assertEqual(client.say(b'DATA'), 503)
            self.assertEqual(client.mail(b'SECRET\r\n',
                                         to=[b'another@localhost']), 250)
            for forget in (b'RSET', b'HELO again', b'EHLO again'):
                client.expect(250, b'MAIL FROM:<me@me.com>')
                client.expect(250, b'RCPT TO:<you@example.com>')
                client.expect(250, forget)
                self.assertEqual(client.say(b'RCPT TO:<you@localhost>'), 503)
                self.assertEqual(client.say(b'DATA'), 503)
            self.assertEqual(list(letters(server.root).values()), [letter()])

    def test_senders_as_names(self):
        long_one = b'a' * 242 + b'@example.com'
        senders = {
            b'../../x@y': '_./.._x@y'.replace('/', '_'),
            b'a/b@y': 'a_b@y',
            b'-rf@y': '_rf@y',
            b'.hidden@y': '_hidden@y',
            b'"a\\\\b c"@y': '"a__b c"@y',
            b'': '_',
            long_one: 'a' * 200,
        }
        with start() as server:
            client = Client(server)
            for sender in senders:
                self.assertEqual(client.mail(sender=sender), 250, sender)
            found = letters(server.root)
            self.assertEqual(sorted(name[:-14] for name in found),
                             sorted(senders.values()))
            self.assertEqual(sorted(found.values()),
                             sorted(letter(sender=one) for one in senders))
            self.assertEqual(os.listdir(server.root), ['mail'])
            self.assertEqual(sorted(os.listdir(server.root + '/mail')),
                             ['.lock', 'another', 'you'])

    def test_utf8_senders(self):
        """Shortened between two characters, not inside one."""
        sender = 'xé'.encode() + 'é'.encode() * 150 + b'@y'
        with start() as server:
            client = Client(server, hello=b'EHLO me')
            client.expect(250, b'MAIL FROM:<' + sender + b'> SMTPUTF8')
            client.expect(250, b'RCPT TO:<you@example.com>')
            client.expect(354, b'DATA')
            client.expect(250, b'.')
            (name, content), = letters(server.root).items()
            self.assertEqual(name[:-14], 'x' + 'é' * 99)
            self.assertEqual(content, letter(b'', sender=sender))

    def test_users_and_hosts(self):
        with start(USERS='bob,Bob,j\u00f6rg', HOSTS='mail.example') as server:
            client = Client(server, hello=b'EHLO x')
            client.expect(250, b'MAIL FROM:<me@me.com> SMTPUTF8')
            for to, code in ((b'bob@mail.example', 250),
                             (b'Bob@MAIL.example', 250),
                             ('j\u00f6rg@mail.example'.encode(), 250),
                             (b'BOB@mail.example', 550),
                             (b'bob@localhost', 550),
                             (b'postMASTER@mail.example', 250),
                             (b'postmaster@localhost', 550)):
                self.assertEqual(client.say(b'RCPT TO:<' + to + b'>'), code)
            client.expect(354, b'DATA')
            client.expect(250, b'.')
            self.assertEqual(
                [len(letters(server.root, user))
                 for user in ('bob', 'Bob', 'j\u00f6rg')], [2, 1, 1])

    def test_a_hundred_recipients(self):
        users = ['u%d' % i for i in range(100)]
        with start(USERS=','.join(users)) as server:
            client = Client(server)
            to = [user.encode() + b'@localhost' for user in users]
            self.assertEqual(client.mail(b'x' * 70000 + b'\r\n', to=to), 250)
            for user in users:
                self.assertEqual(
                    list(letters(server.root, user).values()),
                    [letter(b'x' * 70000 + b'\r\n',
                            to=user.encode() + b'@localhost')])
            self.assertEqual(left_overs(server.root), [])

    def test_recipients_end_somewhere(self):
        users = ['u%d' % i for i in range(100)]
        hosts = ['h%d' % i for i in range(11)]
        with start(USERS=','.join(users), HOSTS=','.join(hosts)) as server:
            client = Client(server)
            client.expect(250, b'MAIL FROM:<me@me.com>')
            client.peer.send(b''.join(
                b'RCPT TO:<%s@%s>\r\n' % (user.encode(), host.encode())
                for host in hosts for user in users))
            codes = [client.reply() for _ in range(1100)]
            self.assertEqual(codes, [250] * 1000 + [452] * 100)

    def test_recipients_of_all_clients(self):
        """What is beyond MAX_HELD is refused; the other clients go on."""
        name = b'x' * 240
        to = [b'"%s\\%s"@localhost' % (name[:at], name[at:])
              for at in range(240)]
        with start(USERS=name.decode(), MAX_HELD=1) as server:
            clients = [Client(server) for _ in range(16)]
            for client in clients:
                client.expect(250, b'MAIL FROM:<me@me.com>')
            codes = [client.say(b'RCPT TO:<%s>' % one)
                     for client in clients for one in to]
            self.assertEqual(set(codes), {250, 452})
            self.assertEqual(codes[:240], [250] * 240)
            self.assertEqual(codes[-1], 452)
            self.assertEqual(clients[-1].lines,
                             [b'452 no room, try again later'])
            for client in clients[:8]:
                client.expect(250, b'RSET')
            self.assertEqual(clients[-1].say(b'RCPT TO:<%s>' % to[-1]), 250)
            clients[-1].expect(354, b'DATA')
            self.assertEqual(clients[-1].say(b'hello\r\n.'), 250)

    def test_many_at_once(self):
        """Each message arrives once, whole and by itself."""
        with start() as server:
            clients = [Client(server) for _ in range(40)]
            for i, client in enumerate(clients):
                client.start_data()
                client.peer.send(b'message %d\r\n' % i * 2000)
            for client in clients:
                client.peer.send(b'.\r\n')
            for client in clients:
                self.assertEqual(client.reply(), 250)
            self.assertEqual(sorted(letters(server.root).values()),
                             sorted(letter(b'message %d\r\n' % i * 2000)
                                    for i in range(40)))

    def test_pipelined_messages(self):
        """200 at once, more than the server reads in one go, and a FIN."""
        message = ENVELOPE + b'DATA\r\n%s.\r\n'
        body = b'message %d ' + b'x' * 1000 + b'\r\n'
        with start() as server:
            peer = Client(server).peer
            before = server.fds()
            peer.send(b'HELO again\r\n' +
                      b''.join(message % (body % i) for i in range(200)))
            peer.half_close()
            replies = peer.recv_all().split(b'\r\n')
            self.assertEqual([line[:3] for line in replies],
                             [b'250'] +
                             [b'250', b'250', b'354', b'250'] * 200 + [b''])
            self.assertEqual(sorted(letters(server.root).values()),
                             sorted(letter(body % i) for i in range(200)))
            wire.assert_serves(server)
            self.assertLessEqual(server.fds(), before)


class Refusals(unittest.TestCase):
    def test_smuggling(self):
        """None of these ends a message; what follows them is text."""
        with start() as server:
            client = Client(server)
            ends = [b'\n.\n', b'\n.\r\n', b'\r.\r', b'\r\n.\n', b'\r\n.\r',
                    b'\n\r.\r\n', b'\r.\r\n', b'\r\n\x00.\r\n']
            for end in ends:
                client.start_data()
                client.peer.send(b'first' + end + ENVELOPE + b'DATA\r\n')
                client.expect(250, b'second\r\n.')
                client.expect(250, b'NOOP')
            self.assertEqual(len(letters(server.root)), len(ends))

    def test_size(self):
        with start(MAX_SIZE=1000) as server:
            client = Client(server, hello=b'EHLO me')
            self.assertIn(b'250-SIZE 1000', client.lines)
            for size, code in ((b'1000', 250), (b'1001', 552), (b'', 501),
                               (b'x', 501), (b'-1', 501),
                               (b'18446744073709551617', 552),
                               (b'340282366920938463463374607431768211457',
                                552)):
                self.assertEqual(
                    client.say(b'MAIL FROM:<me@me.com> SIZE=' + size), code)
                client.expect(250, b'RSET')
            self.assertEqual(client.mail(b'x' * 998 + b'\r\n'), 250)
            self.assertEqual(client.mail(b'x' * 999 + b'\r\n'), 552)
            # 8 MB, swallowed up to the dot, and answered once.
            self.assertEqual(client.mail(b'y' * 99 + b'\r\n..' * 999 +
                                         b'z' * 8000000 + b'\r\n'), 552)
            client.expect(250, b'NOOP')
            self.assertEqual(len(letters(server.root)), 1)
            self.assertEqual(left_overs(server.root), [])

    def test_long_lines(self):
        with start() as server:
            client = Client(server)
            client.expect(250, b'MAIL FROM:<me@me.com>')
            for n in (600, 70000, 1 << 20):
                self.assertEqual(client.say(b'NOOP ' + b'x' * n), 500)
            client.expect(250, b'RCPT TO:<you@example.com>')
            client.expect(250, b'NOOP ' + b'x' * 500)

    def test_a_long_name_is_not_said_whole(self):
        """A line of an answer has at most 512 bytes (RFC 5321, 4.5.3.1.5)."""
        with start() as server:
            for verb in b'HELO ', b'EHLO ':
                client = Client(server, verb + b'x' * 500)
                self.assertLessEqual(max(map(len, client.lines)), 510)

    def test_codes_asked_for(self):
        with start() as server:
            client = Client(server)
            client.expect(250, b'MAIL FROM:<me@me.com>')
            for tag, code in ((b'451', 451), (b'552', 552), (b'400', 400),
                              (b'599', 599), (b'250', 550), (b'45', 550),
                              (b'4511', 550), (b'45x', 550), (b'', 550)):
                self.assertEqual(
                    client.say(b'RCPT TO:<you+' + tag + b'@localhost>'), code)
            self.assertEqual(client.say(b'DATA'), 503)
            self.assertEqual(client.say(b'RCPT TO:<you+421@localhost>'), 421)
            self.assertEqual(client.peer.recv_all(), b'')

    def test_too_many_errors(self):
        with start() as server:
            peer = server.connect()
            peer.send(b'GET / HTTP/1.1\r\n' + b'Header: x\r\n' * 100)
            replies = peer.recv_all().split(b'\r\n')
            self.assertEqual([line[:3] for line in replies],
                             [b'220'] + [b'500'] * 20 + [b'421', b''])

    def test_unknown_recipients_are_no_errors(self):
        with start() as server:
            client = Client(server)
            client.expect(250, b'MAIL FROM:<me@me.com>')
            for i in range(100):
                client.expect(550, b'RCPT TO:<nobody%d@localhost>' % i)
            client.expect(250, b'RCPT TO:<you@localhost>')

    def test_part_of_a_name_is_nobody(self):
        with start() as server:
            client = Client(server)
            client.expect(250, b'MAIL FROM:<me@me.com>')
            for name in b'yo', b'y', b'yous', b'ou', b'anothe', b'""':
                client.expect(550, b'RCPT TO:<%s@localhost>' % name)
            for host in b'localhos', b'localhosts', b'example.co':
                client.expect(550, b'RCPT TO:<you@%s>' % host)

    def test_options(self):
        self.assertEqual(wire.run('smtp-server', '--version').returncode, 0)
        help_text = wire.run('smtp-server', '--help')
        self.assertEqual(help_text.returncode, 0)
        self.assertIn(b'PORT=2525', help_text.stdout)
        for args, settings in (
                (['-x'], {}), ([], {'MAX_SIZE': 'x'}), ([], {'SYNCERS': '65'}),
                ([], {'USERS': 'a,,b'}), ([], {'USERS': '../x'}),
                ([], {'USERS': '.'}), ([], {'HOSTS': 'a b'}),
                ([], {'MAX_CONNS': '0'})):
            done = wire.run('smtp-server', *args, **settings)
            self.assertEqual(done.returncode, 2, settings)
            self.assertEqual(done.stderr.count(b'\n'), 1, done.stderr)

    def test_port_is_taken(self):
        """The second server says so, and leaves the first one's mail alone."""
        with start() as server:
            client = Client(server)
            client.start_data()
            done = wire.run('smtp-server', PORT=server.port,
                            HOST='127.0.0.1', ROOT=server.root)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(  # musl says it without "already"
                done.stderr.decode(),
                r'^127\.0\.0\.1 port %d: Address (already )?in use\n$' %
                server.port)
            client.expect(250, b'.')
            self.assertEqual(len(letters(server.root)), 1)


class BadPeers(unittest.TestCase):
    def after(self, server):
        wire.assert_serves(server)
        wire.assert_idle(server)
        self.assertEqual(left_overs(server.root), [])

    def test_quiet(self):
        with start(IDLE_MS=200) as server:
            peer = server.connect()
            self.assertEqual(peer.recv_all(), GREETING + b'421 Too slow.\r\n')
            client = Client(server, hello=b'EHLO me')
            client.start_data()
            client.peer.send(b'half a mess')
            self.assertEqual(client.reply(), 421)
            self.assertEqual(client.peer.recv_all(), b'')
            self.after(server)
            self.assertEqual(letters(server.root), {})

    def test_trickles(self):
        """One command line that never ends does not live by its bytes."""
        with start(HEAD_MS=500) as server:
            peer = server.connect()
            peer.recv_until(GREETING)
            peer.socket.settimeout(0.02)
            end = time.monotonic() + wire.LIMIT
            while not peer.received and time.monotonic() < end:
                try:
                    peer.socket.send(b'x' * 100)
                    peer.received += peer.socket.recv(100)
                except socket.timeout:
                    pass
            self.assertEqual(peer.received[:4], b'421 ')
            peer.close()
            self.after(server)

    def test_never_reads(self):
        with start() as server:
            peer = server.connect(receive_buffer=4096)
            peer.socket.settimeout(1)
            with self.assertRaises(socket.timeout):
                for _ in range(100000):
                    peer.socket.sendall(b'HELP\r\n' * 1000)
            self.assertLess(server.rss(), 200 << 20)
            wire.assert_idle(server)
            peer.reset()
            self.after(server)

    def test_vanishes(self):
        with start() as server:
            for end in ('close', 'reset', 'half_close'):
                client = Client(server)
                client.start_data()
                client.peer.send(b'half a message\r\n.')
                getattr(client.peer, end)()
            # It has been noticed when the temporary files are gone.
            end = time.monotonic() + wire.LIMIT
            while left_overs(server.root) and time.monotonic() < end:
                wire.assert_serves(server)
            self.after(server)
            self.assertEqual(letters(server.root), {})

    def test_leaves_before_the_answer(self):
        with start() as server:
            for _ in range(20):
                client = Client(server)
                client.start_data()
                client.peer.send(b'.\r\n')
                client.peer.reset()
            self.assertEqual(Client(server).mail(), 250)
            end = time.monotonic() + wire.LIMIT
            while left_overs(server.root) and time.monotonic() < end:
                wire.assert_serves(server)
            self.after(server)

    def test_overflows(self):
        with start() as server:
            peer = server.connect()
            for _ in range(300):
                peer.send(b'x' * 65536)
            self.assertLess(server.rss(), 200 << 20)
            peer.reset()
            self.after(server)

    def test_twelve_descriptors(self):
        with start(preexec=wire.files_at_most(12)) as server:
            peers = [server.connect() for _ in range(20)]
            peers[0].recv_until(GREETING)
            wire.assert_idle(server)
            for peer in peers[1:]:
                peer.close()
            client = peers[0]
            client.send(b'HELO me\r\n')
            client.recv_until(b'250 localhost greets me [127.0.0.1]\r\n')
            client.send(ENVELOPE + b'DATA\r\n')
            client.recv_until(b'250 OK\r\n250 OK\r\n354 OK\r\n')
            client.send(b'.\r\n')
            client.recv_until(b'250 OK\r\n')
            self.after(server)

    def test_out_of_files_for_mail(self):
        """No message for now, but no end either."""
        with start(SYNCERS=0, preexec=wire.files_at_most(10)) as server:
            one, two = Client(server), Client(server)
            one.start_data()
            two.expect(250, b'MAIL FROM:<me@me.com>')
            two.expect(250, b'RCPT TO:<you@example.com>')
            two.expect(452, b'DATA')
            one.expect(250, b'.')
            self.assertEqual(two.mail(), 250)

    def test_max_conns(self):
        """The syncers take nobody's place."""
        with start(MAX_CONNS=2) as server:
            one, two = Client(server), Client(server)
            three = server.connect()
            self.assertEqual([one.mail(), two.mail(), one.mail()], [250] * 3)
            self.assertTrue(silent(three))
            one.expect(221, b'QUIT')
            one.peer.close()
            three.recv_until(GREETING)


class Storage(unittest.TestCase):
    def test_mailbox_has_vanished(self):
        with start() as server:
            client = Client(server)
            os.rmdir(server.root + '/mail/you')
            client.expect(250, b'MAIL FROM:<me@me.com>')
            client.expect(250, b'RCPT TO:<you@example.com>')
            self.assertEqual(client.say(b'DATA'), 451)
            server.wait_error('mail/you: No such file or directory')
            # All or none: the other recipient gets nothing either.
            self.assertEqual(client.mail(to=[b'another@localhost']), 250)
            client.start_data(to=[b'another@localhost', b'you@localhost'])
            client.expect(451, BODY + b'.')
            self.assertEqual(len(letters(server.root, 'another')), 1)
            self.assertEqual(left_overs(server.root), [])
            wire.assert_serves(server)

    def test_mailbox_vanishes_during_data(self):
        with start() as server:
            client = Client(server)
            client.start_data()
            for name in left_overs(server.root):
                os.unlink(name)
            os.rmdir(server.root + '/mail/you')
            client.expect(451, BODY + b'.')
            client.expect(250, b'NOOP')

    def test_no_room(self):
        """A limit on the size of files stands for a full disk."""
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        with start(preexec=limit) as server:
            client = Client(server)
            self.assertEqual(client.mail(b'x' * 200000 + b'\r\n'), 452)
            # The copy is longer than the first letter, by its head.
            first = len(letter(b'', to=b'you@localhost'))
            self.assertEqual(
                client.mail(b'x' * (100000 - first - 2) + b'\r\n',
                            to=[b'you@localhost', b'another@localhost']), 452)
            self.assertEqual(letters(server.root), {})
            self.assertEqual(left_overs(server.root), [])
            self.assertEqual(client.mail(), 250)

    def test_flat(self):
        """Many messages in a session leave nothing open; a large one takes
        no memory."""
        with start(MAX_SIZE=100 << 20,  # freed memory shall count as free
                   ASAN_OPTIONS='quarantine_size_mb=1') as server:
            client = Client(server)
            self.assertEqual(client.mail(), 250)
            fds, rss = server.fds(), server.rss()
            for _ in range(100):
                self.assertEqual(client.mail(), 250)
            self.assertEqual(client.mail((b'x' * 1022 + b'\r\n') * 20000),
                             250)
            self.assertEqual(server.fds(), fds)
            self.assertLess(server.rss() - rss, 20 << 20)

    def test_never_over_another(self):
        """A mailbox where the coming three seconds are all taken."""
        with start() as server:
            client = Client(server)
            self.assertEqual(client.mail(b'old\r\n'), 250)
            box = server.root + '/mail/you/'
            old, = os.listdir(box)
            taken = int(old[-13:]) + 3000
            for ms in range(taken - 2999, taken + 1):
                os.link(box + old, '%sme@me.com-%d' % (box, ms))
            self.assertEqual(client.mail(b'new\r\n'), 250)
            found = letters(server.root)
            new, = (name for name in found
                    if found[name] == letter(b'new\r\n'))
            self.assertGreater(int(new[-13:]), taken)
            self.assertEqual(len(found), 3002)

    def test_left_overs(self):
        """At the start: unfinished messages go, with all their letters;
        finished ones stay, under one name, and so does what is not ours."""
        with start() as server:
            self.assertEqual(Client(server).mail(), 250)
            server.kill()
            root = server.root
            you, another = root + '/mail/you/', root + '/mail/another/'
            done, = os.listdir(you)
            # 1 is whole, 2 is linked in one mailbox, 3 is in none, and of 4
            # one letter has lost its first name already.
            for name in (you + 'one', another + 'one', you + 'two',
                         another + '.smtp-2-2', you + '.smtp-3-1',
                         you + 'four', another + 'four',
                         you + '.gitkeep', another + 'x'):
                with open(name, 'w'):
                    pass
            os.link(you + 'one', you + '.smtp-1-1')
            os.link(another + 'one', another + '.smtp-1-2')
            os.link(you + 'two', you + '.smtp-2-1')
            os.link(another + 'four', another + '.smtp-4-2')
            with start(ROOT=root):
                self.assertEqual(sorted(os.listdir(you)),
                                 ['.gitkeep', 'four', done, 'one'])
                self.assertEqual(sorted(os.listdir(another)),
                                 ['four', 'one', 'x'])
                self.assertEqual(os.stat(you + done).st_nlink, 1)
                with open(you + done, 'rb') as file:
                    self.assertEqual(file.read(), letter())

    def test_kill(self):
        """Killed at any moment, the server has what it acknowledged, whole,
        and all letters of a message or none."""
        to = [b'you@localhost', b'another@localhost']
        acknowledged = []
        with tempfile.TemporaryDirectory() as root:
            for turn in range(8):
                with start(ROOT=root) as server:
                    self.assertEqual(left_overs(root), [])
                    clients = [Client(server) for _ in range(8)]
                    for n, client in enumerate(clients):
                        client.start_data(to=to)
                        client.peer.send(b'mail %d %d\r\n.\r\n' % (turn, n))
                    for n in range(turn):  # the others are under way
                        self.assertEqual(clients[n].reply(), 250)
                        acknowledged.append(b'mail %d %d\r\n' % (turn, n))
                    helpers = syncers(server) if turn % 2 else []
                    for pid in helpers:
                        os.kill(pid, signal.SIGKILL)
                    server.kill()
            with start(ROOT=root):
                self.assertEqual(left_overs(root), [])
                you = self.bodies(root, 'you')
                self.assertEqual(you, self.bodies(root, 'another'))
                self.assertEqual(len(set(you)), len(you))
                self.assertLessEqual(set(acknowledged), set(you))
                for body in you:
                    self.assertRegex(body, rb'^mail \d \d\r\n$')

    def bodies(self, root, user):
        head = letter(b'', to=user.encode() + b'@localhost')
        found = sorted(letters(root, user).values())
        self.assertTrue(all(text.startswith(head) for text in found))
        return [text[len(head):] for text in found]


class Syncers(unittest.TestCase):
    def test_stopped_ones_stall_nobody(self):
        """A disk that takes its time: the syncers stand still, the server
        serves on, and when they move the answer comes."""
        with start(SYNCERS=1) as server:
            client = Client(server)
            self.assertEqual(client.mail(), 250)
            syncer, = syncers(server)
            wire.pause(self, syncer)
            waiting = [Client(server) for _ in range(5)]
            for one in waiting:
                one.start_data()
                one.peer.send(b'.\r\nNOOP\r\n')
            wire.assert_serves(server)
            wire.assert_idle(server)
            self.assertEqual(len(letters(server.root)), 1)
            self.assertTrue(all(silent(one.peer) for one in waiting))
            os.kill(syncer, signal.SIGCONT)
            for one in waiting:
                self.assertEqual([one.reply(), one.reply()], [250, 250])
            self.assertEqual(len(letters(server.root)), 6)

    def test_hold_no_sockets(self):
        with start() as server:
            clients = [Client(server) for _ in range(10)]
            helpers = syncers(server)
            self.assertEqual(len(helpers), 8)
            for client in clients:  # all are at work by then
                client.start_data()
            for client in clients:
                client.peer.send(b'.\r\n')
            for client in clients:
                self.assertEqual(client.reply(), 250)
            for pid in helpers:
                sockets = [name for name in os.listdir('/proc/%d/fd' % pid)
                           if os.readlink('/proc/%d/fd/%s' % (pid, name))
                           .startswith('socket:')]
                self.assertEqual(len(sockets), 1)

    def test_a_dead_one(self):
        """Its messages are answered 451 and leave nothing, even those whose
        clients have left; and another one takes over."""
        to = [b'you@localhost', b'another@localhost']
        with start(SYNCERS=1) as server:
            client, gone = Client(server), Client(server)
            self.assertEqual(client.mail(), 250)
            syncer, = syncers(server)
            wire.pause(self, syncer)
            for one in (client, gone):
                one.start_data(to=to)
                one.peer.send(b'.\r\n')
            gone.peer.reset()
            other = Client(server)  # by now the messages are on their way
            # As if one letter had come to its name, and the other not.
            for first in left_overs(server.root):
                os.link(first, first.replace('.smtp', 'half'))
                second = first.replace('/you/', '/another/')[:-1] + '2'
                with open(second, 'w'):
                    pass
            os.kill(syncer, signal.SIGKILL)
            self.assertEqual(client.reply(), 451)
            self.assertEqual(left_overs(server.root), [])
            self.assertEqual(len(letters(server.root)), 1)
            self.assertEqual(letters(server.root, 'another'), {})
            self.assertEqual(other.mail(), 250)  # without a syncer
            self.assertEqual(Client(server).mail(), 250)
            self.assertEqual(len(syncers(server)), 1)

    def test_end_with_the_server(self):
        for how in ('stop', 'kill'):
            with start() as server:
                self.assertEqual(Client(server).mail(), 250)
                helpers = syncers(server)
                getattr(server, how)()
                end = time.monotonic() + wire.LIMIT
                while any(alive(pid) for pid in helpers):
                    self.assertLess(time.monotonic(), end)


def alive(pid):
    """Whether a process still runs; a zombie does not."""
    try:
        with open('/proc/%d/stat' % pid) as stat:
            return stat.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


class Stop(unittest.TestCase):
    def test_between_commands(self):
        with start() as server:
            idle, begun = Client(server), Client(server, hello=b'EHLO me')
            begun.expect(250, b'MAIL FROM:<me@me.com>')
            server.signal()
            self.assertEqual(idle.peer.recv_all(),
                             b'421 The server stops.\r\n')
            self.assertEqual(begun.peer.recv_all(),
                             b'421 4.3.2 The server stops.\r\n')
            self.assertEqual(server.wait(), 0)

    def test_message_is_finished(self):
        with start() as server:
            client, other = Client(server), Client(server)
            client.start_data()
            server.signal()
            self.assertEqual(other.reply(), 421)
            client.peer.send(BODY + b'.\r\n')
            self.assertEqual([client.reply(), client.reply()], [250, 421])
            self.assertEqual(client.peer.recv_all(), b'')
            client.peer.close()
            other.peer.close()
            self.assertEqual(server.wait(), 0)
            self.assertEqual(list(letters(server.root).values()), [letter()])

    def test_message_is_synced(self):
        """SIGTERM while a syncer has the message."""
        with start(SYNCERS=1) as server:
            client = Client(server)
            syncer, = syncers(server)
            client.start_data()
            wire.pause(self, syncer)
            client.peer.send(b'.\r\n')
            other = Client(server)
            server.signal()
            self.assertEqual(other.reply(), 421)
            os.kill(syncer, signal.SIGTERM)  # it takes no notice
            os.kill(syncer, signal.SIGCONT)
            self.assertEqual([client.reply(), client.reply()], [250, 421])
            client.peer.close()
            other.peer.close()
            self.assertEqual(server.wait(), 0)

    def test_grace_ends(self):
        with start(GRACE_MS=200) as server:
            client = Client(server)
            client.start_data()
            server.signal()
            self.assertEqual(client.peer.recv_all(), b'')
            self.assertEqual(server.wait(), 0)
            self.assertEqual(left_overs(server.root), [])

    def test_second_signal(self):
        with start(DRAIN_MS=60000) as server:
            client = Client(server)
            server.signal()
            client.expect(250, b'NOOP')
            while True:  # the first must have been taken before the second
                with open('/proc/%d/status' % server.pid) as status:
                    caught = re.search(r'SigCgt:\s*(\w+)', status.read())
                if not int(caught.group(1), 16) & 1 << (signal.SIGTERM - 1):
                    break
            server.signal()
            server.stop(expect=-signal.SIGTERM)


if __name__ == '__main__':
    wire.main()
