/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_id.h - the mailing list that a message names in its List-Id field.
 *
 * Pure.  The sender writes the field, so it proves nothing by itself.
 *
 * RFC     2919 3
 */
#ifndef SMTP_LIST_ID_H
#define SMTP_LIST_ID_H

#include "core/buf.h"

/*
 * Puts the id of the only List-Id field of the section, "dev.lists.example.org", in lower-case A-labels.  False without
 * output: the section has no such field or several, or the id is not a host name.
 */
bool list_id_read(struct slice head, struct buf *out) MUST_USE;

#endif
