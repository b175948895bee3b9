#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""81-tls.py - STARTTLS and implicit TLS of clients: protocol, injection, stalls, crowds, real peers, scanners."""
import json
import os
import re
import resource
import select
import shutil
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, wait_for
from tlsclient import Authority, TlsClient, client_hello

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


def setup(w, tls="", more="", workers=2, server="", policy=None, name="g", **sink_options):  # pylint: disable=too-many-arguments
    """(glacis with a STARTTLS and an implicit listener, its sink, the authority)"""
    ca = Authority(os.path.join(w.dir, "ca-" + name))
    rsa, ec = ca.leaf("rsa"), ca.leaf("ec", ec=True)
    sink = w.sink(**sink_options)
    options = {"policy": policy} if policy is not None else {}
    text = w.config(sink, workers=workers, server=server, **options, more="""tls:
  certificate: %s
  private_key: %s
  more: [{certificate: %s, private_key: %s}]
%s
%s""" % (*rsa, *ec, "\n".join("  " + l for l in tls.splitlines()), more))
    text = text.replace('listen: ["127.0.0.1:0"]\n  user',
                        'listen: ["127.0.0.1:0", {address: "127.0.0.1:0", tls: implicit}]\n  user')
    return w.glacis(text, name=name), sink, ca


def deliver(client, sink):
    had = len(sink.messages)
    codes = [r.code for r in client.envelope()] + [client.data(MESSAGE).code]
    must(codes == ["250", "250", "250"], "a message accepted", codes)
    must(len(sink.messages) == had + 1, "one more at the upstream", len(sink.messages) - had)
    return sink.messages[-1].data.decode()


@shows("STARTTLS is kept from a group of clients; a group that is not there is an error")
def not_offered(w):
    more = 'groups: {broken_tls: ["127.0.0.7"]}\n'
    g, _, _ = setup(w, "not_offered_to: group:broken_tls", more)
    for source, offered in (("127.0.0.7", False), ("127.0.0.8", True)):
        c = Client(g.smtp, source=source)
        must(("STARTTLS" in c.hello().text) == offered, "offered to %s: %s" % (source, offered))
        must((c.cmd("STARTTLS").code == "220") == offered, "answered to %s: %s" % (source, offered))
    check = subprocess.run([g.program, "check", "-c", g.path], capture_output=True, text=True, check=False)
    must(check.returncode == 0, "the file is good", check.stderr)
    with open(g.path, encoding="ascii") as f:
        bad = f.read().replace("group:broken_tls", "group:other")
    check = subprocess.run([g.program, "check", "-c", "-"], input=bad, capture_output=True, text=True, check=False)
    must(check.returncode == 78 and re.search(r":\d+:\d+: error: tls.not_offered_to: there is no group `other`; there are broken_tls",
                                              check.stderr), "an unknown group, with its place", check.stderr)


@shows("STARTTLS with TLS 1.2 and 1.3: offered in clear only, EHLO is forgotten, Received, log and metrics name it (TLS-08)")
def starttls(w):
    g, sink, ca = setup(w)
    for version, name in ((ssl.TLSVersion.TLSv1_2, "TLS1.2"), (ssl.TLSVersion.TLSv1_3, "TLS1.3")):
        c = TlsClient(g.smtp)
        must("STARTTLS" in c.hello().text, "STARTTLS offered")
        must(c.cmd("STARTTLS x").code == "501", "501 for an argument (TLS-05)")
        c.envelope()
        must(c.cmd("STARTTLS").code == "503", "503 in a transaction (TLS-07)")
        c.cmd("RSET")
        c.starttls(ca.context(version))
        must(c.cmd("MAIL FROM:<a@b.invalid>").code == "503", "EHLO is forgotten (TLS-02)")
        must("STARTTLS" not in c.hello().text, "not offered inside (TLS-01)")
        must(c.cmd("STARTTLS").code == "503", "503 inside (TLS-06)")
        text = deliver(c, sink)
        must("with ESMTPS" in text and "(%s)" % name in text and "tls TLS_" in text, "the tls clause", text)
        must(c.cmd("QUIT").code == "221", "221")
        event = wait_for(lambda: [e for e in g.events("txn") if e.get("tls_version") == name], 5, "the log line")[0]
        must(event["tls_cipher"].startswith("TLS_"), "tls_cipher", event)
    wait_for(lambda: g.metrics().get('glacis_tls_handshakes_total{version="1.3"}') == 1, 5, "1.3 counted")
    must(g.metrics()['glacis_tls_handshakes_total{version="1.2"}'] == 1, "1.2 counted")
    must(g.metrics()["glacis_tls_handshakes"] == 0, "none in progress", g.metrics()["glacis_tls_handshakes"])


