"""The virtual time of benchmarks/search.py: small searches whose course is known exactly."""

import importlib
import math
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.pruners import MedianPruner, NopPruner
from optuna.samplers import RandomSampler, TPESampler
from test_faults import BENCHMARKS

from objectives.base import Task
from search_spaces.space import Choice, Float, Space, When
from studies import catalog

SPACE = Space(
    {
        "kind": Choice(("a", "b")),
        "x": Float(1e-4, 1.0, log=True, when=When("kind", ("a",))),
        "y": Float(0.0, 10.0, when=When("kind", ("b",))),
        "decay": Choice((0.0, 0.1, 0.2), when=When("kind", ("b",))),
        "plan": Choice(("flat", "steep")),
    }
)
ROWS = [
    ({"kind": "a", "x": 1e-4, "plan": "flat"}, (0.1, 0.2, 0.3)),
    ({"kind": "a", "x": 1.0, "plan": "flat"}, (0.2, 0.3, 0.9)),
    ({"kind": "a", "x": 1.0, "plan": "steep"}, (0.3, 0.4, 0.5)),
    ({"kind": "b", "y": 0.0, "decay": 0.0, "plan": "flat"}, (0.4, 0.5, 0.6)),
    ({"kind": "b", "y": 10.0, "decay": 0.2, "plan": "flat"}, (0.5,)),
]


