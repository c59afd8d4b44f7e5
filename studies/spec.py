"""A study: its question, its space, the roles of its parameters, its budget."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mnist_core.console.plain_text import is_safe, one_line
from mnist_core.errors import ConfigError, unknown_name
from objectives.own import Command, Own, own
from search_spaces.space import Choice, Parameter, Space, SpaceError, Value
from studies.core.goals import Goals
from studies.statistics.intervals import Direction, sign_of

TRAINER = "classification"
"""The objective of a study that names none."""


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """One study, as a file in ``studies/catalog/`` states it (its ``STUDY``).

    The roles are those of google-research/tuning_playbook: *scientific* parameters are compared,
    *nuisance* parameters are tuned so that the comparison is fair, *fixed* ones are the same for
    every trial and limit the conclusion.

    Attributes:
        name: the study's name; the file's name.
        goal: the question, one sentence.
        space: the scientific and nuisance parameters.
        scientific: the name of the parameter whose choices are compared.
        fixed: dotted settings of the trainer that every trial shares, e.g. ``{"epochs": 5}``.
        defaults: for each choice of the scientific parameter the configuration without any tuning
            (torch's defaults), which is the first trial of that choice.
        baseline: the choice of the scientific parameter whose default the winner is compared with.
        metric: name of the reported metric that is optimised, measured on the validation images.
        direction: of the metric.
        trials: number of trials of the search, over all resumes.
        trials_per_choice: minimum number of trials of each choice of the scientific parameter.
        confirm_seeds: number of fresh seeds for each confirmed configuration, >= 3.
        quick: settings (dotted, as for ``--set``) of ``--quick``, a run that takes seconds.
        objective: what is run: a module in ``objectives/``, or a function, a class, an object of a
            frozen dataclass or a ``Command`` of one's own, see ``objectives/own``.
        command: a shell command as objective, e.g. ``"python train.py --lr {lr}"``.
        steps: what an objective reports: the ``progress`` of one training, or values of separate
            ``instances`` (folds, tasks), which only the wilcoxon pruner compares correctly.
        objectives: directions of further objectives: ``parameters`` of the model, ``seconds`` of a
            training, see ``objectives/measured.py``.
        constraints: the most that a trial may have of these; a trial with more cannot win.
        minutes: measured duration of the whole study on a machine with 2 cores; None: not known.
    """

    name: str
    goal: str
    space: Space
    scientific: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[Any, Mapping[str, Any]]
    baseline: Value
    trials: int
    trials_per_choice: int
    metric: str = "val_accuracy"
    direction: Direction = "maximize"
    confirm_seeds: int = 3
    quick: Mapping[str, Any] = field(default_factory=dict)
    objective: Any = TRAINER
    command: str = ""
    steps: Literal["progress", "instances"] = "progress"
    objectives: Mapping[str, Direction] = field(default_factory=dict)
    constraints: Mapping[str, float] = field(default_factory=dict)
    minutes: int | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together.

        Raises:
            ConfigError: if the scientific parameter, a default, the baseline or a budget is wrong.
        """
        for what, text in self._texts():
            if not is_safe(text):
                raise ConfigError(
                    f"study {one_line(self.name)}: {what} must be one line of printable text, but"
                    f" got {text!a}"
                )
        self._take_objective()
        parameter = self.space.parameters.get(self.scientific)
        if not isinstance(parameter, Choice) or parameter.when is not None:
            raise ConfigError(
                f"study {self.name}: scientific must name a Choice without a condition in the"
                f" space, but got {self.scientific!r}"
            )
        if set(self.defaults) != set(parameter.choices):
            raise ConfigError(
                f"study {self.name}: defaults must hold one configuration for each of"
                f" {list(parameter.choices)}, but got {list(self.defaults)}"
            )
        for choice, given in self.defaults.items():
            if given.get(self.scientific, choice) != choice:
                raise ConfigError(
                    f"study {self.name}: defaults of {choice}: {self.scientific} must be"
                    f" {choice!r}, but got {given[self.scientific]!r}"
                )
            try:
                self.space.check(self.default(choice))
            except SpaceError as error:
                raise ConfigError(f"study {self.name}: defaults of {choice}: {error}") from None
        if self.baseline not in parameter.choices:
            unknown = unknown_name("baseline", str(self.baseline), map(str, self.choices))
            raise ConfigError(f"study {self.name}: {unknown}")
        for name, least in (("trials", 1), ("trials_per_choice", 0), ("confirm_seeds", 3)):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"study {self.name}: {name} must be at least {least}, but got"
                    f" {getattr(self, name)}"
                )

        try:
            Goals(
                metric=self.metric,
                direction=self.direction,
                further=self.objectives,
                limits=self.constraints,
            )
        except ConfigError as error:
            raise ConfigError(f"study {self.name}: {error}") from None

    def _take_objective(self) -> None:
        """Replace an objective of the user's own by what the study knows of it."""
        given: Any = self.objective
        try:
            if self.command:
                if given != TRAINER and not isinstance(given, Own):
                    raise ConfigError("give an objective or a command, not both")
                given = Command(self.command)
            if not isinstance(given, str):
                given = own(given)
                if isinstance(given.place, Command):
                    always = {name: one.when is None for name, one in self._parameters()}
                    given.place.check(always)
        except ConfigError as error:
            raise ConfigError(f"study {self.name}: {error}") from None
        object.__setattr__(self, "objective", given)

    def _parameters(self) -> Iterable[tuple[str, Parameter]]:
        return self.space.parameters.items()

    @property
    def own(self) -> Own | None:
        """The objective if it is the user's own, not a module in ``objectives/``."""
        return self.objective if isinstance(self.objective, Own) else None

    @property
    def label(self) -> str:
        """The objective's name in records and messages."""
        return self.objective.label if isinstance(self.objective, Own) else str(self.objective)

    def _texts(self) -> Iterator[tuple[str, str]]:
        """Yield the texts of the study that are printed, and what they are."""
        yield from (("name", self.name), ("goal", self.goal), ("metric", self.metric))
        for name, parameter in self.space.parameters.items():
            yield "the name of a parameter", name
            if isinstance(parameter, Choice):
                yield from ((name, one) for one in parameter.choices if isinstance(one, str))

    @property
    def given(self) -> dict[str, Any]:
        """The study's settings: what it fixes, further objectives, constraints."""
        goals = {"objectives": self.objectives, "constraints": self.constraints}
        found = {f"search.{name}": dict(values) for name, values in goals.items() if values}
        return {**self.fixed, **found}

    @property
    def sign(self) -> float:
        """1 where more of the metric is better, else -1."""
        return sign_of(self.direction)

    @property
    def choices(self) -> tuple[Value, ...]:
        """The choices of the scientific parameter, which are compared."""
        parameter = self.space.parameters[self.scientific]
        assert isinstance(parameter, Choice)
        return parameter.choices

    def default(self, choice: Value) -> dict[str, Any]:
        """Return the default configuration of ``choice``, the scientific parameter included."""
        return {self.scientific: choice, **self.defaults[choice]}

    @property
    def nuisance(self) -> tuple[str, ...]:
        """Names of the parameters that are tuned but not compared."""
        return tuple(name for name in self.space.parameters if name != self.scientific)
