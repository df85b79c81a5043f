"""The tutorials of recipes/ run: on a small file, with a tiny model."""

import json
import runpy
import sys
from pathlib import Path

import pytest

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def votes(tmp_path):
    """Preferences over messages, of prompts enough that some are held out."""
    said = ["tea", "a cold river", "moss under the lamp", "the small bright sun"]
    rows = [
        {
            "prompt": [{"role": "user", "content": f"Say something {i}."}],
            "chosen": [{"role": "assistant", "content": said[i % 4]}],
            "rejected": [{"role": "assistant", "content": said[(i + 1 + i % 3) % 4] + " and more"}],
        }
        for i in range(24)
    ]
    path = tmp_path / "votes.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def recipe(name: str, monkeypatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    monkeypatch.syspath_prepend(str(RECIPES))
    runpy.run_path(str(RECIPES / name), run_name="__main__")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("dpo.py", "held-out pairs ranked as people do: "),
        ("kto.py", "a wanted answer gained more than an unwanted one, how often: "),
        ("reward.py", "reward of a short answer: "),
        ("rlhf.py", "KL from the model as it was: "),
        ("rloo.py", "held-out reward "),
    ],
)
def test_a_tutorial_trains_measures_and_says_so(name, says, votes, tmp_path, tiny_model_dir, monkeypatch, capsys):
    monkeypatch.setenv("ACCORD_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    brief = ["--tokens", "8"] if name in ("rlhf.py", "rloo.py") else []
    recipe(name, monkeypatch, votes, "--model", str(tiny_model_dir), "--steps", "2", "--out", "out", *brief)
    assert says in capsys.readouterr().out
    assert list((tmp_path / "out").glob("*.safetensors"))


def test_sums_are_practised(tmp_path, tiny_model_dir, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    recipe("grpo.py", monkeypatch, "--model", str(tiny_model_dir), "--steps", "2", "--out", "out", "--tokens", "8")
    assert "right, of held-out sums: 0% -> 0%" in capsys.readouterr().out
    assert (tmp_path / "out/adapter_model.safetensors").is_file()


def test_without_the_demos_votes_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="run `accord demo` first"):
        recipe("dpo.py", monkeypatch)
