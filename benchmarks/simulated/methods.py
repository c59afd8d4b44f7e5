"""The searches that are compared, each as a ``Work``: ours, and the others' own defaults.

The others get the study's space and nothing else: no default configurations, no turns for each
choice. Ray Tune's code is driven without its cluster, which decides nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import TrialState

from objectives.base import Outcome, Task
from search_spaces.space import Choice, Float, Parameter, Space
from simulated.loop import METRIC
from simulated.table import Table
from studies.core.trials import Failure
from studies.engines.base import Work
from studies.ledger.opening import open_search
from studies.planning.plan import Plan, resolve
from studies.search.optuna_bridge import suggest
from studies.search.pruners import with_resources
from studies.search.pruning import FairPruning
from studies.search.sources import SearchSource
from studies.storage.journal import Journal
from studies.storage.open import close_storage, open_storage

OURS = "ours: the defaults of the study"
RANDOM = "random search, no pruning"
ORACLE = "random, an oracle after one epoch"

MANY = 2000
"""Trials that a search may have; its time ends it before."""


class _Others:
    """A search that is not this project's, as a ``Work``."""

    def started(self, task: Task, pid: int) -> None:
        pass

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        return True

    def flush(self, *, now: bool = True) -> float:
        return 0.0

    def finish(self, task: Task, outcome: Outcome) -> None:
        pass

    def fail(self, task: Task, failure: Failure) -> None:
        pass

    def lose(self, task: Task, failure: Failure) -> None:
        raise NotImplementedError  # no worker dies here


class _OptunaScript(_Others):
    """``study.optimize`` of a script that says no more than its sampler and its pruner."""

    def __init__(self, space: Space, sampler: BaseSampler, pruner: BasePruner) -> None:
        self._space = space
        self._study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
        self._trials: dict[int, optuna.Trial] = {}

    def ask(self) -> Task | None:
        trial = self._study.ask()
        self._trials[trial.number] = trial
        return Task(number=trial.number, params=suggest(self._space, trial), seed=0)

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        trial = self._trials[task.number]
        trial.report(metrics[METRIC], step)
        return not trial.should_prune()

    def finish(self, task: Task, outcome: Outcome) -> None:
        trial = self._trials.pop(task.number)
        if outcome.stopped:
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, outcome.metrics[METRIC])

    def fail(self, task: Task, failure: Failure) -> None:
        self._study.tell(self._trials.pop(task.number), state=TrialState.FAIL)


