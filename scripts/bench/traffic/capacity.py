"""An origin of a fixed capacity, in a process of its own: so many requests at a time, of so long
each."""

import asyncio
import collections
import contextlib
import multiprocessing
import socket
import time

from origins import await_listening

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


class Capacity:
    """`slots` requests at a time, or any number, of `seconds` each; the others wait in a queue
    without bound. A request that its client has given up is worked on nevertheless, as by most
    servers. A slot that has work waiting begins it at the moment the last one was due to end:
    together they do exactly slots / seconds."""

    def __init__(self, seconds, slots=None):
        self.seconds, self.free = seconds, slots
        self.queue = collections.deque()
        self.loop = asyncio.get_running_loop()

    def take(self, exchange):
        if self.free == 0:
            self.queue.append(exchange)
            return
        if self.free is not None:
            self.free -= 1
        self.begin(exchange, self.loop.time())

    def begin(self, exchange, at):
        if self.seconds == 0:
            self.end(exchange, at)
        else:
            self.loop.call_at(at + self.seconds, self.end, exchange, at + self.seconds)

    def end(self, exchange, at):
        if not exchange.transport.is_closing():
            exchange.transport.write(ANSWER)
        if self.queue:
            self.begin(self.queue.popleft(), at)
        elif self.free is not None:
            self.free += 1


class Exchange(asyncio.Protocol):
    """A connection to the origin; requests have no bodies."""

    def __init__(self, capacity, first_check):
        self.capacity, self.first_check, self.buffer = capacity, first_check, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            if self.first_check is not None and head.startswith(b"GET /health "):
                with self.first_check:
                    self.first_check.value = self.first_check.value or time.monotonic()
            self.capacity.take(self)


def serve(listening, seconds, slots, opens, first_check):
    async def run():
        loop, capacity = asyncio.get_running_loop(), Capacity(seconds, slots)
        if opens is not None:
            await loop.run_in_executor(None, opens.wait)
        for one in listening:
            exchange = lambda: Exchange(capacity, first_check)  # noqa: E731
            await loop.create_server(exchange, sock=one, backlog=4096)
        await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


class Origin:
    """An origin in a process of its own, on `ports`. With `is_down` they refuse connections until
    `open`; `first_check` is the moment at which /health was first asked for, or 0."""

    def __init__(self, seconds=0, slots=None, count=1, is_down=False):
        listening = [socket.socket() for _ in range(count)]
        for one in listening:
            # Bound and not listening: it refuses, and nobody else can have the port.
            one.bind(("127.0.0.1", 0))
        self.ports = [one.getsockname()[1] for one in listening]
        self.opens = multiprocessing.Event() if is_down else None
        self.check = multiprocessing.Value("d", 0.0) if is_down else None
        known = [listening, seconds, slots, self.opens, self.check]
        self.process = multiprocessing.Process(target=serve, args=known, daemon=True)
        self.process.start()
        for one in listening:
            one.close()
        if not is_down:
            for port in self.ports:
                await_listening(port, "the origin")

    def open(self):
        self.opens.set()

    @property
    def first_check(self):
        return self.check.value

    def stop(self):
        self.process.kill()
        self.process.join()
