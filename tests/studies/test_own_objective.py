"""Objectives of the user's own: functions, classes, objects and commands, from end to end."""

import dataclasses
import json
import math
import os
import re
import shlex
import signal
import sys
import time
import tomllib
from pathlib import Path

import own_objectives
import psutil
import pytest
from own_objectives import Kept, Mutable, NeedsMore, NotCalled, Shifted, curve, silent
from typer.testing import CliRunner

from mnist_core import plugins
from mnist_core.errors import ConfigError, UserError
from objectives.base import StopTraining, Task, TrainingError
from objectives.own import Command, own, worker
from objectives.own.code import of_objective
from objectives.own.description import held
from objectives.own.reports import Reports
from objectives.own.run_trial import OwnObjective
from objectives.own.running_command import run_command
from search_spaces.space import Choice, Float, Space, When
from studies import catalog, python_api
from studies.__main__ import app
from studies.analysis import stored_study
from studies.analysis.audit_curves import read_curves
from studies.analysis.holdout_record import HoldoutRecord
from studies.analysis.refinement import refine
from studies.analysis.study_file import study_file
from studies.cli.reproduce import reproduce_command
from studies.core.formatting import gap_text, mean_text, metric_text
from studies.dashboard.notes import TrialNotes
from studies.engines._local.execution import execute
from studies.planning import lookup
from studies.planning import plan as planning
from studies.protocol.carry_over import carry
from studies.report import page
from studies.report.overview import describe
from studies.report.table import headings
from studies.spec import StudySpec
from studies.statistics.intervals import Interval

SPACE = Space({"kind": Choice(("a", "b")), "x": Float(0.0, 1.0)})
TASK = Task(number=3, params={"kind": "a", "x": 0.3}, seed=7)


