/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wire.c - DNS messages.
 *
 * The parser reads the answer section once into an array (owner, type, TTL, position of the data).  From the other
 * sections it uses only the SOA and the OPT record.  Then it follows the CNAME chain inside that array and decodes the
 * records at its end.
 *
 * Names are compared in wire form, lower-cased, so a label with a dot equals only itself.  A compression pointer must
 * point before the place it was reached from, and each further one before the last, so the parser cannot loop.
 */
#include "dns/wire.h"

#include "core/reader.h"

enum {
    FLAG_QR = 0x8000,
    FLAG_TC = 0x0200,
    FLAG_RD = 0x0100,
    FLAG_AD = 0x0020,
    MASK_OPCODE = 0x7800,
    MASK_RCODE = 0x000f,

    CLASS_IN = 1,
    TYPE_OPT = 41,

    RCODE_OK = 0,
    RCODE_SERVFAIL = 2,
    RCODE_NXDOMAIN = 3,
    RCODE_NOTIMP = 4,
    RCODE_REFUSED = 5,

    HEADER_LEN = 12,
    RR_MIN = 11, /* octets of the shortest record */
};

struct rr {
    const struct wire_name *owner;
    uint16_t type;
    uint32_t ttl_s;
    struct slice rdata; /* inside the message, so that its names can be decompressed */
};

struct parse {
    struct slice msg;
    struct reader r;
    const struct wire_question *q;
    struct arena *mem;
    struct wire_answer *out;
    struct rr *rrs; /* the answer section, class IN */
    size_t rr_count;
    struct wire_name soa_owner;
    uint32_t soa_ttl_s; /* the smaller of TTL and minimum */
    bool has_soa;
    bool has_ns; /* in the authority section */
};

/* ---- names ---- */

bool wire_name_set(struct wire_name *out, struct slice text)
{
    uint8_t *label = out->octets; /* its length; the octets follow */

    out->len = 0;
    if (!dns_name_legal(text)) {
        return false;
    }
    if (text.ptr[text.len - 1] == '.') {
        text.len -= 1;
    }
    *label = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '.') {
            label = &out->octets[i + 1];
            *label = 0;
        } else {
            out->octets[i + 1] = (uint8_t)ascii_lower(text.ptr[i]);
            *label += 1;
        }
    }
    out->octets[text.len + 1] = 0;
    out->len = (uint8_t)(text.len + 2);
    return true;
}

bool wire_name_eq(const struct wire_name *a, const struct wire_name *b)
{
    return a->len == b->len && memcmp(a->octets, b->octets, a->len) == 0;
}

/* True if `zone` is the name or one of its ancestors. */
static bool name_is_below(const struct wire_name *name, const struct wire_name *zone)
{
    size_t at = 0;

    while (at < name->len && (size_t)(name->len - at) > zone->len) {
        at += 1u + name->octets[at];
    }
    return at < name->len && (size_t)(name->len - at) == zone->len &&
           memcmp(name->octets + at, zone->octets, zone->len) == 0;
}

/* Appends one label; false if the name would be too long. */
static bool add_label(struct wire_name *out, struct slice label)
{
    /* the count, the label, and at least the final zero behind it */
    size_t left = (size_t)WIRE_NAME_MAX - out->len;

    if (label.len + 1 > left || (label.len > 0 && label.len + 2 > left)) {
        return false;
    }
    out->octets[out->len++] = (uint8_t)label.len;
    for (size_t i = 0; i < label.len; i++) {
        out->octets[out->len++] = (uint8_t)ascii_lower(label.ptr[i]);
    }
    return true;
}

