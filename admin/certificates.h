/*
 * certificates.h - when the certificates of a snapshot expire.
 */
#ifndef ADMIN_CERTIFICATES_H
#define ADMIN_CERTIFICATES_H

#include "config/config.h"
#include "core/buf.h"

/* Nothing without a section tls. */
void certificates_put_metrics(const struct config *c, struct buf *out); /* one gauge a certificate */
void certificates_put_text(const struct config *c, struct buf *out);    /* one line a certificate */

#endif
