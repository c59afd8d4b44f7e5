"""The plan of a study: everything that is decided before its first trial, frozen and printable."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_core.config import TrainConfig
from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from mnist_core.trainer import optimizers
from mnist_core.version import TRAINER_VERSION
from objectives.base import CHANGES
from search_spaces.space import Choice, Float, Int, Parameter
from studies import catalog
from studies.core import study_names
from studies.core.attributes import CODE
from studies.core.goals import Goals
from studies.planning import machine, own_code
from studies.planning import machine as places
from studies.planning.layers import searched_settings, settings_of, unset
from studies.planning.settings import Settings
from studies.spec import StudySpec
from studies.storage.location import StudyLocation
from studies.storage.url import absolute_url, sqlite_url

_NOT_IN_FINGERPRINT = ("seed", "device", "threads")
"""Settings of the trainer that say where a trial runs or which one it is, not what is measured."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One study, resolved on this machine.

    Attributes:
        name: name of the study in the storage and of its folder; with ``--quick`` another one, so
            that a quick look never mixes with the real study.
        spec: what the study asks.
        settings: as resolved from all layers.
        origins: the source of each setting that is not a default, by full dotted name.
        train: configuration that all trials share; device and threads are those of this machine.
        trials: trials of the search, over all resumes.
        trials_complete: the search ends as soon as so many trials have run their full budget, and
            after ``trials`` in any case; 0: after ``trials``.
        trials_per_choice: each choice of the scientific parameter gets at least so many of them.
        confirm_seeds: fresh seeds on which each confirmed configuration is trained again.
        workers: worker processes.
        threads: CPU threads a worker.
        most_workers: so many there may be when it is known how many a GPU has room for; 0: as many
            as ``workers``.
        gpus: GPUs that workers take in turn, see ``machine.gpus``.
        folder: where the study's files go.
        storage_url: where Optuna keeps the study.
        data_fingerprint: hash of the data and its split, "" until ``with_data`` gave it.
        test_data: hash of the same and the test files, where the study was begun without these;
            else "".
    """

    name: str
    spec: StudySpec
    settings: Settings
    origins: Mapping[str, str] = field(repr=False)
    train: TrainConfig
    trials: int
    trials_per_choice: int
    confirm_seeds: int
    workers: int
    threads: int
    folder: Path
    storage_url: str
    data_fingerprint: str = ""
    test_data: str = ""
    trials_complete: int = 0
    most_workers: int = 0
    gpus: tuple[str, ...] = ()

    @property
    def location(self) -> StudyLocation:
        """Which study it is, and where."""
        return StudyLocation(self.name, self.folder, self.storage_url)

    @property
    def goals(self) -> Goals:
        """The objectives and limits of the study.

        Raises:
            ConfigError: see ``Goals``.
        """
        search = self.settings.search
        return Goals(
            metric=self.spec.metric,
            direction=self.spec.direction,
            further=search.objectives,
            limits=search.constraints,
        )

    def with_data(self, fingerprint: str) -> "Plan":
        """Return the plan with the fingerprint of the loaded data."""
        return dataclasses.replace(self, data_fingerprint=fingerprint)

    def config_for(self, params: Mapping[str, Any], seed: int) -> TrainConfig:
        """Return the configuration that trains ``params`` with ``seed``.

        Raises:
            SpaceError: ``params`` is no point of the space.
            ConfigError: the trainer has no such setting or refuses its value.
        """
        self.spec.space.check({name: params[name] for name in params if name != CHANGES})
        settings = self.spec.space.settings(params)
        if CHANGES in params:
            settings["changes"] = params[CHANGES]
        return self.train.override({**settings, "seed": seed}, source=f"study {self.spec.name}")

    def ends(self) -> list[TrainConfig]:
        """Return the configurations at the ends of every range in every branch of the space."""
        space = self.spec.space
        configs = []
        for branch in space.branches():
            for end in (0, -1):

                def choose(name: str, parameter: Parameter, end: int = end) -> Any:
                    if isinstance(parameter, Float | Int):
                        return (parameter.low, parameter.high)[end]
                    return branch.get(name, parameter.choices[end])  # noqa: B023

                configs.append(self.config_for(space.walk(choose), seed=0))
        return configs

    @property
    def most_reports(self) -> int:
        """How many reports a trial makes at most; where trials differ in it, the greatest number.

        It is the trainer's: epochs x reports_per_epoch. A pruner's rungs are made of it.
        """
        most = {"epochs": self.train.epochs, "reports_per_epoch": self.train.reports_per_epoch}
        for name, parameter in self.spec.space.parameters.items():
            if (setting := self.spec.space.setting(name)) in most:
                ends = parameter.choices if isinstance(parameter, Choice) else (parameter.high,)
                most[setting] = max(int(end) for end in ends if end is not None)
        return most["epochs"] * most["reports_per_epoch"]

    @property
    def search_budget(self) -> str:
        """How many trials the search has, for a line."""
        if not self.trials_complete:
            return str(self.trials)
        return f"at most {self.trials}, until {self.trials_complete} are complete"

    def required_params(self, number: int) -> dict[str, Any]:
        """Return the parameters that trial ``number`` must have; the sampler chooses the others.

        First come the default configurations, that of the baseline before all, then the choices of
        the scientific parameter in turn, until each has its ``trials_per_choice``.
        """
        choices = _baseline_first(self.spec)
        choice = choices[number % len(choices)]
        if number < len(choices):
            return self.spec.default(choice)
        if number < len(choices) * self.trials_per_choice:
            return {self.spec.scientific: choice}
        return {}

    def fingerprint(
        self, trainer: str = TRAINER_VERSION, code: Mapping[str, str] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Return what makes trials comparable: a SHA-256 and the plain values it is taken of.

        Args:
            trainer: version of the trainer, see ``mnist_core.version``.
            code: hashes of the user's own objective and models; None: as their files are now.

        Raises:
            ConfigError: a file of the user's own is missing or is not Python.
        """
        fixed = self.comparable_settings(self.train)
        for key in searched_settings(self.spec):
            table, _, leaf = key.removeprefix("train.").rpartition(".")
            (fixed[table] if table else fixed).pop(leaf)
        values = {
            "objective": self.spec.objective,
            "metric": self.spec.metric,
            "direction": self.spec.direction,
            "seed": self.settings.search.seed,
            "space": self.spec.space.to_dict(),
            "train": fixed,
            "data": self.data_fingerprint,
            "trainer": trainer,
        }
        code = own_code.hashes(self.spec, self.train.model.name) if code is None else code
        values |= {CODE: dict(code)} if code else {}
        search = self.settings.search
        goals = {"objectives": search.objectives, "constraints": search.constraints}
        values |= {name: found for name, found in goals.items() if found}  # of older studies: none
        if (environment := self.train.device.partition(":")[0]) != "cpu":
            values[machine.DEVICE_KIND] = environment
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest(), values

    @staticmethod
    def comparable_settings(config: TrainConfig) -> dict[str, Any]:
        """Return the settings of a training that say what is measured, as plain values."""
        settings = config.model_dump(exclude=set(_NOT_IN_FINGERPRINT))
        settings["data"].pop("test_set")  # a test set that comes later changes no training
        settings["data"].pop("root")  # a place; what lies there is in the data's own fingerprint
        if not config.changes:
            del settings["changes"]  # older studies have none
        return settings