@shows("several commands in one record are all answered, a body in odd records arrives unchanged (TLS-18, TLS-20)")
def records(w):
    g, sink, ca = setup(w)
    c = TlsClient(g.smtp)
    c.hello()
    c.starttls(ca.context())
    c.send(b"EHLO a.example\r\nNOOP\r\nMAIL FROM:<a@b.invalid>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n")
    codes = [c.reply().code for _ in range(5)]
    must(codes == ["250", "250", "250", "250", "354"], "all answers", codes)
    body = b"".join(b"%06d %s\r\n" % (i, b"x" * (i % 900)) for i in range(4000))
    content = b"Subject: odd\r\n\r\n" + body
    at, size = 0, 1
    while at < len(content):
        c.sock.sendall(content[at:at + size])
        at, size = at + size, size * 3 % 16411 + 1
    c.send(b".\r\n")
    must(c.reply().code == "250", "250")
    must(sink.messages[0].data.endswith(body), "the body as it was sent")


@shows("octets behind STARTTLS, a command or half of one, end the session and are never run (TLS-03, TLS-04, LOG-08)")
def injection(w):
    g, sink, ca = setup(w)
    for behind in (b"NOOP\r\n", b"EHLO inj.", b"M", b"MAIL FROM:<evil@b.invalid>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n"):
        c = TlsClient(g.smtp)
        c.hello()
        c.send(b"STARTTLS\r\n" + behind)
        reply = c.reply()
        must(reply.code == "501" and reply.enhanced == "5.5.1", "501 5.5.1", reply)
        must(c.rest() == b"", "and the end")
    for behind in (b"NOOP\r\n", b"EHLO inj.", b"EHLO a\r\nMAIL FROM:<evil@b.invalid>\r\n"):  # TLS-14: clear text after 220
        c = TlsClient(g.smtp)
        c.hello()
        must(c.cmd("STARTTLS").code == "220", "220")
        c.send(behind)
        if behind == b"EHLO inj.":  # a ClientHello joins it: not what the server will take for one
            c.send(client_hello())
        must(b"250" not in c.rest(), "no answer to what came in clear")
    must(sink.messages == [] and g.metrics()['glacis_abuse_total{kind="starttls_injection"}'] == 4, "four counted")


@shows("implicit TLS: the handshake comes before the banner; clear text there gets a close (GRT-11)")
def implicit(w):
    g, sink, ca = setup(w)
    c = TlsClient(g.addresses["smtps"], greet=False)
    must(c.quiet(), "no banner in clear")
    c.wrap(ca.context())
    must(c.reply().code == "220", "the banner inside")
    must("STARTTLS" not in c.hello().text, "STARTTLS not offered")
    deliver(c, sink)
    c = Client(g.addresses["smtps"], greet=False)
    c.send(b"EHLO a.example\r\n")
    rest = c.rest()
    must(b"220" not in rest and b"250" not in rest, "no reply in clear", rest)
    wait_for(lambda: g.metrics()['glacis_tls_failures_total{why="handshake"}'] == 1, 5, "one failure")
    must("error" in g.events("tls_failed")[0], "a log line that says why", g.events("tls_failed"))


