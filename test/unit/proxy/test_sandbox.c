/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sandbox: what a role may not do fails or kills, what it needs works.  Each case is a child that puts
 * the filter on and makes one call.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "core/log.h"
#include "core/metrics.h"
#include "proxy/process/canary.h"
#include "proxy/process/sandbox.h"

#define CHILD_S 20
#define NO_FILTER 78 /* exit status of a child that could not put it on */

typedef bool (*deed)(void);

/* The wait status of a child that runs f under the filter: exit 0 if f says true. */
static int in_child(enum seccomp_role role, deed f)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        (void)alarm(CHILD_S);
        (void)signal(SIGABRT, SIG_DFL); /* cmocka would report it and go on */
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        if (seccomp_enter(role) != SECCOMP_OK) {
            _exit(NO_FILTER);
        }
        _exit(f() ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool nothing(void)
{
    return true;
}

/* False on a kernel without them, where nothing can be shown. */
static bool filters_work(void)
{
    if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) {
        return false;
    }
    assert_int_equal(in_child(SECCOMP_WORKER, nothing), 0);
    return true;
}

/* ---- refused: EPERM and counted ---- */

static bool socket_packet(void)
{
    return socket(AF_PACKET, SOCK_RAW, 0) < 0;
}

static bool socket_netlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW, 0) < 0;
}

static bool io_uring(void)
{
    return syscall(425, 8, NULL) < 0;
}

static bool binds(void)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    return bind(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&sa, sizeof(sa)) < 0;
}

static bool listens(void)
{
    return listen(socket(AF_INET, SOCK_STREAM, 0), 5) < 0;
}

static bool becomes_root(void)
{
    return setuid(0) < 0;
}

static bool links(void)
{
    return link("/etc/passwd", "/tmp/never") < 0;
}

static bool changes_mode(void)
{
    return syscall(SYS_fchmodat, AT_FDCWD, "/tmp", 0777) < 0;
}

static bool sets_the_clock(void)
{
    return syscall(SYS_settimeofday, NULL, NULL) < 0;
}

static bool maps_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}

static bool turns_memory_to_code(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) < 0;
}

static bool forks(void)
{
    pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

    if (pid == 0) {
        _exit(0);
    }
    return pid < 0;
}

static bool signals_its_parent(void)
{
    return kill(getppid(), SIGTERM) < 0;
}

static bool signals_a_thread_of_its_parent(void)
{
    return syscall(SYS_tgkill, getppid(), getppid(), SIGTERM) < 0;
}

static bool lets_itself_be_traced(void)
{
    return prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0) < 0;
}

static bool raises_its_limits(void)
{
    struct rlimit r = { 100, 100 };

    return syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &r, NULL) < 0;
}

static deed wanted; /* what is to be refused, for is_refused() in the child */

static bool is_refused(void)
{
    uint64_t before = metric_get(M_SECCOMP_DENIED);

    errno = 0;
    return wanted() && errno == EPERM && metric_get(M_SECCOMP_DENIED) == before + 1;
}

static const struct {
    const char *label;
    deed f;
    bool worker, recorder, supervisor; /* refused to whom */
    bool widened;                      /* a sanitizer needs the call */
} refusals[] = {
    { "a packet socket", socket_packet, true, true, false, false },
    { "a netlink socket", socket_netlink, true, true, false, false },
    { "io_uring", io_uring, true, true, true, false },
    { "setting the clock", sets_the_clock, true, true, true, false },
    { "bind", binds, true, true, false, false },
    { "listen", listens, true, true, false, false },
    { "setuid", becomes_root, true, true, false, false },
    { "link", links, true, true, false, false },
    { "chmod", changes_mode, true, false, false, false },
    { "executable memory", maps_code, true, true, false, true },
    { "memory made executable", turns_memory_to_code, true, true, false, true },
    { "fork", forks, true, true, false, true },
    { "a signal to the parent", signals_its_parent, true, true, false, true },
    { "a signal to a thread of the parent", signals_a_thread_of_its_parent, true, true, false, true },
    { "being traced", lets_itself_be_traced, true, true, false, true },
    { "setting limits", raises_its_limits, true, true, false, true },
};

