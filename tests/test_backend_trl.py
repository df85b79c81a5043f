"""`--backend trl`: TRL's trainers under the same commands, with the same losses, in the same run folder."""

import json
import os
import re
import runpy
import sys
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner

from accord.cli.arguments import parse
from accord.cli.main import app
from accord.exchange.snapshot import write_snapshot
from accord.runs import Run
from accord.trainers import DPOConfig, SFTConfig
from conftest import make_tiny_llama
from training_kit import demonstrations, farthest, pairs, unpaired

trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")

from accord.trainers.on_trl import BACKEND, PEERS, build, check_rows, config_of  # noqa: E402

COMMON = [
    "--use_cpu", "--bf16", "false", "--learning_rate", "5e-3", "--per_device_train_batch_size", "2",
    "--gradient_accumulation_steps", "2", "--max_steps", "6", "--logging_steps", "1", "--save_strategy", "no",
    "--train_sampling_strategy", "sequential", "--test_fraction", "0",
]  # fmt: skip
DOCS = Path(__file__).parents[1] / "docs"
ROWS = {"sft": demonstrations, "dpo": pairs, "kto": unpaired, "reward": partial(pairs, margin=0.5)}


@pytest.fixture
def accord(tiny_model_dir, tmp_path, monkeypatch):
    """Run a training command in this process, in a folder with rows of every form."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    for method, rows in ROWS.items():
        write(f"{method}.jsonl", rows(20))

    def run(method, *words, model=tiny_model_dir):
        given = ["--model_name_or_path", model, "--dataset_name", f"{method}.jsonl", *COMMON, *words]
        return CliRunner().invoke(app, [method, *map(str, given)])

    return run


def write(path, rows):
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def read(path):
    return json.loads(Path(path).read_text())


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def losses(folder):
    return [record["loss"] for record in lines(f"{folder}/metrics.jsonl")]


def said(done):
    """The line that a failed command ends with."""
    assert done.exit_code == 1, done.output
    return done.stderr.splitlines()[-1]


def both(accord, *words, **more):
    """The command by both backends, into the folders `accord` and `trl`."""
    for backend in ("accord", "trl"):
        done = accord(*words, "--output_dir", backend, "--backend", backend, **more)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("sft", []),
        ("dpo", []),
        ("dpo", ["--loss_type", "ipo"]),
        ("kto", ["--loss_type", "apo_zero_unpaired", "--prompt_group_size", "1"]),
        ("reward", ["--center_rewards_coefficient", "0.01", "--prompt_group_size", "1"]),
    ],
)
def test_a_run_has_the_same_losses_and_the_same_folder(accord, method, words):
    both(accord, method, *words)
    assert len(losses("accord")) == 6
    assert losses("trl") == pytest.approx(losses("accord"), abs=1e-5)
    shared = {"accord": set(), "trl": set()}
    for backend in shared:
        shared[backend] = {path.name for path in Path(backend).iterdir()} | {
            f"data/{path.name}" for path in Path(backend, "data").iterdir()
        }
    assert shared["accord"] <= shared["trl"]
    assert read("trl/run.json")["backend"] == f"trl {trl.__version__}"
    assert f"trl {trl.__version__}" in Path("trl/report.html").read_text()
    assert read("accord/run.json")["backend"].startswith("accord ")
    mine, theirs = (load_file(f"{backend}/model.safetensors") for backend in ("accord", "trl"))
    assert farthest(mine, theirs) < 1e-3  # a step is 5e-3
    figures = [read(f"{backend}/summary.json") for backend in ("accord", "trl")]
    for name in ("steps", "n_train", "n_test", "finished"):
        assert figures[0][name] == figures[1][name]
    assert figures[1]["loss"] == losses("trl")[-1]


def test_all_losses_of_pairs_agree(accord):
    """Added, each with its own weight. In one micro-batch: TRL's aot compares those. exo_pair is below; TRL's sft is a
    mean over the batch's tokens, Accord's over its pairs."""
    names = [name for name in PEERS["dpo"].losses if name not in ("exo_pair", "sft")]
    weights = [1 / (place + 1) for place in range(len(names))]
    both(accord, "dpo", "--loss_type", *names, "--loss_weights", *weights,
         "--per_device_train_batch_size", 4, "--gradient_accumulation_steps", 1)  # fmt: skip
    assert losses("trl") == pytest.approx(losses("accord"), rel=1e-5)


def test_exo_pair_agrees(accord):
    both(accord, "dpo", "--loss_type", "exo_pair", "--label_smoothing", 1e-3)
    assert losses("trl") == pytest.approx(losses("accord"), abs=1e-5)


def test_kto_differs_by_its_reference_point(accord):
    """TRL pairs a prompt with the answer before it in the file, Accord with one chosen by content."""
    both(accord, "kto", "--prompt_group_size", 1)
    points = [[record["kl"] for record in lines(f"{backend}/metrics.jsonl")] for backend in ("accord", "trl")]
    same = [a == pytest.approx(b, abs=1e-5) for a, b in zip(*points, strict=True)]
    assert same[0]
    assert not all(same)
    agree = [a == pytest.approx(b, abs=1e-5) for a, b in zip(losses("accord"), losses("trl"), strict=True)]
    assert agree[0]
    assert agree[1] == same[1]


def test_such_a_run_is_measured_and_reported(accord):
    words = ["--output_dir", "out", "--backend", "trl", "--test_fraction", 0.3, "--max_steps", 2]
    assert accord("dpo", *words, "--eval_strategy", "steps", "--eval_steps", 1).exit_code == 0
    assert [r["step"] for r in lines("out/metrics.jsonl") if "eval_loss" in r] == [1, 2]
    done = CliRunner().invoke(app, ["evaluate", "out", "--max-prompts", "1", "--max-new-tokens", "2"])
    assert done.exit_code == 0, done.output
    assert 0 <= read("out/summary.json")["accuracy"] <= 1


def test_lora_begins_alike_and_leaves_an_adapter(accord):
    done = accord("dpo", "--output_dir", "out", "--backend", "trl", "--use_peft", "--lora_r", 4)
    assert done.exit_code == 0, done.output
    assert read("out/adapter_config.json")["r"] == 4
    assert losses("out")[0] == pytest.approx(0.693147, abs=1e-5)
    assert not Path("out/model.safetensors").exists()


def test_dropout_is_off_where_accord_has_it_off(accord, tmp_path, byte_tokenizer):
    """TRL's SFTTrainer leaves dropout as it is, and has no setting for it."""
    model = tmp_path / "dropout"
    make_tiny_llama(byte_tokenizer, attention_dropout=0.5).save_pretrained(model)
    byte_tokenizer.save_pretrained(model)
    both(accord, "sft", model=model)
    assert losses("trl") == pytest.approx(losses("accord"), abs=1e-5)


