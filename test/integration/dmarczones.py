# SPDX-License-Identifier: Apache-2.0
"""dmarczones.py - zones with DMARC records drawn from a seed, and what policy/dmarc makes of them, for 29-dmarc-zones.py and
29-dmarc-psl.py.

judge_ours runs the program of test/dmarc/judge.c, which reads a zone as Case.text writes it.
"""
import collections
import random
import subprocess

POLICIES = ("none", "quarantine", "reject")
Case = collections.namedtuple("Case", "author domains zone twice")
Answer = collections.namedtuple("Answer", "result policy tag org by relaxed")


def text_of(case):
    lines = [case.author, " ".join(case.domains) or "-"]
    lines += ["%s\t%s" % (name, record) for name, records in case.zone.items() for record in records]
    return "\n".join(lines) + "\n\n"


Case.text = text_of


# ---- generated zones ------------------------------------------------------------------------------------------------

class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.twice = False

    def chance(self, share):
        return self.random.random() < share

    def record(self):
        pick = self.random.choice
        if self.chance(0.06):
            return pick(("v=spf1 -all", "v=DMARC1p=reject", "v=dmarc1; p=reject", "v=DMARC2; p=reject", "p=reject; v=DMARC1", "text"))
        tags = [pick(("p=", "p=", "p = ", "P=")) + pick(POLICIES + ("Reject", "reject"))] if self.chance(0.93) else pick(([], ["p=rejekt"], ["p="]))
        for share, names, values in ((0.35, ("sp=",), POLICIES + ("QUARANTINE",)), (0.3, ("np=",), POLICIES), (0.02, ("sp=", "np="), ("x", "")),
                                     (0.15, ("t=",), ("y", "n", "Y")), (0.12, ("adkim=", "aspf="), ("s", "S", "r", "x")),
                                     (0.35, ("psd=", "psd = "), ("y", "y", "n", "u", "N", "Y", "z")), (0.2, ("pct=", "ri=", "x="), ("1",)),
                                     (0.4, ("rua=",), ("mailto:a@b.example", "a@b.example", "x, mailto:a@b.example!10m", ""))):
            if self.chance(share):
                tags.append(pick(names) + pick(values))
        if self.chance(0.01):
            tags += ["p=none", "psd=n"]
        names = [tag.split("=")[0].strip().lower() for tag in tags]
        self.twice = self.twice or len(set(names)) < len(names)
        self.random.shuffle(tags)
        return pick(("v=DMARC1; ", "v=DMARC1;", "v = DMARC1 ; ")) + pick(("; ", ";", " ;")).join(tags) + pick(("", ";"))

    def name(self, parent, labels):
        return ".".join([self.random.choice("abcdef") for _ in range(labels)] + [parent])

    def domain_near(self, author):
        kind = self.random.random()
        if kind < 0.25:
            return author
        parent = ".".join(author.split(".")[self.random.randrange(0, author.count(".") + 1):])
        if kind < 0.5:
            return parent
        if kind < 0.9:
            return self.name(parent, self.random.choice((1, 1, 1, 2, 3, 6)))
        return self.random.choice(("other.org", "org", "a.example"))

    def case(self):
        self.twice = False
        author = self.name(self.random.choice(("com", "bank.example", "org")), self.random.choice((0, 1, 1, 1, 2, 2, 2, 3, 4, 6, 7, 8, 10)))
        domains = [("?" if self.chance(0.08) else "") + "dkim:" + self.domain_near(author) for _ in range(self.random.choice((0, 0, 1, 1, 2, 3)))]
        if self.chance(0.6):
            domains.append(("?" if self.chance(0.08) else "") + "spf:" + self.domain_near(author))
        zone, temps = {}, 0
        for domain in [author] + [word.split(":")[1] for word in domains]:
            labels = domain.split(".")
            for i in range(len(labels)):
                name, kind = "_dmarc." + ".".join(labels[i:]), self.random.random()
                if name in zone:
                    continue
                if kind < (0.5 if i < len(labels) - 1 else 0.25):
                    zone[name] = [self.record()] + ([self.record()] if self.chance(0.08) else [])
                elif kind < 0.56 and temps < 2:
                    zone[name] = ["!temp"]
                    temps += 1
                elif kind < 0.6:
                    zone[name] = ["!nodata"]
        if self.chance(0.3):
            zone[author] = [self.random.choice(("text", "!nodata", "!temp"))]
        return Case(author, domains, zone, self.twice)


# ---- ours ----------------------------------------------------------------------------------------------------------

def judge_ours(command, cases):
    out = subprocess.run(command, input="".join(map(Case.text, cases)).encode(), stdout=subprocess.PIPE, check=True).stdout.decode()
    answers = []
    for line in out.splitlines():
        if line == "torn":
            answers.append(None)
            continue
        result, policy, tag, org, by, relaxed = line.split("\t")
        known = bool(tag) and not policy.endswith("?")
        answers.append(Answer(result, policy if known else None, tag if known else None, org or None, frozenset(by.split()),
                              {"yes": True, "no": False, "unknown": None}[relaxed]))
    return answers
