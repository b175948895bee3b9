/* SPDX-License-Identifier: Apache-2.0 */
/*
 * state.h - the handle of all memory that the processes share.
 *
 * Each subject has a header with its contract: slots.h, facts.h, log_ring.h, servers.h, rule_counts.h, clients.h,
 * handshakes.h, duplicates.h, memory.h.
 *
 * Mappings, made by the supervisor before the first fork and inherited by all:
 *
 *   processes  which process is in which slot, and facts that only the supervisor knows.  The supervisor writes
 *              this part and the others can only read it, so it is the only part to trust.
 *   slots      one a process (supervisor, recorder, workers): counters, gauges, heartbeat, log ring.
 *              One writer each.  The supervisor zeroes the gauges of a slot whose process is gone, so a
 *              killed process leaks nothing.  Its counters stay in the sum.
 *   upstreams  an area for each upstream, laid out before the fork, with a record for each address of its
 *              servers: connection tickets (each names its owner's slot), health, the keywords of its last
 *              EHLO.  Workers fill and free the records.
 *   rules      a record for each name of a rule: how often it matched.
 *   clients    a fixed-size table keyed by client address: connections now (by slot), rates, abuse points,
 *              bans.  Each shard has a lock.  If it stays busy, the caller proceeds without it and counts that.
 *   handshakes a word for each client whose TLS does not work with ours; no lock.
 *   duplicates hashes of messages whose 250 was lost (RFC 1047), when limits.duplicate_guard is on.
 *   memory     records that outlive a session: memory.h, in a mapping of its own.
 *
 * No call blocks.  The only system call is the write to the eventfd that wakes a reader.
 *
 * Trust: a compromised worker can write anything into the shared part.  Supervisor, recorder and the other
 * workers bound every count, index, length and text where they read it (shared_priv.h).  The supervisor takes no
 * lock there and follows no length or text.
 */
#ifndef STATE_STATE_H
#define STATE_STATE_H

#include "config/config.h"
#include "core/addr.h"
#include "core/log.h"
#include "core/metrics.h"

#define STATE_SLOTS 64 /* 0 supervisor, 1 recorder, 2.. workers of up to three generations */
#define STATE_UPSTREAMS (4 * CONFIG_MAX_UPSTREAMS) /* of all generations that can be alive at once */
#define STATE_UPSTREAM_SERVERS 32                  /* addresses of one upstream */
#define STATE_UPSTREAM_NAME_MAX 63
#define STATE_SERVER_LABELS 4 /* configured servers that can be named to have one address */
#define STATE_TICKETS 1024    /* most connections of one server */
#define STATE_RULES 2048
#define STATE_RULE_NAME_MAX 64

struct state; /* handle of a process: the mapping and which slot is ours */

/* Supervisor, before the first fork.  NULL with a log line if there is no memory.  `clients`: entries of the client
 * table. */
struct state *state_new(size_t clients) MUST_USE;
void state_free(struct state *s);

#define STATE_TLS_SHARE 256
void *
state_tls_share(struct state *s); /* STATE_TLS_SHARE octets for the ticket keys (tls/), zeros at first */

#endif
