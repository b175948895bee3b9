/* SPDX-License-Identifier: Apache-2.0 */
/*
 * resolver_watch.h - is the resolver fit for lists and SPF?  (DESIGN 6)
 *
 * The first worker of a generation tests it at start and at each dns.self_test interval.  Each problem is
 * one log line (`resolver_test`), and a gauge holds the worst grade.
 */
#ifndef PROXY_PROCESS_RESOLVER_WATCH_H
#define PROXY_PROCESS_RESOLVER_WATCH_H

#include "proxy/worker.h"

struct resolver_watch;

/* NULL if this worker does not test (not the first, or dns.self_test is off). */
struct resolver_watch *resolver_watch_new(struct worker *w);
void resolver_watch_free(struct resolver_watch **t); /* NULL is allowed */

#endif
