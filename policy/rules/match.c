/* SPDX-License-Identifier: Apache-2.0 */
/*
 * match.c - builds sets of values and searches them (match.h).
 *
 * Networks     IPv4 is kept as mapped IPv6 (::ffff:0:0/96), so one sorted array serves both.  It is ordered by prefix
 *              length, then base; a search does one binary search for each length in use.
 * Names        one hash lookup for the name, and one for each of its tails that begin at a dot (at most 127).
 * Duplicates   the entry that expires later stays.
 */
#include "policy/rules/match.h"

#include "config/values.h"
#include "core/idna.h"

#define NAME_MAX_BYTES 255
#define ADDRESS_MAX_BYTES 2400 /* a command line, and its growth by IDNA */

/* ---- filling ---- */

void set_init(struct set *s)
{
    *s = (struct set){ .nets = NULL };
    table_init(&s->names);
    table_init(&s->addresses);
    table_init(&s->texts);
}

void set_fini(struct set *s)
{
    for (size_t i = 0; i < s->regex_count; i++) {
        regex_free(&s->regexes[i]);
    }
    free(s->regexes);
    free(s->ranges);
    free(s->nets);
    table_fini(&s->names);
    table_fini(&s->addresses);
    table_fini(&s->texts);
    *s = (struct set){ .nets = NULL };
}

/* Grows an array: it doubles at each power of two, so the count alone tells when. */
static void *grown(void *array, size_t count, size_t size)
{
    return (count & (count - 1)) == 0 ? xrealloc(array, (count > 0 ? 2 * count : 1) * size) : array;
}

static struct cidr mapped(const struct cidr *net)
{
    struct cidr m = *net;

    if (net->base.family == ADDR_V4) {
        m.base = (struct addr){ .family = ADDR_V6 };
        m.base.ip[10] = m.base.ip[11] = 0xff;
        memcpy(&m.base.ip[12], net->base.ip, 4);
        m.bits = (uint8_t)(net->bits + 96);
    }
    return m;
}

bool set_add_net(struct set *s, const struct cidr *net, int32_t until_day)
{
    if (net->base.family == ADDR_NONE) {
        return false;
    }
    s->nets = grown(s->nets, s->net_count, sizeof(*s->nets));
    s->nets[s->net_count++] = (struct set_net){ mapped(net), until_day };
    return true;
}

static bool add_text(struct table *t, struct arena *a, struct slice text, int32_t until_day)
{
    struct table_entry *e = table_find(t, text);
    struct set_text *x;

    if (e != NULL) {
        x = container_of(e, struct set_text, entry);
        x->until_day = until_day > x->until_day ? until_day : x->until_day;
        return true;
    }
    x = arena_alloc(a, sizeof(*x));
    if (x != NULL) {
        x->until_day = until_day;
        table_insert(t, &x->entry, text);
    }
    return x != NULL;
}

bool set_add_name(struct set *s, struct arena *a, struct slice name, int32_t until_day)
{
    return add_text(&s->names, a, name, until_day);
}

bool set_add_address(struct set *s, struct arena *a, struct slice address, int32_t until_day)
{
    return add_text(&s->addresses, a, address, until_day);
}

bool set_add_text(struct set *s, struct arena *a, struct slice text, int32_t until_day)
{
    return add_text(&s->texts, a, text, until_day);
}

void set_add_range(struct set *s, int64_t low, int64_t high)
{
    s->ranges = grown(s->ranges, s->range_count, sizeof(*s->ranges));
    s->ranges[s->range_count++] = (struct set_range){ low, high };
}

void set_add_regex(struct set *s, struct regex *re)
{
    s->regexes = grown(s->regexes, s->regex_count, sizeof(struct regex *));
    s->regexes[s->regex_count++] = re;
}

static int compare_net(const struct cidr *a, const struct cidr *b)
{
    return a->bits != b->bits ? (int)a->bits - (int)b->bits
                              : memcmp(a->base.ip, b->base.ip, sizeof(a->base.ip));
}

static int order_nets(const void *a, const void *b)
{
    const struct set_net *x = a, *y = b;
    int order = compare_net(&x->net, &y->net);

    if (order != 0) {
        return order;
    }
    return x->until_day == y->until_day ? 0 : x->until_day > y->until_day ? -1 : 1;
}

