"""What a comparison's figures say, in the form that tables, charts and the page ask for it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accord.report.facts import Estimate, estimate, number

TONES = ("before", "one", "chosen", "rejected", "fourth", "fifth")  # of the style sheet


@dataclass(frozen=True)
class Model:
    """One of those that answered. `tone` is its colour."""

    name: str
    method: str
    source: str
    tone: str
    figures: dict[str, Any]

    @property
    def about(self) -> str:
        """How it came to be, in a word or two."""
        return self.method.upper() if self.method else f"untrained {Path(self.source).name}"

    def figure(self, name: str) -> float | None:
        return number(self.figures.get(name))

    def estimate(self, name: str) -> Estimate | None:
        return estimate(self.figures, name)


@dataclass(frozen=True)
class Comparison:
    """`record` is what `accord compare` wrote; the first of `models` is the base."""

    record: dict[str, Any]
    models: list[Model]

    @property
    def base(self) -> Model:
        return self.models[0]

    @property
    def trained(self) -> list[Model]:
        return self.models[1:]

    @property
    def matches(self) -> list[dict[str, Any]]:
        """Every two models, one of them `first`, the other `second`."""
        return self.record.get("matches") or []

    @property
    def judge(self) -> str:
        """The judge's name, "" where nobody judged."""
        return str((self.record.get("judge") or {}).get("name") or "")

    @property
    def judge_kind(self) -> str:
        """rule, taste, model or reward_model."""
        return str((self.record.get("judge") or {}).get("kind") or "")

    @property
    def decoding(self) -> dict[str, Any]:
        return self.record.get("decoding") or {}

    def match(self, first: str, second: str) -> tuple[Estimate, bool] | None:
        """How `first` fares against `second`, and whether that stands when all matches are counted together."""
        for match in self.matches:
            found = estimate(match, "win_rate")
            if found and {match["first"], match["second"]} == {first, second}:
                stands = (number(match.get("p_holm")) or 0) < 0.05
                return (found if match["first"] == first else other_side(found)), stands
        return None


def other_side(share: Estimate) -> Estimate:
    """A win rate as the loser sees it."""
    low, high = (None if bound is None else 1 - bound for bound in (share.high, share.low))
    return Estimate(1 - share.value, low, high)


def read_comparison(path: Path | str) -> Comparison:
    """The figures in `path`. Raises ValueError where `accord compare` did not write them."""
    try:
        record = json.loads(Path(path).read_bytes())
        models = [
            Model(each["name"], each["method"], each["source"], TONES[i % len(TONES)], each)
            for i, each in enumerate(record["models"])
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not the figures of a comparison ({error}); run `accord compare` again") from None
    return Comparison(record, models)
