#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""50-bad-config.py - each typical error of a configuration gets its place and its sentence; all at once; exit 78."""
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import Client, wait_for

GOOD = """server: {hostname: mx.example.com, listen: ["127.0.0.1:0"], state_dir: STATE}
upstreams:
  inner: {servers: ["127.0.0.1:2"]}
domains:
  example.com: inner
admin: {listen: off}
"""

# what is added behind GOOD (line 7 is the first), and what must be said
ADDED = [
    ("limits: {recipients: 5}", "7:22: error: limits.recipients: expected 100 or more, found `5`"),
    ("limits: {message_size: 50M}", "7:24: error: limits.message_size: expected a size such as 64KiB, 50MiB"),
    ("limits: {command_timeout: 5}", "7:27: error: limits.command_timeout: expected a duration such as"),
    ("limits: {errors: -1}", "7:18: error: limits.errors: expected a number"),
    ("limits: {errors: 1e9}", "error: limits.errors: expected a number"),
    ("limits: 5", "error: limits: expected a mapping"),
    ("limitz: {}", "7:1: error: unknown key `limitz`; did you mean `limits`?"),
    ("limits: {mesage_size: 5MiB}", "7:10: error: unknown key `mesage_size` in limits; did you mean `message_size`?"),
    ("limits: {errors: 5, errors: 6}", "7:21: error: duplicate key `errors`; it was given in line 7"),
    ("server: {}", "7:1: error: duplicate key `server`; it was given in line 1"),
    ("smtp: {chunking: yes}", "7:18: error: smtp.chunking: expected true or false, found `yes`"),
    ("mode: observe", "7:7: error: mode: expected enforce or monitor, found `observe`"),
    ("version: 2", "7:10: error: version: "),
    ("log: {to: nowhere}", "7:11: error: log.to: expected stdout, stderr, syslog or file:/PATH, found `nowhere`"),
    ("log: {level: loud}", "7:14: error: log.level: expected error, warn, info, debug or trace, found `loud`"),
    ("mode: ${NOT_SET_ANYWHERE}", "7:7: error: the environment variable NOT_SET_ANYWHERE is not set (write ${NOT_SET_ANYWHERE:-default}"),
    ("log: !!binary abcd", "tags (!) are not used here"),
    ("email_check: {address: a@b.example}", "7:1: error: email_check: not in this version"),
    ("headers: {strip: {a: b}}", "error: headers.strip: expected"),
    ("headers: {add: {\"Bad Name\": x}}", "error: headers.add"),
    ("headers: {add: {X-A: \"{no.such.fact}\"}}", "error: headers.add"),
    ("a: [1\nb: 2", "error: not YAML: "),
    ("\tx: 1", "error: not YAML: "),
]

# a word of GOOD that is replaced
CHANGED = [
    ("hostname: mx.example.com", "hostname: localhost", "1:20: error: server.hostname: expected a host name with a dot"),
    ("127.0.0.1:0", "127.0.0.1:99999", "error: server.listen: expected an address with its port"),
    ("127.0.0.1:0", "localhost:25", "error: server.listen: expected an address with its port"),
    ("127.0.0.1:2\"", "127.0.0.1\"", "3:21: error: upstreams.inner.servers: expected an address with its port"),
    ("servers:", "serverz:", "did you mean `servers`?"),
    ("example.com: inner", "example.com: outer", "5:16: error: domains.example.com: there is no upstream `outer`"),
    ("example.com: inner", "exa mple: inner", "5:3: error: domains: expected a domain such as example.com"),
    ("example.com: inner", "example.com: inner\n  EXAMPLE.com: inner", "error: domains: example.com is given twice; it was in line 5"),
    ("example.com: inner", "example.com: {upstream: inner, validate: sometimes}", "error: domains.example.com.validate: "),
    ("example.com: inner", "example.com: {upstream: inner, validate: \"file:/no/such/list\"}",
     "error: domains.example.com.validate: /no/such/list: cannot be read: No such file or directory"),
    ("admin: {listen: off}", "admin: {listen: \"0.0.0.0:8025\"}", "6:17: error: admin.listen: anything but a loopback address needs admin.token"),
    ("upstreams:\n  inner: {servers: [\"127.0.0.1:2\"]}\n", "", "error: upstreams is missing"),
    ("domains:\n  example.com: inner\n", "", "error: domains is missing"),
]


