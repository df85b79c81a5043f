"""The reference's log-probs on disk: computed once, found again, and never mistaken for another's."""

import copy
import os
import signal
import sqlite3
from array import array

import peft
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from accord.policy.forward import install
from accord.policy.reference import ReferenceCache, fresh_adapter, key, reference_hash, reference_logps, weights_hash
from accord.policy.score import score_trees
from accord.tree import PromptTree
from families import forest, stock_model

GROUPS = [[PromptTree([1, 2], [[3], [4, n]]), PromptTree([n], [[5, 6]])] for n in range(10, 16)]


def score(trees):
    """A number that tells completions apart and that fp32 cannot hold in few decimal digits."""
    paths = [(*tree.prompt, 0, *completion) for tree in trees for completion in tree.completions]
    return torch.tensor([-sum((i + 1) * token for i, token in enumerate(path)) / 7 for path in paths])


def never(trees):
    raise AssertionError("this was to come from disk")


@pytest.fixture
def cache(tmp_path):
    cache = ReferenceCache(tmp_path / "new" / "cache.db")
    yield cache
    cache.close()


# ---- The cache


def test_a_second_run_computes_nothing_and_gives_the_same_bits(cache, tmp_path):
    first = reference_logps(GROUPS, score, cache)
    again = ReferenceCache(tmp_path / "new" / "cache.db")
    assert reference_logps(GROUPS, never, again) == first
    assert reference_logps([[PromptTree([10], [[5, 6]])]], never, again)[key([10], [5, 6])] == score(GROUPS[0])[2]
    assert len(first) == 1 + 2 * len(GROUPS)  # [1, 2] -> [3] is the same in every group


def test_what_is_asked_for_comes_back_for_every_completion(cache):
    found = reference_logps(GROUPS, score, cache)
    for trees in GROUPS:
        keys = [key(tree.prompt, completion) for tree in trees for completion in tree.completions]
        assert torch.equal(torch.tensor([found[k] for k in keys]), score(trees))


def test_progress_counts_groups(cache):
    seen = []
    reference_logps(GROUPS, score, cache, seen.append)
    assert seen == [1, 2, 3, 4, 5, 6]


def test_many_keys_at_once(cache):
    values = {key([n], [1]): float(n) for n in range(2000)}
    cache.put(values)
    assert cache.get([*values, key([5000], [1])]) == values


def test_a_value_once_written_stays(cache):
    cache.put({b"k": 1.0})
    cache.put({b"k": 2.0, b"l": 3.0})
    assert cache.get([b"k", b"l"]) == {b"k": 1.0, b"l": 3.0}


def test_what_is_not_finite_is_refused_and_not_kept(cache):
    with pytest.raises(FloatingPointError, match="not finite"):
        reference_logps(GROUPS, lambda trees: score(trees) * torch.nan, cache)
    assert reference_logps(GROUPS, score, cache)


@given(*[st.lists(st.integers(0, 300), min_size=1, max_size=3)] * 4)
def test_keys_differ_where_prompts_or_completions_do(prompt, completion, other_prompt, other_completion):
    same = (prompt, completion) == (other_prompt, other_completion)
    assert (key(prompt, completion) == key(other_prompt, other_completion)) == same


def test_keys_know_where_the_completion_begins_but_not_how_ids_are_kept():
    assert len({key([1, 2], [3]), key([1], [2, 3]), key([12], [3]), key([1, 2, 3], [])}) == 4
    assert key(array("i", [1, 2]), (3, 4)) == key([1, 2], [3, 4])


# ---- Kills