void set_seal(struct set *s)
{
    size_t kept = 0;

    if (s->net_count > 1) {
        qsort(s->nets, s->net_count, sizeof(*s->nets), order_nets);
    }
    for (size_t i = 0; i < s->net_count; i++) {
        if (kept == 0 || compare_net(&s->nets[kept - 1].net, &s->nets[i].net) != 0) {
            s->nets[kept++] = s->nets[i];
        }
        s->lengths[s->nets[i].net.bits / 64] |= 1ull << (s->nets[i].net.bits % 64);
    }
    s->net_count = kept;
}

/* ---- search ---- */

bool set_is_empty(const struct set *s, enum fact_type type)
{
    switch (type) {
    case FACT_FLAG:
        return s->flags == 0;
    case FACT_WORD:
        return s->words == 0;
    case FACT_IP:
        return s->net_count == 0;
    case FACT_NAME:
        return s->names.len == 0 && s->regex_count == 0;
    case FACT_ADDRESS:
        return s->addresses.len == 0 && s->regex_count == 0;
    case FACT_NUMBER:
    case FACT_DURATION:
        return s->range_count == 0;
    case FACT_WORDS:
    case FACT_TEXT:
        return s->texts.len == 0 && s->regex_count == 0;
    }
    return true;
}

static void cut_to(struct addr *a, unsigned bits)
{
    for (unsigned i = 0; i < sizeof(a->ip); i++) {
        unsigned keep = bits > i * 8 ? bits - i * 8 : 0;

        if (keep < 8) {
            a->ip[i] = (uint8_t)(a->ip[i] & (0xff00u >> keep));
        }
    }
}

static bool has_net(const struct set *s, const struct cidr *net, int32_t today)
{
    size_t low = 0, high = s->net_count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        int order = compare_net(&s->nets[mid].net, net);

        if (order == 0) {
            return s->nets[mid].until_day >= today;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return false;
}

bool set_has_ip(const struct set *s, const struct addr *ip, int32_t today)
{
    struct cidr host = { *ip, ip->family == ADDR_V4 ? 32 : 128 };
    bool v4 = ip->family == ADDR_V4;

    if (ip->family == ADDR_NONE || s->net_count == 0) {
        return false;
    }
    host = mapped(&host);
    for (unsigned bits = 128;; bits--) {
        if ((s->lengths[bits / 64] >> (bits % 64) & 1) != 0) {
            host.bits = (uint8_t)bits;
            cut_to(&host.base, bits);
            if (has_net(s, &host, today)) {
                return true;
            }
        }
        if (bits == (v4 ? 96 : 0)) {
            return false; /* an IPv4 address is in no IPv6 network */
        }
    }
}

static bool has_text(const struct table *t, struct slice text, int32_t today)
{
    struct table_entry *e = t->len > 0 ? table_find(t, text) : NULL;

    return e != NULL && container_of(e, struct set_text, entry)->until_day >= today;
}

/* Is the lower-case name, or one of its tails ".example.com", in the table?  `prefix` is put before each ("@" or
 * ""). */
static bool has_tail(const struct table *t, struct slice name, bool after_at, int32_t today)
{
    char mem[NAME_MAX_BYTES + 2];

    if (name.len > NAME_MAX_BYTES) {
        return false;
    }
    for (size_t at = slice_find(name, '.'); at < name.len;) {
        struct slice tail = slice_skip(name, at);

        if (after_at) { /* "@.example.com" */
            mem[0] = '@';
            memcpy(&mem[1], tail.ptr, tail.len);
            tail = slice_of(mem, tail.len + 1);
        }
        if (at > 0 && has_text(t, tail, today)) {
            return true;
        }
        at += 1 + slice_find(slice_skip(name, at + 1), '.');
    }
    return false;
}

/* False if it does not fit. */
static bool lower_into(struct slice text, char *mem, size_t size, struct slice *out)
{
    if (text.len > size) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        mem[i] = ascii_lower(text.ptr[i]);
    }
    *out = slice_of(mem, text.len);
    return true;
}

