#!/usr/bin/env python3
"""Certificates ordered from Pebble, the test CA of Let's Encrypt.

    scripts/checks/acme.py [SCENARIO]...

Without arguments all of them run, in about three minutes. Needs Debian's packages pebble and openssl
(apt-get install pebble openssl); installs nothing. Each HTTPS request verifies the certificate
against Pebble's root. Pebble refuses one request in twenty for its nonce.
"""

import contextlib
import http.server
import json
import os
import pathlib
import socket
import ssl
import stat
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import pebble
import world

NAME = "a.test"
# In seconds: of an order, with pauses of its own, on a busy machine.
PATIENCE = 60


class Site:
    """What proxies of one configuration have in common: the ports that the CA asks, and the state."""

    def __init__(self, ca, challenge="http-01", directory=None):
        self.ca, self.challenge, self.directory = ca, challenge, directory or ca.directory
        self.folder = tempfile.TemporaryDirectory()
        self.state = pathlib.Path(self.folder.name, "acme")

    def proxy(self, names, ports=None):
        plain, tls = ports or (self.ca.http_port, self.ca.tls_port)
        config = f"""
            auth = "demo"
            [log]
            format = "text"
            [auth_schemes.demo]
            type = "bearer"
            tokens = ["secret-token"]
            [acme]
            directory = "{self.directory}"
            email = "admin@example.com"
            state = "{self.state}"
            challenge = "{self.challenge}"
            ca = "{self.ca.ca}"
            [[routes]]
            path = "/"
            auth = "none"
            respond = {{ status = 200, body = "served" }}
        """
        listeners = f"""
            [[listeners]]
            bind = "127.0.0.1:{plain}"
            [[listeners]]
            bind = "127.0.0.1:{tls}"
            [listeners.tls]
            acme = {json.dumps(names)}
        """
        return world.Proxy(config, listeners=listeners)

    def certificate(self, name):
        return self.state / "certificates" / f"{name}.pem"

    def challenges(self):
        return [path for path in self.state.glob("challenges/*/*") if path.is_file()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def fetch(port, name, root):
    """The answer over HTTPS, and the serial number of the certificate; raises if the certificate is
    not for `name` and from the CA."""
    context = ssl.create_default_context(cadata=root)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname=name) as tls:
            request = f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
            tls.sendall(request.encode())
            answer = b""
            while piece := tls.recv(4096):
                answer += piece
            return answer.decode(), tls.getpeercert()["serialNumber"]


def served(port, name, root):
    """The serial number of the certificate that is served; None if none can be verified."""
    try:
        answer, serial = fetch(port, name, root)
    except (OSError, ssl.SSLError):
        return None
    return serial if answer.startswith("HTTP/1.1 200") and answer.endswith("served") else None


def said(proxy, *words):
    """The first event with all of these words."""
    events = (line for line in proxy.stderr_lines if all(word in line for word in words))
    return next(events, None)


def orders(proxy, result="ok"):
    return proxy.metrics()[f'proxy_acme_orders_total{{result="{result}"}}']


def issues(verdict, challenge):
    """One certificate, and what is left of its order."""
    with pebble.Pebble(*pebble.free_ports(2)) as ca, Site(ca, challenge) as site:
        with site.proxy([NAME]) as proxy:
            begun = time.monotonic()
            serial = world.eventually(lambda: served(ca.tls_port, NAME, ca.root()), PATIENCE)
            took = time.monotonic() - begun
            verdict.expect(serial, f"{challenge}: HTTPS verified against the CA's root, {took:.1f} s")
            verdict.expect(orders(proxy) == 1 and ca.issued() == 1, "one order, one certificate")
            first = said(proxy, "acme order failed")
            verdict.expect(not first, f"the first order is the one that succeeds{first or ''}")
            verdict.expect(said(proxy, "acme order done"), "the log says so")
            verdict.expect(not site.challenges(), "no answer to a challenge is left")
            private(verdict, site)
            begun = time.monotonic()
            proxy.terminate()
            ended = proxy.exit_code(10) == 0
            verdict.expect(ended, f"TERM ends it with 0, after {time.monotonic() - begun:.1f} s")
            if not serial or not ended:
                print("".join(proxy.stderr_lines[-20:]))
        with site.proxy([NAME]) as proxy:
            kept = world.eventually(lambda: served(ca.tls_port, NAME, ca.root()), 10)
            verdict.expect(kept == serial, "the next process serves the same one")
            verdict.expect(ca.issued() == 1, "and orders none")


