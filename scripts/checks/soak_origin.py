"""The origin of soak.py, and HTTP/1.1 as both of its sides read it: strictly, so that a message
that was cut is an error and never looks complete."""

import asyncio
import os
import random

BLOCK = random.Random(1).randbytes(2 << 20)
# A piece of a body that is sent in chunks, at most.
PIECE = 48 << 10


class Broken(Exception):
    """A message that ends before its own framing says, or has none."""


def body_of(seed, size):
    """Another body for each seed: no answer can be taken for that of another request."""
    start = seed % (1 << 20)
    return BLOCK[start : start + size]


async def read_head(reader):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        raise Broken(f"head after {len(error.partial)} bytes") from None
    line, *fields = head[:-4].split(b"\r\n")
    named = (field.partition(b":") for field in fields)
    return line.split(b" ", 2), {name.lower(): value.strip() for name, _, value in named}


async def read_chunks(reader):
    pieces = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        pieces.append(await reader.readexactly(size))
        if await reader.readexactly(2) != b"\r\n":
            raise Broken("no CRLF behind a chunk")
    if await reader.readuntil(b"\r\n") != b"\r\n":
        raise Broken("trailers")
    return b"".join(pieces)


async def read_body(reader, fields):
    """None if the fields do not say where it ends."""
    try:
        if fields.get(b"transfer-encoding") == b"chunked":
            return await read_chunks(reader)
        if b"content-length" in fields:
            return await reader.readexactly(int(fields[b"content-length"]))
    except asyncio.IncompleteReadError as error:
        raise Broken(f"body after {len(error.partial)} bytes of its last part") from None
    return None


async def read_message(reader, method):
    """Status, fields and body of an answer, and whether the connection is kept."""
    (version, status, *_), fields = await read_head(reader)
    keeps = version == b"HTTP/1.1" and fields.get(b"connection", b"").lower() != b"close"
    body = b"" if method == b"HEAD" else await read_body(reader, fields)
    if body is None:
        # Ends with the connection; a reset is an error.
        body, keeps = await reader.read(), False
    return int(status), fields, body, keeps


class Origin:
    def __init__(self):
        self.rng = random.Random(2)

    async def connected(self, reader, writer):
        try:
            while await self.answer(reader, writer):
                pass
        except (Broken, ConnectionError, TimeoutError):
            pass
        writer.close()

    async def answer(self, reader, writer):
        """Whether another request may follow."""
        (method, path, *_), fields = await read_head(reader)
        _, kind, seed, size, how = path.split(b"/")
        seed, body = int(seed), body_of(int(seed), int(size))
        if kind == b"early":
            return await self.answer_early(reader, writer, seed, body)
        sent = await read_body(reader, fields)
        if kind == b"echo":
            body = sent
        if kind == b"reset":
            writer.transport.abort()
            return False
        if kind == b"slow":
            await asyncio.sleep(0.05 + self.rng.random())
        if kind == b"cut":
            return await self.cut(writer, seed, how, body)
        keeps = await self.send(writer, method, seed, how, body, pauses=kind == b"slow")
        if kind == b"fickle":
            # At once, or just when the next request may be on its way.
            await asyncio.sleep(self.rng.choice([0, self.rng.random() * 0.01]))
            return False
        return keeps

    async def send(self, writer, method, seed, how, body, pauses=False):
        head = b"HTTP/1.1 200 OK\r\nX-Seed: %d\r\n" % seed
        head += {
            b"length": b"Content-Length: %d\r\n" % len(body),
            b"chunked": b"Transfer-Encoding: chunked\r\n",
            b"close": b"Connection: close\r\n",
        }[how]
        writer.write(head + b"\r\n")
        if method != b"HEAD":
            await self.send_body(writer, how, body, pauses)
        await writer.drain()
        return how != b"close"

    async def send_body(self, writer, how, body, pauses):
        if how != b"chunked":
            writer.write(body)
            return
        while body:
            size = self.rng.randint(1, PIECE)
            piece, body = body[:size], body[size:]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
            if pauses and self.rng.random() < 0.2:
                await asyncio.sleep(self.rng.random() * 0.1)
        writer.write(b"0\r\n\r\n")

    async def cut(self, writer, seed, how, body):
        """Some of the body, then the end of the connection or a reset."""
        kept = body[: self.rng.randrange(len(body))]
        framed = b"Content-Length: %d\r\n" % len(body)
        if how == b"chunked":
            framed, kept = b"Transfer-Encoding: chunked\r\n", b"%x\r\n%s" % (len(body), kept)
        writer.write(b"HTTP/1.1 200 OK\r\nX-Seed: %d\r\n%s\r\n%s" % (seed, framed, kept))
        await writer.drain()
        if self.rng.random() < 0.5:
            writer.transport.abort()
        return False

    async def answer_early(self, reader, writer, seed, body):
        """413 before the body is read; then the body is left alone, or read to please the peer."""
        head = b"HTTP/1.1 413 No\r\nX-Seed: %d\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        writer.write(head % (seed, len(body)) + body)
        await writer.drain()
        if self.rng.random() < 0.7:
            writer.write_eof()
            while await asyncio.wait_for(reader.read(1 << 16), 10):
                pass
        return False


def serve(listening):
    """In a process of its own, until it is killed."""
    os.nice(5)

    async def run():
        origin = Origin()
        options = {"sock": listening, "backlog": 1024, "limit": 1 << 20}
        async with await asyncio.start_server(origin.connected, **options) as server:
            await server.serve_forever()

    asyncio.run(run())
