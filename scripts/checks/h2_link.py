"""A well-behaved client of HTTP/2 for h2_resets.py, which can also reset: one connection by the PyPI
package h2, installed into a cache if need be."""

import asyncio
import contextlib
import time

import world

world.find_package("h2", "h2>=4.1")
import h2.config  # noqa: E402
import h2.connection  # noqa: E402
import h2.errors  # noqa: E402
import h2.events  # noqa: E402
import h2.settings  # noqa: E402
from h2.exceptions import ProtocolError, StreamClosedError  # noqa: E402

__all__ = ["Link", "ProtocolError"]


class Stream:
    """What one request has got so far."""

    def __init__(self, expected):
        self.expected, self.status, self.got, self.is_right = expected, None, 0, True
        self.is_over, self.why, self.changed = False, None, asyncio.Event()

    def take(self, piece):
        self.is_right &= self.expected[self.got : self.got + len(piece)] == piece
        self.got += len(piece)
        self.changed.set()

    def end(self, why=None):
        self.is_over, self.why = True, self.why or why
        self.changed.set()

    async def until(self, holds):
        while not holds() and not self.is_over:
            self.changed.clear()
            await self.changed.wait()


class Link(asyncio.Protocol):
    """One connection. Windows are opened by what has arrived, as most clients do."""

    def __init__(self):
        settings = h2.config.H2Configuration(client_side=True, header_encoding="ascii")
        self.h2 = h2.connection.H2Connection(settings)
        self.streams, self.transport, self.goaway, self.roomy = {}, None, None, asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 256 << 10})
        self.h2.increment_flow_control_window(1 << 20)
        self.flush()

    def flush(self):
        if out := self.h2.data_to_send():
            self.transport.write(out)

    def data_received(self, received):
        for event in self.h2.receive_data(received):
            self.take(event)
        self.roomy.set()
        self.flush()

    def take(self, event):
        stream = self.streams.get(getattr(event, "stream_id", None))
        match event:
            case h2.events.ResponseReceived():
                if stream:
                    stream.status = int(dict(event.headers)[":status"])
                    stream.changed.set()
            case h2.events.DataReceived():
                if stream:
                    stream.take(event.data)
                with contextlib.suppress(StreamClosedError):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case h2.events.StreamEnded() if stream:
                stream.end()
            case h2.events.StreamReset() if stream:
                # Behind a complete answer it only says that the upload is not wanted.
                if not stream.is_over:
                    stream.end(f"reset with {event.error_code!r}")
            case h2.events.ConnectionTerminated():
                self.goaway = event.error_code
                self.lose(f"GOAWAY {event.error_code!r}")

    def connection_lost(self, error):
        self.lose(f"connection lost: {error}")

    def lose(self, why):
        self.roomy.set()
        for stream in self.streams.values():
            if not stream.is_over:
                stream.end(why)

    def open(self, method, path, expected, length=None):
        number = self.h2.get_next_available_stream_id()
        fields = [
            (":method", method),
            (":scheme", "https"),
            (":path", path),
            (":authority", "a.test"),
        ]
        if length is not None:
            fields.append(("content-length", str(length)))
        stream = self.streams[number] = Stream(expected)
        self.h2.send_headers(number, fields, end_stream=method == "GET")
        self.flush()
        return number, stream

    async def upload(self, number, stream, body, ends):
        """As fast as the other side gives room."""
        at = 0
        while not stream.is_over and at < len(body):
            room = min(self.h2.local_flow_control_window(number), self.h2.max_outbound_frame_size)
            if room <= 0:
                self.roomy.clear()
                await self.roomy.wait()
                continue
            piece = body[at : at + room]
            at += len(piece)
            self.h2.send_data(number, piece, end_stream=ends and at == len(body))
            self.flush()

    def reset(self, number):
        """When it was sent."""
        self.h2.reset_stream(number, h2.errors.ErrorCodes.CANCEL)
        self.flush()
        return time.monotonic()
