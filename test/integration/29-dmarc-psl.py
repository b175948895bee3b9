#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""29-dmarc-psl.py - DMARC by RFC 7489 (`dmarc.org_domain: psl`) over generated zones: policy/dmarc against Perl's Mail::DMARC.

Usage: 29-dmarc-psl.py [--count N] [--seed N] [--show]
    --count N       zones (2,000)
    --seed N        of the generator (1)
    --show          each difference, with its zone

Mail::DMARC (libmail-dmarc-perl) implements RFC 7489, so it cannot judge tree walks; 29-dmarc-zones.py does that.  The zones
are the same, without failed lookups, and every author's domain exists.  Both programs get one list of public suffixes.
Compared are result and, of a fail, what is done with the message.  Where Mail::DMARC differs, EXPLAINED says why; a
difference that is not there is a failure, and so is an explanation that is not needed (from 2,000 zones on).
"""
import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile

from dmarczones import POLICIES, Generator, judge_ours

HERE = os.path.dirname(os.path.abspath(__file__))
SUFFIXES = ("com", "org", "example", "a.org", "b.com", "*.c.com")
PERL = r"""
package Zone;
sub new { bless {}, $_[0] }
sub answer_of {
    my ($self, $name, $type) = @_;
    my $packet = Net::DNS::Packet->new($name, $type, 'IN');
    my @records = $type eq 'TXT' ? @{ $self->{zone}{lc $name} || [] } : $type eq 'A' ? ('127.0.0.1') : ();
    $packet->push(answer => Net::DNS::RR->new(owner => $name, type => $type, $type eq 'A' ? (address => $_) : (txtdata => [$_]))) for @records;
    return $packet;
}
sub query { answer_of(@_) }
sub send { answer_of(@_) }
package main;
use strict;
use JSON::PP;
use Net::DNS;
use Mail::DMARC::PurePerl;
my $jobs = decode_json(do { local $/; <STDIN> });
my $zone = Zone->new;
my @out;
local $SIG{__WARN__} = sub { };
for my $job (@{ $jobs->{list} }) {
    my $d = Mail::DMARC::PurePerl->new;
    $d->config->{dns}{public_suffix_list} = $jobs->{suffixes};
    $d->set_resolver($zone);
    $zone->{zone} = $job->{zone};
    $d->source_ip('127.0.0.1');
    $d->envelope_from('x.example');
    $d->header_from($job->{author});
    $d->dkim([map { { domain => $_, selector => 's', result => 'pass' } } @{ $job->{dkim} }]) if @{ $job->{dkim} };
    $d->spf([map { { domain => $_, scope => 'mfrom', result => 'pass' } } @{ $job->{spf} }]) if @{ $job->{spf} };
    my $r = eval { $d->validate };
    push @out, $r ? { result => $r->result, done => $r->disposition, org => $d->get_organizational_domain } : { result => "died: $@" };
}
print encode_json(\@out);
"""


def tags_of(record):
    """Name and value as Mail::DMARC reads them: without any white space, the last of two."""
    pairs = (part.partition("=") for part in re.sub(r"\s", "", record).split(";"))
    return {name.lower(): value for name, _, value in pairs}


class Found:
    """The records that RFC 7489 6.6.3 finds, for EXPLAINED."""

    def __init__(self, case, org):
        self.where, self.records = case.author, []
        for self.where in (case.author, org):
            self.records = [r for r in case.zone.get("_dmarc." + self.where, ()) if not r.startswith("!")]
            self.records = [r for r in self.records if r[:8].lower() == "v=dmarc1"]
            if self.records:
                break
        self.tags = tags_of(self.records[0]) if len(self.records) == 1 else {}
        self.valid = all(self.tags.get(tag, other).lower() in POLICIES for tag, other in (("p", ""), ("sp", "none")))
        self.other_version = any(r[:8].lower() == "v=dmarc1" and not re.match(r"v=DMARC1[ \t]*(;|$)", r) for r in self.records)


# (name, test, why Mail::DMARC differs).  Each was looked at.
EXPLAINED = [
    ("version", lambda c, f, ours, theirs: f.other_version,
     "compares the first eight octets in any case, whatever follows; RFC 7489 6.4 has `v=DMARC1` and a semicolon"),
    ("several records", lambda c, f, ours, theirs: len(f.records) > 1 and f.where != c.author and ours.result == "none" and theirs["result"] == "fail",
     "two records at a name end the processing: it says fail, with nothing to be done"),
    ("several records of the author", lambda c, f, ours, theirs: len(f.records) > 1 and f.where == c.author and theirs["done"] == "none",
     "the same; we discard both as RFC 9989 4.10 says, in both modes, and look at the organisational domain"),
    ("tag twice", lambda c, f, ours, theirs: c.twice, "takes the last of two tags with one name; we take the first"),
    ("no policy", lambda c, f, ours, theirs: not f.valid and ours.result == "none" and (theirs["result"], theirs["done"]) == ("fail", "none"),
     "a record without a valid policy: it says fail, with nothing to be done"),
    ("rua elsewhere", lambda c, f, ours, theirs: not f.valid and "@" in f.tags.get("rua", "") and (theirs["result"], theirs["done"]) == ("fail", "none"),
     "a rua outside of the domain does not count without the domain's consent, so p=none does not take the place of a missing policy"),
    ("empty value", lambda c, f, ours, theirs: "" in (f.tags.get("p"), f.tags.get("sp")),
     "leaves out a tag without a value, where it makes the policy invalid (RFC 7489 6.6.3)"),
    ("invalid np=", lambda c, f, ours, theirs: f.tags.get("np", "none").lower() not in POLICIES,
     "does not know np=; to us, a wrong np= makes a policy invalid as a wrong sp= does, in both modes (RFC 9989 4.10.1)"),
    ("t=y", lambda c, f, ours, theirs: f.tags.get("t", "").lower() == "y" and ours.result == theirs["result"] == "fail",
     "does not know t= (RFC 9989 4.7); we know it in both modes"),
]


def judge_perl(cases, suffixes):
    jobs = [{"author": c.author, "zone": {n: [r for r in records if not r.startswith("!")] for n, records in c.zone.items()},
             "spf": [d[4:] for d in c.domains if d.startswith("spf:")], "dkim": [d[5:] for d in c.domains if d.startswith("dkim:")]} for c in cases]
    out = subprocess.run(["perl", "-e", PERL], input=json.dumps({"suffixes": suffixes, "list": jobs}).encode(), stdout=subprocess.PIPE, check=True)
    return json.loads(out.stdout)


def plain(case):
    """The case without what RFC 7489 does not know of (failed lookups, domains that do not exist), what Mail::DMARC never reads
    (white space in the version), and what it throws dice for (pct=)."""
    zone = {name: ["!nodata"] if records == ["!temp"] else [r.replace("v = DMARC1", "v=DMARC1").replace("pct=1", "ri=1") for r in records]
            for name, records in case.zone.items()}
    zone[case.author] = ["text"]
    return case._replace(zone=zone, domains=[word.lstrip("?") for word in case.domains])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", action="store_true")
    given = parser.parse_args()
    build = os.path.dirname(os.environ.get("GLACIS", os.path.join(HERE, "..", "..", "build", "glacis")))
    program = os.path.join(build, "dmarc_judge")
    if not os.path.exists(program):
        print("skipped: there is no %s" % program)
        return 77
    if subprocess.run(["perl", "-MMail::DMARC::PurePerl", "-MJSON::PP", "-e", "1"], stderr=subprocess.DEVNULL, check=False).returncode:
        print("skipped: Mail::DMARC is not installed (libmail-dmarc-perl)")
        return 77
    generator = Generator(given.seed)
    cases = [plain(generator.case()) for _ in range(given.count)]
    with tempfile.NamedTemporaryFile("w", suffix=".psl") as f:
        f.write("\n".join(SUFFIXES) + "\n")
        f.flush()
        try:
            answers = judge_ours([program, f.name], cases)
        except subprocess.CalledProcessError as e:
            if e.returncode != 77:
                raise
            print("skipped: this build has no libpsl")
            return 77
        theirs = judge_perl(cases, f.name)
    failed, used, seen = 0, collections.Counter(), collections.Counter()
    for case, ours, their in zip(cases, answers, theirs):
        seen[ours.result if ours else "torn"] += 1
        if ours and (ours.result, ours.policy if ours.result == "fail" else None, ours.org) == (
                their["result"], their["done"].lower() if their["result"] == "fail" else None, their["org"]):
            continue
        found = Found(case, their.get("org"))
        why = next((name for name, test, _ in EXPLAINED if ours and test(case, found, ours, their)), None)
        used[why] += 1
        failed += why is None
        if why is None or given.show:
            print("%s:\n%s  ours        %s\n  Mail::DMARC %s" % (why or "FAILED", case.text(), ours, their))
    for name, _, _ in EXPLAINED if given.count >= 2000 and given.seed == 1 else ():
        if name not in used:
            failed += 1
            print("FAILED: no longer needed in EXPLAINED: %s" % name)
    print("%d zones by RFC 7489: %s" % (len(cases), ", ".join("%d %s" % (n, word) for word, n in sorted(seen.items()))))
    for name, _, why in EXPLAINED:
        print("  %4d  %s: %s" % (used[name], name, why))
    print("%d passed, %d failed, 0 skipped" % (len(cases) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
