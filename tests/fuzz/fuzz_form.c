/* fuzz_form.c -- any form becomes one JSON object within the bound that the
 * header gives, and no pair of it is lost: looked up one by one, the slow way,
 * each stands where it should. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/json.h"
#include "../../common/qs.h"
#include "../../common/utf8.h"
#include "../../post-form/form.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(struct buf *out, struct span raw)
{
    char *room = malloc(raw.n + 1);
    if (!room) abort();
    *out = (struct buf){.max = 3 * raw.n + 1};
    utf8_repair(out, (struct span){room, qs_decode(room, raw)});
    free(room);
}

/* Adds the values of all pairs with this name; returns how many they are. With
 * FORM ending where the name first stood, 0 says that it is new. */
static size_t add_values(struct buf *out, struct span form, struct buf *name)
{
    struct span raw_name, raw_value;
    size_t n = 0;

    while (qs_next(&form, &raw_name, &raw_value)) {
        struct buf other, value;
        decode(&other, raw_name);
        decode(&value, raw_value);
        if (buf_len(&other) == buf_len(name) &&
            (buf_len(name) == 0 ||
             memcmp(buf_at(&other), buf_at(name), buf_len(name)) == 0)) {
            if (n++ > 0) buf_puts(out, ",");
            json_quote(out, buf_span(&value));
        }
        buf_free(&other);
        buf_free(&value);
    }
    return n;
}

static void slow(struct buf *out, struct span form)
{
    struct span rest = form, raw_name, raw_value;
    const char *separator = "";

    buf_puts(out, "{");
    while (qs_next(&rest, &raw_name, &raw_value)) {
        struct buf name, before = {.max = out->max}, values = before;
        struct span until = {form.p, (size_t)(raw_name.p - form.p)};

        decode(&name, raw_name);
        size_t n = add_values(&values, form, &name);
        if (add_values(&before, until, &name) == 0) {
            buf_puts(out, separator);
            json_quote(out, buf_span(&name));
            buf_puts(out, n > 1 ? ":[" : ":");
            buf_add(out, buf_at(&values), buf_len(&values));
            if (n > 1) buf_puts(out, "]");
            separator = ",";
        }
        buf_free(&name);
        buf_free(&before);
        buf_free(&values);
    }
    buf_puts(out, "}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span form = {(const char *)data, size};
    struct buf out = {.max = FORM_JSON_MAX(size)}, expected = out;

    assert(form_json(&out, form));
    assert(json_ok(buf_span(&out)));
    if (size < 300) {
        slow(&expected, form);
        assert(!expected.failed && buf_len(&out) == buf_len(&expected));
        assert(memcmp(buf_at(&out), buf_at(&expected), buf_len(&out)) == 0);
    }
    buf_free(&out);
    buf_free(&expected);
    return 0;
}
