"""Rows of text to trees of token ids, against TRL's own tokenisation and by hand."""

import copy
from types import SimpleNamespace

import pytest
from accelerate import PartialState
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.processors import TemplateProcessing

from accord.policy.encode import encode

PAIR = ("chosen", "rejected")
PLAIN = {"prompt": "Name a colour: ", "chosen": "blue", "rejected": "no colour<|im_end|>"}
CHAT = {
    "prompt": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}],
    "chosen": [{"role": "assistant", "content": "Hello, friend."}],
    "rejected": [{"role": "assistant", "content": ""}],
}
#: Renders a prompt that waits for an answer with an empty thought, which the whole conversation leaves out.
THINKING_TEMPLATE = (
    "{% for message in messages %}{{ '[' + message['role'] + ']' + message['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant]<think></think>' }}{% endif %}"
)


def tree(row, tokenizer, completions=PAIR, **settings):
    (encoded,) = encode([row], tokenizer, completions, **settings)
    return encoded


def ids(tree):
    return list(tree.prompt), [list(completion) for completion in tree.completions]


@pytest.fixture(scope="module")
def starting_with_bos(byte_tokenizer):
    """A tokenizer that begins every text with BOS, as Llama's does."""
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer._tokenizer.post_processor = TemplateProcessing(
        single="<|bos|> $A", special_tokens=[("<|bos|>", tokenizer.bos_token_id)]
    )
    assert tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id
    return tokenizer


# ---- TRL's way


@pytest.fixture(scope="module")
def trl_ids():
    """What TRL's DPOTrainer makes of rows, by its own preparation of a data set."""
    dpo = pytest.importorskip("trl.trainer.dpo_trainer", reason="TRL is not installed (pip install accord[trl])")
    PartialState()  # TRL's logger wants it

    def run(rows, tokenizer):
        settings = SimpleNamespace(dataset_num_proc=None, max_length=None)
        trainer = SimpleNamespace(_tokenizer=tokenizer)
        prepared = dpo.DPOTrainer._prepare_dataset(trainer, Dataset.from_list(rows), tokenizer, settings, "train")
        return [(row["prompt_ids"], [row["chosen_ids"], row["rejected_ids"]]) for row in prepared]

    return run


@pytest.mark.parametrize("row", [PLAIN, CHAT], ids=["plain", "chat"])
@pytest.mark.parametrize("kind", ["byte_tokenizer", "starting_with_bos"])
def test_ids_are_trls(row, kind, trl_ids, request):
    tokenizer = request.getfixturevalue(kind)
    assert [ids(tree(row, tokenizer).tree)] == trl_ids([row], tokenizer)


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({"prompt": st.text(min_size=1), "chosen": st.text(), "rejected": st.text()}), min_size=1
    )
)
def test_ids_are_trls_for_any_text(byte_tokenizer, trl_ids, rows):
    ours = [ids(encoded.tree) for encoded in encode(rows, byte_tokenizer, PAIR, max_length=None)]
    assert ours == trl_ids(rows, byte_tokenizer)


def test_a_template_whose_prompt_is_no_prefix_begins_where_trl_begins(byte_tokenizer, trl_ids, monkeypatch):
    monkeypatch.setattr(byte_tokenizer, "chat_template", THINKING_TEMPLATE)
    encoded = tree(CHAT, byte_tokenizer)
    assert [ids(encoded.tree)] == trl_ids([CHAT], byte_tokenizer)
    prompt, (chosen, _) = ids(encoded.tree)
    assert byte_tokenizer.decode(prompt).endswith("Hello?<|im_end|>[assistant]")
    assert byte_tokenizer.decode(chosen) == "Hello, friend.<|im_end|>"
    assert encoded.mismatched == len("<think></think>")
    assert tree(PLAIN, byte_tokenizer).mismatched == 0


# ---- By hand


def test_plain_completions_end_with_eos_once(byte_tokenizer):
    prompt, (chosen, rejected) = ids(tree(PLAIN, byte_tokenizer).tree)
    assert byte_tokenizer.decode(prompt) == "Name a colour: "
    assert byte_tokenizer.decode(chosen) == "blue<|im_end|>"
    assert byte_tokenizer.decode(rejected) == "no colour<|im_end|>"


def test_chats_are_what_the_template_renders(byte_tokenizer):
    prompt, (chosen, rejected) = ids(tree(CHAT, byte_tokenizer).tree)
    start = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\n"
    assert byte_tokenizer.decode(prompt) == start
    assert byte_tokenizer.decode(chosen) == "Hello, friend.<|im_end|>\n"
    assert byte_tokenizer.decode(rejected) == "<|im_end|>\n"


