"""The order of an asynchronous search is recorded, and leads to the same trials again.

``studies replay`` is in test_end_to_end.py, where there is a study to replay.
"""

import dataclasses
import random

import optuna
import pytest
from supervisors import finish, start, trials, until_it_says  # noqa: F401
from test_batch_order import reports
from toy import make_plan

from mnist_core.errors import UserError
from objectives.base import Outcome
from studies.core.attributes import RUNS
from studies.core.trials import Failure
from studies.ledger.opening import open_search
from studies.ledger.order import happenings
from studies.protocol import replay as replaying
from studies.protocol.replay import Replay, ReplayDiffers
from studies.storage.open import close_storage, open_storage

MEDIAN = {"sampler": "tpe", "sampler_options": {"n_startup_trials": 4}}
MEDIAN |= {"pruner": "median", "pruner_options": {"n_startup_trials": 1}}
LOST = Failure(kind="WorkerLost", message="worker process 7 was killed")


def at(folder, workers=3, trials=14, **search):
    plan = make_plan(folder, trials=trials, search=search or MEDIAN)
    url = f"journal:///{folder / 'journal'}"
    return dataclasses.replace(plan, workers=workers, storage_url=url)


def search(plan, chance, *, steps=None, kill=False):
    """Run ``plan`` as several workers would, by chance; some are lost, some trials fail."""
    storage = open_storage(plan.storage_url, create=True)
    storage.file.durable = False
    turns, running, reported = random.Random(chance), [], 0
    book = open_search(plan, storage)
    while reported != steps:
        while len(running) < plan.workers and (task := book.ask()) is not None:
            running.append([task, reports(task), 0])
        if not running:
            break
        chosen = turns.choice(running)
        task, values, step = chosen
        if task.attempt == 0 and turns.random() < 0.05:
            running.remove(chosen)
            book.lose(task, LOST)
            continue
        continues = book.report(task, step + 1, {"val_accuracy": values[step]})
        book.flush()
        chosen[2] += 1
        reported += 1
        if not continues or step == 2:
            running.remove(chosen)
            if turns.random() < 0.1:
                book.fail(task, Failure(kind="ValueError", message="it was made to fail"))
                continue
            outcome = Outcome(metrics={"val_accuracy": values[step]}, stopped=not continues)
            book.finish(task, outcome)
    if not kill:
        book.close()
    close_storage(storage)


def again(plan, folder):
    folder.mkdir()
    storage = open_storage(plan.storage_url, create=False)
    study = optuna.load_study(study_name="toy", storage=storage)
    found = Replay(plan, study, folder).go()
    close_storage(storage)
    return found


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("tpe", "median"), ("qmc", "hyperband"), ("nsga2", "successive_halving"), ("cmaes", "none")],
)
def test_a_search_is_replayed(tmp_path, sampler, pruner):
    plan = (
        at(tmp_path, **MEDIAN)
        if pruner == "median"
        else at(tmp_path, sampler=sampler, pruner=pruner, sentinels=0.3)
    )
    search(plan, 1)
    before = (tmp_path / "journal").read_bytes()
    found = again(plan, tmp_path / "replay")
    assert found.proposals == 14 and found.decisions >= 14 and found.untold == 0
    assert (tmp_path / "journal").read_bytes() == before


@pytest.mark.parametrize("kill", [False, True])
@pytest.mark.parametrize("chance", [2, 3])
def test_a_search_of_several_runs_is_replayed(tmp_path, monkeypatch, kill, chance):
    if kill:  # the next run finds the lease of a process that is gone
        monkeypatch.setattr("studies.ledger.trial_book.TrialBook.close", lambda book: None)
    search(at(tmp_path, trials=8), chance, steps=9, kill=kill)
    search(at(tmp_path, trials=8, workers=2), chance, steps=9, kill=kill)
    plan = at(tmp_path, trials=14, workers=4)
    search(plan, chance)
    kinds = {one.kind for trial in trials(plan.storage_url) for one in happenings(trial)}
    assert ("d" in kinds) is kill
    assert again(plan, tmp_path / "replay").proposals == 14


def test_the_order_is_compact(tmp_path):
    plan = at(tmp_path)
    search(plan, 1)
    events = sorted(one for trial in trials(plan.storage_url) for one in happenings(trial))
    assert [one.count for one in events] == list(range(1, len(events) + 1))
    assert events[0].kind == "a" and events[-1].kind == "t"
    assert all(len(trial.user_attrs["order"]) < 60 for trial in trials(plan.storage_url))


def test_the_first_difference_is_named(tmp_path, monkeypatch):
    plan = at(tmp_path)
    search(plan, 1)
    for number, seed in ((6, 5), (9, 5)):  # another sampler from there on
        with monkeypatch.context() as patch:
            kept = replaying.open_search.__globals__["SearchSource"].sampler

            def other(source, n, number=number, kept=kept, seed=seed):
                return kept(source, n if n < number else n + 1000 * seed)

            patch.setattr("studies.ledger.opening.SearchSource.sampler", other)
            with pytest.raises(ReplayDiffers, match=rf"^trial {number}: .* but is now proposed as"):
                again(plan, tmp_path / f"replay{number}")


def changed(plan, change):
    """Write other settings into the record of the first run."""
    storage = open_storage(plan.storage_url, create=False)
    study = optuna.load_study(study_name="toy", storage=storage)
    runs = study.user_attrs[RUNS]
    runs[0]["search"] |= change
    study.set_user_attr(RUNS, runs)
    close_storage(storage)


def test_another_answer_of_the_pruner_is_named(tmp_path):
    plan = at(tmp_path)
    search(plan, 1)
    assert "PRUNED" in {trial.state.name for trial in trials(plan.storage_url)}
    changed(plan, {"pruner": "none", "pruner_options": {}})
    with pytest.raises(ReplayDiffers, match=r"it was stopped, but now it is continued"):
        again(plan, tmp_path / "replay")


def test_what_cannot_be_replayed(tmp_path):
    plan = at(tmp_path)
    storage = open_storage(plan.storage_url, create=True)
    with open_search(plan, storage, join=True) as book:
        book.finish(book.ask(), Outcome(metrics={"val_accuracy": 0.5}))
    close_storage(storage)
    with pytest.raises(UserError, match="several supervisors"):
        again(plan, tmp_path / "replay")


def test_real_processes_killed_and_gone_on(tmp_path, start):  # noqa: F811
    killed = start(tmp_path, workers=3, search=MEDIAN, hold=5)
    until_it_says(killed, "held")
    killed.kill()
    killed.communicate()
    finish(start(tmp_path, workers=2, search=MEDIAN))
    plan = make_plan(tmp_path, trials=16, sqlite=True, search=MEDIAN)
    assert again(plan, tmp_path / "replay").proposals == 16
