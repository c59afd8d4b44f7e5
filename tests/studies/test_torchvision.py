"""A classifier of torchvision from its training to a reproduced study, by the command lines."""

import pytest
from in_this_process import here  # noqa: F401
from small_data import of_small_data

MODEL = ["--set", "model.name=torchvision:mobilenet_v3_small", *of_small_data()]
SMALL = [*MODEL, "--set", "device=cpu", "--set", "batch_size=128"]


def output(here, *words):  # noqa: F811
    done = here(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_a_training_its_checkpoint_export_and_prediction(here, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "model.safetensors"
    trained = output(
        here,
        "mnist_core",
        "train",
        *SMALL,
        "--set",
        "threads=1",
        "--epochs",
        "1",
        "--save",
        weights,
    )
    assert "torchvision:mobilenet_v3_small" in trained
    assert "accuracy" in output(here, "mnist_core", "evaluate", weights, "--split", "test")
    for name in ("onnx", "torch"):
        out = tmp_path / f"model.{'onnx' if name == 'onnx' else 'pt2'}"
        output(here, "mnist_core", "export", weights, "--format", name, "--out", out)
        assert out.stat().st_size > 1e6
    predicted = output(here, "mnist_core", "predict", weights, "--split", "test")
    assert "accuracy" in predicted


@pytest.mark.long
def test_a_quick_study_is_reproduced(here, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    small = ["--set", "search.trials=3", "--set", "confirm.seeds=2", "--set", "epochs=1"]
    words = ["optim_search", "--quick", *SMALL, *small, "--workers", "2"]
    output(here, "studies.run", *words, "--track", "none", "--plain")
    said = output(here, "studies", "reproduce", "results/optim_search-quick/best_config.toml")
    assert "exactly as recorded" in said
