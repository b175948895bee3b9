#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""31-upstreams.py - servers by name with several addresses, and keywords of servers over a restart."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, wait_for
from dnsserver import DnsServer
from sink import Sink

MESSAGE = b"From: alice@elsewhere.invalid\r\nSubject: x\r\n\r\nbody\r\n"


def named(w, sink, dns, more=""):
    """A configuration whose only server is mail.corp.test, on the port of the sink."""
    text = w.config(sink)
    for old, new in (('servers: ["127.0.0.1:%d"]' % sink.port, 'servers: ["mail.corp.test:%d"]%s' % (sink.port, more)),
                     ("dns: {self_test: off}", 'dns: {self_test: off, servers: ["%s"]}' % dns.address)):
        must(old in text, old, text)
        text = text.replace(old, new, 1)
    return text


def corp(w, *addresses):
    dns = DnsServer().start()
    w.dns.append(dns)
    for address in addresses:
        dns.add("mail.corp.test", "AAAA" if ":" in address else "A", address)
    return dns


def at(w, host, port):
    try:
        sink = Sink(listen=(host, port)).start()
    except OSError as e:
        raise Skip("%s: %s" % (host, e)) from e
    w.sinks.append(sink)
    return sink


def deliver(g):
    with Client(g.smtp) as c:
        c.hello()
        must([r.code for r in c.envelope()] == ["250", "250"], "the envelope is taken")
        must(c.data(MESSAGE).code == "250", "the message is taken")


def command(g, *words):
    r = subprocess.run([g.program, *words, "-c", g.path], capture_output=True, text=True, timeout=60, check=False)
    return r.returncode, r.stdout + r.stderr


@shows("A2: a dead address beside a living one: mail flows; status, metrics and check --online show each")
def dead_beside_living(w):
    sink = at(w, "127.0.0.2", 0)
    dns = corp(w, "127.0.0.1", "127.0.0.2")
    g = w.glacis(named(w, sink, dns, "\n    health: {interval: 1s, fall: 2, rise: 1}"))
    deliver(g)
    must(len(sink.messages) == 1, "at the living one", sink.messages)
    up = 'glacis_upstream_server_up{upstream="inner",server="mail.corp.test:%d",address="127.0.0.%%d"}' % sink.port
    wait_for(lambda: g.metrics().get(up % 1) == 0, 10, "the dead one is marked down")
    must(g.metrics()[up % 2] == 1 and g.http("/readyz")[0] == 200, "the other one is up", g.metrics()[up % 2])
    code, text = command(g, "status")
    must("mail.corp.test:%d (127.0.0.1) DOWN" % sink.port in text and "(127.0.0.2) up, " in text, "both in status", text)
    servers = json.loads(command(g, "status", "--json")[1])["servers"]
    must([(s["address"], s["up"]) for s in servers] == [("127.0.0.1", False), ("127.0.0.2", True)], "and in JSON", servers)
    code, text = command(g, "check", "--online")
    must(code == 69 and "(127.0.0.1): broken: cannot be reached" in text and "(127.0.0.2): warn: " in text, "both asked", text)
    down = [e for e in g.events("upstream_down") if e.get("address") == "127.0.0.1"]
    must(down and all(e["server"] == "mail.corp.test:%d" % sink.port for e in down), "logged with its address", g.log_text())
    txn = g.events("txn")[0]
    must(txn["server_address"] == "127.0.0.2", "the address in the txn line", txn)


@shows("A2: a living AAAA beside a dead A is asked")
def living_ipv6(w):
    sink = at(w, "::1", 0)
    g = w.glacis(named(w, sink, corp(w, "127.0.0.1", "::1")))
    deliver(g)
    must(len(sink.messages) == 1, "by IPv6", sink.messages)


