"""A crowd of simulated annotators: honest ones, tired ones, ones of another taste, and five kinds of bad hands.

Everybody is shown items, two responses A and B, one of them on the left by a fair coin (s = +1 where that is A). An
honest annotator j of taste g who has voted t times looks at an item with probability reliability_j · exp(−fatigue_j·t)
and then feels, as a `SimulatedAnnotator` does,

    u = margin_ig + s · side_bias_j + temperature_j · ε,   ε logistic:   A where u > tie, B where u < −tie, else a tie;

otherwise a coin decides. With temperature 0, margins of ±1 and a small bias it is thus right (1 + reliability) / 2 of
the time. What the others do is in `Role`. `simulate_votes` casts 100,000 votes in a fraction of a second;
`simulate_comparisons` makes the same crowd judge real texts. Seeds decide everything; all of it is called simulated.

Reading speed: 238 words a minute, 24 characters a second (Brysbaert 2019, "How many words do we read per minute?").
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from accord.feedback import (
    Annotator,
    AnnotatorKind,
    Choice,
    Comparison,
    Prompt,
    Response,
    Sides,
    fingerprint,
    text_of,
)
from accord.quality.dawid_skene import TIE, A, B, Floats, Ints, Votes
from accord.quality.tastes import TASTES, Taste


class Role(StrEnum):
    """What a member of the crowd does."""

    HONEST = "honest"
    RANDOM = "random"  # a coin decides
    ALWAYS_LEFT = "always left"  # but for a share of noise
    COPIER = "copier"  # says what one honest annotator said of the same items, but for a share of noise
    COLLUDER = "colluder"  # says what its group agreed on, an arbitrary answer for each item, but for a share of noise
    TOO_FAST = "too fast"  # votes as the honest do, in less time than anybody can read in


ROLES = tuple(Role)
NOBODY = -1
#: characters a second: what people read, how much it differs between them and between votes (log), and a click
PACE, PACE_SPREAD, VOTE_SPREAD, CLICKING = 24.0, 0.25, 0.3, 400.0
#: characters of two responses and their prompt: median and spread (log), as in chat data
LENGTH, LENGTH_SPREAD = 1500.0, 0.5
START = datetime(2026, 1, 1, tzinfo=UTC)


class Crowd(NamedTuple):
    """J simulated annotators.

    role_J        index in ROLES
    reliability_J share of the items that it looks at while fresh, in [0, 1]
    side_bias_J, temperature_J   in the margins' units
    fatigue_J     how fast reliability falls, per vote given so far: by half in ln 2 / fatigue votes
    taste_J       which column of the margins it judges by
    copies_J      whom a copier copies, or NOBODY
    group_J       which group a colluder is of, or NOBODY
    noise_J       share of the votes in which a bad hand lets a coin decide
    pace_J        characters read a second
    """

    role_J: Ints
    reliability_J: Floats
    side_bias_J: Floats
    temperature_J: Floats
    fatigue_J: Floats
    taste_J: Ints
    copies_J: Ints
    group_J: Ints
    noise_J: Floats
    pace_J: Floats

    def are(self, *roles: Role) -> np.ndarray:
        """Who has one of these roles, [J]."""
        return np.isin(self.role_J, [ROLES.index(role) for role in roles])

    @property
    def annotators(self) -> list[Annotator]:
        """The nouns to store before any of their votes, with what they were made of."""
        return [
            Annotator(
                name(j),
                AnnotatorKind.SIMULATED,
                {
                    "role": ROLES[self.role_J[j]].value,
                    "reliability": float(self.reliability_J[j]),
                    "side_bias": float(self.side_bias_J[j]),
                    "fatigue": float(self.fatigue_J[j]),
                    "taste": int(self.taste_J[j]),
                    **({"copies": name(int(self.copies_J[j]))} if self.copies_J[j] != NOBODY else {}),
                    **({"group": int(self.group_J[j])} if self.group_J[j] != NOBODY else {}),
                },
            )
            for j in range(len(self.role_J))
        ]


class Cast(NamedTuple):
    """What a crowd said, N votes in the order of time.

    votes         as Dawid–Skene reads them, sides shuffled
    at_N          when, in votes since the first of each annotator
    seconds_N     how long each took
    characters_N  of what was to be read
    """

    votes: Votes
    at_N: Floats
    seconds_N: Floats
    characters_N: Floats


def name(j: int) -> str:
    """Annotator j's id. It does not tell the role: those who look for bad hands must find it."""
    return f"simulated-{j + 1}"


