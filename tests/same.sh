#!/bin/sh
# The five servers share one text, and the three clients another: what stands
# between the lines that begin "/* ==== the same in all" and "/* ==== main". A
# fix in one goes into all: tests/same.sh --fix NAME copies it out of NAME.
cd "$(dirname "$0")/.." || exit 1

begin='^/[*] ==== the same in all'
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

fix_from() {
    from=$1
    shift
    block "$from" >"$tmp/block"
    for name; do
        with_block "$name/$name.c" "$tmp/block" >"$tmp/new" || exit 1
        cmp -s "$tmp/new" "$name/$name.c" && continue
        cat "$tmp/new" >"$name/$name.c" || exit 1
        echo "$name/$name.c: now as in $from"
    done
}

# Do the programs named after KIND, those that exist, share their text?
compare() {
    kind=$1
    shift
    programs=
    for name; do
        [ -f "$name/$name.c" ] && programs="$programs $name"
    done
    case "$programs " in *" $fix "*)
        fix_from "$fix" $programs
        fix=done ;;
    esac

    first=
    count=0
    for name in $programs; do
        block "$name" >"$tmp/$name"
        first=${first:-$name}
        if [ -s "$tmp/$name" ] && diff -u "$tmp/$first" "$tmp/$name"; then
            count=$((count + 1))
        else
            echo "$name/$name.c: differs from $first/$first.c, or has no block"
            failed=1
        fi
    done
    echo "same.sh: $count $kind agree"
}

fix=none
failed=0
[ "${1-}" = --fix ] && fix=${2-}
compare servers rest-server post-form file-upload websocket-app smtp-server
compare clients post-request websocket-client smtp-client
case $fix in none | done) ;; *)
    echo "usage: tests/same.sh [--fix NAME], NAME one of the programs" >&2
    exit 2 ;;
esac
exit $failed
