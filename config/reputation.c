/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation.c - the entries of reputation.lists: presets of public lists, zones, answers and their weights.
 *
 * Order for each: the table's defaults, its preset, then the keys of the file.  policy/rules/lists_load.c derives
 * slots, bounds and waits from the entries.
 *
 * Keys        the zone of a list may hold a query key.  Output shows `***` for every part from ${NAME}, and for every
 *             label that may be a key (secret.h) before the known zone of the preset, or before the last two labels.
 */
#include "config/load_priv.h"

#include "config/secret.h"
#include "config/values.h"

#define RESERVED "listed|score|lists|monitored|incomplete|reason|subject"
#define ZONE_MAX 253
#define LABEL_MAX 63
#define DOMAINS (((1u << SUBJECT_COUNT) - 1) & ~(1u << SUBJECT_CLIENT))
#define SUBJECT_HELP "client, or a list of helo, sender, rdns, from and dkim"

static const char subject_words[] = "client|helo|sender|rdns|from|dkim"; /* enum list_subject */

#define ERRORS "127.255.255.0-255"
#define VOIDS "127.255.255.252" /* the name cannot be listed */

/* Properties of public lists, by enum config_list_preset.  NULL: as without a preset. */
static const struct preset {
    const char *zone;             /* NULL: each user has their own zone */
    const char *answers, *errors; /* "range weight, range weight" */
    const char *voids;            /* about the question itself */
    const char *known;            /* public zones of this list, "a|b" */
    const char *looks_up, *families, *reason, *zero_day, *probe;
} presets[] = {
    [LIST_PRESET_NONE] = { .answers = "127.0.0.2-254 1", .errors = ERRORS, .voids = VOIDS, .known = "" },
    /* 2, 3: SBL, CSS; 4 to 7: XBL; 9: DROP; 10, 11: PBL */
    [LIST_PRESET_SPAMHAUS_ZEN] = { .zone = "zen.spamhaus.org",
                                   .answers = "127.0.0.2-3 3, 127.0.0.4-7 2, 127.0.0.9 3, 127.0.0.10-11 1",
                                   .errors = ERRORS,
                                   .voids = VOIDS,
                                   .known = "zen.spamhaus.org|zen.dq.spamhaus.net" },
    /* 2 to 99: bad; 102 to 199: legitimate and abused; 255: asked about an address */
    [LIST_PRESET_SPAMHAUS_DBL] = { .zone = "dbl.spamhaus.org",
                                   .answers = "127.0.1.2-99 3, 127.0.1.102-199 1",
                                   .errors = ERRORS,
                                   .voids = VOIDS ", 127.0.1.255",
                                   .known = "dbl.spamhaus.org|dbl.dq.spamhaus.net",
                                   .looks_up = "helo, sender, rdns",
                                   .probe = "off" },
    /* 2 to 24: hours since the domain was first seen; 255: asked about an address */
    [LIST_PRESET_SPAMHAUS_ZRD] = { .answers = "127.0.2.2-24 1",
                                   .errors = ERRORS,
                                   .voids = VOIDS ", 127.0.2.255",
                                   .known = "zrd.spamhaus.org|zrd.dq.spamhaus.net",
                                   .looks_up = "helo, sender, rdns",
                                   .zero_day = "true",
                                   .probe = "off" },
    [LIST_PRESET_SPAMCOP] = { .zone = "bl.spamcop.net",
                              .answers = "127.0.0.2 2",
                              .errors = ERRORS,
                              .voids = VOIDS,
                              .known = "bl.spamcop.net",
                              .families = "ipv4" },
    [LIST_PRESET_BARRACUDA] = { .zone = "b.barracudacentral.org",
                                .answers = "127.0.0.2 2",
                                .errors = ERRORS,
                                .voids = VOIDS,
                                .known = "b.barracudacentral.org",
                                .families = "ipv4" },
    /* third octet: kind of sender; last one: trust; 127.0.0.255, 127.0.10.x: over the limit */
    [LIST_PRESET_DNSWL] = { .zone = "list.dnswl.org",
                            .answers =
                                "127.0.2-254.0 0, 127.0.2-254.1 -1, 127.0.2-254.2 -2, 127.0.2-254.3 -3",
                            .errors = ERRORS ", 127.0.0.255, 127.0.10.0-255",
                            .voids = VOIDS,
                            .known = "list.dnswl.org",
                            .reason = "none" },
};

/* ---- answers ---- */

/* "7" or "4-7". */
static bool parse_octet(struct slice s, uint8_t *low, uint8_t *high)
{
    struct slice first = slice_cut(&s, '-');
    uint64_t a, b;

    if (!slice_to_u64(first, 255, &a)) {
        return false;
    }
    b = a;
    if ((!slice_empty(s) && !slice_to_u64(s, 255, &b)) || b < a) {
        return false;
    }
    *low = (uint8_t)a;
    *high = (uint8_t)b;
    return true;
}