static void what_a_role_does_not_need_is_refused_and_counted(void **st)
{
    (void)st;
    if (!filters_work()) {
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        const bool roles[SECCOMP_ROLE_COUNT] = { refusals[i].worker, refusals[i].recorder,
                                                 refusals[i].supervisor };

        if (refusals[i].widened && seccomp_is_widened()) {
            continue;
        }
        wanted = refusals[i].f;
        for (unsigned role = 0; role < SECCOMP_ROLE_COUNT; role++) {
            int status = roles[role] ? in_child((enum seccomp_role)role, is_refused) : 0;

            if (status != 0) {
                fail_msg("%s, role %u: wait status %#x", refusals[i].label, role, (unsigned)status);
            }
        }
    }
}

/* ---- deadly ---- */

static const struct {
    const char *label;
    long call;
} kills[] = {
    { "execve", SYS_execve },
    { "execveat", SYS_execveat },
    { "process_vm_readv", SYS_process_vm_readv },
    { "process_vm_writev", SYS_process_vm_writev },
    { "mount", SYS_mount },
    { "umount2", SYS_umount2 },
    { "pivot_root", SYS_pivot_root },
    { "chroot", SYS_chroot },
    { "setns", SYS_setns },
    { "unshare", SYS_unshare },
    { "bpf", SYS_bpf },
    { "init_module", SYS_init_module },
    { "finit_module", SYS_finit_module },
    { "delete_module", SYS_delete_module },
    { "kexec_load", SYS_kexec_load },
    { "perf_event_open", SYS_perf_event_open },
    { "userfaultfd", SYS_userfaultfd },
    { "keyctl", SYS_keyctl },
    { "add_key", SYS_add_key },
    { "request_key", SYS_request_key },
    { "personality", SYS_personality },
    { "open_by_handle_at", SYS_open_by_handle_at },
#ifdef SYS_iopl
    { "iopl", SYS_iopl },
    { "ioperm", SYS_ioperm },
#endif
    { "ptrace", SYS_ptrace },
};

static long number; /* for make_call() in the child */

static bool make_call(void)
{
    (void)syscall(number, 0, 0, 0, 0, 0);
    return true;
}

#if defined(__x86_64__) && !defined(__ILP32__)
static bool call_as_32_bits(void)
{
    long result = 20; /* getpid there, writev here */

    __asm__ volatile("int $0x80" : "+a"(result) : : "memory");
    return true;
}

/* False on a kernel built without 32-bit calls: there the instruction is a segmentation fault, filter or no. */
static bool kernel_takes_32_bits(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        (void)signal(SIGSEGV, SIG_DFL); /* cmocka would report it and go on */
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        _exit(call_as_32_bits() ? 0 : 1);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status);
}
#endif

static void assert_killed(const char *label, unsigned role, int status)
{
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS) {
        fail_msg("%s, role %u: wait status %#x", label, role, (unsigned)status);
    }
}

static void what_only_an_intruder_would_do_is_death(void **st)
{
    (void)st;
    if (!filters_work()) {
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(kills); i++) {
        number = kills[i].call;
        if (number == SYS_ptrace && seccomp_is_widened()) {
            continue;
        }
        for (unsigned role = 0; role < SECCOMP_ROLE_COUNT; role++) {
            assert_killed(kills[i].label, role, in_child((enum seccomp_role)role, make_call));
        }
    }
#if defined(__x86_64__) && !defined(__ILP32__)
    for (unsigned role = 0; role < SECCOMP_ROLE_COUNT && kernel_takes_32_bits(); role++) {
        assert_killed("a call of 32 bits", role, in_child((enum seccomp_role)role, call_as_32_bits));
#endif
    }
}

/* ---- needed ---- */

static bool spools(void)
{
    char name[] = "/tmp/glacis-sandbox-XXXXXX";
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
    char back = 0;

    if (fd < 0) {
        fd = mkostemp(name, O_CLOEXEC);
        (void)unlink(name);
    }
    return fd >= 0 && pwrite(fd, "x", 1, 70000) == 1 && pread(fd, &back, 1, 70000) == 1 && back == 'x' &&
           close(fd) == 0;
}

