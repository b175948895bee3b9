/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - the judgement: all that proxy/ and admin/ see of it.
 *
 *   policy        rules, groups, lists of a configuration, compiled; immutable; made before the fork
 *   policy_worker what a worker shares between its sessions: the resolver, caches
 *   judge         one session's facts and the questions it has out; follows the session's stages:
 *
 *      judge_new (connect: rDNS, early lists are asked) -> judge_helo -> judge_mail -> judge_rcpt ... -> judge_message
 *
 * Asking      A fact is asked as early as a rule can need it and no earlier; a rule waits only for what decides
 *             it, never longer than policy.budget; what is missing then is unknown (or `temperror`), and unknown
 *             never refuses for good.
 * Callbacks   judge_rcpt and judge_message answer once, from the loop, never inside the call, unless
 *             judge_reset, judge_helo or judge_free came first.
 * Ownership   the session owns its judge; a verdict is borrowed until the callback returns.
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
struct judge_packed; /* a packed one */

/*
 * Compiles groups, the rules of `policy` and the templates of headers.add from conf->root, the rest from conf.
 * Errors and warnings (unknown fact, impossible value, unreachable rule, a failed policy.tests entry) with positions.
 * NULL only if there was an error.  conf must outlive it.  Reads group files: blocking.
 */
struct policy *policy_compile(const struct config *conf, struct config_errors *errs) MUST_USE;
void policy_free(struct policy *p);

/* A config_put_fn: prints the rules of conf->policy merged, with the preset's. */
bool policy_put_key(const struct config *conf, const char *path, struct buf *out);

/* "group:NAME", as settings outside the rules name one: is the address in it? */
bool policy_group_has_ip(const struct policy *p, struct slice name, const struct addr *ip);

/*
 * policy.watch_new_rules (watch.c).  Rules of the preset that can refuse and that `record` does not know, or has not
 * known for long, only watch.  `record` is the text of the file, of which nothing is trusted; ptr NULL: there is none.
 * Before the policy is used; without this call no rule watches.
 */
void policy_watch(struct policy *p, struct slice record, int64_t now_s);
/* The record as it should be on the disk; nothing is put if it is. */
void policy_watch_put(const struct policy *p, struct buf *out);

struct policy_watched {
    const char *rule;
    int64_t until_s;
    bool starts; /* it has never run here: the time begins with the start of glacis */
};
/* The i-th rule that watches at this time; false behind the last. */
bool policy_watched(const struct policy *p, size_t i, int64_t now_s, struct policy_watched *out);
/* How often the rule matched since the start of glacis, and was only recorded. */
uint64_t policy_watched_count(const struct state *st, const char *rule);

/* The files that groups were read from, to be watched: the i-th, or NULL behind the last. */
const char *policy_group_file(const struct policy *p, size_t i);

/* Place, size and time of these files, as a number: now, and when they were read.  Asks the disk. */
uint64_t policy_files_now(const struct policy *p);
uint64_t policy_files_read(const struct policy *p);

/* Entries of reputation.lists, whatever their mode. */
size_t policy_list_count(const struct policy *p);

/* Lists of addresses that have the test entries of RFC 5782, for the resolver's self-test: zones hold keys, names do not. */
size_t policy_probe_zones(const struct policy *p, struct slice *zones, struct slice *names, size_t max);

/*
 * `glacis lists` at its other end (recorder): "", "json", "test", "set NAME enforce|monitor|off|auto [SECONDS]".
 * uid: the user who asks, for the log.  An answer that begins with "error" means that nothing was changed.
 */
void policy_lists_command(const struct policy *p, struct state *st, struct slice args, uid_t uid,
                          struct buf *out);
/* So that the rules can be counted, over all processes (supervisor, before the fork). */
void policy_rules_register(const struct policy *p, struct state *st);
/* Prometheus text, a label a rule; a label a list (recorder). */
void policy_rules_metrics(const struct policy *p, const struct state *st, struct buf *out);
void policy_lists_metrics(const struct policy *p, struct state *st, struct buf *out);

/* The mode of each list as it is now, by the guard and by hand: "list NAME enforce|monitor|off", one a line (recorder). */
void policy_list_modes(const struct policy *p, struct state *st, struct buf *out);

/* Before a worker is made: the list is judged as if the file had this mode.  False: no such list, or no such mode. */
bool policy_set_list_mode(struct policy *p, struct slice name, struct slice mode);

