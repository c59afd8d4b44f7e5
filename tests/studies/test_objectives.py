"""Studies with several objectives and with constraints: trials, results, and what is refused."""

import dataclasses
import itertools
import math
from dataclasses import dataclass

import optuna
import pytest
import toy
from toy import TestSet, make_plan

from mnist_core.errors import ConfigError, UserError
from objectives.base import Outcome, Report, Task
from studies.analysis import stored_study
from studies.analysis.audit_curves import read_curves
from studies.analysis.export import write_best_config, write_trial
from studies.engines.inline import Inline
from studies.ledger.opening import open_search
from studies.protocol.control import Control
from studies.protocol.phases import run_study
from studies.report.overview import print_status
from studies.report.table import markdown
from studies.report.verdict_text import verdict_lines
from studies.report.warnings import warnings
from studies.search import stopping
from studies.search.search_checks import check_search, notes
from studies.storage.copying import copy_study
from studies.storage.open import close_storage, open_storage, sqlite_url

SMALL_IS_GOOD = {"parameters": "minimize"}


@dataclass
class Sized:
    """The toy, whose rate is its size: 1e-4 has 10,000 parameters, 1 has 100 million."""

    keep_models: object = None
    most: float = math.inf
    seconds: float = 1.0

    def __post_init__(self):
        self.toy = toy.Toy(self.keep_models)

    def __call__(self, task: Task, report: Report) -> Outcome:
        rate = task.params[f"{task.params['optim.name']}.lr"]
        parameters = float(round(1e8 * rate))
        if parameters > self.most:
            return Outcome(metrics={"parameters": parameters}, stopped=True)

        def pass_on(step, metrics):
            report(step, {**metrics, "parameters": parameters})

        done = self.toy(task, pass_on)
        costs = {"parameters": parameters, "seconds": self.seconds * rate}
        return dataclasses.replace(done, metrics={**done.metrics, **costs})


def plan_with(folder, *, trials=9, front=8, url=None, stop=None, **search):
    search = {"sampler": "random", "pruner": "none", "stop": stop or {}, **search}
    plan = make_plan(folder, trials=trials, search=search, confirm={"front": front})
    return dataclasses.replace(plan, storage_url=url) if url else plan


def run(plan, *, retry_failed=False, **sized):
    def objective(plan, keep_models):
        return Sized(keep_models, **sized)

    with Inline() as engine:
        return run_study(
            plan,
            Control(engine),
            objective=objective,
            read_test=TestSet(),
            retry_failed=retry_failed,
        )


def trials_of(plan, name="toy"):
    storage = open_storage(plan.storage_url, create=False)
    study = optuna.load_study(study_name=name, storage=storage)
    found = study.get_trials(), study.directions
    close_storage(storage)
    return found


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_two_objectives_from_search_to_export(tmp_path, capsys, kind):
    url = f"{kind}:///{tmp_path}/toy/study.file"
    plan = plan_with(tmp_path, trials=16, front=3, objectives=SMALL_IS_GOOD, url=url)
    result = run(plan)
    trials, directions = trials_of(plan)
    assert [direction.name for direction in directions] == ["MAXIMIZE", "MINIMIZE"]
    assert all(len(trial.values) == 2 for trial in trials)
    assert all(trial.intermediate_values for trial in trials)

    front = {record.number for record in result.front}
    assert front == {trial.number for trial in optuna_front(plan)} and len(front) > 3
    chosen = {row.candidate.search_trial for row in result.rows if not row.candidate.default}
    assert len(chosen) == 3 and chosen < front
    ends = [result.front[0].number, result.front[-1].number]
    assert chosen > set(ends)
    assert [row.label for row in result.rows if row.candidate.default] == ["default"]
    assert all(row.confirm.n == 3 for row in result.rows)
    best = max(result.rows, key=lambda row: row.confirm.mean)
    assert result.best == best.label

    said = markdown(result)
    assert "| trial | search | confirm | parameters | minus default | front |" in said
    assert f"Pareto front (val_accuracy, parameters): {len(front)} of the search's trials" in said
    assert "not confirmed: trial" in said and "3 of 6 trials on the front" in said
    held = stored_study.read(plan)
    assert held.phase == "finished" and markdown(held.finished()) == said
    print_status(held)
    assert "Pareto front" in capsys.readouterr().out

    best_file = write_best_config(result).read_text()
    assert "parameters = " in best_file and f"trial = {best.candidate.search_trial}" in best_file
    assert "parameters = " in write_trial(held, 5).read_text()
    assert run(plan).trained == 0


