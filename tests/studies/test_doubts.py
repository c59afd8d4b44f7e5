"""What puts a result in doubt."""

import dataclasses
import random
from datetime import datetime
from statistics import stdev

import pytest
from optuna.trial import TrialState, create_trial
from test_protocol import run
from toy import SPACE, Toy, make_plan

from studies.analysis import stored_study
from studies.analysis.doubts import on_bound, pruner_would_stop_winner, seed_spread
from studies.analysis.holdout_record import HoldoutRecord
from studies.analysis.replay import Pruner
from studies.analysis.summary import summarize
from studies.core.attributes import WOULD_PRUNE
from studies.core.trials import TrialRecord
from studies.protocol import phases
from studies.report.table import markdown
from studies.report.warnings import warnings
from studies.search.optuna_bridge import to_distribution


@pytest.mark.parametrize(
    ("lr", "said"),
    [(0.001, "lower bound 0.001"), (0.99, "upper bound 1"), (0.03, ""), (0.0012, "")],
)
def test_on_bound_is_measured_on_the_parameters_own_scale(lr, said):
    best, other = ({"optim.name": "sgd", "sgd.lr": value} for value in (lr, 0.02))
    found = on_bound(SPACE, best, [best, other])
    assert bool(found) == bool(said) and said in "".join(found)


def record(number, value, params):
    return TrialRecord(
        number=number,
        state="COMPLETE",
        params=params,
        seed=number,
        value=value,
        curve={},
        metrics={},
        seconds=1.0,
    )


@pytest.mark.parametrize(("trials", "warned"), [(3, False), (9, True)])
def test_a_default_is_on_a_bound_only_if_the_search_compared_it(tmp_path, trials, warned):
    """With one trial for each choice only defaults run: nothing was searched."""
    plan = make_plan(tmp_path, trials=trials, seeds=2)
    defaults = {"sgd": {"sgd.lr": 1.0}, "adam": {"adam.lr": 1e-4}, "adagrad": {"adagrad.lr": 1e-4}}
    spec = dataclasses.replace(plan.spec, defaults=defaults)
    plan = dataclasses.replace(plan, spec=spec, trials_per_choice=1)
    made = [
        record(n, 0.9 - n / 100, params=spec.default_of(name)) for n, name in enumerate(defaults)
    ]
    for number in range(3, trials):
        name = spec.choices[number % 3]
        made.append(record(number, 0.5, params={"optim.name": name, f"{name}.lr": 0.02}))
    said = warnings(summarize(plan, made, [], HoldoutRecord()))
    assert any("on a bound" in line for line in said) == warned


@pytest.mark.parametrize(("seeds", "configurations"), [(0.01, 0.03), (0.03, 0.01)])
def test_seed_spread_finds_both_parts(seeds, configurations):
    draw = random.Random(0).gauss
    means = [draw(0.5, configurations) for _ in range(400)]
    found = seed_spread([[draw(mean, seeds) for _ in range(20)] for mean in means])
    assert found.seeds == pytest.approx(seeds, rel=0.1)
    assert found.configurations == pytest.approx(configurations, rel=0.2)
    assert found.dominates == (seeds > configurations)


def test_seed_spread_without_enough_says_nothing():
    assert seed_spread([[0.1, 0.2]] * 2) is None
    assert seed_spread([*[[0.1, 0.2]] * 2, [0.1]]) is None
    same = seed_spread([[0.1, 0.3]] * 4)
    assert same.seeds == pytest.approx(stdev([0.1, 0.3])) and same.configurations == 0


def trial(number, curve, *, choice="adam", state=TrialState.COMPLETE, **marks):
    params = {"optim.name": choice, f"{choice}.lr": 0.01}
    made = create_trial(
        state=state,
        value=curve[-1],
        params=params,
        distributions={name: to_distribution(SPACE.parameters[name]) for name in params},
        intermediate_values=dict(enumerate(curve, 1)),
        system_attrs=marks,
    )
    made.number = number
    return made


