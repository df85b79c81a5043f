"""DPO's family through the trainer: every loss trains, and none depends on how a batch is cut."""

import copy
import math
from dataclasses import fields

import pytest
import torch

from accord.losses import pairwise
from accord.trainers import DPOConfig
from accord.trainers.examples import merge
from accord.trainers.scored import Wanted, beginning, looked_up, read_logps
from conftest import make_tiny_llama
from training_kit import farthest, losses, make, pairs, quick, train, weights

#: What a loss needs beside its name.
NEEDED = {"exo_pair": {"label_smoothing": 0.01}}


@pytest.mark.parametrize("name", pairwise.LOSSES)
def test_every_loss_trains_and_does_not_depend_on_the_cut(name, tmp_path, byte_tokenizer):
    settings = {"loss_type": [name], "rows": 8, "learning_rate": 1e-2} | NEEDED.get(name, {})
    whole, cut = (
        train("dpo", tmp_path / str(budget), byte_tokenizer, token_budget=budget, **settings) for budget in (4096, 48)
    )
    assert len(losses(whole)) == 2
    assert all(map(math.isfinite, losses(whole)))
    assert losses(cut) == pytest.approx(losses(whole), rel=1e-4, abs=1e-5)
    assert farthest(weights(whole), weights(cut)) < 1e-4


def test_help_lists_the_losses_that_are_tested_here():
    (about,) = (f.metadata["help"] for f in fields(DPOConfig) if f.name == "loss_type")
    assert about.endswith(f": {', '.join(pairwise.LOSSES)}.")


def test_weighted_losses_are_added(tmp_path, byte_tokenizer):
    """The first loss is of the model as it is: the mixture's is the sum of its parts'."""

    def first(**settings):
        return losses(train("dpo", tmp_path, byte_tokenizer, rows=4, **settings))[0]

    mixture = first(loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0])
    parts = [first(loss_type=name) for name in ("sigmoid", "bco_pair", "sft")]
    assert mixture == pytest.approx(0.8 * parts[0] + 0.2 * parts[1] + parts[2], rel=1e-5)
    assert parts[:2] == pytest.approx([math.log(2), 2 * math.log(2)], rel=1e-5)


def test_soft_labels_reach_every_loss_but_those_of_whole_batches(tmp_path, byte_tokenizer):
    rows = pairs(4, p_chosen=0.7)
    for name in pairwise.LOSSES:
        settings = {"rows": rows, "loss_type": name, **NEEDED.get(name, {})}
        if pairwise.takes_soft_labels(name):
            assert math.isfinite(losses(train("dpo", tmp_path, byte_tokenizer, **settings))[0])
        else:
            with pytest.raises(ValueError, match=r"row pair-0: p_chosen is .* compares whole batches"):
                make("dpo", tmp_path, byte_tokenizer, **settings)


def test_without_a_reference_nothing_is_computed_of_it(tmp_path, byte_tokenizer):
    trainer = train("dpo", tmp_path, byte_tokenizer, rows=4, loss_type="simpo", beta=2.0)
    assert trainer.references is None
    assert not (tmp_path / "reference").exists()


