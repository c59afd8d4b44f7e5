"""Following a log: each trial is kept once, whatever fails."""

import made_log
import pytest
from made_log import OVER, begin, event, trial, whole

from studies.tracking.follow import GIVEN_UP, Follower
from studies.tracking.kept import Kept


class Listed:
    """A tracker that notes what it is called with; ``fails``: (method, trial number) or method."""

    def __init__(self, calls, fails=()):
        self.calls, self.fails = calls, fails
        self.begun = {}

    def _note(self, method, trial, *more):
        self.calls.append((method, trial.phase, trial.number, *more))
        if method in self.fails or (method, trial.number) in self.fails:
            raise RuntimeError(f"no {method}\nfor you")

    def begin(self, study, trial):
        self._note("begin", trial)
        self.begun[trial.key] = (trial.params, trial.config, trial.seed)

    def report(self, study, trial, report):
        self._note("report", trial, report.step)

    def end(self, study, trial):
        self._note("end", trial, trial.state)

    def abandon(self, trial):
        self._note("abandon", trial)

    def progress(self, study, trial):
        self._note("progress", trial)

    def conclude(self, study):
        self.calls.append(("conclude", len(study.trials)))
        return "done"


@pytest.fixture
def follow(tmp_path):
    def run(events, *, fails=(), runs=True):
        calls, said = [], []
        follower = Follower(
            lambda study: Listed(calls, fails), Kept(tmp_path / "kept"), said.append, runs=runs
        )
        for one in events:
            follower.take(one)
        said.append(follower.finish())
        return calls, said, follower

    return run


def ends(calls):
    return [call[1:3] for call in calls if call[0] == "end"]


def test_each_trial_is_begun_reported_and_ended(follow):
    calls, said, follower = follow(whole())
    assert [call for call in calls if call[1:3] == ("search", 1)] == [
        ("begin", "search", 1),
        ("report", "search", 1, 1),
        ("end", "search", 1, "pruned"),
        ("progress", "search", 1),
    ]
    assert set(ends(calls)) == OVER and len(ends(calls)) == len(OVER)
    assert calls[-1] == ("conclude", 6) and said == ["done"]
    assert follower.study.result["verdict"] == ["adam is best."]


def test_a_tested_model_has_the_parameters_of_its_training(follow):
    _, _, follower = follow(whole())
    tested, confirmed = (follower.study.trials[phase, 0] for phase in ("test", "confirm"))
    assert tested.params == confirmed.params and tested.metrics == {"test_accuracy": 0.5}


def test_a_tested_model_has_them_when_a_tracker_begins_it(tmp_path):
    tracker = Listed([])
    follower = Follower(lambda study: tracker, Kept(tmp_path / "kept"), print)
    for one in whole():
        follower.take(one)
    assert tracker.begun["test", 0] == tracker.begun["confirm", 0]
    assert tracker.begun["test", 0][0]["optim.name"] == "adam"


def test_no_password_is_said(tmp_path):
    def create(study):
        raise OSError("no answer\nfrom http://me:s3cret@host/x")

    said = []
    follower = Follower(create, Kept(tmp_path / "kept"), said.append)
    for one in whole():
        follower.take(one)
    assert said[0].endswith("OSError: no answer from http://me:***@host/x")


def test_settings_that_a_trial_has_not_are_left_out(follow):
    _, _, follower = follow(whole())
    config = follower.study.config_of(follower.study.trials["search", 0])
    assert config == {"epochs": 3, "model.name": "net", "optim.lr": 0.01}


def test_a_second_process_keeps_nothing_twice(follow):
    follow(whole())
    calls, _, follower = follow(whole())
    assert ends(calls) == [] and follower.written == 0
    assert [call[2] for call in calls if call[0] == "progress"] == [0, 1, 2, 3, 0, 0]


