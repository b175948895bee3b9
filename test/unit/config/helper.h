/* SPDX-License-Identifier: Apache-2.0 */
/*
 * helper.h - loads texts for the tests of config/ and gives back what the program would say.
 */
#ifndef TEST_CONFIG_HELPER_H
#define TEST_CONFIG_HELPER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "config/config.h"

static inline struct config *load_quiet(const char *text, struct buf *said)
{
    struct config_errors errs = { .count = 0 };
    struct config *c = config_load_text("f", slice_str(text), &errs);

    buf_init(said, 1u << 20);
    config_errors_print(&errs, "f", said);
    buf_put_str(said, "");
    config_errors_fini(&errs);
    return c;
}

static inline const char *said_text(const struct buf *said)
{
    return said->len > 0 ? said->ptr : "";
}

/* It must load without a word. */
static inline struct config *load_good(const char *text)
{
    struct buf said;
    struct config *c = load_quiet(text, &said);

    if (c == NULL || said.len > 0) {
        fail_msg("expected to load in silence:\n%s\nsaid:\n%s", text, said_text(&said));
    }
    buf_fini(&said);
    return c;
}

/* Is this the whole output for the text, exactly?  `loads` says whether a snapshot comes of it. */
static inline bool said_exactly(const char *label, const char *text, const char *want, bool loads)
{
    struct buf said;
    struct config *c = load_quiet(text, &said);
    bool ok = (c != NULL) == loads && strcmp(said_text(&said), want) == 0;

    if (!ok) {
        print_error("%s\n--- text\n%s\n--- want\n%s--- said (%s)\n%s\n", label, text, want,
                    c != NULL ? "loaded" : "refused", said_text(&said));
    }
    config_free(c);
    buf_fini(&said);
    return ok;
}

#endif
