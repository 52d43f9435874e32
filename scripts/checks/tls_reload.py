#!/usr/bin/env python3
"""Certificates that change under 500 requests a second.

    scripts/checks/tls_reload.py

Three in four requests go over kept connections, the others make a handshake each and look at the
certificate. The file is replaced as ConfigMaps are (a symlink is swapped), written in place, and
renamed over; each time the new certificate must be served within 2 s, and by no later handshake the
old one. Then come files that cannot be used, a broken one and a key that is another's: the old
certificate stays, an event and a metric say so; then a good one again. No request may fail.
"""

import asyncio
import contextlib
import os
import pathlib
import ssl
import tempfile
import time

import h2_origin
import tls_ca
import world
from soak_origin import Broken, body_of, read_message

KEPT, KEPT_EACH = 25, 15
FRESH, FRESH_EACH = 25, 5
PATIENCE = 10
SERVED_WITHIN = 2
HOST = "a.test"
REQUEST = b"GET /get/%d/100/0 HTTP/1.1\r\nHost: a.test\r\n%s\r\n"
CONFIG = """
[[routes]]
service = "origin"
[services.origin]
endpoints = ["http://127.0.0.1:{port}"]
"""


class Load:
    """Until it is stopped. `shown` has when each handshake began and which certificate it saw."""

    def __init__(self, port, context):
        self.port, self.context = port, context
        self.done, self.wrongs, self.shown, self.stops = 0, [], [], False

    async def connect(self):
        began = time.monotonic()
        opened = asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.context, server_hostname=HOST
        )
        reader, writer = await opened
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        self.shown.append((began, der))
        return reader, writer

    async def exchange(self, reader, writer, ends):
        seed = self.done % 1000
        writer.write(REQUEST % (seed, b"Connection: close\r\n" if ends else b""))
        status, _, body, _ = await read_message(reader, b"GET")
        if status != 200 or body != body_of(seed, 100):
            raise ValueError(f"{status}, {len(body)} bytes")

    async def one(self, kept):
        reader, writer = kept[0] if kept else await self.connect()
        try:
            await self.exchange(reader, writer, ends=kept is None)
        finally:
            if kept is None:
                writer.close()

    async def run_client(self, number, each, keeps):
        due = time.monotonic() + number / (each * KEPT)
        kept = [await self.connect()] if keeps else None
        while not self.stops:
            await asyncio.sleep(max(0, due - time.monotonic()))
            due += 1 / each
            self.done += 1
            try:
                await asyncio.wait_for(self.one(kept), PATIENCE)
            except (OSError, ValueError, Broken, TimeoutError) as error:
                self.wrongs.append(
                    f"{'kept' if keeps else 'fresh'}: {type(error).__name__} {error}"
                )
                if keeps:
                    kept = [await self.connect()]

    async def run(self):
        clients = [self.run_client(one, KEPT_EACH, True) for one in range(KEPT)]
        clients += [self.run_client(one, FRESH_EACH, False) for one in range(FRESH)]
        await asyncio.gather(*clients)


