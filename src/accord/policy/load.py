"""Loading a language model: the embedded one, a folder, a GGUF file, an adapter, or a name on the Hub."""

import importlib.util
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from accord.policy.gguf import EMBEDDED, cache_name, embedded_gguf, unpacked_model, unpacked_tokenizer

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_ADAPTER = "adapter_config.json"
#: Classes that are their tokenizer.json and nothing more: loading them directly spares the import of torch.
_PLAIN_TOKENIZERS = {"TokenizersBackend", "PreTrainedTokenizerFast"}


class Policy(NamedTuple):
    """A language model, its tokenizer, and the name it was asked for by."""

    model: "PreTrainedModel | PeftModel"
    tokenizer: "PreTrainedTokenizerBase"
    source: str


def load_tokenizer(
    name_or_path: str | Path = EMBEDDED, *, revision: str | None = None, trust_remote_code: bool = False
) -> "PreTrainedTokenizerBase":
    """The tokenizer of what `load_policy` would load. An adapter's folder without one gives its base model's.

    Where the model has no padding token, the end-of-text token pads, as in TRL.
    """
    folder = Path(name_or_path)
    if (config := _adapter_config(folder)) and not (folder / "tokenizer_config.json").is_file():
        return load_tokenizer(_base_of(folder, config), trust_remote_code=trust_remote_code)
    gguf = _gguf(name_or_path)
    if (folder / "tokenizer_config.json").is_file():
        place = str(folder)
    else:
        place = str(unpacked_tokenizer(gguf)) if gguf else _place(name_or_path, revision)
    tokenizer = _quick_tokenizer(Path(place))
    if tokenizer is None:
        from transformers import AutoTokenizer

        with _one_line_errors(name_or_path):
            tokenizer = AutoTokenizer.from_pretrained(
                place, trust_remote_code=trust_remote_code, revision=revision or "main"
            )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_policy(
    name_or_path: str | Path = EMBEDDED,
    *,
    dtype: Any = "float32",
    adapter: str | Path | None = None,
    trainable: bool = False,
    revision: str | None = None,
    trust_remote_code: bool = False,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    from_pretrained: Callable[..., Any] | None = None,
) -> Policy:
    """A causal language model ready to score and to sample, in eval mode, on the CPU (quantised: on the GPU).

    name_or_path  `smollm2` (the embedded SmolLM2-135M-Instruct), a folder, a `.gguf` file or a name on the Hub. A
                  folder with `adapter_config.json` loads its base model and the adapter on it.
    dtype         of the weights: `float32`, `bfloat16`, `float16`, `auto` (as saved) or a torch dtype
    adapter       a LoRA adapter's folder to put on the model
    trainable     whether the adapter's weights take gradients
    trust_remote_code   run modelling code that comes with the model; only for models that need it and that you trust
    load_in_4bit, load_in_8bit   quantise with bitsandbytes; needs CUDA and `pip install 'accord[quantization]'`
    from_pretrained   reads the model itself, in the place of AutoModelForCausalLM's (see `load_reward_model`)

    Weights are read from safetensors alone: a pickle can run code when it is loaded. Everything that the user can mend
    is a ValueError of one line.
    """
    folder = Path(name_or_path)
    if config := _adapter_config(folder):
        if config.get("task_type") == "SEQ_CLS" and from_pretrained is None:
            raise ValueError(f"{folder}: {_REWARD_MODEL}")
        if adapter is not None:
            raise ValueError(f"{folder} is itself an adapter: give its base model ({_base_of(folder, config)}) instead")
        base = load_policy(
            _base_of(folder, config),
            dtype=dtype,
            adapter=folder,
            trainable=trainable,
            trust_remote_code=trust_remote_code,
            load_in_4bit=load_in_4bit,
            load_in_8bit=load_in_8bit,
            from_pretrained=from_pretrained,
        )
        return Policy(base.model, load_tokenizer(folder, trust_remote_code=trust_remote_code), str(name_or_path))

    quantization = _quantization(load_in_4bit, load_in_8bit)
    gguf = _gguf(name_or_path)
    place = str(unpacked_model(gguf)) if gguf else _place(name_or_path, revision)
    _refuse_pickles(Path(place))
    if from_pretrained is None:
        from_pretrained = _language_model
    with _one_line_errors(name_or_path), _no_progress_bars():
        model: Any = from_pretrained(
            place,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            revision=revision or "main",
            **quantization,
        )
    if adapter is not None:
        model = _with_adapter(model, Path(adapter), trainable)
    tokenizer = load_tokenizer(name_or_path, revision=revision, trust_remote_code=trust_remote_code)
    return Policy(model.eval(), tokenizer, str(name_or_path))


def _gguf(name: str | Path) -> Path | None:
    """The GGUF file that `name` stands for, if any. A folder called `smollm2` comes before the embedded model."""
    path = Path(name)
    if str(name) == EMBEDDED and not path.is_dir():
        return embedded_gguf()
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ValueError(f"{path}: no such file")
        return path
    return None


