/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - what a process gives up: the user, capabilities, limits, new privileges, system calls.
 *
 *     supervisor   sandbox_supervisor() before its first fork
 *     the others   sandbox_enter(), then what is loaded as the unprivileged user, then sandbox_seal()
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

/* Who the unprivileged processes are to be.  Blocking (reads the user database): not within a loop. */
enum sandbox_status sandbox_user_find(const char *name, struct sandbox_user *out) MUST_USE;

/*
 * In a worker or the recorder, once everything is open that needs privileges: user and groups, no capability,
 * no new privileges ever, limits, no core dump and no look from outside (keys are in the memory).  A process
 * that cannot give up what it must give up must not serve.
 */
enum sandbox_status sandbox_enter(const struct config *conf, enum seccomp_role role) MUST_USE;

/*
 * The last step, before the loop runs and before threads are made: the system calls of the role alone, no new
 * code in memory.  With `server.sandbox: false`, and on a kernel without seccomp, nothing but a warning.
 */
void sandbox_seal(const struct config *conf, enum seccomp_role role);

/* In the supervisor: hides its memory, and keeps the capabilities for binding, users, files and signals. */
void sandbox_supervisor(const struct config *conf);

/* Descriptors up to the hard limit; returns how many that is. */
size_t sandbox_raise_descriptors(void);

#endif
