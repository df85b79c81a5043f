"""From a run folder to report.html: one file, no script, nothing fetched."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from accord.report import quality
from accord.report.charts import interval_bar
from accord.report.curves import figures
from accord.report.document import PAGES, cut, turns, write_page
from accord.report.explain import explain
from accord.report.facts import Facts, number, read_facts
from accord.report.held_out import pictures, tables
from accord.report.online import figures as online
from accord.report.online.readings import sources
from accord.report.online.remarks import THRESHOLDS
from accord.report.online.rollouts import galleries
from accord.report.parts import Card, bounds, bracketed
from accord.report.words import count, duration, moment, percent, short

SAMPLES_OPEN, SAMPLES_MOST = 6, 40
#: A snapshot's form -> what one of its rows is.
NOUNS = {"preference": "preference pair", "unpaired": "rated answer", "prompt": "prompt"}


class Sample(NamedTuple):
    """`earlier` are the turns, (role, text), that led to the prompt."""

    earlier: list[tuple[str, str]]
    prompt: str
    before: str
    after: str
    words_before: int
    words_after: int
    verdict: float | None


def write_report(run_path: Path | str) -> Path:
    """Write `report.html` into a run folder, and say where it is.

    Works for a run that ended anywhere. Raises ValueError where the folder is no run, or a record in it is damaged.
    """
    facts = read_facts(run_path)
    return write_page(facts.path / "report.html", render(facts))


def render(facts: Facts) -> str:
    """The page as text."""
    return PAGES.get_template("page.html").render(shown=shown(facts))


def shown(facts: Facts) -> dict[str, Any]:
    """What the sections of the page are filled in with."""
    return {"facts": facts, **CONSTANT, **{name: make(facts) for name, make in PARTS.items()}}


def lead(facts: Facts) -> str:
    """What was trained, how, on what and by whose votes: one sentence."""
    model = Path(str(facts.info.get("base_model") or "a language model")).name
    how = f" {facts.method_name}" if facts.method_name else ""
    return f"{model}, trained{how}{_on(facts)}{_by(facts)}.{_tosses(facts)}"


def _tosses(facts: Facts) -> str:
    tosses, train = number(facts.data.get("coin_tosses")), facts.rows("train")
    if not tosses or not train:
        return ""
    are = "is" if tosses == 1 else "are"
    return f" {count(tosses, 'label')} ({100 * tosses / train:.0f} %) {are} close to a coin toss."


def _on(facts: Facts) -> str:
    train = facts.rows("train")
    train = facts.figure("n_pairs") if train is None else train
    if train is None:
        return ""
    form = str(facts.data.get("form") or "preference")
    return f" on {count(train, NOUNS.get(form, 'example'))}"


def _by(facts: Facts) -> str:
    if facts.is_online:
        names = " and ".join(f"“{name}”" for name in sources(facts))
        return f", rewarded by {names}" if names else ""
    kinds = {"human": "person", "simulated": "simulated annotator", "dataset": "data set"}
    who = [
        f"{n} {'people' if kind == 'human' and n != 1 else kinds.get(kind, kind) + ('s' if n != 1 else '')}"
        for kind, n in facts.annotators.items()
    ]
    votes = facts.figure("n_votes")
    said = f"{count(votes, 'vote')}" if votes is not None else "the votes"
    return f", from {said} of {' and '.join(who)}" if who else (f", from {said}" if votes is not None else "")


def facts_line(facts: Facts) -> list[str]:
    """When, how long, on what."""
    line = []
    if started := moment(facts.info.get("started")):
        line.append(started)
    if (seconds := facts.figure("seconds")) is not None:
        line.append(duration(seconds))
    if facts.last_step:
        line.append(count(facts.last_step, "step"))
    if device := facts.info.get("device"):
        line.append(str(device))
    if facts.info.get("seed") is not None:
        line.append(f"seed {facts.info['seed']}")
    return line


def cards(facts: Facts) -> list[Card]:
    """The figures that matter, those that there are: held-out ones first, else where training stands."""
    found = [
        _share(
            facts, "win_rate", "Win rate", f"over the base, judged by “{facts.summary.get('judge') or 'nobody named'}”"
        )
    ]
    found.append(_share(facts, "accuracy", "Held-out accuracy", "pairs ranked as the votes do"))
    found.append(_share(facts, "length_longer_wins", "“The longer one wins”", "how often that rule alone is right"))
    if loss := facts.estimate("log_loss"):
        found.append(Card("Held-out log-loss", short(loss.value), bounds(loss), "knowing nothing gives 0.693"))
    if (kl := facts.estimate("kl")) and kl.bounded:
        found.append(Card("KL from the base", short(kl.value), bounds(kl), "nats an answer"))
    before, after = facts.figure("words_before"), facts.figure("words_after")
    if before is not None and after is not None:
        found.append(Card("Words an answer", f"{before:.0f} → {after:.0f}", "", "before and after training"))
    if facts.is_online and not facts.evaluated:
        found += online.cards(facts)
    elif not facts.evaluated:
        for name, label, show in (
            ("loss", "Training loss", short),
            ("rewards/accuracies", "Training accuracy", percent),
            ("rewards/margins", "Training margin", short),
            ("accuracy", "Training accuracy", percent),
            ("margin", "Training margin", short),
        ):
            if series := facts.series(name):
                found.append(Card(label, show(series[-1].value), "", f"at step {series[-1].step:.0f}; not held out"))
    return [card for card in found if card]


def _share(facts: Facts, name: str, label: str, note: str) -> Card | None:
    estimate = facts.estimate(name)
    if not estimate:
        return None
    told = f"{label}: {percent(estimate.value)}{bracketed(estimate, percent)}"
    return Card(label, percent(estimate.value), bounds(estimate, percent), note, interval_bar(estimate, told))


def samples(facts: Facts) -> list[Sample]:
    """The first answers before and after."""
    return [_sample(record) for record in facts.compared[:SAMPLES_MOST]]


def _sample(record: dict[str, Any]) -> Sample:
    before, after = (turns(record[side])[-1][1] for side in ("before", "after"))
    *earlier, (_, prompt) = turns(record.get("prompt", ""))
    return Sample(
        [(role, cut(text)) for role, text in earlier],
        cut(prompt),
        cut(before),
        cut(after),
        len(before.split()),
        len(after.split()),
        number(record.get("verdict")),
    )


def options(facts: Facts) -> list[tuple[str, str]]:
    """Every setting as it was resolved."""
    return sorted((key, setting(value)) for key, value in facts.config.items())


def setting(value: Any) -> str:
    """A setting's value as text."""
    return "–" if value is None else cut(str(value))


