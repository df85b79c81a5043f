"""The `accord` command. One file a command; a command's file imports what is heavy inside its function."""

import importlib
import os
import sys
import warnings

import typer
from typer.core import TyperGroup

from accord import __version__
from accord.feedback import AccordError

#: command -> what it does. The command `NAME` is the function `command` of `accord.cli.NAME` (`import` is `import_`).
COMMANDS = {
    "init": "Make a project folder: accord.yaml, accord.db, runs/.",
    "import": "Read preferences, ratings or votes from files into the project.",
    "doctor": "Look at the data before training on it.",
    "export": "Write the project's votes in TRL's formats.",
    "sft": "Fine-tune on demonstrations.",
    "dpo": "Train on preference pairs (Direct Preference Optimization).",
    "kto": "Train on thumbs up and down (Kahneman-Tversky Optimization).",
    "reward": "Train a reward model on preference pairs.",
    "ppo": "Train on samples and their rewards (Proximal Policy Optimization).",
    "rloo": "Train on samples and their rewards (REINFORCE Leave-One-Out).",
    "grpo": "Train on samples and their rewards (Group Relative Policy Optimization).",
    "rlhf": "Votes to reward model to PPO, RLOO or GRPO, measured: all in one command.",
    "evaluate": "Measure a trained model on what training did not see.",
    "sample": "Sample a model's answers to prompts, here or from a server.",
    "compare": "The same prompts answered by several models, side by side.",
    "score": "Score the answers in a file with a reward model.",
    "ask": "Make questions for people from the answers in the project.",
    "quality": "How far people agree, and whose votes say little.",
    "select": "Choose what to ask people next: where a vote tells most.",
    "serve": "The web app: vote, curate, watch runs, chat in the arena.",
    "report": "Write a run's report.html again.",
    "chat": "Talk to a model in the terminal.",
    "demo": "The whole loop on a small real model, in a few minutes.",
}
#: These parse their own `--key value` arguments, as TRL's scripts do.
TRAINING = {"sft", "dpo", "kto", "reward", "ppo", "rloo", "grpo"}
#: These have options, and hand further `--section.key value` on to trainings.
PASSING_ON = {"rlhf"}


class Lazy(TyperGroup):
    """Commands in the order of the table, each loaded when it is named."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, cmd_name):
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"accord.cli.{'import_' if cmd_name == 'import' else cmd_name}")
        raw = {"allow_extra_args": True, "ignore_unknown_options": True} if cmd_name in TRAINING | PASSING_ON else {}
        named = typer.Typer(rich_markup_mode="rich", add_completion=False)
        named.command(
            cmd_name, short_help=COMMANDS[cmd_name], context_settings=raw, add_help_option=cmd_name not in TRAINING
        )(module.command)
        return typer.main.get_command(named)

    def invoke(self, ctx):
        """What a user can mend ends as one line; `ACCORD_TRACEBACK=1` shows where it came from."""
        try:
            return super().invoke(ctx)
        except (AccordError, ValueError, OSError) as error:
            if os.environ.get("ACCORD_TRACEBACK"):
                raise
            print(" ".join(str(error).split()), file=sys.stderr)
            raise typer.Exit(1) from error


app = typer.Typer(cls=Lazy, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_show_locals=False)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"accord {__version__}")
        raise typer.Exit


@app.callback()
def main(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version.")):
    """Accord brings a language model into accord with the people it serves: votes in, an aligned model out."""
    warnings.filterwarnings("ignore", category=FutureWarning)  # what other libraries will change one day
