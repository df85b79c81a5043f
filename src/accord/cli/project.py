"""The project folder: finding it, reading accord.yaml, opening its store."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from accord.feedback import AccordError

if TYPE_CHECKING:
    from accord.store import Store

FILE = "accord.yaml"


@dataclass(frozen=True, slots=True)
class Project:
    """What accord.yaml says. `database` is an absolute path or a URL, `model` a name or folder as the user wrote it."""

    root: Path
    name: str
    database: str
    model: str

    @property
    def runs(self) -> Path:
        """The folder of training runs."""
        return self.root / "runs"


def defaults(root: Path) -> dict[str, str]:
    """The settings of a project whose accord.yaml says nothing."""
    return {"name": root.name or "project", "database": "accord.db", "model": "smollm2"}


def find_project(start: Path | None = None) -> Project:
    """The project that `start` (the working directory) is in: the nearest folder upwards with an accord.yaml."""
    folder = (start or Path.cwd()).resolve()
    for root in (folder, *folder.parents):
        if (root / FILE).is_file():
            return read(root)
    where, there = ("here", ".") if start is None else (f"in {start}", str(start))
    below = min((file.parent.name for file in folder.glob(f"*/{FILE}")), default=None)
    if below is not None:
        near = Path(below) if start is None else start / below
        raise AccordError(f"no {FILE} {where} or above, but there is one in {near}: say --project {near}, or go there")
    raise AccordError(f"no {FILE} {where} or above; run `accord init {there}`")


def read(root: Path) -> Project:
    """The project in `root`. Raises AccordError, with the line, for a file that cannot be read."""
    known = defaults(root)
    settings = known | _settings(root / FILE, list(known))
    return Project(root, settings["name"], located(root, settings["database"]), settings["model"])


def located(root: Path, database: str) -> str:
    """`database` for `Store.open`: the path of a file counts from the project folder."""
    kind, slashes, path = database.partition(":///")
    if slashes and kind.startswith("sqlite"):
        return f"{kind}:///{root / path}"
    return database if "://" in database else str(root / database)


def open_store(project: Project) -> Store:
    """The project's votes. Close it, or use it in a `with` statement."""
    from accord.store import Store

    return Store.open(project.database)


def _settings(file: Path, known: list[str]) -> dict[str, str]:
    try:
        settings = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise AccordError(f"{file}:{line}: {error.problem} (write each setting as `name: value`)") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AccordError(f"{file}: {' '.join(str(error).split())}") from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise AccordError(f"{file}: no settings in it (write each as `name: value`)")
    for key, value in settings.items():
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            raise AccordError(
                f"{file}: {key}: no such setting ({f'do you mean {near[0]}?' if near else ', '.join(known)})"
            )
        if isinstance(value, (dict, list)) or value is None:
            raise AccordError(f"{file}: {key}: give it one value, such as `{key}: {defaults(file.parent)[key]}`")
    return {key: str(value) for key, value in settings.items()}
