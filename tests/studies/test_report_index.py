"""The index of all reports, and the page that a run writes at its end."""

import json

import pytest
from made_search import write_study
from test_report_html import EVIL, Page
from toy import make_plan
from typer.testing import CliRunner

from studies.__main__ import app
from studies.analysis import stored_study
from studies.cli import foreground
from studies.report.index_page import INDEX, entries, write_index
from studies.report.page import REPORT
from studies.report.result_json import FILE, result_json


def result_in(folder, **changes):
    """A folder with a result, and a page if it has none."""
    folder.mkdir(parents=True)
    found = {"study": folder.name, "goal": "Which?", "verdict": {"sentences": ["adam wins."]}}
    (folder / FILE).write_text(json.dumps(found | changes))
    (folder / REPORT).write_text("a page")
    return folder


def test_it_links_every_page(tmp_path):
    for name in ("first", "100 % sure", "x"):
        result_in(tmp_path / name)
    (tmp_path / "x" / REPORT).unlink()
    (tmp_path / "no_study").mkdir()
    page = Page(write_index(tmp_path).read_text())
    assert set(page.addresses) - {"data:,"} == {"first/report.html", "100%20%25%20sure/report.html"}
    assert page.text.count("adam wins.") == 3 and "no_study" not in page.text
    assert "script" not in page.tags


def test_no_text_of_a_result_becomes_html(tmp_path):
    result_in(tmp_path / "evil", study=EVIL, goal=EVIL, verdict={"sentences": [EVIL]})
    page = Page(write_index(tmp_path).read_text())
    assert "script" not in page.tags and "x" not in page.addresses and not page.images


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000, '{"verdict": 3, "goal": null}'])
def test_a_result_that_is_not_one_does_no_harm(tmp_path, content):
    result_in(tmp_path / "damaged")
    (tmp_path / "damaged" / FILE).write_text(content)
    (entry,) = entries(tmp_path)
    assert entry.link == "damaged/report.html" and entry.answer in ("no verdict", "No result yet.")


def test_the_command_without_a_study_writes_it(tmp_path):
    result_in(tmp_path / "one")
    where = ["--set", f"results.folder={tmp_path}"]
    done = CliRunner().invoke(app, ["report", *where], catch_exceptions=False)
    assert done.exit_code == 0 and str(tmp_path / INDEX) in done.output
    assert "one/report.html" in (tmp_path / INDEX).read_text()
    for more, named in ((["--out", "x.html"], "--out"), (["--set", "results.folder=/no"], "/no")):
        failed = CliRunner().invoke(app, ["report", *where, *more])
        assert failed.exit_code != 0 and named in f"{failed.output} {failed.exception}"


@pytest.fixture
def finished(tmp_path):
    plan = make_plan(tmp_path)
    write_study(plan, 30)
    result = stored_study.read(plan).result
    (plan.folder / FILE).write_text(json.dumps(result_json(result)))
    return result


def test_a_run_writes_its_page_and_the_index(finished):
    folder = finished.plan.folder
    assert foreground.write_page(finished).endswith(REPORT)
    assert Page((folder / REPORT).read_text()).text.count("Not audited yet") == 1
    assert "toy/report.html" in (folder.parent / INDEX).read_text()
    # A page that `studies report` has made stays: the run that follows trains nothing.
    (folder / REPORT).write_text("whole")
    assert foreground.write_page(finished).endswith(REPORT)
    assert (folder / REPORT).read_text() == "whole"


@pytest.mark.parametrize("blocked", [REPORT, INDEX])
def test_a_page_that_cannot_be_written_is_one_line(finished, blocked):
    folder = finished.plan.folder
    (folder / REPORT if blocked == REPORT else folder.parent / INDEX).mkdir()
    said = foreground.write_page(finished)
    assert said.startswith("not written") and "\n" not in said and "studies report" in said


def test_many_trials_are_left_to_the_command(finished, monkeypatch):
    monkeypatch.setattr(foreground, "PAGE_TRIALS", 10)
    assert "studies report" in foreground.write_page(finished)
    assert not (finished.plan.folder / REPORT).exists()