@pytest.mark.parametrize("tail", [0.0, 0.4])
def test_the_longer_end_counts_less(tail, tmp_path, byte_tokenizer):
    """LD-DPO (Liu et al. 2024, arXiv:2409.06411): of each answer, the log-probs up to the shorter one's length count
    fully, those beyond as much as ld_alpha says; by plain forwards, token by token."""
    rows = pairs(5)
    model = make_tiny_llama(byte_tokenizer)
    trainer = make("dpo", tmp_path, byte_tokenizer, model=model, rows=rows, ld_alpha=tail)
    group = merge(trainer.train_examples, 4096)
    read = read_logps(model, group, Wanted(tail=tail)).outputs_EK
    trainer.prepare_references()
    examples = [e for merged in group for e in merged.examples]
    reference = looked_up(examples, trainer.references, read, tail)
    for example, ours, theirs in zip(examples, read, reference, strict=True):
        n = min(map(len, example.tree.completions))
        for completion, value in zip(example.tree.completions, ours, strict=True):
            ids = torch.tensor([[*example.tree.prompt, *completion]])
            with torch.no_grad():
                logps = model(input_ids=ids).logits[0, len(example.tree.prompt) - 1 : -1].log_softmax(-1)
            by_token = logps.gather(1, ids[0, len(example.tree.prompt) :, None])[:, 0]
            assert value.item() == pytest.approx((by_token[:n].sum() + tail * by_token[n:].sum()).item(), abs=1e-4)
        assert theirs.tolist() == pytest.approx(ours.tolist(), abs=1e-4)  # the reference is the model as it stands
    assert all(len(c) == min(map(len, e.tree.completions)) for e in examples for c in beginning(e).tree.completions)


def test_pairs_that_the_policy_would_not_give_count_less(tmp_path, byte_tokenizer):
    """WPO at the first step, where each pair's loss is log 2 times its weight: by hand from the plain model."""
    model = make_tiny_llama(byte_tokenizer)
    rows = pairs(4)
    before = copy.deepcopy(model)
    trainer = train("dpo", tmp_path, byte_tokenizer, model=model, rows=rows, use_weighting=True)
    expected = []
    for example in trainer.train_examples:
        alignment = 0.0
        for completion in example.tree.completions:
            ids = torch.tensor([[*example.tree.prompt, *completion]])
            with torch.no_grad():
                logps = before(input_ids=ids).logits[0, len(example.tree.prompt) - 1 : -1].log_softmax(-1)
            chosen = logps.gather(1, ids[0, len(example.tree.prompt) :, None])[:, 0]
            alignment += (chosen - (2 * logps).logsumexp(-1)).mean().item()
        expected.append(math.log(2) * math.exp(alignment))
    assert losses(trainer)[0] == pytest.approx(sum(expected) / 4, rel=1e-4)


def test_the_reference_follows_the_policy(tmp_path, byte_tokenizer):
    """α = 1 every step: after a step the reference is the policy, so that every batch begins at log 2. With a
    reference that stays, only the first does."""
    settings = {"rows": 12, "ref_model_mixup_alpha": 1.0, "ref_model_sync_steps": 1, "learning_rate": 1e-2}
    moving = train("dpo", tmp_path, byte_tokenizer, sync_ref_model=True, **settings)
    assert losses(moving) == pytest.approx([math.log(2)] * 3, abs=1e-5)
    assert farthest(dict(moving.ref_model.named_parameters()), weights(moving)) == 0
    staying = train("dpo", tmp_path, byte_tokenizer, rows=12, learning_rate=1e-2)
    assert abs(losses(staying)[1] - math.log(2)) > 1e-4


def test_an_adapters_base_does_not_move(tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match="sync_ref_model: with an adapter"):
        train("dpo", tmp_path, byte_tokenizer, lora=True, sync_ref_model=True)


def test_the_reference_is_mixed_from_both(tmp_path, byte_tokenizer):
    model = make_tiny_llama(byte_tokenizer)
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer = train(
        "dpo", tmp_path, byte_tokenizer, model=model, rows=8, sync_ref_model=True, ref_model_mixup_alpha=0.25,
        ref_model_sync_steps=2,
    )  # fmt: skip
    assert trainer.state.global_step == 2
    for name, weight in trainer.ref_model.named_parameters():
        expected = 0.25 * dict(trainer.model.named_parameters())[name] + 0.75 * start[name]
        torch.testing.assert_close(weight, expected.detach())


