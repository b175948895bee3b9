#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""40-processes.py - the supervisor: reload, stop, crashes, sockets, users, PID 1, health and metrics."""
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import Skip, must, run, shows
from client import Client, Lost, wait_for
from ports import free_port

MESSAGE = b"Subject: x\r\n\r\nhello\r\n"


def deliver(glacis, sink, client=None):
    had = len(sink.messages)
    c = client or Client(glacis.smtp)
    if client is None:
        c.hello()
    codes = [r.code for r in c.envelope()] + [c.data(MESSAGE).code]
    must(codes == ["250", "250", "250"], "a message accepted", codes)
    must(len(sink.messages) == had + 1, "one more at the upstream", len(sink.messages) - had)
    return c


def status_of(pid):
    with open("/proc/%d/status" % pid, encoding="latin-1") as f:
        return dict(l.split(":\t", 1) for l in f.read().splitlines() if ":\t" in l)


@shows("the ready file names each listener with its port; the admin listener has health and metrics")
def ready_and_health(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    must(set(g.addresses) == {"smtp", "admin"}, "smtp and admin", g.addresses)
    must(g.http("/healthz")[0] == 200, "/healthz 200", g.http("/healthz"))
    wait_for(lambda: g.http("/readyz")[0] == 200, 10, "/readyz 200")
    deliver(g, sink)
    must(g.http("/nothing")[0] == 404, "404 for the rest", g.http("/nothing"))
    wait_for(lambda: g.metrics().get('glacis_messages_total{outcome="accepted"}') == 1, 5, "one message counted")
    text = g.http("/metrics")[1]
    for line in text.splitlines():
        must(line == "" or re.fullmatch(r"# (HELP|TYPE) .*|[a-z_0-9]+(\{[^}]*\})? [-+0-9.eE]+", line), "Prometheus text", line)
    must(g.metrics().get("glacis_workers") == 2, "2 workers", g.metrics().get("glacis_workers"))
    must(g.stop() == 0, "exit status 0", g.process.returncode)


@shows("a good reload: new generation, the open session goes on under the old one, new sessions see the new file")
def good_reload(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    old = Client(g.smtp)
    old.hello()
    old.envelope()
    g.write(w.config(sink, "limits: {message_size: 123456}"))
    g.signal(signal.SIGHUP)

    def new_size():
        with Client(g.smtp) as c:
            return "SIZE 123456" in c.hello().text
    wait_for(new_size, 10, "the new limit")
    must(old.data(MESSAGE).code == "250", "the old session finishes")
    wait_for(lambda: g.metrics().get('glacis_reloads_total{outcome="ok"}', 0) >= 1, 5, "counted")
    answer = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, timeout=20, check=False)
    must(answer.returncode == 0, "glacis reload succeeds", answer)


@shows("a bad reload changes nothing and says why, by signal and by the command")
def bad_reload(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    good = w.config(sink)
    g.write(good + "\nno_such_section: 1\n")
    answer = subprocess.run([g.program, "reload", "-c", g.path], capture_output=True, text=True, timeout=20, check=False)
    said = answer.stdout + answer.stderr
    must(answer.returncode != 0 and "no_such_section" in said, "refused, naming the key", (answer.returncode, said))
    g.signal(signal.SIGHUP)
    wait_for(lambda: g.metrics().get('glacis_reloads_total{outcome="refused"}', 0) >= 2, 5, "two refusals counted")
    must("no_such_section" in g.log_text(), "logged")
    deliver(g, sink)


@shows("SIGTERM drains: an idle session gets 421, one in DATA finishes, then exit 0")
def drain(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    idle = Client(g.smtp)
    idle.hello()
    busy = Client(g.smtp)
    busy.hello()
    busy.envelope()
    must(busy.cmd("DATA").code == "354", "354")
    busy.send(MESSAGE[:10])
    g.signal(signal.SIGTERM)
    must(idle.reply(10).code == "421", "421 for the idle session")

    def refused():
        try:
            Client(g.smtp, timeout=1).close()
            return False
        except (OSError, Lost):
            return True
    wait_for(refused, 10, "no new sessions")
    busy.send(MESSAGE[10:] + b".\r\n")
    must(busy.reply().code == "250", "the message is finished")
    busy.close()
    must(g.process.wait(20) == 0, "exit 0", g.process.returncode)
    must(len(sink.messages) == 1, "delivered once", len(sink.messages))


@shows("SIGTERM or SIGINT to the whole process group (a terminal, a service manager) drains all the same")
def group_signals(w):
    for number in (signal.SIGTERM, signal.SIGINT):
        sink = w.sink()
        g = w.glacis(w.config(sink), name="g%d" % number)
        busy = Client(g.smtp)
        busy.hello()
        busy.envelope()
        busy.cmd("DATA")
        os.killpg(g.process.pid, number)
        time.sleep(0.5)
        busy.send(MESSAGE + b".\r\n")
        must(busy.reply().code == "250", "the message is finished after signal %d" % number)
        busy.close()
        must(g.process.wait(20) == 0, "exit 0", g.process.returncode)
        must(len(sink.messages) == 1, "delivered once", len(sink.messages))
        must(g.events("txn"), "and logged: the recorder ends last", g.log_text()[-1500:])


@shows("a second SIGTERM ends at once; nothing half is delivered")
def second_sigterm(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    busy = Client(g.smtp)
    busy.hello()
    busy.envelope()
    busy.cmd("DATA")
    busy.send(MESSAGE)
    g.signal(signal.SIGTERM)
    time.sleep(0.5)
    must(g.process.poll() is None, "still draining")
    g.signal(signal.SIGTERM)
    g.process.wait(20)
    must(not sink.messages, "nothing delivered")


@shows("a session that waits for the final reply is not cut by SIGTERM")
def drain_waits_for_final_reply(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, server="drain_timeout: 1s"))
    sink.rules = [{"at": "DOT", "delay": 3}]
    c = Client(g.smtp)
    c.hello()
    c.envelope()
    c.cmd("DATA")
    c.send(MESSAGE + b".\r\n")
    must(sink.wait(lambda: sink.commands("DATA"), 5), "DATA at the upstream")
    g.signal(signal.SIGTERM)
    must(c.reply(10).code == "250", "250 after the drain timeout")


@shows("a killed worker is replaced; connections in the backlog are served")
def worker_replaced(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, workers=1))
    first = wait_for(lambda: g.children("glacis-worker"), 5, "the worker to have its name")
    must(len(first) == 1, "one worker", first)
    os.kill(first[0], signal.SIGSTOP)      # so that connections wait in the backlog
    waiting = []
    for _ in range(5):
        waiting.append(socket.create_connection(g.smtp, 5))
    os.kill(first[0], signal.SIGKILL)
    for s in waiting:
        s.settimeout(15)
        must(s.recv(100).startswith(b"220 "), "the waiting connection is greeted")
        s.close()
    second = wait_for(lambda: g.children("glacis-worker"), 5, "a new worker")
    must(second != first, "another process", (first, second))
    deliver(g, sink)
    wait_for(lambda: g.metrics().get("glacis_worker_restarts_total", 0) >= 1, 5, "counted")


@shows("a killed recorder is replaced; mail flows meanwhile, the log goes on")
def recorder_replaced(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    old = wait_for(lambda: g.children("glacis-recorder"), 5, "the recorder to have its name")
    must(len(old) == 1, "one recorder", old)
    os.kill(old[0], signal.SIGKILL)
    deliver(g, sink)
    new = wait_for(lambda: [p for p in g.children("glacis-recorder") if p not in old], 10, "a new recorder")
    must(len(new) == 1, "one", new)
    wait_for(lambda: g.http("/healthz")[0] == 200, 10, "/healthz")
    deliver(g, sink)
    wait_for(lambda: len(g.events("txn")) >= 1, 5, "txn lines")


@shows("the supervisor killed: workers finish and go, nothing stays behind")
def supervisor_killed(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    children = g.children()
    c = Client(g.smtp)
    c.hello()
    c.envelope()
    c.cmd("DATA")
    g.process.kill()
    g.process.wait(5)
    c.send(MESSAGE + b".\r\n")
    must(c.reply().code == "250", "the session finishes")
    c.close()
    wait_for(lambda: not any(os.path.exists("/proc/%d" % p) and status_of(p)["State"][0] != "Z" for p in children), 15,
             "the end of its children")


@shows("A19: after a kill of the supervisor a new one gets the address while the old workers drain")
def killed_and_started(w):
    sink = w.sink()
    g = w.glacis(w.config(sink).replace('listen: ["127.0.0.1:0"]', 'listen: ["127.0.0.1:%d"]' % free_port()))
    old = Client(g.smtp)
    old.hello()
    old.envelope()
    old.cmd("DATA")
    g.process.kill()
    g.process.wait(5)
    g.start()
    deliver(g, sink)
    old.send(MESSAGE + b".\r\n")
    must(old.reply().code == "250", "the old session finishes")
    must(ask(g, "status").returncode == 0, "well", ask(g, "status"))


@shows("the control socket answers `glacis status`; it is private to its owner")
def control_socket(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    path = os.path.join(g.dir, "state", "control")
    must(os.stat(path).st_mode & 0o077 == 0, "no access for others", oct(os.stat(path).st_mode))
    answer = subprocess.run([g.program, "status", "-c", g.path], capture_output=True, text=True, timeout=20, check=False)
    must(answer.returncode == 0 and answer.stdout, "a status", answer)


def ask(g, *words, timeout=40):
    return subprocess.run([g.program, *words, "-c", g.path], capture_output=True, text=True, timeout=timeout, check=False)


@shows("C1: only root and the owner can use `query`; the recorder checks the user, and the log names who set a list")
def query_socket(w):
    sink = w.sink()
    g = w.glacis(w.config(sink, "reputation: {lists: [{name: one, zone: one.test, probe: off}]}"))
    path = os.path.join(g.dir, "state", "query")
    must(os.stat(path).st_mode & 0o077 == 0, "no access for others", oct(os.stat(path).st_mode))
    must(ask(g, "lists", "set", "one", "off").returncode == 0, "set")
    wait_for(lambda: g.events("list_set") and g.events("list_set")[0]["uid"] == os.getuid(), 5, "who has set it")
    for words, said in ((b"lissts\n", b'There is no command "lissts"; did you mean `lists`?'),
                        (b"status nonsense\n", b"Expected: status"), (b"\n", b"There is no command")):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(path)
            s.sendall(words)
            must(said in s.recv(4096), said, words)
    if os.getuid() != 0:
        return
    for folder in (os.path.dirname(path), g.dir, w.dir):
        os.chmod(folder, 0o711)
    os.chmod(path, 0o666)
    stranger = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c",
                               "import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])\n"
                               "try:\n  s.sendall(b'status\\n'); print(len(s.recv(100)))\nexcept OSError:\n  print(0)", path],
                              capture_output=True, text=True, timeout=20, check=False)
    must(stranger.stdout.strip() == "0", "no answer for another user, whatever the mode", stranger)
    wait_for(lambda: g.events("query_refused"), 5, "said")


@shows("C1: while the recorder hangs, status prints the supervisor's process table and exits 1; reload and mail work")
def recorder_hangs(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    recorder = wait_for(lambda: g.children("glacis-recorder"), 5, "the recorder to have its name")[0]
    must(ask(g, "status").returncode == 0, "well", ask(g, "status").stdout)
    os.kill(recorder, signal.SIGSTOP)
    done = ask(g, "status")
    must(done.returncode == 1 and "DEGRADED: the recorder does not answer" in done.stdout.splitlines()[0] and
         "recorder, pid %d" % recorder in done.stdout and "worker 1 of generation 1, pid " in done.stdout, "the processes", done)
    done = ask(g, "status", "--json")
    table = json.loads(done.stdout)
    must((table["status"], [p["process"] for p in table["processes"]]) == (
        "degraded", ["supervisor", "recorder", "worker 0 of generation 1", "worker 1 of generation 1"]), "the same", done)
    must(ask(g, "lists").returncode == 69, "lists cannot be told", ask(g, "lists"))
    deliver(g, sink)
    must(ask(g, "reload").returncode == 0, "a reload, which replaces it", ask(g, "reload"))

    def problems():     # it may have been killed for hanging meanwhile, which is to be seen for an hour
        return [p["what"] for p in json.loads(ask(g, "status", "--json").stdout)["problems"]]
    wait_for(lambda: set(problems()) <= {"process_died"}, 15, "well again")


@shows("A19: the same file started twice: the second start fails with a reason; the first one keeps its sockets")
def started_twice(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    inodes = [os.stat(os.path.join(g.dir, "state", n)).st_ino for n in ("control", "query")]
    again = subprocess.run([g.program, "run", "-c", g.path], capture_output=True, text=True, timeout=20, check=False)
    must(again.returncode == 71 and "Another glacis (pid %d) runs with server.state_dir" % g.process.pid in again.stderr and
         "--beside" in again.stderr, "refused", again)
    must([os.stat(os.path.join(g.dir, "state", n)).st_ino for n in ("control", "query")] == inodes, "the same sockets")
    must(ask(g, "status").returncode == 0, "and they answer", ask(g, "status"))


@shows("A19: two state_dirs on one address: the second start fails; with --beside both serve, and either may end first")
def two_on_one_address(w):
    sink = w.sink()
    config = w.config(sink).replace('listen: ["127.0.0.1:0"]', 'listen: ["127.0.0.1:%d"]' % free_port())
    a = w.glacis(config, name="a")
    b = w.glacis(config, start=False, name="b")
    refused = subprocess.run([b.program, "run", "-c", b.path], capture_output=True, text=True, timeout=20, check=False)
    must(refused.returncode == 71 and "another program listens there" in refused.stderr and "--beside" in refused.stderr,
         "refused", refused)
    b = w.glacis(config.replace("{dir}/state", os.path.join(a.dir, "state")), name="b", arguments=["--beside"])
    must(ask(a, "status").stdout.splitlines()[0].split()[3] == "%d," % b.process.pid, "the new one has the sockets", ask(a, "status"))
    wait_for(lambda: len(a.events("another_instance")) == 2, 10, "the old one says so, once a socket")
    deliver(b, sink)
    must(b.stop() == 0, "the new one ends")
    wait_for(lambda: ask(a, "status").returncode == 0 and " %d," % a.process.pid in ask(a, "status").stdout, 10,
             "the old one has its sockets again")
    b.start()
    must(a.stop() == 0, "this time the old one ends")
    must(ask(b, "status").returncode == 0 and " %d," % b.process.pid in ask(b, "status").stdout, "and takes nothing with it",
         ask(b, "status"))
    deliver(b, sink)


@shows("A19: sockets that were removed, or replaced by a file or by another user's socket, are restored; the recorder follows")
def put_back(w):
    sink = w.sink()
    g = w.glacis(w.config(sink))
    recorder = g.children("glacis-recorder")
    paths = [os.path.join(g.dir, "state", n) for n in ("control", "query")]

    def answers():
        return all(os.path.exists(p) and os.stat(p).st_mode & 0o077 == 0 for p in paths) and \
            ask(g, "status").returncode == 0 and ask(g, "reload").returncode == 0
    for p in paths:
        os.unlink(p)
    wait_for(lambda: all(os.path.exists(p) for p in paths), 10, "both are there again")
    must(ask(g, "status").returncode == 0, "query answers", ask(g, "status"))
    must(g.children("glacis-recorder") == recorder, "by the same recorder", g.children("glacis-recorder"))
    for p in paths:
        os.unlink(p)
        with open(p, "w", encoding="ascii") as f:
            f.write("not a socket")
    wait_for(answers, 10, "not a file")
    if os.getuid() == 0:
        strangers = []
        for p in paths:
            os.unlink(p)
            s = socket.socket(socket.AF_UNIX)
            s.bind(p)
            strangers.append(s)
            os.setresuid(65534, 65534, 0)       # the kernel notes the user at listen()
            s.listen(1)
            os.setresuid(0, 0, 0)
        wait_for(answers, 10, "not a stranger's socket")
    must(len(g.events("control_socket")) >= 4, "said", g.events("control_socket"))
    must(g.stop() == 0 and not any(os.path.exists(p) for p in paths), "removed at the end")


@shows("started as root, workers and recorder drop to server.user, with no_new_privs and no capabilities")
def drops_user(w):
    if os.getuid() != 0:
        raise Skip("needs root")
    user = "nobody"
    sink = w.sink()
    g = w.glacis(w.config(sink).replace("user: root", "user: " + user))
    uid = pwd.getpwnam(user).pw_uid
    for pid in g.children():
        # the recorder may still be on its way when the workers are ready
        wait_for(lambda p=pid: status_of(p)["Uid"].split() == [str(uid)] * 4, 5, "uid %d" % uid)
        s = status_of(pid)
        must(s["NoNewPrivs"].strip() == "1", "no_new_privs", s["NoNewPrivs"])
        must(int(s["CapEff"], 16) == 0, "no capabilities", s["CapEff"])
    deliver(g, sink)


@shows("an unknown server.user is an error")
def unknown_user(w):
    if os.getuid() != 0:
        raise Skip("needs root")
    sink = w.sink()
    g = w.glacis(w.config(sink).replace("user: root", "user: no-such-user"), start=False)
    answer = subprocess.run([g.program, "run", "-c", g.path], capture_output=True, text=True, timeout=20, check=False)
    must(answer.returncode not in (0, None) and "no-such-user" in answer.stdout + answer.stderr, "refused by name", answer)


@shows("as PID 1 of its own namespace it serves, reaps and ends on SIGTERM")
def pid_one(w):
    if os.getuid() != 0 or not shutil.which("unshare") or \
       subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], check=False, capture_output=True).returncode:
        raise Skip("unshare --pid is not permitted here")
    sink = w.sink()
    g = w.glacis(w.config(sink), start=False)
    with open(g.log_path, "ab") as log:
        g.process = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", g.program, "run", "-c",
                                      g.path, "--ready-file", g.ready], stdout=log, stderr=log, start_new_session=True)
    wait_for(lambda: os.path.exists(g.ready), 15, "ready")
    g.read_ready()
    deliver(g, sink)
    inner = g.children()
    must(len(inner) == 1, "one process under unshare", inner)
    os.kill(inner[0], signal.SIGTERM)
    must(g.process.wait(20) == 0, "exit 0 after SIGTERM", g.process.returncode)


LAUNCHER = """
import os, socket, sys
address = sys.argv[1]
s = socket.socket(); s.bind(("127.0.0.1", int(address))); s.listen(64)
fd = s.fileno()
if fd != 3:
    os.dup2(fd, 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[2], sys.argv[2:])
"""


@shows("socket activation: a listener passed by the parent (LISTEN_FDS) is used, by several workers")
def socket_activation(w):
    sink = w.sink()
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    g = w.glacis(w.config(sink).replace('"127.0.0.1:0"]', '"127.0.0.1:%d"]' % port), start=False)
    with open(g.log_path, "ab") as log:
        g.process = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(port), g.program, "run", "-c", g.path,
                                      "--ready-file", g.ready], stdout=log, stderr=log, start_new_session=True)
    wait_for(lambda: os.path.exists(g.ready), 15, "ready")
    g.read_ready()
    must(g.smtp[1] == port, "the passed port", g.smtp)
    for _ in range(4):
        deliver(g, sink).close()
    g.signal(signal.SIGHUP)
    time.sleep(0.5)
    deliver(g, sink).close()


