"""The line that says that a trial's reports cost much of its time."""

import pytest

from objectives.own.reports import Reports
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


def test_reports_count_their_seconds():
    reports = Reports(lambda step, metrics: None, dict, last=None, costs={})
    assert reports.cost() == {}
    reports(1, {"score": 1.0})
    assert reports.cost()["reports"] == 1 and reports.cost()["report_seconds"] >= 0.0
