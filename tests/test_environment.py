"""Agent, environment, action, reward: worlds whose optimum is known, conversations, and the page that explains them."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from accord.rollout import Sampled, Sampler
from accord.rollout.environment import (
    Decision,
    Episode,
    Step,
    TextGeneration,
    Transition,
    play,
    play_together,
    speaker,
)
from accord.rollout.rewards import Function
from accord.rollout.worlds import ARROWS, Bandit, Cell, GridWorld

PAGE = Path(__file__).parent.parent / "docs" / "reinforcement-learning.md"
UP, RIGHT, DOWN, LEFT = range(4)


class Countdown:
    """From `seed` down to 0: the action is what to take off, and its square root the reward."""

    def reset(self, seed):
        self.left = seed
        return seed

    def step(self, action):
        self.left -= action
        return Step(self.left, math.sqrt(action), self.left <= 0)


def by_ones(state):
    return Decision(1, -0.5)


def test_episode_records_what_happened():
    episode = play(Countdown(), by_ones, seed=2)
    assert episode == Episode((Transition(2, 1, -0.5, 1.0), Transition(1, 1, -0.5, 1.0)), last=0, ended=True)


def test_returns_are_discounted_sums_of_what_follows():
    episode = Episode(tuple(Transition(None, None, 0.0, reward) for reward in (1.0, 2.0, 4.0)), None, True)
    assert episode.total == 7
    assert episode.returns() == [7, 6, 4]
    assert episode.returns(0.5) == [1 + 0.5 * 4, 2 + 0.5 * 4, 4]


def test_episode_that_is_cut_off_says_so():
    episode = play(Countdown(), by_ones, seed=5, most=3)
    assert (len(episode.transitions), episode.last, episode.ended) == (3, 2, False)


def test_together_is_one_by_one_and_asks_about_live_episodes_alone():
    asked = []

    def agent(states):
        asked.append(list(states))
        return [by_ones(state) for state in states]

    together = play_together([Countdown() for _ in range(3)], agent, seeds=[1, 3, 2])
    assert together == [play(Countdown(), by_ones, seed=seed) for seed in (1, 3, 2)]
    assert asked == [[1, 3, 2], [2, 1], [1]]


# The bandit


def test_bandit_pays_its_means_with_its_deviation():
    bandit = Bandit(means=(1.0, -2.0), deviation=0.5)
    pays = np.array([play(bandit, lambda state: Decision(1, 0.0), seed=seed).total for seed in range(2000)])
    assert abs(pays.mean() + 2.0) < 4 * 0.5 / math.sqrt(2000)
    assert abs(pays.std() - 0.5) < 4 * 0.5 / math.sqrt(2 * 2000)


def test_bandit_is_one_pull_and_its_seed_decides():
    bandit = Bandit()
    assert bandit.reset(3) == 0
    first = bandit.step(2)
    bandit.reset(3)
    assert (first.state, first.ended, bandit.step(2)) == (0, True, first)


def test_bandit_as_text():
    assert str(Bandit(means=(0.3, -0.2))) == "arm 0   0.30 ███\narm 1  -0.20 ░░"


# The grid world


def values(world, sweeps=200):
    """Value iteration (Bellman 1957): the best expected return from each state, and the action that has it."""
    value = dict.fromkeys(world.states, 0.0)
    best = {}
    for _ in range(sweeps):
        for state in world.states:
            worth = [
                sum(p * (step.reward + (0 if step.ended else value[step.state])) for p, step in outcomes)
                for outcomes in (world.outcomes(state, action) for action in range(4))
            ]
            best[state] = max(range(4), key=worth.__getitem__)
            value[state] = worth[best[state]]
    return value, best


def test_default_world_has_the_textbook_values():
    """Russell & Norvig, 3rd edition, figure 17.3: utilities with step reward −0.04 and no discount."""
    value, best = values(GridWorld())
    printed = {
        (0, 0): 0.812, (0, 1): 0.868, (0, 2): 0.918,
        (1, 0): 0.762, (1, 2): 0.660,
        (2, 0): 0.705, (2, 1): 0.655, (2, 2): 0.611, (2, 3): 0.388,
    }  # fmt: skip
    assert {tuple(cell): round(worth, 3) for cell, worth in value.items()} == printed
    assert GridWorld().show(best) == "→ → → G\n↑ # ↑ P\n↑ ← ← ←"


def test_optimal_policy_earns_the_optimal_return():
    """The steps that are drawn are those that `outcomes` lists: 2000 episodes agree with value iteration."""
    world = GridWorld()
    value, best = values(world)
    totals = [play(world, lambda state: Decision(best[state], 0.0), seed=seed).total for seed in range(2000)]
    assert abs(np.mean(totals) - value[world.start]) < 4 * np.std(totals) / math.sqrt(len(totals))


def test_outcomes_slip_to_either_side_and_walls_hold():
    world = GridWorld()
    corner = {(p, step.state) for p, step in world.outcomes(world.start, LEFT)}
    assert corner == {(0.8, (2, 0)), (0.1, (2, 0)), (0.1, (1, 0))}
    into_wall = world.outcomes(Cell(2, 1), UP)
    assert [(p, step.state) for p, step in into_wall] == [(0.8, (2, 1)), (0.1, (2, 0)), (0.1, (2, 2))]


def test_walk_without_slipping_earns_what_can_be_added_up():
    world = GridWorld("S.G\n..P", step_cost=0.1, goal=2, pit=-3, slip=0)
    walk = iter([DOWN, RIGHT, UP, RIGHT])
    episode = play(world, lambda state: Decision(next(walk), 0.0))
    assert [t.state for t in episode.transitions] == [(0, 0), (1, 0), (1, 1), (0, 1)]
    assert episode.total == pytest.approx(2 - 4 * 0.1)
    assert (episode.last, episode.ended) == ((0, 2), True)
    fall = iter([DOWN, RIGHT, RIGHT])
    assert play(world, lambda state: Decision(next(fall), 0.0)).total == pytest.approx(-3 - 3 * 0.1)


def test_grid_world_as_text():
    world = GridWorld("S.G\n.#P", slip=0)
    world.reset(0)
    world.step(ARROWS.index("→"))
    assert str(world) == "S A G\n. # P"


@pytest.mark.parametrize(
    ("picture", "said"),
    [("S.\nG", "different lengths"), ("S?G", r"'\?'"), (".G", "one start S, this picture has 0"), ("", "or none")],
)
def test_pictures_that_are_none(picture, said):
    with pytest.raises(ValueError, match=said):
        GridWorld(picture)


# Text generation


def said(text):
    return Sampled(0, 0, [1, 2], text, [-1.0, -2.0], True)


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def test_a_completion_is_an_episode():
    rows = [{"prompt": "1 + 1 = ", "answer": "2"}, {"prompt": "2 + 3 = ", "answer": "5"}]
    right = Function(lambda completions, answer: [float(c == a) for c, a in zip(completions, answer, strict=True)])
    world = TextGeneration(rows, right)
    assert world.reset(3) == "2 + 3 = "
    assert world.step(said("5")) == Step("2 + 3 = 5", 1.0, True)
    world.reset(0)
    assert world.step(said("5")) == Step("1 + 1 = 5", 0.0, True)
    with pytest.raises(ValueError, match="call reset first"):
        world.step(said("2"))


def test_environment_replies_and_the_episode_goes_on():
    """A tool that adds: the source is asked once, at the end, about everything after the prompt."""
    seen = []

    def source(prompts, completions):
        seen.append((prompts, completions))
        return [3.0]

    def adds(messages):
        called = re.fullmatch(r"add (\d+) (\d+)", messages[-1]["content"])
        return {"role": "tool", "content": str(sum(map(int, called.groups())))} if called else None

    prompt = [user("17 + 25?")]
    world = TextGeneration([{"prompt": prompt}], Function(source), reply=adds)
    words = iter(["add 17 25", "It is 42."])
    episode = play(world, lambda state: Decision(said(next(words)), -3.0))
    talk = [assistant("add 17 25"), {"role": "tool", "content": "42"}, assistant("It is 42.")]
    assert [t.reward for t in episode.transitions] == [0.0, 3.0]
    assert [t.state for t in episode.transitions] == [prompt, prompt + talk[:2]]
    assert (episode.last, episode.ended) == (prompt + talk, True)
    assert seen == [([prompt], [talk])]
    assert prompt == [user("17 + 25?")]


def test_turns_end_a_conversation_that_would_not():
    world = TextGeneration(
        [{"prompt": [user("Hi")]}], Function(lambda completions: [1.0]), reply=lambda _: user("And?"), turns=3
    )
    episode = play(world, lambda state: Decision(said("So."), 0.0))
    assert [t.reward for t in episode.transitions] == [0, 0, 1]
    assert episode.last == [user("Hi"), *[assistant("So."), user("And?")] * 2, assistant("So.")]


def test_prompts_that_cannot_be_replied_to():
    with pytest.raises(ValueError, match="prompts that are messages"):
        TextGeneration([{"prompt": "plain"}], Function(len), reply=lambda _: None)
    with pytest.raises(ValueError, match="at least one prompt"):
        TextGeneration([], Function(len))


def test_language_model_plays(tiny_llama, byte_tokenizer):
    """A decision's log π is the model's own score of the completion; the same speaker says the same again."""
    rows = [{"prompt": [user(f"number {n}")]} for n in range(3)]

    def episodes():
        worlds = [
            TextGeneration(rows, Function(lambda completions: [float(len(completions))]), reply=lambda _: user("?"))
            for _ in rows
        ]
        agent = speaker(Sampler(tiny_llama, byte_tokenizer), seed=5, max_new_tokens=6)
        return play_together(worlds, agent, seeds=range(3), most=2)

    found = episodes()
    assert episodes() == found
    for episode in found:
        first, second = episode.transitions
        assert first.action.tokens != second.action.tokens
        assert second.state == [*first.state, assistant(first.action.text), user("?")]
    texts = [(rows[n]["prompt"], episode.transitions[0].action) for n, episode in enumerate(found)]
    assert [action.prompt for _, action in texts] == [0, 1, 2]
    for prompt, action in texts:
        ids = Sampler(tiny_llama, byte_tokenizer).prompt_ids(prompt)
        logits_TV = tiny_llama(torch.tensor([ids + action.tokens])).logits[0, len(ids) - 1 : -1]
        logps_T = logits_TV.log_softmax(-1).gather(-1, torch.tensor(action.tokens)[:, None])[:, 0]
        assert_close(torch.tensor(action.logps), logps_T.detach(), atol=1e-4, rtol=0)
    sums = [episode.transitions[0].logp for episode in found]
    assert sums == [sum(action.logps) for _, action in texts]


# The page


def code(kind):
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("number", [0, 1])
def test_page_shows_what_its_example_prints(number, capsys):
    """An agent of ten lines, and PPO."""
    exec(compile(code("python")[number], PAGE.name, "exec"), {})
    assert capsys.readouterr().out == code("text")[number]


def test_page_says_what_a_larger_step_does(capsys):
    example = code("python")[0]
    assert example.count("0.1 * (earned") == 2
    exec(compile(example.replace("+= 0.1 * (earned", "+= 0.3 * (earned", 1), PAGE.name, "exec"), {})
    *picture, earned = capsys.readouterr().out.splitlines()
    assert picture[-1].startswith("→ →")
    assert 0.45 < float(earned.split()[-1]) < 0.55


@pytest.mark.smollm2
def test_conversation_on_the_page_runs(capsys):
    exec(compile(code("python")[2], PAGE.name, "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert all("Are you sure?" in line for line in lines)