/* Lists that are demoted or have no effect, for `status`: a line each ("list zen has no effect: ..."); returns how many. */
size_t policy_lists_degraded(const struct policy *p, struct state *st, struct buf *out);

struct policy_worker *policy_worker_new(const struct policy *p, struct loop *loop, struct resolver *r,
                                        struct state *st);
void policy_worker_free(struct policy_worker **pw);

/* The same for explain: judges as a worker does, changes nothing that others see, and probes no list. */
struct policy_apart {
    struct memory *memory; /* apart (state/memory.h); taken */
    unsigned connections;  /* client.connections */
    const char *origin;    /* where the memory's facts come from, for judge_fact_source; borrowed */
};
struct policy_worker *policy_worker_new_apart(const struct policy *p, struct loop *loop, struct resolver *r,
                                              const struct policy_apart *apart);

/* ---- a session ---- */

struct judge_client {
    struct addr ip;    /* as everybody sees it: behind PROXY or XCLIENT the announced one */
    struct addr local; /* ours that it connected to; family NONE: not known */
    bool exempt;       /* client.private holds, and private_clients is exempt */
    bool is_private;
    struct slice rdns; /* given by XCLIENT or --rdns: then it is not asked; else empty with ptr NULL */
    const char *session_id;
};

struct judge *judge_new(struct policy_worker *pw, const struct judge_client *client);
void judge_free(struct judge **j); /* cancels everything; NULL is allowed */

/*
 * Folds the judge of a session that is silent between transactions to some hundred octets, and frees it; NULL, and
 * *j as it was: not now (a transaction is open, something is asked).  judge_unpack() makes it as it was, with the
 * client of judge_new, and asks nothing; where answers came from (explain) is lost.
 */
struct judge_packed *judge_pack(struct judge **j) MUST_USE;
struct judge *judge_unpack(struct policy_worker *pw, const struct judge_client *client,
                           struct judge_packed **r) MUST_USE;
void judge_packed_free(struct judge_packed **r); /* NULL inside is allowed */

void judge_pregreet(struct judge *j);
void judge_violations(struct judge *j, unsigned count); /* sampled when a rule asks */
/* After the handshake: forgets the HELO and what depended on it. */
void judge_tls(struct judge *j, struct slice version, struct slice cipher, struct slice subject);
void judge_helo(struct judge *j,
                struct slice said); /* copied, without a final dot; forgets what depended on the old one */

struct judge_sender {
    struct slice address; /* local@domain, borrowed for the transaction; empty for the null sender */
    struct slice local, domain;
    bool null;
};
void judge_mail(struct judge *j,
                const struct judge_sender *s); /* opens the transaction: SPF and the like may start */
void judge_reset(struct judge *j);             /* the transaction is gone */

struct judge_recipient {
    struct slice address, local, domain, original; /* borrowed until the answer */
    unsigned count;                                /* accepted so far */
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
    uint64_t tarpit_ms; /* hold the reply back that long (already capped) */
    bool monitored;     /* mode: monitor for the file: `action` is what would have been; deliver */
};
typedef void (*judge_cb)(void *arg, const struct verdict *v);

void judge_rcpt(struct judge *j, const struct judge_recipient *r, judge_cb cb, void *arg);

struct judge_content {
    uint64_t size;
    struct slice head; /* header section, for message.from_*; borrowed until the answer */
    bool utf8;         /* the transaction has SMTPUTF8 */
};

/*
 * The message while it comes in, as it was received: dots removed, no field added or removed.  judge_head once the header
 * section is complete (it is borrowed for the call): signatures are read, their keys and the policy of the author are asked
 * for.  Then the body in pieces of any size.  judge_message ends it.  A message that is not told this way is judged by
 * its header section alone.
 */
void judge_head(struct judge *j, struct slice section, bool utf8);
void judge_body(struct judge *j, struct slice chunk);

void judge_message(struct judge *j, const struct judge_content *c, judge_cb cb, void *arg);

/*
 * policy.reject_at: earliest.  Asks the envelope block with what a stage before RCPT knows (STAGE_CONNECT, _HELO,
 * _MAIL): the verdict is a refusal, or VERDICT_ACCEPT, which only says that nothing is decided yet.
 */
bool judge_wants_early(const struct judge *j);
void judge_early(struct judge *j, enum fact_stage stage, judge_cb cb, void *arg);

