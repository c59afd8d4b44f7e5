"""The engine ``ray``: trials are Ray Tune trials, on this machine or on a cluster."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from studies.engines.base import ALL, Resources

if TYPE_CHECKING:  # workers import this package, and need no engine
    from studies.engines.ray.engine import Ray


def create(
    *, workers: int, threads: int, preload: Sequence[str] = (), resources: Resources = ALL
) -> "Ray":
    """Return the engine with ``workers`` trials at once, of ``threads`` CPU threads each."""
    from studies.engines.ray.engine import Ray

    return Ray(workers=workers, threads=threads, preload=preload, resources=resources)