def draw_crowd(
    rng: np.random.Generator,
    roles: Mapping[Role, int],
    *,
    reliability: tuple[float, float] = (0.4, 0.9),
    side_bias: float = 0.0,
    temperature: float = 0.0,
    fatigue: float = 0.0,
    tastes: Sequence[float] = (1.0,),
    noise: float = 0.0,
    groups: int = 1,
) -> Crowd:
    """So many simulated annotators of each role, in an order that tells nothing.

    reliability  lowest and highest, spread evenly between
    side_bias    standard deviation over annotators, in the margins' units
    tastes       shares of the crowd that have each taste
    noise        of the bad hands; `groups` is how many groups the colluders form

    Raises ValueError where there are copiers and nobody honest to copy.
    """
    role_J = rng.permutation(np.repeat([ROLES.index(role) for role in roles], list(roles.values()))).astype(np.int64)
    n = len(role_J)
    honest = np.flatnonzero(role_J == ROLES.index(Role.HONEST))
    copier, colluder, fast = (role_J == ROLES.index(r) for r in (Role.COPIER, Role.COLLUDER, Role.TOO_FAST))
    if copier.any() and not len(honest):
        raise ValueError("copiers need somebody to copy: ask for at least one honest annotator")
    share_T = np.asarray(tastes) / np.sum(tastes)
    return Crowd(
        role_J=role_J,
        reliability_J=rng.uniform(*reliability, n),
        side_bias_J=rng.normal(0, side_bias, n),
        temperature_J=np.full(n, float(temperature)),
        fatigue_J=np.full(n, float(fatigue)),
        taste_J=rng.choice(len(share_T), n, p=share_T).astype(np.int64),
        copies_J=np.where(copier, rng.choice(honest, n) if len(honest) else NOBODY, NOBODY).astype(np.int64),
        group_J=np.where(colluder, np.cumsum(colluder) % groups, NOBODY).astype(np.int64),
        noise_J=np.full(n, float(noise)),
        pace_J=np.where(fast, CLICKING, PACE * np.exp(rng.normal(0, PACE_SPREAD, n))),
    )


def draw_margins(rng: np.random.Generator, items: int, tastes: int = 1, spread: float = 0.0) -> Floats:
    """By how much A is better than B in each taste's eyes, [items, tastes]: ±1, or ±exp(N(0, spread²)) so that some
    items are harder than others. Tastes are independent of each other: they agree on half of the items."""
    signs = rng.choice([-1.0, 1.0], (items, tastes))
    return signs * np.exp(rng.normal(0, spread, (items, tastes)))


def simulate_votes(
    rng: np.random.Generator,
    crowd: Crowd,
    margin_IT: Floats,
    votes_each: int,
    *,
    tie_margin: float = 0.0,
    characters_I: Floats | None = None,
) -> Cast:
    """Everybody votes on `votes_each` items; all items get equally many votes, to within one, before copiers come.

    A copier is shown what the one it copies was shown, and votes after them. Raises ValueError where there are fewer
    items than votes each.
    """
    n_items, n = len(margin_IT), len(crowd.role_J)
    if votes_each > n_items:
        raise ValueError(f"{votes_each} votes each on {n_items} items: draw more items or ask for fewer votes")
    copies_J = crowd.copies_J
    item_JV = np.zeros((n, votes_each), np.int64)
    item_JV[copies_J == NOBODY] = _deal(rng, n_items, int((copies_J == NOBODY).sum()), votes_each)
    order_JV = np.arange(votes_each) + rng.random((n, votes_each))
    side_JV = rng.choice([-1, 1], (n, votes_each))
    vote_JV = _honest(rng, crowd, margin_IT, item_JV, side_JV, tie_margin)

    coin_JV = rng.choice([A, B], (n, votes_each))
    left_JV = np.where(side_JV == 1, A, B)
    agreed_GI = rng.choice([A, B], (int(crowd.group_J.max(initial=0)) + 1, n_items))
    copier = np.flatnonzero(copies_J != NOBODY)
    source = copies_J[copier]
    item_JV[copier], order_JV[copier] = item_JV[source], order_JV[source] + rng.exponential(1, (len(copier), 1))
    said = {
        Role.RANDOM: coin_JV,
        Role.ALWAYS_LEFT: left_JV,
        Role.COLLUDER: agreed_GI[crowd.group_J[:, None], item_JV],
        Role.COPIER: vote_JV[copies_J],
    }
    slips_JV = rng.random((n, votes_each)) < crowd.noise_J[:, None]
    for role, votes_JV in said.items():
        vote_JV = np.where(crowd.are(role)[:, None], np.where(slips_JV, coin_JV, votes_JV), vote_JV)

    if characters_I is None:
        characters_I = LENGTH * np.exp(rng.normal(0, LENGTH_SPREAD, n_items))
    characters_JV = np.asarray(characters_I, np.float64)[item_JV]
    seconds_JV = characters_JV / crowd.pace_J[:, None] * np.exp(rng.normal(0, VOTE_SPREAD, (n, votes_each)))
    when = np.argsort(order_JV, axis=None, kind="stable")
    annotator_N = np.repeat(np.arange(n), votes_each)[when]
    item_N, vote_N, side_N = (each.ravel()[when].astype(np.int64) for each in (item_JV, vote_JV, side_JV))
    return Cast(
        Votes(item_N, annotator_N, vote_N, side_N, n_items, n),
        order_JV.ravel()[when],
        seconds_JV.ravel()[when],
        characters_JV.ravel()[when],
    )


