#!/usr/bin/env python3
"""Output that nobody takes: stdout and stderr, each a pipe that nobody reads, a pipe whose reader
has left, and a device that is full, from the start and, but for the last, under load.

    scripts/checks/output.py [SECONDS=2]

Every request is an access line, and an event, as its endpoint refuses connections. For each case:
requests go on (as many as with good output, give or take), what is lost is counted, TERM ends the
proxy with 0 within drain_timeout + 1 s, and stops a start that nobody hears of. Then both streams at
once, and a reader that comes back: all that was lost is told of once.
"""

import contextlib
import fcntl
import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import world

DRAIN_TIMEOUT = 1.0
CONFIG = """
log = {{ level = "debug" }}
server = {{ drain_timeout = "1s", workers = 2 }}
[[routes]]
service = "nobody"
[services.nobody]
endpoints = ["http://127.0.0.1:{port}"]
"""
CLIENTS = 4
# Where output goes: a good reader, none, one that has left, a full device.
GOOD, STALLED, CLOSED, FULL = "good", "stalled", "closed", "full"
METRICS = {"stdout": "proxy_access_log_dropped_total", "stderr": "proxy_events_dropped_total"}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Pipe:
    """The program's end of an output, and ours, which can go from one way to the other."""

    def __init__(self, how):
        self.lines = []
        self.is_read = False
        if how == FULL:
            self.ours, self.theirs = None, os.open("/dev/full", os.O_WRONLY)
            return
        self.ours, self.theirs = os.pipe()
        if how == STALLED:
            self._fill()
        else:
            self.become(how)

    def _fill(self):
        flags = fcntl.fcntl(self.theirs, fcntl.F_GETFL)
        fcntl.fcntl(self.theirs, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.theirs, b"\n")
        fcntl.fcntl(self.theirs, fcntl.F_SETFL, flags)

    def become(self, how):
        self.is_read = how == GOOD
        if how == GOOD:
            threading.Thread(target=self._read, daemon=True).start()
        elif how == CLOSED:
            self.close()

    def _read(self):
        rest = b""
        while self.is_read and (read := os.read(self.ours, 65536)):
            *whole, rest = (rest + read).split(b"\n")
            self.lines.extend(line for line in whole if line)

    def close(self):
        if self.ours is not None:
            os.close(self.ours)
            self.ours = None


class Quiet:
    """A proxy that listens on Unix sockets: where it does is known before it says so."""

    def __init__(self, stdout, stderr):
        self.folder = tempfile.TemporaryDirectory()
        self.pipes = {"stdout": Pipe(stdout), "stderr": Pipe(stderr)}
        with socket.socket() as nobody:
            nobody.bind(("127.0.0.1", 0))
            port = nobody.getsockname()[1]
        listeners = '[[listeners]]\nbind = "unix:{0}/traffic"\n[admin]\nbind = "unix:{0}/admin"\n'
        path = pathlib.Path(self.folder.name, "proxy.toml")
        path.write_text(CONFIG.format(port=port) + listeners.format(self.folder.name))
        ends = {name: pipe.theirs for name, pipe in self.pipes.items()}
        self.process = subprocess.Popen([world.program(), "run", "-c", path], **ends)
        for pipe in self.pipes.values():
            os.close(pipe.theirs)
        if not world.eventually(self.is_ready, 10, 0.01):
            self.kill()
            sys.exit(f"the proxy did not start with {stdout} stdout and {stderr} stderr")

    def connection(self, name):
        return UnixConnection(pathlib.Path(self.folder.name, name))

    def admin(self, page):
        with contextlib.closing(self.connection("admin")) as connection:
            connection.request("GET", page)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def is_ready(self):
        with contextlib.suppress(OSError):
            return self.admin("/readyz")[0] == 200
        return False

    def lost(self):
        samples = dict(line.rsplit(" ", 1) for line in self.admin("/metrics")[1].splitlines())
        return {name: int(samples[metric]) for name, metric in METRICS.items()}

    def load(self, seconds):
        """Requests that were answered by several clients at once; a failure ends the check."""
        counts, end = [], time.monotonic() + seconds

        def client():
            count = 0
            with contextlib.closing(self.connection("traffic")) as connection:
                while time.monotonic() < end:
                    connection.request("GET", f"/{count}")
                    answer = connection.getresponse()
                    answer.read()
                    assert answer.status == 502, answer.status
                    count += 1
            counts.append(count)

        clients = [threading.Thread(target=client) for _ in range(CLIENTS)]
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        return sum(counts) if len(counts) == CLIENTS else 0

    def stop(self):
        """The exit code of TERM, and after how long."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(10), time.monotonic() - began
        return None, time.monotonic() - began

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in self.pipes.values():
            pipe.close()
        self.folder.cleanup()


def try_case(verdict, seconds, when, spoiled, how, usual):
    """One way to spoil output, from the start or under load."""
    first = {name: GOOD for name in METRICS}
    if when == "start":
        first |= {name: how for name in spoiled}
    proxy = Quiet(**first)
    try:
        requests = proxy.load(seconds / 2)
        if when == "load":
            for name in spoiled:
                proxy.pipes[name].become(how)
        requests += proxy.load(seconds / 2)
        lost = proxy.lost()
        ready = proxy.is_ready()
        code, took = proxy.stop()
    finally:
        proxy.kill()
    name = f"{'+'.join(spoiled):13} {how:7} at {when:5}"
    figures = f"{requests:6} requests, lost {lost['stdout']:6} lines {lost['stderr']:6} events"
    verdict.expect(
        ready and requests > usual / 4 and code == 0 and took < DRAIN_TIMEOUT + 1,
        f"{name}: {figures}, exit {code} {took:.2f} s after TERM",
    )
    if how != STALLED:
        counted = all(lost[one] > 0 for one in spoiled)
        verdict.expect(counted, f"{name}: what was lost is counted")


def try_return(verdict, seconds):
    """Both streams stand still until something is lost, and are read again."""
    proxy = Quiet(STALLED, STALLED)
    try:
        rounds = 0
        while min(proxy.lost().values()) == 0 and rounds < 60:
            proxy.load(seconds / 2)
            rounds += 1
        lost = proxy.lost()
        verdict.expect(min(lost.values()) > 0, f"stalled for {rounds} rounds: lost {lost}")
        for pipe in proxy.pipes.values():
            pipe.become(GOOD)
        told = [b"events were lost", b"stdout takes access lines again"]

        def count():
            events = proxy.pipes["stderr"].lines
            return [sum(text in line for line in events) for text in told]

        world.eventually(lambda: min(count()) > 0, 10)
        verdict.expect(count() == [1, 1], f"read again: told of {count()} times")
        code, took = proxy.stop()
        verdict.expect(code == 0 and took < DRAIN_TIMEOUT + 1, f"exit {code} after {took:.2f} s")
    finally:
        proxy.kill()


def main():
    world.end_on_signals()
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    verdict = world.Verdict()
    good = Quiet(GOOD, GOOD)
    try:
        usual = good.load(seconds)
        print(f"good output: {usual} requests in {seconds} s, lost {good.lost()}", flush=True)
    finally:
        good.kill()
    for spoiled in (["stdout"], ["stderr"], ["stdout", "stderr"]):
        for how in (STALLED, CLOSED, FULL):
            # A device cannot be put in another's place later.
            for when in ("start",) if how == FULL else ("start", "load"):
                try_case(verdict, seconds, when, spoiled, how, usual)
    try_return(verdict, seconds)
    verdict.exit()


if __name__ == "__main__":
    main()
