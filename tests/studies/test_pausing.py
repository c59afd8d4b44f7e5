"""Trials that are paused at a report and continued: one number, one curve, through kills."""

import dataclasses
import random
from collections import Counter

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.study import StudyDirection
from optuna.trial import TrialState
from pausing_toy import REPORTS, PausingToy, curve_of, trained
from programs import warm_workers  # noqa: F401
from toy import make_plan

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError
from objectives.base import Outcome, Task
from studies import engines
from studies.core.attributes import FINGERPRINT, PAUSE
from studies.core.pauses import Pause, paused
from studies.core.trials import Failure
from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.protocol.carry_over import carry
from studies.protocol.replay import Replay
from studies.search.pausing import FreezeThawPruner, Pausing
from studies.storage.copying import copy_study
from studies.storage.open import close_storage, open_storage
from studies.storage.records import read_trials

OPTIONS = {"min_resource": 3, "reduction_factor": 2, "n_startup_trials": 2}


def plan_in(folder, *, trials=24, train=None, **search):
    given = {"sampler": "random", "pruner": "freeze_thaw", "pruner_options": OPTIONS, **search}
    plan = make_plan(folder, trials=trials, search=given)
    plan.folder.mkdir(parents=True, exist_ok=True)
    config = TrainConfig(device="cpu", threads=1, epochs=REPORTS)
    return dataclasses.replace(plan, train=train or config)


def opened(plan, **options):
    storage = open_storage(plan.storage_url, create=True)
    return storage, open_search(plan, storage, **options)


def run(plan, objective, engine=None):
    """Run it to its end; return its records."""
    storage, book = opened(plan)
    with engine or Inline() as started, book:
        started.run(book, objective)
        found = book.records()
    close_storage(storage)
    return found


def line(record):
    return record.number, str(record.state), record.params, record.seed, record.value, record.curve


# --- The rule.


def frozen(number, choice, curve, *, pause=None, state=TrialState.RUNNING):
    trial = optuna.trial.create_trial(
        state=TrialState.RUNNING,
        params={"optim.name": choice},
        distributions={"optim.name": optuna.distributions.CategoricalDistribution(("a", "b"))},
        intermediate_values=dict(enumerate(curve, 1)),
        user_attrs={} if pause is None else {PAUSE: Pause(at=pause).to_attribute()},
    )
    trial.number = number
    trial.state = state
    return trial


def rule(**options):
    given = {"min_resource": 2, "reduction_factor": 2, "n_startup_trials": 0, **options}
    return Pausing(
        pruner=FreezeThawPruner(**given),
        reports=9,
        scientific="optim.name",
        direction=StudyDirection.MAXIMIZE,
        may_prune=lambda number: number > 0,
    )


def test_the_best_of_its_own_choice_continues_first():
    trials = [
        frozen(0, "a", [0.1, 0.9]),  # a default: it runs, and counts at the rung
        frozen(1, "a", [0.1, 0.5], pause=2),
        frozen(2, "a", [0.1, 0.6], pause=2),
        frozen(3, "a", [0.1, 0.4], pause=2),
        frozen(4, "b", [0.1, 0.2], pause=2),
        frozen(5, "b", [0.1, 0.1], pause=2),
    ]
    assert rule().next(trials) == 4  # the best of b is better placed than the second of a
    trials[4] = frozen(4, "b", [0.1, 0.2, 0.3])
    assert rule().next(trials) == 2
    trials[2] = frozen(2, "a", [0.1, 0.6, 0.7])
    assert rule().next(trials) is None
    # A higher rung comes first.
    trials[0] = frozen(0, "a", [0.1, 0.9, 0.9, 0.9], state=TrialState.COMPLETE)
    trials[2] = frozen(2, "a", [0.1, 0.6, 0.7, 0.95], pause=4)
    trials += [frozen(6, "a", [0.1, 0.8], pause=2), frozen(7, "a", [0.1, 0.1], pause=2)]
    assert rule().next(trials) == 2


def test_equal_values_continue_by_number_and_the_order_of_trials_does_not_matter():
    trials = [frozen(number, "a", [0.1, 0.5], pause=2) for number in range(4)]
    assert rule().next(trials) == rule().next(trials[::-1]) == 0


