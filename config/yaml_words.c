/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml_words.c - explains syntax errors of YAML (yaml_words.h).
 *
 * One function per cause, tried in order; the first that recognises its cause writes the sentence.  If none does, the
 * sentence uses libyaml's words.
 */
#include "config/yaml_words.h"

#include "core/utf8.h"

#define QUOTE_REGEX "write a regular expression in single quotes, such as '/^mail\\d+/'"
#define NO_KEY "is no key with a value: `key: value`, with a blank behind the colon"
#define QUOTE_BRACKETS "an address in brackets needs quotes, such as \"[::]:25\""

/* The n-th line, from 1, without its end; empty after the last. */
static struct slice line_at(struct slice source, size_t n)
{
    struct slice line = SLICE_NONE;

    while (n-- > 0) {
        line = slice_empty(source) ? SLICE_NONE : slice_cut(&source, '\n');
    }
    line.len -= line.len > 0 && line.ptr[line.len - 1] == '\r';
    return line;
}

/* The last line before `n` that is neither empty nor a comment.  *number is its number, or 0 if there is none. */
static struct slice line_before(struct slice source, size_t n, size_t *number)
{
    struct slice found = SLICE_NONE;

    *number = 0;
    for (size_t i = 1; i < n && !slice_empty(source); i++) {
        struct slice line = slice_cut(&source, '\n'), text = slice_trim(line);

        if (!slice_empty(text) && text.ptr[0] != '#' && text.ptr[0] != '\r') {
            found = line;
            *number = i;
        }
    }
    return found;
}

static size_t indent_of(struct slice line)
{
    size_t n = 0;

    while (n < line.len && line.ptr[n] == ' ') {
        n++;
    }
    return n;
}

static bool has(struct slice text, const char *word)
{
    size_t len = strlen(word);

    return text.len >= len && memmem(text.ptr, text.len, word, len) != NULL;
}

/* Position of the first colon before a blank or the end; text.len: none. */
static size_t find_colon(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == ':' && (i + 1 == text.len || text.ptr[i + 1] == ' ')) {
            return i;
        }
    }
    return text.len;
}

const char *yaml_bracket_hint(struct slice source, size_t line)
{
    struct slice text = line_at(source, line);

    return has(text, "[::") || has(text, "]:") || has(text, "[[") ? QUOTE_BRACKETS : NULL;
}

/* ---- causes ---- */

typedef bool (*cause_fn)(struct buf *out, struct slice source, const struct yaml_problem *p);

static bool tab(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    struct slice line = line_at(source, p->line);

    if (p->column == 0 || p->column > line.len || line.ptr[p->column - 1] != '\t') {
        return false;
    }
    buf_put_str(out, "a tab cannot indent; use blanks");
    return true;
}

static bool bracket(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    const char *hint = yaml_bracket_hint(source, p->line);

    if (hint == NULL || !has(slice_str(p->problem), "node content")) {
        return false;
    }
    buf_put_str(out, hint);
    return true;
}

static bool escape(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    (void)source;
    if (!has(slice_str(p->problem), "escape")) {
        return false;
    }
    buf_put_str(out, "in double quotes a backslash begins an escape, and this is none; " QUOTE_REGEX);
    return true;
}

/* "key: a: b", or a key below a line that already has a value, or a line above without a blank after its colon. */
static bool second_colon(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    struct slice line = line_at(source, p->line), before;
    size_t number;

    if (!has(slice_str(p->problem), "mapping values are not allowed")) {
        return false;
    }
    before = line_before(source, p->line, &number);
    if (find_colon(line) + 1 < p->column) {
        buf_put_str(out, "a value with `: ` in it needs quotes");
    } else if (number > 0 && find_colon(before) == before.len && slice_find(before, ':') < before.len) {
        buf_putf(out, "a blank is missing behind the colon in line %zu", number);
    } else if (number > 0 && slice_find(before, ':') == before.len &&
               !slice_starts(slice_trim(before), SLICE("- "))) {
        buf_putf(out, "line %zu " NO_KEY, number);
    } else if (number > 0 && indent_of(line) > indent_of(before)) {
        buf_putf(
            out,
            "line %zu has a value already, so nothing can be indented below it; the keys of a mapping begin "
            "in the same column",
            number);
    } else {
        buf_put_str(out, "a key cannot stand here; the keys of a mapping begin in the same column");
    }
    return true;
}

