"""Drawing what to ask: probabilities by their formula, weights that make the drawn a fair sample, budgets that hold."""

import json
import subprocess
import sys
from collections import Counter
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from accord.feedback import Prompt, Response
from accord.quality.select import assign, candidates, choose, sampling_weights


def draws(information, prompts, count, random_share, sharpness, discount):
    """Every order in which `count` can be drawn, with the probabilities of its turns, by the formula."""
    for order in permutations(range(len(information)), count):
        probabilities, drawn = [], Counter()
        for turn, pair in enumerate(order):
            left = [p for p in range(len(information)) if p not in order[:turn]]
            score = {p: (discount ** drawn[prompts[p]] * information[p]) ** sharpness for p in left}
            informed = score[pair] / sum(score.values())
            probabilities.append(random_share / len(left) + (1 - random_share) * informed)
            drawn[prompts[pair]] += 1
        yield order, probabilities


INFORMATION, PROMPTS = [0.4, 0.1, 0.3, 0.2], ["p", "p", "q", "r"]
SETTINGS = {"random_share": 0.2, "sharpness": 2.0, "discount": 0.5}


def test_weights_make_what_was_drawn_a_fair_sample():
    """The expectation over all draws of the weighted mean is the mean over all pairs, exactly."""
    values = np.array([1.0, 7.0, 3.0, -2.0])
    for count in (1, 2, 3, 4):
        total, expected = 0.0, 0.0
        for order, probabilities in draws(INFORMATION, PROMPTS, count, **SETTINGS):
            probability = np.prod(probabilities)
            total += probability
            expected += probability * (sampling_weights(probabilities, 4) * values[list(order)]).mean()
        assert total == pytest.approx(1)
        assert expected == pytest.approx(values.mean())


def test_draws_have_the_probabilities_that_they_tell():
    by_formula = dict(draws(INFORMATION, PROMPTS, 2, **SETTINGS))
    seen = Counter()
    for seed in range(3000):
        drawn = choose(INFORMATION, PROMPTS, 2, seed=seed, **SETTINGS)
        order = tuple(one.pair for one in drawn)
        assert [one.probability for one in drawn] == pytest.approx(by_formula[order])
        assert [one.weight for one in drawn] == pytest.approx(sampling_weights(by_formula[order], 4))
        seen[order] += 1
    for order, probabilities in by_formula.items():
        p = np.prod(probabilities)
        assert seen[order] / 3000 == pytest.approx(p, abs=4 * (p * (1 - p) / 3000) ** 0.5)


def test_chance_alone_weighs_all_alike():
    drawn = choose(np.arange(50.0), np.zeros(50), 20, random_share=1)
    assert len({one.pair for one in drawn}) == 20
    assert [one.probability for one in drawn] == pytest.approx([1 / (50 - n) for n in range(20)])
    assert [one.weight for one in drawn] == pytest.approx([1] * 20)
    assert sampling_weights([0.9, 1.0], 2) == pytest.approx([1, 1])  # all were drawn


def test_questions_are_spread_over_prompts():
    prompts = np.repeat(np.arange(20), 10)
    information = np.where(prompts == 0, 0.5, 0.4)

    def of_first(**settings):
        drawn = choose(information, prompts, 20, random_share=0, **settings)
        return sum(prompts[one.pair] == 0 for one in drawn)

    assert of_first(sharpness=50.0, discount=1.0) == 10  # all that it has
    assert of_first(sharpness=50.0, discount=0.5) <= 2
    capped = choose(information, prompts, 100, random_share=0, per_prompt=2)
    assert len(capped) == 40
    assert set(Counter(prompts[one.pair] for one in capped).values()) == {2}


def test_what_tells_nothing_is_not_asked():
    assert choose([0.0, 0.0], [0, 1], 2) == []
    assert [one.pair for one in choose([0.0, 0.3], [0, 1], 2, random_share=0)] == [1]
    assert len(choose([0.0, 0.0], [0, 1], 2, random_share=1)) == 2
    assert choose([], [], 5) == []
    for wrong in ([-0.1], [np.nan]):
        with pytest.raises(ValueError, match="number of 0 or more"):
            choose(wrong, [0], 1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        choose([0.1], [0], 1, random_share=2)


def test_the_seed_decides():
    information = np.linspace(0.1, 0.2, 30)
    assert choose(information, range(30), 10, seed=1) == choose(information, range(30), 10, seed=1)
    assert choose(information, range(30), 10, seed=1) != choose(information, range(30), 10, seed=2)


def test_pairs_are_of_different_texts():
    prompt = Prompt("Q?")
    said = [Response(prompt.id, text, source=f"m{n}") for n, text in enumerate(["yes", "no", "yes "])]
    shown = Response(prompt.id, "shown", demonstration=True)
    pairs = candidates([*said, shown])
    ids = {response.id: response.content.strip() for response in said}
    assert sorted(sorted(ids[id] for id in pair[1:]) for pair in pairs) == [["no", "yes"], ["no", "yes"]]
    assert all(pair[1] < pair[2] for pair in pairs)


def test_budgets_hold():
    voted = [{"ann"}, set(), set(), {"bob", "eve"}, set(), {"ann", "bob", "eve"}]
    asked = assign(voted, {"ann": 3, "bob": 2, "eve": 2}, overlap=2)
    done = Counter(name for who in asked for name in who)
    assert done == {"ann": 3, "bob": 2, "eve": 2}
    assert all(not said & set(who) for said, who in zip(voted, asked, strict=True))
    assert [len(who) for who in asked] == [2, 2, 2, 1, 0, 0]
    # with budgets alike, work is shared alike
    even = Counter(name for who in assign([set()] * 30, dict.fromkeys("abc", 50)) for name in who)
    assert set(even.values()) == {10}


def test_the_benchmark_compares_ways():
    """Small; that choosing pays is what it measures in full: docs/selecting.md has the figures."""
    script = Path(__file__).resolve().parents[1] / "benchmarks" / "selection.py"
    words = ["--seeds", "3", "--prompts", "200", "--votes", "100", "--batch", "25"]
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["votes"] == [25, 50, 75, 100]
    chance, chosen = told["ways"]["random"], told["ways"]["selection"]
    assert chance["accuracy"][0] == chosen["accuracy"][0]  # the first batch is the same
    assert chosen["final_accuracy"] > chance["final_accuracy"]
    assert 0 < chosen["share_of_votes"] < 1
