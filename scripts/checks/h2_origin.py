"""The origin of h2_resets.py and h2_floods.py. It knows of every request whether it was answered
whole, and if not, when its connection had gone: what a client cancels must end here too.

    /get/SEED/SIZE/NUMBER    a body at once
    /drip/SEED/SIZE/NUMBER   a body in small pieces, which takes some seconds
    /wait/SEED/SIZE/NUMBER   nothing for some seconds, then a body
    /echo/SEED/SIZE/NUMBER   the body of the request
    /records                 what is known: number to [begun, ended, how], as JSON

Times are in seconds of the system's monotonic clock, which all processes share.
"""

import asyncio
import json
import multiprocessing
import os
import socket
import time

from soak_origin import Broken, body_of, read_body, read_head

PATIENCE = 10
DRIPS, DRIP_EVERY = 100, 0.05


class Origin:
    def __init__(self):
        self.records = {}

    async def connected(self, reader, writer):
        try:
            while True:
                (_, path, *_), fields = await read_head(reader)
                if path == b"/records":
                    self.send(writer, json.dumps(self.records).encode())
                else:
                    await self.recorded(reader, writer, path, fields)
        except (Broken, ConnectionError):
            pass
        writer.close()

    async def recorded(self, reader, writer, path, fields):
        _, kind, seed, size, number = path.split(b"/")
        record = self.records[int(number)] = [time.monotonic(), None, "broken"]
        try:
            await self.answer(reader, writer, fields, kind, body_of(int(seed), int(size)))
            record[2] = "whole"
        finally:
            record[1] = time.monotonic()

    async def answer(self, reader, writer, fields, kind, body):
        sent = await read_body(reader, fields)
        if kind == b"wait":
            await self.pause(reader, PATIENCE)
        if kind == b"drip":
            await self.drip(reader, writer, body)
        else:
            self.send(writer, sent if kind == b"echo" else body)
        await writer.drain()

    def send(self, writer, body):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    async def drip(self, reader, writer, body):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        size = max(1, -(-len(body) // DRIPS))
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            await self.pause(reader, DRIP_EVERY)
        writer.write(b"0\r\n\r\n")

    async def pause(self, reader, seconds):
        """Broken off as soon as the connection ends: nothing else can come before the answer."""
        try:
            await asyncio.wait_for(reader.read(1), seconds)
        except TimeoutError:
            return
        raise Broken("gone")


def serve(listening):
    os.nice(5)

    async def run():
        options = {"sock": listening, "backlog": 1024, "limit": 1 << 20}
        async with await asyncio.start_server(Origin().connected, **options) as server:
            await server.serve_forever()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        pass


def start(started):
    """The port of an origin of its own process, which is added to `started`."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    one = multiprocessing.Process(target=serve, args=[listening], daemon=True)
    one.start()
    started.append(one)
    return listening.getsockname()[1]