/* After an accepted recipient: its tags and score join the transaction (union; highest). */
void judge_recipient_taken(struct judge *j);
/* The same of an accepted message, before judge_headers. */
void judge_message_taken(struct judge *j);
/* A tag of it names recipient.*: the transaction must stay single-recipient. */
bool judge_single_recipient(const struct judge *j);
/* The class of the recipient just judged: a transaction holds one (upstream after divert, bypass). */
bool judge_bypasses(const struct judge *j);

/*
 * What became of the transaction's message: accepted (the upstream took it) or refused for good because of what it
 * is.  Unknown recipients, temporary failures and lost connections are neither.  Before judge_reset.
 */
void judge_outcome(struct judge *j, bool accepted);

/* Is this sender exempt from rates: an SPF pass, good standing, or a verified name in allow_clients, as far as it is
 * known by now? */
bool judge_exempt_from_rates(const struct judge *j);

/* Is its client or sender in good standing?  As far as it is known by now: nothing is asked for this. */
bool judge_known_good(const struct judge *j);

/* Is the client's address in the group allow_clients? */
bool policy_client_allowed(const struct policy_worker *pw, const struct addr *ip);

/* From local memory, at once.  Has the client earned standing under a name of its own?  Rates and bans are not for it. */
bool policy_client_known_good(const struct policy_worker *pw, const struct addr *ip);
/* Has it, or has its network?  Then it gets its banner at once. */
bool policy_greets_at_once(const struct policy_worker *pw, const struct addr *ip);

/* The header fields of the verdict: X-Glacis-Verdict, -Score, -Level, -Tests, -Monitor, rules' tags, Authentication-Results,
 * Received-SPF. */
void judge_headers(const struct judge *j, struct buf *out);

/* Does a rule (`tag`) or headers.add write fields of this name?  Then one that comes from outside is forged. */
bool policy_adds_field(const struct policy_worker *pw, struct slice name);

/* Every mark X-Glacis-Tests can have of its own (those of rules and lists come from the file), one a line. */
void judge_put_mark_names(struct buf *out);

/* client.rdns if it is known and verified, for Received; else empty. */
struct slice judge_rdns(const struct judge *j);

/* The domain of a message's only author, in A-labels where it is a name; false: there is no author, there are several,
 * or the address cannot be read.  `head` is the header section. */
bool policy_author_domain(struct slice head, struct buf *domain) MUST_USE;
/* The same of the message that was judged, until judge_reset; false: its header section was not read (bypass). */
bool judge_author_domain(const struct judge *j, struct slice *domain) MUST_USE;

/* headers.add, rendered over the facts. */
void judge_added_headers(const struct judge *j, struct buf *out);

/* Keys for the log's rcpt line, of the last question: verdict, rule, score, spf, iprev, lists, monitored rules. */
void judge_log(const struct judge *j, struct log_line *l);
/* The same for the txn line: of the message's rules if they refused or diverted it, else of its recipients. */
void judge_log_txn(const struct judge *j, struct log_line *l);
/* What is known (spf, iprev, lists), without a verdict: of a recipient that the rules were not asked about. */
void judge_log_facts(const struct judge *j, struct log_line *l);

/* ---- explain: everything that was asked and decided ---- */

/* Has everything that was asked been answered, also what nobody waits for? */
bool judge_settled(const struct judge *j);

enum rule_outcome { RULE_NOT_ASKED = 0, RULE_MATCHED, RULE_NOT, RULE_UNKNOWN, RULE_MONITORED };

size_t judge_rule_count(const struct judge *j);
const char *judge_rule_name(const struct judge *j, size_t i);
enum rule_outcome judge_rule_outcome(const struct judge *j, size_t i);
/* Why: the first term that decided it, in words for people. */
void judge_rule_why(const struct judge *j, size_t i, struct buf *out);
const struct facts *judge_facts(const struct judge *j);
/* Where a fact came from ("dns 127.0.0.1:53", "cache", "given") and how long it took (us); false: not asked. */
bool judge_fact_source(const struct judge *j, enum fact_id id, struct buf *from, uint64_t *us);

/* What was found out about the message's signatures and its author: lines for people, or members of a JSON object. */
void judge_put_authentication(const struct judge *j, bool json, struct buf *out);

/* The i-th list of reputation.lists; false behind the last one.  The zone is masked. */
struct judge_list_info {
    struct slice name, zone;
    bool asked, known, listed; /* known: listed holds */
    char from[100];            /* as of judge_fact_source */
    uint64_t us;
};
bool judge_list(const struct judge *j, size_t i, struct judge_list_info *out);

/* "accept", "bypass", "reject", "defer", "drop", "divert". */
const char *verdict_action_text(enum verdict_action action);

#endif
