/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor.h - the first process: sockets, shared memory, generations of workers, the recorder.
 */
#ifndef PROXY_PROCESS_SUPERVISOR_H
#define PROXY_PROCESS_SUPERVISOR_H

#include "core/base.h"

struct supervisor_options {
    const char *config_path; /* NULL: no file, the environment holds the configuration (GLACIS_UPSTREAM) */
    const char *ready_file;  /* NULL: none */
    bool beside;             /* start although another glacis uses the addresses or state_dir: an upgrade */
};

/* Runs the supervisor until it ends and returns the exit status (sysexits).  Prints start errors on stderr. */
int supervisor_run(const struct supervisor_options *options);

#endif
