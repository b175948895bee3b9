# SPDX-License-Identifier: Apache-2.0
"""setups.py - the configurations of 20-protocol.py; the longest-running first."""
from cases.harness import Setup
from sink import KEYWORDS

FEW = []  # an upstream that offers nothing at all


def port(index):
    return lambda setup: "127.0.0.1:%d" % setup.sinks[index].port


SETUPS = [
    # what a peer may not take too long for
    Setup("short", {"limits/command_timeout": "1s", "limits/command_deadline": "2s", "limits/data_timeout": "1s",
                    "limits/data_deadline": "10s",
                    "limits/stress": {"at": "80%", "command_timeout": "1s"}, "upstreams/inner/hold": "300ms"}),
    # upstream failures and odd replies: new connections each time
    Setup("failures", {"upstreams/inner/keep_idle": 0}),
    Setup("main"),
    Setup("content"),
    Setup("replies"),
    Setup("two", {}, sinks=2),
    Setup("headers", {"headers/strip": ["X-Spam-*", "X-Secret", "X-MS-Exchange-Organization-*"],
                      "headers/strip_authserv_ids": ["inner.example.test"],
                      "headers/add": {"X-Client": "{client.ip}"}}),
    Setup("transparent", {"headers/received": False, "headers/add": {"X-Spam-Flag": "YES"}}),
    Setup("normalize", {"limits/bare_newline": "normalize"}),
    Setup("bdat_reject", {"limits/bare_newline_bdat": "reject"}),
    Setup("few", {}, keywords=FEW, wait=True),
    Setup("odd", {}, keywords=["pipelining", "size", "SIZE 0", "8bitmime", "AUTH=LOGIN PLAIN", "X-PRIVATE \xe4",
                               "XEXCH50", "VRFY", "ETRN", "8BITMIME"]),
    # whom we know, and whom we do not
    Setup("known", {"smtp/dsn": "known", "groups/allow_clients": ["127.0.0.0/8"], "limits/encapsulated": "pass"}),
    Setup("strangers", {"smtp/dsn": "known"}),
    Setup("nochunk", {"smtp/chunking": False, "smtp/smtputf8": False}),
    Setup("size", {"limits/message_size": "2MiB"}, keywords=["PIPELINING", "SIZE 50000", "8BITMIME"]),
    Setup("limited", {"limits/messages_per_session": 3, "limits/refused_recipients": 5, "limits/errors": 5,
                      "limits/headers": "16KiB", "limits/message_size": "64KiB"}),
    # clients on loopback are judged like any other
    Setup("judged", {"server/private_clients": "judge", "limits/connections_per_client": 4}, source="127.0.0.1"),
    Setup("banning", {"server/private_clients": "judge",
                      "limits/ban": {"points": 10, "within": "10m", "for": "10m"}}, source="127.0.0.1"),
    Setup("crowded", {"limits/connections": 12, "limits/connections_per_client": "off"}),
    Setup("remembering", {"upstreams/inner/remember_unknown": "10m"}),
    Setup("guarded", {"limits/duplicate_guard": "24h", "server/private_clients": "judge"}),
    Setup("narrow", {"upstreams/inner/connections": 2, "upstreams/inner/queue_wait": "1s",
                     "upstreams/inner/max_messages": 2, "upstreams/inner/size": "64KiB"}),
    Setup("failover", {"upstreams/inner/servers": lambda s: [port(0)(s), port(1)(s)], "upstreams/second": None,
                       "domains/second.test": None}, sinks=2),
    Setup("spread", {"upstreams/inner/servers": lambda s: [port(0)(s), port(1)(s)], "upstreams/second": None,
                     "domains/second.test": None, "upstreams/inner/balance": "round_robin",
                     "upstreams/inner/keep_idle": 0}, sinks=2),
    # the upstream's port is closed from the start
    Setup("asleep", {"upstreams/inner/servers": ["127.0.0.1:9"]}, wait=False),
    Setup("ipv6", {"server/listen": ["[::1]:0"]}, source="::1"),
    Setup("health", {"upstreams/inner/health": {"interval": "1s", "fall": 2, "rise": 2}}),
]
assert KEYWORDS
