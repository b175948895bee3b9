/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words.c - a hash table from word to number, and an array from number to word.
 */
#include "history/words.h"

struct word {
    struct table_entry entry;
    uint32_t number, len;
    char text[];
};

void words_init(struct words *w)
{
    memset(w, 0, sizeof(*w));
    table_init(&w->table);
}

void words_truncate(struct words *w, size_t len)
{
    while (w->len > len) {
        struct word *last = w->list[--w->len];

        table_remove(&w->table, &last->entry);
        free(last);
    }
}

void words_fini(struct words *w)
{
    words_truncate(w, 0);
    table_fini(&w->table);
    free(w->list);
    w->list = NULL;
    w->cap = 0;
}

static int find_or_add(struct words *w, struct slice text, size_t max)
{
    struct table_key key;
    struct table_entry *found;
    struct word *word;

    if (text.len < 2 || text.len > WORDS_LEN_MAX) { /* one letter is as short as its number */
        return -1;
    }
    key = table_key(&w->table, text);
    found = table_find_key(&w->table, &key);
    if (found != NULL) {
        return (int)container_of(found, struct word, entry)->number;
    }
    if (w->len >= max) {
        return -1;
    }
    if (w->len == w->cap) {
        w->cap = max_size(64, w->cap * 2);
        w->list = xrealloc(w->list, w->cap * sizeof(struct word *));
    }
    word = xcalloc(1, sizeof(*word) + text.len);
    word->number = (uint32_t)w->len;
    word->len = (uint32_t)text.len;
    memcpy(word->text, text.ptr, text.len);
    key.text = slice_of(word->text, text.len);
    table_insert_key(&w->table, &word->entry, &key);
    w->list[w->len++] = word;
    return (int)word->number;
}

int words_number(struct words *w, struct slice text)
{
    return find_or_add(w, text, WORDS_MAX);
}

int words_number_if_room(struct words *w, struct slice text)
{
    return find_or_add(w, text, WORDS_MAX / 2);
}

bool words_at(const struct words *w, uint64_t number, struct slice *out)
{
    if (number >= w->len) {
        return false;
    }
    *out = slice_of(w->list[number]->text, w->list[number]->len);
    return true;
}
