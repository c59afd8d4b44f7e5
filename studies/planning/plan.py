"""The plan of a study: everything that is decided before its first trial."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError
from mnist_core.table import Table
from mnist_core.version import TRAINER_VERSION
from objectives import kinds
from objectives.adapter import Adapter, Configuration
from objectives.base import CHANGES
from studies import catalog
from studies.core import study_names
from studies.core.attributes import CODE
from studies.core.goals import Goals
from studies.core.seeds import FIRST_SEEDS
from studies.planning.budget import least_per_choice, search_trials
from studies.planning.fingerprint import DEVICE_KIND, digest_of
from studies.planning.layers import settings_of
from studies.planning.layout import results_folder
from studies.planning.next_commands import StudyCommands
from studies.planning.objective_checks import check_name
from studies.planning.resources import share_out, share_out_own
from studies.planning.settings import Settings
from studies.spec import StudySpec
from studies.storage.location import StudyLocation
from studies.storage.url import absolute_url, sqlite_url


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One study, resolved on this machine."""

    # name of the study in the storage and of its folder; another one with ``--quick``, so that a
    # small run never mixes with the study itself
    name: str
    spec: StudySpec  # the study's question
    settings: Settings  # as resolved from all layers
    # the source of each setting that is not a default, by full dotted name
    origins: Mapping[str, str] = field(repr=False)
    # settings of the objective that all trials share, with this machine's device and threads; only
    # ``adapter`` knows what they mean
    train: Table
    trials: int  # trials of the search, over all resumes
    trials_per_choice: int  # least number of trials of each choice of the scientific parameter
    confirm_seeds: int  # fresh seeds on which each confirmed configuration is trained again
    workers: int  # worker processes
    threads: int  # CPU threads a worker
    folder: Path  # where the study's files go
    storage_url: str  # where Optuna keeps the study
    data_fingerprint: str = ""  # hash of the data and its split; "" until ``with_data`` gives it
    # the hash with the test files, if the study was started without them; else ""
    test_data: str = ""
    # the search ends once this many trials have run their full budget, and after ``trials`` in any
    # case; 0: after ``trials``
    trials_complete: int = 0
    # most workers once the memory of a trial is known; 0: as many as ``workers``
    most_workers: int = 0
    # the study's file, as recorded, if it was named by its file and not by its name alone; or ""
    file: str = ""
    # the Python file that holds the objective, if a program gave the study and no command finds it
    program: str = ""
    gpus: tuple[str, ...] = ()  # GPUs that workers take in turn, see ``machine.gpus``

    @property
    def commands(self) -> StudyCommands:
        """The commands that run and look at the study."""
        return StudyCommands(
            study=self.spec.name,
            location=self.location,
            settings=self.settings,
            origins=self.origins,
            file=self.file,
            program=self.program,
        )

    @property
    def small(self) -> bool:
        """Whether it is a ``--quick`` run, which tries the study's steps and answers nothing."""
        return study_names.parts(self.name, self.spec.name)[0]

    @property
    def location(self) -> StudyLocation:
        """Which study it is, and where."""
        return StudyLocation(self.name, self.folder, self.storage_url)

    @property
    def goals(self) -> Goals:
        """The objectives and limits of the study; raises ConfigError as ``Goals``."""
        search = self.settings.search
        return Goals(
            metric=self.spec.metric,
            direction=self.spec.direction,
            further=search.objectives,
            limits=search.constraints,
        )

    @property
    def adapter(self) -> Adapter:
        """What the objective says of its trials."""
        return kinds.adapter(self.spec.objective, self.train, self.spec.space)

    @property
    def most_reports(self) -> int:
        """The most reports that a trial makes."""
        return self.adapter.most_reports

    @property
    def trainings(self) -> int:
        """About the most trainings of the study: of its search and its confirmation."""
        if self.settings.search.objectives:
            chosen = self.settings.confirm.front
        else:
            chosen = len(self.spec.choices) or self.top
        further = 0
        if self.spec.compares:
            further = (self.top - 1) * min(FIRST_SEEDS, self.confirm_seeds) * chosen
        chosen += self.spec.reference is not None
        confirmed = chosen * self.confirm_seeds + further
        return (self.trials_complete or self.trials) + confirmed

    @property
    def top(self) -> int:
        """How many configurations of each choice are confirmed; 1: only the best search value.

        Without choices: how many in all.
        """
        # Members of a population are copies of each other, and a front has no one best.
        alone = self.settings.population or bool(self.settings.search.objectives)
        return 1 if alone else self.settings.confirm.top

    @property
    def search_budget(self) -> str:
        """The number of trials of the search, in words."""
        if not self.trials_complete:
            return str(self.trials)
        return f"at most {self.trials}, until {self.trials_complete} are complete"

    def with_data(self, fingerprint: str) -> "Plan":
        """Return the plan with the fingerprint of the loaded data."""
        return dataclasses.replace(self, data_fingerprint=fingerprint)

    def forked(self, fork: str) -> "Plan":
        """Return the plan of the fork called ``fork``, which has a folder of its own."""
        quick, _ = study_names.parts(self.name, self.spec.name)
        name = study_names.full(self.spec.name, quick=quick, fork=fork)
        folder = self.folder.with_name(name)
        url = storage_url_of(self.settings, folder)
        return dataclasses.replace(self, name=name, folder=folder, storage_url=url)

    def config_for(self, params: Mapping[str, Any], seed: int) -> Configuration:
        """Return the configuration that runs ``params`` with ``seed``.

        Raises:
            SpaceError: if ``params`` is not a point of the space.
            ConfigError: if the trainer has no such setting or refuses its value.
        """
        self.spec.space.check({name: params[name] for name in params if name != CHANGES})
        return self.adapter.configuration(params, seed, source=f"study {self.spec.name}")

    def required_params(self, number: int) -> dict[str, Any]:
        """Return the parameters that trial ``number`` must have; the sampler chooses the rest."""
        # First the default configurations, the baseline's before all; then the choices of the
        # scientific parameter in turn, until each has its trials_per_choice.
        spec = self.spec
        defaults = spec.first_defaults
        if number < len(defaults):
            return spec.default_of(defaults[number])
        if number < self.turns:
            choices = defaults or spec.choices
            return {spec.scientific: choices[number % len(choices)]}
        return {}

    @property
    def turns(self) -> int:
        """The number of first trials that have to be defaults or of a certain choice."""
        return max(len(self.spec.defaults), len(self.spec.choices) * self.trials_per_choice)

    def fingerprint(
        self, trainer: str = TRAINER_VERSION, code: Mapping[str, str] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Return a SHA-256 of all that makes trials comparable, and the plain values it is of.

        ``code`` are the hashes of the user's own objective and models; None: of their files as they
        are.

        Raises:
            ConfigError: if a file of the user's own is missing or is not Python.
        """
        search = self.settings.search
        values = {
            "objective": self.spec.label,
            "metric": self.spec.metric,
            "direction": self.spec.direction,
            "seed": search.seed,
            "space": self.spec.space.to_dict(),
            "train": self.adapter.comparable(),
            "data": self.data_fingerprint,
            # Its version stands for the shipped code; other objectives do not use it.
            **({} if self.spec.own else {"trainer": trainer}),
        }
        code = self.adapter.code(self.spec.metric) if code is None else code
        environment = self.adapter.device.partition(":")[0]
        optional = {
            CODE: dict(code),
            "objectives": search.objectives,
            "constraints": search.constraints,
            DEVICE_KIND: "" if environment == "cpu" else environment,
        }
        values |= {name: found for name, found in optional.items() if found}
        return digest_of(values), values


def resolve(
    study: str | StudySpec,
    *,
    conf: Path | None = None,
    sets: Mapping[str, Any],
    quick: bool = False,
) -> Plan:
    """Resolve everything that ``study`` depends on; trains and writes nothing.

    ``study`` names a study or a fork, see ``study_names``, or is the study itself; for the other
    arguments see ``layers.settings_of``.

    Raises:
        ConfigError: if a study or setting is unknown or wrong, or the machine lacks what it needs.
    """
    if isinstance(study, StudySpec):
        spec, fork = study, ""
    else:
        base, fork = study_names.split(study, catalog.names())
        spec = catalog.get(base)
    check_name(spec)
    settings, origins = settings_of(spec.name, spec, conf=conf, sets=sets, quick=quick)
    trials = search_trials(spec, settings, origins)
    # Sums of floating-point numbers depend on the threads, and trials in batch order on nothing.
    threads = settings.engine.threads or int(settings.search.order == "batch")
    adapter = kinds.adapter(spec.objective, settings.train, spec.space)
    if spec.own is None:
        share = share_out(settings.engine, adapter.device, threads=threads, tasks=trials)
    else:
        share = share_out_own(settings.engine, threads=threads, tasks=trials)
    name = study_names.full(spec.name, quick=quick, fork=fork)
    folder = results_folder(settings.results.folder) / name
    seeds = settings.confirm.seeds
    plan = Plan(
        name=name,
        spec=spec,
        settings=settings,
        origins=origins,
        train=adapter.placed(
            device=share.device, threads=share.threads, source=f"study {spec.name}"
        ),
        trials=trials,
        trials_complete=settings.search.trials_complete or 0,
        trials_per_choice=least_per_choice(spec, settings, origins, trials),
        confirm_seeds=spec.confirm_seeds if seeds is None else seeds,
        workers=share.workers,
        threads=share.threads,
        most_workers=share.most_workers,
        gpus=share.gpus,
        folder=folder,
        storage_url=storage_url_of(settings, folder),
    )
    try:
        plan.adapter.check(spec.space.ends(), source=f"study {spec.name}")
    except ConfigError as error:
        setting = str(error).partition(":")[0]
        origin = origins.get(f"train.{setting}")
        raise ConfigError(f"{origin}: {error}") if origin else error from None
    return plan


def storage_url_of(settings: Settings, folder: Path) -> str:
    """Return where Optuna keeps the study whose files are in ``folder``."""
    given = settings.storage.url
    return absolute_url(given) if given else sqlite_url(folder / "study.db")
