"""Several models that answered the same prompts, told to a person: from the figures that `accord compare` left."""

from accord.report.comparison.facts import Comparison, read_comparison
from accord.report.comparison.page import write_comparison

__all__ = ["Comparison", "read_comparison", "write_comparison"]
