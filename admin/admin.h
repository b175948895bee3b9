/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.h - the command line's commands, and what an operator reads.
 *
 * Each command takes its own arguments (argv[0] is the command's name) and returns an exit code of
 * sysexits.h.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "config/config.h"
#include "state/state.h"

/*
 * glacis check -c FILE [--print]: loads the file and says everything that is wrong with it.
 *
 * 0 (EX_OK) without errors, 78 (EX_CONFIG) with every error on standard error, 66 (EX_NOINPUT) when FILE
 * cannot be read, 64 (EX_USAGE).  --print writes the effective configuration to standard output.
 */
int cmd_check(int argc, char **argv);

/*
 * glacis reload [-c FILE | --control PATH]: the running one takes its file again.
 *
 * 0 once the new workers serve (or when they are queued behind a drain), 69 when nobody answers, 78 with
 * every error when the file is refused, 66 when FILE cannot be read.
 */
int cmd_reload(int argc, char **argv);

/* glacis status [--json] [-c FILE | --control PATH]: 0 all is well, 1 degraded, 2 not serving; 69, 66. */
int cmd_status(int argc, char **argv);

/* glacis lists [--json] [--test] | set NAME MODE [--for TIME]: the reputation lists.  0, 65, 69, 66. */
int cmd_lists(int argc, char **argv);

/*
 * ---- the sockets ----
 *
 * The supervisor makes two unix sockets in server.state_dir, mode 0600.  A client sends one line and reads the answer
 * up to the end of file.
 *
 *     control   answered by the supervisor: reload and the process table
 *     query     answered by the recorder: every command that reads shared memory
 */

#define CONTROL_NAME "control"
#define QUERY_NAME "query"
#define CONTROL_STATE_DIR "/var/lib/glacis" /* the default of server.state_dir */
#define CONTROL_CONFIG "/etc/glacis/glacis.yaml"

/*
 * The state_dir that a file names, read without judging the rest of it: a file with errors is just what a
 * reload or a fallback is about.  False if it cannot be known (no such file, or the value comes from the
 * environment).
 */
bool control_state_dir(const char *config_path, struct buf *out) MUST_USE;

/*
 * A unix stream socket bound (listening, non-blocking) at or connected to this path, however long it is; -1 with
 * errno.
 */
int control_bind(const char *path);
int control_connect(const char *path);

/*
 * Finds out which user listens at this path.  A friend is root or `uid`; *pid is the process, 0 if not known.  Never
 * blocks.
 */
enum control_peer { CONTROL_NOBODY = 0, CONTROL_FRIEND, CONTROL_STRANGER };
enum control_peer control_peer_at(const char *path, uid_t uid, pid_t *pid);

/* Asks one line of the running glacis.  Blocking, at most timeout_s; false with errno. */
bool control_ask(const char *path, const char *line, unsigned timeout_s, struct buf *answer) MUST_USE;

/* ---- the recorder ---- */

/*
 * glacis explain --ip --helo --from --rcpt [--rdns NAME] [--tls] [-c FILE] [--json]: judges one envelope over the real
 * DNS and tells every fact, rule, the reply and the tags.  0 whatever the verdict, 69 if no DNS server answered
 * anything, 64, 66, 78.
 */
int cmd_explain(int argc, char **argv);

struct recorder_task { /* what the supervisor gives the recorder; all of it outlives recorder_main() */
    struct state *state;
    const struct config *conf;
    int admin_fd;            /* listening: metrics and health; -1: none */
    int query_fd;            /* listening: the socket `query`; -1: making it failed */
    int handover_fd;         /* the supervisor sends a replacement for `query` here; -1: it cannot */
    int supervisor_fd;       /* readable (end of file) when the supervisor is gone */
    uid_t owner;             /* the user of the supervisor, who may ask like root */
    void (*each_turn)(void); /* about once a second */
};

/*
 * The whole life of the recorder process, after fork, state_slot_enter() and the user change: writes the log,
 * serves metrics, health and the socket `query`.  Ends after SIGTERM once the rings are empty.  If the supervisor
 * dies, the recorder stays until no worker is left.  Returns the exit status.
 */
int recorder_main(const struct recorder_task *task);

/*
 * glacis check --online: tests the resolver, our names and the servers behind, and prints what was found; false if
 * lists or SPF cannot be trusted with the resolver, or mail cannot go to a server.  Blocking.
 */
bool check_online(const struct config *c);

/*
 * Completes a loaded snapshot with all that is made from it: certificates are read and checked, the policy is compiled
 * and its tests are run; everything is attached to it and freed with it.  False with errors (positions from the
 * file) if anything is wrong: then the caller frees the snapshot.  Blocking.
 */
bool setup_complete(struct config *c, struct config_errors *errs) MUST_USE;

/* In state_dir: which rules of the preset this machine has had, and since when (policy_watch).  The supervisor writes it. */
#define RULES_SEEN_FILE "rules-seen"

/* "rule dmarc-reject only watches until 2026-12-08 17:00 UTC" of each, a line each; `st`: with what it recorded, or NULL. */
void watched_put_text(const struct config *c, const struct state *st, struct buf *out);
/* `,"watched_rules":[...]` */
void watched_put_json(const struct config *c, const struct state *st, struct buf *out);

#endif
