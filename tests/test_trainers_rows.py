"""What rows trainers read: TRL's forms, clumsy labels, and what is said of a row that cannot be used."""

import logging

import pytest
from datasets import Dataset

from training_kit import KINDS, demonstrations, make, pairs, train, unpaired


def decoded(tokenizer, example):
    return tokenizer.decode(example.tree.prompt), [tokenizer.decode(c) for c in example.tree.completions]


@pytest.mark.parametrize(
    ("label", "p"),
    [(True, 1), (False, 0), (1, 1), (0, 0), ("True", 1), ("false", 0), ("1", 1), ("0", 0), (" yes ", 1), ("bad", 0),
     (1.0, 1), (0.25, 0.25), (-1, 0), ("desirable", 1)],
)  # fmt: skip
def test_labels_in_every_writing(label, p, tmp_path, byte_tokenizer):
    rows = [row | {"label": label} for row in unpaired(2)]
    assert [e.p for e in make("kto", tmp_path, byte_tokenizer, rows=rows).train_examples] == [p, p]


def test_a_probability_comes_before_a_label(tmp_path, byte_tokenizer):
    rows = [row | {"label": True, "p_desirable": p} for row, p in zip(unpaired(2), (0.2, None), strict=True)]
    assert [e.p for e in make("kto", tmp_path, byte_tokenizer, rows=rows).train_examples] == [0.2, 1.0]


@pytest.mark.parametrize(
    ("rows", "prompt", "answers"),
    [
        ({"chosen": "Q: why? A: so", "rejected": "Q: why? A: no"}, "Q: why? A:", [" so<|im_end|>", " no<|im_end|>"]),
        ({"prompt": "Q", "chosen": "a", "rejected": "b"}, "Q", ["a<|im_end|>", "b<|im_end|>"]),
        ({"prompt": None, "chosen": "Q a", "rejected": "Q b"}, "Q", [" a<|im_end|>", " b<|im_end|>"]),
        (
            {
                side: [{"role": "user", "content": "hi"}, {"role": "assistant", "content": word}]
                for side, word in (("chosen", "yo"), ("rejected", "no"))
            },
            "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
            ["yo<|im_end|>\n", "no<|im_end|>\n"],
        ),
    ],
)
def test_explicit_and_implicit_prompts(rows, prompt, answers, tmp_path, byte_tokenizer):
    trainer = make("dpo", tmp_path, byte_tokenizer, rows=[rows])
    assert decoded(byte_tokenizer, trainer.train_examples[0]) == (prompt, answers)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_datasets_lists_and_extra_columns_are_the_same(kind, tmp_path, byte_tokenizer):
    rows = KINDS[kind].rows(5)
    extra = [row | {"length": 3, "source": {"url": "x"}, "text2": None, "tags": ["a"]} for row in rows]
    given = (rows, tuple(rows), Dataset.from_list(rows), Dataset.from_list(extra), (row for row in extra))
    examples = [make(kind, tmp_path, byte_tokenizer, rows=each).train_examples for each in given]
    assert all(each == examples[0] for each in examples)


def test_rows_without_ids_are_known_by_their_number(tmp_path, byte_tokenizer):
    rows = [{k: v for k, v in row.items() if k != "id"} for row in pairs(2)]
    assert [e.id for e in make("dpo", tmp_path, byte_tokenizer, rows=rows).train_examples] == ["0", "1"]
    assert [e.id for e in make("kto", tmp_path, byte_tokenizer, rows=rows[:1]).train_examples] == [
        "0/chosen",
        "0/rejected",
    ]


MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("kind", "changes", "why"),
    [
        ("dpo", {"chosen": ...}, "row pair-1: no column 'chosen' among"),
        ("dpo", {"chosen": None}, "row pair-1: chosen is None: use a text or a list of messages"),
        ("dpo", {"rejected": 3}, "row pair-1: rejected is 3"),
        ("dpo", {"rejected": ["a", "b"]}, "row pair-1: rejected is \\['a', 'b'\\]"),
        ("dpo", {"prompt": MESSAGES}, "row pair-1: prompt and chosen differ"),
        ("dpo", {"prompt": ...}, "row pair-1: chosen and rejected begin differently: give the prompt a column"),
        ("dpo", {"p_chosen": 1.5}, "row pair-1: p_chosen is 1.5: use a number from 0 to 1"),
        ("dpo", {"p_chosen": float("nan")}, "row pair-1: p_chosen is nan"),
        ("dpo", {"p_chosen": "often"}, "row pair-1: p_chosen is 'often'"),
        ("dpo", {"weight": -1}, "row pair-1: weight is -1: use a number 0 or more"),
        ("dpo", {"weight": float("inf")}, "row pair-1: weight is inf"),
        ("kto", {"label": ...}, "row answer-1: no column 'label' or 'p_desirable'"),
        ("kto", {"label": "maybe"}, "row answer-1: label is 'maybe': use true or false"),
        ("kto", {"label": None}, "row answer-1: label is None"),
        ("kto", {"label": 7}, "row answer-1: label is 7"),
        ("kto", {"p_desirable": -0.1}, "row answer-1: p_desirable is -0.1"),
        ("kto", {"completion": ...}, "row answer-1: no column 'completion'"),
        ("sft", {"prompt": ...}, "row answer-1: no column 'prompt'"),
        ("sft", {"messages": MESSAGES}, "row answer-1: messages must end with an assistant's turn"),
        ("sft", {"messages": "hello"}, "row answer-1: messages must end"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_in_one_line(kind, changes, why, tmp_path, byte_tokenizer):
    rows = KINDS[kind].rows(3)
    rows[1] = {key: value for key, value in (rows[1] | changes).items() if value is not ...}
    with pytest.raises(ValueError, match=why) as error:
        make(kind, tmp_path, byte_tokenizer, rows=rows)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "train_dataset is empty"),
        (["a text"], "train row 0 is a str: rows are dicts"),
        ({"train": pairs(2), "test": pairs(2)}, "train_dataset holds several datasets \\(train, test\\)"),
    ],
)
def test_datasets_that_are_none(rows, why, tmp_path, byte_tokenizer):
    with pytest.raises(ValueError, match=why):
        make("dpo", tmp_path, byte_tokenizer, rows=rows)


def test_what_the_length_limit_does_is_said_with_numbers(tmp_path, byte_tokenizer, caplog):
    rows = demonstrations(4)
    rows[0]["completion"] = "x" * 200
    rows[1]["prompt"] = rows[2]["prompt"] = "y" * 200
    with caplog.at_level(logging.WARNING):
        trainer = make("sft", tmp_path, byte_tokenizer, rows=rows, max_length=80)
    assert (
        "dropped 2 of 4 train rows (answer-1, answer-2): nothing of an answer is left within max_length=80"
        in caplog.text
    )
    assert "cut 1 of 4 train rows to max_length=80" in caplog.text
    assert [e.id for e in trainer.train_examples] == ["answer-0", "answer-3"]
    assert max(e.tree.longest for e in trainer.train_examples) == 80
    with pytest.raises(
        ValueError, match="no train row has an answer within max_length=3: raise it, or look at row answer-0"
    ):
        make("sft", tmp_path, byte_tokenizer, rows=rows, max_length=3)


def test_keep_end_cuts_the_prompt(tmp_path, byte_tokenizer):
    rows = [{"prompt": "y" * 200, "completion": "tea"}]
    trainer = make("sft", tmp_path, byte_tokenizer, rows=rows, max_length=10, truncation_mode="keep_end")
    assert decoded(byte_tokenizer, trainer.train_examples[0]) == ("y" * 6, ["tea<|im_end|>"])


def test_every_row_is_drawn_once_an_epoch_in_an_order_of_the_seed(tmp_path, byte_tokenizer):
    def drawn(epochs=2, **changes):
        loader = make("dpo", tmp_path, byte_tokenizer, rows=10, **changes).get_train_dataloader()
        orders = []
        for epoch in range(epochs):
            loader.set_epoch(epoch)
            orders.append([e.id for batch in loader for e in batch])
        return orders

    first, second = drawn()
    assert sorted(first) == sorted(second) == sorted(f"pair-{i}" for i in range(10))
    assert first != second
    assert drawn() == [first, second]
    assert drawn(seed=1)[0] != first
    assert drawn(seed=1, data_seed=42)[0] == first
    assert drawn(train_sampling_strategy="sequential") == [[f"pair-{i}" for i in range(10)]] * 2
    assert [len(order) for order in drawn(dataloader_drop_last=True)] == [8, 8]


def test_fractions_of_an_epoch_and_a_number_of_steps(tmp_path, byte_tokenizer):
    assert train("dpo", tmp_path, byte_tokenizer, rows=16, num_train_epochs=1.5).state.global_step == 6
    assert train("dpo", tmp_path, byte_tokenizer, rows=16, max_steps=5).state.global_step == 5
    with pytest.raises(ValueError, match="3 train examples are less than one batch of 4"):
        train("dpo", tmp_path, byte_tokenizer, rows=3, dataloader_drop_last=True)
