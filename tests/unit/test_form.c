/* test_form.c -- a posted form as JSON: what becomes of each kind of byte, and
 * that a million names cost no more than they should. */
#define _POSIX_C_SOURCE 200809L

#include "../../common/json.h"
#include "../../post-form/form.h"
#include "test.h"

#include <time.h>

#define U "\xEF\xBF\xBD" /* U+FFFD */

static const struct {
    const char *form, *json;
} table[] = {
    {"", "{}"},
    {"&", "{}"},
    {"&&a=1&&", "{\"a\":\"1\"}"},
    {"userinput1=firstVal&userinput2=secondVal",
     "{\"userinput1\":\"firstVal\",\"userinput2\":\"secondVal\"}"},

    /* names that come again */
    {"a=1&a=2&a=3", "{\"a\":[\"1\",\"2\",\"3\"]}"},
    {"x=1&y=2&x=3", "{\"x\":[\"1\",\"3\"],\"y\":\"2\"}"},
    {"a&a", "{\"a\":[\"\",\"\"]}"},
    {"=1&=2", "{\"\":[\"1\",\"2\"]}"},
    {"a=1&%61=2&a+=3", "{\"a\":[\"1\",\"2\"],\"a \":\"3\"}"},
    {"%FF=1&%FE=2", "{\"" U "\":[\"1\",\"2\"]}"},
    {"a[]=1&a[]=2", "{\"a[]\":[\"1\",\"2\"]}"},
    {"ab=1&a=2&abc=3&a=4", "{\"ab\":\"1\",\"a\":[\"2\",\"4\"],\"abc\":\"3\"}"},

    /* names that differ late, or only in their length */
    {"a=1&a%00=2&%00=3&=4&a=5",
     "{\"a\":[\"1\",\"5\"],\"a\\u0000\":\"2\",\"\\u0000\":\"3\",\"\":\"4\"}"},
    {"1234567=1&12345678=2&1234567=3&12345679=4&12345678=5",
     "{\"1234567\":[\"1\",\"3\"],\"12345678\":[\"2\",\"5\"],"
     "\"12345679\":\"4\"}"},

    /* with and without a name, a value, an equals sign */
    {"a", "{\"a\":\"\"}"},
    {"a=", "{\"a\":\"\"}"},
    {"=b", "{\"\":\"b\"}"},
    {"=", "{\"\":\"\"}"},
    {"a=b=c", "{\"a\":\"b=c\"}"},
    {"a=1;b=2", "{\"a\":\"1;b=2\"}"},
    {"a[b]=1&a.b=2", "{\"a[b]\":\"1\",\"a.b\":\"2\"}"},
    {" a = b ", "{\" a \":\" b \"}"},
    {"__proto__=x", "{\"__proto__\":\"x\"}"},
    {"1=x&0=y&b=z&a=w", "{\"1\":\"x\",\"0\":\"y\",\"b\":\"z\",\"a\":\"w\"}"},

    /* plus and percent */
    {"a+b=c+d", "{\"a b\":\"c d\"}"},
    {"a=%2B%20+", "{\"a\":\"+  \"}"},
    {"%61=%62%3D%26", "{\"a\":\"b=&\"}"},
    {"a=%zz&b=%&c=%4&d=%u00e9&e=%%41&f=%4%31",
     "{\"a\":\"%zz\",\"b\":\"%\",\"c\":\"%4\",\"d\":\"%u00e9\",\"e\":\"%A\","
     "\"f\":\"%41\"}"},

    /* UTF-8, and what is none */
    {"a=%C3%A9&b=\xC3\xA9&c=%F0%9F%98%80",
     "{\"a\":\"\xC3\xA9\",\"b\":\"\xC3\xA9\",\"c\":\"\xF0\x9F\x98\x80\"}"},
    {"a=%C3\xA9", "{\"a\":\"\xC3\xA9\"}"},
    {"a=%E4%BD", "{\"a\":\"" U "\"}"},
    {"a=%FF", "{\"a\":\"" U "\"}"},
    {"a=\xFF\xFE", "{\"a\":\"" U U "\"}"},
    {"a=%ED%A0%80", "{\"a\":\"" U U U "\"}"},
    {"a=%C3&b=%A9", "{\"a\":\"" U "\",\"b\":\"" U "\"}"},
    {"a=\xE2\x80\xA8", "{\"a\":\"\xE2\x80\xA8\"}"},

    /* what JSON escapes */
    {"a=%0A%0D%09%00%1F%7F", "{\"a\":\"\\n\\r\\t\\u0000\\u001f\x7f\"}"},
    {"a=%22%5C%2F", "{\"a\":\"\\\"\\\\/\"}"},
    {"%22=%22", "{\"\\\"\":\"\\\"\"}"},
    {"a=1\r\n", "{\"a\":\"1\\r\\n\"}"},
    {"a=<script>", "{\"a\":\"<script>\"}"},
};

