/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.c - the commands of the socket `query`: one row here and one file for each.
 */
#include "admin/recorder/commands.h"

#include "config/values.h"

static const struct {
    const char *name;
    void (*run)(const struct recorder_view *v, const struct query_request *r);
} commands[] = {
    { "explain", query_explain }, /* client ADDRESS | memory WHAT KEY MEMBER KEEP */
    { "lists", query_lists },     /* [json | test | set NAME enforce|monitor|off|auto [SECONDS]] */
    { "status", query_status },   /* [json] */
};

static void put_unknown(struct slice word, struct buf *out)
{
    struct nearest near;

    nearest_init(&near, word);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        nearest_offer(&near, slice_str(commands[i].name));
    }
    buf_put_str(out, "error\nThere is no command \"");
    buf_put_quoted(out, slice_take(word, 64), 64);
    buf_putf(out, "\"%s\n", nearest_words(&near));
}

void query_run(const struct recorder_view *v, uid_t uid, struct slice line, struct buf *out)
{
    struct slice rest = line, word = slice_token(&rest);
    const struct query_request r = { .args = slice_trim(rest), .uid = uid, .out = out };

    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (slice_eq(word, slice_str(commands[i].name))) {
            commands[i].run(v, &r);
            return;
        }
    }
    put_unknown(word, out);
}
