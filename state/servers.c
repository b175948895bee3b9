/* SPDX-License-Identifier: Apache-2.0 */
/*
 * servers.c - upstream servers over all processes: their records, tickets, waiting.
 *
 * An upstream has an area of STATE_UPSTREAM_SERVERS records, which the supervisor lays out before the fork: the
 * names of the areas are in its own memory, and each child has a copy.  A record is for one address.  Workers
 * fill it when a look-up brings the address, and the last one that leaves frees it:
 *
 *     free (key 0) --- claim: own bit in `users`, then key := digest of the address ---> used
 *     used --- the last bit goes, key := PLACE_EMPTYING + slot, wiped, key := 0 ------> free
 *
 * A process that joins sets its bit first and then reads the key; one that empties changes the key first and then
 * reads the bits.  So one of the two sees the other, and no record is freed while a process uses it.  Every claim
 * begins at the first free place, so two processes with the same address meet there.  If they miss each other
 * (a place in between became free), the address has two records, and up to twice its connections, until one of
 * the records is freed.
 *
 * A ticket is the right to hold one connection.  It names the slot of its owner, so the supervisor can return the
 * tickets of a killed process.  Health and keywords are in server_health.c.
 *
 * Trust  a compromised worker can write anything here.  Loops end at constants, widths are cut to STATE_TICKETS,
 *        and an address is shown only if it matches its key.  The supervisor never waits.
 */
#include "state/shared_priv.h"

#include "core/table.h"
#include "state/servers.h"

enum { /* server_place.key */
       PLACE_FREE = 0,
       PLACE_EMPTYING = 1,                             /* + slot: that process wipes it */
       PLACE_FIRST_KEY = PLACE_EMPTYING + STATE_SLOTS, /* digests are not below */
};

/* Not secret: names and addresses come from the configuration and its DNS. */
static const uint64_t digest_key[2] = { 0x676c616369730001ULL, 0x7365727665727321ULL };

/* ---- areas ---- */

static bool upstream_valid(int upstream)
{
    return upstream >= 0 && upstream < STATE_UPSTREAMS;
}

