"""Where a book's new trials come from: the sampler (search) or a fixed list (confirm)."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Protocol

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from mnist_core.console.plain_text import counted
from objectives.base import CHANGES
from studies.core.attributes import CARRIED, ENQUEUED, ENTRY, SENTINEL
from studies.core.seeds import fork_seed, sampler_seed, trial_seed
from studies.planning.plan import Plan
from studies.search.enqueued import Known, params_of, point_of
from studies.search.failures import would_fail_again
from studies.search.grid import Grid
from studies.search.imported import Result, as_trials
from studies.search.optuna_bridge import suggest
from studies.search.samplers import GRID, Search, create_sampler, learns
from studies.search.sentinels import sentinels


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One training of a confirmation.

    Attributes:
        params: the hyperparameters, all of them.
        seed: a fresh seed.
        attributes: JSON values kept with the trial, e.g. whose configuration it is.
    """

    params: Mapping[str, Any]
    seed: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Short hash of params and seed: a training is done once, however often it is asked for."""
        text = json.dumps([dict(self.params), self.seed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Source(Protocol):
    """Where a book's new trials come from."""

    @property
    def total(self) -> int:
        """How many trials the study comes to, over all resumes."""
        ...

    def request(self, number: int) -> Entry | None:
        """Return what trial ``number`` must be (its params may be a part), or None: no more."""
        ...

    def sampler(self, number: int) -> BaseSampler:
        """Return the sampler that proposes the params that ``number``'s request left open."""
        ...

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Let ``trial`` choose its params."""
        ...

    def may_prune(self, number: int) -> bool:
        """Whether the pruner is asked about trial ``number``."""
        ...


def search_of(plan: Plan) -> Search:
    """Return what a sampler must know of the search of ``plan``."""
    search = plan.settings.search
    return Search(
        space=plan.spec.space,
        scientific=plan.spec.scientific,
        seed=plan.settings.search.seed,
        trials=plan.trials_complete or plan.trials,
        workers=search.batch if search.order == "batch" else plan.workers,
        prunes=search.pruner != "none",
        goals=plan.goals,
    )


class SearchSource:
    """Trials of a search, in this order: defaults, known configurations, the sampler's.

    A known configuration takes one of the turns of its own choice, so that each choice still gets
    the trials that the plan promises it. What trial ``number`` is depends on the trials before it
    and on what was enqueued, not on interruptions.

    Args:
        plan: what is searched.
        known: configurations that come first; those that a trial has already are left out.
        trials: those of the study so far.
        imported: results from elsewhere.

    Raises:
        ConfigError: the sampler is unknown or refuses an option.
    """

    def __init__(
        self,
        plan: Plan,
        known: Sequence[Known] = (),
        trials: Sequence[FrozenTrial] = (),
        *,
        imported: Sequence[Result] = (),
    ) -> None:
        self._plan = plan
        self._imported = len(imported)
        shown = as_trials(imported, plan.spec.space)
        self._search = replace(search_of(plan), imported=shown)
        self._carried = {trial.number for trial in trials if CARRIED in trial.user_attrs}
        settings = plan.settings.search
        if self._carried:
            self._search = replace(self._search, seed=fork_seed(settings.seed, plan.name))
        self._grid: list[dict[str, Any]] | None = None
        if settings.sampler == GRID:
            grid = Grid(plan.spec.space, plan.spec.scientific, settings.sampler_options)
            self._grid = grid.points(sampler_seed(self._search.seed, 0))
        else:  # names and options are checked before the first trial
            self._create_sampler(0)
        self._defaults = len(plan.spec.defaults)
        self._sentinels = sentinels(plan)
        self._held = len(trials)
        self._was_known = {trial.number for trial in trials if ENQUEUED in trial.user_attrs}
        given = self._was_known | self._carried
        self._given = {trial.number: params_of(trial) for trial in trials if trial.number in given}
        first = max(self._defaults, self._held)
        default = [plan.required_params(number) for number in range(self._defaults)]
        tried: dict[str, int] = {}
        for number, params in enumerate([*map(params_of, trials), *default[self._held :]]):
            tried.setdefault(point_of(params), number)
        begun = [(one, _trial_of(one, trials, tried)) for one in known]
        missing = [one for one, number in begun if number is None]
        self._tried = {one.source: number for one, number in begun if number is not None}
        self._known = {first + index: one for index, one in enumerate(missing)}
        self._budget = max(plan.trials, self._trials_for_turns())
        if missing:
            self._budget = max(self._budget, first + len(missing))
        if self._grid is not None:  # those of its points that no trial has yet
            tried |= dict.fromkeys((one.point for one in missing), 0)
            tried |= dict.fromkeys(map(point_of, default), 0)
            self._points = [point for point in self._grid if point_of(point) not in tried]
        # A grid may end before the budget does; else there is no need to look ahead.
        self._total = self._budget if self._grid is None else sum(1 for _ in self._plan_entries())
        self._planned: int
        self._entry: Entry
        self._begin()

    @property
    def total(self) -> int:
        """The plan's budget, more where known configurations need it, less where a grid ends."""
        return self._total

    @property
    def notes(self) -> list[str]:
        """What there is to say about a grid's size, and the enqueued files that the plan names."""
        planned = self._budget
        sampler = self._plan.settings.search.sampler
        found = [
            f"--enqueue {file}: its configuration is trial {self._tried[file]}; it is run once"
            for file in self._plan.settings.search.enqueue
            if file in self._tried
        ]
        if self._imported and not learns(sampler):
            found.append(
                f"--import: {sampler} learns from no results from elsewhere; tpe and gp do"
            )
        elif self._imported:
            found.append(
                f"--import: {self._imported} result{'s' if self._imported > 1 else ''} from"
                f" elsewhere teach{'es' if self._imported == 1 else ''} {sampler}; none is a trial"
                " of this study, so none is counted or confirmed"
            )
        if (more := planned - self._plan.trials) > 0:
            found.append(
                f"--enqueue: {more} trial{'s' if more > 1 else ''} more than search.trials, which"
                f" is {self._plan.trials}, so that no choice loses one to what is enqueued"
            )
        if self._grid is not None and self._total < planned:
            found.append(
                f"grid: it ends after {counted(self._total, 'trial')}, those before it among"
                " them, as it has"
                f" no more points; search.trials is {planned}"
            )
        elif self._grid is not None and (size := len(self._grid)) > planned:
            found.append(f"grid: of its {size:,} points {counted(planned, 'trial')} run a part")
        return found

    def request(self, number: int) -> Entry | None:
        """Return the params that are required of trial ``number``, and its seed."""
        if number >= self._total:
            return None
        if number < self._planned:
            self._begin()
        # A book asks for one after the other: thousands of entries need not be held.
        for last in deque(islice(self._entries, number - self._planned), maxlen=1):
            self._planned, self._entry = last
        return self._entry

    def sampler(self, number: int) -> BaseSampler:
        """Return a sampler with a seed of its own, so that a resume repeats and skips nothing."""
        if self._grid is not None:  # leaves nothing open
            return RandomSampler(seed=sampler_seed(self._search.seed, number))
        return self._create_sampler(number)

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Let ``trial`` choose a point of the plan's space."""
        return suggest(self._plan.spec.space, trial)

    def may_prune(self, number: int) -> bool:
        """Spare the default configuration of each choice: comparisons rest on it.

        A sentinel is judged, and spared by ``FairPruning``.
        """
        return number >= self._defaults

    def _trials_for_turns(self) -> int:
        """Return the trials that known configurations need to leave each choice its turns."""
        plan = self._plan
        choice = plan.spec.scientific
        known = [self._given[number] for number in sorted(self._was_known)]
        known += [dict(one.params) for one in self._known.values()]
        own = max(0, plan.trials_per_choice - 1)  # the default has the first turn
        counts = Counter(params[choice] for params in known if choice in params)
        needed = self._defaults * max(1, plan.trials_per_choice)
        more = sum(max(0, count - own) for count in counts.values())
        more += len(known) - sum(counts.values())  # whose choice the sampler fills in
        # A study that is shorter than all turns together promises none of them.
        return needed + more if needed <= plan.trials else 0

    def _begin(self) -> None:
        """Plan from trial 0 on."""
        self._entries = enumerate(self._plan_entries())
        self._planned, self._entry = next(self._entries)

    def _create_sampler(self, number: int) -> BaseSampler:
        search = self._plan.settings.search
        seed = sampler_seed(self._search.seed, number)
        return create_sampler(search.sampler, search.sampler_options, self._search, seed=seed)

    def _plan_entries(self) -> Iterator[Entry]:
        """Yield each trial's entry; a turn of its own choice is taken by a known configuration."""
        plan, scientific = self._plan, self._plan.spec.scientific
        turns = list(range(self._defaults * max(1, plan.trials_per_choice)))
        grid = None if self._grid is None else list(self._points)
        for number in range(self._budget):
            attributes: dict[str, Any] = {}
            if number in self._known or number in self._was_known or number in self._carried:
                known = self._known.get(number)
                params = dict(known.params) if known else self._given[number]
                if known is not None:
                    attributes[ENQUEUED] = known.source
                choice = params.get(scientific)
                own = (t for t in turns if plan.required_params(t)[scientific] == choice)
                if (turn := next(own, None)) is not None:
                    turns.remove(turn)
            else:
                params = plan.required_params(turns.pop(0)) if turns else {}
                if grid is not None and number >= max(self._defaults, self._held):
                    if not grid:
                        return
                    params = _taken(grid, params)
            if number in self._sentinels:
                attributes[SENTINEL] = True
            seed = trial_seed(self._search.seed, number)
            yield Entry(params=params, seed=seed, attributes=attributes)


