/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seccomp.c - one filter for each role, made with libseccomp; the only file that uses it.
 *
 *     a call in the lists of the role     runs
 *     clone3                              ENOSYS: the C library then uses clone, whose flags a filter can check
 *     any other                           SIGSYS -> on_denied(): the call returns EPERM, is counted, and
 *                                         recorded for seccomp_report()
 *     a call in `deadly`, a foreign ABI   the whole process is killed (signal 31 in process_died)
 *
 * Filters are inherited and the strictest result wins, so the supervisor's lists include those of its children.
 * Arguments are checked for calls with both good and bad uses: socket families, PROT_EXEC, the flags of clone,
 * signal targets, prctl settings.  The kernel's bitmap (5.11 and later) handles calls without such conditions, so
 * the filter costs almost nothing.
 *
 * Sanitizer builds: the leak check at the end of a process clones a tracer that uses ptrace, and it reads
 * symbols itself.  These calls are allowed there and ptrace does not kill.  Under valgrind there is no
 * filter, because it would also check valgrind's own calls.
 *
 * Owns the two sets of refused calls: process-wide, because a signal handler cannot reach them otherwise.
 * Limits: x86_64 and aarch64; elsewhere a refused call gets EPERM without being counted.  If a new kernel or C
 * library uses new calls, the counter shows which list lacks one.
 */
#include "proxy/process/seccomp.h"

#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>

#include "core/log.h"
#include "core/metrics.h"

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define WIDENED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WIDENED true
#endif
#endif
#ifndef WIDENED
#define WIDENED false
#endif

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code; the C library does not define it yet */
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#if defined(__x86_64__)
#define RESULT(uc) ((uc)->uc_mcontext.gregs[REG_RAX])
#elif defined(__aarch64__)
#define RESULT(uc) ((uc)->uc_mcontext.regs[0])
#endif

#ifdef RESULT
#define ACT_DENY SCMP_ACT_TRAP
#else
#define ACT_DENY SCMP_ACT_ERRNO(EPERM)
#endif

#define CALLS_MAX 512u /* higher numbers share the last entry */
#define NAMESPACES                                                                                           \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |            \
     CLONE_NEWNET)

#define INT UINT32_MAX /* for an argument of which the kernel reads 32 bits */
#define S(name) SCMP_SYS(name)

/* ---- the lists ---- */

static const int for_all[] = {
    /* memory */
    S(brk), S(munmap), S(mremap), S(madvise), S(membarrier),
    /* itself and its threads */
    S(exit), S(exit_group), S(futex), S(rt_sigreturn), S(rt_sigaction), S(rt_sigprocmask), S(rt_sigpending),
    S(sigaltstack), S(restart_syscall), S(rseq), S(set_robust_list), S(get_robust_list), S(set_tid_address),
    S(sched_yield), S(sched_getaffinity), S(getcpu), S(getpid), S(gettid), S(getppid), S(getuid), S(geteuid),
    S(getgid), S(getegid), S(getresuid), S(getresgid), S(getgroups), S(uname), S(sysinfo), S(getrusage),
    S(times), S(getrlimit),
    /* time */
    S(clock_gettime), S(clock_getres), S(clock_nanosleep), S(nanosleep), S(gettimeofday), S(time),
    S(timerfd_create), S(timerfd_settime), S(timerfd_gettime),
    /* descriptors */
    S(read), S(readv), S(pread64), S(preadv), S(preadv2), S(write), S(writev), S(pwrite64), S(pwritev),
    S(pwritev2), S(lseek), S(close), S(close_range), S(dup), S(dup2), S(dup3), S(fcntl), S(poll), S(ppoll),
    S(select), S(pselect6), S(epoll_create1), S(epoll_create), S(epoll_ctl), S(epoll_wait), S(epoll_pwait),
    S(epoll_pwait2), S(eventfd2), S(pipe2), S(pipe), S(signalfd4), S(getrandom), S(splice), S(tee),
    S(sendfile),
    /* sockets; families are checked separately */
    S(connect), S(accept), S(accept4), S(getsockname), S(getpeername), S(getsockopt), S(setsockopt),
    S(sendto), S(sendmsg), S(sendmmsg), S(recvfrom), S(recvmsg), S(recvmmsg), S(shutdown),
    /* files: resolv.conf, zone of time, spool */
    S(open), S(openat), S(stat), S(lstat), S(fstat), S(newfstatat), S(statx), S(statfs), S(fstatfs),
    S(access), S(faccessat), S(faccessat2), S(readlink), S(readlinkat), S(getcwd), S(ftruncate), S(fallocate),
    S(fadvise64), S(fsync), S(fdatasync), S(unlink), S(unlinkat)
};

static const int for_recorder[] = {
    /* SQLite, log files that are rotated */
    S(flock), S(rename), S(renameat), S(renameat2), S(fchmod), S(fchmodat), S(fchown), S(utimensat), S(msync),
    S(sync_file_range),
    /* folders */
    S(mkdir), S(mkdirat), S(rmdir), S(getdents64), S(umask), S(inotify_init1), S(inotify_add_watch),
    S(inotify_rm_watch)
};

