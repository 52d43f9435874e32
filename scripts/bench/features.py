#!/usr/bin/env python3
"""What a feature costs: CPU per request of this proxy with it, beside the same program without.

    scripts/bench/features.py [feature...]     features: bearer long-bearer jwt limit api-key, or all
    ROUNDS=7 SECONDS_EACH=2

Answers of 60 B, 64 connections, one worker on core 0; load and origin (nginx) share core 1. Rounds
are interleaved between the features, each with a fresh process, and medians are shown. `none` is the
same without authentication, `limit` with a local rate limit instead. Needs nginx, wrk, taskset and openssl.
"""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "checks"))
import world

ROUNDS = int(os.environ.get("ROUNDS", "7"))
SECONDS = int(os.environ.get("SECONDS_EACH", "2"))
SCRIPT = pathlib.Path(__file__).with_name("report.lua")
TOKEN = "secret-token"
# As long as a signed token usually is.
LONG = "x" * 740


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """An RSA key, its key set over HTTP, and tokens."""

    def __init__(self, folder):
        self.key = folder / "key.pem"
        subprocess.run(["openssl", "genrsa", "-out", self.key, "2048"], check=True, capture_output=True)
        said = subprocess.run(
            ["openssl", "rsa", "-in", self.key, "-noout", "-modulus"], check=True, capture_output=True
        ).stdout
        modulus = bytes.fromhex(said.decode().strip().partition("=")[2])
        key = {"kty": "RSA", "kid": "a", "use": "sig", "alg": "RS256"}
        text = json.dumps({"keys": [key | {"n": base64url(modulus), "e": "AQAB"}]}).encode()

        class Keys(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Keys)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"

    def token(self):
        claims = {
            "iss": "https://id.test", "aud": "https://api.test", "sub": "5b8c1c1a-alice",
            "iat": int(time.time()), "exp": int(time.time()) + 3600, "scope": "read write profile",
            "email": "alice@example.com", "roles": ["user", "admin"], "jti": "1f0c0bd2-33a4",
        }
        head = {"alg": "RS256", "kid": "a", "typ": "JWT"}
        signed = ".".join(base64url(json.dumps(part).encode()) for part in (head, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self.key],
            input=signed.encode(), check=True, capture_output=True,
        ).stdout
        return f"{signed}.{base64url(signature)}"


def features(issuer):
    """Each with what stands in the configuration, and the credentials of its load."""
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    bearer = f"Authorization: Bearer {TOKEN}"
    scheme = 'auth = "x"\n[auth_schemes.x]\n'
    return {
        "none": ("", bearer),
        "bearer": (f'{scheme}type = "bearer"\ntokens = ["{TOKEN}"]\n', bearer),
        "jwt": (
            f'{scheme}type = "jwt"\njwks_url = "{issuer.url}"\nissuer = "https://id.test"\n'
            'audience = "https://api.test"\nalgorithms = ["RS256"]\n',
            f"Authorization: Bearer {issuer.token()}",
        ),
        "long-bearer": (
            f'{scheme}type = "bearer"\ntokens = ["{LONG}"]\n', f"Authorization: Bearer {LONG}"
        ),
        # So much that nothing is refused: what counts is the decision, and that it is told.
        "limit": ('[rate_limits.x]\nrequests = 1000000\nper = "1s"\nburst = 100000\n', bearer),
        "api-key": (
            f'{scheme}type = "api_key"\nheader = "x-api-key"\nkey_sha256 = ["{digest}"]\n',
            f"X-Api-Key: {TOKEN}",
        ),
    }


class Origin:
    """nginx with one worker; answers 60 bytes."""

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        path = folder / "origin.conf"
        path.write_text(
            f"pid {folder}/origin.pid; error_log stderr error; worker_processes 1; daemon off;\n"
            "events { worker_connections 4096; }\n"
            "http { access_log off; keepalive_requests 1000000000; server {\n"
            f"listen 127.0.0.1:{self.port}; location / {{ return 200 '{'x' * 60}'; }} }} }}\n"
        )
        self.process = subprocess.Popen(["taskset", "-c", "1", "nginx", "-c", path])

    def stop(self):
        self.process.terminate()
        self.process.wait()


def cpu_ns(pid):
    tasks = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


def load(port, field, seconds):
    """Requests and errors."""
    said = subprocess.run(
        ["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{seconds}s", "-s", SCRIPT, "-H", field,
         f"http://127.0.0.1:{port}/"],
        check=True, capture_output=True, text=True,
    ).stdout
    words = next(line for line in said.splitlines() if line.startswith("report ")).split()
    return int(words[4]), int(words[5])


def measure(name, config, field, origin):
    """CPU per request in microseconds."""
    limits = 'rate_limits = "x"\n' if name == "limit" else ""
    text = (
        f"{config}[server]\nworkers = 1\n[log]\naccess = false\n"
        f'[[routes]]\nservice = "origin"\n{limits}'
        f'[services.origin]\nendpoints = ["http://127.0.0.1:{origin.port}"]\n'
    )
    with world.Proxy(text) as proxy:
        os.sched_setaffinity(proxy.process.pid, {0})
        for task in os.listdir(f"/proc/{proxy.process.pid}/task"):
            os.sched_setaffinity(int(task), {0})
        load(proxy.port, field, 1)
        before = cpu_ns(proxy.process.pid)
        requests, errors = load(proxy.port, field, SECONDS)
        spent = cpu_ns(proxy.process.pid) - before
    if errors:
        sys.exit(f"{errors} of {requests} requests failed")
    return spent / requests / 1000


def main():
    world.end_on_signals()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        known = features(Issuer(folder))
        wanted = [name for name in known if name in sys.argv[1:] or sys.argv[1:] in ([], ["all"])]
        wanted = ["none", *[name for name in wanted if name != "none"]]
        origin = Origin(folder)
        try:
            spent = {name: [] for name in wanted}
            for number in range(ROUNDS):
                for name in wanted:
                    spent[name].append(measure(name, *known[name], origin))
                print(f"round {number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
        finally:
            origin.stop()
    least = statistics.median(spent["none"])
    print(f"{'':10}{'CPU µs/req':>12}{'more':>8}{'ratio':>8}")
    for name in wanted:
        here = statistics.median(spent[name])
        print(f"{name:10}{here:12.2f}{here - least:8.2f}{here / least:8.2f}")
    if {"bearer", "jwt"} <= set(wanted):
        each = [jwt - bearer for jwt, bearer in zip(spent["jwt"], spent["bearer"])]
        print(f"jwt over bearer, median of rounds: {statistics.median(each):.2f} µs")


main()