def _trial_of(known: Known, trials: Sequence[FrozenTrial], tried: Mapping[str, int]) -> int | None:
    """Return the number of the trial that ``known`` is, or None."""
    if not known.partial:
        return tried.get(known.point)
    for trial in trials:
        if trial.user_attrs.get(ENQUEUED) == known.source:
            params = params_of(trial)
            if point_of({name: params.get(name) for name in known.params}) == known.point:
                return trial.number
    return None


def _taken(grid: list[dict[str, Any]], required: Mapping[str, Any]) -> dict[str, Any]:
    """Take the first point of ``grid`` that has the required params, or the first at all."""
    fits = (i for i, p in enumerate(grid) if all(p.get(n) == v for n, v in required.items()))
    return grid.pop(next(fits, 0))


class ConfirmSource:
    """Trials of a confirmation: those entries that the study does not hold yet.

    One that failed for a reason outside of it (a full disk, memory, its worker) is still missing.
    """

    def __init__(self, plan: Plan, entries: Sequence[Entry], trials: Iterable[FrozenTrial]) -> None:
        self._plan = plan
        trials = list(trials)
        held = {trial.user_attrs.get(ENTRY) for trial in trials if not _can_be_mended(trial)}
        self._held = len(trials)
        self._missing = [entry for entry in entries if entry.identity not in held]

    @property
    def total(self) -> int:
        """The trials there are and the entries still to come."""
        return self._held + len(self._missing)

    def request(self, number: int) -> Entry | None:
        """Return the next missing entry."""
        index = number - self._held
        if index >= len(self._missing):
            return None
        entry = self._missing[index]
        attributes = {**entry.attributes, ENTRY: entry.identity}
        params = dict(entry.params)
        if CHANGES in params:  # no hyperparameter of Optuna's
            attributes[CHANGES] = params.pop(CHANGES)
        return Entry(params=params, seed=entry.seed, attributes=attributes)

    def sampler(self, number: int) -> BaseSampler:
        """Return any sampler: an entry leaves nothing open."""
        return RandomSampler(seed=sampler_seed(0, number))

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the entry's params."""
        kept = trial.user_attrs
        changes = {CHANGES: kept[CHANGES]} if CHANGES in kept else {}
        return {**suggest(self._plan.spec.space, trial), **changes}

    def may_prune(self, number: int) -> bool:
        """Never: what is confirmed runs its full budget."""
        return False


def _can_be_mended(trial: FrozenTrial) -> bool:
    return trial.state is TrialState.FAIL and not would_fail_again(trial)
