/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - every setting: unit, default, limits and why it exists.  Read this file first.
 *
 * The file format is YAML (glacis.yaml(5)).  A snapshot loads completely or not at all, and a failed load reports
 * all errors.  A snapshot is immutable for the life of a process; a reload starts a new generation of workers.
 *
 * Durations are milliseconds, sizes are octets.  CONFIG_OFF (no limit, never) is the word `off`.  The snapshot
 * owns all texts; they end with NUL.  "" means not set unless a field says otherwise.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "core/addr.h"
#include "core/log.h"
#include "core/slice.h"

#define CONFIG_OFF UINT64_MAX

#define CONFIG_MAX_LISTENERS 16
#define CONFIG_MAX_UPSTREAMS 32
#define CONFIG_MAX_SERVERS 16 /* of one upstream */
#define CONFIG_MAX_WORKERS 16
#define CONFIG_MAX_DOMAINS 10000

enum config_mode { MODE_ENFORCE = 0, MODE_MONITOR };

enum config_tls_mode { TLS_MODE_STARTTLS = 0, TLS_MODE_IMPLICIT, TLS_MODE_OFF };

struct config_listener {
    struct addr address; /* port 0: any free one (tests) */
    struct slice text;   /* as written, for messages */
    bool proxy_protocol;
    bool xclient;
    enum config_tls_mode tls;
    struct cidr *trusted; /* peers that may send PROXY or XCLIENT here */
    size_t trusted_count;
    int line; /* in the file; 0 for a default */
};

enum config_private { PRIVATE_EXEMPT = 0, PRIVATE_JUDGE };

struct config_server_section {
    const char *hostname; /* default: the FQDN of the machine; always has a dot */
    struct config_listener listen[CONFIG_MAX_LISTENERS];
    size_t listen_count;
    bool listen_given; /* false: the default pair, where a missing family is skipped */
    unsigned workers;  /* `auto` is already resolved: 1..CONFIG_MAX_WORKERS */
    const char *user;  /* used only when started as root */
    const char *state_dir;
    const char *spool_dir; /* resolved: state_dir/spool by default */
    const char *banner;    /* expanded: text after "220 " */
    enum config_private private_clients;
    uint64_t greet_delay_ms; /* 0: none */
    uint64_t
        drain_timeout_ms; /* a stop or reload ends sessions after this, never one that waits for the final reply */
    bool sandbox;
};

struct config_keypair {
    const char *certificate; /* path */
    const char *private_key; /* path */
    int line;
};

#define CONFIG_MAX_KEYPAIRS 32

struct config_tls_section {
    bool enabled;                                    /* the section was given */
    struct config_keypair pair[CONFIG_MAX_KEYPAIRS]; /* [0] is certificate/private_key, the rest `more` */
    size_t pair_count;
    bool required;         /* 530 5.7.0 before MAIL */
    int min_version;       /* 0x0301 (TLS 1.0) .. 0x0304 (1.3), as on the wire */
    const char *ciphers;   /* "" for the default, "strong", or a list of OpenSSL's */
    const char *client_ca; /* path; "": no client certificate is requested */
    int client_ca_line;
    uint64_t handshake_timeout_ms;
    const char *not_offered_to; /* "" or "group:NAME" */
};

struct config_rate {
    unsigned count; /* 0: off */
    uint64_t per_ms;
};

enum config_kind { KIND_GENERIC = 0, KIND_EXCHANGE, KIND_GROUPWISE, KIND_POSTFIX, KIND_EXIM, KIND_RSPAMD };
enum config_balance { BALANCE_FAILOVER = 0, BALANCE_ROUND_ROBIN, BALANCE_LEAST_SESSIONS };
enum config_up_tls { UP_TLS_OPPORTUNISTIC = 0, UP_TLS_OFF, UP_TLS_REQUIRED, UP_TLS_VERIFY };
enum config_ehlo { EHLO_OURS = 0, EHLO_CLIENT, EHLO_AUTO };
enum config_identity {
    IDENTITY_NONE = 0,
    IDENTITY_XCLIENT,
    IDENTITY_XFORWARD,
    IDENTITY_PROXY_V1,
    IDENTITY_PROXY_V2
};

