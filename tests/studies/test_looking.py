"""Looking at a study needs its name or its folder, however it was begun and wherever it lies."""

import dataclasses
import json
import re
import shlex
from pathlib import Path

import optuna
import pytest
from in_this_process import here  # noqa: F401
from made_search import write_study
from postgres import server  # noqa: F401
from toy import make_plan
from toyland import toyland  # noqa: F401

import studies
from mnist_core.errors import UserError
from search_spaces.space import Choice, Space, SpaceError
from studies import catalog
from studies.analysis import stored_study
from studies.cli import options as cli
from studies.core.attributes import IDENTITY, RECORD
from studies.core.event_log import FILE as EVENTS
from studies.core.event_log import EventLog
from studies.core.events import Event
from studies.dashboard import serve
from studies.ledger.opening import open_search
from studies.planning import lookup
from studies.planning.layers import QUICK_TRIALS, general_quick
from studies.planning.plan import resolve
from studies.planning.recorded import plan_attribute
from studies.protocol.fresh_start import start_fresh
from studies.storage.belonging import MODELS, ForeignFiles, new_identity
from studies.storage.open import close_storage, open_storage
from studies.storage.sql import SqlStorage
from studies.tracking import process
from studies.tracking.recording import describe

JOURNAL = "journal:///results/toyland/study.log"
CONF = "[results]\nfolder = 'elsewhere'\n[studies.toyland]\nepochs = 2\n"


def begin(study="toyland", *assignments, quick=False, conf=None, **options):
    """Write a finished study as if it had been run with these; return its plan."""
    chosen = cli.Chosen(study=study, conf=conf, assignments=list(assignments), quick=quick)
    plan = chosen.resolve(options)
    write_study(plan.with_data("toys"), 8)
    return plan


def found(*arguments, **options):
    """Return the result of the study that is found by these alone; nothing may be said."""
    plan = lookup.find(*arguments, say=pytest.fail, **options)
    return stored_study.read(plan).finished()


WAYS = {
    "set": (["label_smoothing=0.05", f"storage.url={JOURNAL}"], {}),
    "quick": (["epochs=2"], {"quick": True}),
    "dataset": ([f"storage.url={JOURNAL}"], {"data.name": "fashion_mnist"}),
    "conf": (["storage.url=journal:///elsewhere/toyland/a"], {"conf": Path("my conf.toml")}),
    "folder": (["results.folder=my 'odd' results", "epochs=3"], {}),
}


def test_a_database_without_the_study_that_its_folder_is_of_is_said(toyland):  # noqa: F811
    """An empty database is no reason to advise a first run, which would be refused."""
    plan = begin()
    (plan.folder / MODELS).mkdir(exist_ok=True)
    (plan.folder / MODELS / "study.id").write_text("0123abcd\n")
    (plan.folder / "study.db").write_bytes(b"")
    for name in ("toyland", str(plan.folder)):
        with pytest.raises(ForeignFiles, match="0123abcd"):
            lookup.find(name)


@pytest.mark.parametrize("way", WAYS)
def test_the_folder_is_enough(way, toyland, tmp_path, monkeypatch):  # noqa: F811
    """Also that of another machine, which has other settings, studies and devices."""
    Path("my conf.toml").write_text(CONF)
    assignments, options = WAYS[way]
    plan = begin("toyland", *assignments, **options)
    before = stored_study.read(plan).finished()
    looked = found(str(plan.folder))
    assert looked.plan.train == before.plan.train and looked.rows == before.rows
    assert looked.plan.name == plan.name and looked.plan.folder == plan.folder

    other = tmp_path / "other machine"
    other.mkdir()
    moved = plan.folder.rename(other / f"{plan.name}.20261121-101500")
    monkeypatch.chdir(other)
    monkeypatch.setattr(catalog, "__path__", catalog.__path__[:1])
    again = found(str(moved))
    assert again.rows == before.rows and again.plan.name == plan.name
    assert found(moved.name, sets={"results.folder": str(other)}).rows == before.rows
    moved = moved.rename(other / "renamed")
    again = found("./renamed")
    assert again.rows == before.rows and again.plan.name == plan.name
    assert not again.plan.commands.resumable and "./renamed" in again.plan.commands.look("status")