static void all_of_the_table(void)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(table[i].form);
        char *form = exact(table[i].form, n);
        struct buf out = {.max = FORM_JSON_MAX(n)};

        CHECK(form_json(&out, (struct span){form, n}), "%s", table[i].form);
        CHECK(span_is(buf_span(&out), table[i].json), "%s gave %.*s",
              table[i].form, (int)buf_len(&out), buf_at(&out));
        buf_free(&out);
        free(form);
    }
}

/* Names of every length up to 300, each of them twice. */
static void long_names(void)
{
    static char name[300], form[2 * 300 * 310];
    char *end = form;

    memset(name, 'x', sizeof name);
    for (int round = 0; round < 2; round++)
        for (int n = 1; n <= (int)sizeof name; n++)
            end += sprintf(end, "%.*s=%d&", n, name, n);

    struct buf out = {.max = 2 * sizeof form};
    CHECK(form_json(&out, span_of(form)), "long names");
    buf_add(&out, "", 1);
    const char *at = buf_at(&out) + 1;
    for (int n = 1; n <= (int)sizeof name; n++) {
        char member[400];
        int length = snprintf(member, sizeof member, "\"%.*s\":[\"%d\",\"%d\"]",
                              n, name, n, n);
        CHECK(strncmp(at, member, (size_t)length) == 0, "%d: %.400s", n, at);
        at += length + 1;
    }
    CHECK(*at == '\0', "and then %s", at);
    buf_free(&out);
}

static void no_room(void)
{
    const char *form = "a=1&b=2&a=3";

    for (size_t max = 0; max < strlen("{\"a\":[\"1\",\"3\"],\"b\":\"2\"}");
         max++) {
        struct buf out = {.max = max};
        CHECK(!form_json(&out, span_of(form)), "in %zu bytes", max);
        buf_free(&out);
    }
}

/* Repeats UNIT over 2 MiB; from a # on, it holds a number that counts up. */
static char *large(const char *unit, size_t *n)
{
    size_t size = 2 * 1024 * 1024, at = 0, length;
    char *form = malloc(size + 64);

    if (!form) abort();
    for (unsigned i = 0; at < size; i++, at += length)
        length = (size_t)snprintf(form + at, 64, unit, i * 7919u % 1000003u);
    *n = at < size ? at : size;
    return form;
}

/* Some of these would take minutes, were each name looked up among all the
 * others. The limit is for a slow machine, with sanitizers. */
static void large_forms(void)
{
    static const char *const units[] = {
        "&",
        "a&",
        "=&",
        "%x&",
        "\x01&",
        "\xFF",
        "%06u=&",
        "a%u=%%01&",
        "longer-than-most-names-are-and-the-same-for-a-long-way-%u&",
    };

    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n;
        char *form = large(units[i], &n);
        struct buf out = {.max = FORM_JSON_MAX(n)};
        clock_t start = clock();
        bool done = form_json(&out, (struct span){form, n});
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;

        CHECK(done, "%s", units[i]);
        CHECK(json_ok(buf_span(&out)), "%s", units[i]);
        CHECK(seconds < 20, "%s: %.1f s", units[i], seconds);
        buf_free(&out);
        free(form);
    }
}

/* The largest answers there are, for the bound in the header. */
static void bound(void)
{
    static const char *const forms[] = {"\x01", "\x01&\x02", "\x01\x02&\x03",
                                        "\x01=\x02", "a&b&c&d"};

    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct buf out = {.max = FORM_JSON_MAX(strlen(forms[i]))};
        CHECK(form_json(&out, span_of(forms[i])), "%zu", i);
        buf_free(&out);
    }
}

int main(void)
{
    all_of_the_table();
    long_names();
    no_room();
    large_forms();
    bound();
    return report();
}