class _Alone(_OptunaScript):
    """This project's sampler and pruner by themselves: no defaults first, no turns, no book."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan.spec.space, RandomSampler(), NopPruner())
        self._source = SearchSource(plan)  # asked for its samplers only
        search = plan.settings.search
        self._pruning = FairPruning(
            search.pruner,
            with_resources(search.pruner, search.pruner_options, plan.most_reports),
            scientific=plan.spec.scientific,
            direction=StudyDirection.MAXIMIZE,
            write=lambda number, name, value: self._study._storage.set_trial_system_attr(
                self._trials[number]._trial_id, name, value
            ),
        )

    def ask(self) -> Task | None:
        self._study.sampler = self._source.sampler(len(self._study.get_trials(deepcopy=False)))
        return super().ask()

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        self._trials[task.number].report(metrics[METRIC], step)
        trials = self._study.get_trials(deepcopy=False)
        return not self._pruning.should_prune(trials[task.number], trials)


class _Oracle(_OptunaScript):
    """Random search, and a pruner that knows after one epoch how each training would end.

    It stops all that do not reach ``target``. No pruner that hears of whole epochs does better, but
    for what a sampler learns.
    """

    def __init__(self, table: Table, target: float, seed: int) -> None:
        super().__init__(table.space, RandomSampler(seed=seed), NopPruner())
        self._table, self._target = table, target

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        super().report(task, step, metrics)
        curve = self._table.curve(task.params)
        return len(curve) == self._table.epochs and curve[-1] >= self._target


class _RayTune(_Others):
    """``Tuner`` with the default search (random variants) and a scheduler."""

    def __init__(self, space: Space, scheduler: Any, seed: int) -> None:
        self._space = space
        self._scheduler = scheduler
        self._scheduler.set_search_properties(METRIC, "max")
        self._config = {name: to_tune(parameter) for name, parameter in space.parameters.items()}
        self._state = np.random.RandomState(seed)
        self._trials: list[Any] = []

    def ask(self) -> Task | None:
        from ray.tune.search.variant_generator import generate_variants

        _, found = next(generate_variants(self._config, random_state=self._state))
        number = len(self._trials)
        self._trials.append(SimpleNamespace(trial_id=str(number)))
        self._scheduler.on_trial_add(None, self._trials[number])
        params = self._space.walk(lambda name, parameter: found[name])
        return Task(number=number, params=params, seed=0)

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        result = {"training_iteration": step, METRIC: metrics[METRIC]}
        action = self._scheduler.on_trial_result(None, self._trials[task.number], result)
        return bool(action == self._scheduler.CONTINUE)


class _TopAfterOne(_Others):
    """Rounds: one epoch for each of ``n`` random configurations, the rest for the ``k`` best."""

    def __init__(self, space: Space, seed: int, n: int, k: int) -> None:
        self._random = _OptunaScript(space, RandomSampler(seed=seed), NopPruner())
        self._n, self._k = n, k
        self._queue: list[Task] = []
        self._open = 0
        self._round: list[tuple[float, Task]] = []

    def ask(self) -> Task | None:
        if not self._queue and not self._open:
            if self._round:
                best = sorted(self._round, key=lambda one: -one[0])[: self._k]
                self._queue = [replace(task, attempt=1) for _, task in best]
                self._round = []
            else:
                fresh = (self._random.ask() for _ in range(self._n))
                self._queue = [task for task in fresh if task is not None]
        if not self._queue:
            return None  # the ranking waits for the last trial of the round
        self._open += 1
        return self._queue.pop(0)

    @staticmethod
    def begun_at(task: Task) -> int:
        """Return the epochs that were trained before the trial was put aside."""
        return task.attempt

    def report(self, task: Task, step: int, metrics: Mapping[str, float]) -> bool:
        return step > 1

    def finish(self, task: Task, outcome: Outcome) -> None:
        self._open -= 1
        if outcome.stopped:
            self._round.append((outcome.metrics[METRIC], task))

    def fail(self, task: Task, failure: Failure) -> None:
        self._open -= 1


@contextmanager
def ours(study: str, seed: int, folder: Path, sets: Mapping[str, Any]) -> Iterator[Work]:
    """Open the search of ``study`` as ``studies.run`` does, with the settings of ``conf.toml``.

    Args:
        study: its name.
        seed: of the search.
        folder: where the study is kept; a new one.
        sets: settings that differ from the defaults.
    """
    plan = _plan(study, seed, folder, sets)
    storage = open_storage(plan.storage_url, create=True)
    assert isinstance(storage, Journal)
    storage.file.durable = False  # nobody keeps it, and most of the time would go to the disk
    try:
        with open_search(plan.with_data("recorded"), storage) as book:
            yield book
    finally:
        close_storage(storage)


def _plan(study: str, seed: int, folder: Path, sets: Mapping[str, Any]) -> Plan:
    return resolve(
        study,
        sets={
            "search.seed": seed,
            "search.trials": MANY,
            "storage.url": f"journal:///{folder.absolute()}/{seed}.log",
            "results.folder": str(folder),
            "device": "cpu",
            **sets,
        },
    )


def to_tune(parameter: Parameter) -> Any:
    """Return Ray Tune's domain for ``parameter``; it is drawn whether it is active or not."""
    from ray import tune

    if isinstance(parameter, Choice):
        return tune.choice(list(parameter.choices))
    if isinstance(parameter, Float):
        draw = tune.loguniform if parameter.log else tune.uniform
        return draw(parameter.low, parameter.high)
    whole = tune.lograndint if parameter.log else tune.randint
    return whole(parameter.low, parameter.high + 1)


Searches = Mapping[str, Callable[[int, Path], AbstractContextManager[Work]]]
"""By name: opens a search with a seed, in a folder of its own."""


def searches(study: str, table: Table, sets: Mapping[str, Any]) -> Searches:
    """Return all that are compared; ``sets`` are settings of ours that differ from the defaults."""
    space, target = table.space, table.percentile(95)

    def script(sampler: Callable[..., Any], pruner: Any) -> Callable[[int, Path], Any]:
        return lambda seed, _: nullcontext(_OptunaScript(space, sampler(seed=seed), pruner()))

    def tuner(scheduler: str, **options: Any) -> Callable[[int, Path], Any]:
        def make(seed: int, _: Path) -> Any:
            from ray.tune import schedulers

            return nullcontext(_RayTune(space, getattr(schedulers, scheduler)(**options), seed))

        return make

    return {
        OURS: lambda seed, folder: ours(study, seed, folder, sets),
        "our sampler and pruner alone": lambda seed, folder: nullcontext(
            _Alone(_plan(study, seed, folder, sets))
        ),
        RANDOM: script(RandomSampler, NopPruner),
        ORACLE: lambda seed, _: nullcontext(_Oracle(table, target, seed)),
        "Optuna: TPE, median (its defaults)": script(TPESampler, MedianPruner),
        "Ray Tune: random, FIFO (its defaults)": tuner("FIFOScheduler"),
        "Ray Tune: random, ASHA": tuner("AsyncHyperBandScheduler", max_t=table.epochs),
        "best 3 of 30 after one epoch": lambda seed, _: nullcontext(
            _TopAfterOne(space, seed, n=30, k=3)
        ),
    }
