#!/usr/bin/env python3
"""One upload from far away, over HTTP/1.1 and over HTTP/2: the second may not be much slower. Between
client and proxy lies a link of 100 ms there and back that carries 25 MiB a second. Time counts from
when the connection stands, which over HTTP/2 is when the settings have come."""

import argparse
import queue
import socket
import threading
import time

import h2_raw
import world

PIECE = 64 << 10
LEAST = 0.8


class Link:
    """Carries what comes to `port` one way or the other, late and no faster than it can."""

    def __init__(self, port, trip, rate):
        self.to, self.delay, self.rate = port, trip / 2, rate
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.spawn(self.accept)

    @staticmethod
    def spawn(run, *given):
        threading.Thread(target=run, args=given, daemon=True).start()

    def accept(self):
        while True:
            near = self.listening.accept()[0]
            far = socket.create_connection(("127.0.0.1", self.to))
            for one, other in [(near, far), (far, near)]:
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pieces = queue.Queue(1024)
                self.spawn(self.take, one, pieces)
                self.spawn(self.give, other, pieces)

    def take(self, one, pieces):
        free_at = 0
        while piece := receive(one):
            free_at = max(free_at, time.monotonic()) + len(piece) / self.rate
            pieces.put((free_at + self.delay, piece))
            time.sleep(max(0, free_at - time.monotonic()))
        pieces.put((0, b""))

    def give(self, other, pieces):
        while (due := pieces.get())[1]:
            time.sleep(max(0, due[0] - time.monotonic()))
            try:
                other.sendall(due[1])
            except OSError:
                return
        other.close()


def receive(one):
    try:
        return one.recv(PIECE)
    except OSError:
        return b""


def serve_origin(listening):
    """Takes bodies of known length, one a connection."""
    while True:
        one = listening.accept()[0]
        with one:
            head = b""
            while b"\r\n\r\n" not in head and (piece := receive(one)):
                head += piece
            fields, _, body = head.partition(b"\r\n\r\n")
            lengths = [line for line in fields.lower().split(b"\r\n") if line.startswith(b"content-l")]
            left = int(lengths[0].split(b":")[1]) - len(body)
            while left > 0 and (piece := receive(one)):
                left -= len(piece)
            one.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def by_http1(port, body):
    with socket.create_connection(("127.0.0.1", port)) as one:
        began = time.monotonic()
        one.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
        one.sendall(body)
        return one.recv(PIECE).startswith(b"HTTP/1.1 200"), time.monotonic() - began


class Far:
    """As much of HTTP/2 as an upload needs."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.inbox, self.initial, self.room, self.is_answered = b"", 65535, [65535, 65535], False
        self.socket.sendall(h2_raw.PREFACE + h2_raw.settings())

    def read(self):
        received = self.socket.recv(PIECE)
        if not received:
            raise EOFError
        self.inbox += received
        while len(self.inbox) >= 9 + (length := int.from_bytes(self.inbox[:3], "big")):
            kind, flags = self.inbox[3], self.inbox[4]
            stream = int.from_bytes(self.inbox[5:9], "big")
            self.take(kind, flags, stream, self.inbox[9 : 9 + length])
            self.inbox = self.inbox[9 + length :]

    def take(self, kind, flags, stream, payload):
        if kind == 4 and not flags & 1:
            for at in range(0, len(payload), 6):
                if payload[at : at + 2] == b"\0\4":
                    initial = int.from_bytes(payload[at + 2 : at + 6], "big")
                    self.room[1] += initial - self.initial
                    self.initial = initial
            self.socket.sendall(b"\0\0\0\4\1\0\0\0\0")
        elif kind == 6 and not flags & 1:
            self.socket.sendall(b"\0\0\x08\6\1\0\0\0\0" + payload)
        elif kind == 8:
            self.room[stream > 0] += int.from_bytes(payload, "big")
        elif kind == 1:
            self.is_answered = True
        elif kind in (3, 7):
            raise EOFError

    def upload(self, body):
        length = [("content-length", str(len(body)))]
        self.socket.sendall(h2_raw.headers(1, h2_raw.block("/", "POST", length), end_stream=False))
        at = 0
        while at < len(body):
            room = min(*self.room, 16 << 10, len(body) - at)
            if room <= 0:
                self.read()
                continue
            is_last = at + room == len(body)
            header = room.to_bytes(3, "big") + bytes([0, is_last]) + b"\0\0\0\1"
            self.socket.sendall(header + body[at : at + room])
            self.room = [one - room for one in self.room]
            at += room
        while not self.is_answered:
            self.read()
        return True


def by_http2(port, body):
    far = Far(port)
    with far.socket:
        while far.initial == 65535:
            far.read()
        began = time.monotonic()
        return far.upload(body), time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=20)
    parser.add_argument("--trip", type=float, default=0.1, help="seconds there and back")
    parser.add_argument("--rate", type=float, default=25, help="MiB a second")
    given = parser.parse_args()
    origin = socket.create_server(("127.0.0.1", 0))
    Link.spawn(serve_origin, origin)
    config = '[[routes]]\nservice = "a"\n[services.a]\nendpoints = ["http://127.0.0.1:%d"]\n'
    body, verdict, rates = b"x" * (given.mib << 20), world.Verdict(), {}
    with world.Proxy(config % origin.getsockname()[1]) as proxy:
        link = Link(proxy.port, given.trip, given.rate * (1 << 20))
        for name, send in [("HTTP/1.1", by_http1), ("HTTP/2", by_http2)]:
            is_right, took = send(link.port, body)
            verdict.expect(is_right, f"{name} is answered")
            rates[name] = given.mib / took
            print(f"      {name}: {rates[name]:.1f} MiB a second")
        share = rates["HTTP/2"] / rates["HTTP/1.1"]
        verdict.expect(share >= LEAST, f"HTTP/2 has {share:.2f} of the rate of HTTP/1.1")
    verdict.exit()


if __name__ == "__main__":
    main()
