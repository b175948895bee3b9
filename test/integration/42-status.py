#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""42-status.py - glacis status for monitoring systems: the first line and the JSON name every problem, and the exit status
is 0 (well), 1 (degraded) or 2 (not serving)."""
import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
import dnsserver
from checks import must, run, shows
from client import Client, wait_for
from lab import Lab
from tlsclient import Authority

GROUP = "groups: {friends: \"file:%s\"}\n"


def ask(g, *words):
    return subprocess.run([g.program, "status", *words, "-c", g.path], capture_output=True, text=True, timeout=40, check=False)


def state(g):
    """(exit status, first line, {what: texts})"""
    text, table = ask(g), ask(g, "--json")
    problems = {}
    for p in json.loads(table.stdout)["problems"]:
        problems[p["what"]] = problems.get(p["what"], "") + p["text"] + "\n"
    must(json.loads(table.stdout)["status"] == ("well", "degraded", "not_serving")[table.returncode], "one word", table)
    return text.returncode, text.stdout.splitlines()[0], problems


def becomes(g, status, what, words):
    """Waits until exit status, first line and JSON show this problem."""
    def told():
        code, line, problems = state(g)
        return code == status and words in line and words in problems.get(what, "")
    try:
        wait_for(told, 15, what)
    except Exception:
        raise AssertionError("expected %d, %s: %s; seen %s" % (status, what, words, state(g))) from None


def is_well(g):
    wait_for(lambda: state(g)[0] == 0, 15, "all is well")
    line = state(g)[1]
    must(line.startswith("glacis ") and line.endswith(", pid %d, serving: all is well" % g.process.pid), "the first line", line)


def reload(g):
    return subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=60, check=False)


@shows("B5: one server down: 1; a whole upstream down: 1; all upstreams down: 2; not running: 2")
def servers(w):
    sinks = [w.sink() for _ in range(3)]
    upstreams = "  second: {servers: [\"127.0.0.1:%d\"], tls: off, health: {interval: 1s, fall: 1, rise: 1}}\n" % sinks[2].port
    config = w.config(sinks[0]).replace(
        "servers: [\"127.0.0.1:%d\"]\n    tls: off\n" % sinks[0].port,
        "servers: [\"127.0.0.1:%d\", \"127.0.0.1:%d\"]\n    tls: off\n    health: {interval: 1s, fall: 1, rise: 1}\n" % (
            sinks[0].port, sinks[1].port) + upstreams)
    g = w.glacis(config)
    is_well(g)
    sinks[1].pause()
    becomes(g, 1, "server_down", "server 127.0.0.1:%d of inner is down" % sinks[1].port)
    sinks[2].pause()
    becomes(g, 1, "upstream_down", "every server of second is down")
    sinks[0].pause()
    becomes(g, 2, "upstream_down", "every server of ")
    must("NOT SERVING" in state(g)[1], "loudly", state(g))
    servers_seen = {s["server"]: s["up"] for s in json.loads(ask(g, "--json").stdout)["servers"]}
    must(len(servers_seen) == 3 and not any(servers_seen.values()), "each of them", servers_seen)
    for sink in sinks:
        sink.resume()
    is_well(g)
    g.stop()
    done = ask(g)
    must(done.returncode == 2 and "no process listens there" in done.stderr, "not running: not serving", done)
    done = ask(g, "--json")
    must(done.returncode == 2 and json.loads(done.stdout)["status"] == "not_serving", "in JSON, too", done)


@shows("B5: a refused configuration and a refused group file: 1; REFUSED ends when the group file is mended")
def files(w):
    group = os.path.join(w.dir, "friends")

    def write(text):
        with open(group + ".new", "w", encoding="ascii") as f:
            f.write(text)
        os.rename(group + ".new", group)
    write("192.0.2.1\n")
    config = w.config(w.sink(), GROUP % group, policy="policy:\n  preset: none\n  rules:\n    - {name: a, when: {client.ip: group:friends}, "
                                                      "then: accept}\n")
    g = w.glacis(config)
    is_well(g)
    g.write(config + "nonsense: 1\n")
    must(reload(g).returncode == 78, "refused")
    becomes(g, 1, "config_refused", "unknown key")
    g.write(config)
    must(reload(g).returncode == 0, "taken")
    is_well(g)
    write("not an address at all, this\n")
    becomes(g, 1, "groups_refused", "a group file is refused: ")
    must("REFUSED     a group file" in ask(g).stdout, "in words", ask(g).stdout)
    must(reload(g).returncode == 78, "a reload is refused, because of it")
    becomes(g, 1, "config_refused", "the configuration file is refused: ")
    write("192.0.2.2\n")
    is_well(g)
    must("REFUSED" not in ask(g).stdout, "nothing is refused any more", ask(g).stdout)


@shows("B5: a list that is demoted, one that does not answer, and an unfit resolver: 1")
def lists_and_resolver(w):
    lab = Lab(w, "    - {name: liar, zone: liar.test, probe: off}\n    - {name: dead, zone: dead.test, probe: off, timeout: 300ms}\n",
              guard="{sample: 0%, probe_interval: off, canaries: [], min_asked: 5, breaker: {failures: 3, retry: 600s}}")
    lab.dns.forward("liar.test", None)
    lab.dns.add("*.liar.test", "A", "127.0.0.2")
    lab.dns.fault("dead.test", "silent")
    is_well(lab.g)
    for network in range(30, 45):
        lab.send("127.%d.0.1" % network, "a@none.test")
    becomes(lab.g, 1, "list", "list liar is demoted: it says yes to nearly everything")
    must("list dead does not answer and is skipped" in state(lab.g)[1], "both in the first line", state(lab.g))
    broken = dnsserver.DnsServer().start()
    broken.fault("", "silent")
    w.dns.append(broken)
    lab.g.write(w.config(lab.sink).replace("dns: {self_test: off}", "dns: {self_test: 1h, servers: [\"%s\"]}" % broken.address))
    must(reload(lab.g).returncode == 0, "another resolver")
    becomes(lab.g, 1, "resolver", "the resolver ")


@shows("B5, C12: a certificate that expires soon, a dead worker, dropped log lines: 1; a log pipe without a reader blocks no reload")
def the_rest(w):
    ca = Authority(os.path.join(w.dir, "ca"))
    tls = "tls: {certificate: %s, private_key: %s}"
    sink = w.sink()
    g = w.glacis(w.config(sink, tls % ca.leaf("soon", days=5)))
    becomes(g, 1, "certificate", "soon.pem expires in " if os.path.exists(os.path.join(ca.dir, "soon.pem")) else "expires in ")
    g.write(w.config(sink, tls % ca.leaf("good")))
    must(reload(g).returncode == 0, "renewed")
    is_well(g)
    os.kill(g.children("glacis-worker")[0], 9)
    becomes(g, 1, "process_died", "1 process died within the last hour")

    def talk():
        with Client(g.smtp) as c:
            c.hello()
            c.cmd("QUIT")
        return "records_dropped" in state(g)[2]
    pipe = os.path.join(w.dir, "pipe")
    os.mkfifo(pipe)
    g.write(w.config(sink, "log: {to: 'file:%s'}" % pipe))
    must(reload(g).returncode == 0, "a log without a reader", reload(g))

    had = len(g.events("close"))
    talk()
    wait_for(lambda: len(g.events("close")) > had, 10, "its lines go to standard error")
    g.write(w.config(sink, "log: {to: 'file:/dev/full'}"))
    must(reload(g).returncode == 0, "a log that takes nothing", reload(g))

    wait_for(talk, 30, "lines are dropped")
    becomes(g, 1, "records_dropped", " log lines were dropped within the last hour")


if __name__ == "__main__":
    run(beside=2)
