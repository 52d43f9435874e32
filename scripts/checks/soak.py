#!/usr/bin/env python3
"""A mixed load for a long time, with clients and origins that misbehave at random.

    scripts/checks/soak.py [SECONDS=600]

64 clients at once; what each kind of request does is in `KINDS`, what the origin does for it in
soak_origin.py. Every body is derived from the seed in its path, so that each complete answer can be
verified, and one that is cut must show it. At the end the proxy must be alive without a panic, hold
the memory and the files that it held before, have nothing in flight, and end with 0 on TERM.
"""

import asyncio
import collections
import multiprocessing
import os
import random
import socket
import sys
import time

import soak_origin
import world
from soak_origin import Broken, body_of, read_head, read_message

CLIENTS = 64
LARGEST = 1 << 20
# A client of ours waits no longer than this for anything.
PATIENCE = 30
MOST_GROWTH_MIB = 32
# Idle connections to the origin are closed after 60 s.
SETTLING = 90
CONFIG = """
[server]
idle_timeout = "20s"
[[routes]]
service = "origin"
[services.origin]
endpoints = ["http://127.0.0.1:{port}"]
timeouts = {{ connect = "10s", response = "20s" }}
"""


class Wrong(Exception):
    """What must never happen."""


class Client:
    """One client after another: a connection is kept while both sides keep it."""

    def __init__(self, number, port, counts, wrongs):
        self.rng, self.port = random.Random(number), port
        self.counts, self.wrongs = counts, wrongs
        self.reader = self.writer = None

    async def open(self):
        if self.writer is None:
            opened = asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            self.reader, self.writer = await opened

    def leave(self, resets=False):
        if self.writer is not None:
            if resets:
                self.writer.transport.abort()
            self.writer.close()
        self.reader = self.writer = None

    def some(self):
        """A seed and a size, spread evenly over the orders of magnitude."""
        size = round(60 * (LARGEST / 60) ** self.rng.random())
        return self.rng.randrange(1 << 20), size

    async def send(self, method, path, fields=b"", body=b"", version=b"1.1"):
        await self.open()
        head = b"%s %s HTTP/%s\r\nHost: soak\r\n%s\r\n" % (method, path, version, fields)
        self.writer.write(head + body)

    async def receive(self, method=b"GET"):
        """Status, fields and body; leaves if the answer says that it is the last."""
        status, fields, body, keeps = await read_message(self.reader, method)
        if not keeps:
            self.leave()
        return status, fields, body

    async def expect(self, seed, size, method=b"GET"):
        status, fields, body = await self.receive(method)
        expected = b"" if method == b"HEAD" else body_of(seed, size)
        is_ours = fields.get(b"x-seed") == b"%d" % seed
        if status != 200 or not is_ours or body != expected:
            seen = f"{status}, {len(body)} bytes of {size}, seed {fields.get(b'x-seed')} for {seed}"
            raise Wrong(f"{seen}, {fields.get(b'proxy-status')}")

    async def get(self, method=b"GET"):
        """A length, chunks, or a body that ends with the origin's connection."""
        seed, size = self.some()
        how = self.rng.choice([b"length", b"length", b"chunked", b"close"])
        await self.send(method, b"/get/%d/%d/%s" % (seed, size, how))
        await self.expect(seed, size, method)

    async def head(self):
        await self.get(b"HEAD")

    async def old(self):
        """HTTP/1.0: what is in chunks upstream ends with the connection here."""
        seed, size = self.some()
        how = self.rng.choice([b"length", b"chunked"])
        self.leave()
        await self.send(b"GET", b"/get/%d/%d/%s" % (seed, size, how), version=b"1.0")
        await self.expect(seed, size)
        self.leave()

    async def slow(self):
        seed, size = self.some()
        await self.send(b"GET", b"/slow/%d/%d/chunked" % (seed, size))
        await self.expect(seed, size)

    async def fickle(self):
        """The origin says that it keeps the connection and closes it: the next request over it
        must not notice, unless it cannot be repeated."""
        seed, size = self.some()
        await self.send(b"GET", b"/fickle/%d/%d/length" % (seed, size))
        await self.expect(seed, size)

    async def pipelined(self):
        (one, first), (two, second) = self.some(), self.some()
        path = b"/get/%d/%d/chunked"
        ask = b"GET /get/%d/%d/length HTTP/1.1\r\nHost: soak\r\n\r\n" % (two, second)
        await self.send(b"GET", path % (one, first), body=ask)
        await self.expect(one, first)
        if self.reader is None:
            raise Wrong("the connection ended between two requests")
        await self.expect(two, second)

    async def post(self):
        """An echo. A kept connection that the origin closes under a POST is a 502, as the request
        may have been acted on."""
        seed, size = self.some()
        body = body_of(seed, size)
        how = self.rng.choice([b"length", b"chunked"])
        path = b"/echo/%d/%d/%s" % (seed, size, how)
        await self.open()
        fields, body = self.frame(body)
        await self.send(b"POST", path, fields, body)
        status, fields, echoed = await self.receive()
        if status == 502 and b"upstream_reset" in fields.get(b"proxy-status", b""):
            self.counts["post: 502, kept connection lost"] += 1
        elif status != 200 or echoed != body_of(seed, size):
            raise Wrong(f"echo: {status}, {len(echoed)} of {size}, {fields.get(b'proxy-status')}")

    def frame(self, body):
        if self.rng.random() < 0.5:
            return b"Content-Length: %d\r\n" % len(body), body
        pieces = []
        while body:
            size = self.rng.randint(1, 1 << 16)
            pieces.append(b"%x\r\n%s\r\n" % (len(body[:size]), body[:size]))
            body = body[size:]
        return b"Transfer-Encoding: chunked\r\n", b"".join(pieces) + b"0\r\n\r\n"

    async def early(self):
        """The answer comes before the body has been read, or the origin closes on it."""
        seed, size = self.some()
        fields, body = self.frame(body_of(seed, size))
        await self.send(b"POST", b"/early/%d/%d/length" % (seed, 100), fields, body)
        try:
            status, fields, answer = await self.receive()
        except (Broken, ConnectionError):
            # A client that still writes may be reset before it has read the answer.
            self.counts["early: not seen"] += 1
            self.leave()
            return
        if status == 502:
            self.counts["early: 502"] += 1
        elif status != 413 or answer != body_of(seed, 100):
            raise Wrong(f"early: {status}, {len(answer)} bytes")
        self.leave()

    async def cut(self):
        """An answer that the origin breaks off."""
        seed, size = self.some()
        how = self.rng.choice([b"length", b"chunked"])
        version = self.rng.choice([b"1.1", b"1.0"])
        if version == b"1.0":
            self.leave()
        await self.send(b"GET", b"/cut/%d/%d/%s" % (seed, size, how), version=version)
        try:
            status, _, body = await self.receive()
        except (Broken, ConnectionError):
            self.counts["cut: seen as cut"] += 1
            self.leave()
            return
        if status == 502:
            # A reset can overtake the head.
            self.counts["cut: 502"] += 1
            return
        raise Wrong(f"a cut answer looks complete: {status}, {len(body)} of {size}, {version}")

    async def reset(self):
        """No answer at all."""
        await self.send(b"GET", b"/reset/0/0/length")
        status, fields, _ = await self.receive()
        if status != 502:
            raise Wrong(f"reset: {status}")

    async def abort_request(self):
        seed, size = self.some()
        request = b"POST /echo/%d/%d/length HTTP/1.1\r\nHost: soak\r\nContent-Length: %d\r\n\r\n"
        whole = request % (seed, size, size) + body_of(seed, size)
        await self.open()
        self.writer.write(whole[: self.rng.randrange(1, len(whole))])
        await asyncio.sleep(self.rng.random() * 0.05)
        self.leave(resets=self.rng.random() < 0.5)

    async def abort_waiting(self):
        seed, size = self.some()
        await self.send(b"GET", b"/slow/%d/%d/length" % (seed, size))
        await asyncio.sleep(self.rng.random() * 0.05)
        self.leave(resets=self.rng.random() < 0.5)

    async def abort_answer(self):
        seed = self.rng.randrange(1 << 20)
        await self.send(b"GET", b"/get/%d/%d/chunked" % (seed, LARGEST))
        await read_head(self.reader)
        await self.reader.read(self.rng.randrange(1, LARGEST))
        self.leave(resets=self.rng.random() < 0.5)

    async def one(self, kind):
        try:
            await asyncio.wait_for(getattr(self, kind)(), PATIENCE)
            self.counts[kind] += 1
        except (Wrong, Broken, ConnectionError, TimeoutError) as error:
            self.wrongs.append(f"{kind}: {type(error).__name__} {error}")
            self.leave()

    async def run(self, end):
        kinds, weights = zip(*KINDS.items())
        while time.monotonic() < end:
            await self.one(self.rng.choices(kinds, weights)[0])
            # Between two requests some connections are kept, for a moment.
            await asyncio.sleep(self.rng.random() * 0.02)
            if self.rng.random() < 0.02:
                self.leave()
        self.leave()


