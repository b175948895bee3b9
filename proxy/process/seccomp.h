/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h - the system calls that each process may make.
 *
 * What a process does not need is refused (EPERM), counted (M_SECCOMP_DENIED) and logged once a call; what
 * only an intruder would try (exec, ptrace, mount, bpf, modules, keys of the kernel, namespaces) is its end.
 */
#ifndef PROXY_PROCESS_SECCOMP_H
#define PROXY_PROCESS_SECCOMP_H

#include "core/base.h"

enum seccomp_role {
    SECCOMP_WORKER = 0, /* sockets, the spool's files, no other process */
    SECCOMP_RECORDER,   /* threads, files and their folders */
    SECCOMP_SUPERVISOR, /* what the others inherit, and binding, forking, users, handing over */
    SECCOMP_ROLE_COUNT,
};

enum seccomp_status {
    SECCOMP_OK = 0,
    SECCOMP_NO_KERNEL, /* this kernel has no seccomp filters, or what contains us forbids them */
    SECCOMP_WATCHED,   /* the program runs under valgrind, whose own calls would be judged: no filter */
};

/*
 * Puts the filter of this role on the calling process, for good; sets no_new_privs.  To be called by the only
 * thread (later ones inherit it), after everything is loaded: no code is mapped afterwards, except by
 * the supervisor.  A filter that an ancestor has put on stays in force beside it.
 */
enum seccomp_status seccomp_enter(enum seccomp_role role) MUST_USE;

/* Logs what was refused since the last time, each call once in the life of a process.  Not in a handler. */
void seccomp_report(void);

/* True if this is a sanitizer build: its run time gets the calls that it needs (clone, ptrace). */
bool seccomp_is_widened(void) MUST_USE;

/* True under valgrind. */
bool seccomp_is_watched(void) MUST_USE;

#endif