static const int for_supervisor[] = {
    /* its children */
    S(fork), S(vfork), S(clone), S(wait4), S(waitid), S(kill), S(tgkill), S(pidfd_open), S(pidfd_send_signal),
    S(setpgid), S(getpgid), S(getpgrp), S(setsid), S(getsid),
    /* dropping privileges */
    S(setuid), S(setgid), S(setreuid), S(setregid), S(setresuid), S(setresgid), S(setgroups), S(setfsuid),
    S(setfsgid), S(capget), S(capset), S(prctl), S(seccomp), S(setrlimit), S(prlimit64), S(setpriority),
    S(getpriority), S(sched_setaffinity), S(sched_getscheduler), S(sched_setscheduler), S(sched_getparam),
    /* listening */
    S(socket), S(socketpair), S(bind), S(listen),
    /* creating files and giving them away */
    S(chmod), S(chown), S(lchown), S(fchownat), S(link), S(linkat), S(symlink), S(symlinkat), S(truncate),
    S(mknod), S(mknodat), S(chdir), S(fchdir), S(getxattr), S(lgetxattr), S(fgetxattr), S(memfd_create),
    S(name_to_handle_at),
    /* the user database may load libraries */
    S(mmap), S(mprotect), S(mlock), S(munlock), S(mincore), S(ioctl), S(getitimer), S(setitimer), S(alarm)
};

static const int for_sanitizers[] = {
    /* shadow memory, reading /proc/self */
    S(mmap), S(mprotect), S(pkey_mprotect), S(mincore), S(getdents64), S(getdents), S(ioctl), S(prctl),
    S(prlimit64), S(setrlimit), S(sched_getparam), S(sched_getscheduler),
    /* the tracer of the leak check */
    S(ptrace), S(clone), S(fork), S(wait4), S(kill), S(tgkill), S(tkill)
};

static const int deadly[] = {
    /* another program, another process's memory */
    S(execve), S(execveat), S(process_vm_readv), S(process_vm_writev), S(userfaultfd), S(personality),
    /* file systems and namespaces */
    S(mount), S(umount), S(umount2), S(move_mount), S(mount_setattr), S(open_tree), S(fsopen), S(fsconfig),
    S(fsmount), S(fspick), S(pivot_root), S(chroot), S(setns), S(unshare), S(open_by_handle_at), S(swapon),
    S(swapoff), S(acct),
    /* the kernel */
    S(bpf), S(init_module), S(finit_module), S(create_module), S(delete_module), S(kexec_load),
    S(kexec_file_load), S(perf_event_open), S(keyctl), S(add_key), S(request_key), S(iopl), S(ioperm),
    S(reboot)
};

/* ---- making a filter ---- */

struct making {
    scmp_filter_ctx ctx;
    int error; /* the first one, 0 or negative */
};

static void note(struct making *m, int rc)
{
    if (rc != 0 && rc != -EEXIST && m->error == 0) {
        m->error = rc;
    }
}

static void rule(struct making *m, uint32_t action, int call)
{
    note(m, seccomp_rule_add(m->ctx, action, call, 0));
}

/* Allowed if the argument's bits under the mask are these. */
static void rule_if(struct making *m, int call, unsigned argument, uint64_t mask, uint64_t value)
{
    struct scmp_arg_cmp cmp = { argument, SCMP_CMP_MASKED_EQ, mask, value };

    note(m, seccomp_rule_add_array(m->ctx, SCMP_ACT_ALLOW, call, 1, &cmp));
}

static void allow(struct making *m, const int *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rule(m, SCMP_ACT_ALLOW, calls[i]);
    }
}

/* Calls that workers and the recorder may make only with certain arguments. */
static void allow_in_part(struct making *m)
{
    static const int families[] = { AF_UNIX, AF_INET, AF_INET6 };
    static const unsigned controls[] = { FIONREAD, FIONBIO, TCGETS };
    static const unsigned options[] = { PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA };

    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        rule_if(m, S(socket), 0, INT, (uint32_t)families[i]);
    }
    rule_if(m, S(socketpair), 0, INT, AF_UNIX);
    for (size_t i = 0; i < ARRAY_LEN(controls); i++) {
        rule_if(m, S(ioctl), 1, INT, controls[i]);
    }
    if (WIDENED) {
        return; /* the other calls are allowed without conditions */
    }
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        rule_if(m, S(prctl), 0, INT, options[i]);
    }
    rule_if(m, S(mmap), 2, PROT_EXEC, 0);
    rule_if(m, S(mprotect), 2, PROT_EXEC, 0);
    rule_if(m, S(tgkill), 0, INT, (uint32_t)getpid()); /* abort() */
    rule_if(m, S(prlimit64), 2, UINT64_MAX, 0);        /* reading limits */
}

/* Allows threads but no processes, and checking whether a worker still exists. */
static void allow_threads(struct making *m)
{
    if (WIDENED) {
        return;
    }
    rule_if(m, S(clone), 0, CLONE_THREAD | NAMESPACES, CLONE_THREAD);
    rule_if(m, S(kill), 1, INT, 0);
}