KINDS = {
    "get": 30, "head": 5, "old": 5, "slow": 3, "fickle": 5, "pipelined": 8, "post": 15, "early": 4,
    "cut": 5, "reset": 3, "abort_request": 4, "abort_waiting": 3, "abort_answer": 4,
}  # fmt: skip


async def load(proxy, seconds, counts, wrongs):
    """The load, with the figures each minute; gives the memory after the first of ten parts."""
    began = time.monotonic()
    end, early = began + seconds, None
    clients = [Client(number, proxy.port, counts, wrongs) for number in range(CLIENTS)]
    tasks = [asyncio.create_task(client.run(end)) for client in clients]
    next_line = began + seconds / 10
    while not all(task.done() for task in tasks) and proxy.is_alive():
        await asyncio.sleep(0.5)
        if time.monotonic() >= next_line:
            next_line += seconds / 10
            early = early or proxy.rss_mib()
            print(
                f"      {time.monotonic() - began:4.0f} s: {sum(counts.values())} done, "
                f"{len(wrongs)} wrong, {proxy.rss_mib():.1f} MiB, {proxy.open_files()} files",
                flush=True,
            )
    for task in tasks:
        task.cancel()
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(error, Exception):
            wrongs.append(f"client: {error!r}")
    return early or proxy.rss_mib()


