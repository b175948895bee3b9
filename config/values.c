/* SPDX-License-Identifier: Apache-2.0 */
/*
 * values.c - parses and writes the values of the file (values.h).
 */
#include "config/values.h"

#include <limits.h>

struct unit {
    struct slice name;
    uint64_t factor;
};

static const struct unit time_units[] = {
    /* the larger first */
    { SLICE_INIT("d"), 86400000 }, { SLICE_INIT("h"), 3600000 }, { SLICE_INIT("m"), 60000 },
    { SLICE_INIT("s"), 1000 },     { SLICE_INIT("ms"), 1 },
};

static const struct unit size_units[] = {
    /* larger first; value_put_size() uses the first four and "" */
    { SLICE_INIT("TiB"), 1ull << 40 },
    { SLICE_INIT("GiB"), 1ull << 30 },
    { SLICE_INIT("MiB"), 1ull << 20 },
    { SLICE_INIT("KiB"), 1ull << 10 },
    { SLICE_INIT("TB"), 1000000000000ull },
    { SLICE_INIT("GB"), 1000000000ull },
    { SLICE_INIT("MB"), 1000000ull },
    { SLICE_INIT("kB"), 1000ull },
    { SLICE_INIT(""), 1 },
};

static struct slice take_digits(struct slice *s)
{
    size_t n = 0;
    struct slice digits;

    while (n < s->len && ascii_is_digit(s->ptr[n])) {
        n++;
    }
    digits = slice_take(*s, n);
    *s = slice_skip(*s, n);
    return digits;
}

static struct slice take_letters(struct slice *s)
{
    size_t n = 0;
    struct slice letters;

    while (n < s->len && ascii_is_alpha(s->ptr[n])) {
        n++;
    }
    letters = slice_take(*s, n);
    *s = slice_skip(*s, n);
    return letters;
}

bool value_parse_duration(struct slice text, uint64_t *ms)
{
    uint64_t total = 0;
    size_t from = 0; /* units must become smaller */

    *ms = 0;
    do {
        struct slice digits = take_digits(&text), unit = take_letters(&text);
        uint64_t n;
        size_t u = from;

        while (u < ARRAY_LEN(time_units) && !slice_eq(unit, time_units[u].name)) {
            u++;
        }
        if (u == ARRAY_LEN(time_units) || !slice_to_u64(digits, UINT32_MAX, &n)) {
            return false;
        }
        from = u + 1;
        total += n * time_units[u].factor; /* below 5 * 2^32 * 2^27 */
    } while (!slice_empty(text));
    *ms = total;
    return true;
}

void value_put_duration(struct buf *out, uint64_t ms)
{
    if (ms == 0) {
        buf_put_str(out, "0s");
    }
    for (size_t u = 0; u < ARRAY_LEN(time_units); u++) {
        if (ms >= time_units[u].factor) {
            /* clang-analyzer does not look into the table: no factor is 0 */
            buf_put_u64(out, ms / time_units[u].factor); /* NOLINT(clang-analyzer-core.DivideZero) */
            buf_put_slice(out, time_units[u].name);
            ms %= time_units[u].factor;
        }
    }
}

bool value_parse_size(struct slice text, uint64_t *octets)
{
    struct slice digits = take_digits(&text);
    uint64_t n;

    *octets = 0;
    if (!slice_to_u64(digits, UINT64_MAX - 1, &n)) {
        return false;
    }
    for (size_t u = 0; u < ARRAY_LEN(size_units); u++) {
        if (slice_eq(text, size_units[u].name)) {
            return !__builtin_mul_overflow(n, size_units[u].factor, octets) && *octets != CONFIG_OFF;
        }
    }
    return false;
}

void value_put_size(struct buf *out, uint64_t octets)
{
    size_t u = 0;

    while (u < 4 && (octets < size_units[u].factor || octets % size_units[u].factor != 0)) {
        u++;
    }
    if (u < 4) {
        buf_put_u64(out, octets / size_units[u].factor);
        buf_put_slice(out, size_units[u].name);
    } else {
        buf_put_u64(out, octets);
    }
}

bool value_parse_percent(struct slice text, unsigned *percent)
{
    uint64_t n;

    *percent = 0;
    if (text.len < 2 || text.ptr[text.len - 1] != '%' ||
        !slice_to_u64(slice_take(text, text.len - 1), 100, &n)) {
        return false;
    }
    *percent = (unsigned)n;
    return true;
}

bool value_parse_decimal(struct slice text, int64_t *thousandths)
{
    bool minus = slice_starts(text, SLICE("-"));
    struct slice rest = slice_skip(text, minus ? 1 : 0);
    struct slice whole = slice_cut(&rest, '.');
    uint64_t n, part = 0;
    size_t digits = rest.len;

    *thousandths = 0;
    if (!slice_to_u64(whole, INT64_MAX / 2000, &n) || digits > 3 ||
        (slice_find(text, '.') < text.len && !slice_to_u64(rest, 999, &part))) {
        return false;
    }
    for (; digits < 3; digits++) {
        part *= 10;
    }
    *thousandths = (int64_t)(n * 1000 + part) * (minus ? -1 : 1);
    return true;
}

void value_put_decimal(struct buf *out, int64_t thousandths)
{
    bool minus = thousandths < 0;
    uint64_t size = minus ? 0 - (uint64_t)thousandths : (uint64_t)thousandths;
    unsigned rest = (unsigned)(size % 1000), digits = 3;

    buf_put_str(out, minus ? "-" : "");
    buf_put_u64(out, size / 1000);
    if (rest != 0) {
        while (rest % 10 == 0) {
            rest /= 10;
            digits--;
        }
        buf_put_char(out, '.');
        buf_put_digits(out, rest, digits);
    }
}

