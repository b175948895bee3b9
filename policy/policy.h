/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - the public interface of policy/: all that proxy/ and admin/ may use.
 *
 *   policy        the compiled rules, groups and lists of a configuration; immutable; made before the fork
 *   policy_worker what the sessions of one worker share: the resolver, caches
 *   judge         the facts and pending lookups of one session; follows the session's stages:
 *
 *      judge_new (connect: starts rDNS and early lists) -> judge_helo -> judge_mail -> judge_rcpt ... -> judge_message
 *
 * Lookups     The judge looks up a fact as early as a rule can need it and no earlier.  A rule waits only for facts
 *             that decide it, at most policy.budget.  A fact still missing then becomes unknown (or `temperror`).  An
 *             unknown fact never causes a permanent refusal.
 * Callbacks   judge_rcpt and judge_message call back once, from the loop, never inside the call.  judge_reset,
 *             judge_helo and judge_free cancel the callback.
 * Ownership   The session owns its judge.  A verdict is borrowed until the callback returns.
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "config/config.h"
#include "core/loop.h"
#include "dns/dns.h"
#include "policy/facts.h"
#include "state/memory.h"
#include "state/state.h"

struct policy; /* compiled, immutable */
struct policy_worker;
struct judge;
struct judge_packed; /* a judge in packed form */

/*
 * Compiles groups, the rules of `policy` and the templates of headers.add from conf->root, the rest from conf.
 * Reports errors and warnings with positions: unknown fact, impossible value, unreachable rule, failed policy.tests.
 * Returns NULL only after an error.  conf must outlive the policy.  Reads group files: blocking.
 */
struct policy *policy_compile(const struct config *conf, struct config_errors *errs) MUST_USE;
void policy_free(struct policy *p);

/* A config_put_fn: prints the rules of conf->policy merged with those of the preset. */
bool policy_put_key(const struct config *conf, const char *path, struct buf *out);

/* Is the address in the group?  `name` has the form "group:NAME", as used by settings outside the rules. */
bool policy_group_has_ip(const struct policy *p, struct slice name, const struct addr *ip);

/*
 * policy.watch_new_rules (watch.c).  Makes new refusing rules of the preset only watch: those that `record` does not
 * hold, or has held only for a short time.  `record` is the text of the record file, untrusted; ptr NULL: no file.
 * Call it before the policy is used.  Without this call no rule watches.
 */
void policy_watch(struct policy *p, struct slice record, int64_t now_s);
/* Puts the record that belongs on disk; puts nothing if the disk already has it. */
void policy_watch_put(const struct policy *p, struct buf *out);

struct policy_watched {
    const char *rule;
    int64_t until_s;
    bool starts; /* never ran here before: its watch period begins when glacis starts */
};
/* The i-th rule that watches now; false past the last. */
bool policy_watched(const struct policy *p, size_t i, int64_t now_s, struct policy_watched *out);
/* Number of matches that the rule only recorded since glacis started. */
uint64_t policy_watched_count(const struct state *st, const char *rule);

/* The i-th file that a group was read from, so that the caller can watch it; NULL past the last. */
const char *policy_group_file(const struct policy *p, size_t i);

/* A fingerprint of these files (place, size, time): as they are now (asks the disk), and as they were when read. */
uint64_t policy_files_now(const struct policy *p);
uint64_t policy_files_read(const struct policy *p);

/* Entries of reputation.lists, whatever their mode. */
size_t policy_list_count(const struct policy *p);

/* Address lists with the RFC 5782 test entries, for the resolver's self-test.  zones hold keys, names do not. */
size_t policy_probe_zones(const struct policy *p, struct slice *zones, struct slice *names, size_t max);

/*
 * The recorder's side of `glacis lists`: "", "json", "test", "set NAME enforce|monitor|off|auto [SECONDS]".
 * uid: the requesting user, for the log.  An answer that begins with "error" means that nothing was changed.
 */
void policy_lists_command(const struct policy *p, struct state *st, struct slice args, uid_t uid,
                          struct buf *out);
/* Registers counters of the rules, shared by all processes (supervisor, before the fork). */
void policy_rules_register(const struct policy *p, struct state *st);
/* Prometheus text, labelled by rule and by list (recorder). */
void policy_rules_metrics(const struct policy *p, const struct state *st, struct buf *out);
void policy_lists_metrics(const struct policy *p, struct state *st, struct buf *out);

/* The mode now in force for each list, after guard and overrides: "list NAME enforce|monitor|off" lines (recorder). */
void policy_list_modes(const struct policy *p, struct state *st, struct buf *out);

/* Overrides the list's configured mode.  Call it before making a worker.  False: no such list, or no such mode. */
bool policy_set_list_mode(struct policy *p, struct slice name, struct slice mode);

