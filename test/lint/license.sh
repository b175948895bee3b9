#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# license.sh ROOT - each source file and script names the license in one of its first two lines (SPDX).
set -eu
cd "${1:?usage: license.sh ROOT}"
test/files.sh . | grep -E '\.(c|h|py|sh|cmake)$|(^|/)CMakeLists\.txt$|^(test|\.ci)/run$' | xargs awk '
    FNR == 1 { check(); name = FILENAME; named = 0; seen++ }
    FNR <= 2 && /SPDX-License-Identifier: Apache-2\.0/ { named = 1 }
    FNR > 2 { nextfile }
    function check() {
        if (name != "" && !named) { print name ": no SPDX-License-Identifier in its first two lines"; bad = 1 }
    }
    END { check(); if (seen < 100) { print "license.sh: only " seen " files"; exit 1 } exit bad }'
