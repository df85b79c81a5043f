"""What a person sees while a model trains, and what the run folder keeps of it."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from accord.runs import Run

#: metric -> how it is called and written on the line; those that a method lacks are left out
SHOWN = {
    "loss": ("loss", "{:.4f}"),
    "rewards/margins": ("margin", "{:+.3f}"),
    "rewards/accuracies": ("acc", "{:.2f}"),
    "margin": ("margin", "{:+.3f}"),
    "accuracy": ("acc", "{:.2f}"),
    "reward": ("reward", "{:+.3f}"),
    "objective/scores": ("reward", "{:+.3f}"),
    "kl": ("kl", "{:.2f}"),
    "kl_per_completion": ("kl", "{:.2f}"),  # where both are logged, `kl` is that of a token
    "objective/kl": ("kl", "{:.2f}"),
    "completions/mean_length": ("length", "{:.0f}"),
}


class Keeper(TrainerCallback):
    """Writes every log step to the run folder, and how far training is to go. A resumed run first forgets what it will
    measure again."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        self.run.rewind(state.global_step)
        self.run.begin(state.global_step, state.max_steps)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs: Any):
        if logs and "train_runtime" not in logs:  # those are the summary's
            self.run.log(state.global_step, logs)


class Pace:
    """Steps a second since training began here (a resumed run began later), and tokens a second since the last log."""

    def __init__(self, step: int) -> None:
        self.first, self.start = step, time.perf_counter()
        self.tokens: tuple[float, float] | None = None

    def left(self, state: TrainerState) -> float | None:
        done = state.global_step - self.first
        if not done:
            return None
        return (time.perf_counter() - self.start) / done * (state.max_steps - state.global_step)

    def tokens_a_second(self, total: float) -> float | None:
        now, before = time.perf_counter(), self.tokens
        self.tokens = (total, now)
        return (total - before[0]) / (now - before[1]) if before and now > before[1] else None


class _Left(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(clock(task.fields["left"]), style="cyan")


class ShowProgress(TrainerCallback):
    """A bar on a terminal, one plain line a log step elsewhere; always on stderr, and only on the main process."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self.title, self.console = title, console or Console(stderr=True, highlight=False)
        self.bar: Progress | None = None
        self.task = TaskID(0)
        self.began = time.perf_counter()
        self.pace = Pace(0)

    def before(self, what: str, done: int, total: int) -> None:
        """What comes before the first step: tokenising, the reference's pass. Without a terminal, a line if slow."""
        if self.console.quiet:
            return
        if not self.console.is_terminal:
            if done == total and time.perf_counter() - self.began > 10:
                self.console.print(f"{what}: done")
            return
        if self.bar is None or self.bar.tasks[0].description != what:
            self.stop()
            self.bar = Progress(
                TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn(),
                console=self.console, transient=True,
            )  # fmt: skip
            self.bar.start()
            self.task = self.bar.add_task(what, total=total)
        self.bar.update(self.task, completed=done)
        if done == total:
            self.stop()

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        self.stop()
        if not state.is_world_process_zero:
            return
        self.pace = Pace(state.global_step)
        if state.global_step:
            self.console.print(f"resumed after step {state.global_step:,} of {state.max_steps:,}")
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}", style="bold"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                _Left(),
            )
            self.bar = Progress(*columns, console=self.console, expand=True)
            self.bar.start()
            self.task = self.bar.add_task(
                self.title, total=state.max_steps, completed=state.global_step, figures="", left=None
            )

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        if self.bar:
            self.bar.update(self.task, completed=state.global_step, left=self.pace.left(state))

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs=None, **kwargs: Any):
        if not state.is_world_process_zero or not logs or "train_runtime" in logs:
            return
        held_out = of_held_out(logs)
        prefix = "eval_" if held_out else ""
        figures = {name: form.format(logs[prefix + key]) for key, (name, form) in SHOWN.items() if prefix + key in logs}
        if "num_tokens" in logs and (speed := self.pace.tokens_a_second(logs["num_tokens"])):
            figures["tok/s"] = f"{speed:,.0f}"
        text = "  ".join(f"{name} {value}" for name, value in figures.items())
        if self.bar and not held_out:
            self.bar.update(self.task, figures=text)
            return
        step = f"{state.global_step:>{len(str(state.max_steps))}}/{state.max_steps}"
        rest = "held out" if held_out else f"{clock(self.pace.left(state))} left"
        self.console.print(f"step {step}  {text}  {rest}", soft_wrap=True)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any):
        self.stop()

    def stop(self) -> None:
        """Give the terminal back, also where training ended with an error."""
        if self.bar:
            self.bar.stop()
            self.bar = None


def of_held_out(logs: Mapping[str, Any]) -> bool:
    """Whether a log record is of an evaluation. Methods that sample have a reward there, and no loss."""
    return any(name.startswith("eval_") for name in logs)


def clock(seconds: float | None) -> str:
    """`4:05`, `1:02:03`; `-:--` where it is not known."""
    if seconds is None:
        return "-:--"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
