"""A study: its question, its space, the roles of its parameters, its budget."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mnist_core.console.plain_text import is_safe, one_line
from mnist_core.errors import ConfigError, unknown_name
from objectives.own import Own
from objectives.own.of_study import TRAINER, of_study
from search_spaces.space import Choice, Float, Int, Space, SpaceError, Value
from studies.core.goals import Goals
from studies.core.levels import as_levels, is_number
from studies.statistics.intervals import Direction, sign_of

TUNED_TOP = 4
"""Configurations that a study without a comparison confirms, unless it fixes ``confirm.top``."""


@dataclass(frozen=True, kw_only=True)
class StudySpec:
    """One study, as a file in ``studies/catalog/`` states it (its ``STUDY``).

    The roles are those of google-research/tuning_playbook: *scientific* parameters are compared,
    *nuisance* parameters are tuned so that the comparison is fair, *fixed* ones are the same for
    every trial and limit the conclusion. A study without a scientific parameter compares nothing:
    it tunes the whole space, and its best configurations are confirmed.

    Attributes:
        name: the study's name; the file's name.
        goal: the question, one sentence.
        space: the scientific and nuisance parameters.
        trials: number of trials of the search, over all resumes.
        scientific: the name of the parameter whose choices are compared; "": none, just tune. Of an
            Int or Float a few levels are compared: ``space`` then holds a Choice of them.
        levels: of a scientific parameter that is an Int or Float: the number of levels, evenly over
            its range, or the levels themselves; left out: 5. None once they are in ``space``.
        fixed: dotted settings of the trainer that every trial shares, e.g. ``{"epochs": 5}``.
        default: one configuration without any tuning. It is confirmed with the best ones, which
            have to beat it. In a comparison it is the default of each choice, as far as the choice
            has its parameters. ``defaults`` and ``baseline`` take it over, so it is None later.
        defaults: for each choice of the scientific parameter the configuration without any tuning
            (torch's defaults), which is the first trial of that choice; empty: there are none. With
            the key None: that of a study without a comparison.
        baseline: the choice of the scientific parameter whose default the winner is compared with;
            None: there is none.
        trials_per_choice: minimum number of trials of each choice of the scientific parameter;
            None: all trials in turn.
        metric: name of the reported metric that is optimised, measured on the validation images.
        direction: of the metric.
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
    trials: int
    scientific: str = ""
    levels: int | Sequence[float] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)
    default: Mapping[str, Any] | None = None
    defaults: Mapping[Any, Mapping[str, Any]] = field(default_factory=dict)
    baseline: Value = None
    trials_per_choice: int | None = None
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
        try:
            found = of_study(self.objective, self.command, self.space)
        except ConfigError as error:
            raise ConfigError(f"study {self.name}: {error}") from None
        object.__setattr__(self, "objective", found)
        try:
            self._complete()
        except SpaceError as error:
            raise ConfigError(f"study {self.name}: {self.scientific}: {error}") from None
        self._check_compared()
        self._check_defaults()
        for name, least in (("trials", 1), ("trials_per_choice", 0), ("confirm_seeds", 3)):
            if (given := getattr(self, name)) is not None and given < least:
                raise ConfigError(
                    f"study {self.name}: {name} must be at least {least}, but got {given}"
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

    @property
    def own(self) -> Own | None:
        """The objective if it is the user's own, not a module in ``objectives/``."""
        return self.objective if isinstance(self.objective, Own) else None

    @property
    def label(self) -> str:
        """The objective's name in records and messages."""
        return self.objective.label if isinstance(self.objective, Own) else str(self.objective)

    def _complete(self) -> None:
        """Put levels into the space, and ``default`` into ``defaults`` and ``baseline``."""
        parameter = self.space.parameters.get(self.scientific)
        if isinstance(parameter, Float | Int) and parameter.when is None:
            found = {**self.space.parameters, self.scientific: as_levels(parameter, self.levels)}
            object.__setattr__(self, "space", Space(found))
        elif self.levels is not None:
            raise SpaceError("levels are for a scientific parameter that is an Int or Float")
        object.__setattr__(self, "levels", None)
        if self.default is None:
            return
        if self.defaults:
            raise SpaceError("give either default, one configuration, or defaults, one a choice")
        given, own = dict(self.default), self.default.get(self.scientific)
        defaults: dict[Any, Mapping[str, Any]] = {None: given}
        if isinstance(self.space.parameters.get(self.scientific), Choice):
            defaults = {choice: self._default_part(choice) for choice in self.choices}
            if self.baseline is None and own is not None:
                object.__setattr__(self, "baseline", _nearest(own, self.choices))
        object.__setattr__(self, "defaults", defaults)
        object.__setattr__(self, "default", None)

    def _default_part(self, choice: Value) -> dict[str, Any]:
        """Return ``default`` with ``choice``, without what does not exist for it."""
        params = {**(self.default or {}), self.scientific: choice}
        unknown = {name for name in params if name not in self.space.parameters}
        kept = unknown | set(self.space.active(params))
        return {name: value for name, value in params.items() if name in kept}

    def _check_compared(self) -> None:
        """Raise ``ConfigError`` unless what is compared fits the space."""
        parameter = self.space.parameters.get(self.scientific)
        if not self.scientific:
            given = [name for name in ("baseline", "trials_per_choice") if getattr(self, name)]
            if given or set(self.defaults) - {None}:
                raise ConfigError(
                    f"study {self.name}: {' and '.join(given) or 'defaults'} must be left out"
                    " without scientific, the parameter that is compared; default={...} is one"
                    " configuration to beat"
                )
        elif not isinstance(parameter, Choice) or parameter.when is not None:
            raise ConfigError(
                f"study {self.name}: scientific must name a parameter without a condition in the"
                f" space, but got {self.scientific!r}"
            )
        elif self.defaults and set(self.defaults) != set(parameter.choices):
            raise ConfigError(
                f"study {self.name}: defaults must hold one configuration for each of"
                f" {list(parameter.choices)} of {self.scientific!r}, but got {list(self.defaults)}"
            )

    def _check_defaults(self) -> None:
        """Raise ``ConfigError`` unless each default is a point of the space."""
        for choice, given in self.defaults.items():
            of = "default" if choice is None and not self.scientific else f"defaults of {choice}"
            if self.scientific and given.get(self.scientific, choice) != choice:
                raise ConfigError(
                    f"study {self.name}: {of}: {self.scientific} must be"
                    f" {choice!r}, but got {given[self.scientific]!r}"
                )
            try:
                self.space.check(self.default_of(choice))
            except SpaceError as error:
                raise ConfigError(f"study {self.name}: {of}: {error}") from None
        if self.baseline is None:
            return
        if self.baseline not in self.choices:
            unknown = unknown_name("baseline", str(self.baseline), map(str, self.choices))
            raise ConfigError(f"study {self.name}: {unknown}")
        if not self.defaults:
            raise ConfigError(
                f"study {self.name}: baseline {self.baseline} needs defaults (or one default): it"
                " names the configuration that the winner is compared with"
            )

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
        top = {} if self.scientific else {"confirm.top": TUNED_TOP}
        return {**top, **self.fixed, **found}

    @property
    def sign(self) -> float:
        """1 where more of the metric is better, else -1."""
        return sign_of(self.direction)

    @property
    def compares(self) -> bool:
        """Whether choices are compared; if not, the study only tunes."""
        return bool(self.scientific)

    @property
    def choices(self) -> tuple[Value, ...]:
        """The choices of the scientific parameter, which are compared; empty: just tune."""
        if not self.scientific:
            return ()
        parameter = self.space.parameters[self.scientific]
        assert isinstance(parameter, Choice)
        return parameter.choices

    @property
    def groups(self) -> tuple[Value, ...]:
        """What trials are kept apart by: the choices, or None for all of them."""
        return self.choices or (None,)

    @property
    def promised(self) -> int:
        """Minimum number of trials of each choice."""
        if self.trials_per_choice is not None:
            return self.trials_per_choice
        # With fewer trials than choices those that there are go to the first choices, one each.
        return max(1, self.trials // len(self.choices)) if self.choices else 0

    def default_of(self, choice: Value) -> dict[str, Any]:
        """Return the default configuration of ``choice``, the scientific parameter included."""
        own = {self.scientific: choice} if self.scientific else {}
        return {**own, **self.defaults[choice]}

    @property
    def first_defaults(self) -> tuple[Value, ...]:
        """The choices in the order in which their defaults are tried, the baseline's first."""
        known = [choice for choice in self.groups if choice in self.defaults]
        return tuple(sorted(known, key=lambda choice: choice != self.baseline))

    @property
    def reference(self) -> dict[str, Any] | None:
        """The default configuration that is confirmed with the best ones; None: there is none."""
        return self.default_of(self.baseline) if self.baseline in self.defaults else None

    @property
    def nuisance(self) -> tuple[str, ...]:
        """Names of the parameters that are tuned but not compared."""
        return tuple(name for name in self.space.parameters if name != self.scientific)

    def role(self, name: str) -> str:
        """Return the role of parameter ``name`` in one word."""
        if not self.scientific:
            return "tuned"
        return "scientific" if name == self.scientific else "nuisance"


def _nearest(value: Any, choices: tuple[Value, ...]) -> Value:
    """Return the choice that ``value`` is or, of numbers, that lies nearest to it."""
    if value not in choices and is_number(value):
        numbers = [choice for choice in choices if is_number(choice)]
        return min(numbers, key=lambda one: abs(float(one or 0) - value), default=value)
    return value  # type: ignore[no-any-return]
