"""The line that says that a trial's reports cost much of its time."""

import shlex
import time

import pytest

from objectives.base import Task
from objectives.own import Command
from objectives.own.description import own as objective_of
from objectives.own.reports import Reports
from objectives.own.run_trial import OwnObjective
from studies.cli.slow_reports import SlowReports
from studies.core.events import Event


@pytest.mark.parametrize(("spent", "says"), [(0.4, 0), (2.0, 1), (0.0, 0)])
def test_it_is_said_once_and_only_if_it_matters(spent, says):
    said = []
    listener = SlowReports(said.append)
    attributes = {"reports": 100, "report_seconds": spent} if spent else {}
    for trial in range(3):
        data = {"seconds": 10.0, "attributes": attributes}
        listener(Event(kind="complete", trial=trial, time=0.0, phase="search", data=data))
    assert len(said) == says
    assert all("trial 0" in line and "100 reports" in line for line in said)


def line_about(count, *, by_command=False):
    said = []
    listener = SlowReports(said.append, by_command=by_command)
    data = {"seconds": 10.0, "attributes": {"reports": count, "report_seconds": 8.0}}
    listener(Event(kind="complete", trial=0, time=0.0, phase="search", data=data))
    return said


def test_a_few_slow_reports_are_not_too_many():
    assert line_about(3) == []
    assert len(line_about(300)) == 1


def test_of_a_command_the_line_names_what_it_prints():
    assert "command" in line_about(300, by_command=True)[0]
    assert "command" not in line_about(300)[0]


def slow_command(code):
    """Run a command whose reports take 20 ms each; return what they cost the trial."""
    own = objective_of(Command(f"{{python}} -c {shlex.quote(code)} {{params}}"))
    objective = OwnObjective(own=own, metric="score")
    outcome = objective(Task(number=0, params={}, seed=0), lambda step, metrics: time.sleep(0.02))
    return outcome.attributes["reports"], outcome.attributes["report_seconds"]


PRINTS = """
import json, time
for k in range(1, 11):
    print(json.dumps(dict(step=k, score=1)))
"""


def test_a_command_that_runs_on_does_not_wait_for_its_reports():
    count, seconds = slow_command(PRINTS.replace("=1)))", "=1)), flush=True)") + "time.sleep(0.6)")
    assert (count, seconds) == (10, 0.0)


def test_reports_after_the_end_of_a_command_are_waited_for():
    count, seconds = slow_command(PRINTS)  # all lines come when Python ends
    assert count == 10 and seconds > 0.02


def test_reports_count_their_seconds():
    reports = Reports(lambda step, metrics: None, dict, last=None, costs={})
    assert reports.cost() == {}
    reports(1, {"score": 1.0})
    assert reports.cost()["reports"] == 1 and reports.cost()["report_seconds"] >= 0.0