static bool speaks(void)
{
    int pair[2], tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int udp = socket(AF_INET, SOCK_DGRAM, 0), unix_one = socket(AF_UNIX, SOCK_DGRAM, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = 1 };

    (void)!connect(tcp, (struct sockaddr *)&sa, sizeof(sa));
    return tcp >= 0 && udp >= 0 && unix_one >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 &&
           send(pair[0], "x", 1, 0) == 1;
}

static bool takes_memory(void)
{
    char *p = malloc(32u << 20);
    bool ok = p != NULL;

    if (ok) {
        memset(p, 1, 32u << 20);
    }
    free(p);
    return ok;
}

static bool asks_the_old_new_call(void)
{
    errno = 0;
#ifdef SYS_clone3
    return syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS;
#else
    return true;
#endif
}

static void *in_thread(void *arg)
{
    *(bool *)arg = spools();
    return NULL;
}

static bool makes_a_thread(void)
{
    bool ok = false;
    pthread_t t;

    return pthread_create(&t, NULL, in_thread, &ok) == 0 && pthread_join(t, NULL) == 0 && ok;
}

static bool rotates(void)
{
    static const char a[] = "/tmp/glacis-sandbox-a", b[] = "/tmp/glacis-sandbox-b";
    int fd = open(a, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    return fd >= 0 && flock(fd, LOCK_EX) == 0 && fchmod(fd, 0640) == 0 && fsync(fd) == 0 &&
           rename(a, b) == 0 && unlink(b) == 0;
}

/* The sockets `control` and `query`: the user of a client, and a descriptor sent to the recorder. */
static bool knows_who_asks(void)
{
    struct ucred peer = { 0, 0, 0 };
    socklen_t len = sizeof(peer);
    int pair[2], epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event e = { .events = EPOLLIN };
    char octet = 0;
    struct iovec iov = { &octet, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

    return socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && sendmsg(pair[0], &msg, MSG_DONTWAIT) == 1 &&
           epoll_ctl(epoll, EPOLL_CTL_ADD, pair[1], &e) == 0 && epoll_wait(epoll, &e, 1, 0) == 1 &&
           recvmsg(pair[1], &msg, MSG_DONTWAIT) == 1 &&
           getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == getuid();
}

static bool binds_in_the_state_folder(void)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct stat st;
    mode_t old = umask(0177);
    bool ok;

    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "/tmp/glacis-sandbox-%ld", (long)getpid());
    (void)unlink(sa.sun_path);
    ok = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(fd, 5) == 0 &&
         lstat(sa.sun_path, &st) == 0 &&
         connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), (struct sockaddr *)&sa, sizeof(sa)) == 0;
    (void)umask(old);
    return unlink(sa.sun_path) == 0 && ok;
}

/* A supervisor's child puts its own filter on top. */
static bool has_a_worker(void)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        wanted = socket_packet;
        _exit(seccomp_enter(SECCOMP_WORKER) == SECCOMP_OK && is_refused() && spools() ? 0 : 1);
    }
    return pid > 0 && kill(pid, 0) == 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static bool knows_users(void)
{
    return getpwnam("root") != NULL && getpwnam("no-such-user-here") == NULL;
}

#define ALL 7u
#define RECORDER_UP 6u
#define SUPERVISOR_ONLY 4u

static const struct {
    const char *label;
    deed f;
    unsigned roles; /* bits */
} needs[] = {
    { "an unlinked file", spools, ALL },
    { "sockets", speaks, ALL },
    { "memory", takes_memory, ALL },
    { "clone3 is not there", asks_the_old_new_call, ALL },
    { "a thread", makes_a_thread, RECORDER_UP },
    { "files that are rotated", rotates, RECORDER_UP },
    { "who asks", knows_who_asks, RECORDER_UP },
    { "a socket in a folder", binds_in_the_state_folder, SUPERVISOR_ONLY },
    { "a worker", has_a_worker, SUPERVISOR_ONLY },
    { "the user database", knows_users, SUPERVISOR_ONLY },
};

static bool without_refusal(void)
{
    return wanted() && metric_get(M_SECCOMP_DENIED) == 0;
}

