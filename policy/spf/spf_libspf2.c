/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spf_libspf2.c - the second engine: libspf2 matches the directives.  Built with GLACIS_HAVE_LIBSPF2 only.
 *
 * Published records can make libspf2 crash, hang or err (CVE-2023-42118 among others).  So nothing a peer wrote
 * reaches it except numbers:
 *
 *   - our parser has accepted the whole record first (RFC 7208 4.6);
 *   - each directive is rewritten with our own names ("t.invalid", "h3.invalid") in place of targets, hosts and
 *     names of the client, and given to the library as a separate record; our expander makes the
 *     target;
 *   - its lookups are answered from the table, which holds every possible answer before it runs;
 *   - it sees an include as the result that check_host() had for the included record;
 *   - redirect=, exp= and unknown modifiers never reach it; we enforce the limits.
 *
 *       "-mx:%{d2}/24"  ->  "v=spf1 -mx:t.invalid/24"     MX of t.invalid:  h0.invalid, h1.invalid
 *                                                         A of h0.invalid:  the addresses in the table
 *
 * A run of the library costs a few microseconds, and each step walks the records again.  So the fact of a record
 * notes each ip4 or ip6 that did not match, and it is not tried again.
 *
 * The library only compiles the directive, compares addresses and names, and maps results.  It refuses the prefix
 * length 0; we use `all` or a matching answer instead.
 *
 * Owns       one SPF_server_t a run, freed by spf_libspf2_end()
 * RFC        7208 5
 */
#include "policy/spf/spf_eval.h"

#ifdef GLACIS_HAVE_LIBSPF2

#include <arpa/inet.h>
#include <netinet/in.h>

#include <spf2/spf.h>

enum {
    DIRECTIVE_MAX = 128, /* octets of a rewritten record: at most "v=spf1 ~ip6:" and 45 of an address */
};

/* The directive that the library evaluates: the hook of its DNS layer. */
struct view {
    struct spf_run *run;
    const struct spf_term *term;
    const struct spf_frame *frame;
    struct spf_name target;
    const struct spf_fact *fact; /* of the target; of the client's names for ptr */
    struct spf_hosts hosts;      /* looked-up hosts of an mx, or names of the client */
};

struct library {
    SPF_dns_server_t dns;
    SPF_server_t *server;
};

static bool is_v4(const struct view *v)
{
    return v->run->e->in.client.family == ADDR_V4;
}

static int herrno_of(const struct spf_fact *f)
{
    if (f->status == SPF_ANSWER_TEMPFAIL) {
        return TRY_AGAIN;
    }
    return f->count > 0 ? NETDB_SUCCESS : f->status == SPF_ANSWER_NXDOMAIN ? HOST_NOT_FOUND : NO_DATA;
}

static SPF_dns_rr_t *new_answer(SPF_dns_server_t *dns, const char *name, ns_type type, int herrno)
{
    SPF_dns_rr_t *rr = SPF_dns_rr_new_init(dns, name, type, 0, herrno);

    BUG_ON(rr == NULL); /* out of memory, as in xmalloc() */
    return rr;
}

static void add_data(SPF_dns_rr_t *rr, const void *data, size_t len)
{
    BUG_ON(SPF_dns_rr_buf_realloc(rr, rr->num_rr, max_size(len, sizeof(SPF_dns_rr_data_t))) != SPF_E_SUCCESS);
    memcpy(rr->rr[rr->num_rr], data, len);
    rr->num_rr++;
}

/* Addresses of a target or host.  With /0 the client's address replaces each of them. */
static SPF_dns_rr_t *answer_addresses(SPF_dns_server_t *dns, const struct view *v, const char *name,
                                      const struct spf_fact *f)
{
    const struct spf *e = v->run->e;
    bool v4 = f->want.type == SPF_TYPE_A;
    bool network = v->term->kind == SPF_A || v->term->kind == SPF_MX;
    bool any = network && spf_term_bits(e, v->term) == 0;
    SPF_dns_rr_t *rr = new_answer(dns, name, v4 ? ns_t_a : ns_t_aaaa, herrno_of(f));

    for (size_t i = 0; i < f->count; i++) {
        add_data(rr, any ? (const void *)e->in.client.ip : f->records[i].data.ptr, v4 ? 4 : 16);
    }
    return rr;
}