def resolve(
    study: str, *, conf: Path | None = None, sets: Mapping[str, Any], quick: bool = False
) -> Plan:
    """Resolve everything that ``study`` depends on; trains and writes nothing.

    Settings are laid over one another: the defaults, ``conf.toml``, what the study fixes,
    ``[studies.<name>]`` in ``conf.toml``, ``--quick``, and ``sets``.

    Args:
        study: name of a file in ``studies/catalog/``, or of a fork, see ``fork_names``.
        conf: another file than ``conf.toml``.
        sets: dotted settings of the command line.
        quick: whether to use the study's ``quick`` settings and a folder of their own.

    Raises:
        ConfigError: a study or setting is unknown or wrong, or the machine lacks what it asks for.
    """
    study, fork = study_names.split(study, catalog.names())
    spec = catalog.get(study)
    searched = searched_settings(spec)
    settings, origins = settings_of(study, spec, conf=conf, sets=sets, quick=quick)

    trials = _trials(spec, settings, origins)
    # Sums of floating-point numbers depend on the threads, and trials in batch order on nothing.
    asked_threads = settings.engine.threads or int(settings.search.order == "batch")
    place = places.find(settings.engine, settings.train.device, threads=asked_threads)
    workers, threads = machine.share(
        available=place.cores,
        workers=settings.engine.workers,
        threads=place.threads,
        tasks=trials,
        on_gpu=place.by_memory,
    )
    most_workers = 0
    if place.by_memory and not settings.engine.workers:
        workers, threads, most_workers = machine.share_gpus(
            available=place.cores,
            threads=asked_threads,
            tasks=trials,
            gpus=max(1, len(place.gpus)),
            memory=machine.free_memory(),
        )
    name = study_names.full(spec.name, quick=quick, fork=fork)
    folder = places.results_folder(settings.results.folder) / name
    seeds = settings.confirm.seeds
    plan = Plan(
        name=name,
        spec=spec,
        settings=settings,
        origins=origins,
        train=settings.train.override(
            {**unset(searched), "device": place.device, "threads": threads},
            source=f"study {study}",
        ),
        trials=trials,
        trials_complete=settings.search.trials_complete or 0,
        trials_per_choice=_trials_per_choice(spec, settings, trials),
        confirm_seeds=spec.confirm_seeds if seeds is None else seeds,
        workers=workers,
        threads=threads,
        most_workers=most_workers,
        gpus=place.gpus,
        folder=folder,
        storage_url=storage_url_of(settings, folder),
    )
    for config in plan.ends():
        optimizers.resolve(config.optim)
    return plan


