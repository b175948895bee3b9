/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.c - what the history costs: octets and microseconds a message, time of a lookup by each kind.  Built by
 * `ninja bench_history`.
 *
 *     bench_history [MESSAGES [DIR]]     200,000 messages over 30 days, in a new folder under DIR (/tmp), which is removed
 *
 * Messages come in batches of 500, as a recorder commits them, with its upkeep.  Each kind of lookup is asked LOOKUPS times for a message
 * drawn from all, by a reader of its own, with the newest 20 rows wanted; the second pass has the files in the page cache.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "core/slice.h"
#include "history/history.h"
#include "history/lookup.h"
#include "test/unit/history/traffic.h"

enum { BATCH = 500, LOOKUPS = 100, SAMPLES = 100, LIMIT = 20, DAYS = 30 };
#define BEGIN_MS ((int64_t)1790000000000)

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void remove_folder(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.') {
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    (void)rmdir(dir);
}

static uint64_t folder_size(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    uint64_t sum = 0;

    while (d != NULL && (e = readdir(d)) != NULL) {
        struct stat st;

        if (e->d_name[0] != '.' && fstatat(dirfd(d), e->d_name, &st, 0) == 0) {
            sum += (uint64_t)st.st_blocks * 512;
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    return sum;
}

static void add_message(struct history *h, const struct message *m, uint64_t *number)
{
    const struct history_source source = { 0, 1 };
    struct record_writer w;

    BUG_ON(!history_add(h, &source, traffic_write_message(&w, m, (struct traffic_from){ 1, ++*number })));
    for (unsigned i = 0; i < m->rcpts; i++) {
        BUG_ON(!history_add(h, &source,
                            traffic_write_recipient(&w, m, i, (struct traffic_from){ 1, ++*number })));
    }
}

static void write_all(struct history *h, uint64_t messages, struct message *samples)
{
    struct traffic t = { .state = 1, .people = 20000, .domains = 5000, .networks = 8000 };
    int64_t step_ms = (int64_t)DAYS * 86400000 / (int64_t)messages, now_ms = BEGIN_MS;
    uint64_t number = 0, begun = now_us(), cpu = cpu_us(), slowest = 0;

    for (uint64_t i = 0; i < messages; i++) {
        struct message m;

        now_ms += step_ms;
        traffic_message(&t, now_ms, &m);
        if (i % (messages / SAMPLES) == 0 && i / (messages / SAMPLES) < SAMPLES) {
            samples[i / (messages / SAMPLES)] = m;
        }
        add_message(h, &m, &number);
        if (i % BATCH == BATCH - 1 || i == messages - 1) {
            uint64_t at = now_us();

            BUG_ON(!history_commit(h, now_ms));
            slowest = now_us() - at > slowest ? now_us() - at : slowest;
            while (i % (BATCH * 20) == BATCH - 1 && history_tidy(h, now_ms)) {
                ;
            }
        }
    }
    begun = now_us() - begun;
    cpu = cpu_us() - cpu;
    printf("write     %" PRIu64 " messages, %" PRIu64
           " records: %.1f us a message (%.1f us CPU), slowest batch %.1f ms\n",
           messages, number, (double)begun / (double)messages, (double)cpu / (double)messages,
           (double)slowest / 1000);
}

enum kind {
    BY_ID = 0,
    BY_ENDING,
    BY_CLIENT,
    BY_SENDER,
    BY_AUTHOR,
    BY_RECIPIENT,
    BY_DOMAIN,
    BY_MESSAGE_ID,
    KIND_COUNT
};
static const char *const kind_names[] = { "id",     "ending",    "client", "sender",
                                          "author", "recipient", "domain", "message-id" };

static void make_query(const struct message *m, enum kind kind, char mem[96], struct history_query *q)
{
    struct buf b;

    memset(q, 0, sizeof(*q));
    q->limit = LIMIT;
    buf_init_fixed(&b, mem, 96);
    switch (kind) {
    case BY_ID:
    case BY_ENDING:
        record_id_put(&b, &m->id);
        BUG_ON(!record_id_parse_ending(slice_skip(buf_slice(&b), kind == BY_ENDING ? 20 : 0), &q->id));
        break;
    case BY_CLIENT:
        q->client = (struct cidr){ m->client, m->client.family == ADDR_V4 ? 32 : 128 };
        break;
    case BY_SENDER:
        q->sender = traffic_sender(m, mem);
        break;
    case BY_AUTHOR:
        q->author = traffic_author(m, mem);
        break;
    case BY_RECIPIENT:
        q->recipient = traffic_rcpt(m, 0, mem);
        break;
    case BY_DOMAIN:
        q->domain = lookup_domain(traffic_sender(m, mem));
        break;
    case BY_MESSAGE_ID:
        q->message_id = traffic_message_id(m, mem);
        break;
    case KIND_COUNT:
        break;
    }
}

static void look_up(struct history *h, const struct message *samples, enum kind kind)
{
    uint64_t sum = 0, worst = 0, rows = 0, cpu = cpu_us();

    for (unsigned i = 0; i < LOOKUPS; i++) {
        struct history_query q;
        struct history_cursor *c;
        struct record r;
        char mem[96];
        uint64_t at = now_us(), found = rows;

        make_query(&samples[i % SAMPLES], kind, mem, &q);
        c = history_find(h, &q);
        while (history_next(c, &r)) {
            rows++;
        }
        history_cursor_free(&c);
        BUG_ON(rows == found);
        at = now_us() - at;
        sum += at;
        worst = at > worst ? at : worst;
    }
    printf("  %-11s mean %7.2f ms (CPU %6.2f ms)   worst %7.2f ms   rows %5.1f\n", kind_names[kind],
           (double)sum / LOOKUPS / 1000, (double)(cpu_us() - cpu) / LOOKUPS / 1000, (double)worst / 1000,
           (double)rows / LOOKUPS);
}

int main(int argc, char **argv)
{
    uint64_t messages = 200000;
    struct history_settings settings = { .hash_key = SLICE("a key of the benchmark"),
                                         .keep_s = 400 * 86400,
                                         .max_bytes = UINT64_MAX };
    struct message samples[SAMPLES];
    struct history *h;
    struct buf dir;
    uint64_t size;

    if (argc > 1 && (!slice_to_u64(slice_str(argv[1]), 100000000, &messages) || messages < 1000)) {
        fprintf(stderr, "usage: bench_history [MESSAGES [DIR]]\n");
        return 2;
    }
    buf_init(&dir, 4096);
    buf_putf(&dir, "%s/bench-history-XXXXXX", argc > 2 ? argv[2] : "/tmp");
    BUG_ON(mkdtemp(dir.ptr) == NULL);
    settings.dir = dir.ptr;
    h = history_open_write(&settings);
    write_all(h, messages, samples);
    history_close(&h);
    size = folder_size(dir.ptr);
    printf("size      %.1f MiB, %.1f octets a message\n", (double)size / 1048576,
           (double)size / (double)messages);
    h = history_open_read(&settings);
    for (unsigned pass = 0; pass < 2; pass++) {
        printf("lookups   pass %u, the newest %d rows\n", pass + 1, LIMIT);
        for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
            look_up(h, samples, (enum kind)kind);
        }
    }
    history_close(&h);
    remove_folder(dir.ptr);
    buf_fini(&dir);
    return 0;
}
