"""When a search ends early, that it says why, and that it can go on."""

import time

import optuna
import pytest
import toys
from hypothesis import given
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from test_protocol import run
from toy import Toy, make_plan
from toy_plans import toy_plan

from mnist_core.errors import ConfigError, UserError
from search_spaces.space import Float, Space
from studies import engines
from studies.analysis import stored_study
from studies.core.attributes import FAILURE, STOPPED
from studies.ledger.opening import open_search
from studies.planning.settings import StopSettings
from studies.protocol import phases
from studies.report.overview import print_status
from studies.report.table import markdown
from studies.search import stopping
from studies.search.stopping import Stop, Stopping
from studies.storage.open import close_storage, open_storage


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})


def made(number, value=None, state=TrialState.COMPLETE, reason="NonFiniteLoss", x=None):
    params = {} if x is None else {"x": x}
    distributions = {} if x is None else {"x": optuna.distributions.FloatDistribution(0, 1)}
    attributes = {FAILURE: {"kind": reason, "message": "m"}} if state is TrialState.FAIL else {}
    trial = create_trial(
        state=state,
        value=value,
        params=params,
        distributions=distributions,
        user_attrs=attributes,
    )
    trial.number = number
    return trial


def judge(trials=(), *, before=(), direction=StudyDirection.MAXIMIZE, clock=lambda: 0.0, **limits):
    rules = Stopping(StopSettings(**limits), direction, before, clock=clock)
    for trial in trials:
        rules.ended(trial)
    return rules.reason([*before, *trials], 60)


def numbered(*values):
    return [made(number, value) for number, value in enumerate(values)]


def test_epochs_of_all_trials_together():
    trials = numbered(0.1, 0.2, 0.3)
    for trial in trials:
        trial.intermediate_values = {1: 0.1, 2: 0.1, 4: 0.1}  # four reports
    assert judge(trials, epochs=12.5) is None
    assert str(judge(trials, epochs=12)) == (
        "search stopped after 3 of 60 trials: 12 epochs were trained (search.stop.epochs)"
    )
    rules = Stopping(StopSettings(epochs=3), StudyDirection.MAXIMIZE, reports_per_epoch=4)
    assert rules.reason(trials, 60) is not None
    rules = Stopping(StopSettings(epochs=3.5), StudyDirection.MAXIMIZE, reports_per_epoch=4)
    assert rules.reason(trials, 60) is None


def test_nothing_ends_it_by_default_but_failures():
    values = [0.1] * 500
    assert judge(numbered(*values)) is None
    failed = [made(n, state=TrialState.FAIL) for n in range(9)]
    assert judge(failed) is None
    stop = judge([*failed, made(9, state=TrialState.FAIL, reason="OutOfMemory")])
    assert str(stop) == (
        "search stopped after 10 of 60 trials: 10 of this run's 10 trials failed, most often (9"
        " times) with NonFiniteLoss: m (search.stop.failed_share)"
    )
    assert judge([*failed, made(9, 0.5)]) is None
    assert judge(failed * 3, failed_share=0.0) is None
    assert judge([*failed, made(9, 0.5)], failed_share=0.9) is not None


def test_an_infeasible_trial_is_neither_a_target_reached_nor_progress():
    infeasible = made(1, 0.99)
    infeasible.set_constraint("parameters", 0.5)
    assert judge([made(0, 0.5), infeasible], target=0.9) is None
    assert judge([made(0, 0.5), infeasible, made(2, 0.4)], patience=2).rule == "patience"


def test_failures_of_earlier_runs_do_not_end_this_one():
    failed = [made(n, state=TrialState.FAIL) for n in range(30)]
    assert judge(failed[20:29], before=failed[:20]) is None
    assert judge(failed[20:], before=failed[:20]) is not None


