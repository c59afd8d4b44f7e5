"""Numbers, table, sentences and live view."""

import dataclasses
import io
import math

import numpy as np
import pytest
from rich.console import Console
from test_protocol import run
from toy import Toy, make_plan

from mnist_core.evaluation.right_answers import NAME, RightAnswers
from objectives.base import TrainingError
from studies.analysis import stored_study
from studies.analysis.export import best_config
from studies.analysis.tables import tables
from studies.core.events import Event
from studies.core.formatting import duration, gap_text, mean_text, metric_text, params_text
from studies.protocol import phases
from studies.report.live import LiveView, PlainView
from studies.report.progress import Progress
from studies.report.sparklines import sparkline
from studies.report.table import cells, markdown, metric_title, notes, print_result
from studies.report.verdict_text import verdict_lines
from studies.report.warnings import warnings
from studies.statistics.intervals import Interval, mean_interval


@pytest.fixture
def result(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    return run(make_plan(tmp_path), toy=Toy(failing=("adagrad",)))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (59.4, "59 s"), (185, "3:05"), (3723, "1:02:03")]
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_numbers():
    assert metric_text("val_accuracy", 0.98214) == "98.21 %"
    assert metric_text("val_loss", 0.123456) == "0.1235"
    assert metric_text("val_accuracy", None) == metric_text("val_loss", math.nan) == "-"
    assert mean_text("val_accuracy", mean_interval([0.5])) == "50.00 ± ?"
    assert gap_text("val_accuracy", mean_interval([-0.01, -0.01])) == "-1.00 [-1.00, -1.00]"
    shown_worse = Interval(n=2, mean=0.2, sd=0.1, low=-0.0, high=0.4)  # minimizing, turned
    assert gap_text("loss", shown_worse) == "+0.2 [+0, +0.4]" and metric_text("loss", -0.0) == "0"
    # No share lies beyond 0 and 100 %, and no difference of two beyond 100 points.
    assert mean_text("val_accuracy", mean_interval([0.98, 1.0])) == "99.00 [86.29, 100.00]"
    assert mean_text("val_accuracy", mean_interval([0.0, 0.02])) == "1.00 [0.00, 13.71]"
    assert gap_text("val_accuracy", mean_interval([-0.9, 0.0])) == "-45.00 [-100.00, +100.00]"
    assert mean_text("val_loss", mean_interval([0.0, 0.02])) == "0.01 ± 0.1271"
    params = {"optim.name": "adam", "adam.lr": 0.00123456, "l2": 0.0, "a.x": 1, "b.x": 2}
    assert params_text(params) == "adam lr=0.00123 l2=0 a.x=1 b.x=2"


def test_the_table_is_readable_when_piped(result):
    out = io.StringIO()
    print_result(Console(file=out, width=100, color_system=None), result)
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in out.getvalue()
    text = " ".join(out.getvalue().split())
    for label in ("sgd", "adam", "adagrad", "adam (default)"):
        assert f"| {label} " in text
    assert "intervals of the table hold together" in text
    assert "the randomness of training, not the choice of the images" in text


def test_sentences(result):
    best = verdict_lines(result)
    assert best[0].startswith("Best: adam, ")
    assert best[0].endswith("; better than each of the 2 others confirmed.")
    assert best[1].startswith("As tuned here (best of ") and "(default)" not in best[1]
    assert "Not confirmed, so not judged: adagrad." in best
    assert any(line.startswith("Against adam (default): ") for line in best)
    said = warnings(result)
    assert any(line.startswith("adagrad: none of its") for line in said)
    assert any("NonFiniteLoss" in line for line in said)


def test_the_default_can_win(tmp_path, monkeypatch):
    """What looked best in the search turns out worse than what was not tuned at all."""

    class Lucky(Toy):
        def __call__(self, task, report):
            outcome = super().__call__(task, report)
            if self.keep_models is None or task.params.get("adam.lr") == 0.001:
                return outcome
            worse = {name: value - 0.2 for name, value in outcome.metrics.items()}
            return dataclasses.replace(outcome, metrics=worse)

    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    result = run(make_plan(tmp_path, trials=12), toy=Lucky())
    lines = verdict_lines(result)
    assert result.best == "adam (default)" == result.rows[0].label
    assert lines[0].startswith("Best: adam (default), ")
    assert any("the default configuration (adam (default)) itself" in line for line in lines)
    assert best_config(result)["optim"]["lr"] == 0.001


