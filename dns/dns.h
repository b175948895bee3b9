/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.h - the asynchronous resolver: a lookup whose callback runs from the loop.
 *
 * Between the caller and the recursive servers are a cache, the merging of equal questions into one flight, a limit
 * on questions in flight with a queue behind it, and health tracking for each server.
 *
 *     dns_query --- cached, illegal, overload ----------------------> ready --- loop ---> callback
 *         |                                                             ^
 *         +--> flight (one a name and type) --> server --> answer ------+
 *                 waiters: struct dns_req                  (struct dns_answer, counted, also in the cache)
 *
 * Effect     callbacks always run from a deferred call of the loop, never inside dns_query() or inside the DNS
 *            library.
 * Failure    a failed lookup is DNS_TEMPFAIL with a reason.  It is cached for failure_ttl_s (RFC 9520), except for
 *            overload and pace, which say nothing about the name.
 * Deadline   a question is sent at most `attempts` times with timeout_ms each, and waits in the queue no longer than
 *            that.  Callers have their own, shorter deadlines and cancel.
 * Trust      answers must echo our question.  Only records of the queried name, or at the end of its CNAME chain, are
 *            used.  Trust `ad` only as far as the path to the server: loopback only.
 */
#ifndef DNS_DNS_H
#define DNS_DNS_H

#include "core/loop.h"
#include "dns/names.h"

enum dns_type {
    DNS_TYPE_NONE = 0,
    DNS_TYPE_A = 1,
    DNS_TYPE_NS = 2,
    DNS_TYPE_CNAME = 5,
    DNS_TYPE_SOA = 6,
    DNS_TYPE_PTR = 12,
    DNS_TYPE_MX = 15,
    DNS_TYPE_TXT = 16,
    DNS_TYPE_AAAA = 28,
};

/* The outcome of a lookup, from best to worst: of several, the largest is the overall outcome (E8). */
enum dns_status {
    DNS_OK = 0,   /* at least one record */
    DNS_NODATA,   /* the name exists, but has no usable record of this type: see `dropped` */
    DNS_NXDOMAIN, /* the name does not exist, or is not a legal name */
    DNS_TEMPFAIL, /* the lookup failed: see `why` */
    DNS_STATUS_COUNT,
};

enum dns_why {
    DNS_WHY_NONE = 0,
    DNS_WHY_ILLEGAL,  /* DNS_NXDOMAIN: not a legal name; no question was sent */
    DNS_WHY_TIMEOUT,  /* no server answered in time */
    DNS_WHY_SERVFAIL, /* the servers could not resolve it, or DNSSEC validation failed */
    DNS_WHY_REFUSED,  /* the servers refuse us, or do not implement the question */
    DNS_WHY_GARBAGE,  /* an unusable answer: malformed, truncated, a CNAME chain over 10 */
    DNS_WHY_NETWORK,  /* sending failed: no route, port closed, connection lost */
    DNS_WHY_OVERLOAD, /* too many questions were waiting, or this one waited too long */
    DNS_WHY_PACE,     /* the client's network caused too many; no question was sent (dns.per_client) */
    DNS_WHY_COUNT,
};

/* One record.  data is followed by a NUL that does not count. */
struct dns_record {
    uint32_t ttl_s;      /* as received */
    uint16_t preference; /* MX */
    struct slice data;   /* A: 4 octets, AAAA: 16, network order.  TXT: the strings, joined; any octets.
                            MX, NS, PTR, CNAME: a name in normal form; SOA: that of its server.  The MX
                            of RFC 7505 ("no mail") is the empty name.  NS, PTR are hostname_valid(),
                            others were dropped; MX and CNAME are any printable name */
};

/* An answer: immutable, reference-counted, one memory block.  All its callers and the cache share it. */
struct dns_answer {
    uint32_t refs;          /* dns_answer_ref, dns_answer_unref only */
    uint8_t status;         /* enum dns_status */
    uint8_t why;            /* enum dns_why */
    bool ad;                /* the server reports DNSSEC validation */
    uint16_t rcode;         /* as received, extended (RFC 6891 6.1.3) */
    uint16_t dropped;       /* records left out: odd octets in a host name, over the cap */
    uint32_t ttl_s;         /* how long the cache keeps it: clamped */
    uint32_t network_us;    /* from the question to the answer; 0 if no question was sent */
    uint64_t expires_ms;    /* loop_now() at which it expires */
    struct addr server;     /* the server that answered; family NONE if no question was sent */
    struct slice canonical; /* end of the CNAME chain, if there was one and it is plain text */
    size_t size;            /* octets of the whole block */
    size_t count;           /* of records; > 0 exactly if status is DNS_OK */
    struct dns_record *records;
};

struct dns_answer *dns_answer_ref(struct dns_answer *ans); /* returns ans */
void dns_answer_unref(struct dns_answer *ans);             /* NULL is allowed */

