/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_evaluate.c - evaluations over small zones: policy discovery, alignment, errors, caps, number of questions.
 *
 * Each case runs with serial and with parallel answers, and must come out the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "test/unit/dmarc/zone.h"

#define EX "_dmarc.example.com\t"
#define REJECT "v=DMARC1; p=reject"

struct scene {
    const char *zone;
    const char *author;
    const char *domains; /* words: spf:DOMAIN, dkim:DOMAIN; with `?` in front for a temperror */
    unsigned want;
    const char *outcome; /* result policy/tag by organisational-domain */
    size_t most;         /* questions at most, in parallel; 0: any number */
};

static void add_domains(struct dmarc *d, struct slice words)
{
    for (struct slice word = slice_token(&words); !slice_empty(word); word = slice_token(&words)) {
        bool unknown = word.ptr[0] == '?';
        struct slice by = slice_cut(&word, ':');
        enum dmarc_by method = slice_ends_nocase(by, SLICE("spf")) ? DMARC_BY_SPF : DMARC_BY_DKIM;

        (unknown ? dmarc_add_unknown : dmarc_add)(d, method, word);
    }
}

static void put_outcome(struct buf *out, struct dmarc *d)
{
    const struct dmarc_outcome *o = dmarc_outcome(d);

    assert_true(dmarc_done(d));
    assert_int_equal(o->result, dmarc_reason_result(o->reason));
    buf_put_str(out, dmarc_result_text(o->result));
    if (o->tag[0] != '\0') {
        buf_putf(out, " %s/%s%s", dmarc_policy_text(o->policy), o->tag, o->policy_known ? "" : "?");
    }
    buf_put_str(out, o->spf ? " spf" : "");
    buf_put_str(out, o->dkim ? " dkim" : "");
    if (!slice_empty(o->domain)) {
        buf_put_char(out, ' ');
        buf_put_slice(out, o->domain);
    }
}

static struct dmarc *start(const struct scene *s)
{
    struct dmarc *d = dmarc_new(&(struct dmarc_settings){ .author = slice_str(s->author), .want = s->want });

    add_domains(d, slice_str(s->domains));
    dmarc_end_domains(d);
    return d;
}

static void play(const struct scene *s)
{
    for (int order = 0; order < ZONE_ORDER_COUNT; order++) {
        struct zone_run run = { .zone = slice_str(s->zone), .order = (enum zone_order)order };
        struct dmarc *d = start(s);
        struct buf text;

        zone_ask(&run, d);
        buf_init(&text, 2048);
        put_outcome(&text, d);
        if (!slice_eq(buf_slice(&text), slice_str(s->outcome)) || (s->most > 0 && run.asked > s->most) ||
            (order == ZONE_PARALLEL && run.rounds > 3)) {
            fail_msg("%s, %s, %s: got \"%s\" (%s) for \"%s\", after %zu questions in %zu rounds", s->zone,
                     s->author, s->domains, text.ptr, dmarc_reason_text(dmarc_outcome(d)->reason), s->outcome,
                     run.asked, run.rounds);
        }
        buf_fini(&text);
        dmarc_free(d);
    }
}

#define PLAY(...)                                                                                            \
    do {                                                                                                     \
        static const struct scene scenes_[] = { __VA_ARGS__ };                                               \
        for (size_t i_ = 0; i_ < ARRAY_LEN(scenes_); i_++) {                                                 \
            play(&scenes_[i_]);                                                                              \
        }                                                                                                    \
    } while (0)

enum { ORG = DMARC_WANT_ORG };

static void test_policy_of_the_author(void **state)
{
    (void)state;
    PLAY({ EX REJECT, "example.com", "", 0, "fail reject/p", 1 },
         { EX REJECT "; sp=none; np=none", "example.com", "", 0, "fail reject/p", 1 },
         { EX REJECT "\n_dmarc.a.example.com\tv=DMARC1; p=none", "a.example.com", "", 0, "fail none/p", 1 },
         { EX REJECT "; t=y", "example.com", "", 0, "fail quarantine/p", 1 },
         { EX "v=DMARC1; p=quarantine; t=y", "example.com", "", 0, "fail none/p", 1 },
         { EX "v=DMARC1; p=none; t=y", "example.com", "", 0, "fail none/p", 1 },
         { EX REJECT "\n" EX "other text", "example.com", "", 0, "fail reject/p", 1 },
         { EX REJECT "\n" EX REJECT, "example.com", "spf:example.com", 0, "none",
           2 }, /* several: none counts */
         { EX "v=DMARC1; p=rejekt", "example.com", "spf:example.com", 0, "none", 1 },
         { EX "v=DMARC1; p=rejekt; rua=mailto:a@example.com", "example.com", "", 0, "fail none/p", 1 },
         { EX "v=DMARC1", "a.example.com", "", 0, "none", 3 },
         { "", "example.com", "spf:example.com", 0, "none", 2 }, { "", "com", "spf:com", 0, "none", 1 },
         { "_dmarc.com\t" REJECT, "com", "spf:com", 0, "pass reject/p spf", 1 });
}

