/*
 * cmd_control.c - options and one question for the subcommands that speak to the running glacis.
 */
#include "admin/cmd_control.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <sysexits.h>

#include "admin/admin.h"

#define PATH_BYTES 4096

/* What a good file says counts; a bad one is looked through for the key alone. */
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

/* The path of the control socket from the state_dir of the file. */
static int find_socket(struct control_request *req, const char *config, const char *control)
{
    if (control != NULL) {
        buf_put_str(&req->path, control);
        return -1;
    }
    if (config == NULL && access(CONTROL_CONFIG, R_OK) != 0)
        buf_put_str(&req->path, CONTROL_STATE_DIR); /* a container: no file at all */
    else if (!put_state_dir(config != NULL ? config : CONTROL_CONFIG, &req->path)) {
        fprintf(stderr,
                "glacis %s: %s does not say where server.state_dir is; name the socket with --control PATH\n",
                req->name, config != NULL ? config : CONTROL_CONFIG);
        return EX_NOINPUT;
    }
    buf_put_str(&req->path, "/" CONTROL_NAME);
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

    buf_init(&req->path, PATH_BYTES);
    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (opt == 'c')
            config = optarg;
        else if (opt == 'C')
            control = optarg;
        else if (opt == 'j' && req->takes_json)
            req->json = true;
        else if (opt == 'h') {
            fputs(req->usage, stdout);
            control_options_fini(req);
            return EX_OK;
        } else {
            if (opt == 'j')
                fprintf(stderr, "glacis %s: --json is not offered here\n", req->name);
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
    status = find_socket(req, config, control);
    if (status >= 0)
        control_options_fini(req);
    return status;
}

void control_options_fini(struct control_request *req)
{
    buf_fini(&req->path);
}

int control_request(const struct control_request *req, const char *line, unsigned timeout_s,
                    struct buf *answer)
{
    if (control_ask(req->path.ptr, line, timeout_s, answer) && answer->len > 0)
        return 0;
    fprintf(stderr, "glacis %s: no answer on %s: %s\n", req->name, req->path.ptr,
            errno == EAGAIN ? "it took too long" : strerror(errno));
    if (errno == ENOENT || errno == ECONNREFUSED)
        fputs("Is glacis running, and is this its state_dir?  If the file names a new one, it is asked by "
              "the old: "
              "--control OLD/" CONTROL_NAME ", or by SIGHUP.\n",
              stderr);
    if (errno == EACCES || errno == EPERM)
        fputs("Only the user who started glacis may ask it.\n", stderr);
    return EX_UNAVAILABLE;
}
