/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.c - makes a snapshot from a file, and frees it.
 *
 * Order: tree, defaults, keys in the order of the file (domains last, since they name upstreams), derived
 * values (hostname, spool_dir, banner, authserv_id), rules that span keys, files that the file names.
 * The snapshot and everything in it is one xcalloc and one arena; config_free() drops both.
 */
#include "config/load_priv.h"

#include <errno.h>
#include <fcntl.h>

/* The built-in file of config_load_default(). */
static const char default_text[] = "version: 1\n"
                                   "upstreams:\n"
                                   "  upstream:\n"
                                   "    servers: \"${GLACIS_UPSTREAM}\"\n"
                                   "domains: \"${GLACIS_DOMAINS}\"\n";

static struct config *new_config(const char *path, struct load *l, struct config_errors *errs)
{
    struct config *c = xcalloc(1, sizeof(*c));

    c->own = xcalloc(1, sizeof(*c->own));
    arena_init(&c->own->arena, LOAD_TREE_MAX);
    table_init(&c->own->domains);
    *l = (struct load){ .c = c, .errs = errs, .arena = &c->own->arena };
    c->path = load_text(l, slice_str(path));
    c->loaded_at_s = (int64_t)time(NULL);
    c->server.hostname = "";
    c->log.file = "";
    for (size_t i = 0; i < CONFIG_MAX_KEYPAIRS; i++) {
        c->tls.pair[i] = (struct config_keypair){ "", "", 0 };
    }
    return c;
}

void config_free(struct config *c)
{
    if (c == NULL) {
        return;
    }
    while (c->own->attached_count > 0) {
        size_t last = --c->own->attached_count;

        c->own->attached[last].free_fn(c->own->attached[last].obj);
    }
    for (size_t i = 0; i < c->domain_count; i++) {
        load_free_recipients(c->domains[i].recipients);
    }
    table_fini(&c->own->domains);
    arena_fini(&c->own->arena);
    free(c->own);
    free(c);
}

void config_attach(struct config *c, void *obj, void (*free_fn)(void *obj))
{
    BUG_ON(c->own->attached_count == CONFIG_ATTACHED_MAX);
    c->own->attached[c->own->attached_count].obj = obj;
    c->own->attached[c->own->attached_count++].free_fn = free_fn;
}

/* Uses GLACIS_HOSTNAME or the machine's name if the file sets none. */
static void set_hostname(struct load *l)
{
    char mem[400];
    struct buf why;
    const char *name = machine_hostname(l);
    struct quoted q;
    struct value v = { key_find(SLICE("server.hostname")), "server.hostname", NULL, l->c };

    buf_init_fixed(&why, mem, sizeof(mem));
    if (name[0] != '\0') {
        if (!load_set_scalar(l, &v, slice_str(name), &why)) {
            load_error(l, NULL, "GLACIS_HOSTNAME: expected %s, found `%s`", mem,
                       load_quote(&q, slice_str(name)));
        }
        return;
    }
    struct buf made;
    char made_mem[300];

    buf_init_fixed(&made, made_mem, sizeof(made_mem));
    buf_putf(&made, "%s.localdomain", machine_shortname(l));
    l->c->server.hostname = load_text(l, buf_slice(&made));
    config_errors_add(
        l->errs, true, 0, 0,
        "this machine has no full host name; %s is used: set server.hostname to the name that other mail "
        "servers know",
        made_mem);
}

/* The banner must fit a reply line of 512 octets (RFC 5321 4.5.3.1.5) and begin with the host's name (4.3.1). */
static void set_banner(struct load *l)
{
    struct config_server_section *s = &l->c->server;
    const struct config_node *at = config_node_find(l->c->root, "server.banner");
    struct slice first;
    struct buf b, why;
    char mem[5000], why_mem[200];

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_init_fixed(&why, why_mem, sizeof(why_mem));
    if (!load_expand_banner(slice_str(s->banner), s->hostname, &b, &why) || b.len > 500) {
        load_error(l, at, "server.banner: longer than 500 octets with the host name in it");
        return;
    }
    first = buf_slice(&b);
    if (!slice_eq_nocase(slice_token(&first), slice_str(s->hostname))) {
        config_errors_add(l->errs, true, at != NULL ? at->line : 0, at != NULL ? at->column : 0,
                          "server.banner: does not begin with {server.hostname}, as RFC 5321 4.3.1 wants it");
    }
    s->banner = load_text(l, buf_slice(&b));
}

