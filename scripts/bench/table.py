"""Tables of what run.sh measured.

    table.py RESULTS WORK        one work: medians, and ours as a share of the best peer's
    table.py RESULTS growth      CPU per request at 4,000 connections over that at 64
    table.py RESULTS --markdown  all of it, for performance.md
"""

import sys

from results import WORKS, best, read, share

COLUMNS = [
    ("CPU µs/req", lambda one: f"{one.cpu:.2f}"),
    ("req/s", lambda one: f"{one.rate:.0f}"),
    ("p50 µs", lambda one: f"{one.p50:.0f}"),
    ("p99 µs", lambda one: f"{one.p99:.0f}"),
    ("RSS MiB", lambda one: f"{one.rss:.1f}"),
    ("errors", lambda one: f"{one.errors:.0f}"),
]
IDLE_COLUMNS = [
    ("KiB/connection", lambda one: f"{one.each:.2f}"),
    ("closed", lambda one: f"{one.closed:.0f}"),
]


def columns(work):
    return IDLE_COLUMNS if work == "idle" else COLUMNS


def ratios(work, proxies):
    """Ours over the best peer's, and over those that stand apart: the tuned, the limit, ours as cargo
    builds it, and for 1 MiB Pingora, which like ours is a library that was fitted to the work."""
    if "ours" not in proxies:
        return
    apart = {"forwarder", "nginx-tuned", "haproxy-tuned", "ours-plain"}
    apart |= {"pingora"} if work == "1MiB" else set()
    measures = [("CPU", lambda one: one.cpu), ("p99", lambda one: one.p99)]
    if work == "idle":
        measures = [("memory", lambda one: one.each)]
    ours = proxies["ours"]
    for which, (what, key) in enumerate(measures):
        others = [best(proxies, key, apart)] + [name for name in proxies if name in apart]
        for other in filter(None, others):
            if key(proxies[other]) > 0:
                paired = share(ours, proxies[other], which) if work != "idle" else key(ours) / key(proxies[other])
                yield f"{what}: ours / {other} = {paired:.2f}"


def growth(works):
    """CPU per request at 4,000 connections over that at 64, for proxies that did both."""
    few, many = works.get("60B", {}), works.get("4000", {})
    return {name: many[name].cpu / few[name].cpu for name in many if name in few}


def print_text(work, proxies):
    shown = columns(work)
    print(f"{work:13}", *(f"{title:>{max(len(title), 9)}}" for title, _ in shown))
    for name, one in proxies.items():
        print(f"{name:13}", *(f"{form(one):>{max(len(title), 9)}}" for title, form in shown))
    print("\n".join(ratios(work, proxies)), end="\n\n")


def print_markdown(works, comments):
    for work, proxies in works.items():
        shown = columns(work)
        print(f"### {WORKS[work]}\n")
        print("| |", " | ".join(title for title, _ in shown), "|")
        print("|---|" + "---:|" * len(shown))
        for name, one in proxies.items():
            print(f"| {name} |", " | ".join(form(one) for _, form in shown), "|")
        print("\n" + "; ".join(ratios(work, proxies)) + ".\n")
    grown = growth(works)
    if grown:
        print("### From 64 to 4,000 connections\n\n| | CPU per request grows by |\n|---|---:|")
        for name, factor in grown.items():
            print(f"| {name} | {100 * (factor - 1):.0f} % |")
        print()
    print("\n".join(f"- {comment}" for comment in comments))


def main(path, what):
    works, comments = read(path)
    if what == "--markdown":
        print_markdown(works, comments)
    elif what == "growth":
        for name, factor in growth(works).items():
            print(f"{name:10} {100 * (factor - 1):+.0f} % CPU per request from 64 to 4,000 connections")
    elif what in works:
        print_text(what, works[what])


if __name__ == "__main__":
    main(*sys.argv[1:3])
