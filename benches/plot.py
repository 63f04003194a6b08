#!/usr/bin/env python3
"""Draws the plots in benches/plots from the medians that criterion has stored.

    python3 benches/plot.py [--criterion DIR] [--out DIR]

Only the standard library is needed. A group that was not measured leaves its plot as it is.
"""

import argparse
import json
import math
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# File, criterion group, title, horizontal axis.
PLOTS = [
    ("policies.svg", "roles", "Cost of a decision by number of policies (roles)", "policies"),
    ("links.svg", "roles-links", "Cost of a decision by number of links (roles-links)", "links of one template"),
    ("shares.svg", "shares", "Cost of a decision by number of policies (shares)", "policies"),
    ("entities.svg", "entities", "Cost of a decision by number of entities (1,000 policies)", "entities"),
]
SIDES = [
    ("cedar", "Cedar's authorizer", "#b3541e"),
    ("deodar", "Deodar", "#1f6f4a"),
]

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 78, 152, 48, 62


def series(criterion, group, side):
    """The points of one line: (size, median, low, high), times in nanoseconds."""
    points = []
    for path in (criterion / group / side).glob("*/new/estimates.json"):
        size = path.parent.parent.name
        if not size.isdigit():
            continue
        median = json.loads(path.read_text())["median"]
        interval = median["confidence_interval"]
        points.append(
            (int(size), median["point_estimate"], interval["lower_bound"], interval["upper_bound"])
        )
    return sorted(points)


def time(nanoseconds):
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("µs", 1e3), ("ns", 1.0)):
        if nanoseconds >= scale:
            value = nanoseconds / scale
            return f"{value:.3g} {unit}" if value < 100 else f"{value:.0f} {unit}"
    return f"{nanoseconds:.2g} ns"


def decades(values):
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    return low, max(high, low + 1)


def draw(title, axis, lines):
    left, right = decades([p[0] for _, _, points in lines for p in points])
    bounds = [bound for _, _, points in lines for p in points for bound in p[2:]]
    # Room for the labels under the lowest line.
    bottom, top = decades([min(bounds) / 1.8, max(bounds)])
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x(size):
        return LEFT + across * (math.log10(size) - left) / (right - left)

    def y(nanoseconds):
        return TOP + down * (1 - (math.log10(nanoseconds) - bottom) / (top - bottom))

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12" fill="#333">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="26" font-size="15" font-weight="bold" fill="#111">{title}</text>',
    ]
    for power in range(left, right + 1):
        at = x(10**power)
        out.append(f'<path d="M{at:.1f} {TOP}V{TOP + down}" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{at:.1f}" y="{TOP + down + 18}" text-anchor="middle">{10**power:,}</text>'
        )
    for power in range(bottom, top + 1):
        at = y(10**power)
        out.append(f'<path d="M{LEFT} {at:.1f}H{LEFT + across}" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{time(10**power)}</text>'
        )
    out.append(f'<path d="M{LEFT} {TOP}V{TOP + down}H{LEFT + across}" fill="none" stroke="#666"/>')
    out.append(
        f'<text x="{LEFT + across / 2}" y="{HEIGHT - 16}" text-anchor="middle">{axis}</text>'
    )
    out.append(
        f'<text transform="translate(18 {TOP + down / 2}) rotate(-90)" text-anchor="middle">'
        "median per decision</text>"
    )
    for label, colour, points in lines:
        if len(points) > 1:
            path = "L".join(f"{x(p[0]):.1f} {y(p[1]):.1f}" for p in points)
            out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for size, median, low, high in points:
            at = x(size)
            out.append(
                f'<path d="M{at:.1f} {y(low):.1f}V{y(high):.1f}" stroke="{colour}" stroke-width="2"/>'
            )
            out.append(f'<circle cx="{at:.1f}" cy="{y(median):.1f}" r="3.5" fill="{colour}"/>')
            # The last point has its value beside the line's name.
            if size == points[-1][0]:
                continue
            # Under the point, or over it where another line is just below.
            below = [
                y(p[1]) - y(median)
                for _, other, others in lines
                for p in others
                if other != colour and p[0] == size
            ]
            label_y = y(median) + (-22 if any(0 < gap < 30 for gap in below) else 16)
            out.append(
                f'<text x="{at + 5:.1f}" y="{label_y:.1f}" font-size="11" '
                f'fill="{colour}">{time(median)}</text>'
            )
        size, median = points[-1][:2]
        out.append(
            f'<text x="{x(size) + 10:.1f}" y="{y(median) + 4:.1f}" fill="{colour}">'
            f'<tspan font-weight="bold">{label}</tspan>'
            f'<tspan x="{x(size) + 10:.1f}" dy="15">{time(median)}</tspan></text>'
        )
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--criterion", type=Path, default=target / "criterion")
    arguments.add_argument("--out", type=Path, default=ROOT / "benches" / "plots")
    arguments = arguments.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for file, group, title, axis in PLOTS:
        lines = [
            (label, colour, points)
            for side, label, colour in SIDES
            if (points := series(arguments.criterion, group, side))
        ]
        if lines:
            (arguments.out / file).write_text(draw(title, axis, lines))
            print(f"{group}: {arguments.out / file}")
        else:
            print(f"{group}: not measured")


if __name__ == "__main__":
    main()
