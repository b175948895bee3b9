/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_textfile.c - files of entries: what a line is, and what is no file.
 */
#include "helper.h"

#include <sys/stat.h>

#include "config/textfile.h"

static void entries_are_lines_without_blanks_comments_and_line_ends(void **state)
{
    static const struct {
        const char *label, *text, *want; /* want: "LINE:ENTRY|" for each */
    } rows[] = {
        { "nothing", "", "" },
        { "one without a line end", "a", "1:a|" },
        { "CRLF and LF", "a\r\nb\n", "1:a|2:b|" },
        { "blanks around", " \ta b\t \n", "1:a b|" },
        { "empty lines count", "\n\r\n a\n", "3:a|" },
        { "comments", "# x\na # x\n\t#\nb\t#x\n", "2:a|4:b|" },
        { "a # within an entry", "a#b\n", "1:a#b|" },
        { "a comment at the very end", "a\n#", "1:a|" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice rest = slice_str(rows[i].text), entry;
        char mem[200];
        struct buf got;
        size_t line = 0;

        buf_init_fixed(&got, mem, sizeof(mem));
        buf_put_str(&got, "");
        while (textfile_next(&rest, &line, &entry)) {
            buf_putf(&got, "%zu:" SLICE_FMT "|", line, SLICE_ARG(entry));
        }
        if (!slice_eq(buf_slice(&got), slice_str(rows[i].want))) {
            fail_msg("%s: " SLICE_FMT, rows[i].label, SLICE_ARG(buf_slice(&got)));
        }
    }
}

static void what_cannot_be_read_says_why(void **state)
{
    char dir[] = "/tmp/glacis-textfile-XXXXXX", path[64];
    struct buf out;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/pipe", dir);
    buf_init(&out, 10);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_string_equal(textfile_read(path, &out), "not a plain file");
    assert_string_equal(textfile_read(dir, &out), "not a plain file");
    assert_int_equal(remove(path), 0);
    assert_string_equal(textfile_read(path, &out), "No such file or directory");
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs("0123456789", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_null(textfile_read(path, &out));
    assert_true(slice_eq(buf_slice(&out), SLICE("0123456789")));
    assert_string_equal(textfile_read(path, &out),
                        "larger than 64 MiB"); /* larger than the buffer may grow */
    buf_fini(&out);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_lines_without_blanks_comments_and_line_ends),
        cmocka_unit_test(what_cannot_be_read_says_why),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
