#!/usr/bin/env python3
"""POSTs that are sent when an origin is about to close its idle connections, 20 ms away.

    scripts/checks/keep_alive.py [POSTS=200]

The origin closes a connection that was idle for 2 s, and says so: `Keep-Alive: timeout=2`. In
rounds, 25 connections to it are made and left idle, and POSTs of 25 clients come 120 ms before to
120 ms after their end. All must be answered with 200, none with 502.
With an origin that does not say when it closes, the same is done for its figure: where the moment
is met, a POST cannot be saved, for it may not be sent twice.
"""

import asyncio
import collections
import http.client
import sys
import threading
import time

import real_world
import world

AWAY = 0.020
IDLE, AROUND, AT_ONCE = 2.0, 0.120, 25
CONFIG = """
[[routes]]
service = "origin"
[services.origin]
endpoints = ["http://127.0.0.1:{port}"]
"""


class Far:
    """A relay to an origin: each byte, and each end, arrives AWAY seconds later."""

    def __init__(self, origin):
        self.origin = origin
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.run(started)), daemon=True).start()
        started.wait(10)

    async def run(self, started):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await server.serve_forever()

    async def serve(self, *near):
        await asyncio.sleep(AWAY)
        far = await asyncio.open_connection("127.0.0.1", self.origin)
        await asyncio.gather(relay(near, far), relay(far, near))


async def relay(source, sink):
    (reader, _), (_, writer) = source, sink
    loop, is_whole = asyncio.get_running_loop(), True

    def pass_on(piece):
        if not writer.is_closing():
            writer.write(piece)

    try:
        while piece := await reader.read(64 << 10):
            loop.call_later(AWAY, pass_on, piece)
    except ConnectionError:
        is_whole = False
    await asyncio.sleep(AWAY)
    # An end is an end, a reset a reset.
    writer.close() if is_whole else writer.transport.abort()


class Posts:
    """What the clients got, and how far from the end of the connections they had sent it."""

    def __init__(self, port):
        self.port, self.answers, self.failed = port, collections.Counter(), []

    def round(self):
        together = threading.Barrier(AT_ONCE)
        clients = [
            threading.Thread(target=self.client, args=(together, number))
            for number in range(AT_ONCE)
        ]
        for one in clients:
            one.start()
        for one in clients:
            one.join()

    def client(self, together, number):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        together.wait()
        self.ask(connection, "GET")
        end = time.monotonic() + IDLE - AWAY
        offset = AROUND * (2 * number / (AT_ONCE - 1) - 1)
        time.sleep(end + offset - time.monotonic())
        late = time.monotonic() - end
        status = self.ask(connection, "POST", b"x=1")
        self.answers[status] += 1
        if status != 200:
            self.failed.append(round(late * 1000))
        connection.close()

    @staticmethod
    def ask(connection, method, body=None):
        try:
            connection.request(method, "/", body=body)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except OSError as error:
            return type(error).__name__


def measure(says, posts):
    """The answers, the times of those that failed, and the connections that were opened."""
    script = real_world.SOURCES / "keep_alive.mjs"
    words = ["node", script, int(IDLE), says]
    with real_world.running(*words, stdout=-1, stderr=-3, text=True) as origin:
        far = Far(int(origin.stdout.readline()))
        with world.Proxy(CONFIG.format(port=far.port)) as proxy:
            clients = Posts(proxy.port)
            for _ in range(posts // AT_ONCE):
                clients.round()
            return clients


def main():
    posts = int(sys.argv[1]) if sys.argv[1:] else 200
    world.end_on_signals()
    verdict = world.Verdict()
    silent = measure("silent", posts)
    failed = f"failed {sorted(silent.failed)} ms from the end" if silent.failed else "none failed"
    print(f"      an origin that does not say it: {dict(silent.answers)}, {failed}")
    told = measure("announced", posts)
    what = f"{dict(told.answers)} for {posts} POSTs at the end of `Keep-Alive: timeout={IDLE:.0f}`"
    verdict.expect(told.answers == {200: posts // AT_ONCE * AT_ONCE}, f"{what} {told.failed or ''}")
    verdict.exit()


if __name__ == "__main__":
    main()
