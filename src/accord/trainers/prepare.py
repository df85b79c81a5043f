"""A dataset's rows to the examples that a trainer draws from."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from accord.policy.encode import encode
from accord.trainers.config import AccordConfig
from accord.trainers.examples import Example
from accord.trainers.objective import Method
from accord.trainers.rows import number

log = logging.getLogger(__name__)


def examples_of(
    dataset: Iterable[Mapping[str, Any]],
    name: str,
    method: Method,
    tokenizer,
    args: AccordConfig,
    progress: Callable[[str, int, int], None],
) -> list[Example]:
    """Encodes the rows of the `name` dataset (`train` or `eval`). A row without `id` is known by its number.

    Rows that the length limit leaves nothing of are dropped, those that it shortens kept; both are counted and
    logged. Raises ValueError, naming the row, for one that cannot be used.
    """
    if isinstance(dataset, Mapping):
        raise ValueError(f"{name}_dataset holds several datasets ({', '.join(dataset)}): give one of them")
    rows: list[dict[str, Any]] = []
    for index, source in enumerate(dataset):
        if not isinstance(source, Mapping):
            raise ValueError(f"{name} row {index} is a {type(source).__name__}: rows are dicts of columns")
        rows += method.rows({**source, "id": index if source.get("id") is None else source["id"]})
    if not rows:
        raise ValueError(f"{name}_dataset is empty")

    kept: list[Example] = []
    dropped: list[str] = []
    shortened = 0
    limits = {"max_length": args.max_length, "truncation_mode": args.truncation_mode}
    encoded = encode(rows, tokenizer, method.completions, **limits)  # type: ignore[arg-type]
    for done, (row, each) in enumerate(zip(rows, encoded, strict=True), 1):
        progress(f"tokenising {name} rows", done, len(rows))
        p = number(row, method.label, 1, 0, 1) if method.label else 1.0
        weight = number(row, "weight")
        shortened += each.cut > 0 and each.tree is not None
        if each.tree is None:
            dropped.append(str(row["id"]))
        else:
            numbers = {column: number(row, column, *within) for column, within in method.numbers.items()}
            kept.append(Example(str(row["id"]), each.tree, p, weight, numbers))
    limit = f"max_length={args.max_length}"
    if dropped:
        names = ", ".join(dropped[:3]) + (" …" if len(dropped) > 3 else "")
        log.warning("dropped %d of %d %s rows (%s): nothing of an answer is left within %s",
                    len(dropped), len(rows), name, names, limit)  # fmt: skip
    if shortened:
        log.warning("cut %d of %d %s rows to %s", shortened, len(rows), name, limit)
    if not kept:
        raise ValueError(f"no {name} row has an answer within {limit}: raise it, or look at row {dropped[0]}")
    method.check(args, kept)
    return kept
