/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_machine.c - the user and the folders of a file, as a start on this machine would find them.
 *
 * Only warnings, because the file may be meant for another machine.  The user matters only as root: for any other
 * caller glacis runs as that user and drops nothing.
 */
#include "admin/cmd/check_machine.h"

#include <errno.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "admin/admin.h"
#include "config/tree.h"

static void warn_at(const struct config *c, struct config_errors *errs, const char *key, const char *sentence)
{
    const struct config_node *at = config_node_find(c->root, key);

    config_errors_add(errs, true, at != NULL ? at->line : 0, at != NULL ? at->column : 0, "%s: %s", key,
                      sentence);
}

void check_user(const struct config *c, struct config_errors *errs)
{
    const char *user = c->server.user;
    char mem[600];
    struct buf b;

    if (geteuid() != 0 || getpwnam(user) != NULL) {
        return;
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    buf_putf(&b,
             "there is no user \"%s\" on this machine, so glacis will not start as root; make it with "
             "`useradd --system "
             "--no-create-home --shell /usr/sbin/nologin %s`, or name another one",
             user, user);
    warn_at(c, errs, "server.user", mem);
}

/* ---- folders ---- */

enum folder { FOLDER_THERE = 0, FOLDER_TO_MAKE, FOLDER_WRONG };

/* Checks a folder as a start would; puts the sentence for FOLDER_WRONG into `why`. */
static enum folder look_at(const char *path, struct buf *why)
{
    char *part = xstrdup(path);
    enum folder found = FOLDER_THERE;
    struct stat st;
    size_t slash;

    while (stat(part, &st) != 0) {
        slash = slice_rfind(slice_str(part), '/');
        if ((errno != ENOENT && errno != ENOTDIR) || slash == 0 || part[slash] == '\0') {
            break;
        }
        part[slash] = '\0';
        found = FOLDER_TO_MAKE;
    }
    if (stat(part, &st) == 0 && !S_ISDIR(st.st_mode)) {
        buf_putf(why, "%s is no folder", part);
        found = FOLDER_WRONG;
    } else if (found == FOLDER_TO_MAKE && geteuid() != 0 && access(part, W_OK) != 0) {
        buf_putf(why, "%s does not exist, and this user cannot make it", path);
        found = FOLDER_WRONG;
    } else if (found == FOLDER_THERE && geteuid() != 0 && access(part, W_OK) != 0) {
        buf_putf(why, "%s cannot be written by this user", path);
        found = FOLDER_WRONG;
    }
    free(part);
    return found;
}

struct named_folder {
    const char *key, *path;
};

/* The default spool is within state_dir: it exists and fails together with it. */
static size_t list_folders(const struct config *c, struct named_folder out[2])
{
    struct slice state = slice_str(c->server.state_dir), spool = slice_str(c->server.spool_dir);
    bool within = slice_starts(spool, state) && spool.len > state.len && spool.ptr[state.len] == '/';

    out[0] = (struct named_folder){ "server.state_dir", c->server.state_dir };
    out[1] = (struct named_folder){ "server.spool_dir", c->server.spool_dir };
    return within ? 1 : 2;
}

/* A start creates the log file, but not its folder. */
static void check_log_folder(const struct config *c, struct config_errors *errs)
{
    struct slice path = slice_str(c->log.file);
    char mem[4200];
    struct buf b;
    char *folder;
    struct stat st;

    if (c->log.to != LOG_TO_FILE) {
        return;
    }
    folder = slice_dup(slice_take(path, max_size(slice_rfind(path, '/'), 1)));
    if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode)) {
        buf_init_fixed(&b, mem, sizeof(mem));
        buf_putf(&b, "the folder %s does not exist, so stderr gets the lines", folder);
        warn_at(c, errs, "log.to", mem);
    }
    free(folder);
}

void check_folders(const struct config *c, struct config_errors *errs)
{
    struct named_folder folder[2];
    size_t count = list_folders(c, folder);

    for (size_t i = 0; i < count; i++) {
        char mem[8400];
        struct buf why;

        buf_init_fixed(&why, mem, sizeof(mem));
        if (look_at(folder[i].path, &why) == FOLDER_WRONG) {
            warn_at(c, errs, folder[i].key, mem);
        }
    }
    check_log_folder(c, errs);
}

void check_put_folder_notes(const struct config *c, struct buf *out)
{
    struct named_folder folder[2];
    size_t count = list_folders(c, folder);

    for (size_t i = 0; i < count; i++) {
        char mem[8400];
        struct buf why;

        buf_init_fixed(&why, mem, sizeof(mem));
        if (look_at(folder[i].path, &why) == FOLDER_TO_MAKE) {
            buf_putf(out, "%s: %s does not exist; a start makes it\n", folder[i].key, folder[i].path);
        }
    }
}

/* ---- rules that watch ---- */

#define FS_TMPFS 0x01021994
#define FS_RAMFS 0x858458f6
#define FS_OVERLAY 0x794c7630 /* of a container: it is lost with the container */

/* Is the folder, or its parent if it is missing, on a file system that a restart or a container's end erases? */
static bool is_fleeting(const char *path)
{
    char *part = xstrdup(path);
    struct statfs fs;
    int failed;

    while ((failed = statfs(part, &fs)) != 0 && part[0] == '/' && part[1] != '\0') {
        part[max_size(slice_rfind(slice_str(part), '/'), 1)] = '\0';
    }
    free(part);
    return failed == 0 && ((uint32_t)fs.f_type == FS_TMPFS || (uint32_t)fs.f_type == FS_RAMFS ||
                           (uint32_t)fs.f_type == FS_OVERLAY);
}

void check_put_watch_notes(const struct config *c, struct buf *out)
{
    size_t before = out->len;
    char mem[8400];
    struct buf why;

    buf_init_fixed(&why, mem, sizeof(mem));
    watched_put_text(c, NULL, out);
    if (out->len > before &&
        (is_fleeting(c->server.state_dir) || look_at(c->server.state_dir, &why) == FOLDER_WRONG)) {
        buf_putf(out,
                 "policy.watch_new_rules: %s does not outlast a container or a restart, so these rules watch "
                 "anew each "
                 "time, and never act\n",
                 c->server.state_dir);
    }
}