/* Reads a name, following pointers; *r moves behind it.  False, and r has failed, if it is malformed. */
static bool read_name(struct slice msg, struct reader *r, struct wire_name *out)
{
    struct reader at = *r;
    size_t limit = msg.len - r->len; /* pointers must point before this */
    bool jumped = false;

    out->len = 0;
    for (;;) {
        uint8_t n = reader_u8(&at);

        if (n >= 0xc0) {
            size_t target = (size_t)(n & 0x3f) << 8 | reader_u8(&at);

            if (at.failed || target >= limit) {
                break;
            }
            if (!jumped) {
                *r = at;
            }
            jumped = true;
            limit = target;
            at = reader_of(msg.ptr + target, msg.len - target);
            continue;
        }
        if (n > 63 || at.failed || !add_label(out, reader_take(&at, n)) || at.failed) {
            break;
        }
        if (n > 0) {
            continue;
        }
        if (!jumped) {
            *r = at;
        }
        return true;
    }
    out->len = 0;
    r->failed = true;
    return false;
}

/* Skips the question's name if it is repeated octet for octet, as by nearly all servers; otherwise reads
 * nothing. */
static bool skip_same_name(struct reader *r, const struct wire_name *name)
{
    return r->len >= name->len && memcmp(r->ptr, name->octets, name->len) == 0 &&
           reader_take(r, name->len).len > 0;
}

/* Appends the text of a name; false if a label has a dot or an unprintable octet. */
static bool name_to_text(const struct wire_name *name, struct buf *out)
{
    for (size_t at = 0; name->octets[at] != 0; at += 1u + name->octets[at]) {
        struct slice label = slice_of(name->octets + at + 1, name->octets[at]);

        if (at > 0) {
            buf_put_char(out, '.');
        }
        for (size_t i = 0; i < label.len; i++) {
            if (!ascii_is_print(label.ptr[i]) || label.ptr[i] == '.' || label.ptr[i] == ' ') {
                return false;
            }
        }
        buf_put_slice(out, label);
    }
    return buf_ok(out);
}

/* ---- the query ---- */

static size_t put_u16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8 & 0xff);
    out[1] = (uint8_t)(value & 0xff);
    return 2;
}

size_t wire_put_query(uint8_t out[WIRE_QUERY_MAX], const struct wire_question *q)
{
    size_t n = 0;

    n += put_u16(out + n, q->id);
    n += put_u16(out + n, FLAG_RD | FLAG_AD);
    n += put_u16(out + n, 1); /* questions */
    n += put_u16(out + n, 0);
    n += put_u16(out + n, 0);
    n += put_u16(out + n, q->plain ? 0 : 1); /* additional: OPT */
    memcpy(out + n, q->name.octets, q->name.len);
    n += q->name.len;
    n += put_u16(out + n, q->type);
    n += put_u16(out + n, CLASS_IN);
    if (q->plain) {
        return n;
    }
    out[n++] = 0; /* owner of OPT: the root */
    n += put_u16(out + n, TYPE_OPT);
    n += put_u16(out + n, WIRE_EDNS_SIZE);
    n += put_u16(out + n, 0); /* extended code, version */
    n += put_u16(out + n, 0); /* DO is not set: the server validates, we read AD */
    n += put_u16(out + n, 0); /* no options */
    return n;
}

/* ---- reading the message ---- */

static bool fail(struct parse *p, enum dns_why why)
{
    p->out->status = DNS_TEMPFAIL;
    p->out->why = why;
    return false;
}

static bool garbage(struct parse *p)
{
    return fail(p, DNS_WHY_GARBAGE);
}

/* RFC 2181 8: a TTL with the highest bit set is 0. */
static uint32_t sane_ttl(uint32_t ttl_s)
{
    return ttl_s > INT32_MAX ? 0 : ttl_s;
}

/* Returns a stored owner, shared with the question or the previous record if equal. */
static const struct wire_name *keep_owner(struct parse *p, const struct wire_name *owner)
{
    const struct wire_name *last = p->rr_count > 0 ? p->rrs[p->rr_count - 1].owner : NULL;
    struct wire_name *copy;

    if (wire_name_eq(owner, &p->q->name)) {
        return &p->q->name;
    }
    if (last != NULL && wire_name_eq(owner, last)) {
        return last;
    }
    copy = arena_alloc(p->mem, sizeof(*copy));
    if (copy != NULL) {
        *copy = *owner;
    }
    return copy;
}

