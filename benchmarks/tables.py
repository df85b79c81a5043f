"""docs/benchmarks.md's tables, written from what was measured, so that the page cannot say anything else."""

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
RESULTS, OTHERS = HERE / "results.json", HERE / "others.json"


def peers(entries: list[dict[str, Any]]) -> str:
    """Accord beside its peer, one line a kind of work."""
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
    return f"{entry['method'].upper()} {entry['mode']} {entry['dtype']}{checkpointing}"


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


def page(text: str, results: list[dict[str, Any]], other: list[dict[str, Any]]) -> str:
    """The page with the tables between its markers `<!-- NAME -->` and `<!-- /NAME -->` made anew."""
    for name, table in {"peers": peers(results), "settings": settings(results), "others": others(other)}.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        text, found = re.subn(pattern, lambda m, table=table: f"{m[1]}{table}\n{m[2]}", text, flags=re.DOTALL)
        if found != 1:
            raise SystemExit(f"docs/benchmarks.md: the marker <!-- {name} --> stands {found} times, expected once")
    return text


def loaded(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def write_docs(results: Path = RESULTS) -> None:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), loaded(results), loaded(OTHERS)), encoding="utf-8")
