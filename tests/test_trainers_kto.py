"""KTO's reference point: which completions estimate it, and the batches on which it used to break elsewhere."""

import math
import random

import pytest

from accord.policy.encode import encode
from accord.trainers.examples import Example
from accord.trainers.reference_point import mismatch
from conftest import make_tiny_llama
from training_kit import farthest, losses, make, pairs, plain_logps, train, unpaired, weights


@pytest.fixture
def examples(byte_tokenizer):
    rows = unpaired(20)
    encoded = encode(rows, byte_tokenizer, ("completion",))
    return [Example(row["id"], each.tree) for row, each in zip(rows, encoded, strict=True)]


def content(example):
    return tuple(example.tree.prompt), tuple(example.tree.completions[0])


def pairing(examples, **settings):
    found = mismatch(examples, **({"seed": 7} | settings))
    return {content(e): content(m) for e, m in zip(examples, found, strict=True)}


def test_the_mismatch_keeps_the_prompt_and_takes_another_prompts_completion(examples):
    completions = {}
    for example in examples:
        completions.setdefault(tuple(example.tree.prompt), set()).add(content(example)[1])
    for (prompt, _), (kept, other) in pairing(examples).items():
        assert kept == prompt
        assert any(other in of for owner, of in completions.items() if owner != prompt)
    assert len({other for _, other in pairing(examples).values()}) > 5


def test_the_mismatch_depends_on_content_and_seed_alone(examples):
    shuffled = random.Random(3).sample(examples, len(examples))
    renamed = [Example(f"other-{i}", e.tree, 0.3, 2.0) for i, e in enumerate(examples)]
    assert pairing(shuffled) == pairing(renamed) == pairing(examples)
    assert pairing(examples, seed=8) != pairing(examples)


def test_one_other_prompt_is_enough_wherever_it_stands(examples):
    """Nineteen answers to one prompt and one to another: all nineteen take that one."""
    trees = [type(e.tree)(examples[0].tree.prompt, e.tree.completions) for e in examples[:19]]
    some = [Example(str(i), tree) for i, tree in enumerate(trees)] + [examples[19]]
    for order in (some, some[::-1]):
        found = pairing(order)
        assert {found[content(e)][1] for e in some[:19]} == {content(examples[19])[1]}
        assert found[content(examples[19])][0] == tuple(examples[19].tree.prompt)


def test_a_mismatched_pair_is_cut_to_the_length_limit(examples):
    longest = max(len(e.tree.prompt) + 1 for e in examples)
    found = mismatch(examples, 7, max_length=longest + 2)
    whole = mismatch(examples, 7)
    assert max(m.tree.longest for m in whole) > longest + 2
    for short, full in zip(found, whole, strict=True):
        assert short.tree.longest == min(full.tree.longest, longest + 2)
        ids, all_ids = (list(m.tree.completions[0]) for m in (short, full))
        assert ids == all_ids[: len(ids)]


def test_one_prompt_alone_is_refused(tmp_path, byte_tokenizer):
    rows = [{"prompt": "Say: ", "completion": f"tea {i}", "label": True} for i in range(3)]
    with pytest.raises(ValueError, match="same prompt: add prompts") as error:
        make("kto", tmp_path, byte_tokenizer, rows=rows).train()
    assert "\n" not in str(error.value)


