"""What a study asks of its objective beside its trials, whatever kind of objective it is.

``TrainerAdapter`` answers for the package's own trainer, ``OwnAdapter`` for any other objective.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

Params = Mapping[str, Any]
"""A point of a space."""

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A function that a worker runs, and its arguments."""


class Configuration(Protocol):
    """Everything that one trial is run with."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain nested values."""
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
    def images(self) -> Any:
        """The trainer's settings of the images that trials are judged by; None: it has none."""

    @property
    def reports(self) -> int | None:
        """Number of reports of a trial; None: it is not known, or differs between trials."""

    @property
    def most_reports(self) -> int:
        """The most reports that a trial makes; 1: it is not known."""

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
