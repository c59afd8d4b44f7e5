"""Where a book's new trials come from, and the source of a search's trials."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import BaseTrial, FrozenTrial

from mnist_core.console.plain_text import counted
from studies.core.attributes import CARRIED, ENQUEUED, LEARNED, SENTINEL
from studies.core.seeds import fork_seed, sampler_seed, trial_seed
from studies.planning.plan import Plan
from studies.search.branches import Search, deciding
from studies.search.earlier import EarlierStudy, is_held, left_out, second_trials
from studies.search.enqueued import EnqueuedConfig, params_of, point_of, trial_of
from studies.search.grid import Grid
from studies.search.guides import guides
from studies.search.imported import Result, as_trials
from studies.search.learned import learning_notes
from studies.search.optuna_bridge import suggest
from studies.search.pruning import sentinels
from studies.search.sampler_kinds import SAMPLERS
from studies.search.samplers import create_sampler


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A trial that a source asks for.

    Attributes:
        params: required hyperparameters; the sampler proposes those that are left out.
        seed: of the training.
        attributes: JSON values kept with the trial, e.g. whose configuration it is.
    """

    params: Mapping[str, Any]
    seed: int
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """Short hash of params and seed, by which a confirmation runs each training once."""
        text = json.dumps([dict(self.params), self.seed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


class Source(Protocol):
    """Where a book's new trials come from."""

    @property
    def total(self) -> int:
        """Number of trials of the study over all resumes."""

    def request(self, number: int) -> Entry | None:
        """Return the entry of trial ``number``; None: there are no more."""

    def adapted(self, entry: Entry, trials: Iterable[FrozenTrial]) -> Entry:
        """Return ``entry`` as it starts, after what ``trials`` have shown."""

    def sampler(self, number: int) -> BaseSampler:
        """Return the sampler that proposes the params that ``number``'s entry leaves out."""

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Let ``trial`` choose its params."""

    def may_prune(self, number: int) -> bool:
        """Whether the pruner is asked about trial ``number``."""


class SearchSource:
    """Trials of a search, in this order: defaults, enqueued and learned ones, the sampler's.

    Trial ``number`` depends on the trials before it and on what was enqueued, not on interruptions.

    Args:
        enqueued: configurations that come first; those that a trial has already are left out.
        trials: those that the study holds.
        imported: results from elsewhere, for the sampler.
        earlier: studies that it learns from, see ``learning.py``.

    Attributes:
        search: what a sampler must know of the search.

    Raises:
        ConfigError: if the sampler is unknown or refuses an option.
    """

    def __init__(
        self,
        plan: Plan,
        enqueued: Sequence[EnqueuedConfig] = (),
        trials: Sequence[FrozenTrial] = (),
        *,
        imported: Sequence[Result] = (),
        earlier: Sequence[EarlierStudy] = (),
    ) -> None:
        self._plan, self._scientific = plan, plan.spec.scientific
        settings, space = plan.settings.search, plan.spec.space
        self._carried = {trial.number for trial in trials if CARRIED in trial.user_attrs}
        # A fork draws other trials than the study that it comes from.
        seed = fork_seed(settings.seed, plan.name) if self._carried else settings.seed
        self.search = Search(
            space=space,
            scientific=plan.spec.scientific,
            seed=seed,
            trials=plan.trials_complete or plan.trials,
            workers=settings.batch if settings.order == "batch" else plan.workers,
            prunes=settings.pruner != "none",
            goals=plan.goals,
            imported=as_trials(imported, space),
            guides=guides(earlier, space, deciding(space, plan.spec.scientific)),
            defaults=len(plan.spec.defaults),
        )
        self._grid: list[dict[str, Any]] | None = None
        kind = SAMPLERS.get(settings.sampler)
        if kind is not None and kind.load is None:
            grid = Grid(space, plan.spec.scientific, settings.sampler_options)
            self._grid = grid.points(sampler_seed(seed, 0))
        else:  # names and options are checked before the first trial
            self._create_sampler(0)
        self._defaults = len(plan.spec.defaults)
        self._sentinels = sentinels(settings, range(self._defaults, plan.trials))
        self._held = len(trials)
        self._was_enqueued = {trial.number for trial in trials if ENQUEUED in trial.user_attrs}
        learned = {trial.number for trial in trials if LEARNED in trial.user_attrs}
        given = self._was_enqueued | self._carried | learned
        self._given = {trial.number: params_of(trial) for trial in trials if trial.number in given}
        first = max(self._defaults, self._held)
        default = [plan.required_params(number) for number in range(self._defaults)]
        tried: dict[str, int] = {}
        for number, params in enumerate([*map(params_of, trials), *default[self._held :]]):
            tried.setdefault(point_of(params), number)
        held = [(one, trial_of(one, trials, tried)) for one in enqueued]
        missing = [one for one, number in held if number is None]
        self._tried = {one.source: number for one, number in held if number is not None}
        self._enqueued = {first + index: one for index, one in enumerate(missing)}
        self._budget = max(plan.trials, self._trials_for_turns())
        if missing:
            self._budget = max(self._budget, first + len(missing))
        self._earlier = earlier
        seconds = second_trials(earlier, space, plan.spec.scientific, plan.spec.groups)
        known = {one.point for one in missing}
        wanted = [
            one
            for one in seconds
            if one.point not in known
            and trial_of(one, trials, tried) is None
            and not is_held(one, trials)
        ]
        self._enqueued |= {first + index: one for index, one in enumerate([*missing, *wanted])}
        if self._grid is not None:  # leave out the points that a trial has already
            tried |= dict.fromkeys((one.point for one in self._enqueued.values()), 0)
            tried |= dict.fromkeys(map(point_of, default), 0)
            self._points = [point for point in self._grid if point_of(point) not in tried]
        # A grid may end before the budget does; otherwise there is no need to look ahead.
        self._total = self._budget if self._grid is None else sum(1 for _ in self._plan_entries())
        self._planned: int
        self._entry: Entry
        self._begin()

    @property
    def total(self) -> int:
        """The plan's budget; more if enqueued configurations need it, less if a grid ends."""
        return self._total

    @property
    def notes(self) -> list[str]:
        """What there is to know about enqueued files, imported results and a grid's size."""
        planned, sampler = self._budget, self._plan.settings.search.sampler
        found = [
            f"--enqueue {file}: its configuration is trial {self._tried[file]}; it is run once"
            for file in self._plan.settings.search.enqueue
            if file in self._tried
        ]
        imported = len(self.search.imported)
        if imported and not SAMPLERS[sampler].learns_imported:
            found.append(
                f"--import: {sampler} does not learn from results from elsewhere; tpe and gp do"
            )
        elif imported:
            found.append(
                f"--import: {sampler} learns from {counted(imported, 'result')} from"
                " elsewhere; none is a trial of this study, so none is counted or confirmed"
            )
        found += learning_notes(
            self._plan.settings.search, self._earlier, compares=self._plan.spec.compares
        )
        spared = "choice" if self._plan.spec.compares else "default"
        if (more := planned - self._plan.trials) > 0:
            found.append(
                f"--enqueue: {counted(more, 'trial')} more than search.trials, which is"
                f" {self._plan.trials}, so that no {spared} loses one to what is enqueued"
            )
        if self._grid is not None and self._total < planned:
            found.append(
                f"grid: it ends after {counted(self._total, 'trial')} in all, as it has no more"
                f" points; search.trials is {planned}"
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
        # A book asks for them in order, so thousands of entries need not be held.
        for last in deque(islice(self._entries, number - self._planned), maxlen=1):
            self._planned, self._entry = last
        return self._entry

    def adapted(self, entry: Entry, trials: Iterable[FrozenTrial]) -> Entry:
        """Leave the learned params to the sampler if an earlier study has disappointed."""
        origin, goals, name = entry.attributes.get(LEARNED), self._plan.goals, self._scientific
        if origin is None or self._grid is not None or goals.several:
            return entry
        if not left_out(trials, scientific=name, defaults=self._defaults, sign=int(goals.sign)):
            return entry
        attributes = {**entry.attributes, LEARNED: {**origin, "left": True}}
        own = {one: value for one, value in entry.params.items() if one == name}
        return Entry(params=own, seed=entry.seed, attributes=attributes)

    def sampler(self, number: int) -> BaseSampler:
        """Return a sampler with a seed of its own, so that a resume repeats and skips nothing."""
        if self._grid is not None:  # its entries are complete
            return RandomSampler(seed=sampler_seed(self.search.seed, number))
        return self._create_sampler(number)

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """Let ``trial`` choose a point of the plan's space."""
        return suggest(self._plan.spec.space, trial)

    def may_prune(self, number: int) -> bool:
        """Exempt the default configuration of each choice: comparisons rest on it."""
        return number >= self._defaults

    def _trials_for_turns(self) -> int:
        """Return the trials that enqueued configurations need to leave each choice its turns."""
        plan, choice = self._plan, self._scientific
        known = [self._given[number] for number in sorted(self._was_enqueued)]
        known += [dict(one.params) for one in self._enqueued.values()]
        # The default, if there is one, has the first turn.
        own = max(0, plan.trials_per_choice - (self._defaults > 0))
        counts = Counter(params[choice] for params in known if choice in params)
        needed = plan.turns
        more = sum(max(0, count - own) for count in counts.values())
        more += len(known) - sum(counts.values())  # those whose choice the sampler proposes
        # A study that is shorter than all turns together promises none of them.
        return needed + more if needed <= plan.trials else 0

    def _begin(self) -> None:
        self._entries = enumerate(self._plan_entries())
        self._planned, self._entry = next(self._entries)

    def _create_sampler(self, number: int) -> BaseSampler:
        search = self._plan.settings.search
        seed = sampler_seed(self.search.seed, number)
        return create_sampler(search.sampler, search.sampler_options, self.search, seed=seed)

    def _plan_entries(self) -> Iterator[Entry]:
        plan, scientific = self._plan, self._plan.spec.scientific
        turns = list(range(plan.turns))
        grid = None if self._grid is None else list(self._points)
        for number in range(self._budget):
            attributes: dict[str, Any] = {}
            if number in self._enqueued or number in self._given:
                enqueued = self._enqueued.get(number)
                params = dict(enqueued.params) if enqueued else self._given[number]
                if enqueued is not None:
                    attributes[enqueued.attribute] = enqueued.source
                choice = params.get(scientific)
                # It takes one of the turns of its own choice, so that each choice still gets the
                # trials that the plan promises it.
                own = (t for t in turns if plan.required_params(t).get(scientific) == choice)
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
            seed = trial_seed(self.search.seed, number)
            yield Entry(params=params, seed=seed, attributes=attributes)


def _taken(grid: list[dict[str, Any]], required: Mapping[str, Any]) -> dict[str, Any]:
    """Take the first point of ``grid`` that has the required params, or else the first."""
    fits = (i for i, p in enumerate(grid) if all(p.get(n) == v for n, v in required.items()))
    return grid.pop(next(fits, 0))
