#!/usr/bin/env python3
"""One client can take from no other: with 200 requests of one that wait for forward-auth, for
introspection, for a password check, or that are wrong guesses, how long another waits.

    scripts/checks/shares.py [--proxy PATH]

The server that decides takes 0.2 s for each question. The other client must be answered within a second.
"""

import argparse
import base64
import contextlib
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import world

HOSTILE, WITHIN, DECIDES_IN = 200, 1.0, 0.2
CONFIG = """
auth = "main"
[server]
workers = 1
trusted_proxies = ["127.0.0.1"]
max_connections_per_client = 1000
[log]
access = false
[auth_schemes.main]
%s
[[routes]]
respond = { body = "ok" }
"""


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True

    def handle_error(self, *_):
        pass


class Judge(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def decide(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        time.sleep(DECIDES_IN)
        body = b'{"active": true, "sub": "a"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = decide

    def log_message(self, *_):
        pass


def request(client, authorization):
    return (
        f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n"
        f"Authorization: {authorization}\r\n\r\n"
    ).encode()


def measure(proxy, hostile, honest):
    """Seconds that the honest client waits, its status, and how many others waited still."""
    links = []
    with contextlib.ExitStack() as stack:
        for number in range(HOSTILE):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port)))
            link.sendall(request("192.0.2.1", hostile(number)))
            links.append(link)
        link = stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=60))
        began = time.monotonic()
        link.sendall(request("192.0.2.2", honest))
        status = link.recv(4096)[9:12].decode()
        took, waiting = time.monotonic() - began, 0
        for other in links:
            other.setblocking(False)
            try:
                other.recv(1)
            except BlockingIOError:
                waiting += 1
        return took, status, waiting


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def password_file(folder):
    """Debian: apache2-utils."""
    if not shutil.which("htpasswd"):
        return None
    path = os.path.join(folder, "users")
    subprocess.run(["htpasswd", "-cbBC", "10", path, "bob", "right"], check=True, capture_output=True)
    return path


def main():
    reader = argparse.ArgumentParser()
    reader.add_argument("--proxy", help="the program to check")
    given = reader.parse_args()
    if given.proxy:
        os.environ["PROXY"] = given.proxy
    world.end_on_signals()
    verdict = world.Verdict()
    judge = Server(("127.0.0.1", 0), Judge)
    threading.Thread(target=judge.serve_forever, daemon=True).start()
    url = f'url = "http://127.0.0.1:{judge.server_port}/"'
    token = hashlib.sha256(b"honest").hexdigest()
    with tempfile.TemporaryDirectory() as folder:
        checks = {
            "forward-auth": (f'type = "forward"\n{url}', "Bearer {}", "Bearer honest"),
            "introspection": (
                f'type = "introspection"\n{url}\nclient_id = "a"\nclient_secret = "a-secret"',
                "Bearer {}",
                "Bearer honest",
            ),
            "guesses": (
                f'type = "bearer"\ntoken_sha256 = ["{token}"]\nfailures = {{ requests = 5 }}',
                "Bearer {}",
                "Bearer honest",
            ),
        }
        if users := password_file(folder):
            for what, failures in (("passwords", '"off"'), ("passwords, few guesses", "{ requests = 5 }")):
                scheme = f'type = "basic"\nusers = "{users}"\nfailures = {failures}'
                checks[what] = (scheme, None, basic("bob:right"))
        else:
            print("      passwords are left out: there is no htpasswd", file=sys.stderr)
        for what, (scheme, hostile, honest) in checks.items():
            with world.Proxy(CONFIG % scheme) as proxy:
                hostile = hostile.format if hostile else lambda number: basic(f"bob:{number}")
                took, status, waiting = measure(proxy, hostile, honest)
                verdict.expect(
                    status == "200" and took < WITHIN,
                    f"{what}: {status} after {took * 1000:.0f} ms, {waiting} of {HOSTILE} wait still",
                )
    verdict.exit()


if __name__ == "__main__":
    main()
