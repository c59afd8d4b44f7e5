"""What ``python -m studies list|show|status`` print."""

from rich import box
from rich.markup import escape
from rich.table import Table

from mnist_core.errors import ConfigError
from studies import catalog
from studies.book.records import TrialRecord
from studies.book.stored import Stored
from studies.planning.plan import Plan, describe_parameter
from studies.report.console import make_console
from studies.report.numbers import metric_text, params_text
from studies.report.table import print_result
from studies.storages.lease import Lease
from studies.storages.storage import shown


def print_studies() -> None:
    """Print every study's name and goal; a broken file is named with its error."""
    table = _table()
    table.add_column("study", no_wrap=True)
    table.add_column("goal")
    for name in catalog.names():
        try:
            goal = catalog.get(name).goal
        except ConfigError as error:
            goal = f"broken: {error}"
        table.add_row(name, escape(goal))
    make_console().print(table)


def print_plan(plan: Plan) -> None:
    """Print the resolved plan: the space with the roles, then every setting and its source."""
    spec, console = plan.spec, make_console()
    console.print(f"{plan.name}: {escape(spec.goal)}")
    console.print(f"metric: {spec.metric}, to {spec.direction}; file: {_file(plan)}")
    space = _table()
    for head in ("parameter", "role"):
        space.add_column(head, no_wrap=True)
    space.add_column("values", overflow="fold")
    for name, parameter in spec.space.parameters.items():
        role = "scientific" if name == spec.scientific else "nuisance"
        space.add_row(name, role, escape(describe_parameter(name, parameter)))
    console.print(space)
    table = _table()
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", overflow="fold")
    for row in plan.describe():
        if row.source != _file(plan) or "." in row.name.partition(" ")[0]:
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
    table.add_row("phase", stored.phase)
    table.add_row("run by", _holder(stored.lease))
    table.add_row("search", f"{_counts(stored.search)} of {plan.search_budget}")
    if stored.stopped is not None:
        table.add_row("", escape(str(stored.stopped)))
    table.add_row("confirm", _counts(stored.confirm) if stored.confirm else "not begun")
    if stored.result is not None:
        times = ", ".join(stored.result.test.times)
        table.add_row("test set", f"read {times}" if times else "not read")
    best = _best(plan, stored.search)
    if best is not None:
        value = metric_text(plan.spec.metric, best.value)
        table.add_row(
            "best trial", f"{value}  trial {best.number}  {escape(params_text(best.params))}"
        )
    console.print(table)
    if stored.differs:
        console.print(escape(stored.differs), style="yellow")
    elif stored.result is not None and stored.result.best is not None:
        if stored.phase != "finished":
            console.print("so far, subject to change:")
        print_result(console, stored.result)


def _best(plan: Plan, search: list[TrialRecord]) -> TrialRecord | None:
    sign = 1.0 if plan.spec.direction == "maximize" else -1.0
    complete = [record for record in search if record.state == "COMPLETE" and record.feasible]
    return max(complete, key=lambda record: sign * (record.value or 0.0), default=None)


def _counts(records: list[TrialRecord]) -> str:
    counts: dict[str, int] = {}
    for record in records:
        counts[record.ending] = counts.get(record.ending, 0) + 1
    order = ("COMPLETE", "PRUNED", "FAIL", "INFEASIBLE", "RUNNING", "WAITING")
    said = [f"{counts[state]} {state.lower()}" for state in order if state in counts]
    return ", ".join(said) or "none"


def _file(plan: Plan) -> str:
    return f"studies/catalog/{plan.spec.name}.py"


def _holder(lease: Lease | None) -> str:
    if lease is None:
        return "nobody"
    who = f"process {lease.pid} on {lease.host} since {lease.taken}"
    if lease.elsewhere:
        return f"{who} (another machine, cannot be looked at)"
    return f"{who} (alive)" if lease.live else f"{who} (dead; the next run takes over)"


def _table(*, header: bool = True) -> Table:
    return Table(box=box.SIMPLE_HEAD if header else None, pad_edge=False, show_header=header)