def test_a_moving_reference_resumes_to_where_it_would_have_been(tmp_path, byte_tokenizer):
    settings = {
        "rows": 16, "sync_ref_model": True, "ref_model_sync_steps": 2, "learning_rate": 1e-2,
        "save_strategy": "steps", "save_steps": 3,
    }  # fmt: skip
    through = train("dpo", tmp_path / "through", byte_tokenizer, **settings)
    stopped = make("dpo", tmp_path / "through", byte_tokenizer, **settings)
    stopped.train(resume_from_checkpoint=str(tmp_path / "through" / "run" / "checkpoint-3"))
    assert farthest(weights(through), weights(stopped)) == 0
    assert losses(stopped)[-1:] == losses(through)[-1:]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"loss_type": "sigmod"}, "loss_type is 'sigmod': use one of sigmoid, hinge"),
        ({"loss_type": []}, "loss_type is empty"),
        ({"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0]}, "1 numbers for 2 losses"),
        ({"loss_type": "hinge", "label_smoothing": 0.1}, "hinge has no use for it"),
        ({"loss_type": "robust", "label_smoothing": 0.5}, "label_smoothing is 0.5"),
        ({"loss_type": "exo_pair"}, "exo_pair needs more than 0"),
        ({"loss_type": "bco_pair", "f_divergence_type": "forward_kl"}, "bco_pair has no use for it"),
        ({"f_divergence_type": "kl"}, "f_divergence_type is 'kl': use one of reverse_kl"),
        ({"ld_alpha": 1.5}, "ld_alpha is 1.5"),
        ({"loss_weights": [-1.0]}, "use numbers of 0 or more"),
        ({"beta": math.inf}, "beta is inf"),
        ({"loss_type": "aot", "use_weighting": True}, "aot compares whole batches"),
        ({"loss_type": "simpo", "sync_ref_model": True}, "simpo has no reference model"),
        ({"ref_model_mixup_alpha": 0.0}, "ref_model_mixup_alpha is 0"),
        ({"ref_model_sync_steps": 0}, "ref_model_sync_steps is 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused_in_one_line(settings, why, tmp_path):
    with pytest.raises(ValueError, match=why) as error:
        quick(DPOConfig, tmp_path, **settings)
    assert "\n" not in str(error.value)


def test_labels_that_a_loss_cannot_take_are_refused_in_evaluation_too(tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match=r"row pair-0: p_chosen is .* compares whole batches"):
        make("dpo", tmp_path, byte_tokenizer, loss_type="aot", given={"eval_dataset": pairs(2, p_chosen=0.3)})


def test_ranked_as_people_do_counts_as_right_whichever_answer_they_prefer(tmp_path, byte_tokenizer):
    """A pair with p_chosen 0.1 is right where the margin is below 0; a tie is neither right nor wrong."""
    rows = pairs(4, p_chosen=0.1) + pairs(1, p_chosen=0.5)
    trainer = make("dpo", tmp_path, byte_tokenizer, rows=rows, given={"eval_dataset": rows}, num_train_epochs=8)
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_rewards/margins"] < 0
    assert metrics["eval_rewards/accuracies"] == 1


def test_a_given_reference_is_copied_before_it_moves(tmp_path, byte_tokenizer):
    other = make_tiny_llama(byte_tokenizer, seed=1)
    before = {name: weight.clone() for name, weight in other.named_parameters()}
    settings = {"sync_ref_model": True, "ref_model_sync_steps": 1}
    trainer = train("dpo", tmp_path, byte_tokenizer, rows=4, given={"ref_model": other}, **settings)
    assert farthest(before, dict(other.named_parameters())) == 0
    assert farthest(before, dict(trainer.ref_model.named_parameters())) > 0


def test_a_run_with_another_reference_is_not_resumed(tmp_path, byte_tokenizer):
    settings = {"rows": 8, "save_strategy": "steps", "save_steps": 1}
    train("dpo", tmp_path, byte_tokenizer, **settings)
    with pytest.raises(ValueError, match="the checkpoint has no reference"):
        make("dpo", tmp_path, byte_tokenizer, sync_ref_model=True, **settings).train(resume_from_checkpoint=True)
