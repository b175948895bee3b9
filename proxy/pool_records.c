/*
 * pool_records.c - the servers' records in the shared state: made, found, forgotten.
 *
 * A server has two: its own, and one whose tickets are the share of envelopes.  Both last for as long as a
 * configuration that is in use names the server; a record that is forgotten too early would be given to
 * another server while connections still count in it.
 */
#include "proxy/pool.h"

/* The share of envelopes has tickets of its own: a second record, beside the server's. */
static void put_share_name(struct buf *name, const char *server)
{
    buf_init(name, 1024);
    buf_put_str(name, server);
    buf_put_str(name, "#envelopes");
}

int pool_find_share(const struct state *st, const char *server)
{
    struct buf name;
    int index;

    put_share_name(&name, server);
    index = buf_ok(&name) ? state_server_find(st, name.ptr) : -1;
    buf_fini(&name);
    return index;
}

static void make_share(struct state *st, const char *server)
{
    struct buf name;

    put_share_name(&name, server);
    if (buf_ok(&name)) {
        (void)state_server(st, name.ptr); /* -1: each process counts its own envelopes */
    }
    buf_fini(&name);
}

void upstreams_register(struct state *st, const struct config *conf)
{
    for (size_t i = 0; i < conf->upstream_count; i++) {
        for (size_t k = 0; k < conf->upstreams[i].server_count; k++) {
            (void)state_server(st, conf->upstreams[i].server[k].text);
        }
    }
    for (size_t i = 0; i < conf->upstream_count; i++) { /* after all that are needed more */
        for (size_t k = 0; k < conf->upstreams[i].server_count; k++) {
            make_share(st, conf->upstreams[i].server[k].text);
        }
    }
}

/* Is the record the server's own, or that of its share? */
static bool is_record_of(const char *server, const char *record)
{
    struct buf name;
    bool same;

    put_share_name(&name, server);
    same = strcmp(server, record) == 0 || (buf_ok(&name) && strcmp(name.ptr, record) == 0);
    buf_fini(&name);
    return same;
}

static bool names_record(const struct config *conf, const char *record)
{
    for (size_t i = 0; conf != NULL && i < conf->upstream_count; i++) {
        for (size_t k = 0; k < conf->upstreams[i].server_count; k++) {
            if (is_record_of(conf->upstreams[i].server[k].text, record)) {
                return true;
            }
        }
    }
    return false;
}

struct sweep {
    const struct config *const *confs;
    size_t count;
};

static bool is_wanted(void *arg, const char *record)
{
    const struct sweep *s = arg;

    for (size_t i = 0; i < s->count; i++) {
        if (names_record(s->confs[i], record)) {
            return true;
        }
    }
    return false;
}

void upstreams_sweep(struct state *st, const struct config *const *confs, size_t count)
{
    struct sweep s = { confs, count };

    state_servers_sweep(st, is_wanted, &s);
}
