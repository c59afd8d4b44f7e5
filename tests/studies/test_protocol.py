"""The protocol on a toy objective with the inline engine."""

import dataclasses
import random
import shutil
import sqlite3

import pytest
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import OperationalError
from toy import SPEC, TestSet, Toy, make_plan

from mnist_core.checkpoints import study_readings
from mnist_core.errors import UserError
from objectives.base import TrainingError
from studies.analysis import stored_study
from studies.core.seeds import confirm_seeds
from studies.engines.inline import Inline
from studies.planning.layout import models_folder
from studies.protocol import phases
from studies.protocol.control import Control, StudyInterrupted
from studies.protocol.fresh_start import start_fresh
from studies.protocol.phases import run_study
from studies.report.progress import Progress
from studies.report.table import markdown
from studies.report.warnings import warnings
from studies.storage.copying import copy_study
from studies.storage.sql import SqlStorage


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})


def run(plan, *, toy=None, test=None, listeners=(), control=None, **options):
    toy, test = toy or Toy(), test or TestSet()

    def objective(plan, keep_models):
        toy.keep_models = keep_models
        return toy

    return run_study(
        plan,
        control or Control(Inline()),
        objective=objective,
        read_test=test,
        listeners=listeners,
        **options,
    )


def test_search_confirm_test(tmp_path):
    toy, test = Toy(), TestSet()
    result = run(make_plan(tmp_path), toy=toy, test=test)
    search, confirm = toy.ran[:9], toy.ran[9:]
    assert result.states.get("COMPLETE", 0) + result.states.get("PRUNED", 0) == 9
    seeds = confirm_seeds(0, 3)
    # Three choices and the default, unless the default is adam's best: the same seeds for all.
    # The second best configuration of a choice, or its best, if that is found wanting, has two.
    of = {}
    for task in confirm:
        of.setdefault(str(task.params), []).append(task.seed)
    leaders = {str(row.candidate.params) for row in result.rows}
    others = {str(one.candidate.params) for row in result.rows for one in row.runners_up}
    assert set(of) == leaders | others and others - leaders
    for params, trained in of.items():
        assert trained == list(seeds if params in leaders else seeds[:2])
    assert not {task.seed for task in search} & set(seeds)
    assert result.best == "adam"
    assert {row.label for row in result.rows} == {"sgd", "adam", "adagrad", "adam (default)"}
    means = [row.confirm.mean for row in result.rows]
    assert means == sorted(means, reverse=True)
    assert test.readings == [[*range(len(confirm))]]
    assert len(result.test.times) == 1
    assert result.best_row.test is not None
    assert result.trained == 9 + len(confirm)


def test_confirms_the_best_complete_trial_of_each_choice(tmp_path):
    result = run(make_plan(tmp_path, trials=12))
    records = stored_study.read(make_plan(tmp_path, trials=12)).search
    for row in result.rows:
        if row.candidate.default:
            assert row.candidate.params == SPEC.default_of("adam")
            continue
        values = [
            record.value
            for record in records
            if record.state == "COMPLETE" and record.params["optim.name"] == row.label
        ]
        assert row.candidate.search_value == max(values)


def test_a_finished_study_trains_nothing_and_reads_no_test_set(tmp_path):
    first = run(make_plan(tmp_path))
    toy, test = Toy(), TestSet()
    second = run(make_plan(tmp_path), toy=toy, test=test)
    assert toy.ran == [] and test.readings == [] and second.trained == 0
    assert second.test == first.test
    assert [row.test for row in second.rows] == [row.test for row in first.rows]


def test_resume_adds_only_what_is_missing(tmp_path):
    run(make_plan(tmp_path, trials=6))
    toy = Toy()
    result = run(make_plan(tmp_path, trials=9), toy=toy)
    assert sum(task.seed not in confirm_seeds(0, 3) for task in toy.ran) == 3
    assert sum(result.states.values()) == 9


class StopAfter:
    """Stops the study at the n-th start."""

    def __init__(self, n):
        self.n, self.control = n, Control(Inline())

    def __call__(self, event):
        self.n -= event.kind == "start"
        if self.n == 0 and event.kind == "start":
            self.control.stop()