bool value_parse_rate(struct slice text, struct config_rate *rate)
{
    struct slice count = slice_cut(&text, '/');
    uint64_t n;

    *rate = (struct config_rate){ 0, 0 };
    if (!slice_to_u64(count, 1000000000, &n) || n == 0 || !value_parse_duration(text, &rate->per_ms) ||
        rate->per_ms < 1000) {
        return false;
    }
    rate->count = (unsigned)n;
    return true;
}

void value_put_rate(struct buf *out, const struct config_rate *rate)
{
    buf_put_u64(out, rate->count);
    buf_put_char(out, '/');
    value_put_duration(out, rate->per_ms);
}

/* A name whose last label is all digits is a mistyped address (RFC 1123 2.1). */
static bool looks_numeric(struct slice host)
{
    struct slice last = slice_skip(host, slice_rfind(host, '.') == host.len ? 0 : slice_rfind(host, '.') + 1);
    struct slice rest = last;

    (void)take_digits(&rest);
    return slice_empty(rest);
}

bool value_parse_name_port(struct slice text, struct slice *host, uint16_t *port)
{
    size_t colon = slice_rfind(text, ':');
    uint64_t n;

    *host = slice_take(text, colon);
    *port = 0;
    if (colon == text.len || !hostname_valid(*host) || looks_numeric(*host) ||
        !slice_to_u64(slice_skip(text, colon + 1), UINT16_MAX, &n) || n == 0) {
        return false;
    }
    *port = (uint16_t)n;
    return true;
}

bool value_parse_choice(struct slice text, const char *choices, unsigned *index)
{
    struct slice rest = slice_str(choices);

    for (*index = 0; !slice_empty(rest); (*index)++) {
        if (slice_eq(slice_cut(&rest, '|'), text)) {
            return true;
        }
    }
    *index = 0;
    return false;
}

struct slice value_choice_text(const char *choices, unsigned index)
{
    struct slice rest = slice_str(choices);

    while (index-- > 0) {
        (void)slice_cut(&rest, '|');
    }
    return slice_cut(&rest, '|');
}

#define LONGEST 63

static unsigned min_of(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned value_distance(struct slice a, struct slice b)
{
    unsigned rows[3][LONGEST + 1]; /* of two octets back, of the last, of this one */

    if (a.len > LONGEST || b.len > LONGEST) {
        return UINT_MAX;
    }
    for (unsigned j = 0; j <= b.len; j++) {
        rows[1][j] = rows[0][j] = j;
    }
    for (unsigned i = 1; i <= a.len; i++) {
        unsigned *back = rows[(i + 2) % 3], *last = rows[i % 3], *row = rows[(i + 1) % 3];

        row[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            char ca = ascii_lower(a.ptr[i - 1]), cb = ascii_lower(b.ptr[j - 1]);

            row[j] = min_of(min_of(last[j], row[j - 1]) + 1, last[j - 1] + (ca != cb));
            if (i > 1 && j > 1 && ca == ascii_lower(b.ptr[j - 2]) && cb == ascii_lower(a.ptr[i - 2])) {
                row[j] = min_of(row[j], back[j - 2] + 1);
            }
        }
    }
    return rows[(a.len + 1) % 3][b.len];
}

void value_put_choices(struct buf *out, const char *choices)
{
    struct slice rest = slice_str(choices);
    bool first = true;

    while (!slice_empty(rest)) {
        struct slice one = slice_cut(&rest, '|');

        buf_put_str(out, first ? "" : slice_empty(rest) ? " or " : ", ");
        buf_put_slice(out, one);
        first = false;
    }
}

void nearest_init(struct nearest *n, struct slice wanted)
{
    *n = (struct nearest){ .wanted = wanted, .best = SLICE_NONE };
}

void nearest_offer(struct nearest *n, struct slice name)
{
    unsigned distance;

    if (!value_similar(n->wanted, name, &distance)) {
        distance = UINT_MAX;
    } else if (slice_starts(n->wanted, name)) {
        distance = 0;
    }
    if (distance != UINT_MAX && (slice_empty(n->best) || distance < n->distance)) {
        n->best = name;
        n->distance = distance;
    }
    if (n->count < NEAREST_NAMES) {
        n->name[n->count] = name;
    }
    n->count++;
}

const char *nearest_words(struct nearest *n)
{
    struct buf b;

    buf_init_fixed(&b, n->words, sizeof(n->words));
    if (!slice_empty(n->best)) {
        buf_put_str(&b, "; did you mean `");
        buf_put_quoted(&b, n->best, 100);
        buf_put_str(&b, "`?");
        return n->words;
    }
    for (unsigned i = 0; i < n->count && n->count <= NEAREST_NAMES; i++) {
        buf_put_str(&b, i > 0          ? i + 1 == n->count ? " and " : ", "
                        : n->count > 1 ? "; there are "
                                       : "; there is ");
        buf_put_quoted(&b, n->name[i], 40);
    }
    if (!buf_ok(&b)) {
        n->words[0] = '\0';
    }
    return n->words;
}

const char *nearest_choice(struct nearest *n, struct slice wanted, const char *choices)
{
    struct slice rest = slice_str(choices);

    nearest_init(n, wanted);
    while (!slice_empty(rest)) {
        nearest_offer(n, slice_cut(&rest, '|'));
    }
    return slice_empty(n->best) ? "" : nearest_words(n);
}

bool value_similar(struct slice a, struct slice b, unsigned *distance)
{
    bool longer = b.len >= 3 && a.len > b.len && slice_starts(a, b); /* warning for warn */

    *distance = value_distance(a, b);
    return (longer || *distance <= (a.len < 4 ? 1u : a.len < 8 ? 2u : 3u)) && *distance < b.len;
}
