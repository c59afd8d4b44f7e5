"""Comparing studies: what pairs with what, the intervals, the verdicts."""

import dataclasses

import numpy as np
import pytest
from made_search import write_study
from scipy import stats
from toy import make_plan
from typer.testing import CliRunner

from mnist_core.errors import UserError
from mnist_core.evaluation.right_answers import RightAnswers
from studies.__main__ import app
from studies.analysis import stored_study
from studies.analysis.comparison import compare
from studies.planning import lookup


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


def with_answers(found, lead=0):
    """The study with 200 answers of each confirmed model; with a lead other images are hard."""
    draw, records = np.random.default_rng(lead), []
    hard = draw.random(200)
    for record in found.confirm:
        wrong = np.argsort(hard + 0.1 * draw.random(200))[: 12 - lead]
        right = np.ones(200, bool)
        right[wrong] = False
        kept = RightAnswers(of="confirm images", right=right).to_json()
        attributes = {**record.attributes, "right": kept}
        records.append(
            dataclasses.replace(record, value=float(right.mean()), attributes=attributes)
        )
    return dataclasses.replace(found, confirm=records, result=None)


def test_the_images_are_in_the_error_of_configurations(studies_of):
    """Equal spreads of the seeds; one comparison knows which images are hard for one study."""
    a, b = with_answers(studies_of["a"]), reseeded(with_answers(studies_of["b"], lead=3))

    def without(found):
        return dataclasses.replace(
            found, confirm=[dataclasses.replace(r, attributes={}) for r in found.confirm]
        )

    known, unknown = compare(a, b), compare(without(a), without(b))
    assert known.best is not None and unknown.best is not None
    assert known.best.gap.mean == pytest.approx(unknown.best.gap.mean)
    assert known.best.gap.mean > 0
    assert known.best.gap.half_width > unknown.best.gap.half_width


def test_intervals_of_several_configurations_hold_together(studies_of):
    """Of four configurations compared each interval is wider than it were alone."""
    a, b = studies_of["a"], reseeded(studies_of["b"])
    rows = compare(a, b).rows
    errors = [row.gap.half_width / row.gap.sd for row in rows]
    assert len(rows) == 4 and min(errors) > stats.norm.ppf(1 - 0.025 / 4) - 0.05


def test_collapsed_seeds_make_an_interval_wide(studies_of):
    """Its own error counts, as in its study's report, and not that of the others."""
    a, b = studies_of["a"], reseeded(studies_of["b"])
    sound = compare(a, b).rows
    hit = {record.params["optim.name"]: record.number for record in a.confirm}
    name = sound[-1].label
    number = next(number for choice, number in hit.items() if name.startswith(str(choice)))
    confirm = [
        dataclasses.replace(record, value=0.1) if record.number == number else record
        for record in a.confirm
    ]
    rows = compare(dataclasses.replace(a, confirm=confirm, result=None), b).rows
    spoilt = min(rows, key=lambda row: row.a.mean)
    assert spoilt.a.half_width > 0.3 > 10 * max(row.b.half_width for row in sound)


def test_settings_that_differ_are_named(studies_of):
    a = studies_of["a"]
    other = {**a.settings, "train": {**a.settings["train"], "epochs": 99}}
    done = compare(a, dataclasses.replace(studies_of["b"], settings=other))
    assert done.settings == ("train.epochs: 5 -> 99",)


def test_parameters_of_one_study_are_written_plainly(studies_of):
    """Not as the dictionaries by which they are kept."""
    a = studies_of["a"]
    space = {"new": {"type": "Float", "low": 0.001, "high": 0.1, "log": True, "when": None}}
    space["one"] = {"type": "Choice", "choices": [1, 2], "sets": "", "when": None}
    other = {**a.settings, "space": {**a.settings["space"], **space}, "constraints": {"size": 3}}
    done = compare(a, dataclasses.replace(studies_of["b"], settings=other))
    assert done.settings == (
        "constraints: nothing -> size 3",
        "space.new: nothing -> 0.001 to 0.1, log",
        "space.one: nothing -> 1, 2",
    )


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
