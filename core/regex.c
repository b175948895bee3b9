/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex.c - PCRE2 behind regex.h.
 *
 * Limits: STEPS_MAX calls of the matcher (about a millisecond), DEPTH_MAX nested ones, HEAP_MAX_KIB of heap.
 */
#include "core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define STEPS_MAX 20000
#define DEPTH_MAX 1000
#define HEAP_MAX_KIB 256

struct regex {
    pcre2_code *code;
    pcre2_match_context *limits;
    pcre2_match_data *data;
};

static pcre2_code *compile(struct slice pattern, uint32_t options, struct buf *why)
{
    PCRE2_UCHAR text[200];
    PCRE2_SIZE at = 0;
    int error = 0;
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)(pattern.len > 0 ? pattern.ptr : ""), pattern.len, options,
                                     &error, &at, NULL);

    if (code == NULL) {
        (void)pcre2_get_error_message(error, text, sizeof(text));
        buf_putf(why, "%s, at offset %zu", (const char *)text, (size_t)at);
    }
    return code;
}

struct regex *regex_new(struct slice pattern, bool nocase, struct buf *why)
{
    uint32_t options = PCRE2_NEVER_UTF | PCRE2_NEVER_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY |
                       (nocase ? PCRE2_CASELESS : 0);
    pcre2_code *code;
    struct regex *re;

    if (pattern.len > REGEX_PATTERN_MAX) {
        buf_putf(why, "longer than %d octets", REGEX_PATTERN_MAX);
        return NULL;
    }
    code = compile(pattern, options, why);
    if (code == NULL) {
        return NULL;
    }
    re = xcalloc(1, sizeof(*re));
    re->code = code;
    re->limits = pcre2_match_context_create(NULL);
    re->data = pcre2_match_data_create_from_pattern(code, NULL);
    BUG_ON(re->limits == NULL || re->data == NULL); /* out of memory */
    (void)pcre2_set_match_limit(re->limits, STEPS_MAX);
    (void)pcre2_set_depth_limit(re->limits, DEPTH_MAX);
    (void)pcre2_set_heap_limit(re->limits, HEAP_MAX_KIB);
    return re;
}

void regex_free(struct regex **re)
{
    if (*re != NULL) {
        pcre2_match_data_free((*re)->data);
        pcre2_match_context_free((*re)->limits);
        pcre2_code_free((*re)->code);
        free(*re);
        *re = NULL;
    }
}

enum regex_result regex_match(const struct regex *re, struct slice text)
{
    int rc = pcre2_match(re->code, (PCRE2_SPTR)(text.len > 0 ? text.ptr : ""), text.len, 0, PCRE2_NO_JIT,
                         re->data, re->limits);

    if (rc >= 0) {
        return REGEX_MATCH;
    }
    return rc == PCRE2_ERROR_NOMATCH ? REGEX_NO : REGEX_GAVE_UP;
}
