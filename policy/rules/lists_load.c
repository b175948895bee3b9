/*
 * lists_load.c - the section `reputation` of a file to struct reputation (reputation.h).
 *
 * A preset fills an entry first; what the entry says itself wins.  Nothing stops the load: all that is wrong
 * is reported, with its place.
 *
 * Keys        the zone of a list may hold a query key.  What is shown in its place: `***` for every part that
 *             came from ${NAME}, and for every label that may be a key (config/secret.h) in front of the known
 *             zone of the preset, or of the last two labels.
 */
#include "policy/rules/lists_load.h"

#include "config/secret.h"
#include "config/values.h"

#define LIST_KEYS                                                                                            \
    "name|preset|zone|looks_up|answers|error_answers|families|mode|ask|timeout|reason|zero_day|probe"
#define REPUTATION_KEYS "threshold|lists|guard"
#define PRESETS "spamhaus-zen|spamhaus-dbl|spamhaus-zrd|spamcop|barracuda|dnswl"
#define RESERVED "listed|score|lists|monitored|incomplete|reason|subject"

#define ANSWERS_MAX 64
#define WEIGHT_MAX 1000000 /* thousandths */
#define TIMEOUT_MS 3000
#define TIMEOUT_MAX_MS 60000

#define DOMAINS ((1u << SUBJECT_HELO) | (1u << SUBJECT_SENDER) | (1u << SUBJECT_RDNS))

static const char subject_words[] = "client|helo|sender|rdns"; /* enum list_subject */

/* What is known about public lists: "range weight, range weight". */
struct preset {
    const char *zone; /* NULL: every user has one of his own */
    const char *answers, *errors;
    const char *voids; /* about the question itself */
    const char *known; /* zones of this list, which are no secret, "a|b" */
    unsigned subjects;
    bool ipv6, reason, zero_day, probe;
};

#define ERRORS "127.255.255.0-255"
#define VOIDS "127.255.255.252" /* the name is not one that could be listed */

static const struct preset presets[] = {
    /* 2, 3: SBL, CSS; 4 to 7: XBL; 9: DROP; 10, 11: PBL */
    { "zen.spamhaus.org", "127.0.0.2-3 3, 127.0.0.4-7 2, 127.0.0.9 3, 127.0.0.10-11 1", ERRORS, VOIDS,
      "zen.spamhaus.org|zen.dq.spamhaus.net", 1u << SUBJECT_CLIENT, true, true, false, true },
    /* 2 to 99: bad; 102 to 199: legitimate and abused; 255: asked about an address */
    { "dbl.spamhaus.org", "127.0.1.2-99 3, 127.0.1.102-199 1", ERRORS, VOIDS ", 127.0.1.255",
      "dbl.spamhaus.org|dbl.dq.spamhaus.net", DOMAINS, true, true, false, false },
    /* 2 to 24: hours since the domain was first seen; 255: asked about an address */
    { NULL, "127.0.2.2-24 1", ERRORS, VOIDS ", 127.0.2.255", "zrd.spamhaus.org|zrd.dq.spamhaus.net", DOMAINS,
      true, true, true, false },
    { "bl.spamcop.net", "127.0.0.2 2", ERRORS, VOIDS, "bl.spamcop.net", 1u << SUBJECT_CLIENT, false, true,
      false, true },
    { "b.barracudacentral.org", "127.0.0.2 2", ERRORS, VOIDS, "b.barracudacentral.org", 1u << SUBJECT_CLIENT,
      false, true, false, true },
    /* third octet: kind of sender; last one: trust; 127.0.0.255, 127.0.10.x: over the limit */
    { "list.dnswl.org", "127.0.2-254.0 0, 127.0.2-254.1 -1, 127.0.2-254.2 -2, 127.0.2-254.3 -3",
      ERRORS ", 127.0.0.255, 127.0.10.0-255", VOIDS, "list.dnswl.org", 1u << SUBJECT_CLIENT, true, false,
      false, true },
};

struct list_load {
    struct rules_load *l;
    struct reputation *rep;
    struct reputation_list *list;
    const struct preset *preset;
    const struct config_node *node; /* of the entry */
    struct quoted name;
    bool keys_known; /* no unknown key was reported */
};

/* ---- small values ---- */

