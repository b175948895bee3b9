/*
 * from.c - the author of a message: the address in its From field (RFC 5322 3.6.2).
 *
 * Reads what mail readers show: comments and quoted strings are passed over, the address is what stands in
 * angle brackets, or the only word with an @.  Two From fields, or two addresses, are nobody's.
 */
#include "core/idna.h"
#include "policy/engine.h"

/* Octets of the quoted string or comment in front, its end included. */
static size_t skip_protected(struct slice s)
{
    char end = s.ptr[0] == '"' ? '"' : ')';
    size_t depth = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\') {
            i++;
        } else if (s.ptr[i] == end && (end == '"' ? i > 0 : depth == 1)) {
            return i + 1;
        } else if (end == ')' && s.ptr[i] != '"') {
            depth += s.ptr[i] == '(';
            depth -= s.ptr[i] == ')';
        }
    }
    return s.len;
}

/* The field's body, unfolded, without comments and display names in quotes. */
static void put_bare(struct slice value, struct buf *out)
{
    while (!slice_empty(value)) {
        char c = value.ptr[0];
        size_t n = 1;

        if (c == '(') {
            n = skip_protected(value);
            buf_put_char(out, ' ');
        } else if (c == '"') {
            n = skip_protected(value);
            if (n < value.len && value.ptr[n] == '@') { /* a quoted local part is kept */
                buf_put_slice(out, slice_take(value, n));
            }
        } else {
            buf_put_char(out, (unsigned char)c <= ' ' ? ' ' : c);
        }
        value = slice_skip(value, n);
    }
}

/* The address; empty if there is not exactly one. */
static struct slice find_address(struct slice s)
{
    size_t open = slice_find(s, '<'), close = slice_find(s, '>');
    struct slice word, found = SLICE_NONE;

    if (open < s.len) {
        bool again = slice_find(slice_skip(s, open + 1), '<') < s.len - open - 1;

        return close > open && close < s.len && !again
                   ? slice_trim(slice_of(s.ptr + open + 1, close - open - 1))
                   : SLICE_NONE;
    }
    while (!slice_empty(word = slice_token(&s))) {
        if (slice_find(word, '@') < word.len) {
            if (!slice_empty(found)) {
                return SLICE_NONE;
            }
            found = word;
        }
    }
    return slice_find(found, ',') < found.len ? SLICE_NONE : found;
}

/* The next field and its body, folds included; false at the end of the section. */
static bool next_field(struct slice *head, struct slice *name, struct slice *body)
{
    size_t end = 0;
    struct slice field;

    do {
        end += slice_find(slice_skip(*head, end), '\n') + 1;
    } while (end < head->len && (head->ptr[end] == ' ' || head->ptr[end] == '\t'));
    field = slice_take(*head, end);
    *head = slice_skip(*head, end);
    *name = slice_trim(slice_take(field, slice_find(field, ':')));
    *body = slice_skip(field, slice_find(field, ':') + 1);
    return !slice_empty(slice_trim(field)) && field.ptr[0] != '\r' && field.ptr[0] != '\n';
}

bool from_find(struct slice head, struct buf *local, struct buf *domain)
{
    struct slice name, body, from = SLICE_NONE, address;
    struct buf bare;
    bool found = false;
    size_t at;

    while (!slice_empty(head) && next_field(&head, &name, &body)) {
        if (slice_eq_nocase(name, SLICE("From"))) {
            if (found) {
                return false;
            }
            found = true;
            from = body;
        }
    }
    buf_init(&bare, 64u << 10);
    put_bare(from, &bare);
    address = buf_ok(&bare) ? find_address(buf_slice(&bare)) : SLICE_NONE;
    at = slice_rfind(address, '@');
    found = at > 0 && at < address.len && idna_to_ascii(slice_skip(address, at + 1), domain);
    if (found) {
        buf_put_slice(local, slice_take(address, at));
    }
    buf_fini(&bare);
    return found;
}
