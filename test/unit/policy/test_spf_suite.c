/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_spf_suite.c - the public test suite of RFC 7208 (YAML), each case played twice with each engine.
 *
 * Looks for spf/rfc7208-tests.yml below $GLACIS_TEST_DATA or ../shared/data; exits with 77 if it is not
 * there.  A file may be named as the first argument instead.
 *
 * Zone rules: SPF records are TXT records of a name unless it has a TXT itself; "TXT: NONE" keeps that from
 * happening; a bare TIMEOUT stands for every type the name does not have; "error.*" times out; the
 * explanation DEFAULT means that there is none of the domain.
 */
#include <stdio.h>
#include <yaml.h>

#include "policy/spf/spf.h"
#include "test/unit/policy/spf_fixture.h"

enum { SKIP = 77 };

struct suite {
    yaml_document_t doc;
    struct zone zone;
    char mem[256 * 1024]; /* addresses and joined strings of the zone */
    size_t used;
    enum spf_engine engine;
    unsigned passed, failed, preferred;
    uint32_t seed;
};

static yaml_node_t *node(struct suite *s, int index)
{
    return yaml_document_get_node(&s->doc, index);
}

static struct slice scalar(const yaml_node_t *n)
{
    if (n == NULL || n->type != YAML_SCALAR_NODE) {
        return SLICE_NONE;
    }
    return slice_of(n->data.scalar.value, n->data.scalar.length);
}

static yaml_node_t *member(struct suite *s, const yaml_node_t *map, struct slice key)
{
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        if (slice_eq(scalar(node(s, p->key)), key)) {
            return node(s, p->value);
        }
    }
    return NULL;
}

static struct slice store(struct suite *s, const void *data, size_t len)
{
    struct slice out = slice_of(s->mem + s->used, len);

    BUG_ON(s->used + len > sizeof(s->mem));
    memcpy(s->mem + s->used, data, len);
    s->used += len;
    return out;
}

/* A string, or strings to be joined. */
static struct slice joined(struct suite *s, const yaml_node_t *n)
{
    size_t start = s->used;

    if (n->type != YAML_SEQUENCE_NODE) {
        return scalar(n);
    }
    for (yaml_node_item_t *i = n->data.sequence.items.start; i < n->data.sequence.items.top; i++) {
        struct slice part = scalar(node(s, *i));

        (void)store(s, part.ptr, part.len);
    }
    return slice_of(s->mem + start, s->used - start);
}

static struct slice address(struct suite *s, struct slice text)
{
    char *copy = slice_dup(text);
    struct addr a = zone_addr(copy);

    free(copy);
    return store(s, a.ip, a.family == ADDR_V4 ? 4 : 16);
}

static void add_record(struct suite *s, struct slice name, struct slice type, const yaml_node_t *value)
{
    struct zone_entry e = { .name = name };

    if (slice_eq(type, SLICE("A")) || slice_eq(type, SLICE("AAAA"))) {
        e.type = type.len == 1 ? SPF_TYPE_A : SPF_TYPE_AAAA;
        e.data = address(s, scalar(value));
    } else if (slice_eq(type, SLICE("MX"))) {
        e.type = SPF_TYPE_MX;
        e.data = scalar(node(s, value->data.sequence.items.start[1]));
    } else if (slice_eq(type, SLICE("PTR"))) {
        e.type = SPF_TYPE_PTR;
        e.data = scalar(value);
    } else if (slice_eq(type, SLICE("CNAME"))) {
        e.type = ZONE_CNAME;
        e.data = scalar(value);
    } else {
        e.type = SPF_TYPE_TXT;
        e.data = joined(s, value);
    }
    zone_put(&s->zone, e);
}

/* One name of the zone: a list of {type: value} and TIMEOUT. */
static void add_name(struct suite *s, struct slice name, const yaml_node_t *list)
{
    bool has_txt = false;

    for (int turn = 0; turn < 2; turn++) {
        for (yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top; i++) {
            const yaml_node_t *item = node(s, *i);
            yaml_node_pair_t *p = item->type == YAML_MAPPING_NODE ? item->data.mapping.pairs.start : NULL;
            struct slice type = p == NULL ? SLICE_NONE : scalar(node(s, p->key));
            const yaml_node_t *value = p == NULL ? NULL : node(s, p->value);
            bool none = slice_eq(type, SLICE("TXT")) && slice_eq(scalar(value), SLICE("NONE"));

            if (turn == 0) {
                has_txt = has_txt || slice_eq(type, SLICE("TXT"));
            } else if (p == NULL) {
                zone_put(&s->zone, (struct zone_entry){ .name = name, .type = ZONE_TIMEOUT });
            } else if (!none && !(has_txt && slice_eq(type, SLICE("SPF")))) {
                add_record(s, name, type, value);
            }
        }
    }
}

static void load_zone(struct suite *s, const yaml_node_t *map)
{
    s->zone.count = 0;
    s->used = 0;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        add_name(s, scalar(node(s, p->key)), node(s, p->value));
    }
}