@pytest.mark.parametrize(
    ("assignments", "options", "looked"),
    [
        (["label_smoothing=0.05"], {}, {"study": "toyland"}),
        (["epochs=2"], {"quick": True}, {"study": "toyland", "quick": True}),
        (["epochs=2"], {"quick": True}, {"study": "toyland-quick"}),
        (["results.folder=x"], {}, {"study": "toyland", "sets": {"results.folder": "x"}}),
        (
            ["storage.url=journal:///x.log", "epochs=3"],
            {},
            {"study": "toyland", "sets": {"storage.url": "journal:///x.log"}},
        ),
    ],
)
def test_the_name_is_enough(assignments, options, looked, toyland):  # noqa: F811
    plan = begin("toyland", *assignments, **options)
    before = stored_study.read(plan).finished()
    result = found(**looked)
    assert result.rows == before.rows and result.plan.train == before.plan.train
    words = shlex.split(result.plan.commands.run())
    assert {f for f in assignments if f[0] == "e"} <= set(words)
    chosen = cli.Chosen(
        study="toyland", assignments=words[words.index("--set") + 1 :: 2], **options
    )
    again = chosen.resolve()
    assert again.fingerprint() == dataclasses.replace(plan, data_fingerprint="").fingerprint()
    assert again.storage_url == plan.storage_url and again.folder == plan.folder


def begin_elsewhere(url, *assignments):
    """Write a finished study to ``url``, and the log that its run leaves in its folder."""
    plan = begin("toyland", f"storage.url={url}", *assignments)
    storage = open_storage(plan.storage_url, create=False)
    identity = new_identity()
    optuna.load_study(study_name=plan.name, storage=storage).set_user_attr(IDENTITY, identity)
    close_storage(storage)
    about = describe(plan, identity, shared={})
    log = EventLog(plan.folder / EVENTS, pytest.fail)
    log(Event(kind="study", phase="", data=about))
    log.close()
    return plan


@pytest.mark.parametrize(
    "kind", ["journal", "sqlite", pytest.param("postgresql", marks=pytest.mark.long)]
)
def test_the_folder_or_the_name_is_enough_for_a_study_kept_elsewhere(
    kind,
    toyland,  # noqa: F811
    request,
    monkeypatch,
):
    urls = {"journal": f"journal:///{toyland}/a/all.log", "sqlite": f"sqlite:///{toyland}/b/my.db"}
    url = urls.get(kind) or request.getfixturevalue("server").new_database()
    plan = begin_elsewhere(url)
    rows = stored_study.read(plan).finished().rows
    assert found("toyland").rows == found("results/toyland").rows == rows
    # Also where conf.toml names a database for other studies.
    Path("conf.toml").write_text(f"storage.url = 'journal:///{toyland}/others.log'")
    assert found("toyland").rows == found("results/toyland").rows == rows
    again = found("results/toyland").plan
    assert again.storage_url == plan.storage_url and f"storage.url={url}" in again.commands.run()
    with monkeypatch.context() as other_place:
        other_place.chdir("/")
        assert found(str(plan.folder)).rows == rows
    plan.folder.rename("renamed")
    assert found("./renamed").rows == rows


def test_no_connection_is_made_after_the_storage_was_closed(toyland, monkeypatch):  # noqa: F811
    """Nobody would close it: a server would have one more with every look."""
    plan, closed, close = begin(), [], SqlStorage.close

    def spy(storage):
        closed.append(storage)
        close(storage)

    monkeypatch.setattr(SqlStorage, "close", spy)
    stored_study.read(plan)
    assert [storage.engine.pool.checkedin() for storage in closed] == [0]


