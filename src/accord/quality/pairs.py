"""Which answers to put before people: pairs to compare, groups to rank, single ones to judge."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from accord.feedback import Response, fingerprint, text_of


class Drawn(NamedTuple):
    """Responses to one prompt to ask about, in the order of their ids.

    rank  when: 0 and a fraction for a prompt's first question, 1 and a fraction for its second, and so on
    """

    prompt_id: str
    response_ids: tuple[str, ...]
    rank: float


def draw(responses: Iterable[Response], size: int, per_prompt: int, seed: int = 0) -> Iterator[Drawn]:
    """Up to `per_prompt` groups of `size` responses to each prompt, in the order of their ranks.

    No group is drawn twice; where `per_prompt` is more than there are, all are. A group has no two responses with the
    same text, and demonstrations are in none. The responses of a prompt take turns: all are drawn before any is drawn
    again, where texts allow, and at any time each about as often as the others. Among those whose turn it is, a group
    is made of different sources, and of responses that have not met, as far as possible.

    All prompts get their first question before any gets its second, in an order that the seed shuffles. What is drawn
    depends on the seed and the prompt's responses: not on their order, and not on other prompts.

    Raises ValueError where `size` or `per_prompt` is less than 1.
    """
    if size < 1 or per_prompt < 1:
        raise ValueError(f"groups of {size} responses, {per_prompt} a prompt: both must be 1 or more")
    by_prompt: dict[str, dict[str, Response]] = {}
    for response in responses:
        if not response.demonstration:
            by_prompt.setdefault(response.prompt_id, {})[response.id] = response
    drawn = []
    for prompt_id, answers in by_prompt.items():
        chance = random.Random(fingerprint("draw", seed, prompt_id, size))
        order = sorted(answers)
        chance.shuffle(order)
        for n, group in enumerate(_groups([answers[id] for id in order], size, per_prompt)):
            drawn.append(Drawn(prompt_id, tuple(sorted(group)), n + chance.random()))
    return iter(sorted(drawn, key=lambda one: (one.rank, one.prompt_id)))


def _groups(answers: Sequence[Response], size: int, most: int) -> Iterator[tuple[str, ...]]:
    """Groups of ids in the order in which to ask; what is equally good is taken in the order of `answers`."""
    source = {answer.id: answer.source for answer in answers}
    text = {answer.id: text_of(answer.content).strip() for answer in answers}
    used, met, drawn = Counter[str](), Counter[tuple[str, str]](), set[frozenset[str]]()
    for _ in range(min(most, _how_many(Counter(text.values()), size))):
        turn = min(used[id] for id in text)
        # Sources with the most responses left are taken first: those that stay until the end then differ.
        left = Counter(source[id] for id in text if used[id] == turn)

        def cost(id: str, chosen: tuple[str, ...], left: Counter[str] = left) -> tuple[int, int, int, int]:
            alike = sum(source[id] == source[other] for other in chosen)
            return used[id], alike, sum(met[id, other] for other in chosen), -left[source[id]]

        group = next(group for group in _by_cost(list(text), size, text, cost) if frozenset(group) not in drawn)
        drawn.add(frozenset(group))
        used.update(group)
        met.update(two for a, b in combinations(group, 2) for two in ((a, b), (b, a)))
        yield group


def _by_cost(
    ids: Sequence[str],
    size: int,
    text: Mapping[str, str],
    cost: Callable[[str, tuple[str, ...]], Any],
    chosen: tuple[str, ...] = (),
) -> Iterator[tuple[str, ...]]:
    """Each group of `size` ids of different texts once: first the one in which each next id costs least."""
    if size == 0:
        yield chosen
        return
    cheapest = sorted(ids, key=lambda id: cost(id, chosen))
    for i, id in enumerate(cheapest):
        others = [other for other in cheapest[i + 1 :] if text[other] != text[id]]
        yield from _by_cost(others, size - 1, text, cost, (*chosen, id))


def _how_many(texts: Mapping[str, int], size: int) -> int:
    """How many groups of `size` have no text twice, where each text has so many responses.

    The elementary symmetric polynomial of these numbers, by e_k(n, rest) = e_k(rest) + n e_{k-1}(rest).
    """
    ways = [1] + [0] * size
    for n in texts.values():
        for k in range(size, 0, -1):
            ways[k] += n * ways[k - 1]
    return ways[size]