static bool parse_cidr(struct slice s, struct list_range *out)
{
    struct cidr net;

    if (!cidr_parse(s, &net) || net.base.family != ADDR_V4) {
        return false;
    }
    for (unsigned i = 0; i < 4; i++) {
        unsigned bits = net.bits > i * 8 ? net.bits - i * 8 : 0;
        unsigned host = bits >= 8 ? 0 : 0xffu >> bits;

        out->low[i] = net.base.ip[i];
        out->high[i] = (uint8_t)(net.base.ip[i] | host);
    }
    return true;
}

/* "127.0.0.2", "127.0.0.4-7", "127.0.2-20.3", "127.0.1.0/24". */
static bool parse_range(struct slice s, struct list_range *out)
{
    *out = (struct list_range){ .weight = 0 };
    if (slice_find(s, '/') < s.len) {
        return parse_cidr(s, out);
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!parse_octet(slice_cut(&s, '.'), &out->low[i], &out->high[i])) {
            return false;
        }
    }
    return slice_empty(s);
}

static bool parse_weight(struct slice s, int64_t *out)
{
    return value_parse_decimal(s, out) && *out >= -CONFIG_MAX_WEIGHT && *out <= CONFIG_MAX_WEIGHT;
}

/* Parses the ranges of a preset, which are valid. */
static void preset_ranges(struct load *l, const char *text, struct list_ranges *out)
{
    struct slice rest = slice_str(text);

    *out = (struct list_ranges){ load_memory(l, CONFIG_MAX_ANSWERS * sizeof(*out->range)), 0 };
    while (!slice_empty(rest)) {
        struct slice entry = slice_cut(&rest, ','), range = slice_token(&entry);
        int64_t weight = 0;

        BUG_ON(out->count == CONFIG_MAX_ANSWERS || !parse_range(range, &out->range[out->count]));
        entry = slice_trim(entry);
        BUG_ON(!slice_empty(entry) && !parse_weight(entry, &weight));
        out->range[out->count++].weight = weight;
    }
}

static void set_answers(struct load *l, const struct value *v)
{
    struct config_list *list = v->base;
    const struct config_node *child;
    struct quoted q;

    if (v->node->kind != NODE_MAPPING || v->node->count == 0 || v->node->count > CONFIG_MAX_ANSWERS) {
        load_expected(l, v, v->node, "a mapping of answers to weights, such as {\"127.0.0.2-9\": 2}");
        return;
    }
    list->answers.count = 0;
    CONFIG_NODE_EACH(v->node, child)
    {
        struct list_range *r = &list->answers.range[list->answers.count++];

        if (!parse_range(child->key, r) || r->low[0] != 127 || r->high[0] != 127) {
            config_errors_add(l->errs, false, child->key_line, child->key_column,
                              "%s: expected an address in 127.0.0.0/8 such as 127.0.0.2, 127.0.0.4-7 or "
                              "127.0.1.0/24, found `%s`",
                              v->shown, load_quote(&q, child->key));
        } else if (child->kind != NODE_SCALAR || !parse_weight(child->text, &r->weight)) {
            load_expected(l, v, child, "a weight of -1000 to 1000, such as 2 or -0.5");
        }
    }
}

static void take_error_answer(struct load *l, const struct value *v, const struct config_node *item)
{
    struct list_ranges *errors = &((struct config_list *)v->base)->errors;

    if (errors->count == CONFIG_MAX_ANSWERS) {
        load_error(l, item, "%s: at most %d entries", v->shown, CONFIG_MAX_ANSWERS);
    } else if (!parse_range(item->text, &errors->range[errors->count++])) {
        load_expected(l, v, item, "an answer such as 127.0.0.255, 127.0.0.4-7 or 127.255.255.0/24");
    }
}

/* ---- zones and their public parts ---- */

/* Octets of the public end of the zone: the preset's zone, else the last two labels. */
static size_t public_tail(const struct config_list *list, struct slice zone)
{
    struct slice known = slice_str(presets[list->preset].known);

    while (!slice_empty(known)) {
        struct slice tail = slice_cut(&known, '|');

        if (slice_ends_nocase(zone, tail) &&
            (zone.len == tail.len || zone.ptr[zone.len - tail.len - 1] == '.')) {
            return tail.len;
        }
    }
    return secret_zone_tail(zone);
}

/* Puts the text as written, with `***` for ${...}. */
static void put_without_environment(struct buf *out, struct slice raw)
{
    while (!slice_empty(raw)) {
        if (slice_starts(raw, SLICE("${"))) {
            raw = slice_skip(raw, slice_find(raw, '}') + 1);
            buf_put_str(out, SECRET_MASK);
        } else {
            buf_put_char(out, raw.ptr[0]);
            raw = slice_skip(raw, 1);
        }
    }
}