def check(directory, text):
    """Exit status and what `glacis check` says."""
    path = os.path.join(directory, "g.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("STATE", directory))
    done = subprocess.run([os.environ["GLACIS"], "check", "-c", path], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, (done.stdout + done.stderr).replace(path + ":", "")


@shows("a good file: exit 0")
def good(w):
    status, said = check(w.dir, GOOD)
    must(status == 0 and "error" not in said, "no error", (status, said))


@shows("%d typical errors: exit 78, the right line and column, a sentence that helps" % (len(ADDED) + len(CHANGED)))
def each_error(w):
    wrong = []
    for text, want in ADDED:
        status, said = check(w.dir, GOOD + text + "\n")
        if status != 78 or want not in said:
            wrong.append("%r: wanted 78 and %r; seen %d and %s" % (text, want, status, said))
    for old, new, want in CHANGED:
        status, said = check(w.dir, GOOD.replace(old, new))
        if status != 78 or want not in said:
            wrong.append("%r: wanted 78 and %r; seen %d and %s" % (new, want, status, said))
    must(not wrong, "each sentence", "\n".join(wrong))


@shows("B7: notes: no tls at all; a certificate for another name than server.hostname")
def notes_on_certificates(w):
    status, said = check(w.dir, GOOD)
    must(status == 0 and "note: without the section tls STARTTLS is not offered, and all mail comes in clear" in said, "no tls", said)
    for name, noted in (("mx.example.com", False), ("*.example.com", False), ("mail.example.com", True)):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "60",
                        "-keyout", w.dir + "/key.pem", "-out", w.dir + "/cert.pem", "-subj", "/CN=" + name,
                        "-addext", "subjectAltName=DNS:" + name], check=True, capture_output=True)
        status, said = check(w.dir, GOOD + "tls: {certificate: STATE/cert.pem, private_key: STATE/key.pem}\n")
        must(status == 0 and ("note: no certificate of tls is for server.hostname, mx.example.com" in said) == noted,
             "a note for %s: %s" % (name, noted), said)
        must("without the section tls" not in said, "no note on a missing section", said)


@shows("all errors of a file are said, in the order of the file")
def every_error(w):
    status, said = check(w.dir, GOOD.replace("mx.example.com", "localhost") + "limits: {recipients: 5, errors: x}\nmode: maybe\n")
    lines = [int(l.split(":")[0]) for l in said.splitlines() if ": error: " in l]
    must(status == 78 and lines == [1, 7, 7, 8], "lines 1 7 7 8", (status, said))


@shows("odd files: empty, missing, a folder, not UTF-8, NUL, deep nesting, a bomb of anchors: an error, no crash")
def odd_files(w):
    for text in (b"", b"\0", b"\xff\xfe", b"[" * 5000, b"- a\n", b"x: y: z\n", b"a: &a [1]\nb: [*a, *a]\n", b"%YAML 9.9\n---\n",
                 b"{" * 300 + b"}" * 300, b"a" * 100000):
        path = os.path.join(w.dir, "odd.yaml")
        with open(path, "wb") as f:
            f.write(text)
        done = subprocess.run([os.environ["GLACIS"], "check", "-c", path], capture_output=True, timeout=20, check=False)
        must(done.returncode == 78 and b"error" in done.stdout + done.stderr, "78 and an error for %r" % text[:20], done)
    for path in (w.dir, os.path.join(w.dir, "missing")):
        for command in ("check", "run"):
            done = subprocess.run([os.environ["GLACIS"], command, "-c", path], capture_output=True, timeout=20, check=False)
            must(done.returncode == 66 and b"error: cannot be read" in done.stderr, "66 and why", (command, done))


