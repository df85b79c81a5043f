"""Log-probs of the reference, computed once and kept on disk.

A value is stored under (weights of the reference, precision, prompt ids, completion ids): another epoch, run or
method that asks for the same completion pays nothing. The reference is the policy as it stands before training:
nothing else has to be loaded, and with a pretrained adapter it is that adapter, not its base.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from accord.policy.forward import causal_lm
from accord.tree import PromptTree

#: Settings of a model on which no log-prob depends; nor on token ids' names, or what Transformers keeps for itself.
ASIDE = {"architectures", "dtype", "transformers_version", "use_cache", "output_router_logits"}


def weights_hash(parameters: Iterable[tuple[str, Tensor]]) -> str:
    """20 hex digits over names, shapes, dtypes and every byte of the given parameters."""
    digest = hashlib.blake2b(digest_size=10)
    for name, value in parameters:
        local = value.to_local() if hasattr(value, "to_local") else value
        digest.update(f"{name} {tuple(local.shape)} {local.dtype};".encode())
        digest.update(local.detach().contiguous().cpu().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def reference_hash(model: nn.Module) -> str:
    """20 hex digits that stand for the reference: its weights, and the settings that say what is done with them. A
    fresh LoRA adapter changes nothing yet, so a model that has one gets the hash of its base."""
    settings = causal_lm(model).config.to_dict()
    telling = {k: v for k, v in settings.items() if not k.startswith("_") and not k.endswith("_token_id")}
    telling = {k: v for k, v in telling.items() if k not in ASIDE}
    named: Iterable[tuple[str, Tensor]] = model.named_parameters()
    if fresh_adapter(model):
        base = ((name.removeprefix("base_model.model."), p) for name, p in named if "lora_" not in name)
        named = ((name.replace(".base_layer.", "."), p) for name, p in base)
    text = json.dumps(telling, sort_keys=True, default=str) + weights_hash(named)
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def fresh_adapter(model: nn.Module) -> bool:
    """Whether the model carries a LoRA adapter that does not change it yet (every B is zero)."""
    b = [p for n, p in model.named_parameters() if "lora_B" in n or "lora_embedding_B" in n]
    return bool(b) and all(not p.any() for p in b)


def key(prompt: Sequence[int], completion: Sequence[int]) -> bytes:
    """16 bytes that stand for a completion of a prompt."""
    text = ",".join(map(str, prompt)) + "|" + ",".join(map(str, completion))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class ReferenceCache:
    """A SQLite file that maps completions to their summed log-prob (natural log, fp32)."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(path, timeout=60)
        self._database.execute("CREATE TABLE IF NOT EXISTS logps (key BLOB PRIMARY KEY, logp REAL) WITHOUT ROWID")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, float]:
        """Those of `keys` that are known."""
        found: dict[bytes, float] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ",".join("?" * len(some))
            found.update(self._database.execute(f"SELECT key, logp FROM logps WHERE key IN ({marks})", some))
        return found

    def put(self, values: dict[bytes, float]) -> None:
        """Adds values, durably; one that is already there stays as it was."""
        with self._database:
            self._database.executemany("INSERT OR IGNORE INTO logps VALUES (?, ?)", values.items())

    def close(self) -> None:
        self._database.close()


def reference_logps(
    groups: Sequence[Sequence[PromptTree]],
    score: Callable[[Sequence[PromptTree]], Tensor],
    cache: ReferenceCache,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[bytes, float]:
    """Log-probs of every completion in `groups`, from the cache or from `score`.

    A group is scored whole or not at all, so that what is computed does not depend on what an interrupted run left.
    score       [C] summed log-probs of a group's completions, in order
    progress    called with the number of groups done
    """
    known: dict[bytes, float] = {}
    for done, trees in enumerate(groups, 1):
        keys = [key(tree.prompt, completion) for tree in trees for completion in tree.completions]
        found = cache.get(keys)
        if len(found) < len(set(keys)):
            values = score(trees)
            if not torch.isfinite(values).all():
                raise FloatingPointError("the reference gives log-probs that are not finite: look at its weights")
            computed = dict(zip(keys, values.tolist(), strict=True))
            cache.put({k: v for k, v in computed.items() if k not in found})
            found = computed | found
        known |= found
        progress(done)
    return known