def test_a_tie_names_its_rival(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    monkeypatch.setattr("toy.TOP", {"sgd": 0.98, "adam": 0.98, "adagrad": 0.5})
    result = run(make_plan(tmp_path, trials=12, seeds=8), toy=Toy(noise=0.02))
    assert verdict_lines(result)[0].startswith("Tie: ")
    assert len(result.ties) >= 1 and result.ties[0] in verdict_lines(result)[0]


def confirmed(tmp_path, monkeypatch, values, *, images=1000):
    """A study whose confirm trainings of a choice have the given values, seed by seed."""

    class Given(Toy):
        def __call__(self, task, report):
            outcome = super().__call__(task, report)
            if self.keep_models is None:
                return outcome
            name = task.params["optim.name"]
            value = values[name][self.keep_count.setdefault(name, 0) % len(values[name])]
            self.keep_count[name] += 1
            if value is None:
                raise TrainingError("NonFiniteLoss", "the loss is nan at step 1")
            return dataclasses.replace(
                outcome,
                metrics=dict(outcome.metrics) | {"val_accuracy": value},
                attributes=dict(outcome.attributes) | {"confusion": [[images - 1, 1]]},
            )

    toy = Given()
    toy.keep_count = {}
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    # The default configurations alone, so that adam's is the default itself.
    return run(make_plan(tmp_path, trials=3), toy=toy)


def test_a_choice_that_is_too_noisy_is_no_tie(tmp_path, monkeypatch):
    values = {
        "adam": [0.970, 0.971, 0.969],
        "sgd": [0.94, 0.98, 0.96],  # less than what counts as a collapse
        "adagrad": [0.910, 0.911, 0.909],
    }
    result = confirmed(tmp_path, monkeypatch, values)
    assert result.noisy == ("sgd",) and result.ties == ()
    confirm = best_config(result)["record"]["confirm"]
    assert (confirm["ties_with"], confirm["too_noisy"]) == ([], ["sgd"])
    lines = verdict_lines(result)
    assert lines[0].startswith("Best as far as can be told: adam, ")
    assert lines[0].endswith("; better than 1 of the 2 others confirmed.")
    assert lines[1].startswith("Too noisy to be told apart from it: sgd (96.00 ")
    assert any("0 and 100 %" in note for note in notes(result))
    assert any(note.startswith("too noisy: ") for note in notes(result))
    assert not any(note.startswith("collapsed: ") for note in notes(result))
    monkeypatch.setattr(type(result), "noisy", ("sgd", "adagrad"))
    assert verdict_lines(result)[0].endswith(" on 3 fresh seeds.")


def test_a_quick_run_says_that_it_answers_nothing(tmp_path, monkeypatch):
    result = confirmed(tmp_path, monkeypatch, {"adam": [0.97, 0.98], "sgd": [0.9, 0.91]})
    assert not any("--quick" in line for line in verdict_lines(result))
    plan = dataclasses.replace(result.plan, name=f"{result.plan.spec.name}-quick")
    small = dataclasses.replace(result, plan=plan)
    (said,) = [line for line in verdict_lines(small) if "--quick" in line]
    assert f"{plan.trials} trials" in said and f"{plan.confirm_seeds} seeds" in said
    # The answer comes first: lists and pages show the first sentence alone.
    assert verdict_lines(small)[0] == verdict_lines(result)[0]


def test_collapsed_seeds_are_said_in_words(tmp_path, monkeypatch):
    values = {
        "adam": [0.980, 0.981, 0.979],
        "sgd": [0.2, 0.9, 0.4],
        "adagrad": [0.950, 0.951, 0.952],
    }
    result = confirmed(tmp_path, monkeypatch, values)
    rows = {row.label: row for row in result.rows}
    assert result.standing(rows["sgd"]) == "collapsed" and result.rows[-1].label == "sgd"
    assert rows["adam"].confirm.half_width < 0.005  # the pool is without them
    lines = verdict_lines(result)
    assert lines[0].startswith("Best: adam, ") and "sgd: 2 of 3 seeds collapsed." in lines
    assert " (2/3 collapsed) |" in markdown(result)
    assert any(note.startswith("collapsed: ") for note in notes(result))
    assert not any(note.startswith("too noisy: ") for note in notes(result))
    # Its mean is of the sound seed, so nothing else in its row is of the collapsed ones.
    assert rows["sgd"].gap is None and rows["sgd"].confirm.mean == 0.9
    assert not any("confirm seeds have a value" in line for line in warnings(result))


def test_the_default_that_is_its_choices_best_has_one_interval(tmp_path, monkeypatch):
    """One configuration under two labels: one mean, one interval, one difference."""
    values = {
        "adam": [0.980, 0.981, 0.979],
        "sgd": [0.982, 0.986, 0.984],
        "adagrad": [0.950, 0.956, 0.953],
    }
    result = confirmed(tmp_path, monkeypatch, values)
    rows = {row.label: row for row in result.rows}
    one, two = rows["adam"], rows["adam (default)"]
    assert one.candidate.params == two.candidate.params
    assert (one.confirm, repr(one.gap)) == (two.confirm, repr(two.gap))
    assert "For each choice only the default was tried." in verdict_lines(result)


def judged_by_images(tmp_path, monkeypatch, value):
    """A study whose models got 90 of 100 confirm images right; ``value`` is their metric."""

    class Judged(Toy):
        def __call__(self, task, report):
            outcome = super().__call__(task, report)
            if self.keep_models is None:
                return outcome
            answers = RightAnswers(of="confirm images", right=np.arange(100) < 90).to_json()
            return dataclasses.replace(
                outcome,
                metrics=dict(outcome.metrics) | {"confirm_accuracy": value},
                attributes=dict(outcome.attributes) | {NAME: answers},
            )

    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    return run(make_plan(tmp_path, trials=12), toy=Judged())


@pytest.mark.parametrize("value", [0.9, 0.5])
def test_every_number_says_what_it_was_measured_on(tmp_path, monkeypatch, value):
    """Also where the answers are not those of the metric, as of a ROC-AUC."""
    result = judged_by_images(tmp_path, monkeypatch, value)
    assert result.judged_metric == "confirm_accuracy"
    assert result.verdicts.judged_on == "100 confirm images"
    assert result.verdicts.images == (value == 0.9)
    assert "fresh seeds (100 confirm images)" in verdict_lines(result)[0]
    text = " ".join(notes(result))
    assert "mean over fresh seeds on the 100 confirm images" in text
    assert "val_accuracy (validation images)" in text and "on the test images (" in text
    assert "ends at 0: shown to be worse" in text
    assert (
        metric_title(result) == "val_accuracy in the search, confirm_accuracy in confirm, both in %"
    )
    record = best_config(result)["record"]["confirm"]
    assert record["judged_on"] == "100 confirm images"
    # The tables name the images as well, and which of them each model got wrong.
    table = tables(stored_study.read(result.plan)).confirm
    assert set(table["info.judged_on"]) == {"confirm images"}
    assert set(table["info.judged_images"]) == {100} and set(table["value"]) == {value}
    assert set(table["info.wrong_images"]) == {" ".join(map(str, range(90, 100)))}
    # All values are equal, so any choice may be the best one.
    assert set(record["choices_may_be_best"]) == {"sgd", "adam", "adagrad"}


def test_one_that_failed_on_some_seeds_stands_below_those_that_did_not(tmp_path, monkeypatch):
    values = {
        "adam": [0.980, 0.981, 0.979],
        "sgd": [0.999, None, None],
        "adagrad": [0.950, 0.951, 0.952],
    }
    result = confirmed(tmp_path, monkeypatch, values)
    assert result.best == "adam"
    assert [row.label for row in result.rows] == ["adam", "adam (default)", "adagrad", "sgd"]
    assert best_config(result)["optim"]["name"] == "adam"
    assert any("sgd: 2 confirm trainings failed" in line for line in warnings(result))


def test_one_image_on_every_seed_is_a_tie(tmp_path, monkeypatch):
    values = {
        "adam": [0.980] * 3,
        "sgd": [0.979] * 3,
        "adagrad": [0.950] * 3,
    }
    result = confirmed(tmp_path, monkeypatch, values)
    assert result.ties == ("sgd",)
    assert verdict_lines(result)[0].startswith("Tie: adam has the best mean, 98.00 ± ")
    assert not any("all seeds gave the same value" in line for line in warnings(result))


def test_one_too_noisy_with_a_better_mean_takes_the_best_mean_from_the_sentence(
    tmp_path, monkeypatch
):
    values = {
        "adam": [0.970, 0.971, 0.969],
        "sgd": [0.955, 0.990, 0.972],
        "adagrad": [0.970, 0.970, 0.968],
    }
    result = confirmed(tmp_path, monkeypatch, values)
    assert (result.best, result.ties, result.noisy) == ("adam", ("adagrad",), ("sgd",))
    first = verdict_lines(result)[0]
    assert first.startswith("Tie: adam ") and "best mean" not in first


def test_an_interval_without_width_is_said(result, tmp_path, monkeypatch):
    values = {"adam": [0.98] * 3, "sgd": [0.97] * 3, "adagrad": [0.95, 0.96, 0.94]}
    result = confirmed(tmp_path / "second", monkeypatch, values, images=1)
    row = dataclasses.replace(result.rows[0], confirm=mean_interval([0.98] * 3))
    changed = dataclasses.replace(result, rows=(row, *result.rows[1:]))
    assert any("all seeds gave the same value" in line for line in warnings(changed))
    rows = [dataclasses.replace(row, confirm=row.confirm) for row in (row, row)]
    both = dataclasses.replace(result, rows=tuple(rows))
    assert sum("all seeds gave the same value" in line for line in warnings(both)) == 1


def test_markdown_holds_what_the_terminal_shows(result):
    text = markdown(result)
    assert "| adam |" in text and verdict_lines(result)[0] in text
    assert all(note in text for note in notes(result))


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_number_of_the_result_is_cut(result, width):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None)
    print_result(console, result)
    text = out.getvalue()
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    for of_row in result.shown_rows:
        assert all(cell in text for cell in cells(result, of_row))