def optuna_front(plan):
    storage = open_storage(plan.storage_url, create=False)
    found = optuna.load_study(study_name="toy", storage=storage).best_trials
    close_storage(storage)
    return found


def test_a_copy_holds_all_objectives_and_an_audit_says_why_not(tmp_path):
    plan = plan_with(tmp_path, objectives=SMALL_IS_GOOD)
    run(plan)
    target = sqlite_url(tmp_path / "copy.db")
    copy_study("toy", source=plan.storage_url, target=target)
    copied = dataclasses.replace(plan, storage_url=target)
    assert [t.values for t in trials_of(copied)[0]] == [t.values for t in trials_of(plan)[0]]
    with pytest.raises(UserError, match="has several objectives"):
        read_curves(plan.location, plan.spec, plan.goals)


@pytest.mark.parametrize(
    ("sampler", "constrained"),
    [
        *itertools.product(["random", "qmc", "grid", "tpe", "nsga2"], [False, True]),
        ("gp", True),
        pytest.param("gp", False, marks=pytest.mark.long),
    ],
)
def test_samplers_propose_for_two_objectives_pruned_and_infeasible_trials_among_them(
    tmp_path, sampler, constrained
):
    options = {
        "grid": {"points": 9},
        "tpe": {"n_startup_trials": 4},
        "gp": {"n_startup_trials": 2},
        "nsga2": {"population_size": 2},
    }
    plan = plan_with(
        tmp_path,
        trials=9 if sampler == "gp" else 14,
        sampler=sampler,
        sampler_options=options.get(sampler, {}),
        pruner="median",
        pruner_options={"n_startup_trials": 1, "n_warmup_steps": 0},
        objectives=SMALL_IS_GOOD,
        constraints={"parameters": 3e6} if constrained else {},
    )
    check_search(plan)
    storage = open_storage(plan.storage_url, create=True)
    with Inline() as engine, open_search(plan, storage) as book:
        engine.run(book, Sized(most=3e6 if constrained else math.inf))
        found = book.records()
    close_storage(storage)
    assert len(found) == plan.trials
    endings = {record.ending for record in found}
    assert endings <= {"COMPLETE", "PRUNED", "INFEASIBLE"} and "COMPLETE" in endings
    assert ("INFEASIBLE" in endings) is constrained
    trials, _ = trials_of(plan)
    for trial, record in zip(trials, found, strict=True):
        assert (trial.values is None) is (record.state != "COMPLETE")
        if record.ending == "INFEASIBLE":
            excess = record.metrics["parameters"] / 3e6 - 1
            assert trial.constraints == {"parameters": pytest.approx(excess)} and excess > 0
            assert record.failure.kind == "Infeasible"
            assert record.failure.message.endswith("parameters > 3,000,000; not trained")


def test_a_small_model_is_not_stopped_for_what_larger_ones_reach(tmp_path):
    """By accuracy alone it would be: it is last in each report."""
    plan = plan_with(
        tmp_path,
        trials=12,
        pruner="median",
        pruner_options={"n_startup_trials": 1, "n_warmup_steps": 0},
    )
    sizes = {n: 1000.0 - n for n in range(12)}

    def pruned(plan, folder):
        storage = open_storage(sqlite_url(folder / "pruned.db"), create=True)
        with open_search(plan, storage) as book:
            while (task := book.ask()) is not None:
                book.started(task, 1)
                value = 0.9 - task.number / 100
                metrics = {"val_accuracy": value, "parameters": sizes[task.number]}
                continues = all(book.report(task, step, metrics) for step in (1, 2))
                book.finish(task, Outcome(metrics=metrics, stopped=not continues))
            states = [record.state for record in book.records()]
        close_storage(storage)
        return states.count("PRUNED")

    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    assert pruned(plan, folders[0]) > 3
    search = plan.settings.search.model_copy(update={"objectives": SMALL_IS_GOOD})
    settings = plan.settings.model_copy(update={"search": search})
    several = dataclasses.replace(plan, settings=settings)
    assert pruned(several, folders[1]) == 0
    assert "compares a trial with those that have no more parameters" in "\n".join(notes(several))


