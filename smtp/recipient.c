/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipient.c - relay control (recipient.h).
 *
 * glacis takes mail only for `domains` (RFC 5321 3.6.2).  It refuses literals, percent and bang paths, quoted @ and
 * (limits.encapsulated) addresses within local parts, because the upstream might expand them.
 */
#include "smtp/recipient.h"

#include "smtp/smtp_parse.h"

static enum reply_id route_postmaster(const struct config *conf, struct arena *a, struct recipient *rcpt)
{
    char mem[300];
    struct buf b;

    rcpt->home = config_postmaster_home(conf);
    if (rcpt->home == NULL) {
        return REPLY_RELAY_DENIED;
    }
    rcpt->domain = slice_str(rcpt->home->name);
    buf_init_fixed(&b, mem, sizeof(mem));
    buf_put_slice(&b, rcpt->local);
    buf_put_char(&b, '@');
    buf_put_slice(&b, rcpt->domain);
    rcpt->address = arena_slice(a, buf_slice(&b));
    return buf_ok(&b) && rcpt->address.ptr != NULL ? REPLY_RCPT_OK : REPLY_NO_MEMORY;
}

static enum reply_id route(const struct config *conf, struct arena *a, struct recipient *rcpt)
{
    if (slice_empty(rcpt->domain)) {
        return route_postmaster(conf, a, rcpt);
    }
    if (rcpt->domain.ptr[0] == '[') {
        return REPLY_RELAY_DENIED;
    }
    rcpt->home = config_route(conf, rcpt->domain);
    if (rcpt->home == NULL) {
        return REPLY_RELAY_DENIED;
    }
    if (local_part_routes(rcpt->local) ||
        (conf->limits.encapsulated == ENCAPSULATED_REJECT && local_part_encapsulates(rcpt->local))) {
        return REPLY_ROUTED_LOCAL;
    }
    return REPLY_RCPT_OK;
}

/* Does the list of its domain (validate: file) lack the recipient? */
static bool is_unlisted(const struct recipient *rcpt)
{
    return rcpt->home->validate == VALIDATE_FILE &&
           !config_recipient_known(rcpt->home, rcpt->local, rcpt->domain);
}

enum reply_id recipient_admit(const struct config *conf, struct arena *a, struct recipient *rcpt)
{
    enum reply_id id = route(conf, a, rcpt);
    bool postmaster = slice_eq_nocase(rcpt->local, SLICE("postmaster"));

    return id == REPLY_RCPT_OK && is_unlisted(rcpt) && !postmaster ? REPLY_UNKNOWN_USER : id;
}

enum config_validate recipient_validate(const struct recipient *rcpt)
{
    return is_unlisted(rcpt) ? VALIDATE_LIVE : rcpt->home->validate;
}
