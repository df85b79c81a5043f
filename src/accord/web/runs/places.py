"""Where runs are, and what `accord compare` left. A name from a request leads nowhere else."""

from pathlib import Path
from typing import NamedTuple

from accord.runs import run_path
from accord.runs.names import LONGEST
from accord.web.runs.folder import Folder, glance
from accord.web.site import Site

ANSWERS = ".answers.jsonl"  # `accord compare` keeps answers beside its figures, under their name


class Left(NamedTuple):
    """A comparison's figures. `written` is in seconds since 1970."""

    name: str
    figures: Path
    written: float


def run_folder(site: Site, name: str) -> Path:
    """The folder of the run. Raises KeyError where there is none of that name inside the runs folder."""
    try:
        path = run_path(site.runs, name)
        if (path / "run.json").is_file():
            return path
    except (OSError, ValueError):
        pass
    raise KeyError(f"run {name[:LONGEST]}")


def all_runs(site: Site) -> list[Folder]:
    """The runs, the newest first; links that lead out of the folder are none."""
    found = []
    for file in site.runs.glob("*/run.json"):
        try:
            found.append(glance(run_folder(site, file.parent.name)))
        except KeyError:
            continue
    return sorted(found, key=lambda folder: folder.made, reverse=True)


def comparisons(site: Site) -> list[Left]:
    """What `accord compare` left in the project, or beside its runs, the newest first."""
    found = []
    for folder in _folders(site):
        for answers in folder.glob(f"*{ANSWERS}"):
            try:
                found.append(comparison(site, answers.name.removesuffix(ANSWERS)))
            except KeyError:
                continue
    return sorted({left.name: left for left in found}.values(), key=lambda left: left.written, reverse=True)


def comparison(site: Site, name: str) -> Left:
    """The comparison of that name. Raises KeyError where there is none."""
    for folder in _folders(site):
        try:
            figures = run_path(folder, f"{name}.json")
            if figures.is_file() and run_path(folder, name + ANSWERS).is_file():
                return Left(name, figures, figures.stat().st_mtime)
        except (OSError, ValueError):
            continue
    raise KeyError(f"comparison {name[:LONGEST]}")


def _folders(site: Site) -> tuple[Path, Path]:
    return site.runs.resolve().parent, site.runs
