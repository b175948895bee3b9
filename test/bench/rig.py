# SPDX-License-Identifier: Apache-2.0
"""rig.py - what stands around a target: control groups, the DNS, the sink, certificates, and readings of the machine.

Each process runs in one of four control groups (peer, gen, sink, dns) below GROUPS, so CPU is counted for all processes
of a target, also for those that have ended.  The DNS is nsd: four lists (127.96.0.0/12 is on all), a wildcard SPF zone
with the key of the signed messages, an empty reverse zone.  (rbldnsd cuts TXT records at 255 octets, too short for an
RSA-2048 key.)  Owns: the processes of DNS and sink, which stop() ends.  Needs root; loopback only.
"""
import base64
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
GROUPS = os.path.join("/sys/fs/cgroup/unified" if os.path.isdir("/sys/fs/cgroup/unified") else "/sys/fs/cgroup", "smtpbench")
NAMES = ("peer", "gen", "sink", "dns")
PORT, SINK_PORT = 2525, 2600
CORES = os.cpu_count()
TICK_US = 1000000 // os.sysconf("SC_CLK_TCK")
SOA = "$TTL 3600\n@ SOA ns.test. h.test. 1 3600 600 86400 300\n@ NS ns.test.\n"
LISTED = "".join('*.%d.127 A 127.0.0.2\n*.%d.127 TXT "listed"\n' % (n, n) for n in range(96, 112))
SENDERS = "".join('%s A 127.0.0.2\n%s TXT "v=spf1 ip4:127.0.0.0/8 -all"\n' % (n, n)
                  for n in ("senders", "*.senders", "example", "mx"))
ZONES = {
    "test": SOA + SENDERS,
    "in-addr.arpa": SOA,    # no address has a name: NXDOMAIN, not REFUSED
}
ZONES.update({"bl%d.bl" % n: SOA + LISTED for n in range(1, 5)})
NSD = """server:
  ip-address: 127.0.0.1@53
  username: ""
  chroot: ""
  server-count: 1
  hide-version: yes
  database: ""
  zonesdir: "%(dir)s"
  pidfile: "%(dir)s/pid"
  zonelistfile: "%(dir)s/list"
  xfrdfile: "%(dir)s/xfrd"
  rrl-ratelimit: 0
remote-control:
  control-enable: no
"""


def read(path):
    """The text of a file of /proc or /sys; empty if it is gone."""
    try:
        with open(path, encoding="latin-1") as f:
            return f.read()
    except OSError:
        return ""


# ---- control groups ----

def enter(group):
    """For preexec_fn: the new process joins the group."""
    def join():
        with open(os.path.join(GROUPS, group, "cgroup.procs"), "w", encoding="ascii") as f:
            f.write("0")
    return join


def cpu_us(group):
    """(all, user, system) microseconds of the group so far."""
    stat = dict(line.split() for line in read(os.path.join(GROUPS, group, "cpu.stat")).splitlines())
    return tuple(int(stat[k]) for k in ("usage_usec", "user_usec", "system_usec"))


def pids(group):
    return [int(p) for p in read(os.path.join(GROUPS, group, "cgroup.procs")).split()]


def kill_all(group):
    """Ends what is left in a group of ours, by process id."""
    for pid in pids(group):
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            pass


def pss_kib(group):
    """Proportional memory of all processes of the group."""
    found = re.findall(r"^Pss: +(\d+)", "".join(read("/proc/%d/smaps_rollup" % p) for p in pids(group)), re.M)
    return sum(int(n) for n in found)


# ---- the machine ----

def machine():
    """(busy, steal) microseconds of all cores so far."""
    f = [int(x) for x in read("/proc/stat").split("\n", 1)[0].split()[1:]]
    return (sum(f[:8]) - f[3] - f[4]) * TICK_US, f[7] * TICK_US


class Share:
    """What others took of the machine since the object was made."""

    def __init__(self):
        self.at, (self.busy, self.steal), self.own = time.monotonic(), machine(), self.ours()

    @staticmethod
    def ours():
        return sum(cpu_us(g)[0] for g in NAMES)

    def other(self):
        """Shares of all cores: (all but ours, stolen by the host)."""
        whole = max(time.monotonic() - self.at, 0.01) * 1e6 * CORES
        busy, steal = machine()
        return max(0.0, (busy - self.busy - self.ours() + self.own) / whole), (steal - self.steal) / whole


def wait_quiet(seconds, limit):
    """Waits until others take less than `limit` of the machine for a moment, at most so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        share = Share()
        time.sleep(0.25)
        if share.other()[0] < limit:
            return


def settled(group, seconds=15):
    """Waits until the group has nothing more to do: 250 ms with less than 5 ms of CPU."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = cpu_us(group)[0]
        time.sleep(0.25)
        if cpu_us(group)[0] - before < 5000:
            return


def udp_in():
    """UDP datagrams received in this network namespace: a question and its answer are two."""
    names, values = [l.split() for l in read("/proc/net/snmp").splitlines() if l.startswith("Udp:")]
    return int(dict(zip(names, values))["InDatagrams"])


