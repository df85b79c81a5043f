"""What a training command does: options → data → snapshot → model → trainer → run folder → report."""

import atexit
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from importlib.util import find_spec
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

from accord import __version__
from accord.cli.arguments import Arguments
from accord.cli.beginning import named_backend, read_options, resolved, starting_point
from accord.cli.environment_options import OPTIONS
from accord.cli.options import ModelOptions
from accord.cli.processes import start_all
from accord.cli.progress import Keeper, ShowProgress, of_held_out
from accord.cli.training_data import COLUMNS, rows_for
from accord.exchange.snapshot import Snapshot, read_snapshot, write_snapshot
from accord.feedback import AccordError
from accord.policy.load import Policy, load_policy
from accord.report import write_report
from accord.runs import Run
from accord.trainers.base import NothingLearntError

T = TypeVar("T")


class Method(NamedTuple):
    """What one training command is made of.

    backend      whose trainer it is, in which version
    documented   the configuration whose settings `--help` shows, where it is not `config` itself
    loader       configuration -> what loads the model to train, called as `load_policy`
    task         PEFT's name for what the model does
    check_rows   raises ValueError where the trainer cannot learn from one of the rows; None where it takes all
    environment  options -> the trainer's further arguments, of a method that samples: what rewards, what replies
    """

    name: str
    summary: str
    config: type[TrainingArguments]
    trainer: Callable[..., Trainer]
    backend: str = f"accord {__version__}"
    documented: type[TrainingArguments] | None = None
    loader: Callable[[Any], Callable[..., Policy]] = lambda config: load_policy
    task: str = "CAUSAL_LM"
    check_rows: Callable[[Iterable[Mapping[str, Any]]], None] | None = None
    environment: Callable[[Arguments], dict[str, Any]] | None = None


def on_trl(method: Method) -> Method:
    """The same method by TRL's trainer."""
    if find_spec("trl") is None:
        raise AccordError("--backend trl needs TRL: pip install 'accord[trl]'")
    from accord.trainers.on_trl import BACKEND, PEERS, build, check_rows, config_of

    return method._replace(
        config=config_of(method.name, method.config),
        trainer=partial(build, method.name),
        backend=BACKEND,
        documented=PEERS[method.name].config,
        check_rows=check_rows,
    )


#: --backend -> a method of Accord's as that backend runs it
BACKENDS: dict[str, Callable[[Method], Method]] = {"trl": on_trl}


def train(method: Method, argv: Sequence[str]) -> None:
    """One training command, from its arguments to the report. AccordError and ValueError are for the user to mend."""
    if asked := {"--help", "-h", "--help-all", "--help_all"} & set(argv):
        return explain(method, argv, everything=bool(asked - {"--help", "-h"}))
    start_all([method.name, *argv])
    try:
        method = by_backend(method, argv)
        options = read_options(method.name, method.config, argv)
        given = method.environment(options) if method.environment else {}
    except (AccordError, ValueError):
        if os.environ.get("RANK", "0") != "0":  # the first process says it for all
            raise typer.Exit(1) from None
        raise
    state, folder = PartialState(), Path(options.config.output_dir)
    atexit.register(state.destroy_process_group)  # gloo's threads would else be running when the process ends: an abort
    console = Console(stderr=True, highlight=False, quiet=not state.is_main_process)

    checkpoint = on_main(state, lambda: starting_point(folder, options))
    snapshot = on_main(state, lambda: prepare(method, folder, options, checkpoint, argv, console))
    shown = ShowProgress(method.name.upper(), console)
    disable_progress_bar()  # Transformers' own, for each file that it writes
    run = Run.open(folder)
    if method.environment:
        given["on_rollout"] = run.log_rollout
    with recorded(run) if state.is_main_process else nullcontext():
        trainer = assemble(method, options, load(method, options), snapshot, shown, given)
        trainer.add_callback(shown)
        if state.is_main_process:
            trainer.add_callback(Keeper(run))

        began = time.perf_counter()
        try:
            result = trainer.train(resume_from_checkpoint=checkpoint)
        except (FloatingPointError, NothingLearntError) as error:
            raise AccordError(str(error)) from error
        finally:
            shown.stop()
        trainer.save_model(str(folder))
        figures = summary(trainer, snapshot, result.metrics, time.perf_counter() - began)
        if trainer.eval_dataset is not None and not evaluated(trainer):
            figures |= trainer.evaluate()
    on_main(state, lambda: finish(method, run, figures, options, console))
    return None


