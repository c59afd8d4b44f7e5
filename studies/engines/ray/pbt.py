"""Tune's population based training, over members whose training is exact and recorded.

``PopulationBasedTraining`` (synchronous) decides who copies whom and with which hyperparameters.
Around it:

* All members wait at the end of a generation, each with the state of its training on disk. To copy
  is to take the other's file over and to train on from it with a change of the settings.
* What is decided depends on the study's seed, the generation and the members' values, on nothing
  else: not on the order in which they came, not on interruptions.
* A generation is written into the study, in one piece, before anybody goes on.
* A default configuration is copied from, but stays what it is.
"""

import hashlib
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

from ray.tune.experiment import Trial
from ray.tune.schedulers import PopulationBasedTraining, TrialScheduler
from ray.tune.schedulers.pbt import _PBTTrialState

from mnist_core import files
from mnist_core.errors import UserError
from objectives.base import Task
from search_spaces.space import Float
from studies.core.attributes import POPULATION
from studies.engines.base import Work
from studies.engines.ray.desk import Desk
from studies.engines.ray.events import EVENT, KNOWN, TASK, Reported, Started
from studies.engines.ray.members import MemberSearcher, Rules, rules_of
from studies.engines.ray.tune import WorkScheduler, WorkSearcher
from studies.planning.plan import Plan
from studies.search.population import Population

_STEP = "step"
_METRIC = "metric"


class Kept(Work, Protocol):
    """Work of a study that keeps attributes."""

    study: Any

    def set_attribute(self, name: str, value: Any) -> None:
        """Keep a JSON ``value`` with the study."""
        ...


def members(plan: Plan, desk: Desk) -> "tuple[WorkSearcher, MemberScheduler]":
    """Return Tune's extension points for the population of ``plan``, as far as it has come.

    Raises:
        UserError: it was begun with other rules, or with single trials.
    """
    rules, work = rules_of(plan), cast(Kept, desk.work)
    record = work.study.user_attrs.get(POPULATION)
    if record is None and any(t.state.is_finished() for t in work.study.get_trials(deepcopy=False)):
        raise UserError(
            f"study {plan.name} was begun with single trials, so it cannot go on as a population;"
            " set engine.ray.scheduler back, or begin anew (--fresh)"
        )
    population = Population(plan.spec.space, rules.recorded(), record)
    work.set_attribute(POPULATION, population.record())
    searcher = MemberSearcher(desk, population, rules)
    reports = WorkScheduler(desk, searcher)
    return searcher, MemberScheduler(desk, reports, population, rules)


