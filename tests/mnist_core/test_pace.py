"""A training's state is written as seldom as asked, and never for more than its share of time."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from small_data import small_data

from mnist_core import train as trainer
from mnist_core.config import TrainConfig
from mnist_core.data.datasets import load
from mnist_core.trainer import training_state
from mnist_core.trainer.training_state import DEAREST, CheckpointTimer


class Clock:
    now = 50.0

    def __call__(self):
        return self.now


def writings(seconds, costs, every=1.0, reports=1000):
    """Return when it was written, with a report ``every`` so many seconds."""
    clock, found = Clock(), []
    pace = CheckpointTimer(seconds, clock)
    for _ in range(reports):
        clock.now += every
        if pace.due():
            with pace.measured():
                found.append(clock.now - 50.0)
                clock.now += costs
    return found


def test_at_every_report():
    assert writings(0.0, 0.5, reports=3) == [1.0, 2.5, 4.0]


def test_not_before_its_time():
    assert writings(60.0, 0.0, reports=59) == []
    assert writings(60.0, 0.0, reports=180) == [60.0, 120.0, 180.0]


@given(seconds=st.floats(0.5, 100), costs=st.floats(0, 5), every=st.floats(0.1, 10))
def test_it_takes_its_share_at_most(seconds, costs, every):
    found = writings(seconds, costs, every)
    for one, following in itertools.pairwise(found):
        assert following - one >= max(seconds, costs / DEAREST) * (1 - 1e-9)


def test_a_short_training_writes_nothing(tmp_path, monkeypatch):
    config = TrainConfig().override({"data.name": "folder", "data.root": str(small_data())})
    config = config.override({"model.name": "lenet5", "epochs": 2, "device": "cpu", "threads": 1})
    written = []
    monkeypatch.setattr(training_state, "write", lambda *arguments: written.append(1))
    for seconds, times in ((3600.0, 0), (0.0, 1)):
        written.clear()
        path = tmp_path / "state"
        trainer.train(config, load(config.data), state_file=path, state_seconds=seconds)
        assert len(written) == times * config.epochs
