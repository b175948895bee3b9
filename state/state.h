/*
 * state.h - what the processes share, and nothing else is.
 *
 * Mappings, made by the supervisor before the first fork and inherited by all:
 *
 *   processes  which process is in which slot, and facts that only the supervisor knows.  The supervisor writes
 *              this part and the others can only read it, so it is the one part that can be trusted.
 *   slots      one a process (supervisor, recorder, workers): counters, gauges, heartbeat, log ring.
 *              One writer each.  The supervisor zeroes the gauges of a slot whose process is gone, so
 *              nothing leaks with a killed process; its counters are kept as part of the sum.
 *   upstreams  an area for each upstream, laid out before the fork, with a record for each address of its
 *              servers: connection tickets (each names its owner's slot), health, the keywords of its last
 *              EHLO.  Workers fill and free the records.
 *   rules      a record for each name of a rule: how often it matched.
 *   clients    a fixed-size table keyed by client address: connections now (by slot), rates, abuse points,
 *              bans.  Shards with locks that are tried a few times and then done without (counted).
 *   handshakes a word for each client whose TLS does not work with ours; no lock.
 *   duplicates hashes of messages whose 250 was lost (RFC 1047), when that guard is on.
 *   memory     what is remembered beyond a session: memory.h, in a mapping of its own.
 *
 * Nothing here waits: no call blocks or makes a system call, but for the eventfd that wakes a reader.
 *
 * Trust: a compromised worker can write anything into the shared part.  Supervisor, recorder and the other
 * workers bound every count, index, length and text where they read it (shared.h).  The supervisor takes no
 * lock there and follows no length or text.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "config/config.h"
#include "core/addr.h"
#include "core/log.h"
#include "core/metrics.h"
#include "state/memory.h"

#define STATE_SLOTS 64 /* 0 supervisor, 1 recorder, 2.. workers of up to three generations */
#define STATE_UPSTREAMS (4 * CONFIG_MAX_UPSTREAMS) /* of all generations that can be alive at once */
#define STATE_UPSTREAM_SERVERS 32                  /* addresses of one upstream */
#define STATE_UPSTREAM_NAME_MAX 63
#define STATE_SERVER_LABELS 4 /* configured servers that can be named to have one address */
#define STATE_TICKETS 1024 /* most connections of one server */
#define STATE_RULES 2048
#define STATE_RULE_NAME_MAX 64

enum state_role { ROLE_FREE = 0, ROLE_SUPERVISOR, ROLE_RECORDER, ROLE_WORKER };

struct state; /* handle of a process: the mapping and which slot is ours */

/* ---- made and kept by the supervisor ---- */

/* NULL with a log line if memory cannot be had.  `clients`: entries of the client table. */
struct state *state_new(size_t clients) MUST_USE;
void          state_free(struct state *s);

/* Takes a free slot for a process about to be forked; -1 if none is free. */
int  state_slot_take(struct state *s, enum state_role role, unsigned generation, unsigned index);
void state_slot_pid(struct state *s, int slot, pid_t pid);
/* The process is gone: gauges, tickets, its connections in the client table.  Counters stay in the sum. */
void state_slot_release(struct state *s, int slot);
/* The number of the configuration in force, 0 at first. */
void state_generation_set(struct state *s, unsigned generation);

/* In the process itself, after fork: from here on it counts, locks and logs as the process of this slot. */
void state_slot_enter(struct state *s, int slot);

struct state_slot_info {
    enum state_role role;
    unsigned        generation, index;
    pid_t           pid;
    bool            draining;     /* claimed by the process itself */
    uint64_t        heartbeat_ms; /* the same; monotonic, 0: none yet */
};
bool     state_slot_info(const struct state *s, int slot, struct state_slot_info *out); /* false: free */
void     state_set_draining(struct state *s, int slot);
unsigned state_generation(const struct state *s);

/* Facts that only the supervisor knows.  The recorder shows them (`glacis status`). */

#define STATE_TEXT 512
#define STATE_LISTENERS 64

enum state_phase { STATE_STARTING = 0, STATE_SERVING, STATE_STOPPING };

struct state_refusal {       /* of a file that could not be loaded */
    int64_t  since_s;        /* 0: there is none */
    uint32_t errors;         /* 0: not counted */
    char     first[STATE_TEXT]; /* of the errors: FILE:LINE:COLUMN: error: ... */
};

struct state_listener {
    struct addr at;
    uint32_t    sockets;
    char        name[8]; /* smtp, smtps, admin */
};

