# SPDX-License-Identifier: Apache-2.0
"""dkimjudges.py - other programs that sign messages with DKIM and judge them, for 29-dkim-corpus.py and 29-dkim-seeded.py.

Keys makes the private keys and the records.  Dkimpy, Opendkim and Mailauth sign and judge, MailDkim judges only; each
raises ImportError if its program is not installed.  judge(keys, messages) tells of each message whether a signature of
it passes.  judge_ours asks policy/dkim, through the program of test/dkim/judge.c.

Nothing here asks the network: every judge is given the records of Keys.
"""
import base64
import ctypes
import ctypes.util
import json
import os
import shutil
import subprocess
import tempfile
import time

DOMAIN = "example.org"
HEADERS = "from to subject date message-id".split()


# ---- keys -----------------------------------------------------------------------------------------------------------

def openssl(*arguments, stdin=b""):
    return subprocess.run(["openssl", *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout


class Keys:
    """Private keys as PEM, records by selector; both are made new."""

    def __init__(self):
        self.pem, self.spki, self.seed, self.pkcs1_pem = {}, {}, {}, {}
        for name, *how in (("rsa2048", "RSA", "rsa_keygen_bits:2048"), ("rsa1024", "RSA", "rsa_keygen_bits:1024"),
                           ("rsa4096", "RSA", "rsa_keygen_bits:4096"), ("rsa768", "RSA", "rsa_keygen_bits:768"),
                           ("other", "RSA", "rsa_keygen_bits:2048"), ("ed25519", "ED25519")):
            pem = openssl("genpkey", "-algorithm", how[0], *(("-pkeyopt", how[1]) if len(how) > 1 else ()))
            self.pem[name] = pem
            self.spki[name] = openssl("pkey", "-pubout", "-outform", "DER", stdin=pem)
        self.seed["ed25519"] = openssl("pkey", "-outform", "DER", stdin=self.pem["ed25519"])[-32:]
        self.pkcs1 = openssl("rsa", "-RSAPublicKey_out", "-outform", "DER", stdin=self.pem["rsa2048"])
        self.records = {}
        p = {name: base64.b64encode(der).decode() for name, der in self.spki.items()}
        p["ed25519"] = base64.b64encode(self.spki["ed25519"][-32:]).decode()
        for name in p:
            self.put(name, "v=DKIM1; k=%s; p=%s" % ("ed25519" if name == "ed25519" else "rsa", p[name]))
        good = "p=" + p["rsa2048"]
        for selector, record in (
                ("only-p", good), ("spaces", " v=DKIM1 ;\tk=rsa ; t=y : z ; p=" + " ".join(p["rsa2048"][i:i + 50] for i in range(0, 400, 50))),
                ("unknown-tags", "v=DKIM1; xx=yy; z_1=a=b; " + good + ";"), ("notes", "v=DKIM1; n=" + "n" * 900 + "; " + good),
                ("v-late", "k=rsa; v=DKIM1; " + good), ("v-other", "v=DKIM2; " + good), ("k-other", "v=DKIM1; k=dsa; " + good),
                ("k-ed25519", "v=DKIM1; k=ed25519; " + good), ("ed-as-rsa", "v=DKIM1; p=" + p["ed25519"]),
                ("h-sha1", "v=DKIM1; h=sha1; " + good), ("h-both", "v=DKIM1; h=sha1:sha256; " + good),
                ("s-other", "v=DKIM1; s=tlsrpt; " + good), ("s-email", "v=DKIM1; s=tlsrpt:email; " + good),
                ("s-all", "v=DKIM1; s=*; " + good), ("t-s", "v=DKIM1; t=s; " + good), ("t-y", "v=DKIM1; t=y; " + good),
                ("revoked", "v=DKIM1; k=rsa; p="), ("no-p", "v=DKIM1; k=rsa"), ("twice", "v=DKIM1; k=rsa; k=rsa; " + good),
                ("junk", "this is no record"), ("pkcs1", "v=DKIM1; p=" + base64.b64encode(self.pkcs1).decode()),
                ("not-der", "v=DKIM1; p=AAAA"), ("not-base64", "v=DKIM1; p=?" + p["rsa2048"][1:]),
                ("cut", "v=DKIM1; p=" + p["rsa2048"][:-8])):
            self.put(selector, record)

    def put(self, selector, record):
        self.records["%s._domainkey.%s" % (selector, DOMAIN)] = record

    def traditional(self, name):
        """An RSA key as PKCS#1, which dkimpy wants."""
        if name not in self.pkcs1_pem:
            self.pkcs1_pem[name] = openssl("rsa", "-traditional", stdin=self.pem[name])
        return self.pkcs1_pem[name]


# ---- signers --------------------------------------------------------------------------------------------------------

class Dkimpy:
    name = "dkimpy"

    def __init__(self):
        import dkim  # pylint: disable=import-outside-toplevel
        self.dkim = dkim
        try:
            import nacl.signing  # noqa: F401  pylint: disable=import-outside-toplevel,unused-import
            self.ed25519 = True
        except ImportError:
            self.ed25519 = False

    def sign(self, keys, message, key, selector, header, body, more):
        ed = key == "ed25519"
        secret = base64.b64encode(keys.seed[key]) if ed else keys.traditional(key)
        names = [n.encode() for n in more.get("names", HEADERS)]
        field = self.dkim.sign(message, selector.encode(), DOMAIN.encode(), secret, identity=more.get("identity"),
                               canonicalize=(header.encode(), body.encode()), include_headers=names,
                               signature_algorithm=b"ed25519-sha256" if ed else more.get("algorithm", b"rsa-sha256"),
                               length=more.get("length", False))
        return field + message

    def judge(self, keys, messages):
        def lookup(name, timeout=5):  # pylint: disable=unused-argument
            record = keys.records.get(name.decode().rstrip(".").lower())
            if record == "!temp":
                raise self.dkim.DnsTimeoutError("time-out")
            return record.encode() if record and record != "!several" else None

        def one(message):
            try:
                d = self.dkim.DKIM(message, minkey=1024)
                return any(d.verify(idx=i, dnsfunc=lookup) for i in range(len([h for h in d.headers if h[0].lower() == b"dkim-signature"])))
            except Exception:  # pylint: disable=broad-except
                return False
        return [one(m) for m in messages]


class Opendkim:
    """libopendkim, called as a library: opendkim-testmsg signs with SHA-1 only, and rewrites line ends."""
    name = "opendkim"
    FLAGS, QUERYMETHOD, QUERYINFO, SIGNHDRS = 0, 6, 7, 4

    def __init__(self):
        path = ctypes.util.find_library("opendkim")
        if path is None:
            raise ImportError("libopendkim is not installed")
        self.lib = lib = ctypes.CDLL(path)
        pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
        for name, result, arguments in (
                ("dkim_init", pointer, [pointer, pointer]), ("dkim_options", number, [pointer, number, number, pointer, size]),
                ("dkim_sign", pointer, [pointer, text, pointer, text, text, text, number, number, number, ctypes.c_ssize_t, pointer]),
                ("dkim_verify", pointer, [pointer, text, pointer, pointer]), ("dkim_header", number, [pointer, text, size]),
                ("dkim_eoh", number, [pointer]), ("dkim_body", number, [pointer, text, size]),
                ("dkim_chunk", number, [pointer, text, size]), ("dkim_eom", number, [pointer, pointer]),
                ("dkim_getsighdr_d", number, [pointer, size, pointer, pointer]), ("dkim_free", number, [pointer]),
                ("dkim_getsiglist", number, [pointer, pointer, pointer]), ("dkim_sig_getflags", ctypes.c_uint, [pointer]),
                ("dkim_sig_getbh", number, [pointer]), ("dkim_close", None, [pointer])):
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
        self.ed25519 = True

    def sign(self, keys, message, key, selector, header, body, more):
        lib, status = self.lib.dkim_init(None, None), ctypes.c_int()
        names = [n.encode() for n in more.get("names", HEADERS)]
        array = (ctypes.c_char_p * (len(names) + 1))(*names, None)
        self.lib.dkim_options(lib, 1, self.SIGNHDRS, array, ctypes.sizeof(ctypes.c_void_p))
        d = self.lib.dkim_sign(lib, b"id", None, keys.pem[key], selector.encode(), DOMAIN.encode(), int(header == "relaxed"),
                               int(body == "relaxed"), 2 if key == "ed25519" else 1, -1, ctypes.byref(status))
        fields, text = take_apart(message)
        for field in fields:
            self.must(self.lib.dkim_header(d, field, len(field)))
        self.must(self.lib.dkim_eoh(d))
        self.must(self.lib.dkim_body(d, text, len(text)) if text else 0)
        self.must(self.lib.dkim_eom(d, None))
        out, length = ctypes.c_char_p(), ctypes.c_size_t()
        self.must(self.lib.dkim_getsighdr_d(d, 16, ctypes.byref(out), ctypes.byref(length)))
        value = out.value.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        self.lib.dkim_free(d)
        self.lib.dkim_close(lib)
        return b"DKIM-Signature: " + value + b"\r\n" + message

    @staticmethod
    def must(status):
        if status != 0:
            raise ValueError("libopendkim says %d" % status)

    def judge(self, keys, messages):
        with tempfile.NamedTemporaryFile("w", suffix=".keys") as f:
            f.write("".join("%s %s\n" % (n, r) for n, r in keys.records.items() if not r.startswith("!")))
            f.flush()
            lib, method = self.lib.dkim_init(None, None), ctypes.c_int(1)
            self.lib.dkim_options(lib, 1, self.QUERYMETHOD, ctypes.byref(method), ctypes.sizeof(method))
            self.lib.dkim_options(lib, 1, self.QUERYINFO, f.name.encode(), len(f.name))
            found = [self.one(lib, m) for m in messages]
            self.lib.dkim_close(lib)
        return found

    def one(self, lib, message):
        status, signatures, count = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_int()
        d = self.lib.dkim_verify(lib, b"id", None, ctypes.byref(status))
        good = self.lib.dkim_chunk(d, message, len(message)) == 0 and self.lib.dkim_chunk(d, None, 0) == 0
        self.lib.dkim_eom(d, None)
        self.lib.dkim_getsiglist(d, ctypes.byref(signatures), ctypes.byref(count))
        passed = False
        for i in range(count.value if good else 0):
            sig = ctypes.cast(signatures, ctypes.POINTER(ctypes.c_void_p))[i]
            passed = passed or (self.lib.dkim_sig_getflags(sig) & 4 != 0 and self.lib.dkim_sig_getbh(sig) == 0)
        self.lib.dkim_free(d)
        return passed


MAILAUTH = r"""
console.log = () => {};   // the library writes a line of its own where l= is longer than the body
const path = process.argv[2];
const { dkimSign } = require(path + '/lib/dkim/sign');
const { dkimVerify } = require(path + '/lib/dkim/verify');
const jobs = JSON.parse(require('fs').readFileSync(0));
(async () => {
    const out = [];
    for (const job of jobs.list) {
        const message = Buffer.from(job.message, 'base64');
        if (job.sign) {
            const r = await dkimSign(message, job.sign);
            out.push(r.errors.length ? { error: String(r.errors[0].err) } : { signatures: r.signatures });
        } else {
            const resolver = async (name, type) => {
                const record = jobs.records[name.toLowerCase()];
                if (record === '!temp') throw Object.assign(new Error('SERVFAIL'), { code: 'ESERVFAIL' });
                if (record === '!several') return [['v=DKIM1; p=AAAA'], ['v=DKIM1; p=BBBB']];
                if (!record) throw Object.assign(new Error('ENOTFOUND'), { code: 'ENOTFOUND' });
                return [[record]];
            };
            const r = await dkimVerify(message, { resolver, minBitLength: 1024 }).catch(() => ({ results: [] }));
            out.push({ words: r.results.map(x => x.status.result) });
        }
    }
    process.stdout.write(JSON.stringify(out));
})();
"""


class Mailauth:
    name = "mailauth"
    ed25519 = True

    def __init__(self, directory):
        self.path = os.path.join(directory or "", "node_modules", "mailauth")
        if not directory or not os.path.isdir(self.path) or shutil.which("node") is None:
            raise ImportError("mailauth is not there (npm install --prefix DIR mailauth@7; --mailauth DIR)")
        with open(os.path.join(self.path, "package.json"), encoding="utf-8") as f:
            version = json.load(f)["version"]
        if not version.startswith("7."):
            raise ImportError("mailauth %s is there, the explanations are of 7 (npm install --prefix DIR mailauth@7)" % version)

    def node(self, jobs):
        with tempfile.NamedTemporaryFile("w", suffix=".cjs") as f:
            f.write(MAILAUTH)
            f.flush()
            return json.loads(subprocess.run(["node", f.name, self.path], input=json.dumps(jobs).encode(), stdout=subprocess.PIPE,
                                             check=True).stdout)

    def sign_all(self, wanted):
        """[(keys, message, key, selector, header, body, more)] in one process; None: it refuses this message."""
        answers = self.node({"list": [{"message": base64.b64encode(message).decode(), "sign": {
            "canonicalization": "%s/%s" % (header, body), "signTime": int(time.time() * 1000),
            "headerList": more.get("names", HEADERS),
            "signatureData": [{"signingDomain": DOMAIN, "selector": selector, "privateKey": keys.pem[key].decode(),
                               "algorithm": "ed25519-sha256" if key == "ed25519" else "rsa-sha256"}]}}
            for keys, message, key, selector, header, body, more in wanted]})
        return [None if "error" in a else a["signatures"].encode("latin-1") + w[1] for a, w in zip(answers, wanted)]

    def judge(self, keys, messages):
        jobs = {"records": keys.records, "list": [{"message": base64.b64encode(m).decode()} for m in messages]}
        return ["pass" in a["words"] for a in self.node(jobs)]


MAIL_DKIM = r"""
package Zone;
sub new { bless { records => $_[1] }, $_[0] }
sub errorstring { 'NOERROR' }
sub send {
    my ($self, $name, $type) = @_;
    my $record = $self->{records}{lc $name};
    my $packet = Net::DNS::Packet->new($name, $type, 'IN');
    my $several = defined $record && $record eq '!several';
    die "time-out\n" if defined $record && $record eq '!temp';
    $packet->header->rcode(defined $record ? 'NOERROR' : 'NXDOMAIN');
    for my $text (!defined $record ? () : $several ? ('v=DKIM1; p=AAAA', 'v=DKIM1; p=BBBB') : ($record)) {
        $packet->push(answer => Net::DNS::RR->new(owner => $name, type => 'TXT', txtdata => [$text =~ /(.{1,255})/gs]));
    }
    return $packet;
}
package main;
use strict;
use JSON::PP;
use MIME::Base64;
use Net::DNS;
use Mail::DKIM::Verifier;
my $jobs = decode_json(do { local $/; <STDIN> });
Mail::DKIM::DNS::resolver(Zone->new($jobs->{records}));
my @out;
for my $job (@{ $jobs->{list} }) {
    my $passes = 0;
    local $SIG{__WARN__} = sub { };
    eval {
        my $d = Mail::DKIM::Verifier->new();
        $d->PRINT(decode_base64($job->{message}));
        $d->CLOSE;
        $passes = 1 if grep { $_->result eq 'pass' } $d->signatures;
    };
    push @out, $passes;
}
print encode_json(\@out);
"""


class MailDkim:
    """Mail::DKIM of Perl; it signs nothing here, and Debian's does not know Ed25519."""
    name = "Mail::DKIM"

    def __init__(self):
        if subprocess.run(["perl", "-MMail::DKIM::Verifier", "-MJSON::PP", "-e", "1"], stderr=subprocess.DEVNULL, check=False).returncode:
            raise ImportError("Mail::DKIM is not installed (libmail-dkim-perl)")

    def judge(self, keys, messages):
        jobs = {"records": keys.records, "list": [{"message": base64.b64encode(m).decode()} for m in messages]}
        return [p == 1 for p in json.loads(subprocess.run(["perl", "-e", MAIL_DKIM], input=json.dumps(jobs).encode(),
                                                          stdout=subprocess.PIPE, check=True).stdout)]


def take_apart(message):
    """The fields without their CRLF, and the body."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields = []
    for line in head.split(b"\r\n"):
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] += b"\r\n" + line
        else:
            fields.append(line)
    return fields, body


def try_to_sign(signer, keys, how):
    """None: the program refuses this message."""
    try:
        return signer.sign(keys, *how)
    except Exception as e:  # pylint: disable=broad-except
        if isinstance(e, ValueError) or type(e).__name__ in ("MessageFormatError", "ParameterError"):
            return None
        raise


# ---- ours ----------------------------------------------------------------------------------------------------------

def judge_ours(program, keys, cases):
    """[(word, reasons)]"""
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "keys"), "w", encoding="ascii") as f:
            f.write("".join("%s\t%s\n" % item for item in keys.records.items()))
        paths = []
        for i, case in enumerate(cases):
            paths.append(os.path.join(folder, "%d.eml" % i))
            with open(paths[-1], "wb") as f:
                f.write(case.message)
        out = subprocess.run([program, os.path.join(folder, "keys"), str(int(time.time())), *paths], stdout=subprocess.PIPE,
                             check=True).stdout.decode()
    rows = [line.split("\t") for line in out.splitlines()]
    return [(row[1], "; ".join(row[3::2])) for row in rows]
