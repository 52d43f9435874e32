#!/usr/bin/env python3
"""One of three endpoints is slow, or fails fast.

    scripts/bench/traffic/slow_endpoint.py

Slow: two endpoints answer at once (nginx), the third after 40 ms. The p99 that wrk sees with 64
connections over 8 s, twice each and in turn, with `balance = "random"`, with `"p2c_ewma"`, and with
HAProxy's `leastconn`. It must be at most a third of random's and 1.1 of HAProxy's (means of both).
It is the p99 of the answers; what wrk itself prints, which weighs slow answers by their time
(count.lua), is shown beside it.

Failing: the third answers 500 at once, so that it has the least latency and the least in flight.
From 2 s to 12 s of a run with `"p2c_ewma"` it may get at most 5 % of the attempts: with outlier
ejection as it is by default but for `one_client`, as wrk has one address, and again with
`consecutive_failures = "off"`, by the balancer alone.

Ends with 1 if a bar is missed.
"""

import time

import origins
from capacity import Origin
from load import Wrk
from origins import world

CONNECTIONS, SECONDS, ROUNDS = 64, 8, 2
DELAY = 0.04
FAILING_SECONDS, WARM_UP = 12, 2
CONFIG = """
[log]
access = false
level = "warn"
[[routes]]
service = "three"
[services.three]
balance = "{balance}"
endpoints = {endpoints}
{more}
"""


def start_proxy(balance, ports, more=""):
    return world.Proxy(CONFIG.format(balance=balance, endpoints=origins.urls(ports), more=more))


def attempts(proxy, port):
    """To that endpoint, and to all."""
    samples, name = proxy.metrics(), "proxy_upstream_requests_total"
    return origins.total(samples, name, f":{port}"), origins.total(samples, name)


def slow(ports, slow_port, verdict, started):
    targets = {
        "random": started(start_proxy("random", ports)),
        "p2c_ewma": started(start_proxy("p2c_ewma", ports)),
        "leastconn": started(origins.Haproxy("leastconn", ports)),
    }
    reports = {name: [] for name in targets}
    for _ in range(ROUNDS):
        for name, target in targets.items():
            reports[name].append(started(Wrk(target.port, "/", CONNECTIONS, SECONDS)).report())
    print(f"\n{'':12}{'req/s':>8}{'p50 ms':>8}  {'p99 ms':14}{'as wrk says':14}to the slow one")
    p99 = {}
    for name, rows in reports.items():
        keys = ("rate", "p50_us", "p99_us")
        rate, p50, p99[name] = (sum(row[key] for row in rows) / ROUNDS for key in keys)
        each, as_wrk = (
            " ".join(f"{row[key] / 1000:.2f}" for row in rows) for key in ("p99_us", "as_wrk_p99_us")
        )
        share = ""
        if name != "leastconn":
            its, of_all = attempts(targets[name], slow_port)
            share = f"{100 * its / of_all:.2f} %"
        print(f"{name:12}{rate:8.0f}{p50 / 1000:8.2f}  {each:14}{as_wrk:14}{share}")
    for name, rows in reports.items():
        statuses = {status for row in rows for status in row["statuses"]}
        verdict.expect(statuses == {200}, f"{name}: statuses {statuses}")
    to_random, to_haproxy = (p99["p2c_ewma"] / p99[name] for name in ("random", "leastconn"))
    verdict.expect(to_random <= 1 / 3, f"p99 is {to_random:.3f} of random's (at most 1/3)")
    verdict.expect(to_haproxy <= 1.1, f"p99 is {to_haproxy:.3f} of leastconn's (at most 1.1)")


def failing(what, ports, failing_port, more, verdict, started):
    proxy = started(start_proxy("p2c_ewma", ports, more))
    load = started(Wrk(proxy.port, "/", CONNECTIONS, FAILING_SECONDS))
    time.sleep(WARM_UP)
    first, first_all = attempts(proxy, failing_port)
    report = load.report()
    last, last_all = attempts(proxy, failing_port)
    share = (last - first) / (last_all - first_all)
    print(f"      {what}: {first:.0f} of {first_all:.0f} attempts within {WARM_UP} s, "
          f"{last - first:.0f} of {last_all - first_all:.0f} after; {report['statuses']}")
    verdict.expect(share <= 0.05, f"{what}: {100 * share:.3f} % of the traffic fails (at most 5 %)")
    proxy.kill()


def main():
    verdict, all_started = origins.begin(), []

    def started(one):
        all_started.append(one)
        return one

    try:
        fast, other, failing_port = origins.free_ports(3)
        started(origins.Nginx({fast: 200, other: 200, failing_port: 500}))
        origin = started(Origin(seconds=DELAY))
        (slow_port,) = origin.ports
        slow([fast, other, slow_port], slow_port, verdict, started)
        three = [fast, other, failing_port]
        off = '[services.three.outlier]\nconsecutive_failures = "off"'
        on = "[services.three.outlier]\none_client = true"
        failing("ejection", three, failing_port, on, verdict, started)
        failing("without ejection", three, failing_port, off, verdict, started)
    finally:
        for one in reversed(all_started):
            one.kill() if isinstance(one, world.Proxy) else one.stop()
    verdict.exit()


if __name__ == "__main__":
    main()
