/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_priv.h - what the files of the supervisor share; private to them.
 *
 *   supervisor.c          start, the poll loop, signals, stop
 *   supervisor_workers.c  forks, reaps, replaces; generations from starting to drained
 *   supervisor_reload.c   a new file: loaded, refused or made the next generation
 *   supervisor_certificates.c  certificates that change on the disk
 *   supervisor_groups.c   group files that change on the disk
 *   supervisor_material.c what the file names, one kind at a time; what a start could not use
 *   supervisor_sockets.c  the listening sockets
 *   supervisor_unix.c     makes, restores and moves the sockets `control` and `query`
 *   supervisor_control.c  the commands of `control`: reload, the process table
 *   supervisor_facts.c    publishes facts for the recorder in shared memory
 *   supervisor_files.c    state directory, last good file, ready file
 *   supervisor_notify.c   systemd's notification socket
 *
 * A generation's life:   STARTING -- all workers beat --> CURRENT -- a newer one is --> DRAINING --> freed
 *                            +-- they do not come up: abandoned, the current one stays
 */
#ifndef PROXY_PROCESS_SUPERVISOR_PRIV_H
#define PROXY_PROCESS_SUPERVISOR_PRIV_H

#include "admin/admin.h"
#include "config/config.h"
#include "core/crypto.h"
#include "proxy/process/sandbox.h"
#include "proxy/process/supervisor.h"
#include "proxy/worker.h"
#include "state/facts.h"
#include "state/state.h"

#define GENERATIONS 4 /* one starting, one current, two draining */
#define DRAINING_MAX 2
#define ADDRESSES 64 /* listeners of all live generations, and the admin's */
#define WORKER_SOCKETS (CONFIG_MAX_LISTENERS * CONFIG_MAX_WORKERS)
#define CONTROL_CLIENTS 8
#define DEATHS_KEPT 64
#define CONTROL_LINE 128

/* Sysexits. */
enum {
    EXIT_USAGE = 64,
    EXIT_NOINPUT = 66,
    EXIT_SOFTWARE = 70,
    EXIT_OSERR = 71,
    EXIT_CONFIG = 78,
};

/* ---- sockets ---- */

struct bound {          /* the sockets of one address */
    struct addr wanted; /* as in the file */
    struct addr real;   /* with the port that the kernel gave */
    unsigned ordinal;   /* of listeners with the same `wanted` (port 0 twice) */
    bool admin;
    int fd[CONFIG_MAX_WORKERS];
    size_t count; /* fixed at first bind */
};

struct sockets {
    struct bound item[ADDRESSES];
    size_t count;
    bool beside; /* --beside */
};

/* Takes what systemd passed (LISTEN_FDS); matched by address in sockets_bind(). */
void sockets_inherit(struct sockets *s);
/*
 * Binds the addresses that are not bound yet.  False with errno: nothing has changed, and `why` names address and
 * cause.  An address where another program listens is shared only with s->beside, and only if that program allows it
 * (SO_REUSEPORT, same user).
 */
bool sockets_bind(struct sockets *s, const struct config *c, struct buf *why) MUST_USE;
/* Closes what none of these snapshots (NULLs allowed) names. */
void sockets_keep(struct sockets *s, const struct config *const *confs, size_t count);
void sockets_close_all(struct sockets *s);
/* Those of worker `index`; returns how many. */
size_t sockets_of_worker(const struct sockets *s, const struct config *c, unsigned index,
                         struct worker_socket out[WORKER_SOCKETS]);
/* In a child: closes all but these. */
void sockets_close_others(struct sockets *s, const struct worker_socket *mine, size_t count, int admin_fd);
/* Of listener i of the file; NULL if its family was skipped. */
const struct bound *sockets_find(const struct sockets *s, const struct config *c, size_t listener);
const struct bound *sockets_find_admin(const struct sockets *s, const struct config *c);

/* ---- processes ---- */

struct child {
    pid_t pid; /* 0: not running */
    int slot;  /* -1: none */
    uint64_t started_ms;
    uint64_t restart_ms; /* when it is to be forked again; 0: not */
    unsigned crashes;    /* in a row, each soon after its start */
    bool killed;         /* by us, because it hung */
};

enum generation_phase { GENERATION_STARTING = 0, GENERATION_CURRENT, GENERATION_DRAINING };

