#!/usr/bin/env python3
"""Clients that are slow on purpose: slowhttptest with 1,000 connections (Debian: slowhttptest).

    scripts/checks/slow.py [CONNECTIONS=1000]

Slow heads, slow bodies and slow readers, one after the other, against deadlines of 3 s. Meanwhile
an honest client asks every 100 ms and must get 200 within 500 ms. Every slow connection must be
closed by its deadline, memory must stay flat and every file be closed. At last, readers of steady
rates: those below `write_timeout`'s 1 KiB are closed, those above 64 KiB are not.
"""

import asyncio
import http.client
import multiprocessing
import shutil
import socket
import subprocess
import sys
import threading
import time

import world

TIMEOUT = 3
LARGE = 64 << 20
PIECE = bytes(64 << 10)
HONEST_EVERY, HONEST_BOUND = 0.1, 0.5
# Above what the proxy needs for the honest client and for the look at its metrics.
# What configuration.md says is held of one answer: 64 KiB read and 16 KiB to write.
MOST_GROWTH_MIB_PER_CONNECTION = 80 / 1024
CONFIG = """
[server]
header_timeout = "{t}s"
body_timeout = "{t}s"
write_timeout = "{t}s"
idle_timeout = "{t}s"
max_connections = 5000
[[routes]]
service = "origin"
[services.origin]
endpoints = ["http://127.0.0.1:{port}"]
timeouts = {{ connect = "5s" }}
[[routes]]
path = "/honest"
service = "honest"
[services.honest]
endpoints = ["http://127.0.0.1:{honest_port}"]
"""
# One KiB takes each of them far longer than a deadline: 8 and 5 bytes a second.
MODES = {
    "slow heads": ["-H", "-i", "1", "-x", "8"],
    "slow bodies": ["-B", "-i", "1", "-x", "8", "-s", "65536"],
    "slow readers": ["-X", "-w", "10", "-y", "20", "-n", "1", "-z", "5"],
}


async def origin(reader, writer):
    """`/large` is large, everything else is small; request bodies are read to their end."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            fields = head.lower().split(b"\r\ncontent-length:")
            if len(fields) == 2:
                await reader.readexactly(int(fields[1].split(b"\r\n")[0]))
            size = LARGE if b" /large" in head else 2
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            for start in range(0, size, len(PIECE)):
                writer.write(PIECE[: size - start])
                await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    writer.close()


def serve_origin(listening):
    async def run():
        async with await asyncio.start_server(origin, sock=listening, backlog=2048) as server:
            await server.serve_forever()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass


def start_origin(started):
    """The port of another origin, which is a process of its own."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    # A thousand large answers would fill gigabytes of buffers, which takes longer than a deadline.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
    served = multiprocessing.Process(target=serve_origin, args=[listening], daemon=True)
    served.start()
    started.append(served)
    return listening.getsockname()[1]


class Honest:
    """Asks again and again, over a kept connection and over fresh ones in turn."""

    def __init__(self, port):
        self.port, self.took, self.wrong = port, [], []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        kept, count = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10), 0
        while not self.stopped.wait(HONEST_EVERY):
            count += 1
            fresh = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
            one = kept if count % 2 else fresh
            began = time.monotonic()
            try:
                one.request("GET", "/honest")
                answer = one.getresponse()
                answer.read()
                if answer.status != 200:
                    self.wrong.append(str(answer.status))
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(repr(error))
                kept.close()
            self.took.append(time.monotonic() - began)
            fresh.close()
        kept.close()

    def stop(self):
        self.stopped.set()
        self.thread.join(15)


class Watch:
    """What the proxy holds, four times a second."""

    def __init__(self, proxy):
        self.proxy, self.began, self.samples = proxy, time.monotonic(), []

    def look(self):
        count = self.proxy.metrics()
        at = time.monotonic() - self.began
        self.samples.append((at, count["proxy_connections"], self.proxy.rss_mib()))
        return count

    def peak(self, column):
        return max(self.samples, key=lambda sample: sample[column])[column]


def counted(before, after):
    """Failures of the proxy's own since then, by reason."""
    name = "proxy_errors_total{"
    grown = {key: after[key] - before.get(key, 0) for key in after if key.startswith(name)}
    return {key.split('"')[1]: int(value) for key, value in grown.items() if value}


def attack(proxy, flags, connections, path, attackers):
    """Runs slowhttptest until the proxy has closed what it opened; gives the watch over it and the
    seconds between the peak and the last end; its own length is far beyond the deadlines."""
    url = f"http://127.0.0.1:{proxy.port}{path}"
    rate = ["-c", str(connections), "-r", "500", "-l", "60", "-p", "5", "-v", "0", "-u", url]
    slow = subprocess.Popen(["slowhttptest", *flags, *rate], stdout=subprocess.DEVNULL)
    attackers.append(slow)
    watch = Watch(proxy)
    most, full_at, end = 0, 0, None
    while time.monotonic() - watch.began < 45 and end is None:
        watch.look()
        at, held, _ = watch.samples[-1]
        if held > most:
            most, full_at = held, at
        # The honest client has two connections at most.
        if at > 3 and held <= 2:
            end = at - full_at
        time.sleep(0.25)
    slow.terminate()
    slow.wait()
    return watch, end


