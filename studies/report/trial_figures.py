"""Figures of the search's trials: history, validation curves, one parameter at a time."""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from mnist_core.console.plain_text import counted
from search_spaces.space import Choice
from studies.analysis.result import StudyResult
from studies.core.formatting import is_share, metric_text, params_text
from studies.core.trials import TrialRecord
from studies.report.scales import Scale, names_scale, scale_of
from studies.report.svg import Chart


@dataclass(frozen=True)
class Figure:
    """A figure with what is to be said of it.

    Attributes:
        title: a few words.
        svg: the chart.
        caption: what is drawn, and what is left out.
    """

    title: str
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Values:
    """How the study's metric is drawn.

    Attributes:
        metric: its name.
        sign: 1.0 to maximise, -1.0 to minimise.
        scale: its axis; bad values lie off it, so that the good ones can be told apart.
    """

    metric: str
    sign: float
    scale: Scale

    @property
    def label(self) -> str:
        """The axis' name, with its unit."""
        return f"{self.metric}, %" if is_share(self.metric) else self.metric

    def of(self, value: float) -> float:
        """Return the number that is drawn: per cent of a share."""
        return 100 * value if is_share(self.metric) else value

    def off(self, value: float) -> bool:
        """Whether ``value`` lies off the axis."""
        return self.scale.off(self.of(value)) != 0

    def text(self, value: float | None) -> str:
        """Write a value."""
        return metric_text(self.metric, value)


def values_of(metric: str, direction: str, values: Sequence[float]) -> Values:
    """Return how to draw ``values``: the worst off the axis if they squash the others."""
    times = 100 if is_share(metric) else 1
    sign = 1.0 if direction == "maximize" else -1.0
    ordered = sorted((times * value for value in values), key=lambda value: -sign * value)
    if not ordered:
        return Values(metric, sign, Scale(0.0, 1.0))
    best, worst = ordered[0], ordered[-1]
    usual = ordered[int(0.6 * (len(ordered) - 1))]
    reach = 2.5 * abs(best - usual)
    end = worst if not reach else sign * max(sign * worst, sign * best - reach)
    return Values(metric, sign, scale_of([best, end], margin=0.06))


def draw_trials(
    chart: Chart,
    records: Sequence[TrialRecord],
    values: Values,
    kind: str,
    where: Callable[[TrialRecord], float],
) -> None:
    """Draw trials as marks.

    Args:
        chart: where.
        records: trials; those without a value are left out.
        values: how the metric is drawn.
        kind: of the marks.
        where: the place of a trial on the lower axis.
    """
    shown = [record for record in records if record.value is not None]
    chart.marks(
        [(where(record), values.of(record.value or 0.0)) for record in shown],
        kind,
        [tip(record, values) for record in shown],
    )


def best_of(records: Sequence[TrialRecord], sign: float) -> TrialRecord | None:
    """Return the trial with the best value, the first of equals; None: none has a value."""
    with_value = [record for record in records if record.value is not None and record.feasible]
    return max(with_value, key=lambda record: sign * (record.value or 0.0), default=None)


def tip(record: TrialRecord, values: Values) -> str:
    """Say of a trial what stands beside the pointer."""
    return f"trial {record.number}: {values.text(record.value)}; {params_text(record.params)}"


CURVES = 40
"""So many curves a choice are drawn at most, the best ones and others drawn by chance."""
POINTS = 40
"""So many points of one curve."""
INFEASIBLE = "INFEASIBLE"


def history(search: Sequence[TrialRecord], values: Values) -> Figure:
    """Draw each trial's value in the order of trials, and the best so far."""
    chart = Chart(
        Scale(-0.5, max(1.0, len(search) - 0.5), whole=True),
        values.scale,
        "Optimization history: the value of each trial, and the best so far",
        x_label="trial",
        y_label=values.label,
    )
    best: list[tuple[float, float]] = []
    for record in search:
        if record.state == "COMPLETE" and record.value is not None and record.feasible:
            value = values.of(record.value)
            if not best or values.sign * value > values.sign * best[-1][1]:
                best.append((record.number, value))
    for state, kind in (("PRUNED", "cross pruned"), ("COMPLETE", "dot complete")):
        of = [r for r in search if r.state == state and r.value is not None]
        draw_trials(chart, of, values, kind, lambda record: float(record.number))
    failed = [record for record in search if record.ending == "FAIL"]
    chart.marks(
        [(float(record.number), chart.y.low) for record in failed],
        "square failed",
        [f"trial {record.number} failed" for record in failed],
    )
    if best:
        chart.steps([*best, (float(len(search) - 1), best[-1][1])], "best")
    said = "Line: the best so far. Dots: trials that ran their full budget"
    if any(record.state == "PRUNED" for record in search):
        said += "; crosses: pruned ones, at their last report"
    if failed:
        said += "; squares at the bottom: failed ones"
    if infeasible := sum(record.ending == INFEASIBLE for record in search):
        said += f"; {infeasible} over a limit of the study were not trained"
    return Figure("Optimization history", chart.render(), said + _off(values, search))


