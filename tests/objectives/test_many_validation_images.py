"""A study of own images with many validation images says how to keep half of them to confirm."""

import numpy as np
import pytest

from mnist_core.config import TrainConfig
from mnist_core.data import splits
from objectives.trainer.adapter import TrainerAdapter
from search_spaces.parameters import Float
from search_spaces.space import Space


@pytest.mark.parametrize(
    ("confirm", "many", "said"), [("own", 10, True), ("half", 5, False), ("own", 11, False)]
)
def test_many_validation_images(tmp_path, monkeypatch, capsys, confirm, many, said):
    monkeypatch.setenv("MNIST_STUDIES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(splits, "MANY_VALIDATION_IMAGES", many)
    labels = np.arange(72) % 2  # 12 of them to test on, 10 of the others validate
    np.savez(tmp_path / "some.npz", images=np.zeros((72, 8, 8), np.uint8), labels=labels)
    base = TrainConfig().override(
        {"data.name": str(tmp_path / "some.npz"), "data.confirm": confirm}
    )
    space = Space({"optim.lr": Float(1e-4, 1e-2)})
    TrainerAdapter(base=base, space=space, label="classification").ensure_data()
    assert ("data.confirm=half" in capsys.readouterr().err) == said
