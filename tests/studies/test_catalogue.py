"""benchmarks/catalogue.py: what it writes of a finished study, without running one."""

import json
import sys

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
