"""Notes in Markdown for the dashboard: of a study, and of each trial its result and settings."""

from collections.abc import Mapping, Sequence
from typing import Any

from mnist_core.console.plain_text import counted
from mnist_core.console.plain_text import markdown as escaped
from mnist_core.evaluation import validation_summary
from mnist_core.evaluation.right_answers import NAME as RIGHT
from studies.analysis.figure_data import best_first, best_of, complete
from studies.analysis.stored_study import Stored
from studies.core.attributes import ENQUEUED, LABEL, LEARNED, SENTINEL
from studies.core.formatting import duration, metric_on_test, metric_text, params_text
from studies.core.seeds import nth_confirm_seed
from studies.core.trials import TrialRecord, TrialState
from studies.core.words import words
from studies.dashboard.pictures import CONFUSION
from studies.dashboard.standings import on_seeds, row_of, so_far, standing_text, study_text
from studies.report.overview import counts_text
from studies.report.sparklines import sparkline
from studies.report.table import markdown as result_markdown


def study_note(stored: Stored) -> str:
    """Return the note of a study's search, in Markdown."""
    said, progress = f"**{escaped(study_text(stored))}**", f"*{_progress(stored)}*"
    if stored.differs:
        said = (
            "*The dashboard was opened with other settings than the study was run with, so no"
            f" result is shown: {stored.differs}*"
        )
        progress = ""
    if stored.result is not None and stored.result.best is not None:
        return f"{said}\n\n{result_markdown(stored.result)}\n{progress}\n"
    spec = stored.plan.spec
    parts = [said, _best(stored), f"# {spec.name}", spec.goal, progress]
    return "\n\n".join(part for part in parts if part) + "\n"


def confirm_note(stored: Stored) -> str:
    """Return the note of a study's confirmation, in Markdown."""
    spec = stored.plan.spec
    of_each = f" of each {spec.scientific}" if spec.compares else ""
    default = "the baseline's default one" if spec.compares else "the default one"
    text = (
        f"The best configurations{of_each} that the search `{stored.plan.name}` found"
        f"{f', and {default}' if spec.reference is not None else ''}, trained again on the same"
        " fresh seeds."
    )
    verdict, rest = study_note(stored).split("\n\n", maxsplit=1)
    return f"{verdict}\n\n{text}\n\n{rest}"


def _progress(stored: Stored) -> str:
    lease = stored.lease
    who = f"run by process {lease.pid} on {lease.host}" if lease and lease.live else "not running"
    said = [f"Phase: {stored.phase}, {who}"]
    said.append(f"search: {counts_text(stored.search)} of {stored.plan.search_budget}")
    if stored.stopped is not None:
        said.append(str(stored.stopped))
    if stored.confirm:
        said.append(f"confirm: {counts_text(stored.confirm)}")
    return "; ".join(said) + "."


def _best(stored: Stored) -> str:
    spec = stored.plan.spec
    best = best_of(complete(stored.search), stored.plan.goals.sign)
    if best is None:
        return ""
    return (
        f"Best trial so far, on one seed: {metric_text(spec.metric, best.value)},"
        f" trial {best.number}, `{params_text(best.params)}`."
    )


_DRAWN = (CONFUSION, validation_summary.NAME)
_DEPTH = 2
_LONGEST = 200
_PLAIN = str | int | float | bool | None


