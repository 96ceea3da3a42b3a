#!/bin/sh
# Make programs that run the programs of another folder by some command:
#
#     tests/wrap.sh FROM TO valgrind -q
#
# Each program below FROM, also a unit test, gets a script of the same name
# below TO, which becomes the command with the program and its arguments.
set -eu
from=$(cd "$1" && pwd)
to=$2
shift 2

for program in "$from"/*/*; do
    [ -f "$program" ] && [ -x "$program" ] || continue
    script=$to/${program#"$from"/}
    mkdir -p "$(dirname "$script")"
    printf '#!/bin/sh\nexec %s %s "$@"\n' "$*" "$program" >"$script"
    chmod +x "$script"
done
