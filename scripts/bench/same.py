"""Checks that a proxy does the work that is compared, before it is measured.

    same.py PORT NAME ORIGIN_PORT,ORIGIN_PORT,... plain|tls|h2c FOLDER

Without the token: 401. With it, the origin sees a request id that the response carries too, and
the forwarded fields; requests reach all three origins; their answer is the one that is measured.
The forwarder does nothing of this. The same over HTTP/2 where the work is; over TLS, with what the
load offers, the handshake must end as everywhere else. FOLDER has the CA and openssl's settings of
the load.
"""

import ipaddress
import json
import os
import re
import subprocess
import sys

port, name, origins = int(sys.argv[1]), sys.argv[2], set(sys.argv[3].split(","))
transport, folder = sys.argv[4:6]
scheme = "https" if transport == "tls" else "http"
HOST = "localhost"
BODY = '[{"name": "The Hobbit", "author": "J.R.R. Tolkien"}, {"n": 1}]'
# What a proxy may choose from is one of each; see the settings in proxies.sh.
HANDSHAKE = {
    "Protocol version": "TLSv1.3",
    "Ciphersuite": "TLS_AES_128_GCM_SHA256",
    "Signature type": "ECDSA",
    "Server Temp Key": "X25519, 253 bits",
    "Verification": "OK",
}
# By curl for each answer.
PRINTED = re.compile(r"(.*)\n(\d+ \S+ \d+) (\{.*\})\s*", re.DOTALL)


def check(holds, what):
    if not holds:
        sys.exit(f"{name} does not do the same work: {what}")


def get(version, token, *paths):
    """Status, version, request id, new connections, and lines of the body, of each path; all are
    asked for by one client, one after the other."""
    command = ["curl", "--silent", "--max-time", "20", version, "--cacert", f"{folder}/ca.pem"]
    command += ["--header", f"Authorization: Bearer {token}"]
    figures = "%{http_code} %{http_version} %{num_connects}"
    command += ["--write-out", "\n" + figures + " %{header_json}\n\x1e"]
    urls = [f"{scheme}://{HOST}:{port}{path}" for path in paths]
    done = subprocess.run([*command, *urls], capture_output=True, text=True)
    check(done.returncode == 0, f"curl {version} ends with {done.returncode} {done.stderr}")
    for one in done.stdout.split("\x1e")[:-1]:
        body, figures, fields = PRINTED.fullmatch(one).groups()
        status, spoken, opened = figures.split()
        ids = json.loads(fields).get("x-request-id", [None])
        yield int(status), spoken, ids[0], int(opened), body.splitlines()


def get_many(version, token, path, times):
    # curl 7.88 cannot use a connection of prior knowledge twice.
    if version == "--http2-prior-knowledge":
        return (answer for _ in range(times) for answer in get(version, token, path))
    return get(version, token, *[path] * times)


def check_protocol(version, spoken):
    ((status, *_),) = get(version, "none-such", "/items/books/seen")
    check(status == 401, f"{status} without token")
    ids, reached, opened = set(), set(), 0
    answers = get_many(version, "secret-token", "/items/books/seen", 50)
    for status, seen_version, given, connects, seen in answers:
        check(status == 200 and len(seen) == 5, f"{status} {seen}")
        check(seen_version == spoken, f"HTTP/{seen_version} instead of {spoken}")
        ids.add(seen[0])
        reached.add(seen[4])
        check(seen[0] == given, f"request id {seen[0]}")
        # Envoy writes this machine's own address for a client on loopback.
        check(ipaddress.ip_address(seen[1]), f"X-Forwarded-For {seen[1]}")
        check(seen[2:4] == [scheme, f"{HOST}:{port}"], f"forwarded {seen[2:4]}")
        opened += connects
    check(len(ids) == 50, "request ids repeat")
    check(reached == origins, f"only {reached} of {origins} are reached")
    check(transport == "h2c" or opened == 1, "the connection is not kept")
    ((status, *_, body),) = get(version, "secret-token", "/items/books")
    check(status == 200 and body == [BODY], f"{status} {body}")


def check_handshake():
    """As the load will have it."""
    command = ["openssl", "s_client", "-brief", "-connect", f"127.0.0.1:{port}"]
    command += ["-servername", HOST, "-CAfile", f"{folder}/ca.pem", "-alpn", "h2"]
    settings = os.environ | {"OPENSSL_CONF": f"{folder}/client.cnf"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # the first bytes of HTTP/2, which are no text
        stderr=subprocess.PIPE,
        text=True,
        env=settings,
        timeout=20,
    )
    said = dict(line.split(": ", 1) for line in done.stderr.splitlines() if ": " in line)
    for what, expected in HANDSHAKE.items():
        check(said.get(what) == expected, f"{what}: {said.get(what)} instead of {expected}")


if name != "forwarder":
    if transport == "tls":
        check_handshake()
    if transport != "h2c":
        check_protocol("--http1.1", "1.1")
    if transport != "plain":
        check_protocol("--http2-prior-knowledge" if transport == "h2c" else "--http2", "2")
