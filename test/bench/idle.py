# SPDX-License-Identifier: Apache-2.0
"""idle.py PORT PID COUNT - holds COUNT idle sessions against glacis and prints what they cost; see idle.sh."""
import os
import resource
import selectors
import socket
import subprocess
import sys
import time


def processes(supervisor):
    """{pid: name} of the supervisor and its children."""
    out = {supervisor: "supervisor"}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % entry, encoding="latin-1") as f:
                text = f.read()
        except OSError:
            continue
        if int(text.rsplit(")", 1)[1].split()[1]) == supervisor:
            out[int(entry)] = text.split("(", 1)[1].rsplit(")", 1)[0]
    return out


def pss(pids):
    """KiB of proportional memory of these processes."""
    total = 0
    for pid in pids:
        with open("/proc/%d/smaps_rollup" % pid, encoding="ascii") as f:
            total += sum(int(l.split()[1]) for l in f if l.startswith("Pss:"))
    return total


def hold(port, first, count):
    """COUNT sessions that have said EHLO; the sockets."""
    waiting = selectors.DefaultSelector()
    socks = []
    for i in range(first, first + count):
        s = socket.socket()
        s.bind(("127.0.%d.%d" % (2 + i // 20000, 1 + i % 200), 0))
        s.connect(("127.0.0.1", port))
        socks.append(s)
    for said in (b"EHLO idle.example.net\r\n", None):
        for s in socks:
            waiting.register(s, selectors.EVENT_READ)
        left = len(socks)
        deadline = time.monotonic() + 120
        while left and time.monotonic() < deadline:
            for key, _ in waiting.select(5):
                if not key.fileobj.recv(4096):
                    sys.exit("a connection was closed")
                waiting.unregister(key.fileobj)
                left -= 1
                if said:
                    key.fileobj.sendall(said)
        if left:
            sys.exit("%d connections got no answer" % left)
    return socks


def main():
    port, supervisor, count = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    if len(sys.argv) > 4:                       # a helper: holds its part, says so, waits for the end of input
        socks = hold(port, int(sys.argv[4]), count)
        print("held", flush=True)
        sys.stdin.read()
        sys.exit(0 if socks else 1)
    room = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 100
    names = processes(supervisor)
    workers = [p for p, n in names.items() if "worker" in n]
    warm = hold(port, 0, 200)
    for s in warm:
        s.close()
    time.sleep(3)
    before_workers, before_all = pss(workers), pss(names)
    helpers = []
    for first in range(0, count, room):
        helper = subprocess.Popen([sys.executable, __file__, str(port), str(supervisor), str(min(room, count - first)), str(first)],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        helpers.append(helper)
        if helper.stdout.readline() != b"held\n":
            sys.exit("the connections could not be held")
    time.sleep(3)
    after_workers, after_all = pss(workers), pss(names)
    print("connections             %d" % count)
    print("workers                 %d" % len(workers))
    print("PSS before              %d KiB (all processes)" % before_all)
    print("PSS with connections    %d KiB (all processes)" % after_all)
    print("each connection         %.2f KiB (workers %.2f KiB)" % ((after_all - before_all) / count,
                                                                  (after_workers - before_workers) / count))
    for helper in helpers:
        helper.stdin.close()
        helper.wait(30)


if __name__ == "__main__":
    main()
