/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answer.h - makes a struct dns_answer from a parsed message.
 *
 * Private to dns/.  An answer is one memory block: the struct, the records, then all their octets.
 */
#ifndef DNS_ANSWER_H
#define DNS_ANSWER_H

#include "dns/wire.h"

/* A copy of `w`, independent of its arena.  One reference, no server, TTL not clamped. */
struct dns_answer *answer_new(const struct wire_answer *w) MUST_USE;

#endif
