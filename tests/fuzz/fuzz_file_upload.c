/* fuzz_file_upload.c -- the whole of file-upload, with its files: see server.h.
 * No file is ever half done, and there is one for each that a client was told
 * of, with the bytes that were sent. */
#define SERVER "../../file-upload/file-upload.c"
#include "server.h"

#include "http_answers.h"

static const char *const folders[] = {"uploads", NULL};

/* Of the files: those that clients were told of, and those that are there. */
static int told;
static uint64_t wanted, found; /* the sums of their hashes */
static bool forms;             /* some came by POST */
static bool all_whole;         /* the clients know all */

static void prepare(void)
{
    start_folder(program_name, folders);
    for (int i = 0; i < PAGES; i++) buf_puts(&pages[i].text, pages[i].path);
    max_file = 1000;
}

static void begin(bool option, int helpers)
{
    (void)option;
    told = 0;
    wanted = found = 0;
    forms = false;
    all_whole = true;
    memset(syncers, 0, sizeof syncers);
    for (int i = 0; i < SYNCERS; i++) syncers[i].fd = -1;
    for (int i = 0; i < helpers; i++) {
        start_syncer(&syncers[i]);
        max_conns++;
        conn_open(syncers[i].fd);
    }
}

static bool waiting(const struct conn *c)
{
    return c->state == WAIT || c->state == SAVE;
}

/* As work() does. */
static bool helper_works(struct sock *helper)
{
    char job[PATH_SIZE + 2 * NAME_SIZE], path[PATH_SIZE];
    size_t n = buf_len(&helper->got);

    if (n == 0) return false;
    assert(n < sizeof job);
    memcpy(job, buf_at(&helper->got), n);
    assert(memchr(job, '\n', n) == job + n - 1);
    job[n] = '\0';
    buf_drop(&helper->got, n);
    char *temp = strtok(job, "\t\n"), *field = strtok(NULL, "\t\n");
    char *name = strtok(NULL, "\t\n");
    assert(temp && field && name && !strtok(NULL, "\t\n"));
    int error = save(temp, field, name, path);
    buf_addf(&helper->wire, "%d %s\n", error, path);
    return true;
}

static void look(const char *bytes, size_t n)
{
    found += hash(bytes, n);
}

/* How many files the client was told of; of those that came by PUT, what they
 * are. */
static void judge(const struct exchange *x)
{
    static const char end[] = " successfully saved!";
    struct span lines = buf_span(&x->body);
    size_t n = sizeof end - 1;

    if (!x->understood) assert(x->answer.status >= 400);
    for (size_t i = 0; i + n < lines.n; i++)
        told += memcmp(lines.p + i, end, n) == 0 && lines.p[i + n] == '\n';
    if (span_is(x->request.method, "POST")) forms = true;
    if (span_is(x->request.method, "PUT") && x->answer.status == 200)
        wanted += hash(buf_at(&x->posted), buf_len(&x->posted));
}

static void check(struct span sent, struct span got, bool whole)
{
    check_answers(sent, got, whole, judge);
    all_whole = all_whole && whole;
}

static void finish(void)
{
    int files = folder_touched ? empty_folder("uploads", look) : 0;

    folder_touched = false;
    assert(files >= told);
    if (!all_whole) return;
    assert(files == told);
    assert(forms || found == wanted);
}

static const struct target target = {.prepare = prepare,
                                     .begin = begin,
                                     .end = finish,
                                     .waiting = waiting,
                                     .helper_works = helper_works,
                                     .check = check};
