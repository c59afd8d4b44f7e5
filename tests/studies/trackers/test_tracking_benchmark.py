"""What benchmarks/tracking.py makes of runs whose figures are known."""

import importlib
from pathlib import Path

import pytest
from made_log import whole

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def tracking(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("tracking")


def test_a_run_is_what_its_events_say(tracking):
    """Search from 0 to 33.5, confirmation from 0 to 3.5 seconds; one trial did not say its own."""
    run = tracking.of_events(whole(), wall=50.0, processor=60.0)
    assert (run.wall, run.processor, run.count) == (50.0, 60.0, 5)
    assert run.epochs == 3 + 1 + 2 + 3 + 3
    assert run.trials == pytest.approx(33.5 + 3.5)
    assert run.worker == pytest.approx(3.5 + 1.5 + 0.0 + 3.5 + 3.5)


def test_medians_are_compared(tracking):
    def runs(walls, epochs):
        figures = {"trials": 80.0, "processor": 2.0 * epochs, "count": 47}
        return [
            tracking.Run(wall=wall, worker=0.5 * epochs, epochs=epochs, **figures) for wall in walls
        ]

    text = tracking.compared(runs([100.0, 90.0, 130.0], 200), runs([104.0, 103.0], 180), "wandb")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:4]]
    assert [row[:3] for row in rows] == [["none", "3", "47"], ["wandb", "2", "47"]]
    assert rows[0][4] == "100.000 (90.000 to 130.000)" and rows[1][3] == "180 (180 to 180)"
    assert "wall, s: more: 3.5 % (target <= 5 %: met)" in text
    assert "worker s an epoch: more: 0.0 % (target <= 5 %: met)" in text
