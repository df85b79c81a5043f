"""A worker that answers as a test says, and runs that are there in name."""

import asyncio
from itertools import chain, zip_longest

from accord.runs import Run
from accord.web.arena.worker import Event

#: Names that no annotator may ever read.
BASE, FIRST, SECOND = "acme/secret-base-7b", "run-sigma", "run-omega"
DONE = Event("done")


class Scripted:
    """Stands in for `ModelWorker`. `script(models, messages)` gives events, and numbers: seconds without any.

    asked  (models, messages, sampling) of each question; `ended` counts those in which nothing more comes
    """

    def __init__(self, script=lambda models, messages: [*both("Left says", "Right says"), DONE]):
        self.script = script
        self.asked = []
        self.ended = 0

    async def answer(self, models, messages, **sampling):
        self.asked.append((list(models), [dict(message) for message in messages], sampling))
        try:
            for event in self.script(models, messages):
                if isinstance(event, Event):
                    yield event
                else:
                    await asyncio.sleep(event)
        finally:
            self.ended += 1

    async def close(self):
        pass


def both(left, right, finished=True):
    """The events of two whole answers, a word of each in turn."""
    words = [[Event("piece", side=side, text=word) for word in pieces(text)] for side, text in enumerate((left, right))]
    said = chain.from_iterable(zip_longest(*words))
    return [*filter(None, said), *(Event("end", side=side, finished=finished) for side in (0, 1))]


def pieces(text):
    """Words with the space before them."""
    first, *more = text.split(" ")
    return [first, *(f" {word}" for word in more)] if text else []


def make_run(runs, name, base=BASE, method="dpo", weights=True, finished=True, **config):
    """A run's folder with everything but weights that could be loaded."""
    run = Run.create(runs / name, config=config, command="accord dpo", method=method, base_model=str(base))
    if weights:
        (runs / name / "adapter_model.safetensors").write_bytes(b"")
    if finished:
        run.update_summary({"seconds": 3.0})
    return run
