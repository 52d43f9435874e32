"""A bar chart of what run.sh measured, as SVG: a panel for each work, a bar for each proxy.

    chart.py RESULTS [SVG]    (default: proxy/docs/performance.svg)

Works differ by a factor of fifty, so each panel has a scale of its own. Colours follow the
reader's light or dark scheme.
"""

import math
import os
import sys

from results import WORKS, read

WIDTH, LEFT, RIGHT = 460, 104, 60
BAR, GAP, TITLE, AXIS = 16, 6, 34, 38
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; }
.unit, .tick { font-size: 11px; fill: #57606a; }
.grid { stroke: #d0d7de; }
.ours { fill: #0969da; } .plain { fill: #0969da; opacity: .5; } .peer { fill: #8c959f; } .limit { fill: none; stroke: #8c959f; stroke-dasharray: 3 2; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .unit, .tick { fill: #9da7b3; }
  .grid { stroke: #30363d; }
  .ours, .plain { fill: #4493f8; } .peer { fill: #768390; } .limit { stroke: #768390; }
}
"""


def step_of(top):
    """A round step that gives three to six ticks up to `top`."""
    rough = top / 5
    power = 10 ** math.floor(math.log10(rough))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= rough)


def number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def panel(work, proxies, x, y, bars):
    """One work at x, y, with room for `bars` bars."""
    key = (lambda one: one.each) if work == "idle" else (lambda one: one.cpu)
    values = {name: max(key(one), 0) for name, one in proxies.items()}
    top = max(values.values()) or 1
    scale = (WIDTH - LEFT - RIGHT) / top
    bottom = y + TITLE + bars * (BAR + GAP)
    parts = [f'<text class="title" x="{x}" y="{y + 16}">{WORKS[work]}</text>']
    step = step_of(top)
    for count in range(int(top / step + 1e-9) + 1):
        at = x + LEFT + count * step * scale
        parts.append(f'<path class="grid" d="M{at:.1f} {y + TITLE - 6}V{bottom}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 14}" text-anchor="middle">{count * step:g}</text>')
    unit = "KiB of memory per connection" if work == "idle" else "CPU µs per request"
    middle = x + LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(f'<text class="unit" x="{middle:.1f}" y="{bottom + 29}" text-anchor="middle">{unit}</text>')
    for index, (name, value) in enumerate(values.items()):
        parts.extend(bar(name, value, value * scale, x, y + TITLE + index * (BAR + GAP)))
    return parts


def bar(name, value, length, x, y):
    kind = {"ours": "ours", "ours-plain": "plain", "forwarder": "limit"}.get(name, "peer")
    baseline = y + BAR - 4
    yield f'<text x="{x + LEFT - 8}" y="{baseline}" text-anchor="end">{name}</text>'
    yield f'<rect class="{kind}" x="{x + LEFT}" y="{y}" width="{length:.1f}" height="{BAR}"/>'
    yield f'<text x="{x + LEFT + length + 6:.1f}" y="{baseline}">{number(value)}</text>'


def draw(works):
    bars = max(len(proxies) for proxies in works.values())
    height = TITLE + bars * (BAR + GAP) + AXIS
    parts = []
    for index, (work, proxies) in enumerate(works.items()):
        parts += panel(work, proxies, 12 + index % 2 * WIDTH, 4 + index // 2 * height, bars)
    wide = WIDTH * min(len(works), 2) + 12
    high = height * math.ceil(len(works) / 2) + 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" '
        'role="img" aria-label="CPU per request of each proxy, for each work">'
    )
    return "\n".join([head, f"<style>{STYLE}</style>", *parts, "</svg>", ""])


def main(source, target="proxy/docs/performance.svg"):
    works, _ = read(source)
    if not works:
        sys.exit(f"{source} has no figures")
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    with open(target, "w") as file:
        file.write(draw(works))


if __name__ == "__main__":
    main(*sys.argv[1:3])
