/*
 * engine_facts.c - facts of checks that are not sources yet (engine.h).
 */
#include "policy/judge/engine.h"

void facts_init(struct judge *j)
{
    fact_set_ip(&j->facts, FACT_ID_CLIENT_IP, &j->ip);
    fact_set_flag(&j->facts, FACT_ID_PROTOCOL_PREGREET, false);
    fact_set_text(&j->facts, FACT_ID_TLS_VERSION, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_TLS_CIPHER, SLICE_NONE);
    fact_set_text(&j->facts, FACT_ID_TLS_CLIENT_SUBJECT, SLICE_NONE);
}

void facts_derive(struct judge *j)
{
    do {
        j->derive_again = false;
        lists_derive(j);
        sources_derive(j);
        memory_derive(j);
    } while (j->derive_again);
}

static void start_state(struct judge *j)
{
    struct facts *f = &j->facts;

    if (j->pw->state != NULL && !j->exempt) {
        struct addr client = addr_client(&j->ip);

        fact_set_number(f, FACT_ID_CLIENT_CONNECTIONS,
                        (int64_t)state_client_connections(j->pw->state, &client) * 1000);
    } else if (j->pw->connections > 0 && !j->exempt) {
        fact_set_number(f, FACT_ID_CLIENT_CONNECTIONS, (int64_t)j->pw->connections * 1000);
    } else {
        fact_set_unknown(f, FACT_ID_CLIENT_CONNECTIONS);
    }
}

void facts_start(struct judge *j, enum source_id source)
{
    if (source < SOURCE_COUNT) {
        source_start(j, source);
    } else if (source == SOURCE_LISTS) {
        lists_start(j);
    } else if (source == SOURCE_ZERO_DAY) {
        lists_start(j);
        memory_start_zero_day(j);
    } else if (source == SOURCE_FRESH) {
        memory_start_zero_day(j);
    } else if (source == SOURCE_CLIENT) {
        memory_start_client(j);
    } else if (source == SOURCE_STANDING) {
        memory_start_standing(j);
    } else if (source == SOURCE_REASON) {
        lists_start(j);
        j->reason_asked = true;
    } else if (source == SOURCE_STATE) {
        start_state(j);
    }
    facts_derive(j);
}

static void give_up_lists(struct judge *j, enum source_id source)
{
    if (source == SOURCE_ZERO_DAY) {
        memory_give_up(j, false);
    }
    if (judge_state(j, FACT_ID_CLIENT_RDNS) == FACT_PENDING) {
        source_give_up(j, SOURCE_RDNS);
    }
    j->late_asked = true; /* what nobody asked in time has no answer either */
    lists_start(j);
    if (j->run != NULL) {
        reputation_expire(j->run);
    }
}

void facts_give_up(struct judge *j, enum source_id source)
{
    if (source < SOURCE_COUNT) {
        source_give_up(j, source);
    } else if (source == SOURCE_STANDING || source == SOURCE_FRESH) {
        memory_give_up(j, source == SOURCE_STANDING);
    } else if (source == SOURCE_CLIENT) {
        memory_cancel(&j->mem.client_op);
        j->mem.client_done = true;
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_FIRST_SEEN);
        fact_set_unknown(&j->facts, FACT_ID_CLIENT_RATE);
    } else if (source != SOURCE_STATE) {
        give_up_lists(j, source);
    }
    facts_derive(j);
}

/* What lives as long as a transaction. */
static void drop_transaction(struct judge *j)
{
    if (j->run != NULL) {
        reputation_drop_subject(j->run, SUBJECT_SENDER);
        reputation_unwant(j->run, RUN_LATE);
    }
    j->late_asked = j->reason_asked = false;
    j->sender = SLICE_NONE;
    j->sender_null = false;
}

static void drop_helo(struct judge *j)
{
    if (j->run != NULL) {
        reputation_drop_subject(j->run, SUBJECT_HELO);
    }
    j->helo_raw = SLICE_NONE;
}

void facts_drop(struct judge *j, enum fact_scope scope)
{
    memory_drop(j, scope);
    sources_drop(j, scope);
    if (scope <= SCOPE_SESSION) {
        reputation_run_free(&j->run);
    }
    if (scope <= SCOPE_HELO) {
        drop_helo(j);
    }
    if (scope <= SCOPE_TXN) {
        drop_transaction(j);
    }
    facts_forget(&j->facts, scope);
    j->lists_seen.valid = false;
    for (size_t s = scope; s < SCOPE_COUNT; s++) {
        arena_fini(&j->arena[s]);
    }
}
