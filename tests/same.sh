#!/bin/sh
# The five servers share one text: what stands between the lines that begin
# "/* ==== the same in all five servers" and "/* ==== main". A fix in one goes
# into all: tests/same.sh --fix NAME copies it out of NAME.
cd "$(dirname "$0")/.." || exit 1

begin='^/[*] ==== the same in all five servers'
end='^/[*] ==== main'
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

block() {
    awk -v begin="$begin" -v end="$end" '
        $0 ~ end { exit }
        inside { print }
        $0 ~ begin { inside = 1 }' "$1/$1.c"
}

# The file $1, with the block in file $2 instead of its own.
with_block() {
    awk -v begin="$begin" -v end="$end" -v file="$2" '
        $0 ~ end { inside = 0 }
        !inside { print }
        $0 ~ begin { inside = 1; while ((getline line < file) > 0) print line }
    ' "$1"
}

servers=
for name in rest-server post-form file-upload websocket-app smtp-server; do
    [ -f "$name/$name.c" ] || continue
    if ! grep -q "$begin" "$name/$name.c" || ! grep -q "$end" "$name/$name.c"
    then
        echo "$name/$name.c: one of the two ==== lines is missing" >&2
        exit 1
    fi
    servers="$servers $name"
done

if [ "${1-}" = --fix ]; then
    case "$servers " in
    *" ${2-} "*) ;;
    *) echo "usage: tests/same.sh [--fix NAME], NAME one of:$servers" >&2
       exit 2 ;;
    esac
    block "$2" >"$tmp/block"
    for name in $servers; do
        with_block "$name/$name.c" "$tmp/block" >"$tmp/new" || exit 1
        cmp -s "$tmp/new" "$name/$name.c" && continue
        cat "$tmp/new" >"$name/$name.c" || exit 1
        echo "$name/$name.c: now as in $2"
    done
fi

first=
count=0
different=0
for name in $servers; do
    block "$name" >"$tmp/$name"
    first=${first:-$name}
    if diff -u "$tmp/$first" "$tmp/$name"; then
        count=$((count + 1))
    else
        different=$((different + 1))
    fi
done
echo "same.sh: $count servers agree, $different do not"
[ "$different" -eq 0 ]
