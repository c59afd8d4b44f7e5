"""Small pieces of the embedded digits, and the settings that make a training exact and quick."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mnist_core.config import DataConfig, TrainConfig
from mnist_core.data import Data, Split, load
from mnist_core.errors import UserError


def cut(data: Data, n_train: int, n_validation: int) -> Data:
    """Return the first images of both splits."""

    def first(split: Split, n: int) -> Split:
        return Split(split.images[:n].clone(), split.labels[:n].clone())

    return Data(
        name="cut",
        train=first(data.train, n_train),
        validation=first(data.validation, n_validation),
        n_classes=data.n_classes,
        sha256={},
        split_sha256="",
        fingerprint=f"{n_train}/{n_validation}",
    )


@pytest.fixture(scope="session")
def digits() -> Data:
    """The whole embedded set: 5,000 images to train, 1,000 to validate."""
    return load(DataConfig())


@pytest.fixture(scope="session")
def half(digits: Data) -> Data:
    """2,500 images to train, 500 to validate."""
    return cut(digits, 2500, 500)


@pytest.fixture(scope="session")
def few(digits: Data) -> Data:
    """300 images to train, 150 to validate."""
    return cut(digits, 300, 150)


@pytest.fixture(scope="session")
def very_few(digits: Data) -> Data:
    """100 images to train, 50 to validate."""
    return cut(digits, 100, 50)


@pytest.fixture(scope="session")
def tiny(digits: Data) -> Data:
    """45 images to train, 20 to validate."""
    return cut(digits, 45, 20)


@pytest.fixture
def config() -> Callable[..., TrainConfig]:
    """Build a configuration of one quick fp32 epoch; keywords write ``__`` for a dot."""

    def build(**changes: object) -> TrainConfig:
        base = {"epochs": 1, "device": "cpu", "precision": "fp32", "threads": 1}
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        return TrainConfig().override(base | dotted)

    return build


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Call something that must be refused; return the one line that says why."""

    def call(error: type[UserError], function: Callable[..., object], *args, **keywords) -> str:
        with pytest.raises(error) as caught:
            function(*args, **keywords)
        message = str(caught.value)
        assert message and len(message.splitlines()) == 1
        return message

    return call


@pytest.fixture(autouse=True)
def one_thread():
    """Give back the number of threads and flags that a test changed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[2]
