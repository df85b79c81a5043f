"""The web server's side of the Arena's models: it asks a process, which does here as it is told."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import aclosing, suppress

import psutil
import pytest

from accord.web.arena.worker import Event, ModelWorker
from conftest import run_apart

STAND_IN = """
import json, os, queue, sys, threading, time
asked, cancelled = queue.Queue(), set()
def read():
    for line in sys.stdin:
        request = json.loads(line)
        cancelled.add(request["id"]) if request["ask"] == "cancel" else asked.put(request)
    os._exit(0)
threading.Thread(target=read, daemon=True).start()
while True:
    request = asked.get()
    id, words = request["id"], request["messages"][-1]["content"]
    def say(event, **more):
        print(json.dumps({"id": id, "event": event, **more}), flush=True)
    if words == "die":
        print("a line", "out of memory", "", sep="\\n", file=sys.stderr, flush=True)
        os._exit(3)
    if words == "load long":
        say("loading")
        time.sleep(1)
    if words == "stop talking":
        say("piece", side=0, text="I")
        say("piece", side=1, text="I")
        time.sleep(60)
    if words == "say nothing":
        time.sleep(60)
    while words == "for ever" and id not in cancelled:
        say("piece", side=0, text=str(os.getpid()))
        time.sleep(0.01)
    for side in (0, 1):
        say("piece", side=side, text=f"{words} {os.getpid()} " + "\\u00e4")
        say("end", side=side, finished=side == 1)
    say("done")
"""
QUICK = [sys.executable, "-S", "-c", STAND_IN]


def said(worker, words="hello"):
    return worker.answer(["a", "b"], [{"role": "user", "content": words}], seed=1)


async def heard(worker, words="hello"):
    return [event async for event in said(worker, words)]


def process_of(events):
    """The id of the stand-in that answered."""
    return int(events[0].text.split()[-2])


async def gone(pid, seconds=60):
    """Whether a process ends within some time. One that has ended and is not waited for yet has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.05)
                continue
        return True
    return False


def in_a_loop(story, **settings):
    """Runs story(worker) with a worker that is closed afterwards."""

    async def run():
        worker = ModelWorker(settings.pop("command", QUICK), **settings)
        try:
            async with asyncio.timeout(300):
                await story(worker)
        finally:
            await worker.close()

    run_apart(run())


def test_an_answer_is_a_series_of_events():
    async def story(worker):
        events = await heard(worker, "hi")
        pid = process_of(events)
        assert events == [
            Event("piece", side=0, text=f"hi {pid} ä"),
            Event("end", side=0, finished=False),
            Event("piece", side=1, text=f"hi {pid} ä"),
            Event("end", side=1, finished=True),
            Event("done"),
        ]
        assert process_of(await heard(worker)) == pid
        await worker.close()
        assert not psutil.pid_exists(pid)
        assert [event.text for event in await heard(worker)] == ["the server is closing"]

    in_a_loop(story)


def test_askers_are_answered_in_order_and_told_how_many_come_first():
    order = []

    async def asker(worker, name, words):
        async for event in said(worker, words):
            order.append((name, event.kind, event.before))

    async def story(worker):
        tasks = []
        for name, words in (("first", "load long"), ("second", "hi"), ("third", "hi")):
            tasks.append(asyncio.create_task(asker(worker, name, words)))
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    in_a_loop(story)
    assert order[:2] == [("second", "waiting", 1), ("third", "waiting", 2)]
    assert order[2] == ("first", "loading", 0)
    assert order.index(("first", "done", 0)) < order.index(("second", "piece", 0))
    assert order.index(("third", "waiting", 1)) < order.index(("second", "done", 0))
    assert order.index(("second", "done", 0)) < order.index(("third", "piece", 0))
    assert [each for each in order if each[1] == "waiting"] == [*order[:2], ("third", "waiting", 1)]


@pytest.mark.parametrize("way", ["close", "cancel"])
def test_who_stops_listening_cancels(way):
    async def story(worker):
        pids = []

        async def listen():
            async with aclosing(said(worker, "for ever")) as events:
                async for event in events:
                    pids.append(int(event.text))
                    if way == "close" and len(pids) == 3:
                        return

        task = asyncio.create_task(listen())
        while len(pids) < 3:
            await asyncio.sleep(0.01)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert process_of(await heard(worker)) == pids[0]

    in_a_loop(story)


def test_who_leaves_the_line_is_not_waited_for():
    async def story(worker):
        first = asyncio.create_task(heard(worker, "load long"))
        await asyncio.sleep(0)
        second, third = (asyncio.create_task(heard(worker)) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        events = await third
        assert [event.before for event in events if event.kind == "waiting"] == [2, 1]
        assert events[-1] == Event("done")
        assert first.done()

    in_a_loop(story)


def test_the_question_that_it_dies_in_is_told_and_the_next_one_answered():
    async def story(worker):
        pid = process_of(await heard(worker))
        assert await heard(worker, "die") == [
            Event("error", text="the process that answers has ended (exit status 3): out of memory")
        ]
        events = await heard(worker)
        assert events[-1] == Event("done")
        assert process_of(events) != pid
        psutil.Process(process_of(events)).kill()
        assert await gone(process_of(events))
        await asyncio.sleep(0.2)
        assert (await heard(worker))[-1] == Event("done"), "one that died between two questions is missed by nobody"

    in_a_loop(story)


@pytest.mark.parametrize(
    ("words", "limit"), [("say nothing", "loading_seconds"), ("stop talking", "answering_seconds")]
)
def test_one_that_is_silent_for_too_long_is_killed(words, limit):
    async def story(worker):
        pid = process_of(await heard(worker))
        usual = getattr(worker, limit)
        setattr(worker, limit, 0.3)
        events = await heard(worker, words)
        assert events[-1] == Event("error", text="the process that answers was silent for 0.3 seconds: ended it")
        assert not psutil.pid_exists(pid)
        setattr(worker, limit, usual)
        assert process_of(await heard(worker)) != pid

    in_a_loop(story)


def test_it_rests_when_nobody_asks():
    async def story(worker):
        pid = process_of(await heard(worker))
        assert (await heard(worker, "load long"))[-1] == Event("done"), "who is being answered keeps it awake"
        assert process_of(await heard(worker)) == pid
        assert await gone(pid)
        assert process_of(await heard(worker)) != pid

    in_a_loop(story, idle_seconds=0.7)


def test_closing_tells_who_is_being_answered():
    async def story(worker):
        tasks = [asyncio.create_task(heard(worker, words)) for words in ("for ever", "hi")]
        await asyncio.sleep(0.5)
        await worker.close()
        for task in tasks:
            assert (await task)[-1] == Event("error", text="the server is closing")

    in_a_loop(story)


def test_what_cannot_be_started_is_said():
    async def story(worker):
        (event,) = await heard(worker)
        assert event.kind == "error"
        assert "cannot be started: " in event.text
        assert "/no/such/program" in event.text

    in_a_loop(story, command=["/no/such/program"])


SERVER = """
import asyncio, sys
from accord.web.arena.worker import ModelWorker
async def main():
    worker = ModelWorker([sys.executable, "-m", "accord.cli.arena_worker"])
    async for event in worker.answer(["base:/no/such/run"], [{"role": "user", "content": "Hi"}], seed=0):
        print(event.kind, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_a_server_that_is_killed_leaves_no_process_behind():
    server = subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True)
    while server.stdout.readline().strip() != "error":
        assert server.poll() is None
    (child,) = psutil.Process(server.pid).children()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    assert run_apart(gone(child.pid))


def test_the_server_does_not_import_torch():
    code = "import accord.web.arena.worker, sys; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
