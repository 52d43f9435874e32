#!/usr/bin/env python3
"""Floods of HTTP/2 frames, each against a proxy of its own with one worker.

    scripts/checks/h2_floods.py [NAME...]

What each does is in `FLOODS`. Memory is looked at all the while: it may grow by 32 MiB. Meanwhile an
honest client on other connections, HTTP/1.1 and HTTP/2 in turn, asks every 20 ms and must get 200
within 50 ms. The 1,000 answers that nobody reads are held to what the documents allow each, and may
delay the honest client by 200 ms, as they all begin at once. Where the flood is no use of HTTP/2
but an attack, its connection must end. Afterwards nothing may be in flight. Frames are built with
the PyPI packages hyperframe and hpack, installed into a cache if need be.
"""

import http.client
import multiprocessing
import os
import sys
import threading
import time

import h2_origin
import h2_raw
import world
from h2_raw import Raw, block, data, frames, headers, reset, settings, window

MANY = 100_000
# So long for what the other side has yet to say, and for the honest client at least.
LINGER = 2
MOST_GROWTH_MIB = 32
# Honest answers that nobody reads: what the documents allow each, with what else a request holds.
WAITING, WAITING_KIB = "windows of 0", 64
HONEST_EVERY, HONEST_BOUND = 0.02, 0.05
# Requests that a connection may have in work at a time: more would be no limit at all.
MOST_IN_FLIGHT = 300
CONFIG = """
[server]
workers = 1
write_timeout = "3s"
[[routes]]
service = "origin"
[services.origin]
endpoints = ["http://127.0.0.1:{port}"]
timeouts = {{ connect = "5s" }}
[[routes]]
path = "/get/1/2/{{n}}"
service = "honest"
[services.honest]
endpoints = ["http://127.0.0.1:{honest_port}"]
"""
HONEST = "/get/1/2/0"
# Nothing comes for some seconds; a small body; a large one; an answer once the upload is complete.
WAIT, SMALL, LARGE, ECHO = "/wait/1/2/1", "/get/3/60/2", "/get/4/1048576/3", "/echo/1/2/4"