def test_too_few_trials_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    result = run(make_plan(tmp_path, trials=4))
    assert any("fewer than the 2 trials promised" in line for line in warnings(result))


def test_sparkline():
    assert sparkline([]) == ""
    assert sparkline([1.0, 1.0]) == "▄▄"
    assert sparkline([0.0, math.nan, 1.0]) == "▁█"
    assert len(sparkline(list(range(50)))) == 12


def _events():
    params = {"optim.name": "adam", "adam.lr": 0.01}
    yield Event(kind="phase", phase="search", data={"name": "search", "total": 4, "done": 1})
    for number in (1, 2, 3):
        yield Event(kind="start", phase="search", trial=number, data={"params": params})
    metrics = {"val_accuracy": 0.9}
    yield Event(kind="report", phase="search", trial=1, data={"step": 1, "metrics": metrics})
    yield Event(kind="complete", phase="search", trial=1, data={"value": 0.95, "seconds": 1.0})
    yield Event(kind="lost", phase="search", trial=2, data={"kind": "WorkerLost", "message": "m"})
    yield Event(kind="failed", phase="search", trial=3, data={"kind": "Bad", "message": "[x]"})


def test_plain_view_is_a_line_for_each_end():
    lines = []
    with PlainView(Progress(metric="val_accuracy"), lines.append, hint="hello") as view:
        for event in _events():
            view(event)
    assert lines[0] == "hello"
    assert lines[1] == "Search: 3 of 4 trials left"
    assert lines[2].startswith("[2/4] trial 1 complete 95.00 %  1.0 s  best 95.00 %  adam lr=0.01")
    assert "lost" in lines[3] and "will be run again" in lines[3]
    assert "Bad: [x]" in lines[4]


