"""What training changed, each figure with a 95 % interval. NumPy only: log-probabilities and answers come as data."""

from accord.evaluation.divergence import KLReport, kl_report
from accord.evaluation.generations import LengthReport, WinRateReport, length_report, win_rate_report
from accord.evaluation.histogram import histogram
from accord.evaluation.interval import Interval
from accord.evaluation.judges import JUDGES, Judge, by_score, in_both_orders
from accord.evaluation.preferences import Figures, PreferenceReport, preference_report
from accord.evaluation.rewards import RewardReport, reward_report
from accord.evaluation.round_robin import Match, holm, round_robin, sign_flip
from accord.evaluation.unpaired import UnpairedReport, unpaired_report

__all__ = [
    "JUDGES",
    "Figures",
    "Interval",
    "Judge",
    "KLReport",
    "LengthReport",
    "Match",
    "PreferenceReport",
    "RewardReport",
    "UnpairedReport",
    "WinRateReport",
    "by_score",
    "histogram",
    "holm",
    "in_both_orders",
    "kl_report",
    "length_report",
    "preference_report",
    "reward_report",
    "round_robin",
    "sign_flip",
    "unpaired_report",
    "win_rate_report",
]
