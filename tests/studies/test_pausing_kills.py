"""Real kills of the supervisor and all its workers while trials are paused, or continue."""

import signal
from pathlib import Path

import optuna
import pytest
from pausing_toy import REPORTS, curve_of, trained
from programs import start_script
from test_pausing import plan_in
from waiting import PATIENCE

from objectives.base import Task
from studies.storage.open import close_storage, open_storage
from studies.storage.records import read_trials

SCRIPT = Path(__file__).with_name("pausing_supervisor.py")


def supervise(folder, kind="", count=0):
    process = start_script(SCRIPT, str(folder), kind or "none", str(count or 10**9))
    out, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == (-signal.SIGKILL if kind else 0), errors
    return out


@pytest.mark.long
@pytest.mark.parametrize(
    "kills",
    [
        [("paused", 1), ("paused", 3), ("start", 2), ("report", 5)],
        [("paused", 6), ("start", 3), ("complete", 1), ("pruned", 2)],
        [("pruned", 1), ("pruned", 2), ("pruned", 1)],
    ],
)
def test_the_next_run_continues_the_same_trials(tmp_path, kills):
    for kind, count in kills:
        supervise(tmp_path, kind, count)
    assert supervise(tmp_path).split() == ["24", "24"]
    storage = open_storage(plan_in(tmp_path).storage_url, create=False)
    records = read_trials(optuna.load_study(study_name="toy", storage=storage))
    close_storage(storage)
    assert {str(record.state) for record in records} == {"COMPLETE", "PRUNED"}
    for r in records:
        assert len(r.curve) == (REPORTS if r.complete else 3)
        assert r.curve == curve_of(Task(number=0, params=r.params, seed=r.seed), len(r.curve))
    # Two workers lose what they did since their last state, at each kill.
    counts = trained(tmp_path)
    assert sum(counts.values()) - sum(len(r.curve) for r in records) <= 2 * 3 * len(kills)
