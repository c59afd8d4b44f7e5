"""Where a value lies in its parameter's range, on the range's own scale, and back."""

import math

from search_spaces.space import Float, Int


def fraction_of(parameter: Float | Int, value: float) -> float:
    """Return where ``value`` lies, 0 to 1 for one of the range; .5 if the range is one value."""
    low, high = _ends(parameter)
    at = math.log(value) if parameter.log else value
    return (at - low) / (high - low) if high > low else 0.5


def value_at(parameter: Float | Int, fraction: float) -> float:
    """Return the value nearest to ``fraction`` of the range that the parameter can take."""
    low, high = _ends(parameter)
    value = low + fraction * (high - low)
    value = math.exp(value) if parameter.log else value
    if isinstance(parameter, Int) or parameter.step is not None:
        step = parameter.step or 1
        value = parameter.low + round((value - parameter.low) / step) * step
    value = min(max(value, parameter.low), parameter.high)
    return int(value) if isinstance(parameter, Int) else parameter.snapped(value)


def _ends(parameter: Float | Int) -> tuple[float, float]:
    if parameter.log:
        return math.log(parameter.low), math.log(parameter.high)
    return parameter.low, parameter.high