static void add_rules(struct making *m, enum seccomp_role role, uint32_t act_kill)
{
    for (size_t i = 0; i < ARRAY_LEN(deadly); i++) {
        rule(m, act_kill, deadly[i]);
    }
    if (!WIDENED) {
        rule(m, act_kill, S(ptrace));
    }
    rule(m, SCMP_ACT_ERRNO(ENOSYS), S(clone3));
    allow(m, for_all, ARRAY_LEN(for_all));
    if (WIDENED) {
        allow(m, for_sanitizers, ARRAY_LEN(for_sanitizers));
    }
    if (role != SECCOMP_WORKER) {
        allow(m, for_recorder, ARRAY_LEN(for_recorder));
    }
    if (role == SECCOMP_SUPERVISOR) {
        allow(m, for_supervisor, ARRAY_LEN(for_supervisor));
        return;
    }
    allow_in_part(m);
    if (role == SECCOMP_RECORDER) {
        allow_threads(m);
    }
}

/* The newest kernels and libraries know all of these; older ones run without some. */
static void set_attributes(struct making *m, uint32_t act_kill)
{
    note(m, seccomp_attr_set(m->ctx, SCMP_FLTATR_ACT_BADARCH, act_kill));
    (void)seccomp_attr_set(m->ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree instead of a chain */
    (void)seccomp_attr_set(m->ctx, SCMP_FLTATR_CTL_SSB, 1);      /* all code here is ours: keep full speed */
}

/* ---- what is refused ---- */

static _Atomic uint64_t refused[CALLS_MAX / 64]; /* set by the handler */
static _Atomic uint64_t said[CALLS_MAX / 64];    /* set by seccomp_report() */

#ifdef RESULT
/* May run between any two instructions, so it uses only atomics. */
static void on_denied(int sig, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    unsigned call = (unsigned)info->si_syscall;

    (void)sig;
    if (info->si_code != SYS_SECCOMP) {
        return; /* a kill() from another process */
    }
    call = call < CALLS_MAX ? call : CALLS_MAX - 1;
    atomic_fetch_or_explicit(&refused[call / 64], UINT64_C(1) << (call % 64), memory_order_relaxed);
    count(M_SECCOMP_DENIED);
    RESULT(uc) = (__typeof__(RESULT(uc)))-EPERM;
}

static bool catch_denied(void)
{
    struct sigaction sa;
    sigset_t set;

    memset(&sa, 0, sizeof(sa));
    sa.sa_sigaction = on_denied;
    sa.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
    sigemptyset(&sa.sa_mask);
    sigemptyset(&set);
    sigaddset(&set, SIGSYS);
    return sigaction(SIGSYS, &sa, NULL) == 0 && sigprocmask(SIG_UNBLOCK, &set, NULL) == 0;
}
#else
static bool catch_denied(void)
{
    return true;
}
#endif

static void say_refused(unsigned call)
{
    char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)call);
    struct log_line l;

    if (log_begin(&l, LOG_LEVEL_ERROR, "sandbox_denied")) {
        log_text(&l, "call", name != NULL ? name : "unknown");
        log_num(&l, "number", (int64_t)call);
        log_num(&l, "count", (int64_t)metric_get(M_SECCOMP_DENIED));
        log_end(&l);
    }
    free(name);
}

void seccomp_report(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(refused); i++) {
        uint64_t now = atomic_load_explicit(&refused[i], memory_order_relaxed);
        uint64_t before = atomic_fetch_or_explicit(&said[i], now, memory_order_relaxed);

        for (unsigned bit = 0; bit < 64 && now != before; bit++) {
            if ((now & ~before) >> bit & 1) {
                say_refused(i * 64 + bit);
            }
        }
    }
}

/* ---- the public part ---- */

bool seccomp_is_widened(void)
{
    return WIDENED;
}

bool seccomp_is_watched(void)
{
    return RUNNING_ON_VALGRIND != 0;
}

enum seccomp_status seccomp_enter(enum seccomp_role role)
{
    struct making m = { NULL, 0 };
    uint32_t act_kill;

    if (seccomp_is_watched()) {
        return SECCOMP_WATCHED;
    }
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0 || !catch_denied()) {
        return SECCOMP_NO_KERNEL;
    }
    act_kill = seccomp_api_get() >= 3 ? SCMP_ACT_KILL_PROCESS : SCMP_ACT_KILL;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        refused[i] = said[i] = 0; /* inherited from the parent process */
    }
    m.ctx = seccomp_init(ACT_DENY);
    if (m.ctx == NULL) {
        return SECCOMP_NO_KERNEL;
    }
    set_attributes(&m, act_kill);
    add_rules(&m, role, act_kill);
    if (m.error == 0) {
        note(&m, seccomp_load(m.ctx));
    }
    seccomp_release(m.ctx);
    errno = -m.error;
    return m.error == 0 ? SECCOMP_OK : SECCOMP_NO_KERNEL;
}
