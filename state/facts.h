/* SPDX-License-Identifier: Apache-2.0 */
/*
 * facts.h - facts that only the supervisor knows: the configuration in force, refused files, listening sockets.
 *
 * The supervisor publishes all facts at once; every process reads a whole set, never a mixture.  The recorder shows
 * them (`glacis status`).  No other process can write this part, so readers trust it.
 * File   processes.c.
 */
#ifndef STATE_FACTS_H
#define STATE_FACTS_H

#include "core/addr.h"
#include "state/state.h"

#define STATE_TEXT 512
#define STATE_LISTENERS 64

enum state_phase { STATE_STARTING = 0, STATE_SERVING, STATE_STOPPING };

struct state_refusal {      /* of a file that could not be loaded */
    int64_t since_s;        /* 0: no refusal */
    uint32_t errors;        /* 0: not counted */
    char first[STATE_TEXT]; /* of the errors: FILE:LINE:COLUMN: error: ... */
};

struct state_listener {
    struct addr at;
    uint32_t sockets;
    char name[8]; /* smtp, smtps, admin */
};

struct state_facts {
    int64_t started_s, loaded_s;
    uint32_t phase;          /* enum state_phase */
    uint32_t draining;       /* generations */
    uint32_t deaths;         /* workers and recorders that died within the last hour */
    uint32_t last_good;      /* 1: the last good file of an earlier run is in force */
    char config[STATE_TEXT]; /* path of the file; "": the environment */
    struct state_refusal config_refused, groups_refused, certificates_refused;
    uint32_t listeners;
    struct state_listener listener[STATE_LISTENERS];
};
/* Publishes all facts at once.  The supervisor calls this when one has changed. */
void state_facts_set(struct state *s, const struct state_facts *facts);
/* False (and zeros) before the first state_facts_set(). */
bool state_facts_get(const struct state *s, struct state_facts *out) MUST_USE;

#endif
