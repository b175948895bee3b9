/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_parse.c - command lines: verbs, paths, BDAT.  Parameters are in smtp_params.c.
 *
 * The parser reads a path by its grammar and writes it anew: domain in lower-case A-labels, address literals in
 * one spelling, no source route, the local part unchanged with its quotes.  It passes on nothing that it does not
 * understand.
 *
 * It is laxer than RFC 5321 4.1.2 in three places, for existing mail.  It allows blanks and tabs after "FROM:" and
 * between parameters (CMD-21).  It allows dots side by side or at the ends of a local part, because some large
 * carriers assigned such addresses.  It allows local parts of any length that fits the line, because tagged senders
 * (BATV, SRS of VERP) and encapsulated X.500 addresses are long; the upstream knows which exist (ADR-04, DSN-09).
 *
 * RFC: 5321 2.3.11, 4.1.1, 4.1.2, 4.1.3, appendix C; 6531 3.3; 3030 2.
 * Limits: IDNA_NAME_MAX; memory from the arena.
 */
#include "smtp/smtp_parse.h"

#include "core/idna.h"
#include "core/utf8.h"
#include "smtp/smtp_params.h"

/* A parsed path.  The slices point into the command line, except `domain`. */
struct path {
    struct slice local;
    struct slice domain; /* canonical, in domain_mem */
    char domain_mem[IDNA_NAME_MAX + 1];
    bool is_null;     /* <> */
    bool routed;      /* it had a source route */
    bool local_8bit;  /* octets above 127 */
    bool domain_8bit; /* the same, before it became A-labels */
};

/* The error in a path. */
enum path_error {
    PATH_OK = 0,
    PATH_BAD,
    PATH_BAD_UTF8, /* not UTF-8, a C1 control, or refused by IDNA */
};

/* ---- words ---- */

struct slice smtp_verb(struct slice line, struct slice *arg)
{
    struct slice rest = slice_trim(line);
    struct slice verb = slice_token(&rest);

    *arg = slice_trim(rest);
    return verb;
}

struct slice smtp_parse_helo(struct slice arg, bool *junk)
{
    struct slice rest = arg;
    struct slice name = slice_token(&rest);

    *junk = slice_trim(rest).len > 0;
    return name;
}

bool smtp_parse_bdat(struct slice arg, uint64_t *count, bool *last)
{
    struct slice rest = arg;
    struct slice number = slice_token(&rest);
    struct slice word = slice_trim(rest);

    *last = word.len > 0;
    *count = 0;
    if (word.len > 0 && !slice_eq_nocase(word, SLICE("LAST"))) {
        return false;
    }
    return number.len <= 20 && slice_to_u64(number, UINT64_MAX, count);
}

bool smtp_forbidden_verb(struct slice verb)
{
    static const struct slice words[] = {
        SLICE_INIT("GET"),     SLICE_INIT("POST"),    SLICE_INIT("PUT"),    SLICE_INIT("HEAD"),
        SLICE_INIT("OPTIONS"), SLICE_INIT("CONNECT"), SLICE_INIT("DELETE"), SLICE_INIT("PATCH"),
        SLICE_INIT("TRACE"),   SLICE_INIT("PRI"),     SLICE_INIT("HOST:"),  SLICE_INIT("USER-AGENT:"),
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq_nocase(verb, words[i])) {
            return true;
        }
    }
    return false;
}

bool local_part_routes(struct slice local)
{
    bool quoted = local.len > 0 && local.ptr[0] == '"';
    char first = local.len > quoted ? local.ptr[quoted] : '\0';

    if (first == '/' || (quoted && first == '\\' && local.len > 2 && local.ptr[2] == '/')) {
        return true;
    }
    for (size_t i = 0; i < local.len; i++) {
        char c = local.ptr[i];

        if (c == '%' || c == '!' || c == '|' || c == '@') {
            return true;
        }
    }
    return false;
}

