"""TRL's row forms, brought to the one that a method reads."""

from collections.abc import Iterator, Mapping
from typing import Any

Row = Mapping[str, Any]
TRUE, FALSE = {"true", "1", "1.0", "yes", "good", "desirable"}, {"false", "0", "0.0", "-1", "no", "bad", "undesirable"}


def preference(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt`, `chosen`, `rejected`; an implicit prompt is what both begin with."""
    _need(row, "chosen", "rejected")
    if "prompt" in row:
        yield dict(row)
        return
    chosen, rejected = row["chosen"], row["rejected"]
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    if isinstance(chosen, str) and shared:  # end the prompt at a word's end, so that no token straddles it
        shared = max(chosen.rfind(" ", 0, shared), chosen.rfind("\n", 0, shared) + 1, 0)
    if not shared:
        raise ValueError(f"row {row.get('id', '?')}: chosen and rejected begin differently: give the prompt a column")
    yield {**row, "prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:]}


def unpaired(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt`, `completion`, and how desirable it is; a preference row gives two."""
    if "chosen" in row and "completion" not in row:
        pair = next(preference(row))
        p = float(pair.get("p_chosen", 1.0))
        rest = {k: v for k, v in pair.items() if k not in ("chosen", "rejected", "p_chosen")}
        for side, desirable in (("chosen", p), ("rejected", 1 - p)):
            yield rest | {"id": f"{row.get('id', '?')}/{side}", "completion": pair[side], "p_desirable": desirable}
        return
    _need(row, "prompt", "completion")
    if "p_desirable" not in row:
        _need(row, "label")
        row = {**row, "p_desirable": _desirable(row)}
    yield dict(row)


def demonstration(row: Row) -> Iterator[dict[str, Any]]:
    """`prompt`, `completion`. Of `messages`, the last turn is what is learnt; of a plain `text`, all of it."""
    if "messages" in row:
        messages = row["messages"]
        if len(messages) < 2 or messages[-1]["role"] != "assistant":
            raise ValueError(f"row {row.get('id', '?')}: messages must end with an assistant's turn after another")
        yield {**row, "prompt": messages[:-1], "completion": messages[-1:]}
    elif "text" in row:
        yield {**row, "prompt": "", "completion": row["text"]}
    else:
        _need(row, "prompt", "completion")
        yield dict(row)


def _need(row: Row, *names: str) -> None:
    missing = [name for name in names if name not in row]
    if missing:
        raise ValueError(f"row {row.get('id', '?')}: no column {missing[0]!r} among {', '.join(row)}")


def _desirable(row: Row) -> float:
    label = row["label"]
    text = str(label).strip().lower()
    if text in TRUE | FALSE:
        return float(text in TRUE)
    if isinstance(label, float) and 0 <= label <= 1:
        return label
    raise ValueError(
        f"row {row.get('id', '?')}: label is {label!r}: use true or false (or p_desirable between 0 and 1)"
    )