struct config_upstream_server {
    const char *text;    /* as written: "10.1.1.10:25" or "mail.corp:25"; its label in logs and metrics */
    const char *host;    /* the name, or the address without port */
    bool is_name;        /* our own resolver looks it up */
    struct addr address; /* family NONE while is_name; the port is always set */
    int line;
};

struct tls_client;

struct config_upstream {
    const char *name;
    unsigned index; /* of this upstream in config.upstreams */
    enum config_kind kind;
    struct config_upstream_server server[CONFIG_MAX_SERVERS];
    size_t server_count; /* >= 1 */
    enum config_balance balance;
    enum config_up_tls tls;
    const char *tls_ca;            /* "system" or a path */
    const char *tls_name;          /* "" = the server's name */
    struct tls_client *tls_client; /* made by tls/ (admin/setup.c) with the anchors of tls_ca; NULL before */
    enum config_identity identity;
    unsigned connections;         /* per server, over all workers and generations, probes included */
    uint64_t size;                /* largest message; CONFIG_OFF */
    uint64_t remember_unknown_ms; /* how long to cache unknown recipients; CONFIG_OFF: not at all */
    unsigned keep_idle;           /* per server, over all workers */
    uint64_t hold_ms;             /* longest wait of the upstream for a client */
    uint64_t queue_wait_ms;
    uint64_t idle_timeout_ms;
    uint64_t max_age_ms;
    unsigned max_messages; /* per connection; 0: as the banner says; UINT_MAX for off */
    enum config_ehlo ehlo; /* whose name; AUTO: the client's with PROXY identity */
    struct {
        uint64_t connect_ms, greeting_ms, command_ms, final_reply_ms;
    } timeouts;
    struct {
        uint64_t interval_ms; /* CONFIG_OFF: health is off, a server is never marked down */
        unsigned fall, rise;
    } health;
    struct config_rate rate; /* messages per server */
    int line;
};

enum config_validate { VALIDATE_LIVE = 0, VALIDATE_FILE, VALIDATE_NONE };

struct config_domain {
    const char *name; /* lower-case A-labels, without the leading dot */
    bool subdomains;  /* ".example.com": any depth below, not itself */
    const struct config_upstream *upstream;
    enum config_validate validate;
    const char *validate_file;            /* VALIDATE_FILE: path */
    struct config_recipients *recipients; /* VALIDATE_FILE: its content, loaded */
    int line;
};

enum config_newline { NEWLINE_REJECT = 0, NEWLINE_NORMALIZE };
enum config_encapsulated { ENCAPSULATED_REJECT = 0, ENCAPSULATED_PASS };
enum config_dsn { DSN_KNOWN = 0, DSN_ALWAYS, DSN_NEVER };

struct config_limits {
    uint64_t connections;            /* over all workers; CONFIG_OFF */
    uint64_t connections_per_client; /* client: IPv4 address, IPv6 /64 */
    struct config_rate connection_rate;
    struct config_rate message_rate; /* over it: 451 4.7.1 at RCPT */
    uint64_t message_size;
    unsigned recipients;           /* per transaction, >= 100; UINT_MAX */
    unsigned messages_per_session; /* UINT_MAX for off */
    unsigned errors;               /* 500-504, 530, 555, MAIL refused for good; then 421 */
    unsigned refused_recipients;   /* then 421, only with no accepted recipient */
    uint64_t command_timeout_ms;   /* silence between commands */
    uint64_t command_deadline_ms;  /* one command line */
    uint64_t data_timeout_ms;      /* silence within the message */
    uint64_t data_deadline_ms;     /* the whole message */
    uint64_t session_timeout_ms;
    unsigned stress_at_percent; /* of `connections`; 0: off */
    uint64_t stress_command_timeout_ms;
    uint64_t headers;        /* octets of the header section */
    unsigned hops;           /* Received lines, then 554 5.4.6 */
    uint64_t memory;         /* octets over all workers: messages, envelopes, judgements, DNS caches */
    uint64_t spool_memory;   /* of one message; beyond it a file */
    bool spool_memory_exact; /* spool_memory is not the default: never exceed it, even if memory is free */
    uint64_t spool;          /* all files together */
    unsigned ban_points;     /* 0: off */
    uint64_t ban_within_ms;
    uint64_t ban_for_ms;
    enum config_newline bare_newline;      /* in DATA */
    enum config_newline bare_newline_bdat; /* in BDAT */
    enum config_encapsulated encapsulated; /* local parts that hold another address */
    uint64_t duplicate_guard_ms;           /* CONFIG_OFF */
};

