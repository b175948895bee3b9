/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge.c - dmarc_judge [LIST] < CASES: what policy/dmarc finds, for test/integration/29-dmarc-*.py.  With LIST, a file
 * of public suffixes, as with `dmarc.org_domain: psl`.
 *
 * A case is a block of lines that an empty line ends: the author's domain; the other domains, as words
 * METHOD:DOMAIN with `?` in front for a temperror; then the zone of test/unit/dmarc/zone.h.  The answer is one line:
 * result, policy, tag, organisational domain, methods that align, relaxed alignment, with tabs between.  A case is
 * evaluated four times: serial and parallel, with all that can be wanted (these are the answers) and with nothing.  If
 * these disagree where they may not, the result is "torn".
 */
#include "policy/dmarc/psl.h"
#include "test/unit/dmarc/zone.h"

enum { CASE_MAX = 1u << 20 };

static void add_domains(struct dmarc *d, struct slice words)
{
    for (struct slice word = slice_token(&words); !slice_empty(word); word = slice_token(&words)) {
        bool unknown = word.ptr[0] == '?';
        struct slice method = slice_cut(&word, ':');
        enum dmarc_by by = slice_ends_nocase(method, SLICE("spf")) ? DMARC_BY_SPF : DMARC_BY_DKIM;

        (unknown ? dmarc_add_unknown : dmarc_add)(d, by, word);
    }
}

/* Puts result, policy and tag: what must not depend on the order of answers or on what else is wanted. */
static void put_result(struct buf *out, const struct dmarc_outcome *o)
{
    buf_putf(out, "%s\t%s%s\t%s", dmarc_result_text(o->result), dmarc_policy_text(o->policy),
             o->policy_known || o->tag[0] == '\0' ? "" : "?", o->tag);
}

static void put_rest(struct buf *out, const struct dmarc_outcome *o)
{
    static const char *const truths[] = { "no", "yes", "unknown" };

    buf_put_char(out, '\t');
    buf_put_slice(out, o->domain);
    buf_putf(out, "\t%s%s\t%s", o->spf ? "spf " : "", o->dkim ? "dkim" : "", truths[o->relaxed]);
}

static struct dmarc_psl *list; /* NULL: tree walks */

static struct dmarc *new_evaluation(struct slice author, unsigned want)
{
    struct dmarc_settings settings = { .author = author, .want = want };

#ifdef GLACIS_HAVE_LIBPSL
    settings.org = list != NULL ? dmarc_psl_org : NULL;
    settings.org_arg = list;
#endif
    return dmarc_new(&settings);
}

/* 77 tells the test that this build has no public suffixes. */
static void load_list(const char *path)
{
#ifdef GLACIS_HAVE_LIBPSL
    list = dmarc_psl_load(path);
#else
    (void)path;
#endif
    if (list == NULL) {
        exit(77);
    }
}

static void free_list(void)
{
#ifdef GLACIS_HAVE_LIBPSL
    dmarc_psl_free(list);
#endif
}

static void judge_once(struct buf *out, struct slice text, enum zone_order order, unsigned want)
{
    static struct zone_run run;
    struct slice author = slice_cut(&text, '\n'), words = slice_cut(&text, '\n');
    struct dmarc *d = new_evaluation(author, want);

    run = (struct zone_run){ .zone = text, .order = order };
    add_domains(d, words);
    dmarc_end_domains(d);
    zone_ask(&run, d);
    BUG_ON(!dmarc_done(d));
    buf_reset(out);
    put_result(out, dmarc_outcome(d));
    if (want != 0) {
        put_rest(out, dmarc_outcome(d));
    }
    dmarc_free(d);
}

static void judge(struct slice text)
{
    static const unsigned wants[] = { DMARC_WANT_ORG | DMARC_WANT_RELAXED, 0 };
    struct buf first, other;
    bool torn = false;

    buf_init(&first, 4096);
    buf_init(&other, 4096);
    judge_once(&first, text, ZONE_SERIAL, wants[0]);
    judge_once(&other, text, ZONE_PARALLEL, wants[0]);
    torn = !slice_eq(buf_slice(&first), buf_slice(&other));
    for (int order = 0; order < ZONE_ORDER_COUNT; order++) {
        judge_once(&other, text, (enum zone_order)order, wants[1]);
        torn = torn || !slice_starts(buf_slice(&first), buf_slice(&other));
    }
    printf("%s\n", torn ? "torn" : first.ptr);
    buf_fini(&first);
    buf_fini(&other);
}

int main(int argc, char **argv)
{
    struct buf text;
    char *line = NULL;
    size_t size = 0;
    ssize_t len;

    if (argc > 1) {
        load_list(argv[1]);
    }
    buf_init(&text, CASE_MAX);
    while ((len = getline(&line, &size, stdin)) >= 0) {
        if (len > 1 || text.len == 0) { /* an author may be empty */
            buf_put(&text, line, (size_t)len);
            continue;
        }
        BUG_ON(!buf_ok(&text));
        judge(buf_slice(&text));
        buf_reset(&text);
    }
    free(line);
    buf_fini(&text);
    free_list();
    return 0;
}
