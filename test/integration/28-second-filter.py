#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""28-second-filter.py - the expressions of glacis-headers(5) find in real messages what the page says, and nothing else.

The expressions are taken from the page.  rspamd, SpamAssassin and Sieve run in their own programs, where they are installed;
Exchange's rules, and the others where the program is missing, by their regular expressions alone.
"""
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
from checks import must, run, shows
from lab import Lab, a_list

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../policy/glacis-headers.5")
POLICY = """before:
  - {name: own-rule, mode: monitor, when: {sender.local: trial}, then: reject}
  - {name: own-rule2, when: {sender.local: notrial}, then: {score: 1}}
  - {name: keep, when: {reputation.listed: true}, then: [{score: 3}, accept]}
"""
# what each message is, and which of the things on the page are true of it
MESSAGES = (("127.0.2.30", "a@soft.test", {"softfail", "seen"}),
            ("127.0.2.10", "a@soft.test", {"softfail", "zen", "score", "seen"}),
            ("127.0.1.30", "trial@pass.test", {"trial", "seen"}),
            ("127.0.9.30", "notrial@none.test", {"score", "seen"}),      # on zen2 only: 3 points, and 1 of another rule
            ("127.0.2.30", "a@none.test", {"seen"}))

RSPAMD_LOOP = """
local regexp = require "rspamd_regexp"
for _, path in ipairs({%s}) do
  local ok, task = require("rspamd_task").load_from_file(path, rspamd_config)
  task:process_message()
  for name, rule in pairs(config.regexp) do
    local field, pattern = rule.re:match("^([%%w-]+)=(/.*/)H$")
    local value = task:get_header(field)
    if value and regexp.create(pattern):match(value) then print(path .. " " .. name) end
  end
