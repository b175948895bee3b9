/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dkim_check.h - verifies the DKIM signatures of one message: the pure verifier (policy/dkim/dkim.h) with its key
 * lookups and the loop.
 *
 *     dkim_check_start       the header section is complete: parses signatures, looks up keys
 *     dkim_check_put_body    the body as it arrives, while key lookups are pending
 *     dkim_check_end_body    --> the callback, once every verdict is final
 *     dkim_check_results     borrowed until dkim_check_cancel
 *
 * Effect     Runs one dkim_step() at a time, as heavy work of the loop (loop_heavy), so a message with many signatures
 *            cannot block other sessions.
 * Callback   once, from the loop, unless cancelled or abandoned first.
 * Deadline   the caller's (policy.budget): dkim_check_abandon() makes every verdict final.
 * Owner      the caller owns the check; it lives until dkim_check_cancel(), even after its callback.
 */
#ifndef POLICY_CHECKS_DKIM_CHECK_H
#define POLICY_CHECKS_DKIM_CHECK_H

#include "policy/checks/check.h"
#include "policy/dkim/dkim.h"

struct dkim_check_setup {
    struct loop *loop;
    struct dns_asker who;    /* the client charged for the key lookups */
    struct dkim_settings in; /* see there */
    struct slice section;    /* the header section as received; borrowed for the call */
    struct slice author;     /* see dkim_end_header() */
};

typedef void (*dkim_check_cb)(void *arg);

struct dkim_check;

/* NULL: the message has no signature. */
struct dkim_check *dkim_check_start(const struct dkim_check_setup *setup, dkim_check_cb cb,
                                    void *arg) MUST_USE;

/* The next octets after the header section, as received.  Costs nothing if no signature needs them. */
void dkim_check_put_body(struct dkim_check *c, struct slice chunk);
void dkim_check_end_body(struct dkim_check *c);

/* The time is up: makes every verdict final; the callback will not run. */
void dkim_check_abandon(struct dkim_check *c);

bool dkim_check_busy(const struct dkim_check *c); /* a lookup is pending, or work is left */
const struct dkim *dkim_check_results(const struct dkim_check *c);
const struct origin *dkim_check_origin(const struct dkim_check *c);

void dkim_check_cancel(struct dkim_check **c); /* NULL inside is allowed */

#endif
