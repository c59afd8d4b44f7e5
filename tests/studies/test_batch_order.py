"""Batch order: the same trials for any number of workers, in any order of their ends."""

import dataclasses
import math
import random

import optuna
import pytest
from supervisors import finish, results, start, trials, until_it_says, url_of  # noqa: F401
from test_cli import call, inside, one_line, tiny
from toy import make_plan

from mnist_core.errors import ConfigError
from objectives.base import Outcome
from studies.ledger.opening import open_search
from studies.planning import machine
from studies.planning import plan as plans
from studies.search.search_checks import notes
from studies.storage.open import close_storage, open_storage

BATCHES = {"order": "batch", "batch": 4}


class Cut(BaseException):
    """Stands for a kill."""


def reports(task):
    name = task.params["optim.name"]
    best = 0.9 - 0.02 * (math.log10(task.params[f"{name}.lr"]) + 2) ** 2
    best += random.Random(task.seed).gauss(0, 0.01)
    return [best - 0.1 / step for step in (1, 2, 3)]


def search(folder, workers, chance, *, until=None, trials=16, stop=None, **settings):
    """Run a search as ``workers`` would whose steps take turns by chance; return its trials."""
    settings = {**BATCHES, "sampler": "random", "pruner": "none", **settings}
    plan = make_plan(folder, trials=trials, search={**settings, "stop": stop or {}})
    plan = dataclasses.replace(plan, storage_url=f"journal:///{folder / 'journal'}")
    storage = open_storage(plan.storage_url, create=True)
    storage.file.durable = False
    turns, running, told = random.Random(chance), [], 0
    with open_search(plan, storage) as book:
        while True:
            while len(running) < workers and (task := book.ask()) is not None:
                running.append([task, reports(task), 0])
            if not running or told == until:
                break
            chosen = turns.choice(running)
            task, values, step = chosen
            continues = book.report(task, step + 1, {"val_accuracy": values[step]})
            book.flush()
            chosen[2] += 1
            if not continues or step == 2:
                running.remove(chosen)
                metrics = {"val_accuracy": values[step]}
                book.finish(task, Outcome(metrics=metrics, stopped=not continues))
                told += 1
    close_storage(storage)
    return results(plan.storage_url)


@pytest.mark.parametrize(
    ("sampler", "pruner"),
    [("tpe", "median"), ("qmc", "hyperband"), ("nsga2", "successive_halving"), ("cmaes", "median")],
)
def test_the_same_for_any_order_of_ends(tmp_path, sampler, pruner):
    options = {"sampler": sampler, "pruner": pruner, "trials": 14}
    if pruner == "median":
        options["pruner_options"] = {"n_startup_trials": 1}
    straight = search(tmp_path / "1", 1, 0, **options)
    assert search(tmp_path / "3", 3, 1, **options) == straight
    search(tmp_path / "cut", 2, 2, until=6, **options)
    assert search(tmp_path / "cut", 4, 3, **options) == straight
    assert [number for number, *_ in straight] == list(range(14))
    if pruner == "median":
        assert "PRUNED" in {state for _, state, *_ in straight}


def test_without_batches_the_order_matters(tmp_path):
    """What the other tests compare does differ when nothing holds it together."""
    options = {"order": "async", "sampler": "tpe", "sampler_options": {"n_startup_trials": 3}}
    assert search(tmp_path / "1", 1, 0, **options) != search(tmp_path / "3", 3, 1, **options)


def test_an_extended_search_is_the_long_one(tmp_path):
    options = {"sampler": "tpe", "sampler_options": {"n_startup_trials": 3}}
    whole = search(tmp_path / "whole", 1, 0, trials=10, **options)
    search(tmp_path / "part", 1, 0, trials=6, **options)
    assert search(tmp_path / "part", 3, 1, trials=10, **options) == whole


def test_a_search_ends_between_two_batches(tmp_path):
    stop = {"patience": 2}
    straight = search(tmp_path / "1", 1, 0, trials=40, stop=stop)
    assert len(straight) % 4 == 0 and len(straight) < 40
    assert search(tmp_path / "3", 3, 1, trials=40, stop=stop) == straight
    search(tmp_path / "cut", 3, 2, trials=40, until=len(straight) - 3, stop=stop)
    assert search(tmp_path / "cut", 2, 3, trials=40, stop=stop) == straight


