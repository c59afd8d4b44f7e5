"""The live view in a notebook's cell."""

import sys
import types

import pytest

from studies.core.events import Event
from studies.report import notebook
from studies.report.console import make_console
from studies.report.live import LiveView
from studies.report.notebook import NotebookView, in_notebook
from studies.report.progress import Progress


@pytest.fixture
def shown(monkeypatch):
    """What a notebook shows, each time that it is drawn."""
    pages = []

    def display(view, *, display_id):
        assert display_id
        pages.append(view._repr_html_())
        return types.SimpleNamespace(update=lambda view: pages.append(view._repr_html_()))

    fake = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=fake))
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    return pages


def test_it_is_drawn_at_the_start_with_events_and_at_the_end(shown, monkeypatch):
    monkeypatch.setattr(notebook, "REFRESH_PER_SECOND", 1e9)
    progress = Progress(metric="val_accuracy", direction="maximize")
    view = NotebookView(LiveView(progress, make_console(), title="<study>"))
    with view:
        view(Event(kind="phase", phase="search", data={"name": "search", "total": 7}))
    assert len(shown) == 3
    assert "Search 0/7" in shown[-1] and "&lt;study&gt;" in shown[-1]


def test_rich_shows_nothing_itself_in_a_notebook(shown, monkeypatch, capsys):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    view = NotebookView(
        LiveView(Progress(metric="x", direction="maximize"), make_console(), title="t")
    )
    with view:
        assert "Starting" in shown[-1]


def test_a_terminal_is_no_notebook(monkeypatch):
    assert not in_notebook()
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    module = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert in_notebook()