/* Is it a wide or small form of @ % ! |, which some servers fold to the ASCII character? */
static bool is_wide_route(uint32_t c)
{
    static const uint32_t wide[] = { 0xff20, 0xfe6b, 0xff05, 0xfe6a, 0xff01, 0xfe57, 0xfe15, 0xff5c };

    for (size_t i = 0; i < ARRAY_LEN(wide); i++) {
        if (c == wide[i]) {
            return true;
        }
    }
    return false;
}

/* Ignores case, and backslashes within quotes. */
static bool begins_with(struct slice local, struct slice tag)
{
    bool quoted = local.len > 0 && local.ptr[0] == '"';
    size_t n = 0;

    for (size_t i = quoted; i < local.len && n < tag.len; i++) {
        if (quoted && local.ptr[i] == '\\') {
            continue;
        }
        if (ascii_lower(local.ptr[i]) != ascii_lower(tag.ptr[n++])) {
            return false;
        }
    }
    return n == tag.len;
}

bool local_part_encapsulates(struct slice local)
{
    bool found = begins_with(local, SLICE("IMCEASMTP-"));

    while (local.len > 0 && !found) {
        size_t len;

        found = is_wide_route(utf8_decode(local, &len));
        local = slice_skip(local, len > 0 ? len : 1);
    }
    return found;
}

/* "[192.0.2.1]" or "[IPv6:2001:db8::1]". */
static bool parse_literal(struct slice s, struct addr *out)
{
    const struct slice tag = SLICE("IPv6:");
    bool six;

    if (s.len < 2 || s.ptr[0] != '[' || s.ptr[s.len - 1] != ']') {
        return false;
    }
    s = slice_of(s.ptr + 1, s.len - 2);
    six = slice_starts_nocase(s, tag);
    s = six ? slice_skip(s, tag.len) : s;
    return six == (slice_find(s, ':') < s.len) && addr_parse_ip(s, out);
}

/* ---- paths ---- */

static bool is_atext(char c)
{
    static const struct slice specials = SLICE_INIT("!#$%&'*+-/=?^_`{|}~");

    return ascii_is_alpha(c) || ascii_is_digit(c) || (unsigned char)c > 0x7f ||
           slice_find(specials, c) < specials.len;
}

/* Octets of a leading unquoted local part. */
static size_t dot_string(struct slice s)
{
    size_t n = 0;

    while (n < s.len && (is_atext(s.ptr[n]) || s.ptr[n] == '.')) {
        n++;
    }
    return n;
}

/* Octets of a leading quoted string, with its quotes; 0: it has no end, or a forbidden character. */
static size_t quoted_string(struct slice s)
{
    for (size_t i = 1; i < s.len; i++) {
        char c = s.ptr[i];

        if (c == '"') {
            return i + 1;
        }
        if (c == '\\' && ++i < s.len) {
            c = s.ptr[i];
            if ((unsigned char)c > 0x7f) {
                return 0;
            }
        }
        if (!ascii_is_print(c) && (unsigned char)c < 0x80) {
            return 0;
        }
    }
    return 0;
}

/* Is it UTF-8 without C1 controls?  Some software takes those for line ends. */
static bool is_clean_utf8(struct slice s)
{
    while (s.len > 0) {
        size_t len;
        uint32_t c = utf8_decode(s, &len);

        if (len == 0 || (c >= 0x80 && c < 0xa0)) {
            return false;
        }
        s = slice_skip(s, len);
    }
    return true;
}

/* Skips a leading "@a,@b:" if it is a valid source route (RFC 5321 appendix C). */
static bool skip_route(struct slice *rest)
{
    for (;;) {
        size_t n = 1;
        bool ends;

        if (rest->len < 2 || rest->ptr[0] != '@') {
            return false;
        }
        while (n < rest->len &&
               (ascii_is_alpha(rest->ptr[n]) || ascii_is_digit(rest->ptr[n]) ||
                slice_find(SLICE(".-_[]"), rest->ptr[n]) < 5 || (unsigned char)rest->ptr[n] > 0x7f)) {
            n++;
        }
        if (n == 1 || n == rest->len || (rest->ptr[n] != ',' && rest->ptr[n] != ':')) {
            return false;
        }
        ends = rest->ptr[n] == ':';
        *rest = slice_skip(*rest, n + 1);
        if (ends) {
            return true;
        }
    }
}