@pytest.mark.parametrize(("after", "where"), [(4, "search"), (9, "search"), (11, "confirm")])
def test_an_interrupted_study_goes_on_to_exactly_its_end(tmp_path, after, where):
    whole = run(make_plan(tmp_path / "whole"))
    stop, first, second = StopAfter(after), Toy(), Toy()
    with pytest.raises(StudyInterrupted) as caught:
        run(make_plan(tmp_path), toy=first, listeners=[stop], control=stop.control)
    assert caught.value.phase == where
    assert len(first.ran) == after
    result = run(make_plan(tmp_path), toy=second)
    assert len(first.ran) + len(second.ran) == whole.trained
    assert [row.values for row in result.rows] == [row.values for row in whole.rows]


def test_no_test_reading_after_an_interruption_of_the_last_training(tmp_path):
    total = run(make_plan(tmp_path / "whole")).trained
    stop, test = StopAfter(total), TestSet()
    with pytest.raises(StudyInterrupted):
        run(make_plan(tmp_path), listeners=[stop], control=stop.control, test=test)
    assert test.readings == []


def test_all_trials_failed_is_one_line_with_the_reason(tmp_path):
    toy = Toy(failing=("sgd", "adam", "adagrad"))
    with pytest.raises(UserError, match=r"9 .*\(9 .*NonFiniteLoss"):
        run(make_plan(tmp_path), toy=toy)


def test_a_choice_without_a_complete_trial_stays_in_the_table(tmp_path):
    result = run(make_plan(tmp_path), toy=Toy(failing=("sgd",)))
    row = result.rows[-1]
    assert (row.label, row.candidate, row.confirm) == ("sgd", None, None)
    assert row.failed >= 2
    assert result.failures[0][0] == "NonFiniteLoss: the loss is nan at step 1"


def test_a_crash_while_the_test_set_is_read_counts_as_a_reading(tmp_path):
    def broken(plan, models):
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        run(make_plan(tmp_path), test=broken)
    assert stored_study.read(make_plan(tmp_path)).phase == "test"
    result = run(make_plan(tmp_path))
    assert len(result.test.times) == 2


def test_a_lost_model_is_said_and_not_invented(tmp_path):
    plan = make_plan(tmp_path)
    total = run(make_plan(tmp_path / "whole")).trained
    stop = StopAfter(total)
    with pytest.raises(StudyInterrupted):
        run(plan, listeners=[stop], control=stop.control)
    (phases.models_folder(plan.folder) / "0.safetensors").unlink()
    events = []
    result = run(plan, listeners=[events.append])
    assert 0 not in result.test.values and 1 in result.test.values
    assert any("trials 0 are not in" in event.data.get("text", "") for event in events)


def test_status_reads_what_run_returned(tmp_path):
    result = run(make_plan(tmp_path))
    found = stored_study.read(make_plan(tmp_path))
    assert found.result.rows == result.rows
    assert found.lease is None
    assert found.phase == "finished"


def test_a_confirm_training_that_a_full_disk_ended_is_run_again(tmp_path):
    class FullDisk(Toy):
        full = True

        def __call__(self, task, report):
            outcome = super().__call__(task, report)
            if self.keep_models is not None and self.full:
                raise OSError(28, "No space left on device")
            return outcome

    toy = FullDisk()
    first = run(make_plan(tmp_path), toy=toy)
    assert first.best is None
    toy.full = False
    second = run(make_plan(tmp_path), toy=toy)
    assert second.best == "adam"
    assert all(row.confirm.n == 3 and row.confirm_failed == 0 for row in second.rows)
    assert run(make_plan(tmp_path), toy=toy).trained == 0


def test_a_training_that_diverges_is_not_confirmed_again(tmp_path):
    toy = Toy()
    run(make_plan(tmp_path), toy=Toy())

    class Diverging(Toy):
        def __call__(self, task, report):
            if self.keep_models is not None:
                raise TrainingError("NonFiniteLoss", "the loss is nan")
            return super().__call__(task, report)

    other = make_plan(tmp_path / "other")
    run(other, toy=Diverging())
    assert run(other, toy=toy).trained == 0


def test_a_resumed_phase_begins_with_what_is_there(tmp_path):
    events = []
    run(make_plan(tmp_path, trials=6))
    run(make_plan(tmp_path, trials=9), listeners=[events.append])
    begun = next(event for event in events if event.kind == "phase").data
    assert begun["done"] == 6 == sum(begun["counts"].values())
    search = stored_study.read(make_plan(tmp_path, trials=9)).search[:6]
    best = max((r for r in search if r.state == "COMPLETE"), key=lambda r: r.value)
    assert (begun["best"]["value"], begun["best"]["trial"]) == (best.value, best.number)
    progress = Progress(metric="val_accuracy")
    progress.add(next(event for event in events if event.kind == "phase"))
    assert progress.best.value == best.value and progress.counts["complete"] > 0


