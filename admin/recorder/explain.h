/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - the recorder's answers to `glacis explain`; the other end is admin/cmd/explain_ask.c.
 */
#ifndef ADMIN_RECORDER_EXPLAIN_H
#define ADMIN_RECORDER_EXPLAIN_H

#include "config/config.h"
#include "core/buf.h"
#include "state/state.h"

/* args: "client ADDRESS" or "memory WHAT KEY MEMBER KEEP".  Changes nothing. */
void explain_answer(const struct config *conf, struct state *st, struct slice args, struct buf *out);

/* WHAT of both sides, by enum memory_what. */
extern const char *const explain_memory_words[];

#endif
