"""Sampling completions from a policy as it stands: its live weights, in this process, several to a prompt."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from transformers.cache_utils import Cache

from accord.feedback import Content, Message
from accord.policy.forward import causal_lm
from accord.policy.gate import window
from accord.rollout.choice import Decoding, position_keys, sample_key
from accord.rollout.fallback import generate
from accord.rollout.gate import Choice, choose
from accord.rollout.modules import Modules
from accord.rollout.packed import Packed, Unpackable
from accord.rollout.slots import Slots

log = logging.getLogger(__name__)

#: Token ids; or a text, used as it is; or messages, rendered with the chat template.
Question = Content | Sequence[int] | Sequence[Mapping[str, str]]


class Sampled(NamedTuple):
    """One completion.

    prompt, sample   which of the prompts given, and which of its n samples
    tokens           the completion's token ids, with the end token where the model wrote one
    text             the same without special tokens
    logps            log π_T of each token (see `Decoding`), as it was drawn
    finished         whether the model ended by itself (False: cut at max_new_tokens)
    """

    prompt: int
    sample: int
    tokens: list[int]
    text: str
    logps: list[float]
    finished: bool


@dataclass
class _Prefix:
    """A prompt. Once prefilled, the keys and values of all but its last token are row `row` of `cache`."""

    prompt: int
    tokens: list[int]
    cache: Cache | None = None
    row: int = 0


@dataclass
class _Row:
    """A completion, begun or about to be."""

    prefix: _Prefix
    sample: int
    key: int
    tokens: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)

    @property
    def newest(self) -> int:
        """The token that the next one follows."""
        return self.tokens[-1] if self.tokens else self.prefix.tokens[-1]

    @property
    def position(self) -> int:
        """Where `newest` stands."""
        return len(self.prefix.tokens) + len(self.tokens) - 1


def prompt_ids(tokenizer: Any, prompt: Question) -> list[int]:
    """A prompt's token ids; messages end with the template's opening of an answer. ValueError if there are none."""
    if isinstance(prompt, str):
        ids = tokenizer(prompt)["input_ids"]
    elif prompt and isinstance(prompt[0], int):
        ids = prompt
    else:
        messages = [{"role": m.role, "content": m.content} if isinstance(m, Message) else m for m in prompt]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    if not ids:
        raise ValueError("a prompt has no tokens: give at least one (a BOS token will do)")
    return list(ids)


class Sampler:
    """Samples completions with `model`, whose weights may be trained on between two calls.

    model  a Transformers causal LM, PEFT adapters included, in any precision; it is left as it was found
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model, tokenizer
        ends = model.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        self.ends = frozenset([ends] if isinstance(ends, int) else ends or [])
        self._choice: Choice | None = None  # made when first asked
        self._said: set[str] = set()

    def sample(
        self,
        prompts: Sequence[Question],
        *,
        n: int = 1,
        max_new_tokens: int = 64,
        temperature: float = 1.0,
        top_p: float = 1.0,
        top_k: int = 0,
        min_p: float = 0.0,
        seed: int = 0,
        names: Sequence[int] | None = None,
        dtype: torch.dtype | None = None,
        max_rows: int = 128,
        prefill_tokens: int = 2048,
        progress: Callable[[int], Any] | None = None,
    ) -> Iterator[Sampled]:
        """n completions of each prompt, each as soon as it ends: in no order of prompts.

        temperature, top_p, top_k, min_p   see `Decoding`; temperature 0 is greedy, the same as `generate`
        seed            the same seed gives the same completions whatever the batching: a draw is a function of (seed,
                        prompt's name, sample's index, position) and of the logits. These differ by rounding between
                        two ways of batching, which in float32 changes about one token in 10⁵
        names           what each prompt is called in its draws (None: its index): processes that share prompts out
                        draw what one process would if they name them as it does
        dtype           precision to compute in, from a copy of the weights made when the first sample is asked for
                        (None: the model's own, without a copy)
        max_rows        most completions in flight; memory for their keys and values grows with it, and so does speed
        prefill_tokens  most prompt tokens computed at once
        progress        called with the number of new tokens, at every completion's end

        Each prompt is computed once, and its keys and values copied to its n rows. A row whose completion has ended
        takes the next at once. A model that cannot be sampled from in this way is left to `generate`, with a warning.
        """
        decoding = Decoding(temperature, top_k, top_p, min_p)
        if n < 1 or max_new_tokens < 1 or max_rows < 1:
            raise ValueError("n, max_new_tokens and max_rows must be 1 or more")
        if names is not None and len(names) != len(prompts):
            raise ValueError(f"{len(names)} names for {len(prompts)} prompts: give one each")
        prefixes = [_Prefix(i, self.prompt_ids(prompt)) for i, prompt in enumerate(prompts)]
        # Longest first: rows in flight are then of similar length, and what they must look at shrinks.
        prefixes.sort(key=lambda prefix: -len(prefix.tokens))
        name = range(len(prefixes)) if names is None else names
        rows = [_Row(p, s, sample_key(seed, name[p.prompt], s)) for p in prefixes for s in range(n)]
        if not rows:
            return
        decoder = self._decoder(prefixes[0].tokens, max_new_tokens, dtype)
        if decoder is None:
            ended = self._generated(rows, decoding, max_new_tokens, max_rows, dtype)
        else:
            ended = self._in_slots(decoder, deque(rows), decoding, max_new_tokens, max_rows, prefill_tokens)
        for row in ended:
            if progress is not None:
                progress(len(row.tokens))
            text = self.tokenizer.decode(row.tokens, skip_special_tokens=True)
            yield Sampled(row.prefix.prompt, row.sample, row.tokens, text, row.logps, row.tokens[-1] in self.ends)

    def stream(self, prompt: Question, *, max_new_tokens: int = 512, seed: int = 0, **decoding: Any) -> Iterator[str]:
        """One completion's text, piece by piece as it is written. `decoding` as for `sample`, which says the same."""
        tokens = self.prompt_ids(prompt)
        decoder = self._decoder(tokens, max_new_tokens, None)
        if decoder is None:
            settings = {"max_new_tokens": max_new_tokens, "seed": seed, **decoding}
            yield from (sampled.text for sampled in self.sample([tokens], **settings))
            return
        rule, slots, live = Decoding(**decoding), Slots(rows=1), list[_Row]()
        row = _Row(_Prefix(0, tokens), 0, sample_key(seed, 0, 0))
        self._admit(decoder, slots, live, deque([row]), len(tokens))
        shown = ""
        while not self._ended(row, max_new_tokens):
            self._step(decoder, slots, live, rule)
            text = self.tokenizer.decode(row.tokens, skip_special_tokens=True)
            if text.endswith("\ufffd") and not self._ended(row, max_new_tokens):
                continue  # half a character: the next token may complete it
            yield text[len(shown) :]
            shown = text

    def prompt_ids(self, prompt: Question) -> list[int]:
        """See the function `prompt_ids`."""
        return prompt_ids(self.tokenizer, prompt)

    def _decoder(self, longest: list[int], new: int, dtype: torch.dtype | None) -> Packed | Modules | None:
        """What computes prompts and steps with the weights as they are now; None, and a warning, for `generate`."""
        self._choice = self._choice or choose(self.model, longest)
        width = window(causal_lm(self.model).config)
        narrow = width is not None and len(longest) + new - 1 > width  # nothing looks at the last token
        if self._choice.decoder is not None and not narrow:
            try:
                return self._choice.decoder(self.model, dtype)
            except Unpackable:  # another adapter has come since
                self._choice = None
                return self._decoder(longest, new, dtype)
        reason = self._choice.reason or f"texts exceed the attention window of {width}"
        if reason not in self._said:
            self._said.add(reason)
            log.warning("sampling with generate(), which is slower: %s", reason)
        return None

    def _in_slots(
        self,
        decoder: Packed | Modules,
        waiting: deque[_Row],
        decoding: Decoding,
        length: int,
        max_rows: int,
        prefill_tokens: int,
    ) -> Iterator[_Row]:
        slots, live = Slots(min(max_rows, len(waiting))), list[_Row]()
        while waiting or live:
            self._admit(decoder, slots, live, waiting, prefill_tokens)
            self._step(decoder, slots, live, decoding)
            for i in reversed(range(len(live))):
                if self._ended(row := live[i], length):
                    last = live.pop()
                    if i < len(live):
                        slots.move(len(live), i)
                        live[i] = last
                    yield row

    def _ended(self, row: _Row, length: int) -> bool:
        return len(row.tokens) == length or (bool(row.tokens) and row.tokens[-1] in self.ends)

    def _admit(
        self, decoder: Packed | Modules, slots: Slots, live: list[_Row], waiting: deque[_Row], prefill_tokens: int
    ) -> None:
        """Begins as many waiting rows as there is room for, with their prompt's keys and values."""
        while waiting and len(live) < slots.rows:
            prefix = waiting[0].prefix
            if prefix.cache is None and len(prefix.tokens) > 1:
                self._prefill(decoder, waiting, prefill_tokens)
            if prefix.cache is not None:
                slots.place(len(live), prefix.cache, prefix.row, len(prefix.tokens) - 1)
            live.append(waiting.popleft())
            if not waiting or waiting[0].prefix is not prefix:
                prefix.cache = None  # its last row has begun

    def _prefill(self, decoder: Packed | Modules, waiting: deque[_Row], budget: int) -> None:
        """Computes the first few prompts that wait: as many as `budget` tokens hold, at least one."""
        batch: list[_Prefix] = []
        width = len(waiting[0].prefix.tokens) - 1  # the longest
        for row in waiting:
            if not batch or row.prefix is not batch[-1]:
                if batch and (len(batch) + 1) * width > budget:
                    break
                batch.append(row.prefix)
        cache = decoder.prefill([prefix.tokens[:-1] for prefix in batch])
        for i, prefix in enumerate(batch):
            prefix.cache, prefix.row = cache, i

    def _step(self, decoder: Packed | Modules, slots: Slots, live: list[_Row], decoding: Decoding) -> None:
        """One more token for every live row."""
        newest, positions, keys, drawn = torch.tensor(
            [(row.newest, row.position, row.key, len(row.tokens)) for row in live], device=self.model.device
        ).unbind(1)
        logits_RV = decoder.decode(slots, newest, positions)
        with torch.inference_mode():
            chosen = decoding.choose(logits_RV, position_keys(keys, drawn))
        for row, token, logp in zip(live, chosen.tokens_R.tolist(), chosen.logps_R.tolist(), strict=True):
            row.tokens.append(token)
            row.logps.append(logp)

    def _generated(
        self, rows: list[_Row], decoding: Decoding, length: int, max_rows: int, dtype: torch.dtype | None
    ) -> Iterator[_Row]:
        modules = Modules(self.model, dtype)
        for batch in (rows[i : i + max_rows] for i in range(0, len(rows), max_rows)):
            prompts, keys = [row.prefix.tokens for row in batch], [row.key for row in batch]
            with modules.lent():
                completions = generate(self.model, prompts, keys, decoding, length, self.ends)
            for row, completion in zip(batch, completions, strict=True):
                row.tokens, row.logps = completion
                yield row
