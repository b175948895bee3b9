#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""87-material.py - what the file names and is not the file: a start goes on without it, and takes it when it is there.

Each check is a row of the table in glacis(8), MATERIAL.  `check` and a reload refuse what a start goes on without.
"""
import http.client
import os
import ssl
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client, wait_for
from faults import Clock
from tlsclient import Authority, TlsClient

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
CHECK_MS = 30000        # how often what is missing is tried again


def write(path, text):
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.rename(path + ".new", path)
    return path


def deliver(c, sink, rcpt="bob@example.test"):
    had = len(sink.messages)
    codes = [r.code for r in c.envelope((rcpt,))] + [c.data(MESSAGE).code]
    must(codes == ["250", "250", "250"] and len(sink.messages) == had + 1, "a message accepted", codes)


def missing(g):
    """glacis_material_missing; None while a new recorder takes the place of the old one."""
    try:
        return g.metrics()["glacis_material_missing"]
    except (OSError, http.client.HTTPException):
        return None


def shouted(g, what):
    """Said in the log with its reason, counted, and refused by check and by reload."""
    must(g.events("material_missing"), "the event", [e["event"] for e in g.events()])
    must([e for e in g.events("config") if what in e.get("msg", "") and e["level"] == "error"], "`%s` in the log" % what,
         g.events("config"))
    wait_for(lambda: missing(g), 5, "the metric")
    for command in ("check", "reload"):
        done = subprocess.run([g.program, command, "-c", g.path], capture_output=True, text=True, timeout=30, check=False)
        must(done.returncode == 78 and what in done.stdout + done.stderr, "%s: 78 and `%s`" % (command, what), done)


def mended(g, clock):
    clock.move(monotonic_ms=CHECK_MS)
    # tls.client_ca is watched with the pairs
    wait_for(lambda: g.events("material_mended") or g.events("certificates_renewed"), 40, "it is said")
    wait_for(lambda: g.events("reloaded"), 40, "a new generation")
    wait_for(lambda: missing(g) == 0, 40, "nothing is missing any more")


@shows("A9: certificates that cannot be read at a start: no STARTTLS and mail in clear; with them it is offered")
def certificates(w):
    ca, clock, sink = Authority(os.path.join(w.dir, "ca")), Clock(w.dir), w.sink()
    cert, key = ca.leaf("live")
    os.rename(key, key + ".away")
    g = w.glacis(w.config(sink, more="tls: {certificate: %s, private_key: %s}" % (cert, key)), env=clock.env)
    with TlsClient(g.smtp) as c:
        must("STARTTLS" not in c.hello().text, "no STARTTLS")
        deliver(c, sink)
    shouted(g, "the private key %s cannot be read: No such file" % key)
    os.rename(key + ".away", key)
    mended(g, clock)
    with TlsClient(g.smtp) as c:
        c.hello()
        c.starttls(ca.context())
        c.hello()
        deliver(c, sink)


@shows("A9, TLS-22: one pair of several that cannot be read: the others serve; where TLS is required and there is none, 454 and never 530")
def pairs(w):
    ca, sink = Authority(os.path.join(w.dir, "ca")), w.sink()
    cert, key = ca.leaf("live")
    garbage = write(os.path.join(w.dir, "garbage.pem"), "no certificate\n")
    tls = "tls: {certificate: %s, private_key: %s, more: [{certificate: %s, private_key: %s}]}"
    for name, order in (("first", (garbage, key, cert, key)), ("second", (cert, key, garbage, key))):
        g = w.glacis(w.config(sink, more=tls % order), name=name)
        with TlsClient(g.smtp) as c:
            c.hello()
            c.starttls(ca.context())
            c.hello()
            deliver(c, sink)
        shouted(g, "garbage.pem holds no PEM certificate")
    g = w.glacis(w.config(sink, more="tls: {certificate: %s, private_key: %s, mode: required}" % (garbage, key)), name="required")
    with Client(g.smtp) as c:
        must("STARTTLS" not in c.hello().text, "no STARTTLS")
        reply = c.cmd("MAIL FROM:<a@b.invalid>")
        must(reply.code == "454", "454: the mail waits, and does not come back", reply)


@shows("A9: an expired certificate serves, at a start and after a reload, with an error line and a metric; groups go on changing")
def expired(w):
    ca, sink = Authority(os.path.join(w.dir, "ca")), w.sink()
    cert, key = ca.leaf("old", days=-1)
    group = write(os.path.join(w.dir, "blocked"), "127.0.0.5\n")
    policy = "policy: {preset: none, rules: [{name: b, when: {client.ip: \"group:blocked\"}, then: reject}]}"
    g = w.glacis(w.config(sink, policy=policy, more='tls: {certificate: %s, private_key: %s}\ngroups: {blocked: "file:%s"}' % (
        cert, key, group)))
    lax = ssl._create_unverified_context()  # pylint: disable=protected-access
    for _ in range(2):
        with TlsClient(g.smtp) as c:
            c.hello()
            c.starttls(lax)
            c.hello()
            deliver(c, sink)
        done = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=30, check=False)
        must(done.returncode == 0, "a reload is taken", done)
    line = wait_for(lambda: g.events("certificate_expired"), 5, "the error line")
    must(line[0]["level"] == "error" and line[0]["certificate"] == cert, "which one", line)
    must(g.metrics()["glacis_certificates_expired"] == 1, "the metric")
    write(group, "127.0.0.6\n")
    wait_for(lambda: g.events("groups_changed"), 10, "the group is read again")
    wait_for(lambda: [r.code for r in greeted(g, "127.0.0.6").envelope()][1] == "550", 10, "and holds")


def greeted(g, source="127.0.0.1"):
    c = Client(g.smtp, source=source)
    c.hello()
    return c


@shows("A9: a group file that is not there at a start: who is in it is unknown, so nobody is refused for good for it")
def groups(w):
    sink = w.sink()
    path = os.path.join(w.dir, "friends")
    policy = """policy:
  preset: none
  rules:
    - {name: friends, when: {client.ip: "group:friends"}, then: accept}
    - {name: foes, when: {client.ip: "group:foes"}, then: reject}
    - {name: others, when: {sender.address: "spam@elsewhere.invalid"}, then: reject}
  tests:
    - {given: {client.ip: 127.0.0.5}, expect: {verdict: accept, rule: friends}}
