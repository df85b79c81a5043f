"""Against TRL: its losses on the same log-probs, and its trainers on the same data in the same order."""

from types import SimpleNamespace

import pytest
import torch
from datasets import Dataset
from torch.testing import assert_close
from transformers import AutoModelForCausalLM

from accord.losses import dpo, kto
from accord.trainers.examples import Example
from accord.tree import PromptTree
from training_kit import KINDS, farthest, losses, make

trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")

PEERS = {
    "dpo": (trl.DPOTrainer, trl.DPOConfig),
    "kto": (trl.KTOTrainer, trl.KTOConfig),
    "sft": (trl.SFTTrainer, trl.SFTConfig),
}
#: Eight steps in the order of the file, with the settings of both.
SETTINGS = {
    "per_device_train_batch_size": 4,
    "num_train_epochs": 2,
    "train_sampling_strategy": "sequential",
    "max_length": 64,
    "learning_rate": 5e-3,
    "lr_scheduler_type": "linear",
}
ROWS = 16


def theirs(kind, folder, model_dir, tokenizer, rows, **changes):
    """TRL's trainer, trained, on its own copy of the model."""
    trainer_class, config_class = PEERS[kind]
    config = config_class(
        str(folder / "trl"), bf16=False, use_cpu=True, disable_tqdm=True, report_to="none", logging_steps=1,
        save_strategy="no", gradient_checkpointing=False, **(SETTINGS | changes),
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(model_dir)
    trainer = trainer_class(model, args=config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.train()
    return trainer


def rolled(size: int):
    """TRL's pairs for the KL estimate: in each batch, the completion of the example before."""

    def mismatched(examples):
        batches = [examples[start : start + size] for start in range(0, len(examples), size)]
        return [
            Example(example.id, PromptTree(example.tree.prompt, batch[place - 1].tree.completions))
            for batch in batches
            for place, example in enumerate(batch)
        ]

    return mismatched


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("dpo", {}),
        ("dpo", {"beta": 0.5, "max_length": 24}),
        ("dpo", {"loss_type": ["ipo"]}),
        ("dpo", {"loss_type": ["aot"]}),
        ("dpo", {"loss_type": ["aot_unpaired"], "label_smoothing": 0.1}),
        ("dpo", {"loss_type": ["sigmoid", "bco_pair", "nca_pair"], "loss_weights": [0.8, 0.2, 0.5]}),
        ("dpo", {"loss_type": ["discopop"], "f_divergence_type": "alpha_divergence", "learning_rate": 5e-4}),
        ("dpo", {"ld_alpha": 0.3}),
        ("dpo", {"use_weighting": True, "learning_rate": 1e-3}),
        ("dpo", {"sync_ref_model": True, "ref_model_sync_steps": 2}),
        ("kto", {"desirable_weight": 1.5, "undesirable_weight": 0.7}),
        ("sft", {}),
    ],
)
def test_the_trainers_agree(kind, changes, tmp_path, tiny_model_dir, byte_tokenizer):
    """Losses, metrics of the same name and final weights. KTO's pairs are made TRL's: Accord's do not follow the
    order of the file, which is the one thing in which the two methods differ."""
    rows = KINDS[kind].rows(ROWS)
    peer = theirs(kind, tmp_path, tiny_model_dir, byte_tokenizer, rows, **changes)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    order = {"prompt_group_size": 1}
    trainer = make(kind, tmp_path, byte_tokenizer, model=model, rows=rows, **(SETTINGS | order | changes))
    if kind == "kto":
        rolling = trainer.objective.preview._replace(stand_ins=rolled(4))
        trainer.objective = trainer.objective._replace(preview=rolling)
    trainer.train()
    assert len(losses(trainer)) == 8
    assert losses(trainer) == pytest.approx(losses(peer), rel=2e-6, abs=1e-5)
    names = {"grad_norm", "learning_rate", "kl"} | {
        f"{of}/{side}" for of in ("rewards", "logps") for side in ("chosen", "rejected", "margins", "accuracies")
    }
    # An alpha-divergence raises probabilities to powers: rounding, which differs among processors, grows with them.
    near = 5e-4 if "f_divergence_type" in changes else 1e-4
    compared = 0
    for mine, other in zip(trainer.state.log_history, peer.state.log_history, strict=True):
        shared = names & mine.keys() & other.keys()
        compared += len(shared)
        if abs(other.get("rewards/margins", 1.0)) < 1e-5:  # before the first step: which one is higher is rounding
            shared -= {"rewards/accuracies"}
        assert {n: mine[n] for n in shared} == pytest.approx({n: other[n] for n in shared}, rel=near, abs=1e-4)
    assert compared >= 8 * {"dpo": 8, "kto": 6, "sft": 2}[kind]
    ends = [dict(t.model.named_parameters()) for t in (trainer, peer)]
    assert farthest(*ends) < 1e-4


