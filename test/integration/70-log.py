#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""70-log.py - the log: one `txn` line for each message that explains it, escaping, addresses, lengths."""
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, wait_for
from lab import Lab

MESSAGE = b"Subject: secret-subject\r\n\r\nsecret-body\r\n"
KEYS = ["time", "level", "event", "session", "message", "client", "helo", "from", "to", "recipients", "refused", "size",
        "outcome", "code", "enhanced", "text", "by", "upstream", "server", "attempts", "tls", "ms", "relay_ms"]


def session(g, sender="alice@elsewhere.invalid", rcpts=("bob@example.test",), helo="client.example.net", content=MESSAGE):
    with Client(g.smtp) as c:
        c.hello(helo)
        c.envelope(rcpts, sender)
        reply = c.data(content)
        try:
            c.cmd("QUIT")
        except Lost:
            pass            # closed after a refusal
        return reply


def txns(g, count):
    wait_for(lambda: len(g.events("txn")) >= count, 5, "%d txn lines" % count)
    return g.events("txn")


@shows("a session is connect, txn, close; txn has every key, in order, and the id of the Received line (LOG-04)")
def one_line_a_message(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    session(g, rcpts=("bob@example.test", "carol@example.test", "x@elsewhere.invalid"))
    txn = txns(g, 1)[0]
    missing = [k for k in KEYS if k not in txn]
    must(not missing, "all keys", missing)
    order = [k for k in txn if k in KEYS]
    must(order == KEYS, "in this order: %s" % KEYS, order)
    must(txn["from"] == "alice@elsewhere.invalid" and txn["to"] == ["bob@example.test", "carol@example.test"], "envelope", txn)
    must(txn["recipients"] == 2 and txn["refused"] == 1 and txn["code"] == 250 and txn["outcome"] == "accepted", "fate", txn)
    must(txn["by"] == "upstream" and txn["upstream"] == "inner" and txn["server"] == "127.0.0.1:%d" % sink.port, "where", txn)
    must(txn["session"].encode() in sink.messages[0].data.split(b"\r\n\r\n")[0], "its id in Received", sink.messages[0].data[:300])
    wait_for(lambda: g.events("close"), 5, "a close line")
    names = [e["event"] for e in g.events() if e.get("session") == txn["session"]]
    must(names[0] == "connect" and names[-1] == "close" and names.count("txn") == 1, "connect ... txn ... close", names)
    close = [e for e in g.events("close") if e["session"] == txn["session"]][0]
    must(close["reason"] == "quit" and close["messages"] == 1, "quit, 1 message", close)


NAMED = b"From: \"Bob, the\" <author@Author.Test>\r\nMessage-ID:\r\n <id-1@author.test>\r\nSubject: x\r\n\r\nbody\r\n"


@shows("B3: txn and rcpt have the client's verified name, generation and mode; txn has message_id and from_domain; close counts messages")
def identities(w):
    lab = Lab(w)
    with Client(lab.g.smtp, source="127.0.2.30") as c:
        c.hello("client.test")
        for rcpts in (("bob@example.test",), ("x@elsewhere.invalid",)):       # the name is known once a rule has waited
            c.envelope(rcpts, "alice@none.test")
            if "example" in rcpts[0]:
                must(c.data(NAMED).code == "250", "delivered")
            else:
                c.cmd("RSET")
        c.envelope(("bob@example.test",), "alice@none.test")
        must(c.data(b"From: a@one.test\r\nFrom: b@two.test\r\nMessage-ID: <1@x>\r\nMessage-ID: <2@x>\r\n\r\nbody\r\n").code == "250", "delivered")
        c.cmd("QUIT")
    lines = txns(lab.g, 2)
    txn, rcpt = lines[0], lab.g.events("rcpt")[0]
    for line in (txn, rcpt):
        must((line["rdns"], line["generation"], line["mode"]) == ("client.test", 1, "enforce"), "name, generation, mode", line)
    must((txn["message_id"], txn["from_domain"]) == ("<id-1@author.test>", "author.test"), "whose message", txn)
    must("message_id" not in lines[1] and "from_domain" not in lines[1], "nothing where it is not clear", lines[1])
    wait_for(lambda: lab.g.events("close"), 5, "a close line")
    close = lab.g.events("close")[0]
    must((close["messages"], close["accepted"]) == (2, 2), "two messages; a refused transaction is none", close)


@shows("B3: a monitored file, a second generation, hashes: as the lines say")
def identities_elsewhere(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, "mode: monitor\nlog: {addresses: hash}"))
    g.signal(signal.SIGHUP)
    wait_for(lambda: g.events("reloaded") or g.events("generation_drained"), 10, "a second generation")
    wait_for(lambda: session(g, content=NAMED) and g.events("txn")[-1]["generation"] == 2, 10, "its line")
    sink.rules = [{"at": "DOT", "reply": "554 5.6.0 no"}]
    session(g, content=NAMED)
    txn = g.events("txn")[-1]
    must((txn["mode"], txn["rdns"], txn["outcome"]) == ("monitor", "", "rejected"), "monitor, no name", txn)
    must(re.fullmatch("[0-9a-f]{16}", txn["message_id"]) and re.fullmatch("[0-9a-f]{16}", txn["from_domain"]), "hashes", txn)
    wait_for(lambda: [c for c in g.events("close") if (c["messages"], c["accepted"]) == (1, 0)], 5, "a message that was not accepted")