def spec_of(objective=None, **fields):
    values = {
        "name": "mine",
        "goal": "Which kind is best?",
        "space": SPACE,
        "scientific": "kind",
        "defaults": {"a": {"x": 0.5}, "b": {"x": 0.5}},
        "baseline": "a",
        "metric": "score",
        "trials": 6,
        "trials_per_choice": 2,
    }
    own_one = {} if objective is None else {"objective": objective}
    return StudySpec(**{**values, **own_one, **fields})


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run a study in ``tmp_path``, in this process unless ``set`` names an engine."""
    monkeypatch.chdir(tmp_path)

    def go(spec, **settings):
        monkeypatch.setattr(catalog, "names", lambda: (spec.name,))
        monkeypatch.setattr(catalog, "get", lambda name: spec)
        usual = {"engine.name": "inline", "tracking.trackers": []}
        return python_api.run(spec.name, set={**usual, **settings}, plain=True)

    return go


def outcome_of(objective, *, metric="score", stop_at=None, **options):
    seen = []

    def report(step, metrics):
        seen.append((step, dict(metrics)))
        if step == stop_at:
            raise StopTraining

    made = OwnObjective(own=own(objective), metric=metric, **options)
    return made(TASK, report), seen


def test_a_function_is_a_study_from_end_to_end(run, tmp_path, capsys):
    ran = run(spec_of(curve))
    assert ran.phase == "finished" and ran.best == "b"
    assert ran.result["winner"]["settings"]["objective"] == "own_objectives.py:curve"
    report = (tmp_path / "results/mine/report.md").read_text()
    assert "mine" in report and "images" not in report and "| test |" not in report
    file = tmp_path / "results/mine/best_config.toml"
    assert (
        not {"data_fingerprint", "data_sha256"} & tomllib.loads(file.read_text())["record"].keys()
    )
    capsys.readouterr()
    reproduce_command(file)
    assert "exactly as recorded" in capsys.readouterr().out
    text = study_file(ran.stored.plan, refine(ran.stored.finished(), ran.stored.search), "finer")
    space = {}
    exec(compile(text, "finer.py", "exec"), space)  # as if it were imported
    assert space["STUDY"].objective == catalog.get("mine").objective
    again = stored_study.read(planning.resolve("mine", sets={}))
    assert not again.differs
    assert again.fingerprint and "train" in again.settings and "trainer" not in again.settings


def test_what_looks_at_it_needs_no_trainer(run):
    ran = run(spec_of(curve))
    stored = stored_study.read(lookup.find("results/mine"))
    assert (
        stored.plan.spec.own.place is None and stored.plan.spec.label == "own_objectives.py:curve"
    )
    assert len(ran.trials) == 6 and len(ran.confirm) >= 6 and ran.config is None
    assert (
        "at report" in TrialNotes(stored, confirm=False).note(stored.search[0]) or ran.trials.size
    )
    shown = {row.name for row in describe(stored.plan)}
    assert "search.trials" in shown and not shown & {"epochs", "optim.lr", "device"}
    small = planning.resolve("mine", quick=True, sets={})
    assert small.trials == 6 and small.name == "mine-quick"


@pytest.mark.parametrize("objective", [curve, Kept])
def test_no_image_and_no_training_is_spoken_of(run, capsys, objective):
    """The study has neither; one objective has a test and names its data, the other does not."""
    result = run(spec_of(objective))
    said = capsys.readouterr().out
    stored = stored_study.read(lookup.find("results/mine"))
    page.write([page.gather(stored)], result.folder / "report.html")
    files = ("report.md", "report.html", "best_config.toml")
    said += "".join((result.folder / file).read_text() for file in files)
    for confirm, records in ((False, stored.search), (True, stored.confirm)):
        notes = TrialNotes(stored, confirm=confirm)
        said += "".join(map(notes.note, records))
    assert not re.findall(r"[^.;>\n]*(?:test image|picture|training|s image)[^.;<\n]*", said)


def test_a_fork_takes_over_the_trials_of_a_narrower_space(run):
    ran = run(spec_of(curve))
    wider = Space({"kind": Choice(("a", "b")), "x": Float(-1.0, 1.0)})
    with ran.stored.plan.location.opened() as studies:
        trials = studies.search.get_trials()
    for space, count in ((wider, 6), (Space({**wider.parameters, "y": Float(0.0, 1.0)}), 0)):
        defaults = {one: {"x": 0.5, **({"y": 0.5} if count == 0 else {})} for one in "ab"}
        plan = dataclasses.replace(
            ran.stored.plan, spec=spec_of(curve, space=space, defaults=defaults)
        )
        found = carry(plan, study="mine", values=ran.stored.settings, trials=trials)
        assert found.count == count


def test_workers_find_it_by_its_file(run):
    ran = run(spec_of(Kept), **{"engine.name": "local", "engine.workers": 2})
    result = ran.result
    assert result["winner"]["test"]["mean"] == pytest.approx(
        result["winner"]["confirm"]["mean"] - 0.5
    )
    assert result["versions"]["wheels"] == "4"
    assert result["data"]["fingerprint"] == "the data"
    assert all(record.state == "COMPLETE" for record in ran.stored.confirm)


def test_one_that_never_reports_and_returns_a_number(run):
    ran = run(spec_of(silent))
    assert ran.result["trials"] == {"COMPLETE": 6}


def test_an_object_is_known_by_its_fields(run):
    run(spec_of(Shifted(0.5)))
    with pytest.raises(UserError, match=r"by: 0\.5 -> 0\.7"):
        run(spec_of(Shifted(0.7)))


def test_limits_and_costs_of_its_own(run):
    ran = run(spec_of(Kept, constraints={"parameters": 15}))
    states = {record.params["kind"]: record.state for record in ran.stored.search}
    assert states == {"a": "COMPLETE", "b": "FAIL"}
    with pytest.raises(ConfigError, match=r"cost\(params\)"):
        run(spec_of(curve, name="other", constraints={"parameters": 15}))


def test_settings_of_the_trainer_are_refused(run):
    with pytest.raises(ConfigError, match=r"epochs .*trainer"):
        run(spec_of(curve), epochs=3)
    with pytest.raises(ConfigError, match=r"optim\.lr .*trainer"):
        planning_of = spec_of(curve, fixed={"optim.lr": 0.1})
        run(planning_of)


@pytest.mark.parametrize(("name", "near"), [("nosuch", ""), ("clasification", "classification")])
def test_an_objective_that_does_not_exist_is_named(tmp_path, monkeypatch, name, near):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        planning.resolve(spec_of(name), sets={})
    said = str(error.value)
    assert "objective" in said and repr(name) in said and "kind" not in said
    assert (f"did you mean {near!r}" in said) == bool(near)


@pytest.mark.parametrize(
    "steps", [[0], [-1], [2, 1], [1, 1], ["1"], [1.0], [math.nan], [True], [None], [1, 2, 10]]
)
def test_a_wrong_step_is_a_failure_of_one_line(steps):
    def objective(params, report):
        for step in steps:
            report(step, 0.5)
        return 0.5

    objective.reports = 9
    made = OwnObjective(own=held(objective), metric="score")
    failure = execute(made, TASK, lambda step, metrics: True)
    assert failure.kind == "BadReport" and "step" in failure.message
    assert repr(steps[-1]) in failure.message


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_value_that_is_not_finite_is_a_failure_at_its_step(run, value):
    with pytest.raises(UserError, match=f"score is {value} at step 2"):
        run(spec_of(Endless(value), trials=2, trials_per_choice=0))


@dataclasses.dataclass(frozen=True)
class Endless:
    """Reports ``value`` at its second step."""

    value: str

    def __call__(self, params, report):
        report(1, 0.5)
        report(2, float(self.value))


def test_steps_of_numpy_are_steps():
    import numpy

    seen = []
    report = Reports(lambda step, metrics: seen.append(step), dict, last=None, costs={})
    for step in numpy.arange(1, 20, 9):
        report(step, {"score": 1.0})
    assert seen == [1, 10, 19] and {type(one) for one in seen} == {int}


def test_a_study_that_only_a_program_defines_is_not_run_by_a_command(run, tmp_path):
    ran = run(spec_of(curve, trials=2, trials_per_choice=0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "names", tuple)
        plan = lookup.find("results/mine")
        assert "studies.run(spec, retry_failed=True)" in plan.commands.run("--retry-failed")
        assert "-m" not in plan.commands.run() and "-m" in plan.commands.look("status")
        said = catalog.file_of("mine")
    assert ran.phase == "finished" and not said.endswith(".py")


def test_what_never_reports_is_told_so_by_the_audit(run):
    plan = run(spec_of(silent)).stored.plan
    with pytest.raises(UserError, match="report nothing") as error:
        read_curves(plan.location, plan.spec, plan.goals)
    assert "report(step, value)" in str(error.value) and "sentinels" not in str(error.value)


def test_the_column_test_is_only_there_with_a_test(run):
    ran = run(spec_of(silent))
    waiting = dataclasses.replace(ran.stored.result, test=HoldoutRecord())  # as before its phase
    assert "test" not in headings(waiting) and "test" not in headings(ran.stored.result)
    tested = dataclasses.replace(waiting.plan, spec=spec_of(Kept))
    assert "test" in headings(dataclasses.replace(waiting, plan=tested))


class Leaving:  # at the top of the file, so that it can be found
    """Each hook raises what is not an Exception."""

    def __call__(self, params):
        return 1.0

    def prepare(self):
        sys.exit("no licence")

    def describe(self):
        raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["prepare", "describe"])
def test_a_hook_that_leaves_is_one_line(monkeypatch, name):
    monkeypatch.setattr(signal, "getsignal", lambda number: print)  # as while a study runs
    call = {"prepare": lambda one: worker.prepare(one, ()), "describe": worker.facts}[name]
    with pytest.raises(ConfigError, match=rf"Leaving: {name}: \w+"):
        call(own(Leaving))


def test_a_pruner_that_must_know_the_reports_asks_for_them(run):
    with pytest.raises(ConfigError, match="reports"):
        run(spec_of(silent), **{"search.pruner": "hyperband"})
    run(spec_of(curve), **{"search.pruner": "hyperband", "search.trials": 4})


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("nothing", "BadOutcome"),
        ("another_name", "MissingMetric"),
        ("words", "BadOutcome"),
        ("a_list", "BadOutcome"),
    ],
)
def test_a_wrong_result_has_a_kind_and_one_line(name, kind):
    with pytest.raises(TrainingError) as error:
        outcome_of(getattr(own_objectives, name))
    assert error.value.kind == kind
    assert "score" in error.value.message and "\n" not in error.value.message


@pytest.mark.parametrize("name", ["nothing", "not_a_number", "raises"])
def test_a_study_of_failures_ends_in_one_line_and_keeps_them(run, name):
    with pytest.raises(UserError) as error:
        run(spec_of(getattr(own_objectives, name)))
    assert "\n" not in str(error.value)
    kept = stored_study.read(planning.resolve("mine", sets={}))
    assert [record.state for record in kept.search] == ["FAIL"] * 6


OF_A_FILE = """
from search_spaces.space import Float, Space
from studies.spec import StudySpec

