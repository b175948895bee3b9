/* SPDX-License-Identifier: Apache-2.0 */
/*
 * date.h - the date and time of a Date field.
 *
 * Pure.  See also message_head.h, which reads the whole header section.
 *
 * RFC     5322 3.3, 4.3 (obsolete years and zones)
 */
#ifndef SMTP_DATE_H
#define SMTP_DATE_H

#include "core/slice.h"

/*
 * Converts the value of a Date field to Unix time.  Allows blanks, folds and comments between its parts.  False if it
 * is not a date with a time and a zone, or names a day that does not exist.
 */
bool date_parse(struct slice value, int64_t *unix_s) MUST_USE;

#endif