/* Reads the owner of a record: nearly always a pointer to the question's name, which read_head() has read. */
static bool read_owner(struct parse *p, struct wire_name *owner)
{
    static const uint8_t pointer[2] = { 0xc0, HEADER_LEN };

    if (p->r.len < sizeof(pointer) || memcmp(p->r.ptr, pointer, sizeof(pointer)) != 0) {
        return read_name(p->msg, &p->r, owner);
    }
    owner->len = p->q->name.len;
    memcpy(owner->octets, p->q->name.octets, owner->len);
    return reader_take(&p->r, sizeof(pointer)).len > 0;
}

/* Reads one record without decoding its data; false if malformed. */
static bool read_rr(struct parse *p, struct wire_name *owner, struct rr *rr, uint16_t *class)
{
    if (!read_owner(p, owner)) {
        return false;
    }
    rr->owner = owner;
    rr->type = reader_u16(&p->r);
    *class = reader_u16(&p->r);
    rr->ttl_s = reader_u32(&p->r);
    rr->rdata = reader_take(&p->r, reader_u16(&p->r));
    return !p->r.failed;
}

static bool read_answers(struct parse *p, size_t count)
{
    struct wire_name owner;
    struct rr rr;
    uint16_t class;

    if (count > WIRE_RRS_MAX || count > p->r.len / RR_MIN) {
        return garbage(p);
    }
    p->rrs = arena_alloc(p->mem, (count + 1) * sizeof(*p->rrs));
    if (p->rrs == NULL) {
        return garbage(p);
    }
    for (size_t i = 0; i < count; i++) {
        if (!read_rr(p, &owner, &rr, &class)) {
            return garbage(p);
        }
        if (class != CLASS_IN || (rr.type != p->q->type && rr.type != DNS_TYPE_CNAME)) {
            continue;
        }
        rr.ttl_s = sane_ttl(rr.ttl_s);
        rr.owner = keep_owner(p, &owner);
        if (rr.owner == NULL) {
            return garbage(p);
        }
        p->rrs[p->rr_count++] = rr;
    }
    return true;
}

/* Stores the negative TTL of the first SOA (RFC 2308 5). */
static bool note_soa(struct parse *p, const struct rr *rr)
{
    size_t start = (size_t)(rr->rdata.ptr - p->msg.ptr);
    struct reader r = reader_of(rr->rdata.ptr, p->msg.len - start);
    struct wire_name name;
    uint32_t minimum = 0;

    if (p->has_soa) {
        return true;
    }
    for (int i = 0; i < 2; i++) {
        if (!read_name(p->msg, &r, &name)) {
            return false;
        }
    }
    for (int i = 0; i < 5; i++) {
        minimum = reader_u32(&r);
    }
    if (r.failed || (const char *)r.ptr != rr->rdata.ptr + rr->rdata.len) {
        return false;
    }
    p->has_soa = true;
    p->soa_owner = *rr->owner;
    p->soa_ttl_s = (uint32_t)min_u64(sane_ttl(rr->ttl_s), sane_ttl(minimum));
    return true;
}

/* Reads the authority and additional sections. */
static bool read_others(struct parse *p, size_t authority, size_t additional)
{
    struct wire_name owner;
    struct rr rr;
    uint16_t class;

    for (size_t i = 0; i < authority + additional; i++) {
        if (!read_rr(p, &owner, &rr, &class)) {
            return garbage(p);
        }
        if (i < authority && rr.type == DNS_TYPE_SOA && class == CLASS_IN && !note_soa(p, &rr)) {
            return garbage(p);
        }
        p->has_ns = p->has_ns || (i < authority && rr.type == DNS_TYPE_NS && class == CLASS_IN);
        if (i >= authority && rr.type == TYPE_OPT && !p->out->has_opt) {
            p->out->has_opt = true;
            p->out->rcode = (uint16_t)(p->out->rcode | (rr.ttl_s >> 24) << 4);
        }
    }
    return true;
}