/* "2", "-0.5": thousandths. */
static bool parse_weight(struct slice s, int64_t *out)
{
    bool negative = slice_starts(s, SLICE("-"));
    struct slice fraction = negative ? slice_skip(s, 1) : s, whole = slice_cut(&fraction, '.');
    uint64_t units, rest = 0, scale = 1000;

    if (!slice_to_u64(whole, WEIGHT_MAX / 1000, &units) || s.ptr[s.len - 1] == '.' || fraction.len > 3 ||
        (fraction.len > 0 && !slice_to_u64(fraction, 999, &rest))) {
        return false;
    }
    for (size_t i = 0; i < fraction.len; i++) {
        scale /= 10;
    }
    *out = (int64_t)(units * 1000 + rest * (fraction.len > 0 ? scale : 0));
    *out = negative ? -*out : *out;
    return true;
}

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

/* ---- messages ---- */

static void expected(struct list_load *ll, const struct config_node *at, const char *key, const char *what)
{
    struct quoted q;

    if (at->kind != NODE_SCALAR) {
        rules_error(ll->l, at, "reputation list %s: %s: expected %s, found %s", ll->name.text, key, what,
                    config_node_kind_name(at));
    } else if (!at->bad) {
        rules_error(ll->l, at, "reputation list %s: %s: expected %s, found `%s`", ll->name.text, key, what,
                    rules_quote(&q, at->text));
    }
}

/* The position of the value in "a|b"; `or_else` if the key is absent or wrong. */
static unsigned choice(struct list_load *ll, const char *key, const char *words, unsigned or_else)
{
    const struct config_node *at = config_node_get(ll->node, key);
    unsigned index = or_else;
    struct quoted q;
    char mem[200];
    struct nearest near;
    struct buf what;

    if (at == NULL || (at->kind == NODE_SCALAR && value_parse_choice(at->text, words, &index))) {
        return index;
    }
    buf_init_fixed(&what, mem, sizeof(mem));
    value_put_choices(&what, words);
    if (at->kind != NODE_SCALAR || at->bad) {
        expected(ll, at, key, mem);
    } else {
        rules_error(ll->l, at, "reputation list %s: %s: expected %s, found `%s`%s", ll->name.text, key, mem,
                    rules_quote(&q, at->text), nearest_choice(&near, at->text, words));
    }
    return or_else;
}

static bool is_one_of(struct slice word, const char *words)
{
    unsigned index;

    return value_parse_choice(word, words, &index);
}

/* ---- answers ---- */

/* The ranges of a preset, which are right. */
static struct list_range *preset_ranges(struct list_load *ll, const char *text, size_t *count)
{
    struct list_range *r = rules_memory(ll->l, ANSWERS_MAX * sizeof(*r));
    struct slice rest = slice_str(text);

    *count = 0;
    while (!slice_empty(rest) && *count < ANSWERS_MAX) {
        struct slice entry = slice_cut(&rest, ','), range = slice_token(&entry);
        int64_t weight = 0;

        BUG_ON(!parse_range(range, &r[*count]));
        entry = slice_trim(entry);
        BUG_ON(!slice_empty(entry) && !parse_weight(entry, &weight));
        r[(*count)++].weight = weight;
    }
    return r;
}

static void load_answers(struct list_load *ll)
{
    const struct config_node *node = config_node_get(ll->node, "answers"), *child;
    struct reputation_list *list = ll->list;

    list->answers =
        preset_ranges(ll, ll->preset != NULL ? ll->preset->answers : "127.0.0.2-254 1", &list->answer_count);
    if (node == NULL) {
        return;
    }
    if (node->kind != NODE_MAPPING || node->count == 0 || node->count > ANSWERS_MAX) {
        expected(ll, node, "answers", "a mapping of answers to weights, such as {\"127.0.0.2-9\": 2}");
        return;
    }
    list->answer_count = 0;
    CONFIG_NODE_EACH(node, child)
    {
        struct list_range *r = &list->answers[list->answer_count++];
        struct quoted q;

        if (!parse_range(child->key, r) || r->low[0] != 127 || r->high[0] != 127) {
            rules_key_error(ll->l, child,
                            "reputation list %s: answers: expected an address in 127.0.0.0/8 such as "
                            "127.0.0.2, 127.0.0.4-7 or 127.0.1.0/24, found `%s`",
                            ll->name.text, rules_quote(&q, child->key));
        } else if (child->kind != NODE_SCALAR || !parse_weight(child->text, &r->weight)) {
            expected(ll, child, "answers", "a weight of -1000 to 1000, such as 2 or -0.5");
        }
    }
}