struct state_facts {
    int64_t  started_s, loaded_s;
    uint32_t phase; /* enum state_phase */
    uint32_t draining; /* generations */
    uint32_t deaths;   /* workers and recorders that died within the last hour */
    uint32_t last_good; /* 1: the last good file of an earlier run is in force */
    char     config[STATE_TEXT]; /* path of the file; "": the environment */
    struct state_refusal config_refused, groups_refused, certificates_refused;
    uint32_t listeners;
    struct state_listener listener[STATE_LISTENERS];
};
/* Supervisor: publishes all facts at once; called when one has changed. */
void state_facts_set(struct state *s, const struct state_facts *facts);
/* False (and zeros) before the first state_facts_set(). */
bool state_facts_get(const struct state *s, struct state_facts *out) MUST_USE;

/* One number of one slot (gauges of the status command). */
uint64_t state_slot_metric(const struct state *s, int slot, enum metric m);

/* ---- of the calling process ---- */

int  state_my_slot(const struct state *s);
void state_heartbeat(struct state *s, uint64_t now_ms);

/* Sum over all live slots (gauges) and all that ever were (counters). */
void     state_metrics_sum(const struct state *s, uint64_t out[METRIC_COUNT]);
uint64_t state_gauge_sum(const struct state *s, enum metric gauge);

#define STATE_TLS_SHARE 256
void *state_tls_share(struct state *s); /* STATE_TLS_SHARE octets for the ticket keys (tls/), zeros at first */

/* ---- log rings: one writer a slot, one reader (the recorder); a full ring drops and counts ---- */

void state_log(struct state *s, enum log_class cls, struct slice line);  /* a complete line */
/* Takes the next line of any slot into out; false if all are empty.  Recorder only. */
bool state_log_read(struct state *s, struct buf *out);
bool state_log_waits(const struct state *s); /* some ring holds a line */
int  state_log_fd(const struct state *s); /* eventfd: readable when something may be there */

/* ---- upstreams and the addresses of their servers ---- */

/* Finds or makes the area of an upstream; -1 if all STATE_UPSTREAMS are in use.  Supervisor, before fork. */
int state_upstream(struct state *s, const char *name);
int state_upstream_find(const struct state *s, const char *name); /* -1: there is none */
/* Wipes and frees the areas for which wanted() says no: no live process uses them any more (supervisor). */
void state_upstreams_sweep(struct state *s, bool (*wanted)(void *arg, const char *name), void *arg);

/*
 * Finds or fills the record of an address (with its port) and enters this process as a user of it.  Returns
 * the server, the number that all functions below take; -1 if all records of the upstream are in use.
 */
int state_server_join(struct state *s, int upstream, const struct addr *a);
/* No ticket of this process is left.  The last user frees the record: health and keywords are forgotten. */
void state_server_leave(struct state *s, int server);
/* From which configured texts the address comes: the first STATE_SERVER_LABELS of them. */
void state_server_describe(struct state *s, int server, const uint64_t *label, size_t count);
uint64_t state_server_label(const char *text); /* case of ASCII letters is ignored */

/* The record of an address, in use or not; -1: there is none. */
int state_server_find(const struct state *s, int upstream, const struct addr *a);

struct state_server_info {
    int         server;
    struct addr address;
    uint64_t    label[STATE_SERVER_LABELS]; /* 0: none */
};
/* Record `i` (below STATE_UPSTREAM_SERVERS) of the upstream; false: no process uses it. */
bool state_server_info(const struct state *s, int upstream, size_t i, struct state_server_info *out);

/* One of `cap` connections to the server, over all processes.  Returns the ticket or -1. */
int  state_ticket_take(struct state *s, int server, unsigned cap);
void state_ticket_return(struct state *s, int server, int ticket);
/* Marks it as idle in a pool, if fewer than keep_idle are; false: close the connection instead. */
bool state_ticket_idle(struct state *s, int server, int ticket, unsigned keep_idle) MUST_USE;
void state_ticket_busy(struct state *s, int server, int ticket);
unsigned state_tickets_used(const struct state *s, int server);
/* The same for the share of envelopes, which is counted apart. */
int  state_envelope_take(struct state *s, int server, unsigned cap);
void state_envelope_return(struct state *s, int server, int ticket);

/* Which process waits longest for a connection to this upstream: monotonic ms of its oldest waiter, 0 none. */
void     state_waiting_since(struct state *s, int upstream, uint64_t oldest_ms);
/* The oldest waiter of any other process; 0: none. */
uint64_t state_others_waiting_since(const struct state *s, int upstream);
/* Wakes the process that waits longest (its eventfd becomes readable); it may find nothing. */
void     state_wake_waiter(struct state *s, int upstream);
int      state_wake_fd(const struct state *s); /* of this process */
void     state_wake_drain(struct state *s);