def test_live_view_draws_every_state():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, record=True)
    progress = Progress(metric="val_accuracy")
    view = LiveView(progress, console, title="toy")
    for event in _events():
        view(event)
        console.print(view.render())
    view(Event(kind="start", phase="search", trial=4, data={"params": {}}))
    console.print(view.render())
    text = console.export_text()
    assert "Search 3/4" in text and "1 complete" in text and "1 failed" in text
    assert progress.seconds_left(progress.began + 10) == pytest.approx(5)


def confirm_events(*values, done=()):
    """Trainings of two configurations on fresh seeds, in the order of the values."""
    params = [{"optim.name": name} for name in ("adam", "sgd")]
    known = [{"trial": n, "params": params[n % 2], "value": v} for n, v in enumerate(done)]
    data = {"name": "confirm", "total": 4, "done": len(done), "confirmed": known}
    yield Event(kind="phase", phase="confirm", data=data)
    for number, value in enumerate(values, start=len(done)):
        about = {"params": params[number % 2]}
        yield Event(kind="start", phase="confirm", trial=number, data=about)
        yield Event(kind="complete", phase="confirm", trial=number, data={"value": value})


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_the_best_of_a_confirmation_is_the_best_mean(direction, before):
    """Not the luckiest seed, also where the confirmation goes on from an earlier run."""
    values = [0.92, 0.95, 0.93, 0.80] if direction == "maximize" else [0.3, 0.1, 0.2, 0.9]
    progress = Progress(metric="val_accuracy", direction=direction)
    for event in confirm_events(*values[before:], done=values[:before]):
        progress.add(event)
    assert progress.best.value == pytest.approx((values[0] + values[2]) / 2)
    assert progress.best.params == {"optim.name": "adam"} and progress.best.seeds == 2


def test_plain_view_goes_on_when_its_reader_is_gone():
    written = []

    def write(text):
        written.append(text)
        raise BrokenPipeError

    with PlainView(Progress(metric="val_accuracy"), write, hint="hello") as view:
        for event in _events():
            view(event)
    assert written == ["hello"]


def test_brackets_in_a_title_are_no_markup():
    console = Console(file=io.StringIO(), width=100, force_terminal=True, record=True)
    view = LiveView(Progress(metric="val_accuracy"), console, title="/tmp/[/b]x[red]")
    console.print(view.render())
    assert "/tmp/[/b]x[red]" in console.export_text()


def test_an_own_objective_may_keep_an_attribute_called_right(tmp_path, monkeypatch):
    class Own(Toy):
        def __call__(self, task, report):
            outcome = super().__call__(task, report)
            attributes = {**outcome.attributes, "right": 3}
            return dataclasses.replace(outcome, attributes=attributes)

    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})
    result = run(make_plan(tmp_path, trials=6), toy=Own())
    assert result.best is not None and not result.verdicts.images
