"""What is confirmed: the best configuration of each choice, and the baseline's default one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from studies.plan import Plan
from studies.records import TrialRecord


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that is confirmed: a choice's best one, or the baseline's default one.

    Attributes:
        choice: its choice of the scientific parameter, as text.
        default: True for the configuration of somebody who tunes nothing.
        params: the hyperparameters.
        search_trial: number of the search trial that found it; None for a default not tried.
        search_value: the metric of that trial.
    """

    choice: str
    default: bool
    params: Mapping[str, Any]
    search_trial: int | None
    search_value: float | None

    @property
    def label(self) -> str:
        """The name in tables."""
        return f"{self.choice} (default)" if self.default else self.choice


def candidates(plan: Plan, search: Sequence[TrialRecord]) -> tuple[Candidate, ...]:
    """Return what is to be confirmed: the best COMPLETE trial of each choice, and the default.

    A choice without a COMPLETE trial has no candidate. Equal values: the earlier trial.
    """
    spec = plan.spec
    sign = 1.0 if spec.direction == "maximize" else -1.0
    found = []
    for choice in spec.choices:
        complete = [
            record
            for record in search
            if record.state == "COMPLETE"
            and record.value is not None
            and record.params.get(spec.scientific) == choice
        ]
        if complete:
            best = min(complete, key=lambda record: (-sign * (record.value or 0.0), record.number))
            found.append(
                Candidate(
                    choice=str(choice),
                    default=False,
                    params=best.params,
                    search_trial=best.number,
                    search_value=best.value,
                )
            )
    params = spec.default(spec.baseline)
    tried = next((r for r in search if r.params == params and r.state == "COMPLETE"), None)
    default = Candidate(
        choice=str(spec.baseline),
        default=True,
        params=params,
        search_trial=tried.number if tried else None,
        search_value=tried.value if tried else None,
    )
    return (*found, default)
