"""The two kinds of load.

Closed: `Wrk`, as many requests as its connections get answered, for figures at full load.
Open: `Offer`, a fixed number of requests each second whatever becomes of them, for what happens to
a proxy that cannot keep up. A request counts from the moment at which it was due, not from that at
which it was sent, so that nothing is left out when answers stop (coordinated omission).
"""

import asyncio
import collections
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import time

SCRIPT = pathlib.Path(__file__).with_name("count.lua")
REQUEST = b"GET / HTTP/1.1\r\nHost: traffic\r\n\r\n"
TICK = 0.001


class Wrk:
    """wrk with one thread, running."""

    def __init__(self, port, path="/", connections=64, seconds=8, method="GET", body=None):
        said = {"WORK_METHOD": method, "WORK_CONNECTIONS": str(connections)}
        said |= {"WORK_BODY": body} if body else {}
        sizes = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "5s", "-s", SCRIPT]
        self.process = subprocess.Popen(
            ["wrk", *sizes, f"http://127.0.0.1:{port}{path}"],
            env=os.environ | said,
            stdout=subprocess.PIPE,
            text=True,
        )

    def report(self):
        """What count.lua prints, once it has ended."""
        said, _ = self.process.communicate()
        line = next(line for line in said.splitlines() if line.startswith("report "))
        found = json.loads(line.removeprefix("report "))
        found["statuses"] = {int(status): count for status, count in found["statuses"].items()}
        return found

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Asked:
    """One request of an open load; times in seconds of the system's monotonic clock. `status` is 0
    for a connection that broke, None for no answer in time."""

    __slots__ = ("due", "sent", "ended", "status", "client")

    def __init__(self, due):
        self.due, self.sent, self.ended, self.status, self.client = due, None, None, None, None


# What is left of a request once it is over.
Answer = collections.namedtuple("Answer", ["due", "sent", "ended", "status"])


class Client(asyncio.Protocol):
    """One connection, with one request at a time."""

    def __init__(self, pool):
        self.pool, self.asked, self.buffer, self.transport = pool, None, b"", None

    def connection_made(self, transport):
        self.transport = transport

    def ask(self, asked):
        self.asked, asked.client, asked.sent = asked, self, time.monotonic()
        self.transport.write(REQUEST)

    def data_received(self, data):
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if not found:
            return
        fields = head.lower()
        if len(body) < int(fields.partition(b"\r\ncontent-length:")[2].split(b"\r\n")[0] or 0):
            return
        self.buffer = b""
        self.end(int(head[9:12]))
        if b"\r\nconnection: close" in fields:
            self.transport.close()
        else:
            self.pool.append(self)

    def connection_lost(self, _):
        if self in self.pool:
            self.pool.remove(self)
        self.end(0)

    def end(self, status):
        if self.asked is not None and self.asked.ended is None:
            self.asked.ended, self.asked.status = time.monotonic(), status
        self.asked = None


class Generator:
    """Requests at a rate, over kept connections where one is free. One that was not answered in
    time is given up, with its connection, as an impatient client does."""

    def __init__(self, port, patience):
        self.port, self.patience = port, patience
        self.pool, self.all, self.open_ones = [], [], collections.deque()
        self.tasks = set()

    async def connect(self, asked):
        loop = asyncio.get_running_loop()
        to = {"host": "127.0.0.1", "port": self.port}
        try:
            _, client = await loop.create_connection(lambda: Client(self.pool), **to)
        except OSError:
            asked.ended, asked.status = time.monotonic(), 0
            return
        if time.monotonic() < asked.due + self.patience:
            client.ask(asked)
        else:
            client.transport.abort()

    def ask(self, due):
        asked = Asked(due)
        self.all.append(asked)
        self.open_ones.append(asked)
        if self.pool:
            self.pool.pop().ask(asked)
        else:
            task = asyncio.create_task(self.connect(asked))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def give_up(self):
        latest = time.monotonic() - self.patience
        while self.open_ones and self.open_ones[0].due < latest:
            asked = self.open_ones.popleft()
            if asked.ended is None and asked.client is not None:
                asked.client.asked = None
                asked.client.transport.abort()

    async def run(self, begins, rate, seconds):
        while time.monotonic() < begins:
            await asyncio.sleep(TICK)
        asked = 0
        while asked < rate * seconds:
            due = min(int((time.monotonic() - begins) * rate) + 1, int(rate * seconds))
            for count in range(asked, due):
                self.ask(begins + count / rate)
            asked = due
            self.give_up()
            await asyncio.sleep(TICK)
        while self.open_ones:
            self.give_up()
            await asyncio.sleep(TICK)
        return [Answer(one.due, one.sent, one.ended, one.status) for one in self.all]


def generate(pipe, port, begins, rate, seconds, patience):
    pipe.send(asyncio.run(Generator(port, patience).run(begins, rate, seconds)))


class Offer:
    """An open load, running in processes of its own from `begins` on."""

    def __init__(self, port, rate, seconds, patience, processes=2):
        self.begins, self.running = time.monotonic() + 0.5, []
        for number in range(processes):
            # Of two processes, one is due just between the requests of the other.
            begins = self.begins + number / rate
            receiver, sender = multiprocessing.Pipe(duplex=False)
            known = [sender, port, begins, rate / processes, seconds, patience]
            process = multiprocessing.Process(target=generate, args=known, daemon=True)
            process.start()
            sender.close()
            self.running.append((process, receiver))
        self.bound = self.begins + seconds + patience + 20

    def answers(self):
        """All of them, in the order in which they were due; waits for the end."""
        found = []
        for _, receiver in self.running:
            if not receiver.poll(self.bound - time.monotonic()):
                sys.exit("the generator does not come to its end")
            found.extend(receiver.recv())
        return sorted(found, key=lambda answer: answer.due)

    def stop(self):
        for process, _ in self.running:
            process.kill()
            process.join()


def percentile(values, percent):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]
