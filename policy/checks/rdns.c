/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rdns.c - the reverse name of a client, with forward confirmation; detects generic names.
 *
 *     PTR -> names, sorted -> A or AAAA of each, two at a time -> the first name that has the client's address
 *
 * The owner of the address chooses its names, and may choose names of third parties.  So the check looks up two names
 * at a time and stops at the first match.  It sorts them because servers rotate their answers and the memory keeps the
 * name.
 * iprev      pass: a name has the address.  fail: names exist, but none has the address.  permerror: no name (RFC 8601
 *            2.7.3).  temperror: a lookup failed and no other name matches.
 * Generic    the name contains the address in some form, or a dial-up word next to a digit.
 * Limits     RDNS_NAMES_MAX names.
 */
#include "policy/checks/check.h"

#define AT_ONCE 2

struct forward {
    struct rdns_check *check;
    struct dns_req *req;
    char name[DNS_NAME_MAX + 1];
    bool matches, failed;
};

struct rdns_check {
    struct dns_asker who;
    struct addr ip;
    rdns_cb cb;
    void *arg;
    uint64_t started_us;
    struct dns_req *ptr;
    size_t pending; /* pending answers */
    size_t count;   /* names */
    size_t asked;   /* names looked up so far */
    struct forward forward[RDNS_NAMES_MAX];
    bool matched;
    struct rdns_result res;
};

void origin_note(struct origin *o, const struct dns_answer *ans, const struct dns_had *had)
{
    o->asked = true;
    if (!had->cached) {
        o->network = true;
        o->server = ans->server.family != ADDR_NONE ? ans->server : o->server;
    }
}

void origin_put(const struct origin *o, struct buf *out)
{
    if (!o->network) {
        buf_put_str(out, "cache");
        return;
    }
    buf_put_str(out, "dns");
    if (o->server.family != ADDR_NONE) {
        buf_put_char(out, ' ');
        addr_put_endpoint(out, &o->server);
    }
}

void rdns_cancel(struct rdns_check **check)
{
    struct rdns_check *c = *check;

    if (c == NULL) {
        return;
    }
    *check = NULL;
    dns_cancel(&c->ptr);
    for (size_t i = 0; i < c->count; i++) {
        dns_cancel(&c->forward[i].req);
    }
    free(c);
}

static void finish(struct rdns_check *c, const char *iprev, const char *name)
{
    struct rdns_result res = { .iprev = iprev, .origin = c->res.origin };
    rdns_cb cb = c->cb;
    void *arg = c->arg;
    struct buf b;

    buf_init_fixed(&b, res.name, sizeof(res.name));
    buf_put_str(&b, name);
    res.origin.us = loop_now_us() - c->started_us;
    rdns_cancel(&c);
    cb(&res, arg);
}

static void conclude(struct rdns_check *c)
{
    bool failed = false;

    for (size_t i = 0; i < c->count; i++) {
        if (c->forward[i].matches) {
            finish(c, "pass", c->forward[i].name);
            return;
        }
        failed = failed || c->forward[i].failed;
    }
    finish(c, failed ? "temperror" : "fail", "");
}

static void on_forward(struct dns_answer *ans, const struct dns_had *had, void *arg);

/* Looks up the next two names; false: none is left. */
static bool ask_two(struct rdns_check *c)
{
    enum dns_type type = c->ip.family == ADDR_V4 ? DNS_TYPE_A : DNS_TYPE_AAAA;

    for (; c->pending < AT_ONCE && c->asked < c->count; c->asked++) {
        struct forward *f = &c->forward[c->asked];

        f->check = c;
        f->req = dns_query_for(&c->who, slice_str(f->name), type, on_forward, f);
        c->pending++;
    }
    return c->pending > 0;
}