static enum path_error read_domain(struct slice s, struct path *out)
{
    struct addr literal;
    struct buf b;

    buf_init_fixed(&b, out->domain_mem, sizeof(out->domain_mem));
    out->domain_8bit = utf8_has_8bit(s);
    if (s.len > 0 && s.ptr[0] == '[') {
        if (!parse_literal(s, &literal)) {
            return PATH_BAD;
        }
        addr_put_literal(&b, &literal);
    } else {
        if (s.len > 0 && s.ptr[s.len - 1] == '.') {
            s.len--;
        }
        if (!idna_to_ascii(s, &b)) {
            return out->domain_8bit ? PATH_BAD_UTF8 : PATH_BAD;
        }
    }
    out->domain = buf_slice(&b);
    return buf_ok(&b) ? PATH_OK : PATH_BAD;
}

/* Reads the text between < and >; `s` begins after the <.  *rest begins after the >. */
static enum path_error read_mailbox(struct slice s, struct path *out, struct slice *rest)
{
    size_t n, end;

    if (s.len > 0 && s.ptr[0] == '@') {
        if (!skip_route(&s)) {
            return PATH_BAD;
        }
        out->routed = true;
    }
    n = s.len > 0 && s.ptr[0] == '"' ? quoted_string(s) : dot_string(s);
    if (n == 0 || n == s.len) {
        return PATH_BAD;
    }
    out->local = slice_take(s, n);
    out->local_8bit = utf8_has_8bit(out->local);
    s = slice_skip(s, n);
    end = slice_find(s, '>');
    if (end == s.len) {
        return PATH_BAD;
    }
    *rest = slice_skip(s, end + 1);
    if (end == 0) {
        out->domain = SLICE_NONE; /* the caller decides whether this is allowed */
        return PATH_OK;
    }
    return s.ptr[0] == '@' ? read_domain(slice_take(slice_skip(s, 1), end - 1), out) : PATH_BAD;
}

/* Reads "<path>".  *rest then begins with a blank or a tab, or is empty. */
static enum path_error read_path(struct slice s, struct path *out, struct slice *rest)
{
    enum path_error error = PATH_OK;

    *out = (struct path){ .local = SLICE_NONE, .domain = SLICE_NONE };
    if (s.len == 0 || s.ptr[0] != '<') {
        return PATH_BAD;
    }
    s = slice_skip(s, 1);
    if (s.len > 0 && s.ptr[0] == '>') {
        out->is_null = true;
        *rest = slice_skip(s, 1);
    } else {
        error = read_mailbox(s, out, rest);
    }
    if (error == PATH_OK && rest->len > 0 && rest->ptr[0] != ' ' && rest->ptr[0] != '\t') {
        return PATH_BAD;
    }
    return error;
}

/* Takes "FROM:" or "TO:" and blanks after it.  The rest may have no control character but tab (ADR-03); the parser of
 * the path refuses tabs there. */
static bool take_keyword(struct slice arg, struct slice keyword, struct slice *rest)
{
    for (size_t i = 0; i < arg.len; i++) {
        if (!ascii_is_print(arg.ptr[i]) && (unsigned char)arg.ptr[i] < 0x80 && arg.ptr[i] != '\t') {
            return false;
        }
    }
    *rest = slice_trim(slice_skip(arg, keyword.len));
    return slice_starts_nocase(arg, keyword);
}

static bool copy_slice(struct arena *a, struct slice s, struct slice *out)
{
    *out = s.len > 0 ? arena_slice(a, s) : SLICE_NONE;
    return s.len == 0 || out->ptr != NULL;
}

