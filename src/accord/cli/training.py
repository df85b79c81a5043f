"""What `accord sft`, `dpo` and `kto` do: options → data → snapshot → model → trainer → run folder → report."""

import json
import shlex
import shutil
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import typer
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from peft import LoraConfig
from rich.console import Console
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments
from transformers.utils.logging import disable_progress_bar

from accord.cli.arguments import Arguments, parse
from accord.cli.options import ModelOptions
from accord.cli.progress import Keeper, ShowProgress
from accord.cli.training_data import COLUMNS, rows_for
from accord.exchange.snapshot import Snapshot, read_snapshot, write_snapshot
from accord.feedback import AccordError
from accord.policy.load import Policy, load_policy
from accord.report import write_report
from accord.runs import Run
from accord.trainers.checkpoint import last_checkpoint

T = TypeVar("T")


class Method(NamedTuple):
    """What one training command is made of."""

    name: str
    summary: str
    config: type[TrainingArguments]
    trainer: Callable[..., Trainer]


def train(method: Method, argv: Sequence[str]) -> None:
    """One training command, from its arguments to the report. AccordError and ValueError are for the user to mend."""
    if asked := {"--help", "-h", "--help-all", "--help_all"} & set(argv):
        from accord.cli.training_help import show_help

        return show_help(method.name, method.summary, method.config, everything=bool(asked - {"--help", "-h"}))
    warnings.filterwarnings("ignore", category=FutureWarning)  # what other libraries will change one day
    options = read_options(method, argv)
    state, folder = PartialState(), Path(options.config.output_dir)
    console = Console(stderr=True, highlight=False, quiet=not state.is_main_process)

    checkpoint = starting_point(folder, options)
    snapshot = on_main(state, lambda: prepare(method, folder, options, checkpoint, argv, console)) or read_snapshot(
        folder / "data"
    )
    shown = ShowProgress(method.name.upper(), console)
    disable_progress_bar()  # Transformers' own, for each file that it writes
    trainer = assemble(method, options, load(options.model), snapshot, shown)
    run = Run.open(folder)
    trainer.add_callback(shown)
    if state.is_main_process:
        trainer.add_callback(Keeper(run))

    began = time.perf_counter()
    try:
        result = trainer.train(resume_from_checkpoint=checkpoint)
    except FloatingPointError as error:
        raise AccordError(str(error)) from error
    finally:
        shown.stop()
    trainer.save_model(str(folder))
    figures = summary(trainer, snapshot, result.metrics, time.perf_counter() - began)
    if trainer.eval_dataset is not None and not evaluated(trainer):
        figures |= trainer.evaluate()
    on_main(state, lambda: finish(run, figures, options, console))
    return None


def read_options(method: Method, argv: Sequence[str]) -> Arguments:
    """The options; those of a resumed run are what it began with, where nothing else is said.

    Raises AccordError where a resumed run would go on with other settings than it began with.
    """
    defaults = _defaults(method.name)
    options = parse(method.config, argv, **defaults)
    if not options.run.resume:
        return options
    folder = Path(options.config.output_dir)
    if not (folder / "run.json").is_file():
        raise AccordError(f"{folder}: there is no run to resume; leave out --resume to begin one")
    run = Run.open(folder)
    before = {key: value for key, value in run.info.get("given", {}).items() if key not in FREE}
    options = parse(method.config, argv, **(defaults | before))
    now, then = resolved(options), run.config()
    for key in options.given:
        if key not in FREE and key in then and now[key] != then[key]:
            raise AccordError(
                f"--resume: {key} is {now[key]} here and was {then[key]} when the run began; a resumed run keeps its "
                "settings (for other ones, choose another output_dir)"
            )
    return options


#: What may be said anew when a run is resumed, because it does not change what is learnt up to any step.
FREE = {
    "resume", "overwrite_output_dir", "output_dir", "resume_from_checkpoint", "report_html", "use_cpu", "disable_tqdm",
    "num_train_epochs", "max_steps", "save_strategy", "save_steps", "save_total_limit", "report_to", "run_name",
    "eval_strategy", "eval_steps", "logging_strategy", "logging_steps", "logging_first_step", "dataset_name", "project",
    "log_level", "per_device_eval_batch_size", "token_budget", "dataloader_num_workers", "activation_checkpointing",
    "gradient_checkpointing",
}  # fmt: skip


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


def prepare(
    method: Method, folder: Path, options: Arguments, checkpoint: str | None, argv: Sequence[str], console: Console
) -> Snapshot:
    """The frozen rows, and a run folder that says what was asked. A resumed run reads the rows that it began with."""
    if checkpoint and (folder / "data").is_dir() and (folder / "run.json").is_file():
        return read_snapshot(folder / "data")
    rows = rows_for(method.name, options.data)
    if folder.is_dir():
        shutil.rmtree(folder)
    snapshot = write_snapshot(folder / "data", rows.form, rows.splits, meta=rows.meta)
    Run.create(
        folder,
        config=resolved(options),
        command=shlex.join(["accord", method.name, *argv]),
        method=method.name,
        base_model=options.model.model_name_or_path,
        snapshot_hash=snapshot.hash,
        data={"form": snapshot.form, "counts": dict(snapshot.counts), **snapshot.meta},
        seed=options.config.seed,
        device=str(options.config.device),
        given=options.given,
    )
    held = f", {snapshot.counts['test']:,} held out" if snapshot.counts["test"] else ""
    console.print(f"{snapshot.counts['train']:,} {NOUNS[method.name]} to train on{held} → {folder / 'data'}")
    for note in rows.notes:
        console.print(f"  {note}", soft_wrap=True)
    return snapshot


