"""Trainings that share their steps: each is the same as alone."""

import numpy as np
import pytest
import torch
from torch import nn

from mnist_core.config import OptimConfig
from mnist_core.models import names
from mnist_core.stacked import gain, kinds, updates
from mnist_core.stacked.kinds import MODELS
from mnist_core.stacked.together import Together, train_together
from mnist_core.stacked.updates import RULES
from mnist_core.train import StopTraining, TrainingFailed, resolve, train
from mnist_core.trainer import optimizers

NARROW = {"model.width": 4}
SMALL = {"siamese": NARROW, "siamese_flex": NARROW, "pair_concat": NARROW, "flex_cnn": NARROW}
"""Settings that make a model's training quick."""

WITH_DROPOUT = ("flex_cnn", "siamese", "siamese_flex", "pair_concat")
"""Models whose dropout is a setting, so that members may have different ones."""


@pytest.fixture
def members(config):
    """Build ``k`` configurations of one architecture that differ in all that may differ."""

    def build(model, k, *, lr=0.01, **changes):
        fixed = {"batch_size": 10, "epochs": 2, "pairs.per_epoch": 25, "pairs.evaluation": 40}
        base = config().override({"model.name": model, **fixed, **SMALL.get(model, {}), **changes})
        made = []
        for i in range(k):
            own = {"seed": 3 * i, "optim.lr": lr * (1 + i / 8), "optim.weight_decay": 0.001 * i}
            if model in WITH_DROPOUT:
                own["model.dropout"] = 0.1 + 0.05 * i
            made.append(base.override(own))
        return made

    return build


def numbers(result, names):
    """What a training reports of ``names``, or of all but the clock."""
    rows = [{k: v for k, v in row.items() if k in (names or row)} for row in result.history]
    return [v for row in rows for k, v in sorted(row.items()) if k != "seconds"]


def assert_same(together, alone, tolerance, names=()):
    assert (together.images, together.stopped) == (alone.images, alone.stopped)
    found, wanted = numbers(together, names), numbers(alone, names)
    assert found == pytest.approx(wanted, rel=tolerance, abs=tolerance)
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
def test_each_member_is_what_it_is_alone(tiny, members, model, k):
    """Ten steps in fp32: rates, decays, dropout and seeds are each member's own."""
    # Large steps through batch norms of 10 images multiply rounding; fp64, below, shows no more.
    configs = members(model, k, lr=0.001, **{"optim.name": "momentum"})
    for config, together in zip(configs, train_together(configs, tiny), strict=True):
        # Of 20 images one more may be right: no accuracies.
        assert_same(together, train(config, tiny), 2e-3, ("val_loss", "train_loss"))


def most_are_long(names, quick):
    """``names`` as parameters, of which only ``quick`` are part of ``make test``."""
    return [pytest.param(n, marks=() if n in quick else pytest.mark.long) for n in names]


@pytest.mark.parametrize("model", most_are_long(MODELS, ("cnn", "flex_cnn", "siamese")))
def test_every_model_to_the_last_digits(tiny, members, model):
    """In fp64 nothing but the order of additions differs, whatever rounding does in fp32."""
    configs = members(model, 2, precision="fp64", epochs=1, **{"optim.name": "momentum"})
    for config, together in zip(configs, train_together(configs, tiny), strict=True):
        assert_same(together, train(config, tiny), 1e-9)


@pytest.mark.parametrize("model", ("net", "cnn", "flex_cnn", "siamese"))
def test_in_bf16_the_same_is_rounded(tiny, members, model):
    configs = members(model, 2, lr=0.001, precision="bf16", epochs=1, **{"optim.name": "sgd"})
    for config, together in zip(configs, train_together(configs, tiny), strict=True):
        assert_same(together, train(config, tiny), 1e-2, ("val_loss", "train_loss"))


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


QUICK = ("augmented", "accumulated", "clipped", "ema", "early stopping", "reports", "adam", "nadam")


@pytest.mark.parametrize("case", most_are_long(SPECIAL, QUICK))
def test_settings_of_all_kinds(tiny, members, case):
    configs = members("flex_cnn", 2, precision="fp64", **{"model.depth": 2})
    configs = [one.override({"schedule.name": "one_cycle"} | SPECIAL[case]) for one in configs]
    assert not any(kinds.why_alone(resolve(one)) for one in configs)
    for config, together in zip(configs, train_together(configs, tiny), strict=True):
        assert_same(together, train(config, tiny), 1e-8)


