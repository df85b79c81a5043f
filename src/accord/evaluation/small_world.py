"""A world so small that every completion can be listed, a policy that can be anything in it, and all that people say.

There is one prompt. A policy with a free logit for every next token can be any distribution over the completions, and
the loss over the whole population, each pair as often as π_ref would show it, has no sampling error: whatever then
lies between a method and its optimum (`accord.evaluation.closed_form`) is the method's doing, or a fault.

Letters of shapes: Y completions, P prefixes, V tokens with the end among them, L tokens of the longest completion,
E pairs, N samples. Everything is in float64 and in nats.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from accord.evaluation.closed_form import kl, optimum
from accord.losses import kto, pairwise
from accord.rollout.environment import Step


@dataclass(frozen=True, eq=False)
class World:
    """All completions to one prompt, how likely the reference finds them, and what they are worth.

    texts                 the completions, shortest first
    prefix_YL, token_YL   where each token of a completion stands in a policy's table: row and column
    drawn_YL              whether there is such a token: completions differ in length
    allowed_PV            whether a token may follow a prefix
    table_PV              next-token logits of the reference
    reward_Y              r
    """

    texts: tuple[str, ...]
    prefix_YL: Tensor
    token_YL: Tensor
    drawn_YL: Tensor
    allowed_PV: Tensor
    table_PV: Tensor
    reward_Y: Tensor

    @cached_property
    def reference_YL(self) -> Tensor:
        """log π_ref of each token."""
        return TabularPolicy(self).token_logps().detach()

    @cached_property
    def reference_Y(self) -> Tensor:
        """π_ref of each completion."""
        return self.reference_YL.sum(-1).exp()

    @property
    def logits_PV(self) -> Tensor:
        """The reference's, −∞ for what is not allowed."""
        return self.table_PV.masked_fill(~self.allowed_PV, -torch.inf)

    def probabilities(self, policy_PV: Tensor) -> Tensor:
        """[Y] π(y) of a policy that says how likely each token is after each prefix."""
        return policy_PV[self.prefix_YL, self.token_YL].where(self.drawn_YL, 1.0).prod(-1)

    @property
    def lengths_Y(self) -> Tensor:
        """Tokens of each completion, the end counted where it is drawn."""
        return self.drawn_YL.sum(-1)


def make_world(tokens: str = "abc", most: int = 2, least: int = 0, *, seed: int = 0) -> World:
    """Completions of `least` to `most` characters of `tokens`, with standard normal logits and rewards.

    A completion ends with the end token, or at `most` tokens, so with least = most all have one length. The defaults
    give 13 completions; make_world("abcd", 3) gives 85.
    """
    if not 0 <= least <= most or not most or len(tokens) < 2:
        raise ValueError(f"no world of {least} to {most} of {tokens!r}: use two tokens or more, and most of 1 or more")
    texts = _texts(tokens, least, most)
    prefixes = {prefix: row for row, prefix in enumerate(_texts(tokens, 0, most - 1))}
    end = len(tokens)
    prefix_YL, token_YL = torch.zeros(2, len(texts), most, dtype=torch.long)
    drawn_YL = torch.zeros(len(texts), most, dtype=torch.bool)
    for y, text in enumerate(texts):
        drawn = [*map(tokens.index, text), end][:most]
        token_YL[y, : len(drawn)] = torch.tensor(drawn)
        prefix_YL[y, : len(drawn)] = torch.tensor([prefixes[text[:i]] for i in range(len(drawn))])
        drawn_YL[y, : len(drawn)] = True
    allowed_PV = torch.ones(len(prefixes), len(tokens) + 1, dtype=torch.bool)
    allowed_PV[:, end] = torch.tensor([len(prefix) >= least for prefix in prefixes])
    generator = torch.Generator().manual_seed(seed)
    table_PV = torch.randn(allowed_PV.shape, generator=generator, dtype=torch.float64)
    reward_Y = torch.randn(len(texts), generator=generator, dtype=torch.float64)
    return World(tuple(texts), prefix_YL, token_YL, drawn_YL, allowed_PV, table_PV, reward_Y)