def simulate_comparisons(
    crowd: Crowd,
    pairs: Sequence[tuple[Prompt, Response, Response]],
    tastes: Sequence[str | Taste] = ("concise",),
    *,
    votes_each: int,
    tie_margin: float = 0.25,
    seed: int = 0,
    start: datetime = START,
) -> Iterator[Comparison]:
    """The same crowd on real texts: its tastes, in order, are those of `quality.tastes`, or functions.

    The votes come in the order of time, from `start` on, with the seconds that each took. Store `crowd.annotators`
    before them. Raises ValueError for an unknown taste, and where there are fewer pairs than votes each.
    """
    unknown = [taste for taste in tastes if isinstance(taste, str) and taste not in TASTES]
    if unknown:
        raise ValueError(f"taste {unknown[0]!r}: use one of {', '.join(TASTES)}, or a function")
    likes = [TASTES[taste] if isinstance(taste, str) else taste for taste in tastes]
    texts = [(text_of(prompt.content), text_of(a.content), text_of(b.content)) for prompt, a, b in pairs]
    margin_IT = np.array([[like(prompt, a) - like(prompt, b) for like in likes] for prompt, a, b in texts])
    characters_I = np.array([sum(map(len, each)) for each in texts], np.float64)
    rng = np.random.default_rng(seed)
    cast = simulate_votes(rng, crowd, margin_IT, votes_each, tie_margin=tie_margin, characters_I=characters_I)
    answers = {A: Choice.LEFT, TIE: Choice.TIE, B: Choice.RIGHT}
    for k, (item, j, vote, side) in enumerate(zip(*(each.tolist() for each in cast.votes[:4]), strict=True)):
        prompt, *shown = pairs[item]
        left, right = shown if side == 1 else shown[::-1]
        yield Comparison(
            id=fingerprint("simulated crowd", seed, name(j), prompt.id, left.id, right.id),
            annotator_id=name(j),
            prompt_id=prompt.id,
            left_id=left.id,
            right_id=right.id,
            choice=answers[vote if side == 1 else B - vote],
            at=start + timedelta(minutes=float(cast.at_N[k])),
            sides=Sides.SHUFFLED,
            seconds=float(cast.seconds_N[k]),
        )


def _honest(
    rng: np.random.Generator, crowd: Crowd, margin_IT: Floats, item_JV: Ints, side_JV: Ints, tie_margin: float
) -> Ints:
    """What each would say if all were honest, [J, V]."""
    t_V = np.arange(item_JV.shape[1])
    looks_JV = rng.random(item_JV.shape) < crowd.reliability_J[:, None] * np.exp(-crowd.fatigue_J[:, None] * t_V)
    felt_JV = margin_IT[item_JV, crowd.taste_J[:, None]] + side_JV * crowd.side_bias_J[:, None]
    felt_JV = felt_JV + crowd.temperature_J[:, None] * rng.logistic(size=item_JV.shape)
    seen_JV = np.where(felt_JV > tie_margin, A, np.where(felt_JV < -tie_margin, B, TIE))
    return np.where(looks_JV, seen_JV, rng.choice([A, B], item_JV.shape))


def _deal(rng: np.random.Generator, items: int, hands: int, each: int) -> Ints:
    """`each` different items for every hand, [hands, each], all items dealt equally often to within one.

    Items are cards of shuffled packs, dealt one pack after the other. A hand begun with the last cards of one pack gets
    only others from the next: its own come later there.
    """
    dealt: list[Ints] = [rng.permutation(items)]
    for pack in range(1, -(-hands * each // items)):
        begun = pack * items % each
        held = dealt[-1][items - begun :]
        others = rng.permutation(np.setdiff1d(np.arange(items), held))
        first, rest = np.split(others, [(each - begun) % each])
        dealt.append(np.concatenate([first, rng.permutation(np.concatenate([rest, held]))]))
    return rng.permutation(np.concatenate(dealt)[: hands * each].reshape(hands, each))
