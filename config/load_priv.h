/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_priv.h - the state of one load, shared by the files of config/.  Private to config/.
 *
 *     config.c -> yaml.c (tree) -> apply.c (tree, table) -> scalars.c, sequences.c, upstreams.c, reputation.c (set)
 *              -> domains.c -> validate.c (rules that span keys)
 *
 * Setters never stop the load.  They report an error and leave the default in place.
 */
#ifndef CONFIG_LOAD_PRIV_H
#define CONFIG_LOAD_PRIV_H

#include "config/keys.h"
#include "config/tree.h"
#include "core/table.h"

#define LOAD_TREE_MAX ((size_t)128 << 20)  /* of the tree; a larger one is an error */
#define LOAD_ARENA_MAX ((size_t)512 << 20) /* of the tree and all that the load makes from it */

struct domain_entry {
    struct table_entry entry; /* key: "example.com" or ".example.com" */
    const struct config_domain *domain;
};

/* All memory that a snapshot owns besides its struct. */
#define CONFIG_ATTACHED_MAX 8

struct config_private_data {
    struct arena arena;           /* tree, texts, lists */
    struct table domains;         /* of domain_entry */
    struct domain_entry *entries; /* config.domain_count */
    struct {
        void *obj;
        void (*free_fn)(void *obj);
    } attached[CONFIG_ATTACHED_MAX]; /* config_attach, in order */
    size_t attached_count;
};

struct load {
    struct config *c;
    struct config_errors *errs;
    struct arena *arena;
    bool upstreams_wrong; /* reported: the names are unknown, so do not report unknown names */
};

struct place {          /* a mapping with keys of the table */
    const char *path;   /* in the table: "upstreams.*" */
    const char *shown;  /* in messages: "upstreams.exchange" */
    void *base;         /* the struct its keys are in */
    bool is_sentence;   /* `shown` is words: follow it by ": ", not by a dot */
    const char *filled; /* required key that already has a value; may be NULL */
};

struct value { /* one key with its value */
    const struct key *key;
    const char *shown;              /* "upstreams.exchange.tls" */
    const struct config_node *node; /* line 0: a default */
    void *base;                     /* the struct of the key's scope */
};

/* The key's field in its struct. */
static inline void *value_field(const struct value *v)
{
    return (char *)v->base + v->key->offset;
}

/* A text from a file, quoted and shortened for a sentence. */
struct quoted {
    char text[260];
};
const char *load_quote(struct quoted *q, struct slice s);

/* ---- apply.c ---- */

void load_error(struct load *l, const struct config_node *at, const char *fmt, ...) PRINTF(3, 4);

/* "KEY: expected WHAT, found `TEXT`". */
void load_expected(struct load *l, const struct value *v, const struct config_node *found, const char *what);

/* A NUL-terminated copy that lives as long as the snapshot. */
const char *load_text(struct load *l, struct slice s);
void *load_memory(struct load *l, size_t size); /* zeroed */

void apply_defaults(struct load *l, const char *scope, void *base);
void apply_mapping(struct load *l, const struct place *at, const struct config_node *node);

/* Sets one key from text, as if the file contained it at `at` (presets). */
void apply_text(struct load *l, const struct place *at, const char *name, const char *text);

/* ---- scalars.c: keys with one text ---- */

/* False: `why` has the expected form. */
bool load_set_scalar(struct load *l, const struct value *v, struct slice text, struct buf *why) MUST_USE;

/* Writes the field as text that load_set_scalar() reads back to the same value. */
void load_put_scalar(const struct key *k, const void *base, struct buf *out);

bool load_is_scalar_key(enum key_type type);

/* Writes a number in the notation of the key's type. */
void load_put_limit(const struct key *k, uint64_t n, struct buf *out);

/* Replaces {server.hostname}; "{{" is a brace.  False: `why` has the expected form. */
bool load_expand_banner(struct slice text, const char *hostname, struct buf *out, struct buf *why) MUST_USE;

/* Is a template of headers.add valid?  False: `why` has the expected form. */
bool load_check_added_header(struct slice text, struct buf *why) MUST_USE;

/* ---- sequences.c, upstreams.c, domains.c ---- */

void load_set_list(struct load *l, const struct value *v);
void load_put_list(const struct key *k, const void *base, struct buf *out); /* as a YAML flow list */
bool load_is_list_key(enum key_type type);

void load_set_listen(struct load *l, const struct value *v);
void load_set_keypairs(struct load *l, const struct value *v);
void load_set_fields(struct load *l, const struct value *v);
void load_set_servers(struct load *l, const struct value *v);
void load_set_upstreams(struct load *l, const struct value *v);

/* ---- reputation.c ---- */

void load_set_lists(struct load *l, const struct value *v);

/* Keys of a list entry that fill more than one field. */
bool load_is_list_entry_key(enum key_type type);
void load_set_list_entry_key(struct load *l, const struct value *v);

/* Call after the upstreams are loaded. */
void load_domains(struct load *l, const struct config_node *node);

/* Reads the files of domains.*.validate (file:PATH).  Call after all texts of `domains` are set. */
void load_recipients(struct load *l);
void load_free_recipients(struct config_recipients *r);

/* The upstream of this name.  NULL: unknown, and reported with the nearest name. */
const struct config_upstream *load_find_upstream(struct load *l, const char *shown,
                                                 const struct config_node *name);

/* Calls `take` for each entry of a list of texts.  Splits a scalar at commas. */
typedef void (*item_fn)(struct load *l, const struct value *v, const struct config_node *item);
void load_each_text(struct load *l, const struct value *v, item_fn take);

/* ---- machine.c ---- */

/* GLACIS_HOSTNAME, else the FQDN of the kernel or of /etc/hosts; lower case.  "" if none of them is usable. */
const char *machine_hostname(struct load *l);

/* The first name with a dot on a line of a hosts file that also has `name`.  A part of `hosts`, or empty. */
struct slice machine_name_in_hosts(struct slice hosts, struct slice name);

/* The name without a domain, or "localhost". */
const char *machine_shortname(struct load *l);

/* The value of `workers: auto`: min(CPU affinity, cgroup quota rounded up, 8), at least 1. */
unsigned machine_workers(void);

/* ---- validate.c ---- */

void validate(struct load *l);

#endif
