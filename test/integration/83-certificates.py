#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""83-certificates.py - certificates live: check, start, reload, renewal under load, bad pairs, expiry.

The supervisor looks every 30 s of its clock, which is moved where no session under way would notice (clockshim.c).
"""
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Lost, wait_for
from faults import Clock
from tlsclient import Authority, TlsClient

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"
CHECKED_S = 45
CHECK_MS = 30000        # how often the supervisor looks


def config(w, cert, key):
    return w.config(w.sink(), more="tls: {certificate: %s, private_key: %s}" % (cert, key))


def point(link, target):
    """Turns a symbolic link around, as certbot and Kubernetes do."""
    os.symlink(target, link + ".new")
    os.rename(link + ".new", link)


def served(g, ca):
    """The serial number of the certificate in force."""
    with TlsClient(g.smtp) as c:
        c.hello()
        c.starttls(ca.context())
        return c.sock.getpeercert()["serialNumber"]


def check(g):
    done = subprocess.run([g.program, "check", "-c", g.path], capture_output=True, timeout=20, check=False)
    return done.returncode, (done.stdout + done.stderr).decode()


@shows("glacis check names each certificate with its end, warns of one that ends soon or has ended, and refuses what is no pair")
def checked(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    good, soon, old = ca.leaf("good"), ca.leaf("soon", days=5), ca.leaf("old", days=-1)
    # Whole days are left, rounded down: five while the second of its making lasts, four after it.
    rows = [(good, 0, "expires on"), (soon, 0, "expires in [45] days"), (old, 0, "warning: .*has expired"),
            ((good[0], soon[1]), 78, "does not belong to the certificate"),
            ((good[0] + ".not", good[1]), 78, ":1: error: the certificate %s.not cannot be read: No such file or" % good[0]),
            ((good[1], good[1]), 78, "holds no PEM certificate")]
    for (cert, key), code, text in rows:
        g = w.glacis(config(w, cert, key), start=False, name="check")
        seen, said = check(g)
        must(seen == code and re.search(text, said), "%d and `%s`" % (code, text), (seen, said))


@shows("a reload with a bad pair is refused with its reason and the old one serves on; with a good one it is taken")
def reload(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    first, second = ca.leaf("first"), ca.leaf("second", ec=True)
    g = w.glacis(config(w, *first))
    serial = served(g, ca)
    good = open(g.path, encoding="utf-8").read()
    g.write(good.replace(first[1], second[1]))
    done = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, timeout=30, check=False)
    must(done.returncode == 78 and b"does not belong" in done.stdout + done.stderr, "78 with the reason", done)
    must(served(g, ca) == serial, "the old certificate")
    g.write(good.replace(first[1], second[1]).replace(first[0], second[0]))
    done = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, timeout=30, check=False)
    must(done.returncode == 0, "0", done)
    must(served(g, ca) != serial, "the new certificate")


def one_message(g, ca):
    with TlsClient(g.smtp) as c:
        c.hello()
        c.starttls(ca.context())
        c.hello()
        codes = [r.code for r in c.envelope()] + [c.data(MESSAGE).code]
        must(codes == ["250", "250", "250"], "a message accepted", codes)


def load(g, ca, stop, failures, count):
    while not stop.is_set():
        try:
            one_message(g, ca)
            count.append(1)
        except (Lost, OSError, RuntimeError, AssertionError) as e:
            failures.append(repr(e))


@shows("a renewal by a turned link under load: new certificate, no failed session, an open session goes on; bad ones are kept out (TLS-19)")
def renewal(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    first, second, soon, old = ca.leaf("first"), ca.leaf("second", ec=True), ca.leaf("soon", days=3), ca.leaf("old", days=-1)
    cert, key = os.path.join(w.dir, "live.pem"), os.path.join(w.dir, "live.key")
    point(cert, first[0])
    point(key, first[1])
    clock = Clock(w.dir)
    g = w.glacis(config(w, cert, key), env=clock.env)
    serial = served(g, ca)
    held = TlsClient(g.smtp)
    held.hello()
    held.starttls(ca.context())
    held.hello()
    held.envelope()
    clock.move(monotonic_ms=CHECK_MS - 6000)    # not under load: its handshakes would be too late
    stop, failures, count = threading.Event(), [], []
    threads = [threading.Thread(target=load, args=(g, ca, stop, failures, count)) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        point(cert, second[0])
        point(key, second[1])
        wait_for(lambda: g.events("certificates_renewed"), CHECKED_S, "the renewal")
        wait_for(lambda: served(g, ca) != serial, 10, "the new certificate")
        time.sleep(2)
    finally:
        stop.set()
        for t in threads:
            t.join()
    must(not failures and len(count) > 20, "no failed session", (len(count), failures[:3]))
    must(held.data(MESSAGE).code == "250", "the session in a transaction goes on under the old one")
    new = served(g, ca)
    bad_pairs(g, ca, clock, (cert, key), (old, first), new)
    point(cert, soon[0])
    point(key, soon[1])
    clock.move(monotonic_ms=CHECK_MS)
    wait_for(lambda: served(g, ca) != new, CHECKED_S, "one that ends soon is taken")
    wait_for(lambda: g.metrics()["glacis_certificates_refused"] == 0, 10, "nothing is refused any more")
    must([e for e in g.events("config") if "expires in 2 days" in e.get("msg", "")], "with a warning")


def bad_pairs(g, ca, clock, links, pairs, new):
    """A key of another certificate, then an expired pair: both are kept out."""
    (cert, key), (old, first) = links, pairs
    point(key, first[1])
    clock.move(monotonic_ms=CHECK_MS)
    wait_for(lambda: len(g.events("certificates_refused")) == 1, CHECKED_S, "the refusal in the log")
    must([e for e in g.events("config") if "does not belong" in e.get("msg", "")], "with its reason")
    m = g.metrics()
    must(m["glacis_certificates_refused"] == 1 and m['glacis_certificate_renewals_total{outcome="refused"}'] == 1,
         "the metrics", {k: v for k, v in m.items() if "certificate" in k})
    expiry = m['glacis_certificate_expiry_seconds{path="%s"}' % cert]
    must(abs(expiry - time.time() - 90 * 86400) < 90000, "when the one in force expires", expiry)
    point(cert, old[0])
    point(key, old[1])
    clock.move(monotonic_ms=CHECK_MS)
    wait_for(lambda: len(g.events("certificates_refused")) == 2, CHECKED_S, "another reason is said, too")
    must(served(g, ca) == new, "the certificate in force serves on")


@shows("a worker that dies comes back with the certificate in force, whatever lies on the disk")
def worker_dies(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    cert, key = ca.leaf("live")
    g = w.glacis(config(w, cert, key).replace("workers: 2", "workers: 1"))
    serial = served(g, ca)
    os.unlink(key)
    before = g.children("worker")
    for pid in before:
        os.kill(pid, 9)
    wait_for(lambda: g.children("worker") and g.children("worker") != before, 10, "a new worker")

    def again():
        try:
            return served(g, ca) == serial
        except (Lost, OSError, ssl.SSLError, socket.timeout):
            return False
    wait_for(again, 10, "TLS with the same certificate")


if __name__ == "__main__":
    run()
