# SPDX-License-Identifier: Apache-2.0
"""target.py - one program under test: its bash file (peers/NAME.sh) with variables and the functions start and stop."""
import glob
import os
import re
import shutil
import subprocess
import time

from rig import HERE, PORT, SINK_PORT, enter, kill_all, listens, pids

# name: default; README.md says what each means
VARIABLES = {"desc": "?", "checks": "-", "tls": "none", "conc": "20", "idle_max": "19000", "addr_port": str(PORT),
             "tls_port": str(PORT), "secs_mult": "1", "warm_mult": "1", "skip": "", "needs": ""}


def known():
    """[(name, what it is)] of all files in peers/."""
    out = []
    for path in sorted(glob.glob(os.path.join(HERE, "peers", "*.sh"))):
        with open(path, encoding="ascii") as f:
            found = re.search(r'^desc="?(.*?)"?$', f.read(), re.M)
        out.append((os.path.basename(path)[:-3], found.group(1) if found else ""))
    return out


class Target:
    """Reads the file; starts and ends the program in the group `peer`."""

    def __init__(self, name, certificate="ecdsa"):
        self.script = name if "/" in name else os.path.join(HERE, "peers", name + ".sh")
        self.name = os.path.basename(self.script)[:-3]
        self.run = os.path.join(HERE, "run", self.name)
        base = os.path.join(HERE, "run", certificate)
        self.env = dict(os.environ, BENCH=HERE, RUN=self.run, PORT=str(PORT), SINK_PORT=str(SINK_PORT), CERT=base + ".pem",
                        KEY=base + ".key", PEERS=os.path.join(HERE, "peers"))
        value = self.variables()
        self.desc, self.checks, self.tls = value["desc"], value["checks"], value["tls"]
        self.parallel, self.idle_max = int(value["conc"]), int(value["idle_max"])
        self.port, self.tls_port = int(value["addr_port"]), int(value["tls_port"])
        self.longer, self.longer_warm = float(value["secs_mult"]), float(value["warm_mult"])
        self.skip = value["skip"].split()
        self.missing = [n for n in value["needs"].split() if not self.there(n)]

    def variables(self):
        show = "".join('printf "%%s\\n" "${%s:-%s}";' % item for item in VARIABLES.items())
        said = subprocess.run(["bash", "-c", '. "$0";' + show, self.script], env=self.env, capture_output=True, text=True,
                              check=True).stdout.split("\n")
        return dict(zip(VARIABLES, said))

    @staticmethod
    def there(needed):
        """A program in the path, or a file."""
        if needed.startswith("/"):
            return os.path.exists(needed)
        return shutil.which(needed, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None

    def call(self, function, timeout=60):
        with open(os.path.join(self.run, "start.log"), "a", encoding="ascii") as log:
            subprocess.run(["bash", "-c", '. "$0"; ' + function, self.script], env=self.env, preexec_fn=enter("peer"),
                           stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=timeout, check=False)

    def start(self):
        """True if it greets."""
        shutil.rmtree(self.run, ignore_errors=True)
        os.makedirs(self.run)
        os.chmod(self.run, 0o755)
        self.call("start")
        return listens(self.port, 30, self.tls != "implicit")

    def stop(self):
        """Asks it to end; kills what is left after 3 s."""
        try:
            self.call("stop", 20)
        except subprocess.TimeoutExpired:
            pass
        for _ in range(30):
            if not pids("peer"):
                return
            time.sleep(0.1)
        kill_all("peer")
        for _ in range(50):
            if not pids("peer"):
                return
            time.sleep(0.1)

    def can(self, workload, name):
        """False for what it does not offer (TLS where it has none, the other way about) or leaves out."""
        return name not in self.skip and (self.tls != "none" if workload.tls else self.tls != "implicit")

    def tls_options(self, tls):
        """(options of smtpload, port)"""
        if not tls:
            return [], self.port
        return ["-S" if self.tls == "starttls" else "-T"], self.tls_port
