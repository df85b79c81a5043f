"""Files into the project, while people vote."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from accord.exchange import read
from accord.feedback import Noun
from accord.store import Store, add_beside
from accord.store.rows import MAPPERS

VOTES = ("comparisons", "ratings")


class TakenUp(NamedTuple):
    """What was in the files: nouns that were new, votes that were there before; and what the project has now."""

    added: dict[str, int]
    already_there: dict[str, int]
    total: dict[str, int]


def take_up(
    store: Store,
    paths: Sequence[Path],
    format: str | None = None,
    split: str = "",
    *,
    progress: Callable[[int], object] | None = None,
    poured: Callable[[int, int], None] | None = None,
) -> TakenUp:
    """Reads the files into the store: all or, if anything is wrong, nothing. Raises BadInput as `exchange.read`.

    progress  hears how many bytes more were read
    poured    hears how many rows are in the database, of how many
    """
    seen: Counter[str] = Counter()
    added = add_beside(store, _counted(read(paths, format, split=split, progress=progress), seen), poured=poured)
    totals = store.counts()
    return TakenUp({name: added[name] for name in totals}, {name: seen[name] - added[name] for name in VOTES}, totals)


def look(
    paths: Sequence[Path],
    format: str | None = None,
    split: str = "",
    *,
    progress: Callable[[int], object] | None = None,
) -> TakenUp:
    """What `take_up` would make of the files in an empty project; nothing is written to any other."""
    with TemporaryDirectory(prefix="accord-look-") as folder, Store.open(Path(folder) / "look.db") as store:
        return take_up(store, paths, format, split, progress=progress)


def _counted(nouns: Iterable[Noun], seen: Counter[str]) -> Iterator[Noun]:
    for noun in nouns:
        seen[MAPPERS[type(noun)].table.name] += 1
        yield noun