static void test_policy_from_above(void **state)
{
    (void)state;
    PLAY({ EX REJECT, "a.example.com", "", 0, "fail reject/p", 3 },
         { EX REJECT "; sp=quarantine; np=none\na.example.com\tx", "a.example.com", "", 0,
           "fail quarantine/sp", 4 },
         { EX REJECT "; sp=quarantine; np=none", "a.example.com", "", 0, "fail none/np", 4 },
         { EX REJECT "; sp=quarantine; np=quarantine", "a.example.com", "", 0, "fail quarantine/sp", 3 },
         { EX REJECT "; np=none", "a.example.com", "", 0, "fail none/np", 4 },
         { EX REJECT "; np=none\nb.a.example.com\tx", "a.example.com", "", 0, "fail reject/p", 4 },
         { EX "v=DMARC1; p=none; np=quarantine; t=y", "a.example.com", "", 0, "fail none/p", 3 },
         { EX REJECT "; np=none\n_dmarc.a.example.com\tx", "a.example.com", "", 0, "fail reject/p",
           3 }, /* exists */
         { EX REJECT "; np=none\n_dmarc.a.example.com\t!nodata", "a.example.com", "", 0, "fail reject/p", 3 },
         { EX "v=DMARC1; p=none; sp=reject; t=y", "a.b.example.com", "", ORG,
           "fail quarantine/sp example.com", 4 },
         /* the organisational domain's record, not the nearest */
         { EX REJECT "\n_dmarc.b.example.com\tv=DMARC1; p=none", "a.b.example.com", "", ORG,
           "fail reject/p example.com", 4 },
         { EX REJECT "\n_dmarc.b.example.com\tv=DMARC1; p=none; psd=n", "a.b.example.com", "", ORG,
           "fail none/p b.example.com", 4 });
}

/* A PSD: bank.example has psd=y (RFC 9989 B.4.3). */
static void test_public_suffix(void **state)
{
#define BANK "_dmarc.bank.example\tv=DMARC1; p=reject; sp=quarantine; np=reject; psd=y\n"
#define GIANT BANK "_dmarc.giant.bank.example\tv=DMARC1; p=none\n"
    (void)state;
    PLAY({ GIANT, "giant.bank.example", "spf:mail.giant.bank.example dkim:mail.mega.bank.example", ORG,
           "pass none/p spf giant.bank.example", 0 },
         { GIANT, "giant.bank.example", "dkim:mail.mega.bank.example", ORG, "fail none/p giant.bank.example",
           0 },
         { GIANT, "a.giant.bank.example", "", ORG, "fail none/p giant.bank.example", 0 },
         { BANK "mega.bank.example\tx", "mega.bank.example", "", ORG, "fail quarantine/sp mega.bank.example",
           0 },
         { BANK "b.mega.bank.example\tx", "a.mega.bank.example", "dkim:b.mega.bank.example", ORG,
           "pass reject/np dkim mega.bank.example", 0 },
         { BANK, "a.mega.bank.example", "dkim:mega.bank.example", ORG,
           "pass reject/np dkim mega.bank.example", 0 },
         { BANK, "a.mega.bank.example", "dkim:b.giga.bank.example", ORG, "fail reject/np mega.bank.example",
           0 },
         { BANK, "bank.example", "dkim:mega.bank.example", ORG, "fail reject/p bank.example",
           0 }, /* psd=y at the start */
         { BANK, "bank.example", "dkim:bank.example", 0, "pass reject/p dkim", 1 },
         { "_dmarc.com\tv=DMARC1; p=none; psd=y", "a.mail.example.com", "spf:example.com", ORG,
           "pass none/p spf example.com", 0 });
}

