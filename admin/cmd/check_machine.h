/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_machine.h - `glacis check`: does this machine have what the file names?
 */
#ifndef ADMIN_CMD_CHECK_MACHINE_H
#define ADMIN_CMD_CHECK_MACHINE_H

#include "config/config.h"

/* Warnings: a missing user keeps glacis from starting here; folders it would go without.  Reads the disk. */
void check_user(const struct config *c, struct config_errors *errs);
void check_folders(const struct config *c, struct config_errors *errs);

/* Folders that are missing and that a start makes: "KEY: PATH" sentences, one a line. */
void check_put_folder_notes(const struct config *c, struct buf *out);

/* Rules of the preset that only watch (policy.watch_new_rules), a line each, and whether that ever ends. */
void check_put_watch_notes(const struct config *c, struct buf *out);

#endif