def check_mode(proxy, mode, connections, verdict, attackers):
    print(f"== {mode}")
    path = "/large" if mode == "slow readers" else "/small"
    before, rss, files = proxy.metrics(), proxy.rss_mib(), proxy.open_files()
    honest = Honest(proxy.port)
    watch, ended = attack(proxy, MODES[mode], connections, path, attackers)
    honest.stop()
    most = watch.peak(1)
    print(f"      {most:.0f} connections at the peak")
    # A tick late, the last second in which a refused client is read, and our own looks at it. To
    # fill the buffers is progress too, which may reach into a reader's second window; the third
    # ends it.
    bound = 3 * TIMEOUT + 2.5 if mode == "slow readers" else TIMEOUT + 2.5
    verdict.expect(
        ended is not None and ended < bound,
        f"the last was closed {'never' if ended is None else f'{ended:.1f} s'} after the peak",
    )
    slowest = max(honest.took) * 1000
    verdict.expect(
        not honest.wrong and slowest < HONEST_BOUND * 1000,
        f"honest client: {len(honest.took)} answers, slowest {slowest:.0f} ms, "
        f"wrong {honest.wrong[:3]}",
    )
    reasons = counted(before, proxy.metrics())
    print(f"      counted: {reasons}")
    reason = "write_timeout" if mode == "slow readers" else "request_timeout"
    ended_for_it = reasons.get(reason, 0)
    verdict.expect(ended_for_it >= connections * 0.99, f"{ended_for_it} are counted as {reason}")
    closed = world.eventually(lambda: proxy.open_files() <= files + 4, 10)
    now, peak = proxy.rss_mib(), watch.peak(2)
    orphans = next(line for line in open("/proc/net/sockstat") if line.startswith("TCP:"))
    print(f"      {orphans.strip()}")
    verdict.expect(closed, f"open files: {files} before, {proxy.open_files()} after")
    most_rss = rss + MOST_GROWTH_MIB_PER_CONNECTION * connections
    verdict.expect(peak < most_rss, f"MiB resident: {rss:.1f}, {peak:.1f}, {now:.1f}")


def is_held(client_port):
    """Whether the proxy still has its end of the connection: a reader that lags behind sees the
    end only when it has read all that was underway."""
    remote = f"0100007F:{client_port:04X}"
    with open("/proc/net/tcp") as table:
        rows = (line.split() for line in table)
        return any(row[2] == remote and row[3] == "01" for row in rows)


def read_steadily(port, rate, seconds):
    """The bytes read, and the second in which the proxy gave the connection up; None if it lasts."""
    with socket.socket() as one:
        # A window that opens in steps far below what is read in one deadline.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, max(4096, rate // 4))
        one.settimeout(10)
        one.connect(("127.0.0.1", port))
        one.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        began, read = time.monotonic(), 0
        while (passed := time.monotonic() - began) < seconds:
            due = int(passed * rate) - read
            if due > 0:
                try:
                    piece = one.recv(due)
                except OSError:
                    return read, passed
                if not piece:
                    return read, passed
                read += len(piece)
            if not is_held(one.getsockname()[1]):
                return read, passed
            time.sleep(0.1)
        return read, None


def check_rates(proxy, verdict):
    print(f"== readers of steady rates, write_timeout {TIMEOUT} s")
    seconds = 8 * TIMEOUT
    # In bytes a second, and whether the reader is to be served; between the two, the system
    # decides, as it reports progress in steps.
    rates = {20: False, 100: False, 2 << 10: None, 16 << 10: None, 64 << 10: True, 1 << 20: True}
    ends = {}

    def run(rate):
        ends[rate] = read_steadily(proxy.port, rate, seconds)

    threads = [threading.Thread(target=run, args=[rate], daemon=True) for rate in rates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for rate, is_served in rates.items():
        read, end = ends[rate]
        said = f"lasts for {seconds} s" if end is None else f"closed after {end:.1f} s"
        said += f", {read} bytes read"
        verdict.expect(is_served in (None, end is None), f"{rate} B/s: {said}")


def main():
    connections = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    if not shutil.which("slowhttptest"):
        print("slowhttptest is missing: apt-get install slowhttptest", file=sys.stderr)
        sys.exit(2)
    world.raise_open_files()
    world.end_on_signals()
    verdict, started, attackers = world.Verdict(), [], []
    # Two origins: the honest client shall wait for the proxy, not for an origin that is busy.
    port, honest_port = (start_origin(started) for _ in range(2))
    config = CONFIG.format(t=TIMEOUT, port=port, honest_port=honest_port)
    try:
        with world.Proxy(config) as proxy:
            proxy.settle()
            for mode in MODES:
                check_mode(proxy, mode, connections, verdict, attackers)
            check_rates(proxy, verdict)
            proxy.terminate()
            code = proxy.exit_code(40)
            verdict.expect(code == 0, f"exit code {code} after TERM")
            verdict.expect(not proxy.panics(), "no panic")
    finally:
        for slow in attackers:
            if slow.poll() is None:
                slow.kill()
        for served in started:
            served.kill()
    verdict.exit()


if __name__ == "__main__":
    main()
