/* SPDX-License-Identifier: Apache-2.0 */
/*
 * world.h - one worker in the sim: the real session, relay and pools on a virtual clock.
 *
 * The upstream side is half automatic: a connection is accepted, greeted and its EHLO answered with the
 * keywords of `ehlo`, QUIT gets 221; every other line waits for the script.  `connect` changes what happens
 * to the next connections.
 */
#ifndef TEST_SIM_WORLD_H
#define TEST_SIM_WORLD_H

#include "proxy/session/session_priv.h"
#include "test/sim/sim.h"

#define WORLD_UPSTREAMS 64

enum world_connect { CONNECT_ACCEPT = 0, CONNECT_REFUSE, CONNECT_MUTE, CONNECT_BUSY };

struct world_upstream {
    struct sim_conn *conn;
    bool greeted, done;
};

struct world {
    struct worker w;
    struct config *conf; /* borrowed: it must outlive the world */
    struct sim_conn *client;
    struct world_upstream up[WORLD_UPSTREAMS];
    size_t up_count;
    struct world_upstream *current; /* whose line was seen last */
    struct buf ehlo;                /* keyword lines, "250-X\r\n250 Y\r\n" */
    enum world_connect connect;
    bool automatic; /* answers everything with success: for fuzzing and cuts */
    bool in_data[WORLD_UPSTREAMS];
    size_t ends[WORLD_UPSTREAMS]; /* ends of data seen in automatic mode */
    size_t stray;                 /* lines the automatic upstream could not understand */
};

/* The text as a complete configuration, for any number of worlds; the caller frees it.  Exits with its errors. */
struct config *world_conf(struct slice text);

/* A fresh worker with shared memory of its own.  conf is borrowed until world_stop(). */
void world_start(struct world *wd, struct config *conf);
void world_client(struct world *wd, const char *ip); /* a client connects; it becomes wd->client */
void world_step(struct world *wd);                   /* settles both sides: automatic answers included */
void world_pass(struct world *wd, uint64_t ms);      /* time passes, both sides settled after each timer */
void world_stop(struct world *wd);                   /* closes all; every object must be gone */
void world_keywords(struct world *wd, struct slice words);

/* Next complete line (without CRLF) that waits for the script on any upstream connection; sets current. */
bool world_upstream_line(struct world *wd, struct buf *line);

#endif
