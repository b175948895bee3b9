/*
 * servers.c - upstream servers over all processes: tickets, waiting, keywords, health, rate.
 *
 * A ticket is the right to hold one connection; it names the slot of its owner, so the tickets of a
 * killed process are found and given back.  All of it is single atomic words moved by compare and swap.
 * The names of the records lie in struct names, which the supervisor fills before the fork.
 */
#include "state/shared.h"

#define HEALTH_DOWN (1ULL << 63)
#define HEALTH_COUNT_MAX 0x7fffffffu
#define PROBE_SLACK_MS 3600000u

static bool server_valid(int server)
{
    return server >= 0 && server < STATE_SERVERS;
}

int state_server_find(const struct state *s, const char *text)
{
    for (int i = 0; i < s->names.servers && text[0] != '\0'; i++) {
        if (strcmp(s->names.server[i], text) == 0)
            return i;
    }
    return -1;
}

int state_server(struct state *s, const char *text)
{
    int found = state_server_find(s, text);
    size_t len = strlen(text);

    if (found >= 0 || len == 0 || len >= SERVER_TEXT_MAX)
        return found;
    for (int i = 0; i < STATE_SERVERS; i++) {
        if (s->names.server[i][0] != '\0')
            continue;
        memset(&s->sh->server[i], 0, sizeof(s->sh->server[i]));
        memcpy(s->names.server[i], text, len + 1);
        if (i >= s->names.servers)
            s->names.servers = i + 1;
        return i;
    }
    return -1;
}

void state_servers_sweep(struct state *s, bool (*wanted)(void *arg, const char *text), void *arg)
{
    for (int i = 0; i < s->names.servers; i++) {
        if (s->names.server[i][0] != '\0' && !wanted(arg, s->names.server[i]))
            s->names.server[i][0] = '\0';
    }
}

/* ---- tickets ---- */

static unsigned width_of(const struct server *sv)
{
    return (unsigned)min_size(sv->widest, STATE_TICKETS);
}

static void widen(struct server *sv, uint32_t cap)
{
    uint32_t old = sv->widest;

    while (old < cap && !atomic_compare_exchange_strong(&sv->widest, &old, cap))
        ;
}

static bool swap_ticket(struct server *sv, int ticket, uint32_t from, uint32_t to)
{
    return atomic_compare_exchange_strong(&sv->ticket[ticket], &from, to);
}

static uint32_t my_mark(const struct state *s)
{
    return (uint32_t)(s->my_slot + 1);
}

unsigned state_tickets_used(const struct state *s, int server)
{
    const struct server *sv;
    unsigned n = 0, width;

    if (!server_valid(server))
        return 0;
    sv = &s->sh->server[server];
    width = width_of(sv);
    for (unsigned i = 0; i < width; i++)
        n += sv->ticket[i] != 0;
    return n;
}

int state_ticket_take(struct state *s, int server, unsigned cap)
{
    struct server *sv;

    if (!server_valid(server) || s->my_slot < 0)
        return -1;
    sv = &s->sh->server[server];
    cap = cap < STATE_TICKETS ? cap : STATE_TICKETS;
    widen(sv, cap);
    if (state_tickets_used(s, server) >= cap) /* an older generation with a larger cap counts too */
        return -1;
    for (unsigned i = 0; i < cap; i++) {
        if (sv->ticket[i] == 0 && swap_ticket(sv, (int)i, 0, my_mark(s)))
            return (int)i;
    }
    return -1;
}

/* The ticket, if it is really this process's own. */
static struct server *own_ticket(struct state *s, int server, int ticket)
{
    struct server *sv;

    if (!server_valid(server) || ticket < 0 || ticket >= STATE_TICKETS || s->my_slot < 0)
        return NULL;
    sv = &s->sh->server[server];
    return (sv->ticket[ticket] & ~TICKET_IDLE) == my_mark(s) ? sv : NULL;
}

void state_ticket_return(struct state *s, int server, int ticket)
{
    struct server *sv = own_ticket(s, server, ticket);

    if (sv != NULL)
        sv->ticket[ticket] = 0;
}

static unsigned idle_tickets(const struct server *sv)
{
    unsigned n = 0, width = width_of(sv);

    for (unsigned i = 0; i < width; i++)
        n += (sv->ticket[i] & TICKET_IDLE) != 0;
    return n;
}

bool state_ticket_idle(struct state *s, int server, int ticket, unsigned keep_idle)
{
    struct server *sv = own_ticket(s, server, ticket);

    if (sv == NULL || keep_idle == 0)
        return false;
    if (sv->ticket[ticket] & TICKET_IDLE)
        return true;
    sv->ticket[ticket] = my_mark(s) | TICKET_IDLE;
    if (idle_tickets(sv) <= keep_idle)
        return true;
    sv->ticket[ticket] = my_mark(s); /* two at a time: one too few is better than one too many */
    return false;
}

void state_ticket_busy(struct state *s, int server, int ticket)
{
    struct server *sv = own_ticket(s, server, ticket);

    if (sv != NULL)
        sv->ticket[ticket] = my_mark(s);
}

