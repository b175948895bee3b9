#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""84-upstream-tls.py - TLS and identity towards the servers behind: a sink that misbehaves, and a real Postfix.

Clients come through a PROXY header, so that the server behind can be told of IPv6 and public addresses.
"""
import os
import pwd
import re
import shutil
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, wait_for
from sink import KEYWORDS, Sink
from tlsclient import Authority

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
SBIN = ["/usr/sbin", "/sbin"]


def server_context(authority, name, host="mail.corp.test", days=90):
    cert, key = authority.leaf(name, host=host, days=days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context


def config(w, sink, upstream, trusted=False):
    text = w.config(sink).replace("    tls: off\n", "".join("    %s\n" % l for l in upstream))
    if trusted:
        text = text.replace('  listen: ["127.0.0.1:0"]\n',
                            '  listen: [{address: "127.0.0.1:0", proxy_protocol: true, trusted: ["127.0.0.0/8"]}]\n')
    return text


def announced(g, client):
    """A client of glacis that a balancer announces."""
    c = Client(g.smtp, greet=False)
    six = ":" in client
    c.send(b"PROXY TCP%d %s %s 4711 25\r\n" % (6 if six else 4, client.encode(), b"2001:db8::25" if six else b"198.51.100.25"))
    c.greeting = c.reply()
    return c


def deliver(c, content=MESSAGE, helo="client.example.net", sender="alice@elsewhere.invalid"):
    """The final reply, or the first refusal."""
    c.hello(helo)
    for reply in c.envelope(sender=sender):
        if reply.code[0] != "2":
            return reply
    return c.data(content)


def once(g):
    with Client(g.smtp) as c:
        return deliver(c)


# ---- TLS, with the sink ----

@shows("required: mail goes encrypted, over one handshake for many messages, octet for octet")
def encrypted(w):
    sink = w.sink(tls=server_context(Authority(w.dir + "/ca"), "good"))
    g = w.glacis(config(w, sink, ["tls: required"]).replace("workers: 2", "workers: 1"))
    body = b"Subject: long\r\n\r\n" + b"".join(b"line %d of many, ..dots\r\n.dot\r\n" % i for i in range(60000))
    for content in (MESSAGE, body, MESSAGE):
        with Client(g.smtp) as c:
            must(deliver(c, content).code == "250", "250")
    must(len(sink.messages) == 3 and sink.messages[1].data.endswith(body), "the content as it was sent")
    must(all(m.conn.tls and m.conn.tls[0] == "TLSv1.3" for m in sink.messages), "TLS 1.3",
         [m.conn.tls for m in sink.messages])
    must(len({m.conn.number for m in sink.messages}) == 1, "one connection")
    must(re.search('"event":"txn".*"upstream_tls":"TLS1.3 TLS_', g.log_text()), "the record says so")
    must(b"STARTTLS" in sink.octets() and b"MAIL" not in sink.octets().split(b"STARTTLS")[0], "no MAIL before STARTTLS")


@shows("opportunistic: not offered, refused with 454, or garbage instead of a handshake: mail in clear")
def opportunistic(w):
    for number, rules in enumerate((None, [{"at": "STARTTLS", "reply": "454 4.7.0 not now"}],
                                    [{"at": "STARTTLS", "raw": "220 go\r\n"}, {"at": "OTHER", "raw": "what\r\n"}])):
        sink = Sink(tls=None if rules is None else server_context(Authority("%s/ca%d" % (w.dir, number)), "c")).start()
        sink.rules = rules or []
        g = w.glacis(config(w, sink, ["tls: opportunistic", "timeouts: {command: 3s}"]), name="g%d" % number)
        reply = once(g)
        must(reply.code == "250", "250 in case %d" % number, reply)
        must(all(m.conn.tls is None for m in sink.messages), "in clear")
        if rules:
            must("upstream_tls" in g.log_text(), "a log line", g.log_text()[-800:])
        g.stop()
        sink.stop()


@shows("required: stripped, refused, injected or mute: no MAIL in clear, and the right answer in time")
def required(w):
    cases = [
        ([], "451 4.7.0", None),
        ([{"at": "STARTTLS", "reply": "454 4.7.0 not now"}], "451 4.7.0", "tls"),
        ([{"at": "STARTTLS", "reply": "502 5.5.1 what"}], "451 4.3.5", "tls"),
        ([{"at": "STARTTLS", "raw": "220 go\r\n250-evil\r\n250 SIZE 1\r\n"}], "451 4.4.1", "tls"),
        ([{"at": "STARTTLS", "raw": "220 go\r\n", "then": "mute"}], "451 4.7.0", "tls"),
        ([{"at": "STARTTLS", "then": "close"}], "451 4.7.0", "tls"),
    ]
    context = server_context(Authority(w.dir + "/ca"), "c")
    for number, (rules, want, tls) in enumerate(cases):
        sink = Sink(tls=context if tls else None).start()
        sink.rules = rules
        g = w.glacis(config(w, sink, ["tls: required", "timeouts: {command: 2s}", "health: off"]), name="r%d" % number)
        begun = time.monotonic()
        reply = once(g)
        must(str(reply).startswith(want), want + " in case %d" % number, reply)
        must(time.monotonic() - begun < 12, "an answer in time")
        must(b"MAIL" not in sink.octets() and b"alice" not in sink.octets(), "no MAIL in clear", sink.octets()[-300:])
        g.stop()
        sink.stop()


@shows("verify: chain and name are checked; another name or another authority: 451 4.7.5")
def verify(w):
    ca, other = Authority(w.dir + "/ca"), Authority(w.dir + "/other")
    cases = [
        (server_context(ca, "good"), "250"),
        (server_context(ca, "name", host="www.corp.test"), "451 4.7.5"),
        (server_context(other, "strange"), "451 4.7.5"),
    ]
    for number, (context, want) in enumerate(cases):
        sink = Sink(tls=context).start()
        g = w.glacis(config(w, sink, ["tls: verify", "tls_ca: " + ca.cert, "tls_name: mail.corp.test"]),
                     name="v%d" % number)
        reply = once(g)
        must(str(reply).startswith(want), want, reply)
        must((b"MAIL" in sink.octets()) == (want == "250"), "MAIL only where it is good")
        g.stop()
        sink.stop()


@shows("a tls_ca that cannot be read is an error of the configuration")
def missing_ca(w):
    path = w.dir + "/bad.yaml"
    with open(path, "w", encoding="ascii") as f:
        f.write(config(w, w.sink(), ["tls: verify", "tls_ca: /nonexistent/ca.pem"]).replace("{dir}", w.dir))
    done = subprocess.run([os.environ["GLACIS"], "check", "-c", path], capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    must(done.returncode != 0 and "tls_ca" in said, "an error that names tls_ca", said)


# ---- identity, with the sink ----

@shows("XCLIENT and XFORWARD at the sink: each client of a reused connection, IPv6 form, never another's")
def identities(w):
    clients = ["192.0.2.1", "2001:db8::7", "192.0.2.3", "10.9.9.9"]
    for how, word in (("xclient", b"XCLIENT "), ("xforward", b"XFORWARD ")):
        sink = Sink(keywords=KEYWORDS + ["XCLIENT NAME ADDR PORT PROTO HELO", "XFORWARD NAME ADDR PORT PROTO HELO SOURCE"],
                    tls=server_context(Authority("%s/%s" % (w.dir, how)), "c")).start()
        g = w.glacis(config(w, sink, ["tls: required", "identity: " + how], trusted=True).replace(
            "workers: 2", "workers: 1"), name=how)
        for client in clients * 2:
            with announced(g, client) as c:
                must(deliver(c, sender="a%s@x.test" % client.replace(":", "-")).code == "250", "250")
        last = None
        for line in sink.commands():
            if line.startswith(word):
                last = line
            if line.startswith(b"MAIL"):
                client = re.search(rb"<a(.*)@", line).group(1).replace(b"-", b":").decode()
                want = (b" ADDR=IPV6:" if ":" in client else b" ADDR=") + client.encode()
                must(last and last.endswith(want), want, last)
                must(len(last) <= 510, "at most 512 octets")
        must(not sink.violations, "no breach of protocol", sink.violations[:3])
        must(len({m.conn.number for m in sink.messages}) < len(clients), "connections were used again")
        g.stop()
        sink.stop()


# ---- a real Postfix ----

def postfix(w, more, listener=""):
    """A private instance that takes mail for example.test into a maildir; (port, log file, maildir)."""
    for tool in ("postfix", "postconf"):
        if not shutil.which(tool, path=os.pathsep.join(SBIN + ["/usr/bin"])):
            raise Skip("%s is not installed" % tool)
    if os.geteuid() != 0:
        raise Skip("needs root")
    try:
        user = pwd.getpwnam("postfix")
    except KeyError:
        raise Skip("there is no user postfix") from None
    sink = Sink().start()  # a free port
    port = sink.port
    sink.stop()
    base = w.dir + "/postfix"
    for name in ("etc", "queue", "data", "mail"):
        os.makedirs(os.path.join(base, name))
    for name in ("data", "mail"):
        os.chown(os.path.join(base, name), user.pw_uid, -1)
    with open(base + "/etc/main.cf", "w", encoding="ascii") as f:
        f.write("""compatibility_level = 3.6
