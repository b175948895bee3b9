/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.h - the commands of the command line, and the texts that an operator reads.
 *
 * Each command takes its own arguments (argv[0] is the command's name) and returns an exit code of
 * sysexits.h.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "config/config.h"
#include "state/state.h"

/*
 * glacis check -c FILE [--print]: loads the file and prints every error in it.
 *
 * 0 (EX_OK) without errors, 78 (EX_CONFIG) with every error on standard error, 66 (EX_NOINPUT) when FILE
 * cannot be read, 64 (EX_USAGE).  --print writes the effective configuration to standard output.
 */
int cmd_check(int argc, char **argv);

/*
 * glacis reload [-c FILE | --control PATH]: the running glacis reloads its file.
 *
 * 0 once the new workers serve (or wait behind a drain), 69 when no glacis answers, 78 with every error when
 * the file is refused, 66 when FILE cannot be read.
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
 * Reads the state_dir from a file without validating the rest, because a reload or fallback often concerns a file with
 * errors.  False if it is unknown (no such file, or the environment gives the value).
 */
bool control_state_dir(const char *config_path, struct buf *out) MUST_USE;

/*
 * Opens a unix stream socket at this path of any length: bound (listening, non-blocking) or connected.  -1 with errno.
 */
int control_bind(const char *path);
int control_connect(const char *path);

/*
 * Finds out which user listens at this path.  A friend is root or `uid`.  *pid is the process, 0 if unknown.  Never
 * blocks.
 */
enum control_peer { CONTROL_NOBODY = 0, CONTROL_FRIEND, CONTROL_STRANGER };
enum control_peer control_peer_at(const char *path, uid_t uid, pid_t *pid);

/* Sends one line to the running glacis and reads the answer.  Blocks for at most timeout_s; false with errno. */
bool control_ask(const char *path, const char *line, unsigned timeout_s, struct buf *answer) MUST_USE;

/* ---- the recorder ---- */

/*
 * glacis explain --ip --helo --from --rcpt [--rdns NAME] [--tls] [-c FILE] [--json]: judges one envelope with real DNS
 * lookups and prints every fact and rule, the reply and the tags.  0 for any verdict, 69 if no DNS server answered,
 * 64, 66, 78.
 */
int cmd_explain(int argc, char **argv);

struct recorder_task { /* input of the recorder from the supervisor; all of it outlives recorder_main() */
    struct state *state;
    const struct config *conf;
    int admin_fd;            /* listening: metrics and health; -1: none */
    int query_fd;            /* listening: the socket `query`; -1: creation failed */
    int handover_fd;         /* receives a replacement for `query` from the supervisor; -1: not available */
    int supervisor_fd;       /* reports end of file when the supervisor has ended */
    uid_t owner;             /* the supervisor's user, who has the same access as root */
    void (*each_turn)(void); /* about once a second */
};

/*
 * Runs the recorder process, from after fork, state_slot_enter() and the user change to its exit: writes the log,
 * serves metrics, health and the socket `query`.  Ends after SIGTERM once the rings are empty.  If the supervisor
 * dies, the recorder stays until no worker is left.  Returns the exit status.
 */
int recorder_main(const struct recorder_task *task);

/*
 * glacis check --online: tests the resolver, our names and the upstream servers, and prints the results.  False if the
 * resolver is unfit for lists or SPF, or if mail cannot reach a server.  Blocking.
 */
bool check_online(const struct config *c);

/*
 * Completes a loaded snapshot: reads and checks certificates, compiles the policy and runs its tests.  All of it is
 * attached to the snapshot and freed with it.  False with errors (positions in the file) if anything is wrong; the
 * caller then frees the snapshot.  Blocking.
 */
bool setup_complete(struct config *c, struct config_errors *errs) MUST_USE;

/* In state_dir: the preset rules that this machine has had, each with its start (policy_watch).  The supervisor
 * writes it. */
#define RULES_SEEN_FILE "rules-seen"

/* Puts "rule dmarc-reject only watches until 2026-12-08 17:00 UTC", one line a rule.  `st` (or NULL) adds its
 * counts. */
void watched_put_text(const struct config *c, const struct state *st, struct buf *out);
/* Puts `,"watched_rules":[...]`. */
void watched_put_json(const struct config *c, const struct state *st, struct buf *out);

#endif
