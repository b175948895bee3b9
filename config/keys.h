/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keys.h - the table of keys: one row for every key of the file (C3).
 *
 * Private to config/ and its tests.  Parser, defaults and printing use the table; tests compare the reference file
 * and the man page with it.  A path joins keys by dots.  `*` means a name that the user chose (upstreams.*.tls), `[]`
 * an entry of a list of mappings (server.listen[].tls).
 */
#ifndef CONFIG_KEYS_H
#define CONFIG_KEYS_H

#include "config/config.h"

enum key_type {
    KEY_BOOL = 0,        /* bool */
    KEY_DURATION,        /* uint64_t, milliseconds */
    KEY_SECONDS,         /* uint32_t, whole seconds of a duration; its limits are in milliseconds */
    KEY_SIZE,            /* uint64_t, octets */
    KEY_COUNT,           /* unsigned */
    KEY_COUNT_64,        /* uint64_t */
    KEY_PERCENT,         /* unsigned */
    KEY_FACTOR,          /* unsigned, "5x" */
    KEY_WEIGHT,          /* int64_t, thousandths, above 0 */
    KEY_RATE,            /* struct config_rate */
    KEY_CHOICE,          /* an enum, the value is the position in `choices` */
    KEY_CHOICE_BOOL,     /* bool, the same with two */
    KEY_TEXT,            /* const char * */
    KEY_PATH,            /* const char *, absolute, "" for none */
    KEY_HOSTNAME,        /* const char *, lower case, with a dot */
    KEY_SECRET,          /* const char *, masked in all output */
    KEY_URL,             /* const char *, user and password masked in all output */
    KEY_LIST_NAME,       /* const char *, [a-z0-9-] */
    KEY_LIST_PRESET,     /* an enum, 0 for none, then the position in `choices` */
    KEY_REDIS_PREFIX,    /* const char *, without blanks and % */
    KEY_BANNER,          /* const char *, expanded by config.c */
    KEY_DOMAIN_UPSTREAM, /* domains.*.upstream: its name */
    KEY_VALIDATE,        /* config_domain: live | file:PATH | none */
    KEY_VERSION,         /* nothing: must be 1 */
    KEY_WORKERS,         /* unsigned, auto */
    KEY_TLS_VERSION,     /* int, as on the wire */
    KEY_CIPHERS,         /* const char *, "" for `default` */
    KEY_CA,              /* const char *, "system" or a path */
    KEY_PREFIX,          /* unsigned, "/8"; 0 for off */
    KEY_GROUP,           /* const char *, "" or group:NAME */
    KEY_LOG_TO,          /* struct config_log: to and file */
    KEY_ADMIN_LISTEN,    /* struct config_admin: enabled and listen */
    KEY_ENDPOINT,        /* struct config_listener: address and text */
    KEY_LISTEN,          /* server.listen */
    KEY_CIDRS,           /* struct config_listener: trusted */
    KEY_SERVERS,         /* struct config_upstream: server */
    KEY_KEYPAIRS,        /* tls.more */
    KEY_RESOLVERS,       /* struct config_dns: servers */
    KEY_FIELD_NAMES,     /* struct config_headers: strip */
    KEY_IDENTITIES,      /* struct config_spf: helo and mailfrom */
    KEY_AUTHSERV_IDS,    /* struct config_headers: strip_authserv_ids */
    KEY_ADMIN_NAMES,     /* struct config_admin: names */
    KEY_LISTS,           /* reputation.lists */
    KEY_ZONE,            /* struct config_list: zone and shown */
    KEY_SUBJECTS,        /* struct config_list: subjects */
    KEY_ANSWERS,         /* struct config_list: answers */
    KEY_ERROR_ANSWERS,   /* struct config_list: errors */
    KEY_FAMILIES,        /* struct config_list: ipv4, ipv6 */
    KEY_CANARIES,        /* struct config_guard: canaries_auto, canary, canary_domain */
    KEY_FIELDS,          /* struct config_headers: add */
    KEY_UPSTREAMS,       /* the mapping of upstreams */
    KEY_DOMAINS,         /* the mapping of domains */
    KEY_SWITCH,          /* a mapping, or `off`: for its keys named in `choices`, or (NULL) all of it */
    KEY_TREE,            /* left in the tree for policy/ */
    KEY_LATER,           /* not in this version */
};

enum key_flags {
    KEY_OFF_ZERO = 1,  /* `off` is allowed and is 0 */
    KEY_OFF_MAX = 2,   /* `off` is allowed and is CONFIG_OFF or UINT_MAX */
    KEY_REQUIRED = 4,  /* if the mapping around it is given */
    KEY_AUTO_ZERO = 8, /* `auto` is allowed and is 0 */
};

struct key {
    const char *path;
    enum key_type type;
    unsigned flags;
    size_t offset;   /* in the struct of the mapping: see key_scope() */
    const char *def; /* as text, ${NAME:-x} allowed; NULL: none */
    uint64_t min, max;
    const char *choices; /* "a|b|c" */
    const char *help;
};

const struct key *key_table(size_t *count);

/* NULL if no key has this path. */
const struct key *key_find(struct slice path);

/* Is this the path of a mapping that has rows of its own? */
bool key_is_section(struct slice path);

/* Does this version refuse the key, whatever its value? */
bool key_refused(const struct key *k);

/* Must config_print() copy the key from the file, because the text holds more than the value or must be masked? */
bool key_as_written(const struct key *k);

/*
 * The part of a path that names the struct for the key's offset: "upstreams.*.timeouts.connect" gives
 * "upstreams.*" (struct config_upstream), "limits.hops" gives "" (struct config).
 */
struct slice key_scope(const char *path);

/* The key's own name in the section `path`, the next part of the row's path.  Empty if the row is not below it. */
struct slice key_name_in(const struct key *k, struct slice path);

/* Is a key below the section a secret? */
bool key_has_secret(struct slice path);

/* Puts "at and command_timeout": the keys directly below the section, in table order.  Nothing if they are many. */
void key_put_names(struct slice path, struct buf *out);

/*
 * Suggests a key for the unknown `name` in the section `path` ("" for the top): a similar key of the section,
 * or the full path of a key with exactly that name elsewhere.  NULL if no key is similar.
 */
const char *key_nearest(struct slice path, struct slice name, struct buf *out);

#endif
