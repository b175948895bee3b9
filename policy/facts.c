/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.c - the table of facts, and setting, forgetting and showing their values (facts.h).
 */
#include "policy/facts.h"

#include "config/values.h"

#define JSON_TEXT_MAX 4096

const struct fact_info fact_table[FACT_COUNT] = {
#define X(id, name, type, stage, scope, traits, words)                                                       \
    [FACT_ID_##id] = { name, type, stage, scope, traits, words },
    FACT_LIST(X)
#undef X
};

enum fact_id fact_by_name(struct slice name)
{
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        if (slice_eq(slice_str(fact_table[i].name), name)) {
            return (enum fact_id)i;
        }
    }
    return FACT_COUNT;
}

int fact_word_index(enum fact_id id, struct slice word)
{
    struct slice rest = slice_str(fact_table[id].words);
    int index = 0;

    while (!slice_empty(rest) && !slice_empty(word)) {
        if (slice_eq(slice_token(&rest), word)) {
            return index;
        }
        index++;
    }
    return -1;
}

struct slice fact_word(enum fact_id id, unsigned index)
{
    struct slice rest = slice_str(fact_table[id].words), word = slice_token(&rest);

    while (index-- > 0) {
        word = slice_token(&rest);
    }
    return word;
}

unsigned fact_temperror(enum fact_id id)
{
    unsigned at = fact_table[id].traits >> FACT_TEMPERROR_SHIFT;

    return at > 0 ? at - 1u : FACT_NO_WORD;
}

void facts_forget(struct facts *f, enum fact_scope scope)
{
/* written out for each fact: it is done six times a message, and the scopes are constants here */
#define X(id, name, type, stage, of, traits, words)                                                          \
    if ((of) >= scope) {                                                                                     \
        f->v[FACT_ID_##id] = (struct fact_value){ .state = FACT_IDLE };                                      \
    }
    FACT_LIST(X)
#undef X
}

void fact_set_flag(struct facts *f, enum fact_id id, bool value)
{
    f->v[id] = (struct fact_value){ .state = FACT_KNOWN, .flag = value };
}

void fact_set_word(struct facts *f, enum fact_id id, unsigned index)
{
    f->v[id] = (struct fact_value){ .state = FACT_KNOWN, .word = (uint8_t)index };
}

void fact_set_number(struct facts *f, enum fact_id id, int64_t thousandths)
{
    f->v[id] = (struct fact_value){ .state = FACT_KNOWN, .u.number = (uint64_t)thousandths };
}

void fact_set_duration(struct facts *f, enum fact_id id, uint64_t ms)
{
    f->v[id] = (struct fact_value){ .state = FACT_KNOWN, .u.number = ms };
}

void fact_set_text(struct facts *f, enum fact_id id, struct slice text)
{
    f->v[id] = (struct fact_value){ .state = FACT_KNOWN,
                                    .len = (uint32_t)min_size(text.len, UINT32_MAX),
                                    .u.text = text.ptr };
}

void fact_set_ip(struct facts *f, enum fact_id id, const struct addr *ip)
{
    f->v[id] = (struct fact_value){ .state = FACT_KNOWN, .u.ip = ip };
}

void fact_set_unknown(struct facts *f, enum fact_id id)
{
    unsigned temperror = fact_temperror(id);

    if (temperror != FACT_NO_WORD) {
        fact_set_word(f, id, temperror);
    } else {
        f->v[id] = (struct fact_value){ .state = FACT_UNKNOWN };
    }
}

void fact_set_pending(struct facts *f, enum fact_id id)
{
    f->v[id] = (struct fact_value){ .state = FACT_PENDING };
}

static void put_words(struct buf *out, struct slice words)
{
    while (!slice_empty(words)) {
        buf_put_slice(out, slice_cut(&words, ','));
        buf_put_str(out, slice_empty(words) ? "" : ", ");
    }
}

void fact_put(struct buf *out, enum fact_id id, const struct fact_value *v)
{
    if (v->state != FACT_KNOWN && v->state != FACT_SOFT) {
        return;
    }
    switch (fact_table[id].type) {
    case FACT_FLAG:
        buf_put_str(out, v->flag ? "true" : "false");
        break;
    case FACT_WORD:
        buf_put_slice(out, fact_word(id, v->word));
        break;
    case FACT_WORDS:
        put_words(out, fact_text(v));
        break;
    case FACT_NAME:
    case FACT_ADDRESS:
    case FACT_TEXT:
        buf_put_slice(out, fact_text(v));
        break;
    case FACT_IP:
        addr_put_ip(out, v->u.ip);
        break;
    case FACT_NUMBER:
        value_put_decimal(out, (int64_t)v->u.number);
        break;
    case FACT_DURATION:
        value_put_duration(out, v->u.number);
        break;
    }
}

static void put_json_words(struct buf *out, struct slice words)
{
    const char *before = "";

    buf_put_char(out, '[');
    while (!slice_empty(words)) {
        buf_put_str(out, before);
        buf_put_json(out, slice_cut(&words, ','), JSON_TEXT_MAX);
        before = ",";
    }
    buf_put_char(out, ']');
}

void fact_put_json(struct buf *out, enum fact_id id, const struct fact_value *v)
{
    enum fact_type type = fact_table[id].type;

    if (v->state != FACT_KNOWN && v->state != FACT_SOFT) {
        buf_put_str(out, "null");
    } else if (type == FACT_WORDS) {
        put_json_words(out, fact_text(v));
    } else if (type == FACT_NAME || type == FACT_ADDRESS || type == FACT_TEXT) {
        buf_put_json(out, fact_text(v), JSON_TEXT_MAX);
    } else if (type == FACT_FLAG || type == FACT_NUMBER) {
        fact_put(out, id, v);
    } else {
        buf_put_char(out, '"'); /* words, addresses and durations hold nothing to be escaped */
        fact_put(out, id, v);
        buf_put_char(out, '"');
    }
}