/* ---- waiting ---- */

void state_waiting_since(struct state *s, int server, uint64_t oldest_ms)
{
    if (server_valid(server) && s->my_slot >= 0)
        s->sh->server[server].waiting[s->my_slot] = oldest_ms;
}

/* The slot with the oldest waiter, `but` left out; -1 if none waits. */
static int oldest_waiter(const struct state *s, int server, int but, uint64_t *since_ms)
{
    uint64_t slots = s->processes->taken;
    int found = -1;

    *since_ms = 0;
    while (slots != 0) {
        int i = next_slot(&slots);
        uint64_t at = s->sh->server[server].waiting[i];

        if (i == but || at == 0 || (found >= 0 && at >= *since_ms))
            continue;
        *since_ms = at;
        found = i;
    }
    return found;
}

uint64_t state_others_waiting_since(const struct state *s, int server)
{
    uint64_t at = 0;

    if (server_valid(server))
        (void)oldest_waiter(s, server, s->my_slot, &at);
    return at;
}

void state_wake_waiter(struct state *s, int server)
{
    uint64_t at;
    int slot;

    if (!server_valid(server))
        return;
    slot = oldest_waiter(s, server, -1, &at);
    if (slot >= 0)
        wake(s->wake_fd[slot]);
}

int state_wake_fd(const struct state *s)
{
    return s->my_slot >= 0 ? s->wake_fd[s->my_slot] : -1;
}

void state_wake_drain(struct state *s)
{
    uint64_t n;
    ssize_t r;

    if (s->my_slot < 0)
        return;
    r = read(s->wake_fd[s->my_slot], &n, sizeof(n));
    (void)r; /* EAGAIN: nothing was there */
}

/* The ticket belongs to no worker: its owner is gone, or a hostile process forged it. */
static bool is_orphan(const struct state *s, uint32_t ticket)
{
    uint32_t owner = ticket & ~TICKET_IDLE;

    return ticket != 0 &&
           (owner == 0 || owner > STATE_SLOTS || !(s->processes->taken & WORKER_SLOTS & 1ULL << (owner - 1)));
}

void servers_release_slot(struct state *s, int slot)
{
    for (int i = 0; i < s->names.servers; i++) {
        struct server *sv = &s->sh->server[i];
        unsigned freed = 0;

        if (s->names.server[i][0] == '\0')
            continue;
        sv->waiting[slot] = 0;
        for (unsigned t = 0; t < STATE_TICKETS; t++) {
            if (!is_orphan(s, sv->ticket[t]))
                continue;
            sv->ticket[t] = 0;
            freed++;
        }
        if (freed > 0)
            state_wake_waiter(s, i);
    }
}

/* ---- keywords: bits of one word, so they change together ---- */

enum {
    KEYWORD_KNOWN = 1,
    KEYWORD_PIPELINING = 2,
    KEYWORD_8BITMIME = 4,
    KEYWORD_SMTPUTF8 = 8,
    KEYWORD_DSN = 16,
    KEYWORD_SIZE = 32,
    KEYWORD_STARTTLS = 64,
    KEYWORD_CHUNKING = 128,
    KEYWORD_XCLIENT = 256,
    KEYWORD_XFORWARD = 512,
    KEYWORD_ENHANCED = 1024,
};

void state_keywords_set(struct state *s, int server, const struct state_keywords *k)
{
    struct server *sv;
    uint64_t bits = 0;

    if (!server_valid(server))
        return;
    sv = &s->sh->server[server];
    bits |= k->known ? KEYWORD_KNOWN : 0;
    bits |= k->pipelining ? KEYWORD_PIPELINING : 0;
    bits |= k->eightbitmime ? KEYWORD_8BITMIME : 0;
    bits |= k->smtputf8 ? KEYWORD_SMTPUTF8 : 0;
    bits |= k->dsn ? KEYWORD_DSN : 0;
    bits |= k->size_offered ? KEYWORD_SIZE : 0;
    bits |= k->starttls ? KEYWORD_STARTTLS : 0;
    bits |= k->chunking ? KEYWORD_CHUNKING : 0;
    bits |= k->xclient ? KEYWORD_XCLIENT : 0;
    bits |= k->xforward ? KEYWORD_XFORWARD : 0;
    bits |= k->enhanced ? KEYWORD_ENHANCED : 0;
    sv->keywords_size = k->size;
    sv->keywords_at_ms = k->at_ms;
    sv->keywords = bits;
}

