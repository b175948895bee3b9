/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_machine.h - `glacis check`: does this machine have what the file names?
 */
#ifndef ADMIN_CMD_CHECK_MACHINE_H
#define ADMIN_CMD_CHECK_MACHINE_H

#include "config/config.h"

/* Warns of a missing user, without whom glacis does not start, and of missing folders.  Reads the disk. */
void check_user(const struct config *c, struct config_errors *errs);
void check_folders(const struct config *c, struct config_errors *errs);

/* Puts the missing folders that a start creates: "KEY: PATH" sentences, one a line. */
void check_put_folder_notes(const struct config *c, struct buf *out);

/* Puts the preset rules that only watch (policy.watch_new_rules), one line each, and whether that ever ends. */
void check_put_watch_notes(const struct config *c, struct buf *out);

#endif