def objective(params):
    return params["x"]

STUDY = StudySpec(
    name="lonely", goal="g", space=Space({"x": Float(0, 1)}), objective=objective, metric="score",
    trials=3,
)
"""


def test_each_command_finds_a_study_by_its_file(tmp_path, monkeypatch):
    """Each is a program of its own, so none may rely on what another has found."""
    monkeypatch.chdir(tmp_path)
    Path("lonely.py").write_text(OF_A_FILE)

    def called(*words):
        monkeypatch.setenv(plugins.VARIABLE, "")
        done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    quiet = ("--set", "engine.name=inline", "--set", "tracking.trackers=[]")
    said = called("run", "./lonely.py", *quiet)
    called("report", "./lonely.py")
    again = re.search(r"studies (reproduce .*)", said)
    assert "reproduced" in called(*shlex.split(again[1]))


def test_a_share_in_per_cent_is_refused(run):
    """It would be written as 9300 %, with an interval that ends at 100 %."""
    with pytest.raises(UserError, match=r"accuracy is 93\b.*fraction"):
        run(spec_of(own_objectives.per_cent, metric="accuracy"))


def test_a_wrong_direction_is_one_line():
    with pytest.raises(ConfigError, match="direction"):
        spec_of(curve, direction="min")


def test_a_value_too_large_for_a_variance_is_a_failure(run):
    with pytest.raises(UserError, match="too large"):
        run(spec_of(own_objectives.huge))


def test_large_values_that_are_close_are_told_apart():
    assert metric_text("score", 99999.08) != metric_text("score", 100000.9)
    near = Interval(n=3, mean=10.00213, sd=0.001, low=10.0012, high=10.0031)
    assert mean_text("score", near).startswith("10.0021")
    assert "[+0, " in gap_text("loss", dataclasses.replace(near, low=-0.0))


def test_a_prepare_that_fails_stops_before_the_first_trial(run):
    with pytest.raises(UserError, match=r"digits\.csv"):
        run(spec_of(own_objectives.broken_prepare))


def local():
    def objective(params):
        return 1

    return objective


@pytest.mark.parametrize(
    "objective",
    [lambda params: 1, local(), Mutable(), NeedsMore, NotCalled, 3, own_objectives.other_arguments,
     Shifted(by=Path())],
)  # fmt: skip
def test_what_workers_cannot_find_or_call_is_refused_at_once(objective):
    with pytest.raises(ConfigError) as error:
        spec_of(objective)
    assert "\n" not in str(error.value) and "objective" in str(error.value)


def test_a_report_that_stops_it_prunes_it_unless_it_was_the_last():
    outcome, seen = outcome_of(curve, stop_at=3)
    assert outcome.stopped and len(seen) == 3 and outcome.metrics == seen[-1][1]
    outcome, seen = outcome_of(curve, stop_at=5)
    assert not outcome.stopped and outcome.metrics["other"] == 3


def test_one_that_catches_the_stop_has_not_run_its_full_budget():
    outcome, _ = outcome_of(own_objectives.catching, stop_at=2)
    assert (outcome.metrics, outcome.stopped) == ({"score": 2.0}, True)


def test_the_code_that_counts_is_what_the_objective_reaches(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    file, helper = tmp_path / "reach_me.py", tmp_path / "reach_helper.py"

    def hashes(goal="a", top=1, unused=1, helped=1):
        helper.write_text(f"FACTOR = {helped}\n")
        file.write_text(
            f"'''{goal}'''\nimport reach_helper\nTOP = {top}\nUNUSED = {unused}\n"
            "def objective(params):\n    return TOP * reach_helper.FACTOR\n"
            f"STUDY = ({goal!r}, objective)\n"
        )
        sys.modules.pop("reach_me", None)
        import reach_me

        return of_objective(own(reach_me.objective))

    first = hashes()
    assert set(first) == {"reach_me.py", "reach_helper.py"}
    assert hashes(goal="b", unused=2) == first
    assert hashes(top=2)["reach_me.py"] != first["reach_me.py"]
    assert hashes(helped=2)["reach_helper.py"] != first["reach_helper.py"]


SCRIPT = """
import json, sys
x, seed = float(sys.argv[2]), int(sys.argv[4])
for step in range(1, 4):
    print(json.dumps({"step": step, "score": x * step}), flush=True)