config_directory = {0}/etc
queue_directory = {0}/queue
data_directory = {0}/data
multi_instance_enable = yes
multi_instance_name = postfix-behind
maillog_file = {0}/log
maillog_file_prefixes = {0}
inet_protocols = all
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
mydestination =
myhostname = inner.example.test
virtual_mailbox_domains = example.test
virtual_mailbox_base = {0}/mail
virtual_mailbox_maps = inline:{{ {{bob@example.test=bob/}} }}
virtual_minimum_uid = 1
virtual_uid_maps = static:{1}
virtual_gid_maps = static:{2}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_client_connection_count_limit = 0
smtputf8_enable = no
biff = no
""".format(base, user.pw_uid, user.pw_gid) + more)
    if os.path.exists("/etc/postfix/dynamicmaps.cf"):
        shutil.copy("/etc/postfix/dynamicmaps.cf", base + "/etc/")
    services = ["pickup unix n - n 60 1 pickup", "cleanup unix n - n - 0 cleanup", "qmgr unix n - n 300 1 qmgr",
                "rewrite unix - - n - - trivial-rewrite", "bounce unix - - n - 0 bounce", "defer unix - - n - 0 bounce",
                "trace unix - - n - 0 bounce", "verify unix - - n - 1 verify", "flush unix n - n 1000? 0 flush",
                "proxymap unix - - n - - proxymap", "error unix - - n - - error", "virtual unix - n n - - virtual",
                "anvil unix - - n - 1 anvil", "tlsmgr unix - - n 1000? 1 tlsmgr",
                "postlog unix-dgram n - n - 1 postlogd", "dnsblog unix - - n - 0 dnsblog"]
    with open(base + "/etc/master.cf", "w", encoding="ascii") as f:
        f.write("127.0.0.1:%d inet n - n - - smtpd%s\n" % (port, listener) + "\n".join(services) + "\n")
    done = subprocess.run(["postfix", "-c", base + "/etc", "start"], capture_output=True, check=False,
                          env=dict(os.environ, PATH=os.environ["PATH"] + ":" + ":".join(SBIN)))
    w.programs.insert(0, Stopper(base))
    must(done.returncode == 0, "Postfix starts", done.stderr.decode()[-500:])
    return port, base + "/log", base + "/mail/bob/new"


class Stopper:
    """Ends the Postfix of a check, as World.close() ends glacis."""

    def __init__(self, base):
        self.base = base

    def stop(self):
        subprocess.run(["postfix", "-c", self.base + "/etc", "stop"], capture_output=True, check=False,
                       env=dict(os.environ, PATH=os.environ["PATH"] + ":" + ":".join(SBIN)))

    def log_text(self):
        try:
            with open(self.base + "/log", encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""


class Port:
    def __init__(self, port):
        self.port = port


def mails(directory):
    out = []
    for name in sorted(os.listdir(directory) if os.path.isdir(directory) else []):
        with open(os.path.join(directory, name), "rb") as f:
            out.append(f.read())
    return out


def through_postfix(w, upstream, more, listener=""):
    """Mail of three clients through glacis to Postfix: (its log, the messages, glacis)."""
    ca = Authority(w.dir + "/ca")
    cert, key = ca.leaf("postfix", host="mail.corp.test")
    port, log, box = postfix(w, more + """
