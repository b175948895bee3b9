/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_header.h - the header of the PROXY protocol, versions 1 and 2, as a balancer in front sends it.
 *
 * Pure: octets in, addresses out.  Only the exact grammar is taken (PXY-06): what a balancer sends is made by
 * a program, so anything else is not a balancer.
 *
 * RFC        none; the specification is HAProxy's proxy-protocol.txt.
 * Limits     a v1 line of 107 octets; 2048 octets behind the fixed part of v2, TLVs included (PXY-13).
 */
#ifndef SMTP_PROXY_HEADER_H
#define SMTP_PROXY_HEADER_H

#include "core/addr.h"
#include "core/slice.h"

#define PROXY_V1_MAX 107
#define PROXY_V2_FIXED 16
#define PROXY_V2_MAX 2048                                /* behind the fixed part */
#define PROXY_HEADER_MAX (PROXY_V2_FIXED + PROXY_V2_MAX) /* of either version */

enum proxy_status {
    PROXY_MORE = 0, /* so far it may become a header; every octet given belongs to it */
    PROXY_DONE,
    PROXY_BAD, /* no header, and none can become of it */
};

struct proxy_header {
    bool announced; /* false: LOCAL, UNKNOWN, UNSPEC: the socket's own addresses hold (PXY-04) */
    struct addr source, destination;
};

/*
 * Looks for a header at the beginning of `in`.  PROXY_DONE: *used octets were of it, what follows is the
 * client's.  Otherwise *out and *used hold nothing.
 */
enum proxy_status proxy_header_parse(struct slice in, struct proxy_header *out, size_t *used) MUST_USE;

#endif
