/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain_message.c - `glacis explain --message FILE`: the message behind the envelope.
 *
 * The file goes through the proxy's content reader and to the judge in the proxy's order: header section, body, end.
 * Lines may end with LF, as in files; a proxy may refuse such content (limits.bare_newline).  It does not check the
 * limits of content (size, hops, NUL).
 *
 * Owns       the message in memory: at most MESSAGE_MAX octets.
 */
#include <errno.h>

#include "admin/cmd/explain.h"
#include "smtp/line.h"

#define MESSAGE_MAX ((size_t)256 << 20)
#define BLOCK 65536

static bool put_octets(void *arg, const void *data, size_t len)
{
    buf_put(arg, data, len);
    return true;
}

static void feed(FILE *f, struct body_reader *reader, struct buf *out)
{
    char block[BLOCK];
    size_t n, used;
    bool ended;

    while ((n = fread(block, 1, sizeof(block), f)) > 0 && buf_ok(out)) {
        body_reader_feed(reader, slice_of(block, n), put_octets, out, &used, &ended);
    }
    body_reader_finish(reader, put_octets, out);
}

bool explain_message_read(struct explain *x)
{
    const char *path = x->rq->message;
    FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    struct body_reader reader;
    bool read;

    if (f == NULL) {
        fprintf(stderr, "glacis explain: %s: %s\n", path, strerror(errno));
        return false;
    }
    buf_init(&x->message, MESSAGE_MAX);
    body_reader_init(&reader, BODY_BDAT, true);
    feed(f, &reader, &x->message);
    read = ferror(f) == 0 && buf_ok(&x->message);
    if (!read) {
        fprintf(stderr, "glacis explain: %s: %s\n", path, ferror(f) != 0 ? strerror(errno) : "too large");
    }
    if (f != stdin) {
        fclose(f);
    }
    x->head_len = (size_t)reader.head.octets;
    return read;
}

void explain_message_say(struct explain *x, void (*on_verdict)(void *arg, const struct verdict *v))
{
    struct slice whole = buf_slice(&x->message);
    struct judge_content content = {
        .size = whole.len,
        .head = slice_take(whole, x->head_len),
        .utf8 = x->env.smtputf8,
    };

    x->stage = EXPLAIN_MESSAGE;
    judge_head(x->judge, content.head, content.utf8);
    judge_body(x->judge, slice_skip(whole, x->head_len));
    judge_message(x->judge, &content, on_verdict, x);
    loop_run(x->loop);
    x->message_asked = true;
    if (!x->refused) {
        judge_message_taken(x->judge);
    }
}

void explain_message_print(const struct explain *x, struct buf *out)
{
    bool json = x->rq->json;

    if (x->rq->message == NULL) {
        return;
    }
    buf_put_str(out, json ? "\"message\":{" : "\nmessage\n");
    if (x->message_asked) {
        judge_put_authentication(x->judge, json, out);
    } else {
        buf_put_str(out, json ? "\"asked\":false" : "  not asked: the envelope is refused\n");
    }
    buf_put_str(out, json ? "}," : "");
}
