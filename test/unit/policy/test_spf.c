/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_spf.c - verdicts of SPF over a zone of our own, with each engine that was built, twice
 * (spf_fixture.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/spf/spf.h"
#include "test/unit/policy/spf_fixture.h"

static const char *const rows[][3] = {
    /* plain */
    { "ip4.test", "TXT", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 ~all" },
    { "none.test", "TXT", "something else" },
    { "nodata.test", "A", "192.0.2.1" },
    { "slow.test", "TIMEOUT", "" },
    { "two.test", "TXT", "v=spf1 -all" },
    { "two.test", "TXT", "v=spf1 +all" },
    { "under_score.test", "TXT", "v=spf1 -all" },
    { "caps.test", "TXT", "V=SPF1 IP4:192.0.2.0/24 -ALL" },
    { "mapped.test", "TXT", "v=spf1 ip6:::ffff:192.0.2.1 -all" },
    { "order.test", "TXT", "v=spf1 -ip4:192.0.2.1 ip4:192.0.2.0/24 ?all" },
    { "odd.test", "TXT", "v=spf1 ip4:192.0.2.128/25 ip4:198.51.100.7/31 ip6:2001:db8::/33 -all" },
    /* a, mx, ptr, exists */
    { "a.test", "TXT", "v=spf1 a a:other.test/24 a:six.test//64 -all" },
    { "a.test", "A", "192.0.2.1" },
    { "other.test", "A", "198.51.100.1" },
    { "six.test", "AAAA", "2001:db8:1::1" },
    { "mx.test", "TXT", "v=spf1 mx -all" },
    { "mx.test", "MX", "h1.mx.test" },
    { "mx.test", "MX", "h2.mx.test." },
    { "mx.test", "MX", "H3.MX.test" },
    { "h1.mx.test", "TIMEOUT", "" },
    { "h2.mx.test", "A", "192.0.2.2" },
    { "h3.mx.test", "A", "192.0.2.3" },
    { "mx6.test", "TXT", "v=spf1 mx include:ip4.test -all" },
    { "mx6.test", "MX", "h2.mx.test" },
    { "mx6.test", "MX", "h3.mx.test" },
    { "mx6.test", "MX", "h4.mx6.test" },
    { "h4.mx6.test", "A", "192.0.2.4" },
    { "ptr.test", "TXT", "v=spf1 ptr -all" },
    { "1.2.0.192.in-addr.arpa", "PTR", "liar.ptr.test" },
    { "1.2.0.192.in-addr.arpa", "PTR", "Mail.PTR.test." },
    { "1.2.0.192.in-addr.arpa", "PTR", "notptr.test" },
    { "liar.ptr.test", "A", "203.0.113.1" },
    { "mail.ptr.test", "A", "192.0.2.1" },
    { "notptr.test", "A", "192.0.2.9" },
    { "9.2.0.192.in-addr.arpa", "PTR", "notptr.test" },
    { "8.2.0.192.in-addr.arpa", "TIMEOUT", "" },
    { "exists.test", "TXT", "v=spf1 exists:%{ir}.%{l1r-}.ok.test -all" },
    { "1.2.0.192.joe.ok.test", "A", "127.0.0.2" },
    { "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.joe.ok.test", "A", "127.0.0.2" },
    /* include, redirect */
    { "inc.test", "TXT", "v=spf1 include:ip4.test include:a.test ?all" },
    { "incfail.test", "TXT", "v=spf1 include:deny.test ip4:192.0.2.1 -all" },
    { "deny.test", "TXT", "v=spf1 -all" },
    { "incslow.test", "TXT", "v=spf1 include:slow.test all" },
    { "incnone.test", "TXT", "v=spf1 include:none.test all" },
    { "red.test", "TXT", "v=spf1 redirect=ip4.test" },
    { "redall.test", "TXT", "v=spf1 redirect=nowhere.test -all" },
    { "rednone.test", "TXT", "v=spf1 redirect=nowhere.test" },
    { "redloop.test", "TXT", "v=spf1 redirect=redloop.test" },
    { "incred.test", "TXT", "v=spf1 ~include:red.test -all" },
    { "cname.test", "CNAME", "ip4.test" },
    /* limits */
    { "ten.test", "TXT", "v=spf1 a a a a a a a a a a ip4:192.0.2.77 -all" },
    { "ten.test", "A", "203.0.113.9" },
    { "eleven.test", "TXT", "v=spf1 a:ten.test include:ten.test -all" },
    { "void2.test", "TXT", "v=spf1 a:v1.nowhere.test exists:v2.nowhere.test -all" },
    { "void3.test", "TXT", "v=spf1 a:v1.nowhere.test mx:v2.nowhere.test exists:v3.nowhere.test -all" },
    { "voidmx.test", "TXT", "v=spf1 mx -all" },
    { "voidmx.test", "MX", "m1.nowhere.test" },
    { "voidmx.test", "MX", "m2.nowhere.test" },
    { "voidmx.test", "MX", "m3.nowhere.test" },
    { "nullmx.test", "TXT", "v=spf1 mx a:ten.test -all" },
    { "nullmx.test", "MX", "" },
    /* explanations */
    { "exp.test", "TXT", "v=spf1 -all exp=why.exp.test" },
    { "why.exp.test", "TXT", "%{s} from %{c} at %{r}, %{t}: 100%% %{p}" },
    { "expinc.test", "TXT", "v=spf1 -include:ip4.test exp=own.test" },
    { "own.test", "TXT", "mine of %{d}" },
    { "expred.test", "TXT", "v=spf1 exp=own.test redirect=exp.test" },
    { "expbad.test", "TXT", "v=spf1 -all exp=bad.test" },
    { "bad.test", "TXT", "tab\there" },
    { "explocal.test", "TXT", "v=spf1 -all exp=local.test" },
    { "local.test", "TXT", "not %{l}" },
    { "expslow.test", "TXT", "v=spf1 -all exp=slow.test" },
    /* weak */
    { "all.test", "TXT", "v=spf1 +all" },
    { "incall.test", "TXT", "v=spf1 include:all.test -all" },
    { "redweak.test", "TXT", "v=spf1 redirect=all.test" },
    { "half.test", "TXT", "v=spf1 ip4:192.0.0.0/7 -all" },
    { "eight.test", "TXT", "v=spf1 ip4:192.0.0.0/8 -all" },
    { "sum.test", "TXT", "v=spf1 ip4:192.0.0.0/9 ip4:10.0.0.0/9 ip4:11.0.0.1 -all" },
    { "sum8.test", "TXT", "v=spf1 ip4:192.0.0.0/9 ip4:10.0.0.0/9 -ip4:12.0.0.0/8 ?ip4:13.0.0.0/8 -all" },
    { "sumother.test", "TXT", "v=spf1 ip4:192.0.2.0/24 ip6:2000::/3 -all" },
    { "suminc.test", "TXT", "v=spf1 include:part.test ip4:192.0.0.0/9 -all" },
    { "part.test", "TXT", "v=spf1 ip4:10.0.0.0/9 ip4:172.16.0.0/12 -all" },
    { "notinc.test", "TXT", "v=spf1 ?include:half6.test ip4:192.0.0.0/9 -all" },
    { "half6.test", "TXT", "v=spf1 ip4:64.0.0.0/2 -all" },
    { "wide6.test", "TXT", "v=spf1 ip6:2000::/15 -all" },
    { "fine6.test", "TXT", "v=spf1 ip6:2001::/16 -all" },
    { "anya.test", "TXT", "v=spf1 a/0 -all" },
    { "anya.test", "A", "203.0.113.1" },
};

enum {
    HELO = 1, /* check the HELO identity */
    WEAK = 2, /* the verdict is weak */
};

static const struct row {
    const char *label;
    const char *client;
    const char *sender;
    enum spf_result want;
    const char *mechanism; /* NULL: not looked at */
    const char *decided_by;
    const char *explanation;
    unsigned flags;
} cases[] = {
    { "network", "192.0.2.1", "a@ip4.test", SPF_PASS, "ip4:192.0.2.0/24", "ip4:192.0.2.0/24", NULL, 0 },
    { "end of network", "192.0.2.255", "a@ip4.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "beside it", "192.0.3.0", "a@ip4.test", SPF_SOFTFAIL, "all", "all", NULL, 0 },
    { "v6 network", "2001:db8:ffff::1", "a@ip4.test", SPF_PASS, "ip6:2001:db8::/32", NULL, NULL, 0 },
    { "mapped client", "::ffff:192.0.2.1", "a@ip4.test", SPF_PASS, "ip4:192.0.2.0/24", NULL, NULL, 0 },
    { "mapped network", "192.0.2.1", "a@mapped.test", SPF_FAIL, "all", NULL, NULL, 0 },
    { "odd bits in", "192.0.2.128", "a@odd.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "odd bits out", "192.0.2.127", "a@odd.test", SPF_FAIL, NULL, NULL, NULL, 0 },
    { "host bits are ignored", "198.51.100.6", "a@odd.test", SPF_PASS, "ip4:198.51.100.7/31", NULL, NULL, 0 },
    { "odd v6 bits in", "2001:db8:7fff::", "a@odd.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "odd v6 bits out", "2001:db8:8000::", "a@odd.test", SPF_FAIL, NULL, NULL, NULL, 0 },
    { "no SPF record", "192.0.2.1", "a@none.test", SPF_NONE, "", NULL, NULL, 0 },
    { "no TXT", "192.0.2.1", "a@nodata.test", SPF_NONE, "", NULL, NULL, 0 },
    { "no name", "192.0.2.1", "a@nowhere.test", SPF_NONE, "", NULL, NULL, 0 },
    { "no answer", "192.0.2.1", "a@slow.test", SPF_TEMPERROR, "", NULL, NULL, 0 },
    { "two records", "192.0.2.1", "a@two.test", SPF_PERMERROR, "", NULL, NULL, 0 },
    { "underscore", "192.0.2.1", "a@under_score.test", SPF_FAIL, NULL, NULL, NULL, 0 },
    { "capitals", "192.0.2.1", "a@CAPS.test", SPF_PASS, "IP4:192.0.2.0/24", NULL, NULL, 0 },
    { "first one decides", "192.0.2.1", "a@order.test", SPF_FAIL, "ip4:192.0.2.1", NULL, NULL, 0 },
    { "through a CNAME", "192.0.2.1", "a@cname.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "single label", "192.0.2.1", "a@localhost", SPF_NONE, NULL, NULL, NULL, 0 },
    { "literal", "192.0.2.1", "a@[192.0.2.1]", SPF_NONE, NULL, NULL, NULL, 0 },
    { "address as a name", "192.0.2.1", "a@192.0.2.1", SPF_NONE, NULL, NULL, NULL, 0 },
    { "not ASCII", "192.0.2.1", "a@b\xc3\xbcro.test", SPF_NONE, NULL, NULL, NULL, 0 },
    { "no local part", "192.0.2.1", "@ip4.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "two at signs", "192.0.2.1", "\"a@b\"@ip4.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "null sender", "192.0.2.1", "", SPF_PASS, NULL, NULL, NULL, 0 },
    { "HELO", "203.0.113.1", "a@none.test", SPF_SOFTFAIL, NULL, NULL, NULL, HELO },

    { "a", "192.0.2.1", "x@a.test", SPF_PASS, "a", "a", NULL, 0 },
    { "a with prefix", "198.51.100.99", "x@a.test", SPF_PASS, "a:other.test/24", NULL, NULL, 0 },
    { "a with v6 prefix", "2001:db8:1::77", "x@a.test", SPF_PASS, "a:six.test//64", NULL, NULL, 0 },
    { "mx", "192.0.2.3", "x@mx.test", SPF_PASS, "mx", "mx", NULL, 0 },
    { "mx host matches beside a silent one", "192.0.2.2", "x@mx.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "mx host without answer", "192.0.2.9", "x@mx.test", SPF_TEMPERROR, "", NULL, NULL, 0 },
    { "v4-only mx hosts are no voids", "2001:db8::1", "x@mx6.test", SPF_PASS, "include:ip4.test",
      "ip6:2001:db8::/32", NULL, 0 },
    { "ptr", "192.0.2.1", "x@ptr.test", SPF_PASS, "ptr", NULL, NULL, 0 },
    { "ptr needs a whole label", "192.0.2.9", "x@ptr.test", SPF_FAIL, NULL, NULL, NULL, 0 },
    { "ptr without answer", "192.0.2.8", "x@ptr.test", SPF_FAIL, NULL, NULL, NULL, 0 },
    { "exists with macros", "192.0.2.1", "joe-news@exists.test", SPF_PASS, "exists:%{ir}.%{l1r-}.ok.test",
      NULL, NULL, 0 },
    { "exists over v6", "2001:db8::1", "joe@exists.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "exists not", "192.0.2.1", "jim@exists.test", SPF_FAIL, NULL, NULL, NULL, 0 },

    { "include", "192.0.2.9", "x@inc.test", SPF_PASS, "include:ip4.test", "ip4:192.0.2.0/24", NULL, 0 },
    { "second include", "198.51.100.7", "x@inc.test", SPF_PASS, "include:a.test", "a:other.test/24", NULL,
      0 },
    { "no include", "203.0.113.200", "x@inc.test", SPF_NEUTRAL, "all", "all", NULL, 0 },
    { "a fail inside is no match", "192.0.2.1", "x@incfail.test", SPF_PASS, "ip4:192.0.2.1", "ip4:192.0.2.1",
      NULL, 0 },
    { "temperror inside", "192.0.2.1", "x@incslow.test", SPF_TEMPERROR, "", NULL, NULL, 0 },
    { "none inside", "192.0.2.1", "x@incnone.test", SPF_PERMERROR, "", NULL, NULL, 0 },
    { "redirect", "192.0.2.1", "x@red.test", SPF_PASS, "ip4:192.0.2.0/24", NULL, NULL, 0 },
    { "redirect beside all", "192.0.2.1", "x@redall.test", SPF_FAIL, NULL, NULL, NULL, 0 },
    { "redirect to none", "192.0.2.1", "x@rednone.test", SPF_PERMERROR, NULL, NULL, NULL, 0 },
    { "redirect loop", "192.0.2.1", "x@redloop.test", SPF_PERMERROR, NULL, NULL, NULL, 0 },
    { "redirect inside of an include", "192.0.2.1", "x@incred.test", SPF_SOFTFAIL, "include:red.test",
      "ip4:192.0.2.0/24", NULL, 0 },

    { "ten terms", "192.0.2.77", "x@ten.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "eleven terms over an include", "192.0.2.77", "x@eleven.test", SPF_PERMERROR, NULL, NULL, NULL, 0 },
    { "two voids", "192.0.2.1", "x@void2.test", SPF_FAIL, NULL, NULL, NULL, 0 },
    { "three voids", "192.0.2.1", "x@void3.test", SPF_PERMERROR, NULL, NULL, NULL, 0 },
    { "three voids of one mx", "192.0.2.1", "x@voidmx.test", SPF_PERMERROR, NULL, NULL, NULL, 0 },
    { "null MX", "203.0.113.9", "x@nullmx.test", SPF_PASS, "a:ten.test", NULL, NULL, 0 },

    { "explanation", "203.0.113.1", "joe@exp.test", SPF_FAIL, "all", NULL,
      "joe@exp.test from 203.0.113.1 at mx.test, 1700000000: 100% unknown", 0 },
    { "explanation names the client", "192.0.2.1", "joe@exp.test", SPF_FAIL, "all", NULL,
      "joe@exp.test from 192.0.2.1 at mx.test, 1700000000: 100% mail.ptr.test", 0 },
    { "own explanation over an include", "192.0.2.1", "joe@expinc.test", SPF_FAIL, NULL, NULL,
      "mine of expinc.test", 0 },
    { "explanation of the redirect", "203.0.113.1", "joe@expred.test", SPF_FAIL, NULL, NULL,
      "joe@expred.test from 203.0.113.1 at mx.test, 1700000000: 100% unknown", 0 },
    { "control character", "203.0.113.1", "joe@expbad.test", SPF_FAIL, NULL, NULL, "", 0 },
    { "octets of the sender", "203.0.113.1", "\xff@explocal.test", SPF_FAIL, NULL, NULL, "", 0 },
    { "line end of the sender", "203.0.113.1", "a\r\nb@explocal.test", SPF_FAIL, NULL, NULL, "", 0 },
    { "explanation without answer", "203.0.113.1", "a@expslow.test", SPF_FAIL, NULL, NULL, "", 0 },

    { "all", "203.0.113.1", "a@all.test", SPF_NEUTRAL, "all", "all", NULL, WEAK },
    { "all inside of an include", "203.0.113.1", "a@incall.test", SPF_NEUTRAL, "include:all.test", "all",
      NULL, WEAK },
    { "all behind a redirect", "203.0.113.1", "a@redweak.test", SPF_NEUTRAL, "all", NULL, NULL, WEAK },
    { "/7", "192.0.2.1", "a@half.test", SPF_NEUTRAL, NULL, NULL, NULL, WEAK },
    { "/8 is allowed", "192.0.2.1", "a@eight.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "more than a /8 in sum", "192.0.2.1", "a@sum.test", SPF_NEUTRAL, NULL, NULL, NULL, WEAK },
    { "a /8 in sum, and some that are not +", "192.0.2.1", "a@sum8.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "the other family does not count", "192.0.2.1", "a@sumother.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "sum over includes", "192.0.2.1", "a@suminc.test", SPF_NEUTRAL, NULL, NULL, NULL, WEAK },
    { "?include does not count", "192.0.2.1", "a@notinc.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "v6 wide", "2001:db8::1", "a@wide6.test", SPF_NEUTRAL, NULL, NULL, NULL, WEAK },
    { "v6 fine", "2001:db8::1", "a@fine6.test", SPF_PASS, NULL, NULL, NULL, 0 },
    { "a/0", "192.0.2.1", "a@anya.test", SPF_NEUTRAL, "a/0", NULL, NULL, WEAK },
    { "no weak fail", "10.0.0.1", "a@half.test", SPF_FAIL, "all", NULL, NULL, 0 },
};

struct fixture {
    struct zone zone;
    uint8_t mem[ARRAY_LEN(rows)][16];
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        zone_put_text(&f->zone, f->mem, rows[i]);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static struct spf_input input(const struct row *c, int engine)
{
    return (struct spf_input){
        .client = zone_addr(c->client),
        .identity = (c->flags & HELO) != 0 ? SPF_HELO : SPF_MAILFROM,
        .sender = slice_str(c->sender),
        .helo = SLICE("ip4.test"),
        .receiver = SLICE("mx.test"),
        .now_s = 1700000000,
        .engine = (enum spf_engine)engine,
        .weak_v4_bits = 8,
        .weak_v6_bits = spf_weak_v6_bits(8),
        .explain = true,
    };
}

static void compare(const struct row *c, int engine, const struct spf_verdict *v)
{
    print_message("%d %s: %s %s\n", engine, c->label, spf_result_text(v->result), v->problem);
    assert_string_equal(spf_result_text(c->want), spf_result_text(v->result));
    assert_int_equal((c->flags & WEAK) != 0, v->weak);
    if (c->mechanism != NULL) {
        assert_string_equal(c->mechanism, v->mechanism);
    }
    if (c->decided_by != NULL) {
        assert_string_equal(c->decided_by, v->decided_by);
    }
    if (c->explanation != NULL) {
        assert_string_equal(c->explanation, v->explanation);
    }
    if (v->result == SPF_TEMPERROR || v->result == SPF_PERMERROR) {
        assert_int_not_equal(0, strlen(v->problem));
    }
}

static void verdicts_are_as_in_the_table(void **state)
{
    struct fixture *f = *state;

    for (int e = 0; e < SPF_ENGINE_COUNT; e++) {
        for (size_t i = 0; i < ARRAY_LEN(cases) && spf_engine_built((enum spf_engine)e); i++) {
            struct spf_input in = input(&cases[i], e);
            struct spf *fast = zone_play(&f->zone, &in);
            struct spf *slow = zone_play_slowly(&f->zone, &in, (uint32_t)i + 1);

            compare(&cases[i], e, spf_verdict(fast));
            compare(&cases[i], e, spf_verdict(slow));
            assert_int_equal(spf_verdict(fast)->lookups, spf_verdict(slow)->lookups);
            spf_free(fast);
            spf_free(slow);
        }
    }
}

static struct spf_input plain(const char *sender)
{
    struct row c = { .client = "192.0.2.1", .sender = sender };

    return input(&c, SPF_ENGINE_NATIVE);
}

static void weak_passes_may_be_allowed(void **state)
{
    struct fixture *f = *state;
    struct spf_input in = plain("a@all.test");
    struct spf *e;

    in.weak_v4_bits = in.weak_v6_bits = 0;
    e = zone_play(&f->zone, &in);
    assert_int_equal(SPF_PASS, spf_verdict(e)->result);
    assert_false(spf_verdict(e)->weak);
    spf_free(e);
    assert_int_equal(0, spf_weak_v6_bits(0));
    assert_int_equal(16, spf_weak_v6_bits(8));
}

static void explanations_are_not_fetched_unless_asked_for(void **state)
{
    struct fixture *f = *state;
    struct spf_input in = plain("a@exp.test");
    struct spf *e;

    in.explain = false;
    e = zone_play(&f->zone, &in);
    assert_int_equal(SPF_FAIL, spf_verdict(e)->result);
    assert_int_equal(1, spf_verdict(e)->lookups);
    assert_string_equal("", spf_verdict(e)->explanation);
    spf_free(e);
}

static void the_identity_is_named(void **state)
{
    struct fixture *f = *state;
    struct spf_input in = plain("");
    struct spf *e = zone_play(&f->zone, &in);

    assert_int_equal(SPF_HELO, spf_verdict(e)->identity);
    assert_string_equal("helo", spf_identity_text(spf_verdict(e)->identity));
    assert_string_equal("ip4.test", spf_verdict(e)->domain);
    spf_free(e);
}

static void hosts_of_an_mx_are_wanted_two_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct spf_input in = plain("a@mx.test");
    struct spf *e = spf_new(&in);
    const struct spf_want *wants;

    assert_int_equal(1, spf_step(e, &wants));
    assert_int_equal(SPF_TYPE_TXT, wants[0].type);
    assert_int_equal(1, spf_step(e, &wants)); /* and says it again */
    zone_feed(&f->zone, e, &wants[0]);
    assert_int_equal(1, spf_step(e, &wants));
    assert_int_equal(SPF_TYPE_MX, wants[0].type);
    zone_feed(&f->zone, e, &wants[0]);
    assert_int_equal(2, spf_step(e, &wants));
    assert_int_equal(SPF_TYPE_A, wants[1].type);
    assert_true(slice_eq(wants[1].name, SLICE("h2.mx.test")));
    spf_abandon(e, "the time is over");
    assert_int_equal(0, spf_step(e, &wants));
    assert_int_equal(SPF_TEMPERROR, spf_verdict(e)->result);
    assert_string_equal("the time is over", spf_verdict(e)->problem);
    spf_free(e);
    spf_free(NULL);
}

static void malformed_answers_are_left_out(void **state)
{
    struct spf_record_data bad[] = { { SLICE_INIT("abc"), 0 }, { SLICE_INIT("\xc0\x00\x02\x01"), 0 } };
    struct spf_answer odd = { SPF_ANSWER_OK, 2, bad };
    struct fixture *f = *state;
    struct spf_input in = plain("a@a.test");
    struct spf *e = spf_new(&in);
    const struct spf_want *wants;

    assert_int_equal(1, spf_step(e, &wants));
    zone_feed(&f->zone, e, &wants[0]);
    assert_int_equal(1, spf_step(e, &wants));
    spf_feed(e, &wants[0], &odd);
    assert_int_equal(0, spf_step(e, &wants));
    assert_int_equal(SPF_PASS, spf_verdict(e)->result);
    spf_free(e);
}

static void a_client_without_address_has_no_result(void **state)
{
    struct spf_input in = plain("a@a.test");
    const struct spf_want *wants;
    struct spf *e;

    (void)state;
    in.client = (struct addr){ .family = ADDR_NONE };
    e = spf_new(&in);
    assert_int_equal(0, spf_step(e, &wants));
    assert_int_equal(SPF_NONE, spf_verdict(e)->result);
    spf_free(e);
}

static void overlong_input_is_cut(void **state)
{
    struct fixture *f = *state;
    char *sender = xmalloc(100001);
    struct spf_input in;
    struct spf *e;

    memset(sender, 'x', 100000);
    memcpy(sender + 99989, "@ip4.test", 9);
    sender[99998] = '\0';
    in = plain(sender);
    in.helo = slice_of(sender, 99989);
    e = zone_play(&f->zone, &in);
    assert_int_equal(SPF_PASS, spf_verdict(e)->result);
    spf_free(e);
    in.identity = SPF_HELO;
    e = zone_play(&f->zone, &in);
    assert_int_equal(SPF_NONE, spf_verdict(e)->result);
    spf_free(e);
    free(sender);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verdicts_are_as_in_the_table),
        cmocka_unit_test(weak_passes_may_be_allowed),
        cmocka_unit_test(explanations_are_not_fetched_unless_asked_for),
        cmocka_unit_test(the_identity_is_named),
        cmocka_unit_test(hosts_of_an_mx_are_wanted_two_at_a_time),
        cmocka_unit_test(malformed_answers_are_left_out),
        cmocka_unit_test(a_client_without_address_has_no_result),
        cmocka_unit_test(overlong_input_is_cut),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
