/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xclient.h - parses the argument of XCLIENT: the client's identity, announced by a trusted peer.
 *
 * Pure.  The command is Postfix's extension (XCLIENT_README): NAME=value pairs, values in xtext,
 * "[UNAVAILABLE]" and "[TEMPUNAVAIL]" for values unknown to the peer, "IPV6:" before an IPv6 address.
 */
#ifndef SMTP_XCLIENT_H
#define SMTP_XCLIENT_H

#include "core/addr.h"
#include "core/slice.h"

/* Its line in the EHLO reply. */
#define XCLIENT_KEYWORD "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

#define XCLIENT_NAME_MAX 255

struct xclient {
    struct addr client;      /* ADDR; family NONE: not given, or not known to the peer */
    struct addr destination; /* DESTADDR, the same */
    bool port_given, destination_port_given;
    uint16_t port, destination_port;
    bool name_given;     /* NAME; `name` is "" if the client has none or the peer does not know it */
    bool name_temporary; /* [TEMPUNAVAIL]: a later lookup may find one */
    bool helo_given;
    char name[XCLIENT_NAME_MAX + 1];
    char helo[XCLIENT_NAME_MAX + 1];
};

/* False: ignore the whole command; *out is invalid. */
bool xclient_parse(struct slice arg, struct xclient *out) MUST_USE;

#endif
