"""Checks that a study's objective exists and can measure what the study asks, before any run."""

from mnist_core import plugins
from mnist_core.errors import ConfigError
from objectives.measured import PARAMETERS, SECONDS
from objectives.modules import objective_class, shipped
from objectives.own import Own
from objectives.own.reference import Reference
from objectives.training import Training
from studies.core.goals import Goals
from studies.spec import StudySpec


def check_name(spec: StudySpec) -> None:
    """Raise ConfigError if the study names an objective that does not exist."""
    if spec.own is not None:
        return
    try:
        plugins.find("objectives", spec.label, shipped())
    except ConfigError as error:
        raise ConfigError(
            f"study {spec.name}: {error}; one of your own is given itself, a function or a class:"
            " objective=my_function"
        ) from None


def check_objective(objective: str | Own, goals: Goals, *, engine: str = "") -> None:
    """Raise ``ConfigError`` if the objective cannot be made, or measure what the goals need.

    ``engine``: where it is to run; "": it is only looked at.
    """
    if isinstance(objective, Own):
        _check_own(objective, goals, engine)
        return
    kind = objective_class(objective)
    if engine == "fused" and SECONDS in (*goals.names, *goals.limits):
        raise ConfigError(
            "search.objectives: seconds: trainings that share their steps have no seconds of their"
            " own; take engine.name=local, or leave seconds out"
        )
    if goals.measured and not issubclass(kind, Training):
        raise ConfigError(
            "search.objectives: parameters and seconds are measured of a trainer's models, but"
            f" objectives/{objective}.py is not a trainer; derive its class from"
            " objectives.training.Training, or leave them out"
        )


def _check_own(objective: Own, goals: Goals, engine: str) -> None:
    place = objective.place
    if place is None:
        raise ConfigError(
            f"objective {objective.label}: only its name is recorded; run the study by its file"
        )
    if isinstance(place, Reference) and place.in_main and engine not in ("", "inline"):
        raise ConfigError(
            f"objective {place.name}: is in the program itself, where workers cannot find it; put"
            " it into a file and import it from there, or set engine.name=inline"
        )
    needs = PARAMETERS in goals.names or PARAMETERS in goals.limits
    if needs and not objective.costs:
        raise ConfigError(
            f"search.objectives: parameters: objective {objective.label} has no cost(params) that"
            ' returns {"parameters": …}; give it one, or leave parameters out'
        )
