/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - what a process gives up: the user, capabilities, limits, new privileges, system calls.
 *
 *     supervisor   sandbox_supervisor() before its first fork
 *     the others   sandbox_enter(), then loading as the unprivileged user, then sandbox_seal()
 */
#ifndef PROXY_PROCESS_SANDBOX_H
#define PROXY_PROCESS_SANDBOX_H

#include "config/config.h"
#include "proxy/process/seccomp.h"

struct sandbox_user {
    bool drop; /* we are root, and the file names another user */
    uid_t uid;
    gid_t gid;
};

enum sandbox_status {
    SANDBOX_OK = 0,
    SANDBOX_UNKNOWN_USER, /* server.user does not exist on this machine */
    SANDBOX_FAILED,       /* the system refused a step */
};

/* Finds the user for the unprivileged processes.  Blocks (reads the user database): do not call within a loop. */
enum sandbox_status sandbox_user_find(const char *name, struct sandbox_user *out) MUST_USE;

/*
 * Call in a worker or the recorder, after opening everything that needs privileges.  Sets user and groups; drops all
 * capabilities and new privileges; sets limits; forbids core dumps and tracing, because memory holds keys.  A process
 * that cannot give up its privileges must not serve.
 */
enum sandbox_status sandbox_enter(const struct config *conf, enum seccomp_role role) MUST_USE;

/*
 * The last step, before the loop runs and before threads start: allows only the system calls of the role, and no new
 * code in memory.  With `server.sandbox: false`, or without seccomp in the kernel, it only warns.
 */
void sandbox_seal(const struct config *conf, enum seccomp_role role);

/* Call in the supervisor: hides its memory and keeps only the capabilities for binding, users, files and signals. */
void sandbox_supervisor(const struct config *conf);

/* Raises the descriptor limit to the hard limit and returns it. */
size_t sandbox_raise_descriptors(void);

#endif
