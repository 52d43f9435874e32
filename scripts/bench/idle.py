"""Memory of a proxy for idle client connections.

    idle.py PID PORT CONNECTIONS

Opens the connections one after another, each with one request, waits until the resident memory of
the process tree has settled, and prints KiB before, KiB
after, connections, and those of them that the proxy closed in the meantime.
"""

import resource
import socket
import subprocess
import sys
import time

# Settled: within 1 % for this long. Given up, and measured as it is, after the bound; the proxies
# close idle connections after 60 s or more.
QUIET, BOUND, STEP = 4.0, 30.0, 0.5
REQUEST = b"GET /items/books HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer secret-token\r\n\r\n"


def tree(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [pid] + [one for child in children.split() for one in tree(int(child))]


def rss_kib(pid):
    total = 0
    for one in tree(pid):
        with open(f"/proc/{one}/status") as status:
            total += next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return total


def exchange(connection):
    """One request and its whole answer, which is small and in all cases has a length."""
    connection.sendall(REQUEST)
    data = b""
    while True:
        piece = connection.recv(65536)
        data += piece
        head, found, body = data.partition(b"\r\n\r\n")
        if not piece or not head.startswith(b"HTTP/1.1 200"[: len(head)]):
            sys.exit(f"no answer, or another: {data[:80]}")
        if found:
            fields = head.lower().split(b"\r\ncontent-length:")
            if len(fields) == 2 and len(body) >= int(fields[1].split(b"\r\n")[0]):
                return
            if len(fields) == 1 and body.endswith(b"0\r\n\r\n"):
                return


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    exchange(connection)
    return connection


def settle(pid):
    values, began = [], time.monotonic()
    while time.monotonic() - began < BOUND:
        time.sleep(STEP)
        values = (values + [rss_kib(pid)])[-int(QUIET / STEP):]
        if len(values) == QUIET / STEP and max(values) - min(values) < 0.01 * max(values):
            break
    return values[-1]


def is_closed(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False


pid, port, wanted = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
# What the first requests of a process cost once is none of a connection's.
for _ in range(100):
    connect(port).close()
before = settle(pid)
held = [connect(port) for _ in range(wanted)]
after = settle(pid)
print(before, after, wanted, sum(is_closed(one) for one in held))