struct config_header_add {
    const char *name;
    const char
        *value; /* a template: {client.ip} {client.rdns} {helo.name} {sender.address} {server.hostname} ... */
    int line;
};

#define CONFIG_MAX_HEADERS 64

struct config_headers {
    bool received;
    bool authentication_results;
    const char *authserv_id; /* resolved: server.hostname by default */
    const char *strip_authserv_ids[CONFIG_MAX_HEADERS];
    size_t strip_authserv_count;
    bool received_spf;
    bool verdict;                          /* the X-Glacis tags */
    const char *strip[CONFIG_MAX_HEADERS]; /* names, a final '*' matches any rest; X-Glacis-* is implied */
    size_t strip_count;
    struct config_header_add add[CONFIG_MAX_HEADERS];
    size_t add_count;
};

enum config_log_to { LOG_TO_STDOUT = 0, LOG_TO_STDERR, LOG_TO_SYSLOG, LOG_TO_FILE };
enum config_log_addresses { LOG_ADDRESSES_FULL = 0, LOG_ADDRESSES_DOMAIN, LOG_ADDRESSES_HASH };

struct config_log {
    enum log_format format;
    enum config_log_to to;
    const char *file; /* LOG_TO_FILE: path */
    enum log_level level;
    enum config_log_addresses addresses;
};

struct config_dns { /* the resolver's settings (dns/dns.h copies them) */
    struct addr servers[8];
    size_t server_count; /* 0: /etc/resolv.conf */
    uint64_t timeout_ms;
    unsigned attempts;
    unsigned cache_entries; /* over all workers, as the next: each has its share */
    uint64_t cache_memory;  /* octets; the heap of the cache and its table */
    uint64_t cache_min_ttl_ms, cache_max_ttl_ms, cache_negative_ttl_ms, cache_failure_ttl_ms;
    unsigned in_flight;
    struct config_rate client_questions; /* lookups that one client network may cause; then temperror */
    struct config_rate client_failed;    /* failed ones of these */
    uint64_t self_test_ms;               /* CONFIG_OFF: never */
};

enum config_spf_engine { CONFIG_SPF_NATIVE = 0, CONFIG_SPF_LIBSPF2 };

struct config_spf {
    enum config_spf_engine engine;
    bool helo, mailfrom;     /* identities; without helo the null sender's spf is `none` */
    uint64_t timeout_ms;     /* of one check, then temperror */
    unsigned weak_pass_bits; /* a pass by more than an IPv4 network of so many bits is weak; 0: off */
};

struct config_dkim {
    bool verify;
    unsigned max_signatures; /* of a message, whose keys are looked up */
};

enum config_org_domain {
    CONFIG_ORG_TREE_WALK = 0, /* RFC 9989 */
    CONFIG_ORG_PSL,           /* RFC 7489 */
};

struct config_dmarc {
    bool verify; /* where DKIM is verified */
    enum config_org_domain org_domain;
};

/* ---- memory of clients and senders, and its use (policy/standing) ---- */

#define CONFIG_MAX_GOOD_DAYS 8 /* as many as a record holds: state/memory.h */
#define CONFIG_MAX_BURST 16

