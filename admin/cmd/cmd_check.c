/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_check.c - glacis check: is this file valid, and what are its settings with all defaults filled in?
 *
 * config/ loads the file.  This file has the command line, the further checks of a loaded snapshot (one row
 * each in checks[]), the notes and the exit code.
 */
#include "admin/admin.h"

#include <getopt.h>
#include <sysexits.h>

#include "admin/certificates.h"
#include "admin/cmd/check_machine.h"
#include "policy/policy.h"
#include "tls/tls.h"

#define OUTPUT_MAX ((size_t)64 << 20)

struct request {
    const char *path; /* NULL: the built-in file, from the environment */
    bool print;
    bool online;
    bool schema;
};

/*
 * A check of a snapshot that loaded.  It adds errors and warnings like the loader does; the positions it
 * knows are those in the snapshot (`line`).
 */
typedef void (*check_fn)(const struct config *c, struct config_errors *errs);

/* A warning without a single key: the file exempts every client on a private address. */
static void check_private_clients(const struct config *c, struct config_errors *errs)
{
    if (c->server.private_clients == PRIVATE_JUDGE) {
        config_errors_add(
            errs, true, 0, 0,
            "server.private_clients is judge: behind a NAT every client shares one address, and one bad "
            "client may ban them all");
    }
}

static const check_fn checks[] = { check_private_clients, check_user, check_folders };

static const char usage[] =
    "usage: glacis check [-c FILE] [--print] [--online]\n"
    "       glacis check --schema\n"
    "  -c, --config FILE  the configuration (- is standard input); without it the\n"
    "                     built-in one from GLACIS_UPSTREAM and GLACIS_DOMAINS\n"
    "      --print        write the effective configuration to standard output\n"
    "      --online       ask the resolver, the DNS about our names, and the servers behind\n"
    "      --schema       write a JSON Schema of the file format to standard output, for editors\n"
    "\n"
    "Exit status: 0, 66 for a file that cannot be read, 78 for one with errors, 69 if --online finds what\n"
    "is not fit for its work.\n";

/* EX_OK to go on, otherwise the exit code; -1 for --help. */
static int parse_arguments(int argc, char **argv, struct request *rq)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' }, { "print", no_argument, NULL, 'p' },
        { "online", no_argument, NULL, 'o' },       { "schema", no_argument, NULL, 's' },
        { "help", no_argument, NULL, 'h' },         { NULL, 0, NULL, 0 },
    };
    int opt;

    optind = 1;
    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (opt == 'c') {
            rq->path = optarg;
        } else if (opt == 'p') {
            rq->print = true;
        } else if (opt == 'o') {
            rq->online = true;
        } else if (opt == 's') {
            rq->schema = true;
        } else if (opt == 'h') {
            fputs(usage, stdout);
            return -1;
        } else {
            fputs(usage, stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "glacis check: unexpected argument \"%s\"; a file is named with -c FILE\n%s",
                argv[optind], usage);
        return EX_USAGE;
    }
    if (rq->schema && (rq->path != NULL || rq->print || rq->online)) {
        fprintf(stderr, "glacis check: --schema reads no file, so it goes with no other option\n%s", usage);
        return EX_USAGE;
    }
    return EX_OK;
}

static void put_stream(FILE *to, const struct buf *b)
{
    if (b->len > 0) {
        (void)fwrite(b->ptr, 1, b->len, to);
    }
}

static void print_errors(const struct config_errors *errs, const char *path)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    config_errors_print(errs, path, &out);
    put_stream(stderr, &out);
    buf_fini(&out);
}

static void print_config(const struct config *c)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    config_print(c, policy_put_key, &out);
    put_stream(stdout, &out);
    buf_fini(&out);
}

static void print_schema(void)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    config_schema(&out);
    put_stream(stdout, &out);
    buf_fini(&out);
}

/* One line a certificate: when it expires. */
static void print_certificates(const struct config *c, FILE *to)
{
    struct buf out;

    buf_init(&out, OUTPUT_MAX);
    certificates_put_text(c, &out);
    put_stream(to, &out);
    buf_fini(&out);
}

/* Settings that are valid but may not be intended. */
static void print_notes(FILE *to, const char *path, const struct config *c)
{
    struct buf notes;
    struct slice rest;

    if (policy_list_count(c->policy) == 0) {
        fprintf(to, "%s: note: no reputation list is asked: reputation.lists is empty\n", path);
    }
    if (!c->tls.enabled) {
        fprintf(to,
                "%s: note: without the section tls STARTTLS is not offered, and all mail comes in clear\n",
                path);
    } else if (c->tls_material != NULL && !tls_material_has_host(c->tls_material, c->server.hostname)) {
        fprintf(to, "%s: note: no certificate of tls is for server.hostname, %s\n", path, c->server.hostname);
    }
    buf_init(&notes, OUTPUT_MAX);
    check_put_folder_notes(c, &notes);
    check_put_watch_notes(c, &notes);
    rest = buf_slice(&notes);
    while (!slice_empty(rest)) {
        struct slice line = slice_cut(&rest, '\n');

        fprintf(to, "%s: note: " SLICE_FMT "\n", path, SLICE_ARG(line));
    }
    buf_fini(&notes);
}

/* Prints "FILE: ok" and the notes.  With --print, standard output belongs to the configuration. */
static void print_summary(const struct request *rq, const char *path, const struct config *c, size_t warnings)
{
    FILE *to = rq->print ? stderr : stdout;

    if (warnings == 0) {
        fprintf(to, "%s: ok\n", path);
    } else {
        fprintf(to, "%s: ok, %zu warning%s\n", path, warnings, warnings == 1 ? "" : "s");
    }
    print_notes(to, path, c);
}

int cmd_check(int argc, char **argv)
{
    struct request rq = { .path = NULL };
    struct config_errors errs = { .count = 0 };
    struct config *c;
    const char *path;
    int code = parse_arguments(argc, argv, &rq);

    if (code != EX_OK) {
        return code < 0 ? EX_OK : code;
    }
    if (rq.schema) {
        print_schema();
        return EX_OK;
    }
    path = rq.path != NULL ? rq.path : "built-in";
    c = rq.path != NULL ? config_load(rq.path, &errs) : config_load_default(&errs);
    for (size_t i = 0; c != NULL && i < ARRAY_LEN(checks); i++) {
        checks[i](c, &errs);
    }
    if (c != NULL && !setup_complete(c, &errs)) {
        code = EX_CONFIG; /* errs has the errors */
    }
    print_errors(&errs, path);
    if (c == NULL || errs.fatal > 0) {
        code = errs.unreadable ? EX_NOINPUT : EX_CONFIG;
    } else {
        print_certificates(c, rq.print ? stderr : stdout);
        print_summary(&rq, path, c, errs.count);
        if (rq.print) {
            print_config(c);
        }
        if (rq.online && !check_online(c)) {
            code = EX_UNAVAILABLE;
        }
    }
    config_free(c);
    config_errors_fini(&errs);
    return code;
}
