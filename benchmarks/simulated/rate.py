"""A line of the table of ``verdicts.py``."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """One line of the table, in per cent of studies (or as said).

    Attributes:
        target: the issue's figure; None: the line shows what the rule costs.
        at_most: whether the rate should be at most the target, else at least.
    """

    what: str
    before: float
    now: float
    target: float | None = None
    at_most: bool = True

    @property
    def missed(self) -> bool:
        """Whether the rule of now misses its target."""
        if self.target is None:
            return False
        return self.now > self.target if self.at_most else self.now < self.target

    @property
    def cells(self) -> tuple[str, ...]:
        """The line of the table."""
        sign = "<=" if self.at_most else ">="
        target = "" if self.target is None else f"{sign} {self.target:g}"
        return (self.what, f"{self.before:.1f}", f"{self.now:.1f}", target)