bool set_has_name(const struct set *s, struct slice name, int32_t today)
{
    char mem[NAME_MAX_BYTES];
    struct slice lower;

    if (s->names.len == 0 || !lower_into(name, mem, sizeof(mem), &lower)) {
        return false;
    }
    if (slice_starts(lower, SLICE("."))) {
        return false; /* an entry form that no name has */
    }
    return has_text(&s->names, lower, today) || has_tail(&s->names, lower, false, today);
}

bool set_has_address(const struct set *s, struct slice address, int32_t today)
{
    char mem[ADDRESS_MAX_BYTES];
    struct slice lower;
    size_t at;

    if (s->addresses.len == 0 || !lower_into(address, mem, sizeof(mem), &lower)) {
        return false;
    }
    at = slice_rfind(lower, '@');
    if (at == 0 && lower.len > 0) {
        return false; /* an entry form: without a local part it is no address */
    }
    return has_text(&s->addresses, lower, today) ||
           (at < lower.len && (has_text(&s->addresses, slice_skip(lower, at), today) ||
                               has_tail(&s->addresses, slice_skip(lower, at + 1), true, today)));
}

bool set_has_range(const struct set *s, int64_t low, int64_t high, bool *partly)
{
    *partly = false;
    for (size_t i = 0; i < s->range_count; i++) {
        if (s->ranges[i].low <= low && high <= s->ranges[i].high) {
            return true;
        }
        *partly = *partly || (s->ranges[i].low <= high && low <= s->ranges[i].high);
    }
    return false;
}

static enum truth match_text(const struct set *s, bool exact, struct slice text)
{
    enum truth found = exact ? TRUTH_TRUE : TRUTH_FALSE;

    for (size_t i = 0; i < s->regex_count && found != TRUTH_TRUE; i++) {
        enum regex_result r = regex_match(s->regexes[i], text);

        if (r != REGEX_NO) {
            found = r == REGEX_MATCH ? TRUTH_TRUE : TRUTH_UNKNOWN;
        }
    }
    return found;
}

static enum truth truth_of(bool holds)
{
    return holds ? TRUTH_TRUE : TRUTH_FALSE;
}

static enum truth match_words(const struct set *s, struct slice words, int32_t today)
{
    enum truth found = slice_empty(words) ? truth_of(has_text(&s->texts, words, today)) : TRUTH_FALSE;

    while (!slice_empty(words) && found != TRUTH_TRUE) {
        struct slice word = slice_cut(&words, ',');
        enum truth here = match_text(s, has_text(&s->texts, word, today), word);

        found = here != TRUTH_FALSE ? here : found;
    }
    return found;
}

static int64_t number_of(enum fact_type type, const struct fact_value *v)
{
    if (type == FACT_DURATION && v->u.number > INT64_MAX) {
        return INT64_MAX;
    }
    return (int64_t)v->u.number;
}

enum truth set_match(const struct set *s, enum fact_type type, const struct fact_value *v, int32_t today)
{
    bool partly;

    switch (type) {
    case FACT_FLAG:
        return truth_of((s->flags >> (v->flag ? 1 : 0) & 1) != 0);
    case FACT_WORD:
        return truth_of(v->word < 32 && (s->words >> v->word & 1) != 0);
    case FACT_WORDS:
        return match_words(s, fact_text(v), today);
    case FACT_NAME:
        return match_text(s, set_has_name(s, fact_text(v), today), fact_text(v));
    case FACT_ADDRESS:
        return match_text(s, set_has_address(s, fact_text(v), today), fact_text(v));
    case FACT_IP:
        return truth_of(v->u.ip != NULL && set_has_ip(s, v->u.ip, today));
    case FACT_NUMBER:
    case FACT_DURATION:
        return truth_of(set_has_range(s, number_of(type, v), number_of(type, v), &partly));
    case FACT_TEXT:
        return match_text(s, has_text(&s->texts, fact_text(v), today), fact_text(v));
    }
    return TRUTH_FALSE;
}

/* ---- entries ---- */

static bool ends_in_number(struct slice name)
{
    size_t dot = slice_rfind(name, '.');
    struct slice last = slice_skip(name, dot < name.len ? dot + 1 : 0);
    uint64_t n;

    return slice_to_u64(last, UINT64_MAX, &n);
}

bool entry_parse_name(struct slice text, struct buf *out)
{
    bool below = slice_starts(text, SLICE("."));

    buf_put_str(out, below ? "." : "");
    return !ends_in_number(text) && idna_to_ascii(below ? slice_skip(text, 1) : text, out) && buf_ok(out);
}

