#!/usr/bin/env python3
"""smtp-client against servers that do as they should, and others: each test
plays the server, by hand, and the user, in a pipe or at a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time
import unittest

import wire

OFFERS = ['PIPELINING', 'SIZE 10485760', '8BITMIME', 'SMTPUTF8']
UNKNOWN = 'the message may have arrived or not\n'


class Listener:
    """A server that a test plays itself."""

    def __enter__(self):
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.socket.settimeout(wire.START_LIMIT)
        self.port = self.socket.getsockname()[1]
        self.peers = []
        return self

    def __exit__(self, *unused):
        self.socket.close()
        for peer in self.peers:
            peer.close()

    def accept(self):
        peer = Session(self.socket.accept()[0])
        self.peers.append(peer)
        return peer


class Session(wire.Peer):
    """The server's end of a session."""

    def __init__(self, connected):
        self.socket = connected
        self.received = b''
        self.commands = []
        self.message = None

    def command(self):
        """The next one, which must stand alone: all before is answered."""
        line = self.recv_until(b'\r\n').decode()[:-2]
        self.commands.append(line)
        return line

    def reply(self, *lines):
        for i, line in enumerate(lines):
            more = i + 1 < len(lines)
            self.send((line[:3] + ('-' if more else ' ') + line[4:]).encode()
                      + b'\r\n')

    def closed(self):
        """Wait for the client's close, however it comes; what came before."""
        try:
            while self.receive():
                pass
        except ConnectionResetError:
            pass
        return self.received

    def hello(self, offers=()):
        self.reply('220 fake')
        self.command()
        self.reply('250 fake', *('250 ' + offer for offer in offers))

    def recipients(self, n=1):
        """MAIL and n times RCPT, all accepted; and a NOOP before them, if the
        user was slow."""
        accepted = 0
        while accepted <= n:
            accepted += self.command() != 'NOOP'
            self.reply('250 OK')

    def data(self):
        assert self.command() == 'DATA', self.commands
        self.reply('354 go on')

    def text(self):
        self.message = self.recv_until(b'\r\n.\r\n')[:-3]
        return self.message

    def serve(self, offers=(), replies={}):
        """All of it; `replies` to some verbs instead of the good ones, or None
        to close there."""
        good = {'': '220 fake', 'HELO': '250 fake', 'MAIL': '250 OK',
                'RCPT': '250 OK', 'DATA': '354 go on', '.': '250 OK',
                'NOOP': '250 OK', 'QUIT': '221 Bye!'}
        verb = ''
        while True:
            if verb == 'EHLO' and verb not in replies:
                self.reply('250 fake', *('250 ' + offer for offer in offers))
            else:
                answer = replies.get(verb, good.get(verb))
                if answer is None:
                    break
                self.reply(answer)
            if verb == 'QUIT':
                break
            try:
                if verb == 'DATA' and answer.startswith('354'):
                    self.text()
                    verb = '.'
                else:
                    verb = self.command()[:4]
            except wire.Failure as failure:
                if 'the server closed' not in str(failure):  # the client
                    raise
                break
        self.close()


