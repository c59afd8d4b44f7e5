"""Trainings that share their steps: each is the same as alone."""

import itertools

import pytest
import torch
from torch import nn

from mnist_core.config import OptimConfig
from mnist_core.models import names
from mnist_core.stacked import kinds, updates
from mnist_core.stacked.kinds import MODELS
from mnist_core.stacked.together import train_together
from mnist_core.stacked.updates import RULES
from mnist_core.train import StopTraining, TrainingFailed, resolve, train
from mnist_core.trainer import optimizers

NARROW = {"model.width": 4}
SMALL = {"siamese": NARROW, "siamese_flex": NARROW, "pair_concat": NARROW, "flex_cnn": NARROW}
"""Settings that make a model's training quick."""

WITH_DROPOUT = ("flex_cnn", "siamese", "siamese_flex", "pair_concat")
"""Models whose dropout is a setting, so that members may have different ones."""

UNLIKE = ("seed", "optim.lr", "optim.weight_decay", "model.dropout")


@pytest.fixture
def members(config):
    """Build ``k`` configurations of one architecture that differ in all that may differ."""

    def build(model, k, **changes):
        fixed = {"batch_size": 20, "epochs": 2, "pairs.per_epoch": 50, "pairs.evaluation": 100}
        base = config().override({"model.name": model, **fixed, **SMALL.get(model, {}), **changes})
        made = []
        for i in range(k):
            own = {"seed": 3 * i, "optim.lr": 0.01 * (i + 1), "optim.weight_decay": 0.001 * i}
            if model in WITH_DROPOUT:
                own["model.dropout"] = 0.1 + 0.05 * i
            made.append(base.override(own))
        return made

    return build


def numbers(result):
    """All that a training gives, but for the clock."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in result.history]
    return [value for row in rows for _, value in sorted(row.items())]


def assert_same(together, alone, tolerance):
    assert (together.images, together.stopped) == (alone.images, alone.stopped)
    assert numbers(together) == pytest.approx(numbers(alone), rel=tolerance, abs=tolerance)
    weights = together.model.state_dict()
    for name, value in alone.model.state_dict().items():
        assert weights[name].is_contiguous(memory_format=_format(value)), name
        torch.testing.assert_close(
            weights[name], value, rtol=tolerance, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
        )


def _format(value):
    return torch.channels_last if value.ndim == 4 else torch.contiguous_format


@pytest.mark.parametrize("k", (1, 3, 8))
@pytest.mark.parametrize("model", ("net", "cnn", "flex_cnn", "siamese"))
def test_each_member_is_what_it_is_alone(very_few, members, model, k):
    """Ten steps in fp32: rates, decays, dropout and seeds are each member's own."""
    configs = members(model, k, **{"optim.name": "momentum"})
    for config, together in zip(configs, train_together(configs, very_few), strict=True):
        # Rounding grows from step to step, by batch norms and dropout faster.
        assert_same(together, train(config, very_few), 2e-3)


@pytest.mark.parametrize("model", MODELS)
def test_every_model_to_the_last_digits(very_few, members, model):
    """In fp64 nothing but the order of additions differs, whatever rounding does in fp32."""
    configs = members(model, 2, precision="fp64", epochs=1, **{"optim.name": "momentum"})
    for config, together in zip(configs, train_together(configs, very_few), strict=True):
        assert_same(together, train(config, very_few), 1e-9)


def test_models_of_the_package_that_cannot_be_stacked_are_known():
    assert set(names()) - set(MODELS) == {"resnet18"}


SPECIAL = {
    "augmented": {"augment.shift": 0.1, "augment.erase_p": 0.5},
    "accumulated": {"accumulate": 2},
    "clipped": {"grad_clip": 0.5},
    "smoothed": {"label_smoothing": 0.1},
    "focal": {"loss.name": "focal"},
    "balanced loss": {"data.balance": "loss"},
    "balanced batches": {"data.balance": "batches"},
    "ema": {"average.name": "ema", "average.decay": 0.9},
    "swa": {"average.name": "swa", "average.start": 0.2},
    "early stopping": {"early_stopping": 1, "epochs": 4},
    "reports": {"reports_per_epoch": 2, "schedule.name": "plateau", "schedule.patience": 0},
    "no dropout": {"model.dropout": 0.0},
    **{name: {"optim.name": name} for name in RULES},
    "group norm": {"model.norm": "group", "model.pooling": "average", "model.global_pool": True},
}


@pytest.mark.parametrize("case", SPECIAL)
def test_settings_of_all_kinds(very_few, members, case):
    configs = members("flex_cnn", 2, precision="fp64", **{"model.depth": 2})
    configs = [one.override({"schedule.name": "one_cycle"} | SPECIAL[case]) for one in configs]
    assert not any(kinds.why_alone(resolve(one)) for one in configs)
    for config, together in zip(configs, train_together(configs, very_few), strict=True):
        assert_same(together, train(config, very_few), 1e-8)


