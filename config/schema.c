/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.c - the table of keys as a JSON Schema (draft 2020-12), for editors: `glacis check --schema`.
 *
 * A schema cannot express all checks of the loader.  Ranges of durations and sizes, and rules that span keys, are in
 * descriptions or missing.  It must accept every file that loads.  So each scalar may also be a text with "${",
 * because ${NAME} may replace a value of any type.
 *
 * Each section is one object: put_section() walks the rows below a path and recurses into inner sections.
 */
#include "config/load_priv.h"

#include "config/values.h"

#define TEXT_MAX 4096
#define PATH_MAX_LEN 200
#define DURATION "^(?=.)([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$"
#define DECIMAL "^-?[0-9]+([.][0-9]{1,3})?$"

static void put_section(struct buf *out, struct slice path);

static void put_quoted(struct buf *out, struct slice text)
{
    buf_put_json(out, text, TEXT_MAX);
}

static void put_pattern(struct buf *out, const char *pattern)
{
    buf_put_str(out, "{\"type\":\"string\",\"pattern\":");
    put_quoted(out, slice_str(pattern));
    buf_put_char(out, '}');
}

/* Puts words that YAML reads as a number or a boolean in both forms. */
static void put_words(struct buf *out, const char *choices)
{
    struct slice rest = slice_str(choices);
    const char *before = "";
    int64_t n;

    buf_put_str(out, "{\"enum\":[");
    while (!slice_empty(rest)) {
        struct slice word = slice_cut(&rest, '|');

        buf_put_str(out, before);
        put_quoted(out, word);
        if (slice_eq(word, SLICE("true")) || slice_eq(word, SLICE("false")) ||
            value_parse_decimal(word, &n)) {
            buf_put_char(out, ',');
            buf_put_slice(out, word);
        }
        before = ",";
    }
    buf_put_str(out, "]}");
}

static void put_integer(struct buf *out, const struct key *k)
{
    buf_putf(out, "{\"type\":\"integer\",\"minimum\":%" PRIu64 ",\"maximum\":%" PRIu64 "}",
             (k->flags & KEY_OFF_ZERO) != 0 ? 0 : k->min, k->max);
}

/* Puts the forms of one value, without those common to all values. */
static void put_number_form(struct buf *out, const struct key *k)
{
    switch ((int)k->type) {
    case KEY_DURATION:
    case KEY_SECONDS:
        put_pattern(out, DURATION);
        break;
    case KEY_SIZE:
        put_integer(out, k);
        buf_put_char(out, ',');
        put_pattern(out, "^[0-9]+(KiB|MiB|GiB|TiB|kB|MB|GB|TB)?$");
        break;
    case KEY_PERCENT:
        put_pattern(out, "^[0-9]+%$");
        break;
    case KEY_FACTOR:
        put_pattern(out, "^[0-9]+[xX]$");
        break;
    case KEY_RATE:
        put_pattern(out, "^[0-9]+/[0-9a-z]+$");
        break;
    case KEY_PREFIX:
        put_pattern(out, "^/[0-9]+$");
        break;
    case KEY_WEIGHT:
        buf_put_str(out, "{\"type\":\"number\",\"exclusiveMinimum\":0},");
        put_pattern(out, DECIMAL);
        break;
    default: /* a count */
        put_integer(out, k);
        buf_put_char(out, ',');
        put_pattern(out, "^[0-9]+$");
        break;
    }
}

static void put_text_form(struct buf *out, const struct key *k)
{
    buf_put_str(out, "{\"type\":\"string\"");
    if (k->type == KEY_PATH || k->type == KEY_CA) {
        buf_put_str(out, k->type == KEY_CA ? ",\"pattern\":\"^(system|/.*)$\""
                         : k->min > 0      ? ",\"pattern\":\"^/\""
                                           : ",\"pattern\":\"^(/.*)?$\"");
    } else if (k->type == KEY_GROUP) {
        buf_put_str(out, ",\"pattern\":\"^(group:.+)?$\"");
    } else if (k->type == KEY_LIST_NAME) {
        buf_put_str(out, ",\"pattern\":\"^[a-z0-9-]+$\"");
    } else if (k->type == KEY_VALIDATE || k->type == KEY_LOG_TO) {
        buf_put_str(out, k->type == KEY_LOG_TO ? ",\"pattern\":\"^(stdout|stderr|syslog|file:/.*)$\""
                                               : ",\"pattern\":\"^(live|none|file:/.*)$\"");
    }
    if (k->max > 0) {
        buf_putf(out, ",\"maxLength\":%" PRIu64, k->max);
    }
    buf_put_str(out, "},{\"type\":[\"number\",\"boolean\"]}");
}

