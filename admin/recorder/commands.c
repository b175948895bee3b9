/*
 * commands.c - the commands of the socket `query`: one row here and one file for each.
 */
#include "admin/recorder/commands.h"

#include "config/values.h"

const struct query_command query_commands[] = {
    { "explain", query_explain, "client ADDRESS | memory WHAT KEY MEMBER KEEP" },
    { "lists", query_lists, "[json | test | set NAME enforce|monitor|off|auto [SECONDS]]" },
    { "status", query_status, "[json]" },
};
const size_t query_command_count = ARRAY_LEN(query_commands);

static void put_unknown(struct slice word, struct buf *out)
{
    struct nearest near;

    nearest_init(&near, word);
    for (size_t i = 0; i < query_command_count; i++)
        nearest_offer(&near, slice_str(query_commands[i].name));
    buf_put_str(out, "error\nThere is no command \"");
    buf_put_quoted(out, slice_take(word, 64), 64);
    buf_putf(out, "\"%s\n", nearest_words(&near));
}

void query_run(const struct recorder_view *v, uid_t uid, struct slice line, struct buf *out)
{
    struct slice rest = line, word = slice_token(&rest);
    const struct query_request r = { .args = slice_trim(rest), .uid = uid, .out = out };

    for (size_t i = 0; i < query_command_count; i++) {
        if (slice_eq(word, slice_str(query_commands[i].name))) {
            query_commands[i].run(v, &r);
            return;
        }
    }
    put_unknown(word, out);
}