def test_rungs_defaults_sentinels_and_first_trials_of_a_choice():
    found = rule(n_startup_trials=2)
    trials = {
        0: frozen(0, "a", []),
        1: frozen(1, "a", []),
        2: frozen(2, "b", []),
        3: frozen(3, "a", []),
        4: frozen(4, "a", []),
    }
    trials[4].user_attrs = {"sentinel": True}
    ends = [found.ends_at(trials[number], trials) for number in range(5)]
    assert ends == [9, 9, 9, 2, 9]
    assert [found.after(step) for step in (0, 2, 4, 8)] == [2, 4, 8, 9]


# --- Whole searches.


def test_all_that_is_paused_ends_as_pruned_and_the_best_run_whole(tmp_path):
    toy = PausingToy(tmp_path)
    records = run(plan_in(tmp_path), toy)
    states = Counter(str(record.state) for record in records)
    assert set(states) == {"COMPLETE", "PRUNED"}
    assert all(len(r.curve) == (REPORTS if r.complete else 3) for r in records)
    for r in records:
        assert r.curve == curve_of(Task(number=0, params=r.params, seed=r.seed), len(r.curve))
    for choice in {r.params["optim.name"] for r in records}:
        of_choice = [r for r in records if r.params["optim.name"] == choice]
        own = sorted(of_choice, key=lambda r: -r.curve[3])
        # At the end, at least the best half of a choice is complete.
        assert all(r.complete for r in own[: len(own) // 2])
    # Nothing was trained twice.
    assert set(trained(tmp_path).values()) == {1}
    assert sum(trained(tmp_path).values()) == sum(len(r.curve) for r in records)


@pytest.mark.parametrize("name", ["inline", "local"])
def test_the_same_trail_through_every_engine(tmp_path, name):
    (tmp_path / "reference").mkdir()
    expected = run(plan_in(tmp_path / "reference"), PausingToy(tmp_path / "reference"))
    engine = engines.create(name, workers=1, threads=1)
    records = run(plan_in(tmp_path), PausingToy(tmp_path), engine)
    assert list(map(line, records)) == list(map(line, expected))


def test_several_workers(tmp_path):
    engine = engines.create("local", workers=3, threads=1)
    records = run(plan_in(tmp_path), PausingToy(tmp_path, sleep=0.002), engine)
    assert {str(r.state) for r in records} == {"COMPLETE", "PRUNED"}
    assert set(trained(tmp_path).values()) == {1}


def test_a_worker_that_dies_while_it_continues(tmp_path):
    (tmp_path / "reference").mkdir()
    expected = run(plan_in(tmp_path / "reference"), PausingToy(tmp_path / "reference"))
    whole = [r.number for r in expected if r.complete][4:]
    engine = engines.create("local", workers=1, threads=1)
    records = run(plan_in(tmp_path), PausingToy(tmp_path, dies=tuple(whole)), engine)
    assert list(map(line, records)) == list(map(line, expected))
    assert all(records[number].attempt == 1 for number in whole)
    again = {key for key, count in trained(tmp_path).items() if count > 1}
    assert again == {(number, step) for number in whole for step in (4, 5)}  # after its state


def test_without_its_state_a_trial_trains_again_to_the_same_curve(tmp_path):
    (tmp_path / "reference").mkdir()
    expected = run(plan_in(tmp_path / "reference"), PausingToy(tmp_path / "reference"))
    records = run(plan_in(tmp_path), PausingToy(tmp_path, rungs=()))
    assert list(map(line, records)) == list(map(line, expected))


class Killed(BaseException):
    """Stands for kill -9 of everything."""


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(kills=st.lists(st.integers(1, 60), max_size=5), writes=st.booleans())
def test_killed_at_any_write_it_goes_on_with_the_same_trials(tmp_path_factory, kills, writes):
    """``kills``: writes after which everything dies; then the next run begins."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "reference").mkdir()
    expected = run(plan_in(folder / "reference"), PausingToy(folder / "reference"))
    plan = plan_in(folder)
    for moment in (*kills, None):
        storage = open_storage(plan.storage_url, create=True)
        storage.file.durable = False
        book = open_search(plan, storage)
        left, append = [moment], storage.file.append_logs

        def count(logs, left=left, append=append):
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0 or (left[0] == 0 and not writes):
                    raise Killed
            append(logs)

        storage.file.append_logs = count
        try:
            Inline().run(book, PausingToy(folder))
        except Killed:
            continue
        records = book.records()
        book.close()
    assert list(map(line, records)) == list(map(line, expected))
    counts = trained(folder)
    # What lies before a state that was written is never trained again.
    assert all(counts[r.number, step] <= 1 + len(kills) for r in records for step in r.curve)
    lost = sum(counts.values()) - sum(len(r.curve) for r in records)
    assert lost <= 3 * len(kills)


def test_the_search_is_replayed(tmp_path):
    plan = plan_in(tmp_path)
    storage, book = opened(plan)
    turns, running = random.Random(1), []
    while True:
        while len(running) < 3 and (task := book.ask()) is not None:
            running.append([task, 0])
        if not running:
            break
        chosen = turns.choice(running)
        task, step = chosen
        if turns.random() < 0.03:
            running.remove(chosen)
            book.lose(task, Failure(kind="Interrupted", message="it was lost"))
            continue
        chosen[1] += 1
        value = {"val_accuracy": curve_of(task)[step + 1]}
        continues = book.report(task, step + 1, value)
        book.flush()
        if not continues or step + 1 == REPORTS:
            running.remove(chosen)
            book.finish(task, Outcome(metrics=value, stopped=not continues))
    book.close()
    study = optuna.load_study(study_name="toy", storage=storage)
    (tmp_path / "again").mkdir()
    found = Replay(plan, study, tmp_path / "again").go()
    close_storage(storage)
    assert (found.proposals, found.untold) == (24, 0)
    assert found.decisions > 24 * 3


def test_a_paused_trial_as_others_see_it(tmp_path):
    plan = plan_in(tmp_path)
    storage, book = opened(plan)
    events = []
    book._stream._listeners = (events.append,)
    engine = Inline()
    book._stream._listeners = (
        lambda event: engine.stop() if event.kind == "paused" else None,
        events.append,
    )
    engine.run(book, PausingToy(tmp_path))
    book.close()
    (number,) = book.paused
    study = optuna.load_study(study_name="toy", storage=storage)
    trial = study.trials[number]
    assert trial.state is TrialState.RUNNING
    assert paused(trial) == Pause(at=3, until=0, seconds=paused(trial).seconds)
    record = read_trials(study)[number]
    assert (record.paused, str(record.ending), record.state.finished) == (3, "PAUSED", False)
    with open_search(plan, storage) as resumed:
        assert resumed.paused == [number]
        assert resumed.trials[number].state is TrialState.RUNNING
    close_storage(storage)


# --- What cannot work is refused in one line.


@pytest.mark.parametrize(
    ("search", "more", "named"),
    [
        ({"order": "batch"}, {}, "batch"),
        ({"trials_complete": 5}, {}, "trials_complete"),
        ({}, {"engine": {"checkpoint_seconds": 0.0}}, "checkpoint_seconds"),
        ({"pruner_options": {"reduction_factor": 1}}, {}, "reduction_factor"),
        ({"pruner_options": {"min_resource": 0}}, {}, "min_resource"),
        ({"pruner_options": {"min_resource": "half"}}, {}, "min_resource"),
        ({"pruner_options": {"factor": 3}}, {}, "reduction_factor"),
        ({"pruner": "patient", "pruner_options": {"wrapped": "freeze_thaw"}}, {}, "wrapped"),
    ],
)
def test_what_cannot_be_paused_is_refused(tmp_path, search, more, named):
    given = {"pruner": "freeze_thaw", **search}
    plan = make_plan(tmp_path, search=given, **more)
    complete = given.get("trials_complete", 0)
    plan = dataclasses.replace(plan, trials_complete=complete)
    storage = open_storage(plan.storage_url, create=True)
    with pytest.raises(ConfigError, match=named) as refused:
        open_search(plan, storage)
    assert "\n" not in str(refused.value)
    close_storage(storage)


def test_a_failed_trial_that_is_run_again_pauses_again(tmp_path):
    plan = plan_in(tmp_path, trials=20)
    storage, book = opened(plan)
    failed = None
    while (task := book.ask()) is not None:
        for step in range(1, REPORTS + 1):
            value = {"val_accuracy": curve_of(task)[step]}
            continues = book.report(task, step, value)
            if step == 5 and failed is None and PAUSE in book.trials[task.number].user_attrs:
                failed = task.number
                book.fail(task, Failure(kind="ValueError", message="it was made to fail"))
                break
            if not continues or step == REPORTS:
                book.finish(task, Outcome(metrics=value, stopped=not continues))
                break
    book.close()
    assert failed is not None
    with open_search(plan, storage, retry=True) as again:
        Inline().run(again, PausingToy(tmp_path))
        found = again.records()
    assert {str(record.state) for record in found} == {"COMPLETE", "PRUNED"}
    assert found[failed].failures
    close_storage(storage)


def stopped_with_paused(folder, **options):
    """A search that was stopped while trials are paused: its plan, and their numbers."""
    plan, engine, seen = plan_in(folder, **options), Inline(), []

    def listen(event):
        seen.extend([event.trial] if event.kind == "paused" else [])
        if len(seen) == 3:
            engine.stop()

    storage, book = opened(plan, listeners=[listen])
    with book:
        engine.run(book, PausingToy(folder))
        found = book.paused
    close_storage(storage)
    assert found
    return plan, found


def test_with_another_pruner_paused_trials_continue_to_their_end(tmp_path):
    plan, numbers = stopped_with_paused(tmp_path)
    search = plan.settings.search.model_copy(update={"pruner": "none", "pruner_options": {}})
    plan = dataclasses.replace(plan, settings=plan.settings.model_copy(update={"search": search}))
    found = run(plan, PausingToy(tmp_path))
    assert {str(record.state) for record in found} == {"COMPLETE"}
    assert set(trained(tmp_path).values()) == {1}
    assert not any(found[number].paused for number in numbers)


def test_a_copy_continues_them(tmp_path):
    (tmp_path / "reference").mkdir()
    expected = run(plan_in(tmp_path / "reference"), PausingToy(tmp_path / "reference"))
    plan, numbers = stopped_with_paused(tmp_path)
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    copy_study("toy", source=plan.storage_url, target=url)
    copy = dataclasses.replace(plan, storage_url=url)
    storage, book = opened(copy)
    assert book.paused == numbers
    book.close()
    close_storage(storage)
    assert list(map(line, run(copy, PausingToy(tmp_path)))) == list(map(line, expected))


def test_a_fork_carries_what_has_ended(tmp_path):
    plan, numbers = stopped_with_paused(tmp_path)
    storage, book = opened(plan)
    book.close()
    values = book.study.user_attrs[FINGERPRINT]["values"]
    found = carry(plan, study="toy", values=values, trials=book.trials)
    close_storage(storage)
    assert dict(found.left) == {"not finished": len(numbers)}
    run(plan, PausingToy(tmp_path))
    storage, book = opened(plan)
    book.close()
    found = carry(plan, study="toy", values=values, trials=book.trials)
    close_storage(storage)
    assert found.count == 24
    assert not any(PAUSE in trial.user_attrs for trial in found.trials)


def test_a_search_of_several_supervisors_is_refused(tmp_path):
    plan = plan_in(tmp_path, trials=4)
    storage = open_storage(plan.storage_url, create=True)
    with pytest.raises(ConfigError, match=r"--join.*freeze_thaw"):
        open_search(plan, storage, join=True)
    close_storage(storage)


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(budget=st.integers(20, 120))
def test_the_budget_in_epochs_is_kept(tmp_path_factory, budget):
    folder = tmp_path_factory.mktemp("budget")
    plan = plan_in(folder, stop={"epochs": budget})
    records = run(plan, PausingToy(folder))
    used = sum(len(record.curve) for record in records)
    whole = run(plan_in(folder / "whole"), PausingToy(folder / "whole"))
    most = sum(len(record.curve) for record in whole)
    # A running trial is trained on to the next report at which it may pause.
    assert min(budget, most) <= used < budget + REPORTS or used == most
    assert all(record.state.finished for record in records)
