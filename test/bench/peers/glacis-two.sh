# SPDX-License-Identifier: Apache-2.0
GLACIS_WORKERS=2
. $PEERS/glacis.sh
desc="as glacis, with two workers: each has a descriptor limit of its own"
