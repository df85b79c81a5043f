"""What a model of the Arena is made of: so that two which share a base can share it in memory. No torch here."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from accord.cli.run_models import as_loaded, start
from accord.feedback import AccordError
from accord.policy.gguf import EMBEDDED, cache_name, embedded_gguf
from accord.runs import Run

#: Before a run's folder: the model that the run began with.
BASE = "base:"

_ADAPTER = "adapter_config.json"
_CAREFULLY = {"trust_remote_code": False, "load_in_4bit": False, "load_in_8bit": False}


class Adapter(NamedTuple):
    """A LoRA adapter's folder, and when it was written: trained again, it is another."""

    folder: str
    written: int


class Base(NamedTuple):
    """What adapters lie on. Equal for models that differ in their adapters alone.

    place     a model's folder, or its name
    written   when the folder's weights were written
    revision  "" for the newest
    settings  how it is loaded, as `load_policy` takes it
    """

    place: str
    written: int
    revision: str
    settings: tuple[tuple[str, Any], ...]


class Parts(NamedTuple):
    """A model, taken apart: `adapter` is None where it is all base; `tokenizer` is where that is loaded from."""

    base: Base
    adapter: Adapter | None
    tokenizer: str


def parts(source: str) -> Parts:
    """What `source` is: a run's folder (its trained model), `base:` and a run's folder, a model's folder or its name.

    All are loaded in the precision that they were saved in, as `accord chat` does. Raises AccordError or ValueError, in
    one line, where a run's folder is none or its model writes no answers.
    """
    if source.startswith(BASE):
        run = Run.open(source.removeprefix(BASE))
        model, adapter, revision = start(run)
        return _parts(model, adapter, model, revision, as_loaded(run))
    if not (Path(source) / "run.json").is_file():
        return _parts(source, "", source, "", {})
    run = Run.open(source)
    if run.info.get("method") == "reward":
        raise AccordError(f"{run.name}: a reward model, which writes no answers; choose another run")
    if (run.path / _ADAPTER).is_file():
        model, _, revision = start(run)
        return _parts(model, source, source, revision, as_loaded(run))
    return _parts(source, "", source, "", as_loaded(run))


def _parts(model: str, adapter: str, tokenizer: str, revision: str, settings: dict[str, Any]) -> Parts:
    if not model:
        raise AccordError(f"{adapter or 'the run'}: does not say which model it began with; name that one instead")
    if (Path(model) / _ADAPTER).is_file():
        config = json.loads((Path(model) / _ADAPTER).read_text("utf-8"))
        if config.get("task_type") == "SEQ_CLS":
            raise AccordError(f"{model}: a reward model, which writes no answers; choose another model")
        under = config.get("base_model_name_or_path")
        if not under:
            raise AccordError(f"{model}/{_ADAPTER}: base_model_name_or_path is missing; write the base model there")
        model, adapter = under, adapter or model
    place, folder = _known(model), _known(adapter) if adapter else ""
    loaded = tuple(sorted((_CAREFULLY | settings | {"dtype": "auto"}).items()))
    return Parts(
        Base(place, _written(place), revision, loaded),
        Adapter(folder, _written(folder)) if folder else None,
        _known(tokenizer),
    )


def _known(model: str) -> str:
    """One name for one model. The embedded one is also known by the folder that it was unpacked to, on any machine."""
    path = Path(model)
    if model == EMBEDDED and not path.is_dir():
        return EMBEDDED
    if path.name.startswith("SmolLM2-135M"):
        with suppress(ValueError):  # it is not installed
            if path.name == cache_name(embedded_gguf()):
                return EMBEDDED
    return str(path.resolve()) if path.is_dir() else model


def _written(place: str) -> int:
    """When a folder's weights were last written, in nanoseconds; 0 for a name."""
    return max((file.stat().st_mtime_ns for file in Path(place).glob("*.safetensors")), default=0)
