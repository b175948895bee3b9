/* SPDX-License-Identifier: Apache-2.0 */
/*
 * idna.c - convert any domain name to lower-case A-labels (libidn2).
 *
 * The mapping comes before the comparison, so full-width forms and ideographic dots become their ASCII equivalents,
 * and the result is checked as a host name.  Look-alikes of other scripts stay different names.
 *
 * Limits: INPUT_MAX octets of UTF-8, IDNA_NAME_MAX of the result.
 */
#include "core/idna.h"

#include <idn2.h>

#include "core/utf8.h"

#define INPUT_MAX 1024 /* 253 characters of four octets, and some */

static bool ascii_name(struct slice name, struct buf *out)
{
    if (!hostname_valid(name)) {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        buf_put_char(out, ascii_lower(name.ptr[i]));
    }
    return true;
}

bool idna_to_ascii(struct slice name, struct buf *out)
{
    char *text, *mapped = NULL;
    bool good;

    if (!utf8_has_8bit(name)) {
        return ascii_name(name, out);
    }
    if (name.len > INPUT_MAX || !utf8_valid(name) || slice_find(name, '\0') < name.len) {
        return false;
    }
    text = slice_dup(name);
    good = idn2_to_ascii_8z(text, &mapped, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
           ascii_name(slice_str(mapped), out);
    idn2_free(mapped);
    free(text);
    return good;
}