RULES = """policy:
  preset: none
  before:
    - {name: watched, when: {recipient.local: bob}, then: {score: 1}, mode: monitor}
    - {name: kept, when: {recipient.local: bob}, then: bypass}
    - {name: away, when: {recipient.local: away}, then: reject}
"""


@shows("a recipient is logged with the rule that judged it, or with none; a message with what let it in, and what was only recorded")
def whose_rule(w):
    g = w.glacis(w.config(w.sink(), policy=RULES))
    session(g, rcpts=("bob@example.test", "away@example.test", "x@elsewhere.invalid"))
    txn = txns(g, 1)[0]
    must((txn["verdict"], txn["rule"], txn.get("monitored")) == ("bypass", "kept", ["watched"]), "what let bob in", txn)
    refused = {e["to"]: e for e in g.events("rcpt")}
    must(refused["away@example.test"]["rule"] == "away", "the rule", refused)
    must("rule" not in refused["x@elsewhere.invalid"], "no rule: relay control refused it", refused)


@shows("each fate has its line: refused by us, by the upstream, deferred, unknown, client gone")
def fates(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, "limits: {message_size: 100KiB}").replace(
        "    tls: off", "    tls: off\n    health: off\n    timeouts: {final_reply: 2s}"))
    session(g, content=b"X: y\r\n\r\nbare\nlf\r\n")
    sink.rules = [{"at": "DOT", "nth": 1, "reply": "554 5.6.0 no \"quotes\""}, {"at": "DOT", "nth": 2, "reply": "451 4.3.0 later"},
                  {"at": "DOT", "nth": 3, "then": "close", "take": True}]
    for _ in range(3):
        session(g)
    lines = sorted(txns(g, 4), key=lambda t: t["time"])  # each worker has a ring of its own
    must([(t["code"], t["by"]) for t in lines] == [(550, "glacis"), (554, "upstream"), (451, "upstream"), (451, "glacis")],
         "codes and who said them", [(t["code"], t["by"]) for t in lines])
    must([t["outcome"] for t in lines] == ["rejected", "rejected", "deferred", "unknown"], "outcomes", [t["outcome"] for t in lines])
    must([t["level"] for t in lines] == ["info"] * 3 + ["warn"], "what may arrive twice is a warning", [t["level"] for t in lines])
    must(lines[1]["text"] == 'no "quotes"', "the upstream's text", lines[1]["text"])


@shows("a message given up by RSET, EHLO, QUIT or a cut has one line too: aborted; without a recipient it has none")
def aborted(w):
    g = w.glacis(w.config(w.sink()))
    for last in (b"RSET", b"EHLO again.example.net", b"QUIT", None):
        with Client(g.smtp) as c:
            c.hello()
            c.cmd("MAIL FROM:<nobody-named@elsewhere.invalid>")
            c.cmd("RSET")
            c.envelope(("bob@example.test",), "alice@elsewhere.invalid")
            if last is not None:
                c.cmd(last)
    lines = txns(g, 4)
    must([t["outcome"] for t in lines] == ["aborted"] * 4, "four times aborted", lines)
    must({t["from"] for t in lines} == {"alice@elsewhere.invalid"}, "those with a recipient", lines)
    metrics = g.metrics()
    must(metrics.get('glacis_messages_total{outcome="aborted"}') == 4, "counted", metrics)


@shows("everything from a peer is escaped: one event is one line of valid JSON, printable, under 4 kB (LOG-01, LOG-05)")
def escaping(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, "log: {level: debug}"))
    for line in (b"EHLO \xc3\xa4\xe2\x80\xae\xf0\x9f\x98\x80.example", b"EHLO \x1b[31m\x07\xff\"}\\n{\"event\":\"forged\"}", b"MAIL FROM:<\"a\\\"b\"@x.example>", b"BOGUS \xe2\x80\xa8 \x9b",
                 b"EHLO " + b"x" * 1900, b"RCPT TO:<" + b"y" * 1900 + b"@elsewhere.invalid>"):
        with Client(g.smtp) as c:
            c.hello()
            c.cmd(line)
            c.cmd("QUIT")
    session(g, helo="after.example.net", rcpts=["u%d@example.test" % i for i in range(100)])
    txns(g, 1)
    with open(g.log_path, "rb") as f:
        raw = f.read()
    for line in raw.splitlines():
        must(len(line) < 4096, "under 4096 octets", len(line))
        must(all(0x20 <= o <= 0x7e for o in line), "printable ASCII", line)
        event = json.loads(line)
        must(event.get("event") != "forged", "no forged event", line)


