"""Schedules against torch's own, step by step."""

import warnings
from typing import get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from mnist_core.config import ScheduleConfig, ScheduleName
from mnist_core.trainer.schedules import factor

PER_EPOCH = 7
SCHEDULES = get_args(ScheduleName)


def ours(config, total, per_epoch=PER_EPOCH):
    return [factor(config, s, total_steps=total, steps_per_epoch=per_epoch) for s in range(total)]


def theirs(build, total, every=1):
    """The learning rates of a torch scheduler, from ``optim.lr`` = 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = build(optimizer)
        rates = []
        for step in range(total):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if (step + 1) % every == 0:
                scheduler.step()
    return rates


def near(values):
    return pytest.approx(values, rel=1e-9, abs=1e-12)


def test_constant():
    assert ours(ScheduleConfig(), 21) == [1.0] * 21


@pytest.mark.parametrize("gamma", [0.7, 0.1, 1.0])
@pytest.mark.parametrize("step_epochs", [1, 2, 5])
def test_step_is_step_lr(step_epochs, gamma):
    config = ScheduleConfig(name="step", step_epochs=step_epochs, gamma=gamma)
    reference = theirs(
        lambda o: lr_scheduler.StepLR(o, step_epochs, gamma), 6 * PER_EPOCH, PER_EPOCH
    )
    assert ours(config, 6 * PER_EPOCH) == near(reference)


@pytest.mark.parametrize("final", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("total", [1, 2, 3, 50])
def test_cosine_is_cosine_annealing_lr(total, final):
    config = ScheduleConfig(name="cosine", final=final)
    reference = theirs(lambda o: lr_scheduler.CosineAnnealingLR(o, total, eta_min=final), total)
    assert ours(config, total) == near(reference)


@pytest.mark.parametrize("peak", [0.15, 0.3, 0.5, 0.85])
@pytest.mark.parametrize("total", [10, 35, 400])
def test_one_cycle_is_one_cycle_lr(total, peak):
    config = ScheduleConfig(name="one_cycle", peak=peak)
    reference = theirs(
        lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=1.0, total_steps=total, pct_start=peak, cycle_momentum=False
        ),
        total,
    )
    assert ours(config, total) == near(reference)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
def test_warmup_is_linear_lr(share):
    total = 40
    steps = round(share * total)
    reference = theirs(
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / steps, total_iters=steps - 1), total
    )
    assert ours(ScheduleConfig(warmup=share), total) == near(reference)


@pytest.mark.parametrize("name", SCHEDULES)
def test_warmup_multiplies_every_schedule(name):
    plain, warm = (
        ours(ScheduleConfig(name=name), 40),
        ours(ScheduleConfig(name=name, warmup=0.1), 40),
    )
    ramp = [0.25, 0.5, 0.75] + [1.0] * 37
    assert warm == near([p * r for p, r in zip(plain, ramp, strict=True)])


CONFIGS = st.builds(
    ScheduleConfig,
    name=st.sampled_from(SCHEDULES),
    warmup=st.floats(0, 1, exclude_max=True),
    step_epochs=st.integers(1, 10**9),
    gamma=st.floats(0, 1, exclude_min=True),
    final=st.floats(0, 1),
    peak=st.floats(0, 1, exclude_min=True, exclude_max=True),
)


@given(CONFIGS, st.one_of(st.integers(1, 3), st.integers(1, 10**9)), st.data())
def test_any_length_stays_between_0_and_1(config, total, data):
    per_epoch = data.draw(st.integers(1, total))
    last = min(3, total)
    steps = {*range(last), total - 1, data.draw(st.integers(0, total - 1))}
    for step in steps:
        value = factor(config, step, total_steps=total, steps_per_epoch=per_epoch)
        assert 0 <= value <= 1


@given(CONFIGS, st.integers(1, 200))
def test_some_step_has_a_learning_rate(config, total):
    """No schedule is so short that nothing at all would be learned."""
    assert max(ours(config, total, per_epoch=1)) > 0