static void on_forward(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct forward *f = arg;
    struct rdns_check *c = f->check;

    f->req = NULL;
    origin_note(&c->res.origin, ans, had);
    f->failed = ans->status == DNS_TEMPFAIL;
    for (size_t i = 0; i < ans->count; i++) {
        struct addr a = dns_record_addr(&ans->records[i]);

        f->matches = f->matches || addr_same_ip(&a, &c->ip);
    }
    c->matched = c->matched || f->matches;
    if (--c->pending == 0 && (c->matched || !ask_two(c))) {
        conclude(c);
    }
}

static void sort_names(struct forward *f, size_t count)
{
    char swap[sizeof(f->name)];

    for (size_t i = 1; i < count; i++) {
        for (size_t k = i; k > 0 && strcmp(f[k].name, f[k - 1].name) < 0; k--) {
            memcpy(swap, f[k].name, sizeof(swap));
            memcpy(f[k].name, f[k - 1].name, sizeof(swap));
            memcpy(f[k - 1].name, swap, sizeof(swap));
        }
    }
}

static void on_ptr(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct rdns_check *c = arg;

    c->ptr = NULL;
    origin_note(&c->res.origin, ans, had);
    if (ans->status != DNS_OK) {
        finish(c, ans->status == DNS_TEMPFAIL ? "temperror" : "permerror", "");
        return;
    }
    for (size_t i = 0; i < ans->count && c->count < RDNS_NAMES_MAX; i++) {
        struct buf b;

        buf_init_fixed(&b, c->forward[c->count].name, sizeof(c->forward[c->count].name));
        if (hostname_valid(ans->records[i].data) && dns_put_name(&b, ans->records[i].data)) {
            c->count++;
        }
    }
    sort_names(c->forward, c->count);
    if (!ask_two(c)) {
        finish(c, "permerror", "");
    }
}

struct rdns_check *rdns_start(const struct dns_asker *who, const struct addr *ip, rdns_cb cb, void *arg)
{
    struct rdns_check *c = xcalloc(1, sizeof(*c));
    char mem[ADDR_TEXT_MAX * 2];
    struct buf name;

    c->who = *who;
    c->ip = *ip;
    c->cb = cb;
    c->arg = arg;
    c->started_us = loop_now_us();
    buf_init_fixed(&name, mem, sizeof(mem));
    dns_put_reverse(&name, ip);
    c->ptr = dns_query_for(who, buf_slice(&name), DNS_TYPE_PTR, on_ptr, c);
    return c;
}

/* ---- generic names ---- */

enum {
    NUMBERS_MAX = 16,
    HEX_MIN = 8, /* digits of an address in a row */
};

/* The labels before the last two (those name the organisation). */
static struct slice host_part(struct slice name)
{
    size_t dots = 0;

    for (size_t i = name.len; i > 0; i--) {
        dots += name.ptr[i - 1] == '.';
        if (dots == 2) {
            return slice_take(name, i - 1);
        }
    }
    return SLICE_NONE;
}

/* The runs of digits as numbers; 256 stands for any above 255. */
static size_t find_numbers(struct slice s, unsigned numbers[NUMBERS_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < s.len && count < NUMBERS_MAX; i++) {
        size_t start = i;
        uint64_t value;

        while (i < s.len && ascii_is_digit(s.ptr[i])) {
            i++;
        }
        if (i > start) {
            bool ok = i - start <= 3 && slice_to_u64(slice_of(s.ptr + start, i - start), 255, &value);

            numbers[count++] = ok ? (unsigned)value : 256;
        }
    }
    return count;
}

/* Does the name contain three consecutive octets of the address, forwards or backwards? */
static bool holds_octets(struct slice host, const uint8_t ip[4])
{
    unsigned n[NUMBERS_MAX];
    size_t count = find_numbers(host, n);

    for (size_t i = 0; i + 3 <= count; i++) {
        for (size_t o = 0; o < 2; o++) {
            if ((n[i] == ip[o] && n[i + 1] == ip[o + 1] && n[i + 2] == ip[o + 2]) ||
                (n[i] == ip[o + 2] && n[i + 1] == ip[o + 1] && n[i + 2] == ip[o])) {
                return true;
            }
        }
    }
    return false;
}