@shows("--print gives a file that is good and prints the same")
def print_is_stable(w):
    path = os.path.join(w.dir, "g.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(GOOD.replace("STATE", w.dir))
    command = [os.environ["GLACIS"], "check", "--print", "-c"]
    once = subprocess.run(command + [path], capture_output=True, timeout=20, check=True).stdout
    with open(path, "wb") as f:
        f.write(once)
    again = subprocess.run(command + [path], capture_output=True, timeout=20, check=True).stdout
    must(once == again, "the same", again)


@shows("secrets are masked by --print")
def secrets_masked(w):
    path = os.path.join(w.dir, "g.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(GOOD.replace("STATE", w.dir).replace("admin: {listen: off}", "admin: {listen: \"0.0.0.0:0\", token: very-secret}"))
    done = subprocess.run([os.environ["GLACIS"], "check", "--print", "-c", path], capture_output=True, timeout=20, check=False)
    must(b"very-secret" not in done.stdout + done.stderr, "no secret", done.stdout)


def control(g, command, *words):
    return subprocess.run([g.program, command, *words, "-c", g.path, "--control", os.path.join(g.dir, "state", "control")],
                          capture_output=True, text=True, timeout=20, check=False)


def reload(g):
    return control(g, "reload")


def status(g, *words):
    return control(g, "status", *words).stdout


@shows("a bad file at a reload keeps the old one running; at a start the last good one is used, loudly; status says both")
def bad_reload(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    g.write("nonsense: 5\n")
    done = reload(g)
    must(done.returncode != 0 and "nonsense" in done.stdout + done.stderr, "refused with the sentence", done)
    with Client(g.smtp) as c:
        c.hello()
        must([r.code for r in c.envelope()] == ["250", "250"], "still running")
    place = g.path + ":1:1: error: unknown key `nonsense`"
    refused = json.loads(status(g, "--json"))["config_refused"]
    must((refused["first"], refused["errors"] > 1, refused["last_good"]) == (place, True, False), "the first error of them", refused)
    must(abs(refused["since"] - time.time()) < 60, "since when", refused)
    said = status(g)
    must("REFUSED     that file as it is now, since 20" in said and "what was in force before stays\n            " + place in said,
         "in words", said)
    must(g.metrics()["glacis_config_refused"] == 1, "for alarms", g.metrics()["glacis_config_refused"])
    g.write(w.config(sink))
    must(reload(g).returncode == 0 and "config_refused" not in json.loads(status(g, "--json")) and "REFUSED" not in status(g), "mended", status(g))
    wait_for(lambda: g.metrics()["glacis_config_refused"] == 0, 5, "the alarm over")
    g.stop()
    g.write(w.config(sink) + "broken: 1\n")
    os.unlink(g.ready)
    g.start()
    must("broken" in g.log_text(), "the error is logged")
    refused = json.loads(status(g, "--json"))["config_refused"]
    must((refused["errors"], refused["last_good"]) == (1, True) and ": error: unknown key `broken`" in refused["first"], "the error", refused)
    said = status(g)
    must("by 1 error; the last good one (last-good.yaml) is in force instead\n            %s:" % g.path in said, "in words", said)
    wait_for(lambda: g.metrics()["glacis_config_refused"] == 1, 5, "the alarm")
    with Client(g.smtp) as c:
        c.hello()
        must([r.code for r in c.envelope()] == ["250", "250"], "the last good file is in force")


@shows("C12: named pipes as configuration, certificate, tls_ca or log never block a reload")
def pipes(w):
    sink = w.sink()
    pipe = os.path.join(w.dir, "pipe")
    os.mkfifo(pipe)
    g = w.glacis(w.config(sink))
    for more in ("tls: {certificate: %s, private_key: %s}" % (pipe, pipe), None):
        g.write(w.config(sink, more or "").replace("tls: off", "tls: verify\n    tls_ca: %s" % pipe if more is None else "tls: off"))
        done = reload(g)
        must(done.returncode == 78 and pipe in done.stderr, "refused", (more, done))
    g.write(w.config(sink, "log: {to: 'file:%s'}" % pipe))
    must(reload(g).returncode == 0, "a log without a reader yet", reload(g))
    os.unlink(g.path)
    os.mkfifo(g.path)
    done = subprocess.run([g.program, "reload", "--control", os.path.join(g.dir, "state", "control")], capture_output=True,
                          text=True, timeout=20, check=False)
    must(done.returncode == 78 and "not a plain file" in done.stderr, "refused", done)
    with Client(g.smtp) as c:
        c.hello()
        must([r.code for r in c.envelope()] == ["250", "250"], "still serving")


@shows("a wrong command line: exit 64 and the usage")
def usage(w):
    for arguments in ([], ["fly"], ["run", "--no-such-option"], ["check", "a", "b"]):
        done = subprocess.run([os.environ["GLACIS"]] + arguments, capture_output=True, text=True, timeout=20, check=False, cwd=w.dir)
        must(done.returncode == 64 and "usage: glacis" in done.stdout + done.stderr, "64 and the usage", (arguments, done))
    for arguments in (["--help"], ["run", "--help"], ["check", "--help"], ["reload", "--help"], ["status", "--help"], ["version"]):
        done = subprocess.run([os.environ["GLACIS"]] + arguments, capture_output=True, text=True, timeout=20, check=False)
        must(done.returncode == 0 and done.stdout, "help", (arguments, done))
    done = subprocess.run([os.environ["GLACIS"], "chek"], capture_output=True, text=True, timeout=20, check=False)
    must('unknown command "chek"; did you mean `check`?' in done.stderr, "the nearest command", done.stderr)


if __name__ == "__main__":
    run()
