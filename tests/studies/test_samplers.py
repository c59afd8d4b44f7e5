"""Samplers by name, on a conditional space: reproducible, inside of it, each in its own way."""

import dataclasses
import math
import sys
import warnings

import optuna
import pytest
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from toy_plans import SPACE

from mnist_core.errors import ConfigError
from search_spaces.space import Choice, Float, Int, Space, When
from studies.core.attributes import ATTEMPT, FAILURE
from studies.search.branch_sampler import BranchSampler
from studies.search.failures import failed_by_itself
from studies.search.optuna_bridge import suggest
from studies.search.sampler_kinds import SAMPLERS, SamplerKind
from studies.search.samplers import Search, create_sampler, try_sampler
from studies.search.study_views import as_no_better, tpe_view

SEARCH = Search(space=SPACE, scientific="kind", trials=16)
FLAT = Search(
    space=Space({"kind": Choice(("a", "b")), "x": Float(0.0, 1.0), "n": Int(1, 9)}),
    scientific="kind",
    trials=16,
)
WORKING = [name for name in SAMPLERS if name not in ("grid", "auto")]
SOON = {"gp": {"n_startup_trials": 3}, "nsga2": {"population_size": 3}, "cmaes": {"popsize": 4}}


def propose(name, search, *, seed, trials=10, options=None, required=None):
    """Params of trials, each with a sampler of its own, as the book does it; y: nearer 0.3 in x."""
    study = optuna.create_study(study_name="s", direction="maximize")
    options = SOON.get(name, {}) if options is None else options
    found = []
    for number in range(trials):
        study.enqueue_trial(required(number) if required else {})
        study.sampler = create_sampler(name, options, search, seed=1000 * seed + number)
        trial = study.ask()
        params = suggest(search.space, trial)
        search.space.check(params)
        found.append(params)
        study.tell(trial, -((params["x"] - 0.3) ** 2))
    return found


