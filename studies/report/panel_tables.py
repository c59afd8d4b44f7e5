"""The tables of the live view: leaderboard, running trials, the trials that ended last."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from studies.core.formatting import bare_text, duration, metric_text, params_text, unit
from studies.report.columns import Column, Row
from studies.report.progress import Ended, Progress, Running
from studies.report.sparklines import sparkline

_WINNER = "bold green"
_STYLES = {"complete": "", "pruned": "cyan", "paused": "blue", "failed": "red", "lost": "red"}


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the panel.

    Attributes:
        rows: without ``columns`` each has one cell.
        head: a line above; with ``columns`` their heads stand there.
        least: lines that it has before another section has more than its own.
        last: of too many rows the last ones are shown, not the first.
    """

    rows: Sequence[Row]
    columns: Sequence[Column] = ()
    head: str = ""
    least: int = 3
    last: bool = False

    @property
    def has_head(self) -> bool:
        """Whether a line stands above the rows."""
        return bool(self.columns or self.head)

    @property
    def lines(self) -> int:
        """Number of lines with all rows."""
        return len(self.rows) + self.has_head


def board(progress: Progress) -> Section:
    """Return the leaderboard: configurations in confirm, else choices, else the best trials."""
    if progress.phase in ("confirm", "test"):
        return _configurations(progress)
    return _choices(progress) if progress.choice else _leaders(progress)


def _choices(progress: Progress) -> Section:
    runs = Counter(str(trial.params.get(progress.choice)) for trial in _runs(progress))
    ranked = progress.leaderboard.ranked()
    rows = []
    for place, (choice, one) in enumerate(ranked):
        best = one.best
        others = {k: v for k, v in best.params.items() if k != progress.choice} if best else {}
        cells = (
            str(choice),
            bare_text(progress.metric, best.value if best else None),
            str(sum(one.counts.values())),
            str(one.counts["pruned"] or ""),
            str(one.counts["failed"] or ""),
            str(runs[str(choice)] or ""),
            str(best.number) if best else "",
            params_text(others),
        )
        rows.append(Row(cells, _WINNER if place == 0 and best else ""))
    named = any(isinstance(choice, str) for choice, _ in ranked)
    columns = (
        Column(head=progress.choice, text=named),
        Column(head=_headed("best", progress), right=True, least=7),
        Column(head="trials", right=True, rank=1),
        Column(head="pruned", right=True, rank=3),
        Column(head="failed", right=True, rank=2),
        Column(head="running", right=True, rank=4),
        Column(head="best trial", right=True, rank=5),
        Column(head="its configuration", text=True, rank=6),
    )
    return _without_blank(Section(rows=rows, columns=columns, least=4), ("pruned", "failed"))


def _leaders(progress: Progress) -> Section:
    rows = []
    for place, best in enumerate(list(progress.leaderboard.leaders)):
        value = bare_text(progress.metric, best.value)
        cells = (str(best.number), value, params_text(best.params))
        rows.append(Row(cells, "" if place else _WINNER))
    columns = (
        Column(head="best trials", right=True),
        Column(head=_headed("value", progress), right=True, least=7),
        Column(head="configuration", text=True, rank=1),
    )
    return Section(rows=rows, columns=columns, least=4)


def _configurations(progress: Progress) -> Section:
    runs = Counter(params_text(trial.params) for trial in _runs(progress))
    metric, rows = progress.metric, []
    for place, one in enumerate(progress.confirmed.ranked()):
        said, values = params_text(one.params), list(one.values)
        ends = [bare_text(metric, end) for end in (min(values), max(values))] if values else []
        cells = (
            str(len(values)),
            bare_text(metric, fmean(values) if values else None),
            " to ".join(ends),
            str(one.failed or ""),
            str(runs[said] or ""),
            said,
        )
        rows.append(Row(cells, _WINNER if place == 0 and values else ""))
    columns = (
        Column(head="seeds", right=True),
        Column(head=_headed("mean", progress), right=True, least=7),
        Column(head="lowest to highest", right=True, rank=2),
        Column(head="failed", right=True, rank=1),
        Column(head="running", right=True, rank=3),
        # Last, since it is the longest; without it a row says nothing.
        Column(head="configuration", text=True),
    )
    return _without_blank(Section(rows=rows, columns=columns, least=4), ("failed",))


def running(progress: Progress, now: float, *, curves: bool) -> Section:
    """Return the trials that run now; ``curves``: with what they have reported, drawn."""
    rows = []
    for trial in _runs(progress):
        curve = list(trial.curve)
        cells = (
            f"{trial.number}" + (f"'{trial.attempt}" if trial.attempt else ""),
            str(trial.step or ""),
            metric_text(progress.metric, curve[-1]) if curve else "",
            duration(max(0.0, now - trial.began)),
            sparkline(curve) if curves else "",
            params_text(trial.params),
        )
        rows.append(Row(cells))
    columns = (
        Column(head="running", right=True),
        Column(head="step", right=True, rank=2),
        Column(head="last value", right=True, rank=1),
        Column(head="time", right=True, rank=3, least=6),
        Column(head="curve", rank=5, least=12 if curves else 0),
        Column(head="configuration", text=True, rank=4),
    )
    section = Section(rows=rows, columns=columns)
    return section if curves else _without_blank(section, ("curve",))


def ended(progress: Progress) -> Section:
    """Return the trials that ended last, the latest first."""
    columns = (
        Column(head="ended", right=True, least=7),
        Column(head="how"),
        Column(head="value", right=True, least=7),
        Column(head="time", right=True, rank=1, least=6),
        Column(head="configuration or reason", text=True, rank=2),
    )
    rows = [_ended(progress, one) for one in reversed(list(progress.ended))]
    return Section(rows=rows, columns=columns)


def _ended(progress: Progress, one: Ended) -> Row:
    at = f" at step {one.step}" if one.kind in ("pruned", "paused") and one.step else ""
    cells = (
        str(one.trial.number),
        f"{one.kind}{at}",
        metric_text(progress.metric, one.value),
        duration(max(0.0, one.seconds)),
        one.reason or params_text(one.trial.params),
    )
    return Row(cells, _STYLES.get(one.kind, ""))


def _runs(progress: Progress) -> list[Running]:
    # A copy: the thread that draws reads what another one writes.
    return list(progress.running.values())


def _headed(what: str, progress: Progress) -> str:
    return f"{what} {unit(progress.metric)}".rstrip()


def _without_blank(section: Section, heads: Sequence[str]) -> Section:
    """Return ``section`` without those columns of ``heads`` in which all cells are empty."""
    kept = [
        index
        for index, column in enumerate(section.columns)
        if column.head not in heads or any(row.cells[index] for row in section.rows)
    ]
    rows = [Row([row.cells[index] for index in kept], row.style) for row in section.rows]
    return replace(section, rows=rows, columns=[section.columns[index] for index in kept])
