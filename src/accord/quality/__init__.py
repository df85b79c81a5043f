"""How far votes can be trusted: votes into soft labels, and annotators that are simulated."""

from accord.quality.labels import LABELS, pair_labels, response_labels
from accord.quality.simulate import SimulatedAnnotator, panel
from accord.quality.tastes import TASTES, Taste

__all__ = ["LABELS", "TASTES", "SimulatedAnnotator", "Taste", "pair_labels", "panel", "response_labels"]
