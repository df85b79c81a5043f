"""Draws the picture of docs/from-trl.md from the run folders of its commands:

    python docs/images/ipo_accord_and_trl.py runs/ipo runs/ipo-trl

The curves lie on each other, so Accord's is drawn wide and pale and TRL's thin on top of it. Below them: by how much
the losses differ, on a logarithmic scale.
"""

import math
import sys
from pathlib import Path

from accord.report.charts import Scale, ticks
from accord.runs import Run

WIDTH, HEIGHT, LEFT, RIGHT = 760, 430, 66, 736
PALE, DARK, GREY = "#8fbcec", "#8c2f00", "#555"
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600}.middle{text-anchor:middle}"
    ".end{text-anchor:end}.grid{stroke:#e4e4e4}.line{fill:none;stroke-linejoin:round}"
)


def losses(run: Run) -> list[float]:
    return [record["loss"] for record in run.metrics() if "loss" in record]


def line(points: list[tuple[float, float]], colour: str, width: float) -> str:
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="line" stroke="{colour}" stroke-width="{width}" d="{path}"/>'


def rule(y: float, label: str) -> list[str]:
    return [
        f'<path class="grid" d="M{LEFT} {y:.1f}H{RIGHT}"/>',
        f'<text class="end" x="{LEFT - 8}" y="{y + 4:.1f}">{label}</text>',
    ]


def curves(accord: list[float], trl: list[float], names: tuple[str, str], x: Scale) -> list[str]:
    """The losses of both, over the steps."""
    low, high = min(accord + trl), max(accord + trl)
    y = Scale(low - (high - low) / 10, high + (high - low) / 10, 252, 44)
    body = [f'<text class="title" x="{LEFT}" y="24">Loss of each step, loss_type ipo, fp32</text>']
    for tick in ticks(low, high, 5):
        body += rule(y(tick), f"{tick:g}")
    mine, theirs = ([(x(step), y(loss)) for step, loss in enumerate(run, 1)] for run in (accord, trl))
    body += [line(mine, PALE, 9), line(theirs, DARK, 1.8)]
    body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{DARK}"/>' for a, b in theirs]
    for place, (colour, width, name) in enumerate(((PALE, 9, names[0]), (DARK, 1.8, names[1]))):
        left = 440 + 150 * place
        body += [line([(left, 20), (left + 26, 20)], colour, width), f'<text x="{left + 34}" y="24">{name}</text>']
    return body


def differences(accord: list[float], trl: list[float], x: Scale) -> list[str]:
    """By how much the losses differ; nothing stands where they are the same number."""
    apart = [abs(a - b) for a, b in zip(accord, trl, strict=True)]
    found = [math.log10(d) for d in apart if d > 0] or [-6.0]
    low, high = math.floor(min(found)), math.ceil(max(found) + 0.01)
    y = Scale(low, high, 392, 306)
    body = [
        f'<text class="title" x="{LEFT}" y="288">They differ by {max(apart):.0e} at most (no dot: not at all)</text>'
    ]
    for power in range(low, high + 1):
        body += rule(y(power), f"1e{power}")
    for step, d in enumerate(apart, 1):
        if d > 0:
            body.append(f'<circle cx="{x(step):.1f}" cy="{y(math.log10(d)):.1f}" r="4" fill="{GREY}"/>')
        body.append(f'<text class="middle" x="{x(step):.1f}" y="414">{step}</text>')
    body.append(f'<text class="end" x="{LEFT - 8}" y="414">step</text>')
    return body


def picture(runs: tuple[Run, Run]) -> str:
    accord, trl = map(losses, runs)
    names = tuple(str(run.info["backend"]).replace("accord", "Accord").replace("trl", "TRL") for run in runs)
    x = Scale(1, len(accord), LEFT + 20, RIGHT - 20)
    body = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    body += curves(accord, trl, (names[0], names[1]), x) + differences(accord, trl, x)
    label = f"The losses of {names[0]} and {names[1]} over {len(accord)} steps: the curves lie on each other."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


if __name__ == "__main__":
    one, other = map(Run.open, sys.argv[1:3])
    Path(__file__).with_name("ipo-accord-and-trl.svg").write_text(picture((one, other)), encoding="utf-8")
