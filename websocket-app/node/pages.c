/* pages.c -- see pages.h. The same text in three servers. */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "http.h"
#include "pages.h"

void read_pages(struct page *pages)
{
    for (struct page *page = pages; page->path; page++) {
        FILE *file = fopen(page->file, "r");
        char piece[4096];
        size_t n;

        page->text.max = PAGE_MAX;
        while (file && (n = fread(piece, 1, sizeof piece, file)) > 0)
            buf_add(&page->text, piece, n);
        if (file && page->text.failed) errno = EFBIG;
        if (!file || ferror(file) || page->text.failed) {
            perror(page->file);
            exit(1);
        }
        fclose(file);
    }
}

void get_page(struct conn *c, const struct page *pages, struct span path)
{
    const struct page *page = pages;

    for (const struct page *p = pages; p->path; p++)
        if (span_is(path, p->path)) page = p;
    reply(c, 200, page->fields, buf_span(&page->text));
}
