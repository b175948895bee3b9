# SPDX-License-Identifier: Apache-2.0
desc="glacis, one worker, all checks: four lists, SPF, HELO syntax, added headers; no reverse DNS"
checks="dnsbl4 spf helo dkim header"
tls=starttls
. $PEERS/glacis.common
start() {
    glacis_start <<X
policy:
  preset: none
  rules:
    - {name: listed, when: {reputation.listed: true}, then: drop}
    - {name: helo-odd, when: {helo.kind: [bare, invalid]}, then: reject}
    - {name: spf-fail, when: {spf: fail}, then: drop}
$GLACIS_LISTS
X
}
