/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - the encoding of a record.
 *
 *     octet     version (0xA1)
 *     octet     kind, 0x80 cut, 0x40 the id of the message before it in the row, 0x20 wire form,
 *               client: 0x08 four octets, 0x10 sixteen
 *     varint    start, number                     wire form only
 *     16 octets ULID, varint transaction          without 0x40
 *     varint    time, zigzag, ms since the ULID's own time
 *     octets    client
 *     fields    varint (number << 2 | shape) and a value; shape 0: zigzag varint, 1: text, 2: length and octets,
 *               3: number of an earlier field of this record that has the same text
 *     octet     0: end of fields
 *     items     to the end; each a varint.  even: (what | state << 2 | type << 5) << 1, name (text), value by type.
 *               odd: number in the dictionary << 1 of the whole item in the even form, without references
 *
 * A text is a varint: odd: number in the dictionary << 1; even: length << 1, then the octets.
 */
#include "history/record.h"
#include "history/words.h"

enum {
    VERSION = 0xa1,
    KIND_MASK = 0x07,
    FLAG_V4 = 0x08,
    FLAG_V6 = 0x10,
    FLAG_WIRE = 0x20,
    FLAG_SAME_ID = 0x40,
    FLAG_CUT = 0x80,
    FLAGS_AT = 1, /* the octet that holds them */
    SHAPE_NUMBER = 0,
    SHAPE_TEXT = 1,
    SHAPE_OCTETS = 2, /* for later fields: skipped by its length */
    SHAPE_SAME = 3,
    VARINT_MAX = 10, /* octets */
    ITEM_OCTETS_MAX = WORDS_LEN_MAX,
};

const struct field_info field_table[FIELD_COUNT] = {
#define X(id, number, name, class) [FIELD_##id] = { name, class },
    FIELD_LIST(X)
#undef X
};

