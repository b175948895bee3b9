#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# license.sh ROOT - each source file and script names the license in one of its first two lines (SPDX).
set -eu
cd "${1:?usage: license.sh ROOT}"
files=$(test/files.sh . | grep -E '\.(c|h|py|sh|cmake)$|(^|/)CMakeLists\.txt$|^(test|\.ci)/run$')
[ -n "$files" ] || { echo "no files were found"; exit 1; }
bad=$(for f in $files; do head -n 2 "$f" | grep -q 'SPDX-License-Identifier: Apache-2\.0' || echo "$f"; done)
[ -z "$bad" ] && exit 0
echo "$bad" | sed 's/$/: no SPDX-License-Identifier in its first two lines/'
exit 1