# ---- What TRL has more


def test_settings_that_only_trl_has_are_understood(accord):
    for name, words in {"plain": [], "precomputed": ["--precompute_ref_log_probs", "true"]}.items():
        done = accord("dpo", "--output_dir", name, "--backend", "trl", *words)
        assert done.exit_code == 0, done.output
    assert losses("precomputed") == pytest.approx(losses("plain"), abs=1e-5)
    done = accord("sft", "--output_dir", "dft", "--backend", "trl", "--loss_type", "dft", "--shuffle_dataset", "true")
    assert done.exit_code == 0, done.output
    assert read("dft/run.json")["config"]["loss_type"] == "dft"
    assert losses("dft")[0] < 5  # the likelihood of each token scales it: far below −log π


def test_help_shows_trls_settings(accord):
    assert "--packing_strategy bfd" in accord("sft", "--backend", "trl", "--help").output
    assert "--packing_strategy" not in accord("sft", "--help").output
    assert "--beta" in accord("dpo", "--backend", "trl", "a mistake", "--help").output


def test_all_of_the_assistants_turns_are_learnt_on_request(tmp_path, byte_tokenizer):
    byte_tokenizer = type(byte_tokenizer)(tokenizer_object=byte_tokenizer.backend_tokenizer, eos_token="<|im_end|>",
                                          pad_token="<|pad|>")  # fmt: skip
    byte_tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% if m['role'] == 'assistant' %}"
        "{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{% else %}{{ m['content'] }}<|im_end|>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    turns = [("user", "a?"), ("assistant", "first"), ("user", "b?"), ("assistant", "second")]
    rows = Dataset.from_list([{"id": "1", "messages": [{"role": r, "content": c} for r, c in turns]}] * 2)
    learnt = {}
    for wanted in (False, True):
        args = config_of("sft", SFTConfig)(str(tmp_path), bf16=False, assistant_only_loss=wanted)
        trainer = build("sft", model=make_tiny_llama(byte_tokenizer), args=args, train_dataset=rows, eval_dataset=None,
                        processing_class=byte_tokenizer)  # fmt: skip
        labels = trainer.train_dataset[0]["labels"]
        learnt[wanted] = byte_tokenizer.decode([token for token in labels if token != -100])
    assert learnt == {False: "second<|im_end|>", True: "first<|im_end|>second<|im_end|>"}


# ---- What TRL cannot do


