/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - one canonical spelling for each mailbox, so that rules and groups match every form a client may send.
 *
 * Pure.
 *
 * RFC     5321 4.1.2: needless quotes in a local part change nothing: <"x"@a.test> is <x@a.test>
 */
#ifndef POLICY_RULES_ADDRESS_H
#define POLICY_RULES_ADDRESS_H

#include "core/buf.h"

/* Is it valid without quotes (dot-string)?  Allows octets above 127, as RFC 6531 does. */
bool address_is_dot_string(struct slice s);

/*
 * Puts the canonical form of a local part: without quotes if it is a dot-string, else quoted with only `"` and
 * `\` escaped.  Leaves a local part without quotes unchanged.
 */
void address_put_local(struct buf *out, struct slice local);

#endif