/* RFC 9989 4.10.2 and B.4.1, B.4.2. */
static void test_examples(void **state)
{
#define SIMPLE EX REJECT "\n_dmarc.signing.example.com\t" REJECT "\n"
#define DEEP "a.b.c.d.e.f.g.h.i.j.k.example.com"
    (void)state;
    PLAY({ SIMPLE, "example.com", "spf:example.com dkim:signing.example.com", ORG | DMARC_WANT_RELAXED,
           "pass reject/p spf dkim example.com", 3 },
         { SIMPLE, "example.com", "spf:example.com dkim:signing.example.com", 0, "pass reject/p spf", 1 },
         { SIMPLE, "example.com", "dkim:signing.example.com", 0, "pass reject/p dkim", 3 },
         { SIMPLE, DEEP, "spf:example.com dkim:signing.example.com", ORG,
           "pass reject/p spf dkim example.com", 9 },
         { SIMPLE, DEEP, "", ORG, "fail reject/p example.com", 8 },
         { "_dmarc.mail.example.com\t" REJECT "\n" EX REJECT, "a.mail.example.com", "", ORG,
           "fail reject/p example.com", 0 },
         { "_dmarc.mail.example.com\t" REJECT "; psd=n\n" EX REJECT, "a.mail.example.com", "", ORG,
           "fail reject/p mail.example.com", 0 },
         { EX REJECT "; psd=n", "example.com", "spf:a.example.com", 0, "pass reject/p spf",
           2 }, /* nothing above */
         { EX REJECT, "news.example.com", "dkim:foo.example.com", 0, "pass reject/p dkim", 0 },
         { EX REJECT, "news.example.com", "dkim:foo.example.net", 0, "fail reject/p", 3 },
         { EX REJECT, "example.com", "spf:child.example.com", 0, "pass reject/p spf", 0 },
         { EX REJECT, "child.example.com", "dkim:example.com", 0, "pass reject/p dkim", 0 });
}

static void test_strict(void **state)
{
    (void)state;
    PLAY({ EX REJECT "; aspf=s", "example.com", "spf:a.example.com", 0, "fail reject/p", 1 },
         { EX REJECT "; aspf=s", "example.com", "dkim:a.example.com", 0, "pass reject/p dkim", 0 },
         { EX REJECT "; adkim=s", "example.com", "dkim:a.example.com", 0, "fail reject/p", 1 },
         { EX REJECT "; adkim=s", "example.com", "spf:a.example.com", 0, "pass reject/p spf", 0 },
         { EX REJECT "; adkim=s; aspf=s", "a.example.com", "spf:example.com dkim:a.example.com", 0,
           "pass reject/p dkim", 0 },
         /* strict: an error above does not matter */
         { EX REJECT "; aspf=s\n_dmarc.com\t!temp", "example.com", "spf:a.example.com", 0, "fail reject/p",
           1 });
}

static void test_many_labels(void **state)
{
#define EIGHT "1.2.3.4.5.6.7.com"
#define NINE "0." EIGHT
    (void)state;
    PLAY(
        { "_dmarc.7.com\t" REJECT, EIGHT, "dkim:7.com", ORG, "pass reject/p dkim 7.com", 8 },
        { "_dmarc.7.com\t" REJECT, NINE, "dkim:7.com", ORG, "pass reject/p dkim 7.com", 8 },
        /* the jump passes over this name: its record does not count for a deeper author, but does for its own */
        { "_dmarc." EIGHT "\t" REJECT "; psd=n\n", NINE, "", ORG, "none " NINE, 8 },
        { "_dmarc." EIGHT "\t" REJECT "; psd=n\n", EIGHT, "", 0, "fail reject/p", 1 },
        { "_dmarc.2.3.4.5.6.7.com\t" REJECT "; psd=y\n", NINE, "dkim:x." EIGHT, ORG,
          "pass reject/p dkim " EIGHT, 0 },
        { "", NINE, "dkim:x." NINE, ORG, "none " NINE, 8 });
}

