/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scalars.c - keys with one text: parses the file's text into the snapshot's field, and prints it back.
 *
 * load_set_scalar() and load_put_scalar() are inverse: reading the printed text gives the same field.  `why` gets
 * the expected form, in the words of the manual.
 */
#include "config/load_priv.h"

#include <limits.h>

#include "config/secret.h"
#include "config/values.h"

bool load_is_scalar_key(enum key_type type)
{
    return type <= KEY_ENDPOINT;
}

static void put_expected(const struct value *v, struct buf *why, const char *what)
{
    buf_put_str(why, what);
    if ((v->key->flags & KEY_AUTO_ZERO) != 0) {
        buf_put_str(why, ", auto");
    }
    if ((v->key->flags & (KEY_OFF_ZERO | KEY_OFF_MAX)) != 0) {
        buf_put_str(why, ", or off");
    }
}

void load_put_limit(const struct key *k, uint64_t n, struct buf *out)
{
    if (k->type == KEY_DURATION || k->type == KEY_SECONDS) {
        value_put_duration(out, n);
    } else if (k->type == KEY_SIZE) {
        value_put_size(out, n);
    } else {
        buf_put_u64(out, n);
        buf_put_str(out, k->type == KEY_PERCENT ? "%" : k->type == KEY_FACTOR ? "x" : "");
    }
}

static bool check_range(const struct key *k, uint64_t n, struct buf *why)
{
    if (n >= k->min && n <= k->max) {
        return true;
    }
    load_put_limit(k, n < k->min ? k->min : k->max, why);
    buf_put_str(why, n < k->min ? " or more" : " or less");
    return false;
}

static bool parse_number(const struct key *k, struct slice text, uint64_t *n)
{
    unsigned percent;

    if (k->type == KEY_DURATION || k->type == KEY_SECONDS) {
        return value_parse_duration(text, n);
    }
    if (k->type == KEY_SIZE) {
        return value_parse_size(text, n);
    }
    if (k->type == KEY_PERCENT) {
        bool ok = value_parse_percent(text, &percent);

        *n = percent;
        return ok;
    }
    if (k->type == KEY_FACTOR) {
        return slice_ends_nocase(text, SLICE("x")) &&
               slice_to_u64(slice_take(text, text.len - 1), UINT_MAX, n);
    }
    return slice_to_u64(text, UINT64_MAX - 1, n);
}

static const char *number_help(enum key_type type)
{
    return type == KEY_DURATION || type == KEY_SECONDS ? VALUE_DURATION_HELP
           : type == KEY_SIZE                          ? VALUE_SIZE_HELP
           : type == KEY_PERCENT                       ? "a percentage such as 80%"
           : type == KEY_FACTOR                        ? "a factor such as 5x"
                                                       : "a number";
}

static bool is_wide(enum key_type type)
{
    return type == KEY_DURATION || type == KEY_SIZE || type == KEY_COUNT_64;
}

static bool set_number(const struct value *v, struct slice text, struct buf *why)
{
    const struct key *k = v->key;
    uint64_t n = 0;
    bool off = slice_eq(text, SLICE("off")) ||
               ((k->flags & KEY_OFF_ZERO) != 0 && slice_eq(text, SLICE("0"))); /* 0 needs no unit */

    if (off && (k->flags & KEY_OFF_MAX) != 0) {
        n = is_wide(k->type) ? CONFIG_OFF : UINT_MAX;
    } else if (slice_eq(text, SLICE("auto")) && (k->flags & KEY_AUTO_ZERO) != 0) {
        n = 0;
    } else if (!off || (k->flags & KEY_OFF_ZERO) == 0) {
        if (!parse_number(k, text, &n)) {
            put_expected(v, why, number_help(k->type));
            return false;
        }
        if (k->type == KEY_SECONDS && n % 1000 != 0) {
            buf_put_str(why, "whole seconds");
            return false;
        }
        if (!(n == 0 && (k->flags & KEY_OFF_ZERO) != 0) && !check_range(k, n, why)) {
            return false;
        }
    }
    if (is_wide(k->type)) {
        *(uint64_t *)value_field(v) = n;
    } else if (k->type == KEY_SECONDS) {
        *(uint32_t *)value_field(v) = (uint32_t)(n / 1000);
    } else {
        *(unsigned *)value_field(v) = (unsigned)n;
    }
    return true;
}

