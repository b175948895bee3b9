#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""82-proxy-protocol.py - who the client is: the PROXY protocol, haproxy in front, XCLIENT, private clients."""
import os
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, wait_for
from ports import free_port
from tlsclient import Authority, TlsClient, client_hello

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\r\n"


def v2(client="192.0.2.7", port=4711, command=0x21, tlvs=b""):
    if ":" in client:
        family, kind = socket.AF_INET6, 0x21
        ours = "2001:db8::25"
    else:
        family, kind = socket.AF_INET, 0x11
        ours = "198.51.100.1"
    block = socket.inet_pton(family, client) + socket.inet_pton(family, ours) + struct.pack("!HH", port, 25) + tlvs
    return SIGNATURE + bytes([command, kind]) + struct.pack("!H", len(block)) + block


def setup(w, listener='proxy_protocol: true, trusted: ["127.0.0.0/8"]', more="", server="", workers=1, listeners=None):
    sink = w.sink()
    text = w.config(sink, workers=workers, more=more, server=server)
    text = text.replace('listen: ["127.0.0.1:0"]\n  user',
                        'listen: [%s]\n  user' % (listeners or '{address: "127.0.0.1:0", %s}' % listener))
    return w.glacis(text), sink


def announced(g, header, greet=True, **options):
    c = Client(g.smtp, greet=False, **options)
    c.send(header)
    if greet:
        c.greeting = c.reply()
    return c


def deliver(c, sink):
    c.hello()
    codes = [r.code for r in c.envelope()] + [c.data(MESSAGE).code]
    must(codes == ["250", "250", "250"], "a message accepted", codes)
    return sink.messages[-1].data.decode()


@shows("v1 and v2: the announced client is in Received and in the log, which names the balancer too (PXY-01 to -03)")
def addresses(w):
    g, sink = setup(w)
    rows = [(V1, "192.0.2.7", "[192.0.2.7]"),
            (b"PROXY TCP6 2001:db8::7 2001:db8::25 4711 25\r\n", "2001:db8::7", "[IPv6:2001:db8::7]"),
            (v2(), "192.0.2.7", "[192.0.2.7]"), (v2("2001:db8::9"), "2001:db8::9", "[IPv6:2001:db8::9]"),
            (v2("192.0.2.8", tlvs=b"\x04\0\3abc\xea\0\1x\x20\0\0"), "192.0.2.8", "[192.0.2.8]")]
    for header, ip, literal in rows:
        text = deliver(announced(g, header), sink)
        must(literal in text.split("by mx.glacis.test")[0], "the announced address in Received", text)
        must("X-Glacis-Private" not in text, "no tag of a private client", text)
        event = g.events("connect")[-1]
        must(event["client"] == ip and event["port"] == 4711 and event["via"] == "127.0.0.1", "client and via", event)
        wait_for(lambda: g.events("txn") and g.events("txn")[-1]["client"] == ip, 5, "the txn line")
        must(g.events("txn")[-1]["via"] == "127.0.0.1", "via in txn", g.events("txn")[-1])
    must(g.metrics()['glacis_proxy_headers_total{outcome="announced"}'] == len(rows), "all counted")
    must(g.metrics()["glacis_private_clients_total"] == 0, "no private client")


def last(g, event, count=1):
    """The newest event of this kind, once there are so many: the recorder writes the log a moment after the reply."""
    wait_for(lambda: len(g.events(event)) >= count, 5, "%d events %s" % (count, event))
    return g.events(event)[-1]


