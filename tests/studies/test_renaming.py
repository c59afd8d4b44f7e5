"""``studies rename``: everything under the new name, killed anywhere, and nothing lost."""

import itertools
import json
import shutil
import tomllib
from functools import partial
from pathlib import Path

import pytest
from fresh_kills import die_at
from in_this_process import here  # noqa: F401
from toyland import RUN, commands, finished, toyland  # noqa: F401

from mnist_core.errors import ConfigError, UserError
from studies.analysis import stored_study
from studies.core.event_log import last_study
from studies.core.seal import is_whole
from studies.planning import lookup
from studies.protocol.renaming import check_name
from studies.report.result_json import result_json
from studies.storage import leases

OLD, NEW = "toyland", "toyland-first"
PLACES = {
    "in its folder": "",
    "sqlite": "sqlite:///all.db",
    "journal": "journal:///all.log",
}


@pytest.fixture
def ran(here, toyland, finished):  # noqa: F811
    """Runs ``toyland`` with a storage at a place; returns the entrance to the command line."""

    def run(place="in its folder"):
        url = PLACES[place]
        if url:
            with Path("conf.toml").open("a") as conf:
                conf.write(f'storage.url = "{url}"\n')
        finished(here, *(("--set", f"storage.url={url}") if url else ()))
        return here

    return run


def found(word):
    """The study that commands find as ``word``; None: there is none."""
    try:
        study = stored_study.read(lookup.find(word))
    except UserError:
        return None
    return study if study.plan.name == word else None


def said(study):
    """What a study found, without its name and files."""
    result = result_json(study.result)
    return {key: value for key, value in result.items() if key not in ("study", "verdict")}


def names_in_files(folder):
    """The names of the study in the files that have one."""
    config = tomllib.loads((folder / "best_config.toml").read_text())
    kept = json.loads((folder / "result.json").read_text())
    about = last_study(folder / "events.jsonl")
    return {config["record"]["study"], kept["study"], about["name"]}


@pytest.mark.parametrize("place", PLACES)
def test_everything_has_the_new_name(ran, place):
    here = ran(place)  # noqa: F811
    assert here("studies", "export", OLD, "--trial", "0").returncode == 0
    Path(f"results/{OLD}/notes.txt").write_text("mine")
    before = said(found(OLD))
    models = {p.name: p.read_bytes() for p in Path(f"results/{OLD}/checkpoints").rglob("*.s*")}
    done = here("studies", "rename", OLD, NEW)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    folder = Path(f"results/{NEW}")
    assert found(OLD) is None and said(found(NEW)) == before
    assert not Path(f"results/{OLD}").exists()
    assert [path.name for path in Path("results").glob(".*")] == []
    assert names_in_files(folder) == {NEW}
    assert {p.name: p.read_bytes() for p in (folder / "checkpoints").rglob("*.s*")} == models
    assert (folder / "notes.txt").read_text() == "mine"
    assert tomllib.loads((folder / "trial_0.toml").read_text())["record"]["study"] == NEW
    config = tomllib.loads((folder / "best_config.toml").read_text())
    assert is_whole({k: v for k, v in config.items() if k != "record"}, config["record"])
    for name in ("report.md", "report.html", "best_config.toml"):
        assert f"results/{OLD}/" not in (folder / name).read_text(), name
    (again,) = commands(done.stdout)
    assert NEW in again
    done = here(*again[2:3], *again[3:], *RUN)
    assert done.returncode == 0 and "had finished before" in done.stdout
    listed = json.loads(here("studies", "list", "--json").stdout)["results"]
    assert [one["name"] for one in listed] == [NEW] and listed[0]["verdict"]


def test_an_unfinished_study_resumes_under_the_new_name(here, toyland):  # noqa: F811
    Path("interrupt").touch()
    assert here("studies.run", OLD, *RUN).returncode == 130
    done = found(OLD).search
    assert sum(one.complete for one in done) < 3
    assert here("studies", "rename", OLD, NEW).returncode == 0
    assert here("studies.run", NEW, *RUN).returncode == 0
    study = found(NEW)
    assert study.phase == "finished"
    assert [one.params for one in study.search[: len(done)]] == [one.params for one in done]


