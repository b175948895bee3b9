#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""51-schema.py - `glacis check --schema`: a JSON Schema that takes every file we ship or print and refuses wrong ones."""
import functools
import glob
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
# pylint: disable=wrong-import-position
try:
    import jsonschema
    import yaml
except ImportError as missing:
    print("skipped: %s (python3-jsonschema, python3-yaml)" % missing)
    sys.exit(77)
from checks import must, run, shows

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SMALL = "upstreams: {u: {servers: [\"192.0.2.1:25\"]}}\ndomains: {a.example: u}\n"


class Core(yaml.SafeLoader):
    """Scalars as YAML 1.2 and editors read them: off is a text, 1:30 is no number."""


Core.yaml_implicit_resolvers = {}
for tag, pattern, first in (("null", r"^(~|null|)$", ["~", "n", ""]), ("bool", r"^(true|false)$", list("tf")),
                            ("int", r"^[-+]?[0-9]+$", list("-+0123456789")), ("float", r"^[-+]?[0-9]*\.[0-9]+$", list("-+.0123456789"))):
    Core.add_implicit_resolver("tag:yaml.org,2002:" + tag, re.compile(pattern), first)


@functools.lru_cache
def schema():
    """The schema, which names no key twice."""
    def once(pairs):
        must(len(dict(pairs)) == len(pairs), "no key twice", [p[0] for p in pairs])
        return dict(pairs)
    done = subprocess.run([os.environ["GLACIS"], "check", "--schema"], capture_output=True, text=True, timeout=20, check=True)
    must(done.stderr == "", "nothing on standard error", done.stderr)
    return json.loads(done.stdout, object_pairs_hook=once)


def errors(text):
    check = jsonschema.Draft202012Validator(schema())
    return ["%s: %s" % ("/".join(map(str, e.path)), e.message[:300]) for e in check.iter_errors(yaml.load(text, Loader=Core))]


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


@shows("it is a schema of draft 2020-12")
def is_schema(_):
    jsonschema.Draft202012Validator.check_schema(schema())


@shows("it takes the reference, its examples, every example of the repository, and what --print writes")
def takes_good(w):
    reference = read("config/glacis.reference.yaml")
    files = {"reference": reference, "reference with examples": re.sub(r"^#\+", "", reference, flags=re.M)}
    for path in glob.glob(ROOT + "/*.yaml") + glob.glob(ROOT + "/packaging/**/*.yaml", recursive=True):
        files[path] = read(path)
    for path in glob.glob(ROOT + "/*.md") + glob.glob(ROOT + "/docs/**/*.md", recursive=True):
        for n, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", read(path), re.M | re.S)):
            files["%s, block %d" % (path, n)] = block
    for name, text in (("small", SMALL), ("printed reference", reference)):
        given = os.path.join(w.dir, "given.yaml")
        with open(given, "w", encoding="utf-8") as f:
            f.write(re.sub(r"^tls:.*?^\n", "", text, flags=re.M | re.S))
        files[name + ", printed"] = subprocess.run([os.environ["GLACIS"], "check", "--print", "-c", given], capture_output=True,
                                                   text=True, timeout=20, check=True).stdout
    must(len(files) >= 7, "reference, example, demo, README, printed", list(files))
    for name, text in files.items():
        must(not errors(text), "no error in " + name, errors(text))


GOOD = [
    "known_good: off\nzero_day: {burst: off}\nreputation: {guard: {surge: off, canaries: [auto, 192.0.2.1]}}",
    "limits:\nreputation: {lists: [{name: a, zone: \"${KEY}.bl.example\", looks_up: client, mode: off}]}",
    "limits: {hops: \"${HOPS}\", recipients: off}\nserver: {workers: auto, listen: \"192.0.2.1:25\"}",
    "smtp: {dsn: true}\nstate: {backend: redis, redis: {url: \"unix:/run/redis\", timeout: 1s}}",
]

WRONG = [
    "limitz: {}", "limits: {hop: 5}", "limits: {hops: 0}", "limits: {hops: many}", "limits: {data_timeout: 5}", "limits: 5",
    "limits: {data_timeout: \"\"}", "mode: observe", "smtp: {chunking: 1}", "tls:", "tls: {certificate: /c}", "greylist: off",
    "known_good: {days: 9}", "zero_day: {fresh: 1h}", "policy: {default: bypass}", "policy: {befor: []}", "dkim: {verify: maybe}",
    "reputation: {lists: [{zone: bl.example}]}", "reputation: {lists: [{name: a, zone: bl.example, ask: soon}]}",
    "reputation: {guard: {surge: 5}}", "state: {redis: {uri: x}}", "server: {listen: [{tls: off}]}", "upstreams: {}",
]


@shows("it takes %d other good files and refuses %d wrong ones, as the loader does" % (len(GOOD), len(WRONG)))
def as_the_loader(w):
    for more in GOOD + WRONG:
        text = more + "\n" + (SMALL if "upstreams" not in more else "domains: {a.example: u}\n")
        path = os.path.join(w.dir, "f.yaml")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        done = subprocess.run([os.environ["GLACIS"], "check", "-c", path], capture_output=True, text=True, timeout=20, check=False,
                              env=dict(os.environ, KEY="k", HOPS="9", GLACIS_HOSTNAME="mx.example.com"))
        must((done.returncode == 0) == (more in GOOD), "the loader judges the same: " + more, done.stderr)
        must((not errors(text)) == (more in GOOD), "the schema judges right: " + more, errors(text))


@shows("--schema goes with no other option")
def alone(_):
    done = subprocess.run([os.environ["GLACIS"], "check", "--schema", "--print"], capture_output=True, text=True, timeout=20, check=False)
    must(done.returncode == 64 and "--schema reads no file" in done.stderr, "64 and why", done)


if __name__ == "__main__":
    run()
