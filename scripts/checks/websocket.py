#!/usr/bin/env python3
"""A real WebSocket server and client, the Python package websockets, with the proxy between them.

    scripts/checks/websocket.py [MESSAGES=10000]

Messages of 1 B to 64 KiB, text and binary, over 16 connections at once, half of them with
compression; each echo is compared. Then the same again, and in the middle of it TERM is sent to the
proxy: the tunnels must go on to their own end, new connections must be refused, and the exit code
must be 0. The package is taken from the system, or installed into
${XDG_CACHE_HOME:-~/.cache}/proxy-checks.
"""

import asyncio
import random
import socket
import sys
import time

import world

CONNECTIONS = 16
LARGEST = 64 << 10
# Messages of a connection that are sent and not yet back.
UNDERWAY = 8

world.find_package("websockets.asyncio.client", "websockets>=14")
from websockets.asyncio.client import connect  # noqa: E402
from websockets.asyncio.server import serve  # noqa: E402


class Progress:
    def __init__(self):
        self.echoed = self.bytes = self.connections = self.pings = 0


async def echo(connection):
    async for message in connection:
        await connection.send(message)


def message(rng, block):
    """Sizes are spread evenly over their orders of magnitude."""
    size = max(1, min(LARGEST, round(2 ** rng.uniform(0, 16))))
    start = rng.randrange(len(block) - size + 1)
    piece = block[start : start + size]
    # Latin-1 as text has characters of one and of two bytes.
    return piece if rng.random() < 0.5 else piece.decode("latin-1")[: size // 2 or 1]


async def talk(port, number, messages, progress):
    rng = random.Random(number)
    block = rng.randbytes(2 * LARGEST)
    compression = "deflate" if number % 2 else None
    url = f"ws://127.0.0.1:{port}/chat/{number}"
    async with connect(url, proxy=None, compression=compression, open_timeout=30) as socket:
        sent = asyncio.Queue(UNDERWAY)

        async def send():
            for count in range(messages):
                one = message(rng, block)
                await sent.put(one)
                await socket.send(one)
                if count % 100 == 50:
                    await (await socket.ping())
                    progress.pings += 1

        async def receive():
            for _ in range(messages):
                back = await asyncio.wait_for(socket.recv(), 60)
                expected = await sent.get()
                if type(back) is not type(expected) or back != expected:
                    raise AssertionError(f"connection {number}: another message came back")
                progress.echoed += 1
                progress.bytes += len(back.encode() if isinstance(back, str) else back)

        await asyncio.gather(send(), receive())
    if socket.close_code != 1000:
        raise AssertionError(f"connection {number}: closed with {socket.close_code}")
    progress.connections += 1


def is_refused(port):
    with socket.socket() as one:
        one.settimeout(2)
        return one.connect_ex(("127.0.0.1", port)) != 0


async def term_in_the_middle(proxy, progress, messages, verdict):
    while progress.echoed < messages * 0.4:
        await asyncio.sleep(0.005)
    proxy.terminate()
    print(f"      TERM after {progress.echoed} messages")
    refused = await asyncio.to_thread(world.eventually, lambda: is_refused(proxy.port), 5)
    at = progress.echoed
    verdict.expect(refused and at < messages, f"refuses new connections ({at} messages are back)")


async def run(messages, origin_port, verdict, is_terminated):
    config = f"""
[server]
drain_timeout = "5m"
[[routes]]
service = "chat"
[services.chat]
endpoints = ["http://127.0.0.1:{origin_port}"]
timeouts = {{ connect = "10s" }}
"""
    with world.Proxy(config) as proxy:
        progress, began = Progress(), time.monotonic()
        each = messages // CONNECTIONS
        tasks = [talk(proxy.port, number, each, progress) for number in range(CONNECTIONS)]
        if is_terminated:
            tasks.append(term_in_the_middle(proxy, progress, messages, verdict))
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        took = time.monotonic() - began
        mib = progress.bytes / (1 << 20)
        for error in ends:
            if error:
                verdict.expect(False, f"{type(error).__name__}: {error}")
        verdict.expect(
            progress.echoed == each * CONNECTIONS and progress.connections == CONNECTIONS,
            f"{progress.echoed} messages, {mib:.0f} MiB each way, {progress.connections} connections"
            f" and {progress.pings} pings in {took:.1f} s, all as sent, all closed with 1000",
        )
        if not is_terminated:
            count = proxy.metrics()
            opened, left = count["proxy_tunnels_total"], count["proxy_tunnels_open"]
            verdict.expect(
                (opened, left) == (CONNECTIONS, 0), f"tunnels {opened:.0f}, open {left:.0f}"
            )
            proxy.terminate()
        code = await asyncio.to_thread(proxy.exit_code, 20)
        verdict.expect(code == 0, f"exit code {code} after TERM")
        verdict.expect(not proxy.panics(), "no panic")


async def main():
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    messages = max(messages // CONNECTIONS, 1) * CONNECTIONS
    verdict = world.Verdict()
    async with serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        print("== echo")
        await run(messages, port, verdict, is_terminated=False)
        print("== echo, and TERM in the middle")
        await run(messages, port, verdict, is_terminated=True)
    verdict.exit()


if __name__ == "__main__":
    world.end_on_signals()
    asyncio.run(main())