static void load_error_answers(struct list_load *ll)
{
    const struct config_node *node = config_node_get(ll->node, "error_answers"), *child;
    struct reputation_list *list = ll->list;

    list->errors = preset_ranges(ll, ll->preset != NULL ? ll->preset->errors : ERRORS, &list->error_count);
    list->voids = preset_ranges(ll, ll->preset != NULL ? ll->preset->voids : VOIDS, &list->void_count);
    if (node == NULL) {
        return;
    }
    if (node->kind != NODE_SEQUENCE || node->count > ANSWERS_MAX) {
        expected(ll, node, "error_answers", "a list of answers");
        return;
    }
    list->error_count = 0;
    CONFIG_NODE_EACH(node, child)
    {
        if (child->kind != NODE_SCALAR || !parse_range(child->text, &list->errors[list->error_count++])) {
            expected(ll, child, "error_answers",
                     "an answer such as 127.0.0.255, 127.0.0.4-7 or 127.255.255.0/24");
        }
    }
}

/* What a hit may bring at the best and at the worst. */
static void find_bounds(struct reputation_list *list)
{
    for (size_t i = 0; i < list->answer_count; i++) {
        int64_t w = list->answers[i].weight;

        list->weight_min = w < list->weight_min ? w : list->weight_min;
        list->weight_max = w > list->weight_max ? w : list->weight_max;
    }
}

/* ---- zones and what may be seen of them ---- */

/* Octets at the end of the zone that are no secret: the preset's zone, else the last two labels. */
static size_t public_tail(const struct list_load *ll, struct slice zone)
{
    struct slice known = slice_str(ll->preset != NULL ? ll->preset->known : "");

    while (!slice_empty(known)) {
        struct slice tail = slice_cut(&known, '|');

        if (slice_ends_nocase(zone, tail) &&
            (zone.len == tail.len || zone.ptr[zone.len - tail.len - 1] == '.')) {
            return tail.len;
        }
    }
    return secret_zone_tail(zone);
}

/* The written form with `***` for ${...}. */
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

/* Letters, digits, - and _ in its labels: what can be a domain at all. */
static bool is_zone(struct slice text)
{
    bool ok = text.len > 0;

    for (size_t i = 0; i < text.len && ok; i++) {
        char c = text.ptr[i];

        ok = ascii_is_alpha(c) || ascii_is_digit(c) || c == '-' || c == '_' || c == '.';
    }
    return ok;
}

/* What people add to a domain. */
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

static void load_zone(struct list_load *ll)
{
    const struct config_node *node = config_node_get(ll->node, "zone");
    char mem[DNS_NAME_MAX + 3], raw_mem[2 * DNS_NAME_MAX], shown_mem[3 * DNS_NAME_MAX];
    struct buf b, raw, shown;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_init_fixed(&raw, raw_mem, sizeof(raw_mem));
    buf_init_fixed(&shown, shown_mem, sizeof(shown_mem));
    if (node == NULL && (ll->preset == NULL || ll->preset->zone == NULL)) {
        if ((ll->preset == NULL && config_node_get(ll->node, "preset") != NULL) || !ll->keys_known) {
            return; /* an unknown preset, or an unknown key that is probably this one: reported */
        }
        rules_error(ll->l, ll->node, "reputation list %s: zone is missing: the domain that is asked",
                    ll->name.text);
        return;
    }
    if (node != NULL && node->kind == NODE_SCALAR && secret_is_masked(node->text)) {
        rules_error(
            ll->l, node,
            "reputation list %s: zone: expected the zone itself, not the mask that stands for its key in "
            "a printed configuration",
            ll->name.text);
        return;
    }
    if (node != NULL &&
        (node->kind != NODE_SCALAR || !is_zone(node->text) || !dns_put_name(&b, node->text))) {
        if (node->kind != NODE_SCALAR || !node->bad) { /* no quoting: it may hold a key */
            rules_error(ll->l, node, "reputation list %s: zone: expected a domain such as list.example.org%s",
                        ll->name.text, node->kind == NODE_SCALAR ? fault_of_zone(node->text) : "");
        }
        return;
    }
    if (node == NULL) {
        buf_put_str(&b, ll->preset->zone);
        buf_put_str(&raw, ll->preset->zone);
    } else {
        put_without_environment(&raw, node->raw);
    }
    secret_put_zone(&shown, buf_slice(&raw), public_tail(ll, buf_slice(&raw)));
    ll->list->zone = rules_text(ll->l, buf_slice(&b));
    ll->list->shown = rules_text(ll->l, buf_slice(&shown));
}

/* ---- one list ---- */

