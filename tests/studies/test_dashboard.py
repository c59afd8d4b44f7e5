"""What the dashboard shows beyond Optuna's own: read through its WSGI application, no browser."""

import dataclasses
import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from wsgiref.util import setup_testing_defaults

import matplotlib.image
import numpy as np
import optuna
import pytest
from matplotlib.axes import Axes
from optuna_dashboard import wsgi
from toy import Toy
from toy_trail import plan_at, run

from mnist_core.console.plain_text import markdown
from mnist_core.data import image_arrays
from mnist_core.evaluation import validation_summary
from objectives.base import Outcome
from objectives.mistake_images import MistakeImages
from studies.analysis import stored_study
from studies.dashboard import application, pictures
from studies.dashboard.application import StudyDashboard
from studies.dashboard.completion import Completion
from studies.dashboard.figures import figures
from studies.dashboard.notes import TrialNotes, confirm_note, is_number, readable, study_note
from studies.ledger.opening import open_search
from studies.protocol import phases
from studies.report.verdict_text import verdict_lines
from studies.storage.open import close_storage, open_storage


class Confused(Toy):
    """Leaves what the trainer does of its last validation; adagrad fails."""

    def __call__(self, task, report):
        outcome = super().__call__(task, report)
        curve = {"x": [0.0, 0.2, 1.0], "y": [0.0, 0.9, 1.0], "area": 0.85}
        attributes = {
            **outcome.attributes,
            "confusion": [[5, 1], [0, 6]],
            "validation": {
                "mistakes": [[5, 7, 1, 0.98], [6, 2, 3, 0.9]],
                "roc": curve,
                "precision_recall": curve,
            },
        }
        return Outcome(metrics=outcome.metrics, attributes=attributes)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Of a study that was run to its end; nothing here changes it."""
    plan = plan_at(tmp_path_factory.mktemp("inspected"))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", lambda plan: {"versions": {"torch": "x"}})
        run(plan, Confused(failing=("adagrad",)))
    return plan


@pytest.fixture
def storage(plan):
    storage = open_storage(plan.storage_url, create=False)
    yield storage
    close_storage(storage)


def make_app(plan, storage):
    return StudyDashboard(wsgi(storage), partial(stored_study.read, plan), storage)


def ask(app, path, method="GET", content=None, query=""):
    """One request; the status' number and the body."""
    body = json.dumps(content).encode() if content is not None else b""
    environ = {
        "PATH_INFO": path,
        "REQUEST_METHOD": method,
        "QUERY_STRING": query,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    setup_testing_defaults(environ)
    said = []
    answer = b"".join(app(environ, lambda status, headers, *rest: said.append(status)))
    return int(said[0].split()[0]), answer


def detail(app, number=1):
    status, body = ask(app, f"/api/studies/{number}")
    assert status == 200
    return json.loads(body)


def dump(storage):
    """All that the database holds."""
    connection = storage.engine.raw_connection()
    try:
        return "\n".join(connection.driver_connection.iterdump())
    finally:
        connection.close()


def test_every_trial_has_a_note_with_verdict_curve_and_params(plan, storage):
    trials = detail(make_app(plan, storage))["trials"]
    records = stored_study.read(plan, storage).search
    assert len(trials) == len(records) == 9
    for trial, record in zip(trials, records, strict=True):
        body = trial["note"]["body"]
        for name, value in record.params.items():
            shown = f"{value:.6g}" if isinstance(value, float) else value
            assert f"| {name} | `{shown}` |" in body
        if record.state == "FAIL":
            assert "**Failed: NonFiniteLoss: the loss is nan at step 1**" in body
            assert "Traceback" in body
        else:
            # After the verdict of the confirmation, where it was confirmed.
            said = body.splitlines()
            assert f"{100 * record.value:.2f} %: " in said[0] + said[2]
            assert ", ".join(f"{100 * value:.2f} %" for value in record.curve.values()) in body
    complete = [r for r in records if r.value is not None]
    best = max(complete, key=lambda r: r.value)
    own = sum(r.params["optim.name"] == best.params["optim.name"] for r in complete)
    said = f"best of the {own} of {best.params['optim.name']}, 1st of all {len(complete)}"
    assert said in trials[best.number]["note"]["body"]


def test_the_answer_is_not_the_luckiest_training(plan, storage):
    """What won is named as such, and stands where Optuna has its single best value."""
    found = stored_study.read(plan, storage)
    # Another choice has won on fresh seeds than that of the best search trial.
    rows = {row.label: row for row in found.result.rows}
    other = rows["sgd"].candidate.search_trial
    result = dataclasses.replace(found.result, best="sgd")
    found = dataclasses.replace(found, result=result)
    complete = [r for r in found.search if r.state == "COMPLETE"]
    luckiest = max(complete, key=lambda r: r.value)
    assert luckiest.number != other
    notes = TrialNotes(found, confirm=False)
    mean = f"{100 * rows['sgd'].confirm.mean:.2f} "
    assert notes.note(found.search[other]).startswith("**Best")
    assert f": sgd, {mean}" in notes.note(found.search[other]).splitlines()[0]
    said = notes.note(luckiest)
    assert (
        "the best, sgd" in said.splitlines()[0] or f"sgd, trial {other}, confirmed: {mean}" in said
    )

    app = make_app(plan, storage)
    app._known = (time.monotonic() + 60, Completion(found, storage, MistakeImages()))
    (shown,) = detail(app)["best_trials"]
    assert shown["number"] == other and shown["note"]["body"].startswith("**Best")
    status, body = ask(app, "/api/studies/1", query="after=9")
    assert status == 200 and json.loads(body)["best_trials"][0]["number"] == other
    seeds = [record.number for record in result.confirm["sgd"]]
    assert [one["number"] for one in detail(app, 2)["best_trials"]] == seeds


def standing(found, choice, **changes):
    """The first line of the note of the trial that won ``choice``, in a changed result."""
    result = dataclasses.replace(found.result, **changes)
    row = next(row for row in result.rows if row.label == choice)
    number = row.candidate.search_trial
    notes = TrialNotes(dataclasses.replace(found, result=result), confirm=False)
    return notes.note(found.search[number]).splitlines()[0]


def test_a_note_begins_with_the_verdict_its_interval_and_the_number_of_seeds(plan, storage):
    found = stored_study.read(plan, storage)
    best = found.result.best_row
    other = next(r for r in found.result.rows if r.gap is not None and not r.candidate.default)
    seeds = f"on {best.confirm.n} fresh seeds"
    said = standing(found, best.label)
    assert said.startswith("**Best") and seeds in said
    comparison = found.result.verdicts.configurations.comparison

    def judged(**changes):
        changed = dataclasses.replace(comparison, **changes)
        judgement = dataclasses.replace(found.result.verdicts.configurations, comparison=changed)
        return dataclasses.replace(found.result.verdicts, configurations=judgement)

    gap = f"{100 * other.gap.mean:+.2f} ["
    tie = standing(found, other.label, verdicts=judged(ties=(other.label,), unclear=()))
    assert "May be as good as" in tie and gap in tie
    noisy = standing(found, other.label, verdicts=judged(ties=(), unclear=(other.label,)))
    assert "Too noisy" in noisy and gap in noisy
    worse = standing(found, other.label, verdicts=judged(ties=(), unclear=()))
    assert "Worse than" in worse and f"by {-100 * other.gap.mean:.2f} [" in worse


def test_a_study_s_note_begins_with_its_verdict(plan, storage):
    found = stored_study.read(plan, storage)
    first = verdict_lines(found.result)[0]
    for note in (study_note(found), confirm_note(found)):
        assert note.startswith(f"**{markdown(first)}**")
    running = dataclasses.replace(found, confirm=[], result=None)
    assert study_note(running).startswith("**No verdict yet")


def test_the_metric_has_its_name_also_in_a_study_of_an_older_version(plan, storage):
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        assert study.metric_names == ["val_accuracy"]
    shown = {"name": plan.name, "trials": [], "best_trials": [], "plotly_graph_objects": []}
    shown["note"] = {"version": 1, "body": ""}
    Completion(stored_study.read(plan, storage), storage, MistakeImages()).complete(
        shown, lambda number: None
    )
    assert shown["objective_names"] == ["val_accuracy"]


def test_what_became_of_a_trial_is_said(plan, storage):
    found = stored_study.read(plan, storage)
    notes = TrialNotes(found, confirm=False)
    record = next(r for r in found.search if r.state == "COMPLETE")
    cut = dict(list(record.curve.items())[:2])

    def verdict(**changes):
        return notes.verdict(dataclasses.replace(record, **changes))

    assert verdict(state="RUNNING", curve=cut) == "Running, at report 2 of 3."
    assert verdict(state="RUNNING", curve=cut, paused=2).startswith("Paused, at report 2 of 3;")
    assert verdict(state="WAITING", curve={}) == "Waits to be run."
    assert verdict(state="WAITING", attempt=1) == "Waits to be run again."
    assert verdict(state="PRUNED", curve=cut, value=0.5) == (
        "Stopped by the pruner (median) at report 2 of 3, with 50.00 %."
    )
    assert "the default configuration, never pruned" in notes.note(found.search[0])
    assert "default" not in notes.note(found.search[5])


def test_a_confirmed_trial_says_what_it_confirms_and_links_its_model(plan, storage):
    app = make_app(plan, storage)
    trials = detail(app, 2)["trials"]
    found = stored_study.read(plan, storage)
    assert trials
    for trial, record in zip(trials, found.confirm, strict=True):
        test = found.test.values[record.number]["test_accuracy"]
        body = trial["note"]["body"]
        label, before = record.attributes["label"], found.confirm[: record.number]
        nth = 1 + sum(label == other.attributes["label"] for other in before)
        said = f"for {label}, trained again on fresh seed {nth}; on the test"
        assert said in body and f"{100 * test:.2f} %" in body
        (model,) = [f for f in trial["artifacts"] if f["filename"].endswith(".safetensors")]
        path = f"/artifacts/2/{trial['trial_id']}/{model['artifact_id']}"
        assert ask(app, path) == (200, b"weights")


def test_pictures_of_curve_and_validation(plan, storage):
    app = make_app(plan, storage)
    for trial in detail(app)["trials"]:
        names = [one["filename"].partition("_")[0] for one in trial["artifacts"]]
        kinds = ["curve", "confusion", "mistakes", "roc"]
        assert names == ([] if trial["state"] == "Fail" else kinds)
        if trial["number"] != 0:
            continue
        for one in trial["artifacts"]:
            status, body = ask(app, f"/artifacts/1/{trial['trial_id']}/{one['artifact_id']}")
            drawn = matplotlib.image.imread(io.BytesIO(body))
            assert status == 200 and min(drawn.shape[:2]) > 200 and drawn.std() > 0.02


def test_one_picture_is_drawn_at_a_time(plan, storage, monkeypatch):
    """A page asks for all of a trial at once; matplotlib, imported so, would stay half imported."""
    app, drawing, most = make_app(plan, storage), [], []

    def draw(*_):
        drawing.append(1)
        most.append(len(drawing))
        time.sleep(0.02)
        drawing.pop()
        return b"picture"

    for kind in ("curve", "confusion", "mistakes", "validation_curves"):
        monkeypatch.setattr(pictures, kind, draw)
    trial = detail(app)["trials"][0]
    paths = [f"/artifacts/1/1/{file['artifact_id']}" for file in trial["artifacts"]]
    with ThreadPoolExecutor(len(paths)) as threads:
        answers = list(threads.map(lambda path: ask(app, path), paths))
    assert answers == [(200, b"picture")] * 4 and most == [1] * 4


def test_the_mistakes_are_those_of_the_studys_own_images(plan, storage, monkeypatch):
    found = stored_study.read(plan, storage)
    kept = validation_summary.of_attributes(found.search[0].attributes)
    images = image_arrays.validation_images(found.plan.train.data)
    shown = []
    monkeypatch.setattr(Axes, "imshow", lambda axes, picture, **_: shown.append(picture))
    own = dataclasses.replace(found, plan=found.plan.with_data(images.fingerprint))
    assert pictures.mistakes(own, found.search[0], kept, MistakeImages()).startswith(b"\x89PNG")
    assert np.array_equal(255 - np.array(shown), images.images[[5, 6]])
    shown.clear()
    other = dataclasses.replace(found, plan=found.plan.with_data("another"))
    assert pictures.mistakes(other, found.search[0], kept, MistakeImages()).startswith(b"\x89PNG")
    assert shown == []


def test_files_of_nobody_are_left_to_the_dashboard(plan, storage):
    app = make_app(plan, storage)
    assert ask(app, "/artifacts/1/1/0-0-fff")[0] == 400  # no store was given to it
    assert ask(app, "/artifacts/1/1/9-0-0")[0] == 400


def test_attributes_are_rows_that_can_be_read_and_sorted_by(plan, storage):
    found = detail(make_app(plan, storage))
    rows = {row["key"]: row["value"] for row in found["trials"][0]["user_attrs"]}
    assert rows["device"] == "cpu" and is_number(rows["val_loss"])
    assert not any(name.startswith(("confusion", "validation")) for name in rows)
    columns = {column["key"]: column["sortable"] for column in found["union_user_attrs"]}
    assert columns["val_loss"] and columns["seconds"] and not columns["device"]
    assert columns["failure"] is False
    names = {row["key"] for row in found["user_attrs"]}
    assert {"budget.trials", "fingerprint.hash"} <= names
    assert max(len(row["value"]) for row in found["user_attrs"]) <= 200


def test_readable():
    attributes = {
        "a": 1.23456789,
        "b": {"c": {"d": True, "e": {"f": 1}}, "g": [1, 2.5, "x"]},
        "confusion": [[1, 2], [3, 4]],
        "list": [[1], [2]],
        "long": "x" * 300,
        "none": None,
    }
    assert readable(attributes) == {"a": "1.23457", "b.c.d": "True", "b.g": "1, 2.5, x"}


def test_the_study_has_its_report_as_a_note_and_figures(plan, storage):
    found = detail(make_app(plan, storage))
    assert "Which toy is best?" in found["note"]["body"]
    assert "Phase: finished, not running; search: 6 complete, 3 fail of 9" in found["note"]["body"]
    drawn = {one["id"]: json.loads(one["graph_object"]) for one in found["plotly_graph_objects"]}
    assert set(drawn) == {"trials-by-choice", "curves-by-choice", "confirmed"}
    by_choice = {trace["name"]: trace for trace in drawn["trials-by-choice"]["data"]}
    records = stored_study.read(plan, storage).search
    for name in ("sgd", "adam", "adagrad"):
        values = [r.value for r in records if r.params["optim.name"] == name and r.value]
        assert by_choice[name]["y"] == pytest.approx([100 * value for value in values], abs=1e-3)
    curves = {trace["name"]: trace for trace in drawn["curves-by-choice"]["data"]}
    sgd = sum(r.params["optim.name"] == "sgd" for r in records)
    assert curves["sgd"]["x"] == [1, 2, 3, None] * sgd
    complete = sorted(100 * r.value for r in records if r.state == "COMPLETE")
    for name in ("trials-by-choice", "curves-by-choice"):  # the better half is well seen
        low, high = drawn[name]["layout"]["yaxis"]["range"]
        assert low < complete[len(complete) // 2] < complete[-1] < high < 2 * complete[-1]
    confirm = detail(make_app(plan, storage), 2)
    assert "trained again on the same fresh seeds" in confirm["note"]["body"]
    assert confirm["plotly_graph_objects"] == []


def test_looking_writes_nothing(plan, storage):
    app = make_app(plan, storage)
    before = dump(storage)
    for number in (1, 2):
        for trial in detail(app, number)["trials"][::4]:
            for one in trial["artifacts"]:
                ask(app, f"/artifacts/{number}/{trial['trial_id']}/{one['artifact_id']}")
    assert dump(storage) == before


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("DELETE", "/api/studies/1", {}),
        ("POST", "/api/studies", {"study_name": "x", "directions": ["minimize"]}),
        ("POST", "/api/studies/1/rename", {"study_name": "x"}),
        ("POST", "/api/trials/1/tell", {"state": "fail"}),
        ("POST", "/api/trials/1/user-attrs", {"user_attrs": {"seed": 1}}),
    ],
)
def test_what_the_run_alone_may_change_is_refused(plan, storage, method, path, content):
    before = dump(storage)
    status, body = ask(make_app(plan, storage), path, method, content)
    assert status == 403 and "by its run alone" in json.loads(body)["reason"]
    assert dump(storage) == before