class Files:
    """As Kubernetes lays them out at first: `tls.crt` leads to `..data/tls.crt`, and `..data` to a
    folder of its own for each version."""

    def __init__(self, folder, authority):
        self.folder, self.authority, self.count = pathlib.Path(folder), authority, 0
        self.cert, self.key = self.folder / "tls.crt", self.folder / "tls.key"
        self.swap(*self.issue())
        for path in (self.cert, self.key):
            path.symlink_to(f"..data/{path.name}")

    def issue(self):
        """PEM of a new certificate and of its key."""
        self.count += 1
        paths = self.authority.issue(f"cert-{self.count}", [HOST])
        return [path.read_bytes() for path in paths]

    def swap(self, cert, key):
        version = self.folder / f"..{self.count}"
        version.mkdir()
        (version / "tls.crt").write_bytes(cert)
        (version / "tls.key").write_bytes(key)
        link = self.folder / "..new"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")

    def write(self, cert, key):
        """In place and with a pause, so that half a file can be seen."""
        for path, pem in ((self.cert, cert), (self.key, key)):
            with open(path, "wb") as file:
                for piece in (pem[: len(pem) // 2], pem[len(pem) // 2 :]):
                    file.write(piece)
                    file.flush()
                    time.sleep(0.1)

    def rename(self, cert, key):
        for path, pem in ((self.cert, cert), (self.key, key)):
            new = path.with_suffix(".new")
            new.write_bytes(pem)
            new.replace(path)


def der_of(pem):
    return ssl.PEM_cert_to_DER_cert(pem.decode().strip())


def reloads(proxy):
    """How many, by result."""
    name, found = "proxy_tls_reloads_total{", {}
    for sample, value in proxy.metrics().items():
        if sample.startswith(name):
            result = sample.partition('result="')[2].partition('"')[0]
            found[result] = found.get(result, 0) + value
    return found


class Check:
    def __init__(self, proxy, files, load, verdict):
        self.proxy, self.files, self.load, self.verdict = proxy, files, load, verdict

    async def good(self, name, replace):
        """A certificate that can be used."""
        cert, key = self.files.issue()
        new, before = der_of(cert), reloads(self.proxy)
        await asyncio.to_thread(replace, cert, key)
        at = time.monotonic()
        await asyncio.sleep(SERVED_WITHIN + 1)
        seen = [(began, der) for began, der in self.load.shown if began > at]
        first = min((began for began, der in seen if der == new), default=None)
        late = sum(began > at + SERVED_WITHIN and der != new for began, der in seen)
        back = sum(first is not None and began > first and der != new for began, der in seen)
        after = "never" if first is None else f"after {(first - at) * 1000:.0f} ms"
        self.verdict.expect(
            first is not None and not late,
            f"{name}: first served {after}, {len(seen)} handshakes, {late} with the old one later "
            f"than {SERVED_WITHIN} s, {back} behind the first new one",
        )
        ok = reloads(self.proxy).get("ok", 0) - before.get("ok", 0)
        self.verdict.expect(ok >= 1, f"{name}: {ok:.0f} reloads counted as ok")

    async def bad(self, name, cert, key):
        """One that cannot."""
        current, before = self.load.shown[-1][1], reloads(self.proxy)
        said, at = len(self.proxy.stderr_lines), time.monotonic()
        await asyncio.to_thread(self.files.rename, cert, key)
        await asyncio.sleep(SERVED_WITHIN + 1)
        seen = [der for began, der in self.load.shown if began > at]
        others = sum(der != current for der in seen)
        self.verdict.expect(
            seen and not others, f"{name}: all {len(seen)} handshakes show the old one"
        )
        failed = reloads(self.proxy).get("failed", 0) - before.get("failed", 0)
        self.verdict.expect(failed >= 1, f"{name}: {failed:.0f} reloads counted as failed")
        events = [line.strip() for line in self.proxy.stderr_lines[said:]]
        told = [line for line in events if "tls." in line]
        self.verdict.expect(told, f"{name}: the log says {told[-1:] or events[-1:] or 'nothing'}")

    async def run(self):
        running = asyncio.create_task(self.load.run())
        await asyncio.sleep(2)
        began, done = time.monotonic(), self.load.done
        await self.good("symlink swapped", self.files.swap)
        await self.good("written in place", self.files.write)
        await self.good("renamed over a symlink", self.files.rename)
        await self.good("renamed over a file", self.files.rename)
        await self.bad("broken", b"-----BEGIN CERTIFICATE-----\nnonsense\n", b"nonsense\n")
        await self.good("good again", self.files.rename)
        await self.bad("key of another", self.files.issue()[0], self.files.issue()[1])
        await self.good("good at last", self.files.rename)
        rate = (self.load.done - done) / (time.monotonic() - began)
        self.load.stops = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running, PATIENCE)
        wrongs = self.load.wrongs
        self.verdict.expect(rate > 475, f"{rate:.0f} requests/s")
        said = f"{self.load.done} requests, {len(self.load.shown)} handshakes, {len(wrongs)} failed"
        self.verdict.expect(not wrongs, f"{said} {wrongs[:5]}")


def main():
    world.raise_open_files()
    world.end_on_signals()
    verdict, started = world.Verdict(), []
    port = h2_origin.start(started)
    os.nice(5)
    try:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as mounted:
            authority = tls_ca.Authority(folder)
            files = Files(mounted, authority)
            listener = tls_ca.listener(files.cert, files.key)
            context = ssl.create_default_context(cafile=authority.pem)
            with world.Proxy(CONFIG.format(port=port), listeners=world.ONE_LISTENER + listener) as proxy:
                proxy.settle()
                load = Load(proxy.port, context)
                asyncio.run(Check(proxy, files, load, verdict).run())
                verdict.expect(proxy.is_alive() and not proxy.panics(), "alive, no panic")
    finally:
        for one in started:
            one.kill()
    verdict.exit()


if __name__ == "__main__":
    main()