static enum dns_why why_of_rcode(uint16_t rcode)
{
    if (rcode == RCODE_SERVFAIL) {
        return DNS_WHY_SERVFAIL;
    }
    if (rcode == RCODE_REFUSED || rcode == RCODE_NOTIMP) {
        return DNS_WHY_REFUSED;
    }
    return DNS_WHY_GARBAGE;
}

/* Reads the header and the question; false if parsing must stop there. */
static bool read_head(struct parse *p, size_t *answers, size_t *authority, size_t *additional)
{
    uint16_t id = reader_u16(&p->r);
    uint16_t flags = reader_u16(&p->r);
    uint16_t questions = reader_u16(&p->r);
    struct wire_name name;
    uint16_t type, class;

    *answers = reader_u16(&p->r);
    *authority = reader_u16(&p->r);
    *additional = reader_u16(&p->r);
    if (p->r.failed || id != p->q->id || (flags & (FLAG_QR | MASK_OPCODE)) != FLAG_QR) {
        return garbage(p);
    }
    p->out->rcode = flags & MASK_RCODE;
    p->out->ad = (flags & FLAG_AD) != 0;
    /* a failing server may omit the question (RFC 1035 4.1.1 for format errors) */
    if (questions == 0 && p->out->rcode != RCODE_OK && p->out->rcode != RCODE_NXDOMAIN) {
        return fail(p, why_of_rcode(p->out->rcode));
    }
    if (questions != 1) {
        return garbage(p);
    }
    if (!skip_same_name(&p->r, &p->q->name) &&
        (!read_name(p->msg, &p->r, &name) || !wire_name_eq(&name, &p->q->name))) {
        return garbage(p);
    }
    type = reader_u16(&p->r);
    class = reader_u16(&p->r);
    if (p->r.failed || type != p->q->type || class != CLASS_IN) {
        return garbage(p);
    }
    if ((flags & FLAG_TC) != 0) {
        return garbage(p);
    }
    return true;
}

/* ---- decoding records ---- */

enum decoded { DECODED = 0, DECODED_DROP, DECODED_BAD };

/* Reads a name inside record data.  It must end exactly where the data ends. */
static bool read_rdata_name(struct parse *p, const struct rr *rr, size_t skip, struct wire_name *out)
{
    size_t start = (size_t)(rr->rdata.ptr - p->msg.ptr);
    struct reader r = reader_of(rr->rdata.ptr, p->msg.len - start);

    reader_take(&r, skip);
    if (r.failed || !read_name(p->msg, &r, out)) {
        return false;
    }
    return (const char *)r.ptr == rr->rdata.ptr + rr->rdata.len;
}

static enum decoded keep(struct parse *p, struct slice text, struct slice *out)
{
    *out = arena_slice(p->mem, text);
    return out->ptr == NULL ? DECODED_BAD : DECODED;
}

/* Strict: the name must be a host name, so others are dropped.  Otherwise: any printable text. */
static enum decoded decode_name(struct parse *p, const struct rr *rr, size_t skip, bool strict,
                                struct slice *out)
{
    struct wire_name name;
    struct buf text;
    char mem[WIRE_NAME_MAX + 1];

    if (!read_rdata_name(p, rr, skip, &name)) {
        return DECODED_BAD;
    }
    buf_init_fixed(&text, mem, sizeof(mem));
    if (!name_to_text(&name, &text) || (strict && !hostname_valid(buf_slice(&text)))) {
        return DECODED_DROP;
    }
    return keep(p, buf_slice(&text), out);
}

static enum decoded decode_mx(struct parse *p, const struct rr *rr, struct dns_record *rec)
{
    struct reader r = reader_of(rr->rdata.ptr, rr->rdata.len);
    struct wire_name name;

