/* files.c -- see files.h. */
#define _POSIX_C_SOURCE 200809L
#define _FILE_OFFSET_BITS 64 /* files over 2 GiB, where a long has 32 bits */

#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../common/buf.h"
#include "../common/utf8.h"

/* Forces a file, or a folder, to the disk. Returns 0 or an errno. fsync() is
 * about the file: another descriptor may have written it. */
static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags);
    int error = fd == -1 || fsync(fd) == -1 ? errno : 0;

    if (fd != -1) close(fd);
    return error;
}

/* Gives TEMP the name uploads/FIELD-MILLISECONDS-NAME, or the next that is
 * free. Why link(): it never replaces a file that is already there. */
static int link_free(const char *temp, const char *field, const char *name,
                     char path[PATH_SIZE])
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    long long ms = (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;

    do {
        snprintf(path, PATH_SIZE, "uploads/%s-%lld-%s", field, ms++, name);
        if (link(temp, path) == 0) return 0;
    } while (errno == EEXIST);
    return errno;
}

/* Returns 0 and the final path, or an errno; after an error no file remains. */
int save(const char *temp, const char *field, const char *name,
         char path[PATH_SIZE])
{
    int error = sync_path(temp, O_WRONLY | O_NOFOLLOW);

    path[0] = '\0';
    if (!error) error = link_free(temp, field, name, path);
    unlink(temp);
    if (error) return error;
    error = sync_path("uploads", O_RDONLY | O_DIRECTORY);
    if (error == EINVAL) error = 0; /* some file systems cannot: fine */
    if (error) unlink(path);
    return error;
}

/* Makes a safe part of a file name of RAW: only what follows the last / or \,
 * as UTF-8, without control bytes or leading dots, at most MAX bytes (cut
 * between characters). If nothing is left, it is INSTEAD. Returns false if out
 * of memory. */
bool clean_name(char *out, size_t max, struct span raw, const char *instead)
{
    struct buf text = {.max = 3 * raw.n};
    size_t n = 0;

    for (size_t i = raw.n; i-- > 0;) {
        if (raw.p[i] != '/' && raw.p[i] != '\\') continue;
        raw = (struct span){raw.p + i + 1, raw.n - i - 1};
        break;
    }
    utf8_repair(&text, raw);
    for (size_t i = 0; i < buf_len(&text) && n <= max; i++) {
        char c = buf_at(&text)[i];
        if ((unsigned char)c < ' ' || c == 0x7f || (c == '.' && n == 0))
            continue;
        out[n++] = c;
    }
    if (n > max) {
        n = max;
        while (((unsigned char)out[n] & 0xC0) == 0x80) n--;
    }
    out[n] = '\0';
    if (n == 0) snprintf(out, max + 1, "%s", instead);
    bool whole = !text.failed;
    buf_free(&text);
    return whole;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

/* Removes what a crash has left unfinished. */
static void clear_left_overs(void)
{
    DIR *folder = opendir("uploads");
    struct dirent *entry;
    char path[PATH_SIZE];

    if (!folder) fail("uploads");
    while ((entry = readdir(folder))) {
        snprintf(path, sizeof path, "uploads/%s", entry->d_name);
        if (strncmp(entry->d_name, ".upload-", 8) == 0) unlink(path);
    }
    closedir(folder);
}

/* Every server that runs in this folder holds a shared lock. Only one that is
 * alone knows that no temporary file is still being written. */
void open_uploads(void)
{
    struct flock alone = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct flock shared = {.l_type = F_RDLCK, .l_whence = SEEK_SET};

    if (mkdir("uploads", S_IRWXU) == -1 && errno != EEXIST) fail("uploads");
    int fd =
        open("uploads/.lock", O_RDWR | O_CREAT | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd == -1) fail("uploads/.lock");
    sync_path(".", O_RDONLY | O_DIRECTORY); /* where uploads/ may be new */
    if (fcntl(fd, F_SETLK, &alone) == 0) clear_left_overs();
    if (fcntl(fd, F_SETLKW, &shared) == -1) fail("uploads/.lock");
}

int open_temporary(char path[64])
{
    static unsigned long count;
    int fd;

    do {
        snprintf(path, 64, "uploads/.upload-%ld-%lu", (long)getpid(), count++);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW,
                  S_IRUSR | S_IWUSR);
    } while (fd == -1 && errno == EEXIST);
    return fd;
}
