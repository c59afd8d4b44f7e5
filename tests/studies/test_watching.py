"""Watching a study that another process runs: what was before is one line, the rest as it comes."""

import io

import pytest
from rich.console import Console
from toy import make_plan

from mnist_core.errors import UserError
from objectives.base import Outcome
from studies.cli import watch as watching
from studies.cli.watch import watch
from studies.core.event_log import FILE, EventLog
from studies.ledger.opening import open_search
from studies.storage.open import close_storage, open_storage


class Study:
    """A study in this process that writes its log; a step of it whenever somebody asks."""

    def __init__(self, plan, *, steps):
        plan.folder.mkdir(parents=True, exist_ok=True)
        self.log = EventLog(plan.folder / FILE, print)
        self.storage = open_storage(plan.storage_url, create=True)
        self.book = open_search(plan, self.storage, listeners=[self.log])
        self.steps, self.tasks = steps, []

    def train(self, value=0.5, end=True):
        task = self.book.ask()
        self.book.started(task, 1)
        self.book.report(task, 1, {"val_accuracy": value})
        self.book.flush()
        if end:
            self.book.finish(task, Outcome(metrics={"val_accuracy": value}))

    def runs(self):
        """Two trainings, then its end, when it is asked for the third time."""
        self.steps -= 1
        if self.steps == 0:
            self.train(0.75)
            self.close()
            return False
        if self.steps < 2:
            self.train(0.625)
        return True

    def close(self):
        self.book.close()
        close_storage(self.storage)
        self.log.close()


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setattr(watching, "LOOK_SECONDS", 0.001)
    return make_plan(tmp_path)


def test_what_was_is_one_line_and_what_comes_a_line_each(plan):
    study = Study(plan, steps=3)
    study.train(0.25)
    lines = []
    watch(plan, Console(file=io.StringIO()), runs=study.runs, write=lines.append)
    assert lines[0].startswith("search: 1 of 9 finished (1 complete); best so far 25.00 %, trial 0")
    assert len(lines) == 5
    assert "62.50 %" in lines[1] and "75.00 %" in lines[2]
    assert lines[3].startswith("search: 3 of 9 finished (3 complete); best so far 75.00 %, trial 2")
    assert lines[4].endswith(plan.commands.look("status"))


def test_on_a_terminal_it_is_the_live_view(plan):
    study = Study(plan, steps=3)
    study.train(0.25, end=False)
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=30)
    lines = []
    watch(plan, console, runs=study.runs, write=lines.append)
    assert "the study continues" in screen.getvalue() and "best so far" in screen.getvalue()
    assert len(lines) == 2


def test_ctrl_c_leaves_the_study_alone(plan):
    study = Study(plan, steps=9)
    asked = []

    def runs():
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return True

    lines = []
    watch(plan, Console(file=io.StringIO()), runs=runs, write=lines.append)
    assert lines[-1] == "study toy continues without you"
    study.train()
    study.close()


def test_the_storage_says_who_runs_it(plan, monkeypatch):
    monkeypatch.setattr(watching, "ASK_SECONDS", 0.0)
    with pytest.raises(UserError, match=r"study toy is not being run; .*studies status "):
        watch(plan, Console())
    study = Study(plan, steps=1)
    runs = watching._Runs(plan.location)
    assert runs() and runs()
    study.close()
    assert not runs()
    with pytest.raises(UserError, match="not being run"):
        watch(plan, Console())


def test_a_log_that_is_not_here_is_said(plan):
    with pytest.raises(UserError, match="watch it on the machine that runs it"):
        watch(plan, Console(), runs=lambda: True)
