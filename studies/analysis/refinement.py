"""A narrower study after a finished one: what to fix, which ranges to cut or to widen, and why.

Nothing is decided by trials of choices that lost: they say nothing of where the best one lies.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from mnist_core.errors import UserError
from search_spaces.space import Choice, Float, Int, Parameter, Space, Value, When
from studies.analysis.doubts import BOUND_SHARE
from studies.analysis.result import Row, StudyResult
from studies.core.formatting import metric_text
from studies.core.trials import TrialRecord
from studies.planning.plan import Plan

ENOUGH_TRIALS = 4
"""With fewer trials of a parameter its range is not cut, and no value of a choice is dropped."""
PADDING = 0.1
"""A cut range keeps this fraction of the old one beyond the outermost good trial, on each side."""
WIDER = 0.25
"""A range with a leading value on its bound grows by this fraction on that side."""
WORTH = 0.8
"""A range that would keep more than this fraction of its length is left as it is."""


@dataclass(frozen=True, kw_only=True)
class Refined:
    """A parameter of the narrower space."""

    parameter: Parameter
    why: str = ""  # one line; "": it is as it was


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """The narrower study.

    Attributes:
        parameters: of the space, by name.
        defaults: for each kept choice its confirmed configuration, which is to be beaten.
            Under None the best one of a study without choices.
        baseline: the choice of the best one.
        dropped: why choices of the scientific parameter are left out, a line each.
    """

    parameters: Mapping[str, Refined]
    defaults: Mapping[Value, Mapping[str, Any]]
    baseline: Value
    dropped: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything differs from the old study's space."""
        return bool(self.dropped) or any(one.why for one in self.parameters.values())


def refine(result: StudyResult, search: Sequence[TrialRecord]) -> Refinement:
    """Return a narrower study from the trials of ``search`` and what was confirmed.

    Raises:
        UserError: if nothing is confirmed, no choice may be best, or the study has several
            objectives.
    """
    plan, best = result.plan, result.best_row
    if result.several:
        raise UserError(
            f"study {plan.name} has several objectives, so no one configuration to search around"
        )
    if best is None or best.candidate is None:
        raise UserError(
            f"study {plan.name} has confirmed nothing yet; run it to its end:"
            f" {plan.commands.resume_hint}"
        )
    rows = [row for row in result.rows if row.candidate and not row.candidate.default]
    kept, dropped = _kept(result, rows)
    if not kept:
        raise UserError(
            f"study {plan.name}: its default configuration is better than every"
            f" {'choice' if plan.spec.compares else 'configuration'} that was tuned, so there is"
            " nothing to search around; change the space"
        )
    params = {row.label: dict(row.candidate.params) for row in kept if row.candidate}
    # The ranges follow the leading configurations. Other kept choices may only be as good after
    # another search.
    leading = [row for row in kept if result.standing(row) in ("best", "the same", "tie")]
    scientific = plan.spec.scientific
    labels = {row.label for row in leading}
    trials = [
        record
        for record in search
        if record.complete and record.value is not None
        # Without choices all trials tell of the one question.
        if not scientific or str(record.params[scientific]) in labels
    ]
    view = _View(plan, [params[row.label] for row in leading], trials, list(params.values()))
    if not scientific:
        return Refinement(
            parameters=_space(view, []),
            defaults={None: params.get(best.label, params[kept[0].label])},
            baseline=None,
            dropped=(),
        )
    refined = _space(view, [values[scientific] for values in params.values()])
    return Refinement(
        parameters=refined,
        defaults={values[scientific]: values for values in params.values()},
        # The best one may be the default of a choice whose own configuration is left out.
        baseline=next(
            (one[scientific] for one in params.values() if str(one[scientific]) == best.label),
            params[kept[0].label][scientific],
        ),
        dropped=tuple(dropped),
    )


def _kept(result: StudyResult, rows: Sequence[Row]) -> tuple[list[Row], list[str]]:
    """Return the rows of the choices that are kept, and why the others are left out.

    A choice is left out if it is shown to be worse with the luck of the search in the error, or
    if that luck is not known, if its configuration is worse.
    """
    judged = result.verdicts.choices or result.verdicts.configurations
    worse = set(judged.comparison.worse) if judged else set()
    metric, kept, dropped = result.plan.spec.metric, [], []
    for row in rows:
        if row.confirm is None:
            dropped.append(f"{row.label}: nothing of it was confirmed")
        elif row.collapsed is not None:
            dropped.append(f"{row.label}: {row.collapsed}")
        elif row.label in worse:
            dropped.append(f"{row.label}: worse, {metric_text(metric, row.confirm.mean)}")
        else:
            kept.append(row)
    return kept, dropped


@dataclass(frozen=True)
class _View:
    """The evidence: the leading configurations, the trials of their choices, all kept ones."""

    plan: Plan
    leading: Sequence[Mapping[str, Any]]
    trials: Sequence[TrialRecord]
    kept: Sequence[Mapping[str, Any]]

    def having(self, name: str) -> list[TrialRecord]:
        """Return the trials with parameter ``name``, the best first."""
        sign = self.plan.goals.sign
        found = [record for record in self.trials if name in record.params]
        return sorted(found, key=lambda record: -sign * (record.value or 0.0))


