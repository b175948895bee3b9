# SPDX-License-Identifier: Apache-2.0
"""realmta.py - a real Postfix and a real Exim that take mail for example.test and deliver it to files.

Each runs in a directory of its own and listens on loopback.  Nothing stays on the machine: Postfix is the installed
package with a configuration of its own; Exim, which Debian cannot install beside it, is unpacked from its packages and
runs in a mount namespace that knows its user.

    mta = Postfix(directory)                  or Exim(directory)
    mta.start()                               raises Missing where it cannot be had
    mta.port["normalize"]                     Postfix: "normalize" and "reject" (bare newlines); Exim: "normal"
    mta.delivered()                           {local part of the recipient: content}, CRLF at each line end
    mta.stop()

Fields that the server itself puts on top of a message are removed; it is told to add and rewrite nothing else.
Limits: root; Debian.
"""
import glob
import os
import re
import shutil
import socket
import subprocess
import time

from ports import free_port


class Missing(Exception):
    """The server cannot be had on this machine; the reason."""


def listens(port):
    """Does something accept connections there?"""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("%s: not within %d s" % (what, seconds))
        time.sleep(0.05)


MAIN_CF = """compatibility_level = 3.6
config_directory = {dir}/etc
queue_directory = {dir}/queue
data_directory = {dir}/data
multi_instance_enable = yes
multi_instance_name = postfix-differential
maillog_file = {dir}/log
maillog_file_prefixes = {dir}
myhostname = postfix.example.test
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
local_recipient_maps =
biff = no
debugger_command =
notify_classes =
mydestination =
virtual_mailbox_domains = example.test
virtual_mailbox_base = {dir}
virtual_mailbox_maps = static:mail/
virtual_minimum_uid = 1
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_mailbox_limit = 0
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_hard_error_limit = 1000
smtpd_timeout = 20s
smtpd_peername_lookup = no
message_size_limit = 10485760
local_header_rewrite_clients =
remote_header_rewrite_domain =
always_add_missing_headers = no
smtpd_forbid_bare_newline_exclusions =
"""

MASTER_CF = """127.0.0.1:{normalize} inet n - n - - smtpd -o smtpd_forbid_bare_newline=normalize
127.0.0.1:{reject} inet n - n - - smtpd -o smtpd_forbid_bare_newline=reject
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - 8 virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """The installed Postfix, twice: two ports with two ways to treat bare newlines."""

    ON_TOP = re.compile(rb"Return-Path: .*\nX-Original-To: .*\nDelivered-To: (.*)@example\.test\n"
                        rb"Received: .*\n(?:[ \t].*\n)*")

    def __init__(self, directory):
        self.dir = directory
        self.port = {}

    def _run(self, verb):
        return subprocess.run(["postfix", "-c", self.dir + "/etc", verb], stdout=subprocess.PIPE, check=False,
                              stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)

    def start(self):
        if not shutil.which("postfix") or os.geteuid() != 0:
            raise Missing("no Postfix, or not root")
        user = subprocess.run(["id", "-u", "postfix"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()
        group = subprocess.run(["id", "-g", "postfix"], stdout=subprocess.PIPE, check=False).stdout.decode().strip()
        if not user:
            raise Missing("there is no user postfix")
        for name in ("etc", "queue", "data", "mail"):
            os.makedirs(os.path.join(self.dir, name))
        for name in ("data", "mail"):
            shutil.chown(os.path.join(self.dir, name), int(user), int(group))
        self.port = {"normalize": free_port(), "reject": free_port()}
        with open(self.dir + "/etc/main.cf", "w", encoding="ascii") as f:
            f.write(MAIN_CF.format(dir=self.dir, uid=user, gid=group))
        with open(self.dir + "/etc/master.cf", "w", encoding="ascii") as f:
            f.write(MASTER_CF.format(**self.port))
        open(self.dir + "/etc/dynamicmaps.cf", "w", encoding="ascii").close()
        said = self._run("start")
        if said.returncode != 0:
            raise Missing("Postfix does not start: %s" % said.stdout.decode()[-500:])
        wait_until(lambda: all(listens(p) for p in self.port.values()), 20, "Postfix listens")
        return self

    def stop(self):
        self._run("stop")

    def delivered(self):
        out = {}
        for path in glob.glob(self.dir + "/mail/new/*"):
            with open(path, "rb") as f:
                text = f.read()
            on_top = self.ON_TOP.match(text)
            if on_top:
                out[on_top.group(1).decode()] = text[on_top.end():].replace(b"\n", b"\r\n")
        return out

    def log_text(self):
        with open(self.dir + "/log", encoding="latin-1") as f:
            return f.read()


EXIM_CONF = """exim_path = {dir}/exim4
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
spool_directory = {dir}/spool
log_file_path = {dir}/spool/exim-%s.log
primary_hostname = exim.example.test
keep_environment =
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
received_header_text =
smtp_accept_queue_per_connection = 0
smtp_accept_max = 0
smtp_enforce_sync = false
smtp_receive_timeout = 20s
rfc1413_query_timeout = 0s
helo_lookup_domains =
acl_smtp_rcpt = accept
acl_smtp_data = accept
domainlist local_domains = example.test
begin acl
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  directory = {dir}/spool/mail
  maildir_format
  user = Debian-exim
  envelope_to_add
