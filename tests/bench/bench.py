#!/usr/bin/env python3
"""Runs our programs and their peers side by side and tells what each costs.

    make bench                           all rows; writes RESULTS.md, results.svg
    python3 tests/bench/bench.py         all rows, only printed (setup first)
    python3 tests/bench/bench.py mail    some of them; --list names them

A row's programs are all started, then measured in turn, three rounds; the
medians count. BENCH_SECONDS=2 measures longer each time, BENCH_ROUNDS=5 more often.
"""

import argparse
import contextlib
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import page
import servers
from rows import ROWS

FAILURES = (servers.Failed, OSError, subprocess.SubprocessError)
ROUNDS = int(os.environ.get('BENCH_ROUNDS', '3'))


def median_of(samples):
    return {key: statistics.median(sample[key] for sample in samples)
            for key in samples[0]}


def sample(case, name, program):
    """What fails once is measured again: a busy machine can be to blame."""
    try:
        return case.measure(program)
    except FAILURES as failure:
        print('%s, %s: %s; once more' % (case.title, name, failure), flush=True)
        return case.measure(program)


def run_case(case, programs):
    """The medians of each program, by its name."""
    names = case.only or tuple(programs)
    samples = {name: [] for name in names}
    for _ in range(ROUNDS):
        for name in names:
            samples[name].append(sample(case, name, programs[name]))
    return {name: median_of(samples[name]) for name in names}


def run_section(section, work):
    """A list of its cases, each with its medians."""
    with contextlib.ExitStack() as stack:
        programs = section.start(stack, work)
        if section.warm_up:
            for program in programs.values():
                section.cases[0].measure(program)
        return [(case, run_case(case, programs)) for case in section.cases]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('rows', nargs='*', metavar='ROW')
    parser.add_argument('--list', action='store_true', help='name the rows')
    parser.add_argument('--write', action='store_true',
                        help='write the page and the chart, if all rows ran')
    options = parser.parse_args()
    if options.list:
        print('\n'.join(ROWS))
        return
    for name in options.rows:
        if name not in ROWS: parser.error('no row %s; try --list' % name)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit('ended by a signal'))
    begun = time.monotonic()
    servers.WORK = tempfile.mkdtemp(prefix='bench-')
    os.chmod(servers.WORK, 0o755)
    os.sched_setaffinity(0, servers.LOAD_CPU)
    results, failed = [], []
    try:
        for name in options.rows or ROWS:
            start = time.monotonic()
            try:
                cases = run_section(ROWS[name], servers.WORK)
            except FAILURES as failure:
                failed.append('%s: %s' % (name, failure))
                continue
            results.append((ROWS[name], cases))
            print(page.section_text(*results[-1]))
            print('(%.0f s)\n' % (time.monotonic() - start), flush=True)
    finally:
        shutil.rmtree(servers.WORK)
    print('All of it took %.0f s.' % (time.monotonic() - begun))
    if options.write and not options.rows:
        page.write(results, ROUNDS, time.monotonic() - begun)
    if failed: sys.exit('\n'.join(['Failed:'] + failed))


if __name__ == '__main__':
    main()