int state_upstream_find(const struct state *s, const char *name)
{
    for (int i = 0; i < STATE_UPSTREAMS; i++) {
        if (s->upstream[i].name[0] != '\0' && strcmp(s->upstream[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

int state_upstream(struct state *s, const char *name)
{
    int found = state_upstream_find(s, name);
    size_t len = strlen(name);

    if (found >= 0 || len == 0 || len > STATE_UPSTREAM_NAME_MAX) {
        return found;
    }
    for (int i = 0; i < STATE_UPSTREAMS; i++) {
        if (s->upstream[i].name[0] != '\0') {
            continue;
        }
        memcpy(s->upstream[i].name, name, len + 1);
        return i;
    }
    return -1;
}

static struct upstream_area *area_at(const struct state *s, int upstream)
{
    return upstream_valid(upstream) ? &s->sh->upstream[upstream] : NULL;
}

struct server *server_at(const struct state *s, int server)
{
    struct upstream_area *area = server < 0 ? NULL : area_at(s, server / STATE_UPSTREAM_SERVERS);

    return area != NULL ? &area->server[server % STATE_UPSTREAM_SERVERS] : NULL;
}

static void wipe_tickets(struct tickets *t)
{
    for (size_t i = 0; i < STATE_TICKETS; i++) {
        t->ticket[i] = 0;
    }
    t->widest = 0;
}

static void wipe_server(struct server *sv)
{
    wipe_tickets(&sv->connections);
    wipe_tickets(&sv->envelopes);
    sv->ip[0] = sv->ip[1] = 0;
    sv->family_port = 0;
    for (size_t i = 0; i < STATE_SERVER_LABELS; i++) {
        sv->label[i] = 0;
    }
    sv->keywords = sv->keywords_size = sv->keywords_at_ms = 0;
    sv->health = sv->changed_ms = sv->next_probe_ms = 0;
    sv->rate_tat_us = 0;
}

static void wipe_area(struct upstream_area *area)
{
    for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        struct server_place *p = &area->place[i];

        if (p->key == PLACE_FREE && p->users == 0) {
            continue;
        }
        wipe_server(&area->server[i]);
        p->users = 0;
        p->key = PLACE_FREE;
    }
    for (size_t i = 0; i < STATE_SLOTS; i++) {
        area->waiting[i] = 0;
    }
}

void state_upstreams_sweep(struct state *s, bool (*wanted)(void *arg, const char *name), void *arg)
{
    for (int i = 0; i < STATE_UPSTREAMS; i++) {
        if (s->upstream[i].name[0] == '\0' || wanted(arg, s->upstream[i].name)) {
            continue;
        }
        wipe_area(&s->sh->upstream[i]);
        memset(s->recalled[i], 0, sizeof(s->recalled[i]));
        s->upstream[i].name[0] = '\0';
    }
}

/* ---- records ---- */

static uint64_t key_of(const struct addr *a)
{
    uint8_t octets[1 + 2 + sizeof(a->ip)] = { a->family, (uint8_t)(a->port >> 8), (uint8_t)a->port };
    uint64_t digest;

    memcpy(octets + 3, a->ip, sizeof(a->ip));
    digest = siphash(digest_key, octets, sizeof(octets));
    return digest < PLACE_FIRST_KEY ? digest + PLACE_FIRST_KEY : digest;
}

uint64_t state_server_label(const char *text)
{
    char lower[300];
    size_t len = strnlen(text, sizeof(lower));

    for (size_t i = 0; i < len; i++) {
        lower[i] = ascii_lower(text[i]);
    }
    return siphash(digest_key, lower, len);
}

static uint64_t my_bit(const struct state *s)
{
    return 1ULL << s->my_slot;
}

/* Joins a record that another process filled.  False: a process is emptying it. */
static bool enter_place(const struct state *s, struct server_place *p, uint64_t key)
{
    atomic_fetch_or(&p->users, my_bit(s));
    if (p->key == key) {
        return true;
    }
    atomic_fetch_and(&p->users, ~my_bit(s));
    return false;
}

/* Claims a free place; true also if another process claimed it for the same address at the same time. */
static bool claim_place(const struct state *s, struct server_place *p, uint64_t key)
{
    uint64_t free = PLACE_FREE;

    atomic_fetch_or(&p->users, my_bit(s));
    if (atomic_compare_exchange_strong(&p->key, &free, key) || free == key) {
        return true;
    }
    atomic_fetch_and(&p->users, ~my_bit(s));
    return false;
}

static bool has_tickets(const struct tickets *t)
{
    for (size_t i = 0; i < STATE_TICKETS; i++) {
        if (t->ticket[i] != 0) {
            return true;
        }
    }
    return false;
}

/* Frees a record that has no users and no tickets; leaves any other as it is. */
static void empty_place(struct state *s, struct upstream_area *area, size_t i)
{
    struct server_place *p = &area->place[i];
    struct server *sv = &area->server[i];
    uint64_t key = p->key;

    if (key < PLACE_FIRST_KEY || p->users != 0 ||
        !atomic_compare_exchange_strong(&p->key, &key, (uint64_t)(PLACE_EMPTYING + s->my_slot))) {
        return;
    }
    if (p->users != 0 || has_tickets(&sv->connections) || has_tickets(&sv->envelopes)) {
        p->key = key;
        return;
    }
    wipe_server(sv);
    p->key = PLACE_FREE;
}

static int find_place(const struct upstream_area *area, uint64_t key)
{
    for (int i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        if (area->place[i].key == key) {
            return i;
        }
    }
    return -1;
}

/* Enters a place and returns its number, or -1. */
static int take_place(struct state *s, struct upstream_area *area, uint64_t key)
{
    int found = find_place(area, key);

    if (found >= 0 && enter_place(s, &area->place[found], key)) {
        return found;
    }
    for (int i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
        if (area->place[i].key == PLACE_FREE && claim_place(s, &area->place[i], key)) {
            return i;
        }
    }
    return -1;
}

static void write_address(struct server *sv, const struct addr *a)
{
    uint64_t ip[2];

    memcpy(ip, a->ip, sizeof(ip));
    sv->ip[0] = ip[0];
    sv->ip[1] = ip[1];
    sv->family_port = (uint32_t)a->family << 16 | a->port;
}

int state_server_join(struct state *s, int upstream, const struct addr *a)
{
    struct upstream_area *area = area_at(s, upstream);
    uint64_t key = key_of(a);
    int place;

    if (area == NULL || s->my_slot < 0 || a->family == ADDR_NONE) {
        return -1;
    }
    place = take_place(s, area, key);
    for (size_t i = 0; place < 0 && i < STATE_UPSTREAM_SERVERS; i++) {
        empty_place(s, area, i); /* a killed process may have left it */
        place = take_place(s, area, key);
    }
    if (place < 0) {
        return -1;
    }
    write_address(&area->server[place], a);
    keywords_recall(s, upstream, &area->server[place], a);
    return upstream * STATE_UPSTREAM_SERVERS + place;
}

void state_server_describe(struct state *s, int server, const uint64_t *label, size_t count)
{
    struct server *sv = server_at(s, server);

    for (size_t i = 0; sv != NULL && i < STATE_SERVER_LABELS; i++) {
        sv->label[i] = i < count ? label[i] : 0;
    }
}

void state_server_leave(struct state *s, int server)
{
    struct upstream_area *area = server < 0 ? NULL : area_at(s, server / STATE_UPSTREAM_SERVERS);
    size_t place = (size_t)server % STATE_UPSTREAM_SERVERS;

    if (area == NULL || s->my_slot < 0) {
        return;
    }
    atomic_fetch_and(&area->place[place].users, ~my_bit(s));
    empty_place(s, area, place);
}

int state_server_find(const struct state *s, int upstream, const struct addr *a)
{
    const struct upstream_area *area = area_at(s, upstream);
    int place = area != NULL ? find_place(area, key_of(a)) : -1;

    return place >= 0 ? upstream * STATE_UPSTREAM_SERVERS + place : -1;
}

bool state_server_info(const struct state *s, int upstream, size_t i, struct state_server_info *out)
{
    const struct upstream_area *area = area_at(s, upstream);
    const struct server *sv;
    uint64_t ip[2];
    uint32_t family_port;

    memset(out, 0, sizeof(*out));
    if (area == NULL || i >= STATE_UPSTREAM_SERVERS || area->place[i].users == 0) {
        return false;
    }
    sv = &area->server[i];
    ip[0] = sv->ip[0];
    ip[1] = sv->ip[1];
    family_port = sv->family_port;
    memcpy(out->address.ip, ip, sizeof(ip));
    out->address.family = (uint8_t)(family_port >> 16);
    out->address.port = (uint16_t)family_port;
    for (size_t k = 0; k < STATE_SERVER_LABELS; k++) {
        out->label[k] = sv->label[k];
    }
    out->server = upstream * STATE_UPSTREAM_SERVERS + (int)i;
    return (out->address.family == ADDR_V4 || out->address.family == ADDR_V6) &&
           area->place[i].key == key_of(&out->address);
}

/* ---- tickets ---- */

static unsigned width_of(const struct tickets *t)
{
    return (unsigned)min_size(t->widest, STATE_TICKETS);
}

static void widen(struct tickets *t, uint32_t cap)
{
    uint32_t old = t->widest;

    while (old < cap && !atomic_compare_exchange_strong(&t->widest, &old, cap)) {
        ;
    }
}

static uint8_t my_mark(const struct state *s)
{
    return (uint8_t)(s->my_slot + 1);
}

static unsigned count_tickets(const struct tickets *t, uint8_t mask)
{
    unsigned n = 0, width = width_of(t);

    for (unsigned i = 0; i < width; i++) {
        n += (t->ticket[i] & mask) != 0;
    }
    return n;
}

static int take_ticket(const struct state *s, struct tickets *t, unsigned cap)
{
    cap = cap < STATE_TICKETS ? cap : STATE_TICKETS;
    widen(t, cap);
    if (count_tickets(t, 0xff) >= cap) { /* an older generation with a larger cap counts too */
        return -1;
    }
    for (unsigned i = 0; i < cap; i++) {
        uint8_t free = 0;

        if (t->ticket[i] == 0 && atomic_compare_exchange_strong(&t->ticket[i], &free, my_mark(s))) {
            return (int)i;
        }
    }
    return -1;
}

/* Does this process own the ticket? */
static bool is_mine(const struct state *s, const struct tickets *t, int ticket)
{
    return ticket >= 0 && ticket < STATE_TICKETS && s->my_slot >= 0 &&
           (t->ticket[ticket] & (uint8_t)~TICKET_IDLE) == my_mark(s);
}

unsigned state_tickets_used(const struct state *s, int server)
{
    const struct server *sv = server_at(s, server);

    return sv != NULL ? count_tickets(&sv->connections, 0xff) : 0;
}

int state_ticket_take(struct state *s, int server, unsigned cap)
{
    struct server *sv = server_at(s, server);

    return sv != NULL && s->my_slot >= 0 ? take_ticket(s, &sv->connections, cap) : -1;
}

void state_ticket_return(struct state *s, int server, int ticket)
{
    struct server *sv = server_at(s, server);

    if (sv != NULL && is_mine(s, &sv->connections, ticket)) {
        sv->connections.ticket[ticket] = 0;
    }
}

bool state_ticket_idle(struct state *s, int server, int ticket, unsigned keep_idle)
{
    struct server *sv = server_at(s, server);
    _Atomic uint8_t *t;

    if (sv == NULL || keep_idle == 0 || !is_mine(s, &sv->connections, ticket)) {
        return false;
    }
    t = &sv->connections.ticket[ticket];
    if (*t & TICKET_IDLE) {
        return true;
    }
    *t = my_mark(s) | TICKET_IDLE;
    if (count_tickets(&sv->connections, TICKET_IDLE) <= keep_idle) {
        return true;
    }
    *t = my_mark(s); /* after a race, one too few is better than one too many */
    return false;
}

void state_ticket_busy(struct state *s, int server, int ticket)
{
    struct server *sv = server_at(s, server);

    if (sv != NULL && is_mine(s, &sv->connections, ticket)) {
        sv->connections.ticket[ticket] = my_mark(s);
    }
}

int state_envelope_take(struct state *s, int server, unsigned cap)
{
    struct server *sv = server_at(s, server);

    return sv != NULL && s->my_slot >= 0 ? take_ticket(s, &sv->envelopes, cap) : -1;
}

void state_envelope_return(struct state *s, int server, int ticket)
{
    struct server *sv = server_at(s, server);

    if (sv != NULL && is_mine(s, &sv->envelopes, ticket)) {
        sv->envelopes.ticket[ticket] = 0;
    }
}

/* ---- waiting ---- */

/* Slots with a living worker, as bits. */
static uint64_t living(const struct state *s)
{
    return s->processes->taken & WORKER_SLOTS;
}

void state_waiting_since(struct state *s, int upstream, uint64_t oldest_ms)
{
    if (upstream_valid(upstream) && s->my_slot >= 0) {
        s->sh->upstream[upstream].waiting[s->my_slot] = oldest_ms;
    }
}

/* The worker slot with the oldest waiter, except `but`; -1 if none.  Supervisor and recorder never wait. */
static int oldest_waiter(const struct state *s, int upstream, int but, uint64_t *since_ms)
{
    uint64_t slots = living(s);
    int found = -1;

    *since_ms = 0;
    while (slots != 0) {
        int i = next_slot(&slots);
        uint64_t at = s->sh->upstream[upstream].waiting[i];

        if (i == but || at == 0 || (found >= 0 && at >= *since_ms)) {
            continue;
        }
        *since_ms = at;
        found = i;
    }
    return found;
}

uint64_t state_others_waiting_since(const struct state *s, int upstream)
{
    uint64_t at = 0;

    if (upstream_valid(upstream)) {
        (void)oldest_waiter(s, upstream, s->my_slot, &at);
    }
    return at;
}

void state_wake_waiter(struct state *s, int upstream)
{
    uint64_t at;
    int slot;

    if (!upstream_valid(upstream)) {
        return;
    }
    slot = oldest_waiter(s, upstream, -1, &at);
    if (slot >= 0) {
        ring_wake(s->wake_fd[slot]);
    }
}

int state_wake_fd(const struct state *s)
{
    return s->my_slot >= 0 ? s->wake_fd[s->my_slot] : -1;
}

void state_wake_drain(struct state *s)
{
    uint64_t n;
    ssize_t r;

    if (s->my_slot < 0) {
        return;
    }
    r = read(s->wake_fd[s->my_slot], &n, sizeof(n));
    (void)r; /* EAGAIN: the counter is 0 */
}

/* ---- release after a process has ended ---- */

/* Does the ticket belong to no worker?  Its owner is gone, or a hostile process forged it. */
static bool is_orphan(const struct state *s, uint8_t ticket)
{
    unsigned owner = ticket & (uint8_t)~TICKET_IDLE;

    return ticket != 0 && (owner == 0 || owner > STATE_SLOTS || !(living(s) & 1ULL << (owner - 1)));
}

/* Frees all orphaned tickets; true if it found any.  Checks every ticket, because the width can be forged. */
static bool release_orphans(const struct state *s, struct tickets *t)
{
    bool freed = false;

    for (unsigned i = 0; i < STATE_TICKETS; i++) {
        uint8_t ticket = t->ticket[i];

        if (is_orphan(s, ticket) && atomic_compare_exchange_strong(&t->ticket[i], &ticket, 0)) {
            freed = true;
        }
    }
    return freed;
}

/* Is the process that was wiping the record gone? */
static bool is_left_emptying(const struct state *s, uint64_t key)
{
    return key >= PLACE_EMPTYING && key < PLACE_FIRST_KEY && !(living(s) & 1ULL << (key - PLACE_EMPTYING));
}

/*
 * The record stays, with health and keywords, for the process that replaces the dead one.  True: it had tickets.
 * Also clears everything that no live worker owns, so that a reload repairs forged data.
 */
static bool release_place(struct state *s, struct upstream_area *area, size_t i)
{
    struct server_place *p = &area->place[i];
    bool freed;

    if (p->key == PLACE_FREE && p->users == 0) {
        return false;
    }
    freed = release_orphans(s, &area->server[i].connections);
    freed = release_orphans(s, &area->server[i].envelopes) || freed;
    if (is_left_emptying(s, p->key)) {
        wipe_server(&area->server[i]);
        p->key = PLACE_FREE;
    }
    atomic_fetch_and(&p->users, living(s));
    return freed;
}

void servers_release_slot(struct state *s, int slot)
{
    for (int u = 0; u < STATE_UPSTREAMS; u++) {
        struct upstream_area *area = &s->sh->upstream[u];
        bool freed = false;

        if (s->upstream[u].name[0] == '\0') {
            continue;
        }
        area->waiting[slot] = 0;
        for (size_t i = 0; i < STATE_UPSTREAM_SERVERS; i++) {
            freed = release_place(s, area, i) || freed;
        }
        if (freed) {
            state_wake_waiter(s, u);
        }
    }
}