@shows("a service manager is told: ready, reloading and ready again, a refused reload, stopping, and that it is alive")
def notifications(w):
    sink = w.sink()
    g = w.glacis(w.config(sink), start=False)
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.settimeout(15)
    manager.bind(os.path.join(w.dir, "notify"))
    environment = dict(os.environ, NOTIFY_SOCKET=os.path.join(w.dir, "notify"), WATCHDOG_USEC="3000000")
    with open(g.log_path, "ab") as log:
        g.process = subprocess.Popen([g.program, "run", "-c", g.path, "--ready-file", g.ready], stdout=log, stderr=log,
                                     env=environment, start_new_session=True)

    def told(word):
        while True:
            text = manager.recv(1000).decode()
            if text != "WATCHDOG=1":
                must(word in text, word, text)
                return
    told("READY=1\nSTATUS=Generation 1 serves with ")
    must(manager.recv(1000) == b"WATCHDOG=1", "a sign of life within the limit")
    g.signal(signal.SIGHUP)
    told("RELOADING=1\nMONOTONIC_USEC=")
    told("READY=1\nSTATUS=Generation 2 serves with ")
    with open(g.path, "a", encoding="ascii") as f:
        f.write("\nno_such_section: 1\n")
    g.signal(signal.SIGHUP)
    told("RELOADING=1")
    told("READY=1\nSTATUS=The new configuration is refused")
    g.signal(signal.SIGTERM)
    told("STOPPING=1\nSTATUS=Sessions are drained")
    must(g.process.wait(20) == 0, "a good end")


@shows("a port in use is an error that names the address; nothing is left running")
def port_in_use(w):
    sink = w.sink()
    g = w.glacis(w.config(sink).replace('listen: ["127.0.0.1:0"]', 'listen: ["127.0.0.1:%d"]' % sink.port), start=False)
    answer = subprocess.run([g.program, "run", "-c", g.path], capture_output=True, text=True, timeout=20, check=False)
    said = answer.stdout + answer.stderr
    must(answer.returncode != 0 and str(sink.port) in said, "refused, naming the port", (answer.returncode, said))


@shows("two instances with ports and folders of their own do not disturb each other")
def two_instances(w):
    sink = w.sink()
    a = w.glacis(w.config(sink), name="a")
    b = w.glacis(w.config(sink), name="b")
    deliver(a, sink)
    deliver(b, sink)
    must(b.stop() == 0, "the second ends well")
    deliver(a, sink)


if __name__ == "__main__":
    run()
