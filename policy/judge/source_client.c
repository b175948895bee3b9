/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source_client.c - remembered facts about the client's address: client.first_seen, .rate, .connections
 * (source.h).
 *
 * Exempt clients are not looked up.
 */
#include "policy/judge/engine_priv.h"
#include "state/clients.h"

struct client_state {
    struct memory_op *op; /* NULL: no lookup is pending */
    struct memory_record seen;
};

/* ---- client.first_seen, client.rate ---- */

const struct memory_record *source_client_seen(const struct judge *j)
{
    const struct client_state *st = source_state(j, SOURCE_CLIENT);

    return &st->seen;
}

static void on_client(void *arg, const struct memory_answer *a)
{
    struct judge *j = arg;
    struct client_state *st = source_state(j, SOURCE_CLIENT);

    st->op = NULL;
    st->seen = a->record[0];
    source_set_unknown(j, &source_client);
    if (a->record[0].known) {
        int64_t age = wall_now_s() - a->record[0].since_s;

        fact_set_duration(&j->facts, FACT_ID_CLIENT_FIRST_SEEN, (uint64_t)(age > 0 ? age : 0) * 1000);
    }
    if (a->record[1].known) {
        fact_set_number(&j->facts, FACT_ID_CLIENT_RATE, (int64_t)a->record[1].count * 1000);
    }
    engine_changed(j);
}

static bool start(struct judge *j, void *state)
{
    struct addr client = addr_client(&j->ip);
    struct client_state *st = state;
    char mem[ADDR_TEXT_MAX];
    struct memory_question q[2];
    struct buf b;

    if (!source_remembers(j)) {
        source_set_unknown(j, &source_client);
        return false;
    }
    buf_init_fixed(&b, mem, sizeof(mem));
    addr_put_ip(&b, &client);
    q[0] = (struct memory_question){ .what = MEMORY_SEEN,
                                     .key = memory_key(MEMORY_CLIENT, buf_slice(&b)),
                                     .keep_s = STANDING_SEEN_KEEP_S };
    q[1] = (struct memory_question){ .what = MEMORY_RATE, .key = q[0].key };
    st->op = memory_ask(j->pw->memory, q, 2, wall_now_s(), on_client, j);
    return true;
}

static void drop(struct judge *j, void *state, enum fact_scope scope)
{
    struct client_state *st = state;

    (void)j;
    (void)scope;
    memory_cancel(&st->op);
}

static void give_up(struct judge *j, void *state)
{
    drop(j, state, SCOPE_SESSION);
    source_set_unknown(j, &source_client);
}

static bool busy(const struct judge *j, const void *state)
{
    const struct client_state *st = state;

    (void)j;
    return st->op != NULL;
}

/* Does the state hold an answer?  Facts are unpacked before states. */
static bool has_record(const struct judge *j)
{
    return source_remembers(j) && judge_state(j, FACT_ID_CLIENT_FIRST_SEEN) != FACT_IDLE;
}

static void pack(const struct judge *j, const void *state, struct buf *out)
{
    const struct client_state *st = state;

    buf_put(out, &st->seen, has_record(j) ? sizeof(st->seen) : 0);
}

static void unpack(struct judge *j, void *state, struct slice *in)
{
    struct client_state *st = state;

    source_take(in, &st->seen, has_record(j) ? sizeof(st->seen) : 0);
}

/* ---- client.connections ---- */

static bool start_connections(struct judge *j, void *state)
{
    struct facts *f = &j->facts;

    (void)state;
    if (j->pw->state != NULL && !j->exempt) {
        struct addr client = addr_client(&j->ip);

        fact_set_number(f, FACT_ID_CLIENT_CONNECTIONS,
                        (int64_t)state_client_connections(j->pw->state, &client) * 1000);
    } else if (j->pw->connections > 0 && !j->exempt) {
        fact_set_number(f, FACT_ID_CLIENT_CONNECTIONS, (int64_t)j->pw->connections * 1000);
    } else {
        fact_set_unknown(f, FACT_ID_CLIENT_CONNECTIONS);
    }
    return false;
}

static const uint8_t facts[] = { FACT_ID_CLIENT_FIRST_SEEN, FACT_ID_CLIENT_RATE, FACT_END };
static const uint8_t connections_facts[] = { FACT_ID_CLIENT_CONNECTIONS, FACT_END };

const struct source source_client = {
    .facts = facts,
    .state_size = sizeof(struct client_state),
    .scope = SCOPE_SESSION,
    .remembered = true,
    .start = start,
    .give_up = give_up,
    .drop = drop,
    .busy = busy,
    .pack = pack,
    .unpack = unpack,
};

const struct source source_connections = {
    .facts = connections_facts,
    .scope = SCOPE_SESSION,
    .remembered = true,
    .start = start_connections,
};
