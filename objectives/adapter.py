"""What a study asks of its objective beside its trials, whatever kind of objective it is.

``TrainerAdapter`` answers for the package's own trainer, ``OwnAdapter`` for any other objective;
``objectives/kinds.py`` chooses. A study holds the settings of its objective as a ``Table`` that
only the adapter reads.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mnist_core.config import DataConfig
from mnist_core.console.safe_console import SafeConsole
from mnist_core.table import Table
from objectives.base import Objective

Params = Mapping[str, Any]
"""A point of a space."""

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function that a worker runs, and its arguments."""


class Configuration(Protocol):
    """Everything that one trial is run with."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain nested values."""
        ...


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What one phase of a study asks of its trials."""

    metric: str  # that the study optimises
    measured: bool  # whether trials report what they cost, see ``objectives/measured.py``
    # parameters of a model; a larger one is not run. None: no limit
    most_parameters: float | None
    keep: Path | None  # folder for what is tested later; None: nothing is kept
    confirms: bool  # whether a kept model is judged by the data's confirm images
    # folder for the states of running trials, from which lost ones resume; None: none are saved
    states: Path | None
    state_seconds: float  # least time between two saved states
    state_reports: tuple[int, ...]  # reports at which a state is saved in any case


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """What an exported configuration measured when it was run again.

    Attributes:
        metrics: final metrics by name.
        facts: versions, device and data here, named as in a record.
        judged: number of images that the metrics were read on; 0: not images.
    """

    metrics: Mapping[str, float]
    facts: Mapping[str, str]
    judged: int = 0


class Exported(Configuration, Protocol):
    """A configuration of the trainer, read from an exported file."""

    def again(
        self,
        file: Path,
        changes: Mapping[str, Any],
        metric: str,
        data: str | None,
        start: Callable[[], SafeConsole],
    ) -> Repetition:
        """Run it with ``changes``, and return what it measured.

        Args:
            file: where it was read from, for errors.
            changes: settings by dotted name that say where and how it is run.
            metric: the recorded metric.
            data: the recorded fingerprint of the data; None: not known.
            start: called when nothing is left that could be refused; returns where to print.

        Raises:
            UserError: if something that it needs is not here, or the data are others.
        """
        ...


class Adapter(Protocol):
    """The answers of one study's objective."""

    @property
    def label(self) -> str:
        """Names the objective in records."""

    @property
    def trains(self) -> bool:
        """Whether the trainer alone gives the recorded value of an exported configuration."""

    @property
    def device(self) -> str:
        """The device of the trials, as workers name it."""

    @property
    def data_name(self) -> str:
        """The name of the data set; "": the study knows of none."""

    @property
    def preload(self) -> Sequence[str]:
        """Modules that workers import as they start."""

    @property
    def no_test(self) -> str:
        """Why there is nothing to test; "": there is."""

    @property
    def judged(self) -> str:
        """What the test judges, as a noun: a kept ``model``, or a ``trial``."""

    @property
    def reports_per_epoch(self) -> int:
        """Reports of a trial in what the settings call an epoch."""

    @property
    def epochs(self) -> float:
        """What the settings call the epochs of a trial; 1: it has none."""

    @property
    def repeatable(self) -> bool:
        """Whether the same trial gives the same values again on the same machine."""

    @property
    def images(self) -> DataConfig | None:
        """The settings of the images that trials are judged by; None: it has none."""

    @property
    def reports(self) -> int | None:
        """Number of reports of a trial; None: it is not known, or differs between trials."""

    @property
    def most_reports(self) -> int:
        """The most reports that a trial makes; 1: it is not known."""

    @property
    def changeable(self) -> Collection[str]:
        """Settings that a population may change while a trial runs; empty: it cannot continue."""

    def midway(self) -> dict[str, Any]:
        """Return the settings that end or change a trial midway, as far as they are set."""
        ...

    def placed(self, *, device: str, threads: int, source: str) -> Table:
        """Return the settings that all trials share on this machine; ConfigError: they clash."""
        ...

    def objective(self, phase: Phase) -> Objective:
        """Return what runs the trials of ``phase``; ConfigError: it is missing or broken."""
        ...

    def code(self, metric: str) -> dict[str, str]:
        """Return the hash of each file of the user's own that trials judged by ``metric`` run.

        Raises:
            ConfigError: if a file is missing or is not Python.
        """
        ...

    def check_code(self, fixed: Mapping[str, Any]) -> None:
        """Raise ConfigError if code is missing or broken that trials with ``fixed`` settings run.

        Nothing is run that the user's own study file does not run.
        """

    def comparable(self) -> dict[str, Any]:
        """Return what all trials share and their values depend on, for the fingerprint."""
        ...

    def configuration(self, params: Params, seed: int, *, source: str) -> Configuration:
        """Return what ``params``, a point of the space, is run with; ConfigError: it cannot be."""
        ...

    def check(self, points: Sequence[Params], *, source: str) -> None:
        """Raise ConfigError unless each of ``points`` can be run, as far as is known."""

    def settings_of(self, params: Params, seed: int, *, source: str) -> dict[str, Any]:
        """Return what ``params`` is run with by dotted name, each default filled in."""
        ...

    def shared(self) -> dict[str, Any]:
        """Return what all trials are run with by dotted name, each default filled in."""
        ...

    def trained(self, values: Mapping[str, Any], params: Params) -> dict[str, Any]:
        """Return what ``params`` was run with in the study whose fingerprint has ``values``."""
        ...

    def would_train(self, params: Params, *, source: str) -> dict[str, Any]:
        """Return what ``params`` is run with here, to be compared with ``trained``."""
        ...

    def refused(self, setting: str, value: Any, *, source: str) -> str:
        """Return why a trial cannot have ``value`` of ``setting``; "": it can."""
        ...

    def as_trained(self, params: Params, seed: int, attributes: Params) -> dict[str, Any]:
        """Return what a trial that left ``attributes`` was run with, for an exported file."""
        ...

    def read(self, tables: Mapping[str, Any], *, source: str) -> Configuration | None:
        """Return the settings that ``as_trained`` wrote; None: they are the params alone.

        Raises:
            ConfigError: if this version does not know one of them; ``source`` is named.
        """
        ...

    def ensure_data(self) -> None:
        """Bring the data to this machine."""

    def preparation(self, typical: Sequence[Params], ends: Sequence[Params], most: float) -> Call:
        """Return the check of a worker before the first trial.

        Args:
            typical: points that are usual.
            ends: the ends of the space.
            most: parameters of a model; a larger one is not trained.
        """
        ...

    def description(self) -> Call:
        """Return what finds versions and data hashes, which are kept with the confirmation."""
        ...

    def kept(self, folder: Path, number: int) -> Path:
        """Return where confirm trial ``number`` keeps in ``folder`` what is tested."""
        ...

    def reading(self, models: Mapping[int, Path]) -> Call:
        """Return what tests ``models``, by confirm trial, in a worker."""
        ...
