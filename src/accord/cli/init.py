"""`accord init`: a folder for votes and runs."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
import yaml

from accord.cli.project import FILE, defaults, located
from accord.feedback import AccordError
from accord.store import Store

SETTINGS = """\
# This folder is an Accord project: commands find this file from the working directory upwards.
{name}

# Where the votes are: a file in this folder, or the URL of a PostgreSQL database, such as
# postgresql://me@host/votes (pip install "accord[postgres]"). No password here: PGPASSWORD or ~/.pgpass holds it.
{database}

# The model to align: smollm2 (comes with Accord), a folder, or a name on the Hugging Face hub.
{model}
"""


def command(
    directory: Annotated[Path, typer.Argument(help="The folder to make the project in.", show_default="here")] = Path(
        "."
    ),
    database: Annotated[
        str, typer.Option(help="Where votes are kept: a file in the project, or the URL of a database.")
    ] = "accord.db",
    model: Annotated[
        str, typer.Option(help="The model to align: smollm2, a folder, or a name on the hub.")
    ] = "smollm2",
) -> None:
    """Make a project folder: accord.yaml (settings), accord.db (votes), runs/ (trained models)."""
    root = directory.resolve()
    if (root / FILE).exists():
        raise AccordError(f"{root / FILE} is there already; edit it, or name another folder")
    try:
        (root / "runs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AccordError(f"{root}: {error.strerror} (name a folder that you may write in)") from None
    Store.open(located(root, database)).close()
    settings = defaults(root) | {"database": database, "model": model}
    file = database.removeprefix("sqlite:///")
    ignore = root / ".gitignore"
    if not ignore.exists():
        ignore.write_text("/runs/\n" + ("" if "://" in file else f"/{file}*\n"), encoding="utf-8")
    # Last, because it is what makes the folder a project: what failed before can be tried again.
    (root / FILE).write_text(
        SETTINGS.format(**{key: _line(key, value) for key, value in settings.items()}), encoding="utf-8"
    )
    _tell(root, settings["name"], database)


def _line(key: str, value: str) -> str:
    """One YAML setting, quoted where it must be."""
    return yaml.safe_dump({key: value}, allow_unicode=True, width=10_000).strip()


def _tell(root: Path, name: str, database: str) -> None:
    here = root == Path.cwd()
    made = {FILE: "settings", database: "votes", "runs/": "trained models, one folder a run"}
    wide = max(map(len, made))
    print(f"Made the project {name} in {root}")
    for file, what in made.items():
        print(f"  {file:{wide}}  {what}")
    print("\nNext:")
    if not here:
        print(f"  cd {shlex.quote(_from_here(root))}")
    print("  accord import FILE…   read votes or preferences you have")
    print("  accord doctor         look at them before training")
    print("  accord dpo --help     train on them")


def _from_here(root: Path) -> str:
    return str(root.relative_to(Path.cwd())) if root.is_relative_to(Path.cwd()) else str(root)
