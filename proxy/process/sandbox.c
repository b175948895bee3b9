/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.c - all code that drops privileges.
 *
 * If started as root, workers and recorder become server.user; otherwise the user stays.  The supervisor stays
 * root, because a reload may bind new ports and read new keys, but it drops the capabilities that it does not
 * need.  Workers and recorder keep none, even if server.user is root.
 *
 *                 capabilities   processes  files          core   dumpable  executable memory
 *     supervisor  of_supervisor  forks      any            0      no        libraries of the user database
 *     recorder    none           threads    any            0      no        none new
 *     worker      none           NPROC 0    FSIZE = spool  0      no        none new
 *
 * System calls: seccomp.c.  RLIMIT_NPROC works only for a user other than root, and is not set in sanitizer builds.
 */
#include "proxy/process/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "core/log.h"

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif
#define USER_BUFFER 16384

enum sandbox_status sandbox_user_find(const char *name, struct sandbox_user *out)
{
    struct passwd pw, *found = NULL;
    char *mem;

    memset(out, 0, sizeof(*out));
    if (geteuid() != 0 || strcmp(name, "root") == 0) {
        return SANDBOX_OK;
    }
    mem = xmalloc(USER_BUFFER);
    if (getpwnam_r(name, &pw, mem, USER_BUFFER, &found) == 0 && found != NULL) {
        out->drop = pw.pw_uid != 0;
        out->uid = pw.pw_uid;
        out->gid = pw.pw_gid;
    }
    free(mem);
    return found != NULL ? SANDBOX_OK : SANDBOX_UNKNOWN_USER;
}

size_t sandbox_raise_descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0) {
        return 1024;
    }
    if (r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &r);
        (void)getrlimit(RLIMIT_NOFILE, &r);
    }
    return r.rlim_cur > 4000000 ? 4000000 : (size_t)r.rlim_cur;
}

static bool change_user(const struct sandbox_user *u)
{
    if (setgroups(0, NULL) != 0 || setresgid(u->gid, u->gid, u->gid) != 0 ||
        setresuid(u->uid, u->uid, u->uid) != 0) {
        return false;
    }
    return setuid(0) != 0; /* regaining root must fail */
}

/* Applies to every set of this process; it can never regain a dropped capability. */
static bool keep_capabilities(uint64_t kept)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    memset(data, 0, sizeof(data));
    if (syscall(SYS_capget, &head, data) != 0) {
        return false;
    }
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (!(kept >> cap & 1)) {
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        uint32_t mask = (uint32_t)(kept >> (i * 32));

        data[i].effective &= mask;
        data[i].permitted &= mask;
        data[i].inheritable = 0;
    }
    return syscall(SYS_capset, &head, data) == 0;
}

static void limit(int resource, rlim_t value)
{
    struct rlimit r = { value, value };

    (void)setrlimit((__rlimit_resource_t)resource, &r);
}

/*
 * Memory holds keys and mail.  So the process writes no core file, and other processes of its user can neither read
 * its memory nor trace it.
 */
static void hide_memory(void)
{
    limit(RLIMIT_CORE, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* A worker does not fork, and writes only spool files. */
static void limit_resources(const struct config *conf, enum seccomp_role role)
{
    if (role != SECCOMP_WORKER) {
        return;
    }
    (void)signal(SIGXFSZ, SIG_IGN); /* write() then returns an error instead */
    if (conf->limits.spool != CONFIG_OFF) {
        limit(RLIMIT_FSIZE, (rlim_t)conf->limits.spool);
    }
    if (!seccomp_is_widened()) {
        limit(RLIMIT_NPROC, 0);
    }
}

enum sandbox_status sandbox_enter(const struct config *conf, enum seccomp_role role)
{
    struct sandbox_user u;

    if (sandbox_user_find(conf->server.user, &u) != SANDBOX_OK) {
        return SANDBOX_UNKNOWN_USER;
    }
    if (u.drop && !change_user(&u)) {
        return SANDBOX_FAILED;
    }
    if (!keep_capabilities(0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        return SANDBOX_FAILED;
    }
    limit_resources(conf, role);
    hide_memory();
    return SANDBOX_OK;
}

void sandbox_seal(const struct config *conf, enum seccomp_role role)
{
    if (!conf->server.sandbox) {
        log_msg(LOG_LEVEL_WARN, "sandbox_off", "server.sandbox is false: any system call is allowed");
        return;
    }
    if (role != SECCOMP_SUPERVISOR && !seccomp_is_widened() && !seccomp_is_watched()) {
        (void)prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0); /* Linux 6.3; the filter does too */
    }
    switch (seccomp_enter(role)) {
    case SECCOMP_OK:
        break;
    case SECCOMP_WATCHED:
        log_msg(LOG_LEVEL_WARN, "sandbox_off", "Under valgrind any system call is allowed");
        break;
    case SECCOMP_NO_KERNEL:
        log_msg(LOG_LEVEL_WARN, "sandbox_off",
                "This kernel cannot limit system calls (seccomp): any is allowed: %s", strerror(errno));
        break;
    }
}

/*
 * For binding ports, and for switching to server.user, giving it files and signalling it.  DAC_OVERRIDE: the state
 * folder belongs to server.user, and root creates the control socket and the last good file there.
 */
static uint64_t of_supervisor(void)
{
    static const unsigned kept[] = { CAP_NET_BIND_SERVICE, CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_CHOWN,
                                     CAP_DAC_OVERRIDE };
    uint64_t set = 0;

    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        set |= UINT64_C(1) << kept[i];
    }
    return set;
}

void sandbox_supervisor(const struct config *conf)
{
    hide_memory();
    if (!keep_capabilities(of_supervisor())) {
        log_msg(LOG_LEVEL_WARN, "capabilities", "Capabilities cannot be given up: %s", strerror(errno));
    }
    sandbox_seal(conf, SECCOMP_SUPERVISOR);
}
