#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 11-postfix.sh - a real Postfix as sender -> glacis -> a real Postfix as receiver, delivered to a maildir.
# Two instances in private directories; both are stopped at the end.
. "$(dirname "$0")/lib.sh"
need_root
need postfix postconf sendmail
id postfix >/dev/null 2>&1 || skip "there is no user postfix"

# instance NAME: a private Postfix in $work/NAME; further main.cf lines on standard input.
instance() {
    dir=$work/$1
    mkdir -p "$dir/etc" "$dir/queue" "$dir/data"
    chown postfix "$dir/data"
    {
        cat <<CF
compatibility_level = 3.6
config_directory = $dir/etc
queue_directory = $dir/queue
data_directory = $dir/data
multi_instance_enable = yes
multi_instance_name = postfix-$1
maillog_file = $work/$1.log
maillog_file_prefixes = $work
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
smtputf8_enable = no
biff = no
debugger_command =
notify_classes =
mydestination =
CF
        cat
    } >"$dir/etc/main.cf"
    cp /etc/postfix/dynamicmaps.cf "$dir/etc/" 2>/dev/null || :
    cat >"$dir/etc/master.cf" <<CF
$2 inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
showq unix n - n - - showq
postlog unix-dgram n - n - 1 postlogd
CF
}

at_end="$at_end stop_receiver stop_sender"
stop_receiver() {
    postfix -c "$work/receiver/etc" stop >/dev/null 2>&1 || :
}
stop_sender() {
    postfix -c "$work/sender/etc" stop >/dev/null 2>&1 || :
}

sink_port=$(free_port)
mkdir -p "$work/mail"
chown postfix "$work/mail"
uid=$(id -u postfix)
gid=$(id -g postfix)
instance receiver "127.0.0.1:$sink_port" <<CF
myhostname = inner.example.test
virtual_mailbox_domains = example.test
virtual_mailbox_base = $work/mail
virtual_mailbox_maps = inline:{ {bob@example.test=bob/}, {carol@example.test=carol/}, {dave@example.test=dave/} }
virtual_minimum_uid = 1
virtual_uid_maps = static:$uid
virtual_gid_maps = static:$gid
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient
message_size_limit = 52428800
virtual_mailbox_limit = 0
CF
postfix -c "$work/receiver/etc" start >"$work/start.log" 2>&1 || fail "the receiving Postfix: $(cat "$work/start.log")"
wait_for 15 listens "$sink_port" || fail "the receiving Postfix listens"

openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 30 -subj /CN=mx.glacis.test \
    -addext subjectAltName=DNS:mx.glacis.test -keyout "$work/key.pem" -out "$work/cert.pem" 2>"$work/openssl.log"
write_config "$work/glacis.yaml" <<YAML
limits: {message_size: 40MiB}
tls: {certificate: $work/cert.pem, private_key: $work/key.pem}
YAML
start_glacis "$work/glacis.yaml"
knows_keywords() {
    "$HERE/mail.py" make eightbit "$work/probe.eml" &&
        swaks --server 127.0.0.1:"$smtp_port" --quit-after EHLO 2>/dev/null | grep -q 8BITMIME
}
if command -v swaks >/dev/null; then
    wait_for 10 knows_keywords || fail "8BITMIME is offered"
fi

sender_port=$(free_port)
instance sender "127.0.0.1:$sender_port" <<CF
myhostname = outer.elsewhere.invalid
relayhost = [127.0.0.1]:$smtp_port
message_size_limit = 52428800
default_destination_recipient_limit = 50
minimal_backoff_time = 1s
maximal_backoff_time = 5s
queue_run_delay = 1s
virtual_alias_maps =
relay_domains =
local_transport = error:no local mail
CF
postfix -c "$work/sender/etc" start >"$work/start.log" 2>&1 || fail "the sending Postfix: $(cat "$work/start.log")"
wait_for 15 listens "$sender_port" || fail "the sending Postfix listens"

send() {
    # send FILE RECIPIENTS...
    file=$1
    shift
    MAIL_CONFIG=$work/sender/etc sendmail -C "$work/sender/etc" -i -f alice@elsewhere.invalid "$@" <"$file"
}
count() {
    find "$work/mail/$1" -path '*/new/*' -type f 2>/dev/null | wc -l
}
has() {
    [ "$(count "$1")" -ge "$2" ]
}