struct config_known_good {
    unsigned messages; /* 0: off, no client is in good standing */
    unsigned days;
    uint32_t within_s;
};

struct config_zero_day { /* 0: off */
    uint32_t fresh_domain_s, fresh_client_s;
    unsigned burst_networks;
    uint32_t burst_within_s;
    uint32_t learn_for_s;
};

struct config_greylist {
    uint32_t delay_s, retry_within_s, remember_s;
    unsigned v4_bits, v6_bits; /* the networks that count as one client */
};

/* ---- reputation lists (policy/lists) ---- */

#define CONFIG_MAX_LISTS 100
#define CONFIG_MAX_ANSWERS 64     /* of one list */
#define CONFIG_MAX_WEIGHT 1000000 /* thousandths */
#define CONFIG_MAX_CANARIES 16

/* SUBJECT_DKIM is the first of LIST_SIGNERS: one for each domain of a passing signature. */
#define LIST_SIGNERS 3
enum list_subject {
    SUBJECT_CLIENT = 0,
    SUBJECT_HELO,
    SUBJECT_SENDER,
    SUBJECT_RDNS,
    SUBJECT_FROM,
    SUBJECT_DKIM,
    SUBJECT_COUNT = SUBJECT_DKIM + LIST_SIGNERS
};
#define SUBJECTS_OF_DKIM (((1u << LIST_SIGNERS) - 1) << SUBJECT_DKIM) /* as bits */
enum list_mode { LIST_MODE_ENFORCE = 0, LIST_MODE_MONITOR, LIST_MODE_OFF };
enum list_ask { LIST_ASK_EARLY = 0, LIST_ASK_LATE, LIST_ASK_BACKGROUND };
enum list_reason { LIST_REASON_TXT = 0, LIST_REASON_NONE };
enum list_probe { LIST_PROBE_RFC5782 = 0, LIST_PROBE_OFF };
enum config_list_preset {
    LIST_PRESET_NONE = 0,
    LIST_PRESET_SPAMHAUS_ZEN,
    LIST_PRESET_SPAMHAUS_DBL,
    LIST_PRESET_SPAMHAUS_ZRD,
    LIST_PRESET_SPAMCOP,
    LIST_PRESET_BARRACUDA,
    LIST_PRESET_DNSWL,
};

struct list_range { /* of answers: each octet between two bounds */
    uint8_t low[4], high[4];
    int64_t weight; /* thousandths; not of error_answers */
};

struct list_ranges {
    struct list_range *range;
    size_t count;
};

struct config_list { /* an entry of reputation.lists */
    const char *name;
    enum config_list_preset preset;
    struct slice zone;                         /* as asked, lower case: may hold a key */
    struct slice shown;                        /* as shown */
    unsigned subjects;                         /* bit n: enum list_subject n */
    struct list_ranges answers, errors, voids; /* voids: about the question itself */
    bool ipv4, ipv6;
    enum list_mode mode;
    enum list_ask ask;
    uint64_t timeout_ms;
    enum list_reason reason; /* whether replies quote its TXT record */
    bool zero_day;           /* a hit is zero_day.listed */
    enum list_probe probe;   /* whether it has the test entries of RFC 5782 */
    int line, column;
};

struct config_guard { /* UINT_MAX: off, where 0 means something else */
    unsigned good_clients, good_share_percent;
    uint32_t good_within_s;
    uint32_t probe_interval_s; /* 0: never */
    bool canaries_auto;
    struct addr canary[CONFIG_MAX_CANARIES];
    size_t canary_count;
    const char *canary_domain[CONFIG_MAX_CANARIES];
    size_t canary_domain_count;
    unsigned positive_percent, min_asked;
    unsigned surge;            /* a factor; 0: off */
    unsigned breaker_failures; /* 0: off */
    uint32_t breaker_retry_s;
    unsigned sample_percent; /* 0: off */
    bool recover_by_hand;
};