def _texts(tokens: str, least: int, most: int) -> list[str]:
    return ["".join(letters) for n in range(least, most + 1) for letters in product(tokens, repeat=n)]


class Samples(NamedTuple):
    """Completions that a policy drew. What stands at places that `drawn_NL` denies is 0.

    completion_N        which they are
    logps_NL            log π of their tokens, with gradient
    reference_logps_NL  log π_ref of their tokens
    drawn_NL            where there is a token
    reward_N            r of the whole completion
    """

    completion_N: Tensor
    logps_NL: Tensor
    reference_logps_NL: Tensor
    drawn_NL: Tensor
    reward_N: Tensor


class TabularPolicy(nn.Module):
    """An autoregressive policy with a logit of its own for every token after every prefix. It begins as the reference.

    It can be any distribution over the world's completions.
    """

    def __init__(self, world: World):
        super().__init__()
        self.world = world
        self.table_PV = nn.Parameter(world.table_PV.clone())

    def token_logps(self) -> Tensor:
        """[Y, L] log π(token | prefix), 0 where a completion has no such token."""
        world = self.world
        logps_PV = self.table_PV.masked_fill(~world.allowed_PV, -torch.inf).log_softmax(-1)
        return logps_PV[world.prefix_YL, world.token_YL].where(world.drawn_YL, 0.0)

    def logps(self) -> Tensor:
        """[Y] log π(y)."""
        return self.token_logps().sum(-1)

    def logratios(self) -> Tensor:
        """[Y] log π(y) − log π_ref(y)."""
        return (self.token_logps() - self.world.reference_YL).sum(-1)

    @torch.no_grad()
    def probabilities(self) -> Tensor:
        """[Y] π(y). They sum to 1."""
        return self.logps().exp()

    def sample(self, n: int, generator: torch.Generator | None = None) -> Samples:
        """n completions drawn from the policy, for methods that learn from their own."""
        drawn_N = torch.multinomial(self.probabilities(), n, replacement=True, generator=generator)
        return Samples(
            drawn_N,
            self.token_logps()[drawn_N],
            self.world.reference_YL[drawn_N],
            self.world.drawn_YL[drawn_N],
            self.world.reward_Y[drawn_N],
        )


class Writing:
    """The world as an environment: an episode is a completion, an action a token, a state a row of a policy's table.

    `steps` are those that there can be, by row and token; the last token brings the reward.
    """

    def __init__(self, world: World) -> None:
        self.steps: dict[tuple[int, int], Step[int]] = {}
        for y, length in enumerate(world.lengths_Y.tolist()):
            places = list(zip(world.prefix_YL[y].tolist(), world.token_YL[y].tolist(), strict=True))[:length]
            self.steps |= {place: Step(row, 0.0, False) for place, (row, _) in itertools.pairwise(places)}
            self.steps[places[-1]] = Step(places[-1][0], world.reward_Y[y].item(), True)
        self._row = 0

    def reset(self, seed: int) -> int:
        """Nothing is written yet. All chance lies in the policy."""
        self._row = 0
        return self._row

    def step(self, action: int) -> Step[int]:
        step = self.steps[self._row, action]
        self._row = step.state
        return step


