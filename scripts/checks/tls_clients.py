#!/usr/bin/env python3
"""Clients that others wrote, over TLS and HTTP/2, and a scan of the TLS settings.

    scripts/checks/tls_clients.py [NAME...]    (curl openssl httpx node chromium testssl)

Each client trusts a throw-away CA, must get TLS 1.3 and the protocol that it asked for by ALPN, and
the body as the origin sent it. testssl may find nothing that costs a site its grade A. What is
missing of the programs is named and fails the check. The Python package httpx is installed into a
cache if need be.
"""

import base64
import hashlib
import http.server
import json
import pathlib
import random
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading

import tls_ca
import world

HOST = "localhost"
# Larger than the first window of HTTP/2.
BODY = random.Random(5).randbytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
# Fetches the body and says over which protocol it came.
PAGE = b"""<!doctype html><title>page</title><p id="said">nothing</p><script>
(async () => {
  const body = await (await fetch("/body")).arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  const hex = [...digest].map((one) => one.toString(16).padStart(2, "0")).join("");
  const kinds = ["navigation", "resource"];
  const entries = kinds.flatMap((kind) => performance.getEntriesByType(kind));
  const spoken = entries.map((one) => one.nextHopProtocol);
  document.getElementById("said").textContent = [hex, ...spoken].join(" ");
})();
</script>"""
CONFIG = """
[[routes]]
service = "origin"
[services.origin]
endpoints = ["http://127.0.0.1:{port}"]
"""
INSTALL = {
    "curl": "apt-get install curl",
    "openssl": "apt-get install openssl",
    "node": "apt-get install nodejs",
    "chromium": "apt-get install chromium",
    "testssl": "apt-get install testssl.sh",
}
# What would cost a grade, by testssl's severities; LOW does not.
BAD = {"MEDIUM", "HIGH", "CRITICAL", "FATAL"}
# What it says of this certificate and this origin, and not of the proxy.
ALLOWED = {
    "cert_revocation": "a throw-away CA has no list of revoked certificates",
    "cert_crlDistributionPoints": "as above",
    "cert_ocspURL": "as above",
    "security_headers": "the origin's; the proxy adds none unasked",
}
SHOWN = {"TLS1_2", "TLS1_3", "ALPN_HTTP2", "FS_ciphers", "FS_KEMs", "FS_ECDHE_curves"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind, body = {
            "/page": ("text/html", PAGE),
            "/body": ("application/octet-stream", BODY),
        }.get(self.path, ("text/plain", b"else\n"))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


class Origin(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """A connection that the proxy has given up."""


class Site:
    """A proxy with a certificate, and what its clients need to know."""

    def __init__(self, proxy, authority, cert, verdict):
        self.proxy, self.ca, self.cert, self.verdict = proxy, str(authority.pem), cert, verdict
        self.folder = authority.folder
        self.url = f"https://{HOST}:{proxy.port}"

    def run(self, *words, **more):
        return subprocess.run([*words], capture_output=True, timeout=300, **more)

    def expect(self, name, tls, alpn, status, digest, wanted_tls="TLSv1.3", wanted_alpn="h2"):
        seen = f"{tls}, {alpn}, {status}, the body {'as sent' if digest == DIGEST else 'differs'}"
        holds = (tls, alpn, status, digest) == (wanted_tls, wanted_alpn, 200, DIGEST)
        self.verdict.expect(holds, f"{name}: {seen}")


def found(pattern, text):
    match = re.search(pattern, text)
    return match[1] if match else "nothing"


def check_curl(site):
    for flag, alpn in [("--http2", "h2"), ("--http1.1", "http/1.1")]:
        done = site.run("curl", "-sv", flag, "--cacert", site.ca, site.url + "/body")
        said = done.stderr.decode(errors="replace")
        tls = found(r"SSL connection using (\S+)", said)
        chosen = found(r"ALPN: server accepted (\S+)", said)
        status = int(found(r"< HTTP/\S+ (\d+)", said) if done.returncode == 0 else 0)
        digest = hashlib.sha256(done.stdout).hexdigest()
        site.expect(f"curl {flag}", tls, chosen, status, digest, wanted_alpn=alpn)


def check_openssl(site):
    request = f"GET /body HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode()
    address = f"{HOST}:{site.proxy.port}"
    base = ["openssl", "s_client", "-connect", address, "-servername", HOST, "-CAfile", site.ca]
    base += ["-verify_return_error", "-ign_eof", "-brief"]
    for flag, version in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")]:
        done = site.run(*base, flag, "-alpn", "http/1.1", input=request)
        tls = found(r"Protocol version: (\S+)", done.stderr.decode())
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        status = int(
            found(r"HTTP/1.1 (\d+)", head.decode(errors="replace")).replace("nothing", "0")
        )
        digest = hashlib.sha256(body).hexdigest()
        site.expect(
            f"openssl s_client {flag}", tls, "http/1.1", status, digest, version, "http/1.1"
        )
        shown = [word for word in base if word not in ("-ign_eof", "-brief")]
        done = site.run(*shown, flag, "-alpn", "h2,http/1.1", stdin=subprocess.DEVNULL)
        said = done.stdout.decode(errors="replace")
        chosen = found(r"ALPN protocol: (\S+)", said)
        site.verdict.expect(chosen == "h2", f"openssl s_client {flag}: ALPN chooses {chosen}")
    for flag in ("-tls1_1", "-tls1"):
        done = site.run(*base, flag, "-cipher", "ALL:@SECLEVEL=0", stdin=subprocess.DEVNULL)
        site.verdict.expect(done.returncode != 0, f"openssl s_client {flag}: refused")


def check_httpx(site):
    world.find_package("h2", "h2>=4.1")
    world.find_package("httpx", "httpx[http2]")
    import httpx

    context = ssl.create_default_context(cafile=site.ca)
    for http2, alpn in [(True, "h2"), (False, "http/1.1")]:
        with httpx.Client(http2=http2, verify=context, trust_env=False) as client:
            with client.stream("GET", site.url + "/body") as answer:
                stream = answer.extensions["network_stream"].get_extra_info("ssl_object")
                tls, chosen = stream.version(), stream.selected_alpn_protocol() or "http/1.1"
                body, spoken = answer.read(), answer.http_version
        name = f"httpx {httpx.__version__}, {spoken}"
        digest = hashlib.sha256(body).hexdigest()
        site.expect(name, tls, chosen, answer.status_code, digest, wanted_alpn=alpn)


def check_node(site):
    script = pathlib.Path(__file__).with_name("tls_client.mjs")
    done = site.run("node", script, site.url + "/body", site.ca)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    for line, alpn in zip(lines, ["http/1.1", "h2"]):
        name = "node, module " + line.pop("name")
        site.expect(name, *line.values(), wanted_alpn=alpn)
    site.verdict.expect(len(lines) == 2, f"node: both modules {done.stderr.decode()[-300:]}")


def spki(cert):
    """SHA-256 of the public key, as Chromium wants it."""
    pem = tls_ca.openssl("x509", "-in", cert, "-noout", "-pubkey")
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def check_chromium(site):
    """The page asks for the body and writes down what it got; what was negotiated is in the net
    log. A CA cannot be named on its command line, so the certificate's key is."""
    log, profile = site.folder / "net.json", site.folder / "profile"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    flags += ["--disable-component-update", "--no-first-run", f"--user-data-dir={profile}"]
    flags += [f"--ignore-certificate-errors-spki-list={spki(site.cert)}", f"--log-net-log={log}"]
    flags += ["--virtual-time-budget=10000", "--dump-dom", site.url + "/page"]
    done = site.run("chromium", *flags)
    digest, *spoken = found(r'id="said">([^<]*)<', done.stdout.decode()).split() or ["nothing"]
    # The page, the body, and perhaps an icon.
    is_h2 = len(spoken) >= 2 and set(spoken) == {"h2"}
    site.verdict.expect(is_h2, f"chromium: page and body over {spoken}")
    sessions = tls_sessions(log, site.proxy.port)
    tls, alpn = sessions.pop() if len(sessions) == 1 else (f"sessions {sessions}", "nothing")
    site.expect("chromium", tls, alpn, 200 if done.returncode == 0 else 0, digest)


def tls_sessions(log, port):
    """Version and ALPN of each connection to the proxy that has ended its handshake."""
    try:
        net = json.loads(log.read_text())
    except (OSError, ValueError) as error:
        return {(f"no net log: {error}", "nothing")}
    kind = net["constants"]["logEventTypes"]["SSL_CONNECT"]
    params = [event.get("params", {}) for event in net["events"] if event["type"] == kind]
    versions = {"TLS 1.3": "TLSv1.3", "TLS 1.2": "TLSv1.2"}
    return {
        (versions.get(one["version"], one["version"]), one["next_proto"])
        for one in params
        if "version" in one
    }


def check_testssl(site):
    out = site.folder / "testssl.json"
    flags = ["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none"]
    flags += ["--add-ca", site.ca, "--ip", "127.0.0.1", "--jsonfile", out]
    done = site.run("testssl", *flags, f"{HOST}:{site.proxy.port}", stdin=subprocess.DEVNULL)
    try:
        rows = json.loads(out.read_text())
    except (OSError, ValueError) as error:
        said = done.stdout.decode(errors="replace")[-600:]
        site.verdict.expect(False, f"testssl: no report: {error} {said}")
        return
    for row in rows:
        if row["severity"] not in ("OK", "INFO", "DEBUG"):
            allowed = f" (allowed: {ALLOWED[row['id']]})" if row["id"] in ALLOWED else ""
            print(f"      {row['severity']:8} {row['id']}: {row['finding']}{allowed}")
    worse = sorted({row["id"] for row in rows if row["severity"] in BAD} - set(ALLOWED))
    good = sum(row["severity"] == "OK" for row in rows)
    site.verdict.expect(good > 20 and not worse, f"testssl: {good} findings are good, bad: {worse}")
    said = {row["id"]: row["finding"] for row in rows}
    # Not in 3.0.
    if grade := said.get("overall_grade"):
        site.verdict.expect(grade.startswith("A"), f"testssl: grade {grade}")
    for name in sorted(SHOWN & said.keys()):
        print(f"      {name}: {said[name]}")


CHECKS = {
    "curl": check_curl,
    "openssl": check_openssl,
    "httpx": check_httpx,
    "node": check_node,
    "chromium": check_chromium,
    "testssl": check_testssl,
}


def main():
    names = sys.argv[1:] or list(CHECKS)
    if unknown := set(names) - set(CHECKS):
        sys.exit(f"no such client: {unknown}; there are: " + ", ".join(CHECKS))
    world.end_on_signals()
    verdict = world.Verdict()
    origin = Origin(("127.0.0.1", 0), Handler)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        authority = tls_ca.Authority(folder)
        cert, key = authority.issue("site", [HOST, "127.0.0.1"])
        config = CONFIG.format(port=origin.server_port)
        with world.Proxy(config, listeners=tls_ca.listener(cert, key)) as proxy:
            site = Site(proxy, authority, cert, verdict)
            for name in names:
                print(f"== {name}")
                if name in INSTALL and not shutil.which(name):
                    verdict.expect(False, f"{name} is missing: {INSTALL[name]}")
                else:
                    CHECKS[name](site)
            verdict.expect(proxy.is_alive() and not proxy.panics(), "alive, no panic")
    verdict.exit()


if __name__ == "__main__":
    main()
