/* SPDX-License-Identifier: Apache-2.0 */
/*
 * duplicates.h - messages whose 250 may not have reached the client (RFC 1047), by a 32-octet hash.
 *
 * For limits.duplicate_guard.  An entry lasts until until_ms.  A full set drops the entry that would expire first.
 * File   duplicates.c.
 */
#ifndef STATE_DUPLICATES_H
#define STATE_DUPLICATES_H

#include "core/buf.h"
#include "state/state.h"

#define STATE_DUP_REPLY_MAX 200
void state_dup_remember(struct state *s, const uint8_t hash[32], struct slice reply, uint64_t until_ms);
bool state_dup_find(struct state *s, const uint8_t hash[32], uint64_t now_ms, struct buf *reply);

#endif
