"""Forks: what is carried over, what is left, and that the old study stays as it is."""

import dataclasses
import os
import signal
from functools import partial

import optuna
import programs
import pytest
from optuna.trial import TrialState
from postgres import server  # noqa: F401
from test_protocol import StopAfter, run
from toy import SPACE, SPEC, TestSet, Toy
from toy import make_plan as make_any_plan
from typer.testing import CliRunner
from waiting import PATIENCE

from mnist_core.config import TrainConfig
from mnist_core.errors import ConfigError, UserError
from search_spaces.space import Choice, Float, Space, When
from studies import catalog
from studies.analysis import stored_study
from studies.core import study_names
from studies.core.attributes import CARRIED, FINGERPRINT
from studies.core.event_log import FILE, to_line
from studies.core.events import Event
from studies.planning import layout
from studies.planning.fingerprint import FingerprintMismatch
from studies.protocol import phases
from studies.protocol.carry_over import carry
from studies.protocol.control import StudyInterrupted
from studies.protocol.fork import check_made, fork
from studies.protocol.replay import Replay
from studies.report.table import markdown
from studies.report.warnings import warnings
from studies.run import app
from studies.search.sources import SearchSource
from studies.storage import copying, sql, sql_writing
from studies.storage.contents import difference, read_content
from studies.storage.open import close_storage, open_storage

make_plan = partial(make_any_plan, sqlite=True)  # a fork gets a database of its own
ADAM = When("optim.name", ("adam",))


@pytest.fixture(autouse=True)
def _no_data(monkeypatch):
    monkeypatch.setattr(phases.fingerprint, "describe", lambda plan: {})


def content(plan, phase=""):
    storage = open_storage(plan.storage_url, create=False)
    found = read_content(storage, plan.name + phase)
    close_storage(storage)
    return found


def changed(plan, *, train=None, trials=None, default=None, **parameters):
    """The plan with other parameters in its space (None: without), or other settings."""
    space = {**SPACE.parameters, **parameters}
    space = Space({name: one for name, one in space.items() if one is not None})
    new = {name: one.choices[0] for name, one in parameters.items() if isinstance(one, Choice)}
    defaults = {name: {**one, **new} for name, one in SPEC.defaults.items()}
    spec = dataclasses.replace(SPEC, space=space, defaults={**defaults, **(default or {})})
    made = dataclasses.replace(plan, spec=spec, trials=trials or plan.trials)
    return dataclasses.replace(made, train=plan.train.override(train or {}, source="test"))


