"""The audit: replays as Optuna prunes, draws that make up for what the pruner hid, warnings."""

import dataclasses
from datetime import datetime, timedelta
from random import Random

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from scipy.stats import binomtest
from toy import Toy, make_plan
from typer.testing import CliRunner

from mnist_core.errors import UserError
from studies.__main__ import app
from studies.analysis.audit import _clopper_pearson, _draw, _effective, _prediction, audit
from studies.analysis.audit_curves import Curve, Curves, collect
from studies.analysis.replay import Pruner, replay
from studies.core.attributes import SENTINEL, WOULD_PRUNE
from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.report.comparison_tables import print_audit
from studies.search.pruners import create_pruner, with_resources
from studies.storage.open import close_storage, open_storage

UP, DOWN = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
STEPS = 9


def curve(number, quality, *, steps=STEPS, choice="a", seconds=9.0, slow=False, sign=1, **more):
    """Rises to ``quality``; a slow one is far below the others until its end."""
    values = [quality * step / steps for step in range(1, steps + 1)]
    if slow:
        values = [value / 10 for value in values[:-1]] + [quality]
    reports = tuple((step, sign * value) for step, value in enumerate(values, start=1))
    return Curve(
        number=number, choice=choice, reports=reports, value=reports[-1][1], seconds=seconds, **more
    )


def pruner(name, direction=UP, **options):
    return Pruner(
        name=name, options=options, reports=STEPS, scientific="choice", direction=direction
    )


def some(count, seed=0, **more):
    random = Random(seed)
    return [curve(number, 0.5 + 0.5 * random.random(), **more) for number in range(count)]


@pytest.mark.parametrize("direction", [UP, DOWN])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("none", {}),
        ("median", {}),
        ("percentile", {"percentile": 25.0}),
        ("successive_halving", {"reduction_factor": 3}),
        ("hyperband", {}),
    ],
)
def test_one_worker_is_optunas_own_study(name, options, direction):
    curves = some(20, sign=1 if direction is UP else -1)
    options = with_resources(name, options, STEPS)
    study = optuna.create_study(
        study_name="view", direction=direction, pruner=create_pruner(name, options)
    )
    stopped, seconds = [], 0.0
    for one in curves:
        trial = study.ask()
        stopped.append(None)
        for step, value in one.reports:
            trial.report(value, step)
            seconds += 1.0
            if trial.should_prune() and step < STEPS:
                stopped[-1] = step
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, one.value)
    done = replay(curves, pruner(name, direction, **options))
    assert list(done.stopped_at) == stopped
    assert done.seconds == done.makespan == pytest.approx(seconds)
    assert any(stopped) == (name != "none")


def test_choices_are_kept_apart_and_defaults_spared():
    good, bad = some(6, choice="a"), [curve(0, 0.1, choice="b") for _ in range(3)]
    done = replay([*good, *bad], pruner("median"))
    assert done.stopped_at[6:] == (None, None, None)
    low = curve(0, 0.01)
    assert replay([*good, low], pruner("median")).stopped_at[-1] == 3
    exempt = dataclasses.replace(low, exempt=True)
    assert replay([*good, exempt], pruner("median")).stopped_at[-1] is None


def test_several_workers_know_less_and_share_the_time():
    curves = [curve(n, 0.9 if n < 4 else 0.1) for n in range(8)]
    one = replay(curves, pruner("median"))
    all_at_once = replay(curves, pruner("median"), workers=8)
    assert [at for at in one.stopped_at if at] == [3] * 4
    assert not any(all_at_once.stopped_at)  # none was complete when they were judged
    assert all_at_once.makespan == pytest.approx(9.0)
    two = replay(curves, pruner("none"), workers=2)
    assert (two.seconds, two.makespan) == (pytest.approx(72.0), pytest.approx(36.0))


