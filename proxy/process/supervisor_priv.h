/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_priv.h - what the files of the supervisor share; private to them.
 *
 *   supervisor.c          start, the poll loop, signals, stop
 *   supervisor_workers.c  forks, reaps, replaces; generations from starting to drained
 *   supervisor_reload.c   loads a new file: refuses it or makes it the next generation
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
 *                            +-- its workers fail to start: abandoned, the current one stays
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
    struct addr real;   /* with the port that the kernel assigned */
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

/* Takes the sockets from systemd (LISTEN_FDS); sockets_bind() matches them by address. */
void sockets_inherit(struct sockets *s);
/*
 * Binds the addresses that are not bound yet.  False with errno: nothing has changed, and `why` names address and
 * cause.  It shares an address with another program only with s->beside, and only if that program allows it
 * (SO_REUSEPORT, same user).
 */
bool sockets_bind(struct sockets *s, const struct config *c, struct buf *why) MUST_USE;
/* Closes the sockets that none of these snapshots (NULLs allowed) names. */
void sockets_keep(struct sockets *s, const struct config *const *confs, size_t count);
void sockets_close_all(struct sockets *s);
/* The sockets of worker `index`; returns their number. */
size_t sockets_of_worker(const struct sockets *s, const struct config *c, unsigned index,
                         struct worker_socket out[WORKER_SOCKETS]);
/* In a child: closes all sockets but these. */
void sockets_close_others(struct sockets *s, const struct worker_socket *mine, size_t count, int admin_fd);
/* The sockets of listener i of the file; NULL if its family was skipped. */
const struct bound *sockets_find(const struct sockets *s, const struct config *c, size_t listener);
const struct bound *sockets_find_admin(const struct sockets *s, const struct config *c);

/* ---- processes ---- */

struct child {
    pid_t pid; /* 0: not running */
    int slot;  /* -1: none */
    uint64_t started_ms;
    uint64_t restart_ms; /* when to fork it again; 0: not pending */
    unsigned crashes;    /* consecutive deaths soon after the start */
    bool killed;         /* we killed it because it hung */
};

enum generation_phase { GENERATION_STARTING = 0, GENERATION_CURRENT, GENERATION_DRAINING };

struct generation {
    unsigned number;
    enum generation_phase phase;
    struct config *conf;
    struct child worker[CONFIG_MAX_WORKERS];
    size_t workers;
    unsigned failures; /* workers that died before the generation was up */
    uint64_t since_ms;
};

struct control_client {
    int fd; /* -1: free */
    char line[CONTROL_LINE];
    size_t len;
    uint64_t deadline_ms;
    unsigned waits_for; /* generation whose start the client waits for; 0: none */
};

struct unix_socket { /* in state_dir */
    int fd;          /* -1: creation failed */
    char *path;
    dev_t dev;
    ino_t ino;
    uint64_t said_ms; /* when a foreign socket there was last logged; 0: none */
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
    int alive[2]; /* a pipe without writers: end of file tells the children that the supervisor is gone */
    struct unix_socket control, query;
    uint64_t look_ms; /* when to check both sockets next */
    int to_recorder;  /* carries a replacement for `query`; -1: no recorder */
    struct control_client client[CONTROL_CLIENTS];
    int notify_fd; /* -1: not under systemd */
    uint64_t watchdog_ms, watchdog_next_ms;
    uint64_t now_ms, tick_ms, grace_until_ms;
    int64_t started_s;
    struct { /* certificates */
        uint64_t next_ms, warn_ms;
        uint64_t said_ms;         /* when a refusal was last logged; 0: nothing is refused */
        uint8_t said[SHA256_LEN]; /* hash of the logged text */
        struct state_refusal refusal;
    } certificates;
    struct { /* material that a start could not use */
        uint64_t next_ms, said_ms;
    } material;
    struct { /* files of groups (policy_files_now): as last seen, as last refused */
        uint64_t next_ms, seen, refused;
        bool settled; /* the last check found the files in force */
        struct state_refusal refusal;
    } groups;
    struct state_refusal refused; /* why the last reload or start refused the file */
    bool last_good;               /* runs with the last good file of an earlier run */
    uint64_t recheck_ms;          /* when supervisor_recheck() tries the refused file again */
    struct state_facts facts;     /* as last published */
    uint64_t death_ms[DEATHS_KEPT];
    size_t deaths;         /* deaths of workers and recorders since the start */
    struct dns_pace *pace; /* shared by all workers and generations (dns.per_client) */
    size_t clients;        /* size of its client table, chosen at the start */
    bool sandbox;          /* server.sandbox at the start; valid for the supervisor's life */
    bool ready, stopping, at_once;
    uint64_t stop_kill_ms;
    int exit_status;
};