def test_a_study_that_was_renamed_in_its_storage_is_found_by_its_folder(toyland):  # noqa: F811
    """``--fresh`` leaves both studies in one storage; each folder shows its own."""
    url = f"sqlite:///{toyland}/b/my.db"
    old = begin_elsewhere(url, "epochs=2")
    start_fresh(old, say=str)
    storage = open_storage(url, create=False)
    optuna.delete_study(study_name=old.location.confirm, storage=storage)  # the record alone
    close_storage(storage)
    begin_elsewhere(url, "epochs=3")
    (aside,) = Path("results").glob("toyland.*")
    assert found(str(aside)).plan.train.epochs == 2
    assert found("results/toyland").plan.train.epochs == found("toyland").plan.train.epochs == 3


def test_a_database_that_went_with_its_folder(toyland, tmp_path):  # noqa: F811
    plan = begin_elsewhere(f"sqlite:///{toyland}/results/toyland/my.db")
    rows = stored_study.read(plan).finished().rows
    plan.folder.rename(tmp_path / "toyland.20261121-101500")
    assert found(str(tmp_path / "toyland.20261121-101500")).rows == rows


@pytest.mark.parametrize("study", ["toyland", "results/toyland"])
def test_a_study_kept_elsewhere_that_is_not_there_or_has_a_password(
    study,
    toyland,  # noqa: F811
    here,  # noqa: F811
):
    plan = begin_elsewhere(f"journal:///{toyland}/all.log")
    Path("all.log").rename("moved.log")
    gone = here("studies", "status", study)
    assert gone.returncode == 1 and f"{toyland}/all.log" in gone.stderr
    assert gone.stderr.count("\n") == 1 and "--set storage.url=" in gone.stderr
    moved = f"storage.url=journal:///{toyland}/moved.log"
    assert here("studies", "status", study, "--set", moved).returncode == 0
    secret = dataclasses.replace(plan, storage_url="postgresql+psycopg://me:s3cret@127.0.0.1:1/db")
    log = EventLog(plan.folder / EVENTS, pytest.fail)
    log(Event(kind="study", phase="", data=describe(secret, "", shared={})))
    log.close()
    hidden = here("studies", "status", study)
    assert hidden.returncode == 1 and "s3cret" not in (plan.folder / EVENTS).read_text()
    assert "--set storage.url=postgresql+psycopg://me:***@127.0.0.1:1/db" in hidden.stderr
    assert hidden.stderr.count("\n") == 1 and "password" in hidden.stderr


def test_every_command_that_looks_takes_a_folder(toyland, here, monkeypatch):  # noqa: F811
    served = []
    monkeypatch.setattr(serve, "serve", lambda plan, **_: served.append(plan))
    monkeypatch.setattr(process, "TrackerProcesses", Trackers)
    plan = begin("toyland", "label_smoothing=0.05", "results.folder=other results")
    for command, *words in (
        ["show"],
        ["status"],
        ["export", "--trial", "0"],
        ["export"],
        ["audit", "--draws", "1"],
        ["dashboard"],
        ["tables", "--to", "tables"],
        ["copy", "--to", "journal:///copy.log"],
        ["sync", "--tracker", "tensorboard"],
    ):
        done = here("studies", command, plan.folder, *words)
        assert (done.returncode, done.stderr) == (0, ""), (command, done.stderr)
    assert served[0].train.label_smoothing == 0.05
    for command, *words in (["watch"], ["replay"], ["compare", plan.folder]):
        done = here("studies", command, plan.folder, *words)
        assert done.returncode == 1, command
        assert re.search("not being run|no recorded order|the same study", done.stderr)
    assert len(studies.load(str(plan.folder)).trials) == 8