print("done")
print(json.dumps({"score": x + (sys.argv[6] == "b"), "seed": float(seed)}))
"""


def script(tmp_path, text=SCRIPT, words="--x {x} --seed {seed} --kind {kind}"):
    file = tmp_path / "train.py"
    file.write_text(text)
    return f"{{python}} {shlex.quote(str(file))} {words}"


def test_a_command_is_a_study(run, tmp_path):
    ran = run(spec_of(command=script(tmp_path)))
    assert ran.best == "b" and ran.result["winner"]["settings"]["given"]["command"]
    reproduce_command(tmp_path / "results/mine/best_config.toml")


def test_values_are_parts_of_words_and_never_run():
    command = Command("echo '{a} b' {c}{{}}")
    assert command.argv({"a": "; rm -r / #", "c": "$(x)"}) == ["echo", "; rm -r / # b", "$(x){}"]
    assert Command("x {optim.lr}").argv({"optim.lr": 0.1}) == ["x", "0.1"]


@pytest.mark.parametrize(
    "text", ["", "'", "x {", "x {kind} {y} {x}", "x {x}", "x {} {x} {kind}", "x {x:.2f} {kind}"]
)
def test_a_wrong_command_is_one_line(text):
    with pytest.raises(ConfigError) as error:
        spec_of(Command(text))
    assert "\n" not in str(error.value)


def test_a_parameter_with_a_condition_is_passed_as_json():
    space = Space({**SPACE.parameters, "y": Float(0.0, 1.0, when=When("kind", ("b",)))})
    defaults = {"a": {"x": 0.5}, "b": {"x": 0.5, "y": 0.5}}
    with pytest.raises(ConfigError, match="condition"):
        spec_of(command="x {kind} {x} {y}", space=space, defaults=defaults)
    spec_of(command="x {params}", space=space, defaults=defaults)


def ran_command(tmp_path, text, report=lambda step, metrics: None):
    command = Command(script(tmp_path, text, ""))
    return run_command(command, str(tmp_path), TASK, report)


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        ("import sys; print('{}'); sys.exit('no data')", "CommandFailed", "exit code 1: no data"),
        ("import os; os.kill(os.getpid(), 9)", "CommandFailed", "SIGKILL"),
        ("print('score: 3')", "NoResult", "score: 3"),
        ("print('{broken')", "NoResult", "{broken"),
    ],
)
def test_a_command_that_fails_is_one_line(tmp_path, text, kind, part):
    with pytest.raises(TrainingError) as error:
        ran_command(tmp_path, text)
    assert error.value.kind == kind and part in error.value.message
    assert "\n" not in error.value.message


def test_a_process_that_is_left_behind_is_not_waited_for(tmp_path):
    """It holds the command's output open, and may print for ever."""
    quiet = "import subprocess\nleft = subprocess.Popen(['sleep', '60'])\n"
    loud = "import subprocess\nleft = subprocess.Popen(['sh', '-c', 'while echo y; do :; done'])\n"
    for start in (quiet, loud):
        said = 'print(\'{"score": 1, "pid": %d}\' % left.pid)'
        began = time.monotonic()
        found = ran_command(tmp_path, start + said)
        psutil.Process(int(found["pid"])).kill()
        assert found["score"] == 1 and time.monotonic() - began < 30