def test_a_broken_off_reading_is_said_as_such(tmp_path):
    plan = make_plan(tmp_path)

    def dies(plan, models):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, test=dies)
    result = run(plan)
    first, second = result.test.readings
    assert (first.kept, second.kept) == (False, True)
    assert first.trials == second.trials == tuple(result.test.values)
    (said,) = [line for line in warnings(result) if "test set" in line]
    assert said.endswith("read 2 times: 1 broken off before the values were kept")
    more = run(make_plan(tmp_path, seeds=4), read_test_again=True)
    (said,) = [line for line in warnings(more) if "test set" in line]
    models = len(more.test.values) - len(result.test.values)
    assert "3 times: 1 broken off" in said
    assert said.endswith(f"kept; {models} models were confirmed after a reading")


def test_readings_by_single_commands_are_counted(tmp_path):
    plan, test = make_plan(tmp_path), TestSet()
    run(plan, test=test)
    model = models_folder(plan.folder) / "3.safetensors"
    study_readings.record(model, by="evaluate", trained_on="mnist-10pct", data="mnist")
    for result in (stored_study.read(plan).result, run(plan, test=test)):
        assert len(result.test.times) == 2 and "read 2 times" in markdown(result)
        (line,) = [line for line in warnings(result) if "the test set was read" in line]
        assert line.endswith("1 by python -m mnist_core evaluate")
    assert len(test.readings) == 1
    inherited = result.test.inherited("old")
    assert [one.study for one in inherited.readings] == ["old", "old"]


def test_readings_by_single_commands_are_found_wherever_the_study_ran(tmp_path):
    """The storage lies elsewhere, and the next command names another folder."""
    url = f"journal:///{tmp_path / 'elsewhere'}"
    first = dataclasses.replace(make_plan(tmp_path / "a"), storage_url=url)
    run(first)
    model = models_folder(first.folder) / "3.safetensors"
    study_readings.record(model, by="evaluate", trained_on="mnist-10pct", data="mnist")
    copied = f"journal:///{tmp_path / 'copied'}"
    copy_study(first.name, source=url, target=copied)
    for there in (url, copied):
        moved = dataclasses.replace(first, folder=tmp_path / "b" / "toy", storage_url=there)
        assert len(stored_study.read(moved).test.times) == 2
        start_fresh(moved, say=lambda line: None)
        assert len(run(moved).test.times) == 2


def test_a_study_without_a_test_set_ends_without_one_until_it_comes(tmp_path):
    plan, test = make_plan(tmp_path), TestSet()
    none = dataclasses.replace(plan, train=plan.train.override({"data.test_set": False}))
    said = []
    result = run(none, test=test, listeners=[said.append])
    assert result.test.absent and not result.test.times and not test.readings
    assert "no test set" in markdown(result)
    assert any("no test set" in str(one.data.get("text")) for one in said)
    assert stored_study.read(plan).phase == "finished"  # whoever looks knows it from the study
    result = run(plan, test=test)
    assert result.trained == 0 and len(test.readings) == 1
    assert result.best_row.test is not None and not stored_study.read(plan).result.test.absent


def test_a_test_set_that_comes_later_may_not_change(tmp_path):
    plan = make_plan(tmp_path)
    run(plan)
    for _ in range(2):
        run(dataclasses.replace(plan, test_data="toy-data and test"))
    with pytest.raises(UserError, match="toy-data and test -> others"):
        run(dataclasses.replace(plan, test_data="others"))


def test_the_test_set_is_read_again_only_when_asked(tmp_path):
    first = run(make_plan(tmp_path))
    events, test, longer = [], TestSet(), make_plan(tmp_path, seeds=4)
    second = run(longer, test=test, listeners=[events.append])
    assert test.readings == [] and second.test == first.test
    (said,) = [e.data["text"] for e in events if "--read-test-again" in e.data.get("text", "")]
    assert said.startswith("the test set is read once, and was on ")
    assert all(row.test.n == 3 and row.confirm.n == 4 for row in second.rows)
    (line,) = [line for line in warnings(second) if "--read-test-again" in line]
    assert line.startswith(f"{second.untested} confirmed models have no test value")
    assert "(3) |" in markdown(second) and "Test set read: 1 time: " in markdown(second)
    assert stored_study.read(longer).phase == "finished"
    third = run(longer, test=test, read_test_again=True)
    assert test.readings == [[n for n in third.test.values if n not in first.test.values]]
    assert third.untested == 0 and all(row.test.n == 4 for row in third.rows)
    assert "Test set read: 2 times: " in markdown(third)
    events.clear()
    run(longer, test=test, read_test_again=True, listeners=[events.append])
    assert len(test.readings) == 1
    assert any("every confirmed model has its test value" in str(e.data) for e in events)


