/* test_json.c */
#define _POSIX_C_SOURCE 200809L

#include "../../common/json.h"
#include "test.h"

static bool ok(const char *text, size_t n)
{
    char *copy = exact(text, n);
    bool result = json_ok((struct span){copy, n});
    free(copy);
    return result;
}

/* Texts that are JSON. An array or object, string or word cut short is not. */
static const char *const good[] = {
    "[]",
    "{}",
    "\"\"",
    "0",
    "-0",
    "true",
    "false",
    "null",
    " [ ] ",
    "\t{\r\n}\n",
    "[[]]",
    "[{}]",
    "{\"\":{}}",
    "[[],[],{}]",
    "[1]",
    "[1,2]",
    " [ 1 , \"a\" , null ] ",
    "[true,false,null]",
    "{\"a\":1}",
    "{ \"a\" : 1 , \"b\" : [ { } ] }",
    "{\"a\":1,\"a\":2}",
    "{\"a\":{\"b\":{\"c\":[[{}]]}},\"d\":[]}",
    "{\"data\": [{\"id\": 1, \"first_name\": \"Bob\"}]}",
    "{\n  \"name\": \"Cian \xC3\x93 Maid\xC3\xADn\",\n  \"company\": \"x\"\n}",
    "1",
    "12",
    "-1",
    "10",
    "1.5",
    "0.5",
    "-0.0",
    "1e5",
    "1E5",
    "1e+5",
    "1e-5",
    "0e0",
    "0e+1",
    "0E1",
    "1.5e10",
    "1.50E-07",
    "123456789012345678901234567890",
    "1e400",
    "-1e-400",
    "[0,-0,0.0]",
    "\"a\"",
    "\" \"",
    "\"\x7F\"",
    "\"/\"",
    "\"\\\"\"",
    "\"\\\\\"",
    "\"\\/\"",
    "\"\\b\\f\\n\\r\\t\"",
    "\"\\u0000\"",
    "\"\\u00e9\\u00E9\\uABCD\\uabcd\"",
    "\"\\uD83D\\uDE00\"",
    "\"\\ud800\"",
    "\"\\udc00\\ud800\"",
    "\"\\ud800\\n\"",
    "\"\xC3\xA9\"",
    "\"\xF0\x9F\x98\x80\"",
    "\"\xE2\x80\xA8\xE2\x80\xA9\"",
    "\"\xEF\xBF\xBF\"",
    "\"\xEF\xBB\xBF\"",
    "\"\\\\u12\"",
    "[\"a\",\"]\",\"}\"]",
    "{\"\\u0061\":\"{\"}",
};

