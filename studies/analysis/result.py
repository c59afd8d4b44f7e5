"""What a study found so far: the one source of ``run``, ``status``, ``export`` and reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from studies.analysis.candidates import Candidate
from studies.analysis.doubts import PrunerWouldStopWinner, SeedSpread
from studies.analysis.holdout_record import HoldoutRecord
from studies.analysis.verdict import Verdicts
from studies.core.goals import judged_by
from studies.core.trials import Forked, TrialRecord
from studies.planning.plan import Plan
from studies.search.learned import Learned
from studies.search.stopping import Stop
from studies.statistics.intervals import Interval
from studies.statistics.multiple import Gain
from studies.statistics.pooled import Collapse

Standing = Literal["best", "the same", "tie", "too noisy", "collapsed", "worse", "runner-up", ""]
"""How a row compares with the best one; ``the same``: it is that configuration; ``runner-up``:
another configuration of its choice leads."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the final table.

    Attributes:
        candidate: what was confirmed; None for a choice without a COMPLETE trial.
        complete: search trials of the choice that ran their full budget.
        values: the metric by confirm seed.
        confirm: its mean and interval, of its sound seeds; None as long as nothing was confirmed.
        test: the mean of the same models on the test images; None: not read.
        gap: this row minus the best choice; None for the best itself, for the same configuration
            under another label, and for one with collapsed seeds.
        on_bound: parameters whose best value lies on a bound of the space, with the bound.
        stopped_after: number of confirm seeds after which the race stopped it; None: it did not.
        gap_to_default: this row minus the default configuration; None: it is that, or not judged.
        collapsed: the seeds that are far worse than its best one; None: there is none.
        luck: standard deviation of its best search value, were its trials drawn again; None: it has
            fewer than two.
        runners_up: rows of the choice's other confirmed configurations, which another one leads;
            they are on the first seeds only and in no verdict on configurations.
    """

    label: str
    candidate: Candidate | None
    complete: int
    pruned: int
    failed: int
    values: Mapping[int, float] = field(default_factory=dict)
    confirm: Interval | None = None
    gap: Interval | None = None
    test: Interval | None = None
    seconds: float | None = None
    confirm_failed: int = 0
    on_bound: tuple[str, ...] = ()
    stopped_after: int | None = None
    gap_to_default: Interval | None = None
    collapsed: Collapse | None = None
    luck: float | None = None
    runners_up: tuple["Row", ...] = ()


@dataclass(frozen=True, kw_only=True)
class StudyResult:
    """What a study found; ``rows`` are sorted, best first, those without a value last.

    A choice's row is its leader's; ``shown_rows`` has the runners-up beneath.

    Attributes:
        best: label of the row with the best confirm mean; None as long as nothing was confirmed.
        verdicts: which configuration is best, and which choice is when tuned as here.
        confirm: the COMPLETE confirm records by label, in the order of the seeds; to count or add
            them up take ``confirmed``.
        failures: how often each reason of failure came, most frequent first.
        environment: versions and data hashes of the confirmation.
        trained: trainings that this run ended; 0 for a study that was finished before.
        stopped: why the search was ended before its last trial; None: it was not.
        learned: the earlier studies that it has learned from.
        seed_spread: how much the seed decides; None: too few configurations to say.
    """

    plan: Plan
    rows: tuple[Row, ...]
    best: str | None
    test: HoldoutRecord
    confirm: Mapping[str, tuple[TrialRecord, ...]]
    states: Mapping[str, int]
    failures: tuple[tuple[str, int], ...]
    verdicts: Verdicts = field(default_factory=Verdicts)
    environment: Mapping[str, Any] = field(default_factory=dict)
    trained: int = 0
    stopped: Stop | None = None
    seed_spread: SeedSpread | None = None
    pruner_stops_winner: PrunerWouldStopWinner | None = None
    forked: Forked | None = None
    learned: tuple[Learned, ...] = ()
    front: tuple[TrialRecord, ...] = ()

    @property
    def ties(self) -> tuple[str, ...]:
        """Labels of configurations that may be as good as the best one, nearest first."""
        found = self.verdicts.configurations
        return found.comparison.ties if found else ()

    @property
    def noisy(self) -> tuple[str, ...]:
        """Labels that are not shown to be worse, but only because their seeds differ so much."""
        found = self.verdicts.configurations
        return found.comparison.unclear if found else ()

    @property
    def to_default(self) -> Gain | None:
        """The best configuration against the default one; None: it is the default, or nothing is.

        Larger is better, whatever the metric's direction.
        """
        found = self.verdicts.configurations
        return found.gains.get(self.best or "") if found else None

    @property
    def confirmed(self) -> tuple[TrialRecord, ...]:
        """The COMPLETE confirm records, by number, each once."""
        # A choice's best may be the default one: two labels, one set of trainings.
        records = {r.number: r for of_label in self.confirm.values() for r in of_label}
        return tuple(records[number] for number in sorted(records))

    @property
    def judged_metric(self) -> str:
        """The metric that confirmed models are judged by, e.g. ``confirm_accuracy``."""
        metric = self.plan.spec.metric
        return judged_by(metric, self.confirmed[0].metrics) if self.confirmed else metric

    @property
    def untested(self) -> int:
        """Confirmed models without a test value, though the test set was read."""
        if not self.test.seen:
            return 0
        return len({record.number for record in self.confirmed} - self.test.values.keys())

    @property
    def shown_rows(self) -> tuple[Row, ...]:
        """All rows, the runners-up of a choice beneath it, as soon as they are trained."""
        return tuple(
            one
            for row in self.rows
            for one in (
                row,
                *(each for each in row.runners_up if each.values or each.confirm_failed),
            )
        )

    @property
    def several(self) -> bool:
        """Whether the study has several objectives: rows are of its Pareto front then."""
        return bool(self.plan.settings.search.objectives)

    @property
    def best_row(self) -> Row | None:
        """The row with the best confirm mean."""
        return next((row for row in self.rows if row.label == self.best), None)

    @property
    def default_row(self) -> Row | None:
        """The row of the default configuration, which may be the best one itself."""
        return next((row for row in self.rows if row.candidate and row.candidate.default), None)

    def standing(self, row: Row) -> Standing:
        """Say how a row compares with the best one; "": not confirmed, or there is a front."""
        best = self.best_row
        if self.several or best is None or row.confirm is None or row.candidate is None:
            return ""
        if row.candidate.runner_up:
            return "runner-up"
        if row is best:
            return "best"
        if best.candidate is not None and row.candidate.params == best.candidate.params:
            return "the same"
        if row.collapsed is not None:
            return "collapsed"
        if row.label in self.noisy:
            return "too noisy"
        return "tie" if row.label in self.ties else "worse"


def means(result: StudyResult, row: Row) -> tuple[float, ...]:
    """Return the mean of each objective over the confirm seeds; empty before there are any."""
    records = result.confirm.get(row.label, ())
    values = [record.values for record in records if record.values]
    return tuple(sum(of_one) / len(of_one) for of_one in zip(*values, strict=True))