class GivenLogps:
    """In a model's place: it says the log-probs that it was given."""

    training = True

    def __init__(self, logps_B: torch.Tensor):
        self.logps_BT = torch.stack([torch.zeros_like(logps_B), logps_B], 1)

    def __call__(self, **kwargs):
        zeros = torch.zeros_like(self.logps_BT)
        return SimpleNamespace(log_probs=self.logps_BT, entropy=zeros, mean_logits=zeros, is_top1=zeros.bool())


POLICY = torch.tensor([-10.0, -3.0, -40.0, -7.5, -12.0, -2.0, -90.0, -7.5])
REFERENCE = torch.tensor([-11.0, -3.0, -55.0, -9.5, -10.0, -9.0, -60.0, -7.0])


def peer_loss(kind, folder, model_dir, tokenizer, batch, logps, **changes):
    """TRL's own loss of log-probs that are given, its reference's among them."""
    trainer_class, config_class = PEERS[kind]
    config = config_class(
        str(folder / "trl"), bf16=False, use_cpu=True, report_to="none", precompute_ref_log_probs=True,
        train_sampling_strategy="sequential", **changes,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(model_dir)
    rows = Dataset.from_list(KINDS[kind].rows(4))
    trainer = trainer_class(model, args=config, train_dataset=rows, processing_class=tokenizer)
    model_ids = {"input_ids": torch.ones(8, 3, dtype=torch.long), "attention_mask": torch.ones(8, 3)}
    mask = {"completion_mask": torch.tensor([[0, 0, 1]] * 8)}
    return trainer._compute_loss(GivenLogps(logps), model_ids | mask | batch, False)


@pytest.mark.parametrize("beta", [0.1, 2.0])
def test_dpos_loss_and_gradient_are_trls(beta, tmp_path, tiny_model_dir, byte_tokenizer):
    reference = {"ref_chosen_logps": REFERENCE[:4], "ref_rejected_logps": REFERENCE[4:]}
    one, other = POLICY.clone().requires_grad_(), POLICY.clone().requires_grad_()
    peer = peer_loss("dpo", tmp_path, tiny_model_dir, byte_tokenizer, reference, one, beta=beta)
    ratios = other - REFERENCE
    mine = dpo.sigmoid(ratios[:4], ratios[4:], beta=beta).mean()
    assert_close(mine, peer, atol=1e-6, rtol=1e-6)
    mine.backward()
    peer.backward()
    assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-6)


def test_label_smoothing_is_that_of_trls_conservative_losses(tmp_path, tiny_model_dir, byte_tokenizer):
    """TRL's `sigmoid` ignores `label_smoothing`; its `aot_unpaired` has the conservative form, on sorted ratios."""
    order = torch.tensor([0.0, 1.0, 2.0, 3.0])
    logps = torch.cat([order, -order.flip(0)]) * 3
    zero = {"ref_chosen_logps": torch.zeros(4), "ref_rejected_logps": torch.zeros(4)}
    settings = {"loss_type": ["aot_unpaired"], "label_smoothing": 0.2, "beta": 0.3}
    peer = peer_loss("dpo", tmp_path, tiny_model_dir, byte_tokenizer, zero, logps, **settings)
    assert_close(dpo.sigmoid(logps[:4], logps[4:], beta=0.3, label_smoothing=0.2).mean(), peer, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("point", [0.0, 2.5])
def test_ktos_loss_and_gradient_are_trls(point, tmp_path, tiny_model_dir, byte_tokenizer, monkeypatch):
    labels = torch.tensor([True, True, False, True, False, False, True, False])
    batch = {"label": labels, "ref_logps": REFERENCE, "ref_KL_logps": torch.zeros(8)}
    monkeypatch.setattr(trl.KTOTrainer, "_compute_kl_logps", lambda self, model, inputs: torch.full((8,), point))
    one, other = POLICY.clone().requires_grad_(), POLICY.clone().requires_grad_()
    weights = {"beta": 0.3, "desirable_weight": 1.4, "undesirable_weight": 0.6}
    peer = peer_loss("kto", tmp_path, tiny_model_dir, byte_tokenizer, batch, one, **weights)
    mine = kto.human_aware(other - REFERENCE, point, p_desirable=labels.float(), **weights).mean()
    assert_close(mine, peer, atol=1e-6, rtol=1e-6)
    mine.backward()
    peer.backward()
    assert_close(other.grad, one.grad, atol=1e-6, rtol=1e-6)
