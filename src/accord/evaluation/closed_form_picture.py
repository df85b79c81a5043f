"""Distributions over the same few completions side by side, as an SVG that stands alone and follows the theme."""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

ROW, HEAD, FOOT = 26, 84, 44
NAMES, COLUMN, BAR = 176, 146, 96  # pixels: the completions' column, one distribution's, and its longest bar

STYLE = """
svg { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.paper { fill: #fffefb; stroke: #e2dfd8; } .stripe { fill: #f5f3ee; }
.ink { fill: #20252b; } .soft { fill: #5d6670; } .small { font-size: 11.5px; }
.name { font-size: 15px; font-weight: 620; }
.text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.start { fill: #8b8f98; } .goal { fill: #0c6b62; } .there { fill: #1f62a8; } .elsewhere { fill: #b4570f; }
.rail { stroke: #d5d1c8; } .mark { stroke: #20252b; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
  .paper { fill: #1c2024; stroke: #30353b; } .stripe { fill: #22272c; }
  .ink { fill: #e6e4df; } .soft { fill: #a0a7ae; }
  .start { fill: #8f96a0; } .goal { fill: #5cc4b4; } .there { fill: #7db5f0; } .elsewhere { fill: #f0a35e; }
  .rail { stroke: #3a4047; } .mark { stroke: #e6e4df; }
}
"""


class Column(NamedTuple):
    """A distribution: its name, one or two lines on it, its probabilities, and its colour's class in `STYLE`."""

    name: str
    says: Sequence[str]
    shares: Sequence[float]
    tone: str


def draw(
    texts: Sequence[str],
    rewards: Sequence[float],
    columns: Sequence[Column],
    marks: Sequence[float],
    *,
    key: str = "π*",
) -> str:
    """A row a completion, the best first, with a bar for its probability in every column, all on one scale.

    marks  probabilities of a distribution that every column is compared with: a stroke across each bar; `key` says
           what it is
    """
    rows = sorted(range(len(texts)), key=lambda y: -rewards[y])
    scale = BAR / max(max(shares) for shares in (marks, *(column.shares for column in columns)))
    width, bottom = NAMES + COLUMN * len(columns), HEAD + ROW * len(rows)
    body = [
        f'<rect class="paper" x="0.5" y="0.5" width="{width - 1}" height="{bottom + FOOT - 1}" rx="12"/>',
        _text(22, HEAD - 12, "completion", "soft small"),
        _text(NAMES - 32, HEAD - 12, "reward", "soft small", "end"),
        f'<path class="mark" d="M24 {bottom + 14}v16"/>',
        _text(34, bottom + 26, key, "soft small"),
    ]
    tops = {y: HEAD + ROW * place for place, y in enumerate(rows)}
    for y, top in tops.items():
        if (top - HEAD) // ROW % 2 == 0:
            body.append(f'<rect class="stripe" x="1" y="{top}" width="{width - 2}" height="{ROW}"/>')
        body.append(_text(22, top + 18, texts[y] or "(empty)", "ink text"))
        body.append(_text(NAMES - 32, top + 18, f"{rewards[y]:+.1f}".replace("-", "−"), "soft", "end"))
    for number, column in enumerate(columns):
        left = NAMES + COLUMN * number
        body.append(_text(left, 30, column.name, "ink name"))
        body += [_text(left, 49 + 15 * line, words, "soft small") for line, words in enumerate(column.says)]
        body.append(f'<path class="rail" d="M{left} {HEAD}V{bottom}"/>')
        for y, top in tops.items():
            body += _bar(left, top, scale * column.shares[y], scale * marks[y], column.tone)
            end = left + scale * max(column.shares[y], marks[y])
            body.append(_text(end + 6, top + 17, f"{100 * column.shares[y]:.0f} %", "soft small"))
    label = "; ".join(f"{column.name}: {_told(texts, column.shares, rows)}" for column in columns)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + FOOT}" width="{width}" '
        f'height="{bottom + FOOT}" role="img" aria-label="{escape(label)}">'
        f"<style>{STYLE}</style>\n" + "\n".join(body) + "\n</svg>\n"
    )


def _bar(left: float, top: float, length: float, mark: float, tone: str) -> list[str]:
    return [
        f'<rect class="{tone}" x="{left}" y="{top + 6}" width="{length:.1f}" height="{ROW - 12}" rx="1.5"/>',
        f'<path class="mark" d="M{left + mark:.1f} {top + 4}v{ROW - 8}"/>',
    ]


def _told(texts: Sequence[str], shares: Sequence[float], rows: Sequence[int]) -> str:
    """The column in words, for those who do not see it."""
    return ", ".join(f"{texts[y] or 'empty'} {100 * shares[y]:.0f} %" for y in rows)


def _text(x: float, y: float, words: str, tones: str, anchor: str = "start") -> str:
    return f'<text class="{tones}" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(words)}</text>'
