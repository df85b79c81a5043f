"""The models of the Arena, kept in memory between questions; those that share a base share it there."""

import gc
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import torch

from accord.cli.arena_sources import Adapter, Base, Parts, parts
from accord.cli.chat import on_gpu
from accord.feedback import AccordError
from accord.policy.gguf import EMBEDDED, embedded_gguf, unpacked_model
from accord.policy.load import load_policy, load_tokenizer
from accord.rollout import Sampler
from accord.rollout.gate import choose
from accord.rollout.packed import Packed

KEEP = 3  # bases
#: Bytes that loading a model and answering with it may take, for each byte of its files: the half precision of most
#: files doubles in float32, and an answer is computed from a copy.
ROOM = 4


class Listening:
    """A tokenizer that remembers the last of the tokens that it was last given to read."""

    last: int | None = None

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._tokenizer(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def decode(self, tokens: Sequence[int], **settings: Any) -> Any:
        self.last = tokens[-1] if tokens else None
        return self._tokenizer.decode(tokens, **settings)


class Speaker(NamedTuple):
    """Who answers.

    take_turn  puts the model in the state that this speaker needs: before the first piece of an answer, and before
               each further one if it is `bound`
    bound      whether pieces after the first are still computed by the modules that a speaker with another adapter
               shares; usually an answer's weights are copied out of them before its first piece
    """

    sampler: Sampler
    take_turn: Callable[[], None]
    bound: bool

    @property
    def finished(self) -> bool:
        """Whether the token that was written last ends an answer."""
        return self.sampler.tokenizer.last in self.sampler.ends


class _Kept:
    """A base in memory, with the adapters on it, of which one is switched on, or none."""

    def __init__(self, model: Any, adapter: Adapter | None) -> None:
        self.model, self.now = on_gpu(model), adapter
        self.adapters = {adapter: "default"} if adapter else {}
        self.speakers: dict[Parts, Speaker] = {}
        self._switched_off = ExitStack()

    def add(self, adapter: Adapter) -> None:
        """One more adapter, beside the first."""
        if not (Path(adapter.folder) / "adapter_model.safetensors").is_file():
            raise AccordError(f"{adapter.folder}: no adapter_model.safetensors there; pickles (.bin) are not loaded")
        self.switch(next(iter(self.adapters)))
        name = f"adapter{len(self.adapters)}"
        self.model.load_adapter(adapter.folder, adapter_name=name, autocast_adapter_dtype=False)
        self.model.eval()
        self.adapters[adapter] = name
        self.speakers.clear()  # there may be modules now that were not there when these chose how to compute

    def switch(self, adapter: Adapter | None) -> None:
        """`adapter` is switched on, the others off; all are for None."""
        if adapter == self.now:
            return
        self._switched_off.close()
        if adapter is None:
            self._switched_off.enter_context(self.model.disable_adapter())
        else:
            self.model.set_adapter(self.adapters[adapter])
        self.now = adapter

    def speaker(self, wanted: Parts) -> Speaker:
        if wanted not in self.speakers:
            self.switch(wanted.adapter)
            trust = dict(wanted.base.settings)["trust_remote_code"]
            tokenizer = load_tokenizer(wanted.tokenizer, revision=wanted.base.revision or None, trust_remote_code=trust)
            sampler = Sampler(self.model, Listening(tokenizer))
            bound = bool(self.adapters) and choose(self.model, sampler.prompt_ids("What?")).decoder is not Packed
            self.speakers[wanted] = Speaker(sampler, partial(self.switch, wanted.adapter), bound)
        return self.speakers[wanted]


class ArenaModels:
    """The bases that were asked for last: at most `KEEP`, fewer where memory is short."""

    def __init__(self) -> None:
        self.kept: OrderedDict[Base, _Kept] = OrderedDict()

    def speakers(self, sources: Sequence[str], loading: Callable[[], Any]) -> list[Speaker]:
        """One for each source (see `parts`). loading() is called before anything is loaded.

        Raises AccordError or ValueError, in one line, where a source is no model.
        """
        wanted = [parts(source) for source in sources]
        needed = {each.base for each in wanted}
        for each in sorted(wanted, key=lambda each: each.adapter is None):  # an adapter brings its base
            self._have(each, needed, loading)
        return [self.kept[each.base].speaker(each) for each in wanted]

    def forget(self) -> None:
        """Everything is loaded anew the next time."""
        self._drop(list(self.kept))

    def _have(self, wanted: Parts, needed: set[Base], loading: Callable[[], Any]) -> None:
        base, adapter = wanted.base, wanted.adapter
        if base in self.kept and adapter and not self.kept[base].adapters:
            self._drop([base])  # there is no place on it for an adapter
        if base not in self.kept:
            loading()
            self._make_room(base, needed)
            policy = load_policy(
                base.place,
                adapter=adapter.folder if adapter else None,
                revision=base.revision or None,
                **dict(base.settings),
            )
            self.kept[base] = _Kept(policy.model, adapter)
        elif adapter and adapter not in self.kept[base].adapters:
            loading()
            self.kept[base].add(adapter)
        self.kept.move_to_end(base)

    def _make_room(self, base: Base, needed: set[Base]) -> None:
        """Lets go of those that were asked for longest ago."""
        for other in list(self.kept):
            if len(self.kept) < KEEP and free_bytes() >= ROOM * file_bytes(base.place):
                return
            if other not in needed:
                self._drop([other])

    def _drop(self, bases: Sequence[Base]) -> None:
        for base in bases:
            del self.kept[base]
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def free_bytes() -> int:
    """Memory that is left where models are put."""
    return torch.cuda.mem_get_info()[0] if torch.cuda.is_available() else psutil.virtual_memory().available


def file_bytes(place: str) -> int:
    """The size of a model's weights on disk; 0 for one that is known by its name alone."""
    folder = unpacked_model(embedded_gguf()) if place == EMBEDDED else Path(place)
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
