"""The record of a population (population based training, Jaderberg et al. 2017, arXiv:1711.09846).

The trials of such a search are its *members*. After each generation some of them continue from the
state of a better one, with other hyperparameters. Each member still equals one training. Its
*lineage* is the params and seed of the first member, and the changes since. So the record of
copies is enough to train any member again (``mnist_core/changes.py``)::

    {"members": 8, "interval": 2, …, "generations": [
        {"step": 2, "values": {"0": 0.91, …},
         "copies": [{"member": 3, "source": 5, "params": {"optim.lr": 0.002, …}, "lineage": …}]}]}
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from mnist_core.errors import ConfigError, UserError
from objectives.adapter import Adapter
from objectives.base import CHANGES, Task
from search_spaces.space import Float, Space
from studies.core.attributes import LINEAGE, POPULATION, SCHEDULE
from studies.core.trials import TrialRecord
from studies.planning.plan import Plan
from studies.planning.settings import Settings, StopSettings


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """The one training that a member equals.

    Attributes:
        params: at the start; a point of the space.
        seed: of the training.
        changes: since then, as the setting ``changes`` takes them.
    """

    params: Mapping[str, Any]
    seed: int
    changes: Sequence[Mapping[str, Any]] = ()

    def task(self, task: Task) -> Task:
        """Return the task that trains the member of ``task``."""
        params = dict(self.params)
        if self.changes:
            params[CHANGES] = [dict(change) for change in self.changes]
        return replace(task, params=params, seed=self.seed)

    def now(self, space: Space) -> dict[str, Any]:
        """Return the params after the last change."""
        changed: dict[str, Any] = {}
        for change in self.changes:
            changed |= change
        return {
            name: changed.get(space.setting(name), value) for name, value in self.params.items()
        }

    def changed(self, space: Space, epoch: int, params: Mapping[str, Any]) -> "Lineage":
        """Return the lineage that continues with other ``params`` after ``epoch`` epochs."""
        change = {"epoch": epoch, **{space.setting(name): v for name, v in params.items()}}
        return replace(self, changes=[*self.changes, change])


def check_kind(study: str, attributes: Mapping[str, Any], settings: Settings) -> None:
    """Raise a ConfigError if a population would continue as single trials."""
    if POPULATION in attributes and not settings.population:
        raise ConfigError(
            f"engine.ray.scheduler: the trials of study {study} are the members of a"
            f" population; set it back to pbt, but got {settings.engine.ray.scheduler}"
        )


class Population:
    """The copies between members, and what each member is now.

    Args:
        settings: what must stay the same in all runs.
        record: of earlier runs, as it is kept with the study; None: there are none.

    Raises:
        UserError: if the earlier runs had other settings.
    """

    def __init__(
        self, space: Space, settings: Mapping[str, Any], record: Mapping[str, Any] | None
    ) -> None:
        self.space = space
        self._settings = dict(settings)
        self.generations: list[dict[str, Any]] = []
        self._lineages: dict[int, Lineage] = {}
        self._copies: list[dict[str, Any]] = []
        if record is None:
            return
        # Members of one generation are compared, so all must have had the same rules.
        for name, value in self._settings.items():
            if record.get(name) != value:
                raise UserError(
                    f"the population of this study was started with {name} = {record.get(name)},"
                    f" but it is {value} now; set it back, or start again (--fresh)"
                )
        self.generations = [dict(one) for one in record["generations"]]
        for generation in self.generations:
            for copy in generation["copies"]:
                self._lineages[copy["member"]] = Lineage(**copy[LINEAGE])

    @property
    def step(self) -> int:
        """The report at which the last generation ended; 0: no generation has."""
        return int(self.generations[-1]["step"]) if self.generations else 0

    def record(self) -> dict[str, Any]:
        """Return what is kept with the study."""
        return {**self._settings, "generations": self.generations}

    def join(self, task: Task) -> Lineage:
        """Return the lineage of the member of ``task``: its own if it has not copied another."""
        started = Lineage(params=dict(task.params), seed=task.seed)
        return self._lineages.setdefault(task.number, started)

    def now(self, member: int) -> dict[str, Any]:
        """Return the present params of ``member``, which has joined."""
        return self._lineages[member].now(self.space)

    def copy(self, member: int, source: int, *, epoch: int, params: Mapping[str, Any]) -> Lineage:
        """Have ``member`` continue from ``source`` with ``params`` after ``epoch`` epochs."""
        # The source itself does not copy in this generation.
        lineage = self._lineages[source].changed(self.space, epoch, params)
        self._lineages[member] = lineage
        copied = {"member": member, "source": source, "params": dict(params)}
        self._copies.append({**copied, LINEAGE: asdict(lineage)})
        return lineage

    def end_generation(self, step: int, values: Mapping[int, float]) -> list[dict[str, Any]]:
        """Enter the copies since the last generation into the record; return them."""
        copies, self._copies = self._copies, []
        named = {str(number): value for number, value in sorted(values.items())}
        self.generations.append({"step": step, "values": named, "copies": copies})
        return copies

    def attributes(self, task: Task, *, reports_per_epoch: int) -> dict[str, Any]:
        """Return what is kept with a finished member."""
        schedule: list[dict[str, Any]] = [{"epoch": 0, "params": dict(task.params)}]
        for generation in self.generations:
            for copy in generation["copies"]:
                if copy["member"] == task.number:
                    epoch = generation["step"] // reports_per_epoch
                    params = Lineage(**copy[LINEAGE]).now(self.space)
                    schedule.append({"epoch": epoch, "source": copy["source"], "params": params})
        kept: dict[str, Any] = {SCHEDULE: schedule}
        lineage = self._lineages[task.number]
        return {**kept, LINEAGE: asdict(lineage)} if lineage.changes else kept


def configuration(record: TrialRecord) -> dict[str, Any]:
    """Return the params that train the model of ``record`` in one run, changes among them."""
    lineage = record.attributes.get(LINEAGE)
    if lineage is None:
        return dict(record.params)
    return {**lineage["params"], CHANGES: lineage["changes"]}


def as_one_training(record: TrialRecord) -> TrialRecord:
    """Return ``record`` with the params and seed that train its model in one run."""
    lineage = record.attributes.get(LINEAGE)
    seed = record.seed if lineage is None else int(lineage["seed"])
    return replace(record, params=configuration(record), seed=seed)


def stages(record: TrialRecord, space: Space) -> list[tuple[int, dict[str, Any]]]:
    """Return the params of the training of ``record``, by the epoch from which they applied."""
    kept = record.attributes.get(LINEAGE)
    if kept is None:
        return [(0, dict(record.params))]
    lineage = Lineage(**kept)
    found = [(0, dict(lineage.params))]
    for count, change in enumerate(lineage.changes, start=1):
        so_far = replace(lineage, changes=lineage.changes[:count])
        found.append((int(change["epoch"]), so_far.now(space)))
    return found


def members(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Return the records of finished members of a population."""
    return [record for record in records if SCHEDULE in record.attributes]