begin retry
* * F,1m,10s
"""

EXIM_PACKAGES = ["exim4-daemon-light", "exim4-base", "libidn12", "libgnutls-dane0", "libunbound8"]


class Exim:
    """Exim, unpacked."""

    ON_TOP = re.compile(rb"Envelope-to: (.*)@example\.test\n")

    def __init__(self, directory):
        self.dir = directory
        self.port = {}
        self.process = None

    def _unpack(self):
        root = os.path.join(self.dir, "root")
        os.makedirs(root)
        said = subprocess.run(["apt-get", "download"] + EXIM_PACKAGES, cwd=self.dir, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if said.returncode != 0:
            raise Missing("the packages of Exim cannot be had")
        for package in glob.glob(self.dir + "/*.deb"):
            subprocess.run(["dpkg", "-x", package, root], check=True)
        os.chmod(root + "/usr/sbin/exim4", 0o755)  # set-user-id would drop the path of its libraries
        libraries = glob.glob(root + "/usr/lib/*-linux-gnu")[0]
        with open(self.dir + "/exim4", "w", encoding="ascii") as f:
            f.write("#!/bin/sh\nexport LD_LIBRARY_PATH=%s\nexec %s/usr/sbin/exim4 \"$@\"\n" % (libraries, root))
        os.chmod(self.dir + "/exim4", 0o755)

    def _user(self):
        """Files of users and groups that have Exim's own; its user id."""
        uid = 64998
        for name, more in (("passwd", "Debian-exim:x:%d:%d::/nonexistent:/usr/sbin/nologin\n" % (uid, uid)),
                           ("group", "Debian-exim:x:%d:\n" % uid)):
            with open("/etc/" + name, encoding="utf-8") as f:
                lines = [l for l in f if not l.startswith("Debian-exim:")]
            with open(os.path.join(self.dir, name), "w", encoding="utf-8") as f:
                f.write("".join(lines) + more)
        return uid

    def start(self):
        if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("dpkg"):
            raise Missing("no unshare or dpkg, or not root")
        self._unpack()
        uid = self._user()
        os.makedirs(self.dir + "/spool")
        shutil.chown(self.dir + "/spool", uid, uid)
        self.port = {"normal": free_port()}
        with open(self.dir + "/exim.conf", "w", encoding="ascii") as f:
            f.write(EXIM_CONF.format(dir=self.dir, port=self.port["normal"]))
        script = ('mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && '
                  'exec "$1/exim4" -C "$1/exim.conf" -bdf')
        with open(self.dir + "/log", "wb") as log:
            self.process = subprocess.Popen(["unshare", "-m", "sh", "-c", script, "sh", self.dir], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL)
        try:
            wait_until(lambda: self.process.poll() is not None or listens(self.port["normal"]), 20, "Exim listens")
        except RuntimeError as e:
            raise Missing(str(e)) from None
        if self.process.poll() is not None:
            raise Missing("Exim does not run here: %s" % self.log_text()[-500:])
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)

    def delivered(self):
        out = {}
        for path in glob.glob(self.dir + "/spool/mail/new/*"):
            with open(path, "rb") as f:
                text = f.read()
            on_top = self.ON_TOP.match(text)
            if on_top:
                out[on_top.group(1).decode()] = text[on_top.end():].replace(b"\n", b"\r\n")
        return out

    def log_text(self):
        text = ""
        for path in [self.dir + "/log"] + glob.glob(self.dir + "/spool/exim-*.log"):
            with open(path, encoding="latin-1") as f:
                text += f.read()
        return text
