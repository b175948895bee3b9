# SPDX-License-Identifier: Apache-2.0
desc="glacis, one worker, the rules it comes with (spf-first) and four lists: also reverse DNS with confirmation, the HELO's name"
checks="dnsbl4 spf helo fcrdns dkim header"
tls=starttls
. $PEERS/glacis.common
start() {
    glacis_start <<X
policy:
  before:                     # a listed client is refused whatever its SPF says: the peers do the same
    - {name: bench-listed, when: {reputation.listed: true}, then: drop}
    - {name: bench-named, when: {client.rdns: nobody.example}, then: drop}
$GLACIS_LISTS
X
}
