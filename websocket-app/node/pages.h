/* pages.h -- what the book uses fs.readFileSync('public/form.html') for. The
 * same text in three servers. */
#ifndef PAGES_H
#define PAGES_H

#include "node.h"

enum { PAGE_MAX = 64 * 1024 }; /* bytes of a page; a longer one ends us */

struct page {
    const char *path, *file;
    const char *fields; /* header lines, each with its CRLF */
    struct buf text;
};

/* Reads the files once, at the start, so that no request waits for the disk.
 * The last page has a NULL path. Ends the program if one cannot be read. */
void read_pages(struct page *pages);

/* Answers with the page of that PATH, or as in the book with the first one. */
void get_page(struct conn *c, const struct page *pages, struct span path);

#endif