@shows("LOCAL and UNKNOWN: the socket's own address holds (PXY-04)")
def local(w):
    g, _ = setup(w)
    for i, header in enumerate((b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ff::1 x y z\r\n", v2(command=0x20), SIGNATURE + b"\x20\0\0\0")):
        must(announced(g, header).hello().code == "250", "250")
        must(last(g, "connect", i + 1)["client"] == "127.0.0.1", "the socket's address", g.events("connect")[-1])
    must(g.metrics()['glacis_proxy_headers_total{outcome="local"}'] == 4, "four counted")


@shows("no greeting before the header; what is none, none in time, or a stranger: closed without a word (PXY-05, -06, -11, -12)")
def refused(w):
    g, sink = setup(w)
    for junk in (b"EHLO a.example\r\n", b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 25\n", b"PROXY TCP4  192.0.2.7 1 2 3\r\n",
                 b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 70000\r\n", SIGNATURE + b"\x31\x11\0\0", b"\x16\x03\x01",
                 SIGNATURE + b"\x21\x11\xff\xff", b"PROXY TCP4 " + b"1" * 200):
        c = announced(g, junk, greet=False)
        must(c.rest() == b"", "closed without a word")
    c = Client(g.smtp, greet=False)
    must(c.quiet(0.5), "no greeting")
    started = time.monotonic()
    must(c.rest(10) == b"" and time.monotonic() - started < 8, "closed in time", time.monotonic() - started)
    c = announced(g, V1[:20], greet=False)
    must(c.rest(10) == b"", "half a header is closed, too")
    m = g.metrics()
    must(m['glacis_proxy_headers_total{outcome="bad"}'] == 8 and m['glacis_proxy_headers_total{outcome="timeout"}'] == 2,
         "8 bad, 2 timeouts", {k: v for k, v in m.items() if "proxy" in k})
    other, _ = setup_second(w, sink)
    must(announced(other, V1, greet=False).rest() == b"", "a stranger is closed")
    must(other.metrics()['glacis_proxy_headers_total{outcome="untrusted"}'] == 1, "and counted")


def setup_second(w, sink):
    text = w.config(sink, workers=1).replace(
        'listen: ["127.0.0.1:0"]\n  user',
        'listen: [{address: "127.0.0.1:0", proxy_protocol: true, trusted: ["10.0.0.0/8"]}]\n  user')
    return w.glacis(text, name="h"), sink


@shows("a header in pieces is taken; octets behind it are the client's (PXY-07 to -09); elsewhere it is never believed (PXY-10)")
def pieces(w):
    g, sink = setup(w)
    for header in (V1, v2(tlvs=b"\x04\0\3abc")):
        c = announced(g, header, octetwise=True)
        c.octetwise = False
        deliver(c, sink)
    c = announced(g, V1 + b"NOOP\r\nNOOP\r\n")
    must([c.reply().code for _ in range(2)] == ["250", "250"], "the commands behind the header are answered")
    c = announced(g, V1)
    must(c.cmd(V1[:-2]).code in ("500", "521"), "a second header is a bad command")
    plain = w.glacis(w.config(sink, workers=1), name="plain")
    c = Client(plain.smtp)
    c.send(V1)
    must(c.reply().code in ("500", "521"), "a bad command elsewhere")
    must(last(plain, "connect")["client"] == "127.0.0.1", "and never believed")


@shows("octets behind the header are early talk while the greeting is delayed (LOG-08)")
def pregreet(w):
    sink = w.sink()
    text = w.config(sink, workers=1).replace("greet_delay: 0ms", "greet_delay: 1s").replace(
        'listen: ["127.0.0.1:0"]\n  user',
        'listen: [{address: "127.0.0.1:0", proxy_protocol: true, trusted: ["127.0.0.0/8"]}]\n  user')
    g = w.glacis(text)
    announced(g, V1 + b"EHLO a.example\r\n")
    must(g.metrics()['glacis_abuse_total{kind="pregreet"}'] == 1, "pregreet counted")
    must(last(g, "abuse")["client"] == "192.0.2.7", "of the announced client", g.events("abuse")[-1])


@shows("limits count the announced client, not the balancer, and a private one behind it is not exempt")
def limits(w):
    g, _ = setup(w, more="limits: {connections_per_client: 2}")
    held = [announced(g, V1), announced(g, v2())]
    third = announced(g, V1)
    must(third.greeting.code == "421", "421 for the third of one client", third.greeting)
    must(announced(g, v2("192.0.2.99")).greeting.code == "220", "another client comes in")
    held[0].cmd("QUIT")
    wait_for(lambda: announced(g, V1).greeting.code == "220", 5, "room again")
    inside = [announced(g, v2("10.1.1.1")) for _ in range(3)]
    must([c.greeting.code for c in inside] == ["220", "220", "421"], "a private client is counted, too",
         [c.greeting.code for c in inside])
    must(len([announced(g, b"PROXY UNKNOWN\r\n") for _ in range(4)]) == 4, "health checks are not counted")


@shows("implicit TLS behind a header, with the ClientHello in the same segment")
def implicit(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    cert, key = ca.leaf("rsa")
    g, _ = setup(w, 'proxy_protocol: true, trusted: ["127.0.0.0/8"], tls: implicit',
                 more="tls: {certificate: %s, private_key: %s}" % (cert, key))
    c = TlsClient(g.smtp, greet=False)
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    t = ca.context().wrap_bio(into, out, server_hostname="mx.glacis.test")
    header = v2()
    while True:
        try:
            t.do_handshake()
            break
        except ssl.SSLWantReadError:
            c.sock.sendall(header + out.read())
            header = b""
            into.write(c.sock.recv(65536))
    c.sock.sendall(out.read())
    while True:
        try:
            must(t.read(100).startswith(b"220 "), "the banner inside")
            break
        except ssl.SSLWantReadError:
            into.write(c.sock.recv(65536))
    must(last(g, "connect")["client"] == "192.0.2.7", "the announced client")
    must(client_hello()[:1] == b"\x16", "a ClientHello")


@shows("haproxy in front with send-proxy-v2 and with send-proxy: the client is the one that haproxy saw")
def haproxy(w):
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        raise Skip("there is no haproxy")
    g, sink = setup(w)
    for option in ("send-proxy-v2", "send-proxy"):
        port = free_port()
        path = os.path.join(w.dir, option + ".cfg")
        with open(path, "w", encoding="ascii") as f:
            f.write("""global
  maxconn 100
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
listen smtp
  bind 127.0.0.1:%d
  server one 127.0.0.1:%d %s check
""" % (port, g.smtp[1], option))
        process = subprocess.Popen([program, "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def connect(port=port):
                try:
                    return Client(("127.0.0.1", port), source="127.0.0.5")
                except (OSError, Lost):
                    return None
            client = wait_for(connect, 10, "haproxy's listener")
            text = deliver(client, sink)
            must("[127.0.0.5]" in text, "the client that haproxy saw", text)
            must(g.events("txn")[-1]["via"].startswith("127.0.0."), "via", g.events("txn")[-1])
            client.close()
        finally:
            process.terminate()
            process.wait(10)


def server_states(path):
    """{server: its state} as haproxy's control socket has it."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(b"show stat\n")
        text = b""
        while True:
            data = s.recv(65536)
            if not data:
                break
            text += data
    rows = [l.split(",") for l in text.decode().splitlines() if l]
    at, last = rows[0].index("status"), rows[0].index("check_status")
    return {r[1]: (r[at], r[last].lstrip("* ")) for r in rows[1:] if r[1] not in ("FRONTEND", "BACKEND")}


@shows("A10: haproxy's option smtpchk gets its answers at once, whatever greet_delay is; a client behind it waits")
def smtpchk(w):
    program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
    if not program:
        raise Skip("there is no haproxy")
    listener = '{address: "127.0.0.1:0", proxy_protocol: true, trusted: ["127.0.0.0/8"]}'
    judged = w.config(w.sink(), workers=1, server="private_clients: judge").replace("greet_delay: 0ms", "greet_delay: 4s").replace(
        'listen: ["127.0.0.1:0"]\n  user', "listen: [%s]\n  user" % listener)
    plain = w.config(w.sink(), workers=1).replace("greet_delay: 0ms", "greet_delay: 4s")
    behind, beside = w.glacis(judged), w.glacis(plain, name="plain")
    path, control, port = os.path.join(w.dir, "chk.cfg"), os.path.join(w.dir, "control"), free_port()
    with open(path, "w", encoding="ascii") as f:
        f.write("""global
  maxconn 100
  stats socket %s
defaults
  mode tcp
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout check 2s
listen smtp
  bind 127.0.0.1:%d
  option smtpchk EHLO balancer.example
  server v2 127.0.0.1:%d send-proxy-v2 check inter 200ms
  server v1 127.0.0.1:%d send-proxy check inter 200ms
  server private 127.0.0.1:%d check inter 200ms
""" % (control, port, behind.smtp[1], behind.smtp[1], beside.smtp[1]))
    process = subprocess.Popen([program, "-db", "-f", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: os.path.exists(control), 10, "haproxy's control socket")
        want = {name: ("UP", "L7OK") for name in ("v2", "v1", "private")}
        wait_for(lambda: server_states(control) == want, 10, "all of them up: %s" % server_states(control))
        wait_for(lambda: behind.metrics()['glacis_proxy_headers_total{outcome="local"}'] >= 8, 10, "several checks")
        must(server_states(control) == want, "still up", server_states(control))
        started = time.monotonic()
        announced(behind, V1)
        must(time.monotonic() - started > 3, "a client is delayed", time.monotonic() - started)
        must(behind.metrics()['glacis_abuse_total{kind="pregreet"}'] == 0, "no client spoke early")
    finally:
        process.terminate()
        process.wait(10)


@shows("XCLIENT: offered to trusted peers only; the address changes everywhere, the session begins anew (XCL-01, -05, -07)")
def xclient(w):
    g, sink = setup(w, 'xclient: true, trusted: ["127.0.0.0/8"]', more="limits: {connections_per_client: 2}")
    c = Client(g.smtp)
    must(c.cmd("XCLIENT ADDR=192.0.2.7").code == "503", "503 before EHLO")
    must("XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in c.hello().text, "offered")
    for bad in ("XCLIENT", "XCLIENT ADDR=x", "XCLIENT COLOUR=red", "XCLIENT ADDR=192.0.2.7 PORT=99999"):
        must(c.cmd(bad).code == "501", "501 to " + bad)
    c.envelope()
    must(c.cmd("XCLIENT ADDR=192.0.2.7").code == "503", "503 in a transaction")
    c.cmd("RSET")
    reply = c.cmd("XCLIENT NAME=mail.client.example ADDR=192.0.2.7 PORT=4711 HELO=client+2Eexample PROTO=ESMTP")
    must(reply.code == "220", "220", reply)
    must(c.cmd("MAIL FROM:<a@b.invalid>").code == "503", "EHLO is forgotten")
    text = deliver(c, sink)
    must("from client.example (mail.client.example [192.0.2.7])" in text.replace("\r\n\t", " "), "Received", text)
    must("X-Glacis-Private" not in text, "no tag of a private client")
    event = g.events("txn")[-1]
    must(event["client"] == "192.0.2.7" and event["via"] == "127.0.0.1", "client and via", event)
    reply = c.cmd("XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE]")
    must(reply.code == "220", "again for the next client", reply)
    text = deliver(c, sink)
    must("(unknown [IPv6:2001:db8::7])" in text and "client.example (mail" not in text, "nothing of the one before", text)
    held = []
    for _ in range(3):
        c = Client(g.smtp)
        c.hello()
        held.append((c, c.cmd("XCLIENT ADDR=192.0.2.50").code))
    must([h[1] for h in held] == ["220", "220", "421"], "limits count the announced client", [h[1] for h in held])
    must(g.metrics()['glacis_xclient_total{outcome="taken"}'] == 5, "counted")
    other = w.glacis(w.config(sink, workers=1), name="plain")
    c = Client(other.smtp)
    must("XCLIENT" not in c.hello().text, "not offered elsewhere")
    reply = c.cmd("XCLIENT ADDR=192.0.2.7")
    must(reply.code == "550" and reply.enhanced == "5.7.0", "550 5.7.0", reply)


@shows("PROXY and XCLIENT on one listener: a client from outside does not get the balancer's trust")
def both(w):
    g, _ = setup(w, 'proxy_protocol: true, xclient: true, trusted: ["127.0.0.0/8"]')
    c = announced(g, v2())
    must("XCLIENT" not in c.hello().text and c.cmd("XCLIENT ADDR=10.0.0.1").code == "550", "not for a stranger")
    c = announced(g, v2("127.0.0.9"))
    must("XCLIENT" in c.hello().text and c.cmd("XCLIENT ADDR=192.0.2.1").code == "220", "for a trusted one")


@shows("a private client: exempt is said loudly, in the log, a metric and a header; judge does none of it")
def private(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, workers=1, more="limits: {connections_per_client: 1}"))
    held = Client(g.smtp)
    c = Client(g.smtp)
    must(c.greeting.code == "220" and held.greeting.code == "220", "not counted by address")
    must("X-Glacis-Private: yes" in deliver(c, sink), "the header")
    must(g.metrics()["glacis_private_clients_total"] == 2, "the metric")
    warnings = g.events("private_client")
    must(len(warnings) == 1 and warnings[0]["level"] == "warn", "one warning", warnings)
    h = w.glacis(w.config(sink, workers=1, more="limits: {connections_per_client: 1}", server="private_clients: judge"),
                 name="judge")
    c = Client(h.smtp)
    must(Client(h.smtp).greeting.code == "421", "counted by address")
    must("X-Glacis-Private" not in deliver(c, sink), "no header")
    must(h.metrics()["glacis_private_clients_total"] == 0 and not h.events("private_client"), "no metric, no warning")


if __name__ == "__main__":
    run()
