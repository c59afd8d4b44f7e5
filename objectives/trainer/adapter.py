"""The adapter of the package's trainer: what a study must know of its settings."""

import copy
import dataclasses
import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mnist_core import losses, optim
from mnist_core.changes import CHANGEABLE
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.data import name_or_path, splits
from mnist_core.errors import ConfigError
from mnist_core.table import flatten
from objectives.adapter import Call, Params, Phase
from objectives.base import CHANGES, Objective
from objectives.measured import Measured
from objectives.modules import objective_class
from objectives.trainer import code
from objectives.trainer.settings import (
    comparable_settings,
    get,
    put,
    resolved,
    shared_settings,
    with_absolute_root,
)
from objectives.training import Training
from search_spaces.space import Choice, Space


@dataclass(frozen=True)
class TrainerAdapter:
    """See ``objectives.adapter.Adapter``.

    Attributes:
        label: the module in ``objectives/``.
        base: the configuration that all trials share.
        space: the space that is searched.
    """

    label: str
    base: TrainConfig
    space: Space

    judged: ClassVar[str] = "model"
    preload: ClassVar[Sequence[str]] = (
        "mnist_core.train",
        "mnist_core.kernels.machine_code",  # imports llvmlite, if it is installed
    )
    changeable: ClassVar[Collection[str]] = CHANGEABLE

    @property
    def trains(self) -> bool:
        """Whether its class is a ``Training``, so that the trainer alone gives its values."""
        try:
            return issubclass(objective_class(self.label), Training)
        except ConfigError:  # the file is gone, or broken
            return False

    @property
    def device(self) -> str:
        """The device of the trials."""
        return self.base.device

    @property
    def data_name(self) -> str:
        """The name of the data set."""
        return self.base.data.name

    @property
    def no_test(self) -> str:
        """Why there is nothing to test; "": there is."""
        return "" if self.base.data.test_set else "the data have no test set (data.test_set=false)"

    @property
    def reports_per_epoch(self) -> int:
        """Reports of a training in an epoch."""
        return self.base.reports_per_epoch

    @property
    def epochs(self) -> float:
        """Epochs of a training."""
        return float(self.base.epochs)

    @property
    def repeatable(self) -> bool:
        """Whether the same training gives the same values again on the same machine."""
        return self.device == "cpu" or self.base.deterministic

    @property
    def images(self) -> DataConfig:
        """The settings of the data."""
        return self.base.data

    @property
    def reports(self) -> int | None:
        """Number of reports of a training; None: it differs between trials."""
        if self._searched & {"epochs", "reports_per_epoch"}:
            return None
        return self.base.epochs * self.base.reports_per_epoch

    @property
    def most_reports(self) -> int:
        """The most reports that a training makes: epochs x reports_per_epoch."""
        most = {"epochs": self.base.epochs, "reports_per_epoch": self.base.reports_per_epoch}
        for name, parameter in self.space.parameters.items():
            if (setting := self.space.setting(name)) in most:
                ends = parameter.choices if isinstance(parameter, Choice) else (parameter.high,)
                most[setting] = max(int(end) for end in ends if end is not None)
        return most["epochs"] * most["reports_per_epoch"]

    @property
    def _searched(self) -> set[str]:
        return {self.space.setting(name) for name in self.space.parameters}

    def midway(self) -> dict[str, Any]:
        """Return the settings that end or change a training midway, as far as they are set."""
        settings = {"early_stopping": self.base.early_stopping, "changes": self.base.changes}
        return {name: value for name, value in settings.items() if value}

    def placed(self, *, device: str, threads: int, source: str) -> TrainConfig:
        """Return the configuration that all trials share; what they search has its default."""
        return shared_settings(
            self.base, self._searched, device=device, threads=threads, source=source
        )

    def objective(self, phase: Phase) -> Objective:
        """Return an object of the class that the module holds."""
        made: Objective = objective_class(self.label)(
            base=with_absolute_root(self.base),
            space=self.space,
            keep_models=phase.keep,
            states=phase.states,
            state_seconds=phase.state_seconds,
        )
        if not isinstance(made, Training):  # ``check_objective`` has seen that nothing is measured
            return made
        made = dataclasses.replace(made, confirms=phase.confirms, state_reports=phase.state_reports)
        return Measured(made, most_parameters=phase.most_parameters) if phase.measured else made

    def code(self, metric: str) -> dict[str, str]:
        """Return the hashes of the user's own models, optimizers, losses, metrics, objective."""
        return code.hashes(self.label, self.base, self.space, metric)

    def check_code(self, fixed: Mapping[str, Any]) -> None:
        """Check the objective's class and the models, of which none is imported."""
        objective_class(self.label)
        code.check_models(self.space, fixed)

    def comparable(self) -> dict[str, Any]:
        """Return the settings that all trainings share and their values depend on."""
        fixed = comparable_settings(self.base)
        for key in self._searched:
            table, _, leaf = key.rpartition(".")
            (fixed[table] if table else fixed).pop(leaf, None)
        return fixed

    def configuration(self, params: Params, seed: int, *, source: str) -> TrainConfig:
        """Return the configuration that trains ``params``; ConfigError: the trainer refuses it."""
        settings = self.space.settings(params)
        if CHANGES in params:
            settings["changes"] = params[CHANGES]
        return self.base.override({**settings, "seed": seed}, source=source)

    def check(self, points: Sequence[Params], *, source: str) -> None:
        """Raise ConfigError unless the trainer takes the settings of each of ``points``."""
        for point in points:
            config = self.configuration(point, 0, source=source)
            optim.resolve(config.optim)
            if config.loss.name is not None:
                losses.loss(config.loss.name)

    def settings_of(self, params: Params, seed: int, *, source: str) -> dict[str, Any]:
        """Return the settings that train ``params`` by dotted name."""
        return flatten(resolved(self.configuration(params, seed, source=source)).to_dict())

    def shared(self) -> dict[str, Any]:
        """Return the settings that all trainings share by dotted name."""
        of_trials = {"seed", *self._searched}
        settings = flatten(resolved(self.base).to_dict())
        return {name: value for name, value in settings.items() if name not in of_trials}

    def trained(self, values: Mapping[str, Any], params: Params) -> dict[str, Any]:
        """Return the settings that trained ``params`` in the study of ``values``."""
        settings: dict[str, Any] = copy.deepcopy(values["train"])
        default = TrainConfig().model_dump()
        searched = {name: one.get("sets") or name for name, one in values["space"].items()}
        # A searched setting that this trial did not have had its default.
        for setting in searched.values():
            put(settings, setting, get(default, setting))
        for name, value in params.items():
            put(settings, searched[name], value)
        return settings

    def would_train(self, params: Params, *, source: str) -> dict[str, Any]:
        """Return the settings that train ``params`` here."""
        return comparable_settings(self.configuration(params, 0, source=source))

    def refused(self, setting: str, value: Any, *, source: str) -> str:
        """Return why the trainer refuses ``value`` of ``setting``; "": it takes it."""
        try:
            self.base.override({setting: value}, source=source)
        except ConfigError as error:
            return str(error)
        return ""

    def as_trained(self, params: Params, seed: int, attributes: Params) -> dict[str, Any]:
        """Return all settings as they were when the trial was trained."""
        # Those that the training reported: this machine may have others.
        names = ("device", "precision", "threads")
        used = {name: attributes[name] for name in names if name in attributes}
        source = "the trial's record"
        config = self.configuration(params, seed, source=source).override(used, source=source)
        return resolved(config).to_dict()

    def read(self, tables: Mapping[str, Any], *, source: str) -> TrainConfig:
        """Return the settings that ``as_trained`` wrote."""
        return TrainConfig.from_mapping(tables, source=source)

    def ensure_data(self) -> None:
        """Download or decode the data: once, and here, where the user sees it."""
        from mnist_core.console.counted_progress import counted_progress
        from mnist_core.console.safe_console import SafeConsole
        from mnist_core.data import datasets

        console = SafeConsole(stderr=True)
        with counted_progress(console, "decoding images") as progress:
            prepared = datasets.prepare(self.base.data, progress)
        validation, notes = prepared.validation, [*prepared.notes]
        own = not name_or_path.is_shipped(self.base.data)
        # The setting is part of the study, which is set before the images are counted.
        if own and self.base.data.confirm == "own" and validation >= splits.MANY_VALIDATION_IMAGES:
            notes.append(
                f"the {validation:,} validation images choose configurations and confirm them,"
                " which flatters the winner; --set data.confirm=half keeps half of them for"
                " confirming"
            )
        for note in notes:
            console.print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)

    def preparation(self, typical: Sequence[Params], ends: Sequence[Params], most: float) -> Call:
        """Return the check of a worker, which keeps the data that it loads."""
        from objectives.trainer.preflight import prepare

        usual, least = ([self._start(point) for point in points] for points in (typical, ends))
        kind = objective_class(self.label)
        check = {"check": kind.check} if issubclass(kind, Training) else {}
        call = functools.partial(prepare, most_parameters=most, **check)
        return call, ([*usual, *least], usual)

    def _start(self, point: Params) -> TrainConfig:
        return self.configuration(point, 0, source="the study")

    def description(self) -> Call:
        """Return what finds versions and data hashes."""
        from objectives.trainer.facts import describe

        return describe, (self.base.data, code.facts(self.base, self.space))

    def kept(self, folder: Path, number: int) -> Path:
        """Return the file of a confirmed model."""
        return folder / f"{number}.safetensors"

    def reading(self, models: Mapping[int, Path]) -> Call:
        """Return what evaluates models on the test images in a worker."""
        from objectives.trainer.test_images import read_test

        return read_test, (self.base, models)
