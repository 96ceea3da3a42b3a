#define _POSIX_C_SOURCE 200809L

#include "form.h"

#include "../common/json.h"
#include "../common/qs.h"
#include "../common/utf8.h"

#include <stdlib.h>

struct pair {
    struct span name, value; /* decoded */
    struct pair *next;       /* the next one with the same name */
    bool again;              /* the name has been seen before */
};

/* Everything that one form needs on its way to JSON. */
struct work {
    struct buf text;      /* all names and values, decoded */
    char *room;           /* for one of them, before it is UTF-8 */
    struct pair *pairs;   /* in the order of the form */
    struct pair **sorted; /* by name */
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
    w->sorted = malloc(w->n * sizeof(struct pair *));
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

static void read_pairs(struct work *w, struct span form)
{
    struct span name, value;

    for (size_t i = 0; qs_next(&form, &name, &value); i++) {
        w->pairs[i] = (struct pair){decode(w, name), decode(w, value), NULL, 0};
        w->sorted[i] = &w->pairs[i];
    }
}

static int compare(struct span a, struct span b)
{
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

/* For qsort(); equal names stay in the order of the form. */
static int by_name(const void *left, const void *right)
{
    const struct pair *a = *(struct pair *const *)left;
    const struct pair *b = *(struct pair *const *)right;
    int order = compare(a->name, b->name);

    return order ? order : (a > b) - (a < b);
}

/* Sorting brings equal names together. A hash would be faster, until somebody
 * posts a million names with the same one. */
static void link_equal_names(struct work *w)
{
    qsort(w->sorted, w->n, sizeof(struct pair *), by_name);
    for (size_t i = 1; i < w->n; i++) {
        struct pair *before = w->sorted[i - 1], *pair = w->sorted[i];
        if (compare(before->name, pair->name) != 0) continue;
        before->next = pair;
        pair->again = true;
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
