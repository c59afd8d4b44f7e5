"""A supervisor that is killed, really, while it puts back the trial of a worker that died.

However much of it was done: the loss was counted and the trial waits, or neither was done; then the
next run puts it back and does not count it. So no retry is lost.
"""

import json
import os
import signal

import programs
import pytest
from postgres import server  # noqa: F401
from supervisors import HERE
from waiting import PATIENCE

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="it forks")


@pytest.mark.parametrize(
    "kind", ["sqlite", "journal", pytest.param("postgresql", marks=pytest.mark.long)]
)
def test_a_loss_is_counted_with_the_trial_put_back_or_not_at_all(kind, tmp_path, request):
    if kind == "postgresql":
        url = request.getfixturevalue("server").new_database()
    else:
        url = f"{kind}:///{tmp_path / 'study.file'}"
    supervisor = programs.start_script(HERE / "losing_supervisor.py", url, tmp_path)
    out, err = supervisor.communicate(timeout=PATIENCE)
    assert not supervisor.returncode, err
    *killed, lived = map(json.loads, out.splitlines())
    kills = len(killed)
    assert killed == [[-signal.SIGKILL, "RUNNING", 0, True, 0]] * kills
    assert lived == [0, "WAITING", 1, True, 1]
    assert kills >= (1 if kind == "journal" else 4)
