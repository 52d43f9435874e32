#!/usr/bin/env python3
"""Backends that are killed at full load.

    scripts/bench/traffic/kill.py [KILLS=3]

Three mock backends behind a proxy that configures nothing but them; one wrk with GETs and one with
POSTs, both small, for 20 s. The backends are killed in turn (SIGKILL) and started 2 s later on the
same port. No GET may fail: no status but 200, no broken connection, no timeout. A POST may, but
only if it had been sent: 502 with the reason `upstream_reset`, as a backend that dies may have
acted on it. Both are counted twice, by wrk and in the access log, and the two must agree.

Ends with 1 if anything of this does not hold.
"""

import collections
import json
import signal
import sys
import tempfile
import time

import origins
from load import Wrk
from origins import world

SECONDS, DOWN = 20, 2
CONNECTIONS, SHOWN = 32, 5
# GETs read a list that no POST makes longer.
GET, POST = "/serverB/books", "/serverA/books"
BOOK = '{"name": "The Hobbit", "author": "J.R.R. Tolkien"}'
CONFIG = """
[[routes]]
service = "books"
[services.books]
endpoints = {endpoints}
"""


def kill_in_turn(ports, backends, kills):
    """Kills are spread evenly over the run; the first is after a warm-up of 2 s."""
    began = time.monotonic()
    each = (SECONDS - 2) / kills
    for count in range(kills):
        at = 2 + count * each
        time.sleep(max(0, began + at - time.monotonic()))
        place = count % len(ports)
        backends[place].stop(signal.SIGKILL)
        print(f"      {time.monotonic() - began:4.1f} s: killed :{ports[place]}")
        time.sleep(max(0, began + at + min(DOWN, each) - time.monotonic()))
        backends[place] = origins.start_mock(ports[place])


def lines_by_method(log):
    """Of each method: how many lines there are of each status, reason and number of attempts; and
    shows the tries of some GETs that failed."""
    seen, shown = {"GET": collections.Counter(), "POST": collections.Counter()}, 0
    log.seek(0)
    for line in log:
        one = json.loads(line)
        seen[one["method"]][one["status"], one["reason"], one["attempts"]] += 1
        if one["method"] == "GET" and one["status"] not in (200, 499) and shown < SHOWN:
            shown += 1
            keys = ("ts", "status", "reason", "endpoint", "duration_ms", "tries")
            print("      " + json.dumps({key: one.get(key) for key in keys}))
    return seen


def judge_log(method, seen, bad, good, verdict):
    """`bad` is what wrk saw fail. What wrk itself cut at its end is 499 `client_closed`."""
    failed = {key: count for key, count in seen.items() if key[0] not in (good, 499)}
    cut = sum(count for key, count in seen.items() if key[0] == 499)
    logged = sum(failed.values())
    verdict.expect(logged == bad, f"{method}: {logged} failures in the access log, {bad} by wrk")
    verdict.expect(cut <= CONNECTIONS, f"{method}: {cut} cut, with wrk's {CONNECTIONS} connections")
    for (status, reason, attempts), count in sorted(failed.items(), key=str):
        print(f"      {method}: {count} times {status} {reason}, {attempts} attempts")
    return collections.Counter(
        {reason: sum(n for key, n in failed.items() if key[1] == reason) for _, reason, _ in failed}
    )


def judge(reports, log, proxy, verdict):
    verdict.expect(not proxy.panics() and proxy.is_alive(), "the proxy lives, without a panic")
    samples, by_method = proxy.metrics(), lines_by_method(log)
    dropped = origins.total(samples, "proxy_access_log_dropped_total")
    verdict.expect(dropped == 0, f"{dropped:.0f} access lines dropped")
    titles = [f"{one:>9}" for one in ("requests", "req/s", "p99 ms", "failed", "broken", "retried")]
    print(f"\n{'':6}" + "".join(titles))
    failures = {}
    for method, good in (("GET", 200), ("POST", 201)):
        report = reports[method]
        done = sum(report["statuses"].values())
        bad = done - report["statuses"].get(good, 0)
        broken = sum(report[kind] for kind in ("connect", "read", "write", "timeout"))
        retried = sum(n for key, n in by_method[method].items() if key[2] > 1)
        failures[method] = bad, broken
        p99 = report["p99_us"] / 1000
        print(f"{method:6}{done:9}{report['rate']:9}{p99:9.1f}{bad:9}{broken:9}{retried:9}")
    print()
    for name, value in sorted(samples.items()):
        if name.startswith(("proxy_errors", "proxy_retries", "proxy_upstream_requests")) and value:
            print(f"      {name} {value:.0f}")
    bad, broken = failures["GET"]
    judge_log("GET", by_method["GET"], bad, 200, verdict)
    verdict.expect(bad + broken == 0, f"{bad + broken} GETs failed")
    bad, broken = failures["POST"]
    reasons = judge_log("POST", by_method["POST"], bad, 201, verdict)
    verdict.expect(broken == 0, f"{broken} POSTs without an answer")
    unsent = bad - reasons["upstream_reset"]
    verdict.expect(unsent == 0, f"{bad} POSTs failed, {unsent} for other than upstream_reset")


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    verdict, backends, loads = origins.begin(), [], {}
    ports = origins.free_ports(3)
    try:
        backends.extend(origins.start_mock(port) for port in ports)
        with tempfile.TemporaryFile() as log:
            config = CONFIG.format(endpoints=origins.urls(ports))
            with world.Proxy(config, log) as proxy:
                loads["GET"] = Wrk(proxy.port, GET, CONNECTIONS, SECONDS)
                loads["POST"] = Wrk(proxy.port, POST, CONNECTIONS, SECONDS, "POST", BOOK)
                kill_in_turn(ports, backends, kills)
                reports = {method: load.report() for method, load in loads.items()}
                # Lines are written within 100 ms.
                time.sleep(0.5)
                judge(reports, log, proxy, verdict)
    finally:
        for one in [*loads.values(), *backends]:
            one.stop()
    verdict.exit()


if __name__ == "__main__":
    main()