    rec->preference = reader_u16(&r);
    if (r.failed || !read_rdata_name(p, rr, 2, &name)) {
        return DECODED_BAD;
    }
    if (name.len == 1) { /* RFC 7505: the null MX */
        return keep(p, SLICE(""), &rec->data);
    }
    return decode_name(p, rr, 2, false, &rec->data); /* RFC 7208 7.1: `mx:` may give any visible name */
}

/*
 * Joins the strings without separators (RFC 7208 3.3, RFC 6376 3.6.2.2).  A record without any string is illegal
 * (RFC 1035 3.3.14), but servers pass it on beside good ones.  We decode it as an empty text.
 */
static enum decoded decode_txt(struct parse *p, const struct rr *rr, struct dns_record *rec)
{
    struct reader r = reader_of(rr->rdata.ptr, rr->rdata.len);
    char *text;
    size_t len = 0;

    text = arena_alloc(p->mem, rr->rdata.len + 1);
    if (text == NULL) {
        return DECODED_BAD;
    }
    while (r.len > 0 && !r.failed) {
        struct slice part = reader_take(&r, reader_u8(&r));

        if (part.len > 0) {
            memcpy(text + len, part.ptr, part.len);
        }
        len += part.len;
    }
    rec->data = slice_of(text, len);
    return r.failed ? DECODED_BAD : DECODED;
}

static enum decoded decode_octets(struct parse *p, const struct rr *rr, size_t len, struct dns_record *rec)
{
    return rr->rdata.len != len ? DECODED_BAD : keep(p, rr->rdata, &rec->data);
}

static enum decoded decode_soa(struct parse *p, const struct rr *rr, struct dns_record *rec)
{
    size_t start = (size_t)(rr->rdata.ptr - p->msg.ptr);
    struct reader r = reader_of(rr->rdata.ptr, p->msg.len - start);
    struct wire_name name;
    struct buf text;
    char mem[WIRE_NAME_MAX + 1];

    if (!read_name(p->msg, &r, &name)) {
        return DECODED_BAD;
    }
    buf_init_fixed(&text, mem, sizeof(mem));
    return name_to_text(&name, &text) ? keep(p, buf_slice(&text), &rec->data) : DECODED_DROP;
}

static enum decoded decode(struct parse *p, const struct rr *rr, struct dns_record *rec)
{
    *rec = (struct dns_record){ .ttl_s = rr->ttl_s };
    switch (rr->type) {
    case DNS_TYPE_A:
        return decode_octets(p, rr, 4, rec);
    case DNS_TYPE_AAAA:
        return decode_octets(p, rr, 16, rec);
    case DNS_TYPE_MX:
        return decode_mx(p, rr, rec);
    case DNS_TYPE_TXT:
        return decode_txt(p, rr, rec);
    case DNS_TYPE_NS:
    case DNS_TYPE_PTR:
        return decode_name(p, rr, 0, true, &rec->data);
    case DNS_TYPE_CNAME:
        return decode_name(p, rr, 0, false, &rec->data);
    case DNS_TYPE_SOA:
        return decode_soa(p, rr, rec);
    default:
        return DECODED_DROP;
    }
}

/* ---- from records to an answer ---- */

static const struct rr *find_rr(const struct parse *p, const struct wire_name *owner, uint16_t type)
{
    for (size_t i = 0; i < p->rr_count; i++) {
        if (p->rrs[i].type == type && wire_name_eq(p->rrs[i].owner, owner)) {
            return &p->rrs[i];
        }
    }
    return NULL;
}

/* Follows the chain from the question; *end is where it ends, *ttl_s its smallest TTL. */
static bool follow_chain(struct parse *p, struct wire_name *end, uint32_t *ttl_s)
{
    const struct rr *alias;
    struct buf text;
    char mem[WIRE_NAME_MAX + 1];
    int hops = 0;

    *end = p->q->name;
    *ttl_s = UINT32_MAX;
    while (find_rr(p, end, p->q->type) == NULL) {
        alias = find_rr(p, end, DNS_TYPE_CNAME);
        if (alias == NULL) {
            break;
        }
        if (++hops > WIRE_CHAIN_MAX || !read_rdata_name(p, alias, 0, end)) {
            return garbage(p);
        }
        *ttl_s = (uint32_t)min_u64(*ttl_s, alias->ttl_s);
    }
    buf_init_fixed(&text, mem, sizeof(mem));
    if (hops == 0 || !name_to_text(end, &text)) {
        return true;
    }
    return keep(p, buf_slice(&text), &p->out->canonical) == DECODED || garbage(p);
}