@shows("A2: a reload finds a new address beside the old one, and mail goes on")
def over_a_reload(w):
    sink = w.sink()
    dns = corp(w, "127.0.0.1")
    g = w.glacis(named(w, sink, dns))
    deliver(g)
    dns.add("mail.corp.test", "A", "127.0.0.9")
    must(command(g, "reload")[0] == 0, "reloaded")
    wait_for(lambda: len([k for k in g.metrics() if k.startswith("glacis_upstream_server_up{")]) == 2, 10, "two addresses")
    deliver(g)
    must(len(sink.messages) == 2, "mail goes on", sink.messages)


@shows("A2: without an address there is no server: 451, /readyz 503, status says why, and it recovers by itself")
def no_address(w):
    sink = w.sink()
    dns = corp(w)
    g = w.glacis(named(w, sink, dns).replace("self_test: off, ", "self_test: off, cache: {negative_ttl: 1s}, ", 1))
    with Client(g.smtp) as c:
        c.hello()
        replies = c.envelope()
        must(replies[1].code == "451" and replies[1].enhanced == "4.4.1", "451 4.4.1", replies[1])
    wait_for(lambda: g.http("/readyz")[0] == 503, 5, "/readyz 503")
    must("DOWN: its name has no address" in command(g, "status")[1], "in status")
    dns.add("mail.corp.test", "A", "127.0.0.1")
    wait_for(lambda: g.http("/readyz")[0] == 200, 15, "/readyz 200")
    deliver(g)


def offers(g):
    with Client(g.smtp) as c:
        return c.hello().text


@shows("A22: the first EHLO after a restart offers the keywords of before, though the server is down; a silent server has no vote")
def keywords_kept(w):
    sink, port = w.sink(), None
    config = w.config(sink, "smtp: {dsn: true}", server="").replace("domains:\n", "  silent: {servers: [\"127.0.0.1:1\"], tls: off}\n"
                                               "domains:\n  silent.test: silent\n", 1)
    g = w.glacis(config)
    wait_for(lambda: all(k in offers(g) for k in ("8BITMIME", "SMTPUTF8", "DSN")), 10, "offered, though one is silent")
    path = os.path.join(g.dir, "state", "keywords")
    wait_for(lambda: os.path.exists(path), 5, "the file")
    must(g.stop() == 0, "ends well")
    port = sink.port
    sink.stop()
    w.sinks.remove(sink)
    with open(path, encoding="ascii") as f:
        kept = f.read()
    must(kept.startswith("inner 127.0.0.1:%d " % port) and "8BITMIME" in kept and "silent" not in kept, "in state_dir", kept)
    g.start()
    text = offers(g)
    must(all(k in text for k in ("8BITMIME", "SMTPUTF8", "DSN")), "at once", text)
    with open(path, "w", encoding="ascii") as f:
        f.write("inner 127.0.0.1:%d\n\x01\x02\n" % port + "x" * 70000)
    must(g.stop() == 0, "ends well")
    g.start()
    must("8BITMIME" not in offers(g), "a broken line is skipped", offers(g))


@shows("A22: SMTPUTF8 that the recipient's server lacks: 452 at RCPT while another takes it (555 is in sim/smtputf8)")
def no_utf8(w):
    plain = w.sink(keywords=["PIPELINING", "8BITMIME"])
    other = w.sink()
    config = w.config(other, workers=1).replace(
        "domains:\n", "  plain: {servers: [\"127.0.0.1:%d\"], tls: off}\ndomains:\n  plain.test: plain\n" % plain.port, 1)
    plain.rules = [{"at": "CONNECT", "reply": "421 4.3.2 later", "then": "close", "times": 1}]
    g = w.glacis(config)
    wait_for(lambda: "SMTPUTF8" in offers(g), 10, "offered while the other one was not heard")
    with Client(g.smtp) as c:
        if "SMTPUTF8" not in c.hello().text:
            raise Skip("the second server was heard too soon")
        c.cmd("MAIL FROM:<r\u00e9my@elsewhere.invalid> SMTPUTF8")
        r = c.cmd("RCPT TO:<bob@plain.test>")
        must(r.code == "452" and r.enhanced == "4.3.3", "452 4.3.3", r)
        must(c.cmd("RCPT TO:<bob@example.test>").code == "250", "the other route takes it")


run()