static void what_a_role_needs_works_and_nothing_is_counted(void **st)
{
    (void)st;
    if (!filters_work()) {
        skip();
    }
    for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
        wanted = needs[i].f;
        for (unsigned role = 0; role < SECCOMP_ROLE_COUNT; role++) {
            int status = needs[i].roles >> role & 1 ? in_child((enum seccomp_role)role, without_refusal) : 0;

            if (status != 0) {
                fail_msg("%s, role %u: wait status %#x", needs[i].label, role, (unsigned)status);
            }
        }
    }
}

static bool aborts(void)
{
    abort();
}

static void a_bug_ends_in_sigabrt_as_ever(void **st)
{
    (void)st;
    if (!filters_work()) {
        skip();
    }
    for (unsigned role = 0; role < SECCOMP_ROLE_COUNT; role++) {
        int status = in_child((enum seccomp_role)role, aborts);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

/* ---- the report ---- */

struct seen {
    unsigned lines;
    bool named;
};

static void on_line(enum log_level level, enum log_class cls, struct slice line, void *arg)
{
    struct seen *seen = arg;

    (void)level;
    (void)cls;
    seen->lines++;
    seen->named = memmem(line.ptr, line.len, "\"sandbox_denied\"", 16) != NULL &&
                  memmem(line.ptr, line.len, "\"listen\"", 8) != NULL;
}

static bool is_said_once(void)
{
    struct seen seen = { 0, false };

    log_set_sink(on_line, &seen);
    seccomp_report();
    if (seen.lines != 0) {
        return false;
    }
    (void)listens();
    (void)listens();
    seccomp_report();
    seccomp_report();
    return seen.lines == 1 && seen.named && metric_get(M_SECCOMP_DENIED) == 2;
}

static void a_refused_call_is_logged_once_by_name(void **st)
{
    (void)st;
    if (!filters_work()) {
        skip();
    }
    assert_int_equal(in_child(SECCOMP_WORKER, is_said_once), 0);
}

static bool takes_a_stray_signal(void)
{
    return raise(SIGSYS) == 0 && metric_get(M_SECCOMP_DENIED) == 0;
}

static void a_sigsys_that_somebody_sent_changes_nothing(void **st)
{
    (void)st;
    if (!filters_work()) {
        skip();
    }
    assert_int_equal(in_child(SECCOMP_WORKER, takes_a_stray_signal), 0);
}

/* ---- privileges and limits ---- */

static struct config *config_of_me(bool sandbox)
{
    struct config *c = xcalloc(1, sizeof(*c));

    c->server.user = "root"; /* whoever we are, we stay it */
    c->server.sandbox = sandbox;
    c->limits.spool = 1u << 20;
    return c;
}

static bool has_capabilities(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];

    memset(data, 0, sizeof(data));
    if (syscall(SYS_capget, &head, data) != 0) {
        return true;
    }
    return (data[0].effective | data[0].permitted | data[0].inheritable | data[1].effective |
            data[1].permitted | data[1].inheritable) != 0;
}

static bool limit_is(int resource, rlim_t value)
{
    struct rlimit r;

    return getrlimit((__rlimit_resource_t)resource, &r) == 0 && r.rlim_cur == value && r.rlim_max == value;
}

static int entered_worker(const struct config *c)
{
    int fd;

    if (sandbox_enter(c, SECCOMP_WORKER) != SANDBOX_OK) {
        return 1;
    }
    if (has_capabilities()) {
        return 2;
    }
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0) {
        return 3;
    }
    if (!limit_is(RLIMIT_CORE, 0) || !limit_is(RLIMIT_FSIZE, 1u << 20) ||
        !(seccomp_is_widened() || limit_is(RLIMIT_NPROC, 0))) {
        return 4;
    }
    sandbox_seal(c, SECCOMP_WORKER);
    fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 && (pwrite(fd, "x", 1, 1u << 20) >= 0 || errno != EFBIG)) {
        return 5; /* an error, not SIGXFSZ */
    }
    return 0;
}