@pytest.fixture
def other(tmp_path):
    """A plan and the open storage of a study that was begun, with a plain one beside it."""
    plan = plan_at(tmp_path)
    storage = open_storage(plan.storage_url, create=True)
    plain = optuna.create_study(study_name="plain", storage=storage)
    plain.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    yield plan, storage
    close_storage(storage)


def test_other_studies_are_shown_as_they_are(other):
    plan, storage = other
    assert detail(make_app(plan, storage)) == detail(wsgi(storage))


def test_a_study_that_runs_and_a_note_of_somebody(other, monkeypatch):
    monkeypatch.setattr(application, "FRESH_SECONDS", 0.0)
    plan, storage = other
    app = StudyDashboard(wsgi(storage), partial(stored_study.read, plan), storage)
    with open_search(plan, storage) as book:
        task = book.ask()
        book.report(task, 1, {"val_accuracy": 0.5})
        book.flush()
        found = detail(app, 2)
        assert "run by process" in found["note"]["body"]
        (trial,) = found["trials"]
        assert trial["state"] == "Running" and "Running, at report 1" in trial["note"]["body"]
        assert [one["filename"] for one in trial["artifacts"]] == ["curve_0.png"]
        address = f"/api/studies/2/{trial['trial_id']}/note"
        version = trial["note"]["version"] + 1
        written = {"version": version, "body": "*mine*"}
        assert ask(app, address, "PUT", written)[0] == 204
        book.report(task, 2, {"val_accuracy": 0.6})  # the run goes on all the same
        book.finish(task, Outcome(metrics={"val_accuracy": 0.6}))
    again = detail(StudyDashboard(wsgi(storage), partial(stored_study.read, plan), storage), 2)
    assert again["trials"][0]["note"] == written
    assert again["trials"][0]["state"] == "Complete"


def test_with_other_settings_the_trials_are_shown_and_the_result_is_not(plan, storage):
    spec = dataclasses.replace(plan.spec, metric="val_loss")
    found = stored_study.read(dataclasses.replace(plan, spec=spec), storage)
    assert found.differs
    assert "other settings than the study was run with" in study_note(found)
    assert figures(found)["trials-by-choice"]["data"]


def test_a_trial_without_peers_is_drawn(plan, storage):
    found = stored_study.read(plan, storage)
    assert pictures.curve(found, found.search[0], []).startswith(b"\x89PNG")
