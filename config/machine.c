/* SPDX-License-Identifier: Apache-2.0 */
/*
 * machine.c - finds the machine's name and the number of processors that we may use.
 *
 * The full name comes from the kernel or the hosts file, never from DNS.  A reload must not wait for DNS, and the
 * name in the banner must not depend on whether a server answered at the start.
 *
 * Reads small files, so only a load may call it.
 */
#include "config/load_priv.h"

#include <fcntl.h>
#include <sched.h>

#include "config/textfile.h"

#define NAME_MAX_LEN 254
#define HOSTS_FILE "/etc/hosts"
#define HOSTS_MAX ((size_t)8 << 20)
#define AUTO_WORKERS_MAX 8

static const char *lowered(struct load *l, struct slice name)
{
    char *copy = load_memory(l, name.len + 1);

    for (size_t i = 0; i < name.len; i++) {
        copy[i] = ascii_lower(name.ptr[i]);
    }
    return copy;
}

static bool is_full_name(struct slice name)
{
    struct addr ip;

    return hostname_valid(name) && slice_find(name, '.') < name.len && !addr_parse_ip(name, &ip) &&
           !slice_starts_nocase(name, SLICE("localhost."));
}

static bool read_own_name(char name[NAME_MAX_LEN])
{
    memset(name, 0, NAME_MAX_LEN);
    return gethostname(name, NAME_MAX_LEN - 1) == 0;
}

const char *machine_shortname(struct load *l)
{
    char name[NAME_MAX_LEN];
    struct slice label = SLICE_NONE;

    if (read_own_name(name)) {
        label = slice_str(name);
        label = slice_take(label, slice_find(label, '.'));
    }
    return lowered(l, hostname_valid(label) ? label : SLICE("localhost"));
}

struct slice machine_name_in_hosts(struct slice hosts, struct slice name)
{
    struct slice line, word;
    size_t line_no = 0;

    while (textfile_next(&hosts, &line_no, &line)) {
        struct slice full = SLICE_NONE;
        bool ours = false;

        (void)slice_token(&line); /* the address */
        while (!slice_empty(word = slice_token(&line))) {
            ours = ours || slice_eq_nocase(word, name);
            full = slice_empty(full) && is_full_name(word) ? word : full;
        }
        if (ours && !slice_empty(full)) {
            return full;
        }
    }
    return SLICE_NONE;
}

static const char *name_by_hosts(struct load *l, struct slice name)
{
    const char *result = "";
    struct slice found;
    struct buf b;

    buf_init(&b, HOSTS_MAX);
    if (textfile_read(HOSTS_FILE, &b) == NULL) {
        found = machine_name_in_hosts(buf_slice(&b), name);
        result = slice_empty(found) ? "" : lowered(l, found);
    }
    buf_fini(&b);
    return result;
}

const char *machine_hostname(struct load *l)
{
    const char *given = getenv("GLACIS_HOSTNAME");
    char name[NAME_MAX_LEN];

    if (given != NULL && given[0] != '\0') {
        return lowered(l, slice_str(given)); /* validated as if it were in the file */
    }
    if (!read_own_name(name)) {
        return "";
    }
    if (is_full_name(slice_str(name))) {
        return lowered(l, slice_str(name));
    }
    return name_by_hosts(l, slice_str(name));
}

/* Reads a small file of the kernel; empty if that fails. */
static struct slice read_small(const char *path, char *mem, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;

    if (fd >= 0) {
        n = read(fd, mem, size);
        close(fd);
    }
    return slice_of(mem, n > 0 ? (size_t)n : 0);
}

/* Reads cgroup v2 cpu.max: "QUOTA PERIOD" or "max PERIOD".  Rounds up; returns `most` without a quota. */
static unsigned quota_of(const char *path, unsigned most)
{
    char mem[64];
    struct slice text = read_small(path, mem, sizeof(mem));
    uint64_t quota, period;

    text = slice_take(text, slice_find(text, '\n'));
    if (!slice_to_u64(slice_token(&text), UINT32_MAX, &quota) ||
        !slice_to_u64(slice_token(&text), UINT32_MAX, &period) || period == 0) {
        return most;
    }
    return (unsigned)min_u64(most, quota / period + (quota % period != 0));
}

/* The smallest quota of our cgroup and its ancestors. */
static unsigned cgroup_quota(unsigned most)
{
    char mem[4096], path[4200];
    struct slice text = read_small("/proc/self/cgroup", mem, sizeof(mem));
    struct slice group = SLICE_NONE;
    struct buf b;

    while (!slice_empty(text)) {
        struct slice line = slice_cut(&text, '\n');

        if (slice_starts(line, SLICE("0::/"))) {
            group = slice_skip(line, 3);
        }
    }
    for (;;) {
        buf_init_fixed(&b, path, sizeof(path));
        buf_putf(&b, "/sys/fs/cgroup" SLICE_FMT "/cpu.max", SLICE_ARG(group));
        most = buf_ok(&b) ? quota_of(path, most) : most;
        if (slice_empty(group)) {
            return most;
        }
        group = slice_take(group, slice_rfind(group, '/'));
    }
}

unsigned machine_workers(void)
{
    cpu_set_t set;
    unsigned count = 1;

    if (sched_getaffinity(0, sizeof(set), &set) == 0) {
        count = (unsigned)CPU_COUNT(&set);
    }
    count = cgroup_quota(count < AUTO_WORKERS_MAX ? count : AUTO_WORKERS_MAX);
    return count > 0 ? count : 1;
}
