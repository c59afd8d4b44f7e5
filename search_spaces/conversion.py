"""A space in the terms of Optuna and of Ray Tune, for scripts of one's own."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Protocol

from search_spaces.parameters import Choice, Float, Int, Parameter, SpaceError


class OptunaTrial(Protocol):
    """What is needed of ``optuna.Trial``; the package does not import Optuna."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float:
        """Return a number."""
        ...

    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int:
        """Return a whole number."""
        ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of ``choices``."""
        ...


def suggested(trial: OptunaTrial, name: str, parameter: Parameter) -> Any:
    """Return the value of ``parameter`` that ``trial`` suggests."""
    if isinstance(parameter, Float):
        return trial.suggest_float(
            name, parameter.low, parameter.high, step=parameter.step, log=parameter.log
        )
    if isinstance(parameter, Int):
        step = parameter.step or 1
        return trial.suggest_int(name, parameter.low, parameter.high, step=step, log=parameter.log)
    return trial.suggest_categorical(name, parameter.choices)


def ray_domain(parameter: Parameter) -> Any:
    """Return ``parameter`` as a domain of Ray Tune."""
    from ray import tune

    if isinstance(parameter, Choice):
        return tune.choice(list(parameter.choices))
    low, high, step = parameter.low, parameter.high, parameter.step
    if step is not None and Decimal(repr(low)) % Decimal(repr(step)) != 0:
        # Ray's own samplers draw multiples of the step, not the low end plus a multiple.
        return tune.choice(_grid(low, high, step))
    if isinstance(parameter, Float):
        if step is not None:
            return tune.quniform(low, high, step)
        return tune.loguniform(low, high) if parameter.log else tune.uniform(low, high)
    if step is not None:
        return tune.qrandint(int(low), int(high), int(step))
    draw = tune.lograndint if parameter.log else tune.randint  # their upper end is left out
    return draw(int(low), int(high) + 1)


def from_config(name: str, parameter: Parameter, config: Mapping[str, Any]) -> Any:
    """Return the value of ``parameter`` in a config of Ray Tune."""
    if name not in config:
        raise SpaceError(f"{name}: is missing in the config; give Tune all of space.to_ray()")
    value = config[name]
    if isinstance(parameter, Float):
        value = parameter.snapped(float(value))
    elif isinstance(parameter, Int):
        value = int(value)  # Tune may give numpy's
    problem = parameter.problem(value)
    if problem:
        raise SpaceError(
            f"{name}: {problem}; for population based training give the scheduler"
            " custom_explore_fn=space.clipped"
        )
    return value


def clip(parameter: Parameter, value: Any) -> Any:
    """Return ``value`` moved into the range, and onto the grid, of ``parameter``."""
    if isinstance(parameter, Choice):
        return value
    inside = min(max(value, parameter.low), parameter.high)
    if parameter.step is not None:
        inside = parameter.low + round((inside - parameter.low) / parameter.step) * parameter.step
    whole: Callable[[Any], Any] = parameter.snapped if isinstance(parameter, Float) else round
    return whole(inside)


def _grid(low: float, high: float, step: float) -> list[float]:
    first, by = Decimal(repr(low)), Decimal(repr(step))
    count = int((Decimal(repr(high)) - first) / by)
    return [type(low)(first + k * by) for k in range(count + 1)]
