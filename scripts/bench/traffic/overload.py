#!/usr/bin/env python3
"""Three times what the origin can do, with limits and without.

    scripts/bench/traffic/overload.py

The origin does 10 requests at a time, 20 ms each: 500 requests/s. Whatever comes beyond waits in a
queue of its own without bound, and it works on requests whose client has left. 1,500 requests/s are
offered for 10 s (open load), and a client leaves after 1 s. Counted are the answers within that
second in the second half of the run, as a share of the capacity: at least 90 % with limits. The
adaptive limit is shown and not judged. Without limits the queue outgrows the deadline and nearly
nothing is answered in time; the run must show that, or the load proves nothing.

First the same load meets a capacity of 5,000/s: the generator must not be what bounds the figures.

Ends with 1 if a bar is missed.
"""

import collections

import origins
from capacity import Origin
from load import Offer, percentile
from origins import world

SERVICE_TIME, SLOTS = 0.02, 10
RATE, SECONDS, DEADLINE = 1500, 10, 1.0
CAPACITY = SLOTS / SERVICE_TIME
BAR, COLLAPSED = 0.9, 0.5
PROBE_RATES, PROBE_SECONDS = (RATE, 2 * RATE), 3
CONFIG = """
[log]
access = false
level = "warn"
[[routes]]
service = "busy"
[services.busy]
endpoints = {endpoints}
{more}
"""
RUNS = {
    "limits": 'limits = { max_in_flight = 10, queue = 100, queue_timeout = "500ms" }',
    "adaptive": 'limits = { adaptive = true, queue = 100, queue_timeout = "500ms" }',
    "no limits": "",
}


def offered(slots, more, rate, seconds, verdict):
    """The answers, and the moment at which the load began."""
    origin, offer = Origin(SERVICE_TIME, slots), None
    try:
        config = CONFIG.format(endpoints=origins.urls(origin.ports), more=more)
        with world.Proxy(config) as proxy:
            offer = Offer(proxy.port, rate, seconds, DEADLINE)
            answers = offer.answers()
            if not proxy.is_alive() or proxy.panics():
                verdict.expect(False, "the proxy lives, without a panic")
            return answers, offer.begins
    finally:
        if offer:
            offer.stop()
        origin.stop()


def in_time(answers):
    return [one for one in answers if one.status == 200 and one.ended - one.due <= DEADLINE]


def check_generator(verdict):
    print("== the generator: what comes back of a capacity of 5,000/s")
    for rate in PROBE_RATES:
        answers, begins = offered(SLOTS * 10, "", rate, PROBE_SECONDS, verdict)
        # The first second opens the connections.
        later = [one for one in answers if one.due >= begins + 1]
        reached = len(in_time(later)) / (PROBE_SECONDS - 1)
        lag = [one.sent - one.due for one in later if one.sent]
        late = f"sent late: p99 {1000 * percentile(lag, 99):.1f} ms" if lag else "nothing sent"
        print(f"      {rate}/s offered: {reached:.0f}/s answered in time, {late}")
        if rate == RATE:
            verdict.expect(reached >= 0.99 * rate, f"{reached:.0f}/s of {rate}/s reach it")


def row(name, answers, begins):
    half = [one for one in answers if one.ended and one.ended >= begins + SECONDS / 2]
    half = [one for one in half if one.ended < begins + SECONDS]
    good = in_time(half)
    share = len(good) / (CAPACITY * SECONDS / 2)
    took = [one.ended - one.due for one in good]
    times = [f"{1000 * percentile(took, at):.0f}" if took else "-" for at in (50, 99)]
    statuses = collections.Counter(one.status for one in answers)
    words = {None: "given up", 0: "broken"}
    counts = ", ".join(f"{words.get(status, status)}: {n}" for status, n in statuses.items())
    figures = f"{len(good) / (SECONDS / 2):8.0f}{100 * share:8.1f} %{times[0]:>9}{times[1]:>9}"
    print(f"{name:10}{figures}   {counts}")
    return share


def main():
    verdict = origins.begin()
    check_generator(verdict)
    print(f"== {RATE}/s offered to {CAPACITY:.0f}/s; good answers/s in the second half")
    print(f"{'':10}{'good/s':>8}{'share':>10}{'p50 ms':>9}{'p99 ms':>9}   all answers")
    shares = {}
    for name, more in RUNS.items():
        answers, begins = offered(SLOTS, more, RATE, SECONDS, verdict)
        shares[name] = row(name, answers, begins)
    limits, without = shares["limits"], shares["no limits"]
    verdict.expect(limits >= BAR, f"with limits: {100 * limits:.1f} % of capacity (at least 90 %)")
    verdict.expect(without < COLLAPSED, f"without: {100 * without:.1f} %, a collapse (below 50 %)")
    verdict.exit()


if __name__ == "__main__":
    main()