@pytest.mark.parametrize(
    ("direction", "values", "reached"),
    [
        (StudyDirection.MAXIMIZE, (0.7, 0.8), True),
        (StudyDirection.MAXIMIZE, (0.7, 0.79), False),
        (StudyDirection.MINIMIZE, (0.9, 0.8), True),
        (StudyDirection.MINIMIZE, (0.9, 0.81), False),
    ],
)
def test_a_target(direction, values, reached):
    stop = judge(numbered(*values), direction=direction, target=0.8)
    assert (stop is not None) is reached
    if stop is not None:
        assert stop.rule == "target" and "trial 1" in stop.why and "0.8" in stop.why


def test_a_target_counts_what_is_there_already():
    assert judge(before=numbered(0.9), target=0.8).rule == "target"


def test_no_better_trial():
    assert judge(numbered(0.5, 0.4, 0.4), patience=3) is None
    stop = judge(numbered(0.5, 0.4, 0.5, 0.3), patience=3)  # as good is no better
    assert stop.why == "no trial of the last 3 was better than trial 0"
    assert judge(numbered(0.5, 0.4, 0.6, 0.3), patience=3) is None
    pruned = [made(1, 0.9, TrialState.PRUNED), made(2, None, TrialState.PRUNED)]
    assert judge([made(0, 0.5), *pruned], patience=2).rule == "patience"
    failed = [made(n, state=TrialState.FAIL) for n in (1, 2, 3)]
    assert judge([made(0, 0.5), *failed], patience=2) is None


@given(
    values=st.lists(st.floats(-1, 1), min_size=1, max_size=30),
    split=st.integers(0, 30),
    patience=st.integers(1, 10),
)
def test_a_resume_judges_as_the_whole(values, split, patience):
    trials = numbered(*values)
    for number, trial in enumerate(trials):
        trial.datetime_complete = trial.datetime_start.replace(year=2000 + number)
    whole = judge(trials, patience=patience)
    assert judge(trials[split:], before=trials[:split], patience=patience) == whole
    best = values.index(max(values))
    assert (whole is not None) == (len(values) - 1 - best >= patience)


def test_seconds_of_this_run():
    now = [100.0]
    rules = Stopping(
        StopSettings(seconds=60), StudyDirection.MAXIMIZE, numbered(0.5), clock=lambda: now[0]
    )
    now[0] = 159.0
    assert rules.reason([], 60) is None
    now[0] = 160.0
    assert rules.reason([], 60).rule == "seconds"


def test_optunas_terminator():
    flat = [made(n, 0.9 - 0.1 * abs(n / 40 - 0.5), x=n / 40) for n in range(41)]
    assert judge(flat, regret=0.5).rule == "regret"
    assert judge(flat[:19], regret=0.5) is None  # too few to ask
    assert judge(flat, regret=1e-9) is None
    assert judge(flat) is None


def test_optunas_terminator_is_asked_seldom(monkeypatch):
    asked = []
    monkeypatch.setattr(stopping, "_gain", lambda trials, direction: asked.append(1) or 1.0)
    rules = Stopping(StopSettings(regret=0.1), StudyDirection.MAXIMIZE)
    for trial in numbered(*[0.5] * 200):
        rules.ended(trial)
        rules.reason([], 300)
        rules.reason([], 300)
    assert 10 < len(asked) < 60


def test_what_the_terminator_cannot_judge_is_refused(tmp_path):
    stopping.check(StopSettings(regret=0.1), Space({"x": Float(0, 1)}))
    plan = make_plan(tmp_path, search={"stop": {"regret": 0.1}})
    with pytest.raises(ConfigError, match=r"search.stop.regret: .* sgd.lr, adam.lr, adagrad.lr"):
        run(plan)


def plan_with(tmp_path, trials=9, **stop):
    return make_plan(tmp_path, trials=trials, search={"stop": stop, "pruner": "none"})


