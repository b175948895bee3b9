/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_xclient.c - the argument of XCLIENT: what is taken, and that one bad word spoils it all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "smtp/xclient.h"

struct row {
    const char *label, *arg;
    const char
        *said; /* "client port destination port name helo", '-' where nothing is given; NULL: refused */
};

static const struct row rows[] = {
    { "an IPv4 address", "ADDR=192.0.2.1", "192.0.2.1 - - - - -" },
    { "an IPv6 address", "ADDR=IPV6:2001:db8::1", "2001:db8::1 - - - - -" },
    { "case of names and prefix", "addr=ipv6:2001:db8::1 pOrT=25", "2001:db8::1 25 - - - -" },
    { "all of them",
      "NAME=mail.example ADDR=192.0.2.1 PORT=4711 PROTO=ESMTP HELO=me.example LOGIN=joe "
      "DESTADDR=198.51.100.1 "
      "DESTPORT=25",
      "192.0.2.1 4711 198.51.100.1 25 mail.example me.example" },
    { "several blanks", "ADDR=192.0.2.1   PORT=1 ", "192.0.2.1 1 - - - -" },
    { "no name", "NAME=[UNAVAILABLE] ADDR=192.0.2.1", "192.0.2.1 - - - none -" },
    { "a name that is not known now", "NAME=[TEMPUNAVAIL]", "- - - - later -" },
    { "nothing is known",
      "ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] HELO=[UNAVAILABLE] PROTO=[UNAVAILABLE] LOGIN=[UNAVAILABLE] "
      "DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE]",
      "- - - - - -" },
    { "xtext", "HELO=a+2Bb+3D", "- - - - - a+b=" },
    { "xtext in lower case", "HELO=a+2bb", "- - - - - a+b" },
    { "an equals sign as it is", "HELO=a=b", "- - - - - a=b" },
    { "an address literal", "HELO=[192.0.2.1]", "- - - - - [192.0.2.1]" },
    { "a name with a blank", "HELO=a+20b", "- - - - - a b" },
    { "the highest port", "PORT=65535", "- 65535 - - - -" },
    { "nothing", "", NULL },
    { "blanks", "  ", NULL },
    { "no value", "ADDR", NULL },
    { "an empty address", "ADDR=", NULL },
    { "an empty name", "NAME=", NULL },
    { "an empty port", "PORT=", NULL },
    { "an unknown attribute", "ADDR=192.0.2.1 COLOUR=red", NULL },
    { "an attribute twice", "ADDR=192.0.2.1 ADDR=192.0.2.2", NULL },
    { "no address", "ADDR=mail.example", NULL },
    { "IPv6 without its prefix", "ADDR=2001:db8::1", NULL },
    { "the prefix before IPv4", "ADDR=IPV6:192.0.2.1", NULL },
    { "brackets", "ADDR=[192.0.2.1]", NULL },
    { "a port too high", "PORT=65536", NULL },
    { "a port with a sign", "PORT=-1", NULL },
    { "no host name", "NAME=a_b..c", NULL },
    { "a line end by xtext", "HELO=a+0D+0Ab", NULL },
    { "a NUL by xtext", "HELO=a+00", NULL },
    { "half a code", "HELO=a+2", NULL },
    { "no code", "HELO=a+zz", NULL },
    { "an unknown protocol", "PROTO=LMTP", NULL },
};

static void put(struct buf *b, bool given, const char *text)
{
    if (b->len > 0) {
        buf_put_char(b, ' ');
    }
    buf_put_str(b, given ? text : "-");
}

static void put_addr(struct buf *b, const struct addr *a)
{
    char mem[ADDR_TEXT_MAX] = "";
    struct buf text;

    buf_init_fixed(&text, mem, sizeof(mem));
    if (a->family != ADDR_NONE) {
        addr_put_ip(&text, a);
    }
    put(b, a->family != ADDR_NONE, mem);
}

static void put_port(struct buf *b, bool given, uint16_t port)
{
    char mem[8];

    (void)snprintf(mem, sizeof(mem), "%u", port);
    put(b, given, mem);
}

static void arguments_are_taken_whole_or_not_at_all(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct xclient x;
        struct buf said;

        buf_init(&said, 1000);
        if (xclient_parse(slice_str(rows[i].arg), &x) != (rows[i].said != NULL)) {
            fail_msg("%s: taken or not", rows[i].label);
        }
        if (rows[i].said != NULL) {
            put_addr(&said, &x.client);
            put_port(&said, x.port_given, x.port);
            put_addr(&said, &x.destination);
            put_port(&said, x.destination_port_given, x.destination_port);
            put(&said, x.name_given, x.name_temporary ? "later" : x.name[0] != '\0' ? x.name : "none");
            put(&said, x.helo_given, x.helo);
            if (strcmp(said.ptr, rows[i].said) != 0) {
                fail_msg("%s: %s, want %s", rows[i].label, said.ptr, rows[i].said);
            }
        }
        buf_fini(&said);
    }
}

static void long_values_are_refused(void **state)
{
    char arg[400] = "HELO=";
    struct xclient x;

    (void)state;
    memset(arg + 5, 'a', XCLIENT_NAME_MAX);
    assert_true(xclient_parse(slice_of(arg, 5 + XCLIENT_NAME_MAX), &x));
    assert_int_equal(strlen(x.helo), XCLIENT_NAME_MAX);
    arg[5 + XCLIENT_NAME_MAX] = 'a';
    assert_false(xclient_parse(slice_of(arg, 6 + XCLIENT_NAME_MAX), &x));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_are_taken_whole_or_not_at_all),
        cmocka_unit_test(long_values_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
