"""What the votes add up to: probabilities that training can learn from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

#: Ways to add votes up: `accord.quality.LABELS` has them.
LabelMethod = Literal["dawid_skene", "bradley_terry", "vote_share", "majority"]

#: A probability nearer to ½ than this is close to a coin toss.
COIN = 0.1


@dataclass(frozen=True, slots=True)
class PairLabel:
    """All votes on one pair of responses.

    p_chosen  probability that people prefer `chosen_id`: P(better) + ½·P(tie), in [0.5, 1]
    p_tie     P(tie): probability that people find both alike, in [0, 1] and at most 2·(1 − p_chosen)
    weight    how much the pair counts in the loss (1 is an ordinary pair)
    n_votes   how many votes stand behind it
    """

    prompt_id: str
    chosen_id: str
    rejected_id: str
    p_chosen: float
    weight: float = 1.0
    n_votes: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)
    p_tie: float = 0.0


@dataclass(frozen=True, slots=True)
class ResponseLabel:
    """All that was said of one response. `p_desirable` is the probability in [0, 1] that people want it."""

    prompt_id: str
    response_id: str
    p_desirable: float
    weight: float = 1.0
    n_votes: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict)
