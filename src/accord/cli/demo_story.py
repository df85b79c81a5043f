"""How the demo tells what it is doing: chapters and their time, progress bars, commands that do the same by hand."""

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

WIDEST = 100
#: (title, total) → what to call with the number that is done
Track = Callable[[str, int], Callable[[int], None]]


class Story:
    """A console, a clock, and the number of the chapter that it is at."""

    def __init__(self, console: Console, chapters: int) -> None:
        console.width = min(console.width, WIDEST)
        self.console, self.chapters, self.at = console, chapters, 0
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return time.perf_counter() - self.began

    def say(self, what: RenderableType, indent: int = 0) -> None:
        self.console.print(Padding(what, (0, 0, 0, indent)))

    @contextmanager
    def chapter(self, title: str, about: str) -> Iterator[None]:
        """A heading, what it is about, whatever happens inside, and how long that took."""
        self.at += 1
        began = time.perf_counter()
        self.say(f"\n[bold cyan]{self.at}/{self.chapters}  {title}[/]")
        self.say(f"[dim]{about}[/]", 5)
        yield
        self.say(f"[dim]{clock(time.perf_counter() - began)}[/]", 5)

    def shell(self, *words: str) -> None:
        """The command that does by hand what comes next; on one line, to be copied."""
        self.console.print(f"     [green]$ {escape(shlex.join(words))}[/]", soft_wrap=True)

    @contextmanager
    def bars(self) -> Iterator[Track]:
        columns = (TextColumn("     {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as progress:

            def track(title: str, total: int) -> Callable[[int], None]:
                task = progress.add_task(title, total=total)
                return lambda done: progress.update(task, completed=done)

            yield track

    def before_and_after(self, prompt: str, before: str, after: str) -> None:
        """Two answers, one under the other."""
        self.say(f"[bold]{escape(prompt)}[/]")
        for title, text, style in (("before", before, "dim"), ("after", after, "green")):
            self.say(Panel(Text(text.strip()), title=title, title_align="left", border_style=style))

    def next_steps(self, steps: Mapping[str, str]) -> None:
        """Commands, and what each is for."""
        wide = max(map(len, steps))
        for command, what in steps.items():
            self.console.print(f"  [green]$ {escape(command):{wide}}[/]  [dim]# {what}[/]", soft_wrap=True)


def clock(seconds: float) -> str:
    """`48 s`, `4 min 5 s`"""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def typical(samples: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The pair of answers to show: of those that the judge found better, the one with the median change in length."""
    won = [sample for sample in samples if sample.get("verdict") == 1] or list(samples)
    by_change = sorted(won, key=lambda sample: len(sample["after"].split()) - len(sample["before"].split()))
    return by_change[len(by_change) // 2]
