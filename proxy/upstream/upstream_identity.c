/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upstream_identity.c - builds the XCLIENT and XFORWARD commands.
 *
 * One table of attributes in sending order.  ADDR and NAME come last, so that a server that decides by them
 * already knows the others (XCL-06).
 *
 * RFC: 3461 4 (xtext).  XCLIENT and XFORWARD are Postfix's.
 */
#include "proxy/upstream/upstream_identity.h"

#include "smtp/smtp_parse.h"

enum attribute {
    A_PROTO = 0,
    A_HELO,
    A_IDENT,
    A_SOURCE,
    A_DESTADDR,
    A_DESTPORT,
    A_PORT,
    A_NAME,
    A_ADDR,
    A_COUNT,
};

#define BIT(a) (1U << (a))
#define XCLIENT_KNOWS                                                                                        \
    (BIT(A_PROTO) | BIT(A_HELO) | BIT(A_DESTADDR) | BIT(A_DESTPORT) | BIT(A_PORT) | BIT(A_NAME) | BIT(A_ADDR))
#define XFORWARD_KNOWS                                                                                       \
    (BIT(A_PROTO) | BIT(A_HELO) | BIT(A_IDENT) | BIT(A_SOURCE) | BIT(A_PORT) | BIT(A_NAME) | BIT(A_ADDR))

static const struct slice names[A_COUNT] = {
    [A_PROTO] = SLICE_INIT("PROTO"),       [A_HELO] = SLICE_INIT("HELO"),
    [A_IDENT] = SLICE_INIT("IDENT"),       [A_SOURCE] = SLICE_INIT("SOURCE"),
    [A_DESTADDR] = SLICE_INIT("DESTADDR"), [A_DESTPORT] = SLICE_INIT("DESTPORT"),
    [A_PORT] = SLICE_INIT("PORT"),         [A_NAME] = SLICE_INIT("NAME"),
    [A_ADDR] = SLICE_INIT("ADDR"),
};

/* ---- what is offered ---- */

static unsigned learn_attributes(struct slice words)
{
    unsigned bits = 0;

    for (struct slice w = slice_token(&words); !slice_empty(w); w = slice_token(&words)) {
        for (unsigned i = 0; i < A_COUNT; i++) {
            if (slice_eq_nocase(w, names[i])) {
                bits |= BIT(i);
            }
        }
    }
    return bits;
}

void identity_learn(struct slice ehlo_text, struct identity_offer *out)
{
    *out = (struct identity_offer){ 0, 0 };
    (void)slice_cut(&ehlo_text, '\n');
    while (!slice_empty(ehlo_text)) {
        struct slice line = slice_cut(&ehlo_text, '\n');
        struct slice word = slice_token(&line);

        if (slice_eq_nocase(word, SLICE("XCLIENT"))) {
            out->xclient = learn_attributes(line) & XCLIENT_KNOWS;
        } else if (slice_eq_nocase(word, SLICE("XFORWARD"))) {
            out->xforward = learn_attributes(line) & XFORWARD_KNOWS;
        }
    }
}

/* ---- values ---- */

/* Puts nothing for an unknown address. */
static void put_address(struct buf *out, const struct addr *a)
{
    if (a->family == ADDR_V6) {
        buf_put_str(out, "IPV6:");
    }
    if (a->family != ADDR_NONE) {
        addr_put_ip(out, a);
    }
}

static void put_port(struct buf *out, const struct addr *a)
{
    if (a->port != 0) {
        buf_put_u64(out, a->port);
    }
}

static void put_value(struct buf *out, enum attribute a, const struct envelope *env)
{
    switch (a) {
    case A_PROTO:
        buf_put_str(out, env->esmtp ? "ESMTP" : "SMTP");
        break;
    case A_HELO:
        xtext_put(out, env->helo);
        break;
    case A_IDENT:
        xtext_put(out, slice_str(env->session_id));
        break;
    case A_SOURCE:
        buf_put_str(out, "REMOTE");
        break;
    case A_DESTADDR:
        put_address(out, &env->local);
        break;
    case A_DESTPORT:
        put_port(out, &env->local);
        break;
    case A_PORT:
        put_port(out, &env->client);
        break;
    case A_NAME:
        xtext_put(out, env->rdns);
        break;
    case A_ADDR:
        put_address(out, &env->client);
        break;
    case A_COUNT:
        break;
    }
}

/* ---- commands ---- */

/* " NAME=value"; a value too long for any command counts as unknown. */
static void put_attribute(struct buf *out, enum attribute a, const struct envelope *env, size_t room)
{
    char mem[IDENTITY_COMMAND_MAX];
    struct buf value;

    buf_init_fixed(&value, mem, sizeof(mem));
    put_value(&value, a, env);
    if (!buf_ok(&value) || value.len == 0 || 2 + names[a].len + value.len > room) {
        buf_reset(&value);
        buf_put_str(&value, "[UNAVAILABLE]");
    }
    buf_put_char(out, ' ');
    buf_put_slice(out, names[a]);
    buf_put_char(out, '=');
    buf_put_slice(out, buf_slice(&value));
}

static void put_commands(struct buf *out, const char *verb, const struct envelope *env, unsigned attributes)
{
    size_t room = IDENTITY_COMMAND_MAX - strlen(verb) - 2; /* for all attributes of a command */
    size_t used = 0;

    for (unsigned i = 0; i < A_COUNT; i++) {
        char mem[IDENTITY_COMMAND_MAX];
        struct buf one;

        if (!(attributes & BIT(i))) {
            continue;
        }
        buf_init_fixed(&one, mem, sizeof(mem));
        put_attribute(&one, (enum attribute)i, env, room);
        if (used == 0 || used + one.len > room) {
            buf_put_str(out, used ? "\r\n" : "");
            buf_put_str(out, verb);
            used = 0;
        }
        buf_put_slice(out, buf_slice(&one));
        used += one.len;
    }
    buf_put_str(out, used ? "\r\n" : "");
}

void identity_put_xclient(struct buf *out, const struct envelope *env, unsigned offered)
{
    put_commands(out, "XCLIENT", env, offered & XCLIENT_KNOWS);
}

void identity_put_xforward(struct buf *out, const struct envelope *env, unsigned offered)
{
    put_commands(out, "XFORWARD", env, offered & XFORWARD_KNOWS);
}

bool identity_helo_usable(struct slice helo)
{
    struct addr ip;

    if (hostname_valid(helo)) {
        return true;
    }
    if (helo.len < 3 || helo.ptr[0] != '[' || helo.ptr[helo.len - 1] != ']') {
        return false;
    }
    helo = slice_of(helo.ptr + 1, helo.len - 2);
    return addr_parse_ip(slice_starts_nocase(helo, SLICE("IPv6:")) ? slice_skip(helo, 5) : helo, &ip);
}
