"""``studies list``: what there is, quickly, at any width."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401
from made_search import write_study
from rich.console import Console
from toy import make_plan
from toyland import RUN, finished, toyland  # noqa: F401

from studies.analysis import stored_study
from studies.analysis.found_studies import found_studies
from studies.report import study_list
from studies.storage import leases
from studies.storage.open import open_storage


@pytest.fixture
def listed(here, toyland, finished):  # noqa: F811
    """Runs ``toyland``; returns a function that lists and returns the study of that name."""
    finished(here)

    def read(name="toyland", *words):
        done = here("studies", "list", "--json", *words)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return {one["name"]: one for one in json.loads(done.stdout)["results"]}[name]

    return read


def test_a_finished_study_has_what_its_result_says(listed):
    found, kept = listed(), json.loads(Path("results/toyland/result.json").read_text())
    assert found["state"] == "finished" and found["running"] is False
    assert found["best"]["value"] == kept["winner"]["confirm"]["mean"]
    assert found["best"]["seeds"] == 2 and found["best"]["metric"] == kept["metric"]["confirm"]
    assert found["verdict"] and found["done"] == found["planned"] == 3
    files = [path for path in Path("results/toyland").rglob("*") if path.is_file()]
    assert found["size"] == pytest.approx(sum(path.stat().st_size for path in files), rel=0.2)
    assert found["date"].startswith("20") and found["storage"] is None


def test_nothing_is_judged_again(listed, monkeypatch):
    monkeypatch.setattr(stored_study, "summarize", None)
    Path("results/toyland/result.json").unlink()
    found = listed()
    assert found["verdict"] is None and found["state"] == "finished"
    assert found["best"]["seeds"] is None and found["best"]["metric"] == "val_accuracy"


def test_a_study_that_went_on_has_no_verdict(listed, here):  # noqa: F811
    Path("interrupt").touch()
    stopped = here("studies.run", "toyland", "--trials", "6", "--set", "label_smoothing=0", *RUN)
    assert stopped.returncode in (0, 130), stopped.stderr
    path = Path("results/toyland/result.json")
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "trials": {"COMPLETE": 1}}))
    assert listed()["verdict"] is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"test_set": 3}', "[" * 10_000])
def test_a_damaged_result_is_no_result(listed, text):
    Path("results/toyland/result.json").write_text(text)
    assert listed()["verdict"] is None


def test_a_running_study_says_so(listed):
    plan = stored_study.read(_plan_of("results/toyland")).plan
    with plan.location.opened() as studies:
        leases.take(studies.search)
    assert listed()["running"] is True


def _plan_of(folder):
    from studies.planning import lookup

    return lookup.find(folder)


def test_another_folder_is_listed(listed, here):  # noqa: F811
    Path("results").rename("elsewhere")
    assert listed("toyland", "--results", "elsewhere")["state"] == "finished"
    assert json.loads(here("studies", "list", "--json").stdout)["results"] == []
    done = here("studies", "list", "--results", "nowhere")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "--results" in done.stderr


@pytest.mark.parametrize("scheme", ["sqlite", "journal"])
def test_the_studies_of_a_storage_are_listed(tmp_path, scheme):
    url = f"{scheme}:///{tmp_path / 'all'}"
    for name in ("one", "two"):
        plan = dataclasses.replace(
            make_plan(tmp_path / "results"),
            name=name,
            folder=tmp_path / "results" / name,
            storage_url=url,
        )
        write_study(plan, 9)
    (tmp_path / "results" / "two").rmdir()
    found = {one.name: one for one in found_studies(tmp_path / "results", url)}
    assert set(found) == {"one", "two"}
    assert all(one.storage == url and one.done == 9 for one in found.values())
    assert all(one.state == "finished" and one.best and one.date for one in found.values())


def test_a_storage_that_cannot_be_read_is_a_line(tmp_path):
    file = tmp_path / "all"
    file.write_text("no database")
    (found,) = found_studies(tmp_path / "results", f"sqlite:///{file}")
    assert found.state == "unreadable" and str(file) in found.why


def test_what_is_stored_counts_trials_by_state(tmp_path):
    tallies = []
    for sqlite in (True, False):
        plan = make_plan(tmp_path / str(sqlite), sqlite=sqlite)
        write_study(plan, 30, seed=3)
        storage = open_storage(plan.storage_url, create=False)
        tallies.append(storage.tally(storage.get_study_id_from_name("toy")))
        storage.close()
    one, other = tallies
    assert dict(one.states) == dict(other.states) and sum(one.states.values()) == 30
    assert one.last == other.last


DATE = "2026-12-01 04:00"
ROWS = (
    *(
        (
            "optim_search",
            "finished",
            "98.91 ± 0.21 %",
            "adamw leads a tie of 8",
            DATE,
            "12.3 MB",
            "r",
        ),
    ),
    *(("x", "running, search 12 of 60", "12345.67 ± 1.23", "not judged", DATE, "1 kB", "r/x"),),
)


@pytest.mark.parametrize("width", range(20, 201, 9))
def test_no_number_is_cut_at_any_width(width):
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(study_list.fitting(console, ROWS))
    text = out.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    numbers = ["98.91 ± 0.21 %", "12345.67 ± 1.23"]
    if "date" in text:
        numbers.append(DATE)
    if "size" in text:
        numbers += ["12.3 MB", "1 kB"]
    assert all(number in text for number in numbers)
    assert "optim_search" in text and "finished" in text
    assert ("folder" in text) or width < 130