@pytest.mark.parametrize("search", [SEARCH, FLAT], ids=["conditional", "flat"])
@pytest.mark.parametrize("name", WORKING)
def test_each_proposes_the_same_for_the_same_seed_and_is_silent(name, search, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = propose(name, search, seed=1, trials=7)
        assert one == propose(name, search, seed=1, trials=7)
        other = dataclasses.replace(search, seed=5)
        assert one != propose(name, other, seed=2, trials=5)
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == []


@pytest.mark.parametrize("name", WORKING)
def test_required_choices_are_kept(name):
    found = propose(name, SEARCH, seed=3, required=lambda n: {"kind": ("fast", "slow")[n % 2]})
    assert [params["kind"] for params in found] == ["fast", "slow"] * 5


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "nsga2"])
def test_what_learns_gets_nearer_within_a_branch_than_chance(name):
    """Of the trials of one branch the later half beats random search's."""

    trials, seeds = (12, range(1)) if name == "gp" else (20, range(8))  # gp takes its time

    def late(of, seed):
        search = Search(space=SPACE, scientific="kind", trials=2 * trials)
        slow = {"kind": "slow"}
        found = propose(of, search, seed=seed, trials=trials, required=lambda n: slow)
        return sum(abs(params["x"] - 0.3) for params in found[trials // 2 :])

    assert sum(late(name, seed) for seed in seeds) < 0.8 * sum(late("random", s) for s in seeds)


class TestBranches:
    @pytest.mark.parametrize("balanced", [False, True])
    def test_a_branch_sees_its_own_trials_and_keeps_its_own_attributes(self, balanced):
        seen = []

        class Spy(optuna.samplers.RandomSampler):
            def sample_relative(self, study, trial, search_space):
                assert trial.number not in [t.number for t in study.get_trials(deepcopy=False)]
                count = study._storage.get_study_system_attrs(study._study_id).get("count", 0)
                study._storage.set_study_system_attr(study._study_id, "count", count + 1)
                seen.append((trial.number, set(search_space), count, study.get_trials()))
                return {"x": 0.5}

        study = optuna.create_study(direction="minimize")
        kind = SamplerKind(load=None, splits=lambda search: True, sequence=balanced)
        study.sampler = BranchSampler(SEARCH, kind, lambda branch: Spy(seed=0), seed=1)
        kinds = []
        for number in range(10):
            study.enqueue_trial({"kind": "slow"} if number == 4 else {})
            trial = study.ask()
            params = suggest(SPACE, trial)
            assert params["x"] == 0.5
            kinds.append(params["kind"])
            study.tell(trial, number)
        assert len(seen) == 10 and set(kinds) == {"fast", "slow"}
        for number, space, count, trials in seen:
            kind = kinds[number]
            assert space == ({"x"} if kind == "fast" else {"x", "y"})
            before = [n for n in range(number) if kinds[n] == kind]
            assert [trial.number for trial in trials] == before
            assert count == len(before)

    def test_sobol_points_of_each_branch_are_one_sequence(self):
        """Within a branch four points in a row fall into four different quarters."""
        found = propose(
            "qmc", SEARCH, seed=0, trials=16, required=lambda n: {"kind": ("fast", "slow")[n % 2]}
        )
        for kind in ("fast", "slow"):
            quarters = [int(params["x"] * 4) for params in found if params["kind"] == kind]
            assert sorted(quarters[:4]) == sorted(quarters[4:]) == [0, 1, 2, 3]
        fast = [params["x"] for params in found if params["kind"] == "fast"]
        slow = [params["x"] for params in found if params["kind"] == "slow"]
        assert fast != slow

    def test_qmc_takes_branches_in_turn_where_they_are_open(self):
        found = propose("qmc", SEARCH, seed=0, trials=8)
        assert [params["kind"] for params in found] == ["fast", "slow"] * 4

    def test_a_deeper_condition_makes_branches_of_its_own(self):
        space = Space(
            {
                "kind": Choice(("a", "b")),
                "schedule": Choice(("none", "cosine"), when=When("kind", ("a",))),
                "final": Float(0.0, 1.0, when=When("schedule", ("cosine",))),
                "x": Float(0.0, 1.0),
            }
        )
        search = Search(space=space, scientific="kind", trials=24)
        assert search.branches == 3
        for name in WORKING:
            found = propose(name, search, seed=1, trials=9)
            if name == "qmc":
                assert {tuple(params) for params in found} == {
                    ("kind", "schedule", "x"),
                    ("kind", "schedule", "final", "x"),
                    ("kind", "x"),
                }

    def test_a_full_requirement_is_left_alone(self):
        params = {"kind": "slow", "x": 0.25, "y": 0.01}
        assert propose("cmaes", SEARCH, seed=0, trials=2, required=lambda n: params) == [params] * 2

    def test_failed_and_running_trials_do_no_harm(self):
        study = optuna.create_study(study_name="s", direction="maximize")
        for number in range(12):
            study.sampler = create_sampler("gp", SOON["gp"], SEARCH, seed=number)
            trial = study.ask()
            params = suggest(SPACE, trial)
            SPACE.check(params)
            if number % 3 == 0:
                study.tell(trial, state=TrialState.FAIL)
            elif number % 3 == 1:
                study.tell(trial, params["x"])


@pytest.mark.parametrize("search", [SEARCH, FLAT], ids=["conditional", "flat"])
@pytest.mark.parametrize("name", ["gp", "nsga2"])
def test_pruned_trials_count_as_the_worst_that_is_complete(name, search):
    """Left out, as these samplers do, the same points were proposed and pruned again."""
    study = optuna.create_study(direction="minimize")
    search = dataclasses.replace(search, prunes=True)
    for number in range(6):
        study.enqueue_trial({"kind": search.space.parameters["kind"].choices[0]})
        study.sampler = create_sampler(name, SOON[name], search, seed=number)
        trial = study.ask()
        assert isinstance(study.sampler, BranchSampler)
        suggest(search.space, trial)
        if number % 2:
            trial.report(99.0, 1)
            study.tell(trial, state=TrialState.PRUNED)
        else:
            study.tell(trial, number)
    seen = as_no_better(study.trials, study.directions)
    assert [trial.value for trial in seen] == [0, 4, 2, 4, 4, 4]
    assert {trial.state for trial in seen} == {TrialState.COMPLETE}
    assert study.trials[1].state is TrialState.PRUNED  # they themselves stay what they are
    pruned = [study.trials[1]]
    assert as_no_better(pruned, study.directions) == pruned


def test_tpe_is_told_of_the_workers_and_the_choices():
    def sampler(workers=1, choices=2):
        space = Space({"kind": Choice(tuple(range(choices)))})
        search = Search(space=space, scientific="kind", workers=workers)
        return create_sampler("tpe", {}, search, seed=0).sampler

    assert not sampler(workers=1)._constant_liar
    assert sampler(workers=2)._constant_liar
    assert sampler(choices=3)._n_startup_trials == 10
    assert sampler(choices=9)._n_startup_trials == 18


def test_options_replace_the_defaults():
    sampler = create_sampler("tpe", {"n_startup_trials": 3}, SEARCH, seed=0)
    assert sampler.sampler._n_startup_trials == 3


REGION = Space(
    {
        "kind": Choice(("a", "b")),
        "lr": Float(1e-4, 1e-1, log=True),
        "shift": Float(0.0, 0.2),
    }
)


def failures(name, fails, seed, *, trials=60, kind="OutOfMemory"):
    """How many of some trials fail where ``fails`` says so; better values lie towards it."""
    study = optuna.create_study(direction="maximize")
    search = Search(space=REGION, scientific="kind", seed=seed, trials=trials)
    failed = 0
    for number in range(trials):
        study.sampler = create_sampler(name, {}, search, seed=1000 * seed + number)
        trial = study.ask()
        params = suggest(REGION, trial)
        if fails(params):
            failed += 1
            reason = {"kind": kind, "message": "it failed", "traceback": ""}
            trial.set_user_attr(FAILURE, reason)
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, math.log10(params["lr"]) - params["shift"])
    return failed


def test_tpe_fails_no_more_than_random_search_and_half_as_often_as_untaught():
    """A loss that is not the training's doing teaches nothing, as every failure did before."""

    def fails(params):
        return params["lr"] > 1e-2 and params["shift"] < 0.15

    taught = failures("tpe", fails, 2)
    assert taught <= failures("tpe", fails, 2, kind="WorkerLost") / 2
    assert taught <= failures("random", fails, 2)


@pytest.mark.parametrize(
    "name", ["tpe", "nsga2", "cmaes", pytest.param("gp", marks=pytest.mark.long)]
)
def test_every_sampler_that_learns_learns_from_failures(name):
    """What is proposed after a failure by its own doing is not what is proposed without it."""
    options = {"n_startup_trials": 1} if name in ("tpe", "gp") else SOON[name]

    def proposed(kind):
        study = optuna.create_study(direction="maximize")
        found = []
        for number in range(4 if name == "gp" else 16):
            study.enqueue_trial({"kind": "a"})
            study.sampler = create_sampler(name, options, FLAT, seed=number)
            trial = study.ask()
            found.append(params := suggest(FLAT.space, trial))
            if number % 3 == 2:
                trial.set_user_attr(FAILURE, {"kind": kind, "message": "", "traceback": ""})
                study.tell(trial, state=TrialState.FAIL)
            else:
                study.tell(trial, params["x"])
        return found

    assert proposed("WorkerLost") != proposed("OutOfMemory")


@pytest.mark.parametrize(
    ("kind", "lost_before", "own"),
    [
        *((kind, 0, True) for kind in ("NonFiniteLoss", "OutOfMemory", "TimeLimit", "MemoryLimit")),
        *((kind, 0, True) for kind in ("KeyError", "BadOutcome", "Infeasible")),
        *((kind, 2, False) for kind in ("Interrupted", "SupervisorDied", "WorkerUnfit")),
        *((kind, 0, False) for kind in ("WorkerLost", "GpuFailure")),
        *((kind, 2, True) for kind in ("WorkerLost", "GpuFailure")),
    ],
)
def test_what_is_the_trainings_own_doing(kind, lost_before, own):
    attributes = {FAILURE: {"kind": kind}, ATTEMPT: lost_before}
    trial = create_trial(state=TrialState.FAIL, user_attrs=attributes)
    assert failed_by_itself(trial) is own
    assert not failed_by_itself(create_trial(value=1.0, user_attrs={FAILURE: {"kind": kind}}))
    assert not failed_by_itself(create_trial(state=TrialState.FAIL))


def test_a_few_trained_trials_stay_what_tpe_takes_for_good():
    """Its best tenth holds no failed trial, however many there are."""
    failed = create_trial(state=TrialState.FAIL, user_attrs={FAILURE: {"kind": "KeyError"}})
    seen = tpe_view([create_trial(value=1.0), *[failed] * 50], [StudyDirection.MAXIMIZE])
    assert [trial.state for trial in seen].count(TrialState.PRUNED) == 9
    assert tpe_view([failed] * 3, [StudyDirection.MAXIMIZE]) == [failed] * 3


def test_cmaes_learns_from_pruned_trials_where_there_are_any():
    """Else no generation were ever full."""
    study = optuna.create_study(study_name="s", direction="maximize")
    search = Search(space=SPACE, scientific="kind", trials=16, prunes=True)
    for number in range(10):
        study.enqueue_trial({"kind": "fast"})
        study.sampler = create_sampler("cmaes", {"popsize": 4}, search, seed=number)
        trial = study.ask()
        suggest(SPACE, trial)
        if number == 0:
            study.tell(trial, 0.5)
        else:
            trial.report(0.1, 1)
            study.tell(trial, state=TrialState.PRUNED)
    generations = [t.system_attrs.get("cma:generation") for t in study.trials]
    assert generations[-1] >= 2


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("tpa", {}, "did you mean 'tpe'"),
        ("tpe", {"n_startup_trial": 3}, "did you mean 'n_startup_trials'"),
        ("random", {"seed": 3}, "has no options, but got 'seed'"),
        ("tpe", {"gamma": 5}, "unknown option 'gamma'"),  # a function
        ("tpe", {"n_startup_trials": "ten"}, "n_startup_trials must be int, but got 'ten'"),
        ("tpe", {"n_startup_trials": 1.5}, "n_startup_trials must be int, but got 1.5"),
        ("tpe", {"n_startup_trials": -1}, "n_startup_trials must be 0 or more, but got -1"),
        ("tpe", {"multivariate": 1}, "multivariate must be bool, but got 1"),
        ("tpe", {"prior_weight": "x"}, "prior_weight must be float or int, but got 'x'"),
        ("cmaes", {"restart_strategy": "ipop"}, "unknown option 'restart_strategy'"),
        ("cmaes", {"popsize": 3}, "popsize must be 4 or more, but got 3"),
        ("cmaes", {"use_separable_cma": True, "with_margin": True}, "do not support"),
        ("qmc", {"qmc_type": "lattice"}, "halton"),
        ("nsga2", {"population_size": 1}, "greater than or equal to 2"),
        ("gp", {"n_startup": 3}, "did you mean 'n_startup_trials'"),
        ("auto", {"ref": 3}, "ref must be str"),
    ],
)
def test_mistakes(name, options, part):
    with pytest.raises(ConfigError, match=part):
        create_sampler(name, options, SEARCH, seed=0)


