/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - names, organisational domain, and comparison of tree walks.
 *
 * RFC     9989 4.10 (steps), 4.10.2 (organisational domain)
 */
#include "policy/dmarc/walk.h"

#define JUMP_LABELS 7 /* a longer name is cut to this many labels after its first query */

size_t dmarc_labels(struct slice domain)
{
    size_t labels = slice_empty(domain) ? 0 : 1;

    for (size_t i = 0; i < domain.len; i++) {
        labels += domain.ptr[i] == '.';
    }
    return labels;
}

struct slice dmarc_suffix(struct slice domain, size_t labels)
{
    size_t start = domain.len;

    while (start > 0) {
        if (domain.ptr[start - 1] == '.' && --labels == 0) {
            break;
        }
        start--;
    }
    return slice_skip(domain, start);
}

size_t dmarc_shared_labels(struct slice a, struct slice b)
{
    size_t shared = 0;

    while (!slice_empty(a) && !slice_empty(b)) {
        size_t dot_a = slice_rfind(a, '.'), dot_b = slice_rfind(b, '.');
        bool last_a = dot_a == a.len, last_b = dot_b == b.len;

        if (!slice_eq(last_a ? a : slice_skip(a, dot_a + 1), last_b ? b : slice_skip(b, dot_b + 1))) {
            break;
        }
        shared++;
        a = last_a ? SLICE_NONE : slice_take(a, dot_a);
        b = last_b ? SLICE_NONE : slice_take(b, dot_b);
    }
    return shared;
}

size_t dmarc_walk_names(struct slice domain, struct slice names[DMARC_WALK_MAX])
{
    size_t count = 0;
    size_t left = dmarc_labels(domain);

    if (left > 0) {
        names[count++] = domain;
        left = min_size(left - 1, JUMP_LABELS);
    }
    while (left > 0) {
        names[count++] = dmarc_suffix(domain, left--);
    }
    return count;
}

/* Only the start can have more labels than there are levels. */
static unsigned org_bit(size_t labels)
{
    return labels > DMARC_WALK_MAX ? 1u : 1u << labels;
}

/* The organisational domain if the record at this level has psd=y: one label below, or the start itself. */
static size_t below(const struct dmarc_level *levels, size_t i)
{
    return levels[i].labels + (i > 0);
}

/* Sets what a failed lookup leaves possible: psd=n or an ordinary record here, or psd=y. */
static void note_error(struct dmarc_walk *walk, const struct dmarc_level *levels, size_t i)
{
    walk->possible |= org_bit(levels[i].labels) | org_bit(below(levels, i));
    walk->error = walk->error == 0 ? levels[i].labels : walk->error;
}

struct dmarc_walk dmarc_walk_read(const struct dmarc_level *levels, size_t count)
{
    struct dmarc_walk walk = { .org = count > 0 ? levels[0].labels : 0, .stop = count };

    for (size_t i = 0; i < count && walk.stop == count; i++) {
        if (levels[i].state == DMARC_LEVEL_PENDING) {
            return (struct dmarc_walk){ .pending = true, .stop = count };
        }
        if (levels[i].state == DMARC_LEVEL_ERROR) {
            note_error(&walk, levels, i);
        }
        if (levels[i].state == DMARC_LEVEL_RECORD) {
            bool is_psd = levels[i].psd == DMARC_PSD_YES;

            walk.org = is_psd ? below(levels, i) : levels[i].labels; /* the fewest labels so far */
            walk.stop = levels[i].psd == DMARC_PSD_UNKNOWN ? count : i;
        }
    }
    walk.possible |= org_bit(walk.org);
    return walk;
}

/* The organisational domains of this walk that have at most `shared` labels; bit 0 is the start, which is never one. */
static unsigned shared_orgs(const struct dmarc_walk *walk, size_t shared)
{
    unsigned bits = (1u << (min_size(shared, DMARC_WALK_MAX) + 1)) - 1;

    return walk->possible & bits & ~1u;
}

bool dmarc_walk_certain(const struct dmarc_walk *walk)
{
    return (walk->possible & (walk->possible - 1)) == 0; /* one bit */
}

bool dmarc_walk_may_share(const struct dmarc_walk *walk, size_t shared)
{
    return shared_orgs(walk, shared) != 0;
}

/*
 * Both walks meet their first failed lookup at the same name and go on alike from there.  Whatever its answer is, they
 * agree if they agree without a record there, and if psd=y there gives both the same name below it.
 */
static bool same_for_any_answer(const struct dmarc_walk *a, const struct dmarc_walk *b, size_t shared)
{
    return a->error == b->error && shared > a->error;
}

enum dmarc_truth dmarc_walk_same(const struct dmarc_walk *a, const struct dmarc_walk *b, size_t shared)
{
    bool same = a->org == b->org && a->org <= shared;

    if ((shared_orgs(a, shared) & shared_orgs(b, shared)) == 0) {
        return DMARC_NO;
    }
    if (dmarc_walk_certain(a) && dmarc_walk_certain(b)) {
        return same ? DMARC_YES : DMARC_NO;
    }
    return same && same_for_any_answer(a, b, shared) ? DMARC_YES : DMARC_UNKNOWN;
}
