"""A study in Markdown: its question, how far it is, and what it found so far."""

from collections import Counter

from studies.book.records import TrialRecord
from studies.book.stored import Stored
from studies.report.numbers import metric_text, params_text
from studies.report.table import markdown


def study_note(stored: Stored) -> str:
    """Return the note of a study's search, in Markdown."""
    if stored.differs:
        progress = (
            "*The dashboard was opened with other settings than the study was run with, so no"
            f" result is shown: {stored.differs}*"
        )
    else:
        progress = f"*{_progress(stored)}*"
    if stored.result is not None and stored.result.best is not None:
        return f"{markdown(stored.result)}\n{progress}\n"
    spec = stored.plan.spec
    parts = [f"# {spec.name}", spec.goal, progress, _best(stored)]
    return "\n\n".join(part for part in parts if part) + "\n"


def confirm_note(stored: Stored) -> str:
    """Return the note of a study's confirmation, in Markdown."""
    text = (
        f"The best configuration of each {stored.plan.spec.scientific} that the search"
        f" `{stored.plan.name}` found, and the baseline's default one, trained again on the same"
        " fresh seeds."
    )
    return f"{text}\n\n{study_note(stored)}"


def _progress(stored: Stored) -> str:
    lease = stored.lease
    who = f"run by process {lease.pid} on {lease.host}" if lease and lease.live else "not running"
    said = [f"Phase: {stored.phase}, {who}"]
    said.append(f"search: {_counts(stored.search)} of {stored.plan.search_budget}")
    if stored.stopped is not None:
        said.append(str(stored.stopped))
    if stored.confirm:
        said.append(f"confirm: {_counts(stored.confirm)}")
    return "; ".join(said) + "."


def _counts(records: list[TrialRecord]) -> str:
    counts = Counter(record.state.lower() for record in records)
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"


def _best(stored: Stored) -> str:
    spec = stored.plan.spec
    sign = 1.0 if spec.direction == "maximize" else -1.0
    complete = [r for r in stored.search if r.state == "COMPLETE" and r.value is not None]
    if not complete:
        return ""
    best = max(complete, key=lambda record: sign * (record.value or 0.0))
    return (
        f"Best trial so far, on one seed: {metric_text(spec.metric, best.value)},"
        f" trial {best.number}, `{params_text(best.params)}`."
    )
