"""The results of a preset: means with intervals over the seeds, beside the claims."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mnist_core.errors import ConfigError, unknown_name
from mnist_core.presets import Preset, Variant

CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over seeds with Student's t interval."""

    n: int  # number of values, >= 1
    mean: float
    half_width: float  # half the length of the 95 % interval; NaN for one value


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one variant."""

    variant: str
    metric: str
    claimed: float | None  # on test images; None: nothing
    validation: Estimate | None  # on the validation images; None if no training finished
    test: Estimate | None  # on the test images; None if they were not read of all those trainings
    failed: int
    # mean time of the trainings that were not interrupted; None if there is none
    seconds: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; NaN becomes None."""
        values = asdict(self)
        for interval in (values["validation"], values["test"]):
            if interval is not None and math.isnan(interval["half_width"]):
                interval["half_width"] = None
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Row":
        """Return what ``to_dict`` gave; KeyError or TypeError if ``values`` are something else."""

        def read(interval: Mapping[str, Any] | None) -> Estimate | None:
            if interval is None:
                return None
            half = interval["half_width"]
            return Estimate(**{**interval, "half_width": math.nan if half is None else half})

        rest = {name: read(values[name]) for name in ("validation", "test")}
        return cls(**{**values, **rest})


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of ``values`` (one or more) with its interval."""
    n = len(values)
    # Equal values must give exactly 0, not the rounding error of their mean.
    mean = values[0] + math.fsum(value - values[0] for value in values) / n
    if n == 1:
        return Estimate(n=1, mean=mean, half_width=math.nan)
    from scipy import special  # type: ignore[import-untyped]

    sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    t = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))
    return Estimate(n=n, mean=mean, half_width=t * sd / math.sqrt(n))


def rows(
    preset: Preset,
    trainings: Sequence[tuple[Variant, Sequence[Mapping[str, Any]]]],
    test_on: str,
) -> list[Row]:
    """Sum up trainings, a row a claimed metric; raise ConfigError if they do not have one."""
    found = []
    for variant, entries in trainings:
        ended = [entry for entry in entries if "failed" not in entry]
        tests = [entry["test"].get(test_on) for entry in ended]
        timed = [entry["seconds"] for entry in ended if not entry["resumed"]]
        for metric in dict.fromkeys([preset.about.metric, *variant.claimed]):
            if any(f"val_{metric}" not in entry["metrics"] for entry in ended):
                known = [name.removeprefix("val_") for name in ended[0]["metrics"]]
                raise ConfigError(f"preset.metric: {unknown_name('metric', metric, known)}")
            validated = [entry["metrics"][f"val_{metric}"] for entry in ended]
            tested = [test[f"test_{metric}"] for test in tests if test is not None]
            found.append(
                Row(
                    variant=variant.name,
                    metric=metric,
                    claimed=variant.claimed.get(metric),
                    validation=estimate(validated) if validated else None,
                    test=estimate(tested) if tested and len(tested) == len(ended) else None,
                    failed=len(entries) - len(ended),
                    seconds=math.fsum(timed) / len(timed) if timed else None,
                )
            )
    return found
