/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_session.c - a whole session against the sim: whatever octets a client sends, the upstream sees exactly
 * one end of data per acknowledged message, only CRLF, and no line that is neither command nor content.
 *
 * Input      octet 0: bits for the start (envelope sent for it, BDAT, normalize), octet 1: seed of the chunk
 *            sizes; the rest is what the client sends.
 */
#include "test/sim/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WITH_ENVELOPE = 1, WITH_DATA = 2, NORMALIZE = 4, ONE_WRITE = 8 };

static const char conf_reject[] =
    "server: {hostname: mx.test, listen: [\"127.0.0.1:2525\"], greet_delay: 0ms, "
    "private_clients: judge}\n"
    "upstreams: {up: {servers: [\"127.0.0.9:25\"]}}\n"
    "domains: {example.test: up}\n"
    "policy: {preset: none, rules: []}\n"
    "limits: {ban: off, message_size: 1MiB}\n";

static const char conf_normalize[] =
    "server: {hostname: mx.test, listen: [\"127.0.0.1:2525\"], greet_delay: 0ms, "
    "private_clients: judge}\n"
    "upstreams: {up: {servers: [\"127.0.0.9:25\"]}}\n"
    "domains: {example.test: up}\n"
    "policy: {preset: none, rules: []}\n"
    "limits: {ban: off, message_size: 1MiB, bare_newline: normalize}\n";

static size_t count_text(struct slice hay, struct slice needle)
{
    size_t n = 0;

    for (size_t i = 0; i + needle.len <= hay.len; i++) {
        n += memcmp(hay.ptr + i, needle.ptr, needle.len) == 0;
    }
    return n;
}

static void check_upstream(const struct world *wd)
{
    size_t ends = 0;

    BUG_ON(wd->stray > 0);
    for (size_t i = 0; i < wd->up_count; i++) {
        struct slice all = buf_slice(&wd->up[i].conn->all);

        ends += wd->ends[i];
        for (size_t k = 0; k < all.len; k++) {
            BUG_ON(all.ptr[k] == '\n' && (k == 0 || all.ptr[k - 1] != '\r'));
            BUG_ON(all.ptr[k] == '\r' && (k + 1 == all.len || all.ptr[k + 1] != '\n'));
            BUG_ON(all.ptr[k] == '\0');
        }
    }
    BUG_ON(ends != count_text(buf_slice(&wd->client->all), SLICE("250 2.0.0 taken\r\n")));
}

static void say(struct world *wd, const char *text)
{
    sim_send(wd->client, slice_str(text));
    world_step(wd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config *kept[2]; /* immutable; loading them takes longer than most inputs */
    struct config **loaded;
    struct world wd;
    uint32_t seed;

    if (size < 2) {
        return 0;
    }
    loaded = &kept[(data[0] & NORMALIZE) != 0];
    if (*loaded == NULL) {
        *loaded = world_conf(data[0] & NORMALIZE ? slice_str(conf_normalize) : slice_str(conf_reject));
    }
    world_start(&wd, *loaded);
    wd.automatic = true;
    world_client(&wd, "192.0.2.9");
    if (data[0] & (WITH_ENVELOPE | WITH_DATA)) {
        say(&wd, "EHLO client.example\r\n");
        say(&wd, "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.test>\r\n");
    }
    if (data[0] & WITH_DATA) {
        say(&wd, "DATA\r\n");
    }
    seed = data[1] * 2654435761u + 1;
    for (size_t at = 2; at < size;) {
        size_t n = data[0] & ONE_WRITE ? size - at : 1 + (seed >> 16) % 23;

        n = min_size(n, size - at);
        sim_send(wd.client, slice_of(data + at, n));
        world_step(&wd);
        at += n;
        seed = seed * 1664525u + 1013904223u;
    }
    sim_eof(wd.client);
    world_pass(&wd, 1000);
    BUG_ON(wd.w.session_count != 0);
    check_upstream(&wd);
    world_stop(&wd);
    return 0;
}