# bodies are compared: Postfix itself adds and completes headers, so the body alone is the client's
body() {
    "$PYTHON" - "$1" <<'PY'
import hashlib, re, sys
data = open(sys.argv[1], "rb").read().replace(b"\r\n", b"\n")
print(hashlib.sha256(data.split(b"\n\n", 1)[1]).hexdigest())
PY
}

"$HERE/mail.py" make plain "$work/plain.eml"
"$HERE/mail.py" make eightbit "$work/eightbit.eml"
"$HERE/mail.py" make dots "$work/dots.eml"
"$HERE/mail.py" make big "$work/big.eml" 20
n=0
for kind in plain eightbit dots big; do
    tr -d '\r' <"$work/$kind.eml" >"$work/$kind.lf"
    [ $kind != eightbit ] || cp "$work/eightbit.eml" "$work/eightbit.crlf"
    send "$work/$kind.lf" bob@example.test carol@example.test || fail "sendmail takes $kind"
    n=$((n + 1))
    wait_for 30 has bob $n || fail "$kind arrived: $(tail -n 5 "$work/sender.log")"
    wait_for 30 has carol $n || fail "$kind arrived for the second recipient"
    got=$(find "$work/mail/bob" -path '*/new/*' -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f 2)
    [ "$(body "$got")" = "$(body "$work/$kind.lf")" ] || fail "$kind: the body's SHA-256 is the same"
    grep -q "by mx.glacis.test" "$got" || fail "$kind: Received of glacis"
    ok "Postfix -> glacis -> Postfix -> maildir: $kind, two recipients, same SHA-256"
done

i=0
while [ $i -lt 50 ]; do
    send "$work/plain.lf" dave@example.test
    i=$((i + 1))
done
wait_for 60 has dave 50 || fail "50 messages in a row: $(count dave)"
[ "$(count dave)" -eq 50 ] || fail "exactly 50: $(count dave)"
ok "50 messages in a row, each once"

send "$work/plain.lf" nobody@example.test
undelivered() {
    grep -q 'to=<nobody@example.test>.*status=bounced.*550 5.1.1' "$work/sender.log"
}
wait_for 20 undelivered || fail "the unknown user is refused at RCPT with the receiver's own answer: $(grep nobody "$work/sender.log" | tail -n 3)"
ok "an unknown user: the receiver's own 550 5.1.1 reaches the sending Postfix"

# the same sender, now insisting on a certificate that it can verify
postconf -c "$work/sender/etc" smtp_tls_security_level=verify "smtp_tls_CAfile=$work/cert.pem" \
    smtp_tls_verify_cert_match=mx.glacis.test smtp_tls_loglevel=1
postfix -c "$work/sender/etc" reload >"$work/start.log" 2>&1 || fail "the sending Postfix: $(cat "$work/start.log")"
had=$(count bob)
send "$work/plain.lf" bob@example.test || fail "sendmail takes the message"
wait_for 30 has bob $((had + 1)) || fail "it arrives by verified TLS: $(tail -n 5 "$work/sender.log")"
grep -q 'Verified TLS connection established to 127.0.0.1' "$work/sender.log" || fail "no verified connection: $(grep TLS "$work/sender.log" | tail -n 3)"
grep -q '"tls_version":"TLS1.3"' "$work/glacis.log" || fail "no TLS 1.3 in the log of glacis"
ok "Postfix as client: STARTTLS with the certificate verified"
if perl -MNet::SSLeay -e 1 2>/dev/null; then
    swaks --server 127.0.0.1:"$smtp_port" --tls --tls-verify --tls-ca-path "$work/cert.pem" --from alice@elsewhere.invalid \
        --to bob@example.test >"$work/swaks.log" 2>&1 || fail "swaks --tls: $(tail -n 5 "$work/swaks.log")"
    grep -q 'TLS started' "$work/swaks.log" || fail "swaks spoke in clear"
    ok "swaks: STARTTLS"
else
    say "# swaks --tls is left out: Net::SSLeay is not installed"
fi