def private(verdict, site):
    for path in [site.state, *site.state.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode != (0o700 if path.is_dir() else 0o600):
            verdict.expect(False, f"{path} has mode {mode:o}")
            return
    verdict.expect(True, "folders have mode 0700, files 0600")


def http01(verdict):
    issues(verdict, "http-01")


def alpn01(verdict):
    issues(verdict, "tls-alpn-01")


def two(verdict):
    """Two proxies with one state: one order for both; then one answers for the other."""
    with pebble.Pebble(*pebble.free_ports(2)) as ca, Site(ca) as site:
        other = tuple(pebble.free_ports(2))
        with site.proxy([NAME]) as first, site.proxy([NAME], other) as second:
            serials = set()
            for port in (ca.tls_port, other[1]):
                serials.add(world.eventually(lambda: served(port, NAME, ca.root()), PATIENCE))
            verdict.expect(None not in serials and len(serials) == 1, "both serve one certificate")
            verdict.expect(ca.issued() == 1, "one certificate was issued")
            made = orders(first) + orders(second)
            verdict.expect(made == 1, "exactly one order was made")
        with site.proxy([NAME]) as first, site.proxy([NAME, "b.test"], other) as second:
            serial = world.eventually(lambda: served(other[1], "b.test", ca.root()), PATIENCE)
            made = orders(first), orders(second)
            verdict.expect(serial and made == (0, 1), "one answers the challenge of the other")


def renewal(verdict):
    """Certificates of 30 seconds, renewed under requests."""
    with pebble.Pebble(*pebble.free_ports(2), validity=30) as ca, Site(ca) as site:
        with site.proxy([NAME]) as proxy:
            world.eventually(lambda: served(ca.tls_port, NAME, ca.root()), PATIENCE)
            seen, failed, requests = [], 0, 0
            root, end = ca.root(), time.monotonic() + 65
            while time.monotonic() < end:
                serial = served(ca.tls_port, NAME, root)
                requests, failed = requests + 1, failed + (serial is None)
                if serial and serial not in seen:
                    seen.append(serial)
                time.sleep(0.05)
            text = f"{len(seen)} certificates in 65 s, {failed} of {requests} requests failed"
            verdict.expect(len(seen) >= 3 and not failed, text)
            verdict.expect(len(seen) <= 5, "and no more than it needs")
            if failed:
                print("".join(proxy.stderr_lines[-20:]))


def down(verdict):
    """The CA is away when it is needed, and comes back without a memory."""
    with pebble.Pebble(*pebble.free_ports(2), validity=60) as ca, Site(ca) as site:
        with site.proxy([NAME]) as proxy:
            root = ca.root()
            serial = world.eventually(lambda: served(ca.tls_port, NAME, root), PATIENCE)
            ca.stop_server()
            event = world.eventually(lambda: said(proxy, "ERROR", "acme order failed"), 50)
            verdict.expect(event and NAME in event, "the CA down: an error is logged")
            print("     ", (event or "").strip())
            still = served(ca.tls_port, NAME, root)
            verdict.expect(serial and still == serial, "the old certificate goes on being served")
            verdict.expect(orders(proxy, "failed") == 1, "it is counted")
            ca.start_server()

            def is_new():
                return served(ca.tls_port, NAME, ca.root())

            new = world.eventually(is_new, 240, step=1)
            verdict.expect(new, "the CA back, without its accounts: a new certificate is served")
            verdict.expect(said(proxy, "accountDoesNotExist"), "another account was made")


def refused(verdict):
    """A name that does not lead here, beside one that does."""
    with pebble.Pebble(*pebble.free_ports(2)) as ca, Site(ca) as site:
        ca.resolve("elsewhere.test", "127.0.0.2")
        names = ["elsewhere.test", NAME]
        with site.proxy(names) as proxy:
            event = world.eventually(lambda: said(proxy, "acme order failed"), PATIENCE)
            verdict.expect(event and "elsewhere.test" in event, "a failed validation is logged")
            print("     ", (event or "").strip())
            told = event and "127.0.0.2" in event and "have port 80 of the name" in event
            verdict.expect(told, "with the CA's words and with what can be done")
            good = world.eventually(lambda: served(ca.tls_port, NAME, ca.root()), PATIENCE)
            verdict.expect(good, "the other name has its certificate")
            verdict.expect(not site.challenges(), "no answer to a challenge is left")
            proxy.terminate()
            proxy.exit_code(10)
        with site.proxy(names) as proxy:
            world.eventually(lambda: served(ca.tls_port, NAME, ca.root()), 10)
            time.sleep(5)
            again = orders(proxy, "failed") + orders(proxy)
            verdict.expect(again == 0, "the next process waits as well")


def stranger(verdict):
    """What a stranger learns under /.well-known/acme-challenge/: nothing."""
    with pebble.Pebble(*pebble.free_ports(2)) as ca, Site(ca) as site:
        with site.proxy([NAME]):
            world.eventually(lambda: site.certificate(NAME).exists(), PATIENCE)
            tokens = ["none", "..%2f..%2faccount.json", "%2e%2e/%2e%2e/account.json", "a" * 129]
            answers = []
            for token in tokens:
                url = f"http://127.0.0.1:{ca.http_port}/.well-known/acme-challenge/{token}"
                try:
                    urllib.request.urlopen(url, timeout=10).close()
                    answers.append(200)
                except urllib.error.HTTPError as error:
                    answers.append(error.code)
            verdict.expect(set(answers) == {400, 401}, f"tokens that are none: {answers}")


class Adviser:
    """A directory that adds renewal information (RFC 9773) to Pebble's, which has none."""

    def __init__(self, ca):
        self.ca, self.asked = ca, []
        adviser = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Retry-After", "21600")
                body = adviser.answer(self.path).encode()
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(ca.folder.name + "/cert.pem", ca.folder.name + "/key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"https://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, path):
        if path == "/dir":
            directory = json.loads(self.ca.get(self.ca.directory))
            return json.dumps({**directory, "renewalInfo": self.url + "/renewal"})
        self.asked.append(path.removeprefix("/renewal/"))
        year = 2020 if len(self.asked) == 2 else 2090
        window = {"start": f"{year}-01-01T00:00:00Z", "end": f"{year}-01-02T00:00:00Z"}
        return json.dumps({"suggestedWindow": window})

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def advice(verdict):
    """The CA has no wish at first; asked by the next process, it wants a renewal at once."""
    with contextlib.ExitStack() as held:
        ca = held.enter_context(pebble.Pebble(*pebble.free_ports(2)))
        adviser = held.enter_context(Adviser(ca))
        site = held.enter_context(Site(ca, directory=adviser.url + "/dir"))
        with site.proxy([NAME]) as proxy:
            asked = world.eventually(lambda: len(adviser.asked) == 1, PATIENCE)
            time.sleep(3)
            verdict.expect(asked and orders(proxy) == 1, "without a wish nothing is renewed")
        with site.proxy([NAME]) as proxy:
            renewed = world.eventually(lambda: len(adviser.asked) == 3, PATIENCE)
            verdict.expect(renewed and orders(proxy) == 1, "it is renewed when the CA wants it")
            first, again, new = adviser.asked
            verdict.expect(first == again != new, f"asked about {first} twice, then about {new}")
            time.sleep(3)
            verdict.expect(ca.issued() == 2, "and then left alone")


SCENARIOS = {
    "http-01": http01,
    "tls-alpn-01": alpn01,
    "two": two,
    "renewal": renewal,
    "down": down,
    "refused": refused,
    "stranger": stranger,
    "advice": advice,
}


def main():
    pebble.find_programs()
    world.end_on_signals()
    # Built before anything waits for it.
    os.environ["PROXY"] = world.program()
    verdict = world.Verdict()
    for name in sys.argv[1:] or SCENARIOS:
        print(f"== {name}", flush=True)
        SCENARIOS[name](verdict)
    verdict.exit()


if __name__ == "__main__":
    main()
