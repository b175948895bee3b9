/* SPDX-License-Identifier: Apache-2.0 */
/* Finding state_dir in files that may be wrong in everything else; the control socket's paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "admin/admin.h"

static const struct {
    const char *label, *text, *want; /* NULL: cannot be known */
} rows[] = {
    { "a line of its own", "server:\n  state_dir: /a/b\n", "/a/b" },
    { "nothing: the default", "version: 1\n", "/var/lib/glacis" },
    { "an empty file", "", "/var/lib/glacis" },
    { "double quotes", "  state_dir: \"/a b\" # c\n", "/a b" },
    { "single quotes", "  state_dir: '/a,b'\n", "/a,b" },
    { "a comment behind", "  state_dir: /a # here\n", "/a" },
    { "within braces, last", "server: {user: root, state_dir: /a}\n", "/a" },
    { "within braces, first", "server: {state_dir: /a, user: root}\n", "/a" },
    { "a commented line", "# state_dir: /no\n  state_dir: /yes\n", "/yes" },
    { "another key with that end", "  my_state_dir: /no\n", "/var/lib/glacis" },
    { "in a file that is not YAML", "]]] {{{\nstate_dir: /a\n\t: :", "/a" },
    { "from the environment", "  state_dir: ${HOME}/x\n", NULL },
    { "no value", "  state_dir:\n", NULL },
    { "no line feed at the end", "state_dir: /a", "/a" },
};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void state_dir_is_found_in_good_and_bad_files(void **st)
{
    char path[] = "/tmp/test-control-XXXXXX";

    (void)st;
    close(mkstemp(path));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out;
        bool ok;

        buf_init(&out, 4096);
        write_file(path, rows[i].text);
        ok = control_state_dir(path, &out);
        if (ok != (rows[i].want != NULL) || (ok && strcmp(out.ptr, rows[i].want) != 0)) {
            fail_msg("%s: %s", rows[i].label, ok ? out.ptr : "not found");
        }
        buf_fini(&out);
    }
    unlink(path);
}

static void a_missing_file_is_not_guessed(void **st)
{
    struct buf out;

    (void)st;
    buf_init(&out, 4096);
    assert_false(control_state_dir("/nonexistent/glacis.yaml", &out));
    assert_false(control_state_dir("/tmp", &out)); /* a folder */
    buf_fini(&out);
}

static void a_path_longer_than_a_unix_address_works(void **st)
{
    char dir[] = "/tmp/test-control-XXXXXX";
    struct buf path, folder;
    int server, client;

    (void)st;
    assert_non_null(mkdtemp(dir));
    buf_init(&folder, 4096);
    buf_init(&path, 4096);
    buf_putf(&folder, "%s/%0150d", dir, 1);
    assert_int_equal(mkdir(folder.ptr, 0700), 0);
    buf_putf(&path, "%s/control", folder.ptr);
    server = control_bind(path.ptr);
    assert_true(server >= 0);
    client = control_connect(path.ptr);
    assert_true(client >= 0);
    close(client);
    close(server);
    assert_int_equal(control_connect(path.ptr), -1);
    unlink(path.ptr);
    rmdir(folder.ptr);
    rmdir(dir);
    buf_fini(&path);
    buf_fini(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_dir_is_found_in_good_and_bad_files),
        cmocka_unit_test(a_missing_file_is_not_guessed),
        cmocka_unit_test(a_path_longer_than_a_unix_address_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