# second NAME [SED EXPRESSIONS on the configuration]: another glacis in front of the same receiver.
second() {
    which=$1
    shift
    mkdir -p "$work/state-$which"
    sed -e "s,state_dir: .*,state_dir: $work/state-$which," "$@" "$work/glacis.yaml" >"$work/$which.yaml"
    start_glacis "$work/$which.yaml" "$which"
}
# mail_as NAME ADDRESS: one message by smtplib, with NAME in EHLO; prints the code of a refusal.
mail_as() {
    "$PYTHON" - "$smtp_port" "$1" "$2" <<'PY'
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), local_hostname=sys.argv[2], timeout=60) as s:
    try:
        s.sendmail("alice@elsewhere.invalid", [sys.argv[3]], "From: alice@elsewhere.invalid\nSubject: x\n\nbody\n")
    except smtplib.SMTPRecipientsRefused as e:
        print(e.recipients[sys.argv[3]][0])
PY
}
offers_keywords() {
    "$PYTHON" - "$smtp_port" <<'PY'
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=60) as s:
    s.ehlo()
    sys.exit(not s.has_extn("8bitmime"))
PY
}
# after a reload an old process of Postfix may serve one more connection, so callers wait
checks_online() {
    "$GLACIS" check --online -c "$work/$1.yaml" 2>/dev/null | grep '^upstream' | grep -q "$2"
}
arrived_from() {
    grep -rlq "^Received: from $1 " "$work/mail/carol"
}

second refusing
i=0
while [ $i -lt 12 ]; do
    [ "$(mail_as sender.test "nobody$i@example.test")" = 550 ] || fail "nobody$i is refused"
    i=$((i + 1))
done
mail_as good.test carol@example.test
wait_for 20 arrived_from mx.glacis.test || fail "mail arrives behind refusals"
end "$glacis_pid"
refused_by_receiver() {
    grep -q 'disconnect from .* rcpt=0/5 ' "$work/receiver.log"
}
wait_for 10 refused_by_receiver || fail "no connection ended after five refusals: $(grep disconnect "$work/receiver.log" | tail -n 3)"
! grep -qE 'disconnect from .* rcpt=[0-9]+/([6-9]|1[0-9]) ' "$work/receiver.log" || fail "more than five refusals on one connection"
ok "A8: a connection on which Postfix refused five recipients is given up, so the next mail does not wait"

postconf -c "$work/receiver/etc" smtpd_authorized_xclient_hosts=127.0.0.0/8
postfix -c "$work/receiver/etc" reload >"$work/start.log" 2>&1 || fail "the receiving Postfix: $(cat "$work/start.log")"
second filter -e 's/tls: off/tls: off\n    kind: rspamd/'
wait_for 20 offers_keywords || fail "keywords are learned"
mail_as xclient.client.test carol@example.test
wait_for 20 arrived_from xclient.client.test || fail "the client's name by XCLIENT"
end "$glacis_pid"
ok "B9: kind rspamd: Postfix takes the client by XCLIENT"

checks_online glacis ": ok: \|: warn: " || fail "check --online before"
postconf -c "$work/receiver/etc" smtpd_upstream_proxy_protocol=haproxy smtpd_upstream_proxy_timeout=1s
postfix -c "$work/receiver/etc" reload >"$work/start.log" 2>&1 || fail "the receiving Postfix: $(cat "$work/start.log")"
second proxied -e 's/tls: off/tls: off\n    identity: proxy_v1\n    health: {interval: 1s, fall: 1, rise: 1}/'
wait_for 20 offers_keywords || fail "probes are answered, and keywords learned"
mail_as proxied.client.test carol@example.test
wait_for 20 arrived_from proxied.client.test || fail "the client's name in EHLO"
! grep -q upstream_down "$work/proxied.log" || fail "the server was marked down"
checks_online proxied "ok: \|warn: takes unknown" || fail "check --online: $("$GLACIS" check --online -c "$work/proxied.yaml" 2>&1 | grep upstream)"
ok "A21, A18: Postfix behind the PROXY protocol: probes are answered, and EHLO has the client's name"
wait_for 20 checks_online glacis "expects the header of the PROXY protocol" ||
    fail "no cause without the header: $("$GLACIS" check --online -c "$work/glacis.yaml" 2>&1 | grep upstream)"
postconf -c "$work/receiver/etc" smtpd_upstream_proxy_protocol=
postfix -c "$work/receiver/etc" reload >"$work/start.log" 2>&1 || fail "the receiving Postfix: $(cat "$work/start.log")"
wait_for 20 checks_online proxied "takes the header of the PROXY protocol for a command" ||
    fail "no cause for a header that is not expected: $("$GLACIS" check --online -c "$work/proxied.yaml" 2>&1 | grep upstream)"
ok "A21: check --online says which of both expects the header"
