#!/usr/bin/env python3
"""Requests over HTTP/2 of which the client resets one in twenty at a random moment.

    scripts/checks/h2_resets.py [REQUESTS=10000] [--plain]

Over TLS with ALPN, or in clear by prior knowledge; 4 connections with 10 streams each. Every body is
derived from the seed in its path and compared byte by byte. Streams are reset before there is an
answer, in the middle of one, or in the middle of an upload. No other stream may suffer, no
connection end; what was cancelled must be gone at the origin within a second; at the end nothing
may be in flight, and memory and open files be what they were. At last h2load (Debian:
nghttp2-client) asks for as many, resetting none. The client is the PyPI package h2, installed into a
cache if need be.
"""

import asyncio
import contextlib
import http.client
import json
import os
import random
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import time

import h2_origin
import tls_ca
import world
from h2_link import Link, ProtocolError
from soak import CONFIG, LARGEST, MOST_GROWTH_MIB, PATIENCE, SETTLING, Wrong
from soak_origin import body_of

CONNECTIONS, STREAMS = 4, 10
ONE_IN = 20
GONE_WITHIN = 1


class Load:
    """All requests, over all connections."""

    def __init__(self, proxy, context):
        self.proxy, self.context, self.rng = proxy, context, random.Random(3)
        self.next_number, self.last_number = 0, 0
        self.counts, self.wrongs, self.cancelled, self.bytes = {}, [], {}, 0

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def some(self):
        """A seed and a size, spread evenly over the orders of magnitude."""
        return self.rng.randrange(1 << 20), round(60 * (LARGEST / 60) ** self.rng.random())

    async def one(self, link, number):
        seed, size = self.some()
        if self.rng.randrange(ONE_IN):
            await self.whole(link, number, seed, size, self.rng.choices(["get", "echo"], [3, 1])[0])
        else:
            cut = self.rng.choice(
                [self.cut_waiting, self.cut_answer, self.cut_drip, self.cut_upload]
            )
            self.count(cut.__name__)
            await cut(link, number, seed, size)

    async def whole(self, link, number, seed, size, kind):
        body = body_of(seed, size)
        path = f"/{kind}/{seed}/{size}/{number}"
        if kind == "get":
            _, stream = link.open("GET", path, body)
        else:
            length = size if self.rng.random() < 0.5 else None
            id, stream = link.open("POST", path, body, length)
            await link.upload(id, stream, body, ends=True)
        await stream.until(lambda: False)
        self.bytes += stream.got
        if stream.why or stream.status != 200 or not stream.is_right or stream.got != size:
            seen = f"{stream.status}, {stream.got} bytes of {size}, right so far: {stream.is_right}"
            raise Wrong(f"{kind}: {seen}, {stream.why}")
        self.count(kind)

    def cancel(self, link, id, stream, number):
        if stream.is_over:
            if stream.why:
                raise Wrong(f"cut: {stream.why}")
            return self.count("cut too late")
        if not stream.is_right or stream.status not in (None, 200):
            raise Wrong(f"cut: {stream.status}, right so far: {stream.is_right}")
        self.cancelled[number] = link.reset(id)

    async def cut_waiting(self, link, number, seed, size):
        id, stream = link.open("GET", f"/wait/{seed}/{size}/{number}", body_of(seed, size))
        await asyncio.sleep(self.rng.random() * self.rng.choice([0.001, 0.1]))
        self.cancel(link, id, stream, number)

    async def cut_amid(self, link, number, seed, size, kind, enough):
        id, stream = link.open("GET", f"/{kind}/{seed}/{size}/{number}", body_of(seed, size))
        await stream.until(lambda: stream.status and stream.got >= enough)
        self.cancel(link, id, stream, number)

    async def cut_answer(self, link, number, seed, _):
        # More than a window, or it would be over at once.
        size = self.rng.randrange(LARGEST // 2, LARGEST)
        await self.cut_amid(link, number, seed, size, "get", self.rng.randrange(size // 2))

    async def cut_drip(self, link, number, seed, size):
        # All of it would take seconds.
        await self.cut_amid(link, number, seed, size, "drip", self.rng.randrange(-(-size // 10)))

    async def cut_upload(self, link, number, seed, size):
        body = body_of(seed, size)
        length = size if self.rng.random() < 0.5 else None
        id, stream = link.open("POST", f"/echo/{seed}/{size}/{number}", body, length)
        await link.upload(id, stream, body[: self.rng.randrange(size)], ends=False)
        await asyncio.sleep(self.rng.random() * 0.05)
        self.cancel(link, id, stream, number)

    async def run_stream(self, link):
        while self.next_number < self.last_number:
            self.next_number += 1
            number = self.next_number
            try:
                await asyncio.wait_for(self.one(link, number), PATIENCE)
            except (Wrong, TimeoutError, ProtocolError) as error:
                self.wrongs.append(f"{number}: {type(error).__name__} {error}")
                if link.goaway is not None or link.transport.is_closing():
                    return

    async def run(self, requests):
        """So many more."""
        self.last_number += requests
        loop, links = asyncio.get_running_loop(), []
        for _ in range(CONNECTIONS):
            secured = {"ssl": self.context, "server_hostname": "a.test"} if self.context else {}
            _, link = await loop.create_connection(Link, "127.0.0.1", self.proxy.port, **secured)
            links.append(link)
        await asyncio.gather(*(self.run_stream(link) for link in links for _ in range(STREAMS)))
        # What was reset at last has its second too.
        await asyncio.sleep(GONE_WITHIN + 0.5)
        for link in links:
            if link.goaway is not None:
                self.wrongs.append(f"a connection ended with {link.goaway!r}")
            link.transport.close()


def read_records(port):
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as one:
        one.request("GET", "/records")
        return {int(number): row for number, row in json.loads(one.getresponse().read()).items()}


def judge_cancelled(load, records, verdict):
    """Each that reached the origin must have ended there, in time."""
    late, never, finished, slowest = [], 0, 0, 0.0
    for number, at in load.cancelled.items():
        if number not in records:
            never += 1
            continue
        _, ended, how = records[number]
        finished += how == "whole"
        if ended is None or ended > at + GONE_WITHIN:
            late.append(
                f"{number}: {how}, {'not over' if ended is None else f'{ended - at:.1f} s'}"
            )
        else:
            slowest = max(slowest, ended - at)
    total = len(load.cancelled)
    said = (
        f"{never} never came there, {finished} were over already, slowest {slowest * 1000:.0f} ms"
    )
    verdict.expect(
        not late and total, f"{total} cancelled, all gone at the origin: {said} {late[:5]}"
    )


def judge_rest(proxy, files, rss, verdict):
    def left():
        count = proxy.metrics()
        upstream = 'proxy_upstream_connections{state="%s"}'
        names = ["proxy_requests_in_flight", upstream % "active", upstream % "idle"]
        return {name: count[name] for name in [*names, "proxy_connections"]}

    at_once = world.eventually(lambda: not left()["proxy_requests_in_flight"], 2)
    verdict.expect(at_once, "nothing in flight")
    now = proxy.rss_mib()
    verdict.expect(
        now < rss + MOST_GROWTH_MIB, f"MiB resident: {rss:.1f} warm, {now:.1f} at the end"
    )
    world.eventually(lambda: not any(left().values()), SETTLING, step=1)
    verdict.expect(not any(left().values()), f"nothing is left: {left()}")
    now = proxy.open_files()
    verdict.expect(now <= files + 4, f"open files: {files} at the start, {now} at the end")
    for name, value in sorted(proxy.metrics().items()):
        if name.startswith(("proxy_errors_total", "proxy_http2")) and value:
            print(f"      {name} {value:.0f}")
    verdict.expect(proxy.is_alive() and not proxy.panics(), "alive, no panic")


def plain_load(proxy, scheme, requests, verdict):
    sizes = ["-n", str(requests), "-c", str(CONNECTIONS), "-m", str(STREAMS)]
    url = f"{scheme}://127.0.0.1:{proxy.port}/get/7/4096/0"
    done = subprocess.run(["h2load", *sizes, url], capture_output=True, text=True, timeout=120)
    (good,) = re.findall(r"status codes: (\d+) 2xx", done.stdout) or ["no"]
    verdict.expect(good == str(requests), f"h2load: {good} of {requests} answers are 2xx")


def main():
    words = [word for word in sys.argv[1:] if word != "--plain"]
    requests, is_plain = int(words[0]) if words else 10_000, "--plain" in sys.argv
    if not shutil.which("h2load"):
        print("h2load is missing: apt-get install nghttp2-client", file=sys.stderr)
        sys.exit(2)
    world.raise_open_files()
    world.end_on_signals()
    verdict, started = world.Verdict(), []
    port = h2_origin.start(started)
    try:
        with tempfile.TemporaryDirectory() as folder:
            listeners, context = world.ONE_LISTENER, None
            if not is_plain:
                authority = tls_ca.Authority(folder)
                listeners = tls_ca.listener(*authority.issue("a", ["a.test"]))
                context = ssl.create_default_context(cafile=authority.pem)
                context.set_alpn_protocols(["h2"])
            with world.Proxy(CONFIG.format(port=port), listeners=listeners) as proxy:
                os.nice(5)
                proxy.settle()
                check(proxy, port, context, requests, verdict)
                plain_load(proxy, "http" if is_plain else "https", requests, verdict)
                proxy.terminate()
                code = proxy.exit_code(40)
                verdict.expect(code == 0, f"exit code {code} after TERM")
    finally:
        for one in started:
            one.kill()
    verdict.exit()


def check(proxy, port, context, requests, verdict):
    load, files = Load(proxy, context), proxy.open_files()
    asyncio.run(load.run(max(requests // 5, 1)))
    rss, began = proxy.rss_mib(), time.monotonic()
    asyncio.run(load.run(requests))
    took, cut = time.monotonic() - began, len(load.cancelled)
    print(f"      {load.last_number} requests, {cut} reset, {load.bytes >> 20} MiB, {took:.0f} s")
    for what, count in sorted(load.counts.items()):
        print(f"      {what:16} {count}")
    for wrong in load.wrongs[:20]:
        print(f"      {wrong}")
    verdict.expect(not load.wrongs, f"{len(load.wrongs)} wrong answers")
    judge_cancelled(load, read_records(port), verdict)
    judge_rest(proxy, files, rss, verdict)


if __name__ == "__main__":
    main()
