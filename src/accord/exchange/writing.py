"""What people said, in TRL's forms, for any trainer to read; and all of it in Accord's own."""

import csv
import gzip
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, NamedTuple

from accord.exchange.csv_text import to_cell
from accord.exchange.formats.votes import to_row
from accord.exchange.rows import preference_rows, unpaired_rows
from accord.feedback import AccordError, Noun, PairLabel, Prompt, Response, ResponseLabel

Row = dict[str, Any]


class Form(NamedTuple):
    """A form of TRL's: the rows, the columns with answers, and the one that says how sure people were."""

    rows: Callable[..., Iterator[Row]]
    answers: tuple[str, ...]
    sure: str


FORMS = {
    "dpo": Form(preference_rows, ("chosen", "rejected"), "p_chosen"),
    "reward": Form(preference_rows, ("chosen", "rejected"), "p_chosen"),
    "kto": Form(unpaired_rows, ("completion",), "p_desirable"),
}


def write_export(
    form: str,
    path: str | Path,
    prompts: Iterable[Prompt],
    responses: Iterable[Response],
    labels: Iterable[PairLabel] | Iterable[ResponseLabel],
) -> Counter[str]:
    """Writes TRL's `dpo`, `reward` or `kto` rows to a .jsonl, .json, .csv (each also .gz) or .parquet file.

    Beside TRL's columns stand `id`, how sure people were (`p_chosen` or `p_desirable`, and `p_tie` if any pair has
    ties), `weight`, `split` where it is known, and the columns that came with the data. TRL has no soft labels, so
    labels that say nothing (probability ½, or weight 0) are left out, and so are empty answers, which trainers cannot
    read. Returns the number of `rows` written, and of those left out by reason. The file appears when it is whole. CSV
    cells are disarmed (`csv_text`).
    """
    rows, answers, sure = FORMS[form]
    counts: Counter[str] = Counter(rows=0)
    kept = []
    with_split = (replace(p, extra={**p.extra, "split": p.split}) if p.split else p for p in prompts)
    for row in rows(with_split, responses, labels):
        if row[sure] == 0.5 or row["weight"] == 0:
            counts["undecided"] += 1
        elif any(_blank(row[answer]) for answer in answers):
            counts["empty answer"] += 1
        else:
            counts["rows"] += 1
            kept.append(row)
    if form == "reward" and any("margin" in row for row in kept):
        for row in kept:
            row.setdefault("margin", 0.0)  # TRL reads margins from all rows of a batch or from none
    with replacing(Path(path)) as file:
        _writer(Path(path))(file, kept)
    return counts


def write_votes(path: str | Path, nouns: Iterable[Noun]) -> Counter[str]:
    """Writes `nouns`, as they come, in Accord's own form (`formats.votes`) to a .jsonl or .jsonl.gz file.

    Returns how many of each noun there were.
    """
    path = Path(path)
    if "".join(path.suffixes[-2:]).removesuffix(".gz")[-6:] != ".jsonl":
        raise AccordError(f"{path}: votes are written as .jsonl or .jsonl.gz (rename the file)")
    counts: Counter[str] = Counter()

    def rows() -> Iterator[Row]:
        for noun in nouns:
            row = to_row(noun)
            counts[row["noun"]] += 1
            yield row

    with replacing(path) as file:
        _jsonl(file, rows())
    return counts


def write_rows(path: str | Path, rows: Iterable[Row]) -> None:
    """Writes `rows` to a .jsonl, .json, .csv (each also .gz) or .parquet file; to .jsonl as they come, without holding
    them in memory. The file appears when it is whole. CSV cells are disarmed (`csv_text`)."""
    write = _writer(Path(path))
    with replacing(Path(path)) as file:
        write(file, rows)


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes the place of `path` when the block ends well, gzipped where the name ends in .gz."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise AccordError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        beside.unlink(missing_ok=True)


def _blank(content: str | list[dict[str, str]]) -> bool:
    return not (content if isinstance(content, str) else "".join(message["content"] for message in content)).strip()


def _jsonl(file: IO[bytes], rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _json(file: IO[bytes], rows: Iterable[Mapping[str, Any]]) -> None:
    file.write(json.dumps(list(rows), ensure_ascii=False, indent=1).encode() + b"\n")


def _csv(file: IO[bytes], rows: Iterable[Row]) -> None:
    rows = list(rows)
    text = io.TextIOWrapper(file, "utf-8", newline="")
    writer = csv.DictWriter(text, _columns(rows), restval="", lineterminator="\n")
    writer.writerow({name: to_cell(name) for name in writer.fieldnames})
    writer.writerows({name: to_cell(value) for name, value in row.items()} for row in rows)
    text.detach()


def _parquet(file: IO[bytes], rows: Iterable[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = list(rows)
    columns = {name: [row.get(name) for row in rows] for name in _columns(rows)}
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pyarrow.array(values)
        except pyarrow.ArrowException:
            raise AccordError(f"column {name} mixes kinds of values, which Parquet cannot hold: write .jsonl") from None
    try:
        pyarrow.parquet.write_table(pyarrow.table(arrays), file)
    except pyarrow.ArrowException as error:
        raise AccordError(f"Parquet cannot hold these rows ({error}): write .jsonl") from None


def _columns(rows: list[Row]) -> list[str]:
    """All columns, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


WRITERS: dict[str, Callable[[IO[bytes], Iterable[Row]], None]] = {
    ".jsonl": _jsonl,
    ".json": _json,
    ".csv": _csv,
    ".parquet": _parquet,
}


def _writer(path: Path) -> Callable[[IO[bytes], Iterable[Row]], None]:
    packed = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if packed else path.suffix
    if suffix not in WRITERS or (packed and suffix == ".parquet"):
        raise AccordError(f"{path}: name it .jsonl, .json or .csv (or these with .gz), or .parquet")
    return WRITERS[suffix]
