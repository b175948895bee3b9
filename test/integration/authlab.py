# SPDX-License-Identifier: Apache-2.0
"""authlab.py - a small Internet that signs: keys made here, zones in nsd that hold them, messages signed with dkimpy.

The zones (below auth):
    signed      p=reject, a key; its authors are Alice and friends.  No SPF
    lists       a mailing list: SPF for 127.0.6.x, a key, p=none
    other       a key, and nothing else
    plain       an address, and nothing else
    none        p=none
    strict      p=reject with adkim=s; news.strict has a key
and below co.uk, a public suffix that publishes a record without psd=:
    shop        p=reject
    evil        a key
The clients are those of lab.py.
"""
import atexit
import base64
import os
import shutil
import subprocess
import tempfile
import threading

import dnsserver
from checks import Skip, must
from lab import Lab

PASS, STRANGER = "127.0.1.30", "127.0.2.30"     # may send for pass.test; may send for nobody (lab.py)
HEAD = b"From: Alice <alice@signed.auth>\r\nTo: bob@example.test\r\nSubject: Hello\r\nDate: Tue, 1 Dec 2026 10:00:00 +0000\r\n" \
       b"Message-ID: <1@signed.auth>\r\n"
BODY = b"first line\r\n.leading dot\r\n  blanks  \t\r\n\r\nlast line\r\n\r\n\r\n"
ZONE = """mail._domainkey.signed TXT {key}
alias._domainkey.signed CNAME mail._domainkey.signed
gone._domainkey.signed TXT "v=DKIM1; p="
_dmarc.signed TXT "v=DMARC1; p=reject"
mail._domainkey.other TXT {key}
_dmarc.none TXT "v=DMARC1; p=none"
_dmarc.strict TXT "v=DMARC1; p=reject; adkim=s"
mail._domainkey.news.strict TXT {key}
plain A 127.0.0.1
signed A 127.0.0.1
lists TXT "v=spf1 ip4:127.0.6.0/24 -all"
lists A 127.0.6.5
mail._domainkey.lists TXT {key}
_dmarc.lists TXT "v=DMARC1; p=none"
"""
SUFFIX = """_dmarc TXT "v=DMARC1; p=none"
_dmarc.shop TXT "v=DMARC1; p=reject"
shop A 127.0.0.1
mail._domainkey.evil TXT {key}
"""
MADE = {}
STARTING = threading.Lock()


def openssl(*arguments):
    return subprocess.run(["openssl", *arguments], capture_output=True, check=True).stdout


def internet():
    """The key, and nsd with the zones that hold it; once for all checks of a file."""
    with STARTING:      # checks may run side by side
        if not MADE:
            if not dnsserver.program("nsd"):
                raise Skip("not installed: nsd")
            where = tempfile.mkdtemp(prefix="glacis-auth-")
            atexit.register(shutil.rmtree, where, True)
            MADE["key"] = openssl("genrsa", "-traditional", "2048")
            path = os.path.join(where, "key")
            with open(path, "wb") as f:
                f.write(MADE["key"])
            public = base64.b64encode(openssl("rsa", "-in", path, "-pubout", "-outform", "DER")).decode()
            record = "\"v=DKIM1; k=rsa; p=%s\" \"%s\"" % (public[:200], public[200:])
            MADE["nsd"] = dnsserver.nsd(where, {"auth": ZONE.format(key=record), "co.uk": SUFFIX.format(key=record)})
            atexit.register(MADE["nsd"].stop)
    return MADE


class AuthLab(Lab):
    """A lab that knows these domains too."""

    def __init__(self, w, policy, more="", **options):
        made = internet()
        super().__init__(w, policy=policy, lists="", more=more, **options)
        for zone in ("auth", "co.uk"):
            self.dns.forward(zone, made["nsd"].address)


def sign(message, domain=b"signed.auth", selector=b"mail", **options):
    import dkim  # pylint: disable=import-outside-toplevel
    return dkim.sign(message, selector, domain, internet()["key"], **options) + message


def hostile(n, domain="x%d.auth", selector="s"):
    """Signatures that are well formed, each of another domain, and of nobody."""
    return b"".join(b"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s; s=%s; h=from:to; bh=%s; b=%s\r\n" % (
        (domain % i if "%" in domain else domain).encode(), selector.encode(), base64.b64encode(b"h" * 32), base64.b64encode(b"s" * 256))
                    for i in range(n))


def results(t):
    """The results of Authentication-Results: {"dkim": [...], ...}."""
    found = {}
    for part in t.field("Authentication-Results").split(";")[1:]:
        found.setdefault(part.strip().split("=")[0], []).append(part.strip())
    return found


def has(t, method, *words):
    lines = results(t).get(method, [])
    must(any(all(w in l for w in words) for l in lines), "%s with %s" % (method, " ".join(words)), t)
