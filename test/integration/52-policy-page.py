#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""52-policy-page.py - every example of glacis-policy(5) loads, passes its own tests, and decides what the page says.

An example is a literal block that begins with a section of the configuration.  A block that begins with `$ glacis explain` is run
with the example above it; the lines below a command must appear in its output, in their order.
"""
import os
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from dnsserver import DnsServer

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "policy", "glacis-policy.5")
ESCAPES = {"(ha": "^", "(ti": "~", "(aq": "'", "(dq": '"', "e": "\\", "&": "", "-": "-"}
EXAMPLES_AT_LEAST = 15      # of the section EXAMPLES

# What the file has beside an example, by section.
REST = {
    "server": "server: {{hostname: mx1.example.com, state_dir: {dir}, user: root}}",
    "upstreams": "upstreams: {{mail: {{servers: [\"10.1.1.10:25\"]}}}}",
    "domains": "domains: {{example.com: mail}}",
    "dns": "dns: {{servers: [\"{dns}\"]}}",
}


def plain(line):
    """The text of a line in a literal block."""
    return re.sub(r"\\(\(..|.)", lambda m: ESCAPES[m.group(1)], line)


def blocks():
    """(section, title, lines) of each literal block."""
    section = title = ""
    lines = None
    found = []
    with open(PAGE, encoding="ascii") as f:
        for line in f.read().splitlines():
            if line.startswith(".Sh "):
                section, title = line[4:], ""
            elif line.startswith(".Ss "):
                title = line[4:]
            elif line.startswith(".Bd -literal"):
                lines = []
            elif line == ".Ed":
                found.append((section, title, lines))
                lines = None
            elif lines is not None:
                lines.append(plain(line))
    return found


def examples():
    """(section, title, text, [(command, expected lines)]) of each example."""
    found = []
    for section, title, lines in blocks():
        if re.match(r"[a-z]+:$", lines[0]):
            found.append((section, title, "\n".join(lines) + "\n", []))
        elif lines[0].startswith("$ "):
            for line in lines:
                if line.startswith("$ "):
                    found[-1][3].append((line[2:], []))
                else:
                    found[-1][3][-1][1].append(line)
    return found


def write(w, text, dns="127.0.0.1:1"):
    sections = set(re.findall(r"^([a-z_]+):", text, re.M))
    path = os.path.join(w.dir, "glacis.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text + "".join(line.format(dir=w.dir, dns=dns) + "\n" for key, line in REST.items() if key not in sections))
    return path


def glacis(*words):
    done = subprocess.run([os.environ["GLACIS"], *words], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


@shows("glacis-policy(5): every example loads without a warning and passes its tests")
def they_load(w):
    found = examples()
    wrong = []
    for section, title, text, _commands in found:
        status, said = glacis("check", "-c", write(w, text))
        if status != 0 or "warning" in said:
            wrong.append("%s, %s: exit %d\n%s" % (section, title, status, said))
    must(not wrong, "examples that load", "\n".join(wrong))
    titles = {title for section, title, text, _commands in found if section == "EXAMPLES" and "tests:" in text}
    must(len(titles) >= EXAMPLES_AT_LEAST, "%d examples with tests" % EXAMPLES_AT_LEAST, len(titles))


@shows("glacis-policy(5): a test that is turned around fails, so the tests of the examples are run")
def tests_are_run(w):
    text = next(text for _section, title, text, _commands in examples() if title == "Block a sender")
    status, said = glacis("check", "-c", write(w, text.replace("rule: spf-pass", "rule: spf-fail")))
    must(status == 78 and "test others of the shop failed" in said, "a failed test", said)


@shows("glacis-policy(5): `glacis explain` decides as the page says")
def they_decide(w):
    dns = DnsServer().start()
    w.dns.append(dns)
    dns.add("70.2.0.192.zen.bl.example", "A", "127.0.0.2")
    dns.add("70.2.0.192.zen.bl.example", "TXT", "open proxy")
    dns.add("7.2.0.192.zen.bl.example", "A", "127.0.0.2")
    dns.add("7.2.0.192.zen.bl.example", "TXT", "open proxy")
    dns.add("pills.example.domains.bl.example", "A", "127.0.0.2")
    dns.add("pills.example", "TXT", "v=spf1 ip4:203.0.113.0/24 -all")
    for name in ("shop.example", "nospf.example", "partner.example", "pills.example"):
        dns.add(name, "MX", "10 mx." + name)
    for name in ("mx.shop.example", "mail.shop.example", "mx.pills.example", "mail.partner.example", "mx.nospf.example"):
        dns.add(name, "A", "203.0.113.7")
    wrong = []
    count = 0
    for _section, title, text, commands in examples():
        for command, lines in commands:
            words = shlex.split(command)
            must(words[:4] == ["glacis", "explain", "-c", "glacis.yaml"], "glacis explain -c glacis.yaml", command)
            words[3] = write(w, text, dns.address)
            status, said = glacis(*words[1:])
            rest, count = said, count + 1
            for line in lines:
                at = re.search("^" + re.escape(line), rest, re.M)
                if status != 0 or not at:
                    wrong.append("%s: %s: wanted %r\n%s" % (title, command, line, said))
                    break
                rest = rest[at.end():]
    must(count >= 5, "five commands or more", count)
    must(not wrong, "the verdicts of the page", "\n".join(wrong))


if __name__ == "__main__":
    run()
