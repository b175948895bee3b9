/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickets.c - session tickets whose keys all workers share and rotate automatically (TLS-17, RFC 5077 5.5).
 *
 * The shared memory holds three keys: the current one, the previous one (still accepted), and the place for the next.
 * The first worker that finds the current key older than TICKET_LIFE_S makes the next one and then moves the index.
 * The others never see a half-made key, because the place being written is two lifetimes away from use.
 *
 * `rotating` is the start time of a rotation; if it lasts ROTATION_MAX_S, the process that ran it has died.  Times are
 * from the monotonic clock, which all processes share and which is never set.  The keys live no longer than the
 * processes.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdatomic.h>

#include "core/loop.h"
#include "tls/tls_priv.h"

#define TICKET_LIFE_S (12 * 3600U)
#define KEYS 3
#define ROTATION_MAX_S 60U

struct ticket_key {
    uint8_t name[16];
    uint8_t cipher[16]; /* AES-128-CBC */
    uint8_t mac[16];    /* HMAC-SHA-256 */
    uint64_t made_s;
};

struct ticket_share {
    _Atomic uint32_t state; /* 0 empty, 1 being filled, 2 in use */
    _Atomic uint32_t current;
    _Atomic uint64_t rotating; /* start in seconds; 0: no rotation */
    struct ticket_key key[KEYS];
};

_Static_assert(sizeof(struct ticket_share) <= TLS_TICKET_SHARE, "the ticket keys must fit their place");

static uint64_t now_s(void)
{
    return loop_now_us() / 1000000;
}

static void make_key(struct ticket_key *k)
{
    random_bytes(k->name, sizeof(k->name));
    random_bytes(k->cipher, sizeof(k->cipher));
    random_bytes(k->mac, sizeof(k->mac));
    k->made_s = now_s();
}

void tls_tickets_prepare(void *share)
{
    struct ticket_share *s = share;
    uint32_t empty = 0;

    if (!atomic_compare_exchange_strong(&s->state, &empty, 1)) {
        return;
    }
    for (int i = 0; i < KEYS; i++) {
        make_key(&s->key[i]);
    }
    atomic_store(&s->state, 2);
}

static struct ticket_key *current_key(struct ticket_share *s)
{
    uint32_t at = atomic_load(&s->current) % KEYS;
    uint64_t begun = atomic_load(&s->rotating), now = now_s(); /* in this order: none is in the future */

    if (now - s->key[at].made_s <= TICKET_LIFE_S || (begun != 0 && now - begun <= ROTATION_MAX_S) ||
        !atomic_compare_exchange_strong(&s->rotating, &begun, now)) {
        return &s->key[at];
    }
    if (atomic_load(&s->current) % KEYS == at) { /* no other worker was faster */
        make_key(&s->key[(at + 1) % KEYS]);
        atomic_store(&s->current, (at + 1) % KEYS);
    }
    atomic_store(&s->rotating, 0);
    return &s->key[atomic_load(&s->current) % KEYS];
}

static bool use_key(const struct ticket_key *k, const uint8_t *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                    int encrypt)
{
    char digest[] = "SHA256";
    uint8_t secret[sizeof(k->mac)];
    OSSL_PARAM params[3];

    memcpy(secret, k->mac, sizeof(secret));
    params[0] = OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, secret, sizeof(secret));
    params[1] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0);
    params[2] = OSSL_PARAM_construct_end();
    return EVP_CipherInit_ex(cipher, EVP_aes_128_cbc(), NULL, k->cipher, iv, encrypt) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* OpenSSL's callback: 1 the key is set, 2 set and the ticket should be renewed, 0 none, -1 failure. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    struct ticket_share *s = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    struct ticket_key *now;

    if (atomic_load(&s->state) != 2) {
        return 0; /* no tickets */
    }
    now = current_key(s);
    if (encrypt) {
        random_bytes(iv, EVP_MAX_IV_LENGTH);
        memcpy(name, now->name, sizeof(now->name));
        return use_key(now, iv, cipher, mac, 1) ? 1 : -1;
    }
    for (int i = 0; i < KEYS; i++) {
        const struct ticket_key *k = &s->key[i];

        if (memcmp(name, k->name, sizeof(k->name)) == 0 && now_s() - k->made_s <= 2 * TICKET_LIFE_S) {
            bool last = k == now && SSL_version(ssl) != TLS1_3_VERSION; /* TLS 1.3: a ticket is used once */

            return !use_key(k, iv, cipher, mac, 0) ? -1 : last ? 1 : 2;
        }
    }
    return 0;
}

void tls_tickets_use(SSL_CTX *ctx, void *share)
{
    tls_tickets_prepare(share);
    SSL_CTX_set_app_data(ctx, share);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
}
