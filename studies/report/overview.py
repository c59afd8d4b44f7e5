"""What ``python -m studies show|status`` print."""

from collections import Counter
from typing import NamedTuple

from rich import box
from rich.markup import escape
from rich.table import Table

from mnist_core.console.plain_text import counted
from mnist_core.files import from_here
from search_spaces.space import Choice, Parameter
from studies import catalog
from studies.analysis.figure_data import best_of, complete
from studies.analysis.stored_study import Stored
from studies.core.formatting import mean_text, metric_text, params_text, unit
from studies.core.redaction import masked
from studies.core.trials import Failure, TrialRecord, TrialState, same_reason
from studies.planning.layers import unused_settings
from studies.planning.plan import Plan
from studies.planning.settings import Settings, setting_of, short_name
from studies.report.console import make_console
from studies.report.table import print_result
from studies.storage.leases import Lease
from studies.storage.open import shown

_NAMED = 10
"""Trials of one reason that are named at most."""


class Row(NamedTuple):
    """One line of ``show``: a name, its value, and where the value comes from."""

    name: str
    value: str
    source: str


def describe(plan: Plan) -> list[Row]:
    """Return what there is to know before the first trial, a row each."""
    spec, file = plan.spec, _file(plan.spec.name)
    rows = [Row("study", plan.name, file), Row("goal", spec.goal, file)]
    if spec.minutes is not None:
        rows.append(Row("takes", f"about {spec.minutes} minutes on 2 cores", file))
    for name, parameter in spec.space.parameters.items():
        rows.append(Row(f"{spec.role(name)} {name}", describe_parameter(name, parameter), file))
    rows.append(Row("metric", f"{spec.metric}, {spec.direction}", file))
    each = ""
    if spec.compares:  # with few trials the choices share them
        least = min(plan.trials_per_choice, plan.trials // len(spec.choices))
        each = f", {least} or more for each choice"
    more = f", up to {plan.most_workers} as memory allows" if plan.most_workers else ""
    budgets = {
        "search.trials": f"{plan.search_budget}{each}",
        "confirm.seeds": f"{plan.confirm_seeds}",
    }
    machine_rows = {
        "train.device": plan.adapter.device,
        "engine.workers": f"{plan.workers}{more}",
        "engine.threads": f"{plan.threads}",
        "storage.url": shown(plan.storage_url),
    }
    hidden = {"train.seed", "train.threads", "search.trials_per_choice", *unused_settings(spec)}
    for key in dict.fromkeys([*Settings.setting_names(), *sorted(plan.origins)]):
        if key in hidden:
            continue
        value, source = setting_of(plan.settings, key), plan.origins.get(key, "default")
        if key in budgets:
            rows.append(Row(key, budgets[key], plan.origins.get(key, file)))
        elif key in machine_rows:
            source = "this machine" if value in (0, "", "auto") else source
            rows.append(Row(short_name(key), machine_rows[key], source))
        elif value not in (None, {}, [], ()):
            rows.append(Row(short_name(key), masked(str(value)), source))
    return [*rows, Row("folder", str(from_here(plan.folder)), "")]


def describe_parameter(name: str, parameter: Parameter) -> str:
    """Say in one line what a parameter can be, what it sets and when it exists."""
    if isinstance(parameter, Choice):
        text = ", ".join(map(str, parameter.choices))
    else:
        text = f"{parameter.low:g} to {parameter.high:g}"
        text += ", log" if parameter.log else ""
        text += "" if parameter.step is None else f", step {parameter.step:g}"
    text += f"; sets {parameter.sets}" if parameter.sets not in ("", name) else ""
    if (when := parameter.when) is None:
        return text
    return f"{text}; when {when.parameter} is {', '.join(map(str, when.values))}"


def print_plan(plan: Plan) -> None:
    """Print the resolved plan: the space with the roles, then every setting and its source."""
    spec, console = plan.spec, make_console()
    console.print(f"{plan.name}: {escape(spec.goal)}")
    console.print(f"metric: {spec.metric}, to {spec.direction}; file: {_file(spec.name)}")
    space = _table()
    for head in ("parameter", "role"):
        space.add_column(head, no_wrap=True)
    space.add_column("values", overflow="fold")
    for name, parameter in spec.space.parameters.items():
        space.add_row(name, spec.role(name), escape(describe_parameter(name, parameter)))
    console.print(space)
    table = _table()
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for row in describe(plan):
        if row.source != _file(spec.name) or "." in row.name.partition(" ")[0]:
            table.add_row(escape(row.name), escape(row.value), escape(row.source))
    console.print(table)


def print_status(stored: Stored) -> None:
    """Print how far the study is and what it found so far."""
    plan, console = stored.plan, make_console()
    table = _table(header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("study", escape(plan.name))
    table.add_row("storage", escape(shown(plan.storage_url)))
    if stored.result is not None and stored.result.forked is not None:
        table.add_row("fork", escape(str(stored.result.forked)))
    for learned in stored.result.learned if stored.result is not None else ():
        table.add_row("learned", escape(str(learned)))
    table.add_row("phase", stored.phase)
    table.add_row("run by", _holder(stored.lease))
    table.add_row("search", f"{counts_text(stored.search)} of {plan.search_budget}")
    if stored.stopped is not None:
        table.add_row("", escape(str(stored.stopped)))
    table.add_row("confirm", counts_text(stored.confirm) if stored.confirm else "not started")
    if stored.result is not None:
        times = ", ".join(stored.result.test.times)
        unread = "none" if stored.result.test.absent else "not read"
        table.add_row("test set", f"read {times}" if times else unread)
    confirmed = stored.result.best_row if stored.result is not None else None
    if confirmed is not None and confirmed.confirm is not None and confirmed.candidate is not None:
        value = (
            f"{mean_text(plan.spec.metric, confirmed.confirm)} {unit(plan.spec.metric)}".rstrip()
        )
        params = params_text(confirmed.candidate.params)
        judged = stored.result.verdicts.judged_on if stored.result is not None else ""
        images = f", {judged}" if judged else ""
        table.add_row(
            "best confirmed",
            escape(
                f"{value} on {counted(confirmed.confirm.n, 'seed')}{images}"
                f"  {confirmed.label}  {params}"
            ),
        )
    best = best_of(complete(stored.search), plan.goals.sign)
    if best is not None:
        value = metric_text(plan.spec.metric, best.value)
        searched = ", validation images" if plan.spec.metric.startswith("val_") else ""
        table.add_row(
            "best in search",
            escape(
                f"{value} on one seed{searched}  trial {best.number}  {params_text(best.params)}"
            ),
        )
    console.print(table)
    if stored.differs:
        console.print(escape(stored.differs), style="yellow")
    elif stored.result is not None and stored.result.best is not None:
        if stored.phase != "finished":
            console.print("so far, subject to change:")
        print_result(console, stored.result)


def print_failures(stored: Stored) -> None:
    """Print each reason that trials failed for: which trials, and the first one's traceback."""
    console = make_console()
    reasons: dict[str, list[tuple[str, Failure]]] = {}
    for phase, records in (("", stored.search), ("confirm ", stored.confirm)):
        for record in records:
            # Failures that --retry-failed has since run again still tell what went wrong.
            ends = [*record.failures, *([record.failure] if record.failure else [])]
            for n, failure in enumerate(ends, start=1):
                again = " (run again since)" if n <= len(record.failures) else ""
                which = f"{phase}trial {record.number}{again}"
                # Numbers differ from trial to trial, the reason does not.
                kind = same_reason(failure.text)
                reasons.setdefault(kind, []).append((which, failure))
    if not reasons:
        console.print("no trial has failed")
    for found in reasons.values():
        reason = found[0][1].text
        named = ", ".join(which for which, _ in found[:_NAMED])
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        console.print(f"\n{escape(reason)}", style="bold")
        console.print(escape(f"{named}{more}"))
        console.print(escape(found[0][1].traceback))


def counts_text(records: list[TrialRecord]) -> str:
    """Return the number of trials of each state, e.g. ``12 complete, 3 pruned``."""
    counts = Counter(record.ending for record in records)
    order = map(
        TrialState, ("COMPLETE", "PRUNED", "FAIL", "INFEASIBLE", "RUNNING", "PAUSED", "WAITING")
    )
    said = [f"{counts[state]} {state.lower()}" for state in order if state in counts]
    return ", ".join(said) or "none"


def _file(study: str) -> str:
    return catalog.file_of(study)


def _holder(lease: Lease | None) -> str:
    if lease is None:
        return "no process"
    who = f"process {lease.pid} on {lease.host} since {lease.taken}"
    if lease.elsewhere:
        return f"{who} (another machine, cannot be looked at)"
    return f"{who} (alive)" if lease.live else f"{who} (dead; the next run takes over)"


def _table(*, header: bool = True) -> Table:
    return Table(box=box.SIMPLE_HEAD if header else None, pad_edge=False, show_header=header)