struct generation {
    unsigned number;
    enum generation_phase phase;
    struct config *conf;
    struct child worker[CONFIG_MAX_WORKERS];
    size_t workers;
    unsigned failures; /* workers that ended before the generation was up */
    uint64_t since_ms;
};

struct control_client {
    int fd; /* -1: free */
    char line[CONTROL_LINE];
    size_t len;
    uint64_t deadline_ms;
    unsigned waits_for; /* generation whose start it wants to hear of; 0: none */
};

struct unix_socket { /* in state_dir */
    int fd;          /* -1: making it failed */
    char *path;
    dev_t dev;
    ino_t ino;
    uint64_t said_ms; /* last log line about a foreign socket there; 0: none */
};

struct supervisor {
    struct supervisor_options options;
    struct state *state;
    struct sockets sockets;
    struct generation *generation[GENERATIONS]; /* NULL: free */
    struct config *pending;                     /* waits until an older generation has drained */
    unsigned last_number;
    struct child recorder;
    bool recorder_stopping;
    uint64_t recorder_kill_ms;
    int signal_fd;
    int alive[2]; /* a pipe nobody writes: its end of file tells the children that we are gone */
    struct unix_socket control, query;
    uint64_t look_ms; /* when the two are next checked */
    int to_recorder;  /* a replacement for `query` is sent there; -1: no recorder */
    struct control_client client[CONTROL_CLIENTS];
    int notify_fd; /* -1: not under systemd */
    uint64_t watchdog_ms, watchdog_next_ms;
    uint64_t now_ms, tick_ms, grace_until_ms;
    int64_t started_s;
    struct { /* certificates */
        uint64_t next_ms, warn_ms;
        uint64_t said_ms;         /* when a refusal was last logged; 0: nothing is refused */
        uint8_t said[SHA256_LEN]; /* of that refusal's text */
        struct state_refusal refusal;
    } certificates;
    struct { /* what a start could not use */
        uint64_t next_ms, said_ms;
    } material;
    struct { /* files of groups (policy_files_now): as last looked at, as last refused */
        uint64_t next_ms, seen, refused;
        bool settled; /* at the last check they were the ones in force */
        struct state_refusal refusal;
    } groups;
    struct state_refusal refused; /* of the file at the last reload or start */
    bool last_good;               /* the last good file of an earlier run is in force */
    uint64_t recheck_ms;          /* when supervisor_recheck() tries the refused file again */
    struct state_facts facts;     /* as last published */
    uint64_t death_ms[DEATHS_KEPT];
    size_t deaths;         /* of workers and recorders, since the start */
    struct dns_pace *pace; /* of all workers and generations (dns.per_client) */
    size_t clients;        /* the size of the table of them, chosen at the start */
    bool sandbox;          /* server.sandbox of the start, which holds for the supervisor */
    bool ready, stopping, at_once;
    uint64_t stop_kill_ms;
    int exit_status;
};

uint64_t supervisor_clock(void);
/* How large a table of clients these limits want. */
size_t supervisor_clients(const struct config *conf);

/* supervisor_workers.c */
struct generation *generation_in(const struct supervisor *sup, enum generation_phase phase);
bool generation_start(struct supervisor *sup, struct config *conf);
void generations_reap(struct supervisor *sup);
void generations_tick(struct supervisor *sup);
void generations_drain(struct supervisor *sup); /* all of them: a stop */
void generations_signal(struct supervisor *sup, int sig);
bool generations_alive(const struct supervisor *sup);
unsigned generations_draining(const struct supervisor *sup);
void recorder_stop(struct supervisor *sup);
/* Prints log lines that no recorder wrote on standard error, so that a failed start shows its reasons. */
void supervisor_last_words(struct supervisor *sup);

/* supervisor_reload.c */
struct config *supervisor_load(struct supervisor *sup, struct config_errors *errs, struct buf *text);
/* With certificates and policy; frees it and gives NULL if they are not good. */
struct config *supervisor_complete(struct config *conf, struct config_errors *errs);
void supervisor_log_errors(const struct config_errors *errs, const char *path);
/* Puts the first of these errors that is not a warning, as a line; false if there is none. */
bool supervisor_first_error(const struct supervisor *sup, const struct config_errors *errs, struct buf *line);
/* For status and metrics: the file is refused, by `errs` or, if that is NULL, by one sentence. */
void supervisor_note_refused(struct supervisor *sup, const struct config_errors *errs, struct slice sentence);
/*
 * If the text of a refused file is the one in force, the fault was in a file that it names (groups, certificates,
 * recipients).  Loads it again once a minute, or when such a file was mended, and ends the refusal if that works.
 */
