"""Medians per proxy, and our CPU per request as a share of the best peer's."""

import statistics
import sys

rows = {}
for line in open(sys.argv[2]):
    name, *numbers = line.split()
    rows.setdefault(name, []).append([float(number) for number in numbers])

print(f"{sys.argv[1]:10} {'CPU µs/req':>10} {'req/s':>9} {'p50 µs':>8} {'p99 µs':>8} {'RSS MiB':>8} {'errors':>7}")
medians = {}
for name, runs in rows.items():
    columns = [statistics.median(column) for column in zip(*runs)]
    medians[name] = columns
    cpu, rate, p50, p99, rss, _ = columns
    errors = sum(run[5] for run in runs)
    print(f"{name:10} {cpu / 1000:10.2f} {rate:9.0f} {p50:8.0f} {p99:8.0f} {rss / 1024:8.1f} {errors:7.0f}")

peers = {name: columns for name, columns in medians.items() if name != "ours"}
if peers:
    best_cpu = min(peers, key=lambda name: peers[name][0])
    best_p99 = min(peers, key=lambda name: peers[name][3])
    ours = medians["ours"]
    print(f"CPU: ours / {best_cpu} = {ours[0] / peers[best_cpu][0]:.2f}")
    print(f"p99: ours / {best_p99} = {ours[3] / peers[best_p99][3]:.2f}")