def test_no_command_that_looks_resolves_settings():
    """But for ``show``, which plans: it is called once, in that command."""
    place = Path(studies.__file__).parent
    parts = {"__init__", "options", "foreground", "first_failure", "completing", "start", "view"}
    parts.add("slow_reports")
    files = [file for file in (place / "cli").glob("*.py") if file.stem not in parts]
    sources = {file.stem: file.read_text() for file in [*files, place / "__main__.py"]}
    assert sum(source.count("chosen.resolve(") for source in sources.values()) == 1
    assert "chosen.resolve(" in sources["__main__"].partition("def status")[0]
    # These look at no study.
    without = {"init", "reproduce", "reproduce_own", "reproduce_script", "view"}
    assert all("chosen.find(" in source for name, source in sources.items() if name not in without)


class Trackers:
    """Stands for the trackers' processes: they keep everything at once."""

    def __init__(self, names, folder, settings, **options):
        self.start = self.catch_up = list
        self.finish = lambda say: []
        self.complete = {*names}.__contains__

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


@pytest.fixture
def widen(monkeypatch):
    """Gives the toyland's study one more choice, as somebody does who edits its file."""

    def edit():
        spec = catalog.get("toyland")
        choices = Choice((*spec.choices, "adamw"))
        space = Space({**spec.space.parameters, spec.scientific: choices})
        wider = dataclasses.replace(spec, space=space, defaults={**spec.defaults, "adamw": {}})
        monkeypatch.setattr(catalog, "get", lambda name: wider)

    return edit


def test_a_changed_space_can_be_looked_at(toyland, here, widen):  # noqa: F811
    before = stored_study.read(begin("toyland")).finished()
    widen()
    assert found("toyland").rows == before.rows
    shown = here("studies", "show", "toyland")
    assert shown.returncode == 0 and "was started with other settings" in shown.stdout
    assert "other settings" not in here("studies", "show", "results/toyland").stdout


def test_a_given_setting_that_is_another_one_is_said(toyland, here):  # noqa: F811
    plan = begin("toyland", "epochs=2")
    done = here("studies", "status", "toyland", "--set", "epochs=3", "--dataset", "mnist-10pct")
    assert done.returncode == 0 and "finished" in done.stdout
    assert done.stderr.count("\n") == 1 and "epochs was 2, not 3" in done.stderr
    assert "data.name" not in done.stderr
    shown = here("studies", "show", "toyland", "--set", "epochs=3")
    assert shown.returncode == 0 and "epochs was 2, not 3" in shown.stdout
    assert plan.name in shown.stdout and shown.stderr == ""


def test_show_refuses_a_name_that_run_refuses(toyland, here):  # noqa: F811
    begin("toyland")
    for name in ("toyland-nosuch", "toyland-a b", "toylant"):
        shown, run = (here(*words, name) for words in (("studies", "show"), ("studies.run",)))
        assert shown.returncode == run.returncode == 1
        assert shown.stderr.partition(" (valid")[0] == run.stderr.partition(" (valid")[0]


def test_trackers_of_the_run_and_those_of_who_looks(toyland):  # noqa: F811
    begin("toyland", "tracking.wandb.project=mine", "tracking.mlflow.uri=http://me:secret@host/")
    Path("conf.toml").write_text("tracking.trackers = ['mlflow']\ntracking.wandb.entity = 'we'")
    tracking = lookup.find("toyland").settings.tracking
    assert tracking.wandb.project == "mine" and tracking.wandb.entity == "we"
    assert tracking.trackers == ["mlflow"] and tracking.mlflow.uri == ""
    sets = {"tracking.wandb.project": "other"}
    assert (
        lookup.find("toyland", sets=sets, say=pytest.fail).settings.tracking.wandb.project
        == "other"
    )


def test_no_password_is_recorded(toyland):  # noqa: F811
    secret = "s3cret"
    plan = resolve(
        "toyland",
        sets={
            "tracking.mlflow.uri": f"http://me:{secret}@host/",
            "storage.url": f"postgresql+psycopg://me:{secret}@host/db",
        },
    )
    assert secret not in json.dumps(plan_attribute(plan))


