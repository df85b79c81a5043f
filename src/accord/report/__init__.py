"""A run, told to a person: `write_report` makes report.html from the run folder alone."""

from accord.report.page import write_report

__all__ = ["write_report"]
