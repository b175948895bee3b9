#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-dmarc-zones.py - DMARC over generated zones: policy/dmarc against an evaluator written anew from RFC 9989, and
against mailauth.

Usage: 29-dmarc-zones.py [--count N] [--seed N] [--mailauth DIR] [--show]
    --count N       zones (2,000)
    --seed N        of the generator (1)
    --mailauth DIR  DIR/node_modules has mailauth 7 (npm install --prefix DIR mailauth@7); or $GLACIS_MAILAUTH
    --show          each difference, with its zone

The evaluator here follows the steps of the RFC as they are written, with lists of labels and without any shortcut.  It
does not know what a failed lookup means.  Instead it evaluates the zone once for each thing that the answer could have
been: a result is certain if all of them agree, otherwise it is a temperror.  So it also checks that a failure matters
only where it can change something.  Every zone must come out the same.

mailauth 7 implements the tree walk too.  Where it differs, EXPLAINED says why; a difference that is not there is a failure.
"""
import argparse
import collections
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from dmarczones import POLICIES, Answer, Generator, judge_ours

HERE = os.path.dirname(os.path.abspath(__file__))

# (name, test, why mailauth differs): the test says whether this explains field F of case C.  Each was looked at.
EXPLAINED = [
    ("tag twice", lambda c, f, ours, theirs: c.twice,
     "takes the last of two tags with one name; we take the first (RFC 9989 4.8: errors are ignored)"),
    ("unknown domain", lambda c, f, ours, theirs: f == "org" and ours.org is None and "!temp" in c.text(),
     "a failed lookup leaves the organisational domain open; it reports the author's domain then"),
    ("temperror", lambda c, f, ours, theirs: theirs["result"] == "temperror" and "!temp" in c.text(),
     "any failed lookup of a walk, or of the existence, is a temperror to it, although no answer could change the result"),
    ("fewer methods", lambda c, f, ours, theirs: f == "by" and ours.by > frozenset(theirs["by"]) and "!temp" in c.text(),
     "the same, for the second method of a pass"),
    ("existence", lambda c, f, ours, theirs: f == "policy" and c.zone.get(c.author) == ["!temp"],
     "a pass, sp= and np= differ, and the lookup of existence failed: it gives the milder one without saying so, and also"
     " where the answer for _dmarc shows that the domain exists"),
]


# ---- RFC 9989, step by step -----------------------------------------------------------------------------------------

def parse(text):
    """The tags of a DMARC record, or None (4.7, 4.8)."""
    parts = [part.strip(" \t") for part in text.split(";")]
    if not re.fullmatch(r"[vV][ \t]*=[ \t]*DMARC1", parts[0]):
        return None
    tags = {}
    for part in parts[1:]:
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip(" \t").lower(), value.strip(" \t"))
    return tags


def reporting_uri(tags):
    uris = [re.sub(r"![0-9]+[kmgt]?$", "", uri.strip(" \t"), flags=re.I) for uri in tags.get("rua", "").split(",")]
    return any(re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:([A-Za-z0-9._~:/?#\[\]@$&'()*+;=-]|%[0-9A-Fa-f]{2})*", uri) for uri in uris)


def dmarc_record(zone, name):
    """Steps 2 and 6 of 4.10: the only DMARC record at a name."""
    found = [tags for tags in map(parse, zone.get("_dmarc." + name, ())) if tags is not None]
    return found[0] if len(found) == 1 else None


def tree_walk(zone, domain):
    """4.10: the records found, by name, from the longest."""
    found = {}

    def query(name):
        record = dmarc_record(zone, name)
        if record is None:
            return False
        found[name] = record
        return record.get("psd", "u").lower() in ("y", "n")

    if query(domain):                               # steps 1, 2
        return found
    labels = domain.split(".")                      # step 3
    target = labels[1:] if len(labels) < 8 else labels[-7:]  # step 4
    while target:
        if query(".".join(target)):                 # steps 5, 6
            break
        target = target[1:]                         # step 7
    return found


def organisational_domain(zone, domain):
    """4.10.2."""
    found = tree_walk(zone, domain)
    for name in sorted(found, key=lambda n: -n.count(".")):
        psd = found[name].get("psd", "u").lower()
        if psd == "n":
            return name
        if psd == "y" and name != domain:
            below = domain[:-len(name) - 1].split(".")[-1]
            return below + "." + name
    return min(found, key=lambda n: n.count(".")) if found else domain


def discover(zone, domain):
    """4.10.1: where the policy record is, and its tags; or None."""
    own = dmarc_record(zone, domain)
    if own is not None:
        return domain, own
    found = tree_walk(zone, domain)
    org = organisational_domain(zone, domain)
    if org in found:
        return org, found[org]
    for name, tags in found.items():
        if tags.get("psd", "u").lower() == "y":
            return name, tags
    return None


def policy_of(where, tags, domain, exists):
    """4.10.1: policy and its tag; None: no DMARC processing."""
    lower = {name: tags[name].lower() for name in ("p", "sp", "np") if name in tags}
    if lower.get("p") not in POLICIES or any(value not in POLICIES for value in lower.values()):
        if not reporting_uri(tags):
            return None
        lower = {"p": "none"}
    milder = 1 if tags.get("t", "n").lower() == "y" else 0
    policy = {tag: POLICIES[max(POLICIES.index(value) - milder, 0)] for tag, value in lower.items()}
    tag = "p"
    if where != domain:
        tag = "sp" if "sp" in policy else "p"
        if not exists and policy.get("np", policy[tag]) != policy[tag]:  # an equal np is as good as sp
            tag = "np"
    return policy[tag], tag


def evaluate(zone, case, exists, passing):
    """One certain world: 5.3.  passing: {(method, domain)}."""
    author = case.author
    org = organisational_domain(zone, author)
    orgs = {domain: organisational_domain(zone, domain) for _, domain in passing}
    relaxed = {(m, d) for m, d in passing if d == author or orgs[d] == org}
    found = discover(zone, author)
    policy = policy_of(*found, author, exists) if found else None
    if policy is None:
        return Answer("none", None, None, org, frozenset(), bool(relaxed))
    tags = found[1]
    aligned = set()
    for method, domain in passing:
        strict = tags.get("aspf" if method == "spf" else "adkim", "r").lower() == "s"
        if domain == author if strict else (method, domain) in relaxed:
            aligned.add(method)
    return Answer("pass" if aligned else "fail", *policy, org, frozenset(aligned), bool(relaxed))


COULD_BE = [[]] + [["v=DMARC1; psd=%s%s" % (psd, rest)] for psd in "uyn"
                   for rest in ("; p=reject", "; p=none; aspf=s; adkim=s", "")]


def worlds(case):
    """Every zone, existence, and set of passing domains that the failed lookups allow."""
    names = [name for name in case.zone if case.zone[name] == ["!temp"]]
    plain = {name: [r for r in records if not r.startswith("!")] for name, records in case.zone.items()}
    domains = [(word.lstrip("?").split(":")[0], word.split(":")[1], word.startswith("?")) for word in case.domains]
    sure = {(m, d) for m, d, unknown in domains if not unknown}
    maybe = sorted({(m, d) for m, d, unknown in domains if unknown} - sure)
    exists = [any(n == case.author or n.endswith("." + case.author) for n in case.zone if case.zone[n] != ["!nxdomain"])]
    if case.author in names:
        own = "_dmarc." + case.author  # asked in any case: if it exists, so does the author's domain (RFC 8020)
        exists = [True] if own in case.zone and own not in names else [True, False]
        names.remove(case.author)
    for guess in itertools.product(COULD_BE, repeat=len(names)):
        zone = dict(plain, **dict(zip(names, guess)))
        for more in itertools.product((False, True), repeat=len(maybe)):
            for there in exists:
                yield zone, there, sure | {pair for pair, passes in zip(maybe, more) if passes}


def expected(case):
    """What is the same in all worlds."""
    seen = [evaluate(zone, case, exists, passing) for zone, exists, passing in worlds(case)]

    def only(field):
        values = {getattr(answer, field) for answer in seen}
        return values.pop() if len(values) == 1 else None

    result = only("result")
    if result is None or (result == "fail" and only("policy") is None):
        result = "temperror"
    by = frozenset.intersection(*(answer.by for answer in seen)) if result == "pass" else frozenset()
    return Answer(result, only("policy"), only("tag"), only("org"), by, only("relaxed"))


# ---- judges ---------------------------------------------------------------------------------------------------------

MAILAUTH = r"""
const verify = require(process.argv[2] + '/lib/dmarc/verify.js');
(async () => {
    const out = [];
    for (const job of JSON.parse(require('fs').readFileSync(0))) {
        const failure = code => Object.assign(new Error(code), { code });
        const resolver = async (name, type) => {
            const records = job.zone[name];
            const below = Object.keys(job.zone).some(n => n.endsWith('.' + name));
            if (!records) throw failure(below ? 'ENODATA' : 'ENOTFOUND');
            if (records[0] === '!temp') throw failure('ESERVFAIL');
            if (records[0] === '!nodata' || type !== 'TXT') throw failure('ENODATA');
            return records.map(r => [r]);
        };
        const of = m => job.domains.filter(d => d.startsWith(m)).map(d => ({ domain: d.slice(m.length) }));
        const r = await verify({ headerFrom: ['x@' + job.author], spfDomains: of('spf:'), dkimDomains: of('dkim:'), resolver });
        out.push({ result: r.status.result, policy: r.policy, org: r.domain,
            by: ['spf', 'dkim'].filter(m => r.alignment && r.alignment[m].result) });
    }
    process.stdout.write(JSON.stringify(out));
})();
"""


def judge_mailauth(directory, cases):
    path = os.path.join(directory or "", "node_modules", "mailauth")
    if not directory or not os.path.isdir(path) or shutil.which("node") is None:
        return None
    with open(os.path.join(path, "package.json"), encoding="utf-8") as f:
        if not json.load(f)["version"].startswith("7."):
            return None  # before that it had no tree walk
    jobs = [{"author": c.author, "domains": c.domains, "zone": c.zone} for c in cases]
    with tempfile.NamedTemporaryFile("w", suffix=".cjs") as f:
        f.write(MAILAUTH)
        f.flush()
        out = subprocess.run(["node", f.name, path], input=json.dumps(jobs).encode(), stdout=subprocess.PIPE, check=True).stdout
    return json.loads(out)


def unlike_expected(ours, wanted):
    """The fields in which ours is not what is certain."""
    if ours is None:
        return ["torn"]
    unlike = [f for f in ("result", "org", "by", "relaxed") if getattr(ours, f) != getattr(wanted, f)]
    if ours.policy != wanted.policy and not (ours.result == "temperror" and ours.policy is None):
        unlike.append("policy")
    if None not in (ours.tag, wanted.tag) and ours.tag != wanted.tag:
        unlike.append("tag")
    return unlike


def unlike_mailauth(ours, theirs):
    unlike = [f for f in ("result", "org") if getattr(ours, f) != theirs[f]]
    if ours.result in ("pass", "fail") and ours.policy != theirs.get("policy"):
        unlike.append("policy")
    if ours.result == "pass" and ours.by != frozenset(theirs["by"]):
        unlike.append("by")
    return unlike


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mailauth", default=os.environ.get("GLACIS_MAILAUTH"))
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    build = os.path.dirname(os.environ.get("GLACIS", os.path.join(HERE, "..", "..", "build", "glacis")))
    program = os.path.join(build, "dmarc_judge")
    if not os.path.exists(program):
        print("skipped: there is no %s" % program)
        return 77
    generator = Generator(given.seed)
    cases = [generator.case() for _ in range(given.count)]
    failed, seen = 0, collections.Counter()
    answers = judge_ours([program], cases)
    for case, ours in zip(cases, answers):
        wanted = expected(case)
        seen[wanted.result] += 1
        unlike = unlike_expected(ours, wanted)
        if unlike:
            failed += 1
            print("FAILED in %s:\n%s  ours %s\n  RFC  %s" % (", ".join(unlike), case.text(), ours, wanted))
    print("%d zones by RFC 9989: %s" % (len(cases), ", ".join("%d %s" % (n, word) for word, n in sorted(seen.items()))))
    plain = [(case, ours) for case, ours in zip(cases, answers) if ours and not any(word.startswith("?") for word in case.domains)]
    theirs = judge_mailauth(given.mailauth, [case for case, _ in plain])
    if theirs is None:
        print("left out: mailauth 7 is not there (npm install --prefix DIR mailauth@7; --mailauth DIR)")
    used = collections.Counter()
    for (case, ours), their in zip(plain, theirs or ()):
        for field in unlike_mailauth(ours, their):
            why = next((name for name, test, _ in EXPLAINED if test(case, field, ours, their)), None)
            used[why] += 1
            failed += why is None
            if why is None or given.show:
                print("%s of mailauth in %s:\n%s  ours     %s\n  mailauth %s" % (why or "FAILED", field, case.text(), ours, their))
    for name, _, _ in EXPLAINED if theirs is not None and given.count >= 2000 else ():
        if name not in used:
            failed += 1
            print("FAILED: no longer needed in EXPLAINED: %s" % name)
    if theirs is not None:
        print("%d zones by mailauth; fields that differ: %s" % (len(plain), dict(used) or "none"))
    print("%d passed, %d failed, %d skipped" % (len(cases) + len(theirs or ()) - failed, failed, theirs is None))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
