/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reputation_reason.c - the list's own text for a reply: which list names the client, and its TXT record
 * (reputation.h).
 *
 * The text is untrusted: it becomes one line of printable ASCII, and is dropped if it contains the key of a zone.
 */
#include "config/secret.h"
#include "policy/lists/reputation_run.h"

static void on_timeout(void *arg)
{
    struct reputation_run *run = arg;

    dns_cancel(&run->reason_req);
    run->reason_state = REASON_DONE;
    run_changed(run);
}

void run_init_reason(struct reputation_run *run)
{
    timer_init(&run->reason_timeout, run->setup.loop, on_timeout, run);
}

void run_expire_reason(struct reputation_run *run)
{
    if (run->reason_state == REASON_PENDING) {
        timer_stop(&run->reason_timeout);
        on_timeout(run);
    }
}

void run_forget_reason(struct reputation_run *run)
{
    run->version++;
    timer_stop(&run->reason_timeout);
    dns_cancel(&run->reason_req);
    run->reason_state = REASON_UNASKED;
    run->reason_slot = NULL;
    run->reason_len = 0;
}

static void take_reason(struct reputation_run *run, struct slice text)
{
    const struct reputation_list *list = run->reason_slot->list;
    struct buf b;

    buf_init_fixed(&b, run->reason, sizeof(run->reason));
    for (size_t i = 0; i < text.len && b.len < REPUTATION_REASON_MAX; i++) {
        bool blank = (unsigned char)text.ptr[i] <= ' ';

        if (!blank) {
            buf_put_char(&b, ascii_is_print(text.ptr[i]) ? text.ptr[i] : '?');
        } else if (b.len > 0 && b.ptr[b.len - 1] != ' ') {
            buf_put_char(&b, ' ');
        }
    }
    run->reason_len = slice_trim(buf_slice(&b)).len;
    if (secret_repeated(list->zone, list->shown, buf_slice(&b))) {
        run->reason_len = 0;
    }
}

static void on_text(struct dns_answer *ans, const struct dns_had *had, void *arg)
{
    struct reputation_run *run = arg;

    (void)had;
    run->reason_req = NULL;
    timer_stop(&run->reason_timeout);
    run->reason_state = REASON_DONE;
    if (ans->status == DNS_OK && ans->count > 0) {
        take_reason(run, ans->records[0].data);
    }
    run_changed(run);
}

const struct slot *run_named_slot(const struct reputation_run *run)
{
    const struct slot *first = NULL;

    for (size_t i = 0; i < run->count; i++) {
        const struct slot *s = &run->slot[i];

        if (s->state != LIST_STATE_LISTED || s->found.weight <= 0 || s->sampled ||
            run->force[s->index].mode != LIST_MODE_ENFORCE) {
            continue;
        }
        if (s->list->reason) {
            return s;
        }
        first = first != NULL ? first : s;
    }
    return first;
}

bool reputation_ask_reason(struct reputation_run *run)
{
    const struct slot *s = run_named_slot(run);
    char mem[2 * DNS_NAME_MAX + 8];
    struct buf name;

    if (run->reason_state != REASON_UNASKED) {
        return true;
    }
    buf_init_fixed(&name, mem, sizeof(mem));
    if (s == NULL || !s->list->reason || !run_put_question(s, &name)) {
        return false;
    }
    run->version++;
    run->reason_slot = s;
    run->reason_state = REASON_PENDING;
    timer_start(&run->reason_timeout, s->list->timeout_ms);
    run->reason_req = dns_query_for(&run->setup.who, buf_slice(&name), DNS_TYPE_TXT, on_text, run);
    return true;
}

bool reputation_reason_pending(const struct reputation_run *run)
{
    return run->reason_state == REASON_PENDING;
}

struct slice reputation_reason(const struct reputation_run *run)
{
    return slice_of(run->reason, run->reason_state == REASON_DONE ? run->reason_len : 0);
}

struct slice reputation_subject(const struct reputation_run *run)
{
    const struct slot *s = run->reason_slot != NULL ? run->reason_slot : run_named_slot(run);

    if (s == NULL) {
        return SLICE_NONE;
    }
    return s->subject == SUBJECT_CLIENT ? slice_str(run->client_text)
                                        : slice_str(run->subject[s->subject].name);
}