def test_auto_without_optunahub_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "optunahub", None)
    with pytest.raises(ConfigError, match=r"pip install 'mnist-studies\[hub\]'") as caught:
        create_sampler("auto", {}, SEARCH, seed=0)
    assert "\n" not in str(caught.value)


def test_auto_without_the_network_is_one_line(monkeypatch):
    class Offline:
        @staticmethod
        def load_module(package, ref):
            raise OSError("git fetch failed:\n could not resolve host")

    monkeypatch.setitem(sys.modules, "optunahub", Offline)
    with pytest.raises(ConfigError, match="git fetch failed: could not resolve host") as caught:
        create_sampler("auto", {}, SEARCH, seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tpe", {"n_ei_candidates": 0}),
        ("tpe", {"n_ei_candidates": 10**16}),  # more than there are addresses
        ("tpe", {"prior_weight": -1.0}),
        ("tpe", {"prior_weight": float("nan")}),
        ("tpe", {"multivariate": False}),  # `group` needs it
    ],
)
def test_what_optuna_refuses_late_is_refused_at_once(name, options):
    with pytest.raises(ConfigError, match=rf"search\.sampler_options \({name}\): ."):
        try_sampler(name, options, SEARCH)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tpe", {"n_startup_trials": 1000, "prior_weight": 2}),
        ("tpe", {"consider_endpoints": True}),  # goes in Optuna 6, and warns
        ("tpe", {"multivariate": False, "group": False}),
        ("random", {}),
        ("gp", {"deterministic_objective": True}),
        ("qmc", {"qmc_type": "halton", "scramble": False}),
        ("cmaes", {"lr_adapt": True}),
        ("cmaes", {"use_separable_cma": True}),
        ("cmaes", {"with_margin": True, "popsize": 4}),
        ("nsga2", {"mutation_prob": 0.2, "crossover_prob": 1}),
    ],
)
def test_good_options_are_tried_in_silence(name, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try_sampler(name, options, SEARCH)
