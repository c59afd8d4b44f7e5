"""One set of coordinates for all branches, and values as a Gaussian process can take them."""

import math
import random

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search_spaces.space import Choice, Float, Int, Space, When
from studies import catalog
from studies.search.aligned import Aligned
from studies.search.branches import Search
from studies.search.optuna_bridge import suggest
from studies.search.samplers import create_sampler
from studies.search.warping import half_ranked

SPACE = Space(
    {
        "kind": Choice(("a", "b", "c")),
        "a.lr": Float(1e-3, 1.0, log=True, sets="lr", when=When("kind", ("a",))),
        "b.lr": Float(1e-5, 1e-1, log=True, sets="lr", when=When("kind", ("b",))),
        "b.momentum": Float(0.8, 0.98, when=When("kind", ("b",))),
        "c.beta": Float(0.5, 0.9, step=0.1, when=When("kind", ("c",))),
        "c.depth": Int(1, 4, when=When("kind", ("c",))),
        "decay": Choice((0.1, 0.0, 0.01)),
        "schedule": Choice(("flat", "falling")),
    }
)
ALIGNED = Aligned(SPACE, "kind")


def drawn(space, seed):
    return suggest(
        space, optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed)).ask()
    )


def test_parameters_that_never_exist_together_share_a_coordinate():
    assert ALIGNED.coordinates == {
        "kind": CategoricalDistribution((0, 1, 2)),
        "a.lr": FloatDistribution(0.0, 1.0),  # also b's, and c's beta
        "b.momentum": FloatDistribution(0.0, 1.0),  # also c's depth
        "decay": IntDistribution(0, 2),  # a rank: 0.0, 0.01, 0.1
        "schedule": CategoricalDistribution((0, 1)),
    }
    chance = np.random.default_rng(0)
    low = ALIGNED.place({"kind": "a", "a.lr": 1e-3, "decay": 0.1, "schedule": "flat"}, chance)
    top = ALIGNED.place(
        {"kind": "b", "b.lr": 1e-1, "b.momentum": 0.89, "decay": 0.0, "schedule": "falling"}, chance
    )
    assert (low["kind"], low["a.lr"], low["decay"], low["schedule"]) == (0, 0.0, 2, 0)
    assert (top["a.lr"], top["decay"]) == (pytest.approx(1.0), 0)
    assert top["b.momentum"] == pytest.approx(0.5)


@pytest.mark.parametrize("space", [SPACE, catalog.get("optim_search").space])
def test_every_point_is_found_again(space):
    scientific = next(iter(space.parameters))
    aligned = Aligned(space, scientific)
    for seed in range(40):
        params = drawn(space, seed)
        point = aligned.place(params, np.random.default_rng(seed))
        assert set(point) == set(aligned.coordinates)
        again = aligned.params(point)
        space.check(again)
        assert again == {
            name: pytest.approx(v) if isinstance(v, float) else v for name, v in params.items()
        }


@pytest.mark.parametrize("name", catalog.names())
def test_any_coordinates_are_a_point_of_every_space(name):
    spec = catalog.get(name)
    aligned, chance = Aligned(spec.space, spec.scientific), random.Random(0)
    for _ in range(10):
        point = {
            key: chance.choice(one.choices)
            if isinstance(one, CategoricalDistribution)
            else chance.randint(0, one.high)
            if isinstance(one, IntDistribution)
            else chance.random()
            for key, one in aligned.coordinates.items()
        }
        spec.space.check(aligned.params(point))


def test_a_trial_without_a_whole_point_is_not_seen():
    trial = create_trial(
        params={"kind": "a"}, distributions={"kind": CategoricalDistribution("abc")}, value=1.0
    )
    assert ALIGNED.seen(trial, 0) is None


def trials(values, states=()):
    found = [create_trial(value=value) for value in values]
    found += [create_trial(state=state, value=None) for state in states]
    return found


def warped(values, direction=StudyDirection.MAXIMIZE):
    return [trial.value for trial in half_ranked(trials(values), [direction])]


def test_the_better_half_stays_and_the_worse_keeps_its_order():
    values = [0.11, 0.98, 0.97, 0.5, 0.985, 0.96]
    found = warped(values)
    assert [found[at] for at in (1, 2, 4)] == [0.98, 0.97, 0.985]
    assert np.argsort(found).tolist() == np.argsort(values).tolist()
    # The collapsed training, .11, comes near the good ones, so it does not decide the model.
    assert min(found) > 0.9


def test_both_directions_are_alike():
    values = [0.11, 0.98, 0.97, 0.5, 0.985, 0.96]
    turned = warped([-value for value in values], StudyDirection.MINIMIZE)
    assert turned == pytest.approx([-value for value in warped(values)])


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0]])
def test_values_without_a_scale_stay(values):
    assert warped(values) == values


def test_trials_without_a_value_stay():
    found = half_ranked(trials([1.0, 2.0, 3.0], [TrialState.FAIL]), [StudyDirection.MAXIMIZE])
    assert [one.value for one in found][1:] == [2.0, 3.0, None]
    assert found[0].value < 2.0


def test_several_objectives_are_left_alone():
    both = [create_trial(values=[value, 1.0]) for value in (0.0, 5.0, 6.0)]
    assert half_ranked(both, [StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE]) == both


def test_gp_learns_in_one_branch_what_holds_in_all():
    """Nine branches have their best rate at the same place; 20 trials find it."""
    names = tuple("abcdefghi")
    space = Space(
        {
            "kind": Choice(names),
            **{
                f"{n}.lr": Float(0.0, 1.0 + at, sets="lr", when=When("kind", (n,)))
                for at, n in enumerate(names)
            },
        }
    )
    search = Search(space=space, scientific="kind", trials=20)
    study = optuna.create_study()
    late = []
    for number in range(20):
        study.sampler = create_sampler("gp", {}, search, seed=number)
        trial = study.ask()
        params = suggest(space, trial)
        at = names.index(params["kind"])
        loss = abs(params[f"{params['kind']}.lr"] / (1 + at) - 0.3)
        study.tell(trial, loss)
        late.append(loss)
    assert math.fsum(late[12:]) / 8 < 0.15  # random: 0.29
