/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay_main.c - runs a fuzz target over files without libFuzzer.
 *
 * Every file below the folders named on the command line is given to LLVMFuzzerTestOneInput once, so
 * that the committed corpora are a regression test in every build.
 */
#include <dirent.h>
#include <sys/stat.h>

#include "core/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_MAX (4u << 20)

static bool run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *mem;
    size_t len;

    if (f == NULL) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return false;
    }
    mem = xmalloc(FILE_MAX);
    len = fread(mem, 1, FILE_MAX, f);
    fclose(f);
    /* an exact copy, so that the sanitizer sees the end of the input */
    uint8_t *exact = xmalloc(len + (len == 0));
    memcpy(exact, mem, len);
    free(mem);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return true;
}

static size_t run_path(const char *path)
{
    struct stat st;
    DIR *dir;
    struct dirent *e;
    size_t runs = 0;
    char sub[4096];

    if (stat(path, &st) != 0) {
        fprintf(stderr, "%s: not found\n", path);
        exit(1);
    }
    if (!S_ISDIR(st.st_mode)) {
        if (!run_file(path)) {
            exit(1);
        }
        return 1;
    }
    dir = opendir(path);
    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] == '.') {
            continue;
        }
        snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name);
        runs += run_path(sub);
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return runs;
}

int main(int argc, char **argv)
{
    size_t runs = 0;

    for (int i = 1; i < argc; i++) {
        runs += run_path(argv[i]);
    }
    printf("%zu inputs replayed\n", runs);
    return runs == 0 ? 1 : 0; /* an empty corpus proves nothing */
}