end
"""


def example(name):
    """The literal of one filter, as a reader of the page sees it."""
    with open(PAGE, encoding="utf-8") as f:
        text = re.search(r"^\.Ss %s\n.*?^\.Bd -literal\n(.*?)^\.Ed" % name, f.read(), flags=re.S | re.M)[1]
    return text.replace("\\e", "\\")


def mail(w):
    """Messages as the sink got them: [(file, {field: value}, what is true)]; the last one did not come by glacis."""
    lab = Lab(w, lists=a_list("zen") + a_list("zen2", "wl.test"), policy=POLICY)
    found = []
    for source, sender, true in MESSAGES:
        t = lab.send(source, sender)
        must(t.code == "250", "accepted", t)
        found.append((lab.sink.messages[-1].data, true))
    found.append((b"From: a@b.test\r\nSubject: x\r\n\r\nbody\r\n", set()))
    for n, (octets, true) in enumerate(found):
        path = os.path.join(w.dir, "%d.eml" % n)
        with open(path, "wb") as f:
            f.write(octets)
        head = re.sub(r"\r\n[ \t]", " ", octets.split(b"\r\n\r\n")[0].decode("latin-1"))
        # filters take blanks off both ends of a value
        yield path, {k: v.strip() for k, v in re.findall(r"(?m)^([A-Za-z-]+):(.*?)\r?$", head)}, true


def compare(filter_name, names, hits, path, fields, true):
    want = {names[t] for t in true if t in names}
    must(hits == want, "%s: %s" % (filter_name, sorted(want)), (sorted(hits), path, fields))


def by_regex(rules, fields):
    return {name for name, field, pattern in rules if re.search(pattern, fields.get(field, ""))}


@shows("rspamd: each symbol where it belongs")
def rspamd(w):
    names = {"softfail": "GLACIS_SOFTFAIL", "zen": "GLACIS_ZEN", "score": "GLACIS_SCORE_3", "trial": "GLACIS_TRIAL", "seen": "GLACIS_SEEN"}
    text = example("rspamd")
    rules = re.findall(r"\['(GLACIS_\w+)'\] = \{\n  re = '([\w-]+)=/(.*)/H'", text)
    must({r[0] for r in rules} == set(names.values()), "five symbols", rules)
    must("\\" not in text, "no escape that Lua would take away", text)
    program = shutil.which("rspamadm")
    messages = list(mail(w))
    shown = {}
    if program:
        script = os.path.join(w.dir, "glacis.lua")
        with open(script, "w", encoding="utf-8") as f:
            f.write("config = {regexp = {}}\n" + text + RSPAMD_LOOP % ", ".join('"%s"' % m[0] for m in messages))
        out = subprocess.run([program, "lua", script], capture_output=True, text=True, timeout=60, check=True).stdout
        shown = {m[0]: set(re.findall(r"(?m)^%s (GLACIS_\w+)$" % re.escape(m[0]), out)) for m in messages}
    for path, fields, true in messages:
        hits = shown[path] if program else by_regex(rules, fields)
        compare("rspamd", names, hits, path, fields, true)


@shows("SpamAssassin: each rule where it belongs")
def spamassassin(w):
    names = {"softfail": "GLACIS_SOFTFAIL", "zen": "GLACIS_ZEN", "score": "GLACIS_SCORE_3", "trial": "GLACIS_TRIAL", "seen": "GLACIS_SEEN"}
    text = example("SpamAssassin")
    rules = re.findall(r"(?m)^header (\w+) +([\w-]+) =~ /(.*)/$", text)
    rules += [(name, field, ".") for name, field in re.findall(r"(?m)^header (\w+) +exists:([\w-]+)$", text)]
    must({r[0] for r in rules} == set(names.values()), "five rules", rules)
    program = shutil.which("spamassassin")
    for folder in ("rules", "site"):
        os.makedirs(os.path.join(w.dir, folder))
    for name, content in (("rules/local.cf", "report_safe 0\nadd_header all Tests _TESTS(,)_\n" + text),
                          ("site/init.pre", "loadplugin Mail::SpamAssassin::Plugin::Check\n")):
        with open(os.path.join(w.dir, name), "w", encoding="utf-8") as f:
            f.write(content)
    messages = list(mail(w))
    shown = []
    if program:
        out = subprocess.run([program, "--local", "--nocreate-prefs", "--prefspath=/dev/null", "--configpath=" + w.dir + "/rules",
                              "--siteconfigpath=" + w.dir + "/site"] + [m[0] for m in messages],
                             capture_output=True, timeout=60, check=True).stdout.decode("latin-1").replace("\r", "")
        shown = re.findall(r"(?m)^X-Spam-Tests:(.*(?:\n[ \t].*)*)", out)
        must(len(shown) == len(messages), "X-Spam-Tests in each message", out)
    for n, (path, fields, true) in enumerate(messages):
        hits = set(re.findall(r"GLACIS_\w+", shown[n])) if program else by_regex(rules, fields)
        compare("SpamAssassin", names, hits, path, fields, true)


@shows("Sieve: each flag and folder where it belongs")
def sieve(w):
    names = {"softfail": "$GlacisSoftfail", "zen": "$GlacisZen", "score": "Junk", "trial": "$GlacisTrial", "seen": "$GlacisSeen"}
    text = example("Sieve")
    rules = [(target, field, re.escape(part)) for field, part, target in
             re.findall(r'if header :contains "([\w-]+)" "(.*?)" \{\n  \w+ "(.*?)";', text)]
    rules += [(target, field, ".") for field, target in re.findall(r'if exists "([\w-]+)" \{\n  \w+ "(.*?)";', text)]
    must({r[0] for r in rules} == set(names.values()), "four flags and a folder", rules)
    program = shutil.which("sieve-test")
    os.chmod(w.dir, 0o755)
    user, group = ("nobody", "nogroup") if os.getuid() == 0 else (str(os.getuid()), str(os.getgid()))
    for name, content in (("glacis.sieve", text),
                          ("dovecot.conf", "mail_uid = %s\nmail_gid = %s\nmail_location = mbox:%s/mbox\n" % (user, group, w.dir))):
        with open(os.path.join(w.dir, name), "w", encoding="utf-8") as f:
            f.write(content)
    for path, fields, true in mail(w):
        hits = by_regex(rules, fields)
        if program:
            out = subprocess.run([program, "-c", w.dir + "/dovecot.conf", w.dir + "/glacis.sieve", path], capture_output=True, text=True,
                                 timeout=60, check=False)
            must(out.returncode == 0, "sieve-test runs", out)
            hits = set(re.findall(r"\$Glacis\w+", out.stdout)) | set(re.findall(r"folder: (Junk)", out.stdout))
        compare("Sieve", names, hits, path, fields, true)


@shows("Exchange: the pattern of each rule where it belongs, in the syntax that its rules have")
def exchange(w):
    names = {"softfail": "GlacisSoftfail", "zen": "GlacisZen", "score": "GlacisScore3", "trial": "GlacisTrial", "seen": "NotByGlacis"}
    text = example("Exchange").replace("`\n", "")
    rules = re.findall(r"New-TransportRule (\w+) .*?HeaderMatchesMessageHeader ([\w-]+) .*?HeaderMatchesPatterns '(.*?)'", text)
    must({r[0] for r in rules} == set(names.values()), "five rules", rules)
    for name, _, pattern in rules:       # no quantifier but *, no classes but these: the rest is text there
        must(re.fullmatch(r"\^?(?:[\w,-]|\\\*|\\[sSdDwW])+\$?", pattern), "%s: a pattern that Exchange knows" % name, pattern)
    for path, fields, true in mail(w):
        compare("Exchange", names, by_regex(rules, fields), path, fields, true)


if __name__ == "__main__":
    run()
