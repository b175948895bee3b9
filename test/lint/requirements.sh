#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# requirements.sh ROOT - docs/internals/requirements.md names the tests of each requirement, and gives a reason where none is.
set -eu
cd "${1:?usage: requirements.sh ROOT}"
exec test/requirements.py
