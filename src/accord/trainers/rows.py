"""TRL's row forms, brought to the one that a method reads. Every row has an `id`, for messages about it."""

import math
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

Row = Mapping[str, Any]
TRUE, FALSE = {"true", "1", "1.0", "yes", "good", "desirable"}, {"false", "0", "0.0", "-1", "no", "bad", "undesirable"}


def preference(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt`, `chosen`, `rejected`; an implicit prompt is what both begin with."""
    _need(row, "chosen", "rejected")
    if row.get("prompt") is not None:
        _need(row, "prompt", "chosen", "rejected")
        yield dict(row)
        return
    chosen, rejected = row["chosen"], row["rejected"]
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if isinstance(chosen, str) and shared:  # end the prompt at a word's end, so that no token straddles it
        shared = max(chosen.rfind(" ", 0, shared), chosen.rfind("\n", 0, shared) + 1, 0)
    if not shared:
        raise ValueError(f"row {row['id']}: chosen and rejected begin differently: give the prompt a column")
    yield {**row, "prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def ranking(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt`, `chosen`, `rejected` of a preference, or of each pair of a ranking: `prompt` and `completions` with
    their `scores` (every pair; equal scores are a tie), or with `pairs` of the places of a better and a worse one."""
    if row.get("completions") is None:
        pair = next(preference(row))
        sure = abs(2 * number(pair, "p_chosen", most=1.0) - 1)
        if number(pair, "p_tie", 0.0, most=1.0) + sure > 1 + 1e-6:
            raise ValueError(
                f"row {row['id']}: p_tie is {row['p_tie']!r}: use at most {1 - sure:.6g} with this p_chosen, which is "
                "P(win) + P(tie)/2"
            )
        yield pair
        return
    answers = row["completions"]
    if isinstance(answers, str) or len(answers) < 2:
        raise ValueError(f"row {row['id']}: completions is {answers!r:.60}: use a list of 2 or more")
    rest = {k: v for k, v in row.items() if k not in ("completions", "scores", "pairs")}
    for better, worse, is_tie in _ordered(row, len(answers)):
        pair = rest | {"chosen": answers[better], "rejected": answers[worse]}
        pair |= {"id": f"{row['id']}/{better}{'=' if is_tie else '>'}{worse}"}
        _need(pair, "prompt", "chosen", "rejected")
        yield pair | ({"p_chosen": 0.5, "p_tie": 1.0} if is_tie else {})


def _ordered(row: Row, count: int) -> Iterator[tuple[int, int, bool]]:
    """Pairs of places of `count` completions, the better first, and whether they are as good."""
    scores, pairs = row.get("scores"), row.get("pairs")
    if pairs is not None and scores is None:
        for pair in pairs:
            places = isinstance(pair, list | tuple) and len(set(pair)) == len(pair) == 2
            if not (places and all(place in range(count) for place in pair)):
                raise ValueError(f"row {row['id']}: pairs has {pair!r}: use two places from 0 to {count - 1}")
            yield int(pair[0]), int(pair[1]), False
        return
    if scores is None or pairs is not None:
        raise ValueError(f"row {row['id']}: completions need one of the columns scores and pairs")
    if len(scores) != count:
        raise ValueError(f"row {row['id']}: {len(scores)} scores for {count} completions: give one for each")
    found = [number({"id": row["id"], "scores": score}, "scores", math.nan, -math.inf) for score in scores]
    for i, j in combinations(range(count), 2):
        better, worse = (j, i) if found[j] > found[i] else (i, j)
        yield better, worse, found[i] == found[j]


def unpaired(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt`, `completion`, and how desirable it is; a preference row gives two."""
    if row.get("chosen") is not None and row.get("completion") is None:
        pair = next(preference(row))
        p = number(pair, "p_chosen", most=1.0)
        rest = {k: v for k, v in pair.items() if k not in ("chosen", "rejected", "p_chosen")}
        for side, desirable in (("chosen", p), ("rejected", 1 - p)):
            yield rest | {"id": f"{row['id']}/{side}", "completion": pair[side], "p_desirable": desirable}
        return
    _need(row, "prompt", "completion")
    if row.get("p_desirable") is None:
        row = {**row, "p_desirable": _desirable(row)}
    yield dict(row)


def demonstration(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt`, `completion`. Of `messages`, the last turn is what is learnt; of a plain `text`, all of it."""
    if row.get("messages") is not None:
        _need(row, "messages")
        messages = row["messages"]
        if isinstance(messages, str) or len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise ValueError(f"row {row['id']}: messages must end with an assistant's turn after another")
        yield {**row, "prompt": messages[:-1], "completion": messages[-1:]}
    elif row.get("text") is not None:
        _need(row, "text")
        yield {**row, "prompt": "", "completion": row["text"]}
    else:
        _need(row, "prompt", "completion")
        yield dict(row)


def number(row: Row, column: str, default: float = 1.0, least: float = 0.0, most: float = math.inf) -> float:
    """A finite number from `least` to `most`; `default` where the row has none."""
    value = row.get(column)
    try:
        found = default if value is None else float(value)
    except (TypeError, ValueError):
        found = math.nan
    if not (least <= found <= most and math.isfinite(found)):
        bounds = {math.inf: "finite number" if least == -math.inf else f"number {least:g} or more"}
        wanted = bounds.get(most, f"number from {least:g} to {most:g}")
        raise ValueError(f"row {row['id']}: {column} is {value!r}: use a {wanted}")
    return found


def _need(row: Row, *names: str) -> None:
    """Raises ValueError unless the columns are there and all texts, or all lists of messages."""
    for name in names:
        if name not in row:
            raise ValueError(f"row {row['id']}: no column {name!r} among {', '.join(row)}")
        value = row[name]
        messages = isinstance(value, list | tuple) and all(isinstance(m, Mapping) and "role" in m for m in value)
        if not (isinstance(value, str) or messages):
            raise ValueError(f"row {row['id']}: {name} is {value!r:.60}: use a text or a list of messages")
        if isinstance(value, str) != isinstance(row[names[0]], str):
            raise ValueError(f"row {row['id']}: {names[0]} and {name} differ: use texts or lists of messages for both")


def _desirable(row: Row) -> float:
    if "label" not in row:
        raise ValueError(f"row {row['id']}: no column 'label' or 'p_desirable' among {', '.join(row)}")
    label = row["label"]
    text = str(label).strip().lower()
    if text in TRUE | FALSE:
        return float(text in TRUE)
    if isinstance(label, float) and 0 <= label <= 1:
        return label
    raise ValueError(f"row {row['id']}: label is {label!r}: use true or false (or p_desirable between 0 and 1)")
