"""How paused trials are shown: views, notes, tables, trackers, doubts and the audit."""

import io

import pytest
from rich.console import Console
from test_audit import UP, pruner, some
from test_doubts import judged, trial

from studies.analysis.replay import replay
from studies.core.events import Event
from studies.core.trials import TrialRecord, TrialState
from studies.report.live import LiveView, PlainView
from studies.report.overview import counts_text
from studies.report.progress import Progress
from studies.tracking.base import Tracker
from studies.tracking.follow import Follower
from studies.tracking.kept import Kept

PARAMS = {"optim.name": "adam"}


def event(kind, number, **data):
    return Event(kind=kind, phase="search", trial=number, data=data)


def report(number, step):
    return event("report", number, step=step, metrics={"val_accuracy": step / 10})


def paused_and_continued():
    yield event("start", 1, params=PARAMS)
    yield from (report(1, 1), report(1, 2))
    yield event("paused", 1, value=0.2, step=2, seconds=1.0)
    yield event("start", 1, params=PARAMS)
    yield from (report(1, step) for step in (1, 2, 3))
    yield event("complete", 1, value=0.3, metrics={"val_accuracy": 0.3}, seconds=2.0)


def test_a_line_says_that_a_trial_is_paused():
    lines = []
    view = PlainView(Progress(metric="val_accuracy"), lines.append)
    for one in paused_and_continued():
        view(one)
    assert [line.split()[3] for line in lines] == ["paused", "complete"]
    assert "20.00 % at step 2" in lines[0]


def test_the_live_view_counts_them():
    progress = Progress(metric="val_accuracy")
    console = Console(file=io.StringIO(), width=100, record=True)
    view, seen = LiveView(progress, console, title="toy"), []
    view(Event(kind="phase", phase="search", data={"name": "search", "total": 9, "paused": [4, 5]}))
    for one in paused_and_continued():
        view(one)
        seen.append((sorted(progress.paused), progress.done))
    console.print(view.render())
    assert seen[3] == ([1, 4, 5], 0) and seen[4] == seen[6] == ([4, 5], 0)
    assert seen[-1] == ([4, 5], 1)
    assert "2 paused" in console.export_text()


def test_counts_of_states():
    made = {"params": {}, "seed": 0, "value": None, "metrics": {}, "seconds": None}
    states = [("COMPLETE", 0), ("RUNNING", 0), ("RUNNING", 3), ("WAITING", 3)]
    records = [
        TrialRecord(number=n, state=TrialState(state), curve={}, paused=at, **made)
        for n, (state, at) in enumerate(states)
    ]
    assert counts_text(records) == "1 complete, 1 running, 2 paused"


class Runs(Tracker):
    def __init__(self, calls):
        self.calls = calls

    def begin(self, study, trial):
        self.calls.append("begin")

    def report(self, study, trial, report):
        self.calls.append(report.step)

    def end(self, study, trial):
        self.calls.append("end")

    def abandon(self, trial):
        self.calls.append("abandon")


def test_a_tracker_has_one_run_of_it(tmp_path):
    calls = []
    follower = Follower(lambda study: Runs(calls), Kept(tmp_path / "kept"), print)
    for one in paused_and_continued():
        follower.take(one)
    assert calls == ["begin", 1, 2, 3, "end"]


THAW = {
    "pruner": "freeze_thaw",
    "pruner_options": {"min_resource": 2, "reduction_factor": 2, "n_startup_trials": 0},
}


def test_a_winner_that_would_have_stayed_paused_is_doubted(tmp_path):
    trials = [trial(n, [0.5, 0.6, 0.7]) for n in range(5)]
    slow, fast = [0.1, 0.2, 0.9], [0.6, 0.7, 0.8]
    found = judged(tmp_path, [slow, fast, slow], trials, **THAW)
    assert (found.pruner, found.stopped, found.of) == ("freeze_thaw", 2, 3)
    assert judged(tmp_path, [fast], trials, **THAW) is None
    # Trials that ended after the winner did count: it might have been paused until then.
    later = [trial(n, [0.5, 0.7, 0.8]) for n in range(9)]
    assert judged(tmp_path, [[0.6, 0.65, 0.9]], later, search_trial=0, **THAW).stopped == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_an_audit_continues_the_best(workers):
    curves = some(40, seed=1)
    thaw = pruner("freeze_thaw", UP, min_resource=5, reduction_factor=2, n_startup_trials=3)
    done = replay(curves, thaw, workers=workers)
    order = sorted(curves, key=lambda curve: -curve.value)
    # Curves that do not cross: the best half of them is continued.
    assert all(done.stopped_at[curve.number] is None for curve in order[:20])
    assert set(done.stopped_at) == {None, 5}
    whole = sum(at is None for at in done.stopped_at)
    assert done.seconds == pytest.approx(9 * whole + 5 * (40 - whole))