class TestDraws:
    def curves(self, full, **more):
        values = {"pruned": 0, "workers": 1, "direction": UP, **more}
        return Curves(full=tuple(full), **values)

    def test_a_slow_starter_that_wins_is_lost_and_one_that_leads_is_not(self, tmp_path):
        plan = make_plan(tmp_path)
        others = some(25, seed=1)
        lost = audit(Pruner.of(plan), self.curves([*others, curve(25, 2.0, slow=True)]), draws=20)
        safe = audit(Pruner.of(plan), self.curves([*others, curve(25, 2.0)]), draws=5)
        by_name = {verdict.label: verdict for verdict in lost.verdicts}
        assert by_name["none"].chance == by_name["none"].saved == by_name["none"].given_up == 0
        assert by_name["none"].chance_range == by_name["none"].saved_range == (0, 0)
        assert by_name["median"].loses and by_name["median"].chance > 0.3
        assert 0.4 < by_name["median"].given_up < 1.2
        assert by_name["median"].own and sum(verdict.own for verdict in lost.verdicts) == 1
        for verdict in safe.verdicts:
            assert not verdict.loses and verdict.chance == verdict.given_up == 0
            assert (
                verdict.saved > 0.2 or verdict.label == "none" or verdict.label == "percentile 75"
            )
        assert lost.warnings == safe.warnings == ()

    def test_of_two_equally_good_trials_one_may_be_stopped(self, tmp_path):
        full = [*some(25, seed=1), curve(25, 2.0, slow=True), curve(26, 2.0)]
        found = audit(Pruner.of(make_plan(tmp_path)), self.curves(full), draws=6)
        median = next(verdict for verdict in found.verdicts if verdict.label == "median")
        assert not median.loses and median.saved > 0.2
        alone = audit(Pruner.of(make_plan(tmp_path)), self.curves(full[:-1]), draws=6).verdicts
        assert median.chance < next(v for v in alone if v.label == "median").chance

    def test_the_same_seed_draws_the_same(self, tmp_path):
        own, curves = Pruner.of(make_plan(tmp_path)), self.curves(some(24))
        assert audit(own, curves, draws=2) == audit(own, curves, draws=2)
        assert audit(own, curves, draws=2) != audit(own, curves, draws=2, seed=1)

    def test_minimize(self, tmp_path):
        full = [*some(25, seed=1, sign=-1), curve(25, 2.0, slow=True, sign=-1)]
        found = audit(pruner("median", direction=DOWN), self.curves(full, direction=DOWN), draws=15)
        median = next(verdict for verdict in found.verdicts if verdict.label == "median")
        assert median.loses and median.chance > 0.3 and median.given_up > 0.3

    def test_sentinels_stand_for_what_was_pruned(self, tmp_path):
        """As many as were pruned, or would have been, are drawn from the sentinels among these."""
        plan, kept = make_plan(tmp_path), some(20, seed=2)
        poor = [curve(n, 0.05, stopped=True) for n in range(20, 26)]
        told = self.curves([curve(0, 0.7, exempt=True), *kept, *poor], pruned=24)
        for index in range(5):
            drawn = _draw(told, Random(index))
            assert drawn[0].exempt
            assert [one.stopped for one in drawn].count(True) == 30
            assert len(drawn) == 1 + 20 + 30
        assert audit(Pruner.of(plan), told, draws=2).warnings == ()
        (warning,) = audit(Pruner.of(plan), self.curves(kept, pruned=30), draws=2).warnings
        assert "pruned trials: 30" in warning and "sentinels" in warning

    def test_few_curves_are_warned_of(self, tmp_path):
        (warning,) = audit(Pruner.of(make_plan(tmp_path)), self.curves(some(6)), draws=5).warnings
        assert warning.startswith("only 6 full curves besides the defaults")

    def test_the_studys_own_pruner_is_among_them(self, tmp_path):
        plan = make_plan(tmp_path, search={"pruner": "patient", "pruner_options": {"patience": 1}})
        verdict = audit(Pruner.of(plan), self.curves(some(6)), draws=5).verdicts[-1]
        assert verdict.own and verdict.label == "patient (patience=1)"


@pytest.mark.parametrize(("hits", "n"), [(0, 20), (3, 20), (10, 20), (200, 200)])
def test_clopper_pearson_is_scipys(hits, n):
    expected = binomtest(hits, n).proportion_ci(method="exact")
    assert _clopper_pearson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_chances_interval_rests_on_few_trials_not_on_many_draws():
    """The best of a resampled study is one of the same few trials, however often it is drawn."""
    random = Random(0)
    best = [min(random.choices(range(60), k=60)) for _ in range(1000)]
    assert 1.5 < _effective(best) < 2.5
    low, high = _clopper_pearson(0.0, _effective(best))
    assert low == 0 and high > 0.7  # Wilson's over the draws ended at 0.4 %