uint64_t supervisor_clock(void);
/* The size of the client table that these limits need. */
size_t supervisor_clients(const struct config *conf);

/* supervisor_workers.c */
struct generation *generation_in(const struct supervisor *sup, enum generation_phase phase);
bool generation_start(struct supervisor *sup, struct config *conf);
void generations_reap(struct supervisor *sup);
void generations_tick(struct supervisor *sup);
void generations_drain(struct supervisor *sup); /* drains all generations: a stop */
void generations_signal(struct supervisor *sup, int sig);
bool generations_alive(const struct supervisor *sup);
unsigned generations_draining(const struct supervisor *sup);
void recorder_stop(struct supervisor *sup);
/* Prints unwritten log lines on standard error, so that a failed start shows its reasons. */
void supervisor_last_words(struct supervisor *sup);

/* supervisor_reload.c */
struct config *supervisor_load(struct supervisor *sup, struct config_errors *errs, struct buf *text);
/* Adds certificates and policy.  Frees the snapshot and returns NULL if they are invalid. */
struct config *supervisor_complete(struct config *conf, struct config_errors *errs);
void supervisor_log_errors(const struct config_errors *errs, const char *path);
/* Puts the first error that is not a warning, as a line.  False if there is none. */
bool supervisor_first_error(const struct supervisor *sup, const struct config_errors *errs, struct buf *line);
/* Records for status and metrics that the file is refused, with `errs` or, if NULL, with one sentence. */
void supervisor_note_refused(struct supervisor *sup, const struct config_errors *errs, struct slice sentence);
/*
 * If the text of a refused file is the one in force, the fault was in a file that it names (groups, certificates,
 * recipients).  Loads it again once a minute, or when such a file was repaired, and ends the refusal on success.
 */
void supervisor_recheck(struct supervisor *sup);
void supervisor_note_taken(struct supervisor *sup);
/* Makes the snapshot the next generation, now or after an older one has drained.  Takes it. */
void supervisor_reloaded(struct supervisor *sup, struct config *conf, struct control_client *client);
/* client: the client of the control socket that requested it, or NULL. */
void supervisor_reload(struct supervisor *sup, struct control_client *client);
void supervisor_reload_pending(struct supervisor *sup);
/* Call when a generation has become the current one, or was abandoned. */
void supervisor_generation_up(struct supervisor *sup, struct generation *g);
void supervisor_generation_failed(struct supervisor *sup, struct generation *g);

/* supervisor_material.c */
/*
 * Builds a snapshot from the text of the file in force.  Material of these kinds (MATERIAL_BITs) is read from the
 * disk; the other kinds come from `old`.  The caller sets errs->lenient.
 */
struct config *material_load(struct supervisor *sup, const struct config *old, unsigned kinds,
                             struct config_errors *errs);
void material_say(struct supervisor *sup, const struct config *conf); /* logs missing material */
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
void facts_note_death(struct supervisor *sup); /* after an unexpected death of a worker or recorder */
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
                        struct slice text); /* to clients that wait for this generation */

/* supervisor_files.c */
bool files_prepare(struct config *conf, struct buf *why) MUST_USE;
/* files_go_without() decides whether a start may continue after files_prepare() failed.  Never without the user.
 * Without folders or the log file it continues and logs an error. */
bool files_go_without(const struct config *conf, struct slice why) MUST_USE;
bool files_make_log(const struct config *conf);
/* plain: fails with EINVAL unless it is a regular file, because reading a pipe or a terminal could block forever. */
bool files_read(const char *path, bool plain, struct buf *out) MUST_USE;
void files_keep_good(const struct config *conf, struct slice text);
/* Stores which rules of the preset this machine has had (policy_watch_put). */
void files_keep_rules(const struct config *conf);
/* Reads the last good file for this one.  False if there is no trustworthy one. */
bool files_last_good(const char *config_path, struct buf *text) MUST_USE;
bool files_write_ready(const struct supervisor *sup, const struct config *conf) MUST_USE;

/* supervisor_notify.c */
void notify_open(struct supervisor *sup);
void notify_send(const struct supervisor *sup, const char *text);
void notify_reloading(const struct supervisor *sup);
void notify_serving(const struct supervisor *sup, const struct generation *g);
void notify_tick(struct supervisor *sup);

#endif