@shows("tls.mode required: 530 5.7.0 to all but NOOP, EHLO, HELO, STARTTLS and QUIT (TLS-23)")
def required(w):
    g, sink, ca = setup(w, tls="mode: required")
    c = TlsClient(g.smtp)
    must(c.cmd("MAIL FROM:<a@b.invalid>").code == "530", "530 before EHLO")
    must(c.hello().code == "250" and c.cmd("NOOP").code == "250" and c.cmd("HELO a").code == "250", "250")
    c.hello()
    for command in ("MAIL FROM:<a@b.invalid>", "RCPT TO:<bob@example.test>", "DATA", "RSET", "VRFY bob", "HELP"):
        reply = c.cmd(command)
        must(reply.code == "530" and reply.enhanced == "5.7.0", "530 5.7.0 to " + command, reply)
    c.starttls(ca.context())
    c.hello()
    deliver(c, sink)
    must(Client(g.smtp).cmd("QUIT").code == "221", "221")


def old_client(ca, ciphers="AES128-SHA"):
    """A client of TLS 1.2 that has these ciphers alone."""
    context = ca.context(ssl.TLSVersion.TLSv1_2)
    context.set_ciphers(ciphers)
    return context


def begin(g, source="127.0.0.1"):
    c = TlsClient(g.smtp, source=source)
    return c, "STARTTLS" in c.hello().text


def fails(g, context, source="127.0.0.1"):
    """A handshake that does not come about."""
    c, offered = begin(g, source)
    must(offered, "STARTTLS offered to %s" % source)
    try:
        c.starttls(context)
    except (ssl.SSLError, OSError):
        return
    raise AssertionError("the handshake worked")


@shows("A11: by default old ciphers of TLS 1.2 and P-521 are taken, and a message comes with each; not by strong")
def old_clients(w):
    g, sink, ca = setup(w)
    for ciphers in ("AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "DHE-RSA-AES256-SHA"):
        c = TlsClient(g.smtp)
        c.hello()
        c.starttls(old_client(ca, ciphers))
        c.hello()
        must("(TLS1.2)" in deliver(c, sink), "TLS 1.2 with " + ciphers)
    done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", "%s:%d" % g.smtp, "-groups", "P-521"],
                          input=b"QUIT\r\n", capture_output=True, timeout=20, check=False)
    must(b"ECDH, secp521r1" in done.stdout, "P-521", done.stdout[-800:])
    strong, _, ca = setup(w, "ciphers: strong", name="strong")
    fails(strong, old_client(ca))


@shows("A11: two handshakes without anything in common, and STARTTLS is not offered to that client for an hour")
def withheld(w):
    g, sink, ca = setup(w, "ciphers: strong", server="private_clients: judge")
    distrusts = ssl.create_default_context()        # of another authority: an alert about the certificate
    for _ in range(3):
        fails(g, distrusts, "127.0.0.2")
    must(begin(g, "127.0.0.2")[1], "offered after certificate alerts")
    fails(g, old_client(ca), "127.0.0.2")
    c, _ = begin(g, "127.0.0.2")
    c.starttls(ca.context())                        # a handshake that works clears it
    fails(g, old_client(ca), "127.0.0.2")
    must(begin(g, "127.0.0.2")[1], "offered after one failure")
    fails(g, old_client(ca), "127.0.0.2")
    c, offered = begin(g, "127.0.0.2")
    must(not offered, "not offered after two in a row")
    must(c.cmd("STARTTLS").code == "502", "502")
    deliver(c, sink)
    must(begin(g, "127.0.0.3")[1], "offered to others")
    m = g.metrics()
    must(m['glacis_tls_failures_total{why="mismatch"}'] == 3 and m["glacis_tls_withheld_total"] == 1, "counted",
         {k: v for k, v in m.items() if "tls" in k})
    event = g.events("tls_withheld")
    must(len(event) == 1 and event[0]["client"] == "127.0.0.2" and "shared cipher" in event[0]["error"], "said", event)


