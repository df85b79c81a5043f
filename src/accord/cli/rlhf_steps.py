"""The chapters of `accord rlhf`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from rich.markup import escape

from accord.cli.beginning import ONCE, read_options
from accord.cli.demo_story import Story, clock
from accord.cli.held_out import Asked, held_out_rows, questions
from accord.cli.judging import judging
from accord.cli.measure import evaluate, record
from accord.cli.measure_rewards import evaluate_rewards
from accord.cli.rlhf_settings import words
from accord.cli.rlhf_source import Source
from accord.cli.rlhf_words import accuracy, changed, course, introduction, judged_by
from accord.cli.terminal import show_remarks
from accord.cli.training import train
from accord.feedback import AccordError
from accord.report import write_report
from accord.report.explain import explain
from accord.report.facts import read_facts
from accord.runs import Run
from accord.trainers.checkpoint import last_checkpoint

CHAPTERS = 4
#: What `--json` prints of the policy's summary.
HEADLINES = (
    "win_rate", "win_rate_ci", "judge", "reward_before", "reward_after", "reward_difference_ci", "kl", "kl_ci",
    "words_before", "words_after", "stopped",
)  # fmt: skip


@dataclass
class Loop:
    """One `accord rlhf`.

    told    section -> the user's own words to that training
    judge, judge_url, judge_model   who compares answers; the reward model where nobody is named
    """

    story: Story
    source: Source
    method: str
    name: str
    told: dict[str, list[str]]
    judge: str | None
    judge_url: str | None
    judge_model: str | None
    max_prompts: int
    samples: int
    seed: int
    overwrite: bool

    @cached_property
    def rewards(self) -> Path:
        """The reward model's run."""
        return self.source.runs / f"{self.name}-reward"

    @cached_property
    def policy(self) -> Path:
        """The run of the policy."""
        return self.source.runs / f"{self.name}-{self.method}"

    def play(self) -> dict[str, Any]:
        """All of it. Gives the figures that `--json` prints."""
        self.story.say(introduction(self.method, bool(self.source.taste), self.rewards, self.policy))
        self.train_rewards()
        self.check_rewards()
        self.train_policy()
        self.measure()
        return self.end()

    def train_rewards(self) -> None:
        with self.story.chapter(
            "Reward model",
            "The language model with heads that score an answer, trained so that the preferred one wins.",
        ):
            self._train("reward", self.rewards)

    def check_rewards(self) -> None:
        run = Run.open(self.rewards)
        with self.story.chapter("Is it right?", "Does it rank pairs as the votes do that it was not shown?"):
            asked = Asked(rows=held_out_rows(run, None), seed=self.seed)
            if not asked.scored:
                self.story.say("[yellow]Nobody knows:[/] no pairs are held out. Say --reward.test_fraction 0.2", 5)
                return
            self.story.shell("accord", "evaluate", str(self.rewards))
            with self.story.bars() as track:
                record(run, evaluate_rewards(run, asked, track), settings={"data": "the run's test split"})
            write_report(run.path)
            self.story.say(accuracy(run.summary()), 5)
            show_remarks(self.story.console, explain(read_facts(run.path)))

    def train_policy(self) -> None:
        with self.story.chapter(
            self.method.upper(),
            "The model answers, the reward model scores, and what scored well becomes likelier. A price on KL holds it "
            "near to where it began. A model can learn to please a reward model without getting better: watch its "
            f"answers, some of each rollout are in {self.policy / 'rollouts.jsonl'}.",
        ):
            self._train(self.method, self.policy, reward_model_name_or_path=str(self.rewards))
            self.story.say(course(read_facts(self.policy)), 5)

    def measure(self) -> None:
        run = Run.open(self.policy)
        judged = judging(self.judge, self.judge_url, self.judge_model, str(self.rewards), None)
        prompts = questions(run, None, held_out_rows(run, None))[: self.max_prompts]
        if not prompts:
            raise AccordError(
                f"{self.policy}: no prompts are held out to measure on; say --{self.method}.test_fraction"
            )
        decoding = {"max_new_tokens": run.config()["max_completion_length"], "temperature": 1.0, "seed": self.seed}
        asked = Asked([], prompts, judged.judge, judged.name, judged.scorers, self.samples, decoding, self.seed)
        with self.story.chapter("Measuring", judged_by(judged, len(prompts), self.samples)):
            who = {"judge": self.judge, "judge-url": self.judge_url, "judge-model": self.judge_model}
            settings = {name: value for name, value in who.items() if value}
            settings |= {"reward-model": str(self.rewards), "samples": str(self.samples)}
            settings |= {"max-new-tokens": str(decoding["max_new_tokens"])}
            given = (word for name, value in settings.items() for word in (f"--{name}", value))
            self.story.shell("accord", "evaluate", str(self.policy), *given)
            with self.story.bars() as track:
                measured = evaluate(run, asked, track)
            record(run, measured, settings={**decoding, "data": "the run's test split"})
            write_report(run.path)

    def end(self) -> dict[str, Any]:
        """What changed, and what to do next."""
        figures, story = Run.open(self.policy).summary(), self.story
        story.say("\n[bold]What changed[/], on prompts that training never saw")
        for name, value in changed(figures):
            story.say(f"{escape(name)}: {value}", 2)
        story.say("\n[bold]The report[/] (open it in a browser)")
        story.console.print(f"  {self.policy / 'report.html'}", soft_wrap=True)
        story.say("\n[bold]What to do next[/]")
        story.next_steps(
            {
                f"accord chat {self.policy} --compare": "talk to the model, before and after",
                f"accord compare {self.policy} --reward-model {self.rewards}": "their answers side by side, in a page",
                f"accord sample --model {self.policy} --n 2 --out answers.jsonl": "new answers, for the next votes",
            }
        )
        story.say(f"\n[dim]{clock(story.seconds)} in all.[/]")
        accurate = {f"reward_{key}": Run.open(self.rewards).summary().get(key) for key in ("accuracy", "accuracy_ci")}
        headlines = {name: figures[name] for name in HEADLINES if name in figures}
        return {**accurate, **headlines, "seconds": story.seconds, "runs": [str(self.rewards), str(self.policy)]}

    def _train(self, method: str, folder: Path, **further: str) -> None:
        """One training: anew, on from its last checkpoint, or not at all where it is done already."""
        fixed = {
            "dataset_name": self.source.names,
            "model_name_or_path": self.source.model,
            **further,
            "seed": str(self.seed),
            "output_dir": str(folder),
        }
        argv = words(method, self.told[method], fixed)
        self.story.shell("accord", method, *argv)
        made = import_module(f"accord.cli.{method}").method()
        if not self.overwrite and self._done(folder):
            if other := _differing(Run.open(folder), read_options(method, made.config, argv).given):
                raise AccordError(
                    f"{folder}: was trained with another {other}; --overwrite trains it anew, --name OTHER beside it"
                )
            self.story.say(f"{escape(str(folder))} is there already and finished: not trained again.", 5)
            return
        goes_on = not self.overwrite and folder.is_dir() and last_checkpoint(folder)
        train(made, [*argv, "--resume" if goes_on else "--overwrite_output_dir"])

    def _done(self, folder: Path) -> bool:
        """Whether the run is finished, and no older than the reward model."""
        if not (folder / "run.json").is_file() or not Run.open(folder).summary().get("finished"):
            return False
        return Run.open(folder).info["started"] >= Run.open(self.rewards).info["started"]


def _differing(run: Run, given: dict[str, Any]) -> str:
    """A setting that the run was given otherwise, "" where there is none."""
    now = {key: value for key, value in json.loads(json.dumps(given, default=str)).items() if key not in ONCE}
    then = {key: value for key, value in run.info["given"].items() if key not in ONCE}
    return next((key for key in sorted(now.keys() | then.keys()) if now.get(key) != then.get(key)), "")
