"""Time and cost: trainings, seconds, devices."""

from collections.abc import Sequence
from statistics import fmean

from mnist_core.console.plain_text import counted
from studies.analysis import figure_data
from studies.analysis.result import StudyResult
from studies.analysis.scales import Scale, names_scale, room_for
from studies.analysis.stored_study import Stored
from studies.core.formatting import duration
from studies.core.trials import TrialRecord, TrialState
from studies.core.words import words
from studies.report.bars import Bar, draw_bars
from studies.report.blocks import Facts, Figure, Figures, Material, Section
from studies.report.front_table import words_of
from studies.report.svg import Chart

Fact = tuple[str, str]
_BARS = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "CONFIRM": "confirm"}
_SAID = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "CONFIRM": "confirm"}
_ROWS = 40
"""Workers that are drawn at most."""
_UNITS = ((86400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
"""The largest of which there are two is the unit of the axis."""


def section(page: Material) -> Section:
    """Return the section."""
    drawn = (cost(page.result, page.search), workers(page.search, page.found.confirm))
    figures = tuple(Figures((one,)) for one in drawn if one)
    return Section("time", "Time and cost", (Facts(tuple(facts(page.found))), *figures))


def cost(result: StudyResult, search: list[TrialRecord]) -> Figure | None:
    """Draw the seconds of training of each choice, by what they went into; None: there are none."""
    spent = figure_data.seconds_spent(result.plan.spec, search, result.confirmed)
    most = max((sum(by.values()) for by in spent.values()), default=0.0)
    if not most:
        return None
    said = words_of(result)
    by_choice = " by choice" if result.plan.spec.compares else ""
    chart = Chart(
        Scale(0, most * 1.02),
        names_scale(spent),
        f"Seconds {said.spent}{by_choice}",
        x_label=f"time {said.spent}, s",
        y_label=result.plan.spec.scientific or "trials",
        height=72 + 24 * len(spent),
        left=room_for(spent),
    )
    for place, (choice, by) in enumerate(spent.items()):
        begin = 0.0
        for state, kind in _BARS.items():
            if seconds := by[state]:
                title = f"{choice}, {state.lower()}: {seconds:.0f} s"
                draw_bars(chart, [Bar(place, begin, begin + seconds, title)], kind)
                begin += seconds
    return Figure(
        f"Time{by_choice or f' {said.spent}'}",
        chart.render(),
        f"Seconds {said.spent}, left to right: full budget (blue), pruned (orange, slanted"
        f" lines), failed (grey, empty), confirm {said.trial}s (green, upright lines).",
    )


def workers(search: list[TrialRecord], confirm: list[TrialRecord]) -> Figure | None:
    """Draw when each trial ran, a row for each worker; None: no times are known."""
    found = figure_data.timeline(search, confirm)
    if found is None or not found.seconds:
        return None
    times, unit = next((of for of in _UNITS if found.seconds >= 2 * of[0]), _UNITS[-1])
    rows = min(found.lanes, _ROWS)
    names = [str(lane + 1) for lane in range(rows)]
    chart = Chart(
        Scale(0, found.seconds / times),
        names_scale(names),
        "When each trial ran, by worker",
        x_label=f"time since the first start, {unit}",
        y_label="worker",
        width=940,
        height=72 + 22 * rows,
        left=40,
        wide=True,
    )
    for kind in figure_data.SPENT:
        spans = [one for one in found.spans if one.kind == kind and one.lane < rows]
        bars = [
            Bar(
                span.lane,
                span.begin / times,
                span.end / times,
                f"trial {span.number}, {_SAID[kind]}: {span.end - span.begin:.1f} s",
            )
            for span in spans
        ]
        draw_bars(chart, bars, _BARS[kind])
    said = (
        "Each bar is a trial's last attempt: full budget (blue), pruned (orange, slanted lines),"
        " failed (grey, empty), confirm (green, upright lines). A row is a worker, as far as what"
        " ran at once tells them apart."
    )
    if found.lanes > rows:
        said += f" {rows} of {found.lanes} rows are drawn."
    return Figure("Timeline", chart.render(), said)


def facts(found: Stored) -> list[Fact]:
    """Return what a study took, as name and value."""
    rows: list[Fact] = []
    called = words(own=found.plan.spec.own is not None)
    for phase, records in (("Search", found.search), ("Confirm", found.confirm)):
        ended = [record for record in records if record.state.finished]
        if not ended:
            continue
        seconds = sum(record.seconds or 0.0 for record in ended)
        wall = _wall(ended)
        said = f"{counted(len(ended), called.trial)}, {duration(seconds)} {called.spent}"
        if wall:
            said += f" in {duration(wall)} from the first start to the last end"
            said += f" ({3600 * len(ended) / wall:,.0f} an hour, {seconds / wall:.1f} at a time)"
        rows.append((phase, said))
    full = [r.seconds for r in found.search if r.complete and r.seconds]
    if full:
        rows.append(("A trial of full budget", f"{duration(fmean(full))} on average"))
    if saved := _saved(found):
        rows.append(("Saved by pruning", saved))
    # Trials that a killed worker or machine has lost; none of them is missing.
    again = sum(record.attempt for record in [*found.search, *found.confirm])
    if again:
        rows.append(("Lost and run again", counted(again, "time")))
    rows += _where([*found.search, *found.confirm])
    return rows


def _wall(records: Sequence[TrialRecord]) -> float:
    started = [record.started for record in records if record.started]
    ended = [record.ended for record in records if record.ended]
    return (max(ended) - min(started)).total_seconds() if started and ended else 0.0


def _saved(found: Stored) -> str:
    """Say how long pruned trials would have run, each to the mean of its choice."""
    spec = found.plan.spec
    full: dict[object, list[float]] = {}
    for record in found.search:
        if record.complete and record.seconds:
            full.setdefault(record.params.get(spec.scientific), []).append(record.seconds)
    pruned = [
        record for record in found.search if record.state == TrialState.PRUNED and record.seconds
    ]
    # Not the mean of all trials: a slow optimizer's trials would have run longer.
    saved = sum(
        max(0.0, fmean(full[choice]) - (record.seconds or 0.0))
        for record in pruned
        if (choice := record.params.get(spec.scientific)) in full
    )
    if not saved:
        return ""
    spent = sum(record.seconds or 0.0 for record in found.search)
    like = "of its choice's" if spec.compares else "of the"
    return (
        f"about {duration(saved)} of {counted(len(pruned), 'trial')},"
        f" {saved / (saved + spent):.0%} of what"
        f" the search would have taken (each at the mean {like} full trials)"
    )


def _where(records: Sequence[TrialRecord]) -> list[Fact]:
    rows: list[Fact] = []
    for title, name in (
        ("Device", "device"),
        ("Processor", "device_name"),
        ("Precision", "precision"),
        ("Threads a training", "threads"),
        ("Parameters of a model", "n_parameters"),
    ):
        seen = {record.attributes[name] for record in records if name in record.attributes}
        if seen:
            listed = sorted(seen, key=str)
            said = [f"{one:,}" if isinstance(one, int) else str(one) for one in listed]
            if name == "n_parameters" and len(said) > 2:
                said = [f"{min(seen):,} to {max(seen):,}"]
            rows.append((title, ", ".join(said)))
    return rows
