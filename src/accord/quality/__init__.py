"""How far votes can be trusted: votes into soft labels, and annotators that are simulated."""

from accord.quality.agreement import Agreement, agreement, opinions_of_pairs, opinions_of_responses
from accord.quality.labels import LABELS, pair_labels, response_labels
from accord.quality.pairs import Drawn, draw
from accord.quality.simulate import SimulatedAnnotator, panel
from accord.quality.tastes import TASTES, Taste

__all__ = [
    "LABELS",
    "TASTES",
    "Agreement",
    "Drawn",
    "SimulatedAnnotator",
    "Taste",
    "agreement",
    "draw",
    "opinions_of_pairs",
    "opinions_of_responses",
    "pair_labels",
    "panel",
    "response_labels",
]
