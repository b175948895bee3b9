/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - dkim_judge KEYS NOW MESSAGE...: what policy/dkim finds in files, for test/integration/29-dkim-corpus.py.
 *
 * KEYS has a name, a tab and a key record a line; the record `!temp` or `!several` stands for such an answer.  NOW is
 * the time in seconds.  One line a message: its path, the word of the best signature, then for each signature its
 * word and its reason, all with tabs between.  Every message is judged in chunks of 1, 2, 3, 7 and 4,096 octets; if
 * they do not agree the word is "torn".
 */
#include "test/unit/dkim/letters.h"

static struct slice read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct buf text;
    char block[4096];
    size_t n;

    if (f == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    buf_init(&text, LETTER_MAX);
    while ((n = fread(block, 1, sizeof(block), f)) > 0) {
        buf_put(&text, block, n);
    }
    fclose(f);
    return buf_slice(&text);
}

static void load_zone(struct letter_zone *zone, struct slice keys)
{
    while (!slice_empty(keys)) {
        struct slice line = slice_cut(&keys, '\n');
        struct slice name = slice_cut(&line, '\t');

        letter_zone_put(zone, name, line);
        if (slice_eq(line, SLICE("!temp"))) {
            zone->entry[zone->count - 1].answer.status = DKIM_ANSWER_TEMPFAIL;
        } else if (slice_eq(line, SLICE("!several"))) {
            zone->entry[zone->count - 1].answer.status = DKIM_ANSWER_SEVERAL;
        }
    }
}

static void put_verdicts(struct buf *out, const struct dkim *d)
{
    const struct dkim_verdict *best = dkim_best(d, NULL, NULL);

    buf_reset(out);
    buf_put_str(out, dkim_result_text(best ? best->result : DKIM_NONE));
    for (size_t i = 0; i < dkim_count(d); i++) {
        const struct dkim_verdict *v = dkim_verdict_at(d, i);

        buf_putf(out, "\t%s\t%s", dkim_result_text(v->result), dkim_reason_text(v->reason));
    }
}

static void judge(const char *path, struct letter_how how)
{
    static const size_t chunks[] = { 1, 2, 3, 7, 4096 };
    struct slice message = read_file(path);
    struct buf first, other;

    buf_init(&first, 1u << 20);
    buf_init(&other, 1u << 20);
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct dkim *d;

        how.chunk = chunks[i];
        how.order = (enum letter_order)(i % LETTER_ORDER_COUNT);
        d = letter_judge(message, &how);
        put_verdicts(i == 0 ? &first : &other, d);
        dkim_free(d);
        if (i > 0 && !slice_eq(buf_slice(&first), buf_slice(&other))) {
            buf_reset(&first);
            buf_put_str(&first, "torn");
        }
    }
    printf("%s\t%s\n", path, first.ptr);
    buf_fini(&first);
    buf_fini(&other);
    free((void *)(uintptr_t)message.ptr);
}

int main(int argc, char **argv)
{
    static struct letter_zone zone;
    struct letter_how how = { .zone = &zone };
    uint64_t now;

    if (argc < 4 || !slice_to_u64(slice_str(argv[2]), INT64_MAX, &now)) {
        fprintf(stderr, "usage: dkim_judge KEYS NOW MESSAGE...\n");
        return 64;
    }
    load_zone(&zone, read_file(argv[1]));
    how.settings.now_s = (int64_t)now;
    for (int i = 3; i < argc; i++) {
        judge(argv[i], how);
    }
    return 0;
}
