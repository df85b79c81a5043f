"""From files to nouns: which format each file has, and everything in it, as a stream."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

from accord.exchange.containers import sources
from accord.exchange.formats import FORMATS
from accord.exchange.source import Progress, Source
from accord.feedback import AccordError, Annotator, Noun, Prompt, Response

#: Columns that mean what another name means here.
RENAME = {
    "question": "prompt",
    "query": "prompt",
    "response": "completion",
    "answer": "completion",
    "text": "prompt and completion",
    "preferred": "chosen",
    "accepted": "chosen",
    "dispreferred": "rejected",
}
#: Prompts, responses and annotators that are remembered, so as not to be given again at once.
REMEMBERED = 2**16


def read(
    paths: str | Path | Iterable[str | Path],
    format: str | None = None,
    *,
    split: str = "",
    progress: Progress | None = None,
) -> Iterator[Noun]:
    """Everything that the files say, each noun before its use, read as it is asked for.

    paths     files of any container (`containers`), or folders that `datasets` saved; several may be needed together
    format    a name in FORMATS; without it, the columns of each file's first row decide
    split     `train` or `test` for all rows; without it, the folder or the row's column `split` says
    progress  hears how many bytes more were read

    A noun may come more than once: its id tells. Raises BadInput at the first thing that is wrong, AccordError for an
    unknown `format`.
    """
    if format is not None and format not in FORMATS:
        near = get_close_matches(format, FORMATS, n=1)
        known = f"do you mean {near[0]}?" if near else f"use one of {', '.join(FORMATS)}"
        raise AccordError(f"--format: no format is called {format!r} ({known})")
    if split not in ("", "train", "test"):
        raise AccordError(f"--split: {split!r} is neither train nor test")
    named = [paths] if isinstance(paths, str | Path) else paths
    found = [source for path in named for source in sources(Path(path), progress or (lambda _: None))]
    by_format: dict[str, list[Source]] = {}
    for source in found:
        by_format.setdefault(format or detect(source), []).append(replace(source, split=split or source.split))
    for name, group in by_format.items():
        yield from _once(FORMATS[name].read(group))


def detect(source: Source) -> str:
    """The format of `source`, by the columns of its first row. Raises BadInput where none or several fit."""
    first = source.first()
    fitting = [name for name, format in FORMATS.items() if format.sniff(first.values)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise first.bad("columns", f"fit {' and '.join(fitting)} (say which: --format {fitting[0]})")
    columns = ", ".join(map(str, first.values)) or "none"
    renamed = [f"rename {old} to {new}" for old, new in RENAME.items() if old in first.values]
    remedy = "; ".join(renamed) or "rename them to those of a format, such as prompt, chosen, rejected"
    raise first.bad("columns", f"{columns} fit no format that Accord reads ({remedy})")


def _once(nouns: Iterator[Noun]) -> Iterator[Noun]:
    """`nouns` without what was given lately: prompts stand in many rows. Votes all pass."""
    lately: OrderedDict[object, None] = OrderedDict()
    for noun in nouns:
        if isinstance(noun, Prompt | Response | Annotator):
            key = (noun.id, noun.split if isinstance(noun, Prompt) else type(noun).__name__)
            if key in lately:
                lately.move_to_end(key)
                continue
            lately[key] = None
            if len(lately) > REMEMBERED:
                lately.popitem(last=False)
        yield noun