static const char *const bad[] = {
    "",
    " ",
    "\n",
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "[1",
    "[1,",
    "[,]",
    "[1,]",
    "[,1]",
    "[1,,2]",
    "[1 2]",
    "[1:2]",
    "[\"a\":1]",
    "[1}",
    "[}",
    "{]",
    "{\"a\":1]",
    "[1]]",
    "[]]",
    "{}}",
    "[] []",
    "[],",
    "[]x",
    "{}x",
    "[[]",
    "[{}",
    "[[1],",
    "{\"a\"",
    "{\"a\":",
    "{\"a\":1",
    "{\"a\":1,",
    "{\"a\":1,}",
    "{,}",
    "{,\"a\":1}",
    "{\"a\":1,,\"b\":2}",
    "{\"a\" 1}",
    "{\"a\":}",
    "{\"a\",1}",
    "{\"a\"}",
    "{a:1}",
    "{1:1}",
    "{null:1}",
    "{[]:1}",
    "{'a':1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1,2}",
    "{\"a\"::1}",
    "{\"a\":1:2}",
    "'a'",
    "[a]",
    "tru",
    "trueish",
    "True",
    "TRUE",
    "nul",
    "nulll",
    "fals",
    "undefined",
    "NaN",
    "Infinity",
    "-Infinity",
    "-NaN",
    "-",
    "+1",
    "--1",
    "-+1",
    "01",
    "-01",
    "00",
    "1.",
    ".5",
    "-.5",
    "1.e5",
    "1.5.5",
    "1e",
    "1e+",
    "1E-",
    "1e5.5",
    "1e1e1",
    "1ee5",
    "0x1",
    "1a",
    "1 2",
    "1,",
    "1_000",
    "- 1",
    "1 e5",
    "[1e]",
    "[-]",
    "[01]",
    "[1.]",
    "\"a",
    "\"a\"\"",
    "\"\\\"",
    "\"\\",
    "\"\\x41\"",
    "\"\\a\"",
    "\"\\v\"",
    "\"\\0\"",
    "\"\\'\"",
    "\"\\ \"",
    "\"\\U0041\"",
    "\"\\u\"",
    "\"\\u1\"",
    "\"\\u12\"",
    "\"\\u123\"",
    "\"\\u123g\"",
    "\"\\u12 4\"",
    "\"\\u-123\"",
    "\"\\u123",
    "\"\\u1234",
    "\"\\ud800\\u\"",
    "\"\\ud800\\\"",
    "\"\\uDE0\"",
    "\"\\\n\"",
    "\"\\u00G0\"",
    "\"\\u/000\"",
    "\"\\u:000\"",
    "\"\\u@000\"",
    "\"\\u`000\"",
    "\"\x01\"",
    "\"\n\"",
    "\"\t\"",
    "\"\r\"",
    "\"\x1F\"",
    "\"\xFF\"",
    "\"\x80\"",
    "\"\xC3\"",
    "\"\xC0\x80\"",
    "\"\xED\xA0\x80\"",
    "\"\xF4\x90\x80\x80\"",
    "\"\xE4\xBD\"",
    "\"\\\xC3\xA9\"",
    "\"\\u\xC3\xA9 1\"",
    "\xEF\xBB\xBF[]",
    "\xEF\xBB\xBF",
    "[\xC2\xA0]",
    "[]\xC2\xA0",
    "\xC3\xA9",
    "\xE2\x81\xA0[]",
    "[\f]",
    "[\v]",
    "\f",
    "/**/[]",
    "[]//",
    "[]#",
    "[1/**/]",
    "[1]\x01",
    "(1)",
    "<null>",
    "*",
    "[*]",
    "\\u0031",
    "[\\n]",
    "$",
    "2@",
    "[\"x\", truth]",
    "{\"a\":true,\"b\":fals}",
    "{\"\\u12\":1}",
    "{\"\n\":1}",
    "[1,\n1\n,1",
    "[\"\",\n4\n,\n1,",
    "{\"x\"\n:1\n,",
    "abc",
    "\xFE\xFF",
};

static void grammar(void)
{
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const char *text = good[i];
        size_t n = strlen(text), end = n;

        CHECK(ok(text, n), "%s", text);
        while (end > 0 && strchr(" \t\r\n", text[end - 1])) end--;
        bool number = strchr("-0123456789", text[0]);
        int wrong = 0;
        for (size_t cut = 0; cut < end; cut++)
            wrong += ok(text, cut) && !number;
        CHECK(wrong == 0, "%s: %d of its parts", text, wrong);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        size_t n = strlen(bad[i]);
        CHECK(!ok(bad[i], n), "%s", bad[i]);
        for (size_t cut = 0; cut < n; cut++) ok(bad[i], cut);
    }
    CHECK(!ok("\0", 1), "NUL");
    CHECK(!ok("[]\0", 3), "NUL after an array");
    CHECK(!ok("[\0]", 3), "NUL in an array");
    CHECK(!ok("\"a\0\"", 4), "NUL in a string");
    CHECK(!ok("123\0", 4), "NUL after a number");
    CHECK(!ok("[\0\"\0a\0\"\0]\0", 10), "UTF-16");
    CHECK(!json_ok((struct span){NULL, 0}), "absent");
}

static void nesting(void)
{
    enum { N = 100000 };
    static char text[2 * N];
    int wrong = 0;

    for (size_t depth = 1; depth <= 1024; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        wrong += ok(text, 2 * depth) != (depth <= 512);
    }
    CHECK(wrong == 0, "%d of 1024 depths", wrong);

    struct buf objects = {.max = N};
    for (int depth = 0; depth < 512; depth++) buf_puts(&objects, "{\"a\":");
    buf_puts(&objects, "1");
    for (int depth = 0; depth < 512; depth++) buf_puts(&objects, "}");
    struct span value = {0};
    CHECK(json_ok(buf_span(&objects)), "512 objects");
    CHECK(json_member(buf_span(&objects), "a", &value), "the outermost");
    CHECK(value.n == buf_len(&objects) - 6, "%zu bytes", value.n);
    buf_free(&objects);

    memset(text, '[', sizeof text);
    CHECK(!ok(text, sizeof text), "open arrays");

    /* Wide is not deep. */
    for (size_t i = 1; i + 3 < sizeof text; i += 3) memcpy(text + i, "[],", 3);
    memcpy(text + 199996, "{}]", 3);
    CHECK(ok(text, 199999), "many arrays");
}