def _space(view: _View, choices: Sequence[Value]) -> dict[str, Refined]:
    spec = view.plan.spec
    refined: dict[str, Refined] = {}
    left: dict[str, tuple[Value, ...]] = {}
    for name, parameter in spec.space.parameters.items():
        if (when := _still(parameter.when, left)) is None and parameter.when is not None:
            continue  # it exists only for values that are left out
        parameter = replace(parameter, when=when)
        if name == spec.scientific:
            assert isinstance(parameter, Choice)
            kept = tuple(value for value in parameter.choices if value in choices)
            found = Refined(parameter=replace(parameter, choices=kept))
        elif isinstance(parameter, Choice):
            found = _choice(view, name, parameter)
        else:
            found = _number(view, name, parameter)
        refined[name] = found
        if isinstance(found.parameter, Choice):
            left[name] = found.parameter.choices
    Space({name: one.parameter for name, one in refined.items()})  # checked before it is written
    return refined


def _still(when: When | None, left: Mapping[str, tuple[Value, ...]]) -> When | None:
    """Return the condition with the values that are left; None: there is none."""
    if when is None:
        return None
    values = tuple(value for value in when.values if value in left.get(when.parameter, ()))
    return When(when.parameter, values) if values else None


def _choice(view: _View, name: str, parameter: Choice) -> Refined:
    """Drop values that no kept configuration has and whose trials were worse in the median."""
    metric = view.plan.spec.metric
    used = {params[name] for params in view.kept if name in params}
    values: dict[Value, list[float]] = {value: [] for value in parameter.choices}
    for record in view.having(name):
        values[record.params[name]].append(record.value or 0.0)
    # The median: a few collapsed trials say nothing of a value's usual worth.
    medians = {value: median(found) for value, found in values.items() if found}
    usual = [medians[value] for value in used if value in medians]
    if not usual:
        return Refined(parameter=parameter)
    sign = view.plan.goals.sign
    least = min(usual, key=lambda found: sign * found)
    kept = tuple(
        value
        for value in parameter.choices
        if value in used
        or len(values[value]) < ENOUGH_TRIALS
        or sign * medians[value] >= sign * least
    )
    if len(kept) == len(parameter.choices):
        return Refined(parameter=parameter)
    shown = ", ".join(
        f"{value} {metric_text(metric, medians.get(value))} ({len(values[value])})"
        for value in parameter.choices
    )
    return Refined(
        parameter=replace(parameter, choices=kept),
        why=f"no kept configuration has another value; medians (trials): {shown}",
    )


def _number(view: _View, name: str, parameter: Float | Int) -> Refined:
    """Cut the range to where the better half of the trials lies, or widen it at a bound."""
    trials = view.having(name)
    # A step would have to divide the new range, too.
    if len(trials) < ENOUGH_TRIALS or parameter.step is not None:
        return Refined(parameter=parameter)
    scale = _Scale(parameter)
    good = [r.params[name] for r in trials[: max(2, math.ceil(len(trials) / 2))]]
    must = [params[name] for params in view.kept if name in params]
    best = [params[name] for params in view.leading if name in params]
    places = [scale.place(value) for value in (*good, *must)]
    low, high = max(0.0, min(places) - PADDING), min(1.0, max(places) + PADDING)
    notes = []
    at = [scale.place(value) for value in best]
    if at and min(at) <= BOUND_SHARE:
        low = -WIDER
        notes.append(f"a leading value, {min(best):.3g}, lies on the lower bound")
    if at and max(at) >= 1 - BOUND_SHARE:
        high = 1 + WIDER
        notes.append(f"a leading value, {max(best):.3g}, lies on the upper bound")
    if not notes and high - low > WORTH:
        return Refined(parameter=parameter)
    if not notes:
        span = f"{scale.written(min(good))} to {scale.written(max(good))}"
        notes.append(f"the better {len(good)} of {len(trials)} trials have {span}")
    made = scale.part(low, high)
    adapter, setting = view.plan.adapter, view.plan.spec.space.setting(name)
    refused = (adapter.refused(setting, end, source=name) for end in (made.low, made.high))
    problem = next(filter(None, refused), "")
    if problem:
        why = f"{' and '.join(notes)}, but the trainer allows no more: {problem}"
        return Refined(parameter=parameter, why=why)
    old = f"{scale.written(parameter.low)} to {scale.written(parameter.high)}"
    return Refined(parameter=made, why=f"was {old}: {' and '.join(notes)}")


class _Scale:
    """A parameter's own scale: 0 is its lower bound, 1 its upper one."""

    def __init__(self, parameter: Float | Int) -> None:
        self.parameter = parameter
        self.low, self.high = self._to(parameter.low), self._to(parameter.high)

    def place(self, value: float) -> float:
        return (self._to(value) - self.low) / (self.high - self.low)

    def _to(self, value: float) -> float:
        return math.log(value) if self.parameter.log else float(value)

    def written(self, value: float) -> str:
        return f"{value:.3g}"

    def part(self, low: float, high: float) -> Float | Int:
        """Return the parameter with the range from ``low`` to ``high``, of three digits."""
        ends = [self.low + at * (self.high - self.low) for at in (low, high)]
        ends = [math.exp(end) if self.parameter.log else end for end in ends]
        if isinstance(self.parameter, Int):
            return replace(self.parameter, low=math.floor(ends[0]), high=math.ceil(ends[1]))
        # Rounded outwards, so that what was to be kept stays inside.
        return replace(
            self.parameter, low=_rounded(ends[0], math.floor), high=_rounded(ends[1], math.ceil)
        )


def _rounded(value: float, whole: Any) -> float:
    if value == 0:
        return 0.0
    digits = 2 - math.floor(math.log10(abs(value)))
    return float(f"{whole(value * 10**digits) / 10**digits:.{max(0, digits)}f}")
