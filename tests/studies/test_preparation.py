"""What is looked at before trial 0, and the line that says what a study will take."""

import dataclasses
import shutil
from typing import get_args

import pytest
from toy import make_plan

from mnist_core import tasks, train
from mnist_core.config import DataConfig, Precision, TrainConfig
from mnist_core.data import load
from mnist_core.data.storage import EMBEDDED
from mnist_core.errors import ConfigError, DataError
from objectives.classification import Classification
from objectives.pairs import Pairs
from objectives.preparation import Largest, Preparation
from objectives.trainer.preflight import prepare
from search_spaces.space import Float, Int, Space
from studies import catalog
from studies.cli.foreground import with_data
from studies.engines.inline import Inline
from studies.planning.plan import resolve
from studies.protocol.preflight import describe
from studies.spec import StudySpec

BASE = TrainConfig().override({"device": "cpu", "precision": "fp32", "threads": 1, "epochs": 2})


def config(**settings):
    return BASE.override({name.replace("__", "."): value for name, value in settings.items()})


def test_each_that_is_typical_is_measured():
    small = config(model__name="lenet5", batch_size=500)
    other = config(model__name="lenet5", batch_size=500, optim__lr=0.5)
    large = config(model__name="mlp512", batch_size=500, epochs=4)
    found = prepare([small, large], [small, other, large])
    assert found.parameters == (61_706, 61_706, 669_706)
    assert found.flops[0] == found.flops[1] and found.flops[2] == 2 * (784 * 512 + 512**2 + 5120)
    assert found.epochs == (2, 2, 4)
    assert found.seconds[0] == found.seconds[1] > 0  # measured once
    assert len(found.fingerprint) > 8 and found.memory > 10_000_000


def test_the_largest_end_of_the_space_is_measured_if_it_may_be_trained():
    small = config(model__name="lenet5", batch_size=500)
    ends = [config(model__name="mlp512", batch_size=500), config(model__name="net", batch_size=500)]
    found = prepare([small, *ends], [small])
    assert found.others and found.parameters == (61_706,)
    assert found.largest.parameters == 225_034  # fewer than mlp512, but more operations
    assert found.largest.seconds > found.seconds[0]
    within = prepare([small, *ends], [small], most_parameters=200_000)
    assert within.others and within.largest is None
    same = prepare([small, config(model__name="lenet5", batch_size=500, optim__lr=0.5)], [small])
    assert not same.others and same.largest is None


def test_what_would_fail_every_trial_fails_first():
    small = config(model__name="lenet5")
    with pytest.raises(ConfigError, match="momentum"):
        prepare([small, config(optim__name="adam", optim__momentum=0.9)], [small])


def test_a_test_set_that_cannot_be_read_fails_before_the_first_trial(tmp_path):
    """Not after search and confirmation; that there is none must be said."""
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        shutil.copy(EMBEDDED / name, tmp_path / name)
    small = config(model__name="lenet5", data__name="folder", data__root=str(tmp_path))
    with pytest.raises(DataError, match=r"holds no t10k.*data\.test_set=false"):
        prepare([small], [small])
    told = small.override({"data.test_set": False})
    found = prepare([told], [told])
    assert found.fingerprint == found.train_fingerprint


def test_a_model_of_another_task_fails_before_the_first_trial():
    small = config(model__name="lenet5")
    with pytest.raises(ConfigError, match=r"pairs.*'lenet5'.*class"):
        prepare([small], [small], check=Pairs.check)
    assert prepare([small], [small], check=Classification.check).parameters == (61_706,)


@pytest.fixture(scope="module")
def few():
    data = load(DataConfig())
    first = dataclasses.replace(
        data.train, images=data.train.images[:64], labels=data.train.labels[:64]
    )
    return dataclasses.replace(data, train=first)