static const struct {
    const char *object, *name, *value; /* NULL: no such member */
} members[] = {
    {"{\"guid\":\"9c4e\"}", "guid", "\"9c4e\""},
    {" { \"guid\" : \"9c4e\" } ", "guid", "\"9c4e\""},
    {"{\"a\":1,\"b\" : [1, {\"c\":2}] ,\"c\":3}", "a", "1"},
    {"{\"a\":1,\"b\" : [1, {\"c\":2}] ,\"c\":3}", "b", "[1, {\"c\":2}]"},
    {"{\"a\":1,\"b\" : [1, {\"c\":2}] ,\"c\":3}", "c", "3"},
    {"{\"a\":{\"b\":1}}", "b", NULL},
    {"{\"a\":\"b\"}", "b", NULL},
    {"{\"a\":1,\"a\":2,\"b\":3}", "a", "2"},
    {"{\"a\":1,\"\\u0061\":2}", "a", "2"},
    {"{\"\\u0061b\\u0063\":null}", "abc", "null"},
    {"{\"ab\":1}", "a", NULL},
    {"{\"a\":1}", "ab", NULL},
    {"{\"a\\u0000\":1}", "a", NULL},
    {"{\"\":true}", "", "true"},
    {"{\"a\":true}", "", NULL},
    {"{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\":-1.5e3}", "\"\\/\b\f\n\r\t", "-1.5e3"},
    {"{\"\\u00e9\":1}", "\xC3\xA9", "1"},
    {"{\"\xC3\xA9\":1}", "\xC3\xA9", "1"},
    {"{\"\\u20ac\":1}", "\xE2\x82\xAC", "1"},
    {"{\"\\uD83D\\ude00\":1}", "\xF0\x9F\x98\x80", "1"},
    {"{\"\xF0\x9F\x98\x80\":1}", "\xF0\x9F\x98\x80", "1"},
    {"{\"x\":\"}\",\"y\":\"\\\"\"}", "y", "\"\\\"\""},
    {"{}", "a", NULL},
    {"[]", "a", NULL},
    {"[{\"a\":1}]", "a", NULL},
    {"\"a\"", "a", NULL},
    {"null", "a", NULL},
};

static void finding(void)
{
    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        size_t n = strlen(members[i].object);
        char *copy = exact(members[i].object, n);
        struct span object = {copy, n}, value = {0};
        const char *want = members[i].value;

        CHECK(json_ok(object), "%s", members[i].object);
        CHECK(json_member(object, members[i].name, &value) == (want != NULL),
              "%s, %s", members[i].object, members[i].name);
        CHECK(want ? span_is(value, want) : !value.p, "%s, %s: %.*s",
              members[i].object, members[i].name, (int)value.n, value.p);
        free(copy);
    }
}

static const struct {
    const char *value, *text;
} texts[] = {
    {"\"\"", ""},
    {"\"plain\"", "plain"},
    {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\"", "a\"\\/\b\f\n\r\tz"},
    {"\"\\u0041\\u007f\\u0080\\u07ff\"", "A\x7F\xC2\x80\xDF\xBF"},
    {"\"\\u0800\\ud7ff\\ue000\\uffff\"",
     "\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF"},
    {"\"\\ud800\\udc00\"", "\xF0\x90\x80\x80"},
    {"\"\\uDBFF\\uDFFF\"", "\xF4\x8F\xBF\xBF"},
    {"\"x\\uD83D\\uDE00y\"", "x\xF0\x9F\x98\x80y"},
    {"\"\\ud800\"", "\xEF\xBF\xBD"},
    {"\"\\ud800x\"", "\xEF\xBF\xBDx"},
    {"\"\\ud800 and more\"", "\xEF\xBF\xBD and more"},
    {"\"\\ud800\\n\"", "\xEF\xBF\xBD\n"},
    {"\"\\ud800\\u0041\"", "\xEF\xBF\xBD"
                           "A"},
    {"\"\\ud800\\ue000\"", "\xEF\xBF\xBD\xEE\x80\x80"},
    {"\"\\udc00\\udc00\"", "\xEF\xBF\xBD\xEF\xBF\xBD"},
    {"\"\\ud800\\ud800\\udc00\"", "\xEF\xBF\xBD\xF0\x90\x80\x80"},
    {"\"\\udfff\"", "\xEF\xBF\xBD"},
    {"12.50", "12.50"},
    {"null", "null"},
    {"{ \"a\": \"\\n\" }", "{ \"a\": \"\\n\" }"},
    {"[ ]", "[ ]"},
};

