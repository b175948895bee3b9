/* SPDX-License-Identifier: Apache-2.0 */
/*
 * groups.c - named sets: reads inline entries and files, then builds the sets that the rules need.
 *
 * Facts of several types may use the same group.  So entries are kept as written until all rules are read; then each
 * entry goes into every set that it fits.  An entry that fits none is an error, since it would have no
 * effect.
 *
 * Files        one entry a line; `#` or `;` at the start of a line or after a blank begins a comment.  An unusable
 *              file makes its group unread: values that are not in the loaded part are unknown.
 * until=DATE   the last day on which an entry counts (UTC); inline and in files.
 * Limits       GROUP_ENTRIES_MAX entries a group, TEXTFILE_MAX, ten errors a group.
 */
#include "config/textfile.h"
#include "policy/rules/match.h"
#include "policy/rules/rules_priv.h"

#define ERRORS_PER_GROUP 10
#define ENTRY_TEXT_MAX 400

#define USE(type) (1u << (type))

static const char *const standing[] = {
    "allow_clients", "allow_senders", "forwarders", "block_clients", "block_senders",
};

struct source { /* a group being read */
    struct rules_load *l;
    struct group *g;
    const struct config_node *node; /* the position for messages */
    const char *file;
    size_t line;
    unsigned errors;
};

struct group *rules_group(const struct rules *r, struct slice name)
{
    for (size_t i = 0; i < r->group_count; i++) {
        if (slice_eq(r->group[i].name, name)) {
            return &r->group[i];
        }
    }
    return NULL;
}

/* The end of the message for an unknown group (nearest_words). */
static const char *nearest_group(const struct rules *r, struct slice name, struct nearest *near)
{
    nearest_init(near, name);
    for (size_t i = 0; i < r->group_count; i++) {
        nearest_offer(near, r->group[i].name);
    }
    return nearest_words(near);
}

void rules_group_missing(const struct policy *p, struct config_errors *errs, const char *key,
                         struct slice name)
{
    const struct config_node *at = config_node_find(p->conf->root, key);
    struct nearest near;
    struct quoted q;

    config_errors_add(errs, false, at != NULL ? at->line : 0, at != NULL ? at->column : 0,
                      "%s: there is no group `%s`%s", key, rules_quote(&q, name),
                      nearest_group(&p->rules, name, &near));
}

bool group_has_ip(const struct group *g, const struct addr *ip, int64_t now_s)
{
    return set_has_ip(&g->set, ip, (int32_t)(now_s / 86400));
}

bool group_has_name(const struct group *g, struct slice name, int64_t now_s)
{
    return !slice_empty(name) && set_has_name(&g->set, name, (int32_t)(now_s / 86400));
}

static void complain(struct source *s, const char *what, struct slice found)
{
    struct quoted q;
    struct quoted name;
    char mem[200];
    struct buf hint;

    s->g->broken = true;
    s->g->unread = s->g->unread || s->file != NULL;
    if (s->errors++ >= ERRORS_PER_GROUP) {
        return;
    }
    buf_init_fixed(&hint, mem, sizeof(mem));
    entry_put_hint(found, &hint);
    if (s->file != NULL) {
        config_errors_material(s->l->errs, MATERIAL_GROUPS, s->node->line, s->node->column,
                               "groups.%s: %s:%zu: %s, found `%s`%s", rules_quote(&name, s->g->name), s->file,
                               s->line, what, rules_quote(&q, found), mem);
    } else {
        rules_error(s->l, s->node, "groups.%s: %s, found `%s`%s", rules_quote(&name, s->g->name), what,
                    rules_quote(&q, found), mem);
    }
}

/* Days since 1970-01-01 of a proleptic Gregorian date; years begin in March, so leap days come last. */
static int32_t day_number(unsigned year, unsigned month, unsigned day)
{
    unsigned y = month <= 2 ? year - 1 : year, m = month <= 2 ? month + 9 : month - 3;
    unsigned days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;

    return (int32_t)days - 719468;
}

