"""Run names, which become folders: a short allow-list, and never a way out of the runs folder."""

import re
from pathlib import Path

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*")
LONGEST = 80


def run_path(root: Path | str, name: str) -> Path:
    """`root/name`, resolved. Raises ValueError where `name` is no plain name, or a link leads out of `root`."""
    if len(name) > LONGEST or not NAME.fullmatch(name):
        raise ValueError(f"run name {name[:LONGEST]!r}: use letters, digits, '-', '_' and '.', {LONGEST} at most")
    home = Path(root).resolve()
    path = (home / name).resolve()
    if path.parent != home:
        raise ValueError(f"run name {name!r}: it is a link that leads out of {home}; use a folder inside it")
    return path


def list_runs(root: Path | str) -> list[Path]:
    """The run folders in `root`, the one that was started last first."""
    files = [path for path in Path(root).glob("*/run.json") if NAME.fullmatch(path.parent.name)]
    return [path.parent for path in sorted(files, key=lambda path: path.stat().st_mtime, reverse=True)]


def find_run(wanted: Path | str, root: Path | str = "runs") -> Path:
    """The run folder that a person means: a path to one, or the name of one in `root`.

    Raises ValueError naming the runs that there are.
    """
    if (Path(wanted) / "run.json").is_file():
        return Path(wanted).resolve()
    if Path(wanted).name == str(wanted):
        path = run_path(root, str(wanted))
        if (path / "run.json").is_file():
            return path
    known = ", ".join(path.name for path in list_runs(root)[:8])
    remedy = f"there are: {known}" if known else f"there are none in {root} yet; train one with `accord dpo`"
    raise ValueError(f"no run {str(wanted)!r}: {remedy}")