/* "2.5": thousandths. */
static bool set_weight(const struct value *v, struct slice text, struct buf *why)
{
    int64_t n;

    if (!value_parse_decimal(text, &n) || n < (int64_t)v->key->min || n > (int64_t)v->key->max) {
        buf_put_str(why, "a number above 0, such as 1 or 2.5");
        return false;
    }
    *(int64_t *)value_field(v) = n;
    return true;
}

static bool set_rate(const struct value *v, struct slice text, struct buf *why)
{
    struct config_rate rate = { 0, 0 };

    if (!slice_eq(text, SLICE("off")) && !value_parse_rate(text, &rate)) {
        put_expected(v, why, VALUE_RATE_HELP);
        return false;
    }
    *(struct config_rate *)value_field(v) = rate;
    return true;
}

/* "/8" */
static bool set_prefix(const struct value *v, struct slice text, struct buf *why)
{
    uint64_t bits = 0;

    if (!slice_eq(text, SLICE("off")) &&
        (!slice_starts(text, SLICE("/")) || !slice_to_u64(slice_skip(text, 1), v->key->max, &bits) ||
         bits < v->key->min)) {
        put_expected(v, why, "the size of a network such as /8");
        return false;
    }
    *(unsigned *)value_field(v) = (unsigned)bits;
    return true;
}

static bool set_bool(const struct value *v, struct slice text, struct buf *why)
{
    if (!slice_eq(text, SLICE("true")) && !slice_eq(text, SLICE("false"))) {
        buf_put_str(why, "true or false");
        return false;
    }
    *(bool *)value_field(v) = slice_eq(text, SLICE("true"));
    return true;
}

static bool set_choice(const struct value *v, struct slice text, struct buf *why)
{
    unsigned index;

    _Static_assert(sizeof(enum config_mode) == sizeof(unsigned), "choices are stored as unsigned");
    _Static_assert(sizeof(enum log_level) == sizeof(unsigned), "choices are stored as unsigned");
    if (!value_parse_choice(text, v->key->choices, &index)) {
        value_put_choices(why, v->key->choices);
        return false;
    }
    index += v->key->type == KEY_LIST_PRESET ? 1 : 0;
    if (v->key->type == KEY_CHOICE_BOOL) {
        *(bool *)value_field(v) = index == 1;
    } else if (v->key->type == KEY_TLS_VERSION) {
        *(int *)value_field(v) = 0x0301 + (int)index;
    } else {
        memcpy(value_field(v), &index, sizeof(index));
    }
    return true;
}

static bool is_one_line(struct slice text)
{
    return slice_find(text, '\n') == text.len && slice_find(text, '\t') == text.len;
}

static bool check_text(const struct key *k, struct slice text, struct buf *why)
{
    if (!is_one_line(text) || text.len < k->min) {
        buf_put_str(why, is_one_line(text) ? "a text" : "a text of one line");
        return false;
    }
    if (k->max != 0 && text.len > k->max) {
        buf_putf(why, "at most %" PRIu64 " octets", k->max);
        return false;
    }
    return true;
}

static bool check_hostname(struct slice text, struct buf *why)
{
    struct addr ip;

    if (!hostname_valid(text) || addr_parse_ip(text, &ip)) {
        buf_put_str(why, "a full host name such as mx1.example.com");
        return false;
    }
    if (slice_find(text, '.') == text.len) {
        buf_put_str(why, "a host name with a dot, such as mx1.example.com");
        return false;
    }
    return true;
}

static bool check_path(const struct key *k, struct slice text, struct buf *why)
{
    if ((slice_empty(text) && k->min == 0) ||
        (slice_starts(text, SLICE("/")) && is_one_line(text) && text.len < 4096)) {
        return true;
    }
    buf_put_str(why, "an absolute path");
    return false;
}

/* Checks only the login of the URL; state/ checks the rest. */
static bool check_url(const struct key *k, struct slice text, struct buf *why)
{
    if (secret_is_masked(secret_of_url(text))) {
        buf_put_str(why, "user and password themselves, not the mask that stands for them in a printed "
                         "configuration");
        return false;
    }
    return check_text(k, text, why);
}

