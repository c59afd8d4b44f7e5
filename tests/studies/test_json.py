"""``--json`` and ``result.json``: valid, documented, and without secrets."""

import json
import re
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401
from programs import HERE
from toyland import toyland  # noqa: F401

from studies import catalog
from studies.core.json_text import json_text, plain

RUN = ("--track", "none", "--plain", "--engine", "inline")
PAGE = re.sub("```.*?```", "", (HERE.parent / "docs/json.md").read_text("utf-8"), flags=re.DOTALL)


@pytest.fixture
def ran(here, toyland):  # noqa: F811
    """Runs ``toyland``; returns a function that runs a command and reads the JSON it prints."""
    done = here("studies.run", "toyland", *RUN)
    assert done.returncode == 0, done.stderr

    def read(*words):
        done = here("studies", *words, "--json")
        assert done.returncode == 0 and done.stderr == "", done.stderr
        return json.loads(done.stdout)

    return read


def test_the_result_is_kept_beside_the_report(ran):
    folder = Path("results/toyland")
    kept = json.loads((folder / "result.json").read_text(encoding="ascii"))
    assert kept["study"] == "toyland" and kept["schema"] == 1
    labels = [row["label"] for row in kept["table"]]
    assert kept["verdict"]["best"] == labels[0] == kept["winner"]["label"]
    judged = kept["verdict"]["configurations"]
    of_judged = {judged["best"], *judged["ties"], *judged["unclear"], *judged["worse"]}
    # The default may be one of them under another label.
    assert of_judged | set(judged["collapsed"]) >= set(labels) - {"adam (default)"}
    best = kept["table"][0]
    assert best["standing"] == "best" and best["minus_best"] is None
    assert best["confirm"]["n"] == len(best["confirm_values"]) == kept["confirm_seeds"]
    assert best["confirm"] == kept["winner"]["confirm"]
    assert best["confirm"]["low"] <= best["confirm"]["mean"] <= best["confirm"]["high"]
    assert best["test"] == kept["winner"]["test"] != None  # noqa: E711
    assert len(kept["test_set"]["read"]) == 1
    assert all((folder / name).is_file() for name in kept["files"].values() if name)
    assert kept["files"]["best_config"] == "best_config.toml"
    assert any(best["label"] in line for line in kept["verdict"]["sentences"])


def test_status_has_the_same_result(ran):
    stood = ran("status", "toyland")
    kept = json.loads(Path("results/toyland/result.json").read_text())
    assert stood["result"] == kept
    assert stood["phase"] == "finished" and stood["supervisor"] is None
    assert sum(stood["search"]["trials"].values()) == stood["search"]["planned"]
    assert "failures" not in stood and ran("status", "toyland", "--failures")["failures"] == []


def test_a_report_writes_the_result_again(ran, here):  # noqa: F811
    file = Path("results/toyland/result.json")
    before = file.read_text()
    file.unlink()
    assert here("studies", "report", "toyland").returncode == 0
    assert json.loads(file.read_text()) == json.loads(before)


def test_show_has_every_setting_with_its_source(ran):
    shown = ran("show", "toyland", "--set", "epochs=2")
    assert shown["settings"]["train.epochs"] == {"value": 2, "source": "--set"}
    assert shown["settings"]["search.trials"] == {"value": 3, "source": "conf.toml"}
    assert set(shown["parameters"]) == set(catalog.get("toyland").space.parameters)
    assert shown["run"] is True and "epochs" in shown["changed"]
    by_folder = ran("show", "results/toyland")
    assert by_folder["study"] == "toyland" and by_folder["changed"] is None
    assert ran("show", "plainland")["run"] is False


def test_list_has_the_catalog_and_the_folder_of_results(ran):
    Path("results/other").mkdir()
    Path("results/broken").mkdir()
    Path("results/broken/study.db").write_text("no database")
    listed = ran("list")
    names = [one["name"] for one in listed["catalog"]]
    assert names == list(catalog.names()) and all(one["goal"] for one in listed["catalog"])
    states = {one["name"]: one["state"] for one in listed["results"]}
    assert states == {"toyland": "finished", "broken": "unreadable"}
    assert [one["running"] for one in listed["results"]] == [False, False]


def test_a_study_that_was_refused_before_it_began_is_not_listed(ran, here):  # noqa: F811
    refused = here("studies.run", "plainland", *RUN, "--learn-from", "nowhere")
    assert refused.returncode == 1 and "nowhere" in refused.stderr
    assert [one["name"] for one in ran("list")["results"]] == ["toyland"]


def test_list_prints_studies_and_states(ran, here):  # noqa: F811
    done = here("studies", "list")
    assert "optim_search" in done.stdout and "finished" in done.stdout
    assert "in results" in done.stdout
    done = here("studies", "list", "--set", "results.folder=nowhere")
    assert done.returncode == 0 and "in nowhere" not in done.stdout
    done = here("studies", "list", "--set", "results.foldr=nowhere")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1


def test_a_front_has_the_mean_of_each_objective(here, toyland):  # noqa: F811
    more = ("--trials", "6", "--set", "search.objectives.parameters=minimize")
    assert here("studies.run", "toyland", *more, *RUN).returncode == 0
    kept = json.loads(Path("results/toyland/result.json").read_text())
    assert kept["verdict"]["configurations"] is None
    assert list(kept["metric"]["objectives"]) == ["val_accuracy", "parameters"]
    assert kept["front"] and all(len(one["values"]) == 2 for one in kept["front"])
    assert all(set(row["objectives"]) == {"val_accuracy", "parameters"} for row in kept["table"])


def test_the_page_names_every_key(ran):
    kept = json.loads(Path("results/toyland/result.json").read_text())
    described = set(re.findall(r"[a-z_]+", " ".join(re.findall(r"`([^`]+)`", PAGE))))
    stood, shown, listed = ran("status", "toyland"), ran("show", "toyland"), ran("list")
    keys = {*kept, *kept["verdict"], *kept["metric"], *kept["winner"], *kept["test_set"]}
    keys |= {*kept["table"][0], *kept["files"], *kept["verdict"]["configurations"]}
    keys |= {*stood, *stood["search"], *stood["confirm"], *shown, *listed}
    keys |= {*listed["catalog"][0], *listed["results"][0]}
    assert keys - described == set()


def test_text_of_others_cannot_act_on_a_terminal_and_passwords_are_masked():
    text = "\x1b[2J\x7f\x9b\u202e\ud800 é"
    url = "postgresql://me:s3cret@host/db"
    written = json_text({"a": text, "b": [url, float("nan")], "c": {"d": (1, url)}})
    assert written.isascii() and not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", written)
    assert "s3cret" not in written
    read = json.loads(written)
    assert read["a"] == text and read["b"] == ["postgresql://me:***@host/db", None]


def test_plain_values_are_those_of_json():
    assert plain({1: (float("inf"), None, True), "p": Path("x")}) == {
        "1": [None, None, True],
        "p": "x",
    }
