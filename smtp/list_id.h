/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list_id.h - which mailing list a message says it comes through: its List-Id field.
 *
 * Pure.  The sender writes the field, so it proves nothing by itself.
 *
 * RFC     2919 3
 */
#ifndef SMTP_LIST_ID_H
#define SMTP_LIST_ID_H

#include "core/buf.h"

/*
 * Puts the id of the only List-Id field of the section, "dev.lists.example.org", in lower-case A-labels.  False, and
 * nothing is put: there is no such field, there are several, or the id is no host name.
 */
bool list_id_read(struct slice head, struct buf *out) MUST_USE;

#endif