smtpd_tls_security_level = may
smtpd_tls_chain_files = %s, %s
smtpd_tls_loglevel = 1
smtpd_tls_received_header = yes
""" % (key, cert), listener)
    wait_for(lambda: "daemon started" in open(log, encoding="utf-8").read() if os.path.exists(log) else False, 15)
    g = w.glacis(config(w, Port(port), ["tls: verify", "tls_ca: " + ca.cert, "tls_name: mail.corp.test"] + upstream,
                        trusted=True).replace("workers: 2", "workers: 1"))
    for client in ("192.0.2.1", "2001:db8::7", "192.0.2.3"):
        with announced(g, client) as c:
            reply = deliver(c, helo="helo-%s.test" % client.replace(":", "-").replace("--", "-").replace(".", "-"))
            must(reply.code == "250", "250", reply)
    wait_for(lambda: len(mails(box)) == 3, 20)
    with open(log, encoding="utf-8", errors="replace") as f:
        return f.read(), mails(box), g


@shows("Postfix behind: STARTTLS verified, XCLIENT: its log and its Received name the client, IPv6 too")
def postfix_xclient(w):
    log, messages, g = through_postfix(w, ["identity: xclient"], "smtpd_authorized_xclient_hosts = 127.0.0.0/8\n")
    must("Anonymous TLS connection established" in log or "TLS connection established" in log, "TLS", log[-600:])
    for client, form in (("192.0.2.1", "[192.0.2.1]"), ("2001:db8::7", "[IPv6:2001:db8::7]"), ("192.0.2.3", "[192.0.2.3]")):
        must("client=unknown[%s]" % client in log, "client=unknown[%s] in the log" % client, log[-1500:])
        helo = "helo-%s.test" % client.replace(":", "-").replace("--", "-").replace(".", "-")
        must(any(("from %s (unknown %s)" % (helo, form)).encode() in m for m in messages),
             "Received: from %s %s" % (helo, form), messages[0][:700])
    must(all(b"using TLSv1.3" in m for m in messages), "Received says TLS 1.3", messages[0][:700])
    must("upstream_identity" not in g.log_text(), "no complaint")


@shows("Postfix behind: XFORWARD: its log has the client, its Received does not take it for its own")
def postfix_xforward(w):
    log, messages, _ = through_postfix(w, ["identity: xforward"], "smtpd_authorized_xforward_hosts = 127.0.0.0/8\n")
    for client in ("192.0.2.1", "2001:db8::7", "192.0.2.3"):
        must("orig_client=unknown[%s]" % client in log, "orig_client=unknown[%s]" % client, log[-1500:])
    must(all(b"[127.0.0.1]" in m for m in messages), "Received has our own address")


@shows("Postfix behind that authorizes nobody: mail goes on without, and an error says so once")
def postfix_unauthorized(w):
    log, _, g = through_postfix(w, ["identity: xclient"], "smtpd_authorized_xclient_hosts =\n")
    must("client=localhost[127.0.0.1]" in log or "client=unknown[127.0.0.1]" in log, "our own address", log[-1500:])
    must(g.log_text().count("upstream_identity") == 1, "one log line", g.log_text().count("upstream_identity"))


@shows("Postfix behind that wants the PROXY protocol: version 2")
def postfix_proxy(w):
    log, _, _ = through_postfix(w, ["identity: proxy_v2"], "",
                                " -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_upstream_proxy_timeout=5s")
    for client in ("192.0.2.1", "2001:db8::7", "192.0.2.3"):
        must("client=unknown[%s]" % client in log, "client=unknown[%s] in the log" % client, log[-1500:])


@shows("Postfix behind that wants the PROXY protocol: version 1")
def postfix_proxy_v1(w):
    log, _, _ = through_postfix(w, ["identity: proxy_v1"], "",
                                " -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_upstream_proxy_timeout=5s")
    for client in ("192.0.2.1", "2001:db8::7", "192.0.2.3"):
        must("client=unknown[%s]" % client in log, "client=unknown[%s] in the log" % client, log[-1500:])


run(beside=2)