/* Puts a line for each demoted or useless list ("list zen has no effect: ..."), for `status`; returns their number. */
size_t policy_lists_degraded(const struct policy *p, struct state *st, struct buf *out);

struct policy_worker *policy_worker_new(const struct policy *p, struct loop *loop, struct resolver *r,
                                        struct state *st);
void policy_worker_free(struct policy_worker **pw);

/* For explain: judges as a worker does, but changes no shared state and probes no list. */
struct policy_apart {
    struct memory *memory; /* a private one (state/memory.h); ownership passes */
    unsigned connections;  /* client.connections */
    const char *origin;    /* where the memory's facts come from, for judge_fact_source; borrowed */
};
struct policy_worker *policy_worker_new_apart(const struct policy *p, struct loop *loop, struct resolver *r,
                                              const struct policy_apart *apart);

/* ---- a session ---- */

struct judge_client {
    struct addr ip;    /* the effective address: behind PROXY or XCLIENT the announced one */
    struct addr local; /* our address of the connection; family NONE: not known */
    bool exempt;       /* client.private holds, and private_clients is exempt */
    bool is_private;
    struct slice rdns; /* from XCLIENT or --rdns, replaces the lookup; ptr NULL: none given */
    const char *session_id;
};

struct judge *judge_new(struct policy_worker *pw, const struct judge_client *client);
void judge_free(struct judge **j); /* cancels all lookups; NULL is allowed */

/*
 * Packs the judge of a session idle between transactions into a few hundred octets, and frees it.  Returns NULL and
 * leaves *j unchanged if that is not possible now: a transaction is open, or a lookup is pending.  judge_unpack()
 * restores it with the client of judge_new and starts no lookup.  Origins of answers (explain) are lost.
 */
struct judge_packed *judge_pack(struct judge **j) MUST_USE;
struct judge *judge_unpack(struct policy_worker *pw, const struct judge_client *client,
                           struct judge_packed **r) MUST_USE;
void judge_packed_free(struct judge_packed **r); /* NULL inside is allowed */

void judge_pregreet(struct judge *j);
void judge_violations(struct judge *j, unsigned count); /* read when a rule needs the fact */
/* After the TLS handshake: forgets the HELO and the facts that depend on it. */
void judge_tls(struct judge *j, struct slice version, struct slice cipher, struct slice subject);
void judge_helo(struct judge *j,
                struct slice said); /* copied, without a final dot; forgets what depended on the old one */

struct judge_sender {
    struct slice address; /* local@domain, borrowed for the transaction; empty for the null sender */
    struct slice local, domain;
    bool null;
};
void judge_mail(struct judge *j,
                const struct judge_sender *s); /* opens the transaction; may start SPF and other checks */
void judge_reset(struct judge *j);             /* ends the transaction */

struct judge_recipient {
    struct slice address, local, domain, original; /* borrowed until the answer */
    unsigned count;                                /* recipients accepted so far */
};

enum verdict_action {
    VERDICT_ACCEPT = 0,
    VERDICT_BYPASS,
    VERDICT_REJECT,
    VERDICT_DEFER,
    VERDICT_DROP,
    VERDICT_DIVERT
};

struct verdict {
    enum verdict_action action;
    const char *rule; /* name; "default" */
    unsigned code;    /* refusing actions: the reply, text rendered and cleaned; no session id yet */
    struct slice enhanced;
    struct slice text;
    const struct config_upstream *divert;
    uint64_t tarpit_ms; /* delay for the reply (already capped) */
    bool monitored;     /* mode: monitor in the file: `action` was not applied; deliver */
};
typedef void (*judge_cb)(void *arg, const struct verdict *v);

void judge_rcpt(struct judge *j, const struct judge_recipient *r, judge_cb cb, void *arg);

struct judge_content {
    uint64_t size;
    struct slice head; /* header section, for message.from_*; borrowed until the answer */
    bool utf8;         /* the transaction has SMTPUTF8 */
};

/*
 * Streams the message as received: dots removed, no field added or removed.  Call judge_head once the header section is
 * complete (borrowed for the call).  It parses the signatures and looks up their keys and the author's policy.  Then
 * pass the body in chunks of any size.  judge_message ends it.  Without these calls judge_message judges the header
 * section alone.
 */
void judge_head(struct judge *j, struct slice section, bool utf8);
void judge_body(struct judge *j, struct slice chunk);

void judge_message(struct judge *j, const struct judge_content *c, judge_cb cb, void *arg);

/*
 * policy.reject_at: earliest.  Evaluates the envelope block with the facts of a stage before RCPT (STAGE_CONNECT,
 * _HELO, _MAIL).  The verdict is a refusal, or VERDICT_ACCEPT for "nothing decided yet".
 */
bool judge_wants_early(const struct judge *j);
void judge_early(struct judge *j, enum fact_stage stage, judge_cb cb, void *arg);

