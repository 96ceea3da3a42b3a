#!/bin/sh
# The servers share the files of node/, byte for byte: a folder has to stand
# alone, so each has its own copy. A fix in one goes into all:
# tests/same.sh --fix NAME copies NAME's. The three clients share a part of their
# text instead, what stands between "/* ==== the same in all" and "/* ==== main".
cd "$(dirname "$0")/.." || exit 1

failed=0
fix=
if [ "${1-}" = --fix ]; then
    fix=${2-}
    [ -d "$fix/node" ] || {
        echo "usage: tests/same.sh [--fix NAME], NAME a server" >&2
        exit 2
    }
fi

for file in "$fix"/node/*; do
    [ -n "$fix" ] || break
    for other in */node/"${file##*/}"; do
        cmp -s "$file" "$other" && continue
        cp "$file" "$other" && echo "$other: now as in $fix"
    done
done

count=0
for file in */node/*; do
    set -- */node/"${file##*/}"
    count=$((count + 1))
    cmp "$1" "$file" || failed=1
done
echo "same.sh: $count files of node/ agree"

block() {
    sed -n '/^\/[*] ==== the same in all/,/^\/[*] ==== main/p' "$1/$1.c"
}
for client in websocket-client smtp-client; do
    [ "$(block post-request)" = "$(block "$client")" ] && continue
    echo "$client/$client.c: its shared part differs from post-request/post-request.c"
    failed=1
done
[ $failed -eq 0 ] || echo "tests/same.sh --fix NAME copies the files of NAME"
exit $failed
