"""Who takes part in `accord compare`: the base model and the runs, and by what their answers are known again."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b, file_digest
from pathlib import Path

from accord.cli.run_models import as_loaded, settled, start, trained, untrained
from accord.cli.which_run import which_run
from accord.feedback import AccordError, fingerprint
from accord.policy.load import Policy, load_policy
from accord.runs import Run

BASE = "base"
#: The files of a model that decide what it answers.
TELLING = ("*.safetensors", "*config.json", "tokenizer.json", "*.jinja")


@dataclass(frozen=True)
class Contender:
    """One model.

    name    what the report calls it; no two are called the same
    method  what it was trained with; "" for the base
    source  its folder, or its name on the Hub
    id      equal for the same weights loaded in the same way
    load    brings torch, and takes its time
    """

    name: str
    method: str
    source: str
    id: str
    load: Callable[[], Policy]


def contenders(runs: Sequence[Run], base: str | None, project: Path | None = None) -> list[Contender]:
    """The base, then the runs' models. `base` names another than the one that all the runs began with.

    Raises AccordError where a run's model writes no answers, or the runs began with different models.
    """
    for run in runs:
        if run.info.get("method") == "reward":
            raise AccordError(f"{run.name}: a reward model, which writes no answers; give it as --reward-model")
    first = the_base(runs) if base is None else another_base(base, runs[0], project)
    return [first, *(of_run(run, name) for run, name in zip(runs, distinct(runs), strict=True))]


def distinct(runs: Sequence[Run]) -> list[str]:
    """The runs' names; folders, where names are not enough. Raises AccordError where a run is there twice."""
    taken = Counter([BASE, *(run.name for run in runs)])
    names = [run.name if taken[run.name] == 1 else str(run.path) for run in runs]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise AccordError(f"{twice[0]}: is there twice; name each run once")
    return names


def the_base(runs: Sequence[Run]) -> Contender:
    """The model that all the runs began with. Raises AccordError where there is more than one."""
    began = {tuple(map(content, start(run))): run for run in reversed(runs)}
    if len(began) > 1:
        told = ", ".join(f"{run.name} with {' + '.join(filter(None, start(run)))}" for run in reversed(began.values()))
        raise AccordError(f"the runs began with different models ({told}): say which to compare with: --base MODEL")
    ((place, run),) = began.items()
    return Contender(BASE, "", start(run)[0], fingerprint(place, as_loaded(run)), partial(untrained, run))


def another_base(name: str, run: Run, project: Path | None) -> Contender:
    """A run, a model's folder or its name, loaded as the model of `run` is."""
    try:
        place = str(which_run(name, project))
    except AccordError:
        place = name

    def load() -> Policy:
        return settled(load_policy(place, **as_loaded(run)), run)

    return Contender(BASE, "", place, fingerprint([content(place), "", ""], as_loaded(run)), load)


def of_run(run: Run, name: str) -> Contender:
    """The model that the run ended with."""
    known = fingerprint(content(str(run.path)), list(map(content, start(run))), as_loaded(run))
    return Contender(name, str(run.info.get("method") or ""), str(run.path), known, partial(trained, run))


def content(place: str) -> str:
    """A folder's weights and settings, as a hash; a name as it is."""
    folder = Path(place)
    if not place or not folder.is_dir():
        return place
    digest = blake2b(digest_size=10)
    for file in sorted(file for pattern in TELLING for file in folder.glob(pattern)):
        with file.open("rb") as opened:
            digest.update(file.name.encode() + file_digest(opened, "blake2b").digest())
    return digest.hexdigest()
