"""Documentation that fails when it lies: commands exist and parse, walk-throughs run, examples are read, links lead."""

import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest
import typer

from accord.cli.main import COMMANDS, TRAINING, app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(ROOT.glob("docs/**/*.md"))


class Block(NamedTuple):
    """A code block: what stands after ``` (empty for an indented one), and its lines."""

    info: str
    lines: list[str]


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    fenced, after_blank = False, True
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
            if fenced:
                found.append(Block(line[3:].strip(), []))
        elif fenced:
            found[-1].lines.append(line)
        elif line.startswith("    ") and (after_blank or (found and found[-1].info == "" and found[-1].lines)):
            if after_blank:
                found.append(Block("", []))
            found[-1].lines.append(line[4:])
        after_blank = not line.strip()
    return found


def commands(page: Path) -> list[str]:
    """Every line of the page's code blocks that is a command for Accord, make or accelerate."""
    lines = [line for block in blocks(page) for line in "\n".join(block.lines).replace("\\\n", " ").splitlines()]
    inline = re.findall(r"`((?:accord|make) [^`]+)`", page.read_text(encoding="utf-8"))
    starts = ("accord ", "make ", ".venv/bin/accord ", "accelerate launch ")
    return [line.split(" #")[0].strip() for line in [*lines, *inline] if line.startswith(starts) and "…" not in line]


WRITTEN = sorted({(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page)})


def test_pages_show_commands():
    pages = {page for page, _ in WRITTEN}
    assert {"README.md", "docs/getting-started.md", "docs/training.md", "docs/formats.md"} <= pages


@pytest.mark.parametrize(("page", "line"), WRITTEN)
def test_command_parses(page, line, monkeypatch):
    monkeypatch.chdir(ROOT)
    program, *words = shlex.split(line)
    if program == "make":
        _check_make(words)
        return
    if program == "accelerate":
        assert "-m" in words, "accelerate starts a module"
        program, *words = words[words.index("-m") + 1 :]
    assert Path(program).name == "accord"
    name, *rest = words
    if name.startswith("-"):
        assert name in ("--help", "--version")
    elif name in TRAINING:
        _check_training(name, rest)
    else:
        _check_options(name, rest)


def _check_make(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for word in words:
        assert "=" in word or word in targets


def _check_training(name: str, words: list[str]) -> None:
    from accord.cli.arguments import command_line, config_file, parse
    from accord.cli.environment_options import OPTIONS

    if words in (["--help"], ["--help-all"]):
        return
    named = [path for given in command_line(words) if given.key == "config" for path in given.value]
    for path in [Path(path) for path in named]:
        if path.name == "FILE.yaml":  # stands for the reader's own
            words = [word for word in words if word not in ("--config", "FILE.yaml")]
        else:
            assert list(config_file(path))
    parse(_config_of(name), words, environment=OPTIONS.get(name))


def _config_of(name: str) -> type:
    """`DPOConfig` of `dpo`, `RewardConfig` of `reward`."""
    found = vars(import_module(f"accord.trainers.{name}"))
    return next(value for known, value in found.items() if known.lower() == f"{name}config")


def _check_options(name: str, words: list[str]) -> None:
    """click reads the words as it would for the user; nothing is run."""
    assert name in COMMANDS, f"no command {name}"
    group = typer.main.get_command(app)
    command = group.get_command(None, name)  # type: ignore[attr-defined]
    if words in ([], ["--help"]):
        return
    with command.make_context(name, [word for word in words if word != "--help"]):
        pass


RUNNABLE = [page for page in PAGES if any(block.info == "sh run" for block in blocks(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.stem)
def test_walk_through_runs(page, tmp_path):
    """Blocks ```sh run are one shell session; a block ```csv NAME before them is the file NAME it reads."""
    script, files = ["set -e"], []
    for block in blocks(page):
        kind, _, name = block.info.partition(" ")
        text = "\n".join(block.lines)
        if block.info == "sh run":
            script.append(text)
        elif Path(name).suffix == f".{kind}":
            files.append(name)
            script.append(f"cat > {name} <<'END OF FILE'\n{text}\nEND OF FILE")
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    result = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=tmp_path,
        env={"PATH": path, "HOME": str(Path.home()), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert files
    assert result.returncode == 0, result.stdout + result.stderr


EXAMPLES = [
    (block.info.split()[1], block)
    for block in blocks(ROOT / "docs" / "formats.md")
    if block.info.startswith(("jsonl ", "csv "))
]


def test_every_format_has_an_example():
    from accord.exchange import FORMATS

    assert {name for name, _ in EXAMPLES} == set(FORMATS)


@pytest.mark.parametrize("name", sorted({name for name, _ in EXAMPLES}))
def test_example_is_read_as_its_format(name, tmp_path):
    """By its columns alone, and as told; files of one format that need each other are read together."""
    from accord.exchange import read

    together = [block for example, block in EXAMPLES if example == name]
    paths = []
    for number, block in enumerate(together):
        paths.append(tmp_path / f"{number}.{block.info.split()[0]}")
        paths[-1].write_text("\n".join(block.lines) + "\n", encoding="utf-8")
    detected, told = list(read(paths)), list(read(paths, name))
    assert detected
    assert detected == told


def _of(page: Path, info: str) -> list[str]:
    return ["\n".join(block.lines) for block in blocks(page) if block.info == info]


@pytest.mark.smollm2
def test_python_example_trains(tmp_path, monkeypatch):
    (code,) = _of(ROOT / "docs" / "training.md", "python")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/training.md", "exec"), {})
    assert (tmp_path / "runs/from-python/adapter_model.safetensors").is_file()


def test_simulated_bad_hands_are_found():
    (code,) = _of(ROOT / "docs" / "simulating.md", "python")
    found = {}
    exec(compile(code, "docs/simulating.md", "exec"), found)
    assert found["suspects"] == found["bad"]
    assert found["right"] >= 57


def test_accelerate_configurations_are_accepted(tmp_path):
    from accelerate.commands.config.config_args import load_config_from_file

    written = _of(ROOT / "docs" / "training.md", "yaml accelerate")
    assert len(written) == 2
    for text in written:
        file = tmp_path / "config.yaml"
        file.write_text(text, encoding="utf-8")
        assert load_config_from_file(str(file)).num_processes == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor and there.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [_slug(heading) for heading in headings], f"{page.name} links to {target}"


def _slug(heading: str) -> str:
    """A heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