class Honest(multiprocessing.Process):
    """A process of its own, so that it does not wait for the flood in this one."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.pipe, self.theirs = port, *multiprocessing.Pipe()

    def run(self):
        old = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        new, took, wrong, count = Raw(self.port), [], [], 0
        while not self.theirs.poll(HONEST_EVERY):
            count += 1
            began = time.monotonic()
            try:
                if count % 2:
                    old.request("GET", HONEST)
                    answer = old.getresponse()
                    answer.read()
                    status = answer.status
                else:
                    status = new.ask(count - 1, HONEST)
            except (OSError, http.client.HTTPException) as error:
                status = repr(error)
                old.close()
            took.append(time.monotonic() - began)
            if status != 200:
                wrong.append(f"{count}: {status}")
                if not new.is_open:
                    break
        self.theirs.send((took, wrong))

    def stop(self):
        """How long each took, and what was wrong."""
        self.pipe.send(None)
        found = self.pipe.recv() if self.pipe.poll(20) else ([], ["the honest client hangs"])
        self.kill()
        return found


class Watch(threading.Thread):
    """The most that the proxy had of memory and of requests in work."""

    def __init__(self, proxy):
        super().__init__(daemon=True)
        self.proxy, self.stopped = proxy, threading.Event()
        self.rss, self.in_flight = proxy.rss_mib(), 0.0
        self.before = self.rss

    def run(self):
        looks = 0
        while not self.stopped.wait(0.02):
            self.rss = max(self.rss, self.proxy.rss_mib())
            looks += 1
            if looks % 5 == 0:
                now = self.proxy.metrics()["proxy_requests_in_flight"]
                self.in_flight = max(self.in_flight, now)

    def stop(self):
        self.stopped.set()
        self.join()


def paced(raw, seconds, make, first=1, each=10, pause=0.005):
    """So many new streams every 5 ms; `make` gives the frames of one."""
    stream, began = first, time.monotonic()
    while raw.is_open and time.monotonic() < began + seconds:
        due = time.monotonic() + pause
        raw.send(b"".join(make(stream + 2 * count) for count in range(each)))
        stream += 2 * each
        raw.read(max(0, due - time.monotonic()))


def repeated(frame):
    """One frame again and again, while one request waits."""

    def run(port):
        raw = Raw(port)
        raw.send(headers(1, block(WAIT)))
        raw.send(frame * MANY)
        return [raw]

    return run


def unread(frame):
    """The same by a client that does not read what it is told about it."""

    def run(port):
        raw = Raw(port)
        raw.send(frame * MANY, reads=False)
        return [raw]

    return run


def rapid_reset(port):
    raw, head = Raw(port), block(WAIT)
    raw.send(b"".join(headers(one, head) + reset(one) for one in range(1, 20_000, 2)))
    return [raw]


def rapid_reset_paced(port):
    raw, head = Raw(port), block(WAIT)
    paced(raw, 10, lambda stream: headers(stream, head) + reset(stream))
    return [raw]


def rapid_reset_late(port):
    """Resets that come when the work has begun."""
    raw, head = Raw(port), block(WAIT)

    def make(stream):
        return (reset(stream - 20) if stream > 20 else b"") + headers(stream, head)

    paced(raw, 10, make)
    return [raw]


def made_you_reset(fault):
    """Streams with a request in work which the server itself must reset for what follows."""

    def run(port):
        raw, head = Raw(port), block(WAIT)
        paced(raw, 5, lambda stream: headers(stream, head) + fault(stream))
        return [raw]

    return run


def own_parent(stream):
    return frames.PriorityFrame(stream, depends_on=stream).serialize()


def overflow(stream):
    return window(stream, 2**31 - 1)


def continuations(payload):
    def run(port):
        raw = Raw(port)
        raw.send(headers(1, block(SMALL), end_headers=False))
        raw.send(frames.ContinuationFrame(1, payload).serialize() * MANY)
        return [raw]

    return run


def uploads(frame, path):
    """A request body of such frames."""

    def run(port):
        raw = Raw(port)
        raw.send(headers(1, block(path, "POST"), end_stream=False))
        raw.send(frame * MANY)
        return [raw]

    return run


def priorities(port):
    """Of 1,000 streams that do not exist."""
    raw, numbers = Raw(port), range(3, 2003, 2)
    raw.send(b"".join(frames.PriorityFrame(one).serialize() for one in numbers) * (MANY // 1000))
    return [raw]


def hpack_bomb(port):
    """One entry that fills the table, by reference 4,000 times in each of 100 requests."""
    raw = Raw(port)
    value = b"a" * (4096 - 32 - 1)
    # A literal with incremental indexing, name "x": it becomes entry 62.
    literal = b"\x40\x01x" + b"\x7f" + integer(len(value) - 127) + value
    raw.send(headers(1, block(SMALL) + literal))
    for stream in range(3, 203, 2):
        raw.send(headers(stream, block(SMALL) + b"\xbe" * 4000))
    return [raw]


def integer(rest):
    """The bytes behind a full prefix (RFC 7541 section 5.1)."""
    out = bytearray()
    while rest > 127:
        out.append(rest % 128 + 128)
        rest //= 128
    return bytes([*out, rest])


def header_list(port):
    """8 MiB of fields in one request."""
    raw = Raw(port)
    raw.send(headers(1, block(SMALL), end_headers=False))
    field = b"\x00\x04name\x7f" + integer(8000 - 127) + b"v" * 8000
    raw.send(frames.ContinuationFrame(1, 2 * field).serialize() * 512)
    raw.send(b"\0\0\0\x09\x04\0\0\0\x01")
    return [raw]


def zero_windows(port):
    """1,000 streams that ask for 1 MiB each and leave no room for any of it."""
    raws, left = [], 1000
    while left > 0:
        raw = Raw(port, INITIAL_WINDOW_SIZE=0)
        raws.append(raw)
        raw.read(5, lambda: raw.peer)
        most = min(left, raw.peer.get(frames.SettingsFrame.MAX_CONCURRENT_STREAMS, 100))
        raw.send(b"".join(headers(1 + 2 * one, block(LARGE)) for one in range(most)))
        left -= most
    for raw in raws:
        raw.read(2)
    return raws


def narrow_windows(port):
    """100 readers whose window opens by one byte at a time."""
    raw = Raw(port, INITIAL_WINDOW_SIZE=0)
    raw.send(b"".join(headers(1 + 2 * one, block(LARGE)) for one in range(100)))
    raw.send(b"".join(window(1 + 2 * one, 1) for one in range(100)) * (MANY // 100))
    return [raw]


ENDS, LASTS = True, False
# Each with whether its connection must be ended: those that are not are bounded by other means.
FLOODS = {
    "rapid reset, at once": (rapid_reset, ENDS),
    "rapid reset, 10 every 5 ms": (rapid_reset_paced, ENDS),
    "rapid reset, 5 ms late": (rapid_reset_late, ENDS),
    "MadeYouReset, window update of 0": (made_you_reset(lambda one: window(one, 0)), ENDS),
    "MadeYouReset, window overflow": (made_you_reset(overflow), ENDS),
    "MadeYouReset, DATA behind the end": (made_you_reset(lambda one: data(one, b"x")), ENDS),
    "MadeYouReset, HEADERS behind the end": (
        made_you_reset(lambda one: headers(one, block(SMALL))),
        ENDS,
    ),
    "MadeYouReset, its own parent": (made_you_reset(own_parent), ENDS),
    "CONTINUATION": (continuations(b"\x00\x01a\x01b"), ENDS),
    "CONTINUATION, empty": (continuations(b""), ENDS),
    "DATA, empty": (uploads(data(1), ECHO), ENDS),
    "DATA, one byte": (uploads(data(1, b"x"), ECHO), ENDS),
    "DATA, padding only": (uploads(b"\0\x01\0\0\x08\0\0\0\x01\xff" + bytes(255), ECHO), ENDS),
    "SETTINGS": (repeated(settings(INITIAL_WINDOW_SIZE=65_535)), ENDS),
    "SETTINGS, unread": (unread(settings(INITIAL_WINDOW_SIZE=65_535)), ENDS),
    "PING": (repeated(frames.PingFrame(0, b"12345678").serialize()), ENDS),
    "PING, unread": (unread(frames.PingFrame(0, b"12345678").serialize()), ENDS),
    "PRIORITY": (priorities, ENDS),
    "WINDOW_UPDATE": (repeated(window(0, 1)), ENDS),
    "WINDOW_UPDATE of a stream": (repeated(window(1, 1)), ENDS),
    "unknown frames": (repeated(b"\0\0\x01\xaa\0\0\0\0\0x"), ENDS),
    "HPACK bomb": (hpack_bomb, LASTS),
    "header list of 8 MiB": (header_list, LASTS),
    "windows of 0": (zero_windows, LASTS),
    "windows that open by 1": (narrow_windows, ENDS),
}


def describe(raws):
    """How the connections ended, of the first of them if there are more."""
    raw = raws[0]
    ended = "lasts" if raw.is_open else f"ended after {raw.ended_after:.1f} s"
    goaway = "" if raw.goaway is None else f", GOAWAY {h2_raw.code(raw.goaway)}"
    resets = {h2_raw.code(code): count for code, count in raw.resets.items()}
    resets = f", resets {resets}" if resets else ""
    statuses = f", statuses {dict(raw.statuses)}" if raw.statuses else ""
    more = f", {len(raws)} connections" if len(raws) > 1 else ""
    return ended + goaway + resets + statuses + more


def run_flood(name, ports, verdict):
    run, must_end = FLOODS[name]
    print(f"== {name}")
    with world.Proxy(CONFIG.format(port=ports[0], honest_port=ports[1])) as proxy:
        warm(proxy.port)
        honest, watch = Honest(proxy.port), Watch(proxy)
        honest.start()
        watch.start()
        began = time.monotonic()
        raws = run(proxy.port)
        raws[0].read(LINGER)
        time.sleep(max(0, began + LINGER - time.monotonic()))
        took, wrong = honest.stop()
        print(f"      {describe(raws)}")
        if must_end:
            verdict.expect(not any(raw.is_open for raw in raws), "the connection has ended")
        slowest = max(took, default=0) * 1000
        verdict.expect(
            not wrong and slowest < (4 if name == WAITING else 1) * HONEST_BOUND * 1000,
            f"honest client: {len(took)} answers, slowest {slowest:.0f} ms, wrong {wrong[:3]}",
        )
        waiting = 1000 if name == WAITING else 0
        judge(proxy, watch, raws, waiting, verdict)


def judge(proxy, watch, raws, waiting, verdict):
    for raw in raws:
        raw.close()
    gone = world.eventually(lambda: not proxy.metrics()["proxy_requests_in_flight"], 5)
    watch.stop()
    bound = 1000 + MOST_IN_FLIGHT if len(raws) > 1 else MOST_IN_FLIGHT
    verdict.expect(
        watch.in_flight <= bound and gone,
        f"at most {watch.in_flight:.0f} requests in flight, {'none' if gone else 'some'} left",
    )
    grown = watch.rss - watch.before
    said = f"MiB resident: {watch.before:.1f} before, {watch.rss:.1f} at most"
    most = max(MOST_GROWTH_MIB, waiting * WAITING_KIB / 1024)
    verdict.expect(grown <= most, f"{said}, {proxy.rss_mib():.1f} after")
    verdict.expect(proxy.is_alive() and not proxy.panics(), "alive, no panic")


def warm(port):
    raw = Raw(port)
    for one in range(200):
        raw.ask(1 + 2 * one, SMALL)
    raw.close()


def main():
    names = sys.argv[1:] or list(FLOODS)
    if unknown := set(names) - set(FLOODS):
        sys.exit(f"no such flood: {unknown}; there are: " + ", ".join(FLOODS))
    # Processes are forked: what is still unwritten then would be written by each of them.
    sys.stdout.reconfigure(line_buffering=True)
    world.raise_open_files()
    world.end_on_signals()
    verdict, started = world.Verdict(), []
    # Two origins: the honest client shall wait for the proxy, not for an origin that is busy.
    ports = [h2_origin.start(started) for _ in range(2)]
    os.nice(5)
    try:
        for name in names:
            run_flood(name, ports, verdict)
    finally:
        for one in started:
            one.kill()
    verdict.exit()


if __name__ == "__main__":
    main()