@pytest.fixture(scope="module")
def of():
    """The benchmark's modules."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        names = ("loop", "methods", "statistic", "table")
        found = {name: importlib.import_module(f"simulated.{name}") for name in names}
        yield SimpleNamespace(search=importlib.import_module("search"), **found)


@pytest.fixture(scope="module")
def table(of):
    rows = [of.table.Recorded(params=params, curve=curve) for params, curve in ROWS]
    return of.table.Table(SPACE, "kind", 3, rows, {"why": "a test"})


@pytest.fixture(scope="module")
def recorded(of):
    spec = catalog.get(of.search.STUDY)
    return of.table.load(of.search.TABLE, spec.space, spec.scientific)


class Listed:
    """Hands out listed params; stops a training after the report ``stop`` names for it."""

    def __init__(self, params, stop=None):
        self.params, self.stop, self.ends = list(params), stop or {}, []
        self.begun = 0

    def ask(self):
        if self.begun == len(self.params):
            return None
        self.begun += 1
        return Task(number=self.begun - 1, params=self.params[self.begun - 1], seed=0)

    def started(self, task, pid):
        pass

    def report(self, task, step, metrics):
        return self.stop.get(task.number) != step

    def flush(self):
        pass

    def finish(self, task, outcome):
        self.ends.append((task.number, "stopped" if outcome.stopped else outcome.metrics))

    def fail(self, task, failure):
        self.ends.append((task.number, failure.kind))


@pytest.mark.parametrize(
    ("params", "row"),
    [
        ({"kind": "a", "x": 0.009, "plan": "flat"}, 0),  # the middle of the range is 0.01
        ({"kind": "a", "x": 0.011, "plan": "flat"}, 1),
        ({"kind": "a", "x": 0.011, "plan": "steep"}, 2),
        ({"kind": "b", "y": 4.0, "decay": 0.1, "plan": "steep"}, 3),
        ({"kind": "b", "y": 6.0, "decay": 0.1, "plan": "steep"}, 4),
        ({"kind": "b", "y": 6.0, "decay": 0.0, "plan": "flat"}, 3),  # the decay is farther off
    ],
)
def test_the_nearest_training_stands_for_a_point(table, params, row):
    assert table.nearest(params) == [row]
    assert table.curve(params) == ROWS[row][1]


def test_a_smooth_curve_is_the_mean_of_the_nearest_that_did_not_fail(of, table):
    smooth = of.table.Table(SPACE, "kind", 3, table.rows, {}, neighbours=2)
    point = {"kind": "a", "x": 0.5, "plan": "flat"}  # rows 1, and 0 sooner than 2
    assert smooth.nearest(point) == [1, 0]
    assert smooth.curve(point) == pytest.approx((0.15, 0.25, 0.6))
    assert smooth.curve({"kind": "b", "y": 0.0, "decay": 0.0, "plan": "flat"}) == ROWS[3][1]
    assert smooth.curve({"kind": "b", "y": 10.0, "decay": 0.2, "plan": "flat"}) == (0.5,)


def test_percentiles_leave_defaults_out_and_take_failures_for_the_worst(of, table):
    assert table.percentile(75) == 0.6  # -inf, 0.3, 0.5, 0.6, 0.9
    assert table.percentile(60) == 0.6
    assert table.percentile(90, "a") == 0.9
    default = of.table.Recorded(params=ROWS[1][0], curve=(1.0, 1.0, 1.0), default=True)
    more = of.table.Table(SPACE, "kind", 3, [*table.rows, default])
    assert more.percentile(95) == 0.9


def test_a_table_is_read_as_it_was_written(of, table, tmp_path):
    file = tmp_path / "table.json"
    of.table.save(table, file)
    assert of.table.load(file, SPACE, "kind") == table


def test_two_workers_in_virtual_time(of, table):
    work = Listed([ROWS[i][0] for i in (0, 1, 4, 3)], stop={0: 2})
    ended = of.loop.run(work, table, workers=2, most=100)
    # Trials 0 and 1 report at 1, 2 (0 is stopped), 1 at 3; trial 2 runs from 2 and fails at 4;
    # trial 3 begins when 1 is over, at 3.
    assert [(dict(e.params), e.value, e.epochs) for e in ended] == [
        (ROWS[0][0], None, 2),
        (ROWS[1][0], 0.9, 3),
        (ROWS[4][0], None, 2),
        (ROWS[3][0], 0.6, 3),
    ]
    assert work.ends == [
        (0, "stopped"),
        (1, {"val_accuracy": 0.9}),
        (2, "NonFiniteLoss"),
        (3, {"val_accuracy": 0.6}),
    ]
    assert [e.spent for e in ended][-1] == 2 + 3 + 2 + 3
    assert of.loop.time_to(ended, 0.9) == ended[1].spent in (5, 6)
    assert of.loop.time_to(ended, 0.95) == math.inf
    assert of.loop.best_after(ended, 4) == -math.inf
    assert of.loop.best_after(ended, 10) == 0.9


def test_it_ends_when_enough_is_known_or_the_time_is_over(of, table):
    params = [ROWS[i][0] for i in (0, 1, 2, 3)]
    ended = of.loop.run(Listed(params), table, workers=1, most=7)
    assert [e.spent for e in ended] == [3, 6]
    enough = of.loop.run(Listed(params), table, workers=1, most=99, enough=lambda e: e.value == 0.9)
    assert [e.value for e in enough] == [0.3, 0.9]


def test_a_report_at_the_end_stops_nothing(of, table):
    ended = of.loop.run(Listed([ROWS[1][0]], stop={0: 3}), table, workers=1, most=99)
    assert ended[0].value == 0.9


def test_rounds_of_one_epoch_and_the_best_to_their_end(of, table):
    work = of.methods._TopAfterOne(SPACE, seed=1, n=4, k=2)
    ended = of.loop.run(work, table, workers=2, most=15, begun_at=work.begun_at)
    first, second, third = ended[:4], ended[4:6], ended[6:]
    assert [(e.value, e.epochs) for e in first] == [(None, 1)] * 4
    assert {e.spent for e in first} == {1, 2, 3, 4}
    starts = sorted((table.curve(e.params)[0] for e in first), reverse=True)
    assert sorted((table.curve(e.params)[0] for e in second), reverse=True) == starts[:2]
    failed = sum(len(table.curve(e.params)) < 3 for e in second)
    assert second[-1].spent == 4 + 2 * (2 - failed) + failed
    assert all(e.epochs == (2 if e.value else 1) for e in second)
    assert all(e.value is None and e.epochs == 1 for e in third[:4])


@pytest.mark.parametrize("pruner", [NopPruner, MedianPruner])
def test_a_script_in_virtual_time_is_optunas_own_loop(of, recorded, pruner):
    """One worker: the same trials as ``study.optimize`` has."""
    work = of.methods._OptunaScript(recorded.space, TPESampler(seed=3), pruner())
    ended = of.loop.run(work, recorded, workers=1, most=100)

    from studies.search.optuna_bridge import suggest

    def objective(trial):
        curve = recorded.curve(suggest(recorded.space, trial))
        for step, value in enumerate(curve, 1):
            trial.report(value, step)
            if trial.should_prune() and step < len(curve):
                raise optuna.TrialPruned
        return curve[-1]

    study = optuna.create_study(direction="maximize", sampler=TPESampler(seed=3), pruner=pruner())
    study.optimize(objective, n_trials=len(ended))
    assert [e.params for e in ended] == [trial.params for trial in study.trials]
    assert [e.value is None for e in ended] == [t.state.name == "PRUNED" for t in study.trials]
    assert (pruner is NopPruner) == all(e.epochs == 6 for e in ended)


def test_ray_tune_draws_points_of_the_space_and_asha_keeps_the_best_quarter(of, recorded):
    from ray.tune.schedulers import AsyncHyperBandScheduler

    work = of.methods._RayTune(recorded.space, AsyncHyperBandScheduler(max_t=6), seed=1)
    tasks = [work.ask() for _ in range(40)]
    kinds = set()
    for task in tasks:
        recorded.space.check(task.params)
        kinds.add(task.params["optim.name"])
    assert len(kinds) == 9
    values = np.random.default_rng(0).permutation(40) / 40
    kept = [
        work.report(task, 1, {"val_accuracy": v}) for task, v in zip(tasks, values, strict=True)
    ]
    for index, continues in enumerate(kept):  # its paper's rule, over those before it
        earlier = values[:index]
        assert continues == (index == 0 or values[index] >= np.percentile(earlier, 75))


def test_random_search_reaches_the_target_as_often_as_its_share_says(of, recorded):
    target = recorded.percentile(95)
    share = recorded.share(target)
    work = of.methods._OptunaScript(recorded.space, RandomSampler(seed=5), NopPruner())
    ended = of.loop.run(work, recorded, workers=2, most=6 * 1000)
    found = np.mean([e.value >= target for e in ended])
    assert 0.02 < share < 0.08
    assert abs(found - share) < 4 * math.sqrt(2 * share / 1000)


def test_an_oracle_knows_after_one_epoch_how_each_training_ends(of, recorded):
    target = recorded.percentile(95)
    plain = of.methods._OptunaScript(recorded.space, RandomSampler(seed=5), NopPruner())
    oracle = of.methods._Oracle(recorded, target, seed=5)
    whole = of.loop.run(plain, recorded, workers=1, most=6 * 60)
    stopped = of.loop.run(oracle, recorded, workers=1, most=6 * 60)
    for one, all_of_it in zip(stopped, whole, strict=False):
        assert one.params == all_of_it.params
        good = all_of_it.value >= target
        assert (one.value, one.epochs) == ((all_of_it.value, 6) if good else (None, 1))
    assert any(one.value for one in stopped)


def test_our_sampler_and_pruner_alone_begin_with_no_default(of, recorded, tmp_path):
    """The pruner compares within an optimizer, also here; the sampler is the study's."""
    spec = catalog.get(of.search.STUDY)
    defaults = [spec.default_of(choice) for choice in spec.choices]
    runs = {}
    for pruner in ("none", "median"):
        plan = of.methods._plan(of.search.STUDY, 3, tmp_path, {"search.pruner": pruner})
        work = of.methods._Alone(plan)
        runs[pruner] = of.loop.run(work, recorded, workers=2, most=6 * 60)
        assert not any(ended.params in defaults for ended in runs[pruner])
    assert all(ended.epochs == 6 for ended in runs["none"])
    whole = {name: 0 for name in spec.choices}
    for ended in runs["median"]:
        name = ended.params["optim.name"]
        assert ended.value is not None or (whole[name] >= 4 and ended.epochs >= 2)
        whole[name] += ended.value is not None
    assert min(ended.epochs for ended in runs["median"]) < 6