def curves(result: StudyResult, search: Sequence[TrialRecord], values: Values) -> list[Figure]:
    """Draw the validation curves of each choice, pruned ones marked."""
    spec = result.plan.spec
    figures = []
    last = max((max(record.curve) for record in search if record.curve), default=1)
    for choice in spec.choices:
        of = [r for r in search if r.curve and r.params.get(spec.scientific) == choice]
        if not of:
            continue
        shown = _some(of, CURVES, values.sign)
        chart = Chart(
            Scale(0, last, whole=True),
            values.scale,
            f"Validation curves of {choice}",
            x_label="report",
            width=250,
            height=180,
            left=40,
            y_ticks=4,
        )
        ended = [record for record in shown if record.state == "COMPLETE"]
        pruned = [record for record in shown if record.state == "PRUNED"]
        chart.lines([_curve(record, values) for record in pruned], "pruned")
        chart.lines([_curve(record, values) for record in ended], "complete")
        ends = [(r, _curve(r, values)[-1]) for r in pruned if _curve(r, values)]
        chart.marks(
            [at for _, at in ends], "cross pruned", [f"trial {r.number} pruned" for r, _ in ends]
        )
        # A line that ends off the chart, or lies there whole, shows where.
        far = [r for r in ended if (line := _curve(r, values)) and values.scale.off(line[-1][1])]
        chart.marks(
            [_curve(r, values)[-1] for r in far], "dot complete", [tip(r, values) for r in far]
        )
        best = best_of(ended, values.sign)
        if best is not None:
            chart.line(_curve(best, values), "best", title=tip(best, values))
        counts = [f"{sum(r.state == s for r in of)} {s.lower()}" for s in ("COMPLETE", "PRUNED")]
        more = f"; {len(shown)} of {len(of)} drawn" if len(shown) < len(of) else ""
        last_ones = [line[-1][1] for r in shown if (line := _curve(r, values))]
        if off := sum(values.scale.off(y) != 0 for y in last_ones):
            more += f"; {off} end off the chart"
        figures.append(Figure(str(choice), chart.render(), ", ".join(counts) + more))
    return figures


def slices(result: StudyResult, search: Sequence[TrialRecord], values: Values) -> list[Figure]:
    """Draw the value over each nuisance parameter."""
    space, figures = result.plan.spec.space, []
    complete = [r for r in search if r.state == "COMPLETE" and r.value is not None]
    jitter = random.Random(0)
    for name in result.plan.spec.nuisance:
        parameter = space.parameters[name]
        of = [record for record in complete if name in record.params]
        if not of:
            continue
        if isinstance(parameter, Choice):
            places: dict[object, int] = {c: place for place, c in enumerate(parameter.choices)}
            scale = names_scale(map(str, parameter.choices))
            shift = {record.number: jitter.uniform(-0.22, 0.22) for record in of}

            def where(
                record: TrialRecord,
                name: str = name,
                places: Mapping[object, int] = places,
                shift: Mapping[int, float] = shift,
            ) -> float:
                return places[record.params[name]] + shift[record.number]
        else:
            scale = scale_of([parameter.low, parameter.high], log=parameter.log)

            def where(record: TrialRecord, name: str = name) -> float:  # type: ignore[misc]
                return float(record.params[name])

        chart = Chart(
            scale, values.scale, f"Value over {name}", width=250, height=170, left=40, y_ticks=4
        )
        draw_trials(chart, of, values, "dot complete", where)
        best = best_of(of, values.sign)
        if best is not None and best.value is not None:
            at = [(where(best), values.of(best.value))]
            chart.marks(at, "ring best", [tip(best, values)])
        when = parameter.when
        said = f"when {when.parameter} is {', '.join(map(str, when.values))}; " if when else ""
        figures.append(Figure(name, chart.render(), f"{said}{counted(len(of), 'trial')}"))
    return figures


def _curve(record: TrialRecord, values: Values) -> list[tuple[float, float]]:
    points = [
        (float(step), values.of(value))
        for step, value in record.curve.items()
        if math.isfinite(value)
    ]
    if len(points) > POINTS:
        every = (len(points) - 1) / (POINTS - 1)
        points = [points[round(index * every)] for index in range(POINTS)]
    return points


def _some(records: Sequence[TrialRecord], most: int, sign: float) -> list[TrialRecord]:
    if len(records) <= most:
        return list(records)
    ranked = sorted(
        records, key=lambda r: -sign * (r.value if r.value is not None else -sign * 1e300)
    )
    half = most // 2
    chosen = ranked[:half] + random.Random(0).sample(ranked[half:], most - half)
    return sorted(chosen, key=lambda record: record.number)


def _off(values: Values, records: Sequence[TrialRecord]) -> str:
    count = sum(record.value is not None and values.off(record.value) for record in records)
    return (
        f". Triangles: {counted(count, 'trial')} with worse values, off the chart."
        if count
        else "."
    )