@shows("A11: a client that resets the connection in place of an answer is like that; where TLS is required nobody is")
def withheld_reset(w):
    g, _, ca = setup(w, server="private_clients: judge")
    for _ in range(2):
        c, offered = begin(g, "127.0.0.4")
        must(offered and c.cmd("STARTTLS").code == "220", "220")
        c.send(client_hello())
        must(c.sock.recv(1) != b"", "ServerHello")
        c.reset()
        wait_for(lambda: g.metrics()["glacis_tls_handshakes"] == 0, 5, "its end")
    must(not begin(g, "127.0.0.4")[1], "not offered")
    required, _, ca = setup(w, "ciphers: strong\nmode: required", server="private_clients: judge", name="required")
    for _ in range(3):
        fails(required, old_client(ca), "127.0.0.4")
    must(begin(required, "127.0.0.4")[1], "offered where it is required")


@shows("A20, TLS-21: a client whose ALPN names nothing we know is served like any other")
def alpn(w):
    g, sink, ca = setup(w)
    for names in (["esmtp"], ["h2", "http/1.1"], ["smtp"]):
        context = ca.context()
        context.set_alpn_protocols(names)
        c = TlsClient(g.smtp)
        c.hello()
        c.starttls(context)
        must(c.sock.selected_alpn_protocol() == ("smtp" if names == ["smtp"] else None), "what was chosen of %s" % names)
        c.hello()
        deliver(c, sink)


@shows("B6, TLS-24: tls.client_subject is that of a certificate signed by tls.client_ca; any other, or none, changes nothing")
def client_certificates(w):
    partners = Authority(os.path.join(w.dir, "partners"))
    good, other = partners.leaf("good", host="partner.test"), Authority(os.path.join(w.dir, "others")).leaf("x", "partner.test")
    late = partners.leaf("late", host="partner.test", days=-1)
    rule = "policy: {preset: none, rules: [{name: partner, when: {tls.client_subject: /CN=partner.test}, then: reject}]}"
    g, sink, ca = setup(w, "client_ca: %s" % partners.cert, policy=rule)
    for own, partner in ((good, True), (other, False), (late, False), (None, False)):
        context = ca.context()
        if own:
            context.load_cert_chain(*own)
        c = TlsClient(g.smtp)
        c.hello()
        c.starttls(context)
        c.hello()
        if partner:
            must([r.code for r in c.envelope()] == ["250", "550"], "the rule matched")
        else:
            deliver(c, sink)
    g, _, _ = setup(w, policy=rule, name="plain")
    check = subprocess.run([g.program, "check", "-c", g.path], capture_output=True, text=True, check=False)
    must(check.returncode == 0 and "warning: rule partner: tls.client_subject: glacis requests a client certificate only with" in check.stderr,
         "a warning without tls.client_ca", check)


@shows("C10: mail without the TLS that is required is an error each time: 421 after limits.errors")
def required_again_and_again(w):
    g, _, _ = setup(w, tls="mode: required")
    c = Client(g.smtp)
    c.hello()
    codes = [c.cmd("MAIL FROM:<a@b.invalid>").code for _ in range(20)]
    must(codes == ["530"] * 20 and c.reply().code == "421", "421 after twenty", codes)


@shows("a connection cut inside a message delivers nothing (TLS-16)")
def truncation(w):
    g, sink, ca = setup(w)
    c = TlsClient(g.smtp)
    c.hello()
    c.starttls(ca.context())
    c.hello()
    c.envelope()
    must(c.cmd("DATA").code == "354", "354")
    c.send(b"Subject: cut\r\n\r\nhello\r\n")
    os.close(c.sock.detach())
    wait_for(lambda: [e for e in g.events("close") if e["reason"] == "lost"], 10, "the session's end")
    must(sink.messages == [], "no message")


@shows("A11, TLS-15: a handshake that stalls at any octet of the ClientHello ends at its deadline, disturbs no other client, and withholds "
       "STARTTLS from none")
