"""How much an earlier study is trusted: properties of the agreement and of the scores."""

import math
import random

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from toy import SPACE, SPEC

from studies.search.earlier import EarlierStudy, EarlierTrial, second_trials
from studies.search.guides import guides, weights
from studies.search.learned_trials import LearnedTrials
from studies.search.optuna_bridge import suggest, to_distribution
from studies.search.sampler_kinds import SAMPLERS
from studies.search.samplers import Search, create_sampler
from studies.search.scores import normal_scores

MAXIMIZE = StudyDirection.MAXIMIZE
NAMES = ("optim.name",)


def point(chance):
    name = chance.choice(SPEC.choices)
    low, high = SPACE.parameters[f"{name}.lr"].low, SPACE.parameters[f"{name}.lr"].high
    return {"optim.name": name, f"{name}.lr": low * (high / low) ** chance.random()}


def place(params):
    [lr] = [value for name, value in params.items() if name != "optim.name"]
    return math.log10(lr)


def earlier(seed, value, count=30):
    chance = random.Random(seed)
    points = [point(chance) for _ in range(count)]
    trials = [
        EarlierTrial(number=n, params=p, value=value(p), full=True) for n, p in enumerate(points)
    ]
    return EarlierStudy(study="before", identity="", left=0, trials=trials)


def trials_of(seed, value, count=24):
    chance = random.Random(seed)
    found = []
    for number in range(count):
        params = point(chance)
        trial = create_trial(
            state=TrialState.COMPLETE,
            params=params,
            distributions={n: to_distribution(SPACE.parameters[n]) for n in params},
            value=value(params),
        )
        trial.number = number
        found.append(trial)
    return found


def weight(study, trials, direction=MAXIMIZE):
    return weights(guides([study], SPACE, NAMES), trials, direction, 3)[0]


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_the_same_order_is_trusted_and_the_opposite_or_nothing_is_not(seed):
    study = earlier(seed, place)
    assert weight(study, trials_of(seed + 1, place)) > 0.6
    assert weight(study, trials_of(seed + 1, lambda params: -place(params))) == 0
    assert weight(study, []) == 0
    assert weight(study, trials_of(seed + 1, place, 3)) == 0, "the defaults do not count"
    falling = trials_of(seed + 1, lambda params: -place(params))
    assert weight(study, falling, StudyDirection.MINIMIZE) > 0.6


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_unrelated_values_are_hardly_trusted(seed):
    chance = random.Random(seed)
    noise = [
        weight(earlier(seed + n, lambda _: chance.random()), trials_of(seed + n, place))
        for n in range(5)
    ]
    assert all(0 <= one <= 1 for one in noise) and sum(noise) / 5 < 0.6


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(-5, 5)), max_size=30))
def test_scores_follow_the_ranks_in_each_group(values):
    scores = normal_scores({n: (group, float(value)) for n, (group, value) in enumerate(values)})
    for one, (group, value) in enumerate(values):
        for other, (other_group, other_value) in enumerate(values):
            if group == other_group:
                assert (scores[one] < scores[other]) == (value < other_value)


@given(seed=st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_second_trials_are_the_best_of_each_choice(seed):
    study = earlier(seed, place)
    found = second_trials([study, earlier(seed + 1, place, 4)], SPACE, "optim.name", SPEC.choices)
    for one in found:
        SPACE.check(one.params)
        own = [t for t in study.trials if t.params["optim.name"] == one.params["optim.name"]]
        if len(own) > 4:
            assert place(one.params) == max(place(t.params) for t in own)
    assert len({one.params["optim.name"] for one in found}) == len(found)


def test_a_sampler_is_shown_as_many_as_the_weight_says():
    study = earlier(1, place)
    shown = LearnedTrials(space=SPACE, guides=guides([study], SPACE, NAMES), defaults=3)
    assert shown.shown(trials_of(2, lambda params: -place(params)), [MAXIMIZE]) == []
    assert shown.shown(trials_of(2, place), [MAXIMIZE, MAXIMIZE]) == []
    own = trials_of(2, place)
    found = shown.shown(own, [MAXIMIZE])
    assert 15 < len(found) <= 30 and all(trial.number < 0 for trial in found)
    values = [trial.values[0] for trial in found]
    assert min(t.value for t in own) <= min(values) and max(values) <= max(t.value for t in own)
    assert values == sorted(values)
    assert LearnedTrials(space=SPACE).shown(own, [MAXIMIZE]) == []


@pytest.mark.parametrize("name", ["tpe", "screen", "gp", "nsga2", "random", "qmc", "cmaes"])
def test_samplers_take_it_or_leave_it(name):
    def proposals(value):
        search = Search(
            space=SPACE,
            scientific="optim.name",
            trials=30,
            guides=guides([earlier(1, value)] if value else [], SPACE, NAMES),
            defaults=3,
        )
        study, found = optuna.create_study(direction="maximize"), []
        for trial in trials_of(3, place, 14):
            study.add_trial(trial)
        for number in range(3):
            study.sampler = create_sampler(name, {}, search, seed=number)
            study.enqueue_trial({"optim.name": "adam"})
            found.append(suggest(SPACE, trial := study.ask()))
            study.tell(trial, place(found[-1]))
        return found

    kind = SAMPLERS[name]
    alone = proposals(None)
    assert proposals(lambda params: -place(params)) == alone, "no agreement, no weight"
    changed = proposals(place) != alone
    assert not changed or kind.learns_imported or kind.screens
    assert changed or name not in ("tpe", "gp")