def test_ours_is_the_study_itself(of, recorded, tmp_path):
    """Its defaults first, each worth what was recorded of it; the same again with the same seed."""
    spec = catalog.get(of.search.STUDY)
    defaults = [row for row in recorded.rows if row.default]
    runs = []
    for folder in ("one", "two"):
        with of.methods.ours(of.search.STUDY, 7, tmp_path / folder, {}) as work:
            runs.append(of.loop.run(work, recorded, workers=2, most=150))
    assert runs[0] == runs[1]
    first = sorted(runs[0][:9], key=lambda e: spec.choices.index(e.params["optim.name"]))
    for ended, choice in zip(first, spec.choices, strict=True):
        assert ended.params == spec.default_of(choice)
        assert ended.value in [row.curve[-1] for row in defaults if row.params == ended.params]
    assert len(runs[0]) > 20
    for ended in runs[0]:
        spec.space.check(ended.params)


def test_what_was_recorded_is_of_the_study_as_it_is(of, recorded):
    spec = catalog.get(of.search.STUDY)
    assert of.search.TABLE.stat().st_size < 300_000
    assert recorded.epochs == spec.fixed["epochs"]
    defaults = [row.params for row in recorded.rows if row.default]
    assert defaults == [spec.default_of(c) for c in sorted(spec.choices, key=lambda c: c != "adam")]
    rest = [row for row in recorded.rows if not row.default]
    assert len(rest) >= 200
    counts = {c: sum(row.params["optim.name"] == c for row in rest) for c in spec.choices}
    assert len(set(counts.values())) == 1
    assert all(len(row.curve) == recorded.epochs for row in recorded.rows)


def test_the_median_and_its_interval(of):
    values = list(range(1, 21))
    assert of.statistic.median_interval(values) == (6, 15)  # Conover, table A3, n = 20
    assert of.statistic.median_interval([3.0, 1.0]) == (1.0, 3.0)
    found, low, high = of.statistic.ratio([1.0] * 20, [4.0] * 20)
    assert (found, low, high) == (0.25, 0.25, 0.25)
    found, low, high = of.statistic.ratio([1.0, 2.0, math.inf], [1.0, 2.0, 4.0])
    assert found == 1.0 and low <= 1 and high == math.inf
    assert of.statistic.ratio([1.0] * 9, [math.inf] * 9) == (0.0, 0.0, 0.0)
    assert of.statistic.ratio([math.inf] * 9, [math.inf] * 9) == (1.0, 1.0, 1.0)
