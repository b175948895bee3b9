/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_control.c - options and the request for the subcommands that query the running glacis.
 */
#include "admin/cmd/cmd_control.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "admin/admin.h"

#define PATH_BYTES 4096

/* Uses the settings of a valid file; searches an invalid one for this key alone. */
static bool put_state_dir(const char *path, struct buf *out)
{
    struct config_errors errs = { 0 };
    struct config *conf = config_load(path, &errs);
    bool loaded = conf != NULL;

    if (loaded) {
        buf_put_str(out, conf->server.state_dir);
        config_free(conf);
    }
    config_errors_fini(&errs);
    return loaded || control_state_dir(path, out);
}

/* Finds the folder of the sockets: state_dir of the file, or the folder of the socket named by --control. */
static int find_folder(struct control_request *req, const char *config, const char *control)
{
    struct slice path = slice_str(control);
    size_t slash = slice_rfind(path, '/');

    req->control = control;
    if (control != NULL) {
        buf_put_slice(&req->folder, slash < path.len ? slice_take(path, slash) : SLICE("."));
        return -1;
    }
    if (config == NULL && access(CONTROL_CONFIG, R_OK) != 0) {
        buf_put_str(&req->folder, CONTROL_STATE_DIR); /* a container without a file */
    } else if (!put_state_dir(config != NULL ? config : CONTROL_CONFIG, &req->folder)) {
        fprintf(stderr,
                "glacis %s: %s does not say where server.state_dir is; name the socket with --control PATH\n",
                req->name, config != NULL ? config : CONTROL_CONFIG);
        return EX_NOINPUT;
    }
    return -1;
}

int control_options(struct control_request *req, int argc, char **argv)
{
    static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                             { "control", required_argument, NULL, 'C' },
                                             { "json", no_argument, NULL, 'j' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    const char *config = NULL, *control = NULL;
    int opt, status;
    bool wrong = false;

    buf_init(&req->folder, PATH_BYTES);
    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (opt == 'c') {
            config = optarg;
        } else if (opt == 'C') {
            control = optarg;
        } else if (opt == 'j' && req->takes_json) {
            req->json = true;
        } else if (opt == 'h') {
            fputs(req->usage, stdout);
            control_options_fini(req);
            return EX_OK;
        } else {
            if (opt == 'j') {
                fprintf(stderr, "glacis %s: --json is not offered here\n", req->name);
            }
            wrong = true;
        }
    }
    if (!wrong && optind < argc) {
        fprintf(stderr, "glacis %s: unexpected argument \"%s\"\n", req->name, argv[optind]);
    }
    if (wrong || optind < argc) {
        fputs(req->usage, stderr);
        control_options_fini(req);
        return EX_USAGE;
    }
    status = find_folder(req, config, control);
    if (status >= 0) {
        control_options_fini(req);
    }
    return status;
}

void control_options_fini(struct control_request *req)
{
    buf_fini(&req->folder);
}

static void put_path(const struct control_request *req, const char *name, struct buf *path)
{
    buf_init(path, PATH_BYTES + 64);
    if (req->control != NULL && strcmp(name, CONTROL_NAME) == 0) {
        buf_put_str(path, req->control);
    } else {
        buf_put_slice(path, buf_slice(&req->folder));
        buf_putf(path, "/%s", name);
    }
}

/* Terminals also obey U+0080 to U+009F, in UTF-8 c2 80 to c2 9f. */
static void make_harmless(struct buf *answer)
{
    unsigned char before = 0;

    for (size_t i = 0; i < answer->len; i++) {
        unsigned char c = (unsigned char)answer->ptr[i];

        if ((c < ' ' && c != '\n' && c != '\t') || c == 0x7f || (before == 0xc2 && c >= 0x80 && c < 0xa0)) {
            answer->ptr[i] = '?';
        }
        before = c;
    }
}

enum control_result control_try(const struct control_request *req, const char *name, const char *line,
                                unsigned timeout_s, struct buf *answer)
{
    struct buf path;
    bool ok;
    int err;

    put_path(req, name, &path);
    errno = 0;
    ok = control_ask(path.ptr, line, timeout_s, answer) && answer->len > 0;
    err = errno;
    buf_fini(&path);
    make_harmless(answer);
    if (ok) {
        return CONTROL_ANSWERED;
    }
    if (err == ENOENT || err == ECONNREFUSED) {
        return CONTROL_NOT_THERE;
    }
    return err == EACCES || err == EPERM ? CONTROL_FORBIDDEN : CONTROL_SILENT;
}

void control_explain(const struct control_request *req, const char *name, enum control_result result)
{
    static const char *const texts[] = {
        [CONTROL_ANSWERED] = "",
        [CONTROL_NOT_THERE] =
            "no process listens there.\nIs glacis running, and is this its state_dir?  If the file names a "
            "new one, name the old socket with --control OLD/" CONTROL_NAME ", or send SIGHUP.",
        [CONTROL_FORBIDDEN] = "permission denied.\nOnly root and the user who started glacis may ask it.",
        [CONTROL_SILENT] = "the request timed out, or the connection broke.",
    };
    struct buf path;

    put_path(req, name, &path);
    fprintf(stderr, "glacis %s: no answer on %s: %s\n", req->name, path.ptr, texts[result]);
    buf_fini(&path);
}

int control_request(const struct control_request *req, const char *name, const char *line, unsigned timeout_s,
                    struct buf *answer)
{
    enum control_result result = control_try(req, name, line, timeout_s, answer);

    if (result == CONTROL_ANSWERED) {
        return EX_OK;
    }
    control_explain(req, name, result);
    if (result == CONTROL_SILENT && strcmp(name, QUERY_NAME) == 0) {
        fputs("The recorder answers this socket; run `glacis status` to see whether it works.\n", stderr);
    }
    return EX_UNAVAILABLE;
}
