"""The confirmation: candidates are trained again on fresh seeds, all of them or in a race.

What is due follows from the plan and the values so far, so an interrupted confirmation goes on by
asking again. Without ``confirm.racing`` that is every candidate on every seed; with it, seeds are
rounds, and candidates that ``studies/analysis/racing.py`` stops are left out of the later ones.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from studies.analysis.candidates import Candidate
from studies.analysis.racing import FIRST_LOOK, race
from studies.analysis.summary import metric_step
from studies.core.attributes import RACE
from studies.core.events import Stream
from studies.core.seeds import confirm_seeds
from studies.core.trials import TrialRecord
from studies.ledger.opening import Book, Entry
from studies.planning.plan import Plan
from studies.search.enqueued import identity

OpenBook = Callable[[Sequence[Entry]], AbstractContextManager[Book]]
"""Opens the confirmation with the trainings that are due."""


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A confirmation that has ended.

    Attributes:
        book: its book, still open.
        records: its trials.
        race: the configurations that were stopped, by ``identity``, with their seeds.
    """

    book: Book
    records: Sequence[TrialRecord]
    race: Mapping[str, int]


@contextmanager
def confirmed(
    plan: Plan,
    chosen: Sequence[Candidate],
    *,
    open_book: OpenBook,
    work_off: Callable[[Book], None],
    stream: Stream,
) -> Iterator[Confirmed]:
    """Train what is due until nothing more is, and hand out the open book.

    Args:
        plan: the study's.
        chosen: what is confirmed.
        open_book: opens the confirmation.
        work_off: trains what a book still lacks.
        stream: gets a message for each candidate that is stopped.
    """
    if plan.settings.confirm.racing and plan.confirm_seeds <= FIRST_LOOK:
        text = (
            f"confirm.racing: nobody is stopped before {FIRST_LOOK} seeds, so with"
            f" {plan.confirm_seeds} it saves nothing; raise confirm.seeds"
        )
        stream.emit("message", None, text=text, level="info")
    offered: set[str] = set()
    entries = due(plan, chosen, [])
    while True:
        # A training that failed is tried again once a run, not in every round.
        fresh = [entry for entry in entries if entry.identity not in offered]
        offered |= {entry.identity for entry in entries}
        with open_book(fresh) as book:
            work_off(book)
            records = book.records()
            entries = due(plan, chosen, records)
            stopped = losers(plan, chosen, records)
            _keep(plan, chosen, book, stopped, stream)
            if all(entry.identity in offered for entry in entries):
                yield Confirmed(book=book, records=records, race=stopped)
                return


def due(plan: Plan, chosen: Sequence[Candidate], records: Sequence[TrialRecord]) -> list[Entry]:
    """Return the trainings up to the first round that is not over, seed by seed.

    Args:
        plan: the study's.
        chosen: what is confirmed.
        records: the confirmation's trials so far.
    """
    seeds = confirm_seeds(plan.settings.search.seed, plan.confirm_seeds)
    if not plan.settings.confirm.racing:
        return [_entry(candidate, seed) for seed in seeds for candidate in _different(chosen)]
    stopped = losers(plan, chosen, records)
    ended = _ended(records)
    entries: list[Entry] = []
    for index, seed in enumerate(seeds):
        still = [
            candidate
            for candidate in _different(chosen)
            if index < stopped.get(identity(candidate.params), len(seeds))
        ]
        entries += [_entry(candidate, seed) for candidate in still]
        # Before the first look the rounds are trained as one.
        if index + 1 < FIRST_LOOK:
            continue
        if any((identity(one.params), seed) not in ended for one in still):
            break
    return entries


def losers(
    plan: Plan, chosen: Sequence[Candidate], records: Sequence[TrialRecord]
) -> dict[str, int]:
    """Return the configurations that the race stops, by ``identity``, with their seeds."""
    if not plan.settings.confirm.racing:
        return {}
    spec = plan.spec
    seeds = confirm_seeds(plan.settings.search.seed, plan.confirm_seeds)
    # What is over a limit of the study wins nothing, so it beats nobody either.
    kept = {identity(one.params) for one in _different(chosen) if one.feasible}
    complete = [r for r in records if r.state == "COMPLETE" and r.value is not None]
    values: dict[str, dict[int, float]] = {one: {} for one in kept}
    for record in complete:
        if record.value is not None and (one := identity(record.params)) in kept:
            values[one][record.seed] = record.value
    arguments = {
        "spared": [identity(candidate.params) for candidate in chosen if candidate.default],
        "direction": spec.direction,
        "step": metric_step(spec.metric, complete),
    }
    ended, rounds = _ended(records), 0
    stopped: dict[str, int] = {}
    # A round counts when it is over for all that are still in it: who that is the race says.
    while rounds < len(seeds) and all(
        (one, seeds[rounds]) in ended for one in kept if one not in stopped
    ):
        rounds += 1
        stopped = race(values, seeds, rounds=rounds, **arguments)  # type: ignore[arg-type]
    return stopped


def _keep(
    plan: Plan,
    chosen: Sequence[Candidate],
    book: Book,
    stopped: Mapping[str, int],
    stream: Stream,
) -> None:
    """Keep with the study who was stopped, and say who is new among them."""
    before = book.study.user_attrs.get(RACE) or {}
    if before == stopped:
        return
    for candidate in _different(chosen):
        seeds = stopped.get(identity(candidate.params))
        if seeds is not None and before.get(identity(candidate.params)) != seeds:
            text = (
                f"race: {candidate.label} has clearly lost after {seeds} of {plan.confirm_seeds}"
                " seeds and gets no more"
            )
            stream.emit("message", None, text=text, level="info")
    book.set_attribute(RACE, dict(stopped))


def _ended(records: Sequence[TrialRecord]) -> set[tuple[str, int]]:
    return {
        (identity(record.params), record.seed)
        for record in records
        if record.state in ("COMPLETE", "FAIL")
    }


def _entry(candidate: Candidate, seed: int) -> Entry:
    return Entry(params=candidate.params, seed=seed, attributes={"label": candidate.label})


def _different(chosen: Sequence[Candidate]) -> list[Candidate]:
    """Leave out a candidate whose parameters an earlier one has: it is trained once."""
    kept: list[Candidate] = []
    for candidate in chosen:
        if all(candidate.params != other.params for other in kept):
            kept.append(candidate)
    return kept
