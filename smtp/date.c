/* SPDX-License-Identifier: Apache-2.0 */
/*
 * date.c - reads "Mon, 1 Dec 2025 10:00:00 +0100 (CET)" (date.h).
 *
 * The parser ignores the day of the week, because senders get it wrong and it adds nothing.
 *
 * Limits  years from 1900 to 9999; each octet is read a bounded number of times.
 */
#include "smtp/date.h"

#include <time.h>

#include "smtp/lexical.h"

#define YEAR_MIN 1900u
#define YEAR_MAX 9999u

static bool is_alnum(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c);
}

/* Skips blanks and comments and takes a word of letters or of digits, or an empty word. */
static struct slice take_word(struct slice *s)
{
    size_t n = 0;
    struct slice word;

    if (!lex_skip_cfws(s, NULL)) {
        *s = SLICE_NONE;
    }
    while (n < s->len && is_alnum(s->ptr[n]) && ascii_is_digit(s->ptr[n]) == ascii_is_digit(s->ptr[0])) {
        n++;
    }
    word = slice_take(*s, n);
    *s = slice_skip(*s, n);
    return word;
}

static bool take_mark(struct slice *s, char mark)
{
    bool found = lex_skip_cfws(s, NULL) && s->len > 0 && s->ptr[0] == mark;

    *s = slice_skip(*s, found ? 1 : 0);
    return found;
}

static bool take_number(struct slice *s, unsigned max, unsigned *out)
{
    uint64_t n;
    bool ok = slice_to_u64(take_word(s), max, &n);

    *out = (unsigned)n;
    return ok;
}

static bool take_month(struct slice *s, unsigned *month)
{
    static const char names[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    struct slice word = take_word(s);

    for (*month = 0; *month < ARRAY_LEN(names); (*month)++) {
        if (slice_eq_nocase(word, slice_str(names[*month]))) {
            return true;
        }
    }
    return false;
}

/* RFC 5322 4.3: two digits mean 1950 to 2049, three digits count from 1900. */
static bool take_year(struct slice *s, unsigned *year)
{
    struct slice word = take_word(s);
    uint64_t n;
    bool ok = word.len >= 2 && slice_to_u64(word, YEAR_MAX, &n);

    if (!ok) {
        return false;
    }
    *year = (unsigned)n + (word.len == 2 && n < 50 ? 2000 : word.len <= 3 ? 1900 : 0);
    return *year >= YEAR_MIN;
}

/* Minutes east of UTC for an obsolete zone name.  Military letters are unreliable and count as UTC. */
static bool named_zone(struct slice word, int *minutes)
{
    static const struct {
        const char *name;
        int hours;
    } zones[] = {
        { "UT", 0 },   { "UTC", 0 },  { "GMT", 0 },  { "Z", 0 },    { "EST", -5 }, { "EDT", -4 },
        { "CST", -6 }, { "CDT", -5 }, { "MST", -7 }, { "MDT", -6 }, { "PST", -8 }, { "PDT", -7 },
    };

    *minutes = 0;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        if (slice_eq_nocase(word, slice_str(zones[i].name))) {
            *minutes = zones[i].hours * 60;
            return true;
        }
    }
    return word.len == 1 && ascii_is_alpha(word.ptr[0]);
}

/* "+0100" or a name. */
static bool take_zone(struct slice *s, int *minutes)
{
    bool west = take_mark(s, '-'), signed_ = west || take_mark(s, '+');
    struct slice word = take_word(s);
    uint64_t n;

    if (!signed_) {
        return named_zone(word, minutes);
    }
    if (word.len != 4 || !slice_to_u64(word, 9959, &n) || n % 100 > 59) {
        return false;
    }
    *minutes = (int)(n / 100 * 60 + n % 100) * (west ? -1 : 1);
    return true;
}

static bool take_time(struct slice *s, unsigned *hour, unsigned *minute, unsigned *second)
{
    *second = 0;
    return take_number(s, 23, hour) && take_mark(s, ':') && take_number(s, 59, minute) &&
           (!take_mark(s, ':') || take_number(s, 60, second));
}

bool date_parse(struct slice value, int64_t *unix_s)
{
    struct slice s = value, before = s;
    unsigned day, month, year, hour, minute, second;
    struct tm tm;
    int zone;

    if (!slice_empty(take_word(&before)) && take_mark(&before, ',')) { /* the day of the week */
        s = before;
    }
    if (!take_number(&s, 31, &day) || !take_month(&s, &month) || !take_year(&s, &year) ||
        !take_time(&s, &hour, &minute, &second) || !take_zone(&s, &zone) || !lex_skip_cfws(&s, NULL) ||
        s.len > 0) {
        return false;
    }
    tm = (struct tm){ .tm_mday = (int)day,
                      .tm_mon = (int)month,
                      .tm_year = (int)(year - YEAR_MIN),
                      .tm_hour = (int)hour,
                      .tm_min = (int)minute,
                      .tm_sec = second < 60 ? (int)second : 59 };
    *unix_s = (int64_t)timegm(&tm) - zone * 60;
    return day > 0 && tm.tm_mon == (int)month; /* else timegm rolled over into the next month */
}
