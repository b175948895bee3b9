/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_check.h - one SPF check over the resolver: sends the queries that the evaluation wants, under a deadline.
 *
 *     spf_check_start --- spf_step --> 0 ---------------------------- loop --> callback
 *                            ^         n: dns_query, all at once                  ^
 *                            +------------- last answer            deadline ------+
 *
 * Effect     the callback runs exactly once, from the loop and never from inside spf_check_start(), unless
 *            spf_check_cancel() came first.  At the deadline the result is temperror (RFC 7208 4.6.4).
 * Ownership  the handle is the caller's until the callback runs or spf_check_cancel() takes it.
 */
#ifndef POLICY_SPF_SPF_CHECK_H
#define POLICY_SPF_SPF_CHECK_H

#include "core/loop.h"
#include "dns/dns.h"
#include "policy/spf/spf.h"

#define SPF_CHECK_TIMEOUT_MS 20000

struct spf_check;

/* `verdict` is borrowed until the callback returns. */
typedef void (*spf_check_cb)(const struct spf_verdict *verdict, void *arg);

struct spf_check_setup {
    struct loop *loop;
    struct dns_asker who; /* the client charged for the queries: copied */
    uint64_t timeout_ms;  /* of the whole check; 0: SPF_CHECK_TIMEOUT_MS */
    struct spf_input in;  /* copied */
};

/* Never NULL. */
struct spf_check *spf_check_start(const struct spf_check_setup *setup, spf_check_cb cb, void *arg) MUST_USE;

/* Drops *check and clears it; the callback will not run.  *check may be NULL. */
void spf_check_cancel(struct spf_check **check);

#endif