/* An answer without records, for tests and for callers that need a synthetic one.  One reference. */
struct dns_answer *dns_answer_empty(enum dns_status status, enum dns_why why) MUST_USE;

/* An answer with status DNS_OK and these records, copied; count > 0.  One reference. */
struct dns_answer *dns_answer_make(const struct dns_record *records, size_t count) MUST_USE;

/* Record i (an A or AAAA) as an address with port 0; family NONE if it is not one. */
struct addr dns_record_addr(const struct dns_record *rec);

const char *dns_status_text(enum dns_status status); /* "ok", "nodata", "nxdomain", "tempfail" */
const char *dns_why_text(enum dns_why why);          /* "timeout", "servfail", ...; "" for NONE */

/* ---- the resolver ---- */

#define DNS_SERVERS_MAX 8

struct dns_rate {   /* a burst of count, then one every per_ms / count */
    uint32_t count; /* 0: no limit */
    uint64_t per_ms;
};

struct dns_pace; /* questions caused by client networks, over all workers: pace.h */

/* Maps the table; the supervisor calls it before the first fork.  NULL: out of memory. */
struct dns_pace *dns_pace_new(void) MUST_USE;
void dns_pace_free(struct dns_pace *p); /* NULL is allowed */

/* Where a field documents it, 0 selects the default; see dns_settings_default(). */
struct dns_settings {
    const struct addr
        *servers;            /* in order of preference; port 0: 53.  Copied.  Past DNS_SERVERS_MAX: ignored */
    size_t server_count;     /* 0: those of resolv_conf; if it has none: 127.0.0.1 */
    const char *resolv_conf; /* NULL: /etc/resolv.conf; read in resolver_new only */
    uint32_t timeout_ms;     /* for one attempt; 0: 2000 */
    uint32_t attempts;       /* 0: 2 */
    uint32_t in_flight;      /* questions in flight at once; 0: 128, the recommended value */
    uint32_t queue_max;      /* questions waiting behind them; 0: 20000 */
    size_t cache_entries;    /* 0: no cache */
    size_t cache_bytes;      /* 0: 512 an entry */
    uint32_t min_ttl_s;
    uint32_t max_ttl_s;
    uint32_t negative_ttl_s;          /* longest, for DNS_NXDOMAIN and DNS_NODATA (RFC 2308) */
    uint32_t failure_ttl_s;           /* for DNS_TEMPFAIL (RFC 9520) */
    struct dns_rate client_questions; /* limit per client network */
    struct dns_rate client_failed;    /* limit for failed ones among them */
    struct dns_pace *pace;            /* borrowed, outlives the resolver; NULL: no counting */
};

/* The defaults of the configuration reference. */
struct dns_settings dns_settings_default(void);

struct config_dns;
/* From the section `dns`; the list of servers still belongs to the configuration. */
struct dns_settings dns_settings_of(const struct config_dns *c);

struct resolver;

/* Never NULL.  Reads resolv_conf if no server is given.  A changed list of servers needs a new resolver. */
struct resolver *resolver_new(struct loop *l, const struct dns_settings *settings) MUST_USE;

/*
 * Allowed at any time, also inside a callback; NULL is allowed.  No callback runs afterwards.  Owners of pending
 * requests must still drop them with dns_cancel().  Frees the memory at the end of the turn.
 */
void resolver_free(struct resolver *r);

/* How this request got its answer. */
struct dns_had {
    bool cached; /* from the cache: this request sent no question */
    bool merged; /* joined a question already in flight */
};

/* `ans` is borrowed until the callback returns; dns_answer_ref() keeps it.  `had` cannot be kept. */
typedef void (*dns_cb)(struct dns_answer *ans, const struct dns_had *had, void *arg);

struct dns_req;

/*
 * Looks up one (name, type).
 *
 * The callback runs exactly once, from the event loop and never inside this call.  After dns_cancel() it does
 * not run.
 *
 * name    labels of any octets separated by dots, with or without a final dot; copied.  An illegal name
 *         gives DNS_NXDOMAIN, DNS_WHY_ILLEGAL, without a question to a server.
 * return  a handle that the caller owns until the callback runs or dns_cancel() takes it.  Never NULL.
 */
struct dns_req *dns_query(struct resolver *r, struct slice name, enum dns_type type, dns_cb cb,
                          void *arg) MUST_USE;

/* The client to which a lookup is charged. */
struct dns_asker {
    struct resolver *resolver;
    uint64_t network;            /* dns_network() of the client that causes it; 0: our own, not counted */
    bool failures_free;          /* failed lookups are neither counted nor limited */
    bool (*forgives)(void *arg); /* called in dns_query_for() if too many failed: true allows it; NULL: no */
    void (*paced)(void *arg);    /* called in dns_query_for() if the limit refuses this lookup; or NULL */
    void *arg;
};

