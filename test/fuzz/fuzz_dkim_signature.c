/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_dkim_signature.c - any value of a DKIM-Signature field: read without a fault, and whatever it gives is fit for a
 * DNS question and for a header field.
 *
 * The first octet says whether the message is internationalised; the rest is the value.
 */
#include <stdint.h>

#include "core/utf8.h"
#include "policy/dkim/signature.h"
#include "policy/dkim/tags.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW_S = 1700000000 };

static void must_be_host(struct slice s)
{
    BUG_ON(!slice_empty(s) && !hostname_valid(s));
    for (size_t i = 0; i < s.len; i++) {
        BUG_ON(s.ptr[i] != ascii_lower(s.ptr[i]));
    }
}

static void must_be_identity(const struct dkim_signature *sig)
{
    struct slice s = sig->identity, domain = sig->domain;
    size_t at = slice_rfind(s, '@');

    if (slice_empty(s)) {
        return;
    }
    BUG_ON(at == s.len || slice_empty(slice_skip(s, at + 1)) || slice_plain(s) != s.len);
    must_be_host(slice_skip(s, at + 1));
    BUG_ON(!slice_ends_nocase(s, domain));
    for (size_t i = 0; i < at; i++) {
        BUG_ON(strchr(" ()<>@,;:\\\"[]", s.ptr[i]) != NULL);
    }
}

/* What a good signature promises. */
static void must_be_good(struct slice value, const struct dkim_signature *sig)
{
    struct slice rest = sig->names, name;
    bool done = false, from = false;
    size_t count = 0;

    while (dkim_signature_name(&rest, &done, &name)) {
        BUG_ON(slice_empty(name));
        from = from || slice_eq_nocase(name, SLICE("from"));
        count++;
    }
    BUG_ON(!from || count > DKIM_NAMES_MAX);
    BUG_ON(sig->body_hash.len != DKIM_HASH_LEN);
    BUG_ON(slice_empty(sig->signature) || sig->signature.len > DKIM_RSA_BITS_MAX / 8);
    BUG_ON(slice_find(sig->domain, '.') == sig->domain.len || slice_empty(sig->selector));
    BUG_ON(slice_empty(sig->key_name) || !hostname_valid(sig->key_name));
    BUG_ON(sig->algorithm != DKIM_RSA_SHA256 && sig->algorithm != DKIM_ED25519_SHA256);
    BUG_ON(sig->expires_s >= 0 && sig->expires_s < NOW_S);
    BUG_ON(sig->signature_text.ptr < value.ptr ||
           sig->signature_text.len > value.len - (size_t)(sig->signature_text.ptr - value.ptr));
    BUG_ON(sig->signature_text.ptr[-1] != '=');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice value = slice_skip(slice_of(data, size), 1);
    struct arena arena;
    struct dkim_signature_rules rules = { NOW_S, size > 0 && (data[0] & 1) != 0, &arena };
    struct dkim_signature sig;
    enum dkim_reason reason;

    arena_init(&arena, 1u << 20);
    reason = dkim_signature_read(value, &rules, &sig);
    BUG_ON(reason > DKIM_NOT_EXAMINED);
    must_be_host(sig.domain);
    must_be_host(sig.selector);
    must_be_identity(&sig);
    if (reason == DKIM_VERIFIED) {
        must_be_good(value, &sig);
    }
    arena_fini(&arena);
    return 0;
}
