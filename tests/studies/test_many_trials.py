"""What TPE is shown of more trials than it can look at."""

import math

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from search_spaces.space import Float, Space
from studies.search import study_views
from studies.search.samplers import Search, create_sampler
from studies.search.study_views import tpe_view, windowed

MINIMIZE, MAXIMIZE = [StudyDirection.MINIMIZE], [StudyDirection.MAXIMIZE]
KINDS = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.WAITING)


def made(state, value=0.0):
    x = FloatDistribution(0, 1)
    ended = state.is_finished()
    return create_trial(
        state=state,
        value=value if state is TrialState.COMPLETE else None,
        params={"x": 0.5} if ended else {},
        distributions={"x": x} if ended else {},
    )


@settings(max_examples=50, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=120),
    values=st.lists(st.integers(0, 9), min_size=120, max_size=120),
    directions=st.sampled_from([MINIMIZE, MAXIMIZE]),
)
def test_the_best_and_the_latest_are_shown(kinds, values, directions):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_views, "WINDOW", 30)
        trials = [made(kind, float(value)) for kind, value in zip(kinds, values, strict=False)]
        shown = windowed(trials, directions)
    places = [next(i for i, one in enumerate(trials) if one is seen) for seen in shown]
    assert places == sorted(places)
    ended = [i for i, one in enumerate(trials) if one.state.is_finished()]
    good = [i for i in ended if trials[i].state is TrialState.COMPLETE]
    sign = 1 if directions is MINIMIZE else -1
    best = sorted(good, key=lambda i: (sign * trials[i].value, i))[:25]
    everything = len(ended) <= 30 or len(good) < 25
    gone = set() if everything else set(ended[:-30]) - set(best)
    assert set(places) == set(range(len(trials))) - gone


def test_with_several_objectives_all_are_shown():
    trials = [made(TrialState.COMPLETE, float(i)) for i in range(study_views.WINDOW + 50)]
    assert windowed(trials, [*MINIMIZE, *MAXIMIZE]) is trials
    assert len(tpe_view(trials, MINIMIZE)) == study_views.WINDOW + 25


@pytest.mark.parametrize("startup", [10, study_views.WINDOW + 80])
def test_random_trials_that_are_asked_for_come_to_an_end(startup):
    search = Search(space=Space({"x": Float(0.0, 1.0)}), scientific="", trials=2000)
    sampler = create_sampler("tpe", {"n_startup_trials": startup}, search, seed=0)
    study = optuna.create_study(sampler=sampler)
    count = study_views.WINDOW + 90
    study.add_trials([made(TrialState.COMPLETE, float(i)) for i in range(count)])
    shown = sampler.view(study, study.ask()).get_trials(deepcopy=False)
    assert sum(trial.state.is_finished() for trial in shown) >= startup
    assert (len(shown) > count) == (startup > study_views.WINDOW)


def regret(window, seed, *, trials=220):
    """Return the log of how far TPE comes from the least value of a bowl in four dimensions."""

    def value(trial):
        return sum((trial.suggest_float(f"x{i}", 0, 1) - 0.3 - i / 10) ** 2 for i in range(4))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_views, "WINDOW", window)
        # As at a full window, TPE takes equally many for good with and without it.
        sampler = optuna.samplers.TPESampler(seed=seed, gamma=lambda n: min(math.ceil(n / 10), 8))
        study = optuna.create_study(sampler=study_views.TpeViewSampler(sampler))
        study.optimize(value, n_trials=trials)
    return math.log10(study.best_value)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:`gamma` has been deprecated:FutureWarning")
def test_a_window_does_not_hurt():
    few, all_of_them = ([regret(window, seed) for seed in range(6)] for window in (60, 10_000))
    assert sum(few) / 6 < sum(all_of_them) / 6 + 0.3
