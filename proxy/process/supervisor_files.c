/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_files.c - the state directory, the hash key, the last good configuration, the ready file.
 *
 * The state directory belongs to the unprivileged user, so root trusts nothing in it.  It creates files under a
 * new name and renames them, follows no links, and accepts a last good file only if we own it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "admin/admin.h"
#include "core/crypto.h"
#include "policy/policy.h"
#include "proxy/process/supervisor_priv.h"

#define LAST_GOOD "last-good.yaml"
#define HASH_KEY "hash_key"
#define KEY_OCTETS 32
#define PATH_BYTES 4096
#define RULES_SEEN_MAX (256u * 1024u)

static struct buf path_of(const char *dir, const char *name)
{
    struct buf b;

    buf_init(&b, PATH_BYTES);
    buf_putf(&b, "%s/%s", dir, name);
    return b;
}

/* ---- reading and writing ---- */

static bool read_descriptor(int fd, struct buf *out)
{
    char mem[16384];
    ssize_t n;

    while ((n = read(fd, mem, sizeof(mem))) != 0) {
        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            buf_put(out, mem, (size_t)n);
        }
    }
    return buf_ok(out);
}

bool files_read(const char *path, bool plain, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | (plain ? O_NONBLOCK : 0));
    struct stat st;
    bool ok = fd >= 0;

    if (ok && plain && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        errno = EINVAL;
        ok = false;
    }
    ok = ok && read_descriptor(fd, out);
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/*
 * Writes a new file in the same folder, syncs it, then renames it.  A reader sees the old or the new file, even after
 * a power failure.
 */
static bool write_file(const char *path, struct slice text, mode_t mode)
{
    struct buf temp;
    int fd;
    bool ok;

    buf_init(&temp, PATH_BYTES);
    buf_putf(&temp, "%s.%ld.tmp", path, (long)getpid());
    if (!buf_ok(&temp)) {
        buf_fini(&temp);
        return false;
    }
    (void)unlink(temp.ptr);
    fd = open(temp.ptr, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    ok = fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len && fdatasync(fd) == 0;
    if (fd >= 0) {
        ok = close(fd) == 0 && ok;
    }
    ok = ok && rename(temp.ptr, path) == 0;
    if (!ok) {
        (void)unlink(temp.ptr);
    }
    buf_fini(&temp);
    return ok;
}

/*
 * Reads a file of the state directory that only we can have written: not a link, regular, ours, and closed to others.
 * That matters for root, because the folder belongs to the unprivileged user.
 */
static bool read_own(const char *path, mode_t forbidden, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    bool ok = false;

    if (fd >= 0) {
        ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
             (st.st_mode & forbidden) == 0 && read_descriptor(fd, out);
        close(fd);
    }
    return ok;
}

/* ---- folders ---- */

static bool make_parents(const char *path)
{
    char *copy = xstrdup(path);
    bool ok = true;

    for (char *p = copy + 1; ok && *p != '\0'; p++) {
        if (*p != '/') {
            continue;
        }
        *p = '\0';
        ok = mkdir(copy, 0755) == 0 || errno == EEXIST || errno == EROFS;
        *p = '/';
    }
    free(copy);
    return ok;
}

/* Is the folder empty, or does it contain files of an earlier run?  Then we may give it away. */
static bool looks_like_ours(int fd)
{
    DIR *d = fdopendir(dup(fd));
    struct dirent *e;
    bool empty = true, ours = false;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        empty = false;
        ours = ours || strcmp(e->d_name, "spool") == 0 || strcmp(e->d_name, LAST_GOOD) == 0;
    }
    if (d != NULL) {
        closedir(d);
    }
    return empty || ours;
}

static void hand_over(int fd, const char *path, bool made, const struct sandbox_user *u)
{
    struct stat st;

    if (!u->drop || fstat(fd, &st) != 0 || st.st_uid == u->uid) {
        return;
    }
    if (!made && (st.st_uid != 0 || !looks_like_ours(fd))) {
        log_msg(LOG_LEVEL_WARN, "state_dir",
                "%s belongs to another user and holds other things, so it is not handed over; chown it if "
                "workers "
                "cannot use it",
                path);
        return;
    }
    if (fchown(fd, u->uid, u->gid) != 0) {
        log_msg(LOG_LEVEL_WARN, "state_dir", "%s cannot be handed over: %s", path, strerror(errno));
    }
}

static void separate(struct buf *why)
{
    buf_put_str(why, why->len > 0 ? "; " : "");
}

static bool make_folder(const char *path, mode_t mode, const struct sandbox_user *u, struct buf *why)
{
    bool made;
    int fd;

    (void)make_parents(path);
    made = mkdir(path, mode) == 0;
    if (!made && errno != EEXIST) {
        separate(why);
        buf_putf(why, "Cannot make the folder %s: %s (server.state_dir, server.spool_dir)", path,
                 strerror(errno));
        return false;
    }
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        separate(why);
        buf_putf(why, "Cannot use the folder %s: %s (server.state_dir, server.spool_dir)", path,
                 strerror(errno));
        return false;
    }
    hand_over(fd, path, made, u);
    close(fd);
    return true;
}

bool files_make_log(const struct config *conf)
{
    struct sandbox_user u;
    struct stat st;
    int fd;

    if (conf->log.to != LOG_TO_FILE) {
        return true;
    }
    if (sandbox_user_find(conf->server.user, &u) != SANDBOX_OK) {
        return false;
    }
    if (lstat(conf->log.file, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
        return true; /* open() of a pipe would wait for a reader; close() would send it end of file */
    }
    fd = open(conf->log.file, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0640);
    if (fd < 0) {
        return false;
    }
    if (u.drop && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == 0) {
        (void)!fchown(fd, u.uid, u.gid);
    }
    close(fd);
    return true;
}

/* ---- the key of hashes ---- */

/* Makes a key of 256 bits in hexadecimal, with a line end. */
static void make_key(struct buf *out)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t octets[KEY_OCTETS];

    random_bytes(octets, sizeof(octets));
    for (size_t i = 0; i < sizeof(octets); i++) {
        buf_put_char(out, digits[octets[i] >> 4]);
        buf_put_char(out, digits[octets[i] & 15]);
    }
    buf_put_char(out, '\n');
}

