#define _POSIX_C_SOURCE 200809L

#include "form.h"

#include "../common/json.h"
#include "../common/qs.h"
#include "../common/utf8.h"

#include <stdint.h>
#include <stdlib.h>

struct pair {
    struct span name, value; /* decoded */
    struct pair *next;       /* the next one with the same name */
    bool again;              /* the name has been seen before */
};

/* A pair by its name; most comparisons need no more than the number. */
struct entry {
    uint64_t start; /* of the name, see name_start() */
    struct pair *pair;
};

/* Everything that one form needs on its way to JSON. */
struct work {
    struct buf text;      /* all names and values, decoded */
    char *room;           /* for one of them, before it is UTF-8 */
    struct pair *pairs;   /* in the order of the form */
    struct entry *sorted; /* with equal names side by side */
    size_t n;
};

static size_t count_pairs(struct span form)
{
    struct span name, value;
    size_t n = 0;

    while (qs_next(&form, &name, &value)) n++;
    return n;
}

/* All the memory at once, so that the text never moves: spans point into it.
 * No byte of a form becomes more than three, those of U+FFFD. */
static bool get_memory(struct work *w, struct span form)
{
    w->text.max = 3 * form.n;
    w->room = malloc(form.n);
    w->pairs = malloc(w->n * sizeof *w->pairs);
    w->sorted = malloc(w->n * sizeof *w->sorted);
    return buf_room(&w->text, 3 * form.n) && w->room && w->pairs && w->sorted;
}

static void free_memory(struct work *w)
{
    buf_free(&w->text);
    free(w->room);
    free(w->pairs);
    free(w->sorted);
}

static struct span decode(struct work *w, struct span raw)
{
    size_t before = buf_len(&w->text);

    utf8_repair(&w->text, (struct span){w->room, qs_decode(w->room, raw)});
    return (struct span){buf_at(&w->text) + before, buf_len(&w->text) - before};
}

/* A name's length, up to 255, and its first seven bytes, in one number. */
static uint64_t name_start(struct span name)
{
    uint64_t start = name.n < 255 ? name.n : 255;

    for (size_t i = 0; i < 7 && i < name.n; i++)
        start = start << 8 | (unsigned char)name.p[i];
    return start;
}

static void read_pairs(struct work *w, struct span form)
{
    struct span name, value;

    for (size_t i = 0; qs_next(&form, &name, &value); i++) {
        struct pair *pair = &w->pairs[i];
        *pair = (struct pair){decode(w, name), decode(w, value), NULL, 0};
        w->sorted[i] = (struct entry){name_start(pair->name), pair};
    }
}

/* Any order will do in which equal names stand side by side. */
static int compare(const struct entry *a, const struct entry *b)
{
    struct span left = a->pair->name, right = b->pair->name;

    if (a->start != b->start) return a->start < b->start ? -1 : 1;
    if (a->start >> 56 <= 7) return 0; /* that was all of the name */
    if (left.n != right.n) return left.n < right.n ? -1 : 1;
    return memcmp(left.p, right.p, left.n);
}

/* For qsort(); equal names stay in the order of the form. */
static int by_name(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = compare(a, b);

    return order ? order : (a->pair > b->pair) - (a->pair < b->pair);
}

/* Sorting brings equal names together. A hash would be faster, until somebody
 * posts a million names with the same one. */
static void link_equal_names(struct work *w)
{
    qsort(w->sorted, w->n, sizeof *w->sorted, by_name);
    for (size_t i = 1; i < w->n; i++) {
        const struct entry *before = &w->sorted[i - 1], *entry = before + 1;
        if (compare(before, entry) != 0) continue;
        before->pair->next = entry->pair;
        entry->pair->again = true;
    }
}

static void write_values(struct buf *out, const struct pair *pair)
{
    bool list = pair->next != NULL;

    if (list) buf_puts(out, "[");
    json_quote(out, pair->value);
    while ((pair = pair->next)) {
        buf_puts(out, ",");
        json_quote(out, pair->value);
    }
    if (list) buf_puts(out, "]");
}

static void write_pairs(struct buf *out, const struct work *w)
{
    const char *separator = "";

    for (size_t i = 0; i < w->n; i++) {
        if (w->pairs[i].again) continue;
        buf_puts(out, separator);
        json_quote(out, w->pairs[i].name);
        buf_puts(out, ":");
        write_values(out, &w->pairs[i]);
        separator = ",";
    }
}

bool form_json(struct buf *out, struct span form)
{
    struct work w = {.n = count_pairs(form)};

    buf_puts(out, "{");
    if (w.n > 0 && get_memory(&w, form)) {
        read_pairs(&w, form);
        link_equal_names(&w);
        write_pairs(out, &w);
    } else if (w.n > 0) {
        out->failed = true;
    }
    buf_puts(out, "}");
    free_memory(&w);
    return !out->failed;
}