def storage_url_of(settings: Settings, folder: Path) -> str:
    """Return where Optuna keeps the study whose files are in ``folder``."""
    given = settings.storage.url
    return absolute_url(given) if given else sqlite_url(folder / "study.db")


def _own(study: str) -> tuple[str, str]:
    """Return the sources of what a study sets itself."""
    file = f"studies/catalog/{study}.py"
    return f"{file} (fixed)", f"{file} (quick)"


_BEGUN_PER_COMPLETE = 10
"""Trials that are begun at most for each that is to be complete, unless search.trials says it."""


def _trials(spec: StudySpec, settings: Settings, origins: Mapping[str, str]) -> int:
    """Return the most trials that the search begins.

    Raises:
        ConfigError: more are to be complete.
    """
    search = settings.search
    complete, per_choice = search.trials_complete, search.trials_per_choice or 0
    trials = search.trials
    if complete is not None and origins.get("search.trials") in (None, *_own(spec.name)):
        trials = _BEGUN_PER_COMPLETE * complete
    if complete is not None and trials is not None and complete > trials:
        raise ConfigError(
            f"search.trials_complete: {complete} trials cannot be complete, as search.trials is"
            f" {trials}, the most that are begun; raise it, or leave it out"
        )
    trials = spec.trials if trials is None else trials
    if origins.get("search.trials") != "--set":  # nobody asked for just so many: add some
        trials = max(trials, per_choice * len(spec.choices))
    return trials


def _trials_per_choice(spec: StudySpec, settings: Settings, trials: int) -> int:
    """Return what was asked for if it fits into ``trials``, else the study's own number.

    With fewer trials than that needs the choices still take turns, so that a study can be extended:
    what trial ``number`` must be does not depend on how many there are to be.
    """
    choices = len(spec.choices)
    asked = settings.search.trials_per_choice
    if asked is None:
        return spec.trials_per_choice
    if asked * choices > trials:
        raise ConfigError(
            f"search.trials_per_choice: {asked} for each of {choices} choices of {spec.scientific}"
            f" need {counted(asked * choices, 'trial')}, but search.trials is {trials}; raise it"
        )
    return asked


def _baseline_first(spec: StudySpec) -> list[Any]:
    return [spec.baseline, *(choice for choice in spec.choices if choice != spec.baseline)]