static void add_subject(struct list_load *ll, const struct config_node *at)
{
    unsigned index;

    if (at->kind == NODE_SCALAR && value_parse_choice(at->text, subject_words, &index)) {
        ll->list->subjects |= 1u << index;
    } else {
        expected(ll, at, "looks_up", "client, or a list of helo, sender and rdns");
    }
}

static void load_subjects(struct list_load *ll)
{
    const struct config_node *node = config_node_get(ll->node, "looks_up"), *child;
    unsigned *subjects = &ll->list->subjects;

    if (node == NULL) {
        *subjects = ll->preset != NULL ? ll->preset->subjects : 1u << SUBJECT_CLIENT;
        return;
    }
    if (node->kind == NODE_SEQUENCE && node->count > 0) {
        CONFIG_NODE_EACH(node, child)
        {
            add_subject(ll, child);
        }
    } else {
        add_subject(ll, node);
    }
    if ((*subjects & (1u << SUBJECT_CLIENT)) != 0 && (*subjects & DOMAINS) != 0) {
        rules_error(ll->l, node,
                    "reputation list %s: looks_up: a list is of addresses (client) or of domains "
                    "(helo, sender, rdns), not of both",
                    ll->name.text);
    }
}

static void load_families(struct list_load *ll)
{
    const struct config_node *node = config_node_get(ll->node, "families"), *child;
    unsigned index;

    ll->list->ipv4 = true;
    ll->list->ipv6 = ll->preset == NULL || ll->preset->ipv6;
    if (node == NULL) {
        return;
    }
    ll->list->ipv4 = ll->list->ipv6 = false;
    if (node->kind != NODE_SEQUENCE || node->count == 0) {
        expected(ll, node, "families", "a list of ipv4 and ipv6");
        return;
    }
    CONFIG_NODE_EACH(node, child)
    {
        if (child->kind != NODE_SCALAR || !value_parse_choice(child->text, "ipv4|ipv6", &index)) {
            expected(ll, child, "families", "ipv4 or ipv6");
        } else {
            *(index == 0 ? &ll->list->ipv4 : &ll->list->ipv6) = true;
        }
    }
}

static void load_timeout(struct list_load *ll)
{
    const struct config_node *node = config_node_get(ll->node, "timeout");

    ll->list->timeout_ms = TIMEOUT_MS;
    if (node != NULL &&
        (node->kind != NODE_SCALAR || !value_parse_duration(node->text, &ll->list->timeout_ms) ||
         ll->list->timeout_ms < 100 || ll->list->timeout_ms > TIMEOUT_MAX_MS)) {
        expected(ll, node, "timeout", "a duration of 100ms to 1m");
    }
}

static bool is_list_name(struct slice s)
{
    bool ok = s.len > 0 && s.len <= 63;

    for (size_t i = 0; i < s.len && ok; i++) {
        ok = (s.ptr[i] >= 'a' && s.ptr[i] <= 'z') || ascii_is_digit(s.ptr[i]) || s.ptr[i] == '-';
    }
    return ok;
}

static void load_name(struct list_load *ll)
{
    const struct config_node *node = config_node_get(ll->node, "name");
    const struct reputation *rep = ll->rep;
    bool scalar = node != NULL && node->kind == NODE_SCALAR;
    struct quoted q;

    if (node == NULL && !ll->keys_known) {
        return; /* an unknown key is probably it */
    }
    if (node == NULL || node->kind != NODE_SCALAR || !is_list_name(node->text)) {
        rules_error(ll->l, node != NULL ? node : ll->node,
                    "reputation.lists: a list needs a name of [a-z0-9-], at most 63 characters%s%s%s",
                    scalar ? ", found `" : "", scalar ? rules_quote(&q, node->text) : "", scalar ? "`" : "");
        return;
    }
    rules_quote(&ll->name, node->text);
    ll->list->name = node->text;
    if (is_one_of(node->text, RESERVED)) {
        rules_error(ll->l, node, "reputation list %s: the name is that of a fact; choose another one",
                    ll->name.text);
    }
    for (size_t i = 0; &rep->list[i] < ll->list; i++) {
        if (slice_eq(rep->list[i].name, node->text)) {
            rules_error(ll->l, node, "reputation list %s: the name is taken by the list in line %d",
                        ll->name.text, rep->list[i].line);
        }
    }
}

