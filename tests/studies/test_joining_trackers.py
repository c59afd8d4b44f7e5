"""Several supervisors on one study (``--join``), each with trackers of its own: real processes.

In one folder they write one log, and every tracker that any of them has keeps each trial once. In
folders of their own each one's trackers keep the trials that it ran; those of the one that confirms
keep the others' too, from the database.
"""

import json
import re

import pytest
from programs import warm_trackers  # noqa: F401
from supervisors import finish, start, trials  # noqa: F401
from waiting import PATIENCE

from studies.planning.tracking_settings import TrackingSettings
from studies.tracking.process import TrackerProcess

pytestmark = pytest.mark.slow
N = 8


@pytest.fixture
def both(start, tmp_path, warm_trackers):  # noqa: F811
    """Runs two, each in a folder with trackers; returns the URL and what each printed."""

    def run(*given):
        url = f"journal:///{tmp_path / 'journal'}"
        options = {
            "url": url,
            "join": True,
            "trials": N,
            "meet": 2,
            "search": {"sampler": "random"},
        }
        started = [start(folder, track=names, **options) for folder, names in given]
        return url, [finish(process) for process in started]

    return run


def kept(folder, name):
    """What a tracker has kept: each once, or it fails."""
    lines = (folder / "toy" / "trackers" / f"{name}.kept").read_text().splitlines()
    found = [tuple(line.split()) for line in lines if not line.startswith("study")]
    assert len(set(found)) == len(found)
    return {(phase, int(number)) for phase, number in found}


def all_of(url):
    confirmed = {trial.number for trial in trials(url, "toy.confirm")}
    assert [trial.state.is_finished() for trial in trials(url)] == [True] * N
    return {
        *(("search", number) for number in range(N)),
        *((phase, number) for phase in ("confirm", "test") for number in confirmed),
    }


def sync(folder, name):
    """Do as ``python -m studies sync`` does, once all have ended."""
    process = TrackerProcess(name, folder / "toy", TrackingSettings(), seconds=PATIENCE, sync="")
    process.finish()
    assert process.complete


def test_in_one_folder_each_tracker_keeps_every_trial_once(both, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")  # it is off in the other tests
    folder = tmp_path / "shared"
    url, said = both((folder, ["tensorboard"]), (folder, ["tensorboard", "wandb"]))
    assert not [line for lines in said for line in lines if "failed" in line or "died" in line]
    everything = all_of(url)
    # The second one may have left before the confirmation; then its own tracker lacks that.
    assert {("search", number) for number in range(N)} <= kept(folder, "wandb") <= everything
    for name in ("tensorboard", "wandb"):
        sync(folder, name)
        assert kept(folder, name) == everything
    runs = [run.name.split("-", 3)[3] for run in (folder / "toy" / "wandb").glob("offline-run-*")]
    assert len(runs) == len(set(runs)) == len(everything) + 1  # and the study's own
    assert len({run.split("-")[0] for run in runs}) == 1  # all of one study
    boards = sorted(path.name for path in (folder / "toy" / "tensorboard").iterdir())
    assert len(boards) == len(everything) + 1  # and the study's own
    numbers = [re.findall(r"\d+", board) for board in boards if board != "study"]
    found = zip([board.split()[0] for board in boards if board != "study"], numbers, strict=True)
    # "search 0 adam", "confirm sgd, trial 4 seed 1 (1)"
    assert {(phase, int(n[0 if phase == "search" else -1])) for phase, n in found} == everything


def test_in_folders_of_their_own_the_one_that_confirms_has_all(both, tmp_path):
    folders = [tmp_path / name for name in ("a", "b")]
    url, said = both(*((folder, ["tensorboard"]) for folder in folders))
    assert not [line for lines in said for line in lines if "failed" in line or "died" in line]
    everything = all_of(url)
    ends = [json.loads(lines[-1]) for lines in said]
    assert any(end["test"] for end in ends)
    for folder, end in zip(folders, ends, strict=True):
        ran = {(phase, number) for phase, number in end["ran"]}
        assert ran  # both had some
        # One that comes late finds the result there, and has all that it is of.
        expected = ran if end["test"] is None else everything
        assert kept(folder, "tensorboard") == expected