struct state_keywords { /* of the server's last EHLO */
    bool     known;
    bool     pipelining, eightbitmime, smtputf8, dsn, size_offered, starttls, chunking, xclient, xforward, enhanced;
    uint64_t size; /* 0: offered without a number or 0 (no fixed limit) */
    uint64_t at_ms; /* 0: recalled from before the start, not heard since */
};
void state_keywords_set(struct state *s, int server, const struct state_keywords *k);
void state_keywords_get(const struct state *s, int server, struct state_keywords *out);

/*
 * Keywords last seen outlive a restart in the file `keywords` of state_dir.  The supervisor reads it before it
 * forks; the recorder writes it from a thread that may block.  Lines that are not legal are skipped.
 */
void state_keywords_read(struct state *s, const char *state_dir);
/* True: written, or nothing has changed; else errno says why. */
bool state_keywords_write(struct state *s, const char *state_dir) MUST_USE;
/* Recalled keywords `i` (below STATE_UPSTREAM_SERVERS) of the upstream; false: there are none. */
bool state_keywords_recalled(const struct state *s, int upstream, size_t i, struct state_keywords *out);

struct state_health {
    bool     down;
    unsigned failures, successes; /* in a row */
    uint64_t changed_ms;
    uint64_t next_probe_ms; /* whoever moves it with state_probe_claim does the probe */
};
void state_health_get(const struct state *s, int server, struct state_health *out);
/* One observation; returns true if the server's state changed by it (then the caller logs). fall 0: never down. */
bool state_health_report(struct state *s, int server, bool ok, unsigned fall, unsigned rise, uint64_t now_ms) MUST_USE;
/* True for exactly one process when now_ms >= next_probe_ms; the next one is then due interval_ms later. */
bool state_probe_claim(struct state *s, int server, uint64_t now_ms, uint64_t interval_ms) MUST_USE;

/* A generation with another interval begins: the next probe is due at due_ms at the latest. */
void state_probe_hasten(struct state *s, int server, uint64_t due_ms);

/* ---- rates of an upstream ("2/1s"), over all processes ---- */
/* 0: go on now; else ms to wait until a slot is free (and nothing is taken). */
uint64_t state_server_rate(struct state *s, int server, unsigned count, uint64_t per_ms, uint64_t now_ms);

/* ---- rules of the policy: how often each matched, enforced or only recorded ---- */

/* Finds or makes the record of a name; -1 if it is too long or all STATE_RULES are in use.  Supervisor, before fork. */
int      state_rule(struct state *s, const char *name);
int      state_rule_find(const struct state *s, const char *name); /* -1: there is none */
void     state_rule_count(struct state *s, int rule, bool monitored); /* rule -1 is allowed */
uint64_t state_rule_counted(const struct state *s, int rule, bool monitored);

/* ---- clients ---- */

enum admit {
    ADMIT_OK = 0,
    ADMIT_PER_CLIENT,  /* connections_per_client */
    ADMIT_PER_NETWORK, /* said by proxy/session/limits.c alone: too many of its network while the house is nearly full */
    ADMIT_RATE,
    ADMIT_BANNED,
};

/* Counts one more connection of this client (addr_client), or says why not; then nothing is counted.
 * If the table's shard cannot be locked or is full of live entries: ADMIT_OK, uncounted (*counted false). */
enum admit state_client_enter(struct state *s, const struct addr *client, const struct config_limits *lim, uint64_t now_ms, bool *counted);
void       state_client_leave(struct state *s, const struct addr *client);

/* One more message of the client; false: over limits.message_rate. */
bool state_client_message(struct state *s, const struct addr *client, const struct config_limits *lim, uint64_t now_ms) MUST_USE;

/* Adds abuse points; true if this made a ban begin. */
bool state_client_abuse(struct state *s, const struct addr *client, unsigned points, const struct config_limits *lim, uint64_t now_ms) MUST_USE;

unsigned state_client_connections(struct state *s, const struct addr *client);

/* ---- TLS with clients: whose handshakes find no shared version, cipher or group (client: addr_client) ---- */

/* One more failure; true if it is the one from which on state_handshakes_fail() holds. */
bool state_handshake_failed(struct state *s, const struct addr *client, uint64_t now_ms);
/* A handshake was done: nothing is held against the client. */
void state_handshake_worked(struct state *s, const struct addr *client);
/* Two failures, the last less than an hour ago. */
bool state_handshakes_fail(const struct state *s, const struct addr *client, uint64_t now_ms);

/* ---- duplicate guard (RFC 1047): 32-octet hashes ---- */

#define STATE_DUP_REPLY_MAX 200
void state_dup_remember(struct state *s, const uint8_t hash[32], struct slice reply, uint64_t until_ms);
bool state_dup_find(struct state *s, const uint8_t hash[32], uint64_t now_ms, struct buf *reply);

#endif
