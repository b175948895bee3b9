# SPDX-License-Identifier: Apache-2.0
"""client.py - a raw SMTP client for the tests: it sends any octets in any pieces, and starts glacis.

Nothing is checked here and nothing is repaired: what a test says is what goes out.  Every wait has a
deadline.  Also here: Glacis, which runs the program on a configuration in a directory of its own.
"""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request

TIMEOUT = float(os.environ.get("GLACIS_TEST_TIMEOUT", "20"))

# what the person who runs a test has set must not matter to it: as in test/environment.sh
for name in ("GLACIS_HOSTNAME GLACIS_UPSTREAM GLACIS_DOMAINS GLACIS_ADMIN_TOKEN NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID "
             "LISTEN_FDS LISTEN_PID LISTEN_FDNAMES JOURNAL_STREAM CREDENTIALS_DIRECTORY MAIL_CONFIG TZ").split():
    os.environ.pop(name, None)
os.environ.update(LC_ALL="C.UTF-8", no_proxy="127.0.0.1,localhost", NO_PROXY="127.0.0.1,localhost")
os.umask(0o022)


class Lost(Exception):
    """The connection ended, or nothing came in time, where a reply was expected."""


class Reply:
    """One reply, one or more lines."""

    def __init__(self, raw):
        self.raw = raw
        self.lines = raw.split(b"\r\n")[:-1]
        self.code = self.lines[-1][:3].decode("latin-1")

    @property
    def text(self):
        return b"\n".join(l[4:] for l in self.lines).decode("latin-1")

    @property
    def enhanced(self):
        found = re.match(r"([245]\.\d{1,3}\.\d{1,3})(\s|$)", self.text)
        return found.group(1) if found else ""

    def __str__(self):
        return self.raw.decode("latin-1").rstrip()