WIDER = {"adam.lr": Float(1e-5, 1.0, log=True, sets="optim.lr", when=ADAM)}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A finished study of 12 trials."""
    plan = make_plan(tmp_path_factory.mktemp("old"), trials=12)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phases.fingerprint, "describe", lambda plan: {})
        run(plan, toy=Toy(failing=("sgd",)))
    return plan


def carried(old, plan):
    before = content(old)
    values = before.user_attrs[FINGERPRINT]["values"]
    return before, carry(plan, study="toy", values=values, trials=before.trials)


def test_a_wider_range_keeps_every_trial_as_it_was(old):
    before, found = carried(old, changed(old, **WIDER))
    assert (found.count, found.left) == (12, ())
    ours = {trial.user_attrs[CARRIED]["trial"]: trial for trial in found.trials}
    assert sorted(ours) == list(range(12)) == [trial.number for trial in found.trials]
    for theirs in before.trials:
        trial = ours[theirs.number]
        for name in ("state", "values", "params", "intermediate_values", "datetime_complete"):
            assert getattr(trial, name) == getattr(theirs, name)
        kept = {k: v for k, v in theirs.user_attrs.items() if k != "order"}
        assert trial.user_attrs == kept | {CARRIED: {"study": "toy", "trial": theirs.number}}
        if "adam.lr" in trial.distributions:
            assert trial.distributions["adam.lr"].low == 1e-5


def test_a_narrower_range_leaves_what_lies_outside(old):
    plan = changed(
        old,
        **{
            "adagrad.lr": Float(
                9e-3, 0.1, log=True, sets="optim.lr", when=When("optim.name", ("adagrad",))
            )
        },
    )
    before, found = carried(old, plan)
    outside = [t for t in before.trials if t.params.get("adagrad.lr", 1.0) < 9e-3]
    assert outside and found.count == 12 - len(outside)
    assert {t.user_attrs[CARRIED]["trial"] for t in found.trials} == set(range(12)) - {
        t.number for t in outside
    }
    assert sum(count for _, count in found.left) == len(outside)
    assert all("adagrad.lr" in reason for reason, _ in found.left)


def test_what_was_fixed_and_is_searched_now_has_its_old_value(old):
    _, found = carried(old, changed(old, batch_size=Choice((32, 64)), epochs=Choice((5, 10))))
    assert found.count == 12
    ours = [trial for trial in found.trials if CARRIED in trial.user_attrs]
    assert all(t.params["batch_size"] == 64 and t.params["epochs"] == 5 for t in ours)
    assert all({"batch_size", "epochs"} <= t.distributions.keys() for t in ours)
    assert len(found.trials) == 12 + 3  # the defaults are others now
    _, found = carried(old, changed(old, batch_size=Choice((16, 32))))
    assert found.count == 0 and "batch_size" in found.left[0][0] and found.trials == ()


def test_what_was_searched_and_is_fixed_now_keeps_the_equal_ones(old):
    before, _ = carried(old, old)
    values = before.user_attrs[FINGERPRINT]["values"]
    wide = changed(old, batch_size=Choice((32, 64)))
    trials = [t for t in before.trials if t.state is TrialState.COMPLETE][:2]
    for trial, size in zip(trials, (32, 64), strict=True):
        trial.params = {**trial.params, "batch_size": size}
    found = carry(old, study="wide", values=wide.fingerprint()[1], trials=trials)
    assert found.count == 1 and "batch_size" not in found.trials[-1].params
    assert found.left == (("batch_size: 32 -> 64", 1),)
    assert values != wide.fingerprint()[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"train": {"epochs": 7}}, "epochs: 5 -> 7"),
        ({"train": {"optim.momentum": 0.5}}, "optim.momentum: None -> 0.5"),
        ({"data_fingerprint": "other"}, "the data or its split is another one"),
        ({"metric": "val_f1"}, "metric: val_accuracy -> val_f1"),
    ],
)
def test_what_is_trained_otherwise_is_not_carried(old, change, said):
    plan = changed(old, train=change.pop("train", None))
    if "metric" in change:
        plan = dataclasses.replace(plan, spec=dataclasses.replace(plan.spec, **change))
    else:
        plan = dataclasses.replace(plan, **change)
    _, found = carried(old, plan)
    assert (found.count, found.trials, found.left) == (0, (), ((said, 12),))


def test_another_search_seed_costs_no_trial(old):
    settings = make_plan(old.folder, search={"seed": 5}).settings
    _, found = carried(old, dataclasses.replace(old, settings=settings))
    assert found.count == 12


def test_its_own_trials_are_none_that_it_took_over(old):
    """They get numbers that others had before, and would be the same trials again."""
    before, found = carried(old, changed(old, **WIDER))
    taken = found.trials[:9]
    source = SearchSource(changed(old, **WIDER), trials=taken)
    seeds = {trial.user_attrs["seed"] for trial in before.trials}
    assert all(source.request(number).seed not in seeds for number in range(9, 12))
    plain = SearchSource(old)
    ours, theirs = (one.sampler(10).sampler._rng.rng.random() for one in (source, plain))
    assert ours != theirs


def test_a_missing_default_waits_in_its_place(old):
    """adam's default lies outside: it cannot stay a default, but its choice has one."""
    narrow = Float(5e-3, 1, log=True, sets="optim.lr", when=ADAM)
    plan = changed(old, default={"adam": {"adam.lr": 0.02}}, **{"adam.lr": narrow})
    _, found = carried(old, plan)
    assert 0 < found.count < 12
    for number in range(3):
        trial, default = found.trials[number], plan.required_params(number)
        if default["optim.name"] == "adam":
            assert trial.state is TrialState.WAITING
            assert trial.system_attrs == {"fixed_params": default}
        else:
            assert trial.params == default
    assert [t.number for t in found.trials] == list(range(found.count + 1))


def copy_of(old, folder):
    """The study again, elsewhere: forks are made beside it."""
    plan = make_plan(folder, trials=12)
    plan.folder.mkdir(parents=True)
    (plan.folder / "study.db").write_bytes((old.folder / "study.db").read_bytes())
    return plan


