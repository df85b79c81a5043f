"""Files that nobody can import, made in code: what is wrong with each, and what the message must say."""

import gzip
import json

from accord.exchange.json_text import MAX_ROW

GOOD = '{"prompt": "Why?", "chosen": "So.", "rejected": "No."}\n'
PAIR = {"prompt": "Why?", "chosen": "So.", "rejected": "No."}
USER, ANSWER = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}
HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}
CROWD = "id,model_x,model_y,worker,winner\n"
TEXTS = {"id": 1, "text": "Why?", "model_x": 1, "result_x": "a", "model_y": 2, "result_y": "b"}
PROMPT = {"noun": "prompt", "id": "p", "content": "Why?"}


def rows(*rows):
    """JSON Lines, after one good row where the rows are preferences."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def second(**changes):
    """A file of two preferences, the second with `changes`; None drops the column."""
    row = {key: value for key, value in (PAIR | changes).items() if value is not ...}
    return GOOD + rows(row)


def thumbs(label):
    good = {"prompt": "Why?", "completion": "So.", "label": True}
    return rows(good, good | {"label": label} if label is not ... else {"prompt": "Why?", "completion": "So."})


def ranks(**changes):
    row = {"prompt": "Why?", "completions": ["So.", "No."], "scores": [2, 1]} | changes
    return rows({key: value for key, value in row.items() if value is not ...})


def talk(*messages):
    return rows({"messages": [USER, ANSWER]}, {"messages": list(messages)})


def shared(*messages, **columns):
    return rows({"conversations": list(messages), **columns})


def votes(**changes):
    answers = [{"noun": "response", "id": i, "prompt_id": "p", "content": i} for i in ("a", "b")]
    vote = {"noun": "comparison", "id": "v", "annotator_id": "ada", "prompt_id": "p", "left_id": "a", "right_id": "b"}
    vote |= {"choice": "left", "at": "2026-01-31T12:00:00+00:00"} | changes
    return rows(PROMPT, *answers, {"noun": "annotator", "id": "ada"}, vote)


#: what is wrong: (file name, what is in it, "line: field: " of the message, words that follow)
BAD = {
    # what no container can read
    "empty file": ("a.jsonl", "", "1: file: ", "is empty"),
    "only blank lines": ("a.jsonl", "\n \n", "1: file: ", "holds no rows"),
    "an empty array": ("a.json", "[]", "1: file: ", "holds no rows"),
    "not JSON": ("a.jsonl", GOOD + "prompt: Why?\n", "2: json: ", "Expecting value at column 1, found 'prompt: Why?'"),
    "JSON with single quotes": ("a.jsonl", "{'prompt': 'a'}\n", "1: json: ", "Expecting property name"),
    "cut off in the middle": ("a.jsonl", GOOD + GOOD[:25], "2: json: ", "ends in the middle of a value"),
    "cut off array": ("a.json", "[\n" + GOOD.strip() + ",\n" + GOOD[:25], "3: json: ", "ends in the middle of a value"),
    "array without end": ("a.json", "[\n" + GOOD, "3: json: ", "the array has no end"),
    "array without commas": ("a.json", "[\n" + GOOD + GOOD + "]", "3: json: ", "expected ',' or ']'"),
    "more after the array": ("a.json", "[" + GOOD + "]\n{}", "3: json: ", "more follows the end of the array"),
    "wrong deep in an array": ("a.json", '[\n{"prompt":\n "a" "b"}\n]', "3: json: ", "Expecting ',' delimiter"),
    "array of texts": ("a.json", '["a", "b"]', "1: json: ", "is text, expected an object"),
    "array of arrays": ("a.json", "[\n[1]]", "2: json: ", "is a list, expected an object"),
    "two objects on a line": ("a.jsonl", GOOD.strip() + GOOD, "1: json: ", "more follows the value"),
    "numbers, one a line": ("a.jsonl", "1\n", "1: json: ", "is a number, expected an object"),
    "bad UTF-8": ("a.jsonl", GOOD.encode() + b'{"prompt": "\xff"}\n', "2: text: ", "byte 0xff at column 13"),
    "bad UTF-8 in an array": ("a.json", b'[\n{"prompt":\n "\xe9"}]', "3: text: ", "byte 0xe9 at column 3"),
    "Latin-1 CSV": ("a.csv", "prompt,completion\nWhy?,café\n".encode("latin-1"), "2: text: ", "is not UTF-8"),
    "UTF-16": ("a.jsonl", GOOD.encode("utf-16"), "1: text: ", "is UTF-16"),
    "NaN": ("a.jsonl", second()[:-2] + ', "margin": NaN}\n', "2: json: ", "NaN is not JSON"),
    "Infinity": ("a.json", '[{"prompt": "a", "margin": -Infinity}]', "1: json: ", "-Infinity is not JSON"),
    "a number beyond all": ("a.jsonl", second()[:-2] + ', "margin": 1e999}\n', "2: margin: ", "is inf, not a finite"),
    "a number of 5,000 digits": (
        "a.jsonl",
        '{"prompt": "a", "n": ' + "9" * 5000 + "}",
        "1: json: ",
        "thousands of digits",
    ),
    "a key twice": ("a.jsonl", '{"prompt": "a", "prompt": "b"}', "1: prompt: ", "stands twice"),
    "half a surrogate pair": ("a.jsonl", second(chosen="a\ud83d"), "2: chosen: ", "half a surrogate pair"),
    "half a surrogate pair in a key": ("a.jsonl", second(**{"\ud83d": 1}), "2: \\ud83d: ", "half a surrogate pair"),
    "NUL in a text": ("a.jsonl", second(extra={"a": ["b\0c"]}), "2: extra: ", "has a NUL character: 'b\\x00c'"),
    "nested 100 deep": (
        "a.jsonl",
        second(extra=json.loads("[" * 100 + "]" * 100)),
        "2: extra: ",
        "nested more than 32",
    ),
    "nested 100,000 deep": ("a.jsonl", '{"prompt": ' + "[" * 100_000, "1: json: ", "is nested too deeply"),
    "nested deep in an array": ("a.json", '[{"prompt": ' + "[" * 100_000, "1: json: ", "is nested too deeply"),
    "a huge line": ("a.jsonl", GOOD + " " * (MAX_ROW + 1), "2: text: ", "is longer than 16 MiB"),
    "a huge object": ("a.json", '[{"prompt": "' + "a" * (MAX_ROW + 2**21), "1: json: ", "longer than 16 MiB"),
    "broken gzip": ("a.jsonl.gz", gzip.compress(GOOD.encode())[:-12], "1: file: ", "is not a whole gzip file"),
    "gzip of nothing": ("a.jsonl.gz", gzip.compress(b""), "1: file: ", "is empty"),
    "bits turned in a gzip": (
        "a.jsonl.gz",
        gzip.compress(b"x" * 99)[:12] + b"\0" * 20,
        "1: file: ",
        "is not a whole gzip",
    ),
    "broken Parquet": ("a.parquet", b"PAR1" + b"\0" * 50, "1: file: ", "is not a Parquet file"),
    "empty Parquet": ("a.parquet", b"", "1: file: ", "is not a Parquet file"),
    "unknown suffix": ("a.txt", GOOD, "1: file: ", "has the suffix '.txt'"),
    "no suffix": ("preferences", GOOD, "1: file: ", "has the suffix ''"),
    # CSV
    "CSV with a header alone": ("a.csv", "prompt,chosen,rejected\n", "1: file: ", "holds no rows"),
    "CSV without a column": (
        "a.csv",
        "prompt,chosen\nWhy?,So.\n",
        "2: rejected: ",
        "is missing (this row has prompt, chosen)",
    ),
    "CSV with too few cells": (
        "a.csv",
        "prompt,chosen,rejected\na,b,c\na,b\n",
        "3: csv: ",
        "has 2 cells where the header has 3",
    ),
    "CSV with too many cells": ("a.csv", "prompt,chosen,rejected\na,b,c,d\n", "2: csv: ", "has 4 cells"),
    "CSV with an empty cell": ("a.csv", 'prompt,chosen,rejected\n"a\nb",c,d\na,,c\n', "4: chosen: ", "is empty"),
    "CSV with NUL": ("a.csv", "prompt,chosen,rejected\na,b\0,c\n", "2: chosen: ", "has a NUL character"),
    "CSV with an open quote": ("a.csv", 'prompt,completion\na,b\na,"b\n\n', "3: csv: ", "a quoted cell has no end"),
    "CSV with a column twice": ("a.csv", "prompt,chosen,chosen\na,b,c\n", "1: chosen: ", "is the name of two columns"),
    "CSV with a column of no name": ("a.csv", "prompt,,chosen\na,b,c\n", "1: header: ", "column 2 has no name"),
    "CSV with semicolons": (
        "a.csv",
        "prompt;chosen;rejected\na;b;c\n",
        "2: columns: ",
        "prompt;chosen;rejected fit no format",
    ),
    # columns
    "no known column": ("a.jsonl", '{"a": 1, "b": 2}\n', "1: columns: ", "a, b fit no format"),
    "columns of two formats": (
        "a.jsonl",
        rows(PAIR | {"completion": "a", "label": 1}),
        "1: columns: ",
        "fit preference and unpaired (say which: --format preference)",
    ),
    "hostile column names": ("a.jsonl", rows({"a\n\x1b[1m\ud83d": 1}), "1: columns: ", "a\\n\\x1b[1m\\ud83d fit no"),
    "text alone": ("a.jsonl", '{"text": "Once."}\n', "1: columns: ", "rename text to prompt and completion"),
    "other names": (
        "a.jsonl",
        '{"question": "a", "response": "b"}',
        "1: columns: ",
        "rename question to prompt; rename response to completion",
    ),
    # preferences
    "chosen missing": ("a.jsonl", second(chosen=...), "2: chosen: ", "is missing (this row has prompt, rejected)"),
    "chosen null": ("a.jsonl", second(chosen=None), "2: chosen: ", "is null"),
    "chosen a number": ("a.jsonl", second(chosen=3), "2: chosen: ", "is a number, expected text"),
    "chosen blank": ("a.jsonl", second(chosen=" \n"), "2: chosen: ", "is empty"),
    "rejected true": ("a.jsonl", second(rejected=True), "2: rejected: ", "is true or false, expected text"),
    "prompt blank": ("a.jsonl", second(prompt=""), "2: prompt: ", "is empty"),
    "text prompt, answers as messages": (
        "a.jsonl",
        second(chosen=[ANSWER], rejected=[ANSWER]),
        "2: chosen: ",
        "prompt is text and chosen is messages",
    ),
    "messages prompt, answer as text": (
        "a.jsonl",
        second(prompt=[USER]),
        "2: chosen: ",
        "chosen is text and prompt is messages",
    ),
    "chosen text, rejected messages": (
        "a.jsonl",
        second(prompt=..., rejected=[USER, ANSWER]),
        "2: rejected: ",
        "are not both text or both messages",
    ),
    "nothing shared": ("a.jsonl", second(prompt=...), "2: prompt: ", "do not begin alike"),
    "the same text twice, no prompt": (
        "a.jsonl",
        second(prompt=..., rejected="So."),
        "2: prompt: ",
        "one of chosen and rejected begins the other",
    ),
    "two prompts": (
        "a.jsonl",
        second(prompt=..., chosen=[USER, ANSWER], rejected=[{"role": "user", "content": "He"}, ANSWER]),
        "2: prompt: ",
        "share no beginning",
    ),
    "prompt ends with the assistant": (
        "a.jsonl",
        second(prompt=[USER, ANSWER], chosen=[ANSWER], rejected=[ANSWER]),
        "2: prompt: ",
        "ends with the assistant",
    ),
    "answer by the user": (
        "a.jsonl",
        second(prompt=[USER], chosen=[USER], rejected=[ANSWER]),
        "2: chosen: ",
        "ends with the prompt, expected the assistant",
    ),
    "user in the answer": (
        "a.jsonl",
        second(prompt=[USER], chosen=[ANSWER, USER, ANSWER], rejected=[ANSWER]),
        "2: chosen: ",
        "has a message of user",
    ),
    "unknown split": ("a.jsonl", second(split="b"), "2: split: ", "is 'b', expected train or test"),
    "annotator a list": ("a.jsonl", second(annotator=["ada"]), "2: annotator: ", "is a list, expected text"),
    "more than certain": ("a.jsonl", second(p_chosen=80), "2: p_chosen: ", "is 80, expected a probability from 0 to 1"),
    "a tie in words": ("a.jsonl", second(p_tie="yes"), "2: p_tie: ", "is 'yes', expected a probability"),
    "a probability in CSV": ("a.csv", "prompt,chosen,rejected,p_chosen\na,b,c,high\n", "2: p_chosen: ", "is 'high'"),
    "thumb with a certainty of -1": (
        "a.jsonl",
        rows({"prompt": "a", "completion": "b", "label": True, "p_desirable": -1}),
        "1: p_desirable: ",
        "is -1, expected a probability",
    ),
    # rankings
    "ranking without scores": ("a.jsonl", ranks(scores=...), "1: scores: ", "is missing (this row has prompt"),
    "fewer scores than completions": ("a.jsonl", ranks(scores=[1]), "1: scores: ", "has 1 for 2 completions"),
    "a score in words": ("a.jsonl", ranks(scores=[1, "2"]), "1: scores[1]: ", "is text, expected a number"),
    "a score that is true": ("a.jsonl", ranks(scores=[True, 2]), "1: scores[0]: ", "is true or false"),
    "a score that is null": ("a.jsonl", ranks(scores=[1, None]), "1: scores[1]: ", "is null, expected a number"),
    "one completion": ("a.jsonl", ranks(completions=["a"], scores=[1]), "1: completions: ", "has 1, expected 2"),
    "completions a text": ("a.jsonl", ranks(completions="a"), "1: completions: ", "is text, expected a list"),
    "a completion blank": ("a.jsonl", ranks(completions=["a", " "]), "1: completions[1]: ", "is empty"),
    "a completion as messages": (
        "a.jsonl",
        ranks(completions=["a", [ANSWER]]),
        "1: completions[1]: ",
        "prompt is text and completions[1] is messages",
    ),
    "ranking in CSV": ("a.csv", 'prompt,completions,scores\na,"[1, 2]",1\n', "2: completions: ", "write .jsonl"),
    # thumbs
    "label an unknown word": ("a.jsonl", thumbs("so-so"), "2: label: ", "is 'so-so', expected true or false"),
    "label 2": ("a.jsonl", thumbs(2), "2: label: ", "is 2, expected true or false"),
    "label null": ("a.jsonl", thumbs(None), "2: label: ", "is null"),
    "label missing": ("a.jsonl", thumbs(...), "2: label: ", "is missing"),
    "label a list": ("a.jsonl", thumbs([True]), "2: label: ", "is a list"),
    # conversations
    "unknown role": (
        "a.jsonl",
        talk(USER, {"role": "bot", "content": "a"}),
        "2: messages[1].role: ",
        "is 'bot', expected one of system, user, assistant, tool",
    ),
    "no role": ("a.jsonl", talk(USER, {"content": "a"}), "2: messages[1].role: ", "is missing"),
    "role a list": ("a.jsonl", talk({"role": ["user"], "content": "a"}), "2: messages[0].role: ", "is ['user']"),
    "no messages": ("a.jsonl", talk(), "2: messages: ", "has no messages"),
    "messages a text": ("a.jsonl", rows({"messages": "Hi"}), "1: messages: ", "is text, expected a list"),
    "message a text": ("a.jsonl", talk("Hi"), "2: messages[0]: ", "is text, expected an object"),
    "no content": ("a.jsonl", talk(USER, {"role": "assistant"}), "2: messages[1].content: ", "is missing"),
    "content null": (
        "a.jsonl",
        talk(USER, {"role": "assistant", "content": None}),
        "2: messages[1].content: ",
        "is null",
    ),
    "content blank": (
        "a.jsonl",
        talk(USER, {"role": "assistant", "content": ""}),
        "2: messages[1].content: ",
        "is empty",
    ),
    "content an image": (
        "a.jsonl",
        talk({"role": "user", "content": [{"type": "image"}]}, ANSWER),
        "2: messages[0].content[0]: ",
        "images and sound cannot be read",
    ),
    "a tool call": (
        "a.jsonl",
        talk(USER, ANSWER | {"tool_calls": [{}]}),
        "2: messages[1].tool_calls: ",
        "cannot be kept",
    ),
    "user has the last word": (
        "a.jsonl",
        talk(USER, ANSWER, USER),
        "2: messages: ",
        "ends with user, expected the assistant",
    ),
    "assistant begins": ("a.jsonl", talk(ANSWER), "2: messages[0].role: ", "nothing that it answers"),
    # hh-rlhf
    "dialogue ends with the human": (
        "a.jsonl",
        rows({"chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c", "rejected": "\n\nHuman: a\n\nAssistant: b"}),
        "1: chosen: ",
        "ends with Human:",
    ),
    "dialogues differ before the answer": (
        "a.jsonl",
        rows({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"}),
        "1: rejected: ",
        "differs from chosen before the last answer",
    ),
    "not a dialogue": (
        "a.jsonl",
        rows({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "b"}),
        "1: rejected: ",
        "does not begin with Human:",
    ),
    "dialogue without a question": (
        "a.jsonl",
        rows({"chosen": "\n\nAssistant: b", "rejected": "\n\nAssistant: c"}),
        "1: chosen: ",
        "has no turn of Human:",
    ),
    # ShareGPT
    "unknown speaker": (
        "a.json",
        shared({"from": "bard", "value": "a"}, GPT),
        "1: conversations[0].from: ",
        "is 'bard', expected one of",
    ),
    "speaker a list": ("a.json", shared({"from": [], "value": "a"}, GPT), "1: conversations[0].from: ", "is []"),
    "no value": ("a.json", shared({"from": "human"}, GPT), "1: conversations[0].value: ", "is missing"),
    "two turns of one speaker": (
        "a.json",
        shared(HUMAN, HUMAN, GPT),
        "1: conversations[1]: ",
        "is said by user after user",
    ),
    "gpt begins": ("a.json", shared(GPT), "1: conversations[0]: ", "is said by assistant after system"),
    "no turns": ("a.json", shared(), "1: conversations: ", "is empty, expected a list"),
    "chosen without rejected": ("a.json", shared(HUMAN, chosen=GPT), "1: rejected: ", "is missing"),
    "question already answered": (
        "a.json",
        shared(HUMAN, GPT, chosen=GPT, rejected=GPT),
        "1: conversations: ",
        "ends with the assistant",
    ),
    "chosen by the human": ("a.json", shared(HUMAN, chosen=HUMAN, rejected=GPT), "1: chosen: ", "is said by user"),
    # Alpaca
    "no instruction": ("a.json", rows({"instruction": None, "output": "a"}), "1: instruction: ", "is null"),
    "three outputs": ("a.json", rows({"instruction": "a", "output": ["a", "b", "c"]}), "1: output: ", "is a list of 3"),
    "history of texts": (
        "a.json",
        rows({"instruction": "a", "output": "b", "history": ["c"]}),
        "1: history[0]: ",
        "is text",
    ),
    # crowd votes
    "votes without texts": ("votes.csv", CROWD + "1,1,2,5,left\n", "1: id: ", "give pairs-crowd.jsonl with it"),
    "texts without votes": ("pairs.jsonl", rows(TEXTS), "1: file: ", "give crowd-comparisons.csv with it"),
    # Accord's own votes
    "unknown noun": ("a.jsonl", rows({"noun": "verb"}), "1: noun: ", "is 'verb', expected one of"),
    "unknown field": ("a.jsonl", rows(PROMPT | {"colour": 1}), "1: colour: ", "is no field of a prompt"),
    "vote on an unknown response": (
        "a.jsonl",
        votes(left_id="c"),
        "5: left_id: ",
        "'c' is no response of a line before",
    ),
    "vote by an unknown person": ("a.jsonl", votes(annotator_id="ben"), "5: annotator_id: ", "'ben' is no annotator"),
    "unknown choice": ("a.jsonl", votes(choice="both"), "5: choice: ", "is 'both', expected one of left, right"),
    "time without zone": ("a.jsonl", votes(at="2026-01-31T12:00:00"), "5: at: ", "expected a time with its zone"),
    "strength 4": ("a.jsonl", votes(strength=4), "5: strength: ", "is 4, expected 1, 2 or 3"),
    "negative seconds": ("a.jsonl", votes(seconds=-1), "5: seconds: ", "is -1, expected a number of seconds"),
    "extra a text": ("a.jsonl", votes(extra="a"), "5: extra: ", "is text, expected an object"),
}