static void add_host(SPF_dns_rr_t *rr, size_t i, const char *suffix)
{
    char mem[32];
    struct buf b;

    buf_init_fixed(&b, mem, sizeof(mem));
    buf_putf(&b, "h%zu.%s", i, suffix);
    add_data(rr, mem, b.len + 1);
}

/* Hosts of an mx, with failed lookups last, so that it finds a matching one (as in spf_eval.c). */
static SPF_dns_rr_t *answer_hosts(SPF_dns_server_t *dns, const struct view *v, const char *name)
{
    SPF_dns_rr_t *rr = new_answer(dns, name, ns_t_mx, herrno_of(v->fact));

    for (int late = 0; late < 2; late++) {
        for (size_t i = 0; i < v->hosts.count; i++) {
            const struct spf_fact *f = v->hosts.fact[i];

            if (f != NULL && (f->status == SPF_ANSWER_TEMPFAIL) == (late == 1)) {
                add_host(rr, i, "invalid");
            }
        }
    }
    return rr;
}

/* Names of the client: below the target only if they really are. */
static SPF_dns_rr_t *answer_names(SPF_dns_server_t *dns, const struct view *v, const char *name)
{
    int herrno = v->fact->count > 0 ? NETDB_SUCCESS : NO_DATA; /* RFC 7208 5.5: an error is no match */
    SPF_dns_rr_t *rr = new_answer(dns, name, ns_t_ptr, herrno);

    for (size_t i = 0; i < v->hosts.count; i++) {
        add_host(rr, i, v->hosts.fact[i] != NULL ? "t.invalid" : "invalid");
    }
    return rr;
}

/* Never NULL, which would abort the library.  All names are ours; an unknown name does not exist. */
static SPF_dns_rr_t *on_lookup(SPF_dns_server_t *dns, const char *name, ns_type type, int should_cache)
{
    const struct view *v = dns->hook;
    size_t i = name[0] == 'h' && ascii_is_digit(name[1]) ? (size_t)(name[1] - '0') : SPF_HOSTS_MAX;

    (void)should_cache;
    if (type == ns_t_mx && v->term->kind == SPF_MX) {
        return answer_hosts(dns, v, name);
    }
    if (type == ns_t_ptr && v->term->kind == SPF_PTR) {
        return answer_names(dns, v, name);
    }
    if ((type == ns_t_a || type == ns_t_aaaa) && (v->term->kind == SPF_A || v->term->kind == SPF_EXISTS)) {
        return answer_addresses(dns, v, name, v->fact);
    }
    if ((type == ns_t_a || type == ns_t_aaaa) && i < v->hosts.count && v->hosts.fact[i] != NULL &&
        (v->hosts.fact[i]->status != SPF_ANSWER_TEMPFAIL || v->term->kind == SPF_MX)) {
        return answer_addresses(dns, v, name, v->hosts.fact[i]);
    }
    return new_answer(dns, name, type, HOST_NOT_FOUND);
}

/* The record of an include: one that yields our own result. */
static SPF_errcode_t on_get_spf(SPF_server_t *server, SPF_request_t *request, SPF_response_t *response,
                                SPF_record_t **out)
{
    SPF_dns_server_t *dns = server->resolver;
    struct view *v = dns->hook;
    struct spf_frame inner = {
        .domain = spf_name_slice(&v->target),
        .authorised = v->frame->authorised && v->term->qualifier == '+',
    };
    enum spf_result result = spf_check_host(v->run, inner);
    const char *text = NULL;

    (void)request;
    dns->hook = v; /* directives of the included record have replaced it */
    *out = NULL;
    switch (result) {
    case SPF_PASS:
        text = "v=spf1 +all";
        break;
    case SPF_FAIL:
        text = "v=spf1 -all";
        break;
    case SPF_SOFTFAIL:
        text = "v=spf1 ~all";
        break;
    case SPF_NEUTRAL:
        text = "v=spf1 ?all";
        break;
    case SPF_TEMPERROR:
        return SPF_E_DNS_ERROR;
    case SPF_NONE:
        v->run->problem = v->run->missing ? NULL : "an include without a record";
        return SPF_E_NOT_SPF;
    case SPF_PERMERROR:
    case SPF_RESULT_COUNT:
        return SPF_E_NOT_SPF;
    }
    return SPF_record_compile(server, response, out, text);
}

