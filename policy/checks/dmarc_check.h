/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dmarc_check.h - one DMARC evaluation: the pure evaluator (policy/dmarc/dmarc.h) with its DNS queries and the loop.
 *
 *     dmarc_check_start          sends the first query: the record of the author's domain
 *     dmarc_check_add ...        domains that SPF and DKIM authenticated
 *     dmarc_check_end_domains    --> the callback, once the outcome is certain
 *     dmarc_check_outcome        borrowed until dmarc_check_cancel
 *
 * Callback   once, from the loop, unless cancelled or abandoned first.  The check then cancels its pending queries.
 * Account    A domain without a record is no fault of the client: such an answer counts as a query, not as a failed
 *            one (dns.per_client).
 * Deadline   the caller's (policy.budget): dmarc_check_abandon() makes the outcome final.
 * Owner      the caller owns the check; it lives until dmarc_check_cancel(), even after its callback.
 */
#ifndef POLICY_CHECKS_DMARC_CHECK_H
#define POLICY_CHECKS_DMARC_CHECK_H

#include "policy/checks/check.h"
#include "policy/dmarc/dmarc.h"

struct dmarc_check_setup {
    struct loop *loop;
    struct dns_asker who;
    struct dmarc_settings in; /* see there */
};

typedef void (*dmarc_check_cb)(void *arg);

struct dmarc_check;

struct dmarc_check *dmarc_check_start(const struct dmarc_check_setup *setup, dmarc_check_cb cb,
                                      void *arg) MUST_USE;

/* passed: the domain is authenticated; false: that is unknown (temperror). */
void dmarc_check_add(struct dmarc_check *c, enum dmarc_by by, struct slice domain, bool passed);
void dmarc_check_end_domains(struct dmarc_check *c);

/* The time is up: makes the outcome final; the callback will not run. */
void dmarc_check_abandon(struct dmarc_check *c);

bool dmarc_check_busy(const struct dmarc_check *c);
struct dmarc *dmarc_check_results(const struct dmarc_check *c);
const struct origin *dmarc_check_origin(const struct dmarc_check *c);

void dmarc_check_cancel(struct dmarc_check **c); /* NULL inside is allowed */

#endif
