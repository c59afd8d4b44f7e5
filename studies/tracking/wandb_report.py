"""A W&B report of a study, made from its event log; see ``python -m studies wandb-report``.

It shows the verdict, the table of the confirmation as its first panel, the question, and panels
over the runs that the tracker ``wandb`` keeps: of all search trials, and of each choice of the
scientific parameter.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from studies.tracking.base import Study, markdown_table

_NO_ENTITY = "entity"
"""Stands for the user or team where nothing is sent; it is never sent."""


def build(study: Study, *, project: str, entity: str, url: str = "", command: str = "") -> Any:
    """Return the report as a ``wandb_workspaces`` one; nothing is sent."""
    # It makes most of its names at run time.
    wr: Any = importlib.import_module("wandb_workspaces.reports.v2")

    about, result = study.about, study.result
    scientific = str(about.get("scientific") or "")
    found = [trial.params[scientific] for trial in study.search if scientific in trial.params]
    values = list(dict.fromkeys(found))
    verdict = "\n\n".join(result.get("verdict", [])) or "The study is not finished."
    blocks: list[Any] = [wr.H1("Answer"), wr.MarkdownBlock(verdict)]
    if result.get("table"):
        blocks += [wr.H1("Confirmed on fresh seeds"), _confirmed(wr, study)]
    blocks += [wr.H1("Question"), wr.P(str(about.get("goal", "")))]
    blocks += [
        wr.H1("Search"),
        wr.PanelGrid(
            runsets=[_runset(wr, study, "all search trials", "search")],
            panels=[
                wr.LinePlot(title=f"{study.metric} by step", x="Step", y=[study.metric]),
                wr.LinePlot(title=f"{study.metric} by seconds", x="seconds", y=[study.metric]),
                _parallel(wr, study),
                wr.ParameterImportancePlot(with_respect_to=study.metric),
            ],
        ),
    ]
    if values:
        blocks.append(wr.H1(f"Each {scientific}"))
    for value in values:
        blocks += [
            wr.H2(str(value)),
            wr.PanelGrid(
                runsets=[_runset(wr, study, str(value), "search", {scientific: value})],
                panels=[
                    wr.LinePlot(title=f"{study.metric} by step", x="Step", y=[study.metric]),
                    *(
                        wr.ScatterPlot(
                            title=name,
                            x=wr.Config(name),
                            y=wr.SummaryMetric(study.metric),
                            log_x=_is_log(study, name),
                        )
                        for name in _numbers(study, scientific, value)
                    ),
                ],
            ),
        ]
    blocks.append(wr.H1("Again"))
    if command:
        blocks.append(wr.MarkdownBlock(f"```sh\n{command}\n```"))
    if url:
        blocks.append(wr.P([wr.Link(text="The study's own run, with all its trials", url=url)]))
    return wr.Report(
        project=project,
        entity=entity or _NO_ENTITY,
        title=study.name,
        description=str(about.get("goal", "")),
        blocks=blocks,
    )


def _confirmed(wr: Any, study: Study) -> Any:
    """Return the table of the confirmation as a panel over the confirmed runs."""
    rows = study.result["table"]
    # As text, it is there before any run is uploaded.
    height = min(4 + len(rows), 16)
    table = wr.MarkdownPanel(markdown=markdown_table(rows), layout=wr.Layout(w=24, h=height))
    return wr.PanelGrid(runsets=[_runset(wr, study, "confirmed", "confirm")], panels=[table])


def _runset(
    wr: Any, study: Study, name: str, job: str, config: Mapping[str, Any] = MappingProxyType({})
) -> Any:
    wanted = [f"Metric('Group') = {study.name!r}", f"Metric('JobType') = {job!r}"]
    wanted += [f"Config({_nested_key(key)!r}) = {value!r}" for key, value in config.items()]
    # Without project and entity it is that of the report, and no server is asked.
    return wr.Runset(entity="", project="", name=name, filters=" and ".join(wanted))


def _nested_key(name: str) -> str:
    """Return a setting's name as W&B's filters have it: ``optim.value.name``."""
    # The panels' axes are translated by wandb-workspaces itself, filters are not; the server keeps
    # each table of a configuration below ``value`` (wandb/wandb-workspaces#34 shows such a filter).
    table, *rest = name.split(".")
    return ".".join([table, "value", *rest])


def _parallel(wr: Any, study: Study) -> Any:
    # A run without one of the columns is not drawn: only what all trials have.
    trials = study.search
    space = study.about.get("space", {})
    known = dict.fromkeys(
        space.get(name, {}).get("sets") or name for trial in trials for name in trial.params
    )
    configs = [{**study.config_of(trial), **trial.params} for trial in trials]
    names = [name for name in known if all(name in config for config in configs)]
    logs = {
        about.get("sets") or name: bool(about.get("log")) for name, about in space.items() if about
    }
    columns = [
        wr.ParallelCoordinatesPlotColumn(metric=wr.Config(name), log=logs.get(name, False))
        for name in names
    ]
    columns.append(wr.ParallelCoordinatesPlotColumn(metric=wr.SummaryMetric(study.metric)))
    return wr.ParallelCoordinatesPlot(title="Parameters", columns=columns)


def _numbers(study: Study, scientific: str, value: Any) -> list[str]:
    """Return the numeric parameters of the trials that have ``value``."""
    found: dict[str, None] = {}
    for trial in study.search:
        if trial.params.get(scientific) == value:
            found |= {
                name: None
                for name, v in trial.params.items()
                if isinstance(v, int | float) and not isinstance(v, bool) and name != scientific
            }
    return list(found)


def _is_log(study: Study, name: str) -> bool:
    return bool(study.about.get("space", {}).get(name, {}).get("log"))