static void put_network(struct buf *b, const struct view *v, bool v4_term)
{
    const struct spf_term *t = v->term;
    unsigned bits = v4_term ? t->v4_bits : t->v6_bits;
    char text[INET6_ADDRSTRLEN];

    if (v4_term == is_v4(v) && bits == 0) {
        buf_put_str(b, "all");
        return;
    }
    (void)inet_ntop(v4_term ? AF_INET : AF_INET6, t->ip, text, sizeof(text));
    buf_putf(b, "%s:%s/%u", v4_term ? "ip4" : "ip6", text, bits == 0 ? 1 : bits);
}

/* Puts name and prefix length of a or mx; no prefix means full length. */
static void put_hosts(struct buf *b, const struct view *v)
{
    unsigned bits = spf_term_bits(v->run->e, v->term);

    buf_put_str(b, v->term->kind == SPF_A ? "a:t.invalid" : "mx:t.invalid");
    if (bits > 0 && bits < (is_v4(v) ? 32U : 128U)) {
        buf_putf(b, "%s%u", is_v4(v) ? "/" : "//", bits);
    }
}

static void put_directive(struct buf *b, const struct view *v)
{
    buf_put_str(b, "v=spf1 ");
    buf_put_char(b, v->term->qualifier);
    switch (v->term->kind) {
    case SPF_ALL:
        buf_put_str(b, "all");
        break;
    case SPF_IP4:
    case SPF_IP6:
        put_network(b, v, v->term->kind == SPF_IP4);
        break;
    case SPF_A:
    case SPF_MX:
        put_hosts(b, v);
        break;
    case SPF_PTR:
        buf_put_str(b, "ptr:t.invalid");
        break;
    case SPF_EXISTS:
        buf_put_str(b, "exists:t.invalid");
        break;
    case SPF_INCLUDE:
        buf_put_str(b, "include:t.invalid");
        break;
    case SPF_REDIRECT:
    case SPF_EXP:
    case SPF_UNKNOWN_MODIFIER:
        break; /* never matched here: see spf_match_libspf2() */
    }
}

static SPF_request_t *new_request(const struct library *lib, const struct spf *e)
{
    SPF_request_t *request = SPF_request_new(lib->server);
    struct in_addr v4;
    struct in6_addr v6;

    BUG_ON(request == NULL);
    memcpy(&v4, e->in.client.ip, sizeof(v4));
    memcpy(&v6, e->in.client.ip, sizeof(v6));
    if (e->in.client.family == ADDR_V4) {
        (void)SPF_request_set_ipv4(request, v4);
    } else {
        (void)SPF_request_set_ipv6(request, v6);
    }
    (void)SPF_request_set_helo_dom(request, "helo.invalid"); /* used only in comments that we discard */
    (void)SPF_request_set_env_from(request, "postmaster@from.invalid");
    request->cur_dom = request->env_from_dp;
    return request;
}

/* Handles loopback clients too: the shorter SPF_request_query_mailfrom() always passes them. */
static enum spf_match interpret(struct library *lib, const struct view *v, const char *text)
{
    SPF_request_t *request = new_request(lib, v->run->e);
    SPF_response_t *response = SPF_response_new(request);
    SPF_record_t *record = NULL;
    enum spf_match m = SPF_MATCH_PERM;

    BUG_ON(response == NULL);
    if (SPF_record_compile(lib->server, response, &record, text) == SPF_E_SUCCESS) {
        response->spf_record_exp = record;
        (void)SPF_record_interpret(record, request, response, 0);
        if (SPF_response_reason(response) == SPF_REASON_MECH) {
            m = SPF_MATCH_YES;
        } else if (SPF_response_reason(response) == SPF_REASON_DEFAULT) {
            m = SPF_MATCH_NO;
        } else if (SPF_response_result(response) == SPF_RESULT_TEMPERROR) {
            m = SPF_MATCH_TEMP;
        }
    }
    if (record != NULL) {
        SPF_record_free(record);
    }
    SPF_response_free(response);
    SPF_request_free(request);
    return m;
}

static struct library *get_library(struct spf_run *run)
{
    struct library *lib = run->library;

    if (lib == NULL) {
        lib = xcalloc(1, sizeof(*lib));
        lib->dns.lookup = on_lookup;
        lib->dns.get_spf = on_get_spf;
        lib->dns.name = "table";
        lib->server = SPF_server_new_dns(&lib->dns, 0);
        BUG_ON(lib->server == NULL);
        run->library = lib;
    }
    return lib;
}

