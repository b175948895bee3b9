/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - the functions of the commands of `query`; query_NAME() is in NAME.c.
 */
#ifndef ADMIN_RECORDER_COMMANDS_H
#define ADMIN_RECORDER_COMMANDS_H

#include "admin/recorder/query.h"

void query_explain(const struct recorder_view *v, const struct query_request *r);
void query_lists(const struct recorder_view *v, const struct query_request *r);
void query_status(const struct recorder_view *v, const struct query_request *r);

#endif
