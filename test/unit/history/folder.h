/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder.h - a folder of its own for a test of history/, and the store in it.
 */
#ifndef TEST_HISTORY_FOLDER_H
#define TEST_HISTORY_FOLDER_H

#include <dirent.h>

#include "history/history.h"

static char folder[64];

static inline const char *folder_make(void)
{
    memcpy(folder, "/tmp/glacis-history-XXXXXX", 27);
    BUG_ON(mkdtemp(folder) == NULL);
    return folder;
}

/* How many names in it contain the word. */
static inline unsigned folder_count(const char *word)
{
    DIR *d = opendir(folder);
    struct dirent *e;
    unsigned n = 0;

    while (d != NULL && (e = readdir(d)) != NULL) {
        n += strstr(e->d_name, word) != NULL;
    }
    if (d != NULL) {
        closedir(d);
    }
    return n;
}

static inline void folder_remove(void)
{
    DIR *d = opendir(folder);
    struct dirent *e;

    while (d != NULL && (e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.') {
            (void)unlinkat(dirfd(d), e->d_name, 0);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    (void)rmdir(folder);
}

static inline struct history_settings folder_settings(void)
{
    return (struct history_settings){
        .dir = folder, .hash_key = SLICE("a key of a test"), .keep_s = 30 * 86400, .max_bytes = UINT64_MAX
    };
}

#endif