def test_a_stopped_study_is_confirmed_tested_and_says_why(tmp_path, capsys):
    events, toy = [], Toy()
    plan = plan_with(tmp_path, target=0.9)
    result = run(plan, toy=toy, listeners=[events.append])
    assert sum(result.states.values()) < 9
    assert result.best is not None and result.test.times
    said = str(result.stopped)
    assert said.endswith("(search.stop.target)")
    assert said in [event.data["text"] for event in events if event.kind == "message"]
    assert f"S{said[1:]}." in markdown(result)

    read = stored_study.read(plan)
    assert read.phase == "finished" and read.stopped == result.stopped
    assert f"S{said[1:]}." in markdown(read.finished())
    print_status(read)
    assert said[:40] in capsys.readouterr().out


def test_a_stopped_study_trains_nothing_more_and_goes_on_with_a_wider_limit(tmp_path):
    first = run(plan_with(tmp_path, target=0.9))
    toy = Toy()
    again = run(plan_with(tmp_path, target=0.9), toy=toy)
    assert toy.ran == [] and again.stopped == first.stopped
    more = run(plan_with(tmp_path, target=1.0), toy=toy)
    assert sum(more.states.values()) == 9
    assert more.stopped is None
    assert stored_study.read(plan_with(tmp_path)).stopped is None


def test_a_study_in_which_all_fails_says_so_early(tmp_path):
    toy = Toy(failing=("sgd", "adam", "adagrad"))
    with pytest.raises(UserError) as error:
        run(plan_with(tmp_path, trials=60), toy=toy)
    assert len(toy.ran) == 10
    assert "all 10 search trials failed, most often (10 times) with NonFiniteLoss" in str(
        error.value
    )
    assert "search.stop.failed_share ended the search early" in str(error.value)
    with pytest.raises(UserError):  # mended or not: it tries again
        run(plan_with(tmp_path, trials=60), toy=toy)
    assert len(toy.ran) == 20


@pytest.mark.parametrize("name", ["inline", "local"])
def test_what_runs_is_finished(tmp_path, name, monkeypatch):
    """On a clock that goes on by a second with each trial."""
    now, clocks = [0.0], Stopping.__init__.__kwdefaults__
    assert clocks["clock"] is time.monotonic
    monkeypatch.setitem(clocks, "clock", lambda: now[0])

    def second(event):
        now[0] += event.kind == "complete"

    plan = toy_plan(tmp_path, trials=400, stop={"seconds": 5.0}, workers=2)
    storage = open_storage(plan.storage_url, create=True)
    with engines.create(name, workers=2, threads=1) as engine:
        with open_search(plan, storage, listeners=[second]) as book:
            engine.run(book, toys.Toy(tmp_path))
            assert book.stopped.rule == "seconds"
            assert book.done == book.total and book.done in (5, 6)  # two run at a time
            assert {record.state for record in book.records()} == {"COMPLETE"}
            assert Stop.from_attribute(book.study.user_attrs[STOPPED]) == book.stopped
            begun = book.done
        with open_search(plan, storage, listeners=[second]) as book:
            engine.run(book, toys.Toy(tmp_path))
            assert book.done - begun in (5, 6)  # the time counts anew
    close_storage(storage)


def test_what_was_lost_is_run_though_the_search_is_stopped(tmp_path):
    engine = engines.create("inline", workers=1, threads=1)

    def stop(event):
        if event.kind == "report" and event.trial == 3:
            engine.stop(now=True)

    plan = toy_plan(tmp_path, trials=9)
    storage = open_storage(plan.storage_url, create=True)
    with engine, open_search(plan, storage, listeners=[stop]) as book:
        engine.run(book, toys.Toy(tmp_path))
    plan = toy_plan(tmp_path, trials=9, stop={"target": 0.0})
    with open_search(plan, storage) as book:
        assert book.total == 4
        engines.create("inline", workers=1, threads=1).run(book, toys.Toy(tmp_path))
        assert [record.state for record in book.records()] == ["COMPLETE"] * 4
    close_storage(storage)