@pytest.mark.parametrize(
    ("method", "words", "message"),
    [
        ("dpo", ["--label_smoothing", "0.1"], "label_smoothing: TRL's sigmoid loss ignores it; leave it out, or"),
        (
            "dpo",
            ["--loss_type", "simpo"],
            "loss_type simpo: no stable trainer of TRL's has it; leave out --backend trl",
        ),
        ("dpo", ["--loss_type", "sigmod"], "loss_type is 'sigmod': use one of sigmoid, hinge, ipo"),
        ("dpo", ["--model_init_kwargs", '{"a": 1}'], "model_init_kwargs: has no effect, Accord loads the model: use"),
        ("sft", ["--dataset_text_field", "answer"], "dataset_text_field: has no effect, Accord reads the data"),
        ("sft", ["--truncation_mod", "keep_end"], "--truncation_mod: unknown key 'truncation_mod': did you mean"),
        ("kto", ["--truncation_mode", "keep_end"], "truncation_mode: TRL's KTOTrainer has no such setting; leave it"),
        ("kto", ["--value_function", "loss_averse"], "value_function: TRL's KTOTrainer has no such setting; leave it"),
        ("kto", ["--reference_point", "zero"], "reference_point: TRL's KTOTrainer has no such setting; loss_type apo_"),
        ("kto", ["--train_sampling_strategy", "random"], "Loss type `'kto'` estimates the KL divergence term and"),
        ("reward", ["--ties", "davidson"], "ties: TRL's RewardTrainer has no such setting; leave it out, or leave out"),
        ("reward", ["--reward_heads", "3"], "reward_heads: TRL's RewardTrainer has no such setting; leave it out, or"),
        ("dpo", ["--dataset_name", "votes.jsonl", "--labels", "vote_share"], "row "),
        ("dpo", ["--bnb_4bit_quant_type", "nf4"], "--bnb_4bit_quant_type: 'bnb_4bit_quant_type' is a key of TRL's"),
    ],
)
def test_what_trl_cannot_do_is_refused_in_a_line(accord, method, words, message):
    write("votes.jsonl", [{**row, "annotator": "someone"} for row in pairs(6)])
    done = accord(method, "--output_dir", "out", "--backend", "trl", *words)
    assert said(done).startswith(message)