def kernel_kib():
    """Memory of the kernel that grows with connections."""
    found = dict(re.findall(r"^(\w+): +(\d+)", read("/proc/meminfo"), re.M))
    return sum(int(found[k]) for k in ("Slab", "KernelStack", "PageTables"))


def about():
    """Facts for the head of the report."""
    model = re.search(r"model name\s*: (.*)", read("/proc/cpuinfo"))
    return {"cpu": model.group(1) if model else "?", "cores": CORES, "kernel": os.uname().release,
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), "load": read("/proc/loadavg").split()[0]}


# ---- the world ----

def listens(port, seconds, banner):
    """True once the port takes connections, and greets with 220 if `banner`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 2) as s:
                s.settimeout(5)
                if not banner or s.recv(100).startswith(b"220"):
                    s.sendall(b"QUIT\r\n")
                    return True
        except OSError:
            pass
        time.sleep(0.05)
    return False


class Addresses:
    """Source addresses: 2^16 fresh ones of 127.128.0.0/9 for each run, listed ones from 127.96.0.0/12."""

    def __init__(self):
        self.plain = self.listed = 0

    def fresh(self, listed=False):
        if listed:
            n = (127 << 24) + (96 << 16) + self.listed % 65536 * 16
            self.listed += 4096
        else:
            n = (127 << 24) + (128 << 16) + self.plain % 127 * 65536
            self.plain += 1
        return ".".join(str(n + 1 >> s & 255) for s in (24, 16, 8, 0))


class Rig:
    """DNS, sink and certificates, running."""

    def __init__(self, nice=0):
        self.run = os.path.join(HERE, "run")
        os.makedirs(self.run, exist_ok=True)
        self.lock = open(os.path.join(self.run, "lock"), "w", encoding="ascii")  # pylint: disable=consider-using-with
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit("another run is going on (run/lock)")
        if nice:
            os.nice(nice)
        for name in NAMES:
            os.makedirs(os.path.join(GROUPS, name), exist_ok=True)
        self.addresses = Addresses()
        self.ids = os.path.join(self.run, "sink.ids")
        self.certificates()
        self.dns = self.start_dns()
        self.sink = self.start_sink()

    def certificates(self):
        for kind, options in (("ecdsa", ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]), ("rsa", ["rsa:2048"])):
            base = os.path.join(self.run, kind)
            if not os.path.exists(base + ".pem"):
                subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "3650", "-subj", "/CN=mx.test", "-newkey", *options,
                                "-keyout", base + ".key", "-out", base + ".pem"], check=True, capture_output=True)
                os.chmod(base + ".key", 0o644)

    def signing_key(self):
        """A new RSA-2048 key for each run; its record for the zone, in strings of at most 255 octets."""
        self.dkim_key = os.path.join(self.run, "dkim.key")
        subprocess.run(["openssl", "genrsa", "-out", self.dkim_key, "2048"], check=True, capture_output=True)
        public = subprocess.run(["openssl", "rsa", "-in", self.dkim_key, "-pubout", "-outform", "DER"], check=True,
                                capture_output=True).stdout
        text = "v=DKIM1; p=" + base64.b64encode(public).decode()
        return "bench._domainkey.senders TXT " + " ".join('"%s"' % text[i:i + 255] for i in range(0, len(text), 255)) + "\n"

    def start_dns(self):
        base = os.path.join(self.run, "dns")
        os.makedirs(base, exist_ok=True)
        conf = NSD % {"dir": base}
        for name, text in dict(ZONES, test=ZONES["test"] + self.signing_key()).items():
            with open(os.path.join(base, name), "w", encoding="ascii") as f:
                f.write(text)
            conf += 'zone:\n  name: "%s"\n  zonefile: "%s"\n' % (name, name)
        with open(os.path.join(base, "nsd.conf"), "w", encoding="ascii") as f:
            f.write(conf)
        return self.spawn("dns", ["nsd", "-d", "-c", os.path.join(base, "nsd.conf")])

    def start_sink(self):
        if os.path.exists(self.ids):
            os.unlink(self.ids)
        sink = self.spawn("sink", [os.path.join(HERE, "smtpsink"), "-V", "-h", "X-Filter", "-o", self.ids,
                                   "127.0.0.1:%d" % SINK_PORT])
        if not listens(SINK_PORT, 10, True):
            sys.exit("the sink did not start")
        return sink

    def spawn(self, group, command):
        with open(os.path.join(self.run, group + ".log"), "w", encoding="ascii") as log:
            return subprocess.Popen(command, preexec_fn=enter(group), stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def sink_counts(self):
        """The sink's counters: conns, open, msgs, bytes, bad, noid, tagged, dkim, rcpt."""
        with socket.create_connection(("127.0.0.1", SINK_PORT), 5) as s, s.makefile("rb") as f:
            f.readline()
            s.sendall(b"XSTATS\r\n")
            return {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", f.readline().decode())}

    def stop(self):
        kill_all("peer")
        kill_all("gen")
        for process in (self.sink, self.dns):
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
