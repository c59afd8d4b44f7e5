"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPOSITORY = Path(__file__).resolve().parent.parent

# Machines that run the tests are noisy: a slow example is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# No study of a test is tracked, but where a test asks for it.
os.environ["WANDB_MODE"] = "disabled"


@pytest.fixture(scope="session")
def full_mnist() -> Path:
    """Folder with the four files of the full MNIST; the test is skipped where there is none."""
    places = [REPOSITORY.parent / "shared" / "data" / "mnist"]
    if os.environ.get("MNIST_ROOT"):
        places.insert(0, Path(os.environ["MNIST_ROOT"]))
    for place in places:
        if any(place.glob("train-images*")):
            return place
    pytest.skip("no full MNIST files: set MNIST_ROOT to a folder that has them")