static bool check_list_name(const struct key *k, struct slice text, struct buf *why)
{
    bool ok = text.len >= k->min && text.len <= k->max;

    for (size_t i = 0; i < text.len && ok; i++) {
        ok = (text.ptr[i] >= 'a' && text.ptr[i] <= 'z') || ascii_is_digit(text.ptr[i]) || text.ptr[i] == '-';
    }
    if (!ok) {
        buf_putf(why, "a name of [a-z0-9-], at most %" PRIu64 " characters", k->max);
    }
    return ok;
}

static bool check_redis_prefix(const struct key *k, struct slice text, struct buf *why)
{
    if (text.len > k->max || slice_find(text, ' ') < text.len || slice_find(text, '%') < text.len) {
        buf_putf(why, "at most %" PRIu64 " octets, no blanks and no %%", k->max);
        return false;
    }
    return check_text(k, text, why);
}

static bool check_secret(const struct key *k, struct slice text, struct buf *why)
{
    if (slice_eq(text, SLICE(SECRET_MASK))) {
        buf_put_str(why, "the secret itself, not the mask that stands for it in a printed configuration");
        return false;
    }
    return check_text(k, text, why);
}

static bool check_banner(const struct key *k, struct slice text, struct buf *why)
{
    char mem[1024];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    for (size_t i = 0; i < text.len; i++) {
        if (!ascii_is_print(text.ptr[i])) {
            buf_put_str(why, "printable ASCII");
            return false;
        }
    }
    return check_text(k, text, why) && load_expand_banner(text, "x", &out, why);
}

static bool check_group(struct slice text, struct buf *why)
{
    if (slice_empty(text) || (slice_starts(text, SLICE("group:")) && text.len > 6 && text.len < 100)) {
        return true;
    }
    buf_put_str(why, "group:NAME");
    return false;
}

/* Sets the types that only copy their text. */
static bool set_text(struct load *l, const struct value *v, struct slice text, struct buf *why)
{
    const struct key *k = v->key;
    bool ok = false;
    char *copy;

    if (k->type == KEY_TEXT) {
        ok = check_text(k, text, why);
    } else if (k->type == KEY_PATH) {
        ok = check_path(k, text, why);
    } else if (k->type == KEY_HOSTNAME) {
        ok = check_hostname(text, why);
    } else if (k->type == KEY_SECRET) {
        ok = check_secret(k, text, why);
    } else if (k->type == KEY_URL) {
        ok = check_url(k, text, why);
    } else if (k->type == KEY_LIST_NAME) {
        ok = check_list_name(k, text, why);
    } else if (k->type == KEY_REDIS_PREFIX) {
        ok = check_redis_prefix(k, text, why);
    } else if (k->type == KEY_BANNER) {
        ok = check_banner(k, text, why);
    } else if (k->type == KEY_GROUP) {
        ok = check_group(text, why);
    } else if (k->type == KEY_CIPHERS) {
        ok = check_text(k, text, why);
        text = slice_eq(text, SLICE("default")) ? SLICE("") : text;
    } else if (k->type == KEY_CA) {
        ok = slice_eq(text, SLICE("system")) || (!slice_empty(text) && check_path(k, text, why));
        buf_put_str(why, ok ? "" : why->len > 0 ? ", or system" : "system or an absolute path");
    }
    if (!ok) {
        return false;
    }
    copy = load_memory(l, text.len + 1);
    for (size_t i = 0; i < text.len; i++) {
        copy[i] = k->type == KEY_HOSTNAME ? ascii_lower(text.ptr[i]) : text.ptr[i];
    }
    *(const char **)value_field(v) = copy;
    return true;
}

static bool set_validate(struct load *l, const struct value *v, struct slice text, struct buf *why)
{
    struct config_domain *d = v->base;
    unsigned index;

    if (slice_starts(text, SLICE("file:/")) && is_one_line(text)) {
        d->validate = VALIDATE_FILE;
        d->validate_file = load_text(l, slice_skip(text, 5));
        return true;
    }
    if (!value_parse_choice(text, "live||none", &index) || slice_empty(text)) {
        buf_put_str(why, "live, file:/PATH or none");
        return false;
    }
    d->validate = index == 0 ? VALIDATE_LIVE : VALIDATE_NONE;
    return true;
}

static bool set_log_to(struct load *l, const struct value *v, struct slice text, struct buf *why)
{
    struct config_log *log = value_field(v);
    unsigned index;

    if (slice_starts(text, SLICE("file:/")) && is_one_line(text)) {
        log->to = LOG_TO_FILE;
        log->file = load_text(l, slice_skip(text, 5));
        return true;
    }
    if (!value_parse_choice(text, "stdout|stderr|syslog", &index)) {
        buf_put_str(why, "stdout, stderr, syslog or file:/PATH");
        return false;
    }
    log->to = (enum config_log_to)index;
    log->file = "";
    return true;
}