def origins(facts: Facts) -> list[tuple[str, str]]:
    """What one needs to get the same numbers again."""
    versions = facts.info.get("versions")
    versions = versions if isinstance(versions, dict) else {}
    told = [
        ("Base model", facts.info.get("base_model")),
        ("Base model's hash", facts.info.get("base_model_hash")),
        ("Data's hash", facts.info.get("snapshot_hash")),
        ("Seed", facts.info.get("seed")),
        ("Device", facts.info.get("device")),
        ("Trained by", facts.info.get("backend")),
        ("Versions", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]
    return [(name, str(value)) for name, value in told if value not in (None, "")]


def votes(facts: Facts) -> dict[str, Any] | None:
    """What was known of the votes. Raises ValueError where that does not look as Accord writes it."""
    if not facts.quality:
        return None
    try:
        return quality.shown(facts.quality)
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{facts.path / 'quality.json'}: not as Accord writes it ({error}); delete it") from error


#: The parts of the page -> what makes them from the facts.
PARTS: dict[str, Callable[[Facts], Any]] = {
    "lead": lead,
    "facts_line": facts_line,
    "cards": cards,
    "remarks": explain,
    "galleries": galleries,
    "training_cards": lambda facts: online.cards(facts) if facts.is_online and facts.evaluated else [],
    "figures": lambda facts: online.figures(facts) if facts.is_online else figures(facts),
    "more_figures": lambda facts: online.more_figures(facts) if facts.is_online else [],
    "tables": tables,
    "pictures": pictures,
    "samples": samples,
    "samples_all": lambda facts: len(facts.compared),
    "judge": lambda facts: facts.summary.get("judge"),
    "votes": votes,
    "options": options,
    "origins": origins,
}
CONSTANT = {"thresholds": THRESHOLDS, "samples_open": SAMPLES_OPEN}
