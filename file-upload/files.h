/* files.h -- uploads as files in uploads/: safe names, temporary files, and
 * what it takes to say "saved" and mean it.
 *
 * As a file arrives, it is written to a temporary file. When all of it is here,
 * it is forced to the disk and gets its name; then the folder is forced to the
 * disk too, or after a crash the name would be missing. */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>

#include "../common/span.h"

enum {
    NAME_SIZE = 200 + 1,  /* a file's name, or a field's, and NUL */
    NAMES_MAX = 255 - 15, /* both: FIELD-1480000000000-NAME must fit in 255 */
    PATH_SIZE = 440,      /* "uploads/" and such a name */
};

/* Makes a safe part of a file name of RAW: only what follows the last / or \\,
 * as UTF-8, without control bytes or leading dots, at most MAX bytes (cut
 * between characters). If nothing is left, it is INSTEAD. Returns false if out
 * of memory. */
bool clean_name(char *out, size_t max, struct span raw, const char *instead);

/* Creates a temporary file. Returns its descriptor and PATH, or -1 and errno.
 */
int open_temporary(char path[64]);

/* Gives the file TEMP the name uploads/FIELD-MILLISECONDS-NAME, or the next
 * that is free, and waits for the disk. Returns 0 and the path, or an errno;
 * after an error no file remains. */
int save(const char *temp, const char *field, const char *name,
         char path[PATH_SIZE]);

/* Makes uploads/ and clears it of what a crash has left, unless another server
 * is at work there. Ends the program if it cannot. */
void open_uploads(void);

#endif
