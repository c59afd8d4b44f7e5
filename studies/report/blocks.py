"""What a section of the HTML page is made of; ``templates/parts.html.j2`` lays each kind out.

All texts are plain, never HTML, but for the SVG of a figure.
"""

from dataclasses import dataclass

from markupsafe import Markup

from mnist_core.evaluation.confusion import Confusion
from studies.analysis.result import StudyResult
from studies.analysis.scales import Values
from studies.analysis.stored_study import Stored
from studies.core.trials import TrialRecord


class Block:
    """A part of a section."""

    @property
    def kind(self) -> str:
        """The name by which the template knows it."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Text(Block):
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Heading(Text):
    """A heading within a section."""


@dataclass(frozen=True)
class Code(Text):
    """Text in a fixed width."""


@dataclass(frozen=True)
class Notes(Block):
    """Small lines under a table."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Facts(Block):
    """Names and values; ``code``: values are commands or versions."""

    rows: tuple[tuple[str, str], ...]
    code: bool = False


@dataclass(frozen=True, kw_only=True)
class Table(Block):
    """A table: the first column names the row.

    Attributes:
        marks: for each row what stands beside its name: "best", "tie", "too noisy" …, or "".
        style: class of the table in ``report.css``.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...] = ()
    style: str = ""


@dataclass(frozen=True)
class Figure(Block):
    """A chart; its caption says what is drawn, and what is left out."""

    title: str
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Figures(Block):
    """Figures, and other blocks, side by side; if ``small``, more of them stand in a row."""

    items: tuple[Block, ...]
    small: bool = False
    below: bool = False


@dataclass(frozen=True)
class Group(Block):
    """Blocks that take one place among figures; on paper a whole row if ``whole``."""

    blocks: tuple[Block, ...]
    whole: bool = False


@dataclass(frozen=True)
class Details(Block):
    """Blocks that open on a click; ``again``: paper leaves them out, as it has the same already."""

    summary: str
    blocks: tuple[Block, ...]
    again: bool = False


@dataclass(frozen=True)
class ConfusionTable(Block):
    """A confusion matrix."""

    matrix: Confusion


@dataclass(frozen=True)
class Mistake:
    """One validation image, or pair of images, that is taken for something else.

    ``image`` is a PNG as a ``data:`` address.
    """

    image: str
    truth: str
    said: str
    detail: str


@dataclass(frozen=True)
class Mistakes(Block):
    """The worst mistakes of a configuration; ``pairs``: each picture is two images side by side."""

    shown: tuple[Mistake, ...] = ()
    text: str = ""
    pairs: bool = False


@dataclass(frozen=True)
class Section:
    """A section of a study's page; its name is its anchor, and names it in the contents."""

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Material:
    """What sections are made from.

    Attributes:
        values: how the metric is drawn where trials of full budget decide the axis.
        wide: how it is drawn where pruned trials count, too.
        quick: whether a run writes the page at its end: what takes seconds is left out.
    """

    found: Stored
    result: StudyResult
    search: list[TrialRecord]
    values: Values
    wide: Values
    quick: bool = False
