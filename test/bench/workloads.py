# SPDX-License-Identifier: Apache-2.0
"""workloads.py - what is done to a target, and the plan of the whole comparison.

A workload is a line of WORKLOADS: what the reader is told, arguments of smtpload, its kind, and what else it needs.
Kinds: msg (messages, saturation), rate (open loop: latency), hs (sessions without a message), refused (clients on all
lists), flood (as many such clients at once), verify (ids and sums compared), idle (sessions held: memory), calls (system
calls by strace, no timing).
"""
from collections import namedtuple

Workload = namedtuple("Workload", "text args kind tls parallel held signed")

IDLE_FEW = 1000


def workload(text, args, kind="msg", tls=False, parallel=0, held=0, signed=False):
    """One row; `parallel` 0 is what the target asks for; `signed`: each message has a valid DKIM signature."""
    return Workload(text, args.split(), kind, tls, parallel, held, signed)


WORKLOADS = {
    "msg4k": workload("4 KiB, one message a session, each from a new address", "-k 1 -s 4096"),
    "msg4kx10": workload("4 KiB, ten messages a session", "-k 10 -s 4096"),
    "msg64k": workload("64 KiB", "-k 1 -s 65536"),
    "msg1m": workload("1 MiB", "-k 1 -s 1048576"),
    "dkim4k": workload("4 KiB, with a valid RSA-2048 DKIM signature", "-k 1 -s 4096", signed=True),
    "dkim1m": workload("1 MiB, with a valid RSA-2048 DKIM signature", "-k 1 -s 1048576", signed=True),
    "pipe4k": workload("4 KiB, the client pipelines MAIL RCPT DATA", "-k 1 -s 4096 -p"),
    "cached4k": workload("4 KiB, 20 addresses over and over", "-k 1 -s 4096 -m 20", parallel=20),
    "tls4k": workload("4 KiB, TLS", "-k 1 -s 4096", tls=True),
    "tls1m": workload("1 MiB, TLS", "-k 1 -s 1048576", tls=True),
    "tlshs": workload("TLS handshake, EHLO, QUIT", "-k 0", "hs", tls=True),
    "ehloquit": workload("EHLO, QUIT", "-k 0", "hs"),
    "refused": workload("clients on all four lists", "-k 1 -s 4096", "refused"),
    "flood600": workload("600 clients on all four lists, all at once", "-k 1 -s 4096 -C 600", "flood", parallel=600),
    "rate50": workload("4 KiB, 50 sessions/s", "-k 1 -s 4096 -q 50", "rate", parallel=400),
    "rate200": workload("4 KiB, 200 sessions/s", "-k 1 -s 4096 -q 200", "rate", parallel=400),
    "par1": workload("4 KiB, 1 session at a time", "-k 1 -s 4096", parallel=1),
    "par10": workload("4 KiB, 10 sessions in parallel", "-k 1 -s 4096", parallel=10),
    "par100": workload("4 KiB, 100 sessions in parallel", "-k 1 -s 4096", parallel=100),
    "par1000": workload("4 KiB, 1,000 sessions in parallel", "-k 1 -s 4096", parallel=1000),
    "verify": workload("64 KiB, ids and sums compared", "-k 2 -s 65536", "verify"),
    "idle": workload("1,000 sessions idle after EHLO", "-l 1", "idle", held=IDLE_FEW),
    "idletls": workload("1,000 sessions idle after STARTTLS and EHLO", "-l 1", "idle", tls=True, held=IDLE_FEW),
    "idle10k": workload("10,000 sessions idle after EHLO", "-l 1", "idle", held=10000),
    "idle19k": workload("19,000 sessions idle after EHLO", "-l 1", "idle", held=19000),
    "calls4k": workload("system calls for 400 messages of 4 KiB", "-k 1 -s 4096 -n 400", "calls", parallel=10),
    "calls1m": workload("system calls for 40 messages of 1 MiB", "-k 1 -s 1048576 -n 40", "calls", parallel=10),
    "callsrefused": workload("system calls for 400 refused clients", "-k 1 -s 4096 -C 400", "calls", parallel=10),
}

PARALLEL = ("par1", "par10", "par100", "par1000")
CPU = ("msg4k", "msg4kx10", "msg64k", "msg1m")
LISTED = ("refused", "flood600", "callsrefused")    # their clients are on the lists



def idle(target, *works):
    """Each with a start of its own: memory that another workload left behind must not serve it."""
    return tuple((target, (work,)) for work in works)


# compare.sh --all: every target once with all that concerns it, then AGAIN again and again while there is time.
FIRST = (
    ("direct", ("msg4k", "msg64k", "rate50")),
    ("haproxy", CPU + ("rate50",) + PARALLEL + ("calls4k", "calls1m")),
    ("haproxy-tls", ("tls4k", "tls1m", "tlshs")),
    ("nginx", ("msg4k", "msg64k", "msg1m", "tls4k", "tlshs", "rate50", "calls4k")),
    ("postfix-bare", ("msg4k", "msg64k", "msg1m", "tls4k", "tlshs", "rate50", "calls4k")),
    ("postfix-rbl", ("msg4k", "msg64k", "tls4k", "refused", "rate50")),
    ("postscreen", ("msg4k", "refused", "rate50")),
    ("glacis-bare", CPU + ("tls4k", "tls1m", "tlshs", "rate50", "calls4k")),
    ("glacis", CPU + ("dkim4k", "dkim1m", "tls4k", "tls1m", "tlshs", "refused", "flood600", "rate50") + PARALLEL +
     ("calls4k", "calls1m", "callsrefused")),
    ("glacis-rdns", ("msg4k", "refused", "flood600", "rate50", "calls4k")),
) + (idle("haproxy", "idle", "idle10k") + idle("haproxy-tls", "idletls") + idle("nginx", "idle", "idletls") +
     idle("postfix-bare", "idle") + idle("glacis", "idle", "idletls", "idle10k") + idle("glacis-two", "idle19k"))
AGAIN = (
    ("direct", ("rate50",)),
    ("haproxy", CPU + ("rate50",)),
    ("haproxy-tls", ("tls4k",)),
    ("glacis", CPU + ("dkim4k", "dkim1m", "tls4k", "refused", "flood600", "rate50")),
    ("glacis-bare", CPU + ("tls4k",)),
    ("glacis-rdns", ("msg4k",)),
    ("postfix-rbl", ("msg4k", "refused")),
)
