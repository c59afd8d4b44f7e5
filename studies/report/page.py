"""What stands on a study's page: gathered here, laid out by ``templates/report.html.j2``."""

import dataclasses
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import tomli_w
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mnist_core.console.plain_text import counted, safe_lines
from mnist_core.errors import UserError
from mnist_core.files import write_atomically
from studies.analysis.audit import audit
from studies.analysis.audit_curves import Curves, read_curves
from studies.analysis.export import FILE, best_config
from studies.analysis.importance import importance
from studies.analysis.result import StudyResult
from studies.analysis.stored_study import Stored
from studies.core.formatting import metric_text, possible
from studies.planning.fingerprint import package_version
from studies.planning.next_commands import reproduce_command, resumable, run_command, train_command
from studies.planning.objective_class import is_trainer
from studies.report import costs, page_tables, result_figures, table, trial_figures
from studies.report import mistakes as pictures
from studies.report.page_tables import Table
from studies.report.parallel import parallel
from studies.report.pareto import fronts
from studies.report.population_section import PopulationSection, population_section
from studies.report.trial_figures import Figure, values_of
from studies.report.warnings import warnings

AUDITED = 100
"""The audit on the page replays at most so many curves; ``studies audit`` replays all."""
_DECISIONS = 3000
_DRAWS = (8, 100)


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """Everything on the page of one study; texts are plain, never HTML.

    Attributes:
        name: of the study.
        question: its goal.
        phase: how far it is: search, confirm, test or finished.
        answer: the sentence.
        details: further sentences.
        warnings: what weakens it.
        results: a row for each scientific value.
        notes: what the columns are.
        forest: confirmed values with intervals, or None.
        fronts: the Pareto front, a figure for each further objective.
        history: all trials in order.
        curves: a figure for each choice.
        population: who copied whom, or None.
        slices: a figure for each nuisance parameter.
        parallel: parallel coordinates, or None.
        importance: or None where there are too few trials.
        time: what it took.
        time_facts: the same in words.
        audit: of the pruners, or None.
        audit_text: what was audited, or why nothing was.
        confusion: of the best configuration, or None.
        mistakes: its worst.
        seeds: value of each configuration on each seed, or None.
        test_text: when the test set was read, and of what.
        top: the best trials of the search.
        space: the search space.
        commands: how to come to the same, as what and command.
        versions: as name and value.
        config: the best configuration's settings as TOML.
    """

    name: str
    question: str
    phase: str
    answer: str
    details: tuple[str, ...]
    warnings: tuple[str, ...]
    results: Table
    notes: tuple[str, ...]
    forest: Figure | None
    fronts: tuple[Figure, ...]
    history: Figure
    curves: tuple[Figure, ...]
    population: PopulationSection | None
    slices: tuple[Figure, ...]
    parallel: Figure | None
    importance: Figure | None
    time: Figure | None
    time_facts: tuple[tuple[str, str], ...]
    audit: Table | None
    audit_text: tuple[str, ...]
    confusion: pictures.Confusion | None
    mistakes: pictures.Mistakes
    seeds: Table | None
    test_text: str
    top: Table
    space: Table
    commands: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    config: str


def gather(found: Stored) -> StudyPage:
    """Return the page of a study.

    Raises:
        UserError: the study was begun with other settings than the plan's.
    """
    result = found.comparable().result
    assert result is not None
    spec, search = result.plan.spec, found.search
    ended = [r for r in search if r.value is not None and r.state in ("COMPLETE", "PRUNED")]
    complete = [r.value or 0.0 for r in ended if r.state == "COMPLETE"]
    values = values_of(spec.metric, spec.direction, complete)
    wide = values_of(spec.metric, spec.direction, [record.value or 0.0 for record in ended])
    answer, *details = table.verdict_lines(result)
    audited, audit_text = _audit(found)
    return StudyPage(
        name=result.plan.name,
        question=spec.goal,
        phase=found.phase,
        answer=answer,
        details=tuple(details),
        warnings=tuple(warnings(result)),
        results=page_tables.results(result),
        notes=tuple(table.notes(result)),
        forest=result_figures.forest(result),
        fronts=tuple(fronts(result, search, values)),
        history=trial_figures.history(search, values),
        curves=tuple(trial_figures.curves(result, search, wide)),
        population=population_section(result, search),
        slices=tuple(trial_figures.slices(result, search, values)),
        parallel=parallel(result, search, values),
        importance=result_figures.importances(importance(result.plan, search)),
        time=result_figures.cost(result, search),
        time_facts=tuple(costs.facts(found)),
        audit=audited,
        audit_text=audit_text,
        confusion=pictures.confusion(result),
        mistakes=_mistakes(found, result),
        seeds=page_tables.seeds(result),
        test_text=_test_text(result),
        top=page_tables.best_trials(result, search),
        space=page_tables.space(result),
        commands=_commands(found, result),
        versions=_versions(found),
        config=tomli_w.dumps(best_config(result)) if result.best else "",
    )