/* Labels of letters, digits, - and _ (RFC 1035 2.3.4 for their lengths); the text has no final dot. */
static bool is_zone(struct slice text)
{
    size_t label = 0;
    bool ok = text.len > 0 && text.len <= ZONE_MAX;

    for (size_t i = 0; i < text.len && ok; i++) {
        char c = text.ptr[i];

        ok = c == '.' ? label > 0 : ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_';
        label = c == '.' ? 0 : label + 1;
        ok = ok && label <= LABEL_MAX;
    }
    return ok && label > 0;
}

/* The common mistake in a zone, for the message. */
static const char *fault_of_zone(struct slice text)
{
    static const struct {
        char octet;
        const char *words;
    } faults[] = {
        { ' ', ", without blanks" },
        { ':', ", without a port: the servers that are asked are those of dns.servers" },
        { '/', ", without a slash" },
        { '*', ", without `*`: all names below it are asked" },
    };

    if (memmem(text.ptr, text.len, "://", 3) != NULL) {
        return ", without http://: it is asked over DNS";
    }
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        if (slice_find(text, faults[i].octet) < text.len) {
            return faults[i].words;
        }
    }
    return "";
}

static void keep_zone(struct load *l, struct config_list *list, struct slice zone, struct slice raw)
{
    struct buf asked, written, shown;

    buf_init(&asked, CONFIG_TREE_MAX_SCALAR);
    buf_init(&written, CONFIG_TREE_MAX_SCALAR);
    buf_init(&shown, CONFIG_TREE_MAX_SCALAR);
    for (size_t i = 0; i < zone.len; i++) {
        buf_put_char(&asked, ascii_lower(zone.ptr[i]));
    }
    put_without_environment(&written, raw);
    secret_put_zone(&shown, buf_slice(&written), public_tail(list, buf_slice(&written)));
    list->zone = slice_of(load_text(l, buf_slice(&asked)), asked.len);
    list->shown = slice_of(load_text(l, buf_slice(&shown)), shown.len);
    buf_fini(&shown);
    buf_fini(&written);
    buf_fini(&asked);
}

/* No error quotes the text: it may hold a key. */
static void set_zone(struct load *l, const struct value *v)
{
    const struct config_node *node = v->node;
    struct slice zone = node->text;

    if (zone.len > 1 && zone.ptr[zone.len - 1] == '.') {
        zone.len--;
    }
    if (node->kind == NODE_SCALAR && secret_is_masked(node->text)) {
        load_error(l, node,
                   "%s: expected the zone itself, not the mask that stands for its key in a printed "
                   "configuration",
                   v->shown);
    } else if (node->kind == NODE_SCALAR && is_zone(zone)) {
        keep_zone(l, v->base, zone, node->line > 0 ? node->raw : node->text);
    } else if (node->kind != NODE_SCALAR || !node->bad) {
        load_error(l, node, "%s: expected a domain such as list.example.org%s", v->shown,
                   node->kind == NODE_SCALAR ? fault_of_zone(node->text) : "");
    }
}

/* ---- lists of words ---- */

static void take_subject(struct load *l, const struct value *v, const struct config_node *item)
{
    unsigned index;

    if (value_parse_choice(item->text, subject_words, &index)) {
        ((struct config_list *)v->base)->subjects |= index == SUBJECT_DKIM ? SUBJECTS_OF_DKIM : 1u << index;
    } else {
        load_expected(l, v, item, SUBJECT_HELP);
    }
}

static void set_subjects(struct load *l, const struct value *v)
{
    unsigned *subjects = &((struct config_list *)v->base)->subjects;

    *subjects = 0;
    if (v->node->kind != NODE_SCALAR && v->node->count == 0) {
        load_expected(l, v, v->node, SUBJECT_HELP);
    }
    load_each_text(l, v, take_subject);
    if ((*subjects & (1u << SUBJECT_CLIENT)) != 0 && (*subjects & DOMAINS) != 0) {
        load_error(
            l, v->node,
            "%s: a list is of addresses (client) or of domains (helo, sender, rdns, from, dkim), not of both",
            v->shown);
    }
}

static void take_family(struct load *l, const struct value *v, const struct config_node *item)
{
    struct config_list *list = v->base;
    unsigned index;

    if (!value_parse_choice(item->text, "ipv4|ipv6", &index)) {
        load_expected(l, v, item, "ipv4 or ipv6");
    } else if (index == 0) {
        list->ipv4 = true;
    } else {
        list->ipv6 = true;
    }
}

