/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message_head.c - reads a header section once (message_head.h).
 *
 * Decodes display names like a careless reader (lexical.h), and takes any '@' followed by a host name for an address.
 * Mail programs show the name and hide the address, so what matters is what a person sees.
 */
#include "smtp/message_head.h"

#include "core/idna.h"
#include "smtp/author.h"
#include "smtp/date.h"
#include "smtp/field.h"
#include "smtp/lexical.h"

#define NAME_DECODED_MAX 4096

enum { /* the other fields that are read, behind those of enum head_field */
       OTHER_RECEIVED = HEAD_FIELDS,
       OTHER_LIST_ID,
       OTHER_LIST_POST,
       OTHER_LIST_UNSUBSCRIBE,
       OTHER_AUTO_SUBMITTED,
       OTHER_PRECEDENCE,
       KNOWN_FIELDS,
};

static const struct slice names[KNOWN_FIELDS] = {
    [HEAD_FROM] = SLICE_INIT("from"),
    [HEAD_DATE] = SLICE_INIT("date"),
    [HEAD_MESSAGE_ID] = SLICE_INIT("message-id"),
    [HEAD_SENDER] = SLICE_INIT("sender"),
    [HEAD_REPLY_TO] = SLICE_INIT("reply-to"),
    [HEAD_TO] = SLICE_INIT("to"),
    [HEAD_CC] = SLICE_INIT("cc"),
    [HEAD_SUBJECT] = SLICE_INIT("subject"),
    [HEAD_MIME_VERSION] = SLICE_INIT("mime-version"),
    [HEAD_CONTENT_TYPE] = SLICE_INIT("content-type"),
    [OTHER_RECEIVED] = SLICE_INIT("received"),
    [OTHER_LIST_ID] = SLICE_INIT("list-id"),
    [OTHER_LIST_POST] = SLICE_INIT("list-post"),
    [OTHER_LIST_UNSUBSCRIBE] = SLICE_INIT("list-unsubscribe"),
    [OTHER_AUTO_SUBMITTED] = SLICE_INIT("auto-submitted"),
    [OTHER_PRECEDENCE] = SLICE_INIT("precedence"),
};

const char *head_field_name(enum head_field f)
{
    return names[f].ptr;
}

/* Adds the name to the list.  False: the list already has it. */
static bool join_name(struct buf *list, struct slice name)
{
    struct slice rest = buf_slice(list);

    while (!slice_empty(rest)) {
        if (slice_eq(slice_cut(&rest, ','), name)) {
            return false;
        }
    }
    buf_put_str(list, list->len > 0 ? "," : "");
    buf_put_slice(list, name);
    return true;
}

/* ---- addresses in display names ---- */

/* Octets of a leading '@', or of a character that looks like one (U+FF20, U+FE6B); 0: something else. */
static size_t at_sign_len(struct slice s)
{
    if (s.len > 0 && s.ptr[0] == '@') {
        return 1;
    }
    return slice_starts(s, SLICE("\xef\xbc\xa0")) || slice_starts(s, SLICE("\xef\xb9\xab")) ? 3 : 0;
}

static bool may_be_in_domain(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '.' || c == '_' ||
           (unsigned char)c >= 0x80;
}

static size_t domain_len(struct slice s, bool ascii)
{
    size_t n = 0;

    while (n < s.len && may_be_in_domain(s.ptr[n]) && !(ascii && (unsigned char)s.ptr[n] >= 0x80)) {
        n++;
    }
    while (n > 0 && s.ptr[n - 1] == '.') {
        n--;
    }
    return n;
}

/* Puts the leading host name of two or more labels, without a typographic quotation mark after it. */
static bool put_domain(struct slice s, struct buf *out)
{
    return (idna_to_ascii(slice_take(s, domain_len(s, false)), out) ||
            idna_to_ascii(slice_take(s, domain_len(s, true)), out)) &&
           slice_find(buf_slice(out), '.') < out->len;
}

static void find_addresses(struct message_head *h, struct slice text)
{
    char mem[IDNA_NAME_MAX + 3];
    struct buf domain;

    for (size_t i = 1; i < text.len && h->name_domain_count < HEAD_NAME_DOMAINS_MAX &&
                       h->name_addresses < HEAD_NAME_ADDRESSES_MAX;
         i++) {
        size_t at = at_sign_len(slice_skip(text, i));

        if (at == 0 || (unsigned char)text.ptr[i - 1] <= ' ') { /* a local part must precede it */
            continue;
        }
        h->name_addresses++;
        buf_init_fixed(&domain, mem, sizeof(mem));
        if (put_domain(slice_skip(text, i + at), &domain) &&
            join_name(&h->name_domains, buf_slice(&domain))) {
            h->name_domain_count++;
        }
        i += at - 1;
    }
}

static void read_name(struct message_head *h, struct slice name)
{
    struct buf decoded;

    if (slice_empty(name)) {
        return;
    }
    buf_init(&decoded, NAME_DECODED_MAX);
    lex_put_decoded(&decoded, name);
    find_addresses(h, buf_slice(&decoded));
    buf_fini(&decoded);
}

/* ---- From ---- */

