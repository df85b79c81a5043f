"""The folder that one training run leaves behind, readable without torch."""

from accord.runs.folder import Run
from accord.runs.names import find_run, list_runs, run_path
from accord.runs.versions import versions

__all__ = ["Run", "find_run", "list_runs", "run_path", "versions"]