void supervisor_recheck(struct supervisor *sup);
void supervisor_note_taken(struct supervisor *sup);
/* Makes it the next generation, now or when an older one has drained.  Takes it. */
void supervisor_reloaded(struct supervisor *sup, struct config *conf, struct control_client *client);
/* client: who asked by the control socket, or NULL. */
void supervisor_reload(struct supervisor *sup, struct control_client *client);
void supervisor_reload_pending(struct supervisor *sup);
/* Called when a generation has become the current one, or was given up. */
void supervisor_generation_up(struct supervisor *sup, struct generation *g);
void supervisor_generation_failed(struct supervisor *sup, struct generation *g);

/* supervisor_material.c */
/*
 * The file in force, from its text, with the material of these kinds (MATERIAL_BITs) as it is on the disk and the other
 * kinds as `old` has them.  errs->lenient is the caller's.
 */
struct config *material_load(struct supervisor *sup, const struct config *old, unsigned kinds,
                             struct config_errors *errs);
void material_say(struct supervisor *sup, const struct config *conf); /* if anything is missing */
void material_tick(struct supervisor *sup);

/* supervisor_certificates.c */
void certificates_tick(struct supervisor *sup);

/* supervisor_groups.c */
void groups_tick(struct supervisor *sup);

/* supervisor_unix.c */
/* Does another glacis answer in this state_dir?  `why` names its pid. */
bool unix_sockets_taken(const struct config *conf, struct buf *why) MUST_USE;
void unix_sockets_open(struct supervisor *sup, const struct config *conf);   /* logs failures */
void unix_sockets_follow(struct supervisor *sup, const struct config *conf); /* moves them to its state_dir */
void unix_sockets_tick(struct supervisor *sup);  /* restores them if they are gone */
void unix_sockets_close(struct supervisor *sup); /* removes them unless another glacis replaced them */
void unix_sockets_close_in_child(struct supervisor *sup, bool keep_query);

/* supervisor_facts.c */
enum state_phase facts_phase(const struct supervisor *sup);
void facts_note_death(struct supervisor *sup); /* a worker or recorder died unexpectedly */
void facts_publish(struct supervisor *sup);    /* if a fact has changed */
/* Keeps since_s of an earlier refusal. */
void refusal_set(struct state_refusal *r, size_t errors, struct slice first);
void refusal_clear(struct state_refusal *r);

/* supervisor_control.c */
void control_accept(struct supervisor *sup);
void control_read(struct supervisor *sup, struct control_client *c);
void control_answer(struct supervisor *sup, struct control_client *c, struct slice text); /* and closes */
void control_drop_all(struct supervisor *sup);
void control_tick(struct supervisor *sup);
void control_generation(struct supervisor *sup, unsigned number,
                        struct slice text); /* to those who wait for it */

/* supervisor_files.c */
bool files_prepare(struct config *conf, struct buf *why) MUST_USE;
/* files_prepare() has failed at a start: may it go on?  Not without the user; without folders and log file, loudly. */
bool files_go_without(const struct config *conf, struct slice why) MUST_USE;
bool files_make_log(const struct config *conf);
/* plain: fails with EINVAL unless it is a regular file, because reading a pipe or a terminal could block for ever. */
bool files_read(const char *path, bool plain, struct buf *out) MUST_USE;
void files_keep_good(const struct config *conf, struct slice text);
/* Keeps which rules of the preset this machine has had (policy_watch_put). */
void files_keep_rules(const struct config *conf);
/* The last good file beside this one; false if there is none that can be trusted. */
bool files_last_good(const char *config_path, struct buf *text) MUST_USE;
bool files_write_ready(const struct supervisor *sup, const struct config *conf) MUST_USE;

/* supervisor_notify.c */
void notify_open(struct supervisor *sup);
void notify_send(const struct supervisor *sup, const char *text);
void notify_reloading(const struct supervisor *sup);
void notify_serving(const struct supervisor *sup, const struct generation *g);
void notify_tick(struct supervisor *sup);

#endif
