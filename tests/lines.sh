#!/bin/sh
# How long each file is, beside how long it may be: one recipe is one sitting.
# Comments and blank lines count. Fails if a file is over its budget.
cd "$(dirname "$0")/.." || exit 1

failed=0
look() { # LINES BUDGET NAME
    note=
    [ "$1" -le "$2" ] || note='  over'
    [ "$1" -le "$2" ] || failed=1
    printf '%6d of %5d  %s%s\n' "$1" "$2" "$3" "$note"
}

while read -r budget file; do
    set -- $file # one, or the copies in several folders: they are the same
    [ -f "$1" ] && look "$(wc -l <"$1")" "$budget" "$1"
done <<END
150 rest-server/rest-server.c
280 post-form/post-form.c
150 post-form/form.c
110 post-form/services.c
420 file-upload/file-upload.c
430 file-upload/multipart.c
260 file-upload/files.c
340 websocket-app/websocket-app.c
540 smtp-server/smtp-server.c
300 smtp-server/smtp.c
430 smtp-server/letters.c
65 rest-server/conn.h
65 post-form/conn.h
65 file-upload/conn.h
65 websocket-app/conn.h
65 smtp-server/conn.h
100 rest-server/node/node.h
200 rest-server/node/http.c
380 rest-server/node/net.c
280 rest-server/node/process.c
130 rest-server/node/console.c
60 post-form/node/pages.c
230 smtp-server/node/disk.c
END
look "$(cat common/*.[ch] | wc -l)" 2100 'common/'
exit $failed
