/*
 * query.h - the socket `query`: one line in, an answer out, closed.
 *
 * The supervisor makes the socket, so that only its user and root can reach it; the recorder answers, so that no
 * process with privileges looks at what workers can write.  Who asks is known by SO_PEERCRED: anybody else but the
 * two gets no answer, and every change names the user in the log.
 *
 * What can be asked: commands.c, one row a command.
 *
 * Limits  QUERY_CLIENTS at a time, QUERY_MS for each, a line of QUERY_LINE octets, an answer of QUERY_ANSWER_MAX.
 */
#ifndef ADMIN_RECORDER_QUERY_H
#define ADMIN_RECORDER_QUERY_H

#include "admin/recorder/recent.h"
#include "config/config.h"
#include "state/state.h"

#define QUERY_CLIENTS 16
#define QUERY_MS 10000
#define QUERY_LINE 2048
#define QUERY_ANSWER_MAX (1024u * 1024u)

/* What a command may look at; it belongs to recorder.c and outlives the socket. */
struct recorder_view {
    struct state *st;
    const struct config *conf;
    struct recent recent; /* what was counted within the last hour */
};

struct query_request {
    struct slice args; /* behind the name of the command, without blanks around */
    uid_t uid;         /* who asks */
    struct buf *out;   /* the answer; one that begins with "error\n" says that it was not done */
};

struct query_command {
    const char *name;
    void (*run)(const struct recorder_view *v, const struct query_request *r);
    const char *words; /* what may stand behind the name, for people; "": nothing */
};
extern const struct query_command query_commands[];
extern const size_t query_command_count;

/* Runs the command that the line names; an unknown one is answered with the nearest name.  commands.c */
void query_run(const struct recorder_view *v, uid_t uid, struct slice line, struct buf *out);

struct query;

/*
 * listen_fd: -1: not yet.  handover_fd: listening sockets that replace it come from there; -1: none will.  Both are
 * taken.  wake_fd: query_fd() is readable when it is, too; borrowed.  NULL with errno.
 */
struct query *query_new(int listen_fd, int handover_fd, int wake_fd, uid_t owner,
                        const struct recorder_view *view) MUST_USE;
void query_free(struct query **q); /* *q may be NULL */

/* Readable when query_turn() has something to do. */
int query_fd(const struct query *q);

/* Takes and answers what is there; never waits. */
void query_turn(struct query *q, uint64_t now_ms);

#endif
