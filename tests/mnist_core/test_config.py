"""Configuration: every mistake is one line; what is written down is what is read back."""

import math
import tomllib
from typing import get_args

import pytest
import tomli_w
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mnist_core.config import (
    AugmentConfig,
    DataConfig,
    ModelConfig,
    OptimConfig,
    ScheduleConfig,
    ScheduleName,
    TrainConfig,
)
from mnist_core.errors import ConfigError, unknown_name
from mnist_core.optim import OPTIMIZERS
from mnist_core.table import parse_assignment, unknown_setting


def below(limit, **keywords):
    return st.floats(0, limit, allow_subnormal=False, **keywords)


def maybe(strategy):
    return st.none() | strategy


SHARE = below(1, exclude_max=True)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
CONFIGS = st.builds(
    TrainConfig,
    data=st.builds(DataConfig, name=TEXT, root=TEXT, split_seed=st.integers(0, 2**62)),
    model=st.builds(ModelConfig, name=TEXT),
    optim=st.builds(
        OptimConfig,
        name=st.sampled_from(list(OPTIMIZERS)),
        lr=maybe(below(100, exclude_min=True)),
        weight_decay=maybe(below(10)),
        eps=maybe(below(1, exclude_min=True)),
        **{key: maybe(SHARE) for key in ("momentum", "beta1", "beta2", "alpha", "rho")},
    ),
    schedule=st.builds(
        ScheduleConfig,
        name=st.sampled_from(get_args(ScheduleName)),
        warmup=SHARE,
        step_epochs=st.integers(1, 10**9),
        gamma=below(1, exclude_min=True),
        final=below(1),
        peak=below(1, exclude_min=True, exclude_max=True),
    ),
    augment=st.builds(
        AugmentConfig, shift=below(0.5), rotate=below(180), scale=SHARE, shear=below(45)
    ),
    epochs=st.integers(1, 100_000),
    batch_size=st.integers(1, 65_536),
    seed=st.integers(0, 2**63 - 1),
    grad_clip=st.floats(0, allow_infinity=False),
    label_smoothing=SHARE,
    reports_per_epoch=st.integers(1, 1000),
    device=st.sampled_from(["auto", "cpu", "cuda", "cuda:0", "cuda:7", "cuda:12"]),
    precision=st.sampled_from(["auto", "fp32", "bf16"]),
    deterministic=st.booleans(),
    threads=st.integers(0, 1024),
)