/* After an accepted recipient: merges its tags (union) and score (maximum) into the transaction. */
void judge_recipient_taken(struct judge *j);
/* The same for an accepted message; call it before judge_headers. */
void judge_message_taken(struct judge *j);
/* A tag of the verdict names recipient.*: the transaction must keep a single recipient. */
bool judge_single_recipient(const struct judge *j);
/* The class of the last recipient judged: all recipients of a transaction share one (upstream after divert, bypass). */
bool judge_bypasses(const struct judge *j);

/*
 * The fate of the message: accepted by the upstream, or refused for good because of its content.  Do not call it for
 * unknown recipients, temporary failures or lost connections.  Call it before judge_reset.
 */
void judge_outcome(struct judge *j, bool accepted);

/* Is this sender exempt from rate limits: an SPF pass, good standing, or a verified name in allow_clients?  Uses known
 * facts only. */
bool judge_exempt_from_rates(const struct judge *j);

/* Is its client or sender in good standing?  Uses known facts only; starts no lookup. */
bool judge_known_good(const struct judge *j);

/* Is the client's address in the group allow_clients? */
bool policy_client_allowed(const struct policy_worker *pw, const struct addr *ip);

/* Has the client earned standing under its own name?  Then no rates or bans apply.  Reads local memory, at once. */
bool policy_client_known_good(const struct policy_worker *pw, const struct addr *ip);
/* Has the client, or its network, earned standing?  Then it gets its banner without delay. */
bool policy_greets_at_once(const struct policy_worker *pw, const struct addr *ip);

/* The header fields of the verdict: X-Glacis-Verdict, -Score, -Level, -Tests, -Monitor, tags of rules,
 * Authentication-Results, Received-SPF. */
void judge_headers(const struct judge *j, struct buf *out);

/* Does a rule (`tag`) or headers.add write fields of this name?  Then such a field in a received message is forged. */
bool policy_adds_field(const struct policy_worker *pw, struct slice name);

/* Every built-in mark of X-Glacis-Tests, one a line; those of rules and lists come from the file. */
void judge_put_mark_names(struct buf *out);

/* client.rdns for Received, if known and verified; else empty. */
struct slice judge_rdns(const struct judge *j);

/* The domain of a message's only author, in A-labels if it is a name.  False: no author, several, or an unreadable
 * address.  `head` is the header section. */
bool policy_author_domain(struct slice head, struct buf *domain) MUST_USE;
/* The same for the judged message, valid until judge_reset; false: its header section was not read (bypass). */
bool judge_author_domain(const struct judge *j, struct slice *domain) MUST_USE;

/* headers.add, rendered with the facts. */
void judge_added_headers(const struct judge *j, struct buf *out);

/* Keys of the last verdict for the log's rcpt line: verdict, rule, score, spf, iprev, lists, monitored rules. */
void judge_log(const struct judge *j, struct log_line *l);
/* The same for the txn line: from the message's rules if they refused or diverted it, else from its recipients. */
void judge_log_txn(const struct judge *j, struct log_line *l);
/* Known facts (spf, iprev, lists) without a verdict, for a recipient that no rule judged. */
void judge_log_facts(const struct judge *j, struct log_line *l);

/* ---- explain: all lookups and decisions ---- */

/* Is no lookup pending, not even one that no rule waits for? */
bool judge_settled(const struct judge *j);

enum rule_outcome { RULE_NOT_ASKED = 0, RULE_MATCHED, RULE_NOT, RULE_UNKNOWN, RULE_MONITORED };

size_t judge_rule_count(const struct judge *j);
const char *judge_rule_name(const struct judge *j, size_t i);
enum rule_outcome judge_rule_outcome(const struct judge *j, size_t i);
/* Why: the first term that decided the rule, as a phrase for people. */
void judge_rule_why(const struct judge *j, size_t i, struct buf *out);
const struct facts *judge_facts(const struct judge *j);
/* Origin of a fact ("dns 127.0.0.1:53", "cache", "given") and duration of its lookup (us); false: not looked up. */
bool judge_fact_source(const struct judge *j, enum fact_id id, struct buf *from, uint64_t *us);

/* The results for the message's signatures and author: lines for people, or members of a JSON object. */
void judge_put_authentication(const struct judge *j, bool json, struct buf *out);

/* The i-th list of reputation.lists; false past the last.  The zone has its key masked. */
struct judge_list_info {
    struct slice name, zone;
    bool asked, known, listed; /* known: `listed` is valid */
    char from[100];            /* as in judge_fact_source */
    uint64_t us;
};
bool judge_list(const struct judge *j, size_t i, struct judge_list_info *out);

/* "accept", "bypass", "reject", "defer", "drop", "divert". */
const char *verdict_action_text(enum verdict_action action);

#endif
