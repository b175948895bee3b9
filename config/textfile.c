/* SPDX-License-Identifier: Apache-2.0 */
/*
 * textfile.c - reads small text files and takes them apart line by line (textfile.h).
 */
#include "config/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char *read_all(int fd, struct buf *out)
{
    char block[16384];
    struct stat st;
    ssize_t n = 0;

    if (fstat(fd, &st) != 0) {
        return strerror(errno);
    }
    if (!S_ISREG(st.st_mode)) {
        return "not a plain file";
    }
    while (buf_ok(out) && (n = read(fd, block, sizeof(block))) > 0) {
        buf_put(out, block, (size_t)n);
    }
    if (n < 0) {
        return strerror(errno);
    }
    return buf_ok(out) ? NULL : "larger than 64 MiB";
}

const char *textfile_read(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const char *why;

    if (fd < 0) {
        return strerror(errno);
    }
    why = read_all(fd, out);
    (void)close(fd);
    return why;
}

static struct slice without_comment(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if ((line.ptr[i] == '#' || line.ptr[i] == ';') &&
            (i == 0 || line.ptr[i - 1] == ' ' || line.ptr[i - 1] == '\t')) {
            return slice_take(line, i);
        }
    }
    return line;
}

bool textfile_next(struct slice *rest, size_t *line_no, struct slice *entry)
{
    while (!slice_empty(*rest)) {
        struct slice line = slice_cut(rest, '\n');

        (*line_no)++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r') {
            line.len--;
        }
        *entry = slice_trim(without_comment(line));
        if (!slice_empty(*entry)) {
            return true;
        }
    }
    return false;
}
