"""Comparing studies: what pairs with what, the intervals, the verdicts."""

import dataclasses
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from made_search import write_study
from scipy import stats
from toy import make_plan
from typer.testing import CliRunner

from mnist_core.errors import UserError
from studies.__main__ import app
from studies.analysis import stored_study
from studies.analysis.comparison import compare
from studies.planning import lookup
from studies.statistics.intervals import welch

VALUES = st.lists(st.integers(0, 1000).map(lambda n: n / 1000), min_size=2, max_size=8)


@given(VALUES, VALUES)
def test_welch_is_scipys(first, second):
    done = welch(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:  # SciPy warns, and rightly
        assume(len(set(first)) == len(set(second)) == 1)
        assert done.low == done.high == done.mean
        return
    expected = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.95)
    assert done.low == pytest.approx(expected.low, abs=1e-9)
    assert done.high == pytest.approx(expected.high, abs=1e-9)


def test_one_value_has_no_interval():
    done = welch([1.0], [2.0, 3.0])
    assert done.mean == 1.5 and math.isinf(done.high)


@pytest.fixture(scope="module")
def studies_of(tmp_path_factory):
    """Three environments: B is A again; C is worse by 0.02 on another device."""
    found = {}
    for name, shift, device in (("a", 0.0, "cpu"), ("b", 0.0, "cpu"), ("c", -0.02, "cuda")):
        plan = make_plan(tmp_path_factory.mktemp(name))
        write_study(plan, 40, shift=shift, device=device)
        found[name] = stored_study.read(plan)
    return found


def test_the_same_study_twice_is_identical(studies_of):
    a, b = studies_of["a"], studies_of["b"]
    done = compare(a, b)
    complete = [r for r in (*a.search, *a.confirm) if r.state == "COMPLETE"]
    assert done.verdict.outcome == "identical"
    assert done.trainings.gap is not None
    assert done.trainings.gap.n == done.trainings.identical <= len(complete)
    assert done.environment == done.settings == ()
    assert done.trainings.seconds == 1.0
    assert {row.label for row in done.rows} == {"sgd", "adam", "adagrad", "adam (default)"}
    assert all(row.paired and row.n == 3 and row.gap.mean == 0 for row in done.rows)


@pytest.mark.parametrize(
    ("tolerance", "outcome"),
    [(None, "different"), (0.03, "equal"), (0.01, "different"), (0.0199, "undecided")],
)
def test_another_environment(studies_of, tolerance, outcome):
    a, c = studies_of["a"], studies_of["c"]
    done = compare(a, c, tolerance=tolerance)
    assert done.verdict.outcome == outcome, done.verdict.sentence
    gap = done.trainings.gap
    assert gap is not None and gap.paired and gap.n > 20
    assert gap.gap.mean == pytest.approx(-0.02, abs=0.002)
    assert done.environment == ("device: cpu -> cuda",)
    assert done.best is not None and done.best.gap.mean == pytest.approx(-0.02, abs=0.005)


def test_swapping_turns_the_sign(studies_of):
    one = compare(studies_of["a"], studies_of["c"])
    other = compare(studies_of["c"], studies_of["a"])
    assert one.trainings.gap is not None and other.trainings.gap is not None
    assert one.trainings.gap.gap.mean == pytest.approx(-other.trainings.gap.gap.mean)


def reseeded(found):
    def again(records):
        return [dataclasses.replace(record, seed=record.seed ^ 1) for record in records]

    return dataclasses.replace(found, search=again(found.search), confirm=again(found.confirm))


def test_other_seeds_are_not_paired(studies_of):
    done = compare(studies_of["a"], reseeded(studies_of["b"]))
    assert done.trainings.gap is None
    assert done.verdict.outcome == "no difference shown"
    assert not any(row.paired for row in done.rows)
    row = done.rows[0]
    assert studies_of["a"].result is not None
    (of,) = (one for one in studies_of["a"].result.rows if one.label == row.label)
    assert row.gap.low == pytest.approx(-row.gap.high)
    assert of.confirm is not None and row.a.mean == pytest.approx(of.confirm.mean)


