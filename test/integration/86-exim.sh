#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# 86-exim.sh - Exim as the sending server: STARTTLS that it insists on, its own EHLO, CHUNKING by BDAT, an unknown user;
# and as the server behind: it leaves what comes after ten messages of a connection to its queue runner.
#
# Exim and Postfix exclude each other as packages: Exim is unpacked beside, and runs with a configuration of its own
# and, in a mount namespace, with the user that it was built for. Nothing of it stays on the machine.
. "$(dirname "$0")/lib.sh"
need_root
need apt-get dpkg unshare openssl
mkdir -p "$work/exim" "$work/spool" "$work/mail"
chown 64998:64998 "$work/spool"
cd "$work/exim" || exit 1
apt-get download exim4-daemon-light exim4-base libidn12 libgnutls-dane0 libunbound8 >"$work/apt.log" 2>&1 ||
    skip "the packages of Exim cannot be had"
for package in *.deb; do
    dpkg -x "$package" root
done
cd "$work" || exit 1
# Exim starts itself again with a clean environment: this is its path
cat >exim4 <<SCRIPT
#!/bin/sh
export LD_LIBRARY_PATH=$(echo "$work"/exim/root/usr/lib/*-linux-gnu)
exec "$work/exim/root/usr/sbin/exim4" "\$@"
SCRIPT
chmod 755 exim4 exim/root/usr/sbin/exim4 # set-user-id would drop the path of its libraries
# a machine that has or had Exim knows this user by another number
{ grep -v '^Debian-exim:' /etc/passwd; echo "Debian-exim:x:64998:64998::/nonexistent:/usr/sbin/nologin"; } >passwd
{ grep -v '^Debian-exim:' /etc/group; echo "Debian-exim:x:64998:"; } >group

openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 30 -subj /CN=mx.glacis.test \
    -addext subjectAltName=DNS:mx.glacis.test -keyout key.pem -out cert.pem 2>openssl.log
"$PYTHON" "$HERE/sink.py" --listen 127.0.0.1:0 --dir "$work/mail" --ready-file "$work/sink.ready" >"$work/sink.log" 2>&1 &
started $!
wait_for 10 test -s "$work/sink.ready"
sink_port=$(sed -n 's/^smtp .*://p' "$work/sink.ready")
export sink_port
write_config g.yaml <<YAML
tls: {certificate: $work/cert.pem, private_key: $work/key.pem}
YAML
start_glacis g.yaml

cat >exim.conf <<CONF
exim_path = $work/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = $work/spool
log_file_path = $work/spool/exim-%s.log
primary_hostname = exim.example.net
keep_environment =
begin routers
out:
  driver = manualroute
  route_list = * 127.0.0.1 byname
  self = send
  transport = out
begin transports
out:
  driver = smtp
  port = $smtp_port
  hosts_require_tls = *
  tls_verify_certificates = $work/cert.pem
  tls_verify_hosts = *
  tls_verify_cert_hostnames = :
begin retry
* * F,1m,10s
CONF

# exim ARGUMENTS...: as the namespace's own user database knows it.
exim() {
    # shellcheck disable=SC2016
    unshare -m sh -c 'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && shift && exec "$@"' sh \
        "$work" "$work/exim4" -C "$work/exim.conf" "$@"
}
exim -bV >exim-version.log 2>&1 || skip "Exim does not run here: $(tail -n 1 exim-version.log)"

{ printf 'From: <alice@exim.example.net>\nTo: <bob@example.test>\nSubject: from exim\n\n'; seq 1 2000; } >letter
exim -odi -f alice@exim.example.net bob@example.test <letter >exim-run.log 2>&1
wait_for 20 test -s "$work/mail/000001.eml" || fail "the message did not arrive: $(cat spool/exim-*.log)"
ok "a message crosses by TLS, its certificate verified by Exim"
grep -q 'with ESMTPS' mail/000001.eml || fail "no ESMTPS in Received"
grep -q 'from exim.example.net' mail/000001.eml || fail "no EHLO name in Received"
ok "Received names Exim and ESMTPS"
sed -e 's/\r$//' mail/000001.eml | tail -n 2000 >got
seq 1 2000 | cmp - got || fail "the body is not what was sent"
ok "the body is the same, whether it came by BDAT or DATA ($(grep -c 'K C=' spool/exim-main.log || :) by BDAT)"
exim -odi -f alice@exim.example.net victim@elsewhere.invalid <letter >exim-run.log 2>&1 || :
wait_for 20 grep -q '550.5.7.1' spool/exim-main.log || fail "the relay attempt was not refused: $(tail -n 5 spool/exim-main.log)"
ok "a relay attempt: Exim hears 550 5.7.1"

# Exim behind: it delivers ten messages of a connection at once.
server_port=$(free_port)
mkdir -p "$work/behind" "$work/boxes"
chown 64998:64998 "$work/behind" "$work/boxes"
cat >server.conf <<CONF
exim_path = $work/exim4
exim_user = Debian-exim
exim_group = Debian-exim
spool_directory = $work/behind
log_file_path = $work/behind/exim-%s.log
pid_file_path = $work/behind/pid
primary_hostname = behind.example.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = $server_port
tls_advertise_hosts =
keep_environment =
acl_smtp_rcpt = all
begin acl
all:
  accept
begin routers
box:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = $work/boxes/box
  user = Debian-exim
CONF
# shellcheck disable=SC2016
unshare -m sh -c 'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && shift && exec "$@"' sh \
    "$work" "$work/exim4" -C "$work/server.conf" -bdf >exim-server.log 2>&1 &
started $!
wait_for 20 listens "$server_port" || fail "Exim does not listen: $(cat exim-server.log)"
# twelve MESSAGES: all over one session; glacis has one worker, so one connection would do.
twelve() {
    "$PYTHON" - "$smtp_port" <<'PY'
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1]), timeout=60) as s:
    for i in range(12):
        s.sendmail("alice@elsewhere.invalid", ["bob@example.test"], "From: alice@elsewhere.invalid\nSubject: %d\n\nbody\n" % i)
PY
}
delivered() {
    [ "$(grep -c ' Completed$' behind/exim-main.log)" -ge "$1" ]
}
workers=1
sink_port=$server_port
for most in auto 100; do
    write_config "$most.yaml" </dev/null
    mkdir -p "state-$most"
    sed -i -e "s,state_dir: .*,state_dir: $work/state-$most," -e "s/tls: off/tls: off\n    max_messages: $most/" "$most.yaml"
    start_glacis "$most.yaml" "glacis-$most"
    twelve
    end "$glacis_pid"
    if [ $most = auto ]; then
        wait_for 30 delivered 12 || fail "not all were delivered: $(tail -n 5 behind/exim-main.log)"
        ! grep -q 'more than 10 messages' behind/exim-main.log || fail "some were left to the queue runner"
        ok "A7: max_messages auto: all twelve messages are delivered at once"
        "$GLACIS" check --online -c auto.yaml 2>/dev/null | grep -q 'is Exim: it gets 10 messages' || fail "check --online does not say why"
        ok "A7: check --online says why"
    fi
done
wait_for 30 grep -q 'more than 10 messages' behind/exim-main.log || fail "no message was left with max_messages 100"
ok "A7: with max_messages 100 the last two wait for the queue runner"