def dotted(values, prefix=""):
    flat = {}
    for key, value in values.items():
        nested = isinstance(value, dict)
        flat |= dotted(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return flat


@given(CONFIGS)
def test_round_trips(config):
    nested = config.to_dict()
    assert TrainConfig.from_mapping(nested, source="test") == config
    assert TrainConfig.from_mapping(tomllib.loads(tomli_w.dumps(nested)), source="test") == config
    assert TrainConfig().override(dotted(nested)) == config
    assert config.override({}) == config


@given(CONFIGS, CONFIGS)
def test_override_changes_what_it_names_and_nothing_else(first, second):
    changes = {key: value for key, value in dotted(second.to_dict()).items() if "optim" in key}
    changed = first.override(changes)
    before, after = dotted(first.model_dump()), dotted(changed.model_dump())
    assert {key: after[key] for key in changes} == changes
    assert all(after[key] == before[key] for key in before.keys() - changes.keys())


def test_none_is_left_out_and_can_be_set():
    config = TrainConfig().override({"optim.lr": 0.5})
    assert config.to_dict()["optim"] == {"name": "adam", "lr": 0.5}
    assert config.override({"optim.lr": None}) == TrainConfig()


def test_setting_names_are_all_there_are():
    assert list(TrainConfig.setting_names()) == list(dotted(TrainConfig().model_dump()))


def test_a_config_is_frozen_and_hashable():
    config = TrainConfig()
    with pytest.raises(ValidationError):
        config.epochs = 3
    with pytest.raises(ValidationError):
        config.optim.lr = 3.0
    assert len({config, TrainConfig(), TrainConfig(epochs=6)}) == 2


WRONG = [
    ("epohcs", 3, "unknown setting 'epohcs'; did you mean 'epochs'? (valid: "),
    ("lr", 0.1, "unknown setting 'lr'; did you mean 'optim.lr'? (valid: "),
    ("trainer.max_epochs", 2, "unknown setting 'trainer.max_epochs'; did you mean 'epochs'? ("),
    ("pairs.epoch", 2, "unknown setting 'pairs.epoch'; did you mean 'pairs.per_epoch'? ("),
    ("optim.lrr", 0.1, "unknown setting 'optim.lrr'; did you mean 'optim.lr'? (valid: optim."),
    ("optm.lr", 0.1, "unknown setting 'optm.lr'; did you mean 'optim.lr'? (valid: "),
    ("zzz", 1, "unknown setting 'zzz' (valid: "),
    ("optim.", 1, "unknown setting 'optim.'"),
    (".", 1, "unknown setting '.'"),
    ("optim.lr.more", 1, "unknown setting 'optim.lr.more'"),
    ("epochs.more", 1, "unknown setting 'epochs.more'"),
    ("optim", 1, "optim is a table, set one of its keys (optim.name, optim.lr, "),
    ("optim", {"lr": 0.1, "colour": 1}, "unknown setting 'optim.colour'"),
    ("data", "mnist", "data is a table, set one of its keys (data.name, data.root, "),
    ("epochs", "three", "epochs: input should be a valid integer, but got 'three'"),
    ("epochs", 2.0, "epochs: input should be a valid integer, but got 2.0"),
    ("epochs", True, "epochs: input should be a valid integer, but got True"),
    ("epochs", [1], "epochs: input should be a valid integer, but got [1]"),
    ("epochs", None, "epochs: input should be a valid integer, but got None"),
    ("epochs", 0, "epochs: input should be greater than or equal to 1, but got 0"),
    ("epochs", 10**30, "epochs: input should be less than or equal to 100000"),
    ("seed", -1, "seed: input should be greater than or equal to 0, but got -1"),
    ("seed", 2**63, "seed: input should be less than 9223372036854775808"),
    ("batch_size", 65_537, "batch_size: input should be less than or equal to 65536"),
    ("deterministic", 1, "deterministic: input should be a valid boolean, but got 1"),
    ("deterministic", "yes", "deterministic: input should be a valid boolean, but got 'yes'"),
    (
        "precision",
        "fp8",
        "precision: input should be 'auto', 'fp32', 'tf32', 'bf16', 'fp16' or 'fp64', "
        "but got 'fp8'",
    ),
    ("device", "gpu", "device must be auto, cpu, cuda or cuda:N, but got 'gpu'"),
    ("model.name", 7, "model.name: input should be a valid string, but got 7"),
    ("optim.lr", "0.1", "optim.lr: input should be a valid number, but got '0.1'"),
    ("optim.lr", 0, "optim.lr: input should be greater than 0, but got 0"),
    ("optim.lr", 100.5, "optim.lr: input should be less than or equal to 100, but got 100.5"),
    ("optim.lr", math.nan, "optim.lr: input should be a finite number, but got nan"),
    ("optim.lr", math.inf, "optim.lr: input should be a finite number, but got inf"),
    ("optim.lr", {"a": 1}, "optim.lr: input should be a valid number, but got {'a': 1}"),
    ("optim.momentum", 1.0, "optim.momentum: input should be less than 1, but got 1.0"),
    ("grad_clip", math.nan, "grad_clip: input should be a finite number, but got nan"),
    ("grad_clip", -0.5, "grad_clip: input should be greater than or equal to 0, but got -0.5"),
    ("schedule.warmup", 1.0, "schedule.warmup: input should be less than 1, but got 1.0"),
    ("schedule.peak", 0.0, "schedule.peak: input should be greater than 0, but got 0.0"),
    ("augment.shift", 0.6, "augment.shift: input should be less than or equal to 0.5"),
    ("threads", -1, "threads: input should be greater than or equal to 0, but got -1"),
]


@pytest.mark.parametrize(("key", "value", "said"), WRONG, ids=[f"{k}={v!r}" for k, v, _ in WRONG])
def test_every_mistake_is_one_line(key, value, said, refusal):
    message = refusal(ConfigError, TrainConfig().override, {key: value}, source="best.toml")
    assert message.startswith(f"best.toml: {said}")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"epohcs": 3}, "unknown setting 'epohcs'; did you mean 'epochs'?"),
        ({"optim": {"lrr": 3}}, "unknown setting 'optim.lrr'; did you mean 'optim.lr'?"),
        ({"optim": 3}, "optim: input should be a valid dictionary"),
        ({"optim": [{"lr": 1}]}, "optim: input should be a valid dictionary"),
        ({"optim": {"lr": {"x": 1}}}, "optim.lr: input should be a valid number"),
        ({"epochs": {"x": 1}}, "epochs: input should be a valid integer"),
    ],
)
def test_mistakes_in_a_file(values, said, refusal):
    message = refusal(ConfigError, TrainConfig.from_mapping, values, source="conf.toml")
    assert message.startswith(f"conf.toml: {said}")


