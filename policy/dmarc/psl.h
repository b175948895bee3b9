/* SPDX-License-Identifier: Apache-2.0 */
/*
 * psl.h - organisational domains by a public suffix list, for `dmarc.org_domain: psl` (RFC 7489 3.2).
 *
 * Only with GLACIS_HAVE_LIBPSL, which the build defines if libpsl is there.
 *
 * Effect     dmarc_psl_load reads a file and may block, so call it at start only.  dmarc_psl_org is pure, takes about
 *            2 us, and may run in any number of evaluations at once.
 * Owner      The caller owns the list.  It must outlive all evaluations that use it.
 * Errors     NULL from dmarc_psl_load: the file cannot be read, or is no list.
 */
#ifndef POLICY_DMARC_PSL_H
#define POLICY_DMARC_PSL_H

#include "core/slice.h"

struct dmarc_psl;

/* path NULL: the newest list of the system, which is a file of the package publicsuffix or the one inside libpsl. */
struct dmarc_psl *dmarc_psl_load(const char *path) MUST_USE;
void dmarc_psl_free(struct dmarc_psl *list); /* NULL is allowed */

/* A dmarc_org_fn; arg is the list.  A top-level domain that the list lacks is a public suffix. */
size_t dmarc_psl_org(void *arg, struct slice domain);

#endif
