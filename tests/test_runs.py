"""The run folder survives kills, odd numbers and hostile names."""

import math
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from accord.runs import Run, find_run, list_runs, run_path


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "first", config={"beta": 0.1}, command="accord dpo --beta 0.1", method="dpo", seed=3)


def test_run_json_says_what_was_asked(run):
    again = Run.open(run.path)
    assert again.config() == {"beta": 0.1}
    assert (again.name, again.info["method"], again.info["seed"]) == ("first", "dpo", 3)
    assert again.info["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert again.info["versions"]["torch"]


def test_a_second_run_does_not_overwrite_the_first(run):
    run.log(1, {"loss": 0.5})
    with pytest.raises(ValueError, match=r"there is a run already; resume it"):
        Run.create(run.path, config={}, command="accord dpo")
    fresh = Run.create(run.path, config={"beta": 0.2}, command="accord dpo", overwrite=True)
    assert fresh.metrics() == []
    assert fresh.config() == {"beta": 0.2}


def test_opening_what_is_no_run_names_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"no run\.json"):
        Run.open(tmp_path)


def test_metrics_come_back_in_order_and_nan_is_null(run):
    run.log(1, {"loss": np.float32(0.5), "rewards/margins": math.nan})
    run.log(2, {"loss": math.inf, "kl": np.array([1.0, math.nan])})
    assert run.metrics() == [
        {"step": 1, "loss": 0.5, "rewards/margins": None},
        {"step": 2, "loss": None, "kl": [1.0, None]},
    ]
    assert "NaN" not in (run.path / "metrics.jsonl").read_text()


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_last_line_is_dropped_and_the_next_one_is_whole(run, cut):
    run.log(1, {"loss": 0.5})
    run.log(2, {"loss": 0.25})
    file = run.path / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    assert [record["step"] for record in run.metrics()] == [1]
    run.log(3, {"loss": 0.125})
    assert [record["step"] for record in run.metrics()] == [1, 3]


def test_damage_in_the_middle_is_named_by_its_line(run):
    run.log(1, {"loss": 0.5})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write("oops\n")
    assert len(run.metrics()) == 1  # as a last line it is only torn
    run.log(2, {"loss": 0.5})
    with pytest.raises(ValueError, match=r"metrics\.jsonl:2: not a JSON object"):
        run.metrics()


def log_for_ever(path):
    run = Run.open(path)
    for step in range(10**9):
        run.log(step, {"loss": 1 / (step + 1), "text": "é" * 500})
        run.update_summary({"step": step})


def test_kill_9_leaves_readable_files(run):
    process = multiprocessing.get_context("fork").Process(target=log_for_ever, args=(run.path,))
    process.start()
    while len(run.metrics()) < 20:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    steps = [record["step"] for record in run.metrics()]
    assert steps == list(range(len(steps)))
    assert run.summary()["step"] in (steps[-1], steps[-1] - 1)


def test_rewind_forgets_what_came_after_the_checkpoint(run):
    for step in (10, 20, 30):
        run.log(step, {"loss": 1 / step})
        run.add_sample({"step": step, "prompt": "p", "after": "a"})
    run.add_sample({"prompt": "p", "before": "b", "after": "a"})
    run.rewind(20)
    assert [record["step"] for record in run.metrics()] == [10, 20]
    assert [record.get("step") for record in run.samples()] == [10, 20, None]


def test_summary_is_merged(run):
    assert run.summary() == {}
    run.update_summary({"win_rate": 0.8, "win_rate_ci": [0.7, 0.9]})
    run.update_summary({"win_rate": 0.75, "seconds": 12.5})
    assert run.summary() == {"win_rate": 0.75, "win_rate_ci": [0.7, 0.9], "seconds": 12.5}
    run.update_summary({"kl": 1.0}, forget=["win_rate", "win_rate_ci"])
    assert run.summary() == {"seconds": 12.5, "kl": 1.0}
    assert sorted(path.name for path in run.path.iterdir()) == ["run.json", "summary.json"]


def test_samples_keep_any_text(run):
    texts = ["line\u2028separator", "\ud800 lone surrogate", "</script>", "\x00", "مرحبا"]
    for text in texts:
        run.add_sample({"prompt": text})
    assert [sample["prompt"] for sample in run.samples()] == texts
    run.replace_samples([{"prompt": "only"}])
    assert run.samples() == [{"prompt": "only"}]


HOSTILE = ["", ".", "..", "../x", "/etc", "a/b", "a\\b", ".hidden", "a..b", "a.", "<b>", "a\n", "-rf", "é", "x" * 81]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_run_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="run name"):
        run_path(tmp_path, name)


def test_a_link_does_not_lead_out_of_the_runs_folder(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "exit").symlink_to("/etc")
    with pytest.raises(ValueError, match="leads out of"):
        run_path(tmp_path / "runs", "exit")
    assert run_path(tmp_path / "runs", "dpo-hh_v1.2") == (tmp_path / "runs" / "dpo-hh_v1.2").resolve()


def test_find_run_takes_a_name_or_a_path_and_lists_what_there_is(run):
    root = run.path.parent
    assert find_run("first", root) == find_run(run.path) == run.path
    assert list_runs(root) == [run.path]
    with pytest.raises(ValueError, match=r"no run 'frist': there are: first"):
        find_run("frist", root)
    with pytest.raises(ValueError, match=r"there are none in .* yet"):
        find_run("first", root / "first")


def test_runs_do_not_import_torch():
    code = "import sys, accord.runs; print(sorted({'torch', 'numpy', 'transformers'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
