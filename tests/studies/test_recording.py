"""The log of a real run of a toy study, and trackers that follow it."""

import dataclasses
import os
from pathlib import Path

import pytest
from rich.console import Console
from test_protocol import run
from toy import Toy, make_plan

from objectives.base import TrainingError
from studies.cli import foreground
from studies.core.event_log import FILE, EventLog, Tail, survey
from studies.core.events import Event
from studies.protocol import phases
from studies.report.table import result_event
from studies.tracking.follow import Follower
from studies.tracking.kept import Kept
from studies.tracking.recording import Recording

NO_TRACKERS = {"trackers": []}


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})


def record(plan, *, conclude=True, **options):
    """Run what is missing of the study and record it; return what was said and the result."""
    said = []
    with Recording(plan, said.append, lambda name, line: said.append(f"{name}: {line}")) as log:
        result = run(plan, listeners=[log], **options)
        if conclude:
            foreground.finish(result, Console(quiet=True))
            log.conclude(result, result_event(result))
    # On a busy machine a line says that the study waits for a tracker.
    return [line for line in said if not line.startswith("waiting for ")], result


def events(plan):
    tail = Tail(plan.folder / FILE)
    found = list(tail.read())
    assert tail.damaged == 0
    return found


def followed(plan, tmp_path):
    """The study as trackers see it."""
    follower = Follower(lambda study: pytest.fail(), Kept(tmp_path / "none"), print, runs=False)
    follower._call = lambda *call, at="": ""
    for event in events(plan):
        follower.take(event)
    return follower.study


def test_the_log_tells_all_that_the_database_holds(tmp_path):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    said, result = record(plan)
    assert said == []
    found = events(plan)
    assert found[0].kind == "study" and found[0].data["name"] == "toy"
    assert found[0].data["train"]["epochs"] == plan.train.epochs
    assert "optim.lr" not in found[0].data["train"]
    study = followed(plan, tmp_path)
    states = [t.state.upper() for t in study.trials.values() if t.phase == "search"]
    assert len(states) == 9
    assert {state: states.count(state) for state in set(states)} == {
        state: count for state, count in result.states.items() if count
    }
    tested = {number for phase, number in study.trials if phase == "test"}
    assert tested == set(result.test.values)
    assert study.result["best"]["label"] == result.best
    assert found[-1].kind == "result" and "adam" in found[-1].data["table"][0].values()


def test_a_trials_config_is_what_it_was_trained_with(tmp_path):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    record(plan)
    study = followed(plan, tmp_path)
    for trial in study.trials.values():
        config = study.config_of(trial)
        assert config["optim.name"] == trial.params["optim.name"]
        assert config["optim.lr"] == trial.params[f"{config['optim.name']}.lr"]
        assert ("optim.beta1" in config) == (config["optim.name"] == "adam")
        assert trial.phase == "test" or config["seed"] == trial.seed


def test_a_finished_study_that_is_run_again_adds_no_trial_and_no_result(tmp_path):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    record(plan)
    before = [event.kind for event in events(plan)]
    record(plan)
    after = [event.kind for event in events(plan)][len(before) :]
    assert set(after) <= {"study", "phase", "message"}
    ids = {event.data["id"] for event in events(plan) if event.kind == "study"}
    assert len(ids) == 1


def test_what_a_log_lacks_is_filled_in_from_the_database(tmp_path):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    record(plan, conclude=False)
    whole = followed(plan, tmp_path)
    path = plan.folder / FILE
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 3])[:-9])
    record(plan)
    tail = Tail(path)
    assert sum(event.kind == "result" for event in tail.read()) == 1 and tail.damaged == 1
    assert survey(path).over == set(whole.trials)


def test_a_log_that_was_deleted_is_made_again(tmp_path):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    record(plan)
    whole = followed(plan, tmp_path)
    (plan.folder / FILE).unlink()
    record(plan)
    again = followed(plan, tmp_path)
    assert set(again.trials) == set(whole.trials) and again.result == whole.result
    for key, trial in whole.trials.items():
        made = again.trials[key]
        assert (made.params, made.state, made.value) == (trial.params, trial.state, trial.value)
        assert made.metrics == trial.metrics and made.seed == trial.seed
        assert [r.step for r in made.reports] == [r.step for r in trial.reports]


@dataclasses.dataclass
class _Failing(Toy):
    def __call__(self, task, report):
        if task.number == 4:
            raise TrainingError("OutOfMemory", "too big")
        return super().__call__(task, report)


def test_a_failed_trial_has_its_reason(tmp_path):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    record(plan, toy=_Failing())
    failed = followed(plan, tmp_path).trials["search", 4]
    assert (failed.state, failed.failure) == ("failed", "OutOfMemory: too big")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_harms_no_trial(tmp_path, monkeypatch):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    monkeypatch.setattr(
        EventLog, "_open", lambda log: setattr(log, "_file", os.open("/dev/full", os.O_WRONLY))
    )
    said, result = record(plan)
    assert sum(result.states.values()) == 9
    assert len(said) == 1 and "No space left on device" in said[0]


def test_two_trackers_follow_and_one_that_cannot_work_harms_nothing(tmp_path):
    plan = make_plan(tmp_path, tracking={"trackers": ["tensorboard"]})
    said, _ = record(plan)
    folder = plan.folder / "tensorboard"
    assert said == [f"tensorboard: tensorboard --logdir {folder}"]
    over = survey(plan.folder / FILE).over
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 1 + len(over)
    for phase in ("confirm", "test"):  # all of a choice, each seed once
        found = [name for name in names if name.startswith(f"{phase} sgd seed ")]
        assert sorted(int(name.split()[3]) for name in found) == [*range(1, len(found) + 1)]
    assert len(found) == plan.confirm_seeds


def test_what_a_killed_tracker_lacks_is_kept_by_the_next_run(tmp_path):
    """Also where that trains nothing, as of a study that is finished."""
    plan = make_plan(tmp_path, trials=3, seeds=1, tracking={"trackers": ["tensorboard"]})
    record(dataclasses.replace(plan, settings=make_plan(tmp_path, tracking=NO_TRACKERS).settings))
    over = survey(plan.folder / FILE).over
    folder = plan.folder / "trackers"
    folder.mkdir()
    (folder / "tensorboard.kept").write_text("search 0\nsear")  # killed here
    said, result = record(plan)
    assert result.trained == 0 and len(said) == 1 and said[0].startswith("tensorboard: ")
    kept = set((folder / "tensorboard.kept").read_text().splitlines())
    assert kept >= {f"{phase} {number}" for phase, number in over}
    written = {path.name for path in (plan.folder / "tensorboard").iterdir()}
    numbers = {name.split()[1] for name in written if name.startswith("search ")}
    assert "1" in numbers and "0" not in numbers
    assert record(plan)[0] == []  # nothing is missing: it is not started


def test_a_supervisor_that_finds_the_study_in_use_writes_nothing(tmp_path):
    plan = make_plan(tmp_path, tracking=NO_TRACKERS)
    Recording(plan, pytest.fail, pytest.fail).__exit__(None, None, None)
    assert not (plan.folder / FILE).exists()


def test_a_tracker_is_not_started_before_there_is_a_trial(tmp_path):
    plan = make_plan(tmp_path, tracking={"trackers": ["tensorboard"]})
    plan.folder.mkdir()
    with Recording(plan, pytest.fail, pytest.fail) as log:
        log(Event(kind="phase", phase="search", data={"name": "search"}))
    assert not (plan.folder / "trackers").exists()
