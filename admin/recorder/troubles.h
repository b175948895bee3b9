/* SPDX-License-Identifier: Apache-2.0 */
/*
 * troubles.h - every problem that an administrator should see: first line and exit status of `glacis status`.
 *
 * To add a condition, write one function in troubles.c and add it to the table there.
 */
#ifndef ADMIN_RECORDER_TROUBLES_H
#define ADMIN_RECORDER_TROUBLES_H

#include "admin/recorder/query.h"

#define TROUBLES_MAX 32
#define TROUBLE_TEXT 240

/* Exit statuses of `glacis status`, for monitoring systems. */
enum severity { STATUS_WELL = 0, STATUS_DEGRADED = 1, STATUS_NOT_SERVING = 2 };

struct trouble {
    enum severity severity;
    const char *what; /* for programs: "server_down" */
    char text[TROUBLE_TEXT];
};

struct troubles {
    struct trouble list[TROUBLES_MAX]; /* in the order of the table, not by severity */
    size_t count;
    size_t left_out; /* more than TROUBLES_MAX */
    enum severity worst;
};

void troubles_find(const struct recorder_view *v, struct troubles *t);

#endif