@pytest.mark.parametrize("precision", sorted({*get_args(Precision)} - {"auto", "tf32"}))
def test_every_study_takes_a_batch_in_every_precision(precision, few, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"device": "cpu", "precision": precision}
    configs = {}
    for name in catalog.names():
        plan = resolve(name, sets=given)
        defaults = [plan.config_for(plan.spec.default_of(one), seed=0) for one in plan.spec.choices]
        ends = [plan.config_for(one, seed=0) for one in plan.spec.space.ends()]
        for c in [*defaults, *ends]:  # sizes do not matter to types
            m = c.model
            configs[m.name, m.activation, m.norm, m.pooling, c.loss.name] = c
    assert len(configs) >= 15
    for config in configs.values():
        tasks.take_one_batch(train.resolve(config), few)


def test_tf32_is_refused_on_a_cpu_in_one_line():
    with pytest.raises(ConfigError, match="tf32"):
        prepare([config(precision="tf32")], [config(precision="tf32")])


def found(*seconds, memory=2**30):
    n = len(seconds)
    return Preparation(
        fingerprint="abc",
        seconds=seconds,
        parameters=(1000,) * n,
        flops=tuple(1_234_000 * (i + 1) for i in range(n)),
        epochs=(10,) * n,
        memory=memory,
    )


def test_the_line(tmp_path):
    plan = make_plan(tmp_path)
    plan = dataclasses.replace(plan, trials=20, confirm_seeds=4, workers=2)
    # The choices' leaders and the default on four seeds, the runners-up on two.
    trainings = 20 + (len(plan.spec.choices) + 1) * 4 + len(plan.spec.choices) * 2
    assert plan.trainings == trainings
    each = plan.trainings / plan.workers
    text = describe(each, [found(20.0, 40.0), found(40.0, 80.0, memory=2**31)])
    # The median of both workers: 30 s and 60 s, 45 s on average.
    whole = 45 * trainings / 2
    assert text == (
        "estimate, from two steps each: the study takes up to"
        f" {int(whole // 60)}:{int(whole % 60):02}, less what is pruned;"
        " one training 30 s to 1:00 (3.0 s to 6.0 s an epoch), 1,000 parameters,"
        " 1.23 to 2.47 MFLOP a sample, 2.0 GiB a worker"
    )


def test_a_space_of_several_sizes_is_not_said_to_be_like_its_defaults(tmp_path):
    plan = dataclasses.replace(make_plan(tmp_path), trials=20, confirm_seeds=4, workers=2)
    # The choices' leaders and the default on four seeds, the runners-up on two.
    trainings = 20 + (len(plan.spec.choices) + 1) * 4 + len(plan.spec.choices) * 2
    assert plan.trainings == trainings
    each = plan.trainings / plan.workers
    largest = Largest(seconds=100.0, parameters=2_000_000)
    some = dataclasses.replace(found(2.0), others=True)
    assert " the study takes 42 s if all train like the defaults, less what" in describe(
        each, [some]
    )
    as_fast = dataclasses.replace(some, largest=dataclasses.replace(largest, seconds=1.9))
    assert describe(each, [as_fast]) == describe(each, [some])
    text = describe(each, [dataclasses.replace(some, largest=largest)])
    assert trainings == 42 and "; a default training 2.0 s (0.2 s an epoch), 1,000" in text
    assert (
        " the study takes 42 s if all train like the defaults, up to 35:00 if all train like the"
        " largest, less what is pruned" in text
    )
    assert text.endswith("; the largest of the space: 1:40, 2,000,000 parameters")


def test_one_of_a_kind_is_no_range(tmp_path):
    text = describe(1, [found(5.0)])
    said = "; one training 5.0 s (0.5 s an epoch), 1,000 parameters, 1.23 MFLOP a sample, "
    assert said in text


def test_a_study_without_defaults_measures_the_ends_of_its_space(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = Space({"batch_size": Int(400, 500), "optim.lr": Float(1e-4, 1e-2, log=True)})
    spec = StudySpec(
        name="plain",
        goal="?",
        space=space,
        trials=4,
        fixed={"model.name": "lenet5", "epochs": 1, "optim.name": "adam"},
    )
    monkeypatch.setattr(catalog, "get", lambda name: spec)
    monkeypatch.setattr(catalog, "names", lambda: ("plain",))
    plan = resolve("plain", sets={"device": "cpu", "engine.workers": 1})
    said = []
    assert with_data(plan, Inline(), say=said.append).data_fingerprint
    assert "61,706 parameters" in said[0] and "default" not in said[0]
