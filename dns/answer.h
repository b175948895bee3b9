/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - makes struct dns_answer out of what was parsed.
 *
 * Private to dns/.  An answer is one block: the struct, the records, then all their octets.
 */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include "dns/wire.h"

/* A copy of what `w` describes, independent of its arena.  One reference, no server, not clamped. */
struct dns_answer *answer_new(const struct wire_answer *w) MUST_USE;

#endif