"""
    write(os.path.join(w.dir, "foes"), "127.0.0.7\nnot an entry\n")
    g = w.glacis(w.config(sink, policy=policy, more='groups: {friends: "file:%s", foes: "file:%s/foes"}' % (path, w.dir)))
    deliver(greeted(g, "127.0.0.6"), sink)

    def to(source, sender):
        return greeted(g, source).envelope(sender=sender)[1].code
    must(to("127.0.0.5", "spam@elsewhere.invalid") == "451", "451: it may be a friend")
    must(to("127.0.0.7", "a@elsewhere.invalid") == "451", "451 to what is known of the other group, below an unknown friend")
    shouted(g, "friends cannot be read: No such file")
    must([e for e in g.events("config") if "foes:2" in e.get("msg", "")], "and the line of the other")
    write(os.path.join(w.dir, "foes"), "127.0.0.7\n")
    write(path, "127.0.0.5\n")
    wait_for(lambda: to("127.0.0.5", "spam@elsewhere.invalid") == "250", 10, "a friend")
    wait_for(lambda: to("127.0.0.6", "spam@elsewhere.invalid") == "550", 10, "550 to others, once no old worker accepts any more")
    wait_for(lambda: to("127.0.0.7", "a@elsewhere.invalid") == "550", 10, "550 to a foe")
    wait_for(lambda: missing(g) == 0, 40, "nothing is missing any more")


@shows("A9: what a changed group leaves as it was outlives the generation that read it: certificates, and the key of hashes")
def kept_over_generations(w):
    ca, clock, sink = Authority(os.path.join(w.dir, "ca")), Clock(w.dir), w.sink()
    group = write(os.path.join(w.dir, "blocked"), "127.0.0.5\n")
    policy = "policy: {preset: none, rules: [{name: b, when: {client.ip: \"group:blocked\"}, then: reject}]}"
    g = w.glacis(w.config(sink, policy=policy, more='log: {addresses: hash}\ntls: {certificate: %s, private_key: %s}\n'
                          'groups: {blocked: "file:%s"}' % (*ca.leaf("mx", days=5), group)), env=clock.env)

    def hashed():
        had = len(g.events("txn"))
        deliver(greeted(g), sink)
        return wait_for(lambda: g.events("txn")[had:], 10, "its line")[0]["from"]
    before = hashed()
    for last in (6, 7):
        write(group, "127.0.0.%d\n" % last)
        clock.move(monotonic_ms=CHECK_MS)
        wait_for(lambda n=last - 5: len(g.events("generation_drained")) == n, 40, "the generation before has ended")
    must(hashed() == before, "the same address has the same hash", before)
    clock.move(monotonic_ms=CHECK_MS)       # the certificates are compared with their files

    def status():
        done = subprocess.run([g.program, "status", "-c", g.path], capture_output=True, text=True, timeout=30, check=False)
        return done.returncode == 1 and ca.dir in done.stdout
    wait_for(status, 20, "status names the certificate")
    must(not g.events("certificates_refused") and g.stop() == 0, "nothing is refused")


@shows("A9: a list of recipients that is not there at a start: the upstream is asked; then the list answers")
def recipients(w):
    clock, sink = Clock(w.dir), w.sink()
    sink.rules = [{"at": "RCPT", "match": "<stranger", "reply": "550 5.1.1 nobody at home"}]
    path = os.path.join(w.dir, "listed")
    text = w.config(sink).replace("  example.test: inner\n", '  example.test: {upstream: inner, validate: "file:%s"}\n' % path)
    g = w.glacis(text, env=clock.env)
    deliver(greeted(g), sink)
    must("nobody at home" in greeted(g).envelope(("stranger@example.test",))[1].text, "the upstream's own answer")
    shouted(g, "listed: cannot be read: No such file")
    write(path, "bob@example.test\n")
    mended(g, clock)
    deliver(greeted(g), sink)
    must("No such user" in greeted(g).envelope(("other@example.test",))[1].text, "the list's answer")


@shows("A9: trust anchors of an upstream that are not there at a start: its mail waits (451 4.7.5), that of others flows")
def anchors(w):
    ca, clock = Authority(os.path.join(w.dir, "ca")), Clock(w.dir)
    cert, key = ca.leaf("server", host="inner.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    sink, secure = w.sink(), w.sink(tls=context)
    path = os.path.join(w.dir, "anchors.pem")
    text = w.config(sink).replace("domains:\n", """  secure: {servers: ["127.0.0.1:%d"], tls: verify, tls_ca: %s, tls_name: inner.test}
