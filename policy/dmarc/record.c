/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - reads a policy record: version, tags, and whether rua= has a valid URI.
 *
 * It does not share the reader of policy/dkim/tags.c.  There, any syntax error makes the list unusable; here, errors
 * behind the version are ignored one by one.
 *
 * RFC     9989 4.7 (tags), 4.8 (syntax), 4.10.1 (records without a valid policy); 3986 2, 3 (URIs)
 */
#include "policy/dmarc/record.h"

enum tag_id {
    TAG_P = 0,
    TAG_SP,
    TAG_NP,
    TAG_T,
    TAG_PSD,
    TAG_ASPF,
    TAG_ADKIM,
    TAG_RUA,
    TAG_COUNT,
};

static const struct slice tag_names[TAG_COUNT] = {
    [TAG_P] = SLICE_INIT("p"),         [TAG_SP] = SLICE_INIT("sp"),   [TAG_NP] = SLICE_INIT("np"),
    [TAG_T] = SLICE_INIT("t"),         [TAG_PSD] = SLICE_INIT("psd"), [TAG_ASPF] = SLICE_INIT("aspf"),
    [TAG_ADKIM] = SLICE_INIT("adkim"), [TAG_RUA] = SLICE_INIT("rua"),
};

struct tag {
    struct slice value; /* trimmed */
    bool present;
};

const char *dmarc_policy_text(enum dmarc_policy policy)
{
    static const char *const words[DMARC_POLICY_COUNT] = {
        [DMARC_POLICY_NONE] = "none",
        [DMARC_POLICY_QUARANTINE] = "quarantine",
        [DMARC_POLICY_REJECT] = "reject",
    };

    return words[policy];
}

/* ---- tags ---- */

/* Takes "name = value" up to the next semicolon.  False: it has no equals sign. */
static bool take_tag(struct slice *list, struct slice *name, struct slice *value)
{
    struct slice spec = slice_cut(list, ';');
    size_t equals = slice_find(spec, '=');

    *name = slice_trim(slice_take(spec, equals));
    *value = slice_trim(slice_skip(spec, equals + 1));
    return equals < spec.len;
}

/* The name is a literal of the grammar, so case does not matter (RFC 5234 2.3); the value is exact. */
static bool take_version(struct slice *list)
{
    struct slice name, value;

    return take_tag(list, &name, &value) && slice_eq_nocase(name, SLICE("v")) &&
           slice_eq(value, SLICE("DMARC1"));
}

static void read_tags(struct slice list, struct tag tags[TAG_COUNT])
{
    while (!slice_empty(list)) {
        struct slice name, value;

        if (!take_tag(&list, &name, &value)) {
            continue;
        }
        for (size_t i = 0; i < TAG_COUNT; i++) {
            if (slice_eq_nocase(name, tag_names[i]) && !tags[i].present) {
                tags[i] = (struct tag){ value, true };
            }
        }
    }
}

static bool tag_is(const struct tag *tag, const char *word)
{
    return tag->present && slice_eq_nocase(tag->value, slice_str(word));
}

/* ---- rua ---- */

static bool is_hex(char c)
{
    c = ascii_lower(c);
    return ascii_is_digit(c) || (c >= 'a' && c <= 'f');
}

/* Octets of a URI, `%` aside.  The comma and `!` must be encoded (RFC 9989 4.8). */
static bool is_uri_octet(char c)
{
    static const struct slice marks = SLICE_INIT("-._~:/?#[]@$&'()*+;=");

    return ascii_is_alpha(c) || ascii_is_digit(c) || slice_find(marks, c) < marks.len;
}

/* The obsolete size: "!" 1*DIGIT [unit]. */
static struct slice without_size(struct slice uri)
{
    size_t bang = slice_rfind(uri, '!');
    struct slice size = slice_skip(uri, bang + 1);
    uint64_t value;

    if (size.len > 0 && ascii_is_alpha(size.ptr[size.len - 1]) &&
        slice_find(SLICE("kmgt"), ascii_lower(size.ptr[size.len - 1])) < 4) {
        size.len--;
    }
    return slice_to_u64(size, UINT64_MAX, &value) ? slice_take(uri, bang) : uri;
}

/* scheme ":" *( octet / "%" HEXDIG HEXDIG ) */
static bool is_uri(struct slice uri)
{
    size_t colon = slice_find(uri, ':');

    if (colon == uri.len || !ascii_is_alpha(uri.ptr[0])) {
        return false;
    }
    for (size_t i = 0; i < colon; i++) {
        char c = uri.ptr[i];

        if (!ascii_is_alpha(c) && !ascii_is_digit(c) && c != '+' && c != '-' && c != '.') {
            return false;
        }
    }
    for (size_t i = colon + 1; i < uri.len; i++) {
        if (uri.ptr[i] == '%' && i + 2 < uri.len && is_hex(uri.ptr[i + 1]) && is_hex(uri.ptr[i + 2])) {
            i += 2;
        } else if (!is_uri_octet(uri.ptr[i])) {
            return false;
        }
    }
    return true;
}

static bool has_uri(struct slice list)
{
    while (!slice_empty(list)) {
        if (is_uri(without_size(slice_trim(slice_cut(&list, ','))))) {
            return true;
        }
    }
    return false;
}

/* ---- policies ---- */

/* Reads p, sp or np into *out, which keeps its default if the tag is absent.  False: the value is unknown. */
static bool read_policy(const struct tag *tag, enum dmarc_policy *out)
{
    if (!tag->present) {
        return true;
    }
    for (int policy = 0; policy < DMARC_POLICY_COUNT; policy++) {
        if (tag_is(tag, dmarc_policy_text((enum dmarc_policy)policy))) {
            *out = (enum dmarc_policy)policy;
            return true;
        }
    }
    return false;
}

static void read_policies(const struct tag tags[TAG_COUNT], struct dmarc_record *out)
{
    bool valid = tags[TAG_P].present && read_policy(&tags[TAG_P], &out->p);

    out->sp = out->p;
    valid = read_policy(&tags[TAG_SP], &out->sp) && valid;
    out->np = out->sp;
    valid = read_policy(&tags[TAG_NP], &out->np) && valid;
    out->has_sp = tags[TAG_SP].present;
    out->has_np = tags[TAG_NP].present;
    if (!valid) {
        out->p = out->sp = out->np = DMARC_POLICY_NONE;
        out->has_sp = out->has_np = false;
        out->substituted = out->has_rua;
        out->no_policy = !out->has_rua;
    }
}

bool dmarc_record_read(struct slice text, struct dmarc_record *out)
{
    struct tag tags[TAG_COUNT] = { { SLICE_NONE, false } };

    *out = (struct dmarc_record){ .p = DMARC_POLICY_NONE };
    if (!take_version(&text)) {
        return false;
    }
    read_tags(text, tags);
    out->has_rua = tags[TAG_RUA].present && has_uri(tags[TAG_RUA].value);
    read_policies(tags, out);
    out->testing = tag_is(&tags[TAG_T], "y");
    out->strict_spf = tag_is(&tags[TAG_ASPF], "s");
    out->strict_dkim = tag_is(&tags[TAG_ADKIM], "s");
    out->psd = tag_is(&tags[TAG_PSD], "y")   ? DMARC_PSD_YES
               : tag_is(&tags[TAG_PSD], "n") ? DMARC_PSD_NO
                                             : DMARC_PSD_UNKNOWN;
    return true;
}