def test_without_trl_it_says_what_to_install(accord, monkeypatch):
    monkeypatch.setitem(sys.modules, "trl", None)  # as where it is not installed
    done = accord("dpo", "--output_dir", "out", "--backend", "trl")
    assert said(done) == "--backend trl needs TRL: pip install 'accord[trl]'"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"p_chosen": 0.8}, "row r: p_chosen is 0.8, and TRL knows only 0 and 1: train on the votes with --labels maj"),
        (
            {"p_chosen": 0.5},
            "row r: p_chosen is 0.5, and TRL knows only 0 and 1: `accord export` writes the rows without ties, or ",
        ),
        ({"p_desirable": 0.25}, "row r: p_desirable is 0.25, and TRL knows only 0 and 1: train on the votes with"),
        ({"p_tie": 0.1}, "row r: p_tie is 0.1, and TRL knows only 0: leave its ties out, or leave out --backend trl"),
        ({"p_chosen": 1, "weight": 2.0}, "row r: weight is 2, and TRL knows only 1: repeat rows, or take them out, or"),
    ],
)
def test_rows_that_trl_cannot_be_told_of_are_refused(row, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_rows([{"id": "sure", "p_chosen": 1.0, "weight": 1.0}, {"id": "r"} | row])


def test_a_pair_that_people_turn_round_is_turned_round(accord):
    rows = [{**row, "p_chosen": float(i % 2), "weight": 1.0} for i, row in enumerate(pairs(20))]
    write_snapshot(Path("frozen"), "preference", {"train": rows, "test": []}, meta={})
    both(accord, "dpo", "--dataset_name", "frozen")
    assert losses("trl") == pytest.approx(losses("accord"), abs=1e-5)


def test_what_is_not_used_or_left_out_is_said(accord, caplog):
    done = accord("dpo", "--output_dir", "out", "--backend", "trl", "--token_budget", 64, "--max_length", 14)
    assert done.exit_code == 0, done.output
    assert "token_budget is not used: TRL's micro-batches are counted in examples" in caplog.text
    assert re.search(r"TRL left out \d+ of 20 train rows for max_length=14", caplog.text)
    none = accord("dpo", "--output_dir", "none", "--backend", "trl", "--max_length", 2)
    assert said(none) == "TRL leaves out every train row within max_length=2: raise it"


# ---- Going on


MOVING = ["--sync_ref_model", "true", "--ref_model_sync_steps", 2]


@pytest.mark.parametrize("more", [[], MOVING], ids=["staying reference", "moving reference"])
def test_a_resumed_run_ends_where_it_would_have_ended(more, accord):
    """Shuffled, and also with a reference that moves, which TRL's own checkpoints do not keep."""
    words = ["--backend", "trl", "--train_sampling_strategy", "random", "--lr_scheduler_type", "constant",
             "--save_strategy", "steps", "--save_steps", 3, *more]  # fmt: skip
    assert accord("dpo", *words, "--output_dir", "whole").exit_code == 0
    assert accord("dpo", *words, "--output_dir", "part", "--max_steps", 3).exit_code == 0
    assert Path("part/checkpoint-3/manifest.json").is_file()

    def resumed(*more):
        return CliRunner().invoke(app, ["dpo", "--output_dir", "part", "--resume", "--max_steps", "6", *more])

    assert "--resume: backend is accord here and was trl" in said(resumed("--backend", "accord"))
    done = resumed()
    assert done.exit_code == 0, done.output
    assert losses("part") == losses("whole")
    assert Path("part/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()


# ---- The table of peers


@pytest.fixture
def dpo(tmp_path, tiny_model_dir, byte_tokenizer):
    """TRL's DPO trainer whose policy has left the reference, and a batch."""
    args = config_of("dpo", DPOConfig)(str(tmp_path), bf16=False, report_to="none", per_device_train_batch_size=4)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    trainer = build("dpo", model=model, args=args, train_dataset=Dataset.from_list(pairs(4)), eval_dataset=None,
                    processing_class=byte_tokenizer)  # fmt: skip
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.05)
    batch = next(iter(trainer.get_train_dataloader()))

    def loss(name, smoothing=0.0):
        trainer.loss_types, trainer.label_smoothing = [name], smoothing
        return trainer.compute_loss(model, batch).item()

    return loss


def test_the_losses_are_those_that_trl_knows(dpo):
    with pytest.raises(ValueError, match="Should be one of") as caught:
        dpo("nothing")
    assert re.findall(r"'(\w+)'", str(caught.value).split("one of")[1]) == list(PEERS["dpo"].losses)


@pytest.mark.parametrize("loss", PEERS["dpo"].losses)
def test_the_losses_that_use_label_smoothing_are_known(dpo, loss):
    moved = dpo(loss, 0.2) != dpo(loss, 1e-9)
    assert moved == (loss in PEERS["dpo"].smoothed)


def test_a_configuration_is_saved_as_trls_own(tmp_path):
    args = config_of("dpo", DPOConfig)(str(tmp_path), bf16=False, beta=0.3)
    torch.save(args, tmp_path / "args.bin")
    again = torch.load(tmp_path / "args.bin", weights_only=False)
    assert type(again) is trl.DPOConfig
    assert again.beta == 0.3
    assert not hasattr(again, "token_budget")
    assert f"trl {trl.__version__}" == BACKEND


def test_nobody_is_told_of_a_training():
    """TRL reports each to the Hub; it asks this constant whether it may."""
    assert huggingface_hub.constants.HF_HUB_DISABLE_TELEMETRY or "HF_HUB_DISABLE_TELEMETRY" in os.environ


# ---- The documentation


def test_the_example_is_understood(tmp_path):
    (example,) = re.findall(r"```yaml trl sft\n(.*?)```", (DOCS / "from-trl.md").read_text(), re.DOTALL)
    (tmp_path / "file.yaml").write_text(example)
    options = parse(config_of("sft", SFTConfig), ["--config", str(tmp_path / "file.yaml")])
    assert options.config.packing
    assert options.config.attn_implementation == "flash_attention_2"


def test_the_table_of_losses_that_ignore_smoothing_is_right():
    (row,) = re.findall(r"\| `label_smoothing` \| (.*?) \|", (DOCS / "from-trl.md").read_text())
    assert re.findall(r"`(\w+)`", row) == list(PEERS["dpo"].smoothed)


def test_the_picture_is_drawn_from_two_run_folders(accord):
    draw = runpy.run_path(str(DOCS / "images/ipo_accord_and_trl.py"))
    both(accord, "dpo", "--loss_type", "ipo")
    drawn = draw["picture"]((Run.open("accord"), Run.open("trl")))
    assert f"TRL {trl.__version__}" in drawn
    assert drawn.count('r="3"') == 6
    apart = max(abs(a - b) for a, b in zip(losses("accord"), losses("trl"), strict=True))
    assert f"They differ by {apart:.0e} at most" in drawn