class Client:
    """smtp-client with its standard input in a pipe."""

    def __init__(self, port, *args, stdin=None, end=True, **settings):
        settings = dict({'HOST': '127.0.0.1', 'PORT': port}, **settings)
        command = [wire.program('smtp-client')] + list(args)
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=wire.environment(settings))
        self.feeder = threading.Thread(target=self._feed, args=(stdin, end))
        self.feeder.start()

    def _feed(self, stdin, end):
        """In a thread, for more than a pipe holds."""
        try:
            if stdin is not None:
                self.write(stdin)
                if end:
                    self.end()
        except BrokenPipeError:
            pass

    def write(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.feeder.join()
        for stream in (self.process.stdin, self.process.stdout,
                       self.process.stderr):
            try:
                stream.close()
            except BrokenPipeError:
                pass

    def finish(self):
        """Status, stdout, stderr. Whoever fills the pipe need not stop."""
        try:
            self.process.wait(wire.START_LIMIT)
        except subprocess.TimeoutExpired:
            raise wire.Failure('smtp-client still runs') from None
        out = self.process.stdout.read().decode()
        err = self.process.stderr.read().decode()
        wire.no_report(err)
        return self.process.returncode, out, err


class Terminal:
    """smtp-client at a terminal of its own."""

    def __init__(self, port, *args, ignore=None, no_erase=False, **settings):
        settings = dict({'HOST': '127.0.0.1', 'PORT': port}, **settings)
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        if no_erase:
            self.before[6][termios.VERASE] = b'\0'
            termios.tcsetattr(self.slave, termios.TCSANOW, self.before)

        def own_terminal():
            os.setsid()
            if ignore:
                signal.signal(ignore, signal.SIG_IGN)
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [wire.program('smtp-client')] + list(args), stdin=self.slave,
            stdout=self.slave, stderr=self.slave, preexec_fn=own_terminal,
            env=wire.environment(settings))
        self.shown = b''
        self.news = threading.Condition()
        self.stop = os.pipe()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while self.stop[0] not in select.select(
                    [self.master, self.stop[0]], [], [])[0]:
                data = os.read(self.master, 65536)
                with self.news:
                    self.shown += data
                    self.news.notify_all()
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()
        for end in self.stop:
            os.close(end)

    def hang_up(self):
        """As if the window were closed."""
        os.write(self.stop[1], b'.')
        self.thread.join(wire.LIMIT)
        for end in (self.slave, self.master):
            if end is not None:
                os.close(end)
        self.slave = self.master = None

    def type(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        while data:
            if not select.select([], [self.master], [], wire.LIMIT)[1]:
                raise wire.Failure('what is typed is not read')
            data = data[os.write(self.master, data[:1024]):]

    def screen(self):
        return self.shown.decode().replace('\r\n', '\n')

    def wait(self, text):
        """Until this is shown."""
        with self.news:
            if not self.news.wait_for(lambda: text in self.screen(),
                                      wire.LIMIT):
                raise wire.Failure('no %r on the screen:\n%s' %
                                   (text, self.screen()))

    def finish(self):
        """Status, and all that was shown; the terminal must be as before."""
        try:
            self.process.wait(wire.START_LIMIT)
        except subprocess.TimeoutExpired:
            raise wire.Failure('smtp-client still runs; it has shown\n' +
                               self.screen()) from None
        after = termios.tcgetattr(self.slave)
        if after != self.before:
            raise wire.Failure('the terminal is not as it was')
        os.close(self.slave)
        self.slave = None
        self.thread.join(wire.LIMIT)
        wire.no_report(self.screen())
        return self.process.returncode, self.screen()


class Case(unittest.TestCase):
    def setUp(self):
        self.listener = Listener()
        self.listener.__enter__()
        self.addCleanup(self.listener.__exit__)
        self.port = self.listener.port

    def start(self, *args, **settings):
        """A client in a pipe, and the server's end."""
        client = Client(self.port, *args, **settings)
        self.addCleanup(client.__exit__)
        return client, self.listener.accept()

    def send(self, message, *args, offers=(), replies={}, **settings):
        """A whole session. Its end, and the server's side of it."""
        client, peer = self.start(*args, stdin=message, **settings)
        peer.serve(offers, replies)
        return client.finish(), peer

    def fails(self, told, *args, stdin=b'hi\n', to=('-t', 'a@b'), **more):
        result, peer = self.send(stdin, *(to + args), **more)
        self.assertEqual(result, (1, '', told))
        return peer

    def here(self, problem):
        return '127.0.0.1 port %d: %s\n' % (self.port, problem)


# ---- in a pipe ---------------------------------------------------------------

class Pipe(Case):
    def test_first_line_is_the_recipients(self):
        result, peer = self.send(
            b'you@example.com; another@localhost\nhooray :)\n')
        self.assertEqual(result, (0, '', ''))
        self.assertRegex(peer.commands[0], r'^EHLO [A-Za-z0-9.-]+$')
        self.assertEqual(peer.commands[1:], [
            'MAIL FROM:<me@me.com>', 'RCPT TO:<you@example.com>',
            'RCPT TO:<another@localhost>', 'DATA', 'QUIT'])
        self.assertEqual(peer.message, b'hooray :)\r\n')

    def test_its_line_may_end_in_crlf(self):
        result, peer = self.send(b'you@example.com\r\nhi\r\n')
        self.assertEqual(result, (0, '', ''))
        self.assertEqual(peer.commands[2], 'RCPT TO:<you@example.com>')
        self.assertEqual(peer.message, b'hi\r\n')

    def test_all_of_the_input_is_the_message(self):
        result, peer = self.send(b'a@b\nhi', '-f', 'Cian <cian@x.org>',
                                 '-t', 'you@y', '-t', 'c@d, Bob <e@f>;')
        self.assertEqual(result, (0, '', ''))
        self.assertEqual(peer.commands[1:5], [
            'MAIL FROM:<cian@x.org>', 'RCPT TO:<you@y>', 'RCPT TO:<c@d>',
            'RCPT TO:<e@f>'])
        self.assertEqual(peer.message, b'a@b\r\nhi\r\n')

    def test_text(self):
        for text, sent in [
                (b'.\n', b'..\r\n'),
                (b'a\n.\r\nQUIT\r\n', b'a\r\n..\r\nQUIT\r\n'),
                (b'.a\n..b\n c.', b'..a\r\n...b\r\n c.\r\n'),
                (b'a\rb\nc\r\nd\n\re', b'a\r\nb\r\nc\r\nd\r\n\r\ne\r\n'),
                (b'a\r\n\r\n', b'a\r\n\r\n'),
                (b'\n\n', b'\r\n\r\n'),
                (b'a\0b\xff\x1b[m', b'a\0b\xff\x1b[m\r\n'),
                (b'.' * 300000, b'.' * 300001 + b'\r\n'),
                (b'\n.' * 50000, b'\r\n..' * 50000 + b'\r\n')]:
            with self.subTest(text[:20]):
                result, peer = self.send(text, '-t', 'a@b')
                self.assertEqual(result, (0, '', ''))
                self.assertEqual(peer.message, sent)

    def test_nothing_to_send(self):
        for stdin, to, told in [(b'', (), 'no recipients'),
                                (b'\nhi\n', (), 'no recipients'),
                                (b' ,;\nhi\n', (), 'no recipients'),
                                (b'a@b', (), 'no message'),
                                (b'a@b\n', (), 'no message'),
                                (b'', ('-t', 'a@b'), 'no message')]:
            with self.subTest(stdin):
                peer = self.fails('smtp-client: %s; nothing sent\n' % told,
                                  stdin=stdin, to=to)
                self.assertNotIn('DATA', peer.commands)

    def test_closed_standard_input(self):
        for closed, status in [('<&-', 1), ('<&- >&-', 1), ('<&- 2>&-', 1)]:
            with self.subTest(closed):
                process = subprocess.Popen(
                    ['sh', '-c', 'exec "$0" -t a@b ' + closed,
                     wire.program('smtp-client')],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL, env=wire.environment(
                        {'HOST': '127.0.0.1', 'PORT': self.port}))
                peer = self.listener.accept()
                peer.serve()
                self.assertEqual(process.wait(wire.START_LIMIT), status)
                self.assertNotIn('DATA', peer.commands)

    def test_unreadable_input_sends_nothing(self):
        folder = os.open('/', os.O_RDONLY)
        self.addCleanup(os.close, folder)
        process = subprocess.Popen(
            [wire.program('smtp-client'), '-t', 'a@b'], stdin=folder,
            stderr=subprocess.PIPE, env=wire.environment(
                {'HOST': '127.0.0.1', 'PORT': self.port}))
        peer = self.listener.accept()
        peer.serve()
        told = process.communicate(timeout=wire.START_LIMIT)[1]
        self.assertEqual(told,
                         b'smtp-client: Is a directory; nothing sent\n')
        self.assertEqual(process.returncode, 1)
        self.assertNotIn('DATA', peer.commands)

    def test_no_address(self):
        for bad in ['a b@c', 'a@b> SIZE=1 <', '<a@b> X', 'a\x1b[2J@b',
                    'a@b\x7f', 'a\rDATA', '"a@b']:
            with self.subTest(bad):
                shown = re.sub(r'[\x00-\x1f\x7f]',
                               lambda m: '\\x%02X' % ord(m.group()), bad)
                peer = self.fails('Not an Address: "%s"\n' % shown,
                                  stdin=bad.encode() + b'\nhi\n', to=())
                self.assertEqual(peer.commands[1:], ['QUIT'])

    def test_bytes_that_are_no_address(self):
        for bad, shown in [(b'a\xff@b', '\\xFF'), (b'a\0@b', '\\x00')]:
            self.fails('Not an Address: "a%s@b"\n' % shown,
                       stdin=bad + b'\nhi\n', to=())

    def test_slow_input(self):
        """Nothing is said of a message until it is there; meanwhile NOOP, even
        to a server that does not know it."""
        client, peer = self.start('-t', 'a@b', NOOP_MS=30)
        peer.hello()
        peer.recipients()
        self.assertEqual(peer.command(), 'NOOP')
        peer.reply('502 Not implemented.')
        client.write(b'half')
        self.assertEqual(peer.command(), 'NOOP')
        peer.reply('250 OK')
        client.end()
        while peer.command() == 'NOOP':
            peer.reply('250 OK')
        self.assertEqual(peer.commands[-1], 'DATA')
        peer.reply('354 go on')
        self.assertEqual(peer.text(), b'half\r\n')
        peer.reply('250 OK')
        peer.command()
        peer.close()
        self.assertEqual(client.finish(), (0, '', ''))

    def test_trace(self):
        result, peer = self.send(b'hooray :)\n', '-t', 'a@b', TRACE=1)
        name = peer.commands[0][5:]
        self.assertEqual(result, (0, '', (
            'S: 220 fake\nC: EHLO %s\nS: 250 fake\nC: MAIL FROM:<me@me.com>\n'
            'S: 250 OK\nC: RCPT TO:<a@b>\nS: 250 OK\nC: DATA\n'
            'S: 354 go on\nC: hooray :)\nC: .\nS: 250 OK\nC: QUIT\n'
            'S: 221 Bye!\n') % name))


class Header(Case):
    def header(self, text, *args):
        result, peer = self.send(text, '-H', '-t', 'You <you@x>', *args)
        self.assertEqual(result, (0, '', ''))
        return peer.message.decode()

    DATE = (r'Date: (Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z][a-z] '
            r'\d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n')
    ID = r'Message-ID: <[0-9a-f]{32}@[A-Za-z0-9.-]+>\r\n'
    ALL = r'From: me@me.com\r\nTo: you@x\r\n' + DATE + ID

    def test_before_a_text(self):
        for text, rest in [(b'hi\n', '\r\nhi\r\n'),
                           (b'\nhi\n', '\r\nhi\r\n'),
                           (b'http://x/\n', '\r\nhttp://x/\r\n'),
                           (b'Subject: a\nhi\n', 'Subject: a\r\n\r\nhi\r\n'),
                           (b'Subject: a\n\nhi', 'Subject: a\r\n\r\nhi\r\n'),
                           (b'Subject: a', 'Subject: a\r\n\r\n'),
                           (b'A: b\r\n c\r\nD: e\r\n\r\n.',
                            'A: b\r\n c\r\nD: e\r\n\r\n..\r\n')]:
            with self.subTest(text):
                self.assertRegex(self.header(text),
                                 '^' + self.ALL + rest + '$')

    def test_what_is_typed_is_kept(self):
        self.assertRegex(
            self.header(b'from: Me <me@me.com>\nDATE: today\nto: all\n\nhi\n'),
            '^' + self.ID + 'from: Me <me@me.com>\r\nDATE: today\r\n'
            'to: all\r\n\r\nhi\r\n$')

    def test_several_recipients_in_lines(self):
        self.assertIn('To: you@x,\r\n a@b,\r\n c@d\r\n',
                      self.header(b'hi\n', '-t', 'a@b; c@d'))

    def test_no_two_alike(self):
        found = {re.search(self.ID, self.header(b'hi\n')).group()
                 for _ in range(3)}
        self.assertEqual(len(found), 3)

    def test_large(self):
        text = b'Subject: x\n\n' + b'y' * 1000000
        self.assertTrue(self.header(text).endswith(
            '\r\nSubject: x\r\n\r\n' + 'y' * 1000000 + '\r\n'))


# ---- what the server says -----------------------------------------------------

class Replies(Case):
    def test_pipelining(self):
        client, peer = self.start('-t', 'a@b; c@d', stdin=b'hi\n')
        peer.hello(['PIPELINING'])
        together = (b'MAIL FROM:<me@me.com>\r\nRCPT TO:<a@b>\r\n'
                    b'RCPT TO:<c@d>\r\n')
        self.assertEqual(peer.recv_exactly(len(together)), together)
        self.assertEqual(peer.received, b'')  # DATA waits for the answers
        peer.reply('250 OK')
        peer.reply('250 OK')
        peer.reply('251 will forward')
        peer.data()
        self.assertEqual(peer.text(), b'hi\r\n')
        peer.reply('250 OK')
        self.assertEqual(peer.command(), 'QUIT')
        peer.close()
        self.assertEqual(client.finish(), (0, '', ''))

    def test_no_pipelining(self):
        """Each command waits for the answer to the one before."""
        client, peer = self.start('-t', 'a@b; c@d', stdin=b'hi\n')
        peer.hello(['SIZE'])
        for command in ['MAIL FROM:<me@me.com>', 'RCPT TO:<a@b>',
                        'RCPT TO:<c@d>', 'DATA']:
            self.assertEqual(peer.command(), command)
            self.assertEqual(peer.received, b'')
            peer.reply('354 go on' if command == 'DATA' else '250 OK')
        self.assertEqual(peer.text(), b'hi\r\n')
        peer.reply('250 OK')
        self.assertEqual(peer.command(), 'QUIT')
        peer.reply('221 Bye!')
        self.assertEqual(client.finish(), (0, '', ''))

    def test_thousands_of_recipients(self):
        """More than fits into any buffer, and the answers all at the end."""
        names = ['u%05d@example.com' % i for i in range(20000)]
        client, peer = self.start(
            stdin=','.join(names).encode() + b'\nhi\n')
        peer.hello(['PIPELINING'])
        last = b'RCPT TO:<%s>\r\n' % names[-1].encode()
        got = peer.recv_until(last)
        self.assertEqual(got.count(b'RCPT TO:'), 20000)
        peer.send(b'250 OK\r\n' * 20001)
        peer.data()
        peer.text()
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(client.finish(), (0, '', ''))

    def test_parameters(self):
        with tempfile.TemporaryFile() as file:
            file.write(b'J\xc3\xbc@x\n' + b'hi\n' * 100)
            file.seek(0)
            process = subprocess.Popen(
                [wire.program('smtp-client')], stdin=file,
                env=wire.environment({'HOST': '127.0.0.1',
                                      'PORT': self.port}))
            peer = self.listener.accept()
            peer.serve(OFFERS)
            self.assertEqual(process.wait(wire.START_LIMIT), 0)
        self.assertEqual(peer.commands[1:3], [
            'MAIL FROM:<me@me.com> SIZE=300 BODY=8BITMIME SMTPUTF8',
            'RCPT TO:<J\u00fc@x>'])

    def test_size_of_more_than_2_gib(self):
        """It is known on a 32-bit system, too."""
        with tempfile.TemporaryFile() as file:
            file.write(b'a@b\n')
            file.truncate(3 << 30)
            file.seek(0)
            process = subprocess.Popen(
                [wire.program('smtp-client')], stdin=file,
                stderr=subprocess.PIPE,
                env=wire.environment({'HOST': '127.0.0.1',
                                      'PORT': self.port}))
            peer = self.listener.accept()
            peer.hello(OFFERS)
            self.assertEqual(peer.command(), 'MAIL FROM:<me@me.com> '
                             'SIZE=3221225468 BODY=8BITMIME')
            peer.reply('552 too large')
            peer.close()
            self.assertIn(b'552', process.communicate()[1])

    def test_parameters_not_offered(self):
        _, peer = self.send(b'hi\n', '-t', 'a@b')
        self.assertEqual(peer.commands[1], 'MAIL FROM:<me@me.com>')
        _, peer = self.send(b'hi\n', '-t', 'a@b', offers=OFFERS)
        self.assertEqual(peer.commands[1],
                         'MAIL FROM:<me@me.com> BODY=8BITMIME')

    def test_utf8_address_not_taken(self):
        peer = self.fails('smtp-client: the server takes only addresses in '
                          'ASCII; nothing sent\n', to=('-t', 'j\u00fc@x'))
        self.assertEqual(peer.commands[1:], ['QUIT'])

    def test_message_longer_than_it_takes(self):
        """The size counts CRLF, but no dots that are added: RFC 1870, 5."""
        for size, text in [(6, b'.\n.\n'), (6, b'abcd'),
                           (0, b'x' * 99)]:
            result, _ = self.send(text, '-t', 'a@b', offers=['SIZE %d' % size])
            self.assertEqual(result, (0, '', ''))
        self.fails('smtp-client: the message is longer than the server takes; '
                   'nothing sent\n', stdin=b'.\n.\nx', offers=['SIZE 6'])
        result, _ = self.send(b'hi', '-t', 'a@b', offers=['SIZE ' + '9' * 99])
        self.assertEqual(result, (0, '', ''))

    def test_helo_if_ehlo_is_not_known(self):
        for code in ['500', '502', '504', '550']:
            result, peer = self.send(b'hi\n', '-t', 'a@b',
                                     replies={'EHLO': code + ' what?'})
            self.assertEqual(result, (0, '', ''))
            self.assertEqual(peer.commands[1],
                             'HELO' + peer.commands[0][4:])

    def test_refused_recipient(self):
        for code in ['550', '551', '553']:
            for offers in [(), ['PIPELINING']]:
                peer = self.fails(
                    'No Mailbox for Recipient "unsupported@address.com"\n',
                    to=('-t', 'unsupported@address.com'), offers=offers,
                    replies={'RCPT': code + ' mailbox not available'})
                self.assertEqual(peer.commands[-1], 'QUIT')
                self.assertNotIn('DATA', peer.commands)

    def test_one_of_several_refused(self):
        for offers in [(), ['PIPELINING']]:
            client, peer = self.start('-t', 'a@b; no@b; c@d; nor@b',
                                      stdin=b'hi\n')
            peer.hello(offers)
            while peer.command() != 'QUIT':
                peer.reply('550 no' if 'no' in peer.commands[-1]
                           else '250 OK')
            peer.close()
            self.assertEqual(client.finish(), (1, '', (
                'No Mailbox for Recipient "no@b"\n'
                'No Mailbox for Recipient "nor@b"\n')))
            self.assertEqual(len(peer.commands), 7)

    def test_refusals(self):
        for verb in ['', 'EHLO', 'HELO', 'MAIL', 'RCPT', 'DATA', '.']:
            for code, more in [
                    ('554', ''),
                    ('451', 'This may pass: try again later.\n'),
                    ('421', 'The server ends the session: '
                            'try again later.\n'),
                    ('299', '')]:
                if verb == 'EHLO' and code == '554':
                    continue  # HELO follows
                with self.subTest(verb=verb, code=code):
                    replies = {verb: code + ' no \x1b[2J'}
                    if verb == 'HELO':
                        replies['EHLO'] = '500 what?'
                    if verb == 'RCPT' and code != '421':
                        more += 'It was about Recipient "a@b"\n'
                    peer = self.fails('Protocol Error: %s no \\x1B[2J\n%s' %
                                      (code, more), replies=replies)
                    self.assertIs(code == '421',
                                  'QUIT' not in peer.commands)
                    if verb != '.':
                        self.assertIsNone(peer.message)

    def test_refused_sender_with_pipelining(self):
        """It is the sender who is told of, not what follows from it."""
        peer = self.fails('Protocol Error: 553 who?\n', offers=OFFERS,
                          replies={'MAIL': '553 who?',
                                   'RCPT': '503 MAIL expected'})
        self.assertEqual(peer.commands[-1], 'QUIT')

    def test_lines_of_a_refusal(self):
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
        peer.reply('554 go away', '554', '554 and stay there')
        self.assertEqual(peer.command(), 'QUIT')
        peer.close()
        self.assertEqual(client.finish(), (
            1, '', 'Protocol Error: 554 go away and stay there\n'))

    def test_byte_by_byte(self):
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
        for reply, command in [
                (b'220-fake\r\n220-\r\n220 ready\r\n', 'EHLO'),
                (b'250-fake\r\n250-SIZE 100\r\n250 8BITMIME\r\n', 'MAIL'),
                (b'250\r\n', 'RCPT'), (b'250 OK\n', 'DATA')]:
            for i in range(len(reply)):
                peer.send(reply[i:i + 1])
            self.assertEqual(peer.command()[:4], command)
        self.assertIn('8BITMIME', peer.commands[1])
        peer.reply('354 go on')
        peer.text()
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(client.finish(), (0, '', ''))

    def test_not_smtp(self):
        for reply in [b'HTTP/1.1 400 Bad Request\r\n', b'SSH-2.0\r\n', b'\0',
                      b'220-a\r\n221 b\r\n', b'2200 a\r\n', b'\r\n']:
            with self.subTest(reply):
                client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
                peer.send(reply)
                self.assertEqual(peer.closed(), b'')
                self.assertEqual(client.finish(), (1, '', self.here(
                    'what it says is not SMTP; nothing sent')))

    def test_endless_reply(self):
        for part in [b'220 ' + b'x' * 100000, b'220-x\r\n' * 20000]:
            client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
            try:
                peer.send(part)
            except OSError:
                pass  # it does not take all of it
            self.assertEqual(client.finish(), (1, '', self.here(
                'its reply is too long; nothing sent')))

    def test_unasked(self):
        """A reply too many: which answers what is no longer known."""
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
        peer.hello()
        peer.recipients()
        peer.command()
        peer.send(b'354 go on\r\n250 OK\r\n')
        peer.closed()
        self.assertEqual(client.finish(),
                         (1, '', 'Protocol Error: 250 OK\n'))

    def test_answer_to_quit_does_not_matter(self):
        for answer in ['221 Bye!', '500 what?', '421 no', None]:
            result, _ = self.send(b'hi\n', '-t', 'a@b',
                                  replies={'QUIT': answer})
            self.assertEqual(result, (0, '', ''))

    def test_no_answer_to_quit(self):
        """CLOSE_MS, and that is it: the message has arrived."""
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
        peer.hello()
        peer.recipients()
        peer.data()
        peer.text()
        peer.reply('250 OK')
        self.assertEqual(peer.command(), 'QUIT')
        self.assertEqual(client.finish(), (0, '', ''))


class BadPeers(Case):
    CLOSED = 'the server has closed the connection; '

    def test_closes(self):
        for verb in ['', 'EHLO', 'HELO', 'MAIL', 'RCPT', 'DATA', '.']:
            with self.subTest(verb):
                replies = {verb: None}
                if verb == 'HELO':
                    replies['EHLO'] = '500 what?'
                end = (UNKNOWN[:-1] if verb == '.' else 'nothing sent')
                self.fails(self.here(self.CLOSED + end), replies=replies)

    def test_resets(self):
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
        peer.hello()
        peer.recipients()
        peer.command()
        peer.reset()
        self.assertEqual(client.finish(), (1, '', self.here(
            'Connection reset by peer; nothing sent')))

    def test_is_silent(self):
        told = 'no answer within REPLY_MS; '
        for verb in ['', 'EHLO', 'MAIL', 'RCPT', 'DATA', '.']:
            with self.subTest(verb):
                client, peer = self.start('-t', 'a@b', stdin=b'hi\n',
                                          REPLY_MS=300)
                if verb:
                    peer.reply('220 fake')
                    while peer.command()[:4] != verb[:4]:
                        peer.reply('250 OK')
                        if verb == '.' and 'RCPT' in peer.commands[-1]:
                            peer.data()
                            peer.text()
                            break
                end = UNKNOWN if verb == '.' else 'nothing sent\n'
                self.assertEqual(client.finish(),
                                 (1, '', self.here(told + end[:-1])))

    def test_trickles(self):
        """A reply that never ends, a byte at a time, does not hold us."""
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n', REPLY_MS=300)
        peer.send(b'220 ')
        try:
            while client.process.poll() is None:
                peer.send(b'x')
                time.sleep(0.02)  # this is the trickle
        except OSError:
            pass
        self.assertEqual(client.finish(), (1, '', self.here(
            'no answer within REPLY_MS; nothing sent')))

    def test_does_not_read(self):
        """Then standard input is not read either; and it ends in time."""
        client, peer = self.start('-t', 'a@b', REPLY_MS=500)
        peer.hello()
        peer.recipients()
        os.set_blocking(client.process.stdin.fileno(), False)
        written = self.fill(client, 1 << 17)
        peer.data()
        while client.process.poll() is None:
            written += self.fill(client, 64 << 20)
        self.assertLess(written, 32 << 20)
        self.assertEqual(client.finish(), (1, '', self.here(
            'no answer within REPLY_MS; nothing sent')))

    def fill(self, client, most):
        """Write what the pipe takes."""
        written = 0
        try:
            while written < most:
                written += os.write(client.process.stdin.fileno(),
                                    b'x' * 65536)
        except BlockingIOError:
            client.process.poll()
        except BrokenPipeError:
            client.process.wait(wire.LIMIT)
        return written

    def test_refuses_in_the_middle(self):
        """It tells why, and closes: that must not get lost in a reset."""
        client, peer = self.start('-t', 'a@b')
        peer.hello()
        peer.recipients()
        client.write(b'x' * 100000)
        peer.data()
        peer.recv_exactly(50000)
        peer.reply('552 too much')
        peer.half_close()
        self.assertEqual(client.finish(),
                         (1, '', 'Protocol Error: 552 too much\n'))

    def test_refuses_and_vanishes(self):
        client, peer = self.start('-t', 'a@b')
        os.set_blocking(client.process.stdin.fileno(), False)
        peer.hello()
        peer.recipients()
        self.fill(client, 1 << 17)
        peer.data()
        peer.recv_exactly(30000)
        peer.reply('421 full')
        peer.close()  # with unread input: a reset
        while client.process.poll() is None:
            self.fill(client, 1 << 20)
        self.assertEqual(client.finish(), (
            1, '', 'Protocol Error: 421 full\n'
                   'The server ends the session: try again later.\n'))

    def test_memory_is_flat(self):
        size = 64 << 20
        client, peer = self.start('-t', 'a@b',
                                  stdin=(b'x' * 1022 + b'.\n') * (size // 1024))
        peer.hello()
        peer.recipients()
        peer.data()
        left = size + size // 1024
        with open('/proc/%d/status' % client.process.pid) as status:
            before = int(re.search(r'VmRSS:\s+(\d+)', status.read()).group(1))
        while left > 4096:
            left -= len(peer.recv_exactly(min(left - 4096, 1 << 20)))
        with open('/proc/%d/status' % client.process.pid) as status:
            after = int(re.search(r'VmHWM:\s+(\d+)', status.read()).group(1))
        tail = peer.recv_until(b'\r\n.\r\n')
        self.assertEqual(len(tail), 4096 + 3)
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(client.finish(), (0, '', ''))
        self.assertLess(after - before, 8192)  # KiB

    def test_twelve_descriptors(self):
        process = subprocess.Popen(
            [wire.program('smtp-client'), '-H', '-t', 'a@b'],
            stdin=subprocess.PIPE, preexec_fn=wire.files_at_most(12), env=wire.environment(
                {'HOST': '127.0.0.1', 'PORT': self.port}))
        process.stdin.write(b'hi\n')
        process.stdin.close()
        self.listener.accept().serve()
        self.assertEqual(process.wait(wire.START_LIMIT), 0)


class Interrupted(Case):
    def test_before_the_end(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            for stage in range(5):
                with self.subTest(signal=number, stage=stage):
                    self.interrupt(number, stage)

    def interrupt(self, number, stage):
        client, peer = self.start('-t', 'a@b', stdin=b'x' * 70000, end=False)
        if stage > 0:
            peer.reply('220 fake')
            peer.command()
        if stage > 1:
            peer.reply('250 fake')
            peer.command()
        if stage > 2:
            peer.reply('250 OK')
            peer.command()
        if stage > 3:
            peer.reply('250 OK')
            peer.data()
            peer.recv_exactly(70000)
        else:
            self.ready(client)
        client.process.send_signal(number)
        self.assertNotIn(b'.', peer.closed())
        self.assertEqual(client.finish(), (
            130, '', self.here('interrupted; nothing sent')))

    def ready(self, client):
        """It must have got past the start, where a signal just kills."""
        end = time.monotonic() + wire.LIMIT
        mask = 1 << (signal.SIGTERM - 1)
        while time.monotonic() < end:
            with open('/proc/%d/status' % client.process.pid) as status:
                caught = re.search(r'SigCgt:\s+(\w+)', status.read())
            if int(caught.group(1), 16) & mask:
                return
        raise wire.Failure('it catches no signals')

    def test_after_the_dot(self):
        """Then nobody knows, and it says so."""
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
        peer.hello()
        peer.recipients()
        peer.data()
        peer.text()
        client.process.send_signal(signal.SIGINT)
        peer.closed()
        self.assertEqual(client.finish(), (
            130, '', self.here('interrupted; ' + UNKNOWN[:-1])))

    def test_after_the_answer(self):
        client, peer = self.start('-t', 'a@b', stdin=b'hi\n')
        peer.hello()
        peer.recipients()
        peer.data()
        peer.text()
        peer.reply('250 OK')
        peer.command()
        client.process.send_signal(signal.SIGINT)
        self.assertEqual(client.finish(), (0, '', ''))

    def test_while_connecting(self):
        """The queue of this server is full: no connection comes about."""
        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(('127.0.0.1', 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(3):
            other = socket.socket()
            self.addCleanup(other.close)
            other.setblocking(False)
            other.connect_ex(('127.0.0.1', port))
            waiting.append(other)
        client = Client(port, '-t', 'a@b')
        self.addCleanup(client.__exit__)
        self.ready(client)
        client.process.send_signal(signal.SIGINT)
        status, _, told = client.finish()
        self.assertEqual(status, 130)
        self.assertEqual(told, '127.0.0.1 port %d: interrupted; nothing sent\n'
                         % port)
        told = wire.run('smtp-client', '-t', 'a@b', HOST='127.0.0.1',
                        PORT=port, CONNECT_MS=100)
        self.assertEqual(told.returncode, 1)
        self.assertRegex(told.stderr.decode(),  # musl says it in other words
                         r'^127\.0\.0\.1 port %d: \w+ timed out\n$' % port)


# ---- at a terminal -----------------------------------------------------------

BANNER = '==== Message (^D to send) ====\n'
TO_YOU = 'To: you@example.com\n' + BANNER


class AtTerminal(Case):
    def sit(self, *args, offers=OFFERS, **settings):
        """A user at a terminal, and the server's end, after its hello."""
        user = Terminal(self.port, *args, **settings)
        self.addCleanup(user.__exit__)
        peer = self.listener.accept()
        peer.hello(offers)
        return user, peer

    def write_to_you(self, **settings):
        user, peer = self.sit(offers=(), **settings)
        user.wait('To: ')
        user.type('you@example.com\n')
        peer.recipients()
        user.wait(TO_YOU)
        return user, peer

    def raw(self, user):
        """Until it has taken the terminal."""
        end = time.monotonic() + wire.LIMIT
        while termios.tcgetattr(user.slave)[3] & termios.ICANON:
            if time.monotonic() > end:
                raise wire.Failure('it does not take the terminal')

    def sent(self, user, peer, text, screen):
        peer.data()
        self.assertEqual(peer.text(), text)
        peer.reply('250 OK')
        self.assertEqual(peer.command(), 'QUIT')
        peer.reply('221 Bye!')
        self.assertEqual(user.finish(), (0, screen))

    def cancelled(self, user, peer, screen, status=130):
        rest = peer.closed()
        self.assertIn(rest, (b'', b'QUIT\r\n'))
        self.assertEqual(user.finish(), (status, screen))


class Book(AtTerminal):
    def test_two_recipients(self):
        user, peer = self.sit(offers=())
        user.wait('To: ')
        user.type('you@example.com; another@localhost\n')
        peer.recipients(2)
        self.assertEqual(peer.commands[1:], [
            'MAIL FROM:<me@me.com>', 'RCPT TO:<you@example.com>',
            'RCPT TO:<another@localhost>'])
        user.wait(BANNER)
        user.type('hooray :)\n')
        user.type('\x04')
        self.sent(user, peer, b'hooray :)\r\n',
                  'To: you@example.com; another@localhost\n' + BANNER +
                  'hooray :)\n... sending ...\n')

    def test_unsupported_address(self):
        user, peer = self.sit(offers=())
        user.wait('To: ')
        user.type('unsupported@address.com\n')
        peer.command()
        peer.reply('250 OK')
        peer.command()
        peer.reply('550 mailbox not available')
        self.assertEqual(peer.command(), 'QUIT')
        peer.reply('221 Bye!')
        self.assertEqual(user.finish(), (1, (
            'To: unsupported@address.com\n'
            'No Mailbox for Recipient "unsupported@address.com"\n')))

    def test_end_of_an_unfinished_line(self):
        user, peer = self.write_to_you()
        user.type('one\ntwo\x04')
        self.sent(user, peer, b'one\r\ntwo\r\n',
                  TO_YOU + 'one\ntwo\n... sending ...\n')

    def test_end_at_once(self):
        """The user says send: so an empty message is sent."""
        user, peer = self.write_to_you()
        user.type('\x04')
        peer.data()
        self.assertEqual(peer.recv_until(b'.\r\n'), b'.\r\n')
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(user.finish(), (0, TO_YOU + '... sending ...\n'))

    def test_end_at_to(self):
        for typed in ['', 'you@example.com']:
            user, peer = self.sit()
            user.wait('To: ')
            user.type(typed)
            user.wait('To: ' + typed)
            user.type('\x04')
            self.cancelled(user, peer,
                           'To: ' + typed + '\n... cancelled ...\n')

    def test_interrupt_at_to(self):
        for typed in ['', 'you@example.com']:
            user, peer = self.sit()
            user.wait('To: ')
            user.type(typed)
            user.wait('To: ' + typed)
            user.type('\x03')
            self.cancelled(user, peer,
                           'To: ' + typed + '\n... cancelled ...\n')

    def test_interrupt_in_the_message(self):
        for key in ['\x03', '\x1c']:  # ^C, and ^\
            user, peer = self.write_to_you()
            user.type('one\nhalf')
            user.wait('half')
            user.type(key)
            self.cancelled(user, peer,
                           TO_YOU + 'one\nhalf\n... cancelled ...\n')

    def test_interrupt_while_sending(self):
        user, peer = self.write_to_you()
        user.type('one\n\x04')
        self.assertEqual(peer.command(), 'DATA')
        user.type('\x03')
        self.cancelled(user, peer, TO_YOU + 'one\n... sending ...\n'
                                            '... cancelled ...\n')

    def test_no_recipients_asks_again(self):
        user, peer = self.sit(offers=())
        for typed in ['\n', ' ; ,\n', 'a b@c\n']:
            user.wait('To: ')
            user.type(typed)
        user.wait('Not an Address: "a b@c"\nTo: ')
        user.type('you@example.com\n')
        peer.recipients()
        user.wait(BANNER)
        self.assertEqual(peer.commands[2], 'RCPT TO:<you@example.com>')
        user.type('hi\n\x04')
        self.sent(user, peer, b'hi\r\n',
                  'To: \nTo:  ; ,\nTo: a b@c\nNot an Address: "a b@c"\n' +
                  TO_YOU + 'hi\n... sending ...\n')

    def test_recipients_as_arguments(self):
        user, peer = self.sit('-t', 'you@example.com', offers=())
        peer.recipients()
        user.wait(BANNER)
        user.type('hi\n\x04')
        self.sent(user, peer, b'hi\r\n', BANNER + 'hi\n... sending ...\n')

    def test_typed_ahead(self):
        """All at once, before the greeting, and nothing is lost."""
        user = Terminal(self.port)
        self.addCleanup(user.__exit__)
        peer = self.listener.accept()
        self.raw(user)
        user.type('you@example.com\nhi\n.\n\x04')
        peer.hello()
        peer.recipients()
        self.sent(user, peer, b'hi\r\n..\r\n',
                  TO_YOU + 'hi\n.\n... sending ...\n')

    def test_failures_late(self):
        for verb, answer, told in [
                ('DATA', '554 no', 'Protocol Error: 554 no\n'),
                ('.', '552 full', 'Protocol Error: 552 full\n'),
                ('.', '451 later', 'Protocol Error: 451 later\n'
                                   'This may pass: try again later.\n')]:
            user, peer = self.write_to_you()
            user.type('hi\n\x04')
            self.assertEqual(peer.command(), 'DATA')
            if verb == '.':
                peer.reply('354 go on')
                peer.text()
            peer.reply(answer)
            self.assertEqual(peer.command(), 'QUIT')
            peer.close()
            self.assertEqual(user.finish(), (
                1, TO_YOU + 'hi\n... sending ...\n' + told))


class Typing(AtTerminal):
    def test_editing(self):
        user, peer = self.write_to_you()
        for typed, text in [
                ('hooray:(\x7f)', b'hooray:)'),
                ('a\x08\x08\x08b', b'b'),
                ('caf\u00e9\x7fe', b'cafe'),
                ('\u2603\x7f', b''),
                ('wrong\x15right', b'right'),
                ('one two\x17three', b'one three'),
                ('one  \x17\x17', b''),
                ('\x1b[A\t\x01', b'\x1b[A\t\x01')]:
            user.type(typed + '\n')
        user.type('\x7f\x17\x15end\x04')  # a line that is ended stays
        peer.data()
        self.assertEqual(peer.text().split(b'\r\n')[:-1], [
            b'hooray:)', b'b', b'cafe', b'', b'right', b'one three', b'',
            b'\x1b[A\t\x01', b'end'])
        peer.reply('250 OK')
        peer.close()
        status, screen = user.finish()
        self.assertEqual(status, 0)
        self.assertIn('hooray:(\b \b)\n', screen)
        self.assertIn('a\b \bb\n', screen)
        self.assertIn('caf\u00e9\b \be\n', screen)
        self.assertIn('wrong' + 5 * '\b \b' + 'right\n', screen)
        self.assertIn('^[[A\t^A\n', screen)

    def test_erasing_a_tab(self):
        user, peer = self.write_to_you()
        user.type('abc\t\x7f\x7f\x01\x7f!\x04')
        self.sent(user, peer, b'ab!\r\n', TO_YOU + 'abc\t' + 5 * '\b \b' +
                  '\b \b' + '^A' + 2 * '\b \b' + '!\n... sending ...\n')

    def test_erasing_recipients(self):
        user, peer = self.sit(offers=())
        user.wait('To: ')
        user.type('me\x15you@x.org\x17you@example.con\x7fm\n')
        peer.recipients()
        self.assertEqual(peer.commands[2], 'RCPT TO:<you@example.com>')
        user.wait(BANNER)
        user.type('\x04')
        peer.data()
        peer.recv_until(b'.\r\n')
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(user.finish()[0], 0)

    def test_lines_of_any_length(self):
        """More than the 4,095 bytes that a terminal's own line may have."""
        user, peer = self.write_to_you()
        line = b'0123456789' * 20000
        user.type(line + b'\n' + line + b'\x04')
        peer.data()
        self.assertEqual(peer.text(), line + b'\r\n' + line + b'\r\n')
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(user.finish()[0], 0)

    def test_a_long_message_can_be_cancelled(self):
        """However much was typed: nothing goes out before ^D."""
        user, peer = self.write_to_you()
        user.type(b'0123456789' * 20000 + b'\nlast')
        user.wait('last')
        user.type('\x03')
        self.assertEqual(peer.closed(), b'')
        self.assertEqual(user.finish()[0], 130)

    def test_nul_where_no_key_erases(self):
        """A key that is switched off is NUL in the terminal's settings."""
        user, peer = self.write_to_you(no_erase=True)
        user.type('a\0b\x04')
        self.sent(user, peer, b'a\0b\r\n',
                  TO_YOU + 'a^@b\n... sending ...\n')

    def test_many_recipients_in_a_line(self):
        user, peer = self.sit()
        user.wait('To: ')
        names = ['user%04d@example.com' % i for i in range(1000)]
        user.type(', '.join(names) + '\n')
        peer.recv_until(b'RCPT TO:<user0999@example.com>\r\n')
        peer.send(b'250 OK\r\n' * 1001)
        user.wait(BANNER)
        user.type('\x03')
        peer.closed()
        self.assertEqual(user.finish()[0], 130)

    def test_keeps_the_session_alive(self):
        user, peer = self.write_to_you(NOOP_MS=30)
        for answer in ['250 OK', '502 Not implemented.']:
            self.assertEqual(peer.command(), 'NOOP')
            peer.reply(answer)
        user.type('hi\n')
        self.assertEqual(peer.command(), 'NOOP')
        user.type('\x04')
        user.wait('hi\n')
        peer.reply('250 OK')
        while peer.command() == 'NOOP':
            peer.reply('250 OK')
        peer.reply('354 go on')
        self.assertEqual(peer.text(), b'hi\r\n')
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(user.finish(),
                         (0, TO_YOU + 'hi\n... sending ...\n'))

    def test_keeps_it_alive_at_to(self):
        user, peer = self.sit(NOOP_MS=30)
        self.assertEqual(peer.command(), 'NOOP')
        user.type('\x03')
        peer.closed()
        self.assertEqual(user.finish()[0], 130)

    def test_server_leaves(self):
        closed = self.here('the server has closed the connection; '
                           'nothing sent')
        leaving = ('Protocol Error: 421 Bye \\x1B[2J\n'
                   'The server ends the session: try again later.\n')
        for typed in ['', 'one\n', 'half']:
            for reply, told in [('', closed), ('421 Bye \x1b[2J', leaving)]:
                with self.subTest(typed=typed, reply=reply):
                    user, peer = self.write_to_you()
                    user.type(typed)
                    user.wait(BANNER + typed)
                    if reply:
                        peer.reply(reply)
                    peer.close()
                    end = '\n' if typed == 'half' else ''
                    self.assertEqual(user.finish(),
                                     (1, TO_YOU + typed + end + told))

    def test_server_leaves_at_to(self):
        user, peer = self.sit()
        user.wait('To: ')
        peer.close()
        self.assertEqual(user.finish(), (1, 'To: \n' + self.here(
            'the server has closed the connection; nothing sent')))

    def test_server_falls_silent(self):
        user, peer = self.write_to_you(NOOP_MS=50, REPLY_MS=300)
        self.assertEqual(peer.command(), 'NOOP')
        self.assertEqual(user.finish(), (1, TO_YOU + self.here(
            'no answer within REPLY_MS; nothing sent')))

    def test_terminal_hangs_up(self):
        """The end of the terminal is not the end of the message."""
        for ignore, status in [(None, -signal.SIGHUP), (signal.SIGHUP, 130)]:
            user, peer = self.write_to_you(ignore=ignore)
            user.type('half')
            user.wait('half')
            user.hang_up()
            self.assertEqual(peer.closed(), b'')
            self.assertEqual(user.process.wait(wire.LIMIT), status)

    def test_stopped_and_continued(self):
        user, peer = self.write_to_you()
        user.type('one\n')
        user.wait('one\n')
        user.type('\x1a')
        _, status = os.waitpid(user.process.pid, os.WUNTRACED)
        self.assertTrue(os.WIFSTOPPED(status))
        self.assertEqual(termios.tcgetattr(user.slave), user.before)
        user.process.send_signal(signal.SIGCONT)
        _, status = os.waitpid(user.process.pid, os.WCONTINUED)
        self.raw(user)
        user.type('two\n\x04')
        peer.data()
        self.assertEqual(peer.text(), b'one\r\ntwo\r\n')
        peer.reply('250 OK')
        peer.close()
        self.assertEqual(user.finish()[0], 0)

    def test_waits_idly(self):
        user, peer = self.write_to_you()
        user.name, user.pid = 'smtp-client', user.process.pid
        user.cpu = lambda: wire.Server.cpu(user)
        wire.assert_idle(user)
        user.type('\x03')
        peer.closed()
        user.finish()


# ---- options, and the real server ------------------------------------------------

class Options(unittest.TestCase):
    def test_help_and_version(self):
        for option in ['-h', '--help']:
            done = wire.run('smtp-client', option)
            self.assertEqual((done.returncode, done.stderr), (0, b''))
            for word in [b'Usage: smtp-client', b'HOST=localhost',
                         b'PORT=2525', b'REPLY_MS=300000', b'Try: ']:
                self.assertIn(word, done.stdout)
        done = wire.run('smtp-client', '--version')
        self.assertEqual((done.returncode, done.stderr), (0, b''))
        self.assertRegex(done.stdout, rb'^smtp-client [\d.]+\n$')

    def test_wrong_usage(self):
        for args in [['-x'], ['--what'], ['-f'], ['-t'], ['a', '1', 'b'],
                     ['-t', ''], ['-t', ' ; '], ['-f', ''], ['-f', 'a b'],
                     ['-f', 'a@b> SIZE=1'], ['-f', 'a@b\r\nDATA'],
                     ['-t', 'a@b\r\nDATA'], ['-t', 'a@b', '-t', 'a\nb'],
                     ['localhost', 'abc'], ['localhost', '0'],
                     ['localhost', '65536']]:
            with self.subTest(args):
                done = wire.run('smtp-client', *args)
                self.assertEqual((done.returncode, done.stdout), (2, b''))
                self.assertEqual(done.stderr.count(b'\n'), 1, done.stderr)
        for name in ['PORT', 'REPLY_MS', 'NOOP_MS', 'CONNECT_MS', 'TRACE']:
            done = wire.run('smtp-client', **{name: 'x'})
            self.assertEqual((done.returncode, done.stdout), (2, b''))

    def test_no_server(self):
        with socket.socket() as taken:  # bound, but it does not listen
            taken.bind(('127.0.0.1', 0))
            port = taken.getsockname()[1]
            done = wire.run('smtp-client', '127.0.0.1', str(port),
                            stdin=b'a@b\nhi\n')
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.decode(), '127.0.0.1 port %d: '
                         'Connection refused\n' % port)

    def test_arguments_before_environment(self):
        with Listener() as listener:
            client = Client(1, '127.0.0.1', str(listener.port), '-t', 'a@b',
                            stdin=b'hi\n', HOST='host.invalid')
            with client:
                listener.accept().serve()
                self.assertEqual(client.finish(), (0, '', ''))


class WithServer(unittest.TestCase):
    needs = ['smtp-server']

    def mails(self, server, user):
        folder = os.path.join(server.root, 'mail', user)
        found = []
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), 'rb') as file:
                found.append(file.read())
        return found

    def test_two_recipients(self):
        with wire.Server('smtp-server') as server:
            done = wire.run('smtp-client', HOST=server.address,
                            PORT=server.port, stdin=b'you@example.com; '
                            b'another@localhost\nhooray :)\n.\n\xff\0\n')
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (0, b'', b''))
            for user, to in [('you', b'you@example.com'),
                             ('another', b'another@localhost')]:
                self.assertEqual(self.mails(server, user), [
                    b'From: me@me.com \nTo: ' + to +
                    b' \n\nhooray :)\r\n.\r\n\xff\0\r\n'])

    def test_unsupported_address(self):
        with wire.Server('smtp-server') as server:
            done = wire.run('smtp-client', HOST=server.address,
                            PORT=server.port, stdin=b'you@example.com, '
                            b'unsupported@address.com\nhi\n')
            self.assertEqual((done.returncode, done.stderr), (
                1, b'No Mailbox for Recipient "unsupported@address.com"\n'))
            self.assertEqual(self.mails(server, 'you'), [])


if __name__ == '__main__':
    wire.main()
