/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor.h - the first process: sockets, shared memory, generations of workers, the recorder.
 */
#ifndef PROXY_PROCESS_SUPERVISOR_H
#define PROXY_PROCESS_SUPERVISOR_H

#include "core/base.h"

struct supervisor_options {
    const char *config_path; /* NULL: no file, the environment says all (GLACIS_UPSTREAM) */
    const char *ready_file;  /* NULL: none */
    bool beside;             /* start although another glacis has the addresses or state_dir: an upgrade */
};

/* The whole life of the supervisor; returns the exit status (sysexits).  Says errors of the start on stderr.
 */
int supervisor_run(const struct supervisor_options *options);

#endif