static bool set_admin_listen(const struct value *v, struct slice text, struct buf *why)
{
    struct config_admin *admin = value_field(v);
    struct addr a = { .family = ADDR_NONE };

    admin->enabled = !slice_eq(text, SLICE("off"));
    if (admin->enabled && !addr_parse_endpoint(text, &a)) {
        buf_put_str(why, "an address with its port, such as 127.0.0.1:8025, or off");
        return false;
    }
    admin->listen = a;
    return true;
}

static bool set_endpoint(struct load *l, const struct value *v, struct slice text, struct buf *why)
{
    struct config_listener *listener = v->base;

    if (!addr_parse_endpoint(text, &listener->address)) {
        buf_put_str(why, "an address with its port, such as 0.0.0.0:25 or [::]:25");
        return false;
    }
    listener->text = slice_of(load_text(l, text), text.len);
    return true;
}

static bool set_workers(const struct value *v, struct slice text, struct buf *why)
{
    uint64_t n = 0;

    if (!slice_eq(text, SLICE("auto")) && !slice_to_u64(text, UINT64_MAX - 1, &n)) {
        buf_put_str(why, "a number, or auto");
        return false;
    }
    if (!slice_eq(text, SLICE("auto")) && !check_range(v->key, n, why)) {
        return false;
    }
    *(unsigned *)value_field(v) = n == 0 ? machine_workers() : (unsigned)n;
    return true;
}

static bool set_upstream_name(struct load *l, const struct value *v)
{
    struct config_domain *d = v->base;

    d->upstream = load_find_upstream(l, v->shown, v->node);
    return true; /* already reported */
}

bool load_set_scalar(struct load *l, const struct value *v, struct slice text, struct buf *why)
{
    switch ((int)v->key->type) {
    case KEY_BOOL:
        return set_bool(v, text, why);
    case KEY_DURATION:
    case KEY_SECONDS:
    case KEY_SIZE:
    case KEY_COUNT:
    case KEY_COUNT_64:
    case KEY_PERCENT:
    case KEY_FACTOR:
        return set_number(v, text, why);
    case KEY_WEIGHT:
        return set_weight(v, text, why);
    case KEY_RATE:
        return set_rate(v, text, why);
    case KEY_PREFIX:
        return set_prefix(v, text, why);
    case KEY_CHOICE:
    case KEY_CHOICE_BOOL:
    case KEY_LIST_PRESET:
    case KEY_TLS_VERSION:
        return set_choice(v, text, why);
    case KEY_VALIDATE:
        return set_validate(l, v, text, why);
    case KEY_DOMAIN_UPSTREAM:
        return set_upstream_name(l, v);
    case KEY_WORKERS:
        return set_workers(v, text, why);
    case KEY_LOG_TO:
        return set_log_to(l, v, text, why);
    case KEY_ADMIN_LISTEN:
        return set_admin_listen(v, text, why);
    case KEY_ENDPOINT:
        return set_endpoint(l, v, text, why);
    case KEY_VERSION:
        buf_put_str(why, "1");
        return slice_eq(text, SLICE("1"));
    default:
        return set_text(l, v, text, why);
    }
}

/* ---- back to text ---- */

static void put_number_of(const struct key *k, const void *field, struct buf *out)
{
    uint64_t n = is_wide(k->type) ? *(const uint64_t *)field : *(const unsigned *)field;
    uint64_t off = is_wide(k->type) ? CONFIG_OFF : UINT_MAX;

    if (((k->flags & KEY_OFF_MAX) != 0 && n == off) || ((k->flags & KEY_OFF_ZERO) != 0 && n == 0)) {
        buf_put_str(out, "off");
        return;
    }
    if ((k->flags & KEY_AUTO_ZERO) != 0 && n == 0) {
        buf_put_str(out, "auto");
        return;
    }
    load_put_limit(k, k->type == KEY_SECONDS ? n * 1000 : n, out);
}