class MemberScheduler(PopulationBasedTraining):
    """Tune's scheduler, told of reports at the end of a generation only.

    Args:
        desk: shared with the searcher.
        reports: takes all other events, as of any trial.
        population: who copied whom.
        rules: of the population.
    """

    def __init__(
        self, desk: Desk, reports: WorkScheduler, population: Population, rules: Rules
    ) -> None:
        super().__init__(
            time_attr=_STEP,
            metric=_METRIC,
            mode=rules.mode,
            perturbation_interval=rules.interval * rules.reports_per_epoch,
            hyperparam_mutations={n: _drawn(p) for n, p in rules.parameters.items()},
            quantile_fraction=rules.quantile,
            resample_probability=rules.resample,
            custom_explore_fn=self._within_bounds,
            log_config=False,
            synch=True,
        )
        self._desk, self._reports = desk, reports
        self._population, self._rules = population, rules
        self._next_perturbation_sync = population.step + self._perturbation_interval
        self._values: dict[int, float] = {}  # of those who wait, by member

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: the study is what a run is resumed from."""
        return {}

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Take a member in. Tune refuses all searchers here; ours gives all members at once."""
        state = self._trial_state[trial] = _PBTTrialState(trial)
        state.last_train_time = state.last_perturbation_time = self._population.step

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Take an event; at the end of a generation the member waits for the others."""
        running = self._desk.out.get(trial.trial_id)
        event = result[EVENT]
        if running is not None and isinstance(event, Started) and running.began is not None:
            running.actor = trial.temporary_state.ray_actor  # goes on after a generation
            running.place = (event.ip, event.pid)
            return str(TrialScheduler.CONTINUE)
        goes_on = self._reports.take(tune_controller, trial, result)
        if not goes_on or not isinstance(event, Reported) or not self._waits_at(event.step):
            return str(TrialScheduler.CONTINUE)
        value = event.metrics[self._rules.metric]
        self._values[_number(trial)] = value
        arrived = {**result, _STEP: event.step, _METRIC: value}
        return self._arrive(tune_controller, trial, arrived)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep how the worker died."""
        self._reports.on_trial_error(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Go on with who is behind; end the generation when those who were waited for are gone."""
        waiting = [t for t in self._trial_state if t.trial_id in self._desk.out]
        due = self._next_perturbation_sync
        if waiting and all(self._trial_state[t].last_train_time >= due for t in waiting):
            first = waiting[0]
            self._arrive(tune_controller, first, cast(Any, self._trial_state[first].last_result))
        return super().choose_trial_to_run(tune_controller)

    def _waits_at(self, step: int) -> bool:
        last = self._rules.epochs * self._rules.reports_per_epoch
        return step == self._next_perturbation_sync and step < last

    def _arrive(self, controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        due = self._next_perturbation_sync
        decision = str(TrialScheduler.CONTINUE)
        with self._desk.guard(), _drawing_from(f"population:{self._rules.seed}:{due}"):
            living = cast(Any, _Living(controller, self._desk))
            decision = str(super().on_trial_result(living, trial, result))
            if self._next_perturbation_sync != due:
                self._end_generation(int(due))
        return decision

    def _end_generation(self, step: int) -> None:
        """Write down who copied whom, then hand the states over."""
        living = [trial for trial in self._trial_state if trial.trial_id in self._desk.out]
        values = {_number(trial): self._values[_number(trial)] for trial in living}
        self._values.clear()
        for trial in living:
            trial.set_config({**trial.config, KNOWN: step})  # type: ignore[no-untyped-call]
        work = cast(Kept, self._desk.work)
        work.flush()  # the reports that it was decided by
        copies = self._population.end_generation(step, values)
        work.set_attribute(POPULATION, self._population.record())
        for copy in copies:
            source, own = (self._state(copy[name]) for name in ("source", "member"))
            if source.exists():
                files.write_atomically(own, source.read_bytes())
            else:  # its training is then done over from its begin
                own.unlink(missing_ok=True)

    def _state(self, number: int) -> Path:
        return self._rules.states / f"{number}.safetensors"

    def _quantiles(self) -> tuple[list[Trial], list[Trial]]:
        """Return who copies and who is copied from; of equal values the earlier member is worse."""
        self._trial_state = dict(
            sorted(self._trial_state.items(), key=lambda item: _number(item[0]))
        )
        lower, upper = super()._quantiles()
        return [trial for trial in lower if _number(trial) >= self._rules.defaults], upper

    def _get_new_config(self, trial: Trial, trial_to_clone: Trial) -> tuple[dict[str, Any], Any]:
        """Return the config with which ``trial`` goes on; enter it into the record."""
        found: tuple[dict[str, Any], Any] = super()._get_new_config(trial, trial_to_clone)
        config, operations = found
        step = int(self._next_perturbation_sync)
        lineage = self._population.copy(
            _number(trial),
            _number(trial_to_clone),
            epoch=step // self._rules.reports_per_epoch,
            params={name: config[name] for name in self._rules.parameters},
        )
        own: Task = trial.config[TASK]
        return {**config, TASK: lineage.task(own), KNOWN: step}, operations

    def _within_bounds(self, config: dict[str, Any]) -> dict[str, Any]:
        for name, parameter in self._rules.parameters.items():
            config[name] = min(max(config[name], parameter.low), parameter.high)
        return config


class _Living:
    """Tune's controller, as if it had only the trials that are out.

    Tune's scheduler would wait for ever for one whose worker died and that another has replaced.
    """

    def __init__(self, controller: Any, desk: Desk) -> None:
        self._controller, self._desk = controller, desk

    def get_trials(self) -> list[Trial]:
        """Return the members that have not ended."""
        every = self._controller.get_trials()
        return [trial for trial in every if trial.trial_id in self._desk.out]

    get_live_trials = get_trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._controller, name)


def _number(trial: Trial) -> int:
    task: Task = trial.config[TASK]
    return task.number


def _drawn(parameter: Float) -> Callable[[], float]:
    """Return what draws a value as the random sampler does, from Python's own generator."""

    def draw() -> float:
        if not parameter.log:
            return random.uniform(parameter.low, parameter.high)
        return math.exp(random.uniform(math.log(parameter.low), math.log(parameter.high)))

    return draw


@contextmanager
def _drawing_from(text: str) -> Iterator[None]:
    """Have Python's generator, from which Tune draws, start from ``text``; put it back after."""
    before = random.getstate()
    digest = hashlib.sha256(text.encode()).digest()
    random.seed(int.from_bytes(digest[:8], "big"))
    try:
        yield
    finally:
        random.setstate(before)
