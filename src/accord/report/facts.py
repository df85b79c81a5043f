"""What a run folder knows, in the form that charts, explanations and the page ask for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from accord.runs import Run
from accord.runs.files import number

METHODS = {
    "sft": "with supervised fine-tuning",
    "dpo": "with Direct Preference Optimization (DPO)",
    "kto": "with Kahneman-Tversky Optimization (KTO)",
    "reward": "as a reward model",
    "ppo": "with Proximal Policy Optimization (PPO)",
    "rloo": "with REINFORCE leave-one-out (RLOO)",
    "grpo": "with Group Relative Policy Optimization (GRPO)",
}


ONLINE = ("ppo", "rloo", "grpo")


class Point(NamedTuple):
    step: float
    value: float


class Estimate(NamedTuple):
    """A figure; the bounds of its 95 % interval are None where nobody knows them."""

    value: float
    low: float | None
    high: float | None

    def above(self, x: float) -> bool:
        return self.low is not None and self.low > x

    def below(self, x: float) -> bool:
        return self.high is not None and self.high < x

    @property
    def bounded(self) -> bool:
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class Facts:
    """One run as the report sees it. All that is missing is None or empty: a run may have ended anywhere."""

    path: Path
    name: str
    info: dict[str, Any]
    data: dict[str, Any]  # what is known of the snapshot: form, counts, annotators by kind
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]
    samples: list[dict[str, Any]]
    rollouts: list[dict[str, Any]]  # completions that were kept: step, prompt, completion, reward, finished
    quality: dict[str, Any] = field(default_factory=dict)  # of the votes, as `quality.survey` has it in brief
    _series: dict[str, list[Point]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def method(self) -> str:
        return str(self.info.get("method") or "")

    @property
    def method_name(self) -> str:
        """To stand behind "trained"."""
        return METHODS.get(self.method, f"with {self.method}" if self.method else "")

    @property
    def is_reward_model(self) -> bool:
        return self.method == "reward"

    @property
    def is_online(self) -> bool:
        """Whether it learnt from its own samples."""
        return self.method in ONLINE

    @property
    def beta(self) -> float:
        return number(self.config.get("beta")) or 0.1

    @property
    def annotators(self) -> dict[str, int]:
        """How many of each kind voted: {"human": 3, "simulated": 5}."""
        kinds = _mapping(self.data.get("annotators"))
        return {str(kind): int(count) for kind, count in kinds.items() if number(count)}

    def rows(self, split: str) -> float | None:
        """How many rows the snapshot has in `train` or `test`."""
        return number(_mapping(self.data.get("counts")).get(split))

    @property
    def finished(self) -> bool:
        """Whether training reached its end and said so."""
        return self.figure("seconds") is not None and not self.summary.get("error")

    @property
    def evaluated(self) -> bool:
        measured = self.figure("win_rate") is not None or self.figure("accuracy") is not None
        return measured or bool(self.summary.get("evaluation"))

    @property
    def last_step(self) -> int:
        return int(max((number(record.get("step")) or 0 for record in self.metrics), default=0))

    def figure(self, name: str) -> float | None:
        """A number of summary.json."""
        return number(self.summary.get(name))

    def estimate(self, name: str) -> Estimate | None:
        """A number of summary.json with the interval beside it."""
        return estimate(self.summary, name)

    def series(self, name: str) -> list[Point]:
        """A metric over the steps, without what was not finite."""
        if name not in self._series:
            self._series[name] = points(self.metrics, name)
        return self._series[name]

    @property
    def broken(self) -> list[int]:
        """The steps whose loss was not a finite number."""
        return [record["step"] for record in self.metrics if "loss" in record and record["loss"] is None]

    @property
    def compared(self) -> list[dict[str, Any]]:
        """The samples that hold an answer before and one after."""
        return [sample for sample in self.samples if "before" in sample and "after" in sample]


def read_facts(path: Path | str) -> Facts:
    """All that the run folder `path` holds. Raises ValueError where it is none, or damaged."""
    run = Run.open(path)
    frozen = run.manifest()
    data = {**frozen, **_mapping(frozen.get("meta")), **_mapping(run.info.get("data"))}
    records = run.metrics(), run.samples(), run.rollouts()
    return Facts(run.path, run.name, run.info, data, run.config(), run.summary(), *records, run.quality())


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def estimate(figures: dict[str, Any], name: str) -> Estimate | None:
    """A number with the interval beside it, NAME_ci."""
    value = number(figures.get(name))
    if value is None:
        return None
    bounds = figures.get(f"{name}_ci")
    low, high = map(number, bounds) if isinstance(bounds, list) and len(bounds) == 2 else (None, None)
    return Estimate(value, low, high)


def points(records: Iterable[dict[str, Any]], name: str) -> list[Point]:
    """`name` over `step`, where both are numbers."""
    pairs = ((number(record.get("step")), number(record[name])) for record in records if name in record)
    return [Point(step, value) for step, value in pairs if step is not None and value is not None]
