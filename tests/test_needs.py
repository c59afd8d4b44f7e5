"""A test that lacks something is skipped, but in CI it fails."""

import pytest
from needs import missing


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_here_it_is_skipped(monkeypatch, value):
    monkeypatch.setenv("CI", value)
    with pytest.raises(pytest.skip.Exception, match="no browser"):
        missing("no browser")


def test_in_ci_it_fails(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no browser"):
        missing("no browser")
