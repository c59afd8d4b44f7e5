"""Choosing a task, and what is refused before anything is trained."""

import dataclasses

import pytest
import torch

from mnist_core import tasks
from mnist_core.data import Split
from mnist_core.errors import ConfigError
from mnist_core.train import resolve, train


def resized(data, side):
    def change(split):
        return Split(torch.zeros(len(split), side, side, dtype=torch.uint8), split.labels)

    return dataclasses.replace(data, train=change(data.train), validation=change(data.validation))


@pytest.mark.parametrize("side", [5, 27, 32])
@pytest.mark.parametrize("model", ["net", "mlp512", "flex_cnn", "siamese"])
def test_images_of_another_size_are_refused(few, config, refusal, model, side):
    some = config(model__name=model)
    for call in (train, lambda c, d: tasks.take_one_batch(resolve(c), d)):
        message = refusal(ConfigError, call, some, resized(few, side))
        assert f"28x28, but those of '{few.name}' are {side}x{side}" in message


@pytest.mark.parametrize("model", ["net", "siamese", "pair_concat"])
def test_one_batch_fits_and_disturbs_nothing(few, config, model):
    some = resolve(config(model__name=model))
    before = torch.get_rng_state()
    tasks.take_one_batch(some, few)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_of_another_task_is_refused(config, refusal):
    for model, loss in (("net", "bce"), ("siamese", "focal")):
        some = config(model__name=model, loss__name=loss)
        assert f"loss.name: '{loss}'" in refusal(ConfigError, resolve, some)