@contextmanager
def recorded(run: Run) -> Iterator[None]:
    """Says in the run folder who trains, and why where that fails: who watches the run does not see the terminal."""
    run.begin()
    try:
        yield
    except Exception as error:
        with suppress(OSError):  # such as a full disk: then the error itself is what counts
            run.update_summary({"error": str(error) or type(error).__name__})
        raise


def explain(method: Method, argv: Sequence[str], everything: bool) -> None:
    """`--help`: the settings of the backend that `argv` names, whatever else is wrong there."""
    from accord.cli.training_help import show_help

    with suppress(AccordError):
        method = by_backend(method, [word for word in argv if not word.startswith(("-h", "--help"))])
    show_help(method.name, method.summary, method.documented or method.config, everything)


def by_backend(method: Method, argv: Sequence[str]) -> Method:
    """The method by the trainers that are asked for."""
    backend = BACKENDS.get(named_backend(method.name, argv))
    return backend(method) if backend else method


def prepare(
    method: Method, folder: Path, options: Arguments, checkpoint: str | None, argv: Sequence[str], console: Console
) -> Snapshot:
    """The frozen rows, and a run folder that says what was asked. A resumed run reads the rows that it began with."""
    if checkpoint and (folder / "data").is_dir() and (folder / "run.json").is_file():
        return read_snapshot(folder / "data")
    rows = rows_for(method.name, options.data)
    if method.check_rows:
        rows = rows._replace(splits={name: list(split) for name, split in rows.splits.items()})
        for name in ("train", "test") if options.config.eval_strategy != "no" else ("train",):
            method.check_rows(rows.splits[name])
    if folder.is_dir():
        shutil.rmtree(folder)
    snapshot = write_snapshot(folder / "data", rows.form, rows.splits, meta=rows.meta)
    run = Run.create(
        folder,
        config=resolved(options),
        command=shlex.join(["accord", method.name, *argv]),
        method=method.name,
        backend=method.backend,
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
    if rows.quality and (found := rows.quality()):
        run.keep_quality(found)
    return snapshot


def evaluated(trainer: Trainer) -> bool:
    """Whether the last step was evaluated already."""
    return any(of_held_out(r) and r["step"] == trainer.state.global_step for r in trainer.state.log_history)


NOUNS = {"sft": "answers", "dpo": "pairs", "kto": "answers", "reward": "pairs"}
NOUNS |= dict.fromkeys(OPTIONS, "prompts")


def load(method: Method, arguments: Arguments) -> Policy:
    """The model, with its adapter if it has one, ready to train."""
    options = arguments.model
    if options.use_peft and (Path(options.model_name_or_path) / "adapter_config.json").is_file():
        raise AccordError(
            f"{options.model_name_or_path}: is an adapter already; leave out use_peft to go on training it"
        )
    return method.loader(arguments.config)(
        options.model_name_or_path,
        dtype=options.dtype,
        adapter=options.adapter_name_or_path,
        trainable=not options.use_peft,
        revision=options.model_revision,
        trust_remote_code=options.trust_remote_code,
        load_in_4bit=options.load_in_4bit,
        load_in_8bit=options.load_in_8bit,
    )


def lora(options: ModelOptions, task: str) -> LoraConfig | None:
    """The adapter that `use_peft` asks for."""
    if not options.use_peft:
        return None
    modules = options.lora_target_modules or ["all-linear"]
    return LoraConfig(
        task_type=task,
        r=options.lora_r,
        lora_alpha=options.lora_alpha,
        lora_dropout=options.lora_dropout,
        target_modules=modules[0] if len(modules) == 1 else modules,  # one may be a word for all, or a pattern
        target_parameters=options.lora_target_parameters,
        modules_to_save=options.lora_modules_to_save,
        use_rslora=options.use_rslora,
        use_dora=options.use_dora,
    )


def assemble(
    method: Method,
    options: Arguments,
    policy: Policy,
    snapshot: Snapshot,
    shown: ShowProgress,
    given: Mapping[str, Any],
) -> Trainer:
    """The method's trainer on the snapshot's rows, silent: progress is shown by our own callback."""
    test = dataset(method, snapshot, "test") if options.config.eval_strategy != "no" else None
    if options.config.eval_strategy != "no" and test is None:
        raise AccordError("eval_strategy: nothing is held out; set test_fraction: 0.1, or eval_strategy: no")
    options.config.disable_tqdm = True
    trainer = method.trainer(
        model=policy.model,
        args=options.config,
        train_dataset=dataset(method, snapshot, "train"),
        eval_dataset=test,
        processing_class=policy.tokenizer,
        peft_config=lora(options.model, method.task),
        progress=shown.before,
        **given,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    return trainer


def dataset(method: Method, snapshot: Snapshot, split: str) -> Dataset | list[dict[str, Any]] | None:
    """The columns that the method's trainer reads; None where the split is empty. Prompts are rows as they are: their
    columns may hold anything."""
    rows = list(snapshot.rows(split)) if snapshot.counts.get(split) else []
    if snapshot.form == "prompt":
        return rows or None
    columns = [name for name in COLUMNS[method.name] if any(name in row for row in rows)]
    return Dataset.from_list([{name: row.get(name) for name in columns} for row in rows]) if rows else None


#: What the trainer of a reward model logs under the names of held-out figures.
OF_REWARDS = {"accuracy", "margin", "disagreement"}


def summary(trainer: Trainer, snapshot: Snapshot, metrics: Mapping[str, float], seconds: float) -> dict[str, Any]:
    """The figures of a finished training: what it took, and the last values that were logged."""
    last: dict[str, Any] = {}
    for record in trainer.state.log_history:
        logged = {key: value for key, value in record.items() if not key.startswith(("train_", "total_flos"))}
        last |= {f"train_{key}" if key in OF_REWARDS else key: value for key, value in logged.items()}
    stopped = getattr(trainer, "stopped", "")  # why a method that samples ended early
    return {
        **({"stopped": stopped} if stopped else {}),
        **{key: value for key, value in last.items() if key not in ("step", "epoch")},
        **{key: value for key, value in metrics.items() if key != "total_flos"},
        "steps": trainer.state.global_step,
        "seconds": seconds,
        "n_train": snapshot.counts["train"],
        "n_test": snapshot.counts["test"],
    }


def finish(method: Method, run: Run, figures: Mapping[str, Any], options: Arguments, console: Console) -> None:
    """The summary, the report, and what to do next."""
    run.update_summary({**figures, "finished": True})
    folder = shlex.quote(str(run.path))
    console.print(f"\n{figures['steps']:,} steps in {figures['seconds']:,.0f} s. The model is in {folder}")
    if "stopped" in figures:
        console.print(f"  it ended early: {figures['stopped']}", soft_wrap=True)
    if options.run.report_html:
        console.print(f"  report:   {write_report(run.path)}")
    use = "score:    accord score FILE --model" if method.name == "reward" else "talk:     accord chat"
    console.print(f"  measure:  accord evaluate {folder}\n  {use} {folder}")


def on_main(state: PartialState, work: Callable[[], T]) -> T:
    """What `work()` gives on the main process, for all; where it fails, all stop, and only the main one says why."""
    result: Any = None
    failure: Exception | None = None
    if state.is_main_process:
        try:
            result = work()
        except Exception as error:
            failure = error
    failed, result = broadcast_object_list([failure is not None, result])
    state.wait_for_everyone()
    if failure is not None:
        raise failure
    if failed:
        raise typer.Exit(1)
    return result
