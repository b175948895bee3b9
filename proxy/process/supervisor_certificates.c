/* SPDX-License-Identifier: Apache-2.0 */
/*
 * supervisor_certificates.c - certificates live: changed files become a new generation.
 *
 * Every CHECK_MS it compares the contents, not names or times.  So a redirected link counts as a change and a
 * touched file does not.  It loads the configuration in force again from its own text, so an edit of the file
 * still waits for a reload.  If a pair cannot be loaded (the key does not match yet, no read permission), it logs that
 * when the fault begins or changes, and every SAID_AGAIN_MS; the pair in memory stays in force.  An expired
 * certificate is loaded, and logged once a day.
 */
#include "proxy/process/supervisor_priv.h"
#include "tls/tls.h"

#define CHECK_MS 30000
#define SAID_AGAIN_MS (60 * 60 * 1000)
#define WARN_MS (24 * 60 * 60 * 1000)
#define SOON_S (14 * 86400)
#define TEXT_BYTES 65536

/* Logs once a day each certificate that has expired or expires soon. */
static void warn_of_expiry(struct supervisor *sup, const struct tls_material *m)
{
    struct tls_expiry e[CONFIG_MAX_KEYPAIRS];
    size_t n = tls_material_expiry(m, e, ARRAY_LEN(e)), expired = 0;
    int64_t now = wall_now_s();

    for (size_t i = 0; i < n; i++) {
        expired += e[i].not_after_s < now;
    }
    gauge_set(M_CERT_EXPIRED_NOW, expired);

    if (sup->now_ms < sup->certificates.warn_ms) {
        return;
    }
    sup->certificates.warn_ms = sup->now_ms + WARN_MS;
    for (size_t i = 0; i < n; i++) {
        struct log_line l;

        enum log_level level = e[i].not_after_s < now ? LOG_LEVEL_ERROR : LOG_LEVEL_WARN;

        if (e[i].not_after_s > now + SOON_S ||
            !log_begin(&l, level, level == LOG_LEVEL_ERROR ? "certificate_expired" : "certificate_expires")) {
            continue;
        }
        log_str(&l, "certificate", slice_str(e[i].path));
        log_num(&l, "hours", (e[i].not_after_s - now) / 3600);
        log_end(&l);
    }
}

static bool said_before(struct supervisor *sup, const struct config_errors *errs)
{
    uint8_t digest[SHA256_LEN];
    struct buf text;
    bool same;

    buf_init(&text, TEXT_BYTES);
    config_errors_print(errs, "", &text);
    sha256_of(text.ptr, text.len, digest);
    buf_fini(&text);
    same = sup->certificates.said_ms != 0 && memcmp(digest, sup->certificates.said, sizeof(digest)) == 0;
    if (same && sup->now_ms < sup->certificates.said_ms + SAID_AGAIN_MS) {
        return true;
    }
    if (!same) {
        count(M_CERT_REFUSED);
    }
    memcpy(sup->certificates.said, digest, sizeof(digest));
    sup->certificates.said_ms = sup->now_ms;
    return false;
}

static void refused(struct supervisor *sup, const struct config_errors *errs)
{
    struct buf first;

    buf_init(&first, TEXT_BYTES);
    (void)supervisor_first_error(sup, errs, &first);
    refusal_set(&sup->certificates.refusal, errs->fatal, buf_slice(&first));
    buf_fini(&first);
    gauge_set(M_CERT_REFUSED_NOW, 1);
    if (said_before(sup, errs)) {
        return;
    }
    supervisor_log_errors(errs, sup->options.config_path);
    log_msg(LOG_LEVEL_ERROR, "certificates_refused",
            "The certificate files have changed and cannot be taken; the old ones serve on");
}

static void settled(struct supervisor *sup)
{
    gauge_set(M_CERT_REFUSED_NOW, 0);
    sup->certificates.said_ms = 0;
    if (sup->certificates.refusal.since_s != 0) {
        sup->recheck_ms = sup->now_ms; /* they may be the reason why a reload was refused */
    }
    refusal_clear(&sup->certificates.refusal);
}

/* Takes each pair that can be loaded; the others stay as they are. */
static void renew(struct supervisor *sup, const struct config *old)
{
    struct config_errors errs = { .lenient = MATERIAL_BIT(MATERIAL_TLS) };
    struct config *conf = material_load(sup, old, MATERIAL_BIT(MATERIAL_TLS), &errs);
    bool good = conf != NULL && errs.missing[MATERIAL_TLS] == 0;

    if (good) {
        settled(sup);
    } else {
        refused(sup, &errs);
    }
    if (conf != NULL && !tls_material_same(conf->tls_material, old->tls_material)) {
        if (good) {
            supervisor_log_errors(&errs, sup->options.config_path); /* warnings */
        }
        count(M_CERT_RENEWED);
        log_msg(LOG_LEVEL_INFO, "certificates_renewed",
                "The certificate files have changed: a new generation takes them");
        supervisor_reloaded(sup, conf, NULL);
    } else {
        config_free(conf);
    }
    config_errors_fini(&errs);
}

void certificates_tick(struct supervisor *sup)
{
    const struct generation *g = generation_in(sup, GENERATION_CURRENT);

    if (g == NULL || sup->stopping || sup->now_ms < sup->certificates.next_ms) {
        return;
    }
    sup->certificates.next_ms = sup->now_ms + CHECK_MS;
    if (sup->pending != NULL || generation_in(sup, GENERATION_STARTING) != NULL) {
        return; /* a pending reload loads them itself */
    }
    if (g->conf->tls_material == NULL) {
        gauge_set(M_CERT_EXPIRED_NOW, 0);
        settled(sup);
    } else if (tls_material_changed(g->conf->tls_material)) {
        renew(sup, g->conf);
    } else {
        settled(sup);
        warn_of_expiry(sup, g->conf->tls_material);
    }
}
