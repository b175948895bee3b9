/* SPDX-License-Identifier: Apache-2.0 */
/*
 * texts.c - the names that the banner and the texts of headers.add may have in braces.
 *
 * The proxy renders headers.add for each message.  This file only checks the names, so that a mistyped name is an error
 * in the file and never a gap in a header.  template.h parses and renders the texts.
 */
#include "config/load_priv.h"

#include "config/template.h"

static const char header_names[] =
    "{client.ip} {client.rdns} {helo.name} {sender.address} {sender.domain} {session.id} {server.hostname} "
    "{recipient.count} {message.size} {sender.local} {helo.kind} {client.iprev} {spf} {spf.helo} "
    "{spf.domain} "
    "{reputation.lists} {reputation.score} {zero_day.reasons} {tls.version} {tls.cipher} {policy.contact}";

static bool is_banner_name(void *arg, struct slice name)
{
    (void)arg;
    return slice_eq(name, SLICE("server.hostname"));
}

static bool put_hostname(void *arg, struct slice name, struct buf *out)
{
    const struct slice *hostname = arg;

    (void)name;
    buf_put_slice(out, *hostname);
    return true;
}

bool load_expand_banner(struct slice text, const char *hostname, struct buf *out, struct buf *why)
{
    struct slice name = slice_str(hostname), bad;

    if (!template_valid(text, is_banner_name, NULL, &bad)) {
        buf_put_str(why, "a text in which {server.hostname} is the only name in braces");
        return false;
    }
    template_render(text, put_hostname, &name, out);
    return true;
}

static bool is_header_name(void *arg, struct slice name)
{
    struct slice rest = slice_str(header_names);

    (void)arg;
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
    struct slice bad;

    if (slice_find(text, '\n') < text.len || text.len > 900) {
        buf_put_str(why, "a text of one line and at most 900 octets");
        return false;
    }
    if (!template_valid(text, is_header_name, NULL, &bad)) {
        buf_put_str(why, "a text with only these names in braces: ");
        buf_put_str(why, header_names);
        return false;
    }
    return true;
}