def test_a_fork_runs_the_rest_of_its_budget(tmp_path, old):
    plan, said, toy = copy_of(old, tmp_path), [], Toy()
    before = [content(plan), content(plan, ".confirm")]
    wide = changed(plan, trials=16, **WIDER)
    with pytest.raises(FingerprintMismatch, match=r"adam\.lr.*\(--fork\)"):
        run(wide)
    forked = fork(wide, "", say=said.append)
    assert (forked.name, forked.folder.name) == ("toy-2", "toy-2")
    assert said[0] == "new study toy-2, forked from toy: 12 of its 12 trials carried over"
    result = run(forked, toy=toy, read_test_again=True)
    search = stored_study.read(forked).search
    assert len(search) == 16 and sum(task.number < 16 for task in toy.ran[:4]) == 4
    assert [r.attributes.get(CARRIED, {}).get("study") for r in search] == ["toy"] * 12 + [None] * 4
    assert "This study was forked from toy: 12 of its 12 trials" in markdown(result)
    assert all(
        difference(*pair) == ""
        for pair in zip(before, [content(plan), content(plan, ".confirm")], strict=True)
    )
    assert run(forked, toy=Toy()).trained == 0


def test_every_choice_gets_its_trials_in_a_fork(tmp_path, old):
    """Only adagrad's are compatible: the others' defaults come first, then two trials each."""
    plan = copy_of(old, tmp_path)
    narrow = changed(
        plan,
        trials=14,
        **WIDER,
        **{
            "sgd.lr": Float(
                0.005, 2.0, log=True, sets="optim.lr", when=When("optim.name", ("sgd",))
            ),
        },
    )
    result = run(fork(narrow, "", say=str), read_test_again=True)
    counts = {r.label: r.complete + r.pruned + r.failed for r in result.rows}
    assert all(counts[name] >= 2 for name in ("sgd", "adam", "adagrad"))
    search = stored_study.read(fork(narrow, "", say=str)).search
    assert [r.params for r in search[:3]] == [narrow.required_params(n) for n in range(3)]


def test_the_same_settings_find_their_fork_again(tmp_path, old):
    plan, said = copy_of(old, tmp_path), []
    first = fork(changed(plan, **WIDER), "", say=str)
    other = changed(plan, train={"epochs": 9})
    second = fork(other, "", say=said.append)
    assert (first.name, second.name) == ("toy-2", "toy-3")
    assert said[0].endswith("0 of its 12 trials carried over; 12 not: epochs: 5 -> 9")
    assert fork(changed(plan, **WIDER), "", say=said.append).name == "toy-2"
    assert said[-1].startswith("resuming toy-2, forked from toy: 12 of")
    assert fork(changed(plan, **WIDER), "wide", say=str).name == "toy-wide"
    assert fork(changed(plan, **WIDER), "toy-wide", say=str).name == "toy-wide"
    with pytest.raises(UserError, match="toy-wide"):
        fork(other, "wide", say=str)
    with pytest.raises(UserError, match=r"toy.*settings"):
        fork(plan, "", say=str)
    with pytest.raises(UserError, match="'toy'"):
        fork(changed(make_plan(tmp_path / "none"), **WIDER), "", say=str)
    again = changed(first, **WIDER, batch_size=Choice((64, 128)))
    assert fork(again, "", say=said.append).name == "toy-4"
    assert "forked from toy-2: 12 of its 12" in said[-2]


def test_what_an_earlier_fork_of_that_name_has_left_is_not_gone_on_with(tmp_path, old):
    """Its database was deleted: the new one would be written to the old one's log."""
    plan = copy_of(old, tmp_path)
    folder = plan.folder.with_name("toy-left")
    folder.mkdir()
    event = Event(kind="study", phase="", data={"id": "other"})
    (folder / FILE).write_bytes(to_line(event))
    with pytest.raises(UserError, match="other"):
        fork(changed(plan, **WIDER), "left", say=str)
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_an_interrupted_fork_goes_on(tmp_path, old):
    plan = changed(copy_of(old, tmp_path), trials=18, **WIDER)
    stop, toy = StopAfter(3), Toy()
    with pytest.raises(StudyInterrupted):
        run(fork(plan, "", say=str), listeners=[stop], control=stop.control)
    result = run(fork(plan, "", say=str), toy=toy, read_test_again=True)
    assert sum(result.states.values()) == 18
    assert len(toy.ran) - 3 * len({str(t.params) for t in toy.ran[3:]}) <= 3


def test_a_study_that_is_under_way_gives_what_is_finished(tmp_path):
    plan, stop = make_plan(tmp_path), StopAfter(5)
    stop.control.stop = lambda: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run(plan, listeners=[stop], control=stop.control)
    said = []
    forked = fork(changed(plan, **WIDER), "", say=said.append)
    assert "4 of its 5 trials carried over; 1 not: not finished" in said[0]
    assert sum(run(forked).states.values()) == 9