@shows("no subject, no content, no credentials in the log, at any level (LOG-02, LOG-03)")
def no_content(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, "log: {level: trace}"))
    with Client(g.smtp) as c:
        c.hello()
        c.cmd("AUTH PLAIN c2VjcmV0LWxvZ2lu")
        c.cmd("XCLIENT LOGIN=secret-login")
        c.cmd("secret-body as a command")
        c.cmd("QUIT")
    session(g)
    txns(g, 1)
    seen = [(e["verb"], e["phase"], e.get("argument")) for e in g.events("command")]
    for wanted in (("AUTH", "ready", None), ("unknown", "ready", None), ("MAIL", "ready", "FROM:<alice@elsewhere.invalid>"),
                   ("DATA", "envelope", "")):
        must(wanted in seen, "each command", seen)
    must(("354", "data") in [(str(e["code"]), e["phase"]) for e in g.events("reply")], "each reply", g.events("reply"))
    must({"greeting", "ehlo", "mail", "rcpt", "data", "final"} <= {e["state"] for e in g.events("upstream_reply")}, "the server's", seen)
    for word in ("secret-subject", "secret-body", "c2VjcmV0", "secret-login"):
        must(word not in g.log_text(), "no %s" % word, g.log_text())


def addresses(w, how):
    sink = w.sink()
    sink.rules = [{"at": "DOT", "nth": 1, "reply": "554 5.2.2 The mailbox of <bob.person@example.test> is full"}]
    g = w.glacis(w.config(sink, "log: {addresses: %s, level: trace}" % how))
    session(g, sender="Alice.Person@elsewhere.invalid",
            rcpts=("bob.person@example.test", "nobody.person@elsewhere.invalid", "without.domain.person"))
    session(g, sender="alice.person@elsewhere.invalid")
    return g, txns(g, 2)


@shows("log.addresses: domain hides local parts, hash gives the same word for the same address (LOG-06)")
def hidden_addresses(w):
    g, lines = addresses(w, "domain")
    must("person" not in g.log_text().lower(), "no local part", re.findall(r".*person.*", g.log_text())[:2])
    must(lines[0]["from"].endswith("@elsewhere.invalid"), "the domain", lines[0])
    must(any(t["text"] == "The mailbox of (address) is full" for t in lines), "a reply that quotes an address", lines)
    g.stop()
    w.programs.clear()
    g = w.glacis(w.config(w.sinks[0], "log: {addresses: hash}"), name="h")
    session(g, sender="Alice.Person@elsewhere.invalid", rcpts=("bob.person@example.test",))
    session(g, sender="alice.person@elsewhere.invalid")
    lines = txns(g, 2)
    must("person" not in g.log_text().lower() and "elsewhere" not in lines[0]["from"], "no address", lines[0])
    must(lines[0]["from"] == lines[1]["from"] and lines[0]["from"], "the same hash", [l["from"] for l in lines])


@shows("B11: log.addresses: hash is keyed: by a file made once (0600), or by state.hash_key, which hosts may share")
def keyed_hashes(w):
    import hashlib  # pylint: disable=import-outside-toplevel
    plain = hashlib.sha256(b"alice.person@elsewhere.invalid").hexdigest()[:16]

    def sender(name, more=""):
        g = w.glacis(w.config(w.sinks[0], "log: {addresses: hash}\n" + more), name=name)
        session(g, sender="Alice.Person@elsewhere.invalid")
        seen = txns(g, 1)[-1]["from"]
        g.stop()
        return seen
    w.sink()
    once = sender("one")
    key = os.path.join(w.dir, "one", "state", "hash_key")
    with open(key, encoding="ascii") as f:
        text = f.read()
    must(re.fullmatch(r"[0-9a-f]{64}\n", text) and os.stat(key).st_mode & 0o777 == 0o600, "a key of its own", (text, os.stat(key)))
    must(sender("one") == once, "kept over a restart")
    other = sender("two")
    must(plain not in (once, other) and once != other, "no plain hash, and another one elsewhere", (plain, once, other))
    shared = "state: {hash_key: \"one for all hosts\"}\n"
    must(sender("three", shared) == sender("four", shared) not in (once, other, plain), "shared by hosts")
    must(not os.path.exists(os.path.join(w.dir, "four", "state", "hash_key")), "no file beside state.hash_key")
    os.chmod(key, 0o644)
    must(sender("one") != once, "a key that others could read is made anew")