static void set_families(struct load *l, const struct value *v)
{
    struct config_list *list = v->base;

    list->ipv4 = list->ipv6 = false;
    if (v->node->kind != NODE_SCALAR && v->node->count == 0) {
        load_expected(l, v, v->node, "a list of ipv4 and ipv6");
    }
    load_each_text(l, v, take_family);
}

bool load_is_list_entry_key(enum key_type type)
{
    return type >= KEY_ZONE && type <= KEY_FAMILIES;
}

void load_set_list_entry_key(struct load *l, const struct value *v)
{
    if (v->key->type == KEY_ZONE) {
        set_zone(l, v);
    } else if (v->key->type == KEY_SUBJECTS) {
        set_subjects(l, v);
    } else if (v->key->type == KEY_ANSWERS) {
        set_answers(l, v);
    } else if (v->key->type == KEY_ERROR_ANSWERS) {
        load_each_text(l, v, take_error_answer); /* in addition to the preset's */
    } else {
        set_families(l, v);
    }
}

/* ---- one list ---- */

/* Sets the preset's values for the keys below it. */
static void apply_preset(struct load *l, const struct place *at)
{
    struct config_list *list = at->base;
    const struct preset *p = &presets[list->preset];
    const char *const texts[][2] = {
        { "zone", p->zone },     { "looks_up", p->looks_up }, { "families", p->families },
        { "reason", p->reason }, { "zero_day", p->zero_day }, { "probe", p->probe },
    };

    preset_ranges(l, p->answers, &list->answers);
    preset_ranges(l, p->errors, &list->errors);
    preset_ranges(l, p->voids, &list->voids);
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i][1] != NULL) {
            apply_text(l, at, texts[i][0], texts[i][1]);
        }
    }
}

static void check_name(struct load *l, const struct place *at, const struct config_node *node)
{
    const struct config_reputation *rep = &l->c->reputation;
    const struct config_list *list = at->base;
    struct slice name = slice_str(list->name);
    unsigned index;

    if (value_parse_choice(name, RESERVED, &index)) {
        load_error(l, node, "%s: the name is that of a fact; choose another one", at->shown);
    }
    for (size_t i = 0; i < rep->list_count && !slice_empty(name); i++) {
        if (slice_eq(slice_str(rep->list[i].name), name)) {
            load_error(l, node, "%s: the name is taken by the list in line %d", at->shown, rep->list[i].line);
        }
    }
}

static void take_list(struct load *l, const struct config_node *node)
{
    struct config_reputation *rep = &l->c->reputation;
    struct config_list *list = &rep->list[rep->list_count];
    const struct config_node *name = config_node_get(node, "name"), *preset = config_node_get(node, "preset");
    char mem[300];
    struct buf shown;
    struct quoted q;
    struct place at = { .path = "reputation.lists[]", .shown = "reputation.lists[]", .base = list };
    unsigned index;

    if (name != NULL && name->kind == NODE_SCALAR && !slice_empty(name->text)) {
        buf_init_fixed(&shown, mem, sizeof(mem));
        buf_putf(&shown, "reputation list %s", load_quote(&q, name->text));
        at.shown = mem;
        at.is_sentence = true;
    }
    *list = (struct config_list){ .name = "", .line = node->line, .column = node->column };
    apply_defaults(l, at.path, list);
    if (preset != NULL && preset->kind == NODE_SCALAR &&
        value_parse_choice(preset->text, key_find(SLICE("reputation.lists[].preset"))->choices, &index)) {
        list->preset = (enum config_list_preset)(index + 1);
    }
    apply_preset(l, &at);
    if (list->zone.len > 0 || (preset != NULL && list->preset == LIST_PRESET_NONE)) {
        at.filled = "zone"; /* by the preset, or by one that is misspelt */
    }
    apply_mapping(l, &at, node);
    check_name(l, &at, name);
    rep->list_count++;
}

void load_set_lists(struct load *l, const struct value *v)
{
    struct config_reputation *rep = &l->c->reputation;
    const struct config_node *child;

    if (v->node->kind == NODE_SCALAR && slice_empty(v->node->text)) {
        return;
    }
    if (v->node->kind != NODE_SEQUENCE || v->node->count > CONFIG_MAX_LISTS) {
        char mem[120];
        struct buf what;

        buf_init_fixed(&what, mem, sizeof(mem));
        buf_putf(&what, "a list of at most %d mappings, such as [{name: zen, preset: spamhaus-zen}]",
                 CONFIG_MAX_LISTS);
        load_expected(l, v, v->node, mem);
        return;
    }
    rep->list = load_memory(l, (v->node->count + 1) * sizeof(*rep->list));
    CONFIG_NODE_EACH(v->node, child)
    {
        if (child->kind == NODE_MAPPING) {
            take_list(l, child);
        } else {
            load_expected(l, v, child, "a mapping with name and zone or preset");
        }
    }
}
