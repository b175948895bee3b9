/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_yaml.c - any text as a configuration file: it loads or has errors, never anything else.
 *
 * What loads is printed, and the printed text must load as well and print to the same, unless it holds a
 * secret, which is masked and then refused.
 */
#include "config/config.h"
#include "config/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_print(const struct config *c)
{
    struct config_errors errs = { .count = 0 };
    struct buf first, second;
    struct config *again;

    buf_init(&first, 64u << 20);
    buf_init(&second, 64u << 20);
    config_print(c, NULL, &first);
    again = config_load_text("again", buf_slice(&first), &errs);
    if (again != NULL) {
        config_print(again, NULL, &second);
        BUG_ON(!slice_eq(buf_slice(&first), buf_slice(&second)));
    } else {
        BUG_ON(strstr(first.ptr, SECRET_MASK) == NULL); /* nothing else makes a printed file unfit */
    }
    config_free(again);
    config_errors_fini(&errs);
    buf_fini(&first);
    buf_fini(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config_errors errs = { .count = 0 };
    struct config *c;
    struct buf said;

    /* the machine's own name would ask the network */
    if (size > 65536 || setenv("GLACIS_HOSTNAME", "mx.test.example", 1) != 0) {
        return 0;
    }
    c = config_load_text("fuzz", slice_of(data, size), &errs);
    BUG_ON((c == NULL) != (errs.fatal > 0));
    buf_init(&said, 4u << 20);
    config_errors_print(&errs, "fuzz", &said);
    buf_fini(&said);
    if (c != NULL && c->domain_count > 0) {
        BUG_ON(config_route(c, slice_str(c->domains[0].name)) == NULL && !c->domains[0].subdomains);
        check_print(c);
    }
    config_free(c);
    config_errors_fini(&errs);
    return 0;
}
