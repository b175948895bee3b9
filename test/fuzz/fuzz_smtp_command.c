/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_smtp_command.c - command lines: what is accepted is canonical and parses again to the same.
 *
 * First octet: what was offered.  The rest is taken as a stream of lines.
 */
#include "core/arena.h"
#include "core/utf8.h"
#include "smtp/line.h"
#include "smtp/smtp_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What goes into a command to the upstream must not be able to end it or to begin another path. */
static void check_address(struct slice address, bool utf8)
{
    bool quoted = false;

    for (size_t i = 0; i < address.len; i++) {
        char c = address.ptr[i];

        BUG_ON(!ascii_is_print(c) && (unsigned char)c < 0x80);
        if (quoted && c == '\\') {
            i++;
            continue;
        }
        quoted ^= c == '"';
        BUG_ON(!quoted && (c == '<' || c == '>' || c == ' '));
    }
    BUG_ON(quoted);
    BUG_ON(utf8_has_8bit(address) && (!utf8 || !utf8_valid(address)));
}

static void check_mail(struct slice arg, const struct smtp_offer *offer)
{
    struct envelope env = { 0 }, again = { 0 };
    struct arena a;
    struct buf b;

    arena_init(&a, 1 << 16);
    buf_init(&b, 8192);
    if (smtp_parse_mail(arg, offer, &a, &env) == PARSE_OK) {
        check_address(env.sender, env.smtputf8);
        BUG_ON(utf8_has_8bit(env.sender_domain) || !xtext_valid(env.envid));
        BUG_ON(env.sender_null != (env.sender.len == 0));
        buf_put_str(&b, "FROM:<");
        buf_put_slice(&b, env.sender);
        buf_put_str(&b, env.smtputf8 ? "> SMTPUTF8" : ">");
        BUG_ON(smtp_parse_mail(buf_slice(&b), offer, &a, &again) != PARSE_OK);
        BUG_ON(!slice_eq(env.sender, again.sender) || !slice_eq(env.sender_domain, again.sender_domain));
    }
    buf_fini(&b);
    arena_fini(&a);
}

static void check_rcpt(struct slice arg, const struct smtp_offer *offer, bool utf8)
{
    struct recipient to, again;
    struct arena a;
    struct buf b;

    arena_init(&a, 1 << 16);
    buf_init(&b, 8192);
    if (smtp_parse_rcpt(arg, offer, utf8, &a, &to) == PARSE_OK) {
        check_address(to.address, utf8);
        BUG_ON(to.local.len == 0 || utf8_has_8bit(to.domain));
        (void)local_part_routes(to.local);
        (void)local_part_encapsulates(to.local);
        buf_put_str(&b, "TO:<");
        buf_put_slice(&b, to.address);
        buf_put_str(&b, ">");
        if (to.orcpt.len > 0) {
            buf_put_str(&b, " ORCPT=");
            buf_put_slice(&b, to.orcpt);
        }
        if (to.notify.len > 0) {
            buf_put_str(&b, " NOTIFY=");
            buf_put_slice(&b, to.notify);
        }
        BUG_ON(smtp_parse_rcpt(buf_slice(&b), offer, utf8, &a, &again) != PARSE_OK);
        BUG_ON(!slice_eq(to.address, again.address) || again.routed || !slice_eq(to.notify, again.notify));
        BUG_ON(!slice_eq(to.orcpt, again.orcpt));
    }
    buf_fini(&b);
    arena_fini(&a);
}

static void check_line(struct slice line, const struct smtp_offer *offer, bool utf8)
{
    struct slice arg, verb = smtp_verb(line, &arg);
    uint64_t count;
    bool flag;

    (void)smtp_forbidden_verb(verb);
    (void)smtp_parse_helo(arg, &flag);
    if (smtp_parse_bdat(arg, &count, &flag)) {
        BUG_ON(!ascii_is_digit(arg.ptr[0]));
    }
    check_mail(arg, offer);
    check_rcpt(arg, offer, utf8);
    check_mail(line, offer);
    check_rcpt(line, offer, utf8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_offer offer;
    struct slice in, line;
    bool skipping = false;

    if (size < 1) {
        return 0;
    }
    offer = (struct smtp_offer){
        data[0] & 1, data[0] & 2, data[0] & 4, data[0] & 8, data[0] & 16, data[0] & 64, 0
    };
    in = slice_of(data + 1, size - 1);
    while (in.len > 0) {
        size_t used;
        enum line_status status = line_next(in, &skipping, &line, &used);

        BUG_ON(used > in.len);
        if (status == LINE_READY || status == LINE_BAD_OCTET) {
            BUG_ON(line.len + 2 > LINE_MAX_OCTETS);
            check_line(line, &offer, data[0] & 32);
        }
        if (status == LINE_MORE) {
            break;
        }
        BUG_ON(used == 0);
        in = slice_skip(in, used);
    }
    return 0;
}