static void test_errors(void **state)
{
    (void)state;
    PLAY({ EX "!temp", "example.com", "spf:example.com", 0, "temperror", 1 },
         { EX REJECT "\n_dmarc.com\t!temp", "example.com", "spf:example.com", 0, "pass reject/p spf", 1 },
         { EX REJECT "\n_dmarc.com\t!temp", "example.com", "", 0, "fail reject/p", 1 },
         { EX REJECT "\n_dmarc.com\t!temp", "example.com", "", ORG, "fail reject/p",
           2 }, /* example.com or com */
         { EX REJECT "\n_dmarc.com\t!temp", "example.com", "spf:a.example.com", 0, "pass reject/p spf", 0 },
         { EX REJECT "\n_dmarc.com\t!temp", "example.com", "spf:other.com", 0, "temperror reject/p", 0 },
         { EX REJECT "\n_dmarc.com\t!temp", "example.com", "spf:other.org", 0, "fail reject/p", 1 },
         { EX REJECT "; psd=n\n_dmarc.com\t!temp", "example.com", "spf:other.com", 0, "fail reject/p", 1 },
         { EX REJECT "\n_dmarc.a.example.com\t!temp", "a.example.com", "spf:a.example.com", 0, "temperror",
           1 },
         { EX REJECT "\n_dmarc.a.example.com\t!temp", "example.com", "spf:a.example.com", 0,
           "temperror reject/p", 0 },
         { EX REJECT "\n_dmarc.a.example.com\t!temp", "example.com", "spf:a.example.com dkim:b.example.com",
           0, "pass reject/p dkim", 0 },
         { EX REJECT "\n_dmarc.com\t!temp", "a.example.com", "", 0, "temperror", 3 }, /* whose policy? */
         { EX "!temp\n_dmarc.com\tv=DMARC1; p=none; psd=y", "a.example.com", "", 0, "temperror", 3 },
         { EX REJECT "; psd=n\n_dmarc.com\t!temp", "a.example.com", "", 0, "fail reject/p", 3 },
         /* existence */
         { EX REJECT "; np=none\na.example.com\t!temp", "a.example.com", "", 0, "temperror none/np?", 4 },
         { EX "v=DMARC1; p=none; np=reject\na.example.com\t!temp", "a.example.com", "", 0,
           "temperror none/p?", 4 },
         { EX REJECT "; np=none\na.example.com\t!temp", "a.example.com", "spf:example.com", 0,
           "pass none/np? spf", 4 });
}

static void test_unknown_domains(void **state)
{
    (void)state;
    PLAY({ EX REJECT, "example.com", "?spf:example.com", 0, "temperror reject/p", 0 },
         { EX REJECT, "example.com", "?dkim:a.example.com", 0, "temperror reject/p", 0 },
         { EX REJECT, "example.com", "?dkim:other.com", 0, "fail reject/p", 0 },
         { EX REJECT, "example.com", "?dkim:other.org", 0, "fail reject/p", 1 },
         { EX REJECT "; adkim=s", "example.com", "?dkim:a.example.com", 0, "fail reject/p", 1 },
         { EX REJECT, "example.com", "?spf:example.com dkim:example.com", 0, "pass reject/p dkim", 1 },
         { EX REJECT, "example.com", "?dkim:example.com dkim:example.com", 0, "pass reject/p dkim", 1 },
         { "", "example.com", "?spf:example.com", 0, "none", 0 });
}

static void test_authors(void **state)
{
    (void)state;
    PLAY({ EX REJECT, "", "spf:example.com", ORG, "permerror", 0 }, { EX REJECT, ".", "", 0, "permerror", 0 },
         { EX REJECT, "a..example.com", "", 0, "permerror", 0 },
         { EX REJECT, "example.com..", "", 0, "permerror", 0 },
         { EX REJECT, "[192.0.2.1]", "", 0, "permerror", 0 },
         { EX REJECT, "ex\xc3\xa4mple.com", "", 0, "permerror", 0 },
         { EX REJECT, "Example.COM.", "spf:EXAMPLE.com.", ORG, "pass reject/p spf example.com", 0 },
         { EX REJECT, "example.com", "spf:. dkim:.com dkim:a..example.com dkim:", 0, "fail reject/p", 1 });
}

/* `_dmarc.` does not fit before a name of more than 246 octets. */
static void test_long_name(void **state)
{
#define L50 "1234567890123456789012345678901234567890123456789."
#define LONG L50 L50 L50 L50 "123456789012345678901234567890123456.example.com"
    (void)state;
    assert_int_equal(strlen(LONG), 248);
    PLAY({ EX REJECT "; np=none", LONG, "dkim:example.com", ORG, "pass none/np dkim example.com", 7 });
}

