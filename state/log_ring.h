/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log_ring.h - complete lines from each process to the recorder.
 *
 * One ring a slot: its process is the only writer, the recorder the only reader.  A full ring drops the line and counts
 * it; no writer ever waits.  A line from a worker is hostile input to the recorder.
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
int state_log_fd(const struct state *s);     /* eventfd: readable when something may be there */

#endif
