"""benchmarks/reruns.py: which reruns contradict each other, and its table."""

import dataclasses
import importlib

import pytest
from made_search import write_study
from test_faults import BENCHMARKS
from toy import make_plan

from studies.analysis import stored_study


@pytest.fixture(scope="module")
def reruns():
    """The benchmark."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("reruns")


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """What a made-up study found."""
    plan = make_plan(tmp_path_factory.mktemp("reruns"))
    write_study(plan, 40)
    return stored_study.read(plan).result


def judged_as(result, **changes):
    """The result with another verdict on both."""
    verdicts = result.verdicts
    comparison = dataclasses.replace(verdicts.configurations.comparison, **changes)
    judgement = dataclasses.replace(verdicts.configurations, comparison=comparison)
    verdicts = dataclasses.replace(verdicts, configurations=judgement, choices=judgement)
    return dataclasses.replace(result, verdicts=verdicts)


def test_two_runs_contradict_if_one_calls_the_others_best_worse(reruns, result):
    adam = judged_as(result, best="adam", ties=("sgd",), unclear=(), worse=("adagrad",))
    sgd = judged_as(result, best="sgd", ties=("adam",), unclear=(), worse=("adagrad",))
    adagrad = judged_as(result, best="adagrad", ties=(), unclear=("adam",), worse=("sgd",))
    found = [one.verdicts.choices for one in (adam, sgd, adagrad, adam)]
    assert reruns.contradictions(found) == [(0, 2), (1, 2), (2, 3)]
    assert reruns.contradictions([found[0], None]) == []


def test_the_table_has_every_choice_and_run(reruns, result):
    worse = judged_as(result, best="adam", ties=(), unclear=("sgd",), worse=("adagrad",))
    text = reruns.report("toy", [worse, worse, worse])
    rows = {line.split("|")[1].strip(): line for line in text.splitlines() if "|" in line}
    assert {"sgd", "adam", "adagrad", "adam (default)"} <= rows.keys()
    assert rows["adam"].count("★") == rows["sgd"].count("~") == rows["adagrad"].count("<") == 3
    assert text.count("0 of 3 pairs contradict") == 2
