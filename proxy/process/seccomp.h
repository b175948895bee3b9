/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.h - the system calls that each process may make.
 *
 * A call that the process does not need is refused (EPERM), counted (M_SECCOMP_DENIED) and logged once.  A call that
 * only an intruder would try (exec, ptrace, mount, bpf, modules, kernel keys, namespaces) kills the process.
 */
#ifndef PROXY_PROCESS_SECCOMP_H
#define PROXY_PROCESS_SECCOMP_H

#include "core/base.h"

enum seccomp_role {
    SECCOMP_WORKER = 0, /* sockets and spool files; no other process */
    SECCOMP_RECORDER,   /* threads, files and their folders */
    SECCOMP_SUPERVISOR, /* the calls of the other roles, plus binding, forking, users, handing over */
    SECCOMP_ROLE_COUNT,
};

enum seccomp_status {
    SECCOMP_OK = 0,
    SECCOMP_NO_KERNEL, /* no seccomp filters in this kernel, or its container forbids them */
    SECCOMP_WATCHED,   /* runs under valgrind, whose own calls the filter would judge: no filter */
};

/*
 * Installs the filter of this role permanently and sets no_new_privs.  Call it from the only thread (later threads
 * inherit it), after everything is loaded: only the supervisor may map code afterwards.  Filters of an ancestor stay
 * in force.
 */
enum seccomp_status seccomp_enter(enum seccomp_role role) MUST_USE;

/* Logs the calls refused since the last report, each call once in a process's life.  Not in a signal handler. */
void seccomp_report(void);

/* True in a sanitizer build: its runtime gets the calls that it needs (clone, ptrace). */
bool seccomp_is_widened(void) MUST_USE;

/* True under valgrind. */
bool seccomp_is_watched(void) MUST_USE;

#endif
