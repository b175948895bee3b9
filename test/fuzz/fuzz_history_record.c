/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_history_record.c - any octets as a worker's record: what is taken for a record survives packing and reading.
 */
#include "history/reduce.h"
#include "history/row.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(struct slice s)
{
    size_t sum = 0;

    for (size_t i = 0; i < s.len; i++) {
        sum += (unsigned char)s.ptr[i];
    }
    BUG_ON(sum > s.len * UINT8_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct record r, again;
    struct words words;
    struct row_reader rr;
    struct arena arena;
    struct buf row;

    if (!record_decode(slice_of(data, size), NULL, NULL, &r)) {
        return 0;
    }
    words_init(&words);
    arena_init(&arena, 65536);
    buf_init(&row, ROW_MAX);
    for (unsigned f = 1; f < FIELD_COUNT; f++) {
        touch(record_field(&r, (enum field_id)f));
    }
    BUG_ON(!row_add(&row, &r, &words, NULL) || !row_add(&row, &r, &words, &r.id));
    row_read(&rr, buf_slice(&row), &words);
    BUG_ON(!row_next(&rr, &again) || again.has != r.has || again.item_count > r.item_count);
    BUG_ON(!again.cut && again.item_count != r.item_count);
    BUG_ON(!row_next(&rr, &again) || !record_id_same(&again.id, &r.id) || row_next(&rr, &again));
    reduce_record(&r, HISTORY_ADDRESSES_HASH, SLICE("key"), &arena);
    BUG_ON(!row_add(&row, &r, &words, NULL));
    if (record_decode(slice_of(data, size), &words, &again.id, &r)) { /* as a row of a damaged file */
        touch(record_field(&r, FIELD_SENDER));
    }
    buf_fini(&row);
    arena_fini(&arena);
    words_fini(&words);
    return 0;
}
