/* SPDX-License-Identifier: Apache-2.0 */
/*
 * received.c - our own Received line, and dates.
 *
 * A peer's text cannot break out of its place: names are reduced to the characters of host names, and an address that
 * could confuse a reader of the line is omitted.
 *
 * RFC: 5321 4.4, 5322 3.3, 3848 (with), 6531 4.3, 8314 7.4 (tls).
 */
#include "core/utf8.h"
#include "smtp/header.h"

#define HOST_MAX 255 /* of a name in Received */
#define FOR_MAX 320

/* ---- Received ---- */

static bool is_host_char(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '.' || c == ':' || c == '_' || c == '-';
}

/* Puts the client's own name: a literal in canonical form, or host characters with '_' for others (RCV-04). */
static void put_host(struct buf *out, struct slice name)
{
    struct addr literal;

    if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']' &&
        (addr_parse_ip(slice_of(name.ptr + 1, name.len - 2), &literal) ||
         (slice_starts_nocase(name, SLICE("[IPv6:")) &&
          addr_parse_ip(slice_of(name.ptr + 6, name.len - 7), &literal)))) {
        addr_put_literal(out, &literal);
        return;
    }
    if (name.len == 0) {
        buf_put_str(out, "unknown");
    }
    name = slice_take(name, HOST_MAX);
    while (name.len > 0) {
        size_t good = 0;

        while (good < name.len && is_host_char(name.ptr[good])) {
            good++;
        }
        buf_put(out, name.ptr, good);
        buf_put_str(out, good < name.len ? "_" : "");
        name = slice_skip(name, good + 1);
    }
}

static const char *protocol_of(const struct received *r)
{
    if (r->utf8) {
        return r->tls ? "UTF8SMTPS" : "UTF8SMTP";
    }
    if (!r->esmtp) {
        return "SMTP"; /* RFC 3848 has no SMTPS */
    }
    return r->tls ? "ESMTPS" : "ESMTP";
}

/* May we name the only recipient?  Not if its address could confuse a reader of the field. */
static bool can_name(const struct received *r)
{
    struct slice s = r->single_rcpt;

    if (s.len == 0 || s.len > FOR_MAX || (utf8_has_8bit(s) && (!r->utf8 || !utf8_valid(s)))) {
        return false;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (c <= ' ' || c == 0x7f || slice_find(SLICE("\"\\<>();,"), s.ptr[i]) < 8) {
            return false;
        }
    }
    return true;
}

static bool is_suite(struct slice word)
{
    return slice_starts(word, SLICE("TLS_"));
}

/* Puts the words of the clause that are cipher suites (or those that are not), separated by blanks. */
static void put_clause_words(struct buf *out, struct slice clause, bool suites)
{
    bool first = true;

    for (struct slice word = slice_token(&clause); word.len > 0; word = slice_token(&clause)) {
        if (is_suite(word) != suites) {
            continue;
        }
        if (!first) {
            buf_put_char(out, ' ');
        }
        for (size_t i = 0; i < word.len; i++) {
            buf_put_char(out, is_host_char(word.ptr[i]) ? word.ptr[i] : '_');
        }
        first = false;
    }
}

/* Puts "tls TLS_AES_128_GCM_SHA256 (TLS1.3)".  Names that are not a registered suite stay in the comment. */
static void put_tls(struct buf *out, struct slice clause)
{
    char suite_mem[128], note_mem[128];
    struct buf suite, note;

    buf_init_fixed(&suite, suite_mem, sizeof(suite_mem));
    buf_init_fixed(&note, note_mem, sizeof(note_mem));
    put_clause_words(&suite, clause, true);
    put_clause_words(&note, clause, false);
    if (suite.len + note.len == 0) {
        return;
    }
    buf_put_str(out, "\r\n\t");
    if (suite.len > 0) {
        buf_put_str(out, "tls ");
        buf_put_slice(out, buf_slice(&suite));
    }
    if (note.len > 0) {
        buf_put_str(out, suite.len > 0 ? " (" : "(");
        buf_put_slice(out, buf_slice(&note));
        buf_put_char(out, ')');
    }
}

void header_put_received(struct buf *out, const struct received *r)
{
    buf_put_str(out, "Received: from ");
    put_host(out, r->helo);
    buf_put_str(out, " (");
    put_host(out, r->rdns);
    buf_put_char(out, ' ');
    addr_put_literal(out, &r->client);
    buf_put_str(out, ")\r\n\tby ");
    put_host(out, r->hostname);
    buf_put_str(out, " with ");
    buf_put_str(out, protocol_of(r));
    buf_put_str(out, " id ");
    put_host(out, r->id);
    if (can_name(r)) {
        buf_put_str(out, "\r\n\tfor <");
        buf_put_slice(out, r->single_rcpt);
        buf_put_char(out, '>');
    }
    if (r->tls) {
        put_tls(out, r->tls_clause);
    }
    buf_put_str(out, ";\r\n\t");
    header_put_date(out, r->date_s);
    buf_put_str(out, "\r\n");
}

/* ---- dates ---- */

#define DAY_S 86400

/* Gregorian calendar, with years that begin in March, so that a leap day is the last day of a year. */
static void civil_date(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    int64_t shifted = days + 719468; /* since 0000-03-01 */
    int64_t era = shifted / 146097;
    int64_t of_era = shifted % 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    unsigned from_march = (unsigned)(5 * of_year + 2) / 153;

    *day = (unsigned)of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 2 : from_march - 10; /* 0 is January */
    *year = year_of_era + era * 400 + (*month < 2);
}

void header_put_date(struct buf *out, int64_t date_s)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    static const char week[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    int64_t s = date_s < 0 ? 0 : date_s;
    int64_t days, year;
    unsigned month, day, of_day;

    s = s > 253402300799 ? 253402300799 : s; /* the end of 9999 */
    days = s / DAY_S;
    of_day = (unsigned)(s % DAY_S);
    civil_date(days, &year, &month, &day);
    buf_put(out, week + days % 7 * 3, 3);
    buf_put_str(out, ", ");
    buf_put_u64(out, day);
    buf_put_char(out, ' ');
    buf_put(out, names + month * 3, 3);
    buf_put_char(out, ' ');
    buf_put_digits(out, (uint64_t)year, 4);
    buf_put_char(out, ' ');
    buf_put_digits(out, of_day / 3600, 2);
    buf_put_char(out, ':');
    buf_put_digits(out, of_day / 60 % 60, 2);
    buf_put_char(out, ':');
    buf_put_digits(out, of_day % 60, 2);
    buf_put_str(out, " +0000");
}