@shows("B11: standard output that is the journal's: each line has its priority in front")
def to_journal(w):
    # systemd makes the stream and names it; here a shell does
    name = "exec env JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) \"$@\""
    g = w.glacis(w.config(w.sink(), "log: {level: debug}"), wrapper=["sh", "-c", name, "sh"])
    session(g)
    wait_for(lambda: '"event":"close"' in g.read_log(), 10, "a session")
    lines = g.log_text().splitlines()
    wanted = {"error": "3", "warn": "4", "info": "6", "debug": "7"}
    for line in lines:
        found = re.match(r'<(\d)>\{"time":"[^"]*","level":"([a-z]+)"', line)
        must(found and found.group(1) == wanted[found.group(2)], "a priority", line)
    must(len(lines) > 5, "lines", lines)


@shows("log.to: file:PATH; SIGUSR1 opens it again after a rotation; text format is key=value")
def files(w):
    sink = w.sink()
    path = os.path.join(w.dir, "out.log")
    g = w.glacis(w.config(sink, "log: {to: \"file:%s\", format: text}" % path))
    session(g)

    def holds(text):
        def look():
            try:
                with open(path, encoding="utf-8") as f:
                    return text in f.read()
            except OSError:
                return False
        return look
    wait_for(holds(" txn "), 5, "a txn line in the file")
    os.rename(path, path + ".1")
    g.signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(path), 5, "a new file")
    session(g)
    wait_for(holds(" txn "), 5, "a txn line in the new file")


OWN_DEV = """d=$1; shift
for n in null zero full random urandom; do : >"$d/$n"; mount --bind "/dev/$n" "$d/$n"; done
ln -s /proc/self/fd "$d/fd"
mount --rbind "$d" /dev
exec "$@"
"""


class Syslog:
    """The daemon behind /dev/log, which is in a folder of ours."""

    def __init__(self, path):
        self.path, self.lines, self.reads, self.sock, self.thread = path, [], True, None, None
        self.start()

    def start(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.sock.bind(self.path)
        self.sock.settimeout(0.2)
        self.thread = threading.Thread(target=self.run, args=(self.sock,), daemon=True)
        self.thread.start()

    def run(self, sock):
        while sock is self.sock:
            try:
                if self.reads:
                    self.lines.append(sock.recv(8192).decode("ascii"))
                else:
                    time.sleep(0.05)
            except socket.timeout:
                pass
            except OSError:
                return

    def restart(self):
        old, self.sock = self.sock, None
        self.thread.join()      # as long as it looks at the socket, that is not closed
        old.close()
        self.start()

    def events(self, name):
        return [l for l in self.lines if '"event":"%s"' % name in l]


@shows("log.to: syslog: records of RFC 3164 with facility mail; a daemon that is away, full or restarted blocks nobody, and is found again (LOG-07)")
def to_syslog(w):
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        raise Skip("mounts of our own are not permitted here")
    dev = os.path.join(w.dir, "dev")
    os.mkdir(dev)
    g = w.glacis(w.config(w.sink(), "log: {to: syslog}"), wrapper=["unshare", "-m", "sh", "-e", "-c", OWN_DEV, "sh", dev])
    must(session(g).code == "250", "mail flows without a daemon")
    wait_for(lambda: g.metrics()["glacis_log_dropped_total"] >= 3, 5, "lost lines counted")
    daemon = Syslog(os.path.join(dev, "log"))
    must(session(g).code == "250", "mail")
    wait_for(lambda: daemon.events("close"), 5, "the lines of a session")
    recorder = wait_for(lambda: g.children("glacis-recorder"), 5, "the recorder")[0]
    severities = {"error": 3, "warn": 4, "info": 6}
    for line in list(daemon.lines):
        found = re.fullmatch(r"<(\d+)>[A-Z][a-z]{2} [ 123]\d \d\d:\d\d:\d\d glacis\[(\d+)\]: (\{.*\})", line)
        must(found and int(found.group(2)) == recorder, "a record with tag and pid", line)
        must(int(found.group(1)) == 2 * 8 + severities[json.loads(found.group(3))["level"]], "priority mail.LEVEL", line)
    wait_for(lambda: "No such file" in "".join(daemon.events("log_write")), 12, "that lines were lost, once they can be said")
    daemon.reads = False
    for _ in range(40):
        started = time.monotonic()
        must(session(g).code == "250" and time.monotonic() - started < 5, "no session waits for a full daemon", time.monotonic() - started)
    had = len(daemon.events("txn"))
    daemon.reads = True
    wait_for(lambda: len(daemon.events("txn")) == had + 40, 10, "all that waited in the rings")
    daemon.restart()
    had = len(daemon.events("txn"))
    must(session(g).code == "250", "mail")
    wait_for(lambda: len(daemon.events("txn")) == had + 1, 5, "the daemon that was restarted")


if __name__ == "__main__":
    run()
