/*
 * sandbox.h - what a process gives up: the user change, capabilities, limits, new privileges.
 */
#ifndef PROXY_SANDBOX_H
#define PROXY_SANDBOX_H

#include "config/config.h"

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
 * In a worker or the recorder, once everything is open that needs privileges: user and groups, no new
 * privileges ever.  A process that cannot give up what it must give up must not serve.
 */
enum sandbox_status sandbox_enter(const struct config *conf) MUST_USE;

/* In the supervisor as root: keeps what binding, keys, files to hand over and signalling need. */
void sandbox_supervisor(void);

/* Descriptors up to the hard limit; returns how many that is. */
size_t sandbox_raise_descriptors(void);

#endif