def stalls(w):
    g, sink, ca = setup(w, tls="handshake_timeout: 2s", server="private_clients: judge",
                       more="limits: {connections_per_client: off, connection_rate: off, ban: off}\n")
    hello = client_hello()
    waiting = []
    for cut in range(len(hello)):
        c = Client(g.smtp, source="127.%d.0.1" % (1 + cut % 100))     # handshakes of one network are few at a time
        c.hello()
        r = c.cmd("STARTTLS")
        must(r.code == "220", "220", r)
        c.send(hello[:cut])
        waiting.append(c)
    good = TlsClient(g.smtp)
    good.hello()
    good.starttls(ca.context())
    good.hello()
    deliver(good, sink)
    deadline = time.monotonic() + 15
    for c in waiting:
        c.sock.settimeout(max(deadline - time.monotonic(), 0.1))
        try:
            must(c.sock.recv(100) == b"", "the end")
        except ConnectionResetError:
            pass
        c.close()
    seen = wait_for(lambda: g.metrics()['glacis_tls_failures_total{why="timeout"}'] >= len(hello), 5, "timeouts counted")
    must(seen, "all of them")
    must(g.metrics()["glacis_tls_handshakes"] == 0, "none in progress")
    with Client(g.smtp, source="127.1.0.1") as c:
        must("STARTTLS" in c.hello().text, "time-outs do not count")


def crowd_handshake(sockets, context):
    """All handshakes at once, in one thread.  The number that succeeded."""
    todo, done = {}, 0
    for s in sockets:
        s.setblocking(False)
        t = context.wrap_socket(s, server_hostname="mx.glacis.test", do_handshake_on_connect=False)
        todo[t.fileno()] = t
    poll = select.poll()
    for fd in todo:
        poll.register(fd, select.POLLOUT)
    deadline = time.monotonic() + 60
    while todo and time.monotonic() < deadline:
        for fd, _ in poll.poll(1000):
            t = todo[fd]
            try:
                t.do_handshake()
            except ssl.SSLWantReadError:
                poll.modify(fd, select.POLLIN)
                continue
            except ssl.SSLWantWriteError:
                poll.modify(fd, select.POLLOUT)
                continue
            except OSError:
                done -= 1
            done += 1
            poll.unregister(fd)
            t.setblocking(True)
            CROWD.append(todo.pop(fd))
    return done


CROWD = []