def perturbed(space: Space) -> dict[str, Float]:
    """Return the parameters that a member changes when it copies another one, by name."""
    return {name: p for name, p in space.parameters.items() if isinstance(p, Float)}


def check_population(plan: Plan) -> None:
    """Refuse what a population cannot do; other studies pass.

    Raises:
        ConfigError: if a parameter cannot change midway, or a setting would have no effect.
    """
    spec, settings, adapter = plan.spec, plan.settings, plan.adapter
    if not settings.population:
        return
    if settings.engine.name != "ray":
        raise ConfigError(
            f"study {plan.name}: a population (engine.ray.scheduler = pbt) is run by Ray Tune"
            f" alone; use --engine ray, but got {settings.engine.name}"
        )
    if not adapter.changeable:
        raise ConfigError(
            f"engine.ray.scheduler: pbt continues trainings from their saved states, but objective"
            f" {spec.label} is not a trainer; use book or asha"
        )
    if len(spec.choices) > 1:
        raise ConfigError(
            f"engine.ray.scheduler: pbt copies states from member to member, so {spec.scientific}"
            f" must have one choice, but study {plan.name} compares {len(spec.choices)}; make a"
            " study of each"
        )
    for name, parameter in spec.space.parameters.items():
        if name == spec.scientific:
            continue
        setting = spec.space.setting(name)
        plain = isinstance(parameter, Float) and parameter.step is None and parameter.when is None
        if not plain or setting not in adapter.changeable:
            raise ConfigError(
                f"engine.ray.scheduler: pbt changes hyperparameters midway, which {name} cannot;"
                " a Float without step and condition of one of these can:"
                f" {', '.join(adapter.changeable)}"
            )
    _check_settings(settings, adapter)
    if plan.trials_complete:
        raise ConfigError(
            "search.trials_complete: a population has search.trials members, which all run to the"
            " end; leave it out"
        )
    if plan.trials < 2:
        raise ConfigError(f"search.trials: a population has 2 members or more, not {plan.trials}")


def _check_settings(settings: Settings, adapter: Adapter) -> None:
    search, interval = settings.search, settings.engine.ray.pbt_interval
    wanted = {
        "search.pruner": (search.pruner, "none"),
        "search.sentinels": (search.sentinels, 0.0),
        "search.order": (search.order, "async"),
        **{
            f"search.stop.{name}": (getattr(search.stop, name), getattr(StopSettings(), name))
            for name in ("seconds", "epochs", "target", "patience", "regret")
        },
        "search.objectives": (search.objectives, {}),
        "search.constraints": (search.constraints, {}),
        "engine.trial_seconds": (settings.engine.trial_seconds, 0.0),
        **{f"train.{name}": (value, None) for name, value in adapter.midway().items()},
    }
    for name, (found, needed) in wanted.items():
        if found != needed:
            raise ConfigError(
                f"{name}: a population runs as a whole, to its end, so it must be"
                f" {needed or 'unset'}, but got {found}"
            )
    if interval >= adapter.epochs:
        raise ConfigError(
            f"engine.ray.pbt_interval: must be below the {adapter.epochs:g} epochs of a training,"
            f" but got {interval}"
        )
