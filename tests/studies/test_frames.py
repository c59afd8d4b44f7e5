"""Studies as tables: what they hold, and that files hold the same."""

import pandas as pd
import pytest
from made_search import STEPS, write_study
from toy import make_plan
from typer.testing import CliRunner

import studies
from mnist_core.errors import ConfigError, UserError
from studies.__main__ import app
from studies.analysis import stored_study
from studies.analysis import tables as frames
from studies.planning import lookup

N = 40


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    plan = make_plan(tmp_path_factory.mktemp("frames"))
    write_study(plan, N)
    return plan


@pytest.fixture
def found(plan):
    return stored_study.read(plan)


@pytest.fixture
def tables(found):
    return frames.tables(found)


def test_trials_are_the_records(found, tables):
    trials = tables.trials
    assert list(trials.number) == [record.number for record in found.search]
    for record, (_, row) in zip(found.search, trials.iterrows(), strict=True):
        assert row.state == record.state and row.choice == record.params["optim.name"]
        assert row.seed == record.seed and row.started == record.started
        if record.value is None:
            assert pd.isna(row.value) and row.failure == "NonFiniteLoss"
        else:
            assert row.value == record.value == row["metric.val_accuracy"]
        for name in found.plan.spec.space.parameters:
            cell = row[f"param.{name}"]
            assert cell == record.params[name] if name in record.params else pd.isna(cell)
        assert row["info.device"] == "cpu"
    assert trials["param.sgd.lr"].dtype == "float64"
    assert "info.confusion" not in trials


def test_curves_are_all_reports(found, tables):
    curves = tables.curves
    assert len(curves) == sum(len(r.curve) for r in (*found.search, *found.confirm))
    search = curves[curves.phase == "search"]
    for record in found.search:
        of = search[search.number == record.number]
        assert dict(zip(of.step, of.value, strict=True)) == record.curve
    assert curves.step.max() == STEPS


def test_confirm_has_the_test_values(found, tables):
    confirm = tables.confirm
    assert {"sgd", "adam", "adagrad", "adam (default)"} <= set(confirm.label)
    assert (confirm["test.test_accuracy"] == confirm.value).all()
    means = confirm.groupby("label").value.mean()
    assert found.result is not None
    labels = set()
    for row in found.result.shown_rows:
        assert row.confirm is not None and row.candidate is not None
        # A training's label says which search trial it repeats, a row's label who leads.
        one, label = row.candidate, row.label
        if not one.default:
            label = one.choice if one.place == 1 else f"{one.choice}, trial {one.search_trial}"
        assert means[label] == pytest.approx(row.confirm.mean)
        labels.add(label)
    assert labels == set(confirm.label) and len(labels) == 7


def test_choices_of_many_kinds_are_text(found):
    record = found.search[0]
    params = [{"x": None, "y": True}, {"x": True, "y": False}, {"x": 3, "y": True}, {}]
    rows = frames._frame([{**_row(record), **_prefixed(one)} for one in params])
    assert list(rows["param.x"].fillna("")) == ["None", "True", "3", ""]
    assert rows["param.y"].dtype == "boolean" and list(rows["param.y"][:3]) == [True, False, True]


def _row(record):
    known = {"number": record.number, "value": 0.5, "seconds": 1.0}
    return {**known, "started": record.started, "ended": record.ended}


def _prefixed(params):
    return {f"param.{name}": value for name, value in frames._texts(params).items()}


@pytest.mark.parametrize("form", frames.FORMATS)
def test_files_hold_the_same(tables, tmp_path, form):
    files = frames.write(tables, tmp_path, [form])
    assert [file.name for file in files] == [f"{n}.{form}" for n in ("trials", "curves", "confirm")]
    for file, table in zip(files, tables.by_name().values(), strict=True):
        if form == "parquet":
            again = pd.read_parquet(file)
        else:
            dates = [name for name in ("started", "ended") if name in table]
            texts = {name: "string" for name in ("failure", "message") if name in table}
            again = pd.read_csv(file, parse_dates=dates, dtype=texts)
        pd.testing.assert_frame_equal(again, table, check_dtype=form == "parquet")


def test_an_empty_confirmation_is_an_empty_table(found):
    import dataclasses

    empty = frames.tables(dataclasses.replace(found, confirm=[], search=[]))
    assert len(empty.trials) == len(empty.confirm) == len(empty.curves) == 0
    assert "value" in empty.trials and "step" in empty.curves


def test_load_by_name_and_by_folder(tmp_path):
    plan = lookup.find("optim_search", sets={"results.folder": str(tmp_path)})
    write_study(plan, 20)
    by_name = studies.load("optim_search", set={"results.folder": str(tmp_path)})
    folder = tmp_path / "optim_search"
    for name in ("optim_search", "optim_search.20261121-101500"):
        folder = folder.rename(tmp_path / name)
        pd.testing.assert_frame_equal(studies.load(str(folder)).trials, by_name.trials)


def test_a_folder_says_that_it_is_the_small_run(tmp_path):
    plan = lookup.find("optim_search", sets={"results.folder": str(tmp_path)}, quick=True)
    write_study(plan, 10)
    assert set(studies.load(str(plan.folder)).trials.study) == {"optim_search-quick"}


def test_wrong_names():
    with pytest.raises(UserError, match="'optim_search'"):
        studies.load("optim_serch")
    with pytest.raises(ConfigError, match="'parquet'"):
        frames.check_formats(["parket"])


def test_the_command(tmp_path):
    plan = lookup.find("optim_search", sets={"results.folder": str(tmp_path)})
    write_study(plan, 20)
    to = tmp_path / "tables"
    arguments = ["tables", str(plan.folder), "--to", str(to), "--format", "csv"]
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0 and "trials: 20 rows" in done.output
    assert sorted(file.name for file in to.iterdir()) == ["confirm.csv", "curves.csv", "trials.csv"]
