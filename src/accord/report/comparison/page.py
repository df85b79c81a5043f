"""From a comparison's figures to its page: one file, no script, nothing fetched."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from accord.report.comparison.facts import Comparison, Model, read_comparison
from accord.report.comparison.figures import cards, pictures, tables
from accord.report.comparison.remarks import remarks
from accord.report.document import PAGES, cut, turns, write_page
from accord.report.facts import number
from accord.report.words import count, moment, short

OPEN, MOST = 6, 40  # prompts
FOLDED, SHOWN = 90, 60  # words: of a longer answer than the first, so many are shown
DRAWN = {"temperature": "temperature {:g}", "max_new_tokens": "at most {} tokens an answer", "seed": "seed {}"}


class Shown(NamedTuple):
    """One answer: its beginning, and the rest of a long one. `verdict` is 1 where it beats the base's."""

    model: Model
    text: str
    rest: str
    words: int
    score: str
    finished: bool
    verdict: float | None


class Asked(NamedTuple):
    """A prompt with the turns that led to it, and for each sample the answers of all models."""

    earlier: list[tuple[str, str]]
    prompt: str
    samples: list[list[Shown]]


def write_comparison(figures: Path | str, page: Path | str) -> Path:
    """Write the page from the figures that `accord compare` left, and say where it is.

    Raises ValueError where the file holds something else.
    """
    return write_page(Path(page), render(read_comparison(figures)))


def render(comparison: Comparison) -> str:
    """The page as text."""
    asked = prompts(comparison)
    return PAGES.get_template("comparison.html").render(
        comparison=comparison,
        names=", ".join(model.name for model in comparison.models),
        lead=lead(comparison),
        facts_line=facts_line(comparison),
        cards=cards(comparison),
        remarks=remarks(comparison),
        tables=tables(comparison),
        pictures=pictures(comparison),
        prompts=asked[:MOST],
        prompts_open=OPEN,
        prompts_all=len(asked),
        sources=sources(comparison),
    )


def lead(comparison: Comparison) -> str:
    """What was done: one sentence."""
    n = len(comparison.trained)
    who = f"{Path(comparison.base.source).name} and {count(n, 'model')} trained"
    answers = comparison.record.get("samples") or 1
    times = "" if answers == 1 else f", {answers} times each"
    asked = count(comparison.record.get("n_prompts") or 0, "prompt")
    return f"{who} from it answered the same {asked}{times}, with the same seeds." if n else f"{who} answered {asked}."


def facts_line(comparison: Comparison) -> list[str]:
    """When, and how answers were drawn."""
    drawn = comparison.decoding
    told = [moment(comparison.record.get("at"))]
    told += [words.format(drawn[name]) for name, words in DRAWN.items() if name in drawn]
    return [each for each in told if each]


def sources(comparison: Comparison) -> list[tuple[str, str]]:
    """Where the models are, and who judged."""
    found = [(model.name, model.source) for model in comparison.models]
    found += [("judge", comparison.judge), ("reward model", str(comparison.record.get("reward_model") or ""))]
    return [(name, source) for name, source in found if source]


def prompts(comparison: Comparison) -> list[Asked]:
    """The prompts in their order, with the answers to each."""
    records = comparison.record.get("prompts") or []
    found = []
    for _, same in groupby(records, key=lambda record: json.dumps(record.get("prompt"))):
        samples = list(same)
        *earlier, (_, prompt) = turns(samples[0].get("prompt", ""))
        answers = [[_shown(model, sample["answers"][model.name]) for model in comparison.models] for sample in samples]
        found.append(Asked([(role, cut(text)) for role, text in earlier], cut(prompt), answers))
    return found


def _shown(model: Model, answer: dict[str, Any]) -> Shown:
    text, rest = fold(cut(str(answer.get("text", ""))))
    scores = [(name, number(answer.get(name))) for name in ("score", "reward")]
    told = " · ".join(f"{name} {short(score, 2)}" for name, score in scores if score is not None)
    words = len(str(answer.get("text", "")).split())
    return Shown(model, text, rest, words, told, bool(answer.get("finished", True)), number(answer.get("verdict")))


def fold(text: str) -> tuple[str, str]:
    """The beginning of a long text, and the rest of it; "" where there is none."""
    words = text.split()
    if len(words) <= FOLDED:
        return text, ""
    at = 0
    for word in words[:SHOWN]:
        at = text.index(word, at) + len(word)
    return text[:at], text[at:].lstrip()
