"""``report.html``: studies as one page that needs nothing but itself.

No script, no fonts and no address outside: the page forbids them itself (its Content-Security-
Policy). All text of studies goes through Jinja2's autoescape.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from mnist_core.files import write_atomically
from mnist_core.plain_text import safe_lines
from studies.planning.environment import package_version
from studies.report.page import StudyPage

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
