"""benchmarks/catalogue.py: what it writes of a finished study, without running one."""

import json
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from made_search import write_study
from test_faults import BENCHMARKS

from studies.planning import lookup

sys.path.append(str(BENCHMARKS))

import catalogue
import findings


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    results, out = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("docs")
    write_study(lookup.find("optim_search", sets={"results.folder": str(results)}), 60)
    options = ["optim_search", "--no-run", "--out", str(out), "--results", str(results)]
    assert catalogue.main(options) == 0
    return results, out


def test_the_files_name_no_folder_of_the_machine(written):
    results, out = written
    assert {file.suffix for file in out.glob("optim_search.*")} == {".md", ".json", ".parquet"}
    for name in ("optim_search.md", "optim_search.json", "README.md"):
        assert str(results) not in (out / name).read_text()


def test_a_small_study_is_not_written_where_the_full_ones_are(capsys):
    with pytest.raises(SystemExit):
        catalogue.main(["optim_search", "--quick", "--no-run"])
    assert "--out FOLDER" in capsys.readouterr().err


def test_a_study_may_be_named_by_its_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("STUDIES_PROJECT", "")  # which a file adds to; restored after the test
    file = BENCHMARKS.parent / "docs/studies/digit_models.py"
    parser = catalogue._parser()
    assert parser.parse_args([str(file)]).studies == ["digit_models"]
    for wrong in ("no_such_study", str(tmp_path / "none.py")):
        with pytest.raises(SystemExit):
            parser.parse_args([wrong])
        assert wrong.rpartition("/")[2] in capsys.readouterr().err


def one(**changes):
    """What the overview reads, of a study of two configurations."""

    def row(label, mean, gap, parameters):
        ends = {"mean": mean, "low": mean - 0.01, "high": mean + 0.01}
        objectives = {"val_accuracy": mean, "parameters": parameters}
        return {"label": label, **ends, "objectives": objectives, "minus_best": gap}

    return {
        "study": "s",
        "metric": "val_accuracy",
        "best": "a",
        "ties": [],
        "noisy": [],
        "collapsed": {},
        "default": "b (default)",
        "best_is_default": False,
        "gain": None,
        "front": None,
        "judged_on": "",
        "minutes": None,
        "date": "",
        "machine": "",
        "versions": {},
        "rows": [row("a", 0.9, None, 9000.0), row("b (default)", 0.8, [-0.1, -0.15, 0.0], 50.0)],
        **changes,
    }


def test_the_default_of_a_choice_is_compared_with_the_best_too():
    assert "| +10.00 [+0.00, +15.00] |" in catalogue._line(one())


def test_a_front_has_what_each_costs():
    line = catalogue._line(one(front=["a"]))
    assert "a front of 1: a 90.00 [89.00, 91.00], parameters 9,000 |" in line


def test_a_front_has_a_configuration_once_and_none_that_is_beaten(monkeypatch):
    monkeypatch.setattr(catalogue, "means", lambda result, row: row.means)
    monkeypatch.setattr(catalogue, "beaten_by", lambda result, row: row.beaten)

    def row(label, params, means=(0.9,), beaten=""):
        candidate = SimpleNamespace(params=params)
        return SimpleNamespace(label=label, candidate=candidate, means=means, beaten=beaten)

    rows = [
        row("trial 1", {"x": 1}),
        row("default", {"x": 1}),
        row("trial 2", {"x": 2}),
        row("trial 3", {"x": 3}, beaten="trial 2"),
        row("trial 4", {"x": 4}, means=()),
    ]
    assert catalogue._front(SimpleNamespace(rows=rows)) == ["trial 1", "trial 2"]


def test_the_table_has_all_trainings_and_is_small(written):
    _, out = written
    table = pd.read_parquet(out / "optim_search.parquet")
    assert set(table["phase"]) == {"search", "confirm"}
    assert (table["phase"] == "search").sum() == 60
    complete = table[table["state"] == "COMPLETE"]
    assert all(len(curve) > 0 for curve in complete["curve"])
    assert (out / "optim_search.parquet").stat().st_size < catalogue.LARGEST


def test_the_overview_names_the_best_its_ties_and_the_default(written):
    _, out = written
    found = json.loads((out / "optim_search.json").read_text())
    text = (out / "README.md").read_text()
    (line,) = (row for row in text.splitlines() if row.startswith("| [optim_search]"))
    assert all(name in line for name in [found["best"], *found["ties"], found["default"]])
    assert "Not run yet under this protocol: activation_search" in text


def test_findings_takes_its_figures_from_there(written):
    _, out = written
    page = findings.page(out, (BENCHMARKS.parent / "docs" / "presets.md").read_text())
    (adam,) = (row for row in page.splitlines() if row.startswith("| Adam is better than SGD"))
    assert "not run yet" not in adam
    assert "| - | not run yet | `python -m studies.run batch_size_search` |" in page