/* postmaster@ the first entry that is not for subdomains only, else the first one (RFC 5321 4.5.1); may be empty. */
static void set_contact(struct load *l)
{
    const struct config_domain *home = config_postmaster_home(l->c);
    struct buf b;

    for (size_t i = 0; home != NULL && home->subdomains && i < l->c->domain_count; i++) {
        home = l->c->domains[i].subdomains ? home : &l->c->domains[i];
    }
    buf_init(&b, CONFIG_TREE_MAX_SCALAR);
    if (home != NULL) {
        buf_putf(&b, "postmaster@%s", home->name);
    }
    l->c->policy_section.contact = load_text(l, buf_slice(&b));
    buf_fini(&b);
}

static void derive(struct load *l)
{
    struct config_server_section *s = &l->c->server;
    struct buf b;
    char mem[5000];

    if (s->hostname[0] == '\0') {
        set_hostname(l);
    }
    if (s->spool_dir[0] == '\0') {
        buf_init_fixed(&b, mem, sizeof(mem));
        buf_putf(&b, "%s/spool", s->state_dir);
        s->spool_dir = load_text(l, buf_slice(&b));
    }
    set_banner(l);
    if (l->c->policy_section.contact[0] == '\0') {
        set_contact(l);
    }
    if (l->c->headers.authserv_id[0] == '\0') {
        l->c->headers.authserv_id = s->hostname;
    }
}

static void fill(struct load *l, const struct config_node *root)
{
    struct place top = { .path = "", .shown = "", .base = l->c };
    const struct config_node *tls;
    uint64_t usual;

    l->c->root = root;
    apply_defaults(l, "", l->c);
    usual = l->c->limits.spool_memory;
    apply_mapping(l, &top, root);
    l->c->limits.spool_memory_exact = l->c->limits.spool_memory != usual;
    load_domains(l, config_node_get(root, "domains"));
    tls = config_node_get(root, "tls");
    l->c->tls.enabled = tls != NULL && tls->kind == NODE_MAPPING; /* or `off` */
    if (config_node_find(root, "tls.certificate") != NULL) {
        l->c->tls.pair[0].line = config_node_find(root, "tls.certificate")->line;
    }
    if (config_node_find(root, "tls.client_ca") != NULL) {
        l->c->tls.client_ca_line = config_node_find(root, "tls.client_ca")->line;
    }
    if (!l->c->tls.enabled) {
        l->c->tls.pair_count = 0;
    }
    if (l->errs->fatal == 0) {
        derive(l); /* may read other files, so skip it for a refused file */
    }
    validate(l);
    load_recipients(l);
}

struct config *config_load_text(const char *path, struct slice text, struct config_errors *errs)
{
    struct load l;
    struct config *c = new_config(path, &l, errs);
    const struct config_node *root = config_tree_parse(text, l.arena, errs);

    l.arena->max = LOAD_ARENA_MAX;
    if (root != NULL && root->kind != NODE_MAPPING) {
        load_error(&l, root, "expected keys such as upstreams and domains, found %s",
                   config_node_kind_name(root));
    } else if (root != NULL) {
        fill(&l, root);
    }
    if (errs->fatal > 0) {
        config_free(c);
        return NULL;
    }
    c->text = slice_of(load_text(&l, text), text.len);
    return c;
}

/* Reads the descriptor to its end; false with errno. */
static bool read_all(int fd, struct buf *out)
{
    char block[16384];
    ssize_t n;

    while ((n = read(fd, block, sizeof(block))) != 0) {
        if (n < 0 && errno != EINTR) {
            return false;
        }
        buf_put(out, block, n > 0 ? (size_t)n : 0);
        if (!buf_ok(out)) {
            return true; /* too long: the caller reports it */
        }
    }
    return true;
}

struct config *config_load(const char *path, struct config_errors *errs)
{
    bool is_stdin = slice_eq(slice_str(path), SLICE("-"));
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    struct buf text;
    struct config *c = NULL;

    buf_init(&text, CONFIG_TREE_MAX_BYTES);
    if (fd < 0 || !read_all(fd, &text)) {
        config_errors_add(errs, false, 0, 0, "cannot be read: %s", strerror(errno));
        errs->unreadable = true;
    } else if (!buf_ok(&text)) {
        config_errors_add(errs, false, 0, 0, "the file is larger than 4 MiB");
    } else {
        c = config_load_text(path, buf_slice(&text), errs);
    }
    if (fd >= 0 && !is_stdin) {
        close(fd);
    }
    buf_fini(&text);
    return c;
}

struct config *config_load_default(struct config_errors *errs)
{
    if (getenv("GLACIS_UPSTREAM") == NULL || getenv("GLACIS_DOMAINS") == NULL) {
        config_errors_add(errs, false, 0, 0,
                          "there is no configuration file: name one with -c, or set GLACIS_UPSTREAM (such as "
                          "10.1.1.10:25) and GLACIS_DOMAINS (such as example.com,example.org)");
        return NULL;
    }
    return config_load_text("built-in", slice_str(default_text), errs);
}
