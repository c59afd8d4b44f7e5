"""The W&B report, as what would be sent to the server."""

import json
from types import SimpleNamespace

import pytest
import wandb
from made_log import begin, event, trial, whole, write
from toy_plans import toy_plan

from mnist_core.errors import UserError
from mnist_core.tracking import wandb_account, wandb_internals
from mnist_core.tracking.wandb_internals import report_json
from studies.cli import options
from studies.cli.wandb_report import wandb_report_command
from studies.tracking import wandb_report
from studies.tracking.follow import read_study
from studies.tracking.wandb_report import build


def made(folder, events):
    study = read_study(write(folder, events))
    assert study is not None
    return report_json(build(study, project="p", entity="", command="python -m x", url="https://u"))


def test_it_says_question_answer_and_table_and_shows_each_choice(tmp_path):
    found = made(tmp_path, whole())
    text = json.dumps(found)
    for part in ("Which one?", "adam is best.", "choice | search", "python -m x", "https://u"):
        assert part in text
    grids = [block for block in found["blocks"] if block["type"] == "panel-grid"]
    sets = [one for grid in grids for one in grid["metadata"]["runSets"]]
    # adam is the only choice there is
    assert [one["name"] for one in sets] == ["confirmed", "all search trials", "adam"]
    for one, job in zip(sets, ("confirm", "search", "search"), strict=True):
        filters = {f["key"]["name"]: f["value"] for f in one["filters"]["filters"]}
        assert filters["group"] == "made" and filters["jobType"] == job
        assert "project" not in one
    assert {f["key"]["name"]: f["value"] for f in sets[2]["filters"]["filters"]}[
        "optim.value.name"
    ] == "adam"
    table, search, _ = (g["metadata"]["panelBankSectionConfig"]["panels"] for g in grids)
    assert [panel["viewType"] for panel in table] == ["Markdown Panel"]
    assert "choice | search" in table[0]["config"]["value"]
    assert "adam is best." in json.dumps(found["blocks"][: found["blocks"].index(grids[0])])
    panels = [panel["viewType"] for panel in search]
    assert panels[:2] == ["Run History Line Plot"] * 2
    assert {"Parallel Coordinates Plot", "Parameter Importance"} <= set(panels)


def test_a_study_that_is_not_finished(tmp_path):
    text = json.dumps(made(tmp_path, [*begin(), *trial(0)]))
    assert "not finished" in text and "Confirmed on fresh seeds" not in text


def test_values_with_quotes_are_quoted(tmp_path):
    odd = event("start", "search", 0, params={"optim.name": "it's"}, seed=1)
    found = made(tmp_path, [*begin(), odd, event("complete", "search", 0, value=1.0)])
    grids = [block for block in found["blocks"] if block["type"] == "panel-grid"]
    filters = grids[1]["metadata"]["runSets"][0]["filters"]["filters"]
    assert filters[-1]["value"] == "it's"


def test_there_is_no_study_without_a_log(tmp_path):
    assert read_study(tmp_path / "none") is None


class Expired:
    """What W&B gives whose key has expired."""

    @property
    def default_entity(self):
        raise wandb.errors.AuthenticationError("the key\nhas expired")

    def save(self):
        raise RuntimeError("the key\nhas expired")  # some of its kinds are no wandb.errors


@pytest.mark.parametrize(
    ("api", "entity", "part"),
    [
        (Expired(), "", "cannot be sent: the key has expired; --out FILE"),
        (SimpleNamespace(default_entity=None), "", "no default entity; set tracking.wandb.entity"),
        (None, "me", "cannot be sent: the key has expired; --out FILE"),
    ],
)
def test_what_wandb_refuses_is_one_line(tmp_path, monkeypatch, api, entity, part):
    plan = toy_plan(tmp_path)
    plan.settings.tracking.wandb.__dict__["entity"] = entity
    write(tmp_path, whole())
    monkeypatch.setattr(options.Chosen, "find", lambda *_, **__: plan)
    monkeypatch.setattr(wandb_account, "check_account", lambda: None)
    monkeypatch.setattr(wandb_internals, "server", lambda: "https://u")
    monkeypatch.setattr(wandb_report, "build", lambda *_, **__: Expired())
    monkeypatch.setattr(wandb, "Api", lambda: api)
    with pytest.raises(UserError) as refused:
        wandb_report_command("toy")
    assert part in str(refused.value) and "\n" not in str(refused.value)
