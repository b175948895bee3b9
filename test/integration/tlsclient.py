# SPDX-License-Identifier: Apache-2.0
"""tlsclient.py - certificates made on the spot, and a raw SMTP client that can begin TLS wherever a test wants."""
import os
import ssl
import subprocess

from client import Client


def openssl(*args, stdin=None):
    done = subprocess.run(["openssl"] + list(args), input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError("openssl %s: %s" % (" ".join(args), done.stderr.decode("utf-8", "replace")))
    return done.stdout


class Authority:
    """A certificate authority in a directory, with leaves for mail servers."""

    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self.cert = os.path.join(directory, "ca.pem")
        self.key = os.path.join(directory, "ca.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
                "-subj", "/CN=test CA", "-keyout", self.key, "-out", self.cert)

    def leaf(self, name, host="mx.glacis.test", ec=False, days=90, chain=True):
        """(certificate file with its chain, key file).  days < 0: expired."""
        key, cert = os.path.join(self.dir, name + ".key"), os.path.join(self.dir, name + ".pem")
        request = os.path.join(self.dir, name + ".csr")
        kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if ec else ["rsa:2048"]
        openssl("req", "-newkey", *kind, "-nodes", "-subj", "/CN=" + host, "-keyout", key, "-out", request)
        extra = os.path.join(self.dir, name + ".ext")
        with open(extra, "w", encoding="ascii") as f:
            f.write("subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\nkeyUsage=digitalSignature\n" % host)
        openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-days", str(days), "-set_serial",
                str(int.from_bytes(os.urandom(8), "big") >> 1), "-extfile", extra, "-out", cert)
        if chain:
            with open(cert, "ab") as f, open(self.cert, "rb") as ca:
                f.write(ca.read())
        return cert, key

    def context(self, version=None):
        """A client that verifies."""
        c = ssl.create_default_context(cafile=self.cert)
        if version:
            c.minimum_version = c.maximum_version = version
        return c


class TlsClient(Client):
    """Client whose connection can be encrypted."""

    def wrap(self, context, host="mx.glacis.test"):
        self.sock = context.wrap_socket(self.sock, server_hostname=host, suppress_ragged_eofs=False)
        return self

    def starttls(self, context, host="mx.glacis.test"):
        reply = self.cmd("STARTTLS")
        if reply.code != "220":
            raise RuntimeError("STARTTLS: %s" % reply)
        return self.wrap(context, host)


def client_hello(host="mx.glacis.test"):
    """The first flight of a client."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    c = ssl.create_default_context()
    try:
        c.wrap_bio(into, out, server_hostname=host).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()
