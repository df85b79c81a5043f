"""`--config FILE.yaml --key value`: what is understood, and the one line for what is not."""

from dataclasses import fields

import pytest

from accord.cli.arguments import parse
from accord.cli.environment_options import EnvironmentOptions
from accord.cli.options import NOT_HERE, DataOptions, ModelOptions, RunOptions
from accord.cli.processes import asked_for
from accord.feedback import AccordError
from accord.trainers import DPOConfig, GRPOConfig, KTOConfig, RewardConfig, RLOOConfig, SFTConfig
from accord.trainers.trl_settings import instead

CONFIGS = {"sft": SFTConfig, "dpo": DPOConfig, "kto": KTOConfig, "reward": RewardConfig}
ONLINE = {"rloo": RLOOConfig, "grpo": GRPOConfig}


@pytest.fixture
def read(tmp_path):
    """Parse a config file's text and a command line."""

    def parsed(text="", *argv, config=DPOConfig):
        (tmp_path / "run.yaml").write_text(text)
        return parse(config, ["--config", str(tmp_path / "run.yaml"), *argv], output_dir=str(tmp_path / "out"))

    return parsed


def test_yaml_and_command_line_are_one(read):
    options = read(
        "model_name_or_path: some/model\nlearning_rate: 1e-6\nmax_length: null\ndataset_name: [a.jsonl, b.jsonl]\n"
        "eval_strategy: no\nlr_scheduler_kwargs: {num_cycles: 2}\nbeta: 0.2\n",
        "--beta", "0.3", "--no_bf16", "--lr-scheduler-type=cosine", "--use_peft",
    )  # fmt: skip
    assert options.model.model_name_or_path == "some/model"
    assert options.config.learning_rate == 1e-6  # YAML alone would call it a text
    assert options.config.eval_strategy == "no"  # … and this one False
    assert options.config.max_length is None
    assert options.data.dataset_name == ["a.jsonl", "b.jsonl"]
    assert options.config.lr_scheduler_kwargs == {"num_cycles": 2}
    assert options.config.beta == 0.3
    assert options.config.bf16 is False
    assert options.config.lr_scheduler_type == "cosine"
    assert options.model.use_peft is True
    assert options.given["beta"] == 0.3
    assert "seed" not in options.given