def test_a_program_that_is_not_there_is_one_line(tmp_path):
    with pytest.raises(TrainingError, match="no_such_program"):
        run_command(Command("no_such_program"), str(tmp_path), TASK, lambda *_: None)


PARENT = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(json.dumps({"step": 1, "score": 0.5, "pid": child.pid}), flush=True)
time.sleep(60)
"""


def test_a_stopped_command_ends_with_its_children(tmp_path):
    pids = []

    def stop(step, metrics):
        pids.append(int(metrics["pid"]))
        raise StopTraining

    began = time.monotonic()
    with pytest.raises(StopTraining):
        ran_command(tmp_path, PARENT, stop)
    assert time.monotonic() - began < 30
    assert not psutil.pid_exists(pids[0]) or psutil.Process(pids[0]).status() == "zombie"


@pytest.mark.long
def test_a_command_over_its_time_ends_with_its_children(run, tmp_path):
    note = tmp_path / "pid"
    text = PARENT.replace("time.sleep(60)\n", f"open({str(note)!r}, 'w').write(str(child.pid))\n"
                          "time.sleep(60)\n")  # fmt: skip
    with pytest.raises(UserError, match="TimeLimit"):
        run(
            spec_of(command=script(tmp_path, text, "{params}"), trials=2),
            **{"engine.name": "local", "engine.workers": 1, "engine.trial_seconds": 2.0,
               "search.trials": 1, "search.trials_per_choice": 0, "search.pruner": "none"},
        )  # fmt: skip
    pid = int(note.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == "zombie"


@pytest.mark.long
def test_digits_of_scikit_learn(run, tmp_path):
    pytest.importorskip("sklearn")
    import sklearn_digits

    ran = run(dataclasses.replace(sklearn_digits.STUDY, name="mine"))
    assert ran.best in ("forest", "logistic", "svm")
    assert ran.result["winner"]["test"]["mean"] > 0.8
    assert json.loads((tmp_path / "results/mine/result.json").read_text())["versions"]["sklearn"]
    assert os.listdir(tmp_path / "results/mine/checkpoints/confirm")