/* 0: no; 1: one of several, not the first; 2: the one that is wanted. */
static int agrees(struct suite *s, const yaml_node_t *want, struct slice got)
{
    if (want->type == YAML_SCALAR_NODE) {
        return slice_eq(scalar(want), got) ? 2 : 0;
    }
    for (yaml_node_item_t *i = want->data.sequence.items.start; i < want->data.sequence.items.top; i++) {
        if (slice_eq(scalar(node(s, *i)), got)) {
            return i == want->data.sequence.items.start ? 2 : 1;
        }
    }
    return 0;
}

static bool check(struct suite *s, struct slice label, const yaml_node_t *test, const struct spf_verdict *v)
{
    struct slice explanation = scalar(member(s, test, SLICE("explanation")));
    int grade = agrees(s, member(s, test, SLICE("result")), slice_str(spf_result_text(v->result)));

    if (slice_eq(explanation, SLICE("DEFAULT"))) {
        explanation = SLICE_NONE;
    } else if (slice_empty(explanation)) {
        explanation = slice_str(v->explanation);
    }
    if (grade == 0 || !slice_eq(explanation, slice_str(v->explanation))) {
        printf("FAILED " SLICE_FMT ": %s (%s) %s \"%s\"\n", SLICE_ARG(label), spf_result_text(v->result),
               v->problem, v->mechanism, v->explanation);
        return false;
    }
    s->preferred += grade == 2;
    return true;
}

static void run_case(struct suite *s, struct slice label, const yaml_node_t *test)
{
    char *host = slice_dup(scalar(member(s, test, SLICE("host"))));
    struct spf_input in = {
        .client = zone_addr(host),
        .sender = scalar(member(s, test, SLICE("mailfrom"))),
        .helo = scalar(member(s, test, SLICE("helo"))),
        .receiver = SLICE("receiver.example"),
        .now_s = 1700000000,
        .engine = s->engine,
        .explain = true,
    };
    struct spf *a = zone_play(&s->zone, &in);
    struct spf *b = zone_play_slowly(&s->zone, &in, ++s->seed);
    const struct spf_verdict *va = spf_verdict(a);
    const struct spf_verdict *vb = spf_verdict(b);
    bool same = va->steps == vb->steps && va->lookups == vb->lookups && va->terms == vb->terms &&
                va->voids == vb->voids && strcmp(va->mechanism, vb->mechanism) == 0;

    if (!same) {
        printf("FAILED " SLICE_FMT ": the order of answers matters\n", SLICE_ARG(label));
    }
    if (check(s, label, test, va) && check(s, label, test, vb) && same) {
        s->passed++;
    } else {
        s->failed++;
    }
    spf_free(a);
    spf_free(b);
    free(host);
}

static void run_document(struct suite *s)
{
    const yaml_node_t *root = yaml_document_get_root_node(&s->doc);
    const yaml_node_t *tests = member(s, root, SLICE("tests"));

    load_zone(s, member(s, root, SLICE("zonedata")));
    for (yaml_node_pair_t *p = tests->data.mapping.pairs.start; p < tests->data.mapping.pairs.top; p++) {
        run_case(s, scalar(node(s, p->key)), node(s, p->value));
    }
}

static bool run_file(struct suite *s, FILE *f)
{
    yaml_parser_t parser;
    bool ok = yaml_parser_initialize(&parser) == 1;

    rewind(f);
    yaml_parser_set_input_file(&parser, f);
    for (;;) {
        bool end;

        ok = ok && yaml_parser_load(&parser, &s->doc) == 1;
        if (!ok) {
            break;
        }
        end = yaml_document_get_root_node(&s->doc) == NULL;
        if (!end) {
            run_document(s);
        }
        yaml_document_delete(&s->doc);
        if (end) {
            break;
        }
    }
    yaml_parser_delete(&parser);
    return ok;
}

static FILE *open_suite(int argc, char **argv)
{
    const char *dir = getenv("GLACIS_TEST_DATA");
    char path[512];
    struct buf b;

    buf_init_fixed(&b, path, sizeof(path));
    buf_put_str(&b, dir != NULL ? dir : "../shared/data");
    buf_put_str(&b, "/spf/rfc7208-tests.yml");
    return fopen(argc > 1 ? argv[1] : path, "r");
}

int main(int argc, char **argv)
{
    struct suite *s = xcalloc(1, sizeof(*s));
    FILE *f = open_suite(argc, argv);
    bool ok = true;

    if (f == NULL) {
        printf("skipped: spf/rfc7208-tests.yml is neither in $GLACIS_TEST_DATA nor in ../shared/data\n");
        free(s);
        return SKIP;
    }
    for (int e = 0; e < SPF_ENGINE_COUNT && ok; e++) {
        if (!spf_engine_built((enum spf_engine)e)) {
            continue;
        }
        s->engine = (enum spf_engine)e;
        s->passed = s->failed = s->preferred = 0;
        ok = run_file(s, f);
        printf("%s: %u passed, %u failed (%u runs gave the preferred result)\n",
               e == SPF_ENGINE_NATIVE ? "native" : "libspf2", s->passed, s->failed, s->preferred);
        ok = ok && s->failed == 0 && s->passed > 0;
    }
    fclose(f);
    free(s);
    return ok ? 0 : 1;
}