def _place(name: str | Path, revision: str | None) -> str:
    """Where to load `name` from: its folder, or its name on the Hub, or (with no network) the Hub's local cache.

    The cache is asked here because Transformers, without a network, retries for three quarters of a minute.
    """
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            checkpoints = sorted(path.glob("checkpoint-*"), key=lambda p: (len(p.name), p.name))
            remedy = f"an unfinished run? its last checkpoint is {checkpoints[-1]}" if checkpoints else "is it a model?"
            raise ValueError(f"{path}: neither config.json nor {_ADAPTER} there ({remedy})")
        return str(path)
    if path.is_absolute() or str(name).startswith((".", "~")) or str(name).count("/") > 1 or str(name).endswith("/"):
        raise ValueError(f"{name}: no such folder")
    if _hub_answers():
        return str(name)
    from huggingface_hub import snapshot_download

    try:
        return snapshot_download(str(name), revision=revision, local_files_only=True)
    except (OSError, ValueError):
        raise ValueError(
            f"{name}: no such folder, and the Hugging Face Hub is not reachable from here; "
            "give a model's folder, or connect and try again"
        ) from None


def _adapter_config(folder: Path) -> dict | None:
    file = folder / _ADAPTER
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def _base_of(folder: Path, config: dict) -> str:
    """The base model that an adapter names.

    An adapter on the embedded model names the cache folder of the machine that trained it; elsewhere that is another
    folder, or not unpacked yet.
    """
    base = config.get("base_model_name_or_path")
    if not base:
        raise ValueError(f"{folder / _ADAPTER}: base_model_name_or_path is missing; write the base model there")
    path = Path(base)
    if path.is_dir():
        return base
    if path.name.startswith("SmolLM2-135M") and path.name == cache_name(embedded_gguf()):
        return EMBEDDED
    if path.is_absolute():
        raise ValueError(f"{folder / _ADAPTER}: its base model {base} is not there; correct base_model_name_or_path")
    return base


def _with_adapter(model: "PreTrainedModel", adapter: Path, trainable: bool) -> "PeftModel":
    from peft import PeftModel

    if not (adapter / _ADAPTER).is_file():
        raise ValueError(f"{adapter}: no {_ADAPTER} there, so it is no adapter")
    if not (adapter / "adapter_model.safetensors").is_file():
        raise ValueError(f"{adapter}: no adapter_model.safetensors there (pickles such as .bin are not loaded)")
    with _one_line_errors(adapter):
        # Adapters keep the model's own dtype: a float32 adapter on a bfloat16 model would cost a cast at every layer.
        return PeftModel.from_pretrained(model, adapter, is_trainable=trainable, autocast_adapter_dtype=trainable)


_REWARD_MODEL = "a reward model, which does not write; `accord score` asks it for its opinion"


def _language_model(place: str, **settings: Any) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(place, **settings)
    if any(name.endswith("ForSequenceClassification") for name in model.config.architectures or ()):
        raise ValueError(_REWARD_MODEL)
    return model


def _quantization(four: bool, eight: bool) -> dict[str, Any]:
    if not (four or eight):
        return {}
    if four and eight:
        raise ValueError("load_in_4bit and load_in_8bit exclude each other: choose one")
    import torch

    if not torch.cuda.is_available():
        raise ValueError(f"load_in_{4 if four else 8}bit needs a CUDA GPU, and there is none: leave it out")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"load_in_{4 if four else 8}bit needs bitsandbytes: pip install 'accord[quantization]'")
    from transformers import BitsAndBytesConfig

    if four:
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    else:
        config = BitsAndBytesConfig(load_in_8bit=True)
    return {"quantization_config": config, "device_map": {"": torch.cuda.current_device()}}


def _refuse_pickles(folder: Path) -> None:
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    if pickles := sorted(p.name for pattern in ("*.bin", "*.pt", "*.pth") for p in folder.glob(pattern)):
        raise ValueError(
            f"{folder / pickles[0]}: a pickle can run code when loaded, so Accord reads safetensors only; "
            "convert it once with save_pretrained() where you trust it"
        )
    raise ValueError(f"{folder}: no *.safetensors there")


def _quick_tokenizer(folder: Path) -> "PreTrainedTokenizerBase | None":
    config = folder / "tokenizer_config.json"
    if not (config.is_file() and (folder / "tokenizer.json").is_file()):
        return None
    if json.loads(config.read_text("utf-8")).get("tokenizer_class") not in _PLAIN_TOKENIZERS:
        return None
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(folder)


def _hub_answers() -> bool:
    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")):
        return True  # names are then the proxy's business
    from huggingface_hub.constants import ENDPOINT, HF_HUB_OFFLINE

    if HF_HUB_OFFLINE:
        return False
    try:
        socket.getaddrinfo(urlsplit(ENDPOINT).hostname, None)
    except OSError:
        return False
    return True


@contextmanager
def _one_line_errors(name: str | Path) -> Iterator[None]:
    """Within it, what a library says of a model that cannot be loaded becomes one line with the model's name."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{name}: {' '.join(str(error).split())}") from error


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