def judge(proxy, files, early, wrongs, verdict):
    for wrong, times in collections.Counter(wrongs).most_common(20):
        print(f"      {times} times {wrong}")
    verdict.expect(not wrongs, f"{len(wrongs)} wrong answers")
    verdict.expect(proxy.is_alive() and not proxy.panics(), f"alive, {len(proxy.panics())} panics")
    if not proxy.is_alive():
        return

    def idle():
        count = proxy.metrics()
        upstream = 'proxy_upstream_connections{state="%s"}'
        names = ["proxy_requests_in_flight", upstream % "active", upstream % "idle"]
        return {name: count[name] for name in [*names, "proxy_connections"]}

    world.eventually(lambda: not any(idle().values()), SETTLING, step=1)
    left = idle()
    verdict.expect(not any(left.values()), f"nothing is left: {left}")
    now = proxy.open_files()
    verdict.expect(now <= files + 4, f"open files: {files} at the start, {now} at the end")
    rss = proxy.rss_mib()
    verdict.expect(rss < early + MOST_GROWTH_MIB, f"MiB resident: {early:.1f} early, {rss:.1f} now")
    for name, value in sorted(proxy.metrics().items()):
        if name.startswith("proxy_errors_total") and value:
            print(f"      {name} {value:.0f}")
    proxy.terminate()
    code = proxy.exit_code(40)
    verdict.expect(code == 0, f"exit code {code} after TERM")


def main():
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 600
    world.raise_open_files()
    world.end_on_signals()
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listening.getsockname()[1]
    served = multiprocessing.Process(target=soak_origin.serve, args=[listening], daemon=True)
    served.start()
    verdict, counts, wrongs = world.Verdict(), collections.Counter(), []
    try:
        with world.Proxy(CONFIG.format(port=port)) as proxy:
            os.nice(5)
            proxy.settle()
            files = proxy.open_files()
            print(f"== {CLIENTS} clients for {seconds} s: {proxy.rss_mib():.1f} MiB, {files} files")
            early = asyncio.run(load(proxy, seconds, counts, wrongs))
            for kind, count in sorted(counts.items()):
                print(f"      {kind:32} {count}")
            judge(proxy, files, early, wrongs, verdict)
    finally:
        served.kill()
    verdict.exit()


if __name__ == "__main__":
    main()
