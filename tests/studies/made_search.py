"""Whole studies of any size, made up and written at once: for what reads them."""

import math
import random
from datetime import datetime, timedelta

import optuna
from optuna.trial import FrozenTrial, TrialState

from search_spaces.space import Choice, Int
from studies.analysis.candidates import candidates
from studies.analysis.holdout_record import HoldoutRecord
from studies.core.attributes import CONFIRM, ENVIRONMENT, RECORD, TEST
from studies.core.seeds import confirm_seeds
from studies.core.trials import TrialRecord
from studies.planning.fingerprint import check_fingerprint
from studies.planning.recorded import plan_attribute
from studies.protocol.confirm import Rules
from studies.search.optuna_bridge import to_distribution
from studies.storage.journal import Journal
from studies.storage.open import close_storage, open_storage
from studies.storage.records import read_trials
from studies.storage.sql_writing import insert_trials

BEGIN = datetime(2026, 1, 1)
STEPS = 6


def write_study(
    plan, trials, *, seed=0, shift=0.0, device="cpu", failed=0.02, pruned=0.3, complete=None
):
    """Write a finished study of ``trials`` search trials to the plan's storage.

    Args:
        plan: has the space and the place.
        trials: of the search.
        seed: of what is made up.
        shift: added to every value.
        device: that the trainings name.
        failed: share of failed trials.
        pruned: share of pruned ones.
        complete: further attributes of those that ran to their end.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    plan.folder.mkdir(parents=True, exist_ok=True)
    storage = open_storage(plan.storage_url, create=True)
    try:
        search = _create(plan, storage, plan.name)
        search.set_user_attr(RECORD, plan_attribute(plan))
        made = _Made(plan, seed, shift, device, complete)
        for number in range(trials):
            made.search_trial(number, failed, pruned)
        _insert(storage, search, made.trials)
        front = plan.settings.confirm.front
        found = read_trials(search)
        chosen = candidates(plan.spec, plan.goals, found, front=front, top=plan.top)
        confirm = _create(plan, storage, f"{plan.name}{CONFIRM}")
        confirmed = _Made(plan, seed + 1, shift, device, complete)
        seeds = confirm_seeds(plan.settings.search.seed, plan.confirm_seeds)
        rules = Rules(plan.spec, seeds, chosen, racing=False)
        # The leaders are known once all have ended on the first seeds.
        for _ in range(2):
            held = {record.attributes["entry"] for record in confirmed.records()}
            for entry in rules.due(confirmed.records()):
                if entry.identity not in held:
                    confirmed.add(
                        dict(entry.params),
                        entry.seed,
                        label=entry.attributes["label"],
                        entry=entry.identity,
                    )
        _insert(storage, confirm, confirmed.trials)
        values = {
            trial.number: {"test_accuracy": trial.values[0], "test_loss": 0.1}
            for trial in confirmed.trials
        }
        reading = HoldoutRecord().started("2026-01-02T00:00:00+00:00", values).ended(values)
        confirm.set_user_attr(TEST, reading.to_attribute())
        confirm.set_user_attr(
            ENVIRONMENT,
            {"versions": {"torch": "2"}, "data": {"fingerprint": plan.data_fingerprint}},
        )
    finally:
        close_storage(storage)


def _create(plan, storage, name):
    directions = plan.goals.directions
    study = optuna.create_study(study_name=name, storage=storage, directions=directions)
    check_fingerprint(study, plan.fingerprint())
    return study


def _insert(storage, study, trials):
    if isinstance(storage, Journal):
        for trial in trials:
            storage.create_new_trial(study._study_id, trial)
        return
    with storage.engine.begin() as connection:
        insert_trials(connection, study._study_id, trials)


class _Made:
    def __init__(self, plan, seed, shift, device, complete):
        self.trials = []
        self._plan, self._seed, self._shift, self._device = plan, seed, shift, device
        self._complete = complete or {}
        self._space = plan.spec.space
        self._random = random.Random(seed)
        self._kinds = {name: to_distribution(p) for name, p in self._space.parameters.items()}

    def records(self):
        return [
            TrialRecord(
                number=trial.number,
                state=trial.state.name,
                params=trial.params,
                seed=trial.user_attrs["seed"],
                value=trial.values[0],
                curve={},
                metrics=trial.user_attrs["metrics"],
                seconds=None,
                attributes=trial.user_attrs,
            )
            for trial in self.trials
        ]

    def search_trial(self, number, failed, pruned):
        defaults = [self._plan.spec.default_of(choice) for choice in self._plan.spec.choices]
        if number < len(defaults):
            self.add(defaults[number], number)
            return
        luck = self._random.random()
        steps = self._random.randint(1, STEPS - 1) if luck < failed + pruned else STEPS
        state = TrialState.FAIL if luck < failed else TrialState.PRUNED
        self.add(
            self._space.walk(self._draw),
            number,
            steps,
            TrialState.COMPLETE if steps == STEPS else state,
        )

    def add(self, params, seed, steps=STEPS, state=TrialState.COMPLETE, **attributes):
        number = len(self.trials)
        curve = self._curve(params, seed)[:steps]
        begin = BEGIN + timedelta(seconds=2 * number)
        attributes |= {"seed": seed, "seconds": 0.6 * steps, "device": self._device}
        attributes |= {"attempt": 0, "precision": "fp32", "threads": 1, "n_parameters": 225034}
        if state is TrialState.FAIL:
            attributes["failure"] = {
                "kind": "NonFiniteLoss",
                "message": "the loss is nan",
                "traceback": "",
            }
        else:
            attributes["metrics"] = {"val_accuracy": curve[-1], "val_loss": 1 - curve[-1]}
            right = round(100 * curve[-1])
            attributes["confusion"] = [[right, 100 - right], [1, 99]]
            if state is TrialState.COMPLETE:
                attributes |= self._complete
        self.trials.append(
            FrozenTrial(
                number=number,
                trial_id=number,
                state=state,
                value=None,
                values=self._values(curve[-1]) if state is not TrialState.FAIL else None,
                datetime_start=begin,
                datetime_complete=begin + timedelta(seconds=0.6 * steps),
                params=params,
                distributions={name: self._kinds[name] for name in params},
                user_attrs=attributes,
                system_attrs={},
                intermediate_values=dict(enumerate(curve, start=1)),
            )
        )

    def _values(self, value):
        """The metric; further objectives are made up, better where it is worse."""
        more = len(self._plan.goals.names) - 1
        return [value, *(round(1e5 * value * self._random.random()) for _ in range(more))]

    def _draw(self, name, parameter):
        if isinstance(parameter, Choice):
            return self._random.choice(parameter.choices)
        low, high = parameter.low, parameter.high
        if parameter.log:
            value = math.exp(self._random.uniform(math.log(low), math.log(high)))
        else:
            value = self._random.uniform(low, high)
        if parameter.step:
            value = low + parameter.step * round((value - low) / parameter.step)
        value = min(high, max(low, value))
        return round(value) if isinstance(parameter, Int) else value

    def _curve(self, params, seed):
        noise = random.Random(f"{seed} {sorted(map(str, params.items()))}")
        lost = 0.01 * sum(len(str(value)) % 5 for value in params.values())
        for name, value in params.items():
            parameter = self._space.parameters[name]
            if getattr(parameter, "log", False):
                middle = math.log(parameter.low * parameter.high) / 2
                lost += 0.01 * (math.log(value) - middle) ** 2
        top = max(0.1, 0.99 - lost + noise.gauss(0, 0.002)) + self._shift
        return [round(min(1.0, top * (1 - 0.3 / step**2)), 3) for step in range(1, STEPS + 1)]
