/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_ring.h - complete lines from each process to the recorder.
 *
 * Each slot has one ring.  The process in the slot is the only writer, the recorder the only reader.  A full ring drops
 * the line and counts it; a writer never waits.  The recorder treats a worker's lines as hostile input.
 * File   ring.c.
 */
#ifndef STATE_LOG_RING_H
#define STATE_LOG_RING_H

#include "core/buf.h"
#include "core/log.h"
#include "state/state.h"

void state_log(struct state *s, enum log_class cls, struct slice line); /* a complete line */
/* Takes the next line of any slot into out; false if all are empty.  Recorder only. */
bool state_log_read(struct state *s, struct buf *out);
bool state_log_waits(const struct state *s); /* some ring holds a line */
int state_log_fd(const struct state *s);     /* eventfd: readable when a ring may hold a line */

#endif
