"""Plain functions called where trials run."""

import os
import signal
import sys

import pytest
from waiting import until

from mnist_core.errors import DataError, UserError
from studies import engines
from studies.engines.local import Local


@pytest.fixture(params=["inline", "local"])
def engine(request):
    with engines.create(request.param, workers=2, threads=1) as engine:
        yield engine


def divide(a, b):
    if b == 0:
        raise DataError("b: expected another number than 0")
    return a / b


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(folder):
    if not (folder / "died").exists():
        (folder / "died").touch()
        die()
    return os.getpid()


def where(folder):
    """Return the process, once as many as two have come here."""
    (folder / str(os.getpid())).touch()
    until(lambda: len(list(folder.iterdir())) == 2)
    return os.getpid()


def imported(name):
    return name in sys.modules


def test_results_are_in_order(engine):
    assert engines.call(engine, divide, [(n, 2) for n in range(7)]) == [n / 2 for n in range(7)]
    assert engines.call(engine, divide, []) == []


def test_a_mistake_of_the_user_stays_one_and_the_engine_goes_on(engine):
    with pytest.raises(DataError, match=r"\b0\b"):
        engines.call(engine, divide, [(1, 1), (1, 0), (1, 1)])
    assert engines.call(engine, divide, [(1, 1)]) == [1]


def test_a_defect_keeps_its_traceback(engine):
    with pytest.raises(RuntimeError, match=r"(?s)TypeError: unsupported.*return a / b"):
        engines.call(engine, divide, [(1, "x")])


def test_a_stopped_engine_gives_no_results(engine):
    engine.stop()
    with pytest.raises(UserError, match="stopped"):
        engines.call(engine, divide, [(1, 1)])


def test_a_worker_that_dies_ends_the_calls():
    with (
        Local(workers=2, threads=1) as engine,
        pytest.raises(UserError, match="killed by SIGKILL"),
    ):
        engines.call(engine, die, [()])


def test_a_worker_that_dies_once_costs_no_call(tmp_path):
    with Local(workers=2, threads=1) as engine:
        first, second = engines.call(engine, die_once, [(tmp_path,), (tmp_path,)])
        assert {first, second} <= set(engine.pids)


def test_every_worker_takes_its_share(tmp_path):
    with Local(workers=2, threads=1) as engine:
        assert set(engines.call(engine, where, [(tmp_path,)] * 4)) == set(engine.pids)


def test_what_is_preloaded_is_there_and_what_cannot_be_is_of_no_matter():
    # A module that nothing else needs.
    with Local(workers=1, threads=1, preload=["no_such_module", "colorsys"]) as engine:
        assert engines.call(engine, imported, [("colorsys",)]) == [True]
    with Local(workers=1, threads=1) as engine:
        assert engines.call(engine, imported, [("colorsys",)]) == [False]