class Client:
    """One connection.  `octetwise` makes send() write one octet at a time."""

    def __init__(self, address, source=None, greet=True, timeout=None, octetwise=False):
        self.timeout = timeout or TIMEOUT
        self.octetwise = octetwise
        self.sock = socket.create_connection(address, self.timeout, (source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.all = b""
        self.greeting = self.reply() if greet else None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- sending ----

    def send(self, data, pieces=None):
        """All of it at once, or cut at each of `pieces` (offsets), each piece in a segment of its own."""
        if self.octetwise:
            pieces = range(1, len(data))
        last = 0
        for cut in list(pieces or []) + [len(data)]:
            self.sock.sendall(data[last:cut])
            last = cut
            if pieces:
                time.sleep(0.0005)

    def cmd(self, line, timeout=None):
        """One command line; the reply."""
        self.send((line.encode("utf-8") if isinstance(line, str) else line) + b"\r\n")
        return self.reply(timeout)

    def hello(self, name="client.example.net"):
        return self.cmd("EHLO " + name)

    def envelope(self, rcpts=("bob@example.test",), sender="alice@elsewhere.invalid", params=""):
        """MAIL and RCPTs; the list of replies."""
        out = [self.cmd("MAIL FROM:<%s>%s" % (sender, params))]
        out += [self.cmd("RCPT TO:<%s>" % r) for r in rcpts]
        return out

    def data(self, content, timeout=None):
        """DATA with content that ends in CRLF; the final reply, or the refusal of DATA."""
        go = self.cmd("DATA")
        if go.code != "354":
            return go
        self.send(stuff(content) + b".\r\n")
        return self.reply(timeout)

    def bdat(self, chunk, last=False):
        self.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if last else b"") + chunk)
        return self.reply()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Ends with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()

    # ---- receiving ----

    def _fill(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise Lost("no reply in time, so far %r" % self.buffer)
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise Lost("no reply in time, so far %r" % self.buffer) from None
        except OSError as e:
            raise Lost("connection broken (%s), so far %r" % (e, self.buffer)) from None
        if not data:
            raise Lost("connection closed, so far %r" % self.buffer)
        self.buffer += data
        self.all += data

    def reply(self, timeout=None):
        """The next whole reply."""
        deadline = time.monotonic() + (timeout or self.timeout)
        at = 0
        while True:
            end = self.buffer.find(b"\r\n", at)
            if end < 0:
                self._fill(deadline)
                continue
            line = self.buffer[at:end]
            at = end + 2
            if line[3:4] != b"-":
                raw, self.buffer = self.buffer[:at], self.buffer[at:]
                return Reply(raw)

    def quiet(self, seconds=0.3):
        """True if nothing comes within that time."""
        try:
            self._fill(time.monotonic() + seconds)
        except Lost as e:
            return "in time" in str(e) and not self.buffer
        return False

    def rest(self, timeout=None):
        """Everything up to the end of the connection."""
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            while True:
                self._fill(deadline)
        except Lost as e:
            if "in time" in str(e):
                raise Lost("the connection was not closed; seen %r" % self.buffer) from None
        out, self.buffer = self.buffer, b""
        return out

    def replies_to_end(self, timeout=None):
        """All replies up to the end of the connection."""
        return [l[:3].decode("latin-1") for l in self.rest(timeout).split(b"\r\n")[:-1] if l[3:4] != b"-"]


def stuff(content):
    """Adds the dots of transparency."""
    out = content.replace(b"\r\n.", b"\r\n..")
    return b"." + out if out.startswith(b".") else out


class Glacis:
    """The program, running.  `config` is YAML text; {dir} in it becomes the directory of this run."""

    def __init__(self, directory, config, program=None, env=None, wrapper=(), arguments=()):
        self.arguments = list(arguments)    # of `run`, beside those for the file and the ready file
        self.program = program or os.environ.get("GLACIS", "build/glacis")
        self.wrapper = list(wrapper)   # a command that starts the program
        self.dir = directory
        os.makedirs(os.path.join(directory, "state"), exist_ok=True)
        self.path = os.path.join(directory, "glacis.yaml")
        self.ready = os.path.join(directory, "ready")
        self.log_path = os.path.join(directory, "log")
        self.env = dict(os.environ, **(env or {}))
        self.process = None
        self.addresses = {}
        self.write(config)

    def write(self, config):
        with open(self.path + ".tmp", "w", encoding="utf-8") as f:
            f.write(config.replace("{dir}", self.dir))
        os.rename(self.path + ".tmp", self.path)

    def start(self):
        if os.path.exists(self.ready):
            os.unlink(self.ready)       # of the run before
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.wrapper + [self.program, "run", "-c", self.path, "--ready-file",
                                                             self.ready] + self.arguments,
                                            stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env,
                                            start_new_session=True)
        deadline = time.monotonic() + 30
        while not os.path.exists(self.ready):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("glacis did not start:\n" + self.log_text()[-4000:])
            time.sleep(0.02)
        self.read_ready()
        return self

    def read_ready(self):
        """Lines `name address:port`; of several of one name the first counts."""
        self.addresses = {}
        with open(self.ready, encoding="ascii") as f:
            for line in f:
                name, address = line.split()
                host, port = address.rsplit(":", 1)
                self.addresses.setdefault(name, (host.strip("[]"), int(port)))

    @property
    def smtp(self):
        for name, address in self.addresses.items():
            if name != "admin":
                return address
        raise RuntimeError("no listener in the ready file")

    def http(self, path):
        """(status, text) from the admin listener."""
        url = "http://%s:%d%s" % (*self.addresses["admin"], path)
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return answer.status, answer.read().decode("utf-8")
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode("utf-8", "replace")

    def metrics(self):
        """{'name{label="x"}': number}"""
        out = {}
        for line in self.http("/metrics")[1].splitlines():
            if line and not line.startswith("#"):
                key, value = line.rsplit(" ", 1)
                out[key] = float(value)
        return out

    def log_text(self):
        """All of the log, once it has come to rest."""
        return self.quiet_log()

    def read_log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def quiet_log(self):
        """The log once nothing has been added for a moment: the recorder writes it a little later than things happen."""
        text, still, end = self.read_log(), 0, time.monotonic() + 2
        while still < 3 and time.monotonic() < end:
            time.sleep(0.03)
            now = self.read_log()
            still = still + 1 if now == text else 0
            text = now
        return text

    def events(self, name=None):
        """Log lines, parsed."""
        out = []
        for line in self.quiet_log().splitlines():
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and name in (None, event.get("event", event.get("ev"))):
                out.append(event)
        return out

    def children(self, role=None):
        """Process ids of the workers and the recorder, by what /proc says of them."""
        out = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open("/proc/%s/stat" % entry, encoding="latin-1") as f:
                    parent = int(f.read().rsplit(")", 1)[1].split()[1])
                with open("/proc/%s/cmdline" % entry, "rb") as f:
                    cmdline = f.read().replace(b"\0", b" ").decode("latin-1")
                with open("/proc/%s/comm" % entry, encoding="latin-1") as f:
                    comm = f.read().strip()
            except (OSError, IndexError, ValueError):
                continue
            if parent == self.process.pid and (role is None or role in cmdline or role in comm):
                out.append(int(entry))
        return sorted(out)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, timeout=20):
        """SIGTERM, a second one after half the time, at last SIGKILL.  The exit status."""
        if self.process is None or self.process.poll() is not None:
            return self.process.returncode if self.process else None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout / 2)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout / 2)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


BUSY = 3        # a machine with much else to do: what happens at all is waited for so many times as long


def wait_for(condition, timeout=10, what="it"):
    """Waits until condition() is true; returns its value."""
    timeout *= BUSY
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Lost("%s did not happen within %s s" % (what, timeout))
        time.sleep(0.02)
