"""Cutting an optimizer batch into micro-batches that fit a token budget."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def cut(items: Sequence[Item], tokens: Callable[[Item], int], budget: int) -> list[list[Item]]:
    """Splits `items` into as few groups as first-fit-decreasing finds, each of at most `budget` tokens.

    An item larger than the budget stands alone. Deterministic, and every item appears exactly once: the loss is
    normalised over the optimizer batch, so its value does not depend on the cut.
    """
    groups: list[tuple[int, list[Item]]] = []
    for item in sorted(items, key=tokens, reverse=True):
        size = tokens(item)
        for index, (used, group) in enumerate(groups):
            if used + size <= budget:
                group.append(item)
                groups[index] = (used + size, group)
                break
        else:
            groups.append((size, [item]))
    return [group for _, group in groups]
