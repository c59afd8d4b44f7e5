"""What all figures of a report share: how the metric is drawn, and trials as marks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from studies.book.records import TrialRecord
from studies.report.numbers import is_share, metric_text, params_text
from studies.report.scales import Scale, scale_of
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
