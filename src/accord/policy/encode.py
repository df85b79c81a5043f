"""Rows of text to prompt trees of token ids, as TRL's trainers tokenise them.

A plain text is tokenised as it is, completions ending with EOS. Messages are rendered with the chat template: the
prompt with its generation prompt, then prompt and completion together. A completion begins where the two token
sequences part, which under some templates is before the end of the prompt.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from accord.tree import PromptTree

BATCH = 256


@dataclass(frozen=True, slots=True)
class Encoded:
    """A row as token ids.

    tree        None where nothing is left to learn from: the prompt alone fills `max_length`
    cut         tokens that the length limit took away
    mismatched  tokens at the prompt's end that differ once a completion follows (0 is right)
    """

    tree: PromptTree | None
    cut: int = 0
    mismatched: int = 0


def encode(
    rows: Iterable[Mapping[str, Any]],
    tokenizer,
    completions: Sequence[str],
    *,
    max_length: int | None = 1024,
    truncation_mode: str = "keep_start",
) -> Iterator[Encoded]:
    """Encodes rows with a `prompt` and the named completion columns (`("chosen", "rejected")`, `("completion",)`).

    max_length        most tokens on a path from the root to a leaf; None for no limit
    truncation_mode   `keep_start` cuts completions at their end. `keep_end` cuts the prompt at its start, by the same
                      number of tokens for all its completions
    """
    if truncation_mode not in TRUNCATIONS:
        raise ValueError(f"truncation_mode is {truncation_mode!r}: use one of {', '.join(TRUNCATIONS)}")
    begin = [i for i in (tokenizer.bos_token_id, tokenizer.eos_token_id) if i is not None][:1]
    rows = iter(rows)
    while some := list(islice(rows, BATCH)):
        texts = [text for row in some for text in _render(row, tokenizer, completions)]
        ids = iter(_tokenise(texts, tokenizer))
        for _ in some:
            prompt, *full = (next(ids) for _ in range(1 + len(completions)))
            yield _tree(prompt, full, begin, max_length, truncation_mode)


def _render(row, tokenizer, completions) -> Iterator[tuple[str, bool]]:
    """The prompt's text, then prompt and each completion's; with whether the tokenizer adds its special tokens."""
    prompt = row["prompt"]
    if not isinstance(prompt, str):
        yield tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False), False
        for name in completions:
            yield tokenizer.apply_chat_template([*prompt, *row[name]], tokenize=False), False
        return
    yield prompt, True
    for name in completions:
        text, end = row[name], tokenizer.eos_token or ""
        yield prompt + text + ("" if text.endswith(end) else end), True


def _tokenise(texts: list[tuple[str, bool]], tokenizer) -> list[list[int]]:
    """All texts in two calls, which a fast tokenizer spreads over the processor's cores."""
    out: list[list[int]] = [[]] * len(texts)
    for special in (False, True):
        chosen = [i for i, (_, with_special) in enumerate(texts) if with_special is special]
        if chosen:
            ids = tokenizer([texts[i][0] for i in chosen], add_special_tokens=special)["input_ids"]
            for i, each in zip(chosen, ids, strict=True):
                out[i] = each
    return out


def _tree(prompt: list[int], full: list[list[int]], begin: list[int], max_length, truncation_mode: str) -> Encoded:
    shared = min(_common(prompt, each) for each in full)
    mismatched = len(prompt) - shared
    if shared == 0 and len({each[0] for each in full if each}) == 1:
        shared = 1  # an empty prompt and a tokenizer without BOS: nothing predicts the first token, as in TRL
    root, leaves = full[0][:shared] or begin, [each[shared:] for each in full]
    before = len(root) + sum(map(len, leaves))
    if max_length is not None:
        root, leaves = TRUNCATIONS[truncation_mode](root, leaves, max_length)
    lost = before - len(root) - sum(map(len, leaves))
    if not root or not all(leaves):
        return Encoded(None, lost, mismatched)
    return Encoded(PromptTree(array("i", root), [array("i", leaf) for leaf in leaves]), lost, mismatched)


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _keep_start(root, leaves, limit):
    return root[:limit], [leaf[: max(limit - len(root), 0)] for leaf in leaves]


def _keep_end(root, leaves, limit):
    leaves = [leaf[: limit - 1] for leaf in leaves]
    return root[-(limit - max(map(len, leaves))) :], leaves


TRUNCATIONS = {"keep_start": _keep_start, "keep_end": _keep_end}
