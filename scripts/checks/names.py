#!/usr/bin/env python3
"""A name that changes its address under steady traffic: the old server answers on.

    scripts/checks/names.py [CHANGES=3]

All of it is in a network of its own (unshare, of util-linux, and ip, of iproute2), where the system
asks a name server of this program's. Twenty clients ask over connections of theirs without pause;
the name's address becomes another one. 30 s later the last request must have gone to the old
server, and each request have had its 200. At last it gets a second address, and the first is taken
away; that a second one is used while kept connections suffice is no promise, and only said.
"""

import contextlib
import http.client
import http.server
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

import world

NAME, FOLLOWED, CLIENTS = "origin.test", 30.0, 20
INSIDE = "OF_NAMES_CHECK"
CONFIG = """
[[routes]]
service = "origin"
[services.origin]
endpoints = ["http://{name}:{port}"]
"""


class NameServer:
    """Answers each question for an IPv4 address with `addresses`, and others with nothing."""

    def __init__(self):
        self.addresses, self.asked = [], 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            question, client = self.socket.recvfrom(512)
            end = question.index(b"\0", 12) + 5
            is_ipv4 = question[end - 4 : end - 2] == b"\0\1"
            found = self.addresses if is_ipv4 else []
            self.asked += is_ipv4
            head = question[:2] + struct.pack("!5H", 0x8180, 1, len(found), 0, 0)
            # A name that is told by its place, class IN, a second to live.
            records = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(one) for one in found]
            self.socket.sendto(head + question[12:end] + b"".join(records), client)


class Handler(http.server.BaseHTTPRequestHandler):
    """Says at which address it was asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        said = self.connection.getsockname()[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


class Traffic:
    """Clients that ask one after the other; when each address answered last, and what failed."""

    def __init__(self, port):
        self.port, self.last, self.failed, self.count = port, {}, [], 0
        self.is_over = threading.Event()
        self.clients = [threading.Thread(target=self.client) for _ in range(CLIENTS)]

    def client(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.is_over.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                said = answer.read().decode()
                if answer.status != 200:
                    self.failed.append(f"{answer.status} {said}")
                self.last[said] = time.monotonic()
                self.count += 1
            except OSError as error:
                self.failed.append(repr(error))
                connection.close()
            self.is_over.wait(0.05)
        connection.close()

    def is_of_late(self, addresses):
        now = time.monotonic()
        return all(now - self.last.get(one, 0) < 1 for one in addresses)

    def __enter__(self):
        for one in self.clients:
            one.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        for one in self.clients:
            one.join()


def go_inside():
    """Starts this program again in namespaces of its own, or does what is left to do there."""
    if os.environ.get(INSIDE):
        folder = pathlib.Path(os.environ[INSIDE])
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        files = {"resolv.conf": "nameserver 127.0.0.1\n", "nsswitch.conf": "hosts: files dns\n"}
        for name, text in files.items():
            (folder / name).write_text(text)
            subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)
        return
    for tool, package in [("unshare", "util-linux"), ("ip", "iproute2")]:
        if not shutil.which(tool):
            sys.exit(f"{tool} is missing: apt-get install {package}")
    with tempfile.TemporaryDirectory() as folder:
        there = os.environ | {INSIDE: folder, "PROXY": world.program()}
        words = ["unshare", "--map-root-user", "--mount", "--net", sys.executable, *sys.argv]
        sys.exit(subprocess.run(words, env=there).returncode)


def change(verdict, names, traffic, before, after):
    """The name has the addresses `after` from now on instead of those `before`."""
    count, asked = traffic.count, names.asked
    names.addresses, then = after, time.monotonic()
    gone = [one for one in before if one not in after]
    # Longer than the bound: who comes back late is seen.
    time.sleep(FOLLOWED + 5)
    until = max(traffic.last.get(one, 0) - then for one in gone)
    new = all(traffic.last.get(one, 0) > then + FOLLOWED for one in after)
    what = f"{' '.join(before)} -> {' '.join(after)}: the old one was used for {until:.1f} s"
    verdict.expect(0 < until < FOLLOWED and new, f"{what}, {names.asked - asked} lookups")
    verdict.expect(
        not traffic.failed, f"{traffic.count - count} requests, failed {traffic.failed[:3]}"
    )


def main():
    go_inside()
    world.end_on_signals()
    verdict, names = world.Verdict(), NameServer()
    first, second = "127.0.0.2", "127.0.0.3"
    names.addresses = [first]
    with contextlib.ExitStack() as stack:
        origin = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        config = CONFIG.format(name=NAME, port=origin.server_port)
        proxy = stack.enter_context(world.Proxy(config))
        traffic = stack.enter_context(Traffic(proxy.port))
        held = world.eventually(lambda: traffic.last.get(first), 10)
        verdict.expect(held, f"the name is found: {first} answers")
        steps = [[first], [second]] * (int(sys.argv[1]) if sys.argv[1:] else 3)
        steps = [*steps[: len(steps) // 2 + 1], [first, second], [first]]
        for before, after in zip(steps, steps[1:]):
            if set(before) - set(after):
                change(verdict, names, traffic, before, after)
            else:
                names.addresses = after
                is_used = world.eventually(lambda: traffic.is_of_late(after), FOLLOWED)
                used = "both used" if is_used else "kept connections go to the old one alone"
                print(f"      {' '.join(before)} -> {' '.join(after)}, 30 s: {used}")
        verdict.expect(proxy.is_alive() and not proxy.panics(), "alive, no panic")
    verdict.exit()


if __name__ == "__main__":
    main()
