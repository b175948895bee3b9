/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the command line: reads subcommand and options, then calls the command's function.
 */
#include <getopt.h>
#include <stdio.h>

#include "admin/admin.h"
#include "config/values.h"
#include "proxy/process/supervisor.h"
#include "tls/tls.h"

#define EXIT_USAGE 64
#define EXIT_NOINPUT 66

static const char usage[] = "usage: glacis COMMAND [OPTIONS]\n"
                            "\n"
                            "  run      serve mail: the proxy itself\n"
                            "  check    judge a configuration file, with every error\n"
                            "  explain  what would happen to an envelope, and why\n"
                            "  reload   ask the running glacis to take its file again\n"
                            "  status   what the running glacis is doing\n"
                            "  lists    how the reputation lists behave; set one by hand\n"
                            "  version  print the version\n"
                            "\n"
                            "glacis COMMAND --help and glacis help COMMAND explain a command.\n";

static const char usage_run[] =
    "usage: glacis run [-c FILE] [--ready-file PATH] [--beside]\n"
    "\n"
    "Serves in the foreground until SIGTERM.\n"
    "\n"
    "  -c, --config FILE    the configuration (default: " CONTROL_CONFIG ").  Without a file the\n"
    "                       environment may say all: GLACIS_UPSTREAM=10.1.1.10:25\n"
    "                       GLACIS_DOMAINS=example.com\n"
    "  --ready-file PATH    written once every listener accepts: one `name address:port` a line\n"
    "  --beside             start although another glacis uses the addresses or the state_dir: for an\n"
    "                       upgrade without a gap; end the old one with SIGTERM when this one is ready\n"
    "  -h, --help           this text\n"
    "\n"
    "SIGHUP reloads, SIGUSR1 opens the log file again, SIGTERM drains and ends (the second one at once).\n";

/* Chooses the configuration file; NULL if the environment replaces it.  False: neither exists. */
static bool find_config(const char **path)
{
    if (*path != NULL) {
        return true;
    }
    if (access(CONTROL_CONFIG, F_OK) == 0) {
        *path = CONTROL_CONFIG;
        return true;
    }
    return getenv("GLACIS_UPSTREAM") != NULL;
}

static int cmd_run(int argc, char **argv)
{
    static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                             { "ready-file", required_argument, NULL, 'r' },
                                             { "beside", no_argument, NULL, 'b' },
                                             { "help", no_argument, NULL, 'h' },
                                             { NULL, 0, NULL, 0 } };
    struct supervisor_options o = { .config_path = NULL };
    int opt;

    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            o.config_path = optarg;
            break;
        case 'r':
            o.ready_file = optarg;
            break;
        case 'b':
            o.beside = true;
            break;
        case 'h':
            fputs(usage_run, stdout);
            return 0;
        default:
            fputs(usage_run, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "glacis run: unexpected argument \"%s\"\n%s", argv[optind], usage_run);
        return EXIT_USAGE;
    }
    if (!find_config(&o.config_path)) {
        fputs("glacis run: there is no " CONTROL_CONFIG
              "; name a file with -c FILE, or set GLACIS_UPSTREAM and "
              "GLACIS_DOMAINS\n",
              stderr);
        return EXIT_NOINPUT;
    }
#ifndef GLACIS_POOL_PASSTHROUGH
    tls_use_buffers();
#endif
    return supervisor_run(&o);
}

static const char usage_version[] = "usage: glacis version\n"
                                    "\n"
                                    "Prints the version.\n";

static int cmd_version(int argc, char **argv)
{
    static const struct option options[] = { { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 } };
    int opt = getopt_long(argc, argv, "h", options, NULL);

    if (opt == 'h') {
        fputs(usage_version, stdout);
        return 0;
    }
    if (opt == -1 && optind < argc) {
        fprintf(stderr, "glacis version: unexpected argument \"%s\"\n", argv[optind]);
    }
    if (opt != -1 || optind < argc) {
        fputs(usage_version, stderr);
        return EXIT_USAGE;
    }
    puts("glacis " GLACIS_VERSION);
    return 0;
}

static int cmd_help(int argc, char **argv);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    { "run", cmd_run },         { "check", cmd_check },       { "explain", cmd_explain },
    { "reload", cmd_reload },   { "status", cmd_status },     { "lists", cmd_lists },
    { "version", cmd_version }, { "--version", cmd_version }, { "help", cmd_help },
    { "--help", cmd_help },     { "-h", cmd_help },
};

/* Runs a command by its name.  For an unknown name, suggests the nearest one and prints the usage. */
static int run_command(int argc, char **argv)
{
    struct nearest near;
    struct buf full;
    char mem[40];

    nearest_init(&near, slice_str(argv[0]));
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(argv[0], commands[i].name) == 0) {
            buf_init_fixed(&full, mem, sizeof(mem));
            buf_putf(&full, "glacis %s", argv[0]);
            argv[0] = mem; /* getopt_long() puts it in front of its own messages */
            return commands[i].run(argc, argv);
        }
        nearest_offer(&near, slice_str(commands[i].name));
    }
    fprintf(stderr, "glacis: unknown command \"%s\"%s\n\n%s", argv[0], nearest_words(&near), usage);
    return EXIT_USAGE;
}

/* `glacis help` prints the list of commands; `glacis help COMMAND` prints the text of COMMAND --help. */
static int cmd_help(int argc, char **argv)
{
    char option[] = "--help";

    if (argc < 2 || argv[1][0] == '-') {
        fputs(usage, stdout);
        return 0;
    }
    return run_command(2, (char *[]){ argv[1], option, NULL });
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return run_command(argc - 1, argv + 1);
}
