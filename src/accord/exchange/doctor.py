"""The data doctor: a look at feedback before anything is trained on it."""

from collections import Counter
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

from accord.exchange.checks import CHECKS, chosen_longer
from accord.exchange.findings import Diagnosis, Finding, Severity, counted
from accord.exchange.lengths import length_facts, length_findings, measure
from accord.exchange.material import Example, Material, gather
from accord.feedback import AnnotatorKind, Choice, Noun

__all__ = ["Diagnosis", "Finding", "Severity", "examine"]

WORST_FIRST = list(Severity)


def examine(
    nouns: Iterable[Noun],
    tokenizer: Any = None,
    max_length: int = 1024,
    *,
    progress: Callable[[int, int], object] = lambda done, total: None,
) -> Diagnosis:
    """Everything worth knowing about `nouns` before training: facts in numbers, and findings with their remedies.

    tokenizer   measures lengths as training does; without one they are left out
    max_length  tokens of prompt and completion together that training would keep
    progress    hears (examples tokenised, all examples) now and then
    """
    material = gather(nouns)
    findings = [finding for check in CHECKS for finding in check(material)]
    facts = describe(material)
    if tokenizer is not None:
        examples, untold = _renderable(material.examples, tokenizer)
        lengths = measure(examples, tokenizer, progress)
        facts["lengths"] = length_facts(lengths, max_length)
        findings += [*untold, *length_findings(lengths, max_length)]
    return Diagnosis(facts, tuple(sorted(findings, key=lambda finding: WORST_FIRST.index(finding.severity))))


def _renderable(examples: list[Example], tokenizer: Any) -> tuple[list[Example], list[Finding]]:
    """The examples that the tokenizer can be asked about: texts only, if it has no chat template."""
    if getattr(tokenizer, "chat_template", None):
        return examples, []
    texts = [e for e in examples if isinstance(e.prompt.content, str) and isinstance(e.completion.content, str)]
    talks = len(examples) - len(texts)
    if not talks:
        return texts, []
    are = counted(talks, "example is a conversation", "examples are conversations")
    what = f"{are}, and the model has no chat template."
    remedy = "Choose a chat model (often the one called -Instruct or -chat)."
    return texts, [Finding(Severity.ERROR, "no_chat_template", what, remedy, talks)]


def describe(m: Material) -> dict[str, Any]:
    """The data in numbers, ready for JSON."""
    choices = Counter(vote.choice for vote in m.comparisons)
    up = sum(rating.desirable for rating in m.ratings)
    longer, unequal = chosen_longer(m)
    return {
        "prompts": len(m.prompts),
        "splits": Counter("test" if "test" in s else "train" if "train" in s else "unmarked" for s in m.marks.values()),
        "responses": len(m.responses),
        "demonstrations": sum(response.demonstration for response in m.responses.values()),
        "comparisons": len(m.comparisons),
        "pairs": len(m.pairs),
        "pairs_decided": len(m.decided),
        "choices": {choice.value: choices[choice] for choice in Choice},
        "chosen_longer": longer / unequal if unequal else None,
        "thumbs": {"up": up, "down": len(m.ratings) - up},
        "annotators": _annotators(m),
    }


def _annotators(m: Material) -> dict[str, dict[str, float]]:
    """By kind: how many of them voted, and how often."""
    votes = Counter(vote.annotator_id for vote in m.comparisons)
    votes.update(rating.annotator_id for rating in m.ratings)
    by_kind: dict[AnnotatorKind, list[int]] = {}
    for annotator_id, n in votes.items():
        by_kind.setdefault(m.kind(annotator_id), []).append(n)
    return {
        kind.value: {"annotators": len(n), "votes": sum(n), "median": median(n), "most": max(n)}
        for kind, n in by_kind.items()
    }