def _mistakes(found: Stored, result: StudyResult) -> pictures.Mistakes:
    if not result.confirmed:
        return pictures.Mistakes()
    if other := found.foreign_models:
        text = f"Cannot be shown: the models here belong to another study ({other})."
        return pictures.Mistakes(text=text)
    return pictures.mistakes(result)


def _test_text(result: StudyResult) -> str:
    times = result.test.times
    if not times:
        return "There is no test set." if result.test.absent else "The test set has not been read."
    models = len(result.test.values)
    said = f"The test set was read {counted(len(times), 'time')}"
    said += f" ({', '.join(times)}), of {counted(models, 'model')}, after everything was chosen."
    row = result.best_row
    if row is not None and row.test is not None:
        metric = result.plan.spec.metric.removeprefix("val_")
        said += f" {row.label}: {metric} {metric_text(metric, row.test.mean)} on the test images"
        if row.test.n > 1:
            cut = possible(metric, row.test)
            low, high = metric_text(metric, cut.low), metric_text(metric, cut.high)
            said += f" [{low.removesuffix(' %')}, {high}] over {row.test.n} seeds"
        said += "."
    return said


def _commands(found: Stored, result: StudyResult) -> tuple[tuple[str, str], ...]:
    plan = result.plan
    what = "The whole study" + (", or to go on with it" if resumable(plan) else " once more")
    rows = [(what, run_command(plan))]
    if found.phase == "finished" and is_trainer(plan.spec.objective):
        file = plan.folder / FILE
        rows += [
            ("The best configuration once more, compared", reproduce_command(file)),
            ("Train it", train_command(file)),
        ]
    return tuple(rows)


def _versions(found: Stored) -> tuple[tuple[str, str], ...]:
    environment = found.environment
    rows = [(name, str(value)) for name, value in environment.get("versions", {}).items()]
    data: Mapping[str, object] = environment.get("data", {})
    rows.append(("data", f"{found.plan.train.data.name}, {data.get('fingerprint', '')}"))
    hashes = data.get("sha256")
    if isinstance(hashes, Mapping):
        rows += [(f"sha256 {name}", str(value)) for name, value in hashes.items()]
    rows.append(("fingerprint of the study", found.fingerprint))
    return tuple(rows)


def _audit(found: Stored) -> tuple[Table | None, tuple[str, ...]]:
    try:
        every = read_curves(found.plan)
    except UserError as error:
        return None, (f"Not audited: {error}.",)
    curves = _thinned(every)
    size = sum(len(curve.reports) for curve in curves.full)
    draws = min(_DRAWS[1], max(_DRAWS[0], _DECISIONS // size))
    done = audit(found.plan, curves, draws=draws)
    said = (
        f"Pruners replayed on {counted(len(curves.full), 'full curve')} of this study"
        + (f", drawn from {len(every.full)}" if len(curves.full) < len(every.full) else "")
        + f", and on {counted(draws, 'study', 'studies')} put together from them. Saved: share of"
        " the training time. Chance: of stopping the trial that is best at its end. Both 95 % are"
        " of another study of such trials."
    )
    return page_tables.audited(done), (said, *done.warnings)


def _thinned(curves: Curves) -> Curves:
    """Return at most ``AUDITED`` of the curves, in their order, and as many pruned trials less."""
    share = AUDITED / max(1, len(curves.full))
    if share >= 1:
        return curves
    chosen = {c.number for c in random.Random(0).sample(curves.full, AUDITED)}
    full = tuple(c for c in curves.full if c.number in chosen or c.spared)
    return dataclasses.replace(curves, full=full, pruned=round(curves.pruned * share))


REPORT = "report.html"


def render(pages: Sequence[StudyPage]) -> str:
    """Return the page of one study, or of several with an overview before them."""
    environment = Environment(
        loader=PackageLoader("studies.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    template = environment.get_template("report.html.j2")
    return template.render(
        pages=pages,
        version=package_version(),
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def write(pages: Sequence[StudyPage], path: Path) -> Path:
    """Write the page to ``path``, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    write_atomically(path, safe_lines(render(pages)))
    return path


def _code(text: str) -> Markup:
    """Escape ``text``; what stands between backticks becomes ``<code>``."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
