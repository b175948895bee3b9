#!/bin/sh
# 86-exim.sh - Exim as the sending server: STARTTLS that it insists on, its own EHLO, CHUNKING by BDAT, an unknown user.
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
