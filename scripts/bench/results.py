"""The figures that run.sh keeps: what a row of results.tsv means, and medians over its rounds."""

import statistics

WORKS = {
    "60B": "60 B, 64 connections",
    "16KiB": "16 KiB, 16 connections",
    "1MiB": "1 MiB, 16 connections",
    "post-4KiB": "POST of 4 KiB, 64 connections",
    "60B-log": "60 B, 64 connections, access log on",
    "1000": "60 B, 1,000 connections",
    "4000": "60 B, 4,000 connections",
    "tls-60B": "60 B over TLS, 64 connections",
    "h2-60B": "60 B over HTTP/2 with TLS, 8 connections with 10 streams",
    "h2c-60B": "60 B over HTTP/2 in clear, 8 connections with 10 streams",
    "handshakes": "full TLS 1.3 handshakes, one request each",
    "idle": "idle connections",
}


class Load:
    """Medians of one proxy under one work; errors are summed. `rounds` keeps the CPU and p99 of each."""

    def __init__(self, rounds):
        runs = list(rounds.values())
        self.rounds = {number: (run[0], run[3]) for number, run in rounds.items()}
        cpu_ns, self.rate, self.p50, self.p99, rss_kib, _ = map(statistics.median, zip(*runs))
        self.cpu = cpu_ns / 1000
        self.rss = rss_kib / 1024
        self.errors = sum(run[5] for run in runs)


class Idle:
    """Memory of one proxy for each of many idle connections, in KiB."""

    def __init__(self, rounds):
        runs = rounds.values()
        before, after, connections, self.closed = map(statistics.median, zip(*runs))
        self.each = (after - before) / connections


def read(path):
    """`{work: {name: Load or Idle}}` in the order of the file, and the comments."""
    runs, comments = {}, []
    for line in open(path):
        if line.startswith("#"):
            comments.append(line[1:].strip())
        elif line.strip():
            work, name, number, *numbers = line.split()
            runs.setdefault(work, {}).setdefault(name, {})[number] = [float(one) for one in numbers]
    kinds = {work: Idle if work == "idle" else Load for work in runs}
    found = {
        work: {name: kinds[work](rows) for name, rows in runs[work].items()}
        for work in WORKS if work in runs
    }
    return found, comments


def share(ours, other, which):
    """Ours as a share of the other's, 0: CPU, 1: p99: the median over the rounds in which both took part. A
    machine that is slower for a while is so for both."""
    both = ours.rounds.keys() & other.rounds.keys()
    return statistics.median(ours.rounds[one][which] / other.rounds[one][which] for one in both)


def best(proxies, key, apart):
    """The name with the least `key` among the peers but for those that stand `apart`."""
    names = [name for name in proxies if name != "ours" and name not in apart]
    return min(names, key=lambda name: key(proxies[name]), default=None)
