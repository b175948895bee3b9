/* SPDX-License-Identifier: Apache-2.0 */
/*
 * template.c - {name} in the banner and in headers.add.
 *
 * `{{` is a brace.  The names of headers.add are rendered for each message by the relay; here they are only
 * checked, so that a mistyped name is an error of the file and never a hole in a header.
 */
#include "config/load_priv.h"

static const char header_names[] =
    "{client.ip} {client.rdns} {helo.name} {sender.address} {sender.domain} {session.id} {server.hostname} "
    "{recipient.count} {message.size} {sender.local} {helo.kind} {client.iprev} {spf} {spf.helo} "
    "{spf.domain} "
    "{reputation.lists} {reputation.score} {zero_day.reasons} {tls.version} {tls.cipher} {policy.contact}";

/* *rest begins behind "{".  False if there is no "}". */
static bool take_name(struct slice *rest, struct slice *name)
{
    size_t end = slice_find(*rest, '}');

    *name = slice_take(*rest, end);
    if (end == rest->len) {
        return false;
    }
    *rest = slice_skip(*rest, end + 1);
    return true;
}

bool load_expand_banner(struct slice text, const char *hostname, struct buf *out, struct buf *why)
{
    while (!slice_empty(text)) {
        struct slice name;
        size_t brace = slice_find(text, '{');

        buf_put_slice(out, slice_take(text, brace));
        text = slice_skip(text, brace);
        if (slice_starts(text, SLICE("{{"))) {
            buf_put_char(out, '{');
            text = slice_skip(text, 2);
        } else if (!slice_empty(text)) {
            text = slice_skip(text, 1);
            if (!take_name(&text, &name) || !slice_eq(name, SLICE("server.hostname"))) {
                buf_put_str(why, "a text in which {server.hostname} is the only name in braces");
                return false;
            }
            buf_put_str(out, hostname);
        }
    }
    return true;
}

static bool is_header_name(struct slice name)
{
    struct slice rest = slice_str(header_names);

    while (!slice_empty(rest)) {
        struct slice one = slice_cut(&rest, ' ');

        if (slice_eq(name, slice_of(one.ptr + 1, one.len - 2))) {
            return true;
        }
    }
    return false;
}

bool load_check_added_header(struct slice text, struct buf *why)
{
    bool ok = slice_find(text, '\n') == text.len && text.len <= 900;

    if (!ok) {
        buf_put_str(why, "a text of one line and at most 900 octets");
    }
    while (ok && slice_find(text, '{') < text.len) {
        struct slice name;

        text = slice_skip(text, slice_find(text, '{') + 1);
        if (slice_starts(text, SLICE("{"))) {
            text = slice_skip(text, 1);
        } else if (!take_name(&text, &name) || !is_header_name(name)) {
            ok = false;
            buf_put_str(why, "a text with only these names in braces: ");
            buf_put_str(why, header_names);
        }
    }
    return ok;
}