def test_members_may_differ_in_length_schedule_and_changes_of_images(tiny, members):
    own = (
        {"epochs": 1, "schedule.name": "one_cycle", "grad_clip": 1.0},
        {"epochs": 3, "augment.shift": 0.1, "average.name": "ema"},
        {"epochs": 2, "reports_per_epoch": 2, "schedule.warmup": 0.5},
    )
    configs = [
        one.override(extra)
        for one, extra in zip(members("net", 3, precision="fp64"), own, strict=True)
    ]
    assert len({kinds.kind(resolve(one), tiny) for one in configs}) == 1
    for config, together in zip(configs, train_together(configs, tiny), strict=True):
        assert_same(together, train(config, tiny), 1e-9)


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
    products = {of: np.ones(2) for of in rule.products}
    for step in range(1, 7):
        gradients = torch.randn(2, 7, generator=generator, dtype=torch.float64)
        settings = [updates.settings_of(one) for one in made]
        own = {of: np.array([one[of] for one in settings]) for of in settings[0]}
        own |= products | {"lr": np.array([0.03, 0.01])}
        own |= rule.derive(own, np.full(2, float(step)))
        rule.update(weights, gradients, states, updates.to_columns(own, weights))
        for optimizer, parameter, gradient in zip(made, lone, gradients, strict=True):
            parameter.grad = gradient.clone()
            optimizers.step(optimizer)
    for row, parameter in zip(weights, lone, strict=True):
        torch.testing.assert_close(row, parameter.detach(), rtol=1e-12, atol=1e-12)


def stop_at(step_to_stop, seen):
    def report(step, metrics):
        torch.rand(3)  # whatever a report draws
        seen.append((step, metrics["val_loss"]))
        if step == step_to_stop:
            raise StopTraining

    return report


def test_members_leave_at_prunings_and_the_others_go_on(tiny, members):
    configs = members("flex_cnn", 3, precision="fp64", epochs=3)
    alone_seen, together_seen = [[], [], []], [[], [], []]
    reports = [stop_at(k, seen) for k, seen in zip((2, 1, 9), together_seen, strict=True)]
    together = train_together(configs, tiny, reports)
    for k, (config, seen) in enumerate(zip(configs, alone_seen, strict=True)):
        alone = train(config, tiny, stop_at((2, 1, 9)[k], seen))
        assert_same(together[k], alone, 1e-9)
        assert [step for step, _ in together_seen[k]] == [step for step, _ in seen]
        losses = [loss for _, loss in seen]
        assert [loss for _, loss in together_seen[k]] == pytest.approx(losses, rel=1e-9)
    assert [one.stopped for one in together] == [True, True, False]


def test_a_member_that_fails_takes_none_with_it(tiny, members):
    configs = members("net", 3, precision="fp64", **{"optim.name": "sgd"})
    configs[1] = configs[1].override({"optim.lr": 100.0, "optim.weight_decay": 10.0, "epochs": 9})
    together = train_together(configs, tiny)
    assert isinstance(together[1], TrainingFailed) and together[1].kind == "NonFiniteLoss"
    for k in (0, 2):
        assert_same(together[k], train(configs[k], tiny), 1e-9)


def test_what_cannot_be_stacked_is_trained_by_turns(tiny, config):
    configs = [
        config(model__name="net", batch_size=20),
        config(model__name="mlp512", optim__name="muon", batch_size=20),
        config(model__name="net", batch_size=15),
    ]
    for one, together in zip(configs, train_together(configs, tiny), strict=True):
        assert_same(together, train(one, tiny), 1e-4)


def test_the_process_is_as_before(tiny, members):
    before = torch.get_rng_state()
    train_together(members("flex_cnn", 2, epochs=1), tiny)
    assert torch.equal(torch.get_rng_state(), before)


class Killed(BaseException):
    """Stands for Ctrl-C."""


def test_an_exception_of_a_report_ends_all(tiny, members):
    def interrupt(step, metrics):
        raise Killed

    with pytest.raises(Killed):
        train_together(members("net", 2, epochs=1), tiny, [None, interrupt])


def test_a_measurement_times_the_same_steps_of_both_sides(tiny, config):
    resolved = resolve(config(model__name="net", batch_size=20, precision="fp64"))
    before = torch.get_rng_state()
    found = gain.measure(resolved, tiny, 2, steps=1, rounds=2)
    assert len(found.alone) == len(found.together) == 2
    assert min(found.alone + found.together) > 0
    assert found.loss_together == pytest.approx(found.loss_alone, rel=1e-9)
    assert torch.equal(torch.get_rng_state(), before)


def test_states_on_disk_are_those_of_a_lone_training(tiny, members, tmp_path):
    """A member is killed at its second report; its state resumes alone, and others together."""
    configs = members("flex_cnn", 3, precision="fp64", epochs=3, **{"optim.name": "adam"})
    files = [tmp_path / f"{k}.safetensors" for k in range(3)]

    def killed(step, metrics):
        if step == 2:
            raise Killed

    def call(config, file):
        return lambda turn, steps: train(config, tiny, killed, state_file=file, steps=steps)

    together = Together()
    turns = [together.add(call(one, file)) for one, file in zip(configs, files, strict=True)]
    while together.turns:
        together.resume()
        together.step()
    for turn in turns:
        with pytest.raises(Killed):
            turn.result()
    wanted = [train(config, tiny) for config in configs]
    assert_same(train(configs[0], tiny, state_file=files[0]), wanted[0], 1e-8)

    def resumed(config, file):
        return lambda turn, steps: train(config, tiny, state_file=file, steps=steps)

    # One begins, the others are at their third epoch.
    files[0].unlink(missing_ok=True)
    together = Together()
    turns = [together.add(resumed(one, file)) for one, file in zip(configs, files, strict=True)]
    while together.turns:
        together.resume()
        together.step()
    for turn, lone in zip(turns, wanted, strict=True):
        assert_same(turn.result(), lone, 1e-8)