/* "2026-12-31" */
static bool parse_date(struct slice text, int32_t *day_no)
{
    static const unsigned char lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    struct slice year = slice_cut(&text, '-'), month = slice_cut(&text, '-');
    uint64_t y, m, d;
    bool leap;

    *day_no = 0;
    if (year.len != 4 || month.len != 2 || text.len != 2 || !slice_to_u64(year, 9999, &y) ||
        !slice_to_u64(month, 12, &m) || !slice_to_u64(text, 31, &d) || y < 1970 || m == 0 || d == 0) {
        return false;
    }
    leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    if (d > lengths[m - 1] + (m == 2 && leap ? 1u : 0u)) {
        return false;
    }
    *day_no = day_number((unsigned)y, (unsigned)m, (unsigned)d);
    return true;
}

/* Warns once for each group: a file may have many old entries. */
static void warn_ended(struct source *s, struct slice text)
{
    struct quoted q, name;

    if (!s->g->ended) {
        config_errors_add(s->l->errs, true, s->node->line, s->node->column,
                          "groups.%s: `%s` has ended and counts no more%s%s", rules_quote(&name, s->g->name),
                          rules_quote(&q, text), s->file != NULL ? "; it is in " : "",
                          s->file != NULL ? s->file : "");
    }
    s->g->ended = true;
}

/* "entry until=2026-12-31" */
static void take_entry(struct source *s, struct slice text)
{
    struct group *g = s->g;
    struct slice rest = text, entry = slice_token(&rest), word = slice_token(&rest);
    struct group_entry e = { .until_day = SET_FOR_EVER, .line = s->node->line, .column = s->node->column };

    if (!slice_empty(word) && (!slice_starts(word, SLICE("until=")) || !slice_empty(slice_trim(rest)) ||
                               !parse_date(slice_skip(word, 6), &e.until_day))) {
        complain(s, "expected one entry, with nothing or until=2026-12-31 behind it", text);
        return;
    }
    if (g->count == GROUP_ENTRIES_MAX) {
        complain(s, "more than 1000000 entries", text);
        return;
    }
    if (e.until_day < (int32_t)(s->l->conf->loaded_at_s / 86400)) {
        warn_ended(s, text);
        return;
    }
    if (g->count == g->cap) {
        g->cap = g->cap > 0 ? 2 * g->cap : 16;
        g->entry = xrealloc(g->entry, g->cap * sizeof(*g->entry));
    }
    e.text = rules_text(s->l, entry);
    e.file = s->file;
    e.file_line = s->line;
    g->entry[g->count++] = e;
}

static void take_lines(struct source *s, struct slice rest)
{
    struct slice entry;

    while (textfile_next(&rest, &s->line, &entry)) {
        take_entry(s, entry);
    }
}

static struct rules_file *find_file(const struct rules *r, const char *path)
{
    for (size_t i = 0; i < r->file_count; i++) {
        if (slice_eq(slice_str(r->files[i].path), slice_str(path))) {
            return &r->files[i];
        }
    }
    return NULL;
}

/* Reads the file, or takes it from the snapshot in force.  Returns the reason if it cannot be read now; else NULL. */
static const char *read_file(struct rules_load *l, struct rules_file *f)
{
    const struct policy *old = config_keeps(l->errs, MATERIAL_GROUPS) ? l->errs->previous->policy : NULL;
    const struct rules_file *kept = old != NULL ? find_file(&old->rules, f->path) : NULL;
    const char *why = NULL;

    buf_init(&f->text, TEXTFILE_MAX);
    if (old == NULL) {
        why = textfile_read(f->path, &f->text);
        f->read = why == NULL;
    } else if (kept != NULL && kept->read) {
        buf_put_slice(&f->text, buf_slice(&kept->text));
        f->read = true;
    }
    return why;
}

static struct rules_file *add_file(struct rules *r, const char *path)
{
    r->files = xrealloc(r->files, (r->file_count + 1) * sizeof(*r->files));
    r->files[r->file_count] = (struct rules_file){ .path = path };
    return &r->files[r->file_count++];
}

static void take_file(struct source *s, struct slice path)
{
    struct rules_file *f;
    const char *why = NULL;
    struct quoted q;

    if (!slice_starts(path, SLICE("/")) || slice_find(path, '\n') < path.len) {
        complain(s, "expected file: with an absolute path", path);
        return;
    }
    s->file = rules_text(s->l, path).ptr;
    s->line = 0;
    f = find_file(s->l->r, s->file);
    if (f == NULL) {
        f = add_file(s->l->r, s->file);
        why = read_file(s->l, f);
    }
    if (f->read) {
        take_lines(s, buf_slice(&f->text));
    } else {
        s->g->broken = s->g->unread = true;
    }
    if (why != NULL) {
        config_errors_material(s->l->errs, MATERIAL_GROUPS, s->node->line, s->node->column,
                               "groups." SLICE_FMT ": %s cannot be read: %s", SLICE_ARG(s->g->name),
                               rules_quote(&q, path), why);
    }
    s->file = NULL;
}

