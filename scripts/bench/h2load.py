"""The figures of one run of h2load, in the words of report.lua.

    h2load.py OUTPUT LOG SECONDS tls|h2c

Prints requests/s, p50 and p99 in µs, requests, errors. OUTPUT is what it printed, LOG its
`--log-file`: a line for each request with its start, status and µs. Over TLS the handshake must be
that of the other loads.
"""

import re
import sys

HANDSHAKE = """TLS Protocol: TLSv1.3
Cipher: TLS_AES_128_GCM_SHA256
Server Temp Key: X25519 253 bits
Application protocol: h2
"""


def percentile(values, percent):
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else 0


def main(output, log, seconds, transport):
    with open(output) as file:
        said = file.read()
    if transport == "tls" and HANDSHAKE not in said:
        sys.exit(f"h2load: another handshake:\n{said}")
    count = {name: int(number) for number, name in re.findall(r"(\d+) (\w+)", said)}
    with open(log) as lines:
        rows = [line.split("\t") for line in lines]
    took = sorted(int(micros) for _, _, micros in rows)
    # Those underway at the end are cut by h2load itself; they are in neither figure.
    bad = sum(not 200 <= int(status) < 400 for _, status, _ in rows)
    broken = count.get("failed", 0) + count.get("errored", 0) + count.get("timeout", 0)
    rate = len(took) / float(seconds)
    print(
        "report", round(rate), percentile(took, 50), percentile(took, 99), len(took), bad + broken
    )


if __name__ == "__main__":
    main(*sys.argv[1:5])