WINNER = {"optim.name": "adam", "adam.lr": 0.02}
PRUNER = {"pruner": "median", "pruner_options": {"n_startup_trials": 4, "n_warmup_steps": 0}}


def judged(tmp_path, curves, trials, search_trial=None, **search):
    return pruner_would_stop_winner(
        Pruner.of(make_plan(tmp_path, search=search or PRUNER)),
        WINNER,
        search_trial=search_trial,
        curves=[dict(enumerate(curve, 1)) for curve in curves],
        trials=trials,
    )


def test_a_winner_that_starts_slowly_would_be_stopped(tmp_path):
    trials = [trial(n, [0.5, 0.6, 0.7]) for n in range(5)]
    slow, fast = [0.1, 0.2, 0.9], [0.6, 0.7, 0.8]
    found = judged(tmp_path, [slow, fast, slow], trials)
    assert (found.pruner, found.stopped, found.of) == ("median", 2, 3)
    assert judged(tmp_path, [fast], trials) is None
    assert judged(tmp_path, [slow], trials, pruner="none") is None
    # At its last report a trial is over; and trials of other choices say nothing of this one.
    assert judged(tmp_path, [[0.6, 0.1]], trials) is None
    others = [trial(n, [0.5, 0.6, 0.7], choice="sgd") for n in range(5)]
    assert judged(tmp_path, [slow], others) is None


def test_a_winner_that_was_a_sentinel_is_said(tmp_path):
    trials = [trial(0, [0.1, 0.2, 0.9], **{WOULD_PRUNE: 2})]
    found = judged(tmp_path, [[0.6, 0.7]], trials, search_trial=0)
    assert (found.stopped, found.sentinel_step) == (0, 2)


class Late(Toy):
    """What is best at last is worst before."""

    def __call__(self, task, report):
        outcome = super().__call__(task, lambda step, metrics: None)
        value = outcome.metrics["val_accuracy"]
        for step in (1, 2, 3):
            report(step, {"val_accuracy": value if step == 3 else 1 - value})
        return outcome


def test_warnings_reach_the_report(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    search = {"pruner": "median", "pruner_options": {"n_startup_trials": 1, "n_warmup_steps": 0}}
    plan = make_plan(tmp_path, trials=24, search={**search, "sentinels": 0.9})
    result = run(plan, toy=Late(noise=0.0))
    said = [line for line in warnings(result) if "median pruner would have stopped" in line]
    assert said and all(line in markdown(result) for line in said)
    assert stored_study.read(plan).result.pruner_stops_winner == result.pruner_stops_winner


def test_seeds_that_decide_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    monkeypatch.setattr("toy.TOP", {"sgd": 0.7, "adam": 0.7, "adagrad": 0.7})
    plan = make_plan(tmp_path, trials=12, seeds=8, search={"pruner": "none"})
    result = run(plan, toy=Toy(noise=0.2))
    assert any(line.startswith("seeds decide more than ") for line in warnings(result))
    calm = run(make_plan(tmp_path / "calm", trials=12, seeds=8), toy=Toy(noise=0.0001))
    assert not any("seeds decide" in line for line in warnings(calm))


def test_a_pruner_is_shown_what_it_could_know_when_the_winner_ran(tmp_path):
    """Trials that came later, and were tuned better, would not have stopped it."""
    slow, fast = [0.1, 0.2, 0.9], [0.5, 0.6, 0.7]
    mine = trial(0, slow)
    later = [trial(n, fast) for n in range(1, 6)]
    for one in (mine, *later):
        one.datetime_complete = datetime(2026, 1, 1, 12, one.number)
    assert judged(tmp_path, [slow], [mine, *later], search_trial=0) is None
    mine.datetime_complete = datetime(2026, 1, 1, 13)
    assert judged(tmp_path, [slow], [mine, *later], search_trial=0).stopped == 1