static void take_item(struct source *s, const struct config_node *item)
{
    s->node = item;
    if (item->kind != NODE_SCALAR) {
        s->g->broken = true;
        rules_error(s->l, item, "groups." SLICE_FMT ": expected an entry or file:/PATH, found %s",
                    SLICE_ARG(s->g->name), config_node_kind_name(item));
    } else if (item->bad) {
        s->g->broken = true;
    } else if (slice_starts(item->text, SLICE("file:"))) {
        take_file(s, slice_skip(item->text, 5));
    } else if (!slice_empty(slice_trim(item->text))) {
        take_entry(s, slice_trim(item->text));
    }
}

static bool is_group_name(struct slice s)
{
    bool ok = s.len > 0 && s.len <= 64;

    for (size_t i = 0; i < s.len && ok; i++) {
        char c = s.ptr[i];

        ok = ascii_is_digit(c) || (c >= 'a' && c <= 'z') || c == '_' || c == '-';
    }
    return ok;
}

static bool is_standing(struct slice name)
{
    for (size_t i = 0; i < ARRAY_LEN(standing); i++) {
        if (slice_eq(slice_str(standing[i]), name)) {
            return true;
        }
    }
    return false;
}

static struct group *add_group(struct rules *r, struct slice name)
{
    struct group *g = &r->group[r->group_count++];

    *g = (struct group){ .name = name, .standing = is_standing(name) };
    set_init(&g->set);
    return g;
}

static void load_group(struct rules_load *l, const struct config_node *node)
{
    struct group *g;
    struct source s = { .l = l };
    const struct config_node *item;
    struct quoted q;

    if (!is_group_name(node->key)) {
        rules_key_error(l, node, "groups: expected a name of [a-z0-9_-], found `%s`",
                        rules_quote(&q, node->key));
        return;
    }
    g = add_group(l->r, node->key);
    g->line = node->key_line;
    g->column = node->key_column;
    s.g = g;
    if (node->kind == NODE_SEQUENCE) {
        CONFIG_NODE_EACH(node, item)
        {
            take_item(&s, item);
        }
    } else {
        take_item(&s, node);
    }
}

void groups_load(struct rules_load *l)
{
    const struct config_node *section = config_node_get(l->conf->root, "groups"), *node;
    size_t most = ARRAY_LEN(standing) + (section != NULL ? section->count : 0);

    l->r->group = xcalloc(most, sizeof(*l->r->group));
    if (section != NULL && section->kind == NODE_MAPPING) {
        CONFIG_NODE_EACH(section, node)
        {
            load_group(l, node);
        }
    } else if (section != NULL && (section->kind != NODE_SCALAR || !slice_empty(section->text))) {
        rules_error(l, section, "groups: expected a mapping of names to lists, found %s",
                    config_node_kind_name(section));
    }
    for (size_t i = 0; i < ARRAY_LEN(standing); i++) {
        if (rules_group(l->r, slice_str(standing[i])) == NULL) {
            (void)add_group(l->r, slice_str(standing[i]));
        }
    }
}

struct group *groups_use(struct rules_load *l, const struct config_node *at, struct slice name)
{
    struct group *g = rules_group(l->r, name);
    struct nearest near;
    struct quoted q;

    if (g == NULL) {
        rules_error(l, at, "rule %s: there is no group `%s`%s", l->name, rules_quote(&q, name),
                    nearest_group(l->r, name, &near));
        return NULL;
    }
    if (g->count == 0 && !g->ended && !g->standing && !g->broken) {
        g->broken = true;
        rules_error(l, at, "rule %s: the group `%s` is empty", l->name, rules_quote(&q, name));
    }
    g->named = g->named || !l->preset;
    return g;
}

/* ---- sets ---- */

static bool add_net(struct group *g, const struct group_entry *e)
{
    struct cidr net;

    return cidr_parse(e->text, &net) && set_add_net(&g->set, &net, e->until_day);
}

