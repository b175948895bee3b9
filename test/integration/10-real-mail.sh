#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 10-real-mail.sh - mail of real and of our own clients crosses octet for octet: swaks and smtp-source,
# several recipients, 8-bit, SMTPUTF8, BDAT, dots, 50 MiB; DKIM signatures still verify behind it.
. "$(dirname "$0")/lib.sh"
need swaks smtp-source smtp-sink

last() {
    # the newest message of sink.py
    find "$sink_dir" -name '*.eml' | sort | tail -n 1
}

# ---- a real client and a real server ----
start_smtp_sink
write_config "$work/a.yaml" <<YAML
log: {level: info}
YAML
start_glacis "$work/a.yaml" a

swaks --server 127.0.0.1:"$smtp_port" --helo client.example.net --from alice@elsewhere.invalid \
    --to bob@example.test,carol@example.test --body "hello from swaks" >"$work/swaks.log" 2>&1 ||
    fail "swaks: $(tail -n 5 "$work/swaks.log")"
wait_for 5 at_least 1 || fail "the message of swaks is at the sink"
grep -rq "hello from swaks" "$sink_dir" || fail "its body arrived"
grep -rhi "^X-Rcpt-Args:.*carol@example.test" "$sink_dir" >/dev/null || fail "the second recipient arrived"
ok "swaks -> glacis -> smtp-sink, two recipients"

if swaks --server 127.0.0.1:"$smtp_port" --helo client.example.net --from alice@elsewhere.invalid \
    --to victim@elsewhere.invalid >"$work/relay.out" 2>&1; then
    fail "a relay attempt was accepted"
fi
grep -q '550 5.7.1' "$work/relay.out" || fail "the relay attempt is refused with 550 5.7.1: $(cat "$work/relay.out")"
ok "a relay attempt of swaks gets 550 5.7.1"

before=$(messages)
smtp-source -m 200 -s 10 -r 3 -l 20000 -f alice@elsewhere.invalid -t bob@example.test "127.0.0.1:$smtp_port" \
    >"$work/source.log" 2>&1 || fail "smtp-source: $(tail -n 5 "$work/source.log")"
wait_for 10 at_least $((before + 200)) || fail "200 messages arrived: $(($(messages) - before))"
[ "$(messages)" -eq $((before + 200)) ] || fail "exactly 200 messages: $(($(messages) - before))"
ok "smtp-source: 200 messages in 10 sessions, 3 recipients each, all there once"
swaks --server 127.0.0.1:"$smtp_port" --protocol SMTP --helo old.example.net --from alice@elsewhere.invalid \
    --to bob@example.test >"$work/swaks.log" 2>&1 || fail "swaks with HELO: $(tail -n 5 "$work/swaks.log")"
ok "swaks with HELO"
end "$glacis_pid"
end "$sink_pid"

# ---- octet for octet, at a sink that stores what it got ----
start_sink --name inner.sink.test
write_config "$work/b.yaml" <<YAML
limits: {message_size: 60MiB}
YAML
start_glacis "$work/b.yaml" b
offers_utf8() {
    "$PYTHON" - "$smtp_port" <<'PY'
import sys
sys.path.insert(0, __import__("os").environ["HERE"])
from client import Client
sys.exit("SMTPUTF8" not in Client(("127.0.0.1", int(sys.argv[1]))).hello().text)
PY
}
export HERE
wait_for 10 offers_utf8 || fail "SMTPUTF8 is offered once the upstream's keywords are known"

mail() {
    # mail KIND TEXT [OPTIONS of mail.py send]
    kind=$1
    text=$2
    shift 2
    "$HERE/mail.py" send "$smtp_port" "$work/$kind.eml" --rcpt bob@example.test "$@" >"$work/send.out" 2>&1 ||
        fail "$text: $(cat "$work/send.out")"
    "$HERE/mail.py" same "$work/$kind.eml" "$(last)" || fail "$text: the same octets"
    ok "$text"
}
for kind in plain eightbit utf8 dots; do
    "$HERE/mail.py" make $kind "$work/$kind.eml"
done
"$HERE/mail.py" make big "$work/big.eml" 50
mail plain "plain text" --rcpt carol@example.test --rcpt dave@example.test
mail eightbit "8-bit, BODY=8BITMIME" --param BODY=8BITMIME
mail eightbit "8-bit, undeclared"
mail utf8 "SMTPUTF8, addresses and header" --param SMTPUTF8 --rcpt "r$(printf '\303\251')my@example.test"
mail dots "dots at the front of lines"
mail dots "dots, by BDAT in chunks of 7 octets" --bdat 7
mail plain "BDAT in one chunk" --bdat 1000000
mail eightbit "8-bit by BDAT" --bdat 4096 --param BODY=8BITMIME
mail big "50 MiB by DATA"
mail big "50 MiB by BDAT" --bdat 1048576

# ---- DKIM ----
if "$PYTHON" -c 'import dkim' 2>/dev/null; then
    "$HERE/mail.py" dkim-sign "$work/plain.eml" "$work/signed.eml" "$work/key.pem" "$work/record" || fail "signing"
    mail signed "a message with DKIM signatures"
    "$HERE/mail.py" dkim-verify "$(last)" "$work/record" || fail "the signatures verify behind glacis"
    ok "simple and relaxed DKIM signatures verify behind glacis"
    mail signed "the same by BDAT" --bdat 1000
    "$HERE/mail.py" dkim-verify "$(last)" "$work/record" || fail "the signatures verify behind glacis, by BDAT"
    ok "and by BDAT"
else
    say "# python3-dkim is not installed: DKIM is not shown"
fi
