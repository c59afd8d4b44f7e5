"""The numbers of every figure: HTML page, dashboard, W&B and PNG files only draw them."""

from studies.analysis.figure_data.confirmed import confirmed_values, confusion, forest, worst_pairs
from studies.analysis.figure_data.curves import Band, bands, curve, losses, thinned
from studies.analysis.figure_data.parameter_pairs import Plane, planes
from studies.analysis.figure_data.parameters import Parallel, Slice, parallel, slices
from studies.analysis.figure_data.pareto_fronts import Front, fronts
from studies.analysis.figure_data.spans import Span, Timeline, timeline
from studies.analysis.figure_data.spread import Box, boxes
from studies.analysis.figure_data.time_spent import SPENT, seconds_spent
from studies.analysis.figure_data.trial_history import History, history
from studies.analysis.figure_data.trials import ALL, best_first, best_of, by_choice, complete, some

__all__ = [
    "ALL",
    "SPENT",
    "Band",
    "Box",
    "Front",
    "History",
    "Parallel",
    "Plane",
    "Slice",
    "Span",
    "Timeline",
    "bands",
    "best_first",
    "best_of",
    "boxes",
    "by_choice",
    "complete",
    "confirmed_values",
    "confusion",
    "curve",
    "forest",
    "fronts",
    "history",
    "losses",
    "parallel",
    "planes",
    "seconds_spent",
    "slices",
    "some",
    "thinned",
    "timeline",
    "worst_pairs",
]
