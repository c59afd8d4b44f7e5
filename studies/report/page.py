"""A study's page, ``report.html``: a head and sections, laid out by ``templates/``."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mnist_core.console.plain_text import safe_lines
from mnist_core.files import write_atomically
from mnist_core.version import package_version
from studies.analysis.scales import values_of
from studies.analysis.stored_study import Stored
from studies.core.trials import TrialState
from studies.report.blocks import Block, Details, Figures, Group, Material, Section
from studies.report.sections import SECTIONS
from studies.report.setup_text import setup_line
from studies.report.verdict_text import verdict_lines
from studies.report.warnings import warnings

REPORT = "report.html"


@dataclass(frozen=True, kw_only=True)
class StudyPage:
    """The page of one study."""

    name: str
    question: str
    setup: str
    phase: str
    answer: str
    details: tuple[str, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def blocks(self) -> Iterator[Block]:
        """All blocks of all sections, also those within others."""
        for section in self.sections:
            yield from _flat(section.blocks)


def _flat(blocks: Iterable[Block]) -> Iterator[Block]:
    for block in blocks:
        yield block
        if isinstance(block, Figures):
            yield from _flat(block.items)
        elif isinstance(block, Group | Details):
            yield from _flat(block.blocks)


def gather(found: Stored, *, quick: bool = False) -> StudyPage:
    """Return the page of a study; ``quick``: without what takes seconds.

    Raises:
        UserError: if the study was started with other settings than the plan's.
    """
    result = found.comparable().result
    assert result is not None
    spec, search = result.plan.spec, found.search
    ended = [
        r
        for r in search
        if r.value is not None and r.state in (TrialState.COMPLETE, TrialState.PRUNED)
    ]
    complete = [r.value or 0.0 for r in ended if r.complete]
    # Pruned trials have values of few epochs: with them the axis of the others would be squashed.
    material = Material(
        found=found,
        result=result,
        search=search,
        values=values_of(spec.metric, spec.direction, complete),
        wide=values_of(spec.metric, spec.direction, [record.value or 0.0 for record in ended]),
        quick=quick,
    )
    answer, *details = verdict_lines(result)
    sections = [make(material) for make in SECTIONS]
    return StudyPage(
        name=result.plan.name,
        question=spec.goal,
        setup=setup_line(found),
        phase=found.phase,
        answer=answer,
        details=tuple(details),
        warnings=tuple(warnings(result)),
        sections=tuple(one for one in sections if one is not None),
    )


def render(pages: Sequence[StudyPage], comparison: Section | None = None) -> str:
    """Return the page of one study, or of several with overview and ``comparison`` before them."""
    template = environment().get_template("report.html.j2")
    return template.render(
        pages=pages,
        comparison=comparison,
        version=package_version(),
        made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
    )


def environment() -> Environment:
    """Return what fills in ``templates/``; every text is escaped."""
    made = Environment(
        loader=PackageLoader("studies.report"),
        autoescape=True,
        # A misspelt name in the template is an error, not an empty place on the page.
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["code"] = _code
    made.filters["cell"] = _cell
    made.globals["number"] = itertools.count(1).__next__
    return made


def write(pages: Sequence[StudyPage], path: Path, comparison: Section | None = None) -> Path:
    """Write the page to ``path``, whole or not at all.

    Raises:
        UserError: if it cannot be written.
    """
    # Messages of failed trials come from any program, and may hold control characters.
    write_atomically(path, safe_lines(render(pages, comparison)))
    return path


def _cell(text: str) -> Markup:
    """Escape ``text``; a remark in parentheses behind a value gets a line of its own."""
    value, space, remark = text.rpartition(" (")
    if not space or not remark.endswith(" collapsed)"):
        return escape(text)
    return Markup('{} <span class="remark">({}</span>').format(value, remark)


def _code(text: str) -> Markup:
    """Escape ``text``; what stands between backticks becomes ``<code>``."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
