"""Commands in hints, and passwords that are never printed."""

import shlex
from pathlib import Path

import pytest
from test_cli import inside

from studies.core.redaction import masked
from studies.planning.plan import resolve
from studies.storage.open import StorageError, check_url, shown

ROOT = Path(__file__).parents[2]
SECRET = "s3cr:t@/x"
URLS = [
    f"postgresql://me:{SECRET}@host/db",
    f"postgresql://me:{SECRET}@host:1/db?sslmode=no",
    f"postgresql://host/db?user=me&password={SECRET}",
    f"postgresql://host/db?user=me&sslPassword={SECRET}&x=1",
    f"nonsense://me:{SECRET}@host/db",
    f"postgresql://me:{SECRET}@host:port/db",
]


@pytest.mark.parametrize("url", URLS)
def test_a_password_is_masked_in_any_text(url):
    said = masked(f"storage '{url}' is bad")
    assert SECRET not in said and "***" in said and said.startswith("storage '")


@pytest.mark.parametrize(
    "text", ["sqlite:////tmp/a:b@c/study.db", "http://127.0.0.1:8080/ on a", "a@b:c", "x?y=1&z=2"]
)
def test_what_is_no_password_stays(text):
    assert masked(text) == text


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("use", [shown, check_url])
def test_a_storage_shows_no_password(url, use):
    try:
        said = str(use(url))
    except StorageError as error:
        said = str(error)
    assert SECRET not in said and "x@" not in said


def _plan(tmp_path, monkeypatch, **sets):
    monkeypatch.chdir(tmp_path)
    return resolve("optim_search", conf=None, sets=sets, quick=True)


def test_commands_repeat_what_was_given(tmp_path, monkeypatch):
    sets = {"epochs": 3, "results.folder": "my results", "storage.url": URLS[0]}
    plan = _plan(tmp_path, monkeypatch, **sets)
    again = plan.commands.run()
    words = shlex.split(again)
    assert words[:5] == ["python", "-m", "studies.run", "optim_search", "--quick"]
    assert {"epochs=3", "results.folder=my results"} < set(words)
    assert SECRET not in again and "storage.url=postgresql://me:***@host/db" in words
    page = shlex.split(plan.commands.look("dashboard"))
    assert page[2:4] == ["studies", "dashboard"]
    assert "results.folder=my results" in page and "epochs=3" not in page


def test_the_command_of_a_plain_study_is_short(tmp_path, monkeypatch):
    plan = _plan(tmp_path, monkeypatch)
    assert plan.commands.run() == "python -m studies.run optim_search --quick"
    assert plan.commands.look("dashboard") == "python -m studies dashboard optim_search --quick"


def test_a_file_of_settings_is_named(tmp_path, monkeypatch):
    conf = tmp_path / "mine.toml"
    conf.write_text("[studies.optim_search]\nepochs = 2\n")
    plan = resolve("optim_search", conf=conf, sets={}, quick=False)
    assert f"--conf {conf}" in plan.commands.run()


@pytest.mark.parametrize(
    "command",
    [
        ["studies.run", "optim_search", "--quick"],
        ["studies", "status", "optim_search"],
        ["studies", "export", "optim_search"],
        ["studies", "show", "optim_search"],
        ["studies", "dashboard", "optim_search", "--no-open"],
    ],
)
def test_no_command_prints_the_password(tmp_path, command):
    """The driver is not installed, so the commands end there; the header comes before."""
    done = inside([*command, "--set", f"storage.url=oracle://me:{SECRET}@host/db"])
    assert SECRET not in done.stdout + done.stderr
    assert "me:***@host" in done.stdout + done.stderr
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