def test_one_objective_and_a_constraint(tmp_path):
    plan = plan_with(tmp_path, trials=30, constraints={"parameters": 6e5})
    result = run(plan, most=6e5)
    search = stored_study.read(plan).search
    assert result.states["INFEASIBLE"] > 0 and result.failures == ()
    assert sum(result.states.values()) == len(search) == 30
    best = {row.label: row.candidate.params for row in result.rows if row.candidate}
    for label, params in best.items():
        if label != "adam (default)":
            assert 1e8 * params[f"{params['optim.name']}.lr"] <= 6e5
    assert "infeasible" in markdown(result)
    # What was not trained is not tried again: it would be over the limit as before.
    assert run(plan, retry_failed=True, most=6e5).trained == 0


def test_what_takes_too_long_is_complete_and_wins_nothing(tmp_path):
    plan = plan_with(tmp_path, trials=30, constraints={"seconds": 0.005})
    result = run(plan)
    search = stored_study.read(plan).search
    assert {record.state for record in search} == {"COMPLETE"}
    slow = {r.number for r in search if r.metrics["seconds"] > 0.005}
    assert {r.number for r in search if not r.feasible} == slow and slow
    assert not slow & {row.candidate.search_trial for row in result.rows if not is_default(row)}
    best = result.best_row.candidate
    assert best.search_trial not in slow


def test_a_default_over_the_constraints_is_not_counted_among_the_beaten(tmp_path):
    # adam 1e-3 takes 1 ms, within the limit only where it is tuned down; sgd 1e-2 takes 10.
    plan = plan_with(tmp_path, trials=30, constraints={"seconds": 0.0009})
    result = run(plan)
    default = next(row for row in result.rows if row.candidate and row.candidate.default)
    assert default.confirm and not default.candidate.feasible and result.best == "adam"
    able = {row.label for row in result.rows if row.confirm} - {"adam", default.label}
    others = f"each of the {len(able)} others" if len(able) > 1 else "the other one"
    said = verdict_lines(result)[0]
    assert said.startswith("Only adam" if not able else "Best: adam") and (
        not able or others in said
    )


def test_a_winner_that_is_over_the_constraints_in_its_confirmation_is_said(tmp_path):
    plan = plan_with(tmp_path, trials=12, constraints={"seconds": 0.5})

    def objective(plan, keep_models):
        return Sized(keep_models, seconds=1.0 if keep_models is None else 1e4)

    with Inline() as engine:
        result = run_study(plan, Control(engine), objective=objective, read_test=TestSet())
    said = [line for line in warnings(result) if line.startswith(f"{result.best}: ")]
    assert len(said) == 1 and "3 of its 3 confirm trainings exceed them" in said[0]
    assert not any("confirm trainings are over" in line for line in warnings(run(plan_with(
        tmp_path / "kept", trials=12, constraints={"seconds": 1.0}))))  # fmt: skip


def test_a_default_on_the_front_is_one_configuration(tmp_path):
    said = markdown(run(plan_with(tmp_path, trials=3, objectives=SMALL_IS_GOOD)))
    assert "of 1 configuration on 3 fresh seeds 1 " in said
    assert "\ntrial 0 (the default): " in said and "\ndefault: " not in said


def is_default(row):
    return row.candidate is None or row.candidate.default


