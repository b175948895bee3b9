/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipients.c - loads files of known recipients (domains.*.validate: file:PATH) and looks recipients up.
 *
 * One entry a line: an address, or @domain for all its addresses.  Ignores blanks around it and comments (`#` or `;`
 * at the start of a line or after a blank).  Keeps the file's text in lower case with a hash table over it.  Compares
 * local parts without ASCII case, as the upstream servers do, and without quotes ("bob"@example.com is
 * bob@example.com: RFC 5321 4.1.2).
 *
 * If a file is unusable at a start, glacis validates live: without the list it must not refuse recipients for good.
 *
 * Owns: text, entries and table of each file, until config_free() of the last snapshot that holds it.
 * Limits: RECIPIENTS_MAX entries, TEXTFILE_MAX octets, ADDRESS_MAX_BYTES a line; ten errors a file.
 */
#include "config/load_priv.h"
#include "config/textfile.h"

#define ADDRESS_MAX_BYTES 2400 /* a command line (CMD-15), with room for A-labels */
#define RECIPIENTS_MAX 1000000
#define ERRORS_PER_FILE 10

struct config_recipients {
    unsigned refs;      /* snapshots that hold it */
    struct table table; /* of entries; keys are in `text` */
    struct table_entry *entries;
    size_t count, cap;
    struct buf text;
};

struct source { /* a file being read */
    struct load *l;
    const struct config_domain *d;
    size_t line;
    unsigned errors;
};

static void report(struct source *s, const char *sentence, struct slice found)
{
    struct quoted q;

    if (s->errors++ < ERRORS_PER_FILE) {
        config_errors_material(s->l->errs, MATERIAL_RECIPIENTS, s->d->line, 1,
                               "domains.%s%s.validate: %s:%zu: %s, found `%s`", s->d->subdomains ? "." : "",
                               s->d->name, s->d->validate_file, s->line, sentence, load_quote(&q, found));
    }
}

/* Puts the local part for comparison: in lower case, without quotes and the backslashes in them. */
static void put_local(struct buf *out, struct slice local)
{
    bool quoted = local.len >= 2 && local.ptr[0] == '"' && local.ptr[local.len - 1] == '"';

    local = quoted ? slice_of(local.ptr + 1, local.len - 2) : local;
    for (size_t i = 0; i < local.len; i++) {
        i += quoted && local.ptr[i] == '\\' && i + 1 < local.len;
        buf_put_char(out, ascii_lower(local.ptr[i]));
    }
}

static bool is_entry(struct slice s)
{
    size_t at = slice_rfind(s, '@');
    bool quoted = s.len > 0 && s.ptr[0] == '"';
    bool ok = s.len <= ADDRESS_MAX_BYTES && hostname_valid(slice_skip(s, at + 1));

    for (size_t i = 0; i < s.len && ok; i++) {
        ok = (unsigned char)s.ptr[i] >= (quoted ? ' ' : '!') && s.ptr[i] != 0x7f;
    }
    return ok;
}

/* Adds an entry.  Its key replaces the entry in the text, because it is never longer. */
static void add_entry(struct config_recipients *r, struct slice entry)
{
    char mem[ADDRESS_MAX_BYTES + 1];
    size_t at = slice_rfind(entry, '@');
    char *place = r->text.ptr + (entry.ptr - r->text.ptr);
    struct buf key;

    buf_init_fixed(&key, mem, sizeof(mem));
    put_local(&key, slice_take(entry, at));
    buf_put_slice(&key, slice_skip(entry, at));
    memcpy(place, key.ptr, key.len);
    entry = slice_of(place, key.len);
    if (r->count < r->cap && table_find(&r->table, entry) == NULL) {
        table_insert(&r->table, &r->entries[r->count++], entry);
    }
}

static void take_lines(struct source *s, struct config_recipients *r)
{
    struct slice rest = buf_slice(&r->text), entry;

    while (textfile_next(&rest, &s->line, &entry)) {
        if (is_entry(entry)) {
            add_entry(r, entry);
        } else {
            report(s, "expected an address or @domain", entry);
        }
    }
}

static void complain(struct load *l, const struct config_domain *d, const char *what, const char *why)
{
    config_errors_material(l->errs, MATERIAL_RECIPIENTS, d->line, 1, "domains.%s%s.validate: %s: %s%s",
                           d->subdomains ? "." : "", d->name, d->validate_file, what, why);
}

/* False: unusable, and reported. */
static bool read_file(struct load *l, const struct config_domain *d, struct config_recipients *r)
{
    struct source s = { l, d, 0, 0 };
    const char *why = textfile_read(d->validate_file, &r->text);
    size_t lines = 1;

    for (size_t i = 0; why == NULL && i < r->text.len; i++) {
        r->text.ptr[i] = ascii_lower(r->text.ptr[i]);
        lines += r->text.ptr[i] == '\n';
    }
    if (why != NULL || lines > RECIPIENTS_MAX) {
        complain(l, d, why != NULL ? "cannot be read: " : "more than 1000000 lines", why != NULL ? why : "");
        return false;
    }
    r->cap = lines;
    r->entries = xcalloc(lines, sizeof(*r->entries));
    take_lines(&s, r);
    return s.errors == 0;
}

static struct config_recipients *load_file(struct load *l, const struct config_domain *d)
{
    struct config_recipients *r = xcalloc(1, sizeof(*r));

    r->refs = 1;
    table_init(&r->table);
    buf_init(&r->text, TEXTFILE_MAX);
    if (!read_file(l, d, r)) {
        load_free_recipients(r);
        return NULL;
    }
    return r;
}

/* The recipients that the snapshot in force has from this file. */
static struct config_recipients *keep_file(const struct config *previous, const char *path)
{
    for (size_t i = 0; i < previous->domain_count; i++) {
        const struct config_domain *d = &previous->domains[i];

        if (d->recipients != NULL && slice_eq(slice_str(d->validate_file), slice_str(path))) {
            d->recipients->refs++;
            return d->recipients;
        }
    }
    return NULL;
}

void load_recipients(struct load *l)
{
    bool keep = config_keeps(l->errs, MATERIAL_RECIPIENTS);

    for (size_t i = 0; i < l->c->domain_count; i++) {
        struct config_domain *d = &l->c->domains[i];

        if (d->validate != VALIDATE_FILE) {
            continue;
        }
        d->recipients = keep ? keep_file(l->errs->previous, d->validate_file) : load_file(l, d);
        if (d->recipients == NULL) {
            d->validate = VALIDATE_LIVE;
        }
    }
}

void load_free_recipients(struct config_recipients *r)
{
    if (r == NULL || --r->refs > 0) {
        return;
    }
    table_fini(&r->table);
    free(r->entries);
    buf_fini(&r->text);
    free(r);
}

bool config_recipient_known(const struct config_domain *d, struct slice local, struct slice domain)
{
    char mem[ADDRESS_MAX_BYTES + 1];
    struct buf address;
    size_t at;

    buf_init_fixed(&address, mem, sizeof(mem));
    put_local(&address, local);
    at = address.len;
    buf_put_char(&address, '@');
    buf_put_slice(&address, domain);
    return d->recipients != NULL && buf_ok(&address) &&
           (table_find(&d->recipients->table, buf_slice(&address)) != NULL ||
            table_find(&d->recipients->table, slice_skip(buf_slice(&address), at)) != NULL);
}
