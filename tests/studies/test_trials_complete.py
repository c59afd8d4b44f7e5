"""``search.trials_complete``: the search ends with that many complete trials, and not later."""

import dataclasses
import random

import pytest
from test_batch_order import reports
from toy import Toy, make_plan

from mnist_core.errors import ConfigError
from objectives.base import Outcome
from studies.analysis.stored_study import read
from studies.core.trials import Failure
from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.planning.plan import resolve
from studies.report.overview import describe
from studies.search.stopping import COMPLETE
from studies.storage.open import close_storage, open_storage
from studies.storage.records import read_trials


def at(folder, complete, trials, **search):
    plan = make_plan(folder, trials=trials, search={"pruner": "none", **search})
    return dataclasses.replace(plan, trials_complete=complete)


def run(plan, workers, chance, *, until=None):
    """Run the search as several workers would, by chance; every third trial fails."""
    storage = open_storage(plan.storage_url, create=True)
    turns, running, over = random.Random(chance), [], 0
    with open_search(plan, storage) as book:
        while over != until:
            while len(running) < workers and (task := book.ask()) is not None:
                running.append(task)
            if not running:
                break
            task = running.pop(turns.randrange(len(running)))
            over += 1
            if task.number % 3 == 2:
                book.fail(task, Failure(kind="KeyError", message="it was made to fail"))
            else:
                metrics = {"val_accuracy": reports(task)[-1], "val_loss": 0.1}
                book.finish(task, Outcome(metrics=metrics))
            assert book.done <= book.total <= plan.trials
        left, stopped = book.total, book.stopped
        records = read_trials(book.study)
    close_storage(storage)
    return [record.state for record in records], left, stopped


@pytest.mark.parametrize("order", ["async", "batch"])
@pytest.mark.parametrize("workers", [1, 4])
def test_exactly_that_many_are_complete_also_over_resumes(tmp_path, workers, order):
    plan = at(tmp_path, 7, 40, order=order, batch=4, sampler="random")
    run(plan, workers, 1, until=5)
    states, total, stopped = run(plan, workers, 2)
    # The shortest row with 7 complete ones, whatever the number of workers.
    assert states == ["COMPLETE", "COMPLETE", "FAIL"] * 3 + ["COMPLETE"]
    assert total == len(states) and stopped.rule == COMPLETE
    assert read(plan).stopped == stopped
    more = dataclasses.replace(plan, trials_complete=8)
    assert run(more, workers, 3)[0].count("COMPLETE") == 8


def test_trials_end_it_in_any_case(tmp_path):
    states, total, stopped = run(at(tmp_path, 8, 9), 2, 1)
    assert states.count("COMPLETE") == 6 and total == 9 and stopped is None


def test_where_everything_fails_it_ends(tmp_path):
    plan = at(tmp_path, 3, 12)
    storage = open_storage(plan.storage_url, create=True)
    with open_search(plan, storage) as book:
        Inline().run(book, Toy(failing=("sgd", "adam", "adagrad")))
        assert book.done == book.total
        assert {record.state for record in read_trials(book.study)} == {"FAIL"}
    close_storage(storage)


def test_the_bound_is_ten_times_as_many_unless_it_is_given():
    def of(**sets):
        return resolve("optim_search", sets={f"search.{k}": v for k, v in sets.items()})

    plan = of(trials_complete=60)
    assert (plan.trials, plan.trials_complete) == (600, 60)
    assert of(trials_complete=60, trials=80).trials == 80
    with pytest.raises(ConfigError, match=r"search\.trials_complete"):
        of(trials_complete=60, trials=50)
    assert of(trials_per_choice=8).trials == 72
    shown = {row.name: row.value for row in describe(plan)}
    assert "60" in shown["search.trials_complete"] and "600" in shown["search.trials"]
