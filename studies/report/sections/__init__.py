"""The sections of a study's page. A new one is a module here, named in ``SECTIONS``."""

from collections.abc import Callable

from studies.report.blocks import Material, Section
from studies.report.sections import (
    curves,
    mistakes,
    parameters,
    population,
    pruning,
    reproduce,
    result,
    search,
    time,
)

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    result.section,
    search.section,
    curves.section,
    population.section,
    parameters.section,
    mistakes.section,
    time.section,
    pruning.section,
    reproduce.section,
)
"""In the order of the page; a section that is None is left out."""
