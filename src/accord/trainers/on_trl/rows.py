"""Accord's training rows as TRL's trainers read them. What they cannot say is refused: TRL has no soft labels."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from accord.trainers import rows
from accord.trainers.prompts import prompts_of

Row = Mapping[str, Any]

SURE, TIE = "train on the votes with --labels majority", "`accord export` writes the rows without ties"
#: column -> the values that TRL can be told, and what else to do
CERTAIN: dict[str, tuple[tuple[float, ...], str]] = {
    "p_chosen": ((0, 1), SURE),
    "p_desirable": ((0, 1), SURE),
    "p_tie": ((0,), "leave its ties out"),
    "weight": ((1,), "repeat rows, or take them out"),
}


def check_rows(given: Iterable[Row]) -> None:
    """Raises ValueError, naming the first such row, where TRL cannot be told what the rows say."""
    for row in given:
        for column, (certain, remedy) in CERTAIN.items():
            value = row.get(column)
            if value is not None and value not in certain:
                remedy = TIE if remedy == SURE and value == 0.5 else remedy
                known = " and ".join(map(str, certain))
                raise ValueError(
                    f"row {row.get('id')}: {column} is {value:.3g}, and TRL knows only {known}: {remedy}, or leave out "
                    "--backend trl"
                )


def preference(row: Row) -> dict[str, Any]:
    """`prompt`, `chosen`, `rejected`, and `margin` where the data have one; a pair that people turn round is turned."""
    pair = {name: row[name] for name in ("prompt", "chosen", "rejected")}
    if "margin" in row:
        pair["margin"] = row["margin"] or 0.0
    if row.get("p_chosen") == 0:
        pair |= {"chosen": row["rejected"], "rejected": row["chosen"]}
    return pair


def unpaired(row: Row) -> dict[str, Any]:
    """`prompt`, `completion`, `label`."""
    wanted = row["label"] if row.get("p_desirable") is None else row["p_desirable"]
    return {"prompt": row["prompt"], "completion": row["completion"], "label": bool(wanted)}


def demonstration(row: Row) -> dict[str, Any]:
    """`prompt` and `completion`: of `messages`, the last turn is learnt, as in Accord."""
    whole = next(rows.demonstration(row))
    return {"prompt": whole["prompt"], "completion": whole["completion"]}


def prompts(given: Iterable[Row], name: str, tokenizer: Any, args: Any) -> list[dict[str, Any]]:
    """`prompt` and the columns that rewards are told, of the prompts that leave room for a completion: TRL has no limit
    of its own."""
    longest = None if args.max_length is None else args.max_length - args.max_completion_length
    found = prompts_of(given, name, tokenizer, longest, lambda what, done, total: None)
    return [{"prompt": each.text, **each.columns} for each in found]


#: method -> a row of Accord's as TRL's
FORMS: dict[str, Callable[[Row], dict[str, Any]]] = {
    "sft": demonstration,
    "dpo": preference,
    "kto": unpaired,
    "reward": preference,
}
