/*
 * ring.c - log rings: one writer, one reader, no lock, nobody waits.
 *
 *         tail (recorder)                 head (the slot's process)
 *          v                               v
 *     ....[len|line........][len|line.....]............
 *
 * A record is a 32-bit length and a line.  The head moves only after the record is complete, so a writer
 * that is killed in the middle leaves nothing behind; the tail moves only after the record was
 * copied out, so a killed reader's successor goes on with the first line that was not taken.
 *
 * The eventfd is written only when the ring was empty: the writer publishes the head and then looks at
 * the tail, the reader publishes the tail and then looks at the head, both in one total order, so one
 * of them always sees the other.
 *
 * Hostile   The writer goes by a head of its own (state.head), so nobody else can move where it writes.  The
 *           reader bounds both edges and each length, and takes out of a line what would end it or steer a
 *           terminal: a worker may lie in its lines, but not in those of others, nor behind them.
 */
#include "state/shared.h"

#define RING_MASK (RING_SIZE - 1)
#define RECORD_HEAD sizeof(uint32_t)

static char *ring_of(const struct state *s, int slot)
{
    return s->rings + (size_t)slot * RING_SIZE;
}

static void ring_put(char *ring, uint64_t at, const void *data, size_t len)
{
    size_t pos = (size_t)(at & RING_MASK);
    size_t first = min_size(len, RING_SIZE - pos);

    memcpy(ring + pos, data, first);
    memcpy(ring, (const char *)data + first, len - first);
}

static void ring_get(const char *ring, uint64_t at, void *data, size_t len)
{
    size_t pos = (size_t)(at & RING_MASK);
    size_t first = min_size(len, RING_SIZE - pos);

    memcpy(data, ring + pos, first);
    memcpy((char *)data + first, ring, len - first);
}

void ring_enter(struct state *s)
{
    s->head = s->sh->slot[s->my_slot].head;
}

void state_log(struct state *s, enum log_class cls, struct slice line)
{
    struct slot *sl;
    char *ring;
    uint64_t head = s->head, used, need = RECORD_HEAD + line.len;
    uint32_t len = (uint32_t)line.len;

    if (s->my_slot < 0 || line.len == 0 || line.len > LOG_LINE_MAX)
        return;
    sl = &s->sh->slot[s->my_slot];
    ring = ring_of(s, s->my_slot);
    used = head - sl->tail;
    if (used > RING_SIZE || need > RING_SIZE - used ||
        (cls == LOG_CLASS_ACCEPTED && used + need > RING_SIZE / 4 * 3)) {
        count(M_LOG_DROPPED);
        return;
    }
    ring_put(ring, head, &len, sizeof(len));
    ring_put(ring, head + RECORD_HEAD, line.ptr, line.len);
    s->head = head + need;
    sl->head = s->head;
    if (sl->tail == head)
        wake(s->log_fd);
}

/* One line is one fact, whatever a process wrote. */
static void clean(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)line[i] < ' ' && !(line[i] == '\n' && i + 1 == len)) || line[i] == 0x7f)
            line[i] = '?';
    }
}

static bool ring_empty(const struct state *s, unsigned slot)
{
    const struct slot *sl = &s->sh->slot[slot];

    return sl->head == sl->tail;
}

/* One record of this ring into out; false if it is empty. */
static bool read_ring(struct state *s, int slot, struct buf *out)
{
    struct slot *sl = &s->sh->slot[slot];
    uint64_t head = sl->head, tail = sl->tail;
    uint32_t len = 0;
    char line[LOG_LINE_MAX];

    if (head == tail)
        return false;
    if (head - tail >= RECORD_HEAD && head - tail <= RING_SIZE)
        ring_get(ring_of(s, slot), tail, &len, sizeof(len));
    if (len == 0 || len > LOG_LINE_MAX || len > head - tail - RECORD_HEAD) {
        sl->tail = head; /* cannot be: the writer's memory went wrong; start again behind it */
        return false;
    }
    ring_get(ring_of(s, slot), tail + RECORD_HEAD, line, len);
    clean(line, len);
    buf_put(out, line, len);
    sl->tail = tail + RECORD_HEAD + len;
    return true;
}

bool state_log_read(struct state *s, struct buf *out)
{
    for (unsigned i = 0; i < STATE_SLOTS; i++) {
        unsigned slot = (s->next_ring + i) % STATE_SLOTS;

        if (!ring_empty(s, slot) && read_ring(s, (int)slot, out)) { /* nearly all of them are */
            s->next_ring = (slot + 1) % STATE_SLOTS; /* a noisy process must not starve the others */
            return true;
        }
    }
    return false;
}

int state_log_fd(const struct state *s)
{
    return s->log_fd;
}
