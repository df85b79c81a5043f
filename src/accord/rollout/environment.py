"""Reinforcement learning's own words: an agent acts in an environment, which answers with a state and a reward.

    state = environment.reset(seed)
    decision = agent(state)                                  # an action, and log π of it
    state, reward, ended = environment.step(decision.action)

Sutton & Barto, "Reinforcement Learning" (2nd edition, 2018), chapter 3. `TextGeneration` is the environment of language
models; `accord.rollout.worlds` has two small ones that can be checked by eye.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from accord.rollout.choice import sample_key
from accord.rollout.conversation import Reply
from accord.rollout.rewards import RewardSource, Text
from accord.rollout.sample import Sampled, Sampler

S = TypeVar("S")
A = TypeVar("A")
A_contra = TypeVar("A_contra", contravariant=True)


class Step(NamedTuple, Generic[S]):
    """What an environment answers to an action: where it stands now, what was earned, and whether that was the end."""

    state: S
    reward: float
    ended: bool


class Environment(Protocol[S, A_contra]):
    """What an agent acts in. All chance in an episode comes from its seed: between episodes nothing need be saved."""

    def reset(self, seed: int) -> S:
        """Begins an episode. The same seed and the same actions give the same episode."""

    def step(self, action: A_contra) -> Step[S]:
        """Takes an action. Once an episode has ended, call `reset` before the next one."""


class Decision(NamedTuple, Generic[A]):
    """What an agent does, and log π(action | state), in nats. Of an action that is a text, the sum over its tokens."""

    action: A
    logp: float


#: A policy at work: state -> decision.
Agent = Callable[[S], Decision[A]]
#: The same for many states at once, which a language model answers many times faster.
BatchAgent = Callable[[Sequence[S]], Sequence[Decision[A]]]


class Transition(NamedTuple, Generic[S, A]):
    """One step: in `state` the agent did `action`, whose log-probability was `logp`, and earned `reward`."""

    state: S
    action: A
    logp: float
    reward: float


@dataclass(frozen=True)
class Episode(Generic[S, A]):
    """What happened from a `reset` on.

    transitions  the steps, in order
    last         the state after them
    ended        whether the environment ended it (False: cut off; what `last` was still worth is not in the rewards)
    """

    transitions: tuple[Transition[S, A], ...]
    last: S
    ended: bool

    @property
    def total(self) -> float:
        """The sum of its rewards."""
        return sum(transition.reward for transition in self.transitions)

    def returns(self, discount: float = 1.0) -> list[float]:
        """Of each step, what was earned from there on: G_t = r_t + discount · G_{t+1}."""
        found, later = list[float](), 0.0
        for transition in reversed(self.transitions):
            later = transition.reward + discount * later
            found.append(later)
        return found[::-1]


def play(environment: Environment[S, A], agent: Agent[S, A], *, seed: int = 0, most: int = 1000) -> Episode[S, A]:
    """One episode, of at most `most` steps."""
    return play_together([environment], lambda states: [agent(states[0])], seeds=[seed], most=most)[0]


def play_together(
    environments: Sequence[Environment[S, A]], agent: BatchAgent[S, A], *, seeds: Sequence[int], most: int = 1000
) -> list[Episode[S, A]]:
    """An episode of each environment, side by side: the agent is asked about all those that go on at once."""
    states = [environment.reset(seed) for environment, seed in zip(environments, seeds, strict=True)]
    steps: list[list[Transition[S, A]]] = [[] for _ in environments]
    live = list(range(len(environments)))
    for _ in range(most):
        if not live:
            break
        decisions = agent([states[i] for i in live])
        for i, (action, logp) in zip(tuple(live), decisions, strict=True):
            state, reward, ended = environments[i].step(action)
            steps[i].append(Transition(states[i], action, logp, reward))
            states[i] = state
            if ended:
                live.remove(i)
    return [Episode(tuple(steps[i]), states[i], i not in live) for i in range(len(environments))]


class TextGeneration:
    """A conversation as an environment: the state is all that was said, an action is a whole completion.

    rows    prompt rows: `prompt`, a text or messages, and any further columns, which the source of rewards is handed.
            An episode with seed s asks row s modulo their number
    source  where rewards come from: asked once, at the episode's end, about all that was said after the prompt. The
            steps before it earn 0
    reply   a tool, a simulated user: answers, and the episode goes on. Without it an episode is one completion
    turns   most completions in an episode; after the last one nobody replies

    Only an action's `text` enters the state. What is said next is an answer to that text as the chat template renders
    it, which need not be the tokens that were sampled.
    """

    def __init__(
        self,
        rows: Sequence[Mapping[str, Any]],
        source: RewardSource,
        *,
        reply: Reply | None = None,
        turns: int = 8,
    ) -> None:
        if not rows:
            raise ValueError("no rows: an environment of texts needs at least one prompt")
        if reply is not None and any(isinstance(row["prompt"], str) for row in rows):
            raise ValueError("a prompt is a plain text: an environment that replies needs prompts that are messages")
        self.rows, self.source, self.reply, self.turns = rows, source, reply, turns
        self._row: Mapping[str, Any] | None = None
        self._said: Any = ""  # the state: prompt and all that followed
        self._turn = 0

    def reset(self, seed: int) -> Text:
        self._row, self._turn = self.rows[seed % len(self.rows)], 0
        self._said = self._row["prompt"]
        return self._said

    def step(self, action: Sampled) -> Step[Text]:
        if self._row is None:
            raise ValueError("no episode goes on: call reset first")
        plain = isinstance(self._said, str)
        self._said = self._said + (action.text if plain else [{"role": "assistant", "content": action.text}])
        self._turn += 1
        if self.reply and self._turn < self.turns and (message := self.reply(self._said)):
            self._said = [*self._said, dict(message)]
            return Step(self._said, 0.0, False)
        prompt = self._row["prompt"]
        columns = {name: [value] for name, value in self._row.items() if name != "prompt"}
        (reward,) = self.source([prompt], [self._said[len(prompt) :]], **columns).total
        self._row = None
        return Step(self._said, reward, True)


def speaker(sampler: Sampler, *, seed: int = 0, **options: Any) -> BatchAgent[Text, Sampled]:
    """The agent of `TextGeneration`: a language model, by its sampler. `options` are those of `Sampler.sample`.

    Each call draws anew, and the n-th call of two speakers with the same seed draws alike.
    """
    calls = count()

    def speak(states: Sequence[Text]) -> list[Decision[Sampled]]:
        drawn = sampler.sample(states, seed=sample_key(seed, next(calls)), **options)
        return [Decision(each, sum(each.logps)) for each in sorted(drawn, key=lambda each: each.prompt)]

    return speak
