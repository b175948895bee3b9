/*
 * sandbox.c - giving up privileges, in one place.
 *
 * Started as root, workers and recorder become server.user; started as anyone else, everything stays as it
 * is. The supervisor stays root, because a reload may bind new ports and read new keys, but without the
 * capabilities that it has no use for.
 */
#include "proxy/sandbox.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#define USER_BUFFER 16384

enum sandbox_status sandbox_user_find(const char *name, struct sandbox_user *out)
{
    struct passwd pw, *found = NULL;
    char *mem;

    memset(out, 0, sizeof(*out));
    if (geteuid() != 0 || strcmp(name, "root") == 0)
        return SANDBOX_OK;
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

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return 1024;
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
        setresuid(u->uid, u->uid, u->uid) != 0)
        return false;
    return setuid(0) != 0; /* there must be no way back */
}

enum sandbox_status sandbox_enter(const struct config *conf)
{
    struct sandbox_user u;

    if (sandbox_user_find(conf->server.user, &u) != SANDBOX_OK)
        return SANDBOX_UNKNOWN_USER;
    if (u.drop && !change_user(&u))
        return SANDBOX_FAILED;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return SANDBOX_FAILED;
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the change of user took it; RLIMIT_CORE decides alone */
    return SANDBOX_OK;
}

static bool keeps(unsigned cap)
{
    static const unsigned kept[] = { CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
                                     CAP_KILL,  CAP_SETGID,       CAP_SETUID,          CAP_NET_BIND_SERVICE };

    for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
        if (kept[i] == cap)
            return true;
    }
    return false;
}

void sandbox_supervisor(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    memset(data, 0, sizeof(data));
    if (geteuid() != 0 || syscall(SYS_capget, &head, data) != 0)
        return;
    for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++) {
        if (keeps(cap))
            continue;
        (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
        data[cap / 32].effective &= ~(1u << (cap % 32));
        data[cap / 32].permitted &= ~(1u << (cap % 32));
        data[cap / 32].inheritable &= ~(1u << (cap % 32));
    }
    (void)syscall(SYS_capset, &head, data);
}