static bool is_number(enum key_type type)
{
    return (type >= KEY_DURATION && type <= KEY_RATE) || type == KEY_PREFIX || type == KEY_WORKERS;
}

static void put_scalar_form(struct buf *out, const struct key *k)
{
    if (k->type == KEY_BOOL) {
        put_words(out, "true|false");
    } else if (k->type == KEY_VERSION) {
        put_words(out, "1");
    } else if (is_number(k->type)) {
        put_number_form(out, k);
    } else if (k->choices != NULL && k->type != KEY_VALIDATE && k->type != KEY_LOG_TO) {
        put_words(out, k->choices);
    } else {
        put_text_form(out, k);
    }
    if ((k->flags & (KEY_OFF_ZERO | KEY_OFF_MAX)) != 0) {
        buf_put_str(out, ",{\"const\":\"off\"}");
    }
    if ((k->flags & KEY_AUTO_ZERO) != 0 || k->type == KEY_WORKERS) {
        buf_put_str(out, ",{\"const\":\"auto\"}");
    }
    buf_put_str(out, ",{\"$ref\":\"#/$defs/environment\"}");
}

/* Puts a mapping from user-chosen names to sections or texts. */
static void put_named(struct buf *out, const struct key *k)
{
    char mem[PATH_MAX_LEN];
    struct buf path;

    buf_init_fixed(&path, mem, sizeof(mem));
    buf_putf(&path, "%s.*", k->path);
    buf_put_str(out, "{\"type\":\"object\",\"additionalProperties\":");
    if (k->type == KEY_DOMAINS) { /* the name of an upstream, or the keys below */
        buf_put_str(out, "{\"anyOf\":[{\"type\":\"string\"},");
        put_section(out, buf_slice(&path));
        buf_put_str(out, "]}},{\"type\":\"array\",\"items\":{\"type\":\"string\"}},{\"type\":\"string\"}");
    } else if (k->type == KEY_UPSTREAMS) {
        put_section(out, buf_slice(&path));
        buf_put_str(out, ",\"minProperties\":1}");
    } else {
        buf_put_str(out, "{\"type\":[\"string\",\"number\",\"boolean\"]}}");
    }
}

/* Puts a list, or one text with commas. */
static void put_list_form(struct buf *out, const struct key *k)
{
    char mem[PATH_MAX_LEN];
    struct buf path;

    buf_init_fixed(&path, mem, sizeof(mem));
    buf_putf(&path, "%s[]", k->path);
    buf_put_str(out, "{\"type\":\"array\",\"items\":{\"anyOf\":[");
    if (key_is_section(buf_slice(&path))) {
        put_section(out, buf_slice(&path));
        buf_put_str(out, k->type == KEY_LISTEN ? ",{\"type\":\"string\"}" : "");
    } else if (k->choices != NULL) {
        put_words(out, k->choices);
        buf_put_str(out, ",{\"$ref\":\"#/$defs/environment\"}");
    } else {
        buf_put_str(out, "{\"type\":[\"string\",\"number\",\"boolean\"]}");
    }
    buf_put_str(out, "]}},{\"type\":\"string\"");
    if (k->type == KEY_LISTS || k->type == KEY_KEYPAIRS) {
        buf_put_str(out, ",\"maxLength\":0},{\"type\":\"null\"");
    }
    buf_put_char(out, '}');
}

/* The members of `anyOf`. */
static void put_forms(struct buf *out, const struct key *k, struct slice path)
{
    if (k->type == KEY_UPSTREAMS || k->type == KEY_DOMAINS || k->type == KEY_FIELDS ||
        k->type == KEY_ANSWERS) {
        put_named(out, k);
        if (k->type == KEY_DOMAINS) {
            return;
        }
    } else if (k->type == KEY_SWITCH) {
        put_section(out, path);
        buf_put_str(out, ",{\"const\":\"off\"}");
    } else if (load_is_scalar_key(k->type) || k->type == KEY_ZONE) {
        put_scalar_form(out, k);
    } else {
        put_list_form(out, k);
    }
}

