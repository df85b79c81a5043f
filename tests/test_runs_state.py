"""Where a run stands, told from its folder: with its process there, gone, and somewhere nobody can look."""

import platform
import subprocess
import sys

import psutil
import pytest

from accord.runs import Run
from accord.runs.process import is_alive, this_process
from accord.runs.state import Signs, State, left, state_of

NOW = 1_000_000.0
ELSEWHERE = {"host": "another-machine", "pid": 1, "born": 1.0, "began": NOW - 1000, "step": 0, "max_steps": 400}


def signs(progress=(), summary=(), started=NOW - 2000, ago=None, steps=()):
    written = None if ago is None else NOW - ago
    return Signs(dict(summary), dict(progress), started, written, tuple(steps))


def here(**more):
    return this_process() | {"began": NOW - 1000, "step": 0, "max_steps": 400} | more


@pytest.fixture(scope="module")
def gone():
    """A process that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        born = psutil.Process(process.pid).create_time()
        process.communicate(b"\n")
    return {"host": platform.node(), "pid": process.pid, "born": born}


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (signs(summary={"seconds": 3.0}), State.FINISHED),
        (signs(summary={"finished": True}, progress=ELSEWHERE), State.FINISHED),
        (signs(summary={"seconds": 3.0, "error": "the loss is not finite"}), State.FAILED),
        (signs(ELSEWHERE, ago=30, steps=(100, 99)), State.TRAINING),
        (signs(ELSEWHERE, ago=299, steps=(100, 99)), State.TRAINING),
        (signs(ELSEWHERE, ago=400, steps=(100, 99)), State.INTERRUPTED),  # 6 s a step until then
        (signs(ELSEWHERE, ago=400, steps=(100, 50)), State.TRAINING),  # 300 s a line
        (signs(ELSEWHERE | {"began": NOW - 1700}), State.PREPARING),
        (signs(ELSEWHERE | {"began": NOW - 1900}), State.INTERRUPTED),
        (signs(started=NOW - 60), State.PREPARING),  # by a version that told nothing of its process
        (signs(started=NOW - 9999), State.INTERRUPTED),
        (signs(started=NOW - 9999, ago=20, steps=(3,)), State.TRAINING),
        (signs(ELSEWHERE | {"began": NOW - 60}, ago=9000, steps=(3,)), State.PREPARING),  # resumed, no line since
    ],
)
def test_a_run_whose_process_cannot_be_seen(found, state):
    assert state_of(found, NOW) == state


@pytest.mark.parametrize(
    ("found", "state"),
    [
        (signs(here(), ago=30, steps=(100, 99)), State.TRAINING),
        (signs(here(began=NOW - 1500), ago=900, steps=(2, 1)), State.TRAINING),  # 300 s a line until then
        (signs(here(), ago=900, steps=(100, 99)), State.SILENT),
        (signs(here(began=NOW - 9999)), State.PREPARING),
    ],
)
def test_a_run_whose_process_is_there(found, state):
    assert state_of(found, NOW) == state


def test_a_run_whose_process_has_ended_is_interrupted_at_once(gone):
    assert state_of(signs(gone | {"began": NOW - 10}, ago=1, steps=(3, 2)), NOW) == State.INTERRUPTED
    assert state_of(signs(gone | {"began": NOW - 10}), NOW) == State.INTERRUPTED
    assert state_of(signs(gone, summary={"seconds": 1.0}), NOW) == State.FINISHED


def test_numbers_of_processes_are_given_again(gone):
    assert is_alive(this_process()) is True
    assert is_alive(gone) is False
    assert is_alive(this_process() | {"born": 1.0}) is False
    assert is_alive(this_process() | {"host": "another"}) is None


@pytest.mark.parametrize("told", [{}, {"pid": "1"}, {"pid": True}, {"pid": -1}, {"pid": 10**30}, {"pid": None}])
def test_what_is_no_process_is_no_error(told):
    assert is_alive(this_process() | {"born": 1.0} | told) in {False, None}
    assert is_alive(told) is None


def test_time_left_is_what_the_steps_so_far_say():
    """100 steps in 900 s, of 400; 100 s have gone since."""
    found = signs(ELSEWHERE, ago=100, steps=(100, 99))
    assert left(found, NOW) == pytest.approx(300 * 9 - 100)
    assert left(found, NOW + 1e6) == 0
    resumed = signs(ELSEWHERE | {"step": 50}, ago=100, steps=(100, 99))
    assert left(resumed, NOW) == pytest.approx(300 * 18 - 100)


@pytest.mark.parametrize("progress", [{}, ELSEWHERE | {"max_steps": "many"}, ELSEWHERE | {"step": 100}])
def test_time_left_is_unknown_where_too_little_is_told(progress):
    assert left(signs(progress, ago=10, steps=(100, 99)), NOW) is None


def test_a_run_that_goes_on_is_no_longer_at_its_end(tmp_path):
    run = Run.create(tmp_path / "run", config={}, command="accord dpo")
    run.update_summary({"seconds": 9.0, "finished": True, "error": "disk full", "win_rate": 0.7})
    run.begin()
    assert run.summary()["finished"]  # loading may fail; then it is what it was
    run.begin(10, 40)
    assert run.summary() == {"win_rate": 0.7}
    assert run.progress() == this_process() | {"began": run.progress()["began"], "step": 10, "max_steps": 40}