static void a_worker_keeps_no_capability_and_no_core(void **st)
{
    struct config *c = config_of_me(true);
    int status = -1;
    pid_t pid = fork();

    (void)st;
    if (pid == 0) {
        _exit(entered_worker(c));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(c);
}

static int left_open(const struct config *c)
{
    struct seen seen = { 0, false };

    log_set_sink(on_line, &seen);
    sandbox_seal(c, SECCOMP_WORKER);
    return seen.lines == 1 && listen(socket(AF_INET, SOCK_STREAM, 0), 5) == 0 ? 0 : 1;
}

static void with_sandbox_false_there_is_a_warning_and_no_filter(void **st)
{
    struct config *c = config_of_me(false);
    int status = -1;
    pid_t pid = fork();

    (void)st;
    if (pid == 0) {
        _exit(left_open(c));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(c);
}

static int supervises(const struct config *c)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    uint32_t kept = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_SETUID | 1u << CAP_SETGID | 1u << CAP_KILL |
                    1u << CAP_CHOWN | 1u << CAP_DAC_OVERRIDE;

    sandbox_supervisor(c);
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0 || !limit_is(RLIMIT_CORE, 0)) {
        return 3;
    }
    memset(data, 0, sizeof(data));
    if (syscall(SYS_capget, &head, data) != 0 || (data[0].permitted & ~kept) != 0 || data[1].permitted != 0) {
        return 1;
    }
    if (geteuid() == 0 && !(data[0].effective & 1u << CAP_SETUID)) {
        return 0; /* root without capabilities: a container's */
    }
    return geteuid() != 0 || prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0 ? 0 : 2;
}

static void the_supervisor_keeps_what_it_needs_alone(void **st)
{
    struct config *c = config_of_me(true);
    int status = -1;
    pid_t pid = fork();

    (void)st;
    if (pid == 0) {
        _exit(supervises(c));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(c);
}

/* ---- the stack ---- */

#if defined(__x86_64__) && !defined(__ILP32__)
static uint64_t canary(void)
{
    uint64_t value;

    __asm__ volatile("movq %%fs:0x28, %0" : "=r"(value));
    return value;
}

/* The compiler protects this function with the canary. */
static __attribute__((noinline)) bool guarded(const char *text)
{
    volatile char copy[64];

    for (size_t i = 0; i < sizeof(copy); i++) {
        copy[i] = text[i % 4];
    }
    return copy[5] == text[1];
}

static void *in_a_thread(void *arg)
{
    *(uint64_t *)arg = canary();
    return guarded("abcd") ? arg : NULL;
}

NORETURN static void tells_its_canary(int fd)
{
    uint64_t mine, of_thread = 0;
    pthread_t t;

    canary_set(canary_new());
    mine = canary();
    if (!guarded("abcd") || pthread_create(&t, NULL, in_a_thread, &of_thread) != 0 ||
        pthread_join(t, NULL) != 0 || of_thread != mine) {
        _exit(1);
    }
    _exit(write(fd, &mine, sizeof(mine)) == sizeof(mine) ? 0 : 2);
}

static void each_child_has_a_canary_of_its_own(void **st)
{
    uint64_t seen[2] = { 0, 0 };
    int pair[2];

    (void)st;
    assert_int_equal(pipe(pair), 0);
    for (size_t i = 0; i < ARRAY_LEN(seen); i++) {
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
            tells_its_canary(pair[1]);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(read(pair[0], &seen[i], sizeof(seen[i])), sizeof(seen[i]));
        assert_int_equal(seen[i] & 0xff, 0);
        assert_true(seen[i] != canary());
    }
    assert_true(seen[0] != seen[1]);
    close(pair[0]);
    close(pair[1]);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#if defined(__x86_64__) && !defined(__ILP32__)
        { "C1: each child has a stack canary of its own", each_child_has_a_canary_of_its_own, NULL, NULL,
          NULL },
#endif
        cmocka_unit_test(what_a_role_does_not_need_is_refused_and_counted),
        cmocka_unit_test(what_only_an_intruder_would_do_is_death),
        cmocka_unit_test(what_a_role_needs_works_and_nothing_is_counted),
        cmocka_unit_test(a_bug_ends_in_sigabrt_as_ever),
        cmocka_unit_test(a_refused_call_is_logged_once_by_name),
        cmocka_unit_test(a_sigsys_that_somebody_sent_changes_nothing),
        cmocka_unit_test(a_worker_keeps_no_capability_and_no_core),
        cmocka_unit_test(with_sandbox_false_there_is_a_warning_and_no_filter),
        { "C12: the supervisor keeps what it needs alone, and cannot be looked into",
          the_supervisor_keeps_what_it_needs_alone, NULL, NULL, NULL },
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