/*
 * If the file has no state.hash_key and something is hashed: uses the key in the state directory, created once.  A key
 * that cannot be stored serves until the next reload, because hashes without a key are worthless.
 */
static void load_hash_key(struct config *conf)
{
    struct buf path, key;
    char *copy;

    if (conf->state.hash_key[0] != '\0' || conf->log.addresses != LOG_ADDRESSES_HASH) {
        return;
    }
    path = path_of(conf->server.state_dir, HASH_KEY);
    buf_init(&key, 1000);
    if (!read_own(path.ptr, 0077, &key) || slice_trim(buf_slice(&key)).len < KEY_OCTETS) {
        buf_reset(&key);
        make_key(&key);
        if (!write_file(path.ptr, buf_slice(&key), 0600)) {
            log_msg(LOG_LEVEL_WARN, "hash_key",
                    "%s cannot be written: %s; hashes of addresses change with each start", path.ptr,
                    strerror(errno));
        } else {
            log_msg(LOG_LEVEL_INFO, "hash_key", "%s is new: the same address has another hash than before",
                    path.ptr);
        }
    }
    copy = slice_dup(slice_take(buf_slice(&key), slice_find(buf_slice(&key), '\n')));
    config_attach(conf, copy, free);
    conf->state.hash_key = copy;
    buf_fini(&key);
    buf_fini(&path);
}

/* ---- before a generation ---- */

bool files_prepare(struct config *conf, struct buf *why)
{
    struct sandbox_user u;
    bool ok;

    if (sandbox_user_find(conf->server.user, &u) != SANDBOX_OK) {
        buf_putf(why,
                 "server.user: there is no user \"%s\" on this machine. Make it with `useradd --system "
                 "--no-create-home --shell /usr/sbin/nologin %s`, name another one, or set `server: {user: "
                 "root}` to go on as root",
                 conf->server.user, conf->server.user);
        return false;
    }
    ok = make_folder(conf->server.state_dir, 0750, &u, why);
    ok = make_folder(conf->server.spool_dir, 0700, &u, why) && ok;
    if (!files_make_log(conf)) {
        separate(why);
        buf_putf(why, "Cannot open the log file %s: %s", conf->log.file, strerror(errno));
        ok = false;
    }
    load_hash_key(conf);
    return ok;
}

bool files_go_without(const struct config *conf, struct slice why)
{
    struct sandbox_user u;

    if (sandbox_user_find(conf->server.user, &u) != SANDBOX_OK) {
        return false;
    }
    log_msg(LOG_LEVEL_ERROR, "state_dir", SLICE_FMT ": glacis serves without them, see MATERIAL in glacis(8)",
            SLICE_ARG(why));
    return true;
}

void files_keep_good(const struct config *conf, struct slice text)
{
    struct buf path = path_of(conf->server.state_dir, LAST_GOOD);

    if (text.len > 0 && !write_file(path.ptr, text, 0600)) {
        log_msg(LOG_LEVEL_WARN, "last_good", "%s cannot be written: %s", path.ptr, strerror(errno));
    }
    buf_fini(&path);
}

void files_keep_rules(const struct config *conf)
{
    struct buf path = path_of(conf->server.state_dir, RULES_SEEN_FILE), text;

    buf_init(&text, RULES_SEEN_MAX);
    policy_watch_put(conf->policy, &text);
    if (text.len > 0 && !write_file(path.ptr, buf_slice(&text), 0644)) {
        log_msg(LOG_LEVEL_WARN, "rules_seen",
                "%s cannot be written: %s; rules that are new in the preset watch anew after each start",
                path.ptr, strerror(errno));
    }
    buf_fini(&text);
    buf_fini(&path);
}

bool files_last_good(const char *config_path, struct buf *text)
{
    struct buf dir, path;
    bool ok;

    buf_init(&dir, PATH_BYTES);
    if (!control_state_dir(config_path, &dir)) {
        buf_put_str(&dir, CONTROL_STATE_DIR);
    }
    path = path_of(dir.ptr, LAST_GOOD);
    ok = buf_ok(&path) && read_own(path.ptr, 0, text);
    buf_fini(&path);
    buf_fini(&dir);
    return ok;
}

static void put_ready_line(struct buf *b, const char *name, const struct bound *at)
{
    if (at == NULL) {
        return;
    }
    buf_putf(b, "%s ", name);
    addr_put_endpoint(b, &at->real);
    buf_put_char(b, '\n');
}

bool files_write_ready(const struct supervisor *sup, const struct config *conf)
{
    struct buf b;
    bool ok;

    if (sup->options.ready_file == NULL) {
        return true;
    }
    buf_init(&b, 64 * 1024);
    for (size_t i = 0; i < conf->server.listen_count; i++) {
        bool implicit = conf->server.listen[i].tls == TLS_MODE_IMPLICIT;

        put_ready_line(&b, implicit ? "smtps" : "smtp", sockets_find(&sup->sockets, conf, i));
    }
    put_ready_line(&b, "admin", sockets_find_admin(&sup->sockets, conf));
    ok = write_file(sup->options.ready_file, buf_slice(&b), 0644);
    buf_fini(&b);
    return ok;
}
