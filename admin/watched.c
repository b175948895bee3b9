/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watched.c - lists, for `check` and `status`, the preset rules that only watch because they are new on this machine
 * (policy.watch_new_rules; policy/rules/watch.c decides).
 */
#include "admin/admin.h"
#include "core/loop.h"
#include "policy/policy.h"

static void put_time(struct buf *out, int64_t at_s)
{
    char stamp[40] = "";
    time_t at = (time_t)at_s;
    struct tm tm;

    if (gmtime_r(&at, &tm) != NULL) {
        (void)strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M UTC", &tm);
    }
    buf_put_str(out, stamp);
}

void watched_put_text(const struct config *c, const struct state *st, struct buf *out)
{
    struct policy_watched w;
    int64_t now_s = wall_now_s();

    for (size_t i = 0; c->policy != NULL && policy_watched(c->policy, i, now_s, &w); i++) {
        buf_putf(out, "rule %s only watches until ", w.rule);
        put_time(out, w.until_s);
        if (st != NULL) {
            buf_putf(out, "; since the start it would have acted on %" PRIu64,
                     policy_watched_count(st, w.rule));
        } else if (w.starts) {
            buf_put_str(out, " if glacis starts now");
        }
        buf_put_char(out, '\n');
    }
}

void watched_put_json(const struct config *c, const struct state *st, struct buf *out)
{
    struct policy_watched w;
    int64_t now_s = wall_now_s();

    buf_put_str(out, ",\"watched_rules\":[");
    for (size_t i = 0; c->policy != NULL && policy_watched(c->policy, i, now_s, &w); i++) {
        buf_putf(out, "%s{\"rule\":\"%s\",\"until\":%" PRId64 ",\"would_have_acted\":%" PRIu64 "}",
                 i > 0 ? "," : "", w.rule, w.until_s, policy_watched_count(st, w.rule));
    }
    buf_put_char(out, ']');
}