@shows("1,000 handshakes at once all succeed, and each of the sessions works")
def crowd(w):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        raise Skip("not enough descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    g, _, ca = setup(w)
    sockets = []
    for _ in range(1000):
        c = Client(g.smtp, timeout=60)
        c.hello()
        must(c.cmd("STARTTLS").code == "220", "220")
        sockets.append(c.sock)
    must(crowd_handshake(sockets, ca.context()) == 1000, "1000 handshakes", len(CROWD))
    for t in CROWD[::50]:
        t.sendall(b"EHLO a.example\r\n")
        must(t.recv(100).startswith(b"250-"), "an answer")
    for t in CROWD:
        t.close()
    CROWD.clear()
    wait_for(lambda: g.metrics()['glacis_tls_handshakes_total{version="1.3"}'] == 1000, 10, "1000 counted")   # the last steps


@shows("openssl s_client and Postfix's TLS client verify the chain and the name, with RSA and ECDSA, and resume (TLS-13)")
def real_clients(w):
    g, _, ca = setup(w)
    host, port = g.smtp
    for options in (["-tls1_2", "-sigalgs", "RSA+SHA256:RSA-PSS+SHA256"], ["-tls1_2", "-sigalgs", "ECDSA+SHA256"],
                    ["-tls1_3"], ["-tls1_3", "-alpn", "smtp"]):
        done = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", "%s:%d" % (host, port), "-CAfile",
                               ca.cert, "-verify_return_error", "-verify_hostname", "mx.glacis.test", "-servername",
                               "mx.glacis.test"] + options, input=b"QUIT\r\n", capture_output=True, timeout=20, check=False)
        must(done.returncode == 0 and b"Verification: OK" in done.stdout, "s_client %s" % options, done.stdout[-1500:])
    saved = os.path.join(w.dir, "session")
    base = ["openssl", "s_client", "-starttls", "smtp", "-tls1_2", "-connect", "%s:%d" % (host, port)]
    subprocess.run(base + ["-sess_out", saved], input=b"QUIT\r\n", capture_output=True, timeout=20, check=False)
    done = subprocess.run(base + ["-sess_in", saved], input=b"QUIT\r\n", capture_output=True, timeout=20, check=False)
    must(b"Reused, " in done.stdout, "a resumed session", done.stdout[-800:])
    if not shutil.which("posttls-finger", path="/usr/sbin:/usr/bin"):
        raise Skip("the rest was shown; there is no posttls-finger")
    settings = os.path.join(w.dir, "postfix")      # of its own: those of the machine may be missing, or another person's
    os.makedirs(settings)
    with open(os.path.join(settings, "main.cf"), "w", encoding="ascii") as f:
        f.write("compatibility_level = 3.6\nmyhostname = client.example.net\ninet_protocols = ipv4\n")
    done = subprocess.run(["posttls-finger", "-c", "-t20", "-l", "secure", "-F", ca.cert, "-m", "1",
                           "[%s]:%d" % (host, port), "mx.glacis.test"], capture_output=True, timeout=30, check=False,
                          env=dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin", MAIL_CONFIG=settings))
    text = (done.stdout + done.stderr).decode()
    must("Verified TLS connection established" in text, "Postfix: Verified TLS connection established", text[-1500:])


def load_for(seconds, g, ca, failures):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with TlsClient(g.smtp) as c:
                c.hello()
                c.starttls(ca.context())
                c.hello()
        except (Lost, OSError, RuntimeError) as e:
            failures.append(e)


@shows("handshakes from several clients for a while: none fails and nothing is left behind")
def churn(w):
    g, _, ca = setup(w)
    failures = []
    threads = [threading.Thread(target=load_for, args=(4, g, ca, failures)) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    must(not failures, "no failure", failures[:3])
    wait_for(lambda: g.metrics()["glacis_sessions"] == 0, 10, "no session left")
    must(g.metrics()["glacis_tls_handshakes"] == 0, "no handshake left")


@shows("sslscan: TLS 1.2 and 1.3 only, no compression, no Heartbleed; with tls.ciphers: strong no weak cipher (TLS-11)")
def sslscan(w):
    if not shutil.which("sslscan"):
        raise Skip("there is no sslscan")
    g, _, _ = setup(w, "ciphers: strong")
    done = subprocess.run(["sslscan", "--no-colour", "--starttls-smtp", "%s:%d" % g.smtp], capture_output=True, timeout=60,
                          check=False)
    text = done.stdout.decode()
    for line in text.splitlines():
        words = line.split()
        if words[:1] in (["SSLv2"], ["SSLv3"], ["TLSv1.0"], ["TLSv1.1"]) and len(words) == 2:
            must(words[1] == "disabled", "old versions off", line)
        must(not ("vulnerable" in line and "not vulnerable" not in line), "nothing vulnerable", line)
        must(words[:1] not in (["Accepted"], ["Preferred"]) or int(words[2]) >= 128 and "NULL" not in line and
             "RC4" not in line and "3DES" not in line and "ECDHE" in line or "DHE" in line or "TLS_" in line,
             "strong ciphers with forward secrecy", line)
    must("TLSv1.3   enabled" in text and "Compression enabled" not in text, "1.3 on, compression off", text[:1500])


@shows("testssl.sh: no finding above LOW with tls.ciphers: strong")
def testssl(w):
    if os.environ.get("GLACIS_BUILD") == "asan":
        raise Skip("what testssl.sh judges is the configuration, and the release build shows it")
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    if not program:
        raise Skip("there is no testssl.sh")
    g, _, _ = setup(w, "ciphers: strong")
    out = os.path.join(w.dir, "testssl.json")
    try:
        subprocess.run([program, "--quiet", "--warnings", "off", "--color", "0", "--nodns", "min", "--ip", "one", "--fast",
                        "-t", "smtp", "-p", "-s", "-f", "-P", "-U", "--jsonfile", out, "%s:%d" % g.smtp],
                       capture_output=True, timeout=170, check=False, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise Skip("testssl.sh did not end in time on this machine") from None
    with open(out, encoding="utf-8") as f:
        findings = json.load(f)
    must(len(findings) > 20, "a report", findings)
    bad = [x for x in findings if x["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    must(not bad, "no finding above LOW", bad)


if __name__ == "__main__":
    run()
