/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim.h - the world of the sim: a virtual clock and streams in memory.
 *
 * fake_loop.c and mem_stream.c are link-time replacements of core/loop.c and core/stream*.c: the same
 * headers, other bodies.  The real session, relay and pools run on them, in one process, in no time.
 */
#ifndef TEST_SIM_SIM_H
#define TEST_SIM_SIM_H

#include "core/buf.h"
#include "core/loop.h"
#include "core/stream.h"

/* Runs turns until nothing more happens without time passing or octets arriving. */
void sim_settle(struct loop *l);

/* Moves the clock, stopping at each timer on the way. */
void sim_advance(struct loop *l, uint64_t ms);

/* The other end of a stream of glacis. */
struct sim_conn {
    struct list_node link;
    int number;            /* 0.. in order of making */
    bool connecting;       /* by stream_connect, not accepted yet */
    struct stream *stream; /* NULL once glacis has closed it */
    struct buf out;        /* what glacis sent and the script has not looked at */
    struct buf all;        /* everything glacis ever sent */
    bool shut;             /* glacis ended its half (or closed) */
    bool reset;            /* glacis reset it */
    size_t window;         /* octets stream_send may take before it must wait; SIZE_MAX: all */
    struct addr peer;      /* stream_connect: to whom */
};

/* All connections by stream_connect since the last call, oldest first; NULL: none.  The world owns them. */
struct sim_conn *sim_next_connect(void);

/* A connection from outside: gives the descriptor for session_accept through *fd. */
struct sim_conn *sim_client(int *fd);

void sim_accept(struct sim_conn *c);                  /* lets a connect succeed */
void sim_refuse(struct sim_conn *c);                  /* or fail */
void sim_send(struct sim_conn *c, struct slice data); /* octets to glacis */
void sim_eof(struct sim_conn *c);                     /* our half ends */
void sim_reset(struct sim_conn *c);                   /* both ends, ECONNRESET */
void sim_window(struct sim_conn *c, size_t octets);   /* opens the window for that much more */

/* Frees every connection; all streams of glacis must be closed. */
void sim_clear(void);

#endif
