"""The members of a population on Ray: the rules they live by, and each as Tune is given it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from objectives.base import Outcome, Task
from search_spaces.space import Float
from studies.core.trials import Failure
from studies.engines.ray.desk import Desk
from studies.engines.ray.events import KNOWN, TASK
from studies.engines.ray.tune import WorkSearcher
from studies.planning.layout import states_folder
from studies.planning.plan import Plan
from studies.search.population import Population
from studies.search.population_checks import perturbed

_RESUMED = "went_on_from_report"
"""What a training says that goes on from a state, as each member does after each generation."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How a population goes on.

    Attributes:
        members: how many there are.
        interval: epochs of a generation.
        reports_per_epoch: of a training.
        epochs: of a training.
        quantile, resample: as Tune's ``quantile_fraction`` and ``resample_probability``.
        seed: of the study.
        defaults: so many members, the first ones, copy nobody.
        metric: that is compared.
        mode: ``max`` or ``min``.
        parameters: that are perturbed, by name.
        states: folder of the members' states.
    """

    members: int
    interval: int
    reports_per_epoch: int
    epochs: int
    quantile: float
    resample: float
    seed: int
    defaults: int
    metric: str
    mode: str
    parameters: Mapping[str, Float]
    states: Path

    def recorded(self) -> dict[str, Any]:
        """Return what must be the same when an interrupted population goes on."""
        names = ("members", "interval", "quantile", "resample")
        return {name: getattr(self, name) for name in names}


def rules_of(plan: Plan) -> Rules:
    """Return the rules of the population of ``plan``."""
    ray = plan.settings.engine.ray
    return Rules(
        members=plan.trials,
        interval=ray.pbt_interval,
        reports_per_epoch=plan.train.reports_per_epoch,
        epochs=plan.train.epochs,
        quantile=ray.pbt_quantile,
        resample=ray.pbt_resample,
        seed=plan.settings.search.seed,
        defaults=len(plan.spec.defaults),
        metric=plan.spec.metric,
        mode="max" if plan.spec.direction == "maximize" else "min",
        parameters=perturbed(plan),
        states=states_folder(plan.folder, "search"),
    )


class MemberSearcher(WorkSearcher):
    """Gives Tune the members: each as the training that it is by now."""

    def __init__(self, desk: Desk, population: Population, rules: Rules) -> None:
        super().__init__(desk)
        self._population = population
        self._rules = rules

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the config of the next member: its task and its hyperparameters as they are."""
        asked = super().suggest(trial_id)
        if not isinstance(asked, dict):
            return asked
        task: Task = asked[TASK]
        lineage = self._population.join(task)
        now = self._population.now(task.number)
        values = {name: now[name] for name in self._rules.parameters}
        return {TASK: lineage.task(task), KNOWN: self._population.step, **values}

    def _ended(self, task: Task, ended: Outcome | Failure | None) -> Outcome | Failure | None:
        """Keep with a member that is over what it was."""
        if not isinstance(ended, Outcome):
            return ended
        own = self._population.attributes(task, reports_per_epoch=self._rules.reports_per_epoch)
        rest = {name: value for name, value in ended.attributes.items() if name != _RESUMED}
        return replace(ended, attributes={**rest, **own})
