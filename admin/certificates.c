/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificates.c - when the certificates of a snapshot expire, for metrics, `glacis check` and `glacis status`.
 */
#include "admin/certificates.h"

#include "core/loop.h"
#include "tls/tls.h"

#define DAY_S 86400
#define SOON_DAYS 14

void certificates_put_metrics(const struct config *c, struct buf *out)
{
    struct tls_expiry e[CONFIG_MAX_KEYPAIRS];
    size_t n = c->tls_material != NULL ? tls_material_expiry(c->tls_material, e, ARRAY_LEN(e)) : 0;

    if (n == 0) {
        return;
    }
    buf_put_str(
        out, "# HELP glacis_certificate_expiry_seconds When the certificate in force expires, in Unix time\n"
             "# TYPE glacis_certificate_expiry_seconds gauge\n");
    for (size_t i = 0; i < n; i++) {
        buf_put_str(out, "glacis_certificate_expiry_seconds{path=");
        buf_put_json(out, slice_str(e[i].path), 4096);
        buf_putf(out, "} %" PRId64 "\n", e[i].not_after_s);
    }
}

void certificates_put_text(const struct config *c, struct buf *out)
{
    struct tls_expiry e[CONFIG_MAX_KEYPAIRS];
    size_t n = c->tls_material != NULL ? tls_material_expiry(c->tls_material, e, ARRAY_LEN(e)) : 0;

    for (size_t i = 0; i < n; i++) {
        char day[16] = "";
        time_t at = (time_t)e[i].not_after_s;
        struct tm tm;

        if (gmtime_r(&at, &tm) != NULL) {
            (void)strftime(day, sizeof(day), "%Y-%m-%d", &tm);
        }
        if (e[i].not_after_s < wall_now_s()) {
            buf_putf(out, "certificate %s: expired on %s\n", e[i].path, day);
        } else {
            buf_putf(out, "certificate %s: expires on %s, in %" PRId64 " days\n", e[i].path, day,
                     (e[i].not_after_s - wall_now_s()) / DAY_S);
        }
    }
}

void certificates_put_json(const struct config *c, struct buf *out)
{
    struct tls_expiry e[CONFIG_MAX_KEYPAIRS];
    size_t n = c->tls_material != NULL ? tls_material_expiry(c->tls_material, e, ARRAY_LEN(e)) : 0;

    buf_put_str(out, ",\"certificates\":[");
    for (size_t i = 0; i < n; i++) {
        buf_put_str(out, i > 0 ? ",{\"path\":" : "{\"path\":");
        buf_put_json(out, slice_str(e[i].path), 4096);
        buf_putf(out, ",\"not_after\":%" PRId64 "}", e[i].not_after_s);
    }
    buf_put_char(out, ']');
}

bool certificates_trouble(const struct config *c, size_t n, struct buf *out)
{
    struct tls_expiry e[CONFIG_MAX_KEYPAIRS];
    size_t count = c->tls_material != NULL ? tls_material_expiry(c->tls_material, e, ARRAY_LEN(e)) : 0;
    int64_t left_s;

    if (n >= count) {
        return false;
    }
    left_s = e[n].not_after_s - wall_now_s();
    if (left_s <= 0) {
        buf_putf(out, "certificate %s has expired", e[n].path);
    } else if (left_s <= SOON_DAYS * DAY_S) {
        buf_putf(out, "certificate %s expires in %" PRId64 " days", e[n].path, left_s / DAY_S);
    }
    return true;
}