def test_a_new_study_of_the_old_name_knows_of_the_reading(ran):
    here = ran()  # noqa: F811
    times = found(OLD).result.test.times
    assert here("studies", "rename", OLD, NEW).returncode == 0
    assert here("studies.run", OLD, *RUN).returncode == 0
    assert found(OLD).result.test.times == times and len(times) == 1
    assert here("studies", "rename", NEW, "toyland-second").returncode == 0
    assert here("studies.run", OLD, "--fresh", *RUN).returncode == 0
    assert found(OLD).result.test.times == times


def test_a_study_that_was_moved_aside_gets_a_name(ran):
    here = ran()  # noqa: F811
    before = said(found(OLD))
    assert here("studies.run", OLD, "--fresh", *RUN).returncode == 0
    (aside,) = Path("results").glob(f"{OLD}.*")
    assert here("studies", "rename", aside, NEW).returncode == 0
    assert said(found(NEW)) == before and found(OLD) is not None


def test_a_running_study_is_refused(ran):
    here = ran()  # noqa: F811
    with lookup.find(OLD).location.opened() as studies:
        leases.take(studies.search)
        done = here("studies", "rename", OLD, NEW)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert found(OLD) is not None and not Path(f"results/{NEW}").exists()


@pytest.mark.parametrize("place", PLACES)
def test_a_name_that_exists_is_refused(ran, place):
    here = ran(place)  # noqa: F811
    Path(f"results/{NEW}").mkdir()
    for name in (NEW, OLD):
        done = here("studies", "rename", OLD, name)
        assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stdout
    assert list(Path(f"results/{NEW}").iterdir()) == [] and found(OLD) is not None


@pytest.mark.parametrize(
    "name",
    [
        *("other", "toy", "toyland-", "toyland-a.b", "toyland-quick", "toyland-quick-x", ""),
        *("../toyland-x", "toyland-a/b", "toyland-" + "x" * 101, "toyland.x", "plainland"),
    ],
)
def test_a_wrong_name_is_refused(name):
    with pytest.raises(ConfigError):
        check_name("toyland", "toyland", name)


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("toyland", "toyland-x"),
        ("toyland-x", "toyland"),
        ("toyland-quick", "toyland-quick-x"),
        ("toyland.20261121-101500", "toyland-x"),
        ("toyland-quick.20261121-101500", "toyland-quick-x"),
    ],
)
def test_a_right_name_is_taken(old, name):
    check_name(old, "toyland", name)


def test_there_must_be_a_study(here, toyland):  # noqa: F811
    done = here("studies", "rename", OLD, NEW)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert not Path("results").exists()


def killed(ran, monkeypatch, place, *, step, first=1):
    """Kill a rename before every ``step``-th of its changes; each time one study is whole."""
    here = ran(place)  # noqa: F811
    base, before = Path.cwd(), said(found(OLD))
    states = set()
    for number in itertools.count(first, step):
        folder = base.parent / f"killed-{number}"
        shutil.copytree(base, folder)
        monkeypatch.chdir(folder)
        log = Path(f"results/{OLD}/events.jsonl")  # it names the storage by its whole path
        log.write_text(log.read_text().replace(str(base), str(folder)))
        rename = partial(here, "studies", "rename", OLD, NEW)
        if not die_at(number, rename):
            break
        old, new = found(OLD), found(NEW)
        states.add((old is not None, new is not None))
        if old is not None:
            assert said(old) == before and names_in_files(old.plan.folder) == {OLD}, number
        else:
            assert said(new) == before and names_in_files(new.plan.folder) == {NEW}, number
        done = rename()
        # It may have been killed after its last change.
        assert done.returncode == 0 or (old is None and len(done.stderr.splitlines()) == 1), number
        assert said(found(NEW)) == before and found(OLD) is None, number
        assert names_in_files(Path(f"results/{NEW}")) == {NEW}, number
        assert not Path(f"results/{OLD}").exists()
        # The index of the results is written last; its draft may be left.
        assert not [p for p in Path("results").glob(".*") if ".saving-" not in p.name], number
        shutil.rmtree(folder)
    # A long step may miss the moment when only the new study is there.
    assert number > 10 and (True, False) in states


def test_killed_at_some_steps_the_old_or_the_new_study_is_whole(ran, monkeypatch):
    killed(ran, monkeypatch, "in its folder", step=23)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1, 6))
@pytest.mark.parametrize("place", PLACES)
def test_killed_anywhere_the_old_or_the_new_study_is_whole(ran, monkeypatch, place, first):
    killed(ran, monkeypatch, place, step=5, first=first)
