"""How long examples are in the model's tokens, and what a length limit would cut: counted as training tokenises."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError

from accord.exchange.findings import Finding, Severity, counted, percent
from accord.exchange.material import Example, some
from accord.exchange.rows import alike

#: Examples that are tokenised at a time.
BATCH = 512
PERCENTILES = (50, 90, 99, 100)

Tokens = list[int]


@dataclass
class Lengths:
    """Tokens of each example that could be rendered, and those that the chat template gets wrong.

    prompt, completion   numbers of tokens, one for each of `ids` (response ids)
    not_prefix           examples whose prompt, rendered alone, does not begin the rendered prompt with completion
    merged               examples where it does as text, but a token reaches from the prompt into the completion; of
                         their tokens, those before it are counted as the prompt's
    refused              (example, what the template said) where it cannot render the conversation
    """

    ids: list[str] = field(default_factory=list)
    prompt: list[int] = field(default_factory=list)
    completion: list[int] = field(default_factory=list)
    not_prefix: list[str] = field(default_factory=list)
    merged: list[str] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def measure(
    examples: Sequence[Example], tokenizer: Any, progress: Callable[[int, int], object] = lambda done, total: None
) -> Lengths:
    """Tokenises every example. A conversation is rendered twice, its prompt alone and as a whole: the completion is
    what the whole has more. A text's completion is tokenised by itself and closed with the end-of-text token.

    tokenizer  as in Transformers: called on a list of texts, `apply_chat_template` on a list of conversations
    progress   hears (examples done, all examples) now and then
    """
    lengths = Lengths()
    for start in range(0, len(examples), BATCH):
        batch = examples[start : start + BATCH]
        forms = [(e.completion.id, *alike(e.prompt.content, e.completion.content)) for e in batch]
        _measure_texts(lengths, [form for form in forms if isinstance(form[1], str)], tokenizer)
        _measure_talks(lengths, [form for form in forms if not isinstance(form[1], str)], tokenizer)
        progress(start + len(batch), len(examples))
    return lengths


def _measure_texts(lengths: Lengths, forms: list[tuple[str, Any, Any]], tokenizer: Any) -> None:
    if not forms:
        return
    prompts = tokenizer([prompt for _, prompt, _ in forms])["input_ids"]
    completions = tokenizer([completion for _, _, completion in forms], add_special_tokens=False)["input_ids"]
    for (id, _, _), prompt, completion in zip(forms, prompts, completions, strict=True):
        lengths.ids.append(id)
        lengths.prompt.append(len(prompt))
        lengths.completion.append(len(completion) + 1)


def _measure_talks(lengths: Lengths, forms: list[tuple[str, Any, Any]], tokenizer: Any) -> None:
    alone = _render(tokenizer, [prompt for _, prompt, _ in forms], add_generation_prompt=True)
    whole = _render(tokenizer, [prompt + completion for _, prompt, completion in forms], add_generation_prompt=False)
    for (id, asked, said), prompt, both in zip(forms, alone, whole, strict=True):
        if isinstance(prompt, str) or isinstance(both, str):
            lengths.refused.append((id, prompt if isinstance(prompt, str) else str(both)))
            continue
        shared = len(prompt) if both[: len(prompt)] == prompt else _shared(prompt, both)
        if shared < len(prompt):
            if not _begins(tokenizer, asked, asked + said):
                lengths.not_prefix.append(id)
                continue
            lengths.merged.append(id)
        lengths.ids.append(id)
        lengths.prompt.append(shared)
        lengths.completion.append(len(both) - shared)


def _shared(one: Tokens, other: Tokens) -> int:
    """How many tokens both begin with."""
    differ = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differ, min(len(one), len(other)))


def _begins(tokenizer: Any, prompt: Any, whole: Any) -> bool:
    """Whether the prompt, rendered alone, begins the whole as a text."""
    text = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    return tokenizer.apply_chat_template(whole, tokenize=False).startswith(text)


def _render(tokenizer: Any, talks: list[Any], add_generation_prompt: bool) -> list[Tokens | str]:
    """The tokens of each conversation, or what the template said instead."""
    if not talks:
        return []
    try:
        return list(
            tokenizer.apply_chat_template(
                talks, add_generation_prompt=add_generation_prompt, tokenize=True, return_dict=False
            )
        )
    except TemplateError as error:
        if len(talks) == 1:
            return [" ".join(str(error).split())]
        half = len(talks) // 2  # one bad conversation spoils its batch: find it by halving
        return _render(tokenizer, talks[:half], add_generation_prompt) + _render(
            tokenizer, talks[half:], add_generation_prompt
        )


def length_facts(lengths: Lengths, max_length: int) -> dict[str, Any]:
    """Percentiles of the numbers of tokens, and what `max_length` would cut."""
    both = [p + c for p, c in zip(lengths.prompt, lengths.completion, strict=True)]
    over = [n - max_length for n in both if n > max_length]
    return {
        "max_length": max_length,
        "examples": len(both),
        "prompt": percentiles(lengths.prompt),
        "completion": percentiles(lengths.completion),
        "both": percentiles(both),
        "cut": {
            "examples": len(over),
            "completions": sum(p < max_length < n for p, n in zip(lengths.prompt, both, strict=True)),
            "dropped": sum(p >= max_length for p in lengths.prompt),
            "tokens_lost": percentiles(over),
        },
        "not_prefix": len(lengths.not_prefix),
        "merged": len(lengths.merged),
        "refused": len(lengths.refused),
    }


def percentiles(numbers: Sequence[int]) -> dict[str, int]:
    """{"p50", "p90", "p99", "max"}: each the smallest number that so many in a hundred do not exceed."""
    ordered = sorted(numbers)
    return {
        "max" if p == 100 else f"p{p}": ordered[max(-(-p * len(ordered) // 100) - 1, 0)] if ordered else 0
        for p in PERCENTILES
    }


def length_findings(lengths: Lengths, max_length: int) -> Iterator[Finding]:
    """What the chat template and the length limit would do to the examples."""
    total = len(lengths.ids) + len(lengths.not_prefix) + len(lengths.refused)
    if lengths.refused:
        said = f"{lengths.refused[0][1]!r}"
        what = f"The chat template refuses {counted(len(lengths.refused), 'conversation')}; it says {said}."
        remedy = "Mend the turns (roles that take turns, system first), or choose a model whose template allows them."
        ids = some(id for id, _ in lengths.refused)
        yield Finding(Severity.ERROR, "template_refuses", what, remedy, len(lengths.refused), ids)
    if lengths.not_prefix:
        n = len(lengths.not_prefix)
        what = (
            f"In {counted(n, 'example')} ({percent(n, total)}) the chat template renders the prompt otherwise when the "
            "completion follows, so it cannot be said where the completion begins."
        )
        remedy = "Use a chat template that only appends; some, for one, drop earlier thinking."
        yield Finding(Severity.ERROR, "prompt_not_prefix", what, remedy, n, some(lengths.not_prefix))
    if lengths.merged:
        n = len(lengths.merged)
        what = (
            f"In {counted(n, 'example')} ({percent(n, total)}) the completion begins with white space that the "
            "tokenizer joins to the end of the prompt in one token, which the model cannot do when it answers."
        )
        remedy = "Strip the white space at the start of those responses."
        yield Finding(Severity.WARNING, "prompt_merged", what, remedy, n, some(lengths.merged))
    yield from _cut_findings(lengths, max_length)


def _cut_findings(lengths: Lengths, max_length: int) -> Iterator[Finding]:
    """Training keeps the start of what is too long (`truncation_mode: keep_start`): answers lose their end, and where
    the prompt alone fills the limit nothing is left to learn from."""
    sizes = list(zip(lengths.ids, lengths.prompt, lengths.completion, strict=True))
    shortened = [(id, p + c - max_length) for id, p, c in sizes if p < max_length < p + c]
    dropped = [id for id, p, _ in sizes if p >= max_length]
    longest = max((p + c for _, p, c in sizes), default=0)
    remedy = f"Train with a larger --max_length ({longest:,} keeps everything), or leave those examples out."
    if shortened:
        n, lost = len(shortened), percentiles([tokens for _, tokens in shortened])
        what = (
            f"{counted(n, 'completion')} ({percent(n, len(sizes))}) would lose the end to the limit of {max_length:,} "
            f"tokens: {lost['p50']:,} in the median, {counted(lost['max'], 'token')} at most."
        )
        yield Finding(Severity.WARNING, "completion_cut", what, remedy, n, some(id for id, _ in shortened))
    if dropped:
        n = len(dropped)
        what = (
            f"In {counted(n, 'example')} ({percent(n, len(sizes))}) the prompt alone fills the limit of {max_length:,} "
            "tokens: training would drop them."
        )
        severity = Severity.ERROR if n == len(sizes) else Severity.WARNING
        yield Finding(severity, "prompt_fills_limit", what, remedy, n, some(dropped))
