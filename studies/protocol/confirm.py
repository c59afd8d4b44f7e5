"""The confirmation: candidates are trained again on fresh seeds, all of them or in a race.

On the first seeds the best configurations of each choice race within it; the leader gets the other
seeds, see ``studies/analysis/runners_up.py``. With ``confirm.racing`` the leaders race against each
other.

What is due follows from the plan and the values so far, so an interrupted confirmation resumes by
asking again.
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from studies.analysis.candidates import Candidate
from studies.analysis.racing import FIRST_LOOK, race
from studies.analysis.runners_up import leads
from studies.analysis.summary import metric_step
from studies.core.attributes import LABEL, RACE
from studies.core.events import Stream
from studies.core.seeds import FIRST_SEEDS
from studies.core.trials import TrialRecord, TrialState
from studies.ledger.opening import Entry, TrialBook
from studies.search.enqueued import identity
from studies.spec import StudySpec

Later = Callable[[Sequence[TrialRecord]], int]
OpenBook = Callable[[Sequence[Entry], Later], AbstractContextManager[TrialBook]]
"""Opens the confirmation with the trainings that are due, and what tells how many come later."""


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A confirmation that has ended; its ``book`` is still open.

    Attributes:
        records: its trials.
        race: the configurations that were stopped, by ``identity``, with their number of seeds.
    """

    book: TrialBook
    records: Sequence[TrialRecord]
    race: Mapping[str, int]


@contextmanager
def confirmed(
    rules: "Rules",
    *,
    open_book: OpenBook,
    run_remaining: Callable[[TrialBook], None],
    stream: Stream,
) -> Iterator[Confirmed]:
    """Train what is due until nothing more is, and yield the confirmation with its open book."""
    if rules.racing and len(rules.seeds) <= FIRST_LOOK:
        text = (
            f"confirm.racing: no candidate is stopped before {FIRST_LOOK} seeds, so with"
            f" {len(rules.seeds)} it saves nothing; raise confirm.seeds"
        )
        stream.emit("message", None, text=text, level="info")
    offered: set[str] = set()
    entries = rules.due([])
    while True:
        # A training that failed is tried again once a run, not in every round.
        fresh = [entry for entry in entries if entry.identity not in offered]
        offered |= {entry.identity for entry in entries}
        with open_book(fresh, rules.later) as book:
            run_remaining(book)
            records = book.records()
            entries = rules.due(records)
            stopped = rules.losers(records)
            rules.keep(book, stopped, stream)
            if all(entry.identity in offered for entry in entries):
                yield Confirmed(book=book, records=records, race=stopped)
                return


class Rules:
    """Which trainings of a confirmation are due, and who is out of the race."""

    def __init__(
        self, spec: StudySpec, seeds: Sequence[int], chosen: Sequence[Candidate], *, racing: bool
    ) -> None:
        self.racing, self.seeds = racing, seeds
        self._spec, self._chosen = spec, chosen
        self._different: list[Candidate] = []
        # The baseline's default may be a winner as well: it is trained once.
        for candidate in chosen:
            if all(candidate.params != other.params for other in self._different):
                self._different.append(candidate)

    def due(self, records: Sequence[TrialRecord]) -> list[Entry]:
        """Return the trainings up to the first unfinished round, seed by seed."""
        on, undecided = self._going_on(records)
        stopped, ended = self.losers(records), _ended(records)
        entries: list[Entry] = []
        for index, seed in enumerate(self.seeds):
            still = [
                one
                for one in self._different
                if index < FIRST_SEEDS or identity(one.params) in on
                if index < stopped.get(identity(one.params), len(self.seeds))
            ]
            entries += [_entry(one, seed) for one in still]
            if not self.racing:
                continue
            # Before the first look the rounds are trained together, if all leaders are known.
            if index + 1 < (FIRST_SEEDS if undecided else FIRST_LOOK):
                continue
            if undecided or any((identity(one.params), seed) not in ended for one in still):
                break
        return entries

    def later(self, records: Sequence[TrialRecord]) -> int:
        """Return the most trainings that come due after those that are due now."""
        known = _ended(records) | {(identity(one.params), one.seed) for one in self.due(records)}
        stopped, most = self.losers(records), set[tuple[str, int]]()
        # The default gets all seeds, whichever configuration leads its choice.
        alone = [[one] for one in self._chosen if one.default]
        found = leads(self._spec, self._chosen, records, self.seeds)
        for rivals in [
            *([lead.leader, *lead.others * (not lead.decided)] for lead in found),
            *alone,
        ]:
            names = [identity(one.params) for one in rivals]
            left = [
                {(name, seed) for seed in self.seeds[: stopped.get(name, None)]} - known
                for name in names
            ]
            most |= max(left, key=len)
        return len(most)

    def _going_on(self, records: Sequence[TrialRecord]) -> tuple[set[str], int]:
        """Return who gets more than the first seeds, by ``identity``, and the undecided choices."""
        found = leads(self._spec, self._chosen, records, self.seeds)
        on = [lead.leader for lead in found if lead.decided]
        on += [one for one in self._chosen if one.default]
        return {identity(one.params) for one in on}, sum(not lead.decided for lead in found)

    def losers(self, records: Sequence[TrialRecord]) -> dict[str, int]:
        """Return the configurations that the race stops, by ``identity``, with their seeds."""
        on, undecided = self._going_on(records)
        if not self.racing or undecided:
            return {}
        # An infeasible configuration wins nothing, so it beats no other one either.
        kept = {identity(one.params) for one in self._different if one.feasible} & on
        complete = [r for r in records if r.complete and r.value is not None]
        values: dict[str, dict[int, float]] = {one: {} for one in sorted(kept)}
        for record in complete:
            if record.value is not None and (one := identity(record.params)) in kept:
                values[one][record.seed] = record.value
        judge = functools.partial(
            race,
            values,
            self.seeds,
            spared=[identity(one.params) for one in self._chosen if one.default],
            direction=self._spec.direction,
            step=metric_step(self._spec.metric, complete),
        )
        ended, rounds = _ended(records), 0
        stopped: dict[str, int] = {}
        # A round counts when it has finished for all that are still in the race.
        while rounds < len(self.seeds) and all(
            (one, self.seeds[rounds]) in ended for one in kept if one not in stopped
        ):
            rounds += 1
            stopped = judge(rounds=rounds)
        return stopped

    def keep(self, book: TrialBook, stopped: Mapping[str, int], stream: Stream) -> None:
        """Keep with the study which candidates are stopped, and tell which are new."""
        before = book.study.user_attrs.get(RACE) or {}
        # A resume finds the same losers again; only new ones get a line.
        if before == stopped:
            return
        for candidate in self._different:
            seeds = stopped.get(identity(candidate.params))
            if seeds is not None and before.get(identity(candidate.params)) != seeds:
                text = (
                    f"race: {candidate.label} has clearly lost after {seeds} of {len(self.seeds)}"
                    " seeds and gets no more"
                )
                stream.emit("message", None, text=text, level="info")
        book.set_attribute(RACE, dict(stopped))


def _ended(records: Sequence[TrialRecord]) -> set[tuple[str, int]]:
    return {
        (identity(record.params), record.seed)
        for record in records
        if record.state in (TrialState.COMPLETE, TrialState.FAIL)
    }


def _entry(candidate: Candidate, seed: int) -> Entry:
    return Entry(params=candidate.params, seed=seed, attributes={LABEL: candidate.label})
