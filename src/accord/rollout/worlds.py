"""Two environments that a person can check by eye: a bandit, and a grid world with a goal, pits and walls."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import NamedTuple

from accord.rollout.environment import Step


@dataclass
class Bandit:
    """A machine with k arms. A pull is an episode, as one completion of one prompt is: the action is an arm.

    means      what each arm pays on average
    deviation  standard deviation of a pay, normal around its mean: 1 in the ten-armed testbed of Sutton & Barto 2018,
               section 2.3
    """

    means: Sequence[float] = (0.2, -0.8, 1.5, 0.4, 1.2)
    deviation: float = 1.0
    _chance: Random = field(default_factory=Random, init=False, repr=False)

    def reset(self, seed: int) -> int:
        """The only state is 0."""
        self._chance.seed(seed)
        return 0

    def step(self, action: int) -> Step[int]:
        return Step(0, self._chance.gauss(self.means[action], self.deviation), True)

    def __str__(self) -> str:
        """A line an arm: its mean, and a bar of it, ten marks for 1."""
        marks = ("█" * round(10 * mean) or "░" * round(-10 * mean) for mean in self.means)
        return "\n".join(
            f"arm {arm} {mean:6.2f} {bar}".rstrip()
            for arm, (mean, bar) in enumerate(zip(self.means, marks, strict=True))
        )


class Cell(NamedTuple):
    """A place in a grid, counted from the top left: an index into a table [rows, columns, …]."""

    row: int
    column: int


#: The actions of a grid world, by number: how each looks, and where it leads.
ARROWS = "↑→↓←"
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))

WALL, START, GOAL, PIT, FREE = "#SGP."

#: The 4 × 3 world of Russell & Norvig, "Artificial Intelligence: A Modern Approach", chapter 17.
FOUR_BY_THREE = """
...G
.#.P
S...
"""


class Outcome(NamedTuple):
    """What may follow an action, and how likely it is."""

    probability: float
    step: Step[Cell]


class GridWorld:
    """A grid to walk in, from the start to the goal and past the pits; the agent sees the cell where it is.

    picture    rows of `S` start, `G` goal, `P` pit, `#` wall, `.` free
    step_cost  what each step costs
    goal, pit  what is earned on entering one, which ends the episode
    slip       the probability that the agent moves sideways instead, half of it to either side. Against a wall or the
               edge it stays where it is

    The defaults are Russell & Norvig's world: careful far from the pit, since one move in five goes astray.
    """

    def __init__(
        self,
        picture: str = FOUR_BY_THREE,
        *,
        step_cost: float = 0.04,
        goal: float = 1.0,
        pit: float = -1.0,
        slip: float = 0.2,
    ) -> None:
        lines = picture.split()
        if len({len(line) for line in lines}) != 1:
            raise ValueError("the picture of a grid world has rows of different lengths, or none")
        if unknown := set(picture) - {WALL, START, GOAL, PIT, FREE, "\n", " "}:
            raise ValueError(f"the picture of a grid world has {min(unknown)!r}: it knows S G P # and .")
        if picture.count(START) != 1:
            raise ValueError(f"a grid world has one start S, this picture has {picture.count(START)}")
        self.shape = len(lines), len(lines[0])
        self.signs = {Cell(row, column): sign for row, line in enumerate(lines) for column, sign in enumerate(line)}
        self.start = next(cell for cell, sign in self.signs.items() if sign == START)
        self.prizes = {GOAL: goal, PIT: pit}
        self.step_cost, self.slip = step_cost, slip
        self._chance, self._cell = Random(), self.start

    @property
    def states(self) -> list[Cell]:
        """The cells where the agent acts: neither a wall nor an end."""
        return [cell for cell, sign in self.signs.items() if sign in (START, FREE)]

    def outcomes(self, state: Cell, action: int) -> list[Outcome]:
        """All that may follow: the model of the world, of which `step` draws."""
        ways = ((action, 1 - self.slip), (action - 1, self.slip / 2), (action + 1, self.slip / 2))
        return [Outcome(probability, self._moved(state, way % len(MOVES))) for way, probability in ways if probability]

    def reset(self, seed: int) -> Cell:
        self._chance.seed(seed)
        self._cell = self.start
        return self._cell

    def step(self, action: int) -> Step[Cell]:
        outcomes = self.outcomes(self._cell, action)
        (drawn,) = self._chance.choices(outcomes, weights=[outcome.probability for outcome in outcomes])
        self._cell = drawn.step.state
        return drawn.step

    def show(self, actions: Mapping[Cell, int]) -> str:
        """The picture, with an arrow in each cell that `actions` names."""
        return self._drawn({cell: ARROWS[action] for cell, action in actions.items()})

    def __str__(self) -> str:
        """The picture, with `A` where the agent is."""
        return self._drawn({self._cell: "A"})

    def _moved(self, state: Cell, way: int) -> Step[Cell]:
        down, right = MOVES[way]
        there = Cell(state.row + down, state.column + right)
        if self.signs.get(there, WALL) == WALL:
            there = state
        sign = self.signs[there]
        return Step(there, self.prizes.get(sign, 0.0) - self.step_cost, sign in self.prizes)

    def _drawn(self, over: Mapping[Cell, str]) -> str:
        rows, columns = self.shape
        lines: Iterator[list[Cell]] = ([Cell(row, column) for column in range(columns)] for row in range(rows))
        return "\n".join(" ".join(over.get(cell, self.signs[cell]) for cell in line) for line in lines)
