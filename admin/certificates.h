/* SPDX-License-Identifier: Apache-2.0 */
/*
 * certificates.h - when the certificates of a snapshot expire.
 */
#ifndef ADMIN_CERTIFICATES_H
#define ADMIN_CERTIFICATES_H

#include "config/config.h"
#include "core/buf.h"

/* Each puts nothing if the file has no section tls. */
void certificates_put_metrics(const struct config *c, struct buf *out); /* one gauge a certificate */
void certificates_put_text(const struct config *c, struct buf *out);    /* one line a certificate */
void certificates_put_json(const struct config *c, struct buf *out);    /* `,"certificates":[...]` */

/* Puts a sentence if the n-th certificate has expired or expires soon.  False once n is past the last certificate. */
bool certificates_trouble(const struct config *c, size_t n, struct buf *out) MUST_USE;

#endif