static uint64_t zigzag(int64_t v)
{
    return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static int64_t unzigzag(uint64_t v)
{
    return (int64_t)(v >> 1 ^ ((v & 1) != 0 ? UINT64_MAX : 0));
}

void record_put_varint(struct buf *out, uint64_t value)
{
    uint8_t octets[VARINT_MAX];
    size_t n = 0;

    while (value > 0x7f) {
        octets[n++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    octets[n++] = (uint8_t)value;
    buf_put(out, octets, n);
}

uint64_t record_take_varint(struct reader *r)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t octet = reader_u8(r);

        if (shift == 63 && octet > 1) {
            break;
        }
        value |= (uint64_t)(octet & 0x7f) << shift;
        if ((octet & 0x80) == 0) {
            return r->failed ? 0 : value;
        }
    }
    r->failed = true;
    return 0;
}

const struct item *record_item(const struct record *r, enum item_what what, struct slice name)
{
    for (size_t i = 0; i < r->item_count; i++) {
        if (r->items[i].what == what && slice_eq(r->items[i].name, name)) {
            return &r->items[i];
        }
    }
    return NULL;
}

/* ---- writing ---- */

static void put_text(struct record_writer *w, struct slice text, bool is_word)
{
    int number;

    if (text.len > RECORD_TEXT_MAX) {
        text.len = RECORD_TEXT_MAX;
        w->cut = true;
    }
    number = is_word && w->words != NULL ? words_number(w->words, text) : -1;
    if (number >= 0) {
        record_put_varint(&w->b, (uint64_t)number << 1 | 1);
        return;
    }
    record_put_varint(&w->b, (uint64_t)text.len << 1);
    buf_put_slice(&w->b, text);
}

/* What did not fit as a whole is taken back.  The last octet is kept free for the end of the fields. */
static void settle(struct record_writer *w, size_t before)
{
    if (!buf_ok(&w->b) || (!w->in_items && w->b.len >= RECORD_MAX)) {
        w->b.failed = false;
        buf_truncate(&w->b, before);
        w->cut = true;
    }
}

static void put_client(struct buf *b, const struct addr *client)
{
    if (client->family == ADDR_V4) {
        buf_put(b, client->ip, 4);
    } else if (client->family == ADDR_V6) {
        buf_put(b, client->ip, 16);
    }
}

static void begin(struct record_writer *w, const struct record *head, struct words *words,
                  const struct record_id *of)
{
    bool same_id = of != NULL && record_id_same(of, &head->id);
    unsigned flags = head->kind & KIND_MASK;

    flags |= head->client.family == ADDR_V4 ? FLAG_V4 : head->client.family == ADDR_V6 ? FLAG_V6 : 0;
    flags |= words == NULL ? FLAG_WIRE : 0;
    flags |= same_id ? FLAG_SAME_ID : 0;
    buf_init_fixed(&w->b, w->mem, sizeof(w->mem));
    w->words = words;
    w->cut = head->cut;
    w->in_items = false;
    w->items = 0;
    buf_put_char(&w->b, (char)VERSION);
    buf_put_char(&w->b, (char)flags);
    if (words == NULL) {
        record_put_varint(&w->b, head->start);
        record_put_varint(&w->b, head->number);
    }
    if (!same_id) {
        buf_put(&w->b, head->id.ulid, RECORD_ULID_LEN);
        record_put_varint(&w->b, head->id.txn);
    }
    record_put_varint(&w->b,
                      zigzag((int64_t)((uint64_t)head->time_ms - (uint64_t)record_id_time_ms(&head->id))));
    put_client(&w->b, &head->client);
}

void record_begin(struct record_writer *w, const struct record *head)
{
    begin(w, head, NULL, NULL);
}

void record_put_number(struct record_writer *w, enum field_id f, int64_t value)
{
    size_t before = w->b.len;

    record_put_varint(&w->b, (uint64_t)f << 2 | SHAPE_NUMBER);
    record_put_varint(&w->b, zigzag(value));
    settle(w, before);
}

void record_put_text(struct record_writer *w, enum field_id f, struct slice text)
{
    size_t before = w->b.len;

    if (slice_empty(text)) {
        return;
    }
    record_put_varint(&w->b, (uint64_t)f << 2 | SHAPE_TEXT);
    put_text(w, text, field_table[f].cls == FIELD_CLASS_WORD);
    settle(w, before);
}

static void put_item(struct record_writer *w, const struct item *item)
{
    record_put_varint(&w->b, (uint64_t)(item->what | item->state << 2 | item->type << 5) << 1);
    put_text(w, item->name, true);
    if (item->type == ITEM_NUMBER) {
        record_put_varint(&w->b, zigzag(item->number));
    } else if (item->type >= ITEM_WORD) {
        put_text(w, item->text, item->type == ITEM_WORD);
    }
}

/* Most facts have one of a few values: name and value together are one word.  False: the item is not of that kind. */
static bool put_item_as_word(struct record_writer *w, const struct item *item)
{
    struct record_writer whole;
    int number;

    if (w->words == NULL || item->type > ITEM_WORD || item->name.len + item->text.len + 4 > ITEM_OCTETS_MAX) {
        return false;
    }
    buf_init_fixed(&whole.b, whole.mem, ITEM_OCTETS_MAX + 1);
    whole.words = NULL;
    whole.cut = false;
    put_item(&whole, item);
    if (!buf_ok(&whole.b) || whole.cut) {
        return false;
    }
    number = item->type == ITEM_NUMBER ? words_number_if_room(w->words, buf_slice(&whole.b))
                                       : words_number(w->words, buf_slice(&whole.b));
    if (number >= 0) {
        record_put_varint(&w->b, (uint64_t)number << 1 | 1);
    }
    return number >= 0;
}

void record_put_item(struct record_writer *w, const struct item *item)
{
    size_t before;

    if (item->state == ITEM_NOT_ASKED) {
        return;
    }
    if (!w->in_items) {
        buf_put_char(&w->b, 0);
        w->in_items = true;
    }
    if (w->items == RECORD_ITEMS_MAX) {
        w->cut = true;
        return;
    }
    before = w->b.len;
    if (!put_item_as_word(w, item)) {
        put_item(w, item);
    }
    settle(w, before);
    w->items += w->b.len > before;
}

struct slice record_end(struct record_writer *w)
{
    if (!w->in_items) {
        buf_put_char(&w->b, 0);
    }
    BUG_ON(!buf_ok(&w->b)); /* settle() keeps an octet free */
    if (w->cut) {
        w->mem[FLAGS_AT] = (char)((uint8_t)w->mem[FLAGS_AT] | FLAG_CUT);
    }
    return buf_slice(&w->b);
}

/* HELO is often the client's name, and the author the sender.  Only texts that are longer than a reference count. */
static unsigned same_field(const struct record *r, unsigned f)
{
    for (unsigned i = 1; i < f; i++) {
        if (record_has(r, (enum field_id)i) && r->text[f].len > 3 && slice_eq(r->text[i], r->text[f])) {
            return i;
        }
    }
    return 0;
}

static void write_text(struct record_writer *w, const struct record *r, unsigned f)
{
    unsigned same = field_table[f].cls == FIELD_CLASS_WORD ? 0 : same_field(r, f);
    size_t before = w->b.len;

    if (same == 0 || w->cut) { /* cut: the other one may be missing */
        record_put_text(w, (enum field_id)f, r->text[f]);
        return;
    }
    record_put_varint(&w->b, (uint64_t)f << 2 | SHAPE_SAME);
    record_put_varint(&w->b, same);
    settle(w, before);
}

struct slice record_write(struct record_writer *w, const struct record *r, struct words *words,
                          const struct record_id *of)
{
    begin(w, r, words, of);
    for (unsigned f = 1; f < FIELD_COUNT; f++) {
        if (!record_has(r, (enum field_id)f)) {
            continue;
        }
        if (field_table[f].cls == FIELD_CLASS_NUMBER) {
            record_put_number(w, (enum field_id)f, r->num[f]);
        } else {
            write_text(w, r, f);
        }
    }
    for (size_t i = 0; i < r->item_count; i++) {
        record_put_item(w, &r->items[i]);
    }
    return record_end(w);
}

/* ---- reading ---- */

static struct slice take_text(struct reader *r, const struct words *words)
{
    uint64_t v = record_take_varint(r);
    struct slice out = SLICE_NONE;

    if ((v & 1) == 0) {
        if (v >> 1 > RECORD_TEXT_MAX) {
            r->failed = true;
            return SLICE_NONE;
        }
        return reader_take(r, (size_t)(v >> 1));
    }
    if (words == NULL || !words_at(words, v >> 1, &out)) {
        r->failed = true;
    }
    return out;
}

static void take_head(struct reader *r, unsigned flags, const struct record_id *of, struct record *out)
{
    if ((flags & FLAG_WIRE) != 0) {
        out->start = record_take_varint(r);
        out->number = record_take_varint(r);
    }
    if ((flags & FLAG_SAME_ID) != 0) {
        out->id = *of;
    } else {
        struct slice ulid = reader_take(r, RECORD_ULID_LEN);

        if (!r->failed) {
            memcpy(out->id.ulid, ulid.ptr, RECORD_ULID_LEN);
        }
        out->id.txn = (uint32_t)min_u64(record_take_varint(r), UINT32_MAX);
    }
    out->time_ms =
        (int64_t)((uint64_t)record_id_time_ms(&out->id) + (uint64_t)unzigzag(record_take_varint(r)));
    if ((flags & (FLAG_V4 | FLAG_V6)) != 0) {
        size_t len = (flags & FLAG_V4) != 0 ? 4 : 16;
        struct slice ip = reader_take(r, len);

        if (!r->failed) {
            out->client.family = len == 4 ? ADDR_V4 : ADDR_V6;
            memcpy(out->client.ip, ip.ptr, len);
        }
    }
}

/* A field that this version does not know, or knows in another shape, is skipped. */
static void take_field(struct reader *r, const struct words *words, uint64_t tag, struct record *out)
{
    uint64_t f = tag >> 2;
    bool known = f < FIELD_COUNT && field_table[f].name != NULL;
    bool is_number = known && field_table[f].cls == FIELD_CLASS_NUMBER;

    switch (tag & 3) {
    case SHAPE_NUMBER: {
        int64_t value = unzigzag(record_take_varint(r));

        if (is_number) {
            out->num[f] = value;
            out->has |= 1u << f;
        }
        break;
    }
    case SHAPE_TEXT: {
        struct slice text = take_text(r, words);

        if (known && !is_number && !slice_empty(text)) {
            out->text[f] = text;
            out->has |= 1u << f;
        }
        break;
    }
    case SHAPE_OCTETS: {
        uint64_t len = record_take_varint(r);

        (void)reader_take(r, (size_t)min_u64(len, SIZE_MAX));
        break;
    }
    default: {
        uint64_t same = record_take_varint(r);

        if (same >= FIELD_COUNT || slice_empty(out->text[same])) {
            r->failed = true;
        } else if (known && !is_number) {
            out->text[f] = out->text[same];
            out->has |= 1u << f;
        }
    }
    }
}

static struct item take_item(struct reader *r, const struct words *words, uint64_t head)
{
    unsigned octet = (unsigned)(head >> 1);
    struct item item = { .what = octet & 3, .state = octet >> 2 & 7, .type = octet >> 5 & 7 };

    item.name = take_text(r, words);
    if (item.type == ITEM_NUMBER) {
        item.number = unzigzag(record_take_varint(r));
    } else if (item.type >= ITEM_WORD) {
        item.text = take_text(r, words);
    }
    if (item.state >= ITEM_NOT_ASKED) { /* of a later version: unknown, for another reason */
        item.state = ITEM_TEMPERROR;
    }
    r->failed = r->failed || head > UINT8_MAX << 1 || slice_empty(item.name);
    return item;
}

static struct item take_item_of_word(struct reader *r, const struct words *words, uint64_t head)
{
    struct slice whole = SLICE_NONE;
    struct reader of_word;
    struct item item;

    r->failed = r->failed || words == NULL || !words_at(words, head >> 1, &whole);
    of_word = reader_of(whole.ptr, whole.len);
    head = record_take_varint(&of_word);
    item = take_item(&of_word, NULL, head);
    r->failed = r->failed || (head & 1) != 0 || of_word.failed || of_word.len > 0;
    return item;
}

static void take_items(struct reader *r, const struct words *words, struct record *out)
{
    while (r->len > 0 && !r->failed) {
        uint64_t head = record_take_varint(r);
        struct item item = (head & 1) != 0 ? take_item_of_word(r, words, head) : take_item(r, words, head);

        if (out->item_count == RECORD_ITEMS_MAX) {
            r->failed = true;
            return;
        }
        out->items[out->item_count++] = item;
    }
}

bool record_decode(struct slice data, const struct words *words, const struct record_id *of,
                   struct record *out)
{
    struct reader r = reader_of(data.ptr, data.len);
    uint64_t tag;
    unsigned flags;

    memset(out, 0, offsetof(struct record, items));
    if (data.len > RECORD_MAX || reader_u8(&r) != VERSION) {
        return false;
    }
    flags = reader_u8(&r);
    out->kind = flags & KIND_MASK;
    out->cut = (flags & FLAG_CUT) != 0;
    if (out->kind >= RECORD_KIND_COUNT || ((flags & FLAG_WIRE) != 0) != (words == NULL) ||
        (flags & (FLAG_V4 | FLAG_V6)) == (FLAG_V4 | FLAG_V6) || ((flags & FLAG_SAME_ID) != 0 && of == NULL)) {
        return false;
    }
    take_head(&r, flags, of, out);
    while (!r.failed && (tag = record_take_varint(&r)) != 0) {
        take_field(&r, words, tag, out);
    }
    if (!r.failed) {
        take_items(&r, words, out);
    }
    return !r.failed;
}