def test_a_fork_inherits_the_reading_of_the_test_set(tmp_path, old):
    plan, test = changed(copy_of(old, tmp_path), **WIDER), TestSet()
    forked = fork(plan, "", say=str)
    result = run(forked, test=test)
    assert test.readings == [] and stored_study.read(forked).phase == "finished"
    assert result.untested > 0 and "(by study toy)" in markdown(result)
    again = run(forked, test=test, read_test_again=True)
    assert len(test.readings) == 1 and again.untested == 0
    (said,) = [line for line in warnings(again) if "was read 2 times" in line]
    assert said.endswith("1 by toy, which this study was forked from")


@pytest.mark.parametrize("kind", ["journal", pytest.param("postgresql", marks=pytest.mark.long)])
def test_in_a_storage_that_holds_both(tmp_path, kind, request):
    url = f"journal:///{tmp_path}/all.log"
    if kind == "postgresql":
        url = request.getfixturevalue("server").new_database()
    plan = make_plan(tmp_path, storage={"url": url})
    plan = dataclasses.replace(plan, storage_url=url)
    run(plan)
    before = content(plan)
    forked = fork(changed(plan, **WIDER), "", say=str)
    assert forked.storage_url == url
    assert len(content(forked).trials) == 9 and difference(before, content(plan)) == ""
    assert sum(run(forked, toy=Toy()).states.values()) == 9


@pytest.mark.parametrize(
    "step", [(sql, "insert_study"), (sql_writing, "insert_trials"), (copying, "check_same")]
)
def test_killed_while_it_is_made_it_is_not_there(tmp_path, old, step):
    plan = copy_of(old, tmp_path)
    wide = changed(plan, **WIDER)

    def fork_and_die():
        setattr(*step, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        fork(wide, "", say=print)

    process = programs.start(fork_and_die)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, errors
    with pytest.raises(UserError, match="'toy-2'"):
        check_made(fork_plan(wide).commands)
    assert fork(wide, "", say=str).name == "toy-2"
    check_made(fork_plan(wide).commands)
    assert len(content(fork_plan(wide)).trials) == 12


def fork_plan(plan):
    folder = plan.folder.with_name("toy-2")
    url = f"sqlite:///{folder / 'study.db'}"
    return dataclasses.replace(plan, name="toy-2", folder=folder, storage_url=url)


@pytest.mark.parametrize(
    ("name", "study", "fork"),
    [
        ("toy", "toy", ""),
        ("toy-2", "toy", "2"),
        ("toy-wide_1", "toy", "wide_1"),
        ("tyo-2", "tyo-2", ""),
    ],
)
def test_names(name, study, fork):
    assert study_names.split(name, ("toy", "boy")) == (study, fork)
    if fork:
        for quick in (False, True):
            assert study_names.parts(study_names.full(study, quick=quick, fork=fork), study) == (
                quick,
                fork,
            )
    assert study_names.parts("toy-quick", "toy") == (True, "")


@pytest.mark.parametrize(
    "name", ["toy-", "toy-a b", "toy-a.b", "toy-a/b", "toy-quick", "toy-a-b", f"toy-{252 * 'a'}"]
)
def test_bad_names(name):
    with pytest.raises(ConfigError):
        study_names.split(name, ("toy",))


def test_the_config_of_a_toy_is_what_is_compared():
    assert TrainConfig().batch_size == 64 and TrainConfig().epochs == 5


def test_commands_name_the_fork(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "names", lambda: ["toy"])
    plan = fork_plan(make_plan(tmp_path))
    assert plan.commands.run() == "python -m studies.run toy-2"
    folder = layout.results_folder("results") / "toy-quick-2"
    quick = dataclasses.replace(plan, name="toy-quick-2", folder=folder)
    assert quick.commands.look("dashboard") == "python -m studies dashboard toy-2 --quick"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wide"], "a second name is the name of a fork; add --fork"),
        (["--fork", "--fresh"], "leave --fresh out"),
    ],
)
def test_options_that_do_not_fit(arguments, said):
    done = CliRunner().invoke(app, ["optim_search", *arguments])
    assert done.exit_code == 2 and said in " ".join(done.output.replace("│", "").split())


def test_a_forks_order_is_not_replayed(old):
    storage = open_storage(old.storage_url, create=False)
    study = optuna.load_study(study_name=old.name, storage=storage)
    trials = study.get_trials(deepcopy=True)
    trials[3].user_attrs[CARRIED] = {"study": "toy", "trial": 3}
    study.get_trials = lambda deepcopy: trials
    with pytest.raises(UserError, match="fork"):
        Replay(old, study, old.folder)
    close_storage(storage)