static void take_author(struct message_head *h, const struct author *a)
{
    char mem[IDNA_NAME_MAX + 3];
    struct buf domain;

    buf_init_fixed(&domain, mem, sizeof(mem));
    read_name(h, a->name);
    if (!a->readable || !idna_to_ascii(a->domain, &domain)) {
        h->unreadable = true;
        return;
    }
    if (join_name(&h->domains, buf_slice(&domain))) {
        h->domain_count++;
    }
    if (h->authors == 1) {
        buf_put_slice(&h->local, a->local);
        buf_put_slice(&h->domain, buf_slice(&domain));
    }
}

static void read_from(struct message_head *h, struct slice value)
{
    struct author_reader r;
    struct author a;

    if (h->unreadable && h->authors == HEAD_AUTHORS_MAX) {
        return;
    }
    author_begin_field(&r, value);
    while (author_next(&r, &a)) {
        if (h->authors == HEAD_AUTHORS_MAX) {
            h->unreadable = true;
            break;
        }
        h->authors++;
        take_author(h, &a);
    }
    author_end(&r);
}

/* ---- other fields ---- */

/* Reads "<id>" without brackets, blanks and controls. */
static void read_id(struct message_head *h, struct slice value)
{
    for (size_t i = 0; i < value.len && h->id.len < HEAD_ID_MAX; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c > ' ' && c != 0x7f && c != '<' && c != '>') {
            buf_put_char(&h->id, (char)c);
        }
    }
}

/* The first word of the value, after comments. */
static struct slice first_word(struct slice value)
{
    size_t n = 0;

    if (!lex_skip_cfws(&value, NULL)) {
        return SLICE_NONE;
    }
    while (n < value.len && (ascii_is_alpha(value.ptr[n]) || value.ptr[n] == '-')) {
        n++;
    }
    return slice_take(value, n);
}

static bool is_automatic(struct slice value)
{
    struct slice word = first_word(value);

    return !slice_empty(word) && !slice_eq_nocase(word, SLICE("no"));
}

static bool is_bulk(struct slice value)
{
    static const char *const bulk[] = { "bulk", "list", "junk" };
    struct slice word = first_word(value);

    for (size_t i = 0; i < ARRAY_LEN(bulk); i++) {
        if (slice_eq_nocase(word, slice_str(bulk[i]))) {
            return true;
        }
    }
    return false;
}

static void read_counted(struct message_head *h, enum head_field field, struct slice value)
{
    h->fields[field]++;
    if (field == HEAD_FROM) {
        read_from(h, value);
    } else if (field == HEAD_DATE && h->fields[field] == 1) {
        h->dated = date_parse(value, &h->date_s);
    } else if (field == HEAD_MESSAGE_ID && h->fields[field] == 1) {
        read_id(h, value);
    }
}

static void read_other(struct message_head *h, unsigned field, struct slice value)
{
    switch (field) {
    case OTHER_RECEIVED:
        h->received++;
        break;
    case OTHER_AUTO_SUBMITTED:
        h->bulk = h->bulk || is_automatic(value);
        break;
    case OTHER_PRECEDENCE:
        h->bulk = h->bulk || is_bulk(value);
        break;
    default:
        h->list = true;
        break;
    }
}

/* KNOWN_FIELDS: none of them.  A section of 64 KiB can hold 16,000 fields, so the first octet and the length are
 * compared here; header_name_is() leaves out octets that do not print, which can only make a name longer. */
static unsigned find_known(struct slice name)
{
    char first = name.len > 0 ? ascii_lower(name.ptr[0]) : '\0';
    unsigned i = 0;

    while (i < KNOWN_FIELDS &&
           (name.len < names[i].len || (first != names[i].ptr[0] && ascii_is_print(first)) ||
            !header_name_is(name, names[i]))) {
        i++;
    }
    return i;
}

static void read_field(struct message_head *h, const struct header_field *f)
{
    unsigned field = find_known(f->name);

    if (field < HEAD_FIELDS) {
        read_counted(h, (enum head_field)field, f->value);
    } else if (field < KNOWN_FIELDS) {
        read_other(h, field, f->value);
    }
}

void message_head_read(struct message_head *h, struct slice head)
{
    struct header_field f;

    *h = (struct message_head){ .received = 0 };
    buf_init(&h->id, HEAD_ID_MAX);
    buf_init(&h->domains, (size_t)HEAD_AUTHORS_MAX * (IDNA_NAME_MAX + 1));
    buf_init(&h->name_domains, (size_t)HEAD_NAME_DOMAINS_MAX * (IDNA_NAME_MAX + 1));
    buf_init(&h->local, AUTHOR_PART_MAX);
    buf_init(&h->domain, IDNA_NAME_MAX);
    header_skip_mbox(&head);
    while (header_next(&head, &f)) {
        read_field(h, &f);
    }
    if (h->fields[HEAD_FROM] != 1 || h->authors != 1 || h->unreadable) {
        buf_reset(&h->local);
        buf_reset(&h->domain);
    }
}

void message_head_fini(struct message_head *h)
{
    buf_fini(&h->id);
    buf_fini(&h->domains);
    buf_fini(&h->name_domains);
    buf_fini(&h->local);
    buf_fini(&h->domain);
}