static void put_default(struct buf *out, const struct key *k)
{
    struct slice def = slice_str(k->def != NULL ? k->def : "");
    int64_t n;

    if (slice_empty(def) || slice_starts(def, SLICE("${"))) {
        return;
    }
    buf_put_str(out, ",\"default\":");
    if (k->type == KEY_BOOL || (is_number(k->type) && value_parse_decimal(def, &n)) ||
        k->type == KEY_VERSION) {
        buf_put_slice(out, def);
    } else {
        put_quoted(out, def);
    }
}

/* "the banner comes after this; 0s to 1m": limits that a pattern cannot hold are words. */
static void put_description(struct buf *out, const struct key *k)
{
    char mem[TEXT_MAX];
    struct buf text;

    buf_init_fixed(&text, mem, sizeof(mem));
    buf_put_str(&text, k->help);
    if (k->type >= KEY_DURATION && k->type <= KEY_FACTOR) {
        buf_put_str(&text, "; ");
        load_put_limit(k, k->min, &text);
        buf_put_str(&text, " to ");
        load_put_limit(k, k->max, &text);
    }
    buf_put_str(out, "\"description\":");
    put_quoted(out, buf_slice(&text));
}

static void put_property(struct buf *out, struct slice path)
{
    const struct key *k = key_find(path);

    if (k == NULL) {
        put_section(out, path);
        return;
    }
    buf_put_char(out, '{');
    put_description(out, k);
    if (k->type != KEY_TREE) { /* the loader checks the language of rules */
        put_default(out, k);
        buf_put_str(out, ",\"anyOf\":[");
        put_forms(out, k, path);
        buf_put_char(out, ']');
    }
    buf_put_char(out, '}');
}

/* The names of required keys, with commas; a zone may come from a preset. */
static void put_required(struct buf *out, struct slice path)
{
    size_t count, start = out->len;
    const struct key *k = key_table(&count);

    for (size_t i = 0; i < count; i++) {
        struct slice name = key_name_in(&k[i], path);
        size_t above = slice_empty(path) ? 0 : path.len + 1;

        if ((k[i].flags & KEY_REQUIRED) != 0 && k[i].type != KEY_ZONE && !slice_empty(name) &&
            slice_str(k[i].path).len == above + name.len) {
            buf_put_str(out, out->len > start ? "," : "");
            put_quoted(out, name);
        }
    }
}

static void put_properties(struct buf *out, struct slice path)
{
    size_t count;
    const struct key *k = key_table(&count);
    struct slice last = SLICE_NONE;

    for (size_t i = 0; i < count; i++) {
        struct slice name = key_name_in(&k[i], path);
        char mem[PATH_MAX_LEN];
        struct buf below;

        if (slice_empty(name) || slice_eq(name, last) || key_refused(&k[i])) {
            continue;
        }
        buf_init_fixed(&below, mem, sizeof(mem));
        buf_putf(&below, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(path), slice_empty(path) ? "" : ".",
                 SLICE_ARG(name));
        buf_put_str(out, slice_empty(last) ? "" : ",");
        put_quoted(out, name);
        buf_put_char(out, ':');
        put_property(out, buf_slice(&below));
        last = name; /* rows of a section are adjacent */
    }
}

/* YAML reads a section with all keys commented out as null.  If keys are required, that is an error. */
static void put_section(struct buf *out, struct slice path)
{
    char mem[1000];
    struct buf required;

    buf_init_fixed(&required, mem, sizeof(mem));
    put_required(&required, path);
    buf_put_str(out, required.len > 0 ? "{\"type\":\"object\"" : "{\"type\":[\"object\",\"null\"]");
    buf_put_str(out, ",\"additionalProperties\":false,\"properties\":{");
    put_properties(out, path);
    buf_put_char(out, '}');
    if (required.len > 0) {
        buf_putf(out, ",\"required\":[%s]", mem);
    }
    buf_put_char(out, '}');
}

void config_schema(struct buf *out)
{
    buf_put_str(out,
                "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\",\"title\":\"glacis.yaml\","
                "\"$defs\":{\"environment\":{\"description\":\"a value from the environment\","
                "\"type\":\"string\",\"pattern\":\"[$][{]\"}},\"allOf\":[");
    put_section(out, SLICE(""));
    buf_put_str(out, "]}\n");
}
