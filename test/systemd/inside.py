# SPDX-License-Identifier: Apache-2.0
"""inside.py - what try.sh shows of the units, run as a service beside them in the container."""
import json
import os
import signal
import smtplib
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request

CONF = "/etc/glacis/glacis.yaml"
TEXT = """
server: {hostname: mx.test, listen: ["0.0.0.0:25", "[::]:25"], greet_delay: 0ms, private_clients: judge}
upstreams: {inner: {servers: ["127.0.0.1:2526"], tls: "off"}}
domains: {example.test: inner}
policy: {preset: none, rules: []}
dns: {self_test: "off"}
tls: {certificate: /etc/glacis/cert.pem, private_key: /etc/glacis/key.pem}
admin: {listen: "127.0.0.1:8025"}
"""
received = []


class Server(socketserver.StreamRequestHandler):
    """A mail server that takes everything."""

    def handle(self):
        self.wfile.write(b"220 inner\r\n")
        for line in self.rfile:
            verb = line[:4].upper().strip()
            if verb == b"DATA":
                self.wfile.write(b"354 go\r\n")
                while (content := self.rfile.readline()) != b".\r\n":
                    if content.startswith(b"Subject: "):
                        received.append(content[9:].strip().decode())
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")


def systemctl(*words, check=True):
    return subprocess.run(("systemctl",) + words, check=check, capture_output=True, text=True)


def show(unit, what):
    return systemctl("show", "-P", what, unit).stdout.strip()


def write(text):
    with open(CONF, "w", encoding="ascii") as file:
        file.write(text)


def mail(subject, tls=False):
    with smtplib.SMTP("127.0.0.1", 25, timeout=20) as client:
        if tls:
            client.starttls()
        client.sendmail("alice@sender.test", ["bob@example.test"], "Subject: %s\r\n\r\nhello\r\n" % subject)
    assert subject in received, received