def readable(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Return ``attributes`` as text, nested values as rows of their own, ``budget.trials``."""
    rows: dict[str, str] = {}
    for name, value in attributes.items():
        # Confusion matrix, curves and mistakes are drawn: as text they fill pages.
        if name not in _DRAWN and value is not None:
            rows |= _rows(name, value)
    return {name: text for name, text in rows.items() if len(text) <= _LONGEST}


def is_number(text: str) -> bool:
    """Whether ``text`` is a number, as ``readable`` writes it."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _rows(name: str, value: Any, depth: int = 1) -> dict[str, str]:
    if isinstance(value, Mapping):
        if depth > _DEPTH:
            return {}
        found: dict[str, str] = {}
        for key, inner in value.items():
            found |= _rows(f"{name}.{key}", inner, depth + 1)
        return found
    if isinstance(value, list | tuple):
        plain = all(isinstance(one, _PLAIN) for one in value)
        return {name: ", ".join(map(_text, value))} if plain else {}
    return {name: _text(value)}


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


_WRITTEN = 12
"""Reports of a curve that are written out, the last ones."""


class TrialNotes:
    """Writes the notes of the trials of a study's search or confirmation."""

    def __init__(self, stored: Stored, *, confirm: bool) -> None:
        self._stored, self._confirm = stored, confirm
        self._spec = stored.plan.spec
        self._words = words(own=self._spec.own is not None)
        ended = best_first(complete(stored.search), stored.plan.goals.sign)
        adapter = stored.plan.adapter
        planned = adapter.most_reports if adapter.reports is None else adapter.reports
        # The dashboard may have been opened with other settings than the study was run with.
        self._reports = max((max(r.curve, default=0) for r in ended), default=planned)
        self._ranks = _ranks(ended)
        self._own_ranks: dict[int, tuple[int, int]] = {}
        for choice in self._spec.groups:
            self._own_ranks |= _ranks(
                [r for r in ended if r.params.get(self._spec.scientific) == choice]
            )

    def note(self, record: TrialRecord) -> str:
        """Return the note of one trial, in Markdown."""
        first, *further = [said for said in (self._standing(record), self.verdict(record)) if said]
        lines = [f"**{first}**", *further, self._curve(record), self._params(record)]
        lines.append(self._circumstances(record))
        if record.failure is not None and record.failure.traceback:
            # Three backticks in a traceback would end the code block.
            text = record.failure.traceback.replace("```", "` ` `")
            lines.append(f"```\n{text}\n```")
        return "\n\n".join(line for line in lines if line)

    def verdict(self, record: TrialRecord) -> str:
        """Return a sentence about a trial's result."""
        value = metric_text(self._spec.metric, record.value)
        choice = record.params.get(self._spec.scientific, "its choice")
        if not self._spec.compares:
            choice = "all trials"
        at = f"at report {max(record.curve, default=0)} of {self._reports}"
        if record.paused:
            return f"Paused, {at}; it continues if it is among the best of {choice}."
        if record.state == TrialState.RUNNING:
            return f"Running, {at}."
        if record.state == TrialState.WAITING:
            return "Waits to be run" + (" again." if record.curve or record.attempt else ".")
        if record.state == TrialState.PRUNED:
            said = f"Stopped by the pruner ({self._stored.plan.settings.search.pruner}) {at}"
            return f"{said}, with {value}."
        if not record.complete:
            failure = record.failure
            return f"Failed: {escaped(failure.text)}" if failure else "Failed."
        if self._confirm:
            return f"{value} {self._confirmed(record)}"
        if record.number not in self._ranks:
            return f"{value}."
        own, of_own = self._own_ranks[record.number]
        rank, of_all = self._ranks[record.number]
        if not self._spec.compares:
            return f"{value}: {_nth(rank)} of all {of_all} that ran to their end."
        place = f"best of the {of_own} of {choice}" if own == 1 else f"{_nth(own)} of {choice}"
        if of_own == 1:
            place = f"the only one of {choice} so far"
        return f"{value}: {place}, {_nth(rank)} of all {of_all} that ran to their end."

    def _standing(self, record: TrialRecord) -> str:
        """Return a sentence: how the confirmed configuration of a trial stands."""
        result = self._stored.result
        row = row_of(result, record, confirm=self._confirm)
        if result is not None and row is not None:
            return escaped(f"{so_far(self._stored)}{standing_text(result, row)}")
        if self._confirm or result is None or result.several or result.best_row is None:
            return ""
        if self._ranks.get(record.number, (0, 0))[0] != 1:
            return ""
        best = result.best_row
        trial = best.candidate.search_trial if best.candidate else None
        which = best.label if trial is None else f"{best.label}, trial {trial}"
        return (
            f"The best single {self._words.trial} of the search, not the study's answer."
            f" That is {which}, confirmed: {on_seeds(result, best)}."
        )

    def _confirmed(self, record: TrialRecord) -> str:
        label = record.attributes.get(LABEL, "a configuration")
        test = self._stored.test.values.get(record.number, {})
        name = metric_on_test(self._spec.metric)
        read = f"; {self._words.tested} {metric_text(name, test[name])}" if name in test else ""
        answers = record.attributes.get(RIGHT)
        again = "run" if self._spec.own is not None else "trained"
        judged = f"on the {answers['of']}, " if answers else ""
        plan = self._stored.plan
        nth = nth_confirm_seed(plan.settings.search.seed, plan.confirm_seeds, record.seed)
        seed = f"fresh seed {nth}" if nth else "a fresh seed"
        return f"{judged}for {label}, {again} again on {seed}{read}."

    def _curve(self, record: TrialRecord) -> str:
        values = list(record.curve.values())
        if not values:
            return ""
        last = [metric_text(self._spec.metric, value) for value in values[-_WRITTEN:]]
        return f"`{sparkline(values)}` {self._spec.metric} by report: {', '.join(last)}"

    def _params(self, record: TrialRecord) -> str:
        rows = [f"| {name} | `{_text(value)}` |" for name, value in record.params.items()]
        return "\n".join(["| parameter | value |", "|---|---|", *rows]) if rows else ""

    def _circumstances(self, record: TrialRecord) -> str:
        known = record.attributes
        facts = [duration(record.seconds)] if record.seconds is not None else []
        facts += [str(known[name]) for name in ("device_name", "precision") if name in known]
        if "n_parameters" in known:
            facts.append(f"{known['n_parameters']:,} parameters")
        facts.append(f"seed {record.seed}")
        if record.attempt:
            facts.append(f"lost with its worker and run again {counted(record.attempt, 'time')}")
        if not self._confirm and record.number < len(self._spec.defaults):
            facts.append("the default configuration, never pruned")
        if SENTINEL in known:
            facts.append("a sentinel: it ran unpruned")
        over = {name: excess for name, excess in record.excesses.items() if excess > 0}
        facts += [f"{name} is {excess:.1%} over its limit" for name, excess in over.items()]
        if ENQUEUED in known:
            facts.append(f"enqueued from {known[ENQUEUED]}")
        if LEARNED in known and not known[LEARNED].get("left"):
            origin = known[LEARNED]
            facts.append(f"learned from {origin['study']}, trial {origin['trial']}")
        return "; ".join(facts)


def _ranks(ordered: Sequence[TrialRecord]) -> dict[int, tuple[int, int]]:
    """Return rank, from 1, and the number of ranks, by trial; equal values share a rank."""
    ranks: dict[int, tuple[int, int]] = {}
    rank, before = 1, None
    for place, record in enumerate(ordered, 1):
        if record.value != before:
            rank, before = place, record.value
        ranks[record.number] = (rank, len(ordered))
    return ranks


def _nth(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    ending = "th" if number % 100 in (11, 12, 13) else endings.get(number % 10, "th")
    return f"{number}{ending}"
