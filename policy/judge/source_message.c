/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_message.c - facts from the header section of the message: message.* (source.h,
 * smtp/message_head.h).
 *
 * Needs no lookup: it reads the section once, when the first of these facts is needed, and sets all of them.
 * It copies the texts, because the session owns the section.
 *
 * Author  the domain that DKIM prefers and DMARC protects: from one From field with readable addresses of one domain.
 * Ours    an address is ours if its domain is one of `domains`.  One of several authors is enough.
 */
#include "policy/judge/engine_priv.h"
#include "smtp/message_head.h"

/* Is one of the names, joined by ',', a domain whose mail we take? */
static bool any_is_ours(const struct judge *j, struct slice names)
{
    while (!slice_empty(names)) {
        if (config_route(j->pw->policy->conf, slice_cut(&names, ',')) != NULL) {
            return true;
        }
    }
    return false;
}

static void set_text(struct judge *j, enum fact_id id, struct slice text)
{
    fact_set_text(&j->facts, id, facts_copy(j, SCOPE_TXN, text));
}

static void set_count(struct judge *j, enum fact_id id, unsigned n)
{
    fact_set_number(&j->facts, id, (int64_t)n * 1000);
}

static void set_authors(struct judge *j, const struct message_head *h)
{
    struct slice domains = buf_slice(&h->domains), in_names = buf_slice(&h->name_domains), first = in_names;
    bool ours = any_is_ours(j, domains);

    set_count(j, FACT_ID_MESSAGE_FROM_COUNT, h->fields[HEAD_FROM]);
    set_text(j, FACT_ID_MESSAGE_FROM_DOMAINS, domains);
    j->author = h->fields[HEAD_FROM] == 1 && h->domain_count == 1 && !h->unreadable
                    ? source_text(j, FACT_ID_MESSAGE_FROM_DOMAINS)
                    : SLICE_NONE; /* RFC 9989 4.5 */
    set_count(j, FACT_ID_MESSAGE_AUTHOR_DOMAINS, h->domain_count + (h->unreadable ? 1 : 0));
    set_text(j, FACT_ID_MESSAGE_FROM_DOMAIN, buf_slice(&h->domain));
    set_text(j, FACT_ID_MESSAGE_FROM_LOCAL, buf_slice(&h->local));
    fact_set_flag(&j->facts, FACT_ID_MESSAGE_FROM_OURS, ours);
    set_text(j, FACT_ID_MESSAGE_NAME_ADDRESS, slice_cut(&first, ','));
    fact_set_flag(&j->facts, FACT_ID_MESSAGE_NAME_OURS, !ours && any_is_ours(j, in_names));
}

/* The fields that are absent, or those that occur more than once. */
static void set_fields(struct judge *j, enum fact_id id, const struct message_head *h, bool missing)
{
    char mem[200];
    struct buf names;

    buf_init_fixed(&names, mem, sizeof(mem));
    for (unsigned i = 0; i < HEAD_FIELDS; i++) {
        if (missing ? h->fields[i] == 0 : h->fields[i] > 1) {
            buf_put_str(&names, names.len > 0 ? "," : "");
            buf_put_str(&names, head_field_name((enum head_field)i));
        }
    }
    set_text(j, id, buf_slice(&names));
}

static void set_date(struct judge *j, const struct message_head *h)
{
    int64_t now_s = wall_now_s();
    uint64_t skew_s = (uint64_t)(h->date_s > now_s ? h->date_s - now_s : now_s - h->date_s);

    if (h->dated) {
        fact_set_duration(&j->facts, FACT_ID_MESSAGE_DATE_SKEW, skew_s * 1000);
    } else {
        fact_set_unknown(&j->facts, FACT_ID_MESSAGE_DATE_SKEW);
    }
}

static bool start(struct judge *j, void *state)
{
    struct message_head h;

    (void)state;
    if (!j->has_section && !j->head_told) {
        source_set_unknown(j, &source_message);
        return false;
    }
    message_head_read(&h, j->has_section ? j->section : j->head);
    set_authors(j, &h);
    set_fields(j, FACT_ID_MESSAGE_MISSING, &h, true);
    set_fields(j, FACT_ID_MESSAGE_DUPLICATE, &h, false);
    set_date(j, &h);
    set_text(j, FACT_ID_MESSAGE_ID, buf_slice(&h.id));
    set_count(j, FACT_ID_MESSAGE_RECEIVED, h.received);
    fact_set_flag(&j->facts, FACT_ID_MESSAGE_IS_LIST, h.list);
    fact_set_flag(&j->facts, FACT_ID_MESSAGE_BULK, h.bulk);
    message_head_fini(&h);
    return false;
}

static const uint8_t facts[] = { FACT_ID_MESSAGE_FROM_COUNT,
                                 FACT_ID_MESSAGE_FROM_DOMAINS,
                                 FACT_ID_MESSAGE_AUTHOR_DOMAINS,
                                 FACT_ID_MESSAGE_FROM_DOMAIN,
                                 FACT_ID_MESSAGE_FROM_LOCAL,
                                 FACT_ID_MESSAGE_FROM_OURS,
                                 FACT_ID_MESSAGE_NAME_ADDRESS,
                                 FACT_ID_MESSAGE_NAME_OURS,
                                 FACT_ID_MESSAGE_IS_LIST,
                                 FACT_ID_MESSAGE_MISSING,
                                 FACT_ID_MESSAGE_DUPLICATE,
                                 FACT_ID_MESSAGE_DATE_SKEW,
                                 FACT_ID_MESSAGE_ID,
                                 FACT_ID_MESSAGE_BULK,
                                 FACT_ID_MESSAGE_RECEIVED,
                                 FACT_END };

const struct source source_message = {
    .facts = facts,
    .scope = SCOPE_TXN,
    .start = start,
};

void source_message_texts(struct judge *j)
{
    const uint8_t *use = j->pw->policy->rules.use;

    for (const uint8_t *f = facts; *f != FACT_END; f++) {
        if (use[*f] != 0) {
            source_need(j, (enum fact_id) * f);
            return;
        }
    }
}
