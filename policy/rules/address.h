/* SPDX-License-Identifier: Apache-2.0 */
/*
 * address.h - one spelling for each mailbox, so that a rule or group matches it however the client wrote it.
 *
 * Pure.
 *
 * RFC     5321 4.1.2: quotes that a local part does not need change nothing: <"x"@a.test> is <x@a.test>
 */
#ifndef POLICY_RULES_ADDRESS_H
#define POLICY_RULES_ADDRESS_H

#include "core/buf.h"

/* May it stand without quotes (dot-string)?  Octets above 127 may, as in RFC 6531. */
bool address_is_dot_string(struct slice s);

/*
 * Puts the canonical form of a local part: without quotes if it is a dot-string, else quoted with only `"` and
 * `\` escaped.  A local part that has no quotes is put as it is.
 */
void address_put_local(struct buf *out, struct slice local);

#endif