/* The /24 or /48 of a client, as a number; 0 for family NONE. */
uint64_t dns_network(const struct addr *client);

/* Like dns_query(), for a client.  Above its limit the answer is DNS_TEMPFAIL, DNS_WHY_PACE. */
struct dns_req *dns_query_for(const struct dns_asker *who, struct slice name, enum dns_type type, dns_cb cb,
                              void *arg) MUST_USE;

/* Drops *req and clears it; the callback will not run.  *req may be NULL.  Allowed anywhere. */
void dns_cancel(struct dns_req **req);

/* ---- numbers ---- */

struct dns_server_stats {
    struct addr addr;
    bool up;
    uint32_t pending;    /* unanswered questions */
    uint32_t latency_us; /* smoothed; 0 before the first answer */
    uint64_t sent;
    uint64_t answered; /* with any readable message */
    uint64_t timeouts;
    uint64_t failures;    /* SERVFAIL, REFUSED, garbage, network */
    uint64_t marked_down; /* times */
};

/* Counters since resolver_new; the second group has current values. */
struct dns_stats {
    uint64_t questions;  /* dns_query calls */
    uint64_t cache_hits; /* of these */
    uint64_t merged;     /* of these: joined a flight */
    uint64_t illegal;    /* of these */
    uint64_t sent;       /* to servers, repeats and probes included */
    uint64_t timeouts;   /* attempts, as are the next four */
    uint64_t servfail;
    uint64_t refused;
    uint64_t garbage;
    uint64_t network;
    uint64_t overload;  /* questions given up in the queue, or at its end */
    uint64_t paced;     /* questions refused because of a client network's limit */
    uint64_t tempfails; /* flights that ended without an answer, for any reason */

    size_t in_flight;
    size_t queued;
    size_t requests; /* pending handles */
    size_t cache_entries;
    size_t cache_bytes;

    size_t server_count;
    struct dns_server_stats servers[DNS_SERVERS_MAX];
};

void resolver_stats(const struct resolver *r, struct dns_stats *out);

/* ---- the self-test: is this resolver fit for lists and SPF? (selftest.c) ---- */

enum dns_check {
    DNS_CHECK_UDP = 0,  /* a known name, over UDP */
    DNS_CHECK_TCP,      /* the same over TCP */
    DNS_CHECK_EDNS,     /* answers over UDP may be large */
    DNS_CHECK_NXDOMAIN, /* a nonexistent name must give NXDOMAIN */
    DNS_CHECK_LIST,     /* a list must answer its test entry, in 127/8, and not with a refusal */
    DNS_CHECK_COUNT,
};

enum dns_grade {
    DNS_GRADE_OK = 0,
    DNS_GRADE_WARN,    /* works, but could be better */
    DNS_GRADE_BROKEN,  /* SPF or lists cannot be trusted */
    DNS_GRADE_UNKNOWN, /* no answer */
    DNS_GRADE_COUNT,
};

struct dns_finding {
    enum dns_check check;
    enum dns_grade grade;
    struct addr server;
    size_t list;    /* DNS_CHECK_LIST: which of settings.lists */
    char text[240]; /* a sentence for the operator, NUL-terminated, printable ASCII */
};

struct dns_selftest_result {
    enum dns_grade worst; /* BROKEN before UNKNOWN before WARN before OK */
    size_t count;
    const struct dns_finding *findings; /* by server, then by check */
};

#define DNS_SELFTEST_LISTS_MAX 32

struct dns_selftest_settings {
    struct slice known;        /* a name that must exist, e.g. "example.org"; the test queries its NS */
    struct slice absent;       /* the test prepends a random label, e.g. to "com"; empty: the label alone */
    const struct slice *lists; /* zones of address lists; the test queries 127.0.0.2 (RFC 5782 5) */
    const struct slice *list_names; /* names to print, because a zone may hold a key; NULL: the zones */
    size_t list_count;
    uint32_t deadline_ms; /* of the whole test; 0: 10000 */
};

/* `res` is borrowed until the callback returns. */
typedef void (*dns_selftest_cb)(const struct dns_selftest_result *res, void *arg);

struct dns_selftest;

/*
 * Tests each server of the resolver separately, bypassing cache and health.  The callback runs exactly once,
 * from the loop, unless cancelled first.  The resolver may be freed before the test ends.
 */
struct dns_selftest *dns_selftest_start(const struct resolver *r,
                                        const struct dns_selftest_settings *settings, dns_selftest_cb cb,
                                        void *arg) MUST_USE;

/* Drops *test and clears it.  *test may be NULL. */
void dns_selftest_cancel(struct dns_selftest **test);

const char *dns_check_text(enum dns_check check); /* "udp", "tcp", "edns", "nxdomain", "list" */
const char *dns_grade_text(enum dns_grade grade); /* "ok", "warn", "broken", "unknown" */

#endif