bool entry_parse_address(struct slice text, struct buf *out)
{
    size_t at = slice_rfind(text, '@');
    struct slice local = slice_take(text, at);

    if (at == text.len) {
        return false;
    }
    for (size_t i = 0; i < local.len; i++) {
        if ((unsigned char)local.ptr[i] < 0x20 || local.ptr[i] == 0x7f || local.ptr[i] == '*') {
            return false;
        }
        buf_put_char(out, ascii_lower(local.ptr[i]));
    }
    buf_put_char(out, '@');
    if (!slice_empty(local) && slice_starts(slice_skip(text, at + 1), SLICE("."))) {
        return false; /* only "@.example.com" is valid */
    }
    return entry_parse_name(slice_skip(text, at + 1), out);
}

/* "192.0.2.5/24": puts the network that contains this address. */
static bool put_network(struct slice text, struct buf *out)
{
    struct slice bits = text, base = slice_cut(&bits, '/');
    struct addr ip;
    uint64_t n;

    if (!addr_parse_ip(base, &ip) || !slice_to_u64(bits, ip.family == ADDR_V4 ? 32 : 128, &n)) {
        return false;
    }
    ip = addr_network(&ip, (unsigned)n, (unsigned)n);
    buf_put_str(out, "; the network is ");
    addr_put_ip(out, &ip);
    buf_putf(out, "/%" PRIu64, n);
    return true;
}

void entry_put_hint(struct slice text, struct buf *out)
{
    struct slice last = text, first = slice_cut(&last, '-');
    struct addr ip;

    if (slice_starts(text, SLICE("*@")) || slice_starts(text, SLICE("*."))) {
        buf_put_str(out, text.ptr[1] == '@' ? "; all addresses of a domain are `"
                                            : "; all names below a domain are `");
        buf_put_quoted(out, slice_skip(text, 1), 60);
        buf_put_char(out, '`');
    } else if (addr_parse_ip(first, &ip) && addr_parse_ip(last, &ip)) {
        buf_put_str(out, "; a range is written as networks, such as 192.0.2.0/29");
    } else if (text.len > 0 && memmem(text.ptr, text.len, "://", 3) != NULL) {
        buf_put_str(out, "; nothing is fetched: put the list into a file, and file:/PATH here");
    } else {
        (void)put_network(text, out);
    }
}

static bool parse_scalar(struct slice text, bool duration, int64_t *out)
{
    uint64_t ms;

    if (!duration) {
        return value_parse_decimal(text, out);
    }
    if (!value_parse_duration(text, &ms) || ms > INT64_MAX) {
        return false;
    }
    *out = (int64_t)ms;
    return true;
}

static size_t find_dots(struct slice text)
{
    size_t i = 0;

    while (i < text.len && !slice_starts(slice_skip(text, i), SLICE(".."))) {
        i++;
    }
    return i;
}

bool entry_parse_range(struct slice text, bool duration, struct set_range *out)
{
    size_t dots = find_dots(text), op = 0;
    bool equal;
    int64_t n;

    *out = (struct set_range){ INT64_MIN, INT64_MAX };
    if (dots < text.len) {
        return parse_scalar(slice_trim(slice_take(text, dots)), duration, &out->low) &&
               parse_scalar(slice_trim(slice_skip(text, dots + 2)), duration, &out->high) &&
               out->low <= out->high;
    }
    while (op < text.len && op < 2 && (text.ptr[op] == '<' || text.ptr[op] == '>' || text.ptr[op] == '=')) {
        op++;
    }
    if (!parse_scalar(slice_trim(slice_skip(text, op)), duration, &n)) {
        return false;
    }
    equal = op == 2 && text.ptr[1] == '=';
    if (op == 0 || (op == 1 && text.ptr[0] == '=')) {
        *out = (struct set_range){ n, n };
    } else if (text.ptr[0] == '=' || (op == 2 && !equal)) {
        return false; /* "==", "=>", "<>" */
    } else if (text.ptr[0] == '>') {
        out->low = equal ? n : n + 1;
    } else {
        out->high = equal ? n : n - 1;
    }
    return true;
}
