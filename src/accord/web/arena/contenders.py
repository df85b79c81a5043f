"""Which models may meet in the Arena, and which of them do."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from accord.feedback import AccordError
from accord.runs.files import encode, read_object, replace
from accord.runs.state import State
from accord.web.arena.conversations import Contender
from accord.web.runs.folder import Folder
from accord.web.runs.places import all_runs
from accord.web.site import Site

#: Beside the runs: the names that a curator chose.
FILE = "arena.json"


def contenders(site: Site) -> list[Contender]:
    """The runs with a model that answers, the newest first; then what they began with, and the project's model."""
    runs = {str(folder.facts.path): folder for folder in all_runs(site) if _answers(folder)}
    found = {folder.name: Contender(folder.name, path) for path, folder in runs.items()}
    for path, folder in runs.items():
        base = _base(folder, runs)
        if base and base.name not in found:
            found[base.name] = base
        found[folder.name] = Contender(
            folder.name, path, base.name if base else "", finished=folder.state is State.FINISHED
        )
    if found and site.model not in found:
        found[site.model] = Contender(site.model, site.model)
    return list(found.values())


def meeting(site: Site) -> list[Contender]:
    """Those of which a new conversation draws two: the chosen ones; where fewer than two are chosen and there, the
    newest finished run and what it began with. Fewer than two where nothing was trained yet."""
    known = contenders(site)
    names = chosen(site)
    picked = [contender for contender in known if contender.name in names]
    return picked if len(picked) > 1 else _default(known)


def chosen(site: Site) -> list[str]:
    """The names that a curator chose; none for the default, or where the file is damaged."""
    with suppress(ValueError, OSError):
        names = read_object(site.runs / FILE).get("contenders")
        if isinstance(names, list):
            return [str(name) for name in names]
    return []


def choose(site: Site, names: Iterable[str]) -> None:
    """Says who meets from now on; nobody: the default. Raises AccordError for one alone, or one that is not there."""
    known = [contender.name for contender in contenders(site)]
    wanted = list(dict.fromkeys(names))
    if missing := [name for name in wanted if name not in known]:
        raise AccordError(f"{missing[0]}: no such contender (load the page again)")
    if len(wanted) == 1:
        raise AccordError("one alone meets nobody (choose two or more)")
    try:
        replace(site.runs / FILE, encode({"contenders": wanted}, indent=2) + b"\n")
    except OSError as error:
        raise AccordError(f"{site.runs / FILE}: cannot be written: {error.strerror or error}") from None


def _default(known: list[Contender]) -> list[Contender]:
    named = {contender.name: contender for contender in known}
    pairs = [[contender, named[contender.base]] for contender in known if contender.base]
    finished = [pair for pair in pairs if pair[0].finished]
    return next(iter(finished or pairs), known[:2])


def _answers(folder: Folder) -> bool:
    """Whether the run has a model, and one that writes answers."""
    return folder.facts.method != "reward" and any(folder.facts.path.glob("*.safetensors"))


def _base(folder: Folder, runs: dict[str, Folder]) -> Contender | None:
    """What the run began with: another run, or a model as it is named; None where it does not say."""
    info, config = folder.facts.info, folder.facts.config
    model, *more = (
        str(part or "")
        for part in (info.get("base_model"), config.get("adapter_name_or_path"), config.get("model_revision"))
    )
    if not model:
        return None
    name = model
    with suppress(OSError):
        if (Path(model) / "run.json").is_file():
            path = str(Path(model).resolve())
            if path in runs and not any(more):
                return Contender(runs[path].name, path)
            name = Path(path).name
    name = " + ".join(filter(None, (name, *more)))
    taken = name in {other.name for other in runs.values()}
    return Contender(f"{name} (base)" if taken else name, f"base:{folder.facts.path}")
