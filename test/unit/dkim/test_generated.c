/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_generated.c - messages that other programs signed, each with the result it must have.
 *
 * Looks for dkim/generated below $GLACIS_TEST_DATA or ../shared/data; exits with 77 if it is not there.  keys.tab has
 * a name, a tab and a key record a line; expect.tab the name of a message, a tab and a word of RFC 8601.  Each message
 * is judged in chunks of 1, 2, 3, 7 and 4,096 octets, with keys before, after and between the body.
 */
#include <stdio.h>

#include "test/unit/dkim/letters.h"

enum { SKIP = 77, NOW_S = 1795289920 };

static struct slice read_file(const char *dir, const char *name)
{
    char path[1024];
    struct buf text, full;
    FILE *f;
    int c;

    buf_init_fixed(&full, path, sizeof(path));
    buf_putf(&full, "%s/%s", dir, name);
    f = buf_ok(&full) ? fopen(path, "rb") : NULL;
    buf_init(&text, LETTER_MAX);
    while (f != NULL && (c = getc(f)) != EOF) {
        buf_put_char(&text, (char)c);
    }
    if (f != NULL) {
        fclose(f);
    }
    return letter_keep(&text);
}

static void load_zone(struct letter_zone *zone, struct slice keys)
{
    while (!slice_empty(keys)) {
        struct slice line = slice_cut(&keys, '\n');
        struct slice name = slice_cut(&line, '\t');

        letter_zone_put(zone, name, line);
    }
}

static bool judge(struct slice message, const struct letter_how *how, struct slice label, struct slice want)
{
    struct dkim *d = letter_judge(message, how);
    const struct dkim_verdict *best = dkim_best(d, NULL, NULL);
    struct slice got = slice_str(best == NULL ? "none" : dkim_result_text(best->result));
    bool right = slice_eq(got, want);

    if (!right) {
        printf("FAILED " SLICE_FMT " in chunks of %zu: " SLICE_FMT " (%s)\n", SLICE_ARG(label), how->chunk,
               SLICE_ARG(got), best == NULL ? "" : dkim_reason_text(best->reason));
    }
    dkim_free(d);
    return right;
}

/* Every way of feeding it must give the same result. */
static bool run_message(const char *dir, const struct letter_zone *zone, struct slice label,
                        struct slice want)
{
    static const size_t chunks[] = { 1, 2, 3, 7, 4096 };
    struct letter_how how = { .zone = zone, .settings.now_s = NOW_S };
    char name[256];
    struct buf b;
    struct slice message;
    bool right;

    buf_init_fixed(&b, name, sizeof(name));
    buf_putf(&b, SLICE_FMT ".eml", SLICE_ARG(label));
    message = read_file(dir, name);
    right = !slice_empty(message);
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        for (how.order = LETTER_KEYS_FIRST; how.order < LETTER_ORDER_COUNT; how.order++) {
            how.chunk = chunks[i];
            right = judge(message, &how, label, want) && right;
        }
    }
    return right;
}

int main(void)
{
    const char *data = getenv("GLACIS_TEST_DATA");
    static struct letter_zone zone;
    unsigned passed = 0, failed = 0;
    char dir[512];
    struct slice expect;
    struct buf b;

    buf_init_fixed(&b, dir, sizeof(dir));
    buf_putf(&b, "%s/dkim/generated", data == NULL ? "../shared/data" : data);
    expect = read_file(dir, "expect.tab");
    if (slice_empty(expect)) {
        printf("skipped: no messages in %s; GLACIS_TEST_DATA may name the folder above dkim/\n", dir);
        return SKIP;
    }
    load_zone(&zone, read_file(dir, "keys.tab"));
    while (!slice_empty(expect)) {
        struct slice line = slice_cut(&expect, '\n');
        struct slice label = slice_cut(&line, '\t');

        if (run_message(dir, &zone, label, line)) {
            passed++;
        } else {
            failed++;
        }
    }
    letter_forget();
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
