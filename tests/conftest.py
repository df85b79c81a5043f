"""A tokenizer and a model small enough for every test, made in code: no file and no network."""

import os

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
