"""Charts as inline SVG: no script, no network, colours from the page's style sheet, so that they follow its theme."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from markupsafe import Markup

from accord.report.facts import Estimate, Point
from accord.report.words import short

WIDTH, HEIGHT = 360, 196
LEFT, RIGHT, TOP, BOTTOM = 46, 10, 10, 24
LONGEST_NAME = 18  # letters of a name in a chart
MOST_POINTS = 200  # of a line; more are averaged
STRETCHES = 8  # of a path


class Line(NamedTuple):
    """`tone` is the colour's class in the style sheet; `held_out` lines are dotted, with a mark at each point."""

    name: str
    tone: str
    points: list[Point]
    held_out: bool = False


class Spot(NamedTuple):
    """A thing with two figures, each with its interval."""

    name: str
    tone: str
    x: Estimate
    y: Estimate


class Scale(NamedTuple):
    """Maps [low, high] to the pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, x: float) -> float:
        return self.start + (x - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that divide [low, high] into about so many parts."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [i * step for i in range(first, math.floor(high / step + 1e-9) + 1)]


def line_chart(lines: Sequence[Line], label: str, baseline: float | None = None) -> Markup:
    """Lines over training steps. `baseline` is drawn across: chance, or zero."""
    steps = [point.step for line in lines for point in line.points]
    values = [point.value for line in lines for point in line.points]
    x = Scale(*_widen(min(steps), max(steps), 0), LEFT, WIDTH - RIGHT)
    drawn = values if baseline is None else [*values, baseline]
    y = Scale(*_widen(min(drawn), max(drawn), 0.06), HEIGHT - BOTTOM, TOP)
    body = [_grid(x, y)]
    if baseline is not None:
        body.append(_line(x.start, y(baseline), x.end, y(baseline), "baseline"))
    for line in lines:
        body += _held_out(line, x, y) if line.held_out else _training(line, x, y)
    return _svg(body, label)


def histogram_chart(edges: Sequence[float], counts: Sequence[tuple[str, Sequence[float]]], label: str) -> Markup:
    """Counts over bins, one colour (`tone`) a sample; each is drawn as a share of its own sample."""
    shares = [(tone, [n / max(1, sum(sample)) for n in sample]) for tone, sample in counts]
    x = Scale(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Scale(0, 1.06 * max(max(sample) for _, sample in shares) or 1, HEIGHT - BOTTOM, TOP)
    body = [_grid(x, y, up=_share)]
    for tone, sample in shares:
        outline = [(x(edges[0]), y(0))]
        for (left, right), share in zip(pairwise(edges), sample, strict=True):
            outline += [(x(left), y(share)), (x(right), y(share))]
        outline.append((x(edges[-1]), y(0)))
        body.append(f'<path class="area {tone}" d="{_path(outline)}"/>')
    if edges[0] < 0 < edges[-1]:
        body.append(_line(x(0), y.start, x(0), y.end, "baseline"))
    return _svg(body, label)


def column_chart(columns: Sequence[tuple[str, str, float]], label: str) -> Markup:
    """A column for each (name, what it stands for, count); the names are written as far as there is room for them."""
    x = Scale(0, max(len(columns), 1), LEFT, WIDTH - RIGHT)
    y = Scale(0, 1.06 * max((count for *_, count in columns), default=1) or 1, HEIGHT - BOTTOM, TOP)
    body: list[str] = [_grid(x, y, across=lambda _: "")]
    gap = 0.1 if len(columns) < 40 else 0
    for i, (_, told, count) in enumerate(columns):
        corners = [(x(i + gap), y(0)), (x(i + gap), y(count)), (x(i + 1 - gap), y(count)), (x(i + 1 - gap), y(0))]
        body.append(
            Markup('<path class="area one" d="{}"><title>{}: {}</title></path>').format(
                _path(corners), told, f"{count:,.0f}"
            )
        )
    widest = max((len(name) for name, *_ in columns), default=1) * 6.5 + 12
    every = math.ceil(len(columns) * widest / (x.end - x.start)) or 1
    body += [
        Markup('<text class="tick" x="{}" y="{}" text-anchor="middle">{}</text>').format(
            _n(x(i + 0.5)), HEIGHT - 7, name
        )
        for i, (name, *_) in enumerate(columns)
        if i % every == 0 and x(i + 0.5) < WIDTH - widest / 2 + 6
    ]
    return _svg(body, label)


def reliability_chart(said: Sequence[float], right: Sequence[float], share: Sequence[float], label: str) -> Markup:
    """How often right (up) against how sure (across, ½ to 1), a dot a bin, as large as its share of all. On the line
    the two are equal."""
    x = Scale(0.5, 1, LEFT, WIDTH - RIGHT - 8)
    y = Scale(*_widen(min(0.5, *right), 1, 0.06), HEIGHT - BOTTOM, TOP)
    body = [_grid(x, y, across=_share, up=_share), _line(x(0.5), y(0.5), x(1), y(1), "baseline")]
    for sure, true, part in zip(said, right, share, strict=True):
        told = f"{100 * sure:.0f} % sure, {100 * true:.0f} % right: {100 * part:.0f} % of the pairs"
        body.append(
            f'<circle class="mark one" cx="{_n(x(sure))}" cy="{_n(y(true))}" r="{_n(3 + 12 * math.sqrt(part))}">'
            f"<title>{told}</title></circle>"
        )
    return _svg(body, label)


def spot_chart(spots: Sequence[Spot], label: str, up: Callable[[float], str], baseline: float | None = None) -> Markup:
    """Named spots with a bar for each interval. `up` writes the ticks of the vertical axis."""
    across = [bound for spot in spots for bound in spot.x if bound is not None]
    high = [bound for spot in spots for bound in spot.y if bound is not None]
    high += [] if baseline is None else [baseline]
    x = Scale(*_widen(min(across), max(across), 0.06), LEFT, WIDTH - RIGHT)
    y = Scale(*_widen(min(high), max(high), 0.08), HEIGHT - BOTTOM, TOP)
    body = [_grid(x, y, up=up)]
    if baseline is not None:
        body.append(_line(x.start, y(baseline), x.end, y(baseline), "baseline"))
    for spot in spots:
        if spot.x.low is not None and spot.x.high is not None:
            body.append(_line(x(spot.x.low), y(spot.y.value), x(spot.x.high), y(spot.y.value), f"bar {spot.tone}"))
        if spot.y.low is not None and spot.y.high is not None:
            body.append(_line(x(spot.x.value), y(spot.y.low), x(spot.x.value), y(spot.y.high), f"bar {spot.tone}"))
    body += [_spot(spot, x, y, up) for spot in spots]
    return _svg([*body, *_names(spots, x, y)], label)


def path_chart(across: Sequence[Point], up: Sequence[Point], label: str) -> Markup:
    """The course of two figures that were taken at the same steps: a dot a step, fainter the earlier, and a line
    through the means of stretches of equal length."""
    across, up = thin(across), thin(up)
    xs, ys = [point.value for point in across], [point.value for point in up]
    x = Scale(*_widen(min(0, *xs), max(xs), 0.06), LEFT, WIDTH - RIGHT)
    y = Scale(*_widen(min(ys), max(ys), 0.1), HEIGHT - BOTTOM, TOP)
    means = [(a.value, u.value) for a, u in zip(thin(across, STRETCHES), thin(up, STRETCHES), strict=True)]
    ends = [
        Spot(name, "one", Estimate(place[0], None, None), Estimate(place[1], None, None))
        for name, place in (("start", means[0]), ("end", means[-1]))
    ]
    route = f'<path class="line one" d="{_path([(x(a), y(u)) for a, u in means])}"/>'
    return _svg([_grid(x, y), *_dots(across, up, x, y), route, *_names(ends, x, y)], label)


def _dots(across: Sequence[Point], up: Sequence[Point], x: Scale, y: Scale) -> list[str]:
    return [
        f'<circle class="mark one" opacity="{_n(0.2 + 0.6 * i / len(across))}" cx="{_n(x(a.value))}" '
        f'cy="{_n(y(u.value))}" r="3"><title>step {a.step:.0f}: {short(u.value)} at {short(a.value)}</title></circle>'
        for i, (a, u) in enumerate(zip(across, up, strict=True), 1)
    ]


def _spot(spot: Spot, x: Scale, y: Scale, up: Callable[[float], str]) -> Markup:
    return Markup('<circle class="mark {}" cx="{}" cy="{}" r="5"><title>{}: {} at {}</title></circle>').format(
        spot.tone, _n(x(spot.x.value)), _n(y(spot.y.value)), spot.name, up(spot.y.value), short(spot.x.value)
    )


def _names(spots: Sequence[Spot], x: Scale, y: Scale) -> list[Markup]:
    """A name beside each spot, away from the nearer edge, and lower where another name stands already."""
    written: list[tuple[float, float, float]] = []  # left, right, height
    labels = []
    for spot in sorted(spots, key=lambda spot: y(spot.y.value)):
        name = spot.name if len(spot.name) <= LONGEST_NAME else f"{spot.name[: LONGEST_NAME - 1]}…"
        width, leftwards = 6.5 * len(name), x(spot.x.value) > (x.start + x.end) / 2
        left = x(spot.x.value) - 9 - width if leftwards else x(spot.x.value) + 9
        at = max(y(spot.y.value) - 7, TOP + 8)
        while any(left < r and l < left + width and abs(at - h) < 12 for l, r, h in written):
            at += 12
        written.append((left, left + width, at))
        anchor = left + width if leftwards else left
        labels.append(
            Markup('<text class="name {}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                spot.tone, _n(anchor), _n(at), "end" if leftwards else "start", name
            )
        )
    return labels


def interval_bar(estimate: Estimate, label: str, mark: float = 0.5) -> Markup:
    """A share with its interval on a line from 0 to 1, and a mark at what chance would give."""
    x = Scale(0, 1, 4, 216)
    body = [_line(x(0), 14, x(1), 14, "rail"), _line(x(mark), 5, x(mark), 23, "chance")]
    if estimate.low is not None and estimate.high is not None:
        body.append(_line(x(estimate.low), 14, x(estimate.high), 14, "span"))
    body.append(f'<circle class="value" cx="{_n(x(estimate.value))}" cy="14" r="5"/>')
    return _svg(body, label, 220, 28)


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` points: the means of equal stretches."""
    if len(points) <= most:
        return list(points)
    stretches = [points[i * len(points) // most : (i + 1) * len(points) // most] for i in range(most)]
    return [_mean(stretch) for stretch in stretches]


def smooth(points: Sequence[Point]) -> list[Point]:
    """Each point replaced by the mean of those around it, a tenth of the line; short lines are left as they are."""
    half = len(points) // 20
    if not half:
        return list(points)
    averaged = []
    for i, point in enumerate(points):
        averaged.append(Point(point.step, _mean(points[max(0, i - half) : i + half + 1]).value))
    return averaged


def _mean(points: Sequence[Point]) -> Point:
    return Point(sum(p.step for p in points) / len(points), sum(p.value for p in points) / len(points))


def _training(line: Line, x: Scale, y: Scale) -> list[str]:
    points = thin(line.points)
    calm = smooth(points)
    faint = [] if calm == points else [f'<path class="line faint {line.tone}" d="{_route(points, x, y)}"/>']
    if len(points) == 1:
        return _marks(points, line.tone, x, y)
    return [*faint, f'<path class="line {line.tone}" d="{_route(calm, x, y)}"/>']


def _held_out(line: Line, x: Scale, y: Scale) -> list[str]:
    points = thin(line.points, 60)
    route = f'<path class="line held {line.tone}" d="{_route(points, x, y)}"/>'
    return [route, *_marks(points, line.tone, x, y)]


def _marks(points: Sequence[Point], tone: str, x: Scale, y: Scale) -> list[str]:
    return [
        f'<circle class="mark {tone}" cx="{_n(x(p.step))}" cy="{_n(y(p.value))}" r="3">'
        f"<title>step {p.step:.0f}: {short(p.value)}</title></circle>"
        for p in points
    ]


def _plain(tick: float) -> str:
    return short(round(tick, 12))


def _share(tick: float) -> str:
    return f"{100 * tick:.3g} %"


def _grid(x: Scale, y: Scale, across: Callable[[float], str] = _plain, up: Callable[[float], str] = _plain) -> str:
    parts = []
    for tick in ticks(y.low, y.high):
        parts.append(_line(x.start, y(tick), x.end, y(tick), "grid"))
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{_n(y(tick) + 3.5)}" text-anchor="end">{up(tick)}</text>')
    for tick in ticks(x.low, x.high, 4):
        anchor = "end" if x(tick) > x.end - 10 else "middle"
        parts.append(
            f'<text class="tick" x="{_n(x(tick))}" y="{HEIGHT - 7}" text-anchor="{anchor}">{across(tick)}</text>'
        )
    return "".join(parts)


def _widen(low: float, high: float, margin: float) -> tuple[float, float]:
    if low == high:
        low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
    return low - margin * (high - low), high + margin * (high - low)


def _route(points: Sequence[Point], x: Scale, y: Scale) -> str:
    return _path([(x(point.step), y(point.value)) for point in points])


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in corners)


def _line(x1: float, y1: float, x2: float, y2: float, tone: str) -> str:
    return f'<line class="{tone}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"/>'


def _n(x: float) -> str:
    return f"{x:.1f}".removesuffix(".0")


def _svg(body: Sequence[str], label: str, width: int = WIDTH, height: int = HEIGHT) -> Markup:
    opening = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(width, height, label)
    return opening + Markup("".join(body)) + Markup("</svg>")
