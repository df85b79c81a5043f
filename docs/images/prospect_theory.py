"""Draws the pictures of docs/prospect-theory.md: python docs/images/prospect_theory.py [FOLDER]"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from accord.losses import kto
from accord.losses.prospect import VALUES, WEIGHTS
from accord.report.charts import Scale, ticks

WIDTH, HEIGHT, GAP = 760, 330, 380
COLOURS = ["#0063b1", "#c4510a", "#00805c", "#7d4a9e"]
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600}.middle{text-anchor:middle}"
    ".end{text-anchor:end}.grid{stroke:#e4e4e4}.zero{stroke:#999}.line{fill:none;stroke-width:2.2}"
)

Line = tuple[str, Callable[[Tensor], Tensor]]


class Panel(NamedTuple):
    """Functions over [low, high], drawn up to the heights `bottom` and `top`."""

    title: str
    across: str
    low: float
    high: float
    bottom: float
    top: float
    lines: list[Line]


def picture(label: str, panels: list[Panel]) -> str:
    """Panels side by side; a line's colour is its place in the list, and one legend serves all of them."""
    body = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    for index, panel in enumerate(panels):
        body += drawn(panel, 46 + index * GAP)
    for index, (name, _) in enumerate(panels[0].lines):
        left = 46 + index * (WIDTH - 60) / len(panels[0].lines)
        body.append(f'<path class="line" stroke="{COLOURS[index]}" d="M{left:.0f} 318h22"/>')
        body.append(f'<text x="{left + 28:.0f}" y="322">{name}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def drawn(panel: Panel, left: float) -> list[str]:
    x = Scale(panel.low, panel.high, left, left + 310)
    y = Scale(panel.bottom, panel.top, 258, 34)
    body = [f'<text class="title" x="{left}" y="20">{panel.title}</text>']
    for tick in ticks(panel.bottom, panel.top, 6):
        kind = "zero" if tick == 0 else "grid"
        body.append(f'<path class="{kind}" d="M{x.start} {y(tick):.1f}H{x.end}"/>')
        body.append(f'<text class="end" x="{left - 6}" y="{y(tick) + 4:.1f}">{tick:g}</text>')
    for tick in ticks(panel.low, panel.high):
        kind = "zero" if tick == 0 else "grid"
        body.append(f'<path class="{kind}" d="M{x(tick):.1f} {y.start}V{y.end}"/>')
        body.append(f'<text class="middle" x="{x(tick):.1f}" y="275">{tick:g}</text>')
    body.append(f'<text class="middle" x="{(x.start + x.end) / 2}" y="296">{panel.across}</text>')
    at = torch.cat([torch.linspace(panel.low, panel.high, 161), torch.linspace(-0.4, 0.4, 81) ** 3]).double()
    at = at[(at >= panel.low) & (at <= panel.high)].unique()  # sorted; close to each other where functions are steep
    for colour, (_, function) in zip(COLOURS, panel.lines, strict=False):
        points = zip(at.tolist(), function(at).tolist(), strict=True)
        inside = [f"{x(a):.1f} {y(b):.1f}" for a, b in points if panel.bottom <= b <= panel.top]
        body.append(f'<path class="line" stroke="{colour}" d="M{"L".join(inside)}"/>')
    return body


def slope(function: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    z = z.clone().requires_grad_()
    function(z).sum().backward()
    return z.grad


def values() -> str:
    lines = [(name, value.of) for name, value in VALUES.items()]
    slopes = [(name, partial(slope, function)) for name, function in lines]
    across = "a loss   ←   z = β·(log-ratio − z₀)   →   a gain"
    return picture(
        "The four value functions, and their slopes",
        [
            Panel("How it feels: v(z)", across, -4, 4, -8, 4, lines),
            Panel("How hard an example pushes: slope of v", across, -4, 4, 0, 4, slopes),
        ],
    )


def weights() -> str:
    gain = [
        ("none", partial(WEIGHTS["none"], gamma=1.0)),
        ("tversky_kahneman", partial(WEIGHTS["tversky_kahneman"], gamma=0.61)),
        ("prelec", partial(WEIGHTS["prelec"], gamma=0.61)),
    ]
    loss = {name: partial(function, gamma=0.69) for name, function in WEIGHTS.items()}

    def push(name: str, weight: Callable[[Tensor], Tensor], p: Tensor) -> Tensor:
        return weight(p) - loss[name](1 - p)

    pushes = [(name, partial(push, name, function)) for name, function in gain]
    across = "p: probability that people want the answer"
    return picture(
        "Decision weights, and what they leave of a vote",
        [
            Panel("How likely it feels: w(p), γ = 0.61", across, 0, 1, 0, 1, gain),
            Panel("What is left of a vote: w⁺(p) − w⁻(1 − p)", across, 0, 1, -1, 1, pushes),
        ],
    )


def disagreement() -> str:
    def loss(name: str, p: float, z: Tensor) -> Tensor:
        return kto.human_aware(z, 0.0, p_desirable=torch.full_like(z, p), beta=1.0, value=VALUES[name])

    def lines(name: str) -> list[Line]:
        return [(f"p = {p}", partial(loss, name, p)) for p in (1.0, 0.8, 0.6, 0.5)]

    across = "less likely   ←   z   →   more likely"
    return picture(
        "The loss of one answer on which people agree, or disagree",
        [
            Panel("The loss under logistic", across, -4, 4, 0, 1, lines("logistic")),
            Panel("The loss under kahneman_tversky", across, -4, 4, -4, 4, lines("kahneman_tversky")),
        ],
    )


PICTURES = {"values": values, "weights": weights, "disagreement": disagreement}

if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    for name, draw in PICTURES.items():
        (folder / f"prospect-{name}.svg").write_text(draw(), encoding="utf-8")