static const char *published(const char *zone, const char *domain)
{
    struct zone_run run = { .zone = slice_str(zone) };
    struct dmarc *d = dmarc_new(&(struct dmarc_settings){ .author = slice_str(domain) });
    const char *word;

    dmarc_end_domains(d);
    zone_ask(&run, d);
    assert_true(dmarc_done(d));
    word = dmarc_published_text(dmarc_published(d));
    dmarc_free(d);
    return word;
}

static void test_published(void **state)
{
    (void)state;
    assert_string_equal(published(EX REJECT, "example.com"), "reject");
    assert_string_equal(published(EX REJECT "; sp=quarantine", "a.example.com"), "quarantine");
    assert_string_equal(published(EX "v=DMARC1; p=none", "example.com"), "none");
    assert_string_equal(published("", "example.com"), "none");
    assert_string_equal(published(EX "!temp", "example.com"), "temperror");
    assert_string_equal(published(EX REJECT "; np=none\na.example.com\t!temp", "a.example.com"), "temperror");
    assert_string_equal(published(EX REJECT, ""), "none");
}

static void test_relaxed(void **state)
{
    static const struct {
        const char *zone, *domains;
        enum dmarc_truth relaxed;
    } cases[] = {
        { EX REJECT "; adkim=s", "dkim:a.example.com", DMARC_YES }, /* although DMARC fails */
        { "", "spf:example.com", DMARC_YES },
        { "", "spf:a.example.com", DMARC_NO }, /* without a record, each name is an organisation */
        { "_dmarc.com\tv=DMARC1; p=none; psd=y", "spf:a.example.com", DMARC_YES },
        { EX "!temp", "spf:a.example.com", DMARC_UNKNOWN },
        { EX "!temp", "spf:example.com", DMARC_YES },
        { EX REJECT, "?spf:example.com", DMARC_UNKNOWN },
        { EX REJECT, "spf:example.org", DMARC_NO },
        { EX REJECT, "spf:example.com dkim:a.example.com", DMARC_YES },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone_run run = { .zone = slice_str(cases[i].zone), .order = ZONE_PARALLEL };
        struct dmarc *d =
            dmarc_new(&(struct dmarc_settings){ .author = SLICE("example.com"), .want = DMARC_WANT_RELAXED });

        add_domains(d, slice_str(cases[i].domains));
        dmarc_end_domains(d);
        zone_ask(&run, d);
        assert_true(dmarc_done(d));
        if (dmarc_outcome(d)->relaxed != cases[i].relaxed) {
            fail_msg("%s, %s: %d", cases[i].zone, cases[i].domains, (int)dmarc_outcome(d)->relaxed);
        }
        dmarc_free(d);
    }
}

/* The author's walk starts before the other domains are known; the outcome waits for them. */
static void test_early_start(void **state)
{
    struct zone_run run = { .zone = SLICE(EX REJECT) };
    struct dmarc *d = dmarc_new(&(struct dmarc_settings){ .author = SLICE("a.example.com") });

    (void)state;
    zone_ask(&run, d);
    assert_int_equal(run.asked, 3);
    assert_false(dmarc_done(d));
    assert_int_equal(dmarc_outcome(d)->reason, DMARC_UNDECIDED);
    dmarc_add(d, DMARC_BY_SPF, SLICE("other.net"));
    dmarc_add(d, DMARC_BY_SPF, SLICE("b.example.com")); /* replaces it */
    dmarc_end_domains(d);
    dmarc_add(d, DMARC_BY_DKIM, SLICE("a.example.com")); /* too late */
    assert_false(dmarc_done(d));
    zone_ask(&run, d);
    assert_int_equal(run.asked, 4);
    assert_true(dmarc_done(d) && dmarc_outcome(d)->spf && !dmarc_outcome(d)->dkim);
    dmarc_free(d);
}

/* Junk signatures cannot displace one of the author, and the number of questions is bounded. */
static void test_caps(void **state)
{
    struct zone_run run = { .zone = SLICE(EX REJECT "; adkim=s"), .order = ZONE_PARALLEL };
    struct dmarc *d =
        dmarc_new(&(struct dmarc_settings){ .author = SLICE("example.com"), .want = DMARC_WANT_RELAXED });
    char name[64];

    (void)state;
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "a.b.c.d.e.f.g%d.example.com", i);
        dmarc_add(d, DMARC_BY_DKIM, slice_str(name));
        (void)snprintf(name, sizeof(name), "junk%d.com", i);
        dmarc_add(d, DMARC_BY_DKIM, slice_str(name));
    }
    dmarc_add(d, DMARC_BY_DKIM, SLICE("example.com"));
    dmarc_add(d, DMARC_BY_SPF, SLICE("x.example.com"));
    dmarc_end_domains(d);
    zone_ask(&run, d);
    assert_true(dmarc_done(d) && dmarc_outcome(d)->dkim && dmarc_outcome(d)->spf);
    assert_true(run.asked <= 8 * 12);
    assert_true(run.asked > 8 * 6);
    dmarc_free(d);
}

