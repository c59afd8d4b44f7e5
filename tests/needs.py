"""What tests need of a machine: a test is skipped where it is missing, but in CI it fails.

CI has a browser, PostgreSQL, root and Linux's tools, see ``.ci/run``: a test that was skipped there
would be a test that nobody runs.
"""

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """End the test: skipped, or failed where CI is set, since CI must have ``what`` names."""
    if os.environ.get("CI", "").lower() in ("", "0", "false"):
        pytest.skip(what)
    pytest.fail(f"CI must have what this test needs: {what}")
