/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ring.c - log rings with one writer, one reader, no lock and no waiting.
 *
 *         tail (recorder)                 head (the slot's process)
 *          v                               v
 *     ....[len|line........][len|line.....]............
 *
 * A record is a 32-bit length and a line.  The head moves only after the record is complete, so a killed writer
 * leaves no partial record.  The tail moves only after the record was copied out, so the successor of a killed
 * reader continues with the first unread line.
 *
 * The writer signals the eventfd only if the ring was empty.  The writer publishes the head and then reads the tail;
 * the reader publishes the tail and then reads the head.  Both use one total order, so one always sees the other.
 *
 * Hostile   The reader bounds the head and each length, and replaces control octets in a line.  So a compromised
 *           worker can lie in its own lines, but it cannot add lines or send escapes to a terminal.
 */
#include "state/log_ring.h"
#include "state/shared_priv.h"

#define RING_MASK (RING_SIZE - 1)
#define RECORD_HEAD sizeof(uint32_t)

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
    s->head = s->owned->of[s->my_slot].slot.head;
}

void state_log(struct state *s, enum log_class cls, struct slice line)
{
    uint64_t head = s->head, used, need = RECORD_HEAD + line.len;
    uint32_t len = (uint32_t)line.len;
    const _Atomic uint64_t *tail;
    char *ring;

    if (s->my_slot < 0 || line.len == 0 || line.len > LOG_LINE_MAX) {
        return;
    }
    ring = s->mine->of[s->my_slot].ring;
    tail = &s->owned->of[RECORDER_SLOT].slot.tail[s->my_slot];
    used = head - *tail;
    if (used > RING_SIZE || need > RING_SIZE - used ||
        (cls == LOG_CLASS_ACCEPTED && used + need > RING_SIZE / 4 * 3)) {
        count(M_LOG_DROPPED);
        return;
    }
    ring_put(ring, head, &len, sizeof(len));
    ring_put(ring, head + RECORD_HEAD, line.ptr, line.len);
    s->head = head + need;
    s->mine->of[s->my_slot].slot.head = s->head;
    if (*tail == head) {
        ring_wake(s->log_fd);
    }
}

/* Replaces control octets, so that a record stays one line. */
static void clean(char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)line[i] < ' ' && !(line[i] == '\n' && i + 1 == len)) || line[i] == 0x7f) {
            line[i] = '?';
        }
    }
}

static bool ring_empty(const struct state *s, unsigned slot)
{
    return s->owned->of[slot].slot.head == s->owned->of[RECORDER_SLOT].slot.tail[slot];
}

/* Reads one record of this ring into out; false if it is empty. */
static bool read_ring(struct state *s, int slot, struct buf *out)
{
    _Atomic uint64_t *taken = &s->mine->of[RECORDER_SLOT].slot.tail[slot];
    uint64_t head = s->owned->of[slot].slot.head, tail = *taken;
    const char *ring = s->owned->of[slot].ring;
    uint32_t len = 0;
    char line[LOG_LINE_MAX];

    if (head == tail) {
        return false;
    }
    if (head - tail >= RECORD_HEAD && head - tail <= RING_SIZE) {
        ring_get(ring, tail, &len, sizeof(len));
    }
    if (len == 0 || len > LOG_LINE_MAX || len > head - tail - RECORD_HEAD) {
        *taken = head; /* impossible length: the writer is corrupt; resume at its head */
        return false;
    }
    ring_get(ring, tail + RECORD_HEAD, line, len);
    clean(line, len);
    buf_put(out, line, len);
    *taken = tail + RECORD_HEAD + len;
    return true;
}

bool state_log_read(struct state *s, struct buf *out)
{
    for (unsigned i = 0; i < STATE_SLOTS; i++) {
        unsigned slot = (s->next_ring + i) % STATE_SLOTS;

        if (!ring_empty(s, slot) && read_ring(s, (int)slot, out)) { /* most rings are empty */
            s->next_ring = (slot + 1) % STATE_SLOTS; /* a noisy process must not starve the others */
            return true;
        }
    }
    return false;
}

bool state_log_waits(const struct state *s)
{
    for (unsigned slot = 0; slot < STATE_SLOTS; slot++) {
        if (!ring_empty(s, slot)) {
            return true;
        }
    }
    return false;
}

int state_log_fd(const struct state *s)
{
    return s->log_fd;
}