static void test_record_caps(void **state)
{
    static char text[DMARC_RECORD_MAX + 1];
    struct slice records[DMARC_RECORDS_MAX + 1];
    struct dmarc_answer answer = { .status = DMARC_ANSWER_OK, .records = records };
    static const enum dmarc_result wanted[] = { DMARC_FAIL, DMARC_NONE, DMARC_FAIL, DMARC_NONE };

    (void)state;
    memset(text, ' ', sizeof(text));
    memcpy(text, "v=DMARC1;p=reject;", 18);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        struct dmarc *d = dmarc_new(&(struct dmarc_settings){ .author = SLICE("com") });
        struct dmarc_query query;

        for (size_t k = 0; k < ARRAY_LEN(records); k++) {
            records[k] = SLICE("text");
        }
        records[0] = slice_of(text, DMARC_RECORD_MAX + (i == 1));
        answer.count = i < 2 ? 1 : DMARC_RECORDS_MAX + (i == 3);
        dmarc_end_domains(d);
        assert_true(dmarc_next(d, &query));
        dmarc_answer(d, query.id + 1, &answer); /* not asked */
        assert_false(dmarc_done(d));
        dmarc_answer(d, query.id, &answer);
        assert_true(dmarc_done(d));
        dmarc_answer(d, query.id,
                     &(struct dmarc_answer){ .status = DMARC_ANSWER_TEMPFAIL }); /* a second answer */
        assert_int_equal(dmarc_outcome(d)->result, wanted[i]);
        dmarc_free(d);
    }
}

static void test_abandon(void **state)
{
    static const struct {
        size_t answers;
        enum dmarc_result result;
    } cases[] = { { 0, DMARC_TEMPERROR }, { 1, DMARC_TEMPERROR }, { 4, DMARC_PASS }, { 99, DMARC_PASS } };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone_run run = { .zone = SLICE(EX REJECT "; np=none") };
        struct dmarc *d = dmarc_new(&(struct dmarc_settings){ .author = SLICE("a.example.com") });

        dmarc_add(d, DMARC_BY_SPF, SLICE("example.com"));
        dmarc_end_domains(d);
        while (run.asked < cases[i].answers && zone_take(&run, d)) {
            zone_answer(&run, d, &run.query[run.asked - 1]);
        }
        dmarc_abandon(d);
        assert_true(dmarc_done(d));
        assert_int_equal(dmarc_outcome(d)->result, cases[i].result);
        assert_false(dmarc_next(d, &run.query[0]));
        dmarc_free(d);
    }
    dmarc_free(NULL);
}

/* A public suffix list of two suffixes: com, and co.uk. */
static size_t listed(void *arg, struct slice domain)
{
    size_t suffix = slice_ends_nocase(domain, SLICE("co.uk")) ? 2 : 1, labels = 1;

    for (size_t i = 0; i < domain.len; i++) {
        labels += domain.ptr[i] == '.';
    }
    ++*(size_t *)arg;
    return labels > suffix ? suffix + 1 : 0;
}