def test_more_trials_that_change_the_winner_leave_it_untested(tmp_path):
    run(make_plan(tmp_path, trials=3))
    result = run(make_plan(tmp_path, trials=12))
    assert result.best_row.candidate.search_trial >= 3 and result.best_row.test is None
    assert len(result.test.times) == 1 and result.untested > 0


def test_a_listener_that_fails_costs_nothing(tmp_path):
    def gone(event):
        raise BrokenPipeError

    assert run(make_plan(tmp_path), listeners=[gone]).best == "adam"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that is finished, in SQLite."""
    plan = make_plan(tmp_path_factory.mktemp("finished"), sqlite=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})
        run(plan)
    return plan.folder


def test_a_damaged_database_is_one_line(tmp_path, finished):
    """Whatever page is overwritten: it is read as if sound, or refused in one line."""
    plan = make_plan(tmp_path, sqlite=True)
    shutil.copytree(finished, plan.folder)
    file = plan.folder / "study.db"
    sound, page = file.read_bytes(), 4096
    rng, refused = random.Random(0), 0
    for number in range(len(sound) // page):
        noise = rng.randbytes(page if number % 2 else 40)
        at = number * page + (0 if number % 2 else rng.randrange(page - 40))
        file.write_bytes(sound[:at] + noise + sound[at + len(noise) :])
        for side in ("-wal", "-shm"):
            file.with_name(file.name + side).unlink(missing_ok=True)
        for use in (stored_study.read, run):
            try:
                use(plan)
            except UserError as error:
                refused += 1
                assert len(str(error).splitlines()) == 1
    assert refused > 20


@pytest.mark.parametrize(
    "change",
    [
        "study_user_attributes SET value_json = '{'",
        "study_user_attributes SET value_json = '[1]'",
        "study_directions SET direction = 'sideways'",
        "trials SET datetime_start = 'noon'",
        "trials SET state = 'ASLEEP'",
        "trial_intermediate_values SET intermediate_value_type = '1INITE'",
        "trial_params SET distribution_json = '{}'",
        "trial_params SET param_value = 99",
        "trial_params SET param_name = 'x' WHERE param_name = 'adam.lr'",
        "trial_user_attributes SET value_json = '\"x\"'",
    ],
)
def test_a_database_that_holds_garbage_is_one_line(tmp_path, finished, change):
    plan = make_plan(tmp_path, sqlite=True)
    shutil.copytree(finished, plan.folder)
    with sqlite3.connect(plan.folder / "study.db") as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE {change}")
    connection.close()
    for use in (stored_study.read, run):
        with pytest.raises(UserError) as caught:
            use(plan)
        assert len(str(caught.value).splitlines()) == 1


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*arguments, **named):
        raise StorageInternalError(
            "An exception is raised during the commit"
        ) from OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))

    monkeypatch.setattr(SqlStorage, "set_trial_user_attrs", full)
    with pytest.raises(UserError, match=r"study\.db: "):
        run(make_plan(tmp_path, sqlite=True))


def test_a_study_of_other_settings_is_shown_but_not_exported(tmp_path):
    run(make_plan(tmp_path))
    found = stored_study.read(make_plan(tmp_path, train={"epochs": 9}, search={"seed": 3}))
    assert len(found.search) == 9 and found.result is None
    assert "seed: 0 -> 3" in found.differs
    with pytest.raises(UserError, match="with other settings"):
        found.finished()


def test_status_goes_by_the_budget_of_the_last_run(tmp_path):
    run(make_plan(tmp_path, trials=12, seeds=4))
    found = stored_study.read(make_plan(tmp_path))
    assert (found.plan.trials, found.plan.confirm_seeds) == (12, 4)
    assert found.phase == "finished"


def test_nothing_is_exported_before_the_end(tmp_path):
    def stop(plan, models):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_plan(tmp_path), test=stop)
    found = stored_study.read(make_plan(tmp_path))
    assert found.phase == "test"
    with pytest.raises(UserError, match="is in its test phase"):
        found.finished()
