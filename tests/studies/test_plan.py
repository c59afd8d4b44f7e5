"""The plan: what wins, what each trial must have, what makes studies comparable, refusals."""

import dataclasses
import json
import os
import pickle
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

from mnist_core.errors import ConfigError, UserError
from mnist_core.files import check_writable, prepare_folder
from search_spaces.space import Choice, Float, Space, SpaceError
from studies import catalog
from studies.planning import machine, resources
from studies.planning.layout import models_folder
from studies.planning.plan import resolve
from studies.protocol.objective import build_objective
from studies.report.overview import describe
from studies.spec import StudySpec

STUDY = catalog.get("optim_search")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """An empty working directory, a CPU with four cores."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "cores", lambda: 4)


def plan_of(*, quick=False, conf=None, **sets):
    sets = {"device": "cpu", **{key.replace("__", "."): value for key, value in sets.items()}}
    if conf is not None:
        Path("conf.toml").write_text(conf)
    return resolve("optim_search", sets=sets, quick=quick)


def error_of(call, *args, **kwargs):
    with pytest.raises(UserError) as error:
        call(*args, **kwargs)
    message = str(error.value)
    assert "\n" not in message
    return message


def test_precedence():
    assert plan_of().train.epochs == STUDY.fixed["epochs"]
    # A study's fixed settings are stronger than conf.toml, weaker than its table there.
    assert plan_of(conf="epochs = 11").train.epochs == STUDY.fixed["epochs"]
    own = "epochs = 11\n[studies.optim_search]\nepochs = 12"
    assert plan_of(conf=own).train.epochs == 12
    assert plan_of(conf=own, quick=True).train.epochs == STUDY.quick["epochs"]
    assert plan_of(conf=own, quick=True, train__epochs=13).train.epochs == 13
    # What the study does not fix comes from conf.toml.
    assert plan_of(conf="grad_clip = 1.0\n[search]\ntrials = 50").train.grad_clip == 1.0
    assert plan_of().trials == 50


def test_a_quick_look_has_its_own_name_and_folder():
    quick, full = plan_of(quick=True), plan_of()
    assert full.name == "optim_search"
    assert full.folder == Path.cwd() / "results" / "optim_search"
    assert full.storage_url == f"sqlite:///{full.folder}/study.db"
    assert quick.name != full.name
    assert quick.folder != full.folder
    assert quick.storage_url != full.storage_url
    assert quick.trials == STUDY.quick["search.trials"]
    assert plan_of(storage__url="sqlite:///x.db").storage_url == f"sqlite:///{Path.cwd()}/x.db"
    assert plan_of(storage__url="journal:///x").storage_url == f"journal:///{Path.cwd()}/x"


def test_no_path_of_a_trial_depends_on_the_working_directory():
    """An objective may change it: what is kept would land elsewhere, data not be found."""
    plan = plan_of(data__root="images", data__name="folder", results__folder="a/../b")
    here = Path.cwd()
    assert plan.folder == here / "a" / ".." / "b" / "optim_search"
    for phase_keeps in (None, models_folder(plan.folder)):
        made = build_objective(plan, phase_keeps)
        assert made.states.is_absolute()
        assert made.keep_models is None or made.keep_models.is_absolute()
        assert made.base.data.root == str(here / "images")
    assert plan.train.data.root == "images"  # an export names no folder of this machine


@pytest.mark.parametrize("key", ["optim.lr", "train.optim.lr", "optim.name", "schedule.name"])
def test_what_is_searched_cannot_be_set(key):
    assert error_of(resolve, "optim_search", sets={key: "adam"}).startswith(f"--set: {key} ")
    Path("conf.toml").write_text(f"[studies.optim_search]\n{key} = 'adam'")
    assert f": {key} " in error_of(resolve, "optim_search", sets={})


def test_conf_toml_may_set_for_other_runs_what_this_study_searches():
    plan = plan_of(conf="[train.optim]\nname = 'sgd'\nlr = 0.5\nmomentum = 0.9")
    config = plan.config_for(STUDY.default_of("adam"), seed=1)
    assert config.optim.model_dump(exclude_none=True) == {
        "name": "adam",
        "lr": 0.001,
        "weight_decay": 0.0,
        "beta1": 0.9,
    }


def test_what_only_some_optimizers_have_is_refused_before_the_first_trial():
    message = error_of(plan_of, optim__beta2=0.99)
    assert "optim.beta2: 'sgd'" in message


def test_unknown_studies_are_refused():
    message = error_of(resolve, "optim_serach", sets={})
    assert "'optim_serach'" in message and "'optim_search'" in message


def test_config_of_a_trial():
    config = plan_of(epochs=3, engine__threads=2).config_for(
        {
            "optim.name": "momentum",
            "momentum.lr": 0.1,
            "momentum.momentum": 0.95,
            "l2": 1e-4,
            "schedule.name": "cosine",
        },
        seed=7,
    )
    assert config.optim.model_dump(exclude_none=True) == {
        "name": "momentum",
        "lr": 0.1,
        "momentum": 0.95,
        "weight_decay": 1e-4,
    }
    assert config.schedule.name == "cosine"
    assert (config.epochs, config.seed, config.device, config.threads) == (3, 7, "cpu", 2)
    with pytest.raises(SpaceError, match=r"adam\.lr: "):
        plan_of().config_for({"optim.name": "adam"}, seed=0)


def test_required_params_are_the_defaults_then_each_choice_in_turn():
    plan = plan_of(search__trials=30, search__trials_per_choice=3)
    first = [plan.required_params(number) for number in range(9)]
    assert first[0] == STUDY.default_of("adam")
    assert sorted(map(str, first)) == sorted(str(STUDY.default_of(c)) for c in STUDY.choices)
    for params in first:
        STUDY.space.check(params)
    later = [plan.required_params(number) for number in range(9, 27)]
    assert all(set(params) == {"optim.name"} for params in later)
    assert Counter(p["optim.name"] for p in first + later) == dict.fromkeys(STUDY.choices, 3)
    assert [plan.required_params(number) for number in range(27, 30)] == [{}, {}, {}]


@pytest.mark.parametrize("fewer", [4, 20, 44])
def test_what_a_trial_must_be_does_not_depend_on_the_budget(fewer):
    """So a study that is extended keeps its promise to each choice."""
    small, large = plan_of(search__trials=fewer), plan_of(search__trials=60)
    for number in range(60):
        assert small.required_params(number) == large.required_params(number)


def test_trials_per_choice_yields_to_few_trials_but_not_if_asked_for():
    shown = {row.name: row.value for row in describe(plan_of(search__trials=20))}
    assert shown["search.trials"] == "20, 2 or more for each choice"
    assert plan_of(search__trials=10_000).trials_per_choice == STUDY.trials_per_choice
    message = error_of(plan_of, search__trials=20, search__trials_per_choice=3)
    assert message.startswith("search.trials_per_choice: 3 ")
    assert all(part in message for part in ("9", "optim.name", "27", "search.trials is 20"))


def test_without_trials_per_choice_the_defaults_still_come_first():
    plan = plan_of(search__trials=40, search__trials_per_choice=0)
    assert plan.required_params(8) != {}
    assert plan.required_params(9) == {}


def test_the_fingerprint_knows_what_is_measured_and_not_where():
    plan = plan_of()
    digest, values = plan.fingerprint()
    assert json.loads(json.dumps(values)) == values
    assert len(digest) == 64
    same = (
        plan_of(engine__workers=1, engine__threads=3),
        plan_of(search__trials=99, confirm__seeds=5),
        plan_of(data__root="/elsewhere", results__folder="other", storage__url="sqlite:///o.db"),
        plan_of(search__pruner="none", grad_clip=0),
        plan_of(conf="[train.optim]\nname = 'sgd'\nlr = 0.5"),
    )
    assert {p.fingerprint()[0] for p in same} == {digest}
    Path("conf.toml").unlink()
    other = (
        plan_of(epochs=9),
        plan_of(data__name="mnist"),
        plan_of(data__split_seed=1),
        plan_of(search__seed=1),
        plan_of(schedule__warmup=0.1),
        plan.with_data("abc"),
        dataclasses.replace(plan, spec=dataclasses.replace(STUDY, metric="val_loss")),
    )
    assert len({digest, *(p.fingerprint()[0] for p in other)}) == 1 + len(other)


def test_plans_are_frozen_printable_and_travel():
    plan = plan_of()
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.trials = 3
    assert "optim_search" in repr(plan)
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan
    assert again.fingerprint() == plan.fingerprint()


def test_a_source_is_a_file_that_is_there_from_any_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    rows = {row.name: row for row in describe(plan_of())}
    file = Path(rows["batch_size"].source.removesuffix(" (fixed)"))
    assert file.is_absolute() and file.is_file()


def test_describe_names_values_and_sources():
    conf = "grad_clip = 2.0\n[search]\nsampler_options = {n_startup_trials = 5}"
    rows = {row.name: row for row in describe(plan_of(conf=conf, search__trials=70, epochs=2))}
    assert rows["epochs"] == ("epochs", "2", "--set")
    assert rows["grad_clip"] == ("grad_clip", "2.0", "conf.toml")
    assert rows["batch_size"].source.endswith("studies/catalog/optim_search.py (fixed)")
    assert rows["precision"].source == "default"
    assert rows["search.sampler_options"].value == "{'n_startup_trials': 5}"
    assert rows["search.trials"].value.startswith("70, ")
    assert rows["engine.workers"] == ("engine.workers", "4", "this machine")
    assert "optim.lr" not in rows
    assert rows["scientific optim.name"].value.startswith("sgd, momentum")
    assert "log; sets optim.lr; when optim.name is sgd" in rows["nuisance sgd.lr"].value
    assert all("\n" not in cell for row in rows.values() for cell in row)


@pytest.mark.parametrize(
    ("asked", "on_gpu", "tasks", "given"),
    [
        # (cores, workers, threads) -> (workers, threads)
        ((1, 0, 0), False, 60, (1, 1)),
        ((2, 0, 0), False, 60, (2, 1)),
        ((8, 0, 0), False, 60, (8, 1)),
        ((16, 0, 0), False, 60, (8, 2)),
        ((64, 0, 0), False, 60, (8, 8)),
        ((8, 3, 0), False, 60, (3, 2)),
        ((8, 0, 4), False, 60, (2, 4)),
        ((8, 0, 8), False, 60, (1, 8)),
        ((8, 0, 0), False, 2, (2, 4)),
        ((16, 0, 0), True, 60, (1, 16)),
        ((16, 4, 0), True, 60, (4, 4)),
        ((2, 2, 1), False, 1, (2, 1)),
    ],
)
def test_workers_share_the_cores(asked, on_gpu, tasks, given):
    cores, workers, threads = asked
    shared = resources.share(
        available=cores, workers=workers, threads=threads, tasks=tasks, on_gpu=on_gpu
    )
    assert shared == given


def test_more_than_the_cores_is_refused():
    for setting in ("engine.workers", "engine.threads"):
        message = error_of(plan_of, **{setting.replace(".", "__"): 5})
        assert message.startswith(f"{setting}: 5 ") and "4" in message
    message = error_of(plan_of, engine__workers=2, engine__threads=3)
    parts = ("2", "3", "6", "4", "engine.workers", "engine.threads")
    assert message.startswith("engine: ") and all(part in message for part in parts)


@pytest.mark.parametrize(
    ("files", "allowed"),
    [
        ({}, None),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
    ],
)
def test_cores_know_the_limits_of_a_container(tmp_path, monkeypatch, files, allowed):
    monkeypatch.undo()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(6)), raising=False)
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert machine.cores(tmp_path) == (allowed or 6)


def test_devices():
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    assert machine.device("cpu") == "cpu"
    assert machine.device("auto") == ("cuda:0" if count else "cpu")
    message = error_of(machine.device, f"cuda:{count}")
    assert message.startswith(f"device: 'cuda:{count}' ")


@pytest.mark.parametrize(
    ("platform", "driver", "may"),
    [
        ("linux", None, False),
        ("linux", "nvidiactl", True),
        ("linux", "kfd", True),
        ("linux", "dxg", True),
        ("win32", None, True),
    ],
)
def test_torch_is_not_asked_where_no_driver_is(tmp_path, monkeypatch, platform, driver, may):
    monkeypatch.setattr(sys, "platform", platform)
    (tmp_path / "dev").mkdir()
    if driver:
        (tmp_path / "dev" / driver).touch()
    assert machine.may_have_gpu(tmp_path, {}) is may


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_is_hidden_is_not_there(tmp_path, hidden):
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidiactl").touch()
    assert not machine.may_have_gpu(tmp_path, {"CUDA_VISIBLE_DEVICES": hidden})
    assert machine.may_have_gpu(tmp_path, {"CUDA_VISIBLE_DEVICES": "1"})


def test_a_folder_that_cannot_be_written(tmp_path):
    check_writable(tmp_path / "a/b", "results.folder")
    assert not any(tmp_path.iterdir())
    prepare_folder(tmp_path / "a/b", "results.folder")
    prepare_folder(tmp_path / "a/b", "results.folder")
    check_writable(tmp_path / "a/b", "results.folder")
    assert not any((tmp_path / "a/b").iterdir())
    assert list((tmp_path / "a/b").iterdir()) == []
    (tmp_path / "file").write_text("")
    for refuses in (prepare_folder, check_writable):
        for folder in (tmp_path / "file", tmp_path / "file/inner"):
            message = error_of(refuses, folder, "results.folder")
            assert message.startswith("results.folder: ") and str(folder) in message
    assert "results.folder" in error_of(plan_of, results__folder="a\0b")
    assert "s3://bucket/results" in error_of(plan_of, results__folder="s3://bucket/results")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    assert "Permission denied" in error_of(prepare_folder, tmp_path / "a", "results.folder")


def spec_of(monkeypatch, **changes):
    space = Space({"optim.name": Choice(("sgd", "adam")), "optim.lr": Float(0.1, 1.0)})
    values = {
        "name": "small",
        "goal": "Is it small?",
        "space": space,
        "scientific": "optim.name",
        "fixed": {},
        "defaults": {"sgd": {"optim.lr": 0.1}, "adam": {"optim.lr": 0.1}},
        "baseline": "adam",
        "trials": 4,
        "trials_per_choice": 1,
        **changes,
    }
    spec = StudySpec(**values)
    monkeypatch.setattr(catalog, "get", lambda name: spec)
    return spec


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"scientific": "optim.lr"}, ["defaults", "'optim.lr'"]),
        ({"scientific": "x"}, ["scientific", "'x'"]),
        ({"defaults": {"sgd": {"optim.lr": 0.1}}}, ["defaults", "['sgd', 'adam'"]),
        (
            {"defaults": {"sgd": {"optim.lr": 9}, "adam": {"optim.lr": 1}}},
            ["defaults of sgd", "optim.lr", "[0.1, 1]", "9"],
        ),
        (
            {
                "defaults": {
                    "sgd": {"optim.lr": 1, "optim.name": "adam"},
                    "adam": {"optim.lr": 1},
                }
            },
            ["defaults of sgd", "optim.name", "'sgd'", "'adam'"],
        ),
        ({"baseline": "adm"}, ["baseline 'adm'", "'adam'"]),
        ({"trials": 0}, ["trials", "1", "0"]),
        ({"confirm_seeds": 2}, ["confirm_seeds", "3", "2"]),
    ],
)
def test_a_study_whose_parts_do_not_fit(monkeypatch, changes, names):
    message = error_of(spec_of, monkeypatch, **changes)
    assert message.startswith("study small: ") and all(name in message for name in names)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"fixed": {"optim.lr": 1}}, ["(fixed): ", "optim.lr"]),
        ({"fixed": {"epoch": 1}}, ["(fixed): ", "'epoch'", "'epochs'"]),
        ({"quick": {"search.trials": 0}}, ["(quick): ", "search.trials"]),
    ],
)
def test_a_study_that_sets_what_it_should_not(monkeypatch, changes, names):
    spec_of(monkeypatch, **changes)
    message = error_of(resolve, "small", sets={"device": "cpu"}, quick=True)
    assert all(name in message for name in names)


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        (Float(0.1, 101.0), "optim.lr"),
        (Float(0.1, 1.0, sets="optim.rate"), "optim.rate"),
        (Choice(("high", "low")), "optim.lr"),
    ],
)
def test_a_space_that_the_trainer_does_not_take_is_found_at_once(monkeypatch, parameter, name):
    space = Space({"optim.name": Choice(("sgd", "adam")), "optim.lr": parameter})
    lr = "high" if isinstance(parameter, Choice) else 0.5
    spec_of(monkeypatch, space=space, defaults={"sgd": {"optim.lr": lr}, "adam": {"optim.lr": lr}})
    with pytest.raises(ConfigError, match=rf"^study small: .*{re.escape(name)}"):
        resolve("small", sets={"device": "cpu"})


@pytest.mark.parametrize(
    ("sets", "confirm"),
    [
        ({}, "own"),
        ({"data.name": "mnist"}, "half"),
        ({"data.name": "mnist", "data.confirm": "none"}, "none"),
        ({"data.name": "folder", "data.root": "somewhere"}, "own"),
    ],
)
def test_many_validation_images_are_halved_to_confirm(sets, confirm):
    assert resolve("optim_search", sets=sets).train.data.confirm == confirm
