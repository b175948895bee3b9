#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""22-bad-week.py - a reputation list that suddenly answers for everyone.

It delays at most those for whom nobody vouches, refuses nothing for good, and what it delayed comes through
when it has come to its senses.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from client import wait_for
from lab import Lab, a_list

STRANGERS = ["a@none.test", "a@soft.test", "a@neutral.test", ""]


def mail(lab, network, hosts):
    """Codes of the vouched and of the others, each from addresses of its own."""
    vouched = [lab.send("127.0.1.%d" % h, "alice@pass.test", helo="mail.pass.test").code for h in hosts]
    others = [lab.send("127.0.%d.%d" % (network, h), STRANGERS[h % len(STRANGERS)]).code for h in hosts]
    return vouched, others


def start(w, **options):
    lab = Lab(w, a_list(zone="mad.test") + a_list("sane", "bl.test"), dns_more=", cache: {max_ttl: 1s}", **options)
    lab.dns.forward("mad.test", None)
    lab.dns.add("ok.mad.test", "A", "127.0.0.2")     # the zone exists, and lists nobody we know
    return lab


@shows("a list that lists everybody delays strangers only; no 5xx; retries come through when it is well again")
def bad_week(w):
    lab = start(w, guard="{sample: 0%, probe_interval: off, canaries: [], min_asked: 100000}")
    vouched, others = mail(lab, 20, range(30, 42))
    must(set(vouched) == {"250"} and set(others) == {"250"}, "a good day: all accepted", (vouched, others))
    lab.dns.add("*.mad.test", "A", "127.0.0.2")
    lab.dns.add("*.mad.test", "TXT", "everybody is bad today")
    vouched, others = mail(lab, 21, range(30, 54))
    must(set(vouched) == {"250"}, "vouched for: accepted", vouched)
    must(set(others) == {"451"}, "strangers: delayed", others)
    must(lab.send("127.0.21.30", "alice@pass.test").code == "550", "an SPF fail is still one")
    lines = [e for e in lab.g.events("rcpt") if e["rule"] != "spf-fail"]
    must(lines and all(400 <= e["code"] < 500 for e in lines), "nothing refused for good", lines)
    lab.dns.remove("*.mad.test")
    wait_for(lambda: lab.send("127.0.21.30", "a@none.test").code == "250", 10, "the first retry accepted")
    wait_for(lambda: set(mail(lab, 21, range(30, 42))[1]) == {"250"}, 10, "the retries accepted by every worker")


if __name__ == "__main__":
    run()