def test_a_batch_of_one_has_its_reference_point(tmp_path, byte_tokenizer):
    """z₀ is max(0, log-ratio of the mismatched pair), by plain forwards; and r = 0 against a reference of one's own."""
    rows, model, other = unpaired(4), make_tiny_llama(byte_tokenizer), make_tiny_llama(byte_tokenizer, seed=1)
    trainer = make(
        "kto", tmp_path, byte_tokenizer, model=model, rows=rows, given={"ref_model": other},
        per_device_train_batch_size=1, learning_rate=0.0,
    )  # fmt: skip

    def ratio(prompt, completion):
        return plain_logps(model, byte_tokenizer, prompt, completion) - plain_logps(
            other, byte_tokenizer, prompt, completion
        )

    pairs_ = trainer.objective.preview.stand_ins(trainer.train_examples)
    mismatched = [byte_tokenizer.decode(pair.tree.completions[0][:-1]) for pair in pairs_]
    points = [max(0.0, ratio(row["prompt"], y)) for row, y in zip(rows, mismatched, strict=True)]
    signs = [1 if row["label"] else -1 for row in rows]
    gains = [
        s * 0.1 * (ratio(row["prompt"], row["completion"]) - z) for s, row, z in zip(signs, rows, points, strict=True)
    ]
    with pytest.raises(RuntimeError, match="changed no weight"):
        trainer.train()  # learning rate 0: every batch sees the model as it was
    log = [record for record in trainer.state.log_history if "loss" in record]
    order = [int(e.id.removeprefix("answer-")) for batch in trainer.get_train_dataloader() for e in batch]
    assert any(points)
    assert [record["kl"] for record in log] == pytest.approx([points[i] for i in order], abs=1e-4)
    assert [r["loss"] for r in log] == pytest.approx([1 / (1 + math.exp(gains[i])) for i in order], abs=1e-5)


def test_batches_with_one_kind_of_label_train_and_log(tmp_path, byte_tokenizer):
    for label in (True, False):
        rows = [row | {"label": label} for row in unpaired(6)]
        log = train("kto", tmp_path, byte_tokenizer, rows=rows, per_device_train_batch_size=1).state.log_history
        assert all(math.isfinite(record["loss"]) for record in log if "loss" in record)
        assert ("rewards/chosen" in log[0]) is label
        assert "rewards/margins" not in log[0]


def test_odd_last_batches_and_shuffling_end_well(tmp_path, byte_tokenizer):
    for strategy in ("random", "sequential"):
        trainer = train(
            "kto", tmp_path, byte_tokenizer, rows=11, num_train_epochs=2, per_device_train_batch_size=5,
            train_sampling_strategy=strategy,
        )  # fmt: skip
        assert len(losses(trainer)) == 6
        assert all(math.isfinite(loss) for loss in losses(trainer))


def test_the_order_of_the_file_does_not_matter_when_all_is_one_batch(tmp_path, byte_tokenizer):
    rows = unpaired(10)
    runs = [
        train("kto", tmp_path, byte_tokenizer, rows=each, per_device_train_batch_size=10, num_train_epochs=3)
        for each in (rows, sorted(rows, key=lambda row: row["label"]))
    ]
    assert losses(runs[0]) == pytest.approx(losses(runs[1]), abs=1e-6)
    assert farthest(weights(runs[0]), weights(runs[1])) < 1e-5


def test_pairs_are_taken_apart(tmp_path, byte_tokenizer):
    rows = [row | {"p_chosen": 0.7, "weight": 0.5} for row in pairs(3)]
    taken = make("kto", tmp_path, byte_tokenizer, rows=rows).train_examples
    assert [e.id for e in taken] == [f"pair-{i}/{side}" for i in range(3) for side in ("chosen", "rejected")]
    assert [e.p for e in taken] == pytest.approx([0.7, 0.3] * 3)
    assert {e.weight for e in taken} == {0.5}
    assert byte_tokenizer.decode(taken[1].tree.completions[0]) == rows[0]["rejected"] + "<|im_end|>"


def test_answers_of_one_prompt_are_drawn_together(tmp_path, byte_tokenizer):
    """So that its tokens are computed once; all the same, every answer is drawn once an epoch."""
    trainer = make("kto", tmp_path, byte_tokenizer, rows=pairs(8), per_device_train_batch_size=2)
    batches = [[e.id for e in batch] for batch in trainer.get_train_dataloader()]
    assert sorted(e for batch in batches for e in batch) == sorted(e.id for e in trainer.train_examples)
    assert all(len({e.split("/")[0] for e in batch}) == 1 for batch in batches if "pair-0" in batch[0])
    prompts = {e.id: bytes(e.tree.prompt) for e in trainer.train_examples}
    assert all(len({prompts[e] for e in batch}) == 1 for batch in batches)