static void load_list(struct list_load *ll)
{
    struct reputation_list *list = ll->list;
    unsigned preset = UINT_MAX;

    list->line = ll->node->line;
    list->column = ll->node->column;
    if (ll->node->kind != NODE_MAPPING) {
        rules_error(ll->l, ll->node,
                    "reputation.lists: expected a mapping with name and zone or preset, found %s",
                    config_node_kind_name(ll->node));
        return;
    }
    ll->l->name = "reputation.lists";
    ll->keys_known = rules_check_keys(ll->l, ll->node, LIST_KEYS);
    load_name(ll);
    preset = choice(ll, "preset", PRESETS, UINT_MAX);
    ll->preset = preset < ARRAY_LEN(presets) ? &presets[preset] : NULL;
    load_zone(ll);
    load_subjects(ll);
    load_answers(ll);
    load_error_answers(ll);
    load_families(ll);
    load_timeout(ll);
    find_bounds(list);
    list->mode = (enum list_mode)choice(ll, "mode", "enforce|monitor|off", LIST_ENFORCE);
    list->ask = (enum list_ask)choice(ll, "ask", "early|late|background", LIST_EARLY);
    list->ask = list->mode == LIST_MONITOR ? LIST_BACKGROUND : list->ask;
    list->reason = choice(ll, "reason", "txt|none", ll->preset == NULL || ll->preset->reason ? 0 : 1) == 0;
    list->zero_day = choice(ll, "zero_day", "false|true", ll->preset != NULL && ll->preset->zero_day) == 1;
    list->probe = choice(ll, "probe", "rfc5782|off", ll->preset == NULL || ll->preset->probe ? 0 : 1) == 0;
}

static void give_slots(struct reputation *rep)
{
    for (size_t i = 0; i < rep->count; i++) {
        struct reputation_list *list = &rep->list[i];

        list->slot = rep->slot_count;
        for (unsigned s = 0; s < SUBJECT_COUNT; s++) { /* one that is off may be set by hand */
            if ((list->subjects & (1u << s)) != 0) {
                rep->slot_count++;
            }
        }
    }
}

static void load_lists(struct rules_load *l, struct reputation *rep, const struct config_node *lists)
{
    const struct config_node *child;

    if (lists == NULL || (lists->kind == NODE_SCALAR && slice_empty(lists->text))) {
        return;
    }
    if (lists->kind != NODE_SEQUENCE || lists->count > REPUTATION_LISTS_MAX) {
        rules_error(l, lists,
                    "reputation.lists: expected a list of at most %d mappings, such as [{name: zen, preset: "
                    "spamhaus-zen}], found %s",
                    REPUTATION_LISTS_MAX, config_node_kind_name(lists));
        return;
    }
    rep->list = rules_memory(l, (lists->count + 1) * sizeof(*rep->list));
    CONFIG_NODE_EACH(lists, child)
    {
        struct list_load ll = { .l = l, .rep = rep, .list = &rep->list[rep->count], .node = child };

        rules_quote(&ll.name, SLICE("?"));
        load_list(&ll);
        rep->count++;
    }
    give_slots(rep);
}

bool lists_load(struct policy *p, struct config_errors *errs)
{
    struct rules_load l = {
        .r = &p->rules, .arena = &p->arena, .errs = errs, .conf = p->conf, .name = "reputation"
    };
    const struct config_node *section = config_node_get(p->conf->root, "reputation"), *node;
    size_t fatal = errs->fatal;

    p->reputation = (struct reputation){ .threshold = 1000 };
    if (section == NULL || (section->kind == NODE_SCALAR && slice_empty(section->text))) {
        return true;
    }
    if (section->kind != NODE_MAPPING) {
        rules_error(&l, section, "reputation: expected a mapping, found %s", config_node_kind_name(section));
        return false;
    }
    rules_check_keys(&l, section, REPUTATION_KEYS);
    node = config_node_get(section, "threshold");
    if (node != NULL && (node->kind != NODE_SCALAR || !parse_weight(node->text, &p->reputation.threshold) ||
                         p->reputation.threshold <= 0)) {
        rules_error(&l, node, "reputation.threshold: expected a number above 0, such as 1 or 2.5");
    }
    load_lists(&l, &p->reputation, config_node_get(section, "lists"));
    return errs->fatal == fatal;
}

size_t policy_probe_zones(const struct policy *p, struct slice *zones, struct slice *names, size_t max)
{
    const struct reputation *rep = &p->reputation;
    size_t n = 0;

    for (size_t i = 0; i < rep->count && n < max; i++) {
        const struct reputation_list *list = &rep->list[i];

        if (list->probe && list->mode != LIST_OFF && (list->subjects & (1u << SUBJECT_CLIENT)) != 0) {
            zones[n] = list->zone;
            names[n++] = list->name;
        }
    }
    return n;
}
