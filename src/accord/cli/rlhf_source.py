"""Where `accord rlhf` has its votes from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from accord.cli.project import find_project, open_store
from accord.feedback import AccordError, AnnotatorKind
from accord.quality.tastes import TASTES


@dataclass(frozen=True)
class Source:
    """What `dataset_name` is told, the model to begin with, and where the runs go.

    taste  the one that all annotators have, where all are simulated; else ""
    """

    names: list[str]
    model: str
    runs: Path
    taste: str = ""


def of_files(files: list[str], model: str | None) -> Source:
    """Votes in files; the runs go to ./runs."""
    return Source(files, model or "smollm2", Path("runs"))


def of_project(folder: Path | None, model: str | None) -> Source:
    """Votes of a project. Raises AccordError where there is none, or nobody has voted there."""
    try:
        project = find_project(folder)
    except AccordError as error:
        raise AccordError(f"{error}, or say --data FILE; `accord demo` makes a project with votes, demo") from None
    with open_store(project) as store:
        annotators, votes = list(store.annotators()), store.counts()["comparisons"]
    root = folder or _from_here(project.root)
    if not votes:
        raise AccordError(
            f"{root}: nobody has compared answers yet: bring votes with `accord import FILE`, or run `accord demo` "
            "first, which makes a project with a simulated panel's"
        )
    tastes = {str(each.extra.get("taste")) for each in annotators if each.kind is AnnotatorKind.SIMULATED}
    agreed = tastes.pop() if len(tastes) == 1 else ""
    simulated = all(each.kind is AnnotatorKind.SIMULATED for each in annotators)
    local = project.root / project.model
    return Source(
        [str(root)],
        model or (str(local) if local.is_dir() else project.model),
        root / "runs",
        agreed if simulated and agreed in TASTES else "",
    )


def _from_here(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