/* Copies local@domain into the arena; its halves are parts of the copy. */
static bool copy_address(struct arena *a, const struct path *p, struct slice out[3])
{
    size_t at = p->domain.len > 0, len = p->local.len + at + p->domain.len;
    char *mem;

    out[0] = out[1] = out[2] = SLICE_NONE;
    if (len == 0) {
        return true;
    }
    mem = arena_alloc(a, len);
    if (mem == NULL) {
        return false;
    }
    memcpy(mem, p->local.ptr, p->local.len);
    if (at > 0) {
        mem[p->local.len] = '@';
        memcpy(mem + p->local.len + 1, p->domain.ptr, p->domain.len);
    }
    out[0] = slice_of(mem, len);
    out[1] = slice_take(out[0], p->local.len);
    out[2] = slice_skip(out[0], p->local.len + at);
    return true;
}

/* Are octets above 127 allowed, and well-formed? */
static enum parse_status judge_utf8(const struct path *p, enum path_error error, bool utf8)
{
    if ((p->local_8bit || p->domain_8bit) && !utf8) {
        return PARSE_UTF8_NEEDED;
    }
    return error == PATH_BAD_UTF8 || !is_clean_utf8(p->local) ? PARSE_BAD_UTF8 : PARSE_OK;
}

enum parse_status smtp_parse_mail(struct slice arg, const struct smtp_offer *offer, struct arena *a,
                                  struct envelope *env)
{
    struct mail_params params;
    struct path path;
    struct slice rest = SLICE_NONE, address[3];
    enum path_error error;
    enum parse_status status;

    if (!take_keyword(arg, SLICE("FROM:"), &rest)) {
        return PARSE_SYNTAX;
    }
    error = read_path(rest, &path, &rest);
    if (error == PATH_BAD || (!path.is_null && path.domain.len == 0 && error == PATH_OK)) {
        return PARSE_BAD_SENDER;
    }
    status = params_mail(rest, offer, &params);
    if (status == PARSE_OK) {
        status = judge_utf8(&path, error, params.smtputf8);
    }
    if (status != PARSE_OK) {
        return status;
    }
    if (!copy_address(a, &path, address) || !copy_slice(a, buf_slice(&params.envid), &env->envid)) {
        return PARSE_NO_MEMORY;
    }
    env->sender = address[0];
    env->sender_local = address[1];
    env->sender_domain = address[2];
    env->sender_null = path.is_null;
    env->sender_utf8 = path.local_8bit;
    env->size_given = params.size_given;
    env->size = params.size;
    env->body = params.body;
    env->smtputf8 = params.smtputf8;
    env->ret = params.ret;
    return PARSE_OK;
}

static bool is_postmaster(const struct path *p)
{
    return p->domain.len == 0 && slice_eq_nocase(p->local, SLICE("postmaster"));
}

enum parse_status smtp_parse_rcpt(struct slice arg, const struct smtp_offer *offer, bool utf8,
                                  struct arena *a, struct recipient *out)
{
    struct rcpt_params params;
    struct path path;
    struct slice rest = SLICE_NONE, address[3];
    enum path_error error;
    enum parse_status status;

    if (!take_keyword(arg, SLICE("TO:"), &rest)) {
        return PARSE_SYNTAX;
    }
    error = read_path(rest, &path, &rest);
    if (error == PATH_BAD || path.is_null ||
        (error == PATH_OK && path.domain.len == 0 && (path.routed || !is_postmaster(&path)))) {
        return PARSE_BAD_RECIPIENT;
    }
    status = judge_utf8(&path, error, utf8);
    if (status == PARSE_OK) {
        status = params_rcpt(rest, offer, utf8, &params);
    }
    if (status != PARSE_OK) {
        return status;
    }
    *out = (struct recipient){ .utf8 = path.local_8bit, .routed = path.routed };
    if (!copy_address(a, &path, address) || !copy_slice(a, buf_slice(&params.notify), &out->notify) ||
        !copy_slice(a, buf_slice(&params.orcpt), &out->orcpt)) {
        return PARSE_NO_MEMORY;
    }
    out->address = address[0];
    out->local = address[1];
    out->domain = address[2];
    return PARSE_OK;
}