struct config_reputation {
    int64_t threshold; /* thousandths */
    struct config_list *list;
    size_t list_count; /* in the order of the file */
    struct config_guard guard;
};

/* ---- the section `policy`, except its rules: policy/rules compiles those from the tree ---- */

enum config_preset { PRESET_SPF_FIRST = 0, PRESET_NONE };
enum config_fallback { FALLBACK_ACCEPT = 0, FALLBACK_REJECT, FALLBACK_DEFER };
enum config_reject_at { REJECT_AT_RECIPIENT = 0, REJECT_AT_EARLIEST };

struct config_policy_section {
    enum config_preset preset;
    enum config_fallback fallback; /* policy.default: applies if no rule decides */
    enum config_reject_at reject_at;
    uint64_t budget_mail_ms, budget_message_ms; /* longest time that a stage waits for lookups */
    uint32_t watch_new_rules_s;                 /* 0: off */
    const char *contact; /* resolved: postmaster@ the first domain by default; "" without one */
};

#define CONFIG_MAX_NAMES 32

struct config_admin {
    bool enabled;
    struct addr listen;
    const char *token; /* "" for none; needed for anything but loopback */
    const char *
        names[CONFIG_MAX_NAMES]; /* host names that requests may name, besides loopback and its own address */
    size_t name_count;
};

enum config_backend { BACKEND_EMBEDDED = 0, BACKEND_REDIS };

struct config_redis {
    const char *url; /* redis://[[user]:password@]address[:port][/db], unix:/path; "" or NULL: none */
    const char *prefix;
    uint64_t timeout_ms;
};

/*
 * Material is the content of other files that the configuration names.  `check` and a reload refuse a file with
 * unusable material.  A start has no older snapshot to fall back on, so it is lenient: errors of material are shown
 * but not fatal, and each loader reports its substitute.  A running glacis reloads changed files of one kind and keeps
 * the other kinds in force, so that a broken file does not delay the others.
 */
enum config_material {
    MATERIAL_TLS = 0,    /* tls.certificate, private_key, more, client_ca */
    MATERIAL_GROUPS,     /* groups: file:PATH */
    MATERIAL_RECIPIENTS, /* domains.*.validate: file:PATH */
    MATERIAL_ANCHORS,    /* upstreams.*.tls_ca */
    MATERIAL_COUNT,
};
#define MATERIAL_BIT(kind) (1u << (kind))
#define MATERIAL_ALL (MATERIAL_BIT(MATERIAL_COUNT) - 1)

struct policy;
struct tls_material;
struct config_node; /* the parsed file, with positions: config/tree.h */

struct config {
    const char *path; /* of the file */
    unsigned generation;
    int64_t loaded_at_s; /* wall clock */
    enum config_mode mode;
    struct config_server_section server;
    struct config_tls_section tls;
    struct config_upstream upstreams[CONFIG_MAX_UPSTREAMS];
    size_t upstream_count;
    struct config_domain *domains;
    size_t domain_count;
    struct config_limits limits;
    struct {
        bool chunking;
        bool smtputf8;
        enum config_dsn dsn;
    } smtp;
    struct config_headers headers;
    struct config_dns dns;
    struct config_spf spf;
    struct config_dkim dkim;
    struct config_dmarc dmarc;
    struct config_admin admin;
    struct config_log log;
    struct {
        enum config_backend backend;
        const char *hash_key; /* "" for one of this host's own, made once in state_dir */
        struct config_redis redis;
    } state;
    struct config_reputation reputation;
    struct config_known_good known_good;
    struct config_zero_day zero_day;
    struct config_greylist greylist;
    struct config_policy_section policy_section;
    struct slice text; /* the file as it was read, to load it again when certificates have changed */
    const struct config_node *root; /* lives as long as the snapshot: policy/ compiles its sections from it */
    const struct policy *policy;    /* compiled by policy/ (admin/setup.c); NULL before */
    struct tls_material *tls_material; /* read by tls/; NULL without `tls:`, or if no pair can be used */
    unsigned missing[MATERIAL_COUNT];  /* errors of unusable material, by kind */
    struct config_private_data *own;   /* memory of the snapshot */
};