def test_members_may_differ_in_length_schedule_and_changes_of_images(very_few, members):
    own = (
        {"epochs": 1, "schedule.name": "one_cycle", "grad_clip": 1.0},
        {"epochs": 3, "augment.shift": 0.1, "average.name": "ema"},
        {"epochs": 2, "reports_per_epoch": 2, "schedule.warmup": 0.5},
    )
    configs = [
        one.override(extra)
        for one, extra in zip(members("net", 3, precision="fp64"), own, strict=True)
    ]
    assert len({kinds.kind(resolve(one), very_few) for one in configs}) == 1
    for config, together in zip(configs, train_together(configs, very_few), strict=True):
        assert_same(together, train(config, very_few), 1e-9)


@pytest.mark.parametrize("name", RULES)
def test_updates_are_torchs(name):
    """Six steps of every rule on two rows, with settings that differ, in fp64."""
    generator = torch.Generator().manual_seed(0)
    defaults = {"lr": 0.03, "weight_decay": 0.1}
    configs = [OptimConfig(name=name, **defaults), OptimConfig(name=name, lr=0.01)]
    weights = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    lone = [nn.Parameter(row.clone()) for row in weights]
    made = [optimizers.build(c, [p]) for c, p in zip(configs, lone, strict=True)]
    rule = RULES[name]
    states = {of: torch.zeros_like(weights) for of in rule.states}
    products = {of: torch.ones(2, dtype=torch.float64).numpy() for of in rule.products}
    for step in range(1, 7):
        gradients = torch.randn(2, 7, generator=generator, dtype=torch.float64)
        settings = [updates.settings_of(one) for one in made]
        values = {of: torch.tensor([s[of] for s in settings]).double() for of in settings[0]}
        own = {of: value.numpy() for of, value in values.items()}
        own |= products | {"lr": torch.tensor([0.03, 0.01], dtype=torch.float64).numpy()}
        own |= rule.derive(own, torch.full((2,), float(step), dtype=torch.float64).numpy())
        rule.update(weights, gradients, states, updates.to_columns(own, weights))
        for optimizer, parameter, gradient in zip(made, lone, gradients, strict=True):
            parameter.grad = gradient.clone()
            optimizers.step(optimizer)
    for row, parameter in zip(weights, lone, strict=True):
        # torch keeps nadam's product of momenta in fp32
        torch.testing.assert_close(row, parameter.detach(), rtol=1e-6, atol=1e-8)


def stop_at(step_to_stop, seen):
    def report(step, metrics):
        torch.rand(3)  # whatever a report draws
        seen.append((step, metrics["val_loss"]))
        if step == step_to_stop:
            raise StopTraining

    return report


def test_members_leave_at_prunings_and_the_others_go_on(very_few, members):
    configs = members("cnn", 3, precision="fp64", epochs=3)
    alone_seen, together_seen = [[], [], []], [[], [], []]
    reports = [stop_at(k, seen) for k, seen in zip((2, 1, 9), together_seen, strict=True)]
    together = train_together(configs, very_few, reports)
    for k, (config, seen) in enumerate(zip(configs, alone_seen, strict=True)):
        alone = train(config, very_few, stop_at((2, 1, 9)[k], seen))
        assert_same(together[k], alone, 1e-9)
        assert [step for step, _ in together_seen[k]] == [step for step, _ in seen]
        for (_, one), (_, other) in itertools.pairwise([*together_seen[k][:1], *seen[:1]]):
            assert one == pytest.approx(other, rel=1e-9)
    assert [one.stopped for one in together] == [True, True, False]


def test_a_member_that_fails_takes_none_with_it(very_few, members):
    configs = members("net", 3, precision="fp64")
    configs[1] = configs[1].override({"optim.name": "adam", "optim.lr": 99.0, "optim.eps": 1e-30})
    configs = [one.override({"optim.name": "sgd"}) for one in configs]
    configs[1] = configs[1].override({"optim.eps": None, "optim.lr": 100.0})
    together = train_together(configs, very_few)
    assert isinstance(together[1], TrainingFailed) and together[1].kind == "NonFiniteLoss"
    for k in (0, 2):
        assert_same(together[k], train(configs[k], very_few), 1e-9)


def test_what_cannot_be_stacked_is_trained_by_turns(very_few, config):
    configs = [
        config(model__name="net", batch_size=50),
        config(model__name="mlp512", optim__name="muon", batch_size=50),
        config(model__name="net", batch_size=25),
    ]
    for one, together in zip(configs, train_together(configs, very_few), strict=True):
        assert_same(together, train(one, very_few), 1e-4)


def test_the_process_is_as_before(very_few, members):
    before = torch.get_rng_state()
    train_together(members("cnn", 2, epochs=1), very_few)
    assert torch.equal(torch.get_rng_state(), before)


class Killed(BaseException):
    """Stands for Ctrl-C."""


def test_an_exception_of_a_report_ends_all(very_few, members):
    def interrupt(step, metrics):
        raise Killed

    with pytest.raises(Killed):
        train_together(members("net", 2, epochs=1), very_few, [None, interrupt])