void state_keywords_get(const struct state *s, int server, struct state_keywords *out)
{
    const struct server *sv;
    uint64_t bits;

    memset(out, 0, sizeof(*out));
    if (!server_valid(server))
        return;
    sv = &s->sh->server[server];
    bits = sv->keywords;
    out->known = (bits & KEYWORD_KNOWN) != 0;
    out->pipelining = (bits & KEYWORD_PIPELINING) != 0;
    out->eightbitmime = (bits & KEYWORD_8BITMIME) != 0;
    out->smtputf8 = (bits & KEYWORD_SMTPUTF8) != 0;
    out->dsn = (bits & KEYWORD_DSN) != 0;
    out->size_offered = (bits & KEYWORD_SIZE) != 0;
    out->starttls = (bits & KEYWORD_STARTTLS) != 0;
    out->chunking = (bits & KEYWORD_CHUNKING) != 0;
    out->xclient = (bits & KEYWORD_XCLIENT) != 0;
    out->xforward = (bits & KEYWORD_XFORWARD) != 0;
    out->enhanced = (bits & KEYWORD_ENHANCED) != 0;
    out->size = sv->keywords_size;
    out->at_ms = sv->keywords_at_ms;
}

/* ---- health ---- */

static void health_unpack(uint64_t word, struct state_health *out)
{
    out->down = (word & HEALTH_DOWN) != 0;
    out->failures = (unsigned)(word >> 32) & HEALTH_COUNT_MAX;
    out->successes = (unsigned)(word & HEALTH_COUNT_MAX);
}

static uint64_t health_pack(const struct state_health *h)
{
    return (h->down ? HEALTH_DOWN : 0) | (uint64_t)(h->failures & HEALTH_COUNT_MAX) << 32 |
           (h->successes & HEALTH_COUNT_MAX);
}

void state_health_get(const struct state *s, int server, struct state_health *out)
{
    memset(out, 0, sizeof(*out));
    if (!server_valid(server))
        return;
    health_unpack(s->sh->server[server].health, out);
    out->changed_ms = s->sh->server[server].changed_ms;
    out->next_probe_ms = s->sh->server[server].next_probe_ms;
}

/* What the observation makes of it; true if up or down changed. */
static bool health_observe(struct state_health *h, bool ok, unsigned fall, unsigned rise)
{
    bool was_down = h->down;

    if (ok) {
        h->failures = 0;
        h->successes += h->successes < HEALTH_COUNT_MAX;
        if (h->successes >= rise)
            h->down = false;
    } else {
        h->successes = 0;
        h->failures += h->failures < HEALTH_COUNT_MAX;
        if (fall > 0 && h->failures >= fall)
            h->down = true;
    }
    if (fall == 0)
        h->down = false;
    return h->down != was_down;
}

bool state_health_report(struct state *s, int server, bool ok, unsigned fall, unsigned rise, uint64_t now_ms)
{
    struct state_health h = { 0 };
    struct server *sv;
    uint64_t old;
    bool changed;

    if (!server_valid(server))
        return false;
    sv = &s->sh->server[server];
    old = sv->health;
    do {
        health_unpack(old, &h);
        changed = health_observe(&h, ok, fall, rise);
    } while (!atomic_compare_exchange_strong(&sv->health, &old, health_pack(&h)));
    if (changed)
        sv->changed_ms = now_ms;
    return changed;
}

/* No probe is due that late, so the time is forged.  The slack allows for the clocks of different processes. */
static bool too_far(uint64_t wait_ms, uint64_t interval_ms)
{
    return wait_ms > interval_ms && wait_ms - interval_ms > PROBE_SLACK_MS;
}

bool state_probe_claim(struct state *s, int server, uint64_t now_ms, uint64_t interval_ms)
{
    uint64_t due;

    if (!server_valid(server))
        return false;
    due = s->sh->server[server].next_probe_ms;
    return (now_ms >= due || too_far(due - now_ms, interval_ms)) &&
           atomic_compare_exchange_strong(&s->sh->server[server].next_probe_ms, &due, now_ms + interval_ms);
}

void state_probe_hasten(struct state *s, int server, uint64_t due_ms)
{
    uint64_t due;

    if (!server_valid(server))
        return;
    due = s->sh->server[server].next_probe_ms;
    if (due > due_ms)
        (void)atomic_compare_exchange_strong(&s->sh->server[server].next_probe_ms, &due, due_ms);
}

/* ---- rate: GCRA; `count` at once, then one each per/count.  See rate_allows() of clients.c ---- */

uint64_t state_server_rate(struct state *s, int server, unsigned n, uint64_t per_ms, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000, step_us, tat, from, burst_us;
    uint64_t old;

    if (!server_valid(server) || n == 0 || per_ms == 0 || per_ms > UINT64_MAX / 1000)
        return 0;
    step_us = per_ms * 1000 / n;
    burst_us = step_us * (n - 1);
    old = s->sh->server[server].rate_tat_us;
    do {
        tat = old > now_us ? old : now_us;
        if (tat > now_us + per_ms * 1000) { /* left by a slower rate, from before a reload */
            (void)atomic_compare_exchange_strong(&s->sh->server[server].rate_tat_us, &old,
                                                 now_us + per_ms * 1000);
            tat = now_us + per_ms * 1000;
        }
        from = tat > burst_us ? tat - burst_us : 0;
        if (from > now_us)
            return (from - now_us + 999) / 1000;
    } while (!atomic_compare_exchange_strong(&s->sh->server[server].rate_tat_us, &old, tat + step_us));
    return 0;
}
