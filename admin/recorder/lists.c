/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lists.c - the command `lists` of the socket `query`: shows and sets reputation lists (policy/).
 */
#include "admin/recorder/commands.h"
#include "policy/policy.h"

void query_lists(const struct recorder_view *v, const struct query_request *r)
{
    policy_lists_command(v->conf->policy, v->st, r->args, r->uid, r->out);
}