@pytest.mark.parametrize("objectives", [{}, SMALL_IS_GOOD])
def test_nothing_keeps_the_constraint(tmp_path, objectives):
    plan = plan_with(tmp_path, trials=20, constraints={"parameters": 10}, objectives=objectives)
    with pytest.raises(UserError) as error:
        run(plan, most=10)
    said = str(error.value)
    assert "none of its 20 search trials ran its full budget within the constraints" in said
    assert "(parameters <= 10)" in said and "\n" not in said
    assert len(stored_study.read(plan).search) == 20  # the share of failures ended nothing


def test_other_goals_are_another_study(tmp_path):
    run(plan_with(tmp_path))
    with pytest.raises(UserError, match="objectives"):
        run(plan_with(tmp_path, objectives=SMALL_IS_GOOD))
    with pytest.raises(UserError, match="constraints"):
        run(plan_with(tmp_path, constraints={"parameters": 7}))


@pytest.mark.parametrize(
    ("search", "said"),
    [
        ({"sampler": "cmaes"}, "search.sampler: cmaes cannot propose for several objectives"),
        ({"sampler": "auto"}, "search.sampler: auto cannot propose for several objectives"),
        ({"stop": {"target": 0.9}}, "search.stop.target: it looks at one objective"),
        ({"stop": {"patience": 9}}, "search.stop.patience: it looks at one objective"),
        (
            {"objectives": {"seconds": "minimize"}, "pruner": "median"},
            "search.pruner: median judges by val_accuracy while trials run",
        ),
        (
            {"sampler": "gp", "constraints": {"seconds": 9}},
            "search.sampler: gp must know of every trial",
        ),
        ({"objectives": {"size": "minimize"}}, "search.objectives: unknown name 'size'"),
    ],
)
def test_what_cannot_work_is_refused(tmp_path, search, said):
    plan = plan_with(tmp_path, **{"objectives": SMALL_IS_GOOD, **search})
    with pytest.raises(ConfigError) as error:
        check_search(plan)
    assert str(error.value).startswith(said) and "\n" not in str(error.value)


def test_infeasible_trials_are_no_failures_and_no_best_for_the_rules_that_stop(tmp_path):
    plan = plan_with(tmp_path)
    settings = plan.settings.search.stop.model_copy(update={"target": 0.5})
    rules = stopping.Stopping(settings, optuna.study.StudyDirection.MAXIMIZE)
    infeasible = optuna.trial.create_trial(
        state=optuna.trial.TrialState.FAIL, user_attrs={"failure": {"kind": "Infeasible"}}
    )
    for _ in range(20):
        rules.ended(infeasible)
    over = optuna.trial.create_trial(value=0.9)
    over.set_constraint("seconds", 0.1)
    rules.ended(over)
    assert rules.reason([], 100) is None
    rules.ended(optuna.trial.create_trial(value=0.6))
    assert rules.reason([], 100).rule == "target"


def test_an_interrupted_study_proposes_what_an_uninterrupted_one_does(tmp_path):
    def proposals(folder, stops):
        plan = plan_with(
            folder,
            trials=14,
            sampler="tpe",
            sampler_options={"n_startup_trials": 4},
            pruner="median",
            pruner_options={"n_startup_trials": 1, "n_warmup_steps": 0},
            objectives=SMALL_IS_GOOD,
            constraints={"parameters": 3e6},
        )
        storage = open_storage(plan.storage_url, create=True)
        for stop in (*stops, 14):
            with open_search(plan, storage) as book:
                while len(book.records()) < stop and (task := book.ask()) is not None:
                    with Inline() as engine:
                        engine.run(OneTask(book, [task]), Sized(most=3e6))
        found = [(r.params, r.ending, r.values) for r in book.records()]
        close_storage(storage)
        return found

    assert proposals(tmp_path / "one", []) == proposals(tmp_path / "two", [3, 8, 11])


class OneTask:
    """A book that gives one task only."""

    def __init__(self, book, tasks):
        self._book, self._tasks = book, tasks

    def __getattr__(self, name):
        return getattr(self._book, name)

    def ask(self):
        return self._tasks.pop() if self._tasks else None
