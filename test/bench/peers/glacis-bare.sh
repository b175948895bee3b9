# SPDX-License-Identifier: Apache-2.0
desc="glacis, one worker, no rules: headers, live upstream, limits, log"
checks="dkim header"
tls=starttls
. $PEERS/glacis.common
start() {
    glacis_start <<X
policy: {preset: none, rules: []}
X
}
