#!/bin/sh
# Play the README of each recipe, in the order of the book, as a reader would:
# each command with what it prints, compared with what the README says.
cd "$(dirname "$0")/.." || exit 1

if ! command -v python3 >/dev/null; then
    echo 'demo.sh: python3 plays the READMEs, and there is none here' >&2
    exit 1
fi

set --
for recipe in rest-server post-form file-upload post-request \
    websocket-app websocket-client smtp-server smtp-client; do
    [ -f "$recipe/README.md" ] && set -- "$@" "$recipe"
done
if [ $# -eq 0 ]; then
    echo 'demo.sh: no recipe has a README.md yet' >&2
    exit 1
fi

echo "Playing the READMEs of $*."
echo 'What follows a line with $ is what it really printed.'
exec python3 tests/readme.py --demo "$@"
