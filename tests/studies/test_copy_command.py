"""``python -m studies copy``: what it says, and that no password is among it."""

import optuna
import pytest
from in_this_process import here  # noqa: F401
from made_search import write_study
from toyland import commands, toyland  # noqa: F401
from typer.testing import CliRunner

from mnist_core.errors import UserError
from mnist_core.table import parse_assignment
from studies.__main__ import app
from studies.planning.plan import resolve
from studies.storage.open import close_storage, open_storage


@pytest.fixture
def source(tmp_path):
    url = f"sqlite:///{tmp_path / 'old.db'}"
    storage = open_storage(url, create=True)
    for name in ("optim_search", "optim_search.confirm", "pairs"):
        study = optuna.create_study(study_name=name, storage=storage)
        study.enqueue_trial({"x": 1})
    close_storage(storage)
    return url


def copy(*arguments):
    return CliRunner().invoke(app, ["copy", "optim_search", *arguments])


def test_from_and_to(source, tmp_path):
    target = f"journal:///{tmp_path / 'new.log'}"
    done = copy("--from", source, "--to", target)
    assert done.exit_code == 0, done.output
    assert "copied optim_search: 1 trial," in done.output
    assert "copied optim_search.confirm: 1 trial," in done.output
    assert f"python -m studies.run optim_search --set storage.url={target}" in done.output
    storage = open_storage(target, create=False)
    assert optuna.get_all_study_names(storage) == ["optim_search", "optim_search.confirm"]


def test_the_source_is_storage_url(source, tmp_path):
    target = f"sqlite:///{tmp_path / 'new.db'}"
    assert copy("--set", f"storage.url={source}", "--to", target).exit_code == 0
    again = copy("--set", f"storage.url={source}", "--to", target)
    assert "holds a study 'optim_search' already" in str(again.exception)


def test_the_command_to_go_on_with_has_the_settings_that_were_given(source, tmp_path):
    target, folder = f"sqlite:///{tmp_path / 'new.db'}", tmp_path / "results"
    given = ["--set", f"results.folder={folder}", "--set", "epochs=3"]
    done = copy("--from", source, "--to", target, *given)
    line = done.output.strip().splitlines()[-1]
    assert f"--set results.folder={folder}" in line and "--set epochs=3" in line
    assert line.count("storage.url") == 1 and f"--set storage.url={target}" in line


def test_the_command_to_go_on_with_finds_a_folder_that_was_renamed(
    toyland,  # noqa: F811
    here,  # noqa: F811
):
    plan = resolve("toyland", sets={})
    write_study(plan.with_data("toys"), 8)
    renamed, back = toyland / "other place" / "renamed", toyland / "other place" / "toyland"
    renamed.parent.mkdir()
    plan.folder.rename(renamed)
    copied = here("studies", "copy", renamed, "--to", f"journal:///{toyland}/new.log")
    assert copied.returncode == 0 and "other place/renamed toyland again" in copied.stdout
    renamed.rename(back)  # as is said
    (words,) = commands(copied.stdout)
    again = resolve("toyland", sets=dict(parse_assignment(word) for word in words[5::2]))
    assert again.folder == back and again.storage_url == f"journal:///{toyland}/new.log"
    assert {words[4]} == {*words[4::2]} == {"--set"}
    assert here(*words[2:], "--track", "none", "--engine", "inline").returncode == 0


@pytest.mark.parametrize(
    ("target", "part"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://me:s3cret@host/x", "not of a supported kind"),
        ("postgresql+psycopg://me:s3cret@127.0.0.1:1/x", "refused"),
        ("postgresql+psycopg://me:s3cret@127.0.0.1:port/x", "not a database URL"),
        ("journal:///", "names no file"),
    ],
)
def test_a_target_that_cannot_be_used_is_one_line(source, target, part):
    done = copy("--from", source, "--to", target)
    assert isinstance(done.exception, UserError)
    said = str(done.exception)
    assert part in said
    assert "\n" not in said
    assert "s3cret" not in said + done.output
