"""Processes of trackers are forked from this one; test_tracker_process.py has real ones."""

import pytest
from programs import warm_trackers  # noqa: F401


@pytest.fixture(autouse=True)
def _warm(request: pytest.FixtureRequest) -> None:
    if request.module.__name__ != "test_tracker_process":
        request.getfixturevalue("warm_trackers")