static const struct {
    const char *text, *quoted;
} quotes[] = {
    {"", "\"\""},
    {"plain / text", "\"plain / text\""},
    {"\"", "\"\\\"\""},
    {"\\", "\"\\\\\""},
    {"a\"b\\c", "\"a\\\"b\\\\c\""},
    {"\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\""},
    {"\x01\x0B\x0E\x1A\x1F", "\"\\u0001\\u000b\\u000e\\u001a\\u001f\""},
    {"\x7F", "\"\x7F\""},
    {"'<b>&", "\"'<b>&\""},
    {"\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80",
     "\"\xC3\xA9\xE2\x80\xA8\xF0\x9F\x98\x80\""},
};

static void writing(void)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i].value);
        char *copy = exact(texts[i].value, n);
        struct buf out = {.max = 1000};

        CHECK(ok(texts[i].value, n), "%s", texts[i].value);
        json_text(&out, (struct span){copy, n});
        buf_puts(&out, "|");
        buf_puts(&out, texts[i].text);
        n = strlen(texts[i].text);
        CHECK(buf_len(&out) == 2 * n + 1 &&
                  memcmp(buf_at(&out), buf_at(&out) + n + 1, n) == 0,
              "%s", texts[i].value);
        buf_free(&out);
        free(copy);
    }
    for (size_t i = 0; i < sizeof quotes / sizeof *quotes; i++) {
        size_t n = strlen(quotes[i].text);
        char *copy = exact(quotes[i].text, n);
        struct buf out = {.max = 6 * n + 2};

        json_quote(&out, (struct span){copy, n});
        CHECK(span_is(buf_span(&out), quotes[i].quoted), "%s",
              quotes[i].quoted);
        buf_free(&out);
        free(copy);
    }
}

/* Every byte but the upper half, NUL among them, quoted and back. */
static void there_and_back(void)
{
    struct buf quoted = {.max = 1000}, text = {.max = 1000};
    char all[128];

    for (int c = 0; c < 128; c++) all[c] = (char)c;
    json_quote(&quoted, (struct span){all, sizeof all});
    CHECK(json_ok(buf_span(&quoted)), "all of ASCII");
    json_text(&text, buf_span(&quoted));
    CHECK(buf_len(&text) == sizeof all, "%zu bytes", buf_len(&text));
    CHECK(memcmp(buf_at(&text), all, sizeof all) == 0, "all of ASCII");
    buf_free(&quoted);
    buf_free(&text);

    json_quote(&quoted, (struct span){NULL, 0});
    CHECK(span_is(buf_span(&quoted), "\"\""), "an absent text");
    buf_free(&quoted);

    struct buf small = {.max = 6};
    json_quote(&small, span_of("\x01"));
    CHECK(small.failed, "no room for the last quote");
    buf_free(&small);
}

/* A megabyte of whatever could be slow. Square time would take minutes. */
static void linear(void)
{
    static const char *const piece[] = {"a", "\\n", "\\ud800", "\\\\",
                                        "\\u0061"};

    for (size_t i = 0; i < sizeof piece / sizeof *piece; i++) {
        struct buf doc = {.max = 1 << 24}, text = {.max = 1 << 24};
        struct span value;

        buf_puts(&doc, "{\"");
        for (int k = 0; k < 1 << 19; k++) buf_puts(&doc, piece[i]);
        buf_puts(&doc, "\":\"");
        for (int k = 0; k < 1 << 19; k++) buf_puts(&doc, piece[i]);
        buf_puts(&doc, "\", \"k\": 1}");
        CHECK(json_ok(buf_span(&doc)), "%s", piece[i]);
        CHECK(json_member(buf_span(&doc), "k", &value), "%s", piece[i]);
        json_text(&text, buf_span(&doc));
        text.end = 0;
        json_quote(&text, buf_span(&doc));
        CHECK(!text.failed && json_ok(buf_span(&text)), "%s", piece[i]);
        buf_free(&doc);
        buf_free(&text);
    }
}

int main(void)
{
    grammar();
    nesting();
    finding();
    writing();
    there_and_back();
    linear();
    return report();
}
