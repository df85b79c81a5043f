"""Annotators that are programs: for demos and for tests that need a truth to find again. Always called simulated."""

import math
import random
from dataclasses import dataclass
from datetime import UTC, datetime

from accord.feedback import (
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Prompt,
    Rating,
    Response,
    Sides,
    fingerprint,
    text_of,
)
from accord.quality.tastes import TASTES, Taste


@dataclass(frozen=True)
class SimulatedAnnotator:
    """A taste, and the ways in which people fail to follow their taste.

    Shown two responses, it feels u = utility(left) - utility(right) + side_bias + temperature · ε with ε logistic, and
    says left where u > tie_margin, right where u < -tie_margin, a tie between; "both bad" where neither utility
    reaches `both_bad_below`. Shown one, it gives a thumb up where utility + temperature · ε > 0. With probability
    1 - reliability it does not look at all: a coin decides.

    What it says depends on the seed, its id and what is shown, on which side; not on what it was asked before.

    taste           a name in TASTES, or a function
    reliability     in [0, 1], share of the questions that it looks at
    temperature     noise, in the taste's units
    side_bias       what standing on the left is worth, in the taste's units
    tie_margin      differences smaller than this are called ties
    both_bad_below  utility below which a response is bad
    """

    id: str
    taste: str | Taste = "concise"
    reliability: float = 1.0
    temperature: float = 0.5
    side_bias: float = 0.0
    tie_margin: float = 0.25
    both_bad_below: float = -math.inf
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.taste, str) and self.taste not in TASTES:
            raise ValueError(f"taste {self.taste!r}: use one of {', '.join(TASTES)}, or a function")

    @property
    def annotator(self) -> Annotator:
        """The noun to store before any of its votes, with the numbers that it was made of."""
        taste = self.taste if isinstance(self.taste, str) else self.taste.__name__
        made_of = {
            "taste": taste,
            "reliability": self.reliability,
            "temperature": self.temperature,
            "side_bias": self.side_bias,
            "tie_margin": self.tie_margin,
            "seed": self.seed,
        }
        return Annotator(self.id, AnnotatorKind.SIMULATED, made_of)

    def utility(self, prompt: Prompt, response: Response) -> float:
        taste = TASTES[self.taste] if isinstance(self.taste, str) else self.taste
        return taste(text_of(prompt.content), text_of(response.content))

    def compare(
        self,
        prompt: Prompt,
        left: Response,
        right: Response,
        *,
        shuffle: bool = False,
        at: datetime | None = None,
        guideline: str = "",
    ) -> Comparison:
        """Its vote. With `shuffle` a fair coin, seeded as the rest is, decides which of the two stands on the left.

        at  when; now, where nothing is said
        """
        if shuffle and self._chance("sides", prompt, *sorted((left, right), key=lambda r: r.id)).random() < 0.5:
            left, right = right, left
        return Comparison(
            id=fingerprint("simulated comparison", self.seed, self.id, prompt.id, left.id, right.id),
            annotator_id=self.id,
            prompt_id=prompt.id,
            left_id=left.id,
            right_id=right.id,
            choice=self._choose(prompt, left, right),
            at=at or datetime.now(UTC),
            sides=Sides.SHUFFLED if shuffle else Sides.UNKNOWN,
            guideline=guideline,
        )

    def rate(self, prompt: Prompt, response: Response, *, at: datetime | None = None, guideline: str = "") -> Rating:
        """Its thumb, up or down."""
        chance = self._chance("thumb", prompt, response)
        if chance.random() < self.reliability:
            desirable = self.utility(prompt, response) + self.temperature * _logistic(chance) > 0
        else:
            desirable = chance.random() < 0.5
        return Rating(
            id=fingerprint("simulated rating", self.seed, self.id, prompt.id, response.id),
            annotator_id=self.id,
            prompt_id=prompt.id,
            response_id=response.id,
            desirable=desirable,
            at=at or datetime.now(UTC),
            guideline=guideline,
        )

    def _choose(self, prompt: Prompt, left: Response, right: Response) -> Choice:
        chance = self._chance("choice", prompt, left, right)
        if chance.random() >= self.reliability:
            return chance.choice([Choice.LEFT, Choice.RIGHT])
        of_left, of_right = self.utility(prompt, left), self.utility(prompt, right)
        if max(of_left, of_right) < self.both_bad_below:
            return Choice.BOTH_BAD
        felt = of_left - of_right + self.side_bias + self.temperature * _logistic(chance)
        if abs(felt) <= self.tie_margin:
            return Choice.TIE
        return Choice.LEFT if felt > 0 else Choice.RIGHT

    def _chance(self, question: str, prompt: Prompt, *shown: Response) -> random.Random:
        """Dice that fall alike whenever the same is shown."""
        texts = [text_of(prompt.content), *(text_of(response.content) for response in shown)]
        return random.Random(fingerprint(question, self.seed, self.id, texts))


def _logistic(chance: random.Random) -> float:
    p = chance.uniform(1e-12, 1 - 1e-12)
    return math.log(p / (1 - p))


def panel(taste: str | Taste = "concise", n: int = 5, seed: int = 0) -> list[SimulatedAnnotator]:
    """`n` simulated annotators of one taste, from careful to careless: reliability falls evenly from 1 to 0.6,
    temperature rises from ¼ to 1, and each has a side bias drawn from N(0, 0.3²)."""
    chance = random.Random(fingerprint("panel", seed))
    name = taste if isinstance(taste, str) else taste.__name__
    members = []
    for i in range(n):
        carelessness = i / max(n - 1, 1)
        members.append(
            SimulatedAnnotator(
                id=f"simulated-{name}-{i + 1}",
                taste=taste,
                reliability=1 - 0.4 * carelessness,
                temperature=0.25 * 4**carelessness,
                side_bias=chance.gauss(0, 0.3),
                seed=seed,
            )
        )
    return members
