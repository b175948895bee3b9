/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_dmarc.c - any zone, any domains, answers in any order: the evaluation ends within its caps, its outcome is
 * consistent, and it is the same for serial and for late answers.
 *
 * The input: the author's domain on the first line; a word a domain on the second (octet 0: method and state by its low
 * bits, the rest the domain); then the zone of test/unit/dmarc/zone.h.
 */
#include "test/unit/dmarc/zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct dmarc *d, struct slice word)
{
    unsigned how = (unsigned char)word.ptr[0];
    enum dmarc_by by = (how & 1) != 0 ? DMARC_BY_SPF : DMARC_BY_DKIM;

    if ((how & 2) != 0) {
        dmarc_add_unknown(d, by, slice_skip(word, 1));
    } else {
        dmarc_add(d, by, slice_skip(word, 1));
    }
}

static void must_be_sound(struct dmarc *d, struct slice author)
{
    const struct dmarc_outcome *o = dmarc_outcome(d);

    BUG_ON(o->reason == DMARC_UNDECIDED || o->result != dmarc_reason_result(o->reason));
    BUG_ON((o->result == DMARC_PASS) != (o->spf || o->dkim));
    BUG_ON(o->result == DMARC_FAIL && (!o->policy_known || slice_empty(o->policy_domain)));
    BUG_ON(o->result == DMARC_NONE && (o->policy_known || o->policy != DMARC_POLICY_NONE));
    BUG_ON(o->result == DMARC_PASS && o->relaxed == DMARC_NO); /* WANT_RELAXED: strict implies relaxed */
    BUG_ON(o->domain.len > author.len || o->policy_domain.len > author.len);
    BUG_ON(o->record.testing && o->policy == DMARC_POLICY_REJECT);
}

static struct dmarc *evaluate(struct zone_run *run, struct slice author, struct slice words)
{
    struct dmarc_settings settings = { .author = author, .want = DMARC_WANT_ORG | DMARC_WANT_RELAXED };
    struct dmarc *d = dmarc_new(&settings);

    for (struct slice word = slice_token(&words); !slice_empty(word); word = slice_token(&words)) {
        add(d, word);
    }
    if (run->order == ZONE_SERIAL) {
        zone_ask(run, d); /* the author's walk, before the domains are complete */
    }
    dmarc_end_domains(d);
    zone_ask(run, d);
    BUG_ON(!dmarc_done(d) || run->asked > 8 * 12 + 1);
    BUG_ON(run->order == ZONE_PARALLEL && run->rounds > 3);
    must_be_sound(d, author);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct zone_run serial, parallel;
    struct slice zone = slice_of(data, size), author = slice_cut(&zone, '\n'), words = slice_cut(&zone, '\n');
    struct dmarc *a, *b;
    const struct dmarc_outcome *oa, *ob;
    struct dmarc_record record;

    serial = (struct zone_run){ .zone = zone, .order = ZONE_SERIAL };
    parallel = (struct zone_run){ .zone = zone, .order = ZONE_PARALLEL };
    a = evaluate(&serial, author, words);
    b = evaluate(&parallel, author, words);
    oa = dmarc_outcome(a);
    ob = dmarc_outcome(b);
    BUG_ON(oa->reason != ob->reason || oa->policy != ob->policy || oa->relaxed != ob->relaxed);
    BUG_ON(oa->spf != ob->spf || oa->dkim != ob->dkim || !slice_eq(oa->domain, ob->domain));
    if (dmarc_record_read(zone, &record)) {
        BUG_ON(record.substituted && record.no_policy);
        BUG_ON((record.substituted || record.no_policy) && (record.p | record.sp | record.np) != 0);
    }
    dmarc_free(a);
    dmarc_free(b);
    return 0;
}
