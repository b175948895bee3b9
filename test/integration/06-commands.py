#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""06-commands.py - the command line: every command explains itself, and a wrong word is named with what to write instead."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows

COMMANDS = ("run", "check", "explain", "reload", "status", "lists", "version", "help")


def glacis(*words):
    done = subprocess.run([os.environ["GLACIS"], *words], capture_output=True, text=True, timeout=20, check=False)
    return done.returncode, done.stdout, done.stderr


@shows("B14: each command takes --help and -h: exit 0, the usage on standard output; `glacis help COMMAND` is the same")
def help_everywhere(_):
    for command in COMMANDS:
        for words in ((command, "--help"), (command, "-h"), ("help", command)):
            status, out, err = glacis(*words)
            must(status == 0 and out.startswith("usage: glacis ") and err == "", "0 and a usage from %s" % (words,), (status, out, err))
    for words in (("--help",), ("-h",), ("help",)):
        status, out, err = glacis(*words)
        listed = set(re.findall(r"^  ([a-z]+) ", out, re.M))
        must(status == 0 and err == "" and listed == set(COMMANDS) - {"help"}, "all commands in %s" % (words,), (status, out, err))
    status, out, _err = glacis("lists", "set", "--help")
    must(status == 0 and out.startswith("usage: glacis lists"), "the usage of lists", (status, out))


WRONG = [
    (("chekc",), 64, 'glacis: unknown command "chekc"; did you mean `check`?'),
    (("help", "chekc"), 64, 'glacis: unknown command "chekc"; did you mean `check`?'),
    (("version", "now"), 64, 'glacis version: unexpected argument "now"'),
    (("version", "--now"), 64, "glacis version: unrecognized option '--now'"),
    (("run", "now"), 64, 'glacis run: unexpected argument "now"'),
    (("check", "glacis.yaml"), 64, 'glacis check: unexpected argument "glacis.yaml"; a file is named with -c FILE'),
    (("explain", "bob@example.com"), 64, 'glacis explain: unexpected argument "bob@example.com"'),
    (("explain", "--ip", "10.0.0.1"), 64, "glacis explain: --helo, --from and --rcpt are missing"),
    (("explain", "--ip", "10.0.0", "--helo", "x", "--from", "", "--rcpt", "a@b.example"), 64,
     'glacis explain: --ip: expected an address such as 192.0.2.1 or 2001:db8::1, found "10.0.0"'),
    (("status", "now"), 64, 'glacis status: unexpected argument "now"'),
    (("reload", "--now"), 64, "glacis reload: unrecognized option '--now'"),
    (("status", "--control", "/nonexistent/control"), 2,
     "glacis status: no answer on /nonexistent/control: no process listens there."),
    (("lists", "sett"), 64, 'glacis lists: unexpected argument "sett"; did you mean `set`?'),
    (("lists", "set", "zen"), 64, "glacis lists: set needs the name of a list and a mode: enforce, monitor, off or auto"),
    (("lists", "set", "zen", "moniter"), 64, 'glacis lists: unknown mode "moniter"; did you mean `monitor`?'),
    (("lists", "set", "zen", "off", "now"), 64, 'glacis lists: unexpected argument "now"'),
    (("lists", "set", "zen", "off", "--for", "12"), 64,
     'glacis lists: --for: expected a duration such as 30m, 12h or 2d, at most 365d; found "12"'),
    (("lists", "set", "zen", "off", "--for"), 64, "glacis lists: --for: expected a duration such as 30m, 12h or 2d, at most 365d; found \"\""),
    (("lists", "--for", "12h"), 64, "glacis lists: --for belongs to set NAME MODE"),
    (("lists", "--tset"), 64, "glacis lists: unrecognized option '--tset'"),
]


@shows("B7: %d wrong command lines: the word is named in the first line, with what to write instead" % len(WRONG))
def wrong_words(_):
    wrong = []
    for words, want, text in WRONG:
        status, out, err = glacis(*words)
        if (status, out, err.split("\n", maxsplit=1)[0]) != (want, "", text):
            wrong.append("%s: wanted %d and %r; seen %d, %r and %r" % (words, want, text, status, out, err))
    must(not wrong, "each sentence", "\n".join(wrong))


if __name__ == "__main__":
    run()