def test_a_run_records_its_plan(tmp_path):
    plan = make_plan(tmp_path)
    storage = open_storage(plan.storage_url, create=True)
    with open_search(plan, storage) as book:
        record = book.study.user_attrs[RECORD]
    close_storage(storage)
    assert record == json.loads(json.dumps(plan_attribute(plan)))
    looked = lookup.find(str(plan.folder))
    assert looked.fingerprint() == plan.fingerprint()
    assert looked.spec.space == plan.spec.space and looked.spec.defaults == plan.spec.defaults


def test_no_such_study(toyland, here):  # noqa: F811
    Path("empty").mkdir()
    for study, said in (
        ("toylant", "did you mean 'toyland'"),
        ("./nowhere", "is not the folder of a study"),
        ("empty", "is not the folder of a study"),
        ("toyland", "there is no study database"),
    ):
        done = here("studies", "status", study)
        assert done.returncode == 1 and said in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ("studies", "status", "x" * 300),
        ("studies", "status", "./" + "/".join(["x" * 99] * 60)),
        ("studies", "show", "toyland", "--set", f"results.folder={'x' * 300}"),
        ("studies", "show", "toyland", "--set", f"storage.url=journal:///{'x' * 300}"),
        ("studies.run", "toyland", "--save-svg", "x" * 300),
        ("studies.run", "toyland", "--learn-from", "x" * 300),
        ("mnist_core", "train", "x" * 300),
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_a_name_that_is_too_long_is_one_line(words, toyland, here):  # noqa: F811
    done = here(*words)
    assert done.returncode == 1 and "File name too long" in done.stderr
    assert done.stderr.count("\n") == 1 and len(done.stderr) < 200


def test_several_studies_in_one_storage(toyland):  # noqa: F811
    url = f"sqlite:///{toyland}/shared/study.db"
    for quick in (False, True):
        begin("toyland", f"storage.url={url}", quick=quick)
    with pytest.raises(UserError, match="several studies"):
        lookup.find("shared/")
    Path("shared").rename("toyland-quick")
    assert found("./toyland-quick").plan.name == "toyland-quick"


@pytest.mark.parametrize("name", catalog.names())
def test_a_space_can_be_described_and_read(name):
    space = catalog.get(name).space
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space


@pytest.mark.parametrize(
    "described", [{}, {"x": {}}, {"x": {"type": "Float", "low": 1}}, {"x": {"type": "Choice"}}]
)
def test_what_describes_no_space(described):
    with pytest.raises(SpaceError):
        Space.from_dict(described)


def test_a_small_run_of_a_study_that_says_nothing_of_it(toyland, here):  # noqa: F811
    plan = resolve("plainland", sets={}, quick=True)
    assert plan.spec.trials < QUICK_TRIALS  # and the small run is never larger
    assert (plan.trials, plan.confirm_seeds, plan.train.epochs) == (plan.spec.trials, 3, 1)
    said = here("studies", "show", "plainland", "--quick").stdout
    assert "has no quick={…} of its own" in said and f"search.trials={plan.spec.trials}" in said
    assert "of its own" not in here("studies", "show", "toyland", "--quick").stdout
    assert resolve("plainland", sets={"search.trials": 9}, quick=True).trials == 9
    larger = dataclasses.replace(plan.spec, trials=99)
    assert general_quick(larger)["search.trials"] == QUICK_TRIALS


def test_a_quick_study_is_named_where_the_whole_one_is_missing(tmp_path, monkeypatch, toyland):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    begin(quick=True)
    with pytest.raises(UserError, match="add --quick"):
        cli.Chosen(study="toyland").find()
    assert cli.Chosen(study="toyland", quick=True).find().name == "toyland-quick"