domains:
  secure.test: secure
""" % (secure.port, path))
    g = w.glacis(text, env=clock.env)
    deliver(greeted(g), sink)
    reply = greeted(g).envelope(("bob@secure.test",))[1]
    must(reply.code == "451" and reply.enhanced == "4.7.5", "451 4.7.5", reply)
    shouted(g, "the certificates of tls_ca (%s) cannot be loaded" % path)
    os.rename(ca.cert, path)
    mended(g, clock)
    wait_for(lambda: greeted(g).envelope(("bob@secure.test",))[1].code == "250", 20, "its mail flows")


@shows("A9: tls.client_ca that is not there at a start: TLS works, no client has a subject")
def client_ca(w):
    ca, clock, sink = Authority(os.path.join(w.dir, "ca")), Clock(w.dir), w.sink()
    cert, key = ca.leaf("live")
    path = os.path.join(w.dir, "clients.pem")
    policy = "policy: {preset: none, rules: [{name: p, when: {tls.client_subject: /CN=mx.glacis.test}, then: reject}]}"
    g = w.glacis(w.config(sink, policy=policy, more="tls: {certificate: %s, private_key: %s, client_ca: %s}" % (cert, key, path)),
                 env=clock.env)

    def code():
        context = ca.context()
        context.load_cert_chain(cert, key)
        with TlsClient(g.smtp) as c:
            c.hello()
            c.starttls(context)
            c.hello()
            return c.envelope()[1].code
    must(code() == "250", "no subject")
    shouted(g, "tls.client_ca: %s cannot be read" % path)
    with open(ca.cert, encoding="ascii") as f:
        write(path, f.read())
    mended(g, clock)
    must(code() == "550", "the subject")


@shows("A9: folders and a log file that cannot be made at a start: mail flows, large messages wait; a reload says why")
def folders(w):
    sink = w.sink()
    wall = write(os.path.join(w.dir, "wall"), "a file and no folder\n")
    text = w.config(sink, more="log: {to: \"file:%s/log\"}\nlimits: {spool_memory: 64KiB}" % wall).replace(
        "state_dir: {dir}/state", "state_dir: %s/state" % wall)
    g = w.glacis(text)
    deliver(greeted(g), sink)
    c = greeted(g)
    must([r.code for r in c.envelope()] == ["250", "250"], "a larger one begins")
    must(c.data(b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 3000).code == "452", "and waits")
    said = [e for e in g.events("state_dir") if e["level"] == "error"]
    must(said and all(w in said[0]["msg"] for w in ("wall/state", "wall/state/spool", "wall/log")), "all three are named", said)
    must(greeted(g).cmd("QUIT").code == "221", "it lives")
    g.signal(1)     # SIGHUP: there is no control socket
    wait_for(lambda: g.events("reload_refused"), 10, "the refusal")
    deliver(greeted(g), sink)


@shows("A9: a change of one kind is taken while a file of another kind is broken, which stays as it was read")
def independent(w):
    ca, clock, sink = Authority(os.path.join(w.dir, "ca")), Clock(w.dir), w.sink()
    cert, key = ca.leaf("live")
    other = ca.leaf("other", ec=True)
    blocked = write(os.path.join(w.dir, "blocked"), "127.0.0.5\n")
    listed = write(os.path.join(w.dir, "listed"), "bob@example.test\n")
    policy = "policy: {preset: none, rules: [{name: b, when: {client.ip: \"group:blocked\"}, then: reject}]}"
    text = w.config(sink, policy=policy, more='tls: {certificate: %s, private_key: %s}\ngroups: {blocked: "file:%s"}' % (
        cert, key, blocked)).replace("  example.test: inner\n", '  example.test: {upstream: inner, validate: "file:%s"}\n' % listed)
    g = w.glacis(text, env=clock.env)

    def serial():
        with TlsClient(g.smtp) as c:
            c.hello()
            c.starttls(ca.context())
            return c.sock.getpeercert()["serialNumber"]

    def rcpt(source, address="bob@example.test"):
        return greeted(g, source).envelope((address,))[1].code
    first = serial()
    write(blocked, "127.0.0.5\nno entry at all\n")
    os.unlink(listed)
    wait_for(lambda: g.events("groups_refused"), 10, "the group's refusal")
    os.rename(other[1], key)
    os.rename(other[0], cert)
    clock.move(monotonic_ms=CHECK_MS)
    wait_for(lambda: g.events("certificates_renewed"), 45, "the renewal")
    wait_for(lambda: serial() != first, 10, "the new certificate")
    must(rcpt("127.0.0.5") == "550" and rcpt("127.0.0.1") == "250" and rcpt("127.0.0.1", "eve@example.test") == "550",
         "group and list as they were read")
    os.unlink(key)
    write(blocked, "127.0.0.6\n")
    wait_for(lambda: rcpt("127.0.0.6") == "550", 10, "the group is taken while the key is away")
    wait_for(lambda: rcpt("127.0.0.5") == "250", 10, "and by all workers")
    must(serial() != first, "the certificate serves on")
    must(not g.events("material_missing"), "nothing was missing at the start")


if __name__ == "__main__":
    run(beside=3)
