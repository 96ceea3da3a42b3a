/* folder.h -- the files of a server, which stand in a folder of their own that
 * is empty again after each play. Include it before server.h. The next calls
 * fail as on a full disk while disk_errors says so. */
#ifndef FOLDER_H
#define FOLDER_H

#define _POSIX_C_SOURCE 200809L

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int folder; /* where the server's paths begin */
static char folder_path[4096];
static size_t disk_works;   /* so many calls to come will do, */
static int disk_errors;     /* and then so many will fail */
static bool folder_touched; /* a file has been made */

/* Of some bytes: FNV-1a. */
static uint64_t hash(const char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325;

    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3;
    return h;
}

static bool disk_fails(void)
{
    if (disk_errors == 0 || disk_works-- > 0) return false;
    disk_works = 0;
    disk_errors--;
    errno = ENOSPC;
    return true;
}

static int folder_open(const char *path, int flags, ...)
{
    va_list mode;

    if (disk_fails()) return -1;
    folder_touched |= flags & O_CREAT;
    va_start(mode, flags);
    int fd =
        openat(folder, path, flags, flags & O_CREAT ? va_arg(mode, int) : 0);
    va_end(mode);
    return fd;
}

/* A full disk may take some of it. */
static ssize_t folder_write(int fd, const void *p, size_t n)
{
    if (disk_errors > 0 && disk_works == 0 && n > 1) n = 1;
    return disk_fails() ? -1 : write(fd, p, n);
}

static int folder_fsync(int fd)
{
    (void)fd; /* nothing here has to last */
    return disk_fails() ? -1 : 0;
}

static int folder_link(const char *from, const char *to)
{
    return disk_fails() ? -1 : linkat(folder, from, folder, to, 0);
}

static int folder_unlink(const char *path)
{
    return unlinkat(folder, path, 0);
}

static int folder_lstat(const char *path, struct stat *s)
{
    return fstatat(folder, path, s, AT_SYMLINK_NOFOLLOW);
}

static DIR *folder_opendir(const char *path)
{
    int fd = openat(folder, path, O_RDONLY | O_DIRECTORY);
    return fd == -1 ? NULL : fdopendir(fd);
}

/* Counts the files in a folder, shows the bytes of each, and removes them. None
 * is half done. */
static int empty_folder(const char *path,
                        void (*look)(const char *bytes, size_t n))
{
    static char bytes[256 * 1024];
    DIR *dir = folder_opendir(path);
    struct dirent *entry;
    int n = 0;

    assert(dir);
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert(entry->d_name[0] != '.');
        int fd = openat(dirfd(dir), entry->d_name, O_RDONLY);
        ssize_t length = read(fd, bytes, sizeof bytes);
        close(fd);
        assert(length >= 0);
        look(bytes, (size_t)length);
        unlinkat(dirfd(dir), entry->d_name, 0);
        n++;
    }
    closedir(dir);
    return n;
}

static const char *const *subfolders; /* up to a NULL, the outer ones first */

static void remove_folder(void)
{
    int n = 0;

    while (subfolders[n]) n++;
    while (n-- > 0) unlinkat(folder, subfolders[n], AT_REMOVEDIR);
    rmdir(folder_path);
}

/* A folder beside the program. */
static void start_folder(const char *program, const char *const *names)
{
    snprintf(folder_path, sizeof folder_path, "%s.XXXXXX", program);
    assert(mkdtemp(folder_path));
    folder = open(folder_path, O_RDONLY | O_DIRECTORY);
    subfolders = names;
    for (; *names; names++) assert(mkdirat(folder, *names, 0700) == 0);
    atexit(remove_folder);
}

#define fsync folder_fsync
#define link folder_link
#define lstat folder_lstat
#define open folder_open
#define opendir folder_opendir
#define unlink folder_unlink
#define write folder_write

#endif
