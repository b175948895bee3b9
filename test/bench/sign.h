/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sign.h - the DKIM signatures of smtpload's messages (smtpload.c includes it once; measure.py asks for them by -D).
 *
 * All messages have one body, so it is hashed once. Each has a signature of its own, as each has another From. The
 * first ones are signed before the clock starts: signing costs ten times what verifying costs, and a generator that
 * signs under way would leave the target idle.
 */
#ifndef SIGN_H
#define SIGN_H
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Sequence number three times, run id, sequence number. */
#define SIGNED_FIELDS                                                                                        \
    "From: <u%lu@d%lu.senders.test>\r\nTo: <user@example.test>\r\nSubject: load %lu\r\n"                     \
    "Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <%s.%lu@load.senders.test>\r\n"

/* The same five fields in relaxed form. */
#define RELAXED_FIELDS                                                                                       \
    "from:<u%lu@d%lu.senders.test>\r\nto:<user@example.test>\r\nsubject:load %lu\r\n"                        \
    "date:Sat, 21 Nov 2026 12:00:00 +0000\r\nmessage-id:<%s.%lu@load.senders.test>\r\n"

#define SIGNATURE_TAGS                                                                                       \
    "v=1; a=rsa-sha256; c=relaxed/relaxed; d=senders.test; s=bench; "                                        \
    "h=from:to:subject:date:message-id; bh=%s; b="

enum { SIGNATURE_ROOM = 512 }; /* base64 of 2,048 bits is 344 octets */

static struct {
    EVP_PKEY *key;
    const char *run_id;
    char body_hash[64];
    char (*ahead)[SIGNATURE_ROOM]; /* b= of the messages 1, 2, ... */
    unsigned long count;
} signer;

static void sign_failed(const char *what)
{
    fprintf(stderr, "smtpload: cannot sign: %s\n", what);
    exit(2);
}

/* The length of the line in relaxed form, written to `out`: runs of blanks become one, those at the end go, a leading
 * dot that SMTP doubled is one again. */
static size_t relaxed_line(const char *l, size_t n, char *out)
{
    size_t len = 0;
    for (size_t i = n > 1 && l[0] == '.' ? 1 : 0; i < n; i++) {
        if (l[i] != ' ' || !len || out[len - 1] != ' ') {
            out[len++] = l[i];
        }
    }
    while (len && out[len - 1] == ' ') {
        len--;
    }
    return len;
}

/* SHA-256 of the relaxed body. No line of make_body() is empty and all end with CR LF. */
static void hash_body(const char *body, size_t n)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    unsigned char hash[32];
    char line[128];
    EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    for (const char *at = body, *end = body + n, *nl; at < end; at = nl + 1) {
        nl = memchr(at, '\n', end - at);
        EVP_DigestUpdate(md, line, relaxed_line(at, nl - 1 - at, line));
        EVP_DigestUpdate(md, "\r\n", 2);
    }
    EVP_DigestFinal_ex(md, hash, NULL);
    EVP_MD_CTX_free(md);
    EVP_EncodeBlock((unsigned char *)signer.body_hash, hash, sizeof hash);
}

static void sign_one(unsigned long n, char out[SIGNATURE_ROOM])
{
    char text[1024];
    unsigned char sig[SIGNATURE_ROOM / 4 * 3];
    size_t len = sizeof sig;
    int k = snprintf(text, sizeof text, RELAXED_FIELDS "dkim-signature:" SIGNATURE_TAGS, n, n, n,
                     signer.run_id, n, signer.body_hash);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    if (EVP_PKEY_get_size(signer.key) > 256 ||
        EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, signer.key) != 1 ||
        EVP_DigestSign(md, sig, &len, (unsigned char *)text, k) != 1) {
        sign_failed("not an RSA key of at most 2,048 bits");
    }
    EVP_MD_CTX_free(md);
    EVP_EncodeBlock((unsigned char *)out, sig, len);
}

/* Reads the key, hashes the body, signs the first `count` messages. `body`: as on the wire, without the last dot. */
static void sign_ahead(const char *key_path, const char *run_id, const char *body, size_t len,
                       unsigned long count)
{
    FILE *f = fopen(key_path, "r");
    signer.key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;
    if (!signer.key) {
        sign_failed(key_path);
    }
    fclose(f);
    signer.run_id = run_id;
    signer.ahead = calloc(count, sizeof *signer.ahead);
    signer.count = count;
    hash_body(body, len);
    for (unsigned long n = 1; n <= count; n++) {
        sign_one(n, signer.ahead[n - 1]);
    }
}

/* Writes the field of message n (from 1); its length. */
static size_t sign_field(unsigned long n, char *out, size_t room)
{
    char now[SIGNATURE_ROOM];
    const char *b = now;
    if (n <= signer.count) {
        b = signer.ahead[n - 1];
    } else {
        sign_one(n, now);
    }
    return snprintf(out, room, "DKIM-Signature: " SIGNATURE_TAGS "%s\r\n", signer.body_hash, b);
}

#endif
