"""The adapter of objectives of the user's own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from mnist_core.errors import ConfigError
from mnist_core.table import Table
from objectives.adapter import Call, Params, Phase
from objectives.own import worker
from objectives.own.code import of_objective
from objectives.own.description import Own
from objectives.own.run_trial import OwnObjective
from search_spaces.space import Space, SpaceError


@dataclass(frozen=True)
class OwnConfiguration:
    """The params and the seed of a trial, which are all that it is run with."""

    objective: str
    params: Mapping[str, Any]
    seed: int
    given: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str) -> "OwnConfiguration":
        """Return what ``to_dict`` wrote; ConfigError: ``values`` are something else."""
        wanted = {"objective": str, "seed": int, "params": Mapping, "given": Mapping}
        given = {"given": {}, **values}
        for name, kind in wanted.items():
            if not isinstance(given.get(name), kind):
                raise ConfigError(f"{source}: {name} is missing, or is not a {kind.__name__}")
        if unknown := set(given) - set(wanted):
            raise ConfigError(f"{source}: {sorted(unknown)[0]} is not part of an exported trial")
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain nested values."""
        given = {"given": dict(self.given)} if self.given else {}
        return {
            "objective": self.objective,
            **given,
            "seed": self.seed,
            "params": dict(self.params),
        }


@dataclass(frozen=True)
class OwnAdapter:
    """See ``objectives.adapter.Adapter``."""

    own: Own
    space: Space

    trains: ClassVar[bool] = False
    device: ClassVar[str] = "cpu"
    data_name: ClassVar[str] = ""
    judged: ClassVar[str] = "trial"
    preload: ClassVar[Sequence[str]] = ()
    reports_per_epoch: ClassVar[int] = 1
    epochs: ClassVar[float] = 1.0
    # as far as its seed decides what it does
    repeatable: ClassVar[bool] = True
    images: ClassVar[None] = None
    changeable: ClassVar[Collection[str]] = ()

    @property
    def label(self) -> str:
        """Names the objective in records."""
        return self.own.label

    @property
    def no_test(self) -> str:
        """Why there is nothing to test; "": there is."""
        return "" if self.own.tests else f"the objective {self.label} has no test"

    @property
    def reports(self) -> int | None:
        """What the objective says; None: nothing."""
        return self.own.reports

    @property
    def most_reports(self) -> int:
        """What the objective says; 1: nothing."""
        return self.own.reports or 1

    def midway(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def placed(self, *, device: str, threads: int, source: str) -> Table:
        """Return no settings: the params are all that it has."""
        return Table()

    def objective(self, phase: Phase) -> OwnObjective:
        """Return what runs the trials of ``phase`` in the working directory."""
        return OwnObjective(
            own=self.own,
            metric=phase.metric,
            keep=phase.keep,
            measured=phase.measured,
            most_parameters=phase.most_parameters,
            folder=str(Path.cwd()),
        )

    def code(self, metric: str) -> dict[str, str]:
        """Return the hashes of the objective's own files."""
        return of_objective(self.own)

    def check_code(self, fixed: Mapping[str, Any]) -> None:
        """Take it: the study's file has given the objective itself."""

    def comparable(self) -> dict[str, Any]:
        """Return what is given to the objective beside the params."""
        return dict(self.own.given)

    def configuration(self, params: Params, seed: int, *, source: str) -> OwnConfiguration:
        """Return params and seed, which are checked."""
        return OwnConfiguration(self.label, dict(params), seed, self.own.given)

    def check(self, points: Sequence[Params], *, source: str) -> None:
        """Take all: only the objective itself knows."""

    def settings_of(self, params: Params, seed: int, *, source: str) -> dict[str, Any]:
        """Return the params; the event has the seed."""
        return dict(params)

    def shared(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def trained(self, values: Mapping[str, Any], params: Params) -> dict[str, Any]:
        """Return the params, with what was given in the other study."""
        return {**values["train"], **params}

    def would_train(self, params: Params, *, source: str) -> dict[str, Any]:
        """Return the params; ConfigError: they are not a point of the space."""
        try:
            self.space.check(params)
        except SpaceError as error:
            raise ConfigError(str(error)) from None
        return {**self.own.given, **params}

    def refused(self, setting: str, value: Any, *, source: str) -> str:
        """Refuse nothing."""
        return ""

    def as_trained(self, params: Params, seed: int, attributes: Params) -> dict[str, Any]:
        """Return params and seed."""
        return OwnConfiguration(self.label, dict(params), seed, self.own.given).to_dict()

    def read(self, tables: Mapping[str, Any], *, source: str) -> None:
        """Return None: the params are all that it has."""

    def ensure_data(self) -> None:
        """Do nothing: ``prepare`` does what is needed."""

    def preparation(self, typical: Sequence[Params], ends: Sequence[Params], most: float) -> Call:
        """Return the check of a worker before the first trial."""
        return worker.prepare, (self.own, typical)

    def description(self) -> Call:
        """Return what finds the versions that are kept with the confirmation."""
        return worker.describe, (self.own,)

    def kept(self, folder: Path, number: int) -> Path:
        """Return the folder of a confirm trial."""
        return folder / str(number)

    def reading(self, models: Mapping[int, Path]) -> Call:
        """Return what tests confirmed trials in a worker."""
        return worker.read_test, (self.own, models)
