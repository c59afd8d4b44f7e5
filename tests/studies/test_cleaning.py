"""``studies clean``: it names what can be removed, and removes nothing that a command needs."""

import json
from pathlib import Path

import pytest
from in_this_process import here  # noqa: F401
from test_renaming import found, said
from toyland import RUN, finished, toyland  # noqa: F401

from studies.planning import lookup
from studies.protocol.cleaning import leftovers
from studies.storage import leases

FOLDER = Path("results/toyland")
STATES = FOLDER / "checkpoints" / "running"


@pytest.fixture
def ran(here, toyland, finished):  # noqa: F811
    finished(here, "--set", "confirm.seeds=8")
    for phase in ("search", "confirm"):
        (STATES / phase).mkdir(parents=True, exist_ok=True)
        (STATES / phase / "0.safetensors").write_bytes(b"x" * 5000)
        (STATES / phase / "99.safetensors").write_bytes(b"of a trial that is not known")
    (FOLDER / "trackers").mkdir(exist_ok=True)
    (FOLDER / "trackers" / "wandb.log").write_text("said")
    (FOLDER / "trackers" / "wandb.kept").write_text("")
    (FOLDER / ".saving-abc").mkdir()
    (FOLDER / ".saving-abc" / "x").write_text("half")
    return here


def kinds():
    return {(one.kind, one.path.name) for one in leftovers(found("toyland"))}


def files():
    return {path for path in Path("results").rglob("*") if path.is_file()}


def test_it_shows_and_removes_nothing_unless_told(ran):
    before = files()
    done = ran("studies", "clean", "toyland")
    assert done.returncode == 0 and "--yes" in done.stdout
    for kind in ("states", "models", "drafts", "logs"):
        assert kind in done.stdout
    assert {path for path in files() if path.suffix not in (".db-wal", ".db-shm")} >= {
        path for path in before if "study.db" not in path.name
    }


def test_only_what_no_command_needs_is_named(ran):
    result = found("toyland").result
    keep = {label for label in (result.best, *result.ties, *result.noisy)}
    kept = {record.number for label in keep for record in result.confirm[label]}
    models = {int(Path(name).stem) for kind, name in kinds() if kind == "models"}
    assert models and not models & kept
    assert models <= {record.number for record in result.confirmed}
    others = {one for one in kinds() if one[0] != "models"}
    assert others == {
        ("states", "0.safetensors"),
        ("drafts", ".saving-abc"),
        ("logs", "wandb.log"),
    }


def test_what_is_left_serves_every_command(ran):
    before, models = said(found("toyland")), FOLDER / "checkpoints" / "confirm"
    winner = json.loads((FOLDER / "result.json").read_text())["files"]["model"]
    had = len(list(models.iterdir()))
    config = (FOLDER / "best_config.toml").read_text()
    done = ran("studies", "clean", "toyland", "--yes")
    assert done.returncode == 0, done.stderr
    assert 0 < len(list(models.iterdir())) < had and (FOLDER / winner).is_file()
    assert not (STATES / "search" / "0.safetensors").exists()
    assert (STATES / "search" / "99.safetensors").exists() and kinds() == set()
    assert (FOLDER / "trackers" / "wandb.kept").exists()
    assert said(found("toyland")) == before
    for words in (("report", "toyland"), ("export", "toyland"), ("status", "toyland")):
        assert ran("studies", *words).returncode == 0
    assert (FOLDER / "best_config.toml").read_text() == config
    again = ran("studies.run", "toyland", *RUN, "--set", "confirm.seeds=8")
    assert again.returncode == 0 and "had finished before" in again.stdout
    assert said(found("toyland")) == before
    assert ran("studies", "clean", "toyland").stdout.strip() == "nothing can be removed"


def test_one_kind_alone(ran):
    assert ran("studies", "clean", "--only", "logs", "--yes").returncode == 0
    assert not (FOLDER / "trackers" / "wandb.log").exists()
    assert (STATES / "search" / "0.safetensors").exists()


def test_models_without_a_test_value_stay(ran, here):  # noqa: F811
    with lookup.find("toyland").location.opened() as studies:
        studies.confirm.set_user_attr("test", None)
    assert found("toyland").phase == "test"
    assert "models" not in {kind for kind, _ in kinds()}


def test_an_unfinished_study_keeps_the_states_of_its_trials(here, toyland):  # noqa: F811
    Path("interrupt").touch()
    assert here("studies.run", "toyland", *RUN).returncode == 130
    records = found("toyland").search
    (STATES / "search").mkdir(parents=True)
    for number in range(4):
        (STATES / "search" / f"{number}.safetensors").write_text("state")
    ended = {f"{one.number}.safetensors" for one in records if one.state.finished}
    assert {name for kind, name in kinds() if kind == "states"} == ended
    assert len(ended) < 4


def test_a_running_study_is_left_alone(ran):
    before = files()
    with lookup.find("toyland").location.opened() as studies:
        leases.take(studies.search)
        named = ran("studies", "clean", "toyland", "--yes")
        every = ran("studies", "clean", "--yes")
    assert named.returncode == 1 and len(named.stderr.splitlines()) == 1
    assert every.returncode == 0 and "left alone" in every.stderr
    assert files() >= {path for path in before if "study.db" not in path.name}


def test_studies_that_were_moved_aside_go_only_by_name(ran):
    times = found("toyland").result.test.times
    assert ran("studies.run", "toyland", "--fresh", *RUN).returncode == 0
    (aside,) = Path("results").glob("toyland.*")
    assert ran("studies", "clean", "--yes").returncode == 0
    assert aside.exists()
    done = ran("studies", "clean", "--only", "aside", "--yes")
    assert done.returncode == 0 and not aside.exists()
    assert found("toyland").result.test.times == times
    assert ran("studies.run", "toyland", "--fresh", *RUN).returncode == 0
    assert found("toyland").result.test.times == times


@pytest.mark.parametrize("words", [("--only", "logz"), ("nowhere",), ("plainland",)])
def test_bad_input_is_one_line(ran, words):
    done = ran("studies", "clean", *words, "--yes")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: ")