@pytest.mark.parametrize("sampler", ["qmc", "screen", "tpe", "nsga2"])
def test_a_proposal_that_was_cut_short_leaves_no_trace(tmp_path, monkeypatch, sampler):
    straight = search(tmp_path / "1", 1, 0, sampler=sampler)
    suggest = optuna.Trial.suggest_float

    def cut(trial, *arguments, **options):
        if trial.number == 9:  # its relative params are sampled, and what goes with them is kept
            raise Cut
        return suggest(trial, *arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(optuna.Trial, "suggest_float", cut)
        search(tmp_path / "cut", 2, 1, sampler=sampler)
    assert search(tmp_path / "cut", 2, 2, sampler=sampler) == straight


def test_a_study_keeps_its_order(tmp_path):
    search(tmp_path, 1, 0, trials=4)
    for change, said in (
        ({"order": "async"}, "search.order=async; set it back"),
        ({"batch": 8}, "search.batch=8"),
    ):
        with pytest.raises(ConfigError, match=said):
            search(tmp_path, 1, 0, trials=8, **change)
    assert len(search(tmp_path, 1, 0, trials=8)) == 8


def test_threads_do_not_follow_the_workers(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cores", lambda: 8)

    def plan(**settings):
        return plans.resolve("optim_search", sets={"device": "cpu", **settings})

    for workers in (0, 1, 2, 8):
        batch = plan(**{"search.order": "batch", "engine.workers": workers})
        assert batch.threads == batch.train.threads == 1
    assert plan(**{"engine.workers": 2}).threads == 4
    two = plan(**{"search.order": "batch", "engine.threads": 2, "engine.workers": 1})
    assert two.threads == 2
    assert "2 CPU threads a trial" in notes(two)[0]
    assert notes(plan()) == []
    limited = plan(**{"search.order": "batch", "search.batch": 2, "engine.trial_seconds": 9.0})
    assert "of 8 workers 2 have work" in notes(limited)[1]
    assert "engine.trial_seconds" in notes(limited)[2]


SEARCH = {**BATCHES, "sampler": "tpe", "sampler_options": {"n_startup_trials": 4}}
SEARCH |= {"pruner": "median", "pruner_options": {"n_startup_trials": 1}}


def test_one_worker_and_three_and_a_killed_run(tmp_path, start):  # noqa: F811
    runs = {n: start(tmp_path / str(n), workers=n, search=SEARCH) for n in (1, 3)}
    found = {}
    for n, process in runs.items():
        finish(process)
        url = url_of(tmp_path / str(n))
        found[n] = results(url), results(url, "toy.confirm")
    assert len(found[1][0]) == 16 and {"COMPLETE", "PRUNED"} == {s for _, s, *_ in found[1][0]}
    assert found[3] == found[1]

    killed = start(tmp_path / "killed", workers=3, search=SEARCH, hold=6)
    until_it_says(killed, "held")
    killed.kill()
    killed.communicate()
    url = url_of(tmp_path / "killed")
    assert sum(trial.state.is_finished() for trial in trials(url)) == 6
    finish(start(tmp_path / "killed", workers=2, search=SEARCH))
    assert (results(url), results(url, "toy.confirm")) == found[1]


@pytest.mark.long
def test_real_trainings_with_one_worker_and_two(tmp_path):
    """One worker would have both cores otherwise, and other sums."""
    options = ["--order", "batch", "--set", "search.batch=3", "--set", "search.trials_per_choice=0"]
    options += ["--set", "engine.threads=0"]
    found = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        done = call(*tiny(folder, trials=6), *options, "--workers", workers)
        assert done.returncode == 0, done.stderr
        assert "batch order: the same trials for any number of workers" in done.stdout
        url = f"sqlite:///{folder}/optim_search-quick/study.db"
        found[workers] = [
            results(url, name) for name in ("optim_search-quick", "optim_search-quick.confirm")
        ]
    assert found[1] == found[2]
    assert len(found[1][0]) == 6


def test_an_order_that_is_none():
    done = inside(["studies.run", "optim_search", "--order", "batches"])
    one_line(done, "--order", "batches")