static bool dedent(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    struct slice line = line_at(source, p->line), text = slice_trim(line);
    size_t indent = indent_of(line);

    if (!has(slice_str(p->problem), "expected key") && !has(slice_str(p->problem), "'-' indicator")) {
        return false;
    }
    if (p->column <= indent + 1 && slice_starts(text, SLICE("- ")) == has(slice_str(p->problem), "'-'")) {
        buf_put_str(out, "the indentation of this line matches no line above that it could belong to");
    } else if (p->column <= indent + 1) {
        buf_put_str(out, "a list entry (`- `) and a key cannot stand in the same column here");
    } else {
        buf_put_str(
            out,
            "something follows a value that is complete; a value with quotes in it needs quotes around all "
            "of it");
    }
    if (p->context_line != 0 && p->context_line != p->line) {
        buf_putf(out, " (within what begins in line %zu)", p->context_line);
    }
    return true;
}

/* @ and ` cannot begin a value; * begins an alias, & an anchor, % a directive. */
static bool reserved(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    struct slice line = line_at(source, p->line);
    struct slice at = slice_skip(line, p->column - 1);

    if (!has(slice_str(p->problem), "cannot start any token") && !has(slice_str(p->problem), "alphabetic")) {
        return false;
    }
    /* libyaml may point one octet too far, or at the end of the line */
    while (at.ptr > line.ptr && (slice_empty(at) || slice_find(SLICE("*&@`%"), at.ptr[0]) == 5)) {
        at = slice_of(at.ptr - 1, at.len + 1);
    }
    if (slice_empty(at) || slice_find(SLICE("*&@`%"), at.ptr[0]) == 5) {
        return false;
    }
    buf_putf(out, "a value that begins with %c needs quotes", at.ptr[0]);
    return true;
}

static bool unclosed(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    struct slice problem = slice_str(p->problem);

    (void)source;
    if (has(problem, "unexpected end of stream")) {
        buf_putf(out, "the quotes that begin in line %zu are never closed", p->context_line);
    } else if (has(problem, "',' or ']'")) {
        buf_putf(out, "a comma is missing, or the list that begins in line %zu is not closed by ]",
                 p->context_line);
    } else if (has(problem, "',' or '}'")) {
        buf_putf(out, "a comma is missing, or the mapping that begins in line %zu is not closed by }",
                 p->context_line);
    } else {
        return false;
    }
    return true;
}

static bool no_colon(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    (void)source;
    if (!has(slice_str(p->problem), "could not find expected ':'")) {
        return false;
    }
    buf_putf(out, "line %zu " NO_KEY, p->context_line != 0 ? p->context_line : p->line);
    return true;
}

static bool no_content(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    (void)source;
    if (!has(slice_str(p->problem), "node content")) {
        return false;
    }
    buf_put_str(out, "a value is missing here");
    return true;
}

static bool behind_all(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    (void)source;
    if (!has(slice_str(p->problem), "<document start>")) {
        return false;
    }
    buf_put_str(out, "this line belongs to nothing above it; a key begins in the first column");
    return true;
}

void yaml_put_problem(struct buf *out, struct slice source, const struct yaml_problem *p)
{
    static const cause_fn causes[] = { tab,      bracket,  escape,   second_colon, dedent,
                                       reserved, unclosed, no_colon, no_content,   behind_all };

    for (size_t i = 0; i < ARRAY_LEN(causes); i++) {
        if (causes[i](out, source, p)) {
            return;
        }
    }
    buf_put_str(out, p->problem);
    if (p->context_line != 0 && p->context_line != p->line) {
        buf_putf(out, " (within what begins in line %zu)", p->context_line);
    }
}

bool yaml_is_utf8(struct slice source, size_t *line, size_t *column, unsigned *octet)
{
    *line = *column = 1;
    while (!slice_empty(source)) {
        size_t len;

        (void)utf8_decode(source, &len);
        if (len == 0) {
            *octet = (unsigned char)source.ptr[0];
            return false;
        }
        *column = source.ptr[0] == '\n' ? 1 : *column + 1;
        *line += source.ptr[0] == '\n' ? 1 : 0;
        source = slice_skip(source, len);
    }
    return true;
}
