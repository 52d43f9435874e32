"""Checks that a proxy does the work that is compared, before it is measured.

    same.py PORT NAME ORIGIN_PORT,ORIGIN_PORT,...

Without the token: 401. With it, the origin sees a request id that the response carries too, and
the forwarded fields; and requests reach all three origins. The forwarder does nothing of this.
"""

import http.client
import ipaddress
import sys

port, name, origins = int(sys.argv[1]), sys.argv[2], set(sys.argv[3].split(","))
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)


def get(headers):
    connection.request("GET", "/items/books/seen", headers=headers)
    response = connection.getresponse()
    return response, response.read().decode().splitlines()


def check(holds, what):
    if not holds:
        sys.exit(f"{name} does not do the same work: {what}")


if name != "forwarder":
    response, _ = get({})
    check(response.status == 401, f"{response.status} without token")
    socket = connection.sock
    ids, reached = set(), set()
    for _ in range(50):
        response, seen = get({"Authorization": "Bearer secret-token"})
        check(response.status == 200 and len(seen) == 5, f"{response.status} {seen}")
        ids.add(seen[0])
        reached.add(seen[4])
        check(seen[0] == response.getheader("X-Request-ID"), f"request id {seen[0]}")
        # Envoy writes this machine's own address for a client on loopback.
        check(ipaddress.ip_address(seen[1]), f"X-Forwarded-For {seen[1]}")
        check(seen[2:4] == ["http", f"127.0.0.1:{port}"], f"forwarded {seen[2:4]}")
    check(len(ids) == 50, "request ids repeat")
    check(reached == origins, f"only {reached} of {origins} are reached")
    check(connection.sock is socket or socket is None, "the connection is not kept")
