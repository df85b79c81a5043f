"""docs/benchmarks.md's tables, written from what was measured, so that the page cannot say anything else."""

import json
import math
import re
from pathlib import Path
from statistics import mean, stdev
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
RESULTS, OTHERS, NOISY = HERE / "results.json", HERE / "others.json", HERE / "noisy_labels.json"
NAMES = {"reward": "reward model"}
#: --labels that noisy_labels.py compares: those with which the others are compared, and the others.
HARD, SOFT = "majority", ("vote_share", "dawid_skene")


def online(entries: list[dict[str, Any]]) -> str:
    """The same of methods that sample, with rollouts and updates told apart."""
    sampling = [e for e in entries if "rollout_ratio" in e]
    if not sampling:
        return "Nothing measured yet: `make bench-online`."
    head = [
        "| work | Accord | peer | faster | rollouts | updates | Accord's memory | the peer's | of it |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines = [
        f"| {work(e)} | {e['throughput']:.2f} {e['unit']} | {e['peer_throughput']:.2f} {e['unit']} "
        f"| **{e['ratio']:.1f} ×** | {e['rollout_ratio']:.1f} × | {e['update_ratio']:.1f} × "
        f"| {e['peak_memory_gb']:.1f} GB | {e['peer_peak_memory_gb']:.1f} GB | {e['memory_ratio']:.2f} |"
        for e in sampling
    ]
    versions = ", ".join(sorted({f"{e['method'].upper()}: TRL {e['peer_version']}" for e in sampling}))
    return "\n".join(
        [*head, *lines, "", f"{versions}. Measured on {'; '.join(sorted({told(e['machine']) for e in sampling}))}."]
    )


def peers(entries: list[dict[str, Any]]) -> str:
    """Accord beside its peer, one line a kind of work."""
    entries = [e for e in entries if "rollout_ratio" not in e]
    if not entries:
        return "Nothing measured yet: `make bench`."
    head = [
        "| work | Accord | TRL | faster | Accord's memory | TRL's memory | of it | fp32 losses differ by |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines = [
        f"| {work(e)} | {e['throughput']:.2f} {e['unit']} "
        f"| {e['peer_throughput']:.2f} {e['unit']} | **{e['ratio']:.1f} ×** | {e['peak_memory_gb']:.1f} GB "
        f"| {e['peer_peak_memory_gb']:.1f} GB | {e['memory_ratio']:.2f} | {e['max_loss_difference']:.0e} |"
        for e in entries
    ]
    machines = sorted({told(e["machine"]) for e in entries})
    version = ", ".join(sorted({e["peer_version"] for e in entries}))
    return "\n".join([*head, *lines, "", f"TRL {version}. Measured on {'; '.join(machines)}."])


def work(entry: dict[str, Any]) -> str:
    """What was done, in a few words."""
    checkpointing = ", gradient checkpointing" if entry["gradient_checkpointing"] else ""
    method = NAMES.get(entry["method"], entry["method"].upper())
    return f"{method} {entry['mode']} {entry['dtype']}{checkpointing}"


def told(machine: dict[str, Any]) -> str:
    """One line about where it was measured."""
    return (
        f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}, "
        f"transformers {machine['transformers']}"
    )


def settings(entries: list[dict[str, Any]]) -> str:
    """How TRL fared in each setting that was tried; the fastest is what the other table compares with."""
    head = ["| work | TRL's setting | throughput | memory |", "| --- | --- | ---: | ---: |"]
    lines = [
        f"| {work(e)} | {t['setting']} | {t['throughput']:.2f} {e['unit']} | {t['peak_memory_gb']:.1f} GB |"
        for e in entries
        for t in e["peer_tried"]
    ]
    return "\n".join([*head, *lines]) if lines else "No settings were tried."


def others(entries: list[dict[str, Any]]) -> str:
    """What has no peer: importing, the doctor, the demo."""
    if not entries:
        return "Nothing measured yet."
    head = ["| what | figure | command |", "| --- | ---: | --- |"]
    return "\n".join([*head, *(f"| {e['what']} | {e['figure']} | `{e['command']}` |" for e in entries)])


def noisy(found: dict[str, Any]) -> str:
    """Soft labels beside hard ones, on votes of which some were flipped."""
    by_seed: dict[int, dict[str, Any]] = {}
    for run in found.get("runs", ()):
        by_seed.setdefault(run["seed"], {})[run["labels"]] = run
    whole = [runs for runs in by_seed.values() if runs.keys() == {HARD, *SOFT}]
    if not whole:
        return "Nothing measured yet."
    lines = [
        "| labels | log-loss | accuracy | calibration error | log-loss less that of hard labels | verdict |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for labels in (HARD, *SOFT):
        means = [mean(runs[labels][name] for runs in whole) for name in ("log_loss", "accuracy", "calibration_error")]
        told = f"| `{labels}` | " + " | ".join(f"{value:.3f}" for value in means)
        if labels == HARD:
            lines.append(f"{told} | | hard |")
            continue
        differences = [runs[labels]["log_loss"] - runs[HARD]["log_loss"] for runs in whole]
        error = stdev(differences) / math.sqrt(len(whole)) if len(whole) > 1 else math.inf
        lines.append(f"{told} | {mean(differences):+.4f} ± {error:.4f} | {verdict(mean(differences), error)} |")
    return "\n".join(
        [
            *lines,
            "",
            f"{found['votes']} votes, {found['flip']:.0%} of them flipped, {len(whole)} seeds; ± is the standard error "
            f"of the mean difference. Held out: {found['held_out_votes']} votes on {found['held_out_pairs']} pairs of "
            f"answers to {found['held_out_prompts']} prompts. A model that has learnt nothing has the log-loss "
            "log 2 = 0.693.",
        ]
    )


def verdict(difference: float, error: float) -> str:
    """Of a log-loss: less is better."""
    if abs(difference) <= error:
        return "within the standard error"
    return "better" if difference < 0 else "worse"


def page(text: str, results: list[dict[str, Any]], other: list[dict[str, Any]], flipped: dict[str, Any]) -> str:
    """The page with the tables between its markers `<!-- NAME -->` and `<!-- /NAME -->` made anew."""
    tables = {
        "peers": peers(results),
        "online": online(results),
        "settings": settings(results),
        "others": others(other),
        "noisy": noisy(flipped),
    }
    for name, table in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, found = re.subn(pattern, lambda m, table=table: f"{m[1]}{table}\n{m[2]}", text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"docs/benchmarks.md: the marker <!-- {name} --> stands {found} times, expected once")
    return text


def loaded(path: Path) -> Any:
    """What a file of results holds; an empty list where there is none yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def keep(entries: list[dict[str, Any]]) -> None:
    """Puts figures into others.json, in the place of what the same commands found before."""
    kept = [e for e in loaded(OTHERS) if e["command"] not in {new["command"] for new in entries}]
    made = sorted([*kept, *entries], key=lambda e: e["what"])
    OTHERS.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_docs(results: Path = RESULTS) -> None:
    made = page(PAGE.read_text(encoding="utf-8"), loaded(results), loaded(OTHERS), loaded(NOISY) or {})
    PAGE.write_text(made, encoding="utf-8")
