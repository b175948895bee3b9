/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message_head.h - facts about a message from its header section.
 *
 * Pure: one pass over the section with the field reader of field.h; no MIME, no body.  The sender wrote the whole
 * section, so it is evidence against the message and never for it.
 *
 *     message_head_read(&h, head);
 *     ... h.fields[HEAD_FROM], buf_slice(&h.domains) ...
 *     message_head_fini(&h);
 *
 * author.h reads the addresses of From, date.h the time of Date.
 *
 * Limits  Reads HEAD_AUTHORS_MAX addresses; the rest counts as one unreadable address.
 *
 * RFC     5322 3.6; 2047; 2369 and 2919 (List-*); 2076 (Precedence); 3834 5 (Auto-Submitted)
 */
#ifndef SMTP_MESSAGE_HEAD_H
#define SMTP_MESSAGE_HEAD_H

#include "core/buf.h"

#define HEAD_AUTHORS_MAX 100
#define HEAD_NAME_ADDRESSES_MAX 50 /* looked at in display names */
#define HEAD_NAME_DOMAINS_MAX 20   /* of them */
#define HEAD_ID_MAX 998            /* octets of a Message-ID: one line */

enum head_field { /* fields that may occur only once (RFC 5322 3.6, RFC 2045 4 and 5) */
                  HEAD_FROM = 0,
                  HEAD_DATE,
                  HEAD_MESSAGE_ID,
                  HEAD_SENDER,
                  HEAD_REPLY_TO,
                  HEAD_TO,
                  HEAD_CC,
                  HEAD_SUBJECT,
                  HEAD_MIME_VERSION,
                  HEAD_CONTENT_TYPE,
                  HEAD_FIELDS,
};

struct message_head {
    unsigned fields[HEAD_FIELDS]; /* how many of each */
    unsigned received;
    bool list;  /* List-Id, List-Post or List-Unsubscribe */
    bool bulk;  /* Precedence bulk, list or junk, or Auto-Submitted other than no */
    bool dated; /* date_s is valid: the first Date is readable */
    int64_t date_s;
    struct buf id; /* first Message-ID, without brackets, blanks and controls */

    unsigned authors;      /* addresses of all From fields, unreadable ones included */
    bool unreadable;       /* one of them is unreadable, or there are too many */
    unsigned domain_count; /* of `domains` */
    struct buf
        domains; /* domains of the readable addresses, each once, joined by ',': A-labels in lower case */
    struct buf local, domain; /* of the only author; both empty: no author, several, or an unreadable one */
    unsigned name_addresses, name_domain_count;
    struct buf name_domains; /* domains of addresses within display names, in the same form */
};

void message_head_read(struct message_head *h, struct slice head);
void message_head_fini(struct message_head *h);

/* The name of the field in rules, such as "message-id". */
const char *head_field_name(enum head_field f);

#endif
