/* SPDX-License-Identifier: Apache-2.0 */
/*
 * text.c - renders templates with facts (text.h).
 *
 * It cleans the text of each fact before adding it to the reply.  So a fact can neither exceed its share nor add a
 * line break; line breaks of the template itself stay.
 */
#include "policy/rules/text.h"

#include "config/template.h"
#include "config/values.h"

static const struct slice greylist_wait = SLICE_INIT("greylist.wait");
static const struct slice reply_retry = SLICE_INIT("reply.retry");

/* Names that are no facts. */
static const struct slice other_names[] = {
    SLICE_INIT("server.hostname"),
    SLICE_INIT("policy.contact"),
    SLICE_INIT("greylist.wait"),
    SLICE_INIT("reply.retry"),
};

struct rendering {
    const struct text_facts *t;
    bool utf8;        /* for a tag, which may be encoded; not for a reply */
    struct buf value; /* of one fact */
};

bool text_name_known(const struct rules *r, struct slice name, unsigned *fact)
{
    *fact = fact_by_name(name);
    if (*fact < FACT_COUNT) {
        return true;
    }
    *fact = RULE_NO_FACT;
    for (size_t i = 0; i < ARRAY_LEN(other_names); i++) {
        if (slice_eq(name, other_names[i])) {
            return true;
        }
    }
    for (size_t i = 0; i < r->list_count && slice_starts(name, SLICE("reputation.")); i++) {
        if (slice_eq(r->lists[i], slice_skip(name, 11))) {
            *fact = FACT_COUNT + (unsigned)i;
            return true;
        }
    }
    return false;
}

size_t text_other_names(void)
{
    return ARRAY_LEN(other_names);
}

const char *text_nearest_name(struct slice name, struct nearest *near)
{
    nearest_init(near, name);
    for (unsigned i = 0; i < FACT_COUNT; i++) {
        nearest_offer(near, slice_str(fact_table[i].name));
    }
    for (size_t i = 0; i < ARRAY_LEN(other_names); i++) {
        nearest_offer(near, other_names[i]);
    }
    return nearest_words(near);
}

struct rule_reply text_default(enum action a)
{
    struct rule_reply r = { .code = a == ACTION_DROP ? 421 : 451,
                            .enhanced = SLICE("4.7.1"),
                            .text = SLICE("Not accepted for now, please try again later"),
                            .soft = SLICE("4.7.1") };

    if (a == ACTION_REJECT) {
        r.code = 550;
        r.enhanced = SLICE("5.7.1");
        r.text = SLICE("Refused by the policy of this server");
    } else if (a == ACTION_GREYLIST) {
        r.text = SLICE("Greylisted: please try again in {greylist.wait}");
    }
    return r;
}

static void put_value(const struct text_facts *t, unsigned fact, struct buf *out)
{
    if (fact < FACT_COUNT) {
        struct fact_value v = t->facts->v[fact];

        if (v.state == FACT_PENDING && v.len > 0) { /* a partial value */
            v.state = FACT_KNOWN;
        }
        fact_put(out, (enum fact_id)fact, &v);
    } else if (t->lists != NULL && t->lists[fact - FACT_COUNT].state == FACT_KNOWN) {
        buf_put_str(out, t->lists[fact - FACT_COUNT].flag ? "true" : "false");
    }
}

/* Keeps printable ASCII, and octets above 127 if `utf8`; a run of others becomes one `?`, white space one blank. */
static void put_clean(struct buf *out, struct slice s, bool utf8)
{
    char last = '\0';

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            c = ' ';
        } else if (!ascii_is_print(c) && !(utf8 && (unsigned char)c > 0x7f)) {
            c = '?';
        }
        if (c != last || (c != '?' && c != ' ')) {
            buf_put_char(out, c);
        }
        last = c;
    }
}

/* Puts a name that is no fact. */
static void put_other(const struct text_facts *t, struct slice name, struct buf *out)
{
    if (slice_eq(name, SLICE("server.hostname"))) {
        buf_put_str(out, t->rules->hostname);
    } else if (slice_eq(name, greylist_wait)) {
        if (t->greylist_wait_s > 0) {
            value_put_duration(out, t->greylist_wait_s * 1000ULL);
        }
    } else if (slice_eq(name, reply_retry)) { /* nothing to retry after a permanent refusal */
        buf_put_str(out, t->code / 100 == 4 ? "your server will try again by itself" : "");
    } else {
        buf_put_slice(out, t->rules->contact);
    }
}

static bool look_up(void *arg, struct slice name, struct buf *out)
{
    struct rendering *r = arg;
    unsigned fact;

    if (!text_name_known(r->t->rules, name, &fact)) {
        return false;
    }
    buf_reset(&r->value);
    if (fact != RULE_NO_FACT) {
        put_value(r->t, fact, &r->value);
    } else {
        put_other(r->t, name, &r->value);
    }
    put_clean(out, slice_trim(slice_take(buf_slice(&r->value), r->utf8 ? TAG_VALUE_MAX : REPLY_FACT_MAX)),
              r->utf8);
    return true;
}

static void render(const struct text_facts *t, struct slice text, bool utf8, struct buf *out)
{
    struct rendering r = { .t = t, .utf8 = utf8 };

    buf_init(&r.value, 4096); /* cuts a longer one */
    template_render(text, look_up, &r, out);
    buf_fini(&r.value);
}

/* Octets before the line break: up to the last blank that fits, or all that fit. */
static size_t break_at(struct slice line)
{
    size_t blank;

    if (line.len <= REPLY_LINE_WIDTH) {
        return line.len;
    }
    blank = slice_rfind(slice_take(line, REPLY_LINE_WIDTH), ' ');
    return blank < REPLY_LINE_WIDTH && blank > 0 ? blank : REPLY_LINE_WIDTH;
}

void text_reply(const struct text_facts *t, struct slice text, struct buf *out)
{
    struct buf whole;
    struct slice rest;
    bool first = true;

    buf_init(&whole, REPLY_TEXT_MAX);
    render(t, text, false, &whole);
    rest = slice_take(buf_slice(&whole), REPLY_TEXT_MAX);
    while (!slice_empty(rest)) {
        struct slice line = slice_trim(slice_cut(&rest, '\n'));

        while (!slice_empty(line)) {
            size_t end = break_at(line);

            buf_put_str(out, first ? "" : "\n");
            put_clean(out, slice_trim(slice_take(line, end)), false);
            line = slice_trim(slice_skip(line, end));
            first = false;
        }
    }
    buf_fini(&whole);
}

void text_tag(const struct text_facts *t, struct slice text, struct buf *out)
{
    struct buf whole;

    buf_init(&whole, TAG_VALUE_MAX);
    render(t, text, true, &whole);
    put_clean(out, slice_trim(buf_slice(&whole)), true);
    buf_fini(&whole);
}