def test_one_mistake_is_not_listed_as_valid_for_another(refusal):
    message = refusal(ConfigError, TrainConfig().override, {"epohcs": 3, "otpim.lr": 1})
    assert message == (
        "--set: unknown setting 'otpim.lr'; did you mean 'optim.lr'? (valid: accumulate, augment, "
        "average, batch_size, changes, compile, cuda_graph, data, deterministic, device, "
        "early_stopping, epochs, grad_clip, label_smoothing, loss, model, optim, pairs, precision, "
        "reports_per_epoch, schedule, seed, threads)"
    )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["adam", "cosine", "cuda:1", "bf16"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["lr", "name", "x", ""]), inner, max_size=2)
    ),
    max_leaves=3,
)
KEYS = st.sampled_from([*TrainConfig.setting_names(), "optim", "data"]) | st.from_regex(
    r"[a-z\n.]{0,8}", fullmatch=True
)


@given(st.dictionaries(KEYS, VALUES, max_size=3))
@example({"\n": 1})
@example({"optim.lr\n": "\n"})
@example({"optim": {}, "optim.lr": 1})
@example({"x": {}, "x.y": 1})
@example({"x": {}, "x.y.z": 1})
@example({"\n": 1, "x.y": 1})
def test_anything_is_a_config_or_one_line(values):
    try:
        config = TrainConfig().override(values)
    except ConfigError as error:
        assert str(error).startswith("--set: ")
        assert len(str(error).splitlines()) == 1
    else:
        assert TrainConfig.from_mapping(config.to_dict(), source="test") == config


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:10"])
def test_devices(device):
    assert TrainConfig(device=device).device == device


@pytest.mark.parametrize(
    "device",
    [
        *("", "gpu", "CPU", "cpu:0", "auto:1", "cuda:", "cuda:01", "cuda:-1", "cuda:x"),
        *("cuda:\u0663", "cuda:0\n", " cpu", "cuda:" + "9" * 5_000),
    ],
    ids=lambda device: repr(device)[:12],
)
def test_what_is_no_device(device, refusal):
    message = refusal(ConfigError, TrainConfig().override, {"device": device})
    assert "device must be auto, cpu, cuda or cuda:N" in message


def test_augmentation_is_active_when_any_strength_is():
    assert not AugmentConfig().active
    for name in ("shift", "rotate", "scale", "shear", "elastic", "blur_p", "erase_p"):
        assert AugmentConfig(**{name: 0.01}).active


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("optim.lr=0.01", "optim.lr", 0.01),
        ("epochs=3", "epochs", 3),
        (" epochs = 3 ", "epochs", 3),
        ("deterministic=true", "deterministic", True),
        ("deterministic=True", "deterministic", "True"),
        ("model.name=net", "model.name", "net"),
        ('model.name="net"', "model.name", "net"),
        ("data.root=/a=b", "data.root", "/a=b"),
        ("data.root=C:\\mnist", "data.root", "C:\\mnist"),
        ("data.root=", "data.root", ""),
        ("optim.lr=nan", "optim.lr", pytest.approx(math.nan, nan_ok=True)),
        ("optim.lr=1e-3", "optim.lr", 0.001),
        ("optim={lr=0.1}", "optim", {"lr": 0.1}),
        ("epochs=3\nseed = 4", "epochs", "3\nseed = 4"),
    ],
)
def test_assignments(text, key, value):
    assert parse_assignment(text) == (key, value)


@pytest.mark.parametrize("text", ["epochs", "", "=3", " = 3", "="])
def test_what_is_no_assignment(text, refusal):
    message = refusal(ConfigError, parse_assignment, text)
    assert message == f"--set {text!r}: write KEY=VALUE, for example --set optim.lr=0.01"


@given(st.text())
@example("epochs=" + "1" * 5_000)
@example("epochs=" + "[" * 5_000)
@example("a\nb")
def test_any_text_is_an_assignment_or_one_line(text):
    try:
        key, _ = parse_assignment(text)
    except ConfigError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert key == text.partition("=")[0].strip()


def test_numbers_are_read_exactly():
    for number in (0.1, 1 / 3, 5e-324, 1.7976931348623157e308):
        assert parse_assignment(f"optim.lr={number!r}") == ("optim.lr", number)


def test_unknown_names():
    assert unknown_name("model", "nett", ["net", "cnn"]) == (
        "unknown model 'nett'; did you mean 'net'? (valid: cnn, net)"
    )
    assert unknown_name("model", "zzz", ["net"]) == "unknown model 'zzz' (valid: net)"
    assert unknown_setting("lr", ["a", "b"], ["a", "b", "optim.lr"]) == (
        "unknown setting 'lr'; did you mean 'optim.lr'? (valid: a, b)"
    )