def test_a_later_config_file_wins(tmp_path):
    for name, beta in (("a", 0.2), ("b", 0.5)):
        (tmp_path / f"{name}.yaml").write_text(f"beta: {beta}\n")
    files = [str(tmp_path / "a.yaml"), str(tmp_path / "b.yaml")]
    assert parse(DPOConfig, ["--config", *files], output_dir=str(tmp_path)).config.beta == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("beta: 0.1\nlearning_rat: 3", ":2: unknown key 'learning_rat': did you mean 'learning_rate'?"),
        ("learning_rate: fast", ":1: learning_rate: 'fast' is not a number"),
        ("use_peft: true\nlora_r: 1.5", ":2: lora_r: '1.5' is not a whole number"),
        ("bf16: maybe", ":1: bf16: 'maybe' is not true or false"),
        ("beta: [1, 2]", ":1: beta: takes one value, not 2: 1 2"),
        ("beta: {a: 1}", ":1: beta: takes a single value, not a nested one"),
        ("dataset_name: [[a], [b]]", ":1: dataset_name: takes a single value, not a nested one"),
        ("beta: null", ":1: beta: may not be null"),
        ("beta: 1\nbeta: 2", ":2: beta: already given in line 1"),
        ("- beta", ":1: a config is a mapping, one `key: value` a line"),
        ("beta: : 2", ":1: not valid YAML: mapping values are not allowed here"),
        (
            "labels: most",
            ":1: labels: invalid choice: 'most' (choose from 'dawid_skene', 'bradley_terry', 'vote_share', 'majority')",
        ),
        ("padding_free: true", ":1: 'padding_free' is a key of TRL's that Accord has not: Accord never pads"),
        ("env: {A: 1}", ":1: 'env' is a key of TRL's that Accord has not: set environment variables in the shell"),
        ("lora_r: 8", "lora_r: has no effect without use_peft: true"),
        ("load_in_4bit: true", "load_in_4bit: quantized weights cannot be trained themselves: add use_peft: true"),
        ("test_fraction: 2", "test_fraction is a share between 0 and 1, not 2.0"),
        (
            "resume: true\noverwrite_output_dir: true",
            "--resume goes on with a run and --overwrite_output_dir deletes it",
        ),
        ("beta: -1", "beta is -1.0: use a positive number"),
        ("loss_type: sigmod", "loss_type is 'sigmod': use one of sigmoid"),
        ("load_best_model_at_end: true", "requires the save and eval strategy to match"),
    ],
)
def test_a_bad_file_is_one_line_that_says_where(read, tmp_path, text, message):
    with pytest.raises(AccordError) as caught:
        read(text)
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    assert not message.startswith(":") or said.startswith(str(tmp_path / "run.yaml"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--learning_rat", "1"], "--learning_rat: unknown key 'learning_rat': did you mean 'learning_rate'?"),
        (["--learning", "1"], "--learning: unknown key 'learning'"),  # no abbreviations: they change their meaning
        (["votes.jsonl"], "unexpected argument 'votes.jsonl': options are written --key value"),
        (["--beta"], "--beta: expected one argument"),
        (["--beta="], "--beta: '' is not a number"),
        (["--beta", "1", "2"], "--beta: takes one value, not 2: 1 2"),
        (["--lr_scheduler_kwargs", '{"a":'], "--lr_scheduler_kwargs: not valid JSON"),
        (["--config"], "--config: name a YAML file"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: there is no such config file"),
        (["--no_beta"], "--no_beta: unknown key 'no_beta'"),
    ],
)
def test_a_bad_command_line_is_one_line(argv, message):
    with pytest.raises(AccordError) as caught:
        parse(DPOConfig, argv, output_dir="out")
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_negative_number_is_a_value(read):
    assert read("", "--learning_rate", "-1e-3").config.learning_rate == -1e-3


@pytest.mark.parametrize("method", CONFIGS)
def test_every_key_of_trl_is_known_or_refused_with_a_reason(method):
    trl = pytest.importorskip("trl")
    from trl import ModelConfig, ScriptArguments
    from trl.scripts.utils import DatasetMixtureConfig

    theirs = {f.name for c in (getattr(trl, CONFIGS[method].__name__), ModelConfig, ScriptArguments) for f in fields(c)}
    theirs |= {f.name for f in fields(DatasetMixtureConfig)}
    ours = {f.name for c in (CONFIGS[method], ModelOptions, DataOptions, RunOptions) for f in fields(c)}
    assert theirs - ours - NOT_HERE.keys() == set()


@pytest.mark.parametrize("method", ONLINE)
def test_every_key_of_trls_trainers_that_sample_is_known_or_refused(method):
    trl = pytest.importorskip("trl", reason="TRL is an extra: pip install 'accord[trl]'")
    from trl.scripts.grpo import GRPOScriptArguments

    groups = (ONLINE[method], ModelOptions, DataOptions, RunOptions, EnvironmentOptions)
    theirs = {f.name for c in (getattr(trl, ONLINE[method].__name__), GRPOScriptArguments) for f in fields(c)}
    ours = {f.name for group in groups for f in fields(group)}
    assert [name for name in theirs - ours - NOT_HERE.keys() if not instead(name)] == []
    assert ours & NOT_HERE.keys() <= {"loss_type"}  # of other methods


def test_nothing_is_refused_that_every_method_has():
    ours = [
        {f.name for c in (config, ModelOptions, DataOptions, RunOptions) for f in fields(c)}
        for config in CONFIGS.values()
    ]
    assert NOT_HERE.keys() & set.intersection(*ours) == set()


@pytest.mark.parametrize("method", CONFIGS)
def test_defaults_are_trls(method):
    trl = pytest.importorskip("trl")
    theirs = {f.name: f for f in fields(getattr(trl, CONFIGS[method].__name__))}
    ours = {f.name: f.default for f in fields(CONFIGS[method]) if f.name in theirs}
    differing = {name for name, value in ours.items() if value != theirs[name].default}
    assert differing <= {"loss_type", "gradient_checkpointing", "train_sampling_strategy"}


def test_accelerate_on_cpus_starts_what_was_asked_for():
    lone = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}
    line = ["python", "accelerate", "launch", "--cpu", "--num_processes", "2", "-m", "accord", "dpo"]
    assert asked_for(lone, line) == 2
    assert asked_for(lone, ["accelerate", "launch", "--cpu", "--num-processes=3", "-m", "accord"]) == 3
    assert asked_for(lone | {"WORLD_SIZE": "2"}, line) == 1
    assert asked_for({}, line) == 1
