"""A run, told to a person: `write_report` makes report.html from the run folder alone."""

from pathlib import Path

__all__ = ["write_report"]


def write_report(run_path: Path | str) -> Path:
    """See `accord.report.page.write_report`."""
    from accord.report.page import write_report  # the web server's first page needs this package's words alone

    return write_report(run_path)