def optimum_by_token(world: World, beta: float, of: Callable[[Tensor, Tensor, float], Tensor] = optimum) -> Tensor:
    """[Y] where a penalty arrives that each token pays for itself: GRPO's, in the loss.

    A token's own penalty is in its gradient, those of the tokens after it are not. So it is the optimum for the reward
    that follows on average: π(v|p) is `of`(π_ref(·|p), Q(p, ·), β), with Q(p, v) = E_π[r | p, v] and not the soft value
    that later penalties were taken off. With one token a completion it is the optimum itself.
    """
    steps, policy_PV = Writing(world).steps, torch.zeros_like(world.table_PV)
    worth_P = world.table_PV.new_zeros(len(policy_PV))
    for row in reversed(range(len(policy_PV))):  # longer prefixes have later rows
        allowed = world.allowed_PV[row]
        after = [steps[row, token] for token in allowed.nonzero().flatten().tolist()]
        score = worth_P.new_tensor([step.reward + (not step.ended) * float(worth_P[step.state]) for step in after])
        found = of(world.table_PV[row][allowed].softmax(-1), score, beta)
        policy_PV[row, allowed], worth_P[row] = found, found @ score
    return world.probabilities(policy_PV)


class Pairs(NamedTuple):
    """Every two completions, once: how many people prefer the first, and how often the two are compared.

    A completion meets itself too, and is then preferred by half. The weights sum to 1.
    """

    first_E: Tensor
    second_E: Tensor
    p_first_E: Tensor
    weight_E: Tensor


def all_pairs(reference_Y: Tensor, reward_Y: Tensor) -> Pairs:
    """Bradley–Terry's people, P(a ≻ b) = σ(r(a) − r(b)), who are shown two draws from π_ref."""
    first_E, second_E = torch.triu_indices(len(reward_Y), len(reward_Y))
    shown_E = reference_Y[first_E] * reference_Y[second_E]
    return Pairs(
        first_E,
        second_E,
        torch.sigmoid(reward_Y[first_E] - reward_Y[second_E]),
        shown_E * torch.where(first_E == second_E, 1, 2),
    )


def pair_loss(name: str, policy: TabularPolicy, pairs: Pairs, **options: float) -> Tensor:
    """The expected loss `name` of `accord.losses.pairwise`, one that takes soft labels; `options` are its numbers."""
    world, logratios_Y = policy.world, policy.logratios()
    known = {
        "logratios": logratios_Y,
        "scores": logratios_Y,
        "logps": policy.logps(),
        "reference": world.reference_YL.sum(-1),
        "lengths": world.lengths_Y,
    }
    quantities = {f"chosen_{what}": of_Y[pairs.first_E] for what, of_Y in known.items()}
    quantities |= {f"rejected_{what}": of_Y[pairs.second_E] for what, of_Y in known.items()}
    return pairs.weight_E @ pairwise.evaluate(name, {**quantities, **options, "p_chosen": pairs.p_first_E})


def kto_loss(policy: TabularPolicy, p_desirable_Y: Tensor, **options: Any) -> Tensor:
    """The expected loss of `accord.losses.kto` over draws from π_ref, with z₀ = KL(π‖π_ref) itself, not an estimate."""
    reference_point = kl(policy.probabilities(), policy.world.reference_Y)
    losses_Y = kto.human_aware(policy.logratios(), reference_point, p_desirable=p_desirable_Y, **options)
    return policy.world.reference_Y @ losses_Y


def regularised_reward(policy: TabularPolicy, reward_Y: Tensor, beta: float) -> Tensor:
    """E_π[r] − β·KL(π‖π_ref): what the online methods raise, here without sampling."""
    return policy.logps().exp() @ (reward_Y - beta * policy.logratios())


def fit(parameters: Iterable[Tensor], loss: Callable[[], Tensor], *, steps: int = 800, rate: float = 0.2) -> float:
    """Makes `loss()` as small as it gets by Adam on the whole of it, with a rate that falls to 0 by a cosine.

    A reference point that feels no gradient may move with the policy, as in training. Returns the last loss.
    """
    optimizer = torch.optim.Adam(parameters, lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        schedule.step()
    return value.item()


def trained(world: World, loss: Callable[[TabularPolicy], Tensor], **settings: Any) -> Tensor:
    """[Y] where `fit` leads a policy that begins as the reference. `settings` are `fit`'s."""
    policy = TabularPolicy(world)
    fit(policy.parameters(), lambda: loss(policy), **settings)
    return policy.probabilities()