/* Looks up hosts of an mx, or names of the client; the library then sees those. */
static enum spf_match ask_hosts(struct view *v)
{
    struct spf_run *run = v->run;
    enum spf_match m;

    if (v->term->kind == SPF_PTR) {
        return spf_ask_names(run, v->fact, spf_name_slice(&v->target), &v->hosts) ? SPF_MATCH_YES
                                                                                  : SPF_MATCH_MISSING;
    }
    m = spf_ask_hosts(run, v->fact, spf_term_bits(run->e, v->term), &v->hosts);
    return m == SPF_MATCH_MISSING || m == SPF_MATCH_PERM ? m : SPF_MATCH_YES;
}

/* Puts every answer that the library will need into the table; SPF_MATCH_YES: all are there. */
static enum spf_match prepare(struct view *v)
{
    struct spf_run *run = v->run;
    enum spf_kind kind = v->term->kind;
    enum spf_match m;

    if (kind == SPF_ALL || kind == SPF_IP4 || kind == SPF_IP6) {
        return SPF_MATCH_YES;
    }
    m = spf_take_target(run, v->term, v->frame, &v->target);
    if (m != SPF_MATCH_YES || kind == SPF_INCLUDE) {
        return m;
    }
    if (kind == SPF_PTR && v->target.len == 0) {
        return SPF_MATCH_NO; /* nothing is below an impossible name */
    }
    if (kind == SPF_PTR) {
        v->fact = spf_lookup(run, SPF_TYPE_PTR, run->e->reverse);
    } else {
        enum spf_type type = kind == SPF_MX       ? SPF_TYPE_MX
                             : kind == SPF_EXISTS ? SPF_TYPE_A
                                                  : spf_client_type(run->e);

        v->fact = spf_lookup(run, type, spf_name_slice(&v->target));
    }
    if (v->fact == NULL) {
        return SPF_MATCH_MISSING;
    }
    if (kind != SPF_PTR && !spf_count_void(run, v->fact)) {
        return SPF_MATCH_PERM;
    }
    if (kind == SPF_MX && v->fact->count > SPF_HOSTS_MAX) {
        run->problem = "an mx of more than 10 hosts";
        return SPF_MATCH_PERM;
    }
    if (kind == SPF_MX || kind == SPF_PTR) {
        return ask_hosts(v);
    }
    return SPF_MATCH_YES;
}

/* The note of this term; NULL: it has none. */
static uint64_t *note_of(const struct spf_term *t, const struct spf_frame *fr)
{
    bool network = t->kind == SPF_IP4 || t->kind == SPF_IP6;

    return network && fr->tried != NULL ? &fr->tried[fr->index / 64] : NULL;
}

enum spf_match spf_match_libspf2(struct spf_run *run, const struct spf_term *t, const struct spf_frame *fr)
{
    uint64_t *note = note_of(t, fr);
    uint64_t bit = UINT64_C(1) << fr->index % 64;
    struct view v = { .run = run, .term = t, .frame = fr };
    struct library *lib = get_library(run);
    char text[DIRECTIVE_MAX];
    enum spf_match m;
    struct buf b;

    if (t->kind == SPF_REDIRECT || t->kind == SPF_EXP || t->kind == SPF_UNKNOWN_MODIFIER ||
        (note != NULL && (*note & bit) != 0)) {
        return SPF_MATCH_NO;
    }
    m = prepare(&v);
    if (m != SPF_MATCH_YES) {
        return m;
    }
    buf_init_fixed(&b, text, sizeof(text));
    put_directive(&b, &v);
    lib->dns.hook = &v;
    m = interpret(lib, &v, text);
    lib->dns.hook = NULL;
    if (run->missing) {
        return SPF_MATCH_MISSING;
    }
    if (m == SPF_MATCH_TEMP && t->kind != SPF_INCLUDE) {
        run->problem = "no answer for a name in the record";
    }
    if (m == SPF_MATCH_NO && note != NULL) {
        *note |= bit;
    }
    if (m == SPF_MATCH_NO && t->kind == SPF_INCLUDE) {
        run->matched = false; /* a decision inside does not decide here */
    }
    return m;
}

void spf_libspf2_end(struct spf_run *run)
{
    struct library *lib = run->library;

    if (lib != NULL) {
        SPF_server_free(lib->server); /* leaves lib->dns alone: it has no destructor */
        free(lib);
        run->library = NULL;
    }
}

#endif
