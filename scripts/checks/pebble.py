"""Pebble, the test CA of Let's Encrypt, and its DNS server, on loopback and on free ports."""

import contextlib
import json
import os
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.request

import world

NEEDED = ("pebble", "pebble-challtestsrv", "openssl")


def find_programs():
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        print(f"this needs {', '.join(missing)}: apt-get install pebble openssl")
        sys.exit(2)


def free_ports(count):
    """Ports that nobody has now: the CA must know those of the proxy before it starts. Below those
    that the system gives to outgoing connections, which would take them in the meantime."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    with contextlib.ExitStack() as held:
        ports = []
        while len(ports) < count:
            port = random.randrange(10_000, first)
            with contextlib.suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports


def own_certificate(folder):
    """What the CA's own HTTPS shows: a CA, and a certificate for 127.0.0.1 that it has signed."""

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=check",
            "-days", "2", "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", *key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=pebble")
    pathlib.Path(folder, "names").write_text("subjectAltName=IP:127.0.0.1\n")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key",
            "-CAcreateserial", "-out", "cert.pem", "-days", "2", "-extfile", "names")


class Pebble:
    """A CA that validates over these two ports and signs for so many seconds."""

    def __init__(self, http_port, tls_port, validity=90 * 86400):
        self.folder = tempfile.TemporaryDirectory()
        self.http_port, self.tls_port, self.validity = http_port, tls_port, validity
        own_certificate(self.folder.name)
        self.ca = self.folder.name + "/ca.pem"
        self.context = ssl.create_default_context(cafile=self.ca)
        self.port, self.management, self.dns, dns_management = free_ports(4)
        self.dns_management = f"http://127.0.0.1:{dns_management}"
        self.log = open(self.folder.name + "/log", "w")
        self.dns_server = self.start([
            "pebble-challtestsrv", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "",
            "-management", f"127.0.0.1:{dns_management}", "-dns01", f"127.0.0.1:{self.dns}",
            "-http01", "", "-https01", "", "-tlsalpn01", "",
        ])
        self.server = None
        self.start_server()

    def start(self, command, **variables):
        environment = {**os.environ, **variables}
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)

    def start_server(self):
        """Also again: it has then forgotten every account, and signs by another root."""
        config = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self.management}",
            "certificate": self.folder.name + "/cert.pem",
            "privateKey": self.folder.name + "/key.pem",
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "certificateValidityPeriod": self.validity,
        }
        path = pathlib.Path(self.folder.name, "pebble.json")
        path.write_text(json.dumps({"pebble": config}))
        command = ["pebble", "-config", path, "-dnsserver", f"127.0.0.1:{self.dns}"]
        # Some requests are refused for their nonce, which a client must bear; three in a row, which
        # instant-acme does not, fail one order in a thousand.
        self.server = self.start(command, PEBBLE_VA_NOSLEEP="1", PEBBLE_WFE_NONCEREJECT="5")
        if not world.eventually(self.is_up, 15):
            self.stop()
            sys.exit("Pebble did not start")

    def is_up(self):
        try:
            self.root()
        except OSError:
            return False
        return True

    @property
    def directory(self):
        return f"https://127.0.0.1:{self.port}/dir"

    def get(self, url):
        with urllib.request.urlopen(url, context=self.context, timeout=10) as answer:
            return answer.read().decode()

    def root(self):
        """The certificate that all of its certificates go back to, in PEM."""
        return self.get(f"https://127.0.0.1:{self.management}/roots/0")

    def resolve(self, name, address):
        """Has the CA find `name` there."""
        body = json.dumps({"host": name, "addresses": [address]}).encode()
        urllib.request.urlopen(self.dns_management + "/add-a", body, timeout=10).close()

    def issued(self):
        """How many certificates it has signed, as its log tells."""
        text = pathlib.Path(self.folder.name, "log").read_text()
        return text.count("Issued certificate serial")

    def stop_server(self):
        self.server.terminate()
        self.server.wait(10)

    def stop(self):
        for process in (self.server, self.dns_server):
            if process and process.poll() is None:
                process.kill()
                process.wait()
        self.log.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
