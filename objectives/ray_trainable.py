"""An objective of this project, or a function of one's own, as a trainable of Ray Tune.

trainable = as_ray_trainable(Classification(base, SPACE), SPACE, seed=0)
tune.Tuner(trainable, param_space=SPACE.to_ray(), tune_config=…).fit()

A training resumes from the checkpoint that Tune hands it, to the same result as without a break.
With population based training it continues a copy of another one with changed settings.
"""

import dataclasses
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ray import tune

from mnist_core.changes import CHANGEABLE
from mnist_core.errors import UserError
from objectives.base import CHANGES, Objective, StopTraining, Task
from objectives.optuna_objective import trial_seed
from objectives.own.in_scripts import as_objective
from objectives.training import Training
from search_spaces.space import Space

_STATE, _LINEAGE = "state.safetensors", "training.json"  # files of a checkpoint


def as_ray_trainable(
    objective: Any, space: Space, *, seed: int, metric: str = "val_accuracy"
) -> Callable[[dict[str, Any]], None]:
    """Return ``objective`` as a function of a config that Tune made from ``space.to_ray()``.

    It reports all metrics of the objective, and ``step``. Only a ``Training`` has checkpoints: a
    function of one's own that Tune interrupts starts again, and population based training never
    copies it.

    Args:
        objective: an ``Objective``, or a function ``objective(params, *, seed, report)``.
        space: what the config stands for; see ``Space.from_ray`` on conditions.
        seed: each trial has its own, drawn from it and the number that Tune gives the trial.
        metric: what a function of one's own means by a number that it reports or returns.
    """
    runs = _with_absolute_root(as_objective(objective, metric))

    def trainable(config: dict[str, Any]) -> None:
        context = tune.get_context()
        number = _number(context.get_trial_id(), context.get_trial_dir())
        started = _Lineage(params=space.from_ray(config), seed=trial_seed(seed, number))
        with tempfile.TemporaryDirectory() as folder:
            state = Path(folder) / f"{number}.safetensors"
            lineage = _resumed(started, space, runs, state)
            _run(_with_states(runs, state.parent), number, lineage, state)

    return trainable


@dataclass(frozen=True, kw_only=True)
class _Lineage:
    """The one training that a trial equals: its start, and the changes since."""

    params: Mapping[str, Any]
    seed: int
    changes: Sequence[Mapping[str, Any]] = ()
    step: int = 0  # the last report

    def task(self, number: int) -> Task:
        changes = {CHANGES: [dict(one) for one in self.changes]} if self.changes else {}
        return Task(number=number, params={**self.params, **changes}, seed=self.seed)

    def now(self, space: Space) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for change in self.changes:
            changed |= change
        return {name: changed.get(space.setting(name), v) for name, v in self.params.items()}

    def changed(
        self, params: Mapping[str, Any], space: Space, reports_per_epoch: int
    ) -> "_Lineage":
        """Return the lineage that continues with ``params``.

        Raises:
            UserError: if one of them cannot change midway, or not now.
        """
        now = self.now(space)
        different = [name for name in {**now, **params} if now.get(name) != params.get(name)]
        if not different:
            return self
        for name in different:
            if space.setting(name) not in CHANGEABLE or name not in now or name not in params:
                raise UserError(
                    f"{name}: cannot change while a model is trained, which population based"
                    f" training does; leave it out of the mutations ({', '.join(CHANGEABLE)} can)"
                )
        epoch, rest = divmod(self.step, reports_per_epoch)
        if rest:
            raise UserError(
                f"perturbation_interval: settings change between epochs, each of"
                f" {reports_per_epoch} reports, but this copy comes after {self.step}"
            )
        new = {space.setting(name): params[name] for name in different}
        kept = [one for one in self.changes if one["epoch"] != epoch]
        same = next((dict(one) for one in self.changes if one["epoch"] == epoch), {})
        return dataclasses.replace(self, changes=[*kept, {**same, "epoch": epoch, **new}])


def _number(trial_id: str, folder: str) -> int:
    """Return the number of a trial in its experiment, from Tune's name of it or of its folder.

    With a search algorithm the name is random, as ``a1b2c3d4``, and only the folder's name has the
    number: ``trainable_a1b2c3d4_7_lr=0.1_2026-…``.
    """
    found = re.search(r"_([0-9]+)$", trial_id)
    found = found or re.search(rf"{re.escape(trial_id)}_([0-9]+)(_|$)", Path(folder).name)
    if found:
        return int(found[1])
    # A script may name the folders itself. Then trials still have different numbers.
    return int.from_bytes(hashlib.sha256(trial_id.encode()).digest()[:4], "big")


def _resumed(started: _Lineage, space: Space, runs: Objective, state: Path) -> _Lineage:
    """Take the state over that Tune hands in, if it does; return the training that continues."""
    checkpoint = tune.get_checkpoint()
    training = _training(runs)
    if checkpoint is None or training is None:
        return started
    with checkpoint.as_directory() as folder:
        kept = _Lineage(**json.loads((Path(folder) / _LINEAGE).read_text(encoding="utf-8")))
        shutil.copyfile(Path(folder) / _STATE, state)
    config = training.config(kept.task(0))
    if kept.step >= config.epochs * config.reports_per_epoch:
        return kept  # a copy of a training that has ended: no new setting applies to it
    return kept.changed(started.params, space, config.reports_per_epoch)


def _run(runs: Objective, number: int, lineage: _Lineage, state: Path) -> None:
    latest: dict[str, float] = {}

    def report(step: int, metrics: Mapping[str, float]) -> None:
        nonlocal latest
        latest = dict(metrics)
        if step <= lineage.step:  # Tune has it already
            return
        values = {**metrics, "step": step}
        if not state.is_file():
            tune.report(values)
            return
        with tempfile.TemporaryDirectory() as folder:
            shutil.copyfile(state, Path(folder) / _STATE)
            now = json.dumps(asdict(dataclasses.replace(lineage, step=step)))
            (Path(folder) / _LINEAGE).write_text(now, encoding="utf-8")
            tune.report(values, checkpoint=tune.Checkpoint.from_directory(folder))

    try:
        outcome = runs(lineage.task(number), report)
    except StopTraining:
        return
    if not outcome.stopped and dict(outcome.metrics) != latest:
        tune.report(dict(outcome.metrics))


def _training(runs: Objective) -> Training | None:
    return runs if isinstance(runs, Training) else None


def _with_states(runs: Objective, folder: Path) -> Objective:
    """Return ``runs`` with a state at every report, if it is a training."""
    training = _training(runs)
    if training is None:
        return runs
    return dataclasses.replace(training, states=folder, state_seconds=0.0)


def _with_absolute_root(runs: Objective) -> Objective:
    """Return ``runs`` with an absolute ``data.root``: Tune changes the working directory."""
    training = _training(runs)
    if training is None or not training.base.data.root:
        return runs
    root = str(Path(training.base.data.root).expanduser().absolute())
    return dataclasses.replace(training, base=training.base.override({"data.root": root}))
