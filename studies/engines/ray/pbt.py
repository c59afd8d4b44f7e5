"""Tune's population based training, over members whose training is exact and recorded.

``PopulationBasedTraining`` (synchronous) decides which member copies which, and what it changes.
All members wait at the end of a generation, with the state of their training on disk. To copy is to
take the other's file over and to train on from it with changed settings.
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler

from mnist_core import files
from mnist_core.errors import UserError
from objectives.base import Outcome, Task
from search_spaces.space import Float
from studies.core.attributes import POPULATION
from studies.core.trials import Failure
from studies.engines.base import Work
from studies.engines.ray.events import EVENT, KNOWN, TASK, Reported, Started
from studies.engines.ray.ray_internals import Config, PbtState, Quantiles, actor_of
from studies.engines.ray.task_table import TaskTable
from studies.engines.ray.tune import WorkScheduler, WorkSearcher
from studies.planning.layout import states_folder
from studies.planning.plan import Plan
from studies.search.population import Population, perturbed

_STEP = "step"
_METRIC = "metric"
_RESUMED = "went_on_from_report"
"""What a training says that resumes from a state, as each member does after each generation."""


class _Kept(Work, Protocol):
    study: Any

    def set_attribute(self, name: str, value: Any) -> None: ...


def members(plan: Plan, table: TaskTable) -> "tuple[WorkSearcher, MemberScheduler]":
    """Return Tune's extension points for the population of ``plan``, as far as it has come.

    Raises:
        UserError: if it was started with other rules, or with single trials.
    """
    work, ray = cast(_Kept, table.work), plan.settings.engine.ray
    record = work.study.user_attrs.get(POPULATION)
    if record is None and any(t.state.is_finished() for t in work.study.get_trials(deepcopy=False)):
        raise UserError(
            f"study {plan.name} was started with single trials, so it cannot continue as a"
            " population; set engine.ray.scheduler back, or start again (--fresh)"
        )
    rules = {
        "members": plan.trials,
        "interval": ray.pbt_interval,
        "quantile": ray.pbt_quantile,
        "resample": ray.pbt_resample,
    }
    population = Population(plan.spec.space, rules, record)
    work.set_attribute(POPULATION, population.record())
    searcher = MemberSearcher(table, population, plan.adapter.reports_per_epoch)
    reports = WorkScheduler(table, searcher)
    return searcher, MemberScheduler(table, reports, population, plan)


class MemberSearcher(WorkSearcher):
    """Gives Tune the members, each as the training that it is by now."""

    def __init__(self, table: TaskTable, population: Population, reports_per_epoch: int) -> None:
        super().__init__(table)
        self._population, self._reports_per_epoch = population, reports_per_epoch

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """Return the config of the next member: its task and its present hyperparameters."""
        asked = super().suggest(trial_id)
        if not isinstance(asked, dict):
            return asked
        task: Task = asked[TASK]
        lineage = self._population.join(task)
        now = self._population.now(task.number)
        values = {name: now[name] for name in perturbed(self._population.space)}
        return {TASK: lineage.task(task), KNOWN: self._population.step, **values}

    def _ended(self, task: Task, ended: Outcome | Failure | None) -> Outcome | Failure | None:
        """Keep with a finished member what it was."""
        if not isinstance(ended, Outcome):
            return ended
        own = self._population.attributes(task, reports_per_epoch=self._reports_per_epoch)
        rest = {name: value for name, value in ended.attributes.items() if name != _RESUMED}
        return replace(ended, attributes={**rest, **own})


class MemberScheduler(PopulationBasedTraining):
    """Tune's scheduler, which sees only the reports at the end of a generation."""

    def __init__(
        self, table: TaskTable, reports: WorkScheduler, population: Population, plan: Plan
    ) -> None:
        ray = plan.settings.engine.ray
        self._perturbed = perturbed(plan.spec.space)
        super().__init__(
            time_attr=_STEP,
            metric=_METRIC,
            mode="max" if plan.spec.direction == "maximize" else "min",
            perturbation_interval=ray.pbt_interval * plan.adapter.reports_per_epoch,
            hyperparam_mutations={name: _drawn(p) for name, p in self._perturbed.items()},
            quantile_fraction=ray.pbt_quantile,
            resample_probability=ray.pbt_resample,
            custom_explore_fn=self._within_bounds,
            log_config=False,
            synch=True,
        )
        self._table, self._reports = table, reports
        self._population, self._plan = population, plan
        self._states = states_folder(plan.folder, "search")
        # Of equal values the earlier member is worse.
        self._pbt = PbtState(
            self, order=_number, quantiles=self._without_defaults, new_config=self._copied
        )
        self._pbt.begin(population.step)
        self._values: dict[int, float] = {}  # of those who wait, by member

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: a run is resumed from the study."""
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take a member in. Tune refuses all searchers here; ours gives all members at once."""
        self._pbt.add(trial, self._population.step)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take an event; at the end of a generation the member waits for the others."""
        running = self._table.running.get(trial.trial_id)
        event = result[EVENT]
        if running is not None and isinstance(event, Started) and running.began is not None:
            running.actor = actor_of(trial)  # it continues after a generation
            running.place = (event.ip, event.pid)
            return str(TrialScheduler.CONTINUE)
        continues = self._reports.take(tune_controller, trial, result)
        if not continues or not isinstance(event, Reported) or not self._waits_at(event.step):
            return str(TrialScheduler.CONTINUE)
        value = event.metrics[self._plan.spec.metric]
        self._values[_number(trial)] = value
        arrived = {**result, _STEP: event.step, _METRIC: value}
        return self._arrive(tune_controller, trial, arrived)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep how the worker died."""
        self._reports.on_trial_error(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return a member that is behind; end the generation if the last one to wait for died."""
        waiting, due = self._living(), self._pbt.due
        if waiting and all(self._pbt.step(trial) >= due for trial in waiting):
            self._arrive(tune_controller, waiting[0], self._pbt.result(waiting[0]))
        return super().choose_trial_to_run(tune_controller)

    def _living(self) -> list[Trial]:
        return [trial for trial in self._pbt.members if trial.trial_id in self._table.running]

    def _waits_at(self, step: int) -> bool:
        last = self._plan.most_reports
        return step == self._pbt.due and step < last

    def _arrive(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        due = self._pbt.due
        decision = str(TrialScheduler.CONTINUE)
        draws = f"population:{self._plan.settings.search.seed}:{due}"
        # A decision depends on the study's seed, the generation and the members' values only, so
        # an interrupted run decides again in the same way.
        with self._table.guard(), _drawing_from(draws):
            living = cast(Any, _Living(controller, self._table))
            decision = str(super().on_trial_result(living, trial, result))
            if self._pbt.due != due:
                self._end_generation(due)
        return decision

    def _end_generation(self, step: int) -> None:
        """Record the copies, then hand the states over."""
        living = self._living()
        values = {_number(trial): self._values[_number(trial)] for trial in living}
        self._values.clear()
        for trial in living:
            trial.set_config({**trial.config, KNOWN: step})  # type: ignore[no-untyped-call]
        work = cast(_Kept, self._table.work)
        work.flush()  # writes the reports that were decided by
        copies = self._population.end_generation(step, values)
        # In one piece, and before any member continues: a kill loses a generation, or nothing.
        work.set_attribute(POPULATION, self._population.record())
        for copy in copies:
            source, own = (
                self._states / f"{copy[name]}.safetensors" for name in ("source", "member")
            )
            if source.exists():
                files.write_atomically(own, source.read_bytes())
            else:  # the member then trains from the start
                own.unlink(missing_ok=True)

    def _without_defaults(self, quantiles: Quantiles) -> Quantiles:
        lower, upper = quantiles
        defaults = len(self._plan.spec.defaults)
        # A default is copied from, but stays what it is: the baseline rests on it.
        return [trial for trial in lower if _number(trial) >= defaults], upper

    def _copied(self, trial: Trial, source: Trial, config: Config) -> Config:
        """Enter the copy into the record; return the config with which ``trial`` continues."""
        step = self._pbt.due
        lineage = self._population.copy(
            _number(trial),
            _number(source),
            epoch=step // self._plan.adapter.reports_per_epoch,
            params={name: config[name] for name in self._perturbed},
        )
        own: Task = trial.config[TASK]
        return {**config, TASK: lineage.task(own), KNOWN: step}

    def _within_bounds(self, config: Config) -> Config:
        for name, parameter in self._perturbed.items():
            config[name] = min(max(config[name], parameter.low), parameter.high)
        return config


class _Living:
    """Tune's controller, as if it had only the running trials."""

    def __init__(self, controller: Any, table: TaskTable) -> None:
        self._controller, self._table = controller, table

    def get_trials(self) -> list[Trial]:
        """Return the members that have not ended."""
        # Tune would wait for ever for a trial whose worker died and that another one has replaced.
        every = self._controller.get_trials()
        return [trial for trial in every if trial.trial_id in self._table.running]

    get_live_trials = get_trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)


def _number(trial: Trial) -> int:
    task: Task = trial.config[TASK]
    return task.number


def _drawn(parameter: Float) -> Callable[[], float]:
    def draw() -> float:
        if not parameter.log:
            return random.uniform(parameter.low, parameter.high)
        return math.exp(random.uniform(math.log(parameter.low), math.log(parameter.high)))

    return draw


@contextmanager
def _drawing_from(text: str) -> Iterator[None]:
    """Seed Python's generator, from which Tune draws, with ``text``; restore it after."""
    before = random.getstate()
    digest = hashlib.sha256(text.encode()).digest()
    random.seed(int.from_bytes(digest[:8], "big"))
    try:
        yield
    finally:
        random.setstate(before)
