"""How a training begins: afresh, afresh over an older run, or where a run stopped."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainingArguments

from accord.cli.arguments import Arguments, Given, command_line, config_file, parse
from accord.cli.environment_options import OPTIONS
from accord.feedback import AccordError
from accord.runs import Run
from accord.trainers.checkpoint import last_checkpoint


def read_options(method: str, config: type[TrainingArguments], argv: Sequence[str]) -> Arguments:
    """The options; those of a resumed run are what it began with, where nothing else is said.

    Raises AccordError where a resumed run would go on with other settings than it began with.
    """
    defaults, environment = _defaults(method), OPTIONS.get(method)
    options = parse(config, argv, environment=environment, **defaults)
    if not options.run.resume:
        return options
    folder = Path(options.config.output_dir)
    if not (folder / "run.json").is_file():
        raise AccordError(f"{folder}: there is no run to resume; leave out --resume to begin one")
    run = Run.open(folder)
    before = {key: value for key, value in run.info.get("given", {}).items() if key not in ONCE}
    options = parse(config, argv, environment=environment, **(defaults | before))
    now, then = resolved(options), run.config()
    if run.summary().get("finished") and all(now[key] == then[key] for key in ("max_steps", "num_train_epochs")):
        raise AccordError(
            f"{folder}: this run is finished; measure it with `accord evaluate {folder}`, or train longer "
            "with a larger --num_train_epochs"
        )
    for key in options.given:
        if key not in FREE and key in then and now[key] != then[key]:
            raise AccordError(
                f"--resume: {key} is {now[key]} here and was {then[key]} when the run began; a resumed run keeps its "
                "settings (for other ones, choose another output_dir)"
            )
    return options


#: What holds for one start of a run and not for the next.
ONCE = {"resume", "overwrite_output_dir", "output_dir", "resume_from_checkpoint"}
#: What may be said anew when a run is resumed, because it does not change what is learnt up to any step.
FREE = ONCE | {
    "report_html", "use_cpu", "disable_tqdm",
    "num_train_epochs", "max_steps", "save_strategy", "save_steps", "save_total_limit", "report_to", "run_name",
    "eval_strategy", "eval_steps", "logging_strategy", "logging_steps", "logging_first_step", "dataset_name", "project",
    "log_level", "per_device_eval_batch_size", "token_budget", "dataloader_num_workers", "activation_checkpointing",
    "gradient_checkpointing", "rollout_rows", "judge_url",
}  # fmt: skip


def named_backend(method: str, argv: Sequence[str]) -> str:
    """Whose trainers are asked for, before the options can be read: they depend on it. A resumed run keeps its own."""
    said = {given.key: given.value for given in written(argv)}

    def text(key: str) -> str | None:
        value = said.get(key)
        return (value[-1] if value else None) if isinstance(value, list) else value

    named = text("backend")
    if named is None and "resume" in said:
        folder = Path(text("output_dir") or _defaults(method)["output_dir"])
        named = Run.open(folder).config().get("backend") if (folder / "run.json").is_file() else None
    return named or "accord"


def written(argv: Sequence[str]) -> Iterator[Given]:
    """What the files say that `argv` names, then what it says itself."""
    said = list(command_line(argv))
    for path in [path for given in said if given.key == "config" for path in given.value]:
        yield from config_file(Path(path))
    yield from said


def _defaults(method: str) -> dict[str, Any]:
    """The project's model and runs folder inside a project, else `runs/METHOD` here."""
    from accord.cli.project import find_project

    try:
        project = find_project()
    except AccordError:
        return {"output_dir": f"runs/{method}"}
    model = project.model
    local = project.root / model
    return {
        "output_dir": str(project.runs / method),
        "model_name_or_path": str(local) if local.is_dir() else model,
    }


def starting_point(folder: Path, options: Arguments) -> str | None:
    """The checkpoint to go on from, None for a fresh run. Raises AccordError where neither can be."""
    if options.config.resume_from_checkpoint:
        return str(options.config.resume_from_checkpoint)
    if options.run.resume:
        checkpoint = last_checkpoint(folder)
        if checkpoint is None:
            raise AccordError(f"{folder}: no whole checkpoint to resume from; begin again with --overwrite_output_dir")
        return str(checkpoint)
    if folder.is_file():
        raise AccordError(f"{folder}: a file; output_dir is a folder")
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if there and not options.run.overwrite_output_dir:
        remedy = "--resume goes on with it, --overwrite_output_dir deletes it" if "run.json" in there else ""
        what = "holds a run" if "run.json" in there else f"is not empty ({', '.join(there[:3])} …)"
        raise AccordError(f"{folder}: {what}; {remedy or 'choose another output_dir'}")
    if there and "run.json" not in there:
        raise AccordError(f"{folder}: holds files but no run, so it is not deleted; choose another output_dir")
    return None


def resolved(options: Arguments) -> dict[str, Any]:
    """Every option as it came out, as JSON."""
    groups = [options.model, options.data, options.run, *([options.environment] if options.environment else [])]
    settings = {name: value for group in groups for name, value in vars(group).items()} | options.config.to_dict()
    return json.loads(json.dumps(settings, default=str))
