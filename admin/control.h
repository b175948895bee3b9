/*
 * control.h - where the control socket of a running glacis is, and how it is spoken to.
 *
 * One line is asked, the answer is everything until the end of file.  The socket is `control` in
 * server.state_dir.
 */
#ifndef ADMIN_CONTROL_H
#define ADMIN_CONTROL_H

#include "core/buf.h"

#define CONTROL_NAME "control"
#define CONTROL_STATE_DIR "/var/lib/glacis" /* the default of server.state_dir */
#define CONTROL_CONFIG "/etc/glacis/glacis.yaml"

/*
 * The state_dir that a file names, read without judging the rest of it: a file with errors is just what a
 * reload or a fallback is about.  False if it cannot be known (no such file, or the value comes from the
 * environment).
 */
bool control_state_dir(const char *config_path, struct buf *out) MUST_USE;

/* A unix stream socket bound (listening) at or connected to this path, however long it is; -1 with errno. */
int control_bind(const char *path);
int control_connect(const char *path);

/* Asks one line of the running glacis.  Blocking, at most timeout_s; false with errno. */
bool control_ask(const char *path, const char *line, unsigned timeout_s, struct buf *answer) MUST_USE;

#endif
