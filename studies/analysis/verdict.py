"""The verdicts of a study, from the records of its search and confirmation.

They are two, see ``studies/statistics/verdicts.py``: which configuration is best, and which choice
is best when it is tuned as in this study.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mnist_core.evaluation.right_answers import RightAnswers
from studies.core.seeds import FIRST_SEEDS
from studies.core.trials import TrialRecord
from studies.statistics.crossed import Bits
from studies.statistics.intervals import Direction, sign_of
from studies.statistics.luck import bootstrap_luck
from studies.statistics.verdicts import (
    Conditions,
    Judgement,
    judge_choices,
    judge_configurations,
)

ENOUGH_PAIRS = 2
"""With fewer choices that have a confirmed runner-up the search values tell of the luck."""

Values = Mapping[str, Mapping[int, float]]
"""The metric by seed, for each label."""


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What a study may claim, and by which images."""

    configurations: Judgement | None = None  # None: nothing is confirmed
    choices: Judgement | None = None  # None: the luck of the search is not known
    # by label: standard deviation of the best search value, were the trials drawn again
    luck: Mapping[str, float] = field(default_factory=dict)
    # e.g. "5,000 confirm images"; "": the models' answers were not kept
    judged_on: str = ""
    images: bool = False  # whether the choice of these images (or pairs) is in the intervals


def reach_verdicts(
    values: Values,
    *,
    direction: Direction,
    step: float,
    default: str | None,
    stopped: Collection[str],
    failed: Collection[str],
    complete: Mapping[str, Sequence[TrialRecord]],
    trials: Mapping[str, Sequence[TrialRecord]],
    runners_up: Mapping[str, Sequence[Mapping[int, float]]] = MappingProxyType({}),
) -> Verdicts:
    """Judge the confirmed configurations, and the choices that they are the best of.

    Args:
        values: of the labels that can win.
        default: the label to compare with; None: it is one of the others, or cannot win.
        stopped: labels that a race has stopped.
        failed: labels that failed on some seeds.
        complete: the COMPLETE confirm trials of each label.
        trials: the feasible COMPLETE search trials of each choice; none for the default.
        runners_up: the metric by seed of each choice's runners-up.
    """
    answers = right_answers({label: complete[label] for label in values})
    bits: Mapping[str, Mapping[int, Bits]] | None = None
    if _are_the_values(answers, values):
        bits = answers
    first = next((one for of_label in answers.values() for one in of_label.values()), None)
    found = {label: _distinct(of_label, direction) for label, of_label in trials.items()}
    pairs = _confirmed_pairs(values, runners_up)
    raced = len(pairs) >= ENOUGH_PAIRS
    if not raced:
        pairs = {label: (best[0], best[1]) for label, best in found.items() if len(best) > 1}
    given = Conditions(
        direction=direction,
        step=step,
        default=default,
        stopped=stopped,
        failed=failed,
        bits=bits,
    )
    return Verdicts(
        configurations=judge_configurations(values, given),
        choices=judge_choices(
            {label: of_label for label, of_label in values.items() if label in trials},
            pairs,
            replace(given, default=None),
            raced=raced,
        ),
        luck={
            label: bootstrap_luck(best, direction=direction)
            for label, best in found.items()
            if len(best) > 1
        },
        judged_on="" if first is None else f"{len(first.right):,} {first.of}",
        images=bits is not None,
    )


def _confirmed_pairs(
    values: Values, runners_up: Mapping[str, Sequence[Mapping[int, float]]]
) -> dict[str, tuple[float, float]]:
    """Return the means of each choice's two best configurations on the seeds of both."""
    pairs = {}
    for label, others in runners_up.items():
        of_leader = values.get(label, {})
        for other in others[:1]:
            common = [seed for seed in of_leader if seed in other]
            if len(common) >= FIRST_SEEDS:
                one, two = (
                    math.fsum(of[seed] for seed in common) / len(common)
                    for of in (of_leader, other)
                )
                pairs[label] = (one, two)
    return pairs


def _distinct(records: Sequence[TrialRecord], direction: Direction) -> list[float]:
    """Return the value of each configuration, the best first."""
    values = {str(sorted(r.params.items())): r.value for r in records if r.value is not None}
    return sorted(values.values(), reverse=sign_of(direction) > 0)


def right_answers(
    records: Mapping[str, Sequence[TrialRecord]],
    believed: Callable[[TrialRecord, RightAnswers], bool] = lambda record, answers: True,
) -> dict[str, dict[int, RightAnswers]]:
    """Return which images each model got right, by label and seed.

    {} unless all have answered the same ones, and all answers are ``believed``.
    """
    found: dict[str, dict[int, RightAnswers]] = {}
    sets = set()
    for label, of in records.items():
        for record in of:
            one = RightAnswers.of_trial(record.attributes)
            if one is None or not believed(record, one):
                return {}
            sets.add(one.asked)
            found.setdefault(label, {})[record.seed] = one
    return found if len(sets) == 1 else {}


def _are_the_values(answers: Mapping[str, Mapping[int, RightAnswers]], values: Values) -> bool:
    """Whether the values are the shares of right answers: of another metric they say nothing."""
    return bool(answers) and all(
        abs(one.right.mean() - values[label][seed]) <= 0.5 / len(one.right)
        for label, of_label in answers.items()
        for seed, one in of_label.items()
    )
