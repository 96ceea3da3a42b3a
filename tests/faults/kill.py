#!/usr/bin/env python3
"""kill -9, again and again, while eight senders are at it.

    python3 tests/faults/kill.py                 both programs, 12 rounds each
    KILL_SEED=7 python3 tests/faults/kill.py smtp-server

In each round the server is killed after some acknowledgements, how many is the
seed's choice, and every second time its helpers are killed with it. The server
that starts next must find all that was acknowledged, whole and once, and
nothing half: no letter without its twin, no file with half of its bytes, no
temporary file.
"""

import os
import random
import re
import signal
import sys
import tempfile
import threading

import faults
import wire

SENDERS = 8
ROUNDS = int(os.environ.get('KILL_ROUNDS', '12'))
LIMIT = 30


class Senders:
    """They go on until the server is gone, and count what it acknowledged."""

    def __init__(self, server, talk, send):
        self.server, self.talk, self.send = server, talk, send
        self.problems = []
        self.news = threading.Condition()
        self.before = len(talk.saved)
        self.threads = [threading.Thread(target=self.work, daemon=True)
                        for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def work(self):
        try:
            with self.server.connect() as peer:
                while True:
                    self.send(self.talk, peer)
                    with self.news:
                        self.news.notify_all()
        except faults.Gone as problem:
            self.problems.append('refused: %s' % problem)
        except wire.Failure as problem:
            if not re.search('the server (closed|reset)', str(problem)):
                self.problems.append(str(problem))
        except ConnectionError:
            pass
        finally:
            with self.news:
                self.news.notify_all()

    def wait(self, n):
        """Until so many more have been acknowledged."""
        with self.news:
            if not self.news.wait_for(
                    lambda: len(self.talk.saved) - self.before >= n or
                    self.problems, LIMIT):
                self.problems.append('too few acknowledgements')

    def join(self):
        for thread in self.threads:
            thread.join(LIMIT)
        if self.problems:
            raise wire.Failure('; '.join(self.problems))


def mail(talk, peer):
    if not peer.greeted:
        talk.say(peer, b'', b'220')
        talk.say(peer, b'EHLO x\r\n', b'250')
        peer.greeted = True
    talk.mail(peer, ['you', 'another'], 500 * b'a line of a mail\r\n')


def upload(talk, peer):
    name, data = talk.file(random.choice([10, 30000]))
    talk.ask(peer, faults.request('PUT', '/', data, 'X-Filename: ' + name),
             name + ' successfully saved!\n')


def kill(server, helpers_too):
    if helpers_too:
        os.killpg(server.pid, signal.SIGKILL)
    else:
        server.signal(signal.SIGKILL)
    server.stop(expect=-signal.SIGKILL)


def rounds(name, talk, send, seed):
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix=name + '-') as root:
        os.symlink(os.path.join(wire.TOP, name, 'public'),
                   os.path.join(root, 'public'))
        for i in range(ROUNDS + 1):
            server = wire.Server(name, ROOT=root, preexec=os.setsid)
            with server:
                talk.check(server)
                if i == ROUNDS:
                    return
                senders = Senders(server, talk, send)
                senders.wait(chance.randrange(1, 60))
                kill(server, helpers_too=i % 2 == 1)
                senders.join()


RUNS = {'smtp-server': (faults.SmtpServer, mail),
        'file-upload': (faults.FileUpload, upload)}


def main():
    wire.Peer.greeted = False
    seed = int(os.environ.get('KILL_SEED', random.randrange(1000)))
    names = sys.argv[1:] or list(RUNS)
    failed = 0
    for name in names:
        talk, send = RUNS[name][0](), RUNS[name][1]
        try:
            rounds(name, talk, send, seed)
            print('%s: killed %d times; %d acknowledged, and all are there' %
                  (name, ROUNDS, len(talk.saved)))
        except wire.Failure as problem:
            failed += 1
            print('FAILED %s: %s\nagain: KILL_SEED=%d %s' % (
                name, problem, seed,
                wire.again('python3', wire.from_top(__file__), name)))
    print('%d passed, %d failed' % (len(names) - failed, failed))
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()