static bool holds(struct slice host, const char *text)
{
    return memmem(host.ptr, host.len, text, strlen(text)) != NULL;
}

/* Does the name contain all octets without a separator: "192000002001", "c0000201"? */
static bool holds_packed(struct slice host, const uint8_t ip[4])
{
    char mem[3][32];
    struct buf decimal, hex, reversed;

    buf_init_fixed(&decimal, mem[0], sizeof(mem[0]));
    buf_init_fixed(&hex, mem[1], sizeof(mem[1]));
    buf_init_fixed(&reversed, mem[2], sizeof(mem[2]));
    for (unsigned i = 0; i < 4; i++) {
        buf_putf(&decimal, "%03u", (unsigned)ip[i]);
        buf_putf(&hex, "%02x", (unsigned)ip[i]);
        buf_putf(&reversed, "%02x", (unsigned)ip[3 - i]);
    }
    return holds(host, mem[0]) || holds(host, mem[1]) || holds(host, mem[2]);
}

/* Does the name, without separators, contain HEX_MIN digits in a row of the address written in full? */
static bool holds_v6(struct slice host, const uint8_t ip[16])
{
    static const char digits[] = "0123456789abcdef";
    char full[33], run[256];
    size_t len = 0;

    for (unsigned i = 0; i < 16; i++) {
        full[2 * i] = digits[ip[i] >> 4];
        full[2 * i + 1] = digits[ip[i] & 15];
    }
    full[32] = '\0';
    for (size_t i = 0; i < host.len && len < sizeof(run) - 1; i++) {
        if (host.ptr[i] != '-' && host.ptr[i] != '.' && host.ptr[i] != 'x') {
            run[len++] = host.ptr[i];
        }
    }
    for (size_t i = 0; i + HEX_MIN <= 32; i++) {
        bool zeros = memcmp(full + i, "00000000", HEX_MIN) == 0;

        if (!zeros && memmem(run, len, full + i, HEX_MIN) != NULL) {
            return true;
        }
    }
    return false;
}

/* A word between separators and digits: "dsl" in "dsl-12", not in "hudsloe". */
static bool holds_word(struct slice host, const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i + len <= host.len; i++) {
        bool begins = i == 0 || !ascii_is_alpha(host.ptr[i - 1]);
        bool ends = i + len == host.len || !ascii_is_alpha(host.ptr[i + len]);

        if (begins && ends && memcmp(host.ptr + i, word, len) == 0) {
            return true;
        }
    }
    return false;
}

bool rdns_is_generic(struct slice name, const struct addr *ip)
{
    static const char *const words[] = {
        "dyn",       "dynamic", "dynip", "dip",        "dhcp",      "pool",   "pools",   "dial",
        "dialup",    "dialin",  "ppp",   "pppoe",      "adsl",      "dsl",    "vdsl",    "xdsl",
        "cable",     "catv",    "cust",  "customer",   "customers", "client", "clients", "user",
        "broadband", "res",     "home",  "ftth",       "fttx",      "gpon",   "wlan",    "mobile",
        "umts",      "gprs",    "lte",   "unassigned", "hsd",       "bb",
    };
    char mem[DNS_NAME_MAX + 1];
    struct buf lower;
    struct slice host;
    bool digit = false;

    buf_init_fixed(&lower, mem, sizeof(mem));
    for (size_t i = 0; i < name.len; i++) {
        buf_put_char(&lower, ascii_lower(name.ptr[i]));
    }
    host = host_part(buf_slice(&lower));
    if (slice_empty(host)) {
        return false;
    }
    if (ip->family == ADDR_V4 ? holds_octets(host, ip->ip) || holds_packed(host, ip->ip)
                              : ip->family == ADDR_V6 && holds_v6(host, ip->ip)) {
        return true;
    }
    for (size_t i = 0; i < host.len; i++) {
        digit = digit || ascii_is_digit(host.ptr[i]);
    }
    for (size_t i = 0; digit && i < ARRAY_LEN(words); i++) {
        if (holds_word(host, words[i])) {
            return true;
        }
    }
    return false;
}
