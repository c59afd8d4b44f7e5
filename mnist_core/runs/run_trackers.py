"""A run's folder as trackers see it: what the training is, and how it ended."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from mnist_core.data import Data
from mnist_core.errors import UserError
from mnist_core.runs import run_record
from mnist_core.runs.run_folder import RunFolder
from mnist_core.table import flatten
from mnist_core.tracking.base import RunEnd, State, TrackedRun
from mnist_core.tracking.tracked import Trackers

_STATES: dict[str, State] = {run_record.DONE: "finished", run_record.FAILED: "failed"}
_FACTS = (
    *("device", "device_name", "precision", "epochs", "seconds", "train_seconds"),
    *("images_per_second", "n_parameters", "peak_memory", "stopped_early"),
)


def started(
    names: Sequence[str], folder: RunFolder, data: Data, say: Callable[[str], object]
) -> Trackers:
    """Return the trackers ``names`` at work on a run; of a resumed one with its earlier reports."""
    if not names:
        return Trackers((), None, say)
    facts = folder.facts
    identity = "/".join(str(facts[name]) for name in ("environment", "id", "begun"))
    run = TrackedRun(
        identity=hashlib.sha256(identity.encode()).hexdigest()[:8],
        name=folder.path.name,
        environment=str(facts["environment"]),
        root=folder.path.parent.parent,
        settings={n: v for n, v in flatten(folder.config.to_dict()).items() if v is not None},
        began=datetime.fromisoformat(facts["begun"]).timestamp(),
        class_names=data.about.class_names,
    )
    earlier = run_record.read_metrics(folder.path) if folder.resumed else []

    def say_if_possible(text: str) -> None:
        with contextlib.suppress(UserError):  # the output or the folder may be gone
            say(text)

    return Trackers(names, run, say_if_possible, earlier=earlier)


def ended(folder: RunFolder) -> RunEnd:
    """Return how a run has ended, as its folder says; one that has no end was interrupted."""
    facts = folder.facts
    metrics = dict(facts.get("metrics", {}))
    for reading in facts.get("test_readings", [])[-1:]:
        metrics |= {f"test_{name}": value for name, value in reading["metrics"].items()}
    return RunEnd(
        state=_STATES.get(facts.get("status", ""), "interrupted"),
        metrics=metrics,
        facts={name: facts[name] for name in _FACTS if name in facts},
        confusion=facts.get("confusion") or (),
        reason=str(facts.get("reason", "")),
        time=time.time(),
    )
