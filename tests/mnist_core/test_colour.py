"""Images of any shape: every model builds for them, or says why not; a model in colour is kept."""

import dataclasses
import json

import pytest
import torch

from mnist_core import models, tasks
from mnist_core.batches import batches
from mnist_core.batches.batches import Batches, class_weights, normalise
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint, export
from mnist_core.config import AugmentConfig, ModelConfig, TrainConfig
from mnist_core.data import Data, Split
from mnist_core.errors import ConfigError
from mnist_core.images import MNIST, Images
from mnist_core.train import resolve, train

COLOUR = Images(20, 16, 3, ("a", "b", "c"), (0.4, 0.5, 0.6), (0.2, 0.3, 0.1))
SHAPES = [COLOUR, Images(8, 8), Images(128, 96, 3, (), (0.5,) * 3, (0.2,) * 3), Images(64, 64)]


def split(n, about=COLOUR, seed=0):
    generator = torch.Generator().manual_seed(seed)
    channels = (3,) if about.colour else ()
    shape = (n, about.rows, about.columns, *channels)
    images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    return Split(images, torch.arange(n) % 3, about)


def data(about=COLOUR, n=48):
    parts = {"train": split(n, about), "validation": split(12, about, 1)}
    return Data(
        "made", **parts, n_classes=3, sha256={}, split_sha256="", fingerprint="f", about=about
    )


def config(**changes):
    small = {"epochs": 1, "batch_size": 16, "device": "cpu", "precision": "fp32", "threads": 1}
    return TrainConfig().override({**small, **changes})


@pytest.mark.parametrize("images", SHAPES, ids=str)
@pytest.mark.parametrize("name", models.names())
def test_every_model_builds_for_what_comes(name, images):
    if name == "resnet18" and images.rows > 64:
        images = Images(64, 64, 3, (), (0.5,) * 3, (0.2,) * 3)
    some = ModelConfig(name=name)
    try:
        model = models.build(some, 3, images).eval()
    except ConfigError as error:
        assert images.side < 22 and str(error).startswith("model.")
        return
    out = model(torch.zeros(2, *models.input_shape(some, images)))
    assert out.shape == ((2,) if models.task(some) == "pairs" else (2, 3))


def test_an_old_model_of_ones_own_takes_mnist_only(monkeypatch):
    from mnist_core.models import mlp512

    monkeypatch.setattr(mlp512, "build", lambda config, n_classes: torch.nn.Flatten())
    models.build(ModelConfig(name="mlp512"), 3)
    with pytest.raises(ConfigError, match="third parameter, images"):
        models.build(ModelConfig(name="mlp512"), 3, COLOUR)


def test_the_normalised_values_are_torchvisions():
    from torchvision.transforms import functional

    raw = split(5).images
    expected = functional.normalize(raw.permute(0, 3, 1, 2) / 255, COLOUR.mean, COLOUR.std)
    found = normalise(raw, torch.float32, COLOUR)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("about", [COLOUR, MNIST], ids=str)
def test_batches_are_the_same_whether_normalised_at_once_or_each(about, monkeypatch):
    def drawn():
        made = Batches(
            split(20, about), 8, seed=1, augmentation=AugmentConfig(), dtype=torch.float32
        )
        return [images for images, _ in made.epoch()]

    ready = drawn()
    monkeypatch.setattr(batches, "READY_BYTES", 0)
    for one, other in zip(ready, drawn(), strict=True):
        assert torch.equal(one, other) and one.stride() == other.stride()


def test_all_channels_are_augmented_alike():
    raw = split(6).images[..., :1].expand(-1, -1, -1, 3).contiguous()
    grey = Images(20, 16, 3, (), (0.0,) * 3, (1.0,) * 3)
    changes = {"shift": 0.2, "rotate": 20, "elastic": 1.0, "blur_p": 0.5, "erase_p": 0.5}
    some = AugmentConfig.from_mapping(changes, source="test")
    given = Split(raw, torch.arange(6) % 3, grey)
    made = Batches(given, 6, seed=1, augmentation=some, dtype=torch.float32)
    images, _ = next(iter(made.epoch()))
    assert torch.allclose(images[:, 0], images[:, 1]) and torch.allclose(images[:, 0], images[:, 2])


@pytest.mark.parametrize("name", ["flex_cnn", "net", "siamese", "pair_concat"])
def test_a_model_in_colour_is_trained_kept_and_exported(name, tmp_path):
    changes = {"pairs.per_epoch": 32, "pairs.evaluation": 20} if name[0] in "sp" else {}
    some, made = resolve(config(**{"model.name": name}, **changes)), data()
    result = train(some, made)
    file = tmp_path / "model.safetensors"
    checkpoint.save(
        file, result.model, some, n_classes=3, metrics=result.metrics, about=result.about
    )
    kept = checkpoint.load(file)
    assert kept.about == COLOUR
    found = evaluate_checkpoint.judge(kept, made.validation)
    assert found.metrics["accuracy"] == result.metrics["val_accuracy"]
    # Other data are normalised as those of the training.
    other = Split(made.validation.images, made.validation.labels, SHAPES[2])
    assert evaluate_checkpoint.judge(kept, other).loss == found.loss
    out = tmp_path / "model.pt2"
    parity = export.export(kept, out, file_format="torch", data=made, test=made.validation)
    assert parity.holds
    about = {"about.json": ""}
    torch.export.load(out, extra_files=about)
    said = json.loads(about["about.json"])
    if name in ("flex_cnn", "net"):
        assert json.loads(said["classes"]) == ["a", "b", "c"] and "RGB" in said["input"]


def test_a_checkpoint_of_mnist_says_nothing_of_images(tmp_path):
    some = resolve(config())
    checkpoint.save(
        tmp_path / "m.safetensors", models.build(some.model, 3), some, n_classes=3, metrics={}
    )
    assert b'"images"' not in (tmp_path / "m.safetensors").read_bytes()[:4000]
    assert checkpoint.load(tmp_path / "m.safetensors").about == MNIST


def test_class_weights():
    labels = torch.tensor([0, 0, 0, 2])
    weights = class_weights(labels)
    assert weights.tolist() == pytest.approx([4 / 6, 0.0, 2.0])
    assert weights[labels].mean() == pytest.approx(1)


def test_balanced_batches_draw_classes_equally():
    labels = torch.cat([torch.zeros(90, dtype=torch.int64), torch.ones(10, dtype=torch.int64)])
    given = Split(torch.zeros(100, 4, 4, dtype=torch.uint8), labels, Images(4, 4))
    made = Batches(
        given, 10, seed=0, augmentation=AugmentConfig(), dtype=torch.float32, balanced=True
    )
    drawn = torch.cat([of for _ in range(20) for _, of in made.epoch()])
    assert len(drawn) == 2000 and 0.45 < drawn.double().mean() < 0.55


@pytest.mark.parametrize("balance", ["loss", "batches"])
def test_balance_trains(balance):
    made = data()
    few = dataclasses.replace(made.train, labels=made.train.labels.clamp_max(1))  # two of one class
    made = dataclasses.replace(made, train=few)
    plain = train(config(), made).metrics
    changed = train(config(**{"data.balance": balance}), made).metrics
    assert plain["train_loss"] != changed["train_loss"]


def test_balance_that_does_not_fit():
    for more in ({"loss.name": "focal"}, {"model.name": "siamese"}):
        with pytest.raises(ConfigError, match="balance"):
            tasks.check(config(**{"data.balance": "loss"}, **more))


def test_settings_that_are_left_out_are_not_written():
    assert not {"size", "channels", "balance"} & TrainConfig().to_dict()["data"].keys()