def test_special_tokens_stand_once(starting_with_bos):
    bos = starting_with_bos.bos_token_id
    for row in (PLAIN, CHAT | {"prompt": [{"role": "user", "content": "<|bos|>Hi"}]}):
        prompt, completions = ids(tree(row, starting_with_bos).tree)
        assert sum((each.count(bos) for each in completions), prompt.count(bos)) == 1
    assert ids(tree(PLAIN, starting_with_bos).tree)[0][0] == bos


def test_one_completion_a_row(byte_tokenizer):
    prompt, (completion,) = ids(tree({"prompt": "ab", "completion": "c"}, byte_tokenizer, ("completion",)).tree)
    assert byte_tokenizer.decode(prompt + completion) == "abc<|im_end|>"


def test_an_empty_prompt(byte_tokenizer, starting_with_bos):
    """Its root is what the tokenizer begins texts with; else what all completions begin with; else BOS."""
    bos = byte_tokenizer.bos_token_id

    def text(tokenizer, *completions):
        row = {"prompt": ""} | {str(i): text for i, text in enumerate(completions)}
        prompt, leaves = ids(tree(row, tokenizer, [str(i) for i in range(len(completions))]).tree)
        return prompt, [tokenizer.decode(leaf) for leaf in leaves]

    assert text(starting_with_bos, "yes", "no") == ([bos], ["yes<|im_end|>", "no<|im_end|>"])
    assert text(byte_tokenizer, "text") == (byte_tokenizer("t")["input_ids"], ["ext<|im_end|>"])
    assert text(byte_tokenizer, "yes", "no") == ([bos], ["yes<|im_end|>", "no<|im_end|>"])


def test_rows_come_back_in_order_across_batches(byte_tokenizer):
    rows = [PLAIN | {"chosen": str(i)} if i % 3 else CHAT for i in range(600)]
    for row, encoded in zip(rows, encode(rows, byte_tokenizer, PAIR), strict=True):
        assert ids(encoded.tree) == ids(tree(row, byte_tokenizer).tree)


# ---- Too long

LONG = {"prompt": "0123456789", "chosen": "abcdef", "rejected": "xy"}  # 10 tokens, and 7 and 3 with EOS


@pytest.mark.parametrize(
    ("mode", "limit", "prompt", "completions", "cut"),
    [
        ("keep_start", None, "0123456789", ["abcdef$", "xy$"], 0),
        ("keep_start", 17, "0123456789", ["abcdef$", "xy$"], 0),
        ("keep_start", 16, "0123456789", ["abcdef", "xy$"], 1),
        ("keep_start", 11, "0123456789", ["a", "x"], 8),
        ("keep_end", 17, "0123456789", ["abcdef$", "xy$"], 0),
        ("keep_end", 16, "123456789", ["abcdef$", "xy$"], 1),
        ("keep_end", 8, "9", ["abcdef$", "xy$"], 9),
        ("keep_end", 5, "9", ["abcd", "xy$"], 12),
    ],
)
def test_truncation(byte_tokenizer, mode, limit, prompt, completions, cut):
    encoded = tree(LONG, byte_tokenizer, max_length=limit, truncation_mode=mode)
    root, leaves = (encoded.tree.prompt, encoded.tree.completions)
    assert byte_tokenizer.decode(list(root)) == prompt
    assert [byte_tokenizer.decode(list(leaf)).replace("<|im_end|>", "$") for leaf in leaves] == completions
    assert encoded.cut == cut
    assert limit is None or encoded.tree.longest <= limit


def test_keep_start_is_trls_truncation(byte_tokenizer, trl_ids):
    ((whole, sides),) = trl_ids([LONG], byte_tokenizer)
    for limit in range(11, 20):
        prompt, completions = ids(tree(LONG, byte_tokenizer, max_length=limit).tree)
        assert [prompt + c for c in completions] == [(whole + c)[:limit] for c in sides]


@pytest.mark.parametrize(("mode", "limit"), [("keep_start", 10), ("keep_start", 3), ("keep_end", 1)])
def test_where_nothing_is_left_there_is_no_tree(byte_tokenizer, mode, limit):
    encoded = tree(LONG, byte_tokenizer, max_length=limit, truncation_mode=mode)
    assert encoded.tree is None
    assert encoded.cut > 0


def test_an_unknown_mode_is_refused_with_the_ones_there_are(byte_tokenizer):
    with pytest.raises(ValueError, match="keep_start, keep_end"):
        tree(LONG, byte_tokenizer, truncation_mode="keep_middle")
