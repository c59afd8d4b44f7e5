"""Choosing a task, and what is refused before anything is trained."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch

from mnist_core import losses, tasks
from mnist_core.data import Split
from mnist_core.errors import ConfigError
from mnist_core.finders import lr_finder
from mnist_core.models import mlp512
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


def test_a_model_that_cannot_take_a_batch_is_one_line(few, config, refusal, monkeypatch):
    """An own model's forward may raise anything, with any text."""

    class Wrong(torch.nn.Module):
        def forward(self, images):
            raise KeyError("no such\nlayer")

    monkeypatch.setattr(mlp512, "build", lambda config, n_classes: Wrong())
    some = resolve(config(model__name="mlp512"))
    said = refusal(ConfigError, tasks.take_one_batch, some, few)
    assert "'mlp512' cannot take a batch: KeyError" in said


@pytest.mark.parametrize("model", ["mlp512", "siamese"])
def test_a_loss_that_raises_is_not_blamed_on_the_model(few, config, refusal, monkeypatch, model):
    def raising(*given):
        raise KeyError("no such loss")

    some = resolve(config(model__name=model))
    wrong = SimpleNamespace(compute=raising, embeds=False)
    monkeypatch.setattr(losses, "of", lambda config, task: wrong)
    said = refusal(ConfigError, tasks.take_one_batch, some, few)
    assert said.startswith(f"loss.name: the loss cannot take the answer of '{model}': KeyError")


def test_a_forward_that_raises_is_not_taken_for_a_batch_norm(few, config, monkeypatch):
    def raising(out):
        raise ValueError("broken")

    monkeypatch.setattr(mlp512, "build", lambda config, n_classes: Own(raising))
    some = resolve(config(model__name="mlp512", batch_size=13))
    tasks.check_batches(some, few)


class Own(torch.nn.Module):
    """A user's model, with something wrong."""

    def __init__(self, answer, trained=True):
        super().__init__()
        self.layer = torch.nn.Linear(784, 10).requires_grad_(trained)
        self.answer = answer

    def forward(self, images):
        return self.answer(self.layer(images.flatten(1)))


WRONG = {
    "returned [8, 3]": lambda: Own(lambda out: out[:, :3]),
    "returned [8, 10, 1]": lambda: Own(lambda out: out[..., None]),
    "returned a tuple": lambda: Own(lambda out: (out, 1)),
    "returned a NoneType": lambda: Own(lambda out: None),
    "does not depend on its parameters": lambda: Own(lambda out: out.detach()),
    "has no parameter to train": lambda: Own(lambda out: out, trained=False),
}


@pytest.mark.parametrize("said", WRONG)
def test_a_model_with_a_wrong_answer_is_one_line(few, config, refusal, monkeypatch, said):
    monkeypatch.setattr(mlp512, "build", lambda config, n_classes: WRONG[said]())
    some = resolve(config(model__name="mlp512"))
    line = refusal(ConfigError, tasks.take_one_batch, some, few)
    assert line.startswith("model.name: ") and "'mlp512'" in line and said in line


def test_a_training_blames_the_model_that_cannot_be_trained(few, config, refusal, monkeypatch):
    monkeypatch.setattr(mlp512, "build", lambda config, n_classes: WRONG["returned [8, 3]"]())
    some = resolve(config(model__name="mlp512"))

    def training():
        with tasks.blamed_on_the_model(some, few):
            train(some, few)

    assert "returned [8, 3]" in refusal(ConfigError, training)
    assert "returned [8, 3]" in refusal(ConfigError, lr_finder.find, some, few)


def test_another_mistake_is_not_blamed_on_the_model(few, config):
    with pytest.raises(ZeroDivisionError), tasks.blamed_on_the_model(resolve(config()), few):
        raise ZeroDivisionError


def test_a_loss_of_another_task_is_refused(config, refusal):
    for model, loss in (("net", "bce"), ("siamese", "focal")):
        some = config(model__name=model, loss__name=loss)
        assert f"loss.name: '{loss}'" in refusal(ConfigError, resolve, some)


ONE_ALONE = {
    1: "but got 1",
    13: "but 300 images in batches of 13 leave one image for the last",
    299: "but 300 images in batches of 299 leave one image for the last",
}
"""Batch sizes of which 300 images leave one over."""


@pytest.mark.parametrize("size", ONE_ALONE)
def test_one_image_alone_is_refused_where_a_norm_would_see_one_value(few, config, refusal, size):
    """300 = 23 * 13 + 1; before any step, by whatever trains."""
    some = config(model__name="resnet18", model__stem=7, batch_size=size)
    state = torch.get_rng_state()
    for call in (
        train,
        lambda c, d: tasks.take_one_batch(resolve(c), d),
        lambda c, d: lr_finder.find(resolve(c), d, steps=20),
    ):
        message = refusal(ConfigError, call, some, few)
        assert message.startswith("batch_size: the batch norms of model 'resnet18' cannot learn")
        assert ONE_ALONE[size] in message
    assert torch.equal(torch.get_rng_state(), state)


def test_two_images_over_are_enough(very_few, config):
    """100 = 2 * 49 + 2."""
    some = config(model__name="resnet18", model__stem=7, batch_size=49)
    assert train(some, very_few).images == 100


@pytest.mark.parametrize("size", [1, 33])
@pytest.mark.parametrize(
    "changes",
    [
        {"model__name": "net"},
        {"model__name": "flex_cnn", "model__width": 8, "model__pools": 4},
        {"model__name": "siamese", "model__width": 8},
        {"model__name": "siamese", "model__width": 8, "loss__name": "contrastive"},
        {"model__name": "pair_concat", "model__width": 8},
    ],
)
def test_one_alone_is_no_matter_elsewhere(very_few, config, changes, size):
    """Their norms see an image of several pixels: 100 images leave 1 of 33, 34 pairs as well."""
    some = config(batch_size=size, pairs__per_epoch=34, **changes)
    tasks.take_one_batch(resolve(some), very_few)
    if size > 1:
        assert train(some, very_few).images in (34, 100)