def test_settings_that_differ_are_named(studies_of):
    a = studies_of["a"]
    other = {**a.settings, "train": {**a.settings["train"], "epochs": 99}}
    done = compare(a, dataclasses.replace(studies_of["b"], settings=other))
    assert done.settings == ("train.epochs: 5 -> 99",)


@pytest.mark.parametrize("table", ["train", "data", "objective"])
def test_other_settings_are_other_trainings(studies_of, table):
    """Equal hyperparameters and seeds over 6 epochs and over one are not the same training."""
    a = studies_of["a"]
    changed = {**a.settings["train"], "epochs": 1} if table == "train" else "another"
    done = compare(a, dataclasses.replace(a, settings={**a.settings, table: changed}))
    assert done.trainings.gap is None and done.trainings.identical == 0
    assert done.best is not None and done.verdict.reason.startswith(done.best.label)
    # Their equal values are no proof of sameness: they are as rounded as any.
    assert all(row.gap.low < 0 < row.gap.high for row in done.rows)


def test_how_it_is_computed_is_of_the_environment(studies_of):
    a = studies_of["a"]
    other = {**a.settings, "train": {**a.settings["train"], "precision": "fp64"}}
    assert compare(a, dataclasses.replace(a, settings=other)).verdict.outcome == "identical"


def shifted(found, images, count):
    """The study with its first ``count`` complete trials; one image more is right in each."""
    search = [r for r in found.search if r.state == "COMPLETE"][:count]
    search = [dataclasses.replace(r, value=r.value + images / 200) for r in search]
    return dataclasses.replace(found, search=search)


def test_two_trainings_one_image_apart_show_nothing(studies_of):
    a = studies_of["a"]
    few, many = (
        compare(shifted(a, 0, count), shifted(a, 1, count)).trainings.gap for count in (2, 20)
    )
    for gap in (few, many):
        assert gap.gap.mean > 0
    done = compare(*(dataclasses.replace(shifted(a, n, 2), confirm=[]) for n in (0, 1)))
    assert done.verdict.outcome == "no difference shown" and done.trainings.gap.n == 2


def test_nothing_in_common(studies_of):
    a = studies_of["a"]
    nothing = dataclasses.replace(a, search=[], confirm=[])
    with pytest.raises(UserError, match="nothing to compare"):
        compare(a, nothing)
    spec = dataclasses.replace(a.plan.spec, metric="val_loss")
    with pytest.raises(UserError, match=r"val_accuracy.*val_loss"):
        compare(a, dataclasses.replace(a, plan=dataclasses.replace(a.plan, spec=spec)))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    found = []
    for shift, device in ((0.0, "cpu"), (-0.02, "cuda")):
        root = tmp_path_factory.mktemp(device)
        plan = lookup.find("optim_search", sets={"results.folder": str(root)})
        write_study(plan, 30, shift=shift, device=device)
        found.append(str(plan.folder))
    return found


@pytest.mark.parametrize(
    ("options", "code", "last"),
    [
        ((), 1, "different: "),
        (("--tolerance", "5"), 0, "equal: "),
        (("--tolerance", "1"), 1, "different: "),
    ],
)
def test_the_command(folders, options, code, last):
    done = CliRunner().invoke(app, ["compare", *folders, *options])
    assert done.exit_code == code
    lines = done.output.splitlines()
    assert lines[-1].startswith(last)
    assert "environment, A -> B: device: cpu -> cuda" in lines
    assert any(line.split()[:2] == ["adam", "(default)"] for line in lines)


@pytest.mark.parametrize("tolerance", ["-1", "nan", "inf"])
def test_a_wrong_tolerance(folders, tolerance):
    done = CliRunner().invoke(app, ["compare", *folders, "--tolerance", tolerance])
    assert done.exit_code == 1 and "--tolerance" in str(done.exception)


def test_a_study_with_itself(folders):
    done = CliRunner().invoke(app, ["compare", folders[0], folders[0]])
    assert done.exit_code == 1 and "the same study" in str(done.exception)
