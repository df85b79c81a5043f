"""Reward models: a causal language model's trunk with one linear head, or an ensemble of M heads.

On disk and in memory they are Transformers' own `AutoModelForSequenceClassification` with M labels. The reward is the
mean of the heads' scores, and how far the heads disagree is their standard deviation.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor, nn

from accord.policy.forward import causal_lm
from accord.policy.gguf import EMBEDDED
from accord.policy.load import Policy, load_policy
from accord.policy.score import answer_rows
from accord.tree import PromptTree, pack

_HEAD = "score.weight"


def load_reward_model(
    name_or_path: str | Path = EMBEDDED, *, heads: int | None = None, seed: int = 0, **options: Any
) -> Policy:
    """A reward model with its tokenizer, in eval mode; `options` are those of `load_policy`.

    name_or_path  what `load_policy` takes. A causal language model gets fresh heads; a saved reward model comes with
                  its own, and so does the folder of an adapter that was trained as one
    heads         how many; None for those that it has, or for one
    seed          of fresh heads. Each weight is drawn with the standard deviation that the model's configuration has
                  for new weights (`initializer_range`), as Transformers draws them
    """
    adapter = Path(options.get("adapter") or name_or_path)
    adapted = (adapter / "adapter_config.json").is_file()
    if adapted:
        heads = _agreed(_adapter_heads(adapter), heads)
    loaded = load_policy(name_or_path, from_pretrained=partial(_from_pretrained, heads, seed), **options)
    model, tokenizer = loaded.model, loaded.tokenizer
    config: Any = causal_lm(model).config
    padding = config.get_text_config().pad_token_id
    if _saved_with_heads(config) and not adapted and padding is not None:
        tokenizer.pad_token_id = padding  # its scores were read by this
    else:
        use_padding(model, tokenizer)
    return loaded


def use_padding(model: nn.Module, tokenizer: Any) -> None:
    """Lets the model skip what the tokenizer pads with. The two must agree: a score is read at a row's last token that
    is not the model's `config.pad_token_id`."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    config: Any = causal_lm(model).config
    config.get_text_config().pad_token_id = tokenizer.pad_token_id


def has_saved_heads(model: nn.Module) -> bool:
    """Whether the heads were saved with the model or its adapter, and are not fresh ones on a language model."""
    return hasattr(model, "peft_config") or _saved_with_heads(causal_lm(model).config)


def reward_rows(
    model: nn.Module,
    tokenizer: Any,
    rows: Iterable[Mapping[str, Any]],
    completions: Sequence[str] = ("chosen", "rejected"),
    **options: Any,
) -> np.ndarray:
    """[rows, completions, heads] scores of training rows, without gradient; NaN where the length limit left nothing of
    a row. `options` are those of `score_rows`."""
    heads = causal_lm(model).config.num_labels
    return answer_rows(model, tokenizer, rows, completions, reward_trees, (heads,), **options)


def reward_trees(model: nn.Module, trees: Sequence[PromptTree]) -> Tensor:
    """[C, M] scores of all the trees' completions, in order, in one forward. Whoever calls decides on gradients and
    autocast."""
    return model(tree=pack(trees).to(next(model.parameters()).device))


def _from_pretrained(heads: int | None, seed: int, place: str, **settings: Any) -> Any:
    """`AutoModelForSequenceClassification.from_pretrained`, with `heads` fresh heads where none were saved."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    known = {name: settings[name] for name in ("revision", "trust_remote_code")}
    config = AutoConfig.from_pretrained(place, **known)
    if _saved_with_heads(config):
        _agreed(config.num_labels, heads)
    else:
        config.num_labels = heads or 1
    with _quiet():
        model, info = AutoModelForSequenceClassification.from_pretrained(
            place, config=config, output_loading_info=True, **settings
        )
    if not hasattr(model, "score"):
        raise ValueError(f"{type(model).__name__} has no head called score, so it is no reward model")
    if missing := sorted(info["missing_keys"] - {_HEAD}):
        raise ValueError(f"no weights for {', '.join(missing[:3])}")
    if _HEAD in info["missing_keys"]:
        draw = torch.Generator().manual_seed(seed)
        weight = model.score.weight
        with torch.no_grad():
            weight.copy_(torch.randn(weight.shape, generator=draw) * getattr(config, "initializer_range", 0.02))
    return model


def _saved_with_heads(config: Any) -> bool:
    return any(name.endswith("ForSequenceClassification") for name in config.architectures or ())


def _adapter_heads(folder: Path) -> int | None:
    """How many heads were saved with an adapter."""
    file = folder / "adapter_model.safetensors"
    if not file.is_file():
        return None  # loading it says what is wrong
    with safe_open(file, "pt") as tensors:
        found = [name for name in tensors.keys() if name.endswith(_HEAD)]  # noqa: SIM118
        if found:
            return tensors.get_slice(found[0]).get_shape()[0]
    task = json.loads((folder / "adapter_config.json").read_text("utf-8")).get("task_type")
    raise ValueError(
        f"{folder}: an adapter (of task {task}) without a reward head: merge it into its base model, and load that"
    )


def _agreed(saved: int | None, heads: int | None) -> int | None:
    """How many heads were saved; raises ValueError where others were asked for."""
    if None not in (saved, heads) and saved != heads:
        raise ValueError(f"it was saved with {saved} heads, not {heads}: leave out heads (reward_heads)")
    return saved


@contextmanager
def _quiet() -> Iterator[None]:
    """Within it, Transformers does not report that a causal model's head is not used, nor a fresh one missing."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)