/* An error or a warning about a file; lists are in file order. */
struct config_error {
    bool warning;
    int line, column; /* 0: it has no place in the file */
    char *text;       /* a sentence for people, without the position */
};

struct config_errors {
    struct config_error *list;
    size_t count;
    size_t fatal;                     /* number of errors, without warnings */
    bool unreadable;                  /* the file itself could not be read */
    unsigned missing[MATERIAL_COUNT]; /* errors of material, fatal or not */

    /* set before a load */
    unsigned lenient;              /* MATERIAL_BITs whose errors are not fatal */
    unsigned kept;                 /* MATERIAL_BITs to take from `previous` instead of reading files */
    const struct config *previous; /* in force; NULL: nothing is kept */
};

void config_errors_fini(struct config_errors *errs);
void config_errors_add(struct config_errors *errs, bool warning, int line, int column, const char *fmt, ...)
    PRINTF(5, 6);
void config_errors_material(struct config_errors *errs, enum config_material kind, int line, int column,
                            const char *fmt, ...) PRINTF(5, 6);

/* Does this load take material of this kind from `previous`? */
static inline bool config_keeps(const struct config_errors *errs, enum config_material kind)
{
    return errs->previous != NULL && (errs->kept & MATERIAL_BIT(kind)) != 0;
}

/* Prints "FILE:LINE:COLUMN: error: text", one per line, in file order. */
void config_errors_print(const struct config_errors *errs, const char *path, struct buf *out);

/*
 * Loads a snapshot.  Returns NULL on any error; `errs` then holds all of them.  The caller must zero `errs` first.
 * Warnings do not prevent loading.  This blocks, so a process with a running loop must not call it; the
 * supervisor does.  path "-" reads standard input.
 */
struct config *config_load(const char *path, struct config_errors *errs) MUST_USE;

/*
 * Makes a snapshot without a file: one upstream with the servers of GLACIS_UPSTREAM ("10.1.1.10:25"), for the
 * domains of GLACIS_DOMAINS ("example.com, .example.com").  Its errors are about the environment.
 */
struct config *config_load_default(struct config_errors *errs) MUST_USE;

/* The same from text in memory (tests, fuzzing); `path` only names it. */
struct config *config_load_text(const char *path, struct slice text, struct config_errors *errs) MUST_USE;

void config_free(struct config *c);

/* Ties an object to the life of the snapshot: config_free() calls free_fn(obj), the last attached one first. */
void config_attach(struct config *c, void *obj, void (*free_fn)(void *obj));

/*
 * Prints the effective configuration as YAML that loads to an equal snapshot, with secrets masked.  `put` lets a
 * folder that compiles a part of the tree print its own keys.  It gets a key's path and returns true if it wrote the
 * key's lines or the key has none.  With put NULL those keys appear as in the file.
 */
typedef bool (*config_put_fn)(const struct config *c, const char *path, struct buf *out);
void config_print(const struct config *c, config_put_fn put, struct buf *out);

/* Writes the file format as a JSON Schema, on one line. */
void config_schema(struct buf *out);

/* ---- lookups in a snapshot ---- */

/*
 * Finds the entry of `domains` for this domain (lower-case A-labels, no final dot).  An exact name wins over
 * subdomain entries, and the longest of those over shorter ones.  NULL: not our domain (RLY-01, RLY-09).
 */
const struct config_domain *config_route(const struct config *c, struct slice domain);

/* The home of <postmaster>: the first domain of the file.  NULL if the file has none. */
const struct config_domain *config_postmaster_home(const struct config *c);

/* VALIDATE_FILE: is this address in the list?  The local part is as received, the domain in lower case. */
bool config_recipient_known(const struct config_domain *d, struct slice local, struct slice domain);

#endif
