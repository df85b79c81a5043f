"""How far votes can be trusted: votes into soft labels, and annotators that are simulated.

What needs SciPy, which takes a second to load, is imported from its own module: `quality.bad_hands`, `quality.survey`,
`quality.select`, `quality.curve`. The voting server imports this package.
"""

from accord.quality.agreement import (
    STRENGTHS,
    Agreement,
    Measured,
    ac1,
    agreement,
    opinions_of_pairs,
    opinions_of_responses,
    opinions_of_strengths,
    ordinal_alpha,
)
from accord.quality.agreement_by import (
    Part,
    agreement_by_annotator,
    agreement_by_prompt,
    agreement_by_tag,
    agreement_by_time,
)
from accord.quality.agreement_without import Without, without_each
from accord.quality.crowd import Crowd, Role, draw_crowd, draw_margins, simulate_comparisons, simulate_votes
from accord.quality.kappa import Kappa, kappas
from accord.quality.labels import LABELS, pair_labels, response_labels
from accord.quality.pairs import Drawn, draw
from accord.quality.simulate import SimulatedAnnotator, panel
from accord.quality.tastes import TASTES, Taste

__all__ = [
    "LABELS",
    "STRENGTHS",
    "TASTES",
    "Agreement",
    "Crowd",
    "Drawn",
    "Kappa",
    "Measured",
    "Part",
    "Role",
    "SimulatedAnnotator",
    "Taste",
    "Without",
    "ac1",
    "agreement",
    "agreement_by_annotator",
    "agreement_by_prompt",
    "agreement_by_tag",
    "agreement_by_time",
    "draw",
    "draw_crowd",
    "draw_margins",
    "kappas",
    "opinions_of_pairs",
    "opinions_of_responses",
    "opinions_of_strengths",
    "ordinal_alpha",
    "pair_labels",
    "panel",
    "response_labels",
    "simulate_comparisons",
    "simulate_votes",
    "without_each",
]