/*
 * RFC 2308 2.2: a NODATA answer has a SOA, or no records at all.  NS records alone are a referral from a server
 * that does not recurse for us.  Records of other names alone are a forgery or a fault.  Neither of those two means
 * NODATA.
 */
static bool set_negative(struct parse *p, const struct wire_name *end, uint32_t chain_ttl_s)
{
    bool vouched = p->has_soa && name_is_below(end, &p->soa_owner);
    bool strangers = p->rr_count > 0 && wire_name_eq(end, &p->q->name);

    if (p->out->rcode == RCODE_OK && !vouched && p->has_ns) {
        return fail(p, DNS_WHY_REFUSED);
    }
    if (p->out->rcode == RCODE_OK && !vouched && strangers) {
        return garbage(p);
    }
    p->out->status = p->out->rcode == RCODE_NXDOMAIN ? DNS_NXDOMAIN : DNS_NODATA;
    p->out->ttl_s = vouched ? (uint32_t)min_u64(p->soa_ttl_s, chain_ttl_s) : 0;
    return true;
}

/* Decodes the records at the end of the chain. */
static bool collect(struct parse *p, const struct wire_name *end, uint32_t ttl_s)
{
    struct wire_answer *out = p->out;

    out->records = arena_alloc(p->mem, min_size(p->rr_count, WIRE_RECORDS_MAX) * sizeof(*out->records));
    if (out->records == NULL) {
        return garbage(p);
    }
    for (size_t i = 0; i < p->rr_count; i++) {
        const struct rr *rr = &p->rrs[i];
        enum decoded d = DECODED_DROP;

        if (rr->type != p->q->type || !wire_name_eq(rr->owner, end)) {
            continue;
        }
        ttl_s = (uint32_t)min_u64(ttl_s, rr->ttl_s);
        if (out->count < WIRE_RECORDS_MAX) {
            d = decode(p, rr, &out->records[out->count]);
        }
        if (d == DECODED_BAD) {
            return garbage(p);
        }
        if (d == DECODED) {
            out->count += 1;
        } else {
            out->dropped += 1;
        }
    }
    out->status = out->count > 0 ? DNS_OK : DNS_NODATA;
    out->ttl_s = ttl_s;
    return true;
}

static bool parse_all(struct parse *p)
{
    size_t answers, authority, additional;
    struct wire_name end;
    uint32_t ttl_s;

    if (!read_head(p, &answers, &authority, &additional) || !read_answers(p, answers) ||
        !read_others(p, authority, additional)) {
        return false;
    }
    if (p->out->rcode != RCODE_OK && p->out->rcode != RCODE_NXDOMAIN) {
        return fail(p, why_of_rcode(p->out->rcode));
    }
    if (!follow_chain(p, &end, &ttl_s)) {
        return false;
    }
    if (p->out->rcode == RCODE_OK && find_rr(p, &end, p->q->type) != NULL) {
        return collect(p, &end, ttl_s);
    }
    return set_negative(p, &end, ttl_s);
}

void wire_parse(struct slice packet, const struct wire_question *q, struct arena *mem,
                struct wire_answer *out)
{
    struct parse p = { .msg = packet, .q = q, .mem = mem, .out = out };

    *out = (struct wire_answer){ .status = DNS_TEMPFAIL };
    p.r = reader_of(packet.ptr, packet.len);
    if (parse_all(&p)) {
        return;
    }
    out->records = NULL;
    out->count = 0;
    out->dropped = 0;
    out->ttl_s = 0;
    out->canonical = SLICE_NONE;
}
