"""HTTP/2 frame by frame, for what no well-behaved client sends: over a plain socket, by prior
knowledge. Frames are built and read by the PyPI package hyperframe, header blocks by hpack.
"""

import collections
import select
import socket
import time

import world

world.find_package("h2", "h2>=4.1")
import h2.errors  # noqa: E402
import hpack  # noqa: E402
from hyperframe import frame as frames  # noqa: E402

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER = 9
PIECE = 64 << 10


def block(path, method="GET", fields=()):
    """A header block that does not depend on any before it."""
    pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "flood")]
    named = [hpack.NeverIndexedHeaderTuple(name, value) for name, value in [*pseudo, *fields]]
    return hpack.Encoder().encode(named)


def headers(stream, data, end_stream=True, end_headers=True):
    one = frames.HeadersFrame(stream, data)
    one.flags |= {
        flag
        for flag, is_set in [("END_STREAM", end_stream), ("END_HEADERS", end_headers)]
        if is_set
    }
    return one.serialize()


def reset(stream, code=8):
    return frames.RstStreamFrame(stream, code).serialize()


def data(stream, payload=b"", end_stream=False):
    return frames.DataFrame(stream, payload, flags=["END_STREAM"] * end_stream).serialize()


def window(stream, increment):
    """Also of increments that hyperframe does not build."""
    return b"\0\0\4\x08\0" + stream.to_bytes(4, "big") + increment.to_bytes(4, "big")


def settings(**changed):
    named = {getattr(frames.SettingsFrame, name): value for name, value in changed.items()}
    return frames.SettingsFrame(0, settings=named).serialize()


def code(number):
    """Its name (RFC 9113 section 7)."""
    try:
        return h2.errors.ErrorCodes(number).name
    except ValueError:
        return str(number)


class Raw:
    """One connection. What arrives is counted while something is sent, and in `read`."""

    def __init__(self, port, **changed):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.inbox, self.decoder = b"", hpack.Decoder()
        self.is_open, self.goaway, self.goaways = True, None, 0
        self.began, self.ended_after = time.monotonic(), None
        self.resets, self.statuses = collections.Counter(), collections.Counter()
        self.bodies, self.ended, self.peer = collections.Counter(), set(), {}
        self.send(PREFACE + settings(**changed))

    def send(self, payload, reads=True):
        """Whether all of it went out; reads what comes in the meantime, unless told not to."""
        left = memoryview(payload)
        while left and self.is_open:
            readable, writable, _ = select.select([self.socket] * reads, [self.socket], [], 10)
            if not readable and not writable:
                return False
            if readable:
                self._receive()
            if writable and self.is_open:
                try:
                    left = left[self.socket.send(left[:PIECE]) :]
                except BlockingIOError:
                    pass
                except OSError:
                    # What was said before the end may still be there to be read.
                    self._receive_rest()
        return not left

    def read(self, seconds, until=lambda: False):
        """Reads for that long, or until something holds; whether it does."""
        end = time.monotonic() + seconds
        while self.is_open and not until() and (left := end - time.monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self._receive()
        return until()

    def ask(self, stream, path):
        """The status of a small answer; None if it does not come."""
        before = sum(self.statuses.values())
        self.send(headers(stream, block(path)))
        self.read(10, lambda: stream in self.ended)
        news = sum(self.statuses.values()) - before
        return max(self.statuses, default=None) if news == 1 and stream in self.ended else None

    def close(self):
        self.socket.close()

    def _receive_rest(self):
        while self.is_open:
            self._receive()

    def _receive(self):
        try:
            piece = self.socket.recv(PIECE)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self.is_open, self.ended_after = False, time.monotonic() - self.began
        self.inbox += piece
        while len(self.inbox) >= HEADER:
            one, length = frames.Frame.parse_frame_header(memoryview(self.inbox)[:HEADER])
            if len(self.inbox) < HEADER + length:
                break
            one.parse_body(memoryview(self.inbox)[HEADER : HEADER + length])
            self.inbox = self.inbox[HEADER + length :]
            self._take(one)

    def _take(self, one):
        if isinstance(one, frames.GoAwayFrame):
            # The last tells why; a graceful end begins with another.
            self.goaway, self.goaways = one.error_code, self.goaways + 1
        elif isinstance(one, frames.RstStreamFrame):
            self.resets[one.error_code] += 1
            self.ended.add(one.stream_id)
        elif isinstance(one, frames.SettingsFrame) and "ACK" not in one.flags:
            self.peer |= one.settings
        elif isinstance(one, frames.HeadersFrame):
            fields = dict(self.decoder.decode(one.data))
            self.statuses[int(fields[":status"])] += 1
        elif isinstance(one, frames.DataFrame):
            self.bodies[one.stream_id] += len(one.data)
        if "END_STREAM" in one.flags:
            self.ended.add(one.stream_id)
