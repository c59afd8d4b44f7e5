"""A worker that cannot use its device costs no trial: it is replaced, or the run ends in a line."""

import pytest
from test_engines import run
from unfit_toys import Unfit, attempts

from mnist_core.errors import UserError
from studies import engines
from studies.core.trials import BEFORE_TRAINING, GPU_FAILURE, Failure
from studies.engines._local.gpu_sharing import IN_A_ROW, Sharing
from studies.engines.base import Resources

UNABLE = Failure(kind=BEFORE_TRAINING, message="the device is busy")
BROKEN = Failure(kind=GPU_FAILURE, message="CUDA error: unspecified launch failure")


def local(workers=1):
    return engines.create("local", workers=workers, threads=1, resources=Resources())


def test_a_device_that_is_free_again(tmp_path):
    records = run(tmp_path, local(), Unfit(tmp_path, times=IN_A_ROW - 1), trials=4, retries=0)
    assert [(r.state, r.attempt) for r in records] == [("COMPLETE", 0)] * 4
    processes = [pid for _, pid in attempts(tmp_path)]
    assert len(set(processes)) == IN_A_ROW and len(set(processes[IN_A_ROW - 1 :])) == 1


def test_a_device_that_stays_taken_ends_the_run_in_a_line(tmp_path):
    objective = Unfit(tmp_path, times=IN_A_ROW)
    with pytest.raises(UserError) as caught:
        run(tmp_path, local(), objective, trials=30)
    assert "CUDA out of memory." in str(caught.value) and "\n" not in str(caught.value)
    assert len(attempts(tmp_path)) == IN_A_ROW
    records = run(tmp_path, local(), objective, trials=30)  # somebody has freed it
    assert [(r.state, r.attempt) for r in records] == [("COMPLETE", 0)] * 30


def test_too_many_workers_on_one_device_become_fewer(tmp_path):
    engine, there = local(workers=3), []
    records = run(
        tmp_path,
        engine,
        Unfit(tmp_path, times=2),
        trials=9,
        listeners=[lambda event: there.append(len(engine.pids))],
    )
    assert [(r.state, r.attempt) for r in records] == [("COMPLETE", 0)] * 9
    assert there[-1] == 1


def test_a_trial_that_breaks_the_gpu_costs_no_other_one(tmp_path):
    records = run(tmp_path, local(), Unfit(tmp_path, sticky=(1, 3)), trials=6, retries=1)
    states = ["COMPLETE", "FAIL", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert [r.state for r in records] == states
    assert records[1].failure.kind == GPU_FAILURE and records[1].attempt == 1
    broken = [pid for number, pid in attempts(tmp_path) if number in (1, 3)]
    assert len(set(broken)) == 4  # each attempt in a process of its own
    later = [pid for number, pid in attempts(tmp_path) if number > 3]
    assert not set(later) & set(broken)


def test_a_gpu_that_fails_every_trial_ends_the_run(tmp_path):
    with pytest.raises(UserError, match="device-side assert"):
        run(tmp_path, local(), Unfit(tmp_path, sticky=tuple(range(30))), trials=30, retries=0)
    assert len(attempts(tmp_path)) == IN_A_ROW


def test_inline_ends_in_a_line_and_loses_nothing(tmp_path):
    inline = engines.create("inline", workers=1, threads=1)
    with pytest.raises(UserError, match="CUDA out of memory"):
        run(tmp_path, inline, Unfit(tmp_path, times=1), trials=3)
    records = run(tmp_path, inline, Unfit(tmp_path), trials=3)
    assert [(r.state, r.attempt) for r in records] == [("COMPLETE", 0)] * 3


def test_a_broken_gpu_leaves_the_work_to_another_one():
    sharing = Sharing(["0", "1"], most=0)
    for _ in range(IN_A_ROW - 1):
        sharing.unfit(1, 2, 7, UNABLE)  # it is the only worker there
        assert not sharing.retired(1)
    sharing.unfit(1, 2, 7, UNABLE)
    assert sharing.retired(1)
    with pytest.raises(UserError):
        for _ in range(IN_A_ROW):
            sharing.unfit(0, 2, 7, UNABLE)


def test_what_comes_to_its_end_shows_a_device_that_works():
    sharing = Sharing([], most=0)
    for number in range(2 * IN_A_ROW):
        sharing.unfit(0, 1, number, BROKEN)
        sharing.fit(0)
    for _ in range(2 * IN_A_ROW):
        sharing.unfit(0, 1, 7, BROKEN)  # one trial alone: its retries end it
