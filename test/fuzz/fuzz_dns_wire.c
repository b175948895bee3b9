/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_dns_wire.c - any octets as a DNS answer.
 *
 * The first octet chooses the type asked for; the rest is the message.  The question is taken from the
 * message where it holds a plain name, so that the parser gets past the head.  What comes out must keep the
 * promises of dns.h: host names are host names, sizes fit their type, counts agree with the status; and
 * a name that was read can be asked for again.
 */
#include "dns/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t types[] = { DNS_TYPE_A,   DNS_TYPE_NS, DNS_TYPE_CNAME, DNS_TYPE_SOA,
                                  DNS_TYPE_PTR, DNS_TYPE_MX, DNS_TYPE_TXT,   DNS_TYPE_AAAA };

/* The text of the name at octet 12, if it has no pointer and no dot in a label. */
static struct slice question_text(struct slice msg, char mem[256])
{
    size_t at = 12, len = 0;

    while (at < msg.len && msg.ptr[at] > 0 && msg.ptr[at] < 64 && len < 190) {
        size_t n = (uint8_t)msg.ptr[at];

        if (n > msg.len - at - 1) {
            break;
        }
        if (len > 0) {
            mem[len++] = '.';
        }
        memcpy(mem + len, msg.ptr + at + 1, n);
        len += n;
        at += n + 1;
    }
    return slice_of(mem, len);
}

static void check_record(uint16_t type, const struct dns_record *rec)
{
    BUG_ON(rec->data.ptr[rec->data.len] != '\0');
    BUG_ON(type == DNS_TYPE_A && rec->data.len != 4);
    BUG_ON(type == DNS_TYPE_AAAA && rec->data.len != 16);
    BUG_ON((type == DNS_TYPE_PTR || type == DNS_TYPE_NS) && !hostname_valid(rec->data));
}

static void check_answer(uint16_t type, const struct dns_answer *ans)
{
    struct wire_name name;

    BUG_ON((ans->status == DNS_OK) != (ans->count > 0));
    BUG_ON((ans->status == DNS_TEMPFAIL) != (ans->why != DNS_WHY_NONE));
    BUG_ON(ans->count > WIRE_RECORDS_MAX);
    for (size_t i = 0; i < ans->count; i++) {
        check_record(type, &ans->records[i]);
    }
    BUG_ON(ans->canonical.len > 0 && !wire_name_set(&name, ans->canonical));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_question q = { .id = 0 };
    struct wire_answer w;
    struct dns_answer *ans;
    struct arena mem;
    struct slice msg;
    uint8_t query[WIRE_QUERY_MAX];
    char text[256];

    if (size < 3) {
        return 0;
    }
    msg = slice_of(data + 1, size - 1);
    q.type = types[data[0] % ARRAY_LEN(types)];
    q.id = (uint16_t)(data[1] << 8 | data[2]);
    if (!wire_name_set(&q.name, question_text(msg, text)) && !wire_name_set(&q.name, SLICE("a.test"))) {
        return 0;
    }
    BUG_ON(wire_put_query(query, &q) != 12u + q.name.len + 4u + 11u);

    arena_init(&mem, WIRE_ARENA_MAX);
    wire_parse(msg, &q, &mem, &w);
    ans = answer_new(&w);
    arena_fini(&mem);
    check_answer(q.type, ans);
    dns_answer_unref(ans);
    return 0;
}
