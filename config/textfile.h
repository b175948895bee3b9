/* SPDX-License-Identifier: Apache-2.0 */
/*
 * textfile.h - small files that administrators write: one entry a line, comments behind `#` or `;` (recipients, groups;
 * DROP lists of Spamhaus are such files).
 *
 * Reading asks the disk and blocks: at the start and in `check` only, never in a worker.
 */
#ifndef CONFIG_TEXTFILE_H
#define CONFIG_TEXTFILE_H

#include "core/buf.h"

#define TEXTFILE_MAX ((size_t)64 << 20)

/*
 * Appends the file to *out, whose limit should be TEXTFILE_MAX.  NULL, or why not, for "cannot be read: ...":
 * an error of the system, too large, or no plain file (opening a pipe could keep the start waiting for ever).
 */
const char *textfile_read(const char *path, struct buf *out);

/*
 * Takes lines off *rest until one has an entry: without the comment (a `#` or `;` at its start or behind a blank),
 * blanks around it and the line end.  Adds every line taken to *line_no.  False: there is none left.
 */
bool textfile_next(struct slice *rest, size_t *line_no, struct slice *entry);

#endif
