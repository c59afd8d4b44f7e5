"""Colours, titles and PNG files of a run's pictures, without a window system."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mnist_core.errors import UserError

# Those of Okabe and Ito (jfly.uni-koeln.de/color), which colour-blind people can tell apart.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
_DPI = 110


def narrow(title: str) -> str:
    """Break a title at its commas, for a picture that is not wide."""
    return title.replace(", ", "\n")


def save(figure: Figure, path: Path) -> None:
    """Write ``figure``; raise ``UserError`` if it cannot be written."""
    FigureCanvasAgg(figure)
    try:
        figure.savefig(path, format="png", dpi=_DPI)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