static void put_choice(const struct key *k, const void *field, struct buf *out)
{
    unsigned index;

    if (k->type == KEY_CHOICE_BOOL) {
        index = *(const bool *)field;
    } else if (k->type == KEY_TLS_VERSION) {
        index = (unsigned)(*(const int *)field - 0x0301);
        buf_put_char(out, '"');
    } else {
        memcpy(&index, field, sizeof(index));
    }
    buf_put_slice(out, value_choice_text(k->choices, index));
    buf_put_str(out, k->type == KEY_TLS_VERSION ? "\"" : "");
}

static void put_endpoint(const struct addr *a, struct buf *out)
{
    buf_put_char(out, '"');
    addr_put_endpoint(out, a);
    buf_put_char(out, '"');
}

static void put_file(const char *path, struct buf *out)
{
    struct buf text;

    buf_init(&text, CONFIG_TREE_MAX_SCALAR);
    buf_putf(&text, "file:%s", path);
    config_node_put_scalar(out, buf_slice(&text));
    buf_fini(&text);
}

static void put_text(const struct key *k, const void *field, struct buf *out)
{
    const char *text = *(const char *const *)field;
    struct buf banner;

    if (k->type == KEY_BANNER) { /* already expanded: escape its braces */
        buf_init(&banner, CONFIG_TREE_MAX_SCALAR);
        for (size_t i = 0; text[i] != '\0'; i++) {
            buf_put_char(&banner, text[i]);
            buf_put_str(&banner, text[i] == '{' ? "{" : "");
        }
        config_node_put_scalar(out, buf_slice(&banner));
        buf_fini(&banner);
        return;
    }
    if (k->type == KEY_SECRET && text[0] != '\0') {
        text = SECRET_MASK;
    } else if (k->type == KEY_CIPHERS && text[0] == '\0') {
        text = "default";
    }
    config_node_put_scalar(out, slice_str(text));
}

static void put_rate(const struct config_rate *rate, struct buf *out)
{
    if (rate->count == 0) {
        buf_put_str(out, "off");
    } else {
        value_put_rate(out, rate);
    }
}

static void put_log_to(const struct config_log *log, struct buf *out)
{
    if (log->to == LOG_TO_FILE) {
        put_file(log->file, out);
    } else {
        buf_put_slice(out, value_choice_text("stdout|stderr|syslog", log->to));
    }
}

static void put_validate(const struct config_domain *d, struct buf *out)
{
    if (d->validate == VALIDATE_FILE) {
        put_file(d->validate_file, out);
    } else {
        buf_put_str(out, d->validate == VALIDATE_LIVE ? "live" : "none");
    }
}

void load_put_scalar(const struct key *k, const void *base, struct buf *out)
{
    const void *field = (const char *)base + k->offset;

    switch ((int)k->type) { /* flat: a case a type */
    case KEY_BOOL:
        buf_put_str(out, *(const bool *)field ? "true" : "false");
        break;
    case KEY_DURATION:
    case KEY_SECONDS:
    case KEY_SIZE:
    case KEY_COUNT:
    case KEY_COUNT_64:
    case KEY_PERCENT:
    case KEY_FACTOR:
        put_number_of(k, field, out);
        break;
    case KEY_WORKERS:
        buf_put_u64(out, *(const unsigned *)field);
        break;
    case KEY_WEIGHT:
        value_put_decimal(out, *(const int64_t *)field);
        break;
    case KEY_RATE:
        put_rate(field, out);
        break;
    case KEY_PREFIX:
        if (*(const unsigned *)field == 0) {
            buf_put_str(out, "off");
        } else {
            buf_putf(out, "/%u", *(const unsigned *)field);
        }
        break;
    case KEY_CHOICE:
    case KEY_CHOICE_BOOL:
    case KEY_TLS_VERSION:
        put_choice(k, field, out);
        break;
    case KEY_VALIDATE:
        put_validate(base, out);
        break;
    case KEY_DOMAIN_UPSTREAM:
        config_node_put_scalar(out, slice_str(((const struct config_domain *)base)->upstream->name));
        break;
    case KEY_LOG_TO:
        put_log_to(field, out);
        break;
    case KEY_ADMIN_LISTEN:
        if (((const struct config_admin *)field)->enabled) {
            put_endpoint(&((const struct config_admin *)field)->listen, out);
        } else {
            buf_put_str(out, "off");
        }
        break;
    case KEY_ENDPOINT:
        put_endpoint(field, out);
        break;
    case KEY_VERSION:
        buf_put_char(out, '1');
        break;
    default:
        put_text(k, field, out);
        break;
    }
}