def killed(work):
    """Runs `work` in a process that kills itself in the middle of it."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)


def test_a_kill_between_groups_keeps_what_was_done(tmp_path):
    path = tmp_path / "cache.db"
    computed = []

    def dying(trees):
        if trees is GROUPS[3]:
            os.kill(os.getpid(), signal.SIGKILL)
        return score(trees)

    killed(lambda: reference_logps(GROUPS, dying, ReferenceCache(path)))
    cache = ReferenceCache(path)
    found = reference_logps(GROUPS, lambda trees: computed.append(trees) or score(trees), cache)
    assert computed == GROUPS[3:]
    assert found == reference_logps(GROUPS, never, cache)
    assert torch.equal(
        torch.tensor([found[key([n], [5, 6])] for n in range(10, 16)]), torch.stack([score(g)[2] for g in GROUPS])
    )


def test_a_kill_in_the_middle_of_writing_leaves_all_or_nothing(tmp_path):
    path = tmp_path / "cache.db"
    ReferenceCache(path).put({b"before": 1.0})

    class Dying(dict):
        def items(self):
            for n in range(50_000):
                yield n.to_bytes(16, "big"), float(n)
            os.kill(os.getpid(), signal.SIGKILL)

    killed(lambda: ReferenceCache(path).put(Dying()))
    cache = ReferenceCache(path)
    assert cache.get([b"before", (0).to_bytes(16, "big")]) == {b"before": 1.0}
    cache.put({b"after": 2.0})
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_two_processes_may_write_at_once(tmp_path):
    path = tmp_path / "cache.db"
    ReferenceCache(path).close()
    children = []
    for side in range(2):
        if (child := os.fork()) == 0:
            cache = ReferenceCache(path)
            for n in range(50):
                cache.put({key([side], [n + 1]): float(n), key([7], [n + 1]): float(n)})
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    keys = [key([first], [n + 1]) for first in (0, 1, 7) for n in range(50)]
    assert len(ReferenceCache(path).get(keys)) == 150


# ---- Whose log-probs they are


def lora(model, seed=0, **settings):
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], **settings)
    return peft.get_peft_model(copy.deepcopy(model), config)


def test_the_hash_tells_weights_settings_and_precision_apart():
    model = stock_model("llama")
    hashes = [reference_hash(model), reference_hash(stock_model("llama", seed=1))]
    for change in (nudge_last_weight, rename_a_setting, torch.nn.Module.bfloat16):
        changed = copy.deepcopy(model)
        change(changed)
        hashes.append(reference_hash(changed))
    assert len(set(hashes)) == len(hashes)
    assert reference_hash(stock_model("llama")) == hashes[0]


def nudge_last_weight(model):
    with torch.no_grad():
        model.lm_head.weight.view(-1)[-1].nextafter_(torch.tensor(9.0))


def rename_a_setting(model):
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": 20000.0}


def test_the_hash_survives_saving_training_mode_and_installation(tmp_path):
    model = stock_model("llama")
    before = reference_hash(model)
    model.save_pretrained(tmp_path)
    install(model)
    model.train()
    model.config.pad_token_id = 7  # as trainers do
    model.config.use_cache = False
    assert reference_hash(model) == before
    assert reference_hash(type(model).from_pretrained(tmp_path)) == before


def test_names_and_shapes_count():
    one = torch.arange(6.0)
    hashes = {weights_hash([(name, value)]) for name in "ab" for value in (one, one.view(2, 3), one.to(torch.int32))}
    assert len(hashes) == 6


def test_a_fresh_adapter_has_its_bases_reference():
    base = stock_model("llama")
    for adapted in (lora(base), lora(base, seed=1), lora(base, use_dora=True)):
        assert fresh_adapter(adapted)
        assert reference_hash(adapted) == reference_hash(base)
    assert not fresh_adapter(base)


def test_a_trained_adapter_is_its_own_reference():
    base = stock_model("llama")
    hashes = {reference_hash(lora(base, seed, init_lora_weights=False)) for seed in (0, 1)} | {reference_hash(base)}
    assert len(hashes) == 3


def test_a_fresh_adapters_log_probs_are_its_bases():
    base = stock_model("llama")
    adapted = lora(base)
    install(base)
    install(adapted)
    assert torch.equal(score_trees(adapted, forest()), score_trees(base, forest()))