def test_the_savings_interval_holds_its_value():
    """Of one more study as often as it says, also for eight draws."""
    random = Random(1)
    held = 0
    for _ in range(1000):
        mine = random.gauss(0.4, 0.03)  # a study is a sample, and its draws vary about it
        low, high = _prediction([random.gauss(mine, 0.03) for _ in range(8)])
        held += low <= random.gauss(0.4, 0.03) <= high
    assert 930 <= held <= 970


class TestCollect:
    def trials(self, states):
        began, found = datetime(2026, 1, 1), []
        for number, (state, marks) in enumerate(states):
            trial = create_trial(
                state=state,
                value=0.9 if state is TrialState.COMPLETE else None,
                user_attrs={SENTINEL: True} if marks else {},
                system_attrs=marks,
                intermediate_values={1: 0.5, 2: 0.6},
            )
            trial.number = number
            trial.datetime_start = began + timedelta(seconds=number // 2 * 10)
            trial.datetime_complete = trial.datetime_start + timedelta(seconds=10)
            found.append(trial)
        return found

    def test_what_is_taken(self, tmp_path):
        full, pruned = (TrialState.COMPLETE, {}), (TrialState.PRUNED, {})
        sentinel = (TrialState.COMPLETE, {WOULD_PRUNE: 1})
        states = [full, full, full, full, sentinel, pruned, pruned, (TrialState.FAIL, {}), full]
        curves = collect("toy", make_plan(tmp_path).spec, self.trials(states))
        assert [one.number for one in curves.full] == [0, 1, 2, 3, 4, 8]
        assert [one.exempt for one in curves.full] == [True] * 3 + [False] * 3
        assert [one.number for one in curves.kept] == [3, 8]
        assert [one.number for one in curves.stopped] == [4]
        assert (curves.pruned, curves.workers) == (2, 2)
        assert {one.seconds for one in curves.full} == {10.0}

    @pytest.mark.parametrize("count", [0, 3])
    def test_nothing_to_replay(self, tmp_path, count):
        trials = self.trials([(TrialState.COMPLETE, {})] * count + [(TrialState.PRUNED, {})] * 9)
        with pytest.raises(UserError, match=r"search\.sentinels"):
            collect("toy", make_plan(tmp_path).spec, trials)

    def test_one_report_each(self, tmp_path):
        trials = self.trials([(TrialState.COMPLETE, {})] * 9)
        for trial in trials:
            trial.intermediate_values = {1: 0.9}
        with pytest.raises(UserError, match="toy"):
            collect("toy", make_plan(tmp_path).spec, trials)


def test_from_a_search_to_the_table(tmp_path, capsys):
    """A search with sentinels, as the book stores it, replayed and printed."""
    plan = make_plan(tmp_path, trials=40, search={"sentinels": 0.4, "sampler": "random"})
    storage = open_storage(plan.storage_url, create=True)
    with open_search(plan, storage) as book:
        Inline().run(book, Toy(noise=0.01))
        trials = book.study.get_trials()
    close_storage(storage)
    marked = [trial for trial in trials if trial.user_attrs.get(SENTINEL)]
    would = [trial for trial in trials if WOULD_PRUNE in trial.system_attrs]
    assert len(marked) > 8 and 0 < len(would) < len(marked)
    assert {trial.number for trial in would} <= {trial.number for trial in marked}
    assert {trial.state for trial in marked} == {TrialState.COMPLETE}
    assert any(trial.state is TrialState.PRUNED for trial in trials)

    curves = collect(plan.name, plan.spec, trials)
    assert len(curves.stopped) == len(would)
    print_audit(plan.name, plan.spec.metric, audit(Pruner.of(plan), curves, draws=5))
    printed = capsys.readouterr().out
    assert "median *" in printed and "hyperband" in printed and "sentinels" in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_the_command_without_a_study_is_one_line(tmp_path):
    result = CliRunner().invoke(
        app, ["audit", "optim_search", "--set", f"results.folder={tmp_path}"]
    )
    assert isinstance(result.exception, UserError)
