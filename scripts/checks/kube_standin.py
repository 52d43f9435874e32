"""A stand-in for the API server of Kubernetes, as much of it as `kubectl get`, `logs -f` and `exec`
ask for: the discovery of one kind, one pod, and a command in it that repeats its standard input, by
WebSocket (v5.channel.k8s.io) and by SPDY/3.1 (v4.channel.k8s.io).
"""

import asyncio
import base64
import hashlib
import json
import struct
import threading
import urllib.parse
import zlib

HELLO = b"hello from the pod\n"
SUCCESS = json.dumps({"kind": "Status", "metadata": {}, "status": "Success"}).encode()
POD = {
    "kind": "Pod",
    "apiVersion": "v1",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {"containers": [{"name": "main", "image": "none"}]},
    "status": {"phase": "Running"},
}
VERBS = {"verbs": ["get", "list", "create"], "namespaced": True}
PAGES = {
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {"name": "pods", "singularName": "pod", "kind": "Pod"} | VERBS,
            {"name": "pods/exec", "singularName": "", "kind": "PodExecOptions"} | VERBS,
        ],
    },
    "/api/v1/namespaces/default/pods/web": POD,
}
STDIN, STDOUT, ERROR, CLOSE = 0, 1, 3, 255
BINARY, CLOSED, PING = 2, 8, 9


class Standin:
    """Serves on a thread of its own. `spoken` are the protocols of the commands that were run."""

    def __init__(self):
        self.spoken = []
        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self.run(started)), daemon=True).start()
        started.wait(10)

    async def run(self, started):
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await server.serve_forever()

    async def serve(self, reader, writer):
        try:
            while await self.serve_one(reader, writer):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            """The proxy has closed the connection."""
        writer.close()

    async def serve_one(self, reader, writer):
        """Whether another request may follow."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        fields = {name.lower(): value for name, value in pairs}
        await reader.readexactly(int(fields.get("content-length", 0)))
        url = urllib.parse.urlsplit(target)
        asked = urllib.parse.parse_qs(url.query)
        if url.path.endswith("/exec"):
            await self.execute(reader, writer, method, fields, asked)
            return False
        if url.path.endswith("/log"):
            await log(writer)
            return True
        page = PAGES.get(url.path)
        body = json.dumps(page or {"kind": "Status", "status": "Failure", "code": 404}).encode()
        head = f"HTTP/1.1 {200 if page else 404} Said\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True

    async def execute(self, reader, writer, method, fields, asked):
        offer, has_stdin = fields.get("upgrade", "").lower(), asked.get("stdin") == ["true"]
        self.spoken.append(f"{method} {offer}")
        if offer == "websocket":
            await over_websocket(reader, writer, fields, has_stdin)
        elif offer == "spdy/3.1":
            await over_spdy(reader, writer, has_stdin)
        else:
            writer.write(b"HTTP/1.1 400 No upgrade\r\nContent-Length: 0\r\n\r\n")


async def log(writer):
    """A line at once, another much later: who holds the first back is seen."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    for piece in (head + b"6\r\nfirst\n\r\n", b"5\r\nlast\n\r\n0\r\n\r\n"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(2)


async def over_websocket(reader, writer, fields, has_stdin):
    key = fields["sec-websocket-key"]
    digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )
    if not has_stdin:
        send_frame(writer, BINARY, bytes([STDOUT]) + HELLO)
    while has_stdin:
        kind, data = await read_frame(reader)
        if kind == PING:
            send_frame(writer, PING + 1, data)
        elif kind == CLOSED or data[:1] == bytes([CLOSE]):
            has_stdin = False
        elif data[0] == STDIN:
            send_frame(writer, BINARY, bytes([STDOUT]) + data[1:])
            await writer.drain()
    send_frame(writer, BINARY, bytes([ERROR]) + SUCCESS)
    send_frame(writer, CLOSED, struct.pack("!H", 1000))
    await writer.drain()


async def read_frame(reader):
    """Opcode and payload of a whole message's frame; fragments do not occur."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length > 125:
        size = 2 if length == 126 else 8
        length = int.from_bytes(await reader.readexactly(size), "big")
    mask = await reader.readexactly(4)
    data = await reader.readexactly(length)
    whole = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return first & 0xF, (int.from_bytes(data, "big") ^ whole).to_bytes(length, "big")


def send_frame(writer, kind, data):
    length = len(data)
    if length < 126:
        size = bytes([length])
    else:
        size = (
            struct.pack("!BH", 126, length) if length < 65536 else struct.pack("!BQ", 127, length)
        )
    writer.write(bytes([0x80 | kind]) + size + data)


# Types of control frames of SPDY/3.1, and its flag of the last frame of a stream.
SYN_STREAM, SYN_REPLY, SPDY_PING, FIN = 1, 2, 6, 1


async def over_spdy(reader, writer, has_stdin):
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n"
        b"X-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    )
    # The client opens them in this order; their names need not be read.
    names = ["error", *["stdin"] * has_stdin, "stdout", "stderr"]
    streams, replies = {}, zlib.compressobj()
    while len(streams) < len(names):
        await on_spdy_frame(reader, writer, names, streams, replies)
    of_name = {name: number for number, name in streams.items()}
    if not has_stdin:
        send_spdy_data(writer, of_name["stdout"], HELLO)
    while has_stdin:
        data, is_last = await on_spdy_frame(reader, writer, names, streams, replies)
        send_spdy_data(writer, of_name["stdout"], data)
        await writer.drain()
        has_stdin = not is_last
    send_spdy_data(writer, of_name["error"], SUCCESS, FIN)
    for name in ("stdout", "stderr"):
        send_spdy_data(writer, of_name[name], b"", FIN)
    await writer.drain()
    # The client ends the connection once it has read all of it.
    while await reader.read(4096):
        """What it still says."""


async def on_spdy_frame(reader, writer, names, streams, replies):
    """What came for standard input, and whether it was its end."""
    head = await reader.readexactly(8)
    payload = await reader.readexactly(int.from_bytes(head[5:], "big"))
    kind = int.from_bytes(head[2:4], "big")
    if not head[0] & 0x80:
        is_stdin = streams.get(int.from_bytes(head[:4], "big")) == "stdin"
        return (payload, bool(head[4] & FIN)) if is_stdin else (b"", False)
    if kind == SYN_STREAM:
        number = payload[:4]
        streams[int.from_bytes(number, "big")] = names[len(streams)]
        # A block without a field.
        block = replies.compress(bytes(4)) + replies.flush(zlib.Z_SYNC_FLUSH)
        send_spdy_control(writer, SYN_REPLY, number + block)
    elif kind == SPDY_PING:
        send_spdy_control(writer, SPDY_PING, payload)
    return b"", False


def send_spdy_control(writer, kind, payload):
    writer.write(struct.pack("!HHI", 0x8003, kind, len(payload)) + payload)


def send_spdy_data(writer, stream, data, flags=0):
    if data or flags:
        writer.write(struct.pack("!II", stream, flags << 24 | len(data)) + data)
