"""Which run a person means on the command line."""

from pathlib import Path

from accord.cli.project import find_project
from accord.feedback import AccordError
from accord.runs import Run, find_run


def which_run(wanted: str, project: Path | None = None) -> Path:
    """The folder of the run `wanted`: a path to it, or its name in the project (outside one: in ./runs).

    Raises AccordError naming the runs that there are.
    """
    try:
        runs = find_project(project).runs
    except AccordError:
        if project is not None:
            raise
        runs = Path("runs")
    try:
        return find_run(wanted, runs)
    except ValueError as error:
        raise AccordError(str(error)) from None


def reward_run(wanted: str, project: Path | None = None) -> Run | None:
    """The run that trained the reward model `wanted`; None where no run is called so.

    Raises AccordError where the run trained something else.
    """
    try:
        run = Run.open(which_run(wanted, project))
    except AccordError:
        return None
    if run.info.get("method") != "reward":
        raise AccordError(
            f"{run.name}: trained by accord {run.info.get('method')}, so it gives no scores; `accord reward` trains a "
            "model that does"
        )
    return run
