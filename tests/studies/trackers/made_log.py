"""Logs of a made-up study of four search trials, a confirmed and a tested one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from waiting import PATIENCE

from mnist_core.config import DataConfig
from mnist_core.data import image_arrays
from studies.core.event_log import FILE, EventLog
from studies.core.events import Event, Kind
from studies.planning.tracking_settings import TrackingSettings
from studies.tracking.process import TrackerProcess

BEGAN = 1_790_000_000.0
IMAGES = image_arrays.validation_images(DataConfig())
ABOUT = {
    "id": "0123abcd",
    "name": "made",
    "goal": "Which one?",
    "metric": "val_accuracy",
    "direction": "maximize",
    "scientific": "optim.name",
    "train": {"epochs": 3, "model.name": "net", "optim.eps": 1e-8},
    "data": IMAGES.fingerprint,
    "space": {
        "optim.name": {"type": "Choice", "choices": ["adam", "sgd"]},
        "optim.lr": {"type": "Float", "low": 1e-4, "high": 1.0},
        "sgd.momentum": {"type": "Float", "low": 0.0, "high": 0.99},
        "width": {"type": "Choice", "choices": [8, "auto"]},
    },
    "distributions": {
        "optim.lr": '{"name": "FloatDistribution", "attributes":'
        ' {"step": null, "low": 0.0001, "high": 1.0, "log": true}}'
    },
}
CONFUSION = [[9, 1], [2, 8]]
VALIDATION = {
    "mistakes": [[5, 7, 1, 0.988], [2, 4, 0, 1, 3.214]],
    "roc": {"x": [0.0, 0.1, 1.0], "y": [0.0, 0.9, 1.0], "area": 0.9},
    "precision_recall": {"x": [0.1, 1.0], "y": [1.0, 0.5], "area": 0.8},
}
CAPTIONS = ["7 taken for 1, 99 %", "different taken for same, score 3.21"]
OVER = {*(("search", n) for n in range(4)), ("confirm", 0), ("test", 0)}


def event(
    kind: Kind, phase: str = "search", trial: int | None = None, at: float = 0, /, **data: Any
):
    return Event(kind=kind, phase=phase, trial=trial, data=data, time=BEGAN + at)


def begin() -> list[Event]:
    return [event("study", "", **ABOUT), event("phase", name="search", total=4, done=0)]


def trial(
    number: int, end: Kind = "complete", *, phase: str = "search", steps: int = 3
) -> Iterator[Event]:
    at = 10.0 * number
    params = {"optim.name": "adam", "optim.lr": 0.01 * (number + 1)}
    config = {"optim.lr": 0.01 * (number + 1), "optim.eps": None}
    start = {"params": params, "seed": 2**60 + number, "attempt": 0, "config": config}
    confirmed = {"label": "adam", "nth_seed": 1} if phase == "confirm" else {}
    yield event("start", phase, number, at, **start, **confirmed)
    value = 0.0
    for step in range(1, steps + 1):
        value = 0.9 + number / 100 - 0.1 / step
        metrics = {"val_accuracy": value, "val_loss": 1 - value}
        yield event("report", phase, number, at + step, step=step, metrics=metrics)
    at += steps + 0.5
    if end == "failed":
        yield event("failed", phase, number, at, kind="OutOfMemory", message="too big")
        return
    whole = {"validation": VALIDATION} if end == "complete" else {}
    yield event(
        end,
        phase,
        number,
        at,
        value=value,
        metrics={"val_accuracy": value, "val_loss": 1 - value},
        seconds=steps + 0.5,
        attributes={"device": "cpu", "confusion": CONFUSION, **whole},
    )


def whole() -> list[Event]:
    """Two complete trials, a pruned and a failed one; one confirmed and tested; the result."""
    return [
        *begin(),
        *trial(0),
        *trial(1, "pruned", steps=1),
        *trial(2, "failed", steps=2),
        *trial(3),
        *trial(0, phase="confirm"),
        event("tested", "test", 0, 60, metrics={"test_accuracy": 0.5}),
        event(
            "result",
            "test",
            None,
            61,
            verdict=["adam is best."],
            table=[{"choice": "adam", "search": "93.00"}],
            best={"label": "adam", "mean": 0.93},
            files={"best configuration": "best_config.toml"},
        ),
    ]


def write(folder: Path, events: list[Event]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "best_config.toml").write_text("epochs = 3\n")
    log = EventLog(folder / FILE, print)
    for one in events:
        log(one)
    log.close()
    assert not log.lost
    return folder / FILE


def track(name: str, folder: Path, **settings: Any) -> tuple[list[str], bool]:
    """Have a tracker read the whole log; return what it says, and whether it kept everything."""
    made = TrackingSettings.from_mapping(settings, source="test")
    process = TrackerProcess(name, folder, made, seconds=PATIENCE, sync="SYNC")
    said = process.finish()
    return said, process.complete