def evaluated(trainer: Trainer) -> bool:
    """Whether the last step was evaluated already."""
    return any("eval_loss" in r and r["step"] == trainer.state.global_step for r in trainer.state.log_history)


NOUNS = {"sft": "answers", "dpo": "pairs", "kto": "answers"}


def load(options: ModelOptions) -> Policy:
    """The model, with its adapter if it has one, ready to train."""
    if options.use_peft and (Path(options.model_name_or_path) / "adapter_config.json").is_file():
        raise AccordError(
            f"{options.model_name_or_path}: is an adapter already; leave out use_peft to go on training it"
        )
    return load_policy(
        options.model_name_or_path,
        dtype=options.dtype,
        adapter=options.adapter_name_or_path,
        trainable=not options.use_peft,
        revision=options.model_revision,
        trust_remote_code=options.trust_remote_code,
        load_in_4bit=options.load_in_4bit,
        load_in_8bit=options.load_in_8bit,
    )


def lora(options: ModelOptions) -> LoraConfig | None:
    """The adapter that `use_peft` asks for."""
    if not options.use_peft:
        return None
    modules = options.lora_target_modules or ["all-linear"]
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=modules[0] if len(modules) == 1 else modules,  # one may be a word for all, or a pattern
        target_parameters=options.lora_target_parameters,
        modules_to_save=options.lora_modules_to_save,
        use_rslora=options.use_rslora,
        use_dora=options.use_dora,
    )


def assemble(method: Method, options: Arguments, policy: Policy, snapshot: Snapshot, shown: ShowProgress) -> Trainer:
    """The method's trainer on the snapshot's rows, silent: progress is shown by our own callback."""
    test = dataset(snapshot, "test") if options.config.eval_strategy != "no" else None
    if options.config.eval_strategy != "no" and test is None:
        raise AccordError("eval_strategy: nothing is held out; set test_fraction: 0.1, or eval_strategy: no")
    options.config.disable_tqdm = True
    trainer = method.trainer(
        model=policy.model,
        args=options.config,
        train_dataset=dataset(snapshot, "train"),
        eval_dataset=test,
        processing_class=policy.tokenizer,
        peft_config=lora(options.model),
        progress=shown.before,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def dataset(snapshot: Snapshot, split: str) -> Dataset | None:
    """The columns that a trainer reads; None where the split is empty."""
    if not snapshot.counts.get(split):
        return None
    columns = COLUMNS[snapshot.form]
    return Dataset.from_list([{key: row[key] for key in columns if key in row} for row in snapshot.rows(split)])


def resolved(options: Arguments) -> dict[str, Any]:
    """Every option as it came out, as JSON."""
    settings = {**vars(options.model), **vars(options.data), **vars(options.run), **options.config.to_dict()}
    return json.loads(json.dumps(settings, default=str))


def summary(trainer: Trainer, snapshot: Snapshot, metrics: Mapping[str, float], seconds: float) -> dict[str, Any]:
    """The figures of a finished training: what it took, and the last values that were logged."""
    last: dict[str, Any] = {}
    for record in trainer.state.log_history:
        last |= {key: value for key, value in record.items() if not key.startswith(("train_", "total_flos"))}
    return {
        **{key: value for key, value in last.items() if key not in ("step", "epoch")},
        **{key: value for key, value in metrics.items() if key != "total_flos"},
        "steps": trainer.state.global_step,
        "seconds": seconds,
        "n_train": snapshot.counts["train"],
        "n_test": snapshot.counts["test"],
    }


def finish(run: Run, figures: Mapping[str, Any], options: Arguments, console: Console) -> None:
    """The summary, the report, and what to do next."""
    run.update_summary({**figures, "finished": True})
    folder = shlex.quote(str(run.path))
    console.print(f"\n{figures['steps']:,} steps in {figures['seconds']:,.0f} s. The model is in {folder}")
    if options.run.report_html:
        console.print(f"  report:   {write_report(run.path)}")
    console.print(f"  measure:  accord evaluate {folder}\n  talk:     accord chat {folder}")


def on_main(state: PartialState, work: Callable[[], T]) -> T | None:
    """`work()` on the main process while the others wait; where it fails, all stop, and only the main one says why."""
    result: T | None = None
    failure: Exception | None = None
    if state.is_main_process:
        try:
            result = work()
        except Exception as error:
            failure = error
    failed = broadcast_object_list([failure is not None])[0] if state.num_processes > 1 else failure is not None
    if failure is not None:
        raise failure
    if failed:
        raise typer.Exit(1)
    return result