static bool add_name(struct rules_load *l, struct group *g, const struct group_entry *e)
{
    char mem[ENTRY_TEXT_MAX];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    return slice_find(e->text, '@') == e->text.len && entry_parse_name(e->text, &out) &&
           set_add_name(&g->set, l->arena, rules_text(l, buf_slice(&out)), e->until_day);
}

static bool add_address(struct rules_load *l, struct group *g, const struct group_entry *e)
{
    char mem[ENTRY_TEXT_MAX];
    struct buf out;

    buf_init_fixed(&out, mem, sizeof(mem));
    return entry_parse_address(e->text, &out) &&
           set_add_address(&g->set, l->arena, rules_text(l, buf_slice(&out)), e->until_day);
}

static bool add_entry(struct rules_load *l, struct group *g, const struct group_entry *e)
{
    bool fits = false;

    if ((g->uses & USE(FACT_IP)) != 0) {
        fits = add_net(g, e) || fits;
    }
    if ((g->uses & USE(FACT_NAME)) != 0) {
        fits = add_name(l, g, e) || fits;
    }
    if ((g->uses & USE(FACT_ADDRESS)) != 0) {
        fits = add_address(l, g, e) || fits;
    }
    if ((g->uses & (USE(FACT_TEXT) | USE(FACT_WORDS))) != 0) {
        fits = set_add_text(&g->set, l->arena, e->text, e->until_day) || fits;
    }
    return fits;
}

static const char *use_names(unsigned uses)
{
    unsigned kinds = uses & (USE(FACT_IP) | USE(FACT_NAME) | USE(FACT_ADDRESS));

    if (kinds == USE(FACT_IP)) {
        return "expected an address or a network";
    }
    if (kinds == USE(FACT_NAME)) {
        return "expected a name such as example.com or .example.com";
    }
    if (kinds == USE(FACT_ADDRESS)) {
        return "expected a mail address or @example.com";
    }
    if (kinds == (USE(FACT_IP) | USE(FACT_NAME))) {
        return "expected an address, a network, or a name such as example.com or .example.com";
    }
    if (kinds == (USE(FACT_ADDRESS) | USE(FACT_NAME))) {
        return "expected a mail address, @example.com, or a name such as example.com or .example.com";
    }
    return "expected an address, a network, a name or a mail address";
}

static void build(struct rules_load *l, struct group *g)
{
    struct config_node at = { .kind = NODE_SCALAR };
    struct source s = { .l = l, .g = g, .node = &at };

    for (size_t i = 0; i < g->count; i++) {
        const struct group_entry *e = &g->entry[i];

        if (!add_entry(l, g, e)) {
            at.line = e->line;
            at.column = e->column;
            s.file = e->file;
            s.line = e->file_line;
            complain(&s, use_names(g->uses), e->text);
        }
    }
    set_seal(&g->set);
}

/* Marks groups that are used without a rule: for STARTTLS, and for exemption from rates and bans. */
static void use_elsewhere(struct rules_load *l)
{
    struct slice tls = slice_str(l->conf->tls.not_offered_to);
    struct group *g = slice_starts(tls, SLICE("group:")) ? rules_group(l->r, slice_skip(tls, 6)) : NULL;

    if (g != NULL) {
        g->uses |= USE(FACT_IP);
        g->named = true;
    }
    rules_group(l->r, SLICE("allow_clients"))->uses |= USE(FACT_IP) | USE(FACT_NAME);
}

/* The standing group whose name is nearest to that of an unused group. */
static const char *nearest_standing(struct slice name, struct nearest *near)
{
    nearest_init(near, name);
    for (size_t i = 0; i < ARRAY_LEN(standing); i++) {
        nearest_offer(near, slice_str(standing[i]));
    }
    return slice_empty(near->best) ? "" : nearest_words(near);
}

void groups_build(struct rules_load *l)
{
    struct nearest near;
    struct group *g;

    use_elsewhere(l);
    for (size_t i = 0; i < l->r->group_count; i++) {
        g = &l->r->group[i];
        if (g->uses != 0) {
            build(l, g);
        } else if (g->count > 0 && !g->broken && l->errs->fatal == 0) {
            config_errors_add(l->errs, true, g->line, g->column, "groups." SLICE_FMT ": no rule uses it%s",
                              SLICE_ARG(g->name), nearest_standing(g->name, &near));
        }
        free(g->entry);
        g->entry = NULL;
    }
}
