/*
 * datagrams.h - the sockets of one c-ares channel: datagrams leave and arrive in groups.
 *
 * c-ares sends each question and reads each answer with a system call of its own.  Here questions of one turn
 * are collected and leave at its end in one sendmmsg(), and one recvmmsg() brings what has arrived.
 *
 * Errors     what goes wrong in a group is told to c-ares by the next read, as the kernel tells of a closed
 *            port; until then the questions count as sent.  A full kernel is waited for.
 */
#ifndef DNS_DATAGRAMS_H
#define DNS_DATAGRAMS_H

#include <ares.h>

#include "core/loop.h"

struct datagrams;

/* Gives the channel its sockets.  `rcvbuf`: octets; 0 leaves it to the kernel. */
struct datagrams *datagrams_new(struct loop *l, ares_channel channel, int rcvbuf) MUST_USE; /* never NULL */

/* After the channel was destroyed. */
void datagrams_free(struct datagrams *d);

/* Before the channel is told that its socket is readable. */
void datagrams_readable(struct datagrams *d);

#endif
