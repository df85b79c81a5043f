"""How unsure a reward model with several heads is of the answers in a file that `accord score` wrote."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from accord.cli.answers import Answered, read_answers
from accord.exchange.source import uncelled
from accord.feedback import AccordError, Content, from_json, text_of

#: prompt and answer, as texts: what a file and the store have in common
Said = tuple[str, str]


class Margin(NamedTuple):
    """How far one answer scores above another: the mean over the heads, and the standard deviation."""

    mean: float
    std: float


class Scores(NamedTuple):
    """pairs    the margins of pairs that stand in the file as such
    answers  the mean and the variance of other answers' scores, without what the answers to a prompt share
    """

    pairs: dict[tuple[Said, Said], Margin]
    answers: dict[Said, tuple[float, float]]


def read_scores(path: Path, column: str = "score") -> Scores:
    """What a file that `accord score` wrote says; answers that it could not score are left out.

    Raises AccordError where there are no scores, or none of several heads.
    """
    scores = Scores({}, {})
    for row in read_answers(path):
        said = [(words(from_json(row.prompt)), words(from_json(answer))) for answer in row.answers]
        means, stds = _numbers(row, column)
        if None in (*means, *stds):
            continue
        if row.column == "chosen":
            scores.pairs[said[0], said[1]] = Margin(means[0] - means[1], stds[0])
        else:
            scores.answers.update(zip(said, _alone(means, stds), strict=True))
    return scores


def margin(scores: Scores, a: Said, b: Said) -> Margin | None:
    """Of `a` over `b`; None where one of them has no score. Scores that do not stand as a pair are independent."""
    if (found := scores.pairs.get((a, b))) is not None:
        return found
    if (turned := scores.pairs.get((b, a))) is not None:
        return Margin(-turned.mean, turned.std)
    if a not in scores.answers or b not in scores.answers:
        return None
    (mean_a, variance_a), (mean_b, variance_b) = scores.answers[a], scores.answers[b]
    return Margin(mean_a - mean_b, (variance_a + variance_b) ** 0.5)


def words(content: Content) -> str:
    """The text by which a file's answers are known again: without the space around it."""
    return text_of(content).strip()


def _alone(means: list[float], stds: list[float]) -> Iterator[tuple[float, float]]:
    """Leads over the mean of K answers vary less than the answers themselves, by (K − 1) / K."""
    k = len(means)
    return ((mean, std**2 * (k / (k - 1) if k > 1 else 1)) for mean, std in zip(means, stds, strict=True))


def _numbers(row: Answered, column: str) -> tuple[list[Any], list[Any]]:
    """The scores of a row, and how far heads disagree: about each answer, or about the one pair."""
    match row.column:
        case "chosen":
            means = [*_listed(row, f"{column}_chosen", 1), *_listed(row, f"{column}_rejected", 1)]
            return means, _listed(row, f"{column}_disagreement", 1)
        case "completions":
            k = len(row.answers)
            return _listed(row, f"{column}s", k), _listed(row, f"{column}_disagreement", k)
        case _:
            return _listed(row, column, 1), _listed(row, f"{column}_disagreement", 1)


def _listed(row: Answered, name: str, count: int) -> list[Any]:
    """The numbers, or nulls, in a column of a row: so many."""
    values = row.record.values
    if name not in values:
        cause = "a model with one head tells none: accord reward --reward_heads 5"
        if not name.endswith("_disagreement"):
            cause = "is it a file that accord score wrote? --column NAME says what they are called"
        raise AccordError(f"{row.record.source.path}: no column {name} ({cause})")
    value = values[name] if row.record.source.typed else uncelled(values[name])
    found = value if isinstance(value, list) else [value]
    if len(found) != count or not all(one is None or type(one) in (int, float) for one in found):
        raise row.record.bad(name, "expected a number" if count == 1 else f"expected a list of {count} numbers")
    return found