static void test_list(void **state)
{
    static const struct scene cases[] = {
        { "_dmarc.example.co.uk\t" REJECT "; sp=none", "a.b.example.co.uk", "dkim:c.example.co.uk", ORG,
          "pass none/sp dkim example.co.uk", 2 },
        { "_dmarc.example.co.uk\t" REJECT, "example.co.uk", "dkim:other.co.uk", ORG,
          "fail reject/p example.co.uk", 1 },
        { "_dmarc.b.example.com\t" REJECT, "a.b.example.com", "", ORG, "none example.com", 2 },
        { "_dmarc.com\t" REJECT "; psd=y", "example.com", "", ORG, "none example.com", 1 },
        { "_dmarc.com\t" REJECT "; psd=y", "com", "", ORG, "fail reject/p com", 1 },
        { EX REJECT "; psd=y", "a.example.com", "spf:b.example.com", ORG, "pass reject/p spf example.com",
          2 },
        { EX "!temp", "a.example.com", "spf:b.example.com", ORG, "temperror example.com", 2 },
        { EX REJECT "; np=none", "a.example.com", "", 0, "fail none/np", 3 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct zone_run run = { .zone = slice_str(cases[i].zone) };
        size_t calls = 0;
        struct dmarc *d = dmarc_new(&(struct dmarc_settings){
            .author = slice_str(cases[i].author), .want = cases[i].want, .org = listed, .org_arg = &calls });
        struct buf text;

        add_domains(d, slice_str(cases[i].domains));
        dmarc_end_domains(d);
        zone_ask(&run, d);
        buf_init(&text, 2048);
        put_outcome(&text, d);
        assert_string_equal(text.ptr, cases[i].outcome);
        assert_int_equal(run.asked, cases[i].most);
        buf_fini(&text);
        dmarc_free(d);
    }
}

static void answer(struct dmarc *d, size_t id, enum dmarc_answer_status status)
{
    dmarc_answer(d, id, &(struct dmarc_answer){ .status = status });
}

/* Only the first answer to a question counts, and only to one that was asked. */
static void test_second_answers(void **state)
{
    struct slice record = SLICE(REJECT "; sp=quarantine; np=none");
    struct dmarc *d = dmarc_new(&(struct dmarc_settings){ .author = SLICE("a.example.com") });
    struct dmarc_query query;
    size_t own;

    (void)state;
    assert_true(dmarc_next(d, &query));
    own = query.id;
    answer(d, own, DMARC_ANSWER_NXDOMAIN);
    answer(d, own, DMARC_ANSWER_TEMPFAIL);
    assert_true(dmarc_next(d, &query));
    dmarc_answer(d, query.id, &(struct dmarc_answer){ .records = &record, .count = 1 });
    answer(d, query.id + 1, DMARC_ANSWER_TEMPFAIL); /* noted, not asked */
    assert_true(dmarc_next(d, &query));
    answer(d, query.id, DMARC_ANSWER_NXDOMAIN);
    assert_true(dmarc_next(d, &query));
    assert_int_equal(query.question, DMARC_ASK_EXISTS);
    assert_true(slice_eq(query.name, SLICE("a.example.com")));
    answer(d, query.id, DMARC_ANSWER_NODATA);
    answer(d, query.id, DMARC_ANSWER_NXDOMAIN);
    dmarc_end_domains(d);
    assert_true(dmarc_done(d));
    assert_int_equal(dmarc_outcome(d)->policy, DMARC_POLICY_QUARANTINE);
    dmarc_free(d);
}

static void reason_is(const char *domains, enum dmarc_reason wanted)
{
    struct zone_run run = { .zone = SLICE(EX REJECT) };
    struct dmarc *d = start(&(struct scene){ .author = "example.com", .domains = domains });

    zone_ask(&run, d);
    assert_true(dmarc_done(d));
    assert_int_equal(dmarc_outcome(d)->reason, wanted);
    dmarc_free(d);
}

static void test_reasons(void **state)
{
    (void)state;
    reason_is("", DMARC_UNAUTHENTICATED);
    reason_is("?spf:example.net", DMARC_UNAUTHENTICATED);
    reason_is("spf:example.net", DMARC_UNALIGNED);
    reason_is("dkim:other.com", DMARC_UNALIGNED);
    reason_is("dkim:example.com", DMARC_ALIGNED);
    reason_is("?dkim:example.com", DMARC_IDENTITY_UNKNOWN);
}

static void test_words(void **state)
{
    (void)state;
    for (int i = 0; i < DMARC_REASON_COUNT; i++) {
        const char *text = dmarc_reason_text((enum dmarc_reason)i);

        assert_in_range(strlen(text), 1, 80);
        assert_int_equal(slice_plain(slice_str(text)), strlen(text));
        assert_null(strchr(text, '"'));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policy_of_the_author),
        cmocka_unit_test(test_policy_from_above),
        cmocka_unit_test(test_public_suffix),
        cmocka_unit_test(test_examples),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_many_labels),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_unknown_domains),
        cmocka_unit_test(test_authors),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_relaxed),
        cmocka_unit_test(test_early_start),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_record_caps),
        cmocka_unit_test(test_abandon),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_second_answers),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
