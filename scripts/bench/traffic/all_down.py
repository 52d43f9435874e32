#!/usr/bin/env python3
"""All endpoints refuse connections.

    scripts/bench/traffic/all_down.py

1,000 requests/s (open load, kept connections) for 15 s, the first 10 of them with three endpoints
that refuse. Meanwhile attempts must stay within 1.2 per request, and each request be 502 or 503
within 1 s. Then the endpoints listen. Run with the defaults, and with three attempts and active
checks each second: there, answers must be 200 within 1 s of the first check that passed, which the
origin notes. What the defaults do then is shown and not judged.

Ends with 1 if a bar is missed.
"""

import collections
import time

import origins
from capacity import Origin
from load import Offer, percentile
from origins import world

RATE, DOWN, UP = 1000, 10, 5
PATIENCE = 5
BOUND, MOST_ATTEMPTS = 1.0, 1.2
CONFIG = """
[log]
access = false
level = "warn"
[[routes]]
service = "down"
[services.down]
endpoints = {endpoints}
{more}
"""
CHECKED = """
retry = { attempts = 3, on = ["connect", "reset", "502", "503"] }
health = { interval = "1s" }
"""


def judge_down(attempts, requests, answers, verdict):
    statuses = collections.Counter(one.status for one in answers)
    took = [(one.ended - one.due if one.ended else PATIENCE) for one in answers]
    lag = [one.sent - one.due for one in answers if one.sent]
    print(f"      {requests:.0f} requests, {attempts:.0f} attempts; answers {dict(statuses)}")
    p50, p99, most, lag = (
        1000 * one for one in (percentile(took, 50), percentile(took, 99), max(took), max(lag))
    )
    times = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest {most:.0f} ms"
    print(f"      {times}; sent up to {lag:.0f} ms late")
    ratio = attempts / requests
    verdict.expect(ratio <= MOST_ATTEMPTS, f"{ratio:.3f} attempts per request (at most 1.2)")
    others = sum(count for status, count in statuses.items() if status not in (502, 503))
    verdict.expect(others == 0, f"{others} of {len(answers)} answers are neither 502 nor 503")
    late = sum(one > BOUND for one in took)
    verdict.expect(late == 0, f"{late} answers after more than {BOUND:.0f} s")


def judge_up(opened, first_check, answers, verdict):
    good = [one.ended for one in answers if one.status == 200]
    bad = [one.ended or one.due for one in answers if one.status != 200 and one.due > opened]
    first = f"{min(good) - opened:.2f} s" if good else "never"
    last_bad = f"{max(bad) - opened:.2f} s" if bad else "none"
    print(f"      up: first 200 after {first}, last failure after {last_bad}, {len(bad)} failures")
    if first_check is None:
        return
    verdict.expect(first_check, "the origin was checked")
    print(f"      first check that passed: {first_check - opened:.2f} s")
    due = [one for one in answers if one.due > first_check + BOUND]
    wrong = sum(one.status != 200 for one in due)
    verdict.expect(due and wrong == 0, f"{wrong} of {len(due)} fail from 1 s after that check on")


def run(what, more, verdict):
    print(f"== {what}")
    origin, offer = Origin(count=3, is_down=True), None
    try:
        config = CONFIG.format(endpoints=origins.urls(origin.ports), more=more)
        with world.Proxy(config) as proxy:
            offer = Offer(proxy.port, RATE, DOWN + UP, PATIENCE)
            time.sleep(offer.begins + DOWN - time.monotonic())
            samples = proxy.metrics()
            opened = time.monotonic()
            origin.open()
            answers = offer.answers()
            attempts = origins.total(samples, "proxy_upstream_requests_total")
            requests = origins.total(samples, "proxy_requests_total")
            before = [one for one in answers if (one.ended or one.due + PATIENCE) < opened]
            judge_down(attempts, requests, before, verdict)
            judge_up(opened, origin.first_check if more else None, answers, verdict)
            for name, value in sorted(samples.items()):
                if name.startswith(("proxy_errors_total", "proxy_retries_total")) and value:
                    print(f"      {name} {value:.0f}")
            lives = proxy.is_alive() and not proxy.panics()
            verdict.expect(lives, "the proxy lives, without a panic")
    finally:
        if offer:
            offer.stop()
        origin.stop()


def main():
    verdict = origins.begin()
    run("defaults", "", verdict)
    run("three attempts, active checks each second", CHECKED, verdict)
    verdict.exit()


if __name__ == "__main__":
    main()