def test_a_run_is_called_what_people_call_it(follow):
    made = follow(whole())[2].study
    names = {key: made.title_of(one) for key, one in made.trials.items()}
    assert names["search", 3] == "search 3 adam"
    assert names["confirm", 0] == "confirm adam seed 1"
    assert names["test", 0] == "test adam seed 1"
    first, *rest = begin()
    plain = event("study", "", **{**first.data, "scientific": None})
    (alone,) = follow([plain, *rest, *trial(0)])[2].study.trials.values()
    assert made.title_of(alone) == "search 0 adam"  # of the study that compares them
    assert follow([plain, *rest, *trial(0)])[2].study.title_of(alone) == "search 0"
    # Logs of older versions have neither labels nor the numbers of the seeds.
    old = event("start", "confirm", 7, params={"optim.name": "sgd"}, seed=1)
    study = follow([*begin(), old, event("complete", "confirm", 7, value=1.0)])[2].study
    assert study.title_of(study.trials["confirm", 7]) == "confirm 7 sgd"


def test_what_did_not_end_is_abandoned_and_begun_anew_by_the_next(follow):
    events = [*begin(), *trial(0), *list(trial(1))[:2]]
    calls, _, _ = follow(events)
    assert ("abandon", "search", 1) in calls and ends(calls) == [("search", 0)]
    calls, _, _ = follow([*begin(), *trial(0), *trial(1)])
    assert ends(calls) == [("search", 1)]
    assert [call[3] for call in calls if call[0] == "report"] == [1, 2, 3]


def test_a_trial_that_was_lost_and_run_again_has_each_step_once(follow):
    first = list(trial(0))[:3]
    lost = event("lost", trial=0, kind="WorkerLost", message="gone", attempt=1)
    again = [*begin(), *first, lost, *trial(0)]
    calls, _, follower = follow(again)
    assert [r.step for r in follower.study.trials["search", 0].reports] == [1, 2, 3]
    names = [call[0] for call in calls[:4]]
    assert names == ["begin", "report", "report", "abandon"]
    assert ends(calls) == [("search", 0)]


def test_copies_of_events_change_nothing(follow):
    events = [*begin(), *trial(0), *trial(0), *trial(0, "failed")]
    calls, _, follower = follow(events)
    assert ends(calls) == [("search", 0)]
    assert follower.study.trials["search", 0].state == "complete"


def test_a_trial_whose_begin_is_missing_is_kept_all_the_same(follow):
    events = [*begin(), *list(trial(0))[1:]]
    calls, _, _ = follow(events)
    assert ends(calls) == [("search", 0)]


def test_what_raises_loses_its_own_trial_only_and_that_until_the_next_time(follow):
    calls, said, follower = follow(whole(), fails={("report", 3), ("begin", 1)})
    assert set(ends(calls)) == OVER - {("search", 1), ("search", 3)}
    assert said == ["failed at search trial 1: RuntimeError: no begin for you", "done"]
    assert follower.missed == 2
    calls, _, _ = follow(whole())
    assert set(ends(calls)) == {("search", 1), ("search", 3)}


def test_what_raises_at_each_call_is_given_up(follow):
    events = [*begin(), *(one for number in range(50) for one in trial(number))]
    calls, said, follower = follow(events, fails={"begin", "progress"})
    assert len(calls) == GIVEN_UP and follower.missed == GIVEN_UP
    assert said[1:] == [f"failed {GIVEN_UP} times in a row: given up for now", ""]
    calls, _, _ = follow(events)
    assert len(ends(calls)) == 50


def test_one_run_a_study(follow):
    calls, _, _ = follow(whole(), runs=False)
    assert {call[0] for call in calls} == {"progress", "conclude"}


def test_a_line_of_the_kept_that_was_cut_short_does_not_count(tmp_path):
    path = tmp_path / "kept"
    path.write_text("search 1\nsearch 12")
    kept = Kept(path)
    assert ("search", 1) in kept and ("search", 12) not in kept
    kept.add("search", 2)
    again = Kept(path)
    assert ("search", 1) in again and ("search", 2) in again
    assert made_log.OVER
