/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_show.c - shows the results for a message's signatures and author, for people or as JSON (policy.h).
 *
 * For explain: each signature with its result and the reason, then DMARC with the record used.  Names have passed
 * their grammar (dkim.h, dmarc.h), and reasons are our own texts.
 */
#include "policy/judge/engine_priv.h"

static void put_field(struct buf *out, const char *name, struct slice value)
{
    buf_putf(out, "%s\"%s\":", out->ptr[out->len - 1] == '{' ? "" : ",", name);
    buf_put_json(out, value, 400);
}

/* ---- signatures ---- */

static void put_signature_json(const struct dkim_verdict *v, struct buf *out)
{
    buf_put_str(out, out->ptr[out->len - 1] == '[' ? "{" : ",{");
    put_field(out, "result", slice_str(dkim_result_text(v->result)));
    put_field(out, "reason", slice_str(dkim_reason_text(v->reason)));
    put_field(out, "domain", v->domain);
    put_field(out, "selector", v->selector);
    put_field(out, "identity", v->identity);
    put_field(out, "algorithm", slice_str(dkim_algorithm_text(v->algorithm)));
    put_field(out, "header", slice_str(dkim_canon_text(v->header_canon)));
    put_field(out, "body", slice_str(dkim_canon_text(v->body_canon)));
    buf_putf(out, ",\"key_bits\":%u,\"testing\":%s,\"examined\":%s,\"position\":%zu}", v->key_bits,
             v->testing ? "true" : "false", v->examined ? "true" : "false", v->position + 1);
}

static void put_signature_text(const struct dkim_verdict *v, struct buf *out)
{
    buf_putf(out, "  DKIM-Signature %zu, ", v->position + 1);
    if (slice_empty(v->domain)) {
        buf_put_str(out, "of no legal domain");
    } else {
        buf_putf(out, "of " SLICE_FMT ", selector " SLICE_FMT, SLICE_ARG(v->domain), SLICE_ARG(v->selector));
    }
    if (v->algorithm != DKIM_UNKNOWN_ALGORITHM) {
        buf_putf(out, " (%s, %s/%s)", dkim_algorithm_text(v->algorithm), dkim_canon_text(v->header_canon),
                 dkim_canon_text(v->body_canon));
    }
    buf_putf(out, "\n    %s: %s\n", dkim_result_text(v->result), dkim_reason_text(v->reason));
}

static void put_signatures(const struct dkim *d, bool json, struct buf *out)
{
    buf_put_str(out, json ? "\"signatures\":[" : "");
    for (size_t i = 0; d != NULL && i < dkim_count(d); i++) {
        if (json) {
            put_signature_json(dkim_verdict_at(d, i), out);
        } else {
            put_signature_text(dkim_verdict_at(d, i), out);
        }
    }
    if (json) {
        buf_putf(out, "],\"unread\":%zu", d != NULL ? dkim_skipped(d) : 0);
    } else if (d == NULL) {
        buf_put_str(out, "  no DKIM-Signature\n");
    } else if (dkim_skipped(d) > 0) {
        buf_putf(out, "  %zu more that are not read\n", dkim_skipped(d));
    }
}

/* ---- DMARC ---- */

static void put_dmarc_json(const struct judge *j, const struct dmarc_outcome *o, struct buf *out)
{
    buf_put_str(out, ",\"dmarc\":{");
    put_field(out, "result", slice_str(dmarc_result_text(o->result)));
    put_field(out, "reason", slice_str(dmarc_reason_text(o->reason)));
    put_field(out, "author", j->author);
    put_field(out, "policy", slice_str(o->policy_known ? dmarc_policy_text(o->policy) : ""));
    put_field(out, "tag", slice_str(o->tag));
    put_field(out, "record_at", o->policy_domain);
    buf_putf(out, ",\"spf\":%s,\"dkim\":%s}", o->spf ? "true" : "false", o->dkim ? "true" : "false");
}

static void put_dmarc_text(const struct judge *j, const struct dmarc_outcome *o, struct buf *out)
{
    buf_put_str(out, "  DMARC");
    if (!slice_empty(j->author)) {
        buf_putf(out, " of " SLICE_FMT, SLICE_ARG(j->author));
    }
    if (o->policy_known) {
        buf_putf(out, ", which asks for %s (%s= at " SLICE_FMT ")", dmarc_policy_text(o->policy), o->tag,
                 SLICE_ARG(o->policy_domain));
    }
    buf_putf(out, "\n    %s: %s\n", dmarc_result_text(o->result), dmarc_reason_text(o->reason));
}

void judge_put_authentication(const struct judge *j, bool json, struct buf *out)
{
    const struct dmarc_outcome *o = source_dmarc_outcome(j);
    bool verified;
    const struct dkim *d = source_dkim_results(j, &verified);

    if (!verified) {
        buf_put_str(out, json ? "\"verified\":false"
                              : "  not verified: its client is exempt, it bypasses the rules, or "
                                "dkim.verify is false\n");
        return;
    }
    buf_put_str(out, json ? "\"verified\":true," : "");
    put_signatures(d, json, out);
    if (o != NULL && json) {
        put_dmarc_json(j, o, out);
    } else if (o != NULL) {
        put_dmarc_text(j, o, out);
    }
}
