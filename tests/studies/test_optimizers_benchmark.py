"""benchmarks/optimizers.py: its functions, what a search is worth, and who counts as tied."""

import importlib
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from test_faults import BENCHMARKS

from studies import catalog


@pytest.fixture(scope="module")
def of():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS / "peers" / "ask_tell"))
        patch.syspath_prepend(str(BENCHMARKS))
        names = ("problems", "races", "report", "searchers", "compared")
        found = {name: importlib.import_module(f"optimizing.{name}") for name in names}
        instances = importlib.import_module("simulated.instances")
        serve = importlib.import_module("serve")
        yield SimpleNamespace(instances=instances, serve=serve, **found)


@pytest.fixture(scope="module")
def trainings(of):
    spec = catalog.get("optim_search")
    places = of.instances.Places(spec.space, spec.scientific, spec.defaults)
    return of.problems.Trainings(of.instances.Drawn(places, 0), places, 0)


def test_the_functions_have_their_known_minima(of):
    branin, hartmann = of.problems.Branin(), of.problems.Hartmann()
    for x, y in ((-np.pi, 12.275), (np.pi, 2.275), (9.42478, 2.475)):
        assert branin.regret({"x": x, "y": y}) == pytest.approx(0, abs=1e-5)
    best = (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573)
    params = {f"x{at}": value for at, value in enumerate(best)}
    assert hartmann.regret(params) == pytest.approx(0, abs=1e-5)
    assert hartmann.regret({name: 0.5 for name in params}) > 1


def test_a_training_that_is_continued_is_the_same_one(trainings):
    point = {"optim.name": "sgd", "sgd.lr": 0.1, "l2": 0.0, "schedule.name": "cosine"}
    losses = [trainings.loss(point, epochs, "a") for epochs in (6, 1, 6)]
    assert losses[0] == losses[2] != losses[1]
    assert len({trainings.loss(point, 6) for _ in range(3)}) == 3  # each with noise of its own
    assert trainings.regret(point) >= 0


def test_the_prior_names_every_parameter(trainings):
    space = trainings.space
    assert set(trainings.prior) == set(space.parameters)
    assert {n: trainings.prior[n] for n in space.active(trainings.prior)}["optim.name"] == "adam"


class Line:
    """The loss is what is asked for, the regret its square; an evaluation takes two epochs."""

    epochs = 2

    def loss(self, params, epochs, name):
        return params["x"]

    def regret(self, params):
        return params["x"] ** 2


class Asks:
    def __init__(self, asked):
        self.asked = iter(asked)
        self.told = []

    def ask(self):
        return next(self.asked)

    def tell(self, loss):
        self.told.append(loss)


def test_part_of_an_evaluation_costs_its_part_and_is_never_the_incumbent(of, monkeypatch):
    monkeypatch.setattr(of.races, "LOOKS", (1, 2, 3))
    asked = [
        ({"x": 3.0}, 2, ""),
        ({"x": 1.0}, 1, "a"),  # half an evaluation
        ({"x": 1.0}, 2, "a"),  # its other half
        ({"x": 2.0}, 1, "b"),
        ({"x": 0.5}, 2, "c"),  # ends after the last look
    ]
    searcher = Asks(asked)
    regrets, _ = of.races.search(Line(), searcher)
    assert regrets == (9.0, 1.0, 1.0)
    assert searcher.told == [3.0, 1.0, 1.0, 2.0, 0.5]


def test_runs_are_kept_and_read(of, tmp_path):
    file = tmp_path / "runs.jsonl"
    assert list(of.races.read(file)) == []
    run = of.races.Run(searcher="a", problem="branin", seed=0, regrets=(2.0, 1.0), seconds=0.5)
    of.races.add(file, run)
    assert list(of.races.read(file)) == [run]


def runs(of, name, regrets):
    return [
        of.races.Run(searcher=name, problem="p", seed=seed, regrets=(one,) * 6, seconds=0)
        for seed, one in enumerate(regrets)
    ]


def test_only_what_a_test_tells_apart_from_the_best_is_worse(of):
    chance = np.random.default_rng(0)
    good = chance.random(20)
    found = {
        "best": {s: (x,) for s, x in enumerate(good)},
        "near": {s: (x + chance.normal(0.05, 0.5),) for s, x in enumerate(good)},
        "far": {s: (x + 1,) for s, x in enumerate(good)},
        "few": {s: (0.0,) for s in range(of.report.LEAST - 1)},
    }
    ranks = of.report.mean_ranks(found)
    p_values = of.report.tested(found, ranks)
    judged = {name: of.report.verdict(name, ranks, p_values) for name in found}
    assert judged["far"] == "worse"
    assert judged["few"] == ""
    assert {judged["best"], judged["near"]} == {"best", "tied"}


def test_the_report_shows_every_searcher(of, tmp_path):
    file = tmp_path / "runs.jsonl"
    for run in [*runs(of, "a", range(8)), *runs(of, "b", range(1, 9))]:
        of.races.add(file, run)
    text = of.report.report(file, [""], ["p"])
    assert "best" in text and "worse" in text
    assert of.report.report(file, [""], ["other"]) == ""


@pytest.mark.parametrize("name", ["ours: qmc", "ours: screen", "ours: tpe", "Optuna TPE", "random"])
def test_searchers_ask_for_points_of_the_space(of, trainings, name):
    with of.compared.opened((name,)) as searchers:
        searcher = searchers[name](trainings, 0, 60)
        for _ in range(12):
            params, epochs, _ = searcher.ask()
            trainings.space.check(params)
            assert epochs == trainings.epochs
            searcher.tell(trainings.loss(params, epochs))


def test_a_peer_answers_line_by_line_with_what_is_active(of, monkeypatch, trainings):
    class Search:
        def __init__(self, space, **rest):
            self.space, self.rest = space, rest

        def ask(self):
            return dict.fromkeys(self.space, "sgd"), 6, ""

        def tell(self, loss):
            self.told = loss

    tool = SimpleNamespace(Search=Search)
    monkeypatch.setattr(of.serve.importlib, "import_module", lambda name: tool)
    first = {"space": trainings.space.to_dict(), "seed": 0, "trials": 1, "epochs": 6, "prior": None}
    lines = [{"begin": first}, {"ask": True}, {"tell": 0.5}]
    out = io.StringIO()
    monkeypatch.setattr(of.serve.sys, "argv", ["serve.py", "tool"])
    monkeypatch.setattr(of.serve.sys, "stdin", io.StringIO("\n".join(map(json.dumps, lines))))
    monkeypatch.setattr(of.serve.sys, "stdout", out)
    monkeypatch.setattr(of.serve.sys, "stderr", io.StringIO())
    of.serve.main()
    begun, asked, told = map(json.loads, out.getvalue().splitlines())
    assert begun == told == {}
    assert set(asked["params"]) == {"optim.name", "sgd.lr", "l2", "schedule.name"}