def wait(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def metrics():
    with urllib.request.urlopen("http://127.0.0.1:8025/metrics", timeout=10) as answer:
        return answer.read().decode()


def journal():
    return subprocess.run(["journalctl", "-u", "glacis.service", "--no-pager"], capture_output=True, text=True, check=True).stdout


def main_pid():
    return int(show("glacis.service", "MainPID"))


def processes():
    main = main_pid()
    with open("/proc/%d/task/%d/children" % (main, main), encoding="ascii") as file:
        return [main] + [int(word) for word in file.read().split()]


def user_of(pid):
    with open("/proc/%d/status" % pid, encoding="ascii") as file:
        return int(next(line for line in file if line.startswith("Uid:")).split()[2])


def starts():
    """glacis.service starts (Type=notify: systemctl waits until it serves), with a key that only root can read"""
    systemctl("start", "glacis.service")
    assert show("glacis.service", "ActiveState") == "active"
    mail("first")
    mail("by TLS", tls=True)
    assert show("glacis.service", "StatusText") == "Generation 1 serves with 2 workers", show("glacis.service", "StatusText")


def drops():
    """only the supervisor is root; workers and recorder are the user of the unit's sysusers file"""
    users = sorted(user_of(pid) for pid in processes())
    assert users[0] == 0 and users.count(0) == 1 and len(users) >= 3, users


def untripped():
    """neither the unit's filter of system calls nor glacis's own was met"""
    denied = [line for line in metrics().splitlines() if "sandbox" in line and not line.startswith("#") and not line.endswith(" 0")]
    assert not denied, denied
    for word in ("EPERM", "not permitted", "sandbox_denied", "status=31/SYS"):
        assert word not in journal(), word


def remembers():
    """the state is in /var/lib/glacis, and both sockets answer"""
    assert os.path.exists("/var/lib/glacis/state.db") or os.listdir("/var/lib/glacis"), "nothing in the state folder"
    status = json.loads(subprocess.run(["glacis", "status", "--json"], check=False, capture_output=True, text=True).stdout)
    assert status["state"] == "serving" and status["workers"], status
    subprocess.run(["glacis", "lists"], check=True, capture_output=True)


def reloads():
    """systemctl reload takes a good file and refuses a broken one, and the old one goes on"""
    write(TEXT.replace("mx.test", "other.test"))
    systemctl("reload", "glacis.service")
    wait(lambda: banner().startswith(b"220 other.test"), "the new name")
    write(TEXT + "nonsense: 1\n")
    assert systemctl("reload", "glacis.service", check=False).returncode != 0
    assert show("glacis.service", "ActiveState") == "active"
    mail("after a broken reload")
    write(TEXT)


def banner():
    with socket.create_connection(("127.0.0.1", 25), timeout=10) as s:
        return s.recv(200)


def falls_back():
    """a broken file at the start: the last good one serves, and the journal says so"""
    write(TEXT + "nonsense: 1\n")
    systemctl("restart", "glacis.service")
    mail("by the last good configuration")
    assert "config_fallback" in journal(), "nothing was said"


def refuses():
    """a broken file at the start and no good one of before: 78, and it is not tried again and again"""
    systemctl("stop", "glacis.service")
    assert show("glacis.service", "Result") == "success", show("glacis.service", "Result")
    for name in os.listdir("/var/lib/glacis"):
        if "good" in name:
            os.remove("/var/lib/glacis/" + name)
    assert systemctl("start", "glacis.service", check=False).returncode != 0, "it started"
    assert show("glacis.service", "ExecMainStatus") == "78", show("glacis.service", "ExecMainStatus")
    time.sleep(3)
    assert show("glacis.service", "NRestarts") == "0", show("glacis.service", "NRestarts")
    write(TEXT)
    systemctl("reset-failed", "glacis.service")


def comes_back():
    """killed, it is started again; hung, the watchdog ends it"""
    systemctl("start", "glacis.service")
    before = main_pid()
    os.kill(before, signal.SIGKILL)
    wait(lambda: main_pid() not in (0, before) and show("glacis.service", "ActiveState") == "active", "a new supervisor")
    mail("after a kill")
    os.makedirs("/run/systemd/system/glacis.service.d", exist_ok=True)
    with open("/run/systemd/system/glacis.service.d/soon.conf", "w", encoding="ascii") as file:
        file.write("[Service]\nWatchdogSec=3\n")
    systemctl("daemon-reload")
    systemctl("restart", "glacis.service")
    time.sleep(7)
    before = main_pid()
    assert show("glacis.service", "NRestarts") in ("0", "1"), "a healthy supervisor was ended by the watchdog"
    os.kill(before, signal.SIGSTOP)
    wait(lambda: main_pid() not in (0, before) and show("glacis.service", "ActiveState") == "active", "the watchdog", 40)
    mail("after the watchdog")


def holds():
    """with glacis.socket nobody is refused while the service restarts"""
    systemctl("stop", "glacis.service")
    systemctl("start", "glacis.socket")
    mail("starts it")
    refused, done, over = [], [], threading.Event()

    def calls():
        while not over.is_set():
            try:
                mail("call %d" % len(done))
                done.append(1)
            except (OSError, smtplib.SMTPException, AssertionError) as e:
                refused.append(e)

    caller = threading.Thread(target=calls)
    caller.start()
    for _ in range(3):
        systemctl("restart", "glacis.service")
        time.sleep(1)
    over.set()
    caller.join()
    assert not [e for e in refused if isinstance(e, ConnectionRefusedError)], refused
    assert len(done) > 10, (done, refused)
    print("    %d messages, %d sessions that were told to come again" % (len(done), len(refused)))


def main():
    os.makedirs("/etc/glacis", exist_ok=True)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=mx.test",
                    "-keyout", "/etc/glacis/key.pem", "-out", "/etc/glacis/cert.pem"], check=True, capture_output=True)
    os.chmod("/etc/glacis/key.pem", 0o600)
    write(TEXT)
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 2526), Server)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    failed = False
    for step in (starts, drops, untripped, remembers, reloads, falls_back, refuses, comes_back, untripped, holds, untripped):
        try:
            step()
            print("ok    " + step.__doc__, flush=True)
        except Exception as e:  # pylint: disable=broad-except
            failed = True
            print("WRONG %s: %s: %s" % (step.__doc__, type(e).__name__, e), flush=True)
    if failed:
        lines = [line for line in journal().splitlines() if '"level":"info","process":"worker"' not in line]
        print("\n".join(line[:300] for line in lines[-80:]))
    else:
        print("all is well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
