#!/usr/bin/env python3
"""Say what the tests have gone through, after `make coverage` has run them:

    python3 tests/coverage.py build/coverage

First each line of the sources with branches that no test takes, then a table.
A branch is gcov's: each way out of each condition, `&&` and `||` included.
Fails where less is taken than GOALS says."""

import json
import os
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GOALS = {'common': 100, 'programs': 90}  # percent of the branches


def measured(folder):
    done = subprocess.run(
        ['gcovr', '--json', '--root', TOP, '--exclude', 'tests/', folder],
        stdout=subprocess.PIPE, cwd=TOP, check=True)
    return json.loads(done.stdout)['files']


def percent(part, whole):
    return 100 * part / whole if whole else 100


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        sys.exit('usage: tests/coverage.py folder')
    table, short = [], 0
    for file in sorted(measured(sys.argv[1]), key=lambda f: f['file']):
        name = file['file']
        with open(os.path.join(TOP, name), encoding='utf-8') as source:
            text = source.read().splitlines()
        lines = [line for line in file['lines'] if not line['gcovr/noncode']]
        branches = taken = 0
        for line in lines:
            of = len(line['branches'])
            missed = sum(b['count'] == 0 for b in line['branches'])
            branches += of
            taken += of - missed
            if missed:
                print('%s:%d: %d of %d not taken: %s' % (
                    name, line['line_number'], missed, of,
                    text[line['line_number'] - 1].strip()))
        goal = GOALS['common' if name.startswith('common/') else 'programs']
        reached = percent(taken, branches)
        short += reached < goal
        table.append((name, percent(sum(line['count'] > 0 for line in lines),
                                    len(lines)), reached, taken, branches,
                      'goal: %d %%' % goal if reached < goal else ''))
    print('\n%-37s %7s %9s' % ('file', 'lines', 'branches'))
    for row in table:
        print(('%-37s %5.1f %% %7.1f %%  %4d of %4d  %s' % row).rstrip())
    print('%d passed, %d failed' % (len(table) - short, short))
    sys.exit(1 if short or not table else 0)


if __name__ == '__main__':
    main()
