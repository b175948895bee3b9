/*
 * admin.h - the command line's commands, and what an operator reads.
 *
 * Each command takes its own arguments (argv[0] is the command's name) and returns an exit code of
 * sysexits.h.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include "config/config.h"

/*
 * glacis check -c FILE [--print]: loads the file and says everything that is wrong with it.
 *
 * 0 (EX_OK) without errors, 78 (EX_CONFIG) with every error on standard error, 66 (EX_NOINPUT) when FILE
 * cannot be read, 64 (EX_USAGE).  --print writes the effective configuration to standard output.
 */
int cmd_check(int argc, char **argv);

#endif
