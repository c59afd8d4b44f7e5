"""``python -m mnist_core compare``: real runs, what it says of them, and its exit code."""

import json
import shutil
import sys

import pytest
import tomli_w

from mnist_core import __main__ as program
from mnist_core.checkpoints import checkpoint
from mnist_core.config import read_settings
from mnist_core.console import command_line

SEEDS = {"one": 0, "again": 0, "other": 1}


def called(*words):
    """Run the program; return its exit code."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as caught:
        patch.setattr(sys, "argv", ["mnist_core", *map(str, words)])
        command_line.run(program.app, "python -m mnist_core")
    return caught.value.code or 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with three runs: the first twice, and one of another seed."""
    folder = tmp_path_factory.mktemp("runs")
    settings = ["batch_size=250", "reports_per_epoch=2", "threads=1", "precision=fp32"]
    more = [part for text in settings for part in ("--set", text)]
    fixed = ["--model", "lenet5", "--epochs", 1, "--device", "cpu", "--no-pictures", "--test"]
    for name, seed in SEEDS.items():
        words = [*fixed, *more, "--out", folder, "--name", name, "--seed", seed]
        assert called("train", *words) == 0
    return folder


@pytest.fixture
def runs(trained, tmp_path):
    """Return a copy that a test may change."""
    return shutil.copytree(trained, tmp_path / "runs")


@pytest.fixture
def compare(runs, capsys):
    def call(*words):
        capsys.readouterr()
        code = called("compare", *words, "--runs", runs)
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return call


def change(folder, **facts):
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def facts(folder):
    return json.loads((folder / "run.json").read_text())


def shifted(runs, *, source, name, points, environment="cpu", **settings):
    """Copy a run as one whose accuracy is higher."""
    target = shutil.copytree(runs / "cpu" / source, runs / environment / name)
    metrics = facts(target)["metrics"]
    metrics["val_accuracy"] = round(metrics["val_accuracy"] + points / 100, 12)
    change(target, metrics=metrics, id=name, test_readings=[])
    before, _ = read_settings(target / "config.toml")
    (target / "config.toml").write_text(tomli_w.dumps({**before, **settings}))
    return target


def test_a_repetition_is_identical(compare):
    code, out, err = compare("one", "again")
    assert (code, err) == (0, [])
    assert "nothing that is recorded of settings, data, device and versions differs" in out
    assert "reports: 2 each; all are identical to the last bit" in out
    assert "weights: identical to the last bit" in out
    assert out.splitlines()[-1] == (
        "verdict: identical: every figure, every report (2) and all weights are the same to the"
        " last bit"
    )


def test_another_seed(compare, runs):
    code, out, err = compare("one", "cpu/other")
    assert err == []
    assert "seed" in out and "weights: not the same" in out and "test accuracy" in out
    assert "they part at epoch 0.5: " in out
    assert "binomial standard error of 1,000 images" in out and "a stand-in" in out
    a, b = (facts(runs / "cpu" / name) for name in ("one", "other"))
    points = abs(a["metrics"]["val_accuracy"] - b["metrics"]["val_accuracy"]) * 100
    assert code == 0 and out.splitlines()[-1].startswith("verdict: no difference shown: the ")
    assert "nothing but the seed differs" in out
    assert compare("one", "other", "--tolerance", "100")[0] == 0
    code, out, _ = compare("one", "other", "--tolerance", "0")
    assert code == 1 and out.splitlines()[-1].startswith(
        "verdict: different: outside the tolerance of 0"
    )
    readings = [
        one["test_readings"][0]["metrics"]["accuracy"] for one in (a, b) if one["test_readings"]
    ]
    most = max(points, abs(readings[0] - readings[1]) * 100)
    assert f"differs by {most:.3f} points" in out


@pytest.mark.parametrize(
    ("tolerance", "code", "said"),
    [
        (0.5, 0, "verdict: equal: within the tolerance of 0.5 points"),
        (0.3, 0, "verdict: equal: within the tolerance of 0.3 points"),
        (0.2, 1, "verdict: different: outside the tolerance of 0.2 points"),
        (None, 0, "verdict: no difference shown: the validation accuracy differs by 0.300 points"),
    ],
)
def test_cpu_and_cuda(compare, runs, tolerance, code, said):
    shifted(runs, source="one", name="one", points=0.3, environment="cuda")
    words = [] if tolerance is None else ["--tolerance", tolerance]
    found = compare("cpu/one", "cuda/one", *words)
    assert found[0] == code and said in found[1].splitlines()[-1]


def test_the_seeds_of_other_runs_are_the_noise(compare, runs):
    for seed, points in ((2, 0.1), (3, 0.2), (4, 0.15)):
        shifted(runs, source="one", name=f"seed{seed}", points=points, seed=seed)
    shifted(runs, source="other", name="far", points=30, grad_clip=1.0)
    code, out, _ = compare("one", "far")
    assert "n = 3" in out and "points over the seeds of other runs" in out
    assert code == 1 and out.splitlines()[-1].startswith("verdict: different: the validation")


def test_a_checkpoint_and_a_study_s_best_config(compare, runs, tmp_path):
    kept = checkpoint.load(runs / "cpu" / "one" / "last.safetensors")
    alone = tmp_path / "alone.safetensors"
    shutil.copy(runs / "cpu" / "again" / "last.safetensors", alone)
    code, out, err = compare("one", alone)
    assert (code, err) == (0, [])
    assert "verdict: identical: every figure and all weights" in out
    study = tmp_path / "study"
    study.mkdir()
    record = {
        "val_accuracy": kept.metrics["val_accuracy"],
        "confirm": {
            "metric": "val_accuracy",
            "seeds": [0, 7, 8, 9],
            "values": [kept.metrics["val_accuracy"], 0.6, 0.7, 0.8],
        },
    }
    text = tomli_w.dumps({**kept.config.to_dict(), "record": record})
    (study / "best_config.toml").write_text(text)
    code, out, err = compare(study, "other", "--tolerance", 0)
    assert err == [] and "n = 3" in out and "10.000 points over the seeds" in out
    assert "reports: of one of them none are recorded" in out and "a checkpoint is missing" in out


def test_the_best_checkpoint_instead(compare, runs):
    code, out, _ = compare("one", "again", "--checkpoint", "best")
    assert code == 0 and "verdict: identical" in out
    best = facts(runs / "cpu" / "one")["best"]["metrics"]["val_accuracy"]
    assert f"{best:.6g}" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["one", "nowhere"], "'nowhere': no such file"),
        (["one", "x" * 300], "xxx': no such file"),
        (["one", "a\0b.toml"], "b.toml': no such file"),
        (["one", "one"], "A and B are the same model"),
        (["one", "LAST"], "A and B are the same model"),
        (
            ["one", "again", "--tolerance", "-1"],
            "--tolerance: must be percentage points of at least 0",
        ),
        (
            ["one", "again", "--tolerance", "nan"],
            "--tolerance: must be percentage points of at least 0",
        ),
        (["one", "again", "--checkpoint", "first"], "--checkpoint: must be last or best"),
        (["one", "STOPPED"], "interrupted"),
        (["one", "DAMAGED"], "run.json: is damaged"),
        (["one", "EMPTY"], "run.json"),
        (["one", "TEXT"], "run.json"),
        (["one", "PAIRS"], "B compares pairs of images and the other classifies them"),
    ],
)
def test_mistakes_are_one_line(compare, runs, tmp_path, words, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("none")
    stopped = shifted(runs, source="one", name="stopped", points=0)
    change(stopped, status="interrupted")
    pairs = shifted(runs, source="one", name="pairs", points=0)
    change(pairs, metrics={"val_accuracy": 0.9, "val_roc_auc": 0.9})
    damaged = shifted(runs, source="one", name="damaged", points=0)
    (damaged / "run.json").write_text('{"status": "done"')
    places = {
        "LAST": runs / "cpu" / "one" / "last.safetensors",
        "STOPPED": stopped,
        "DAMAGED": damaged,
        "PAIRS": pairs,
        "EMPTY": tmp_path / "empty",
        "TEXT": tmp_path / "text",
    }
    code, out, err = compare(*(places.get(word, word) for word in words))
    assert (code, out, len(err)) == (1, "", 1)
    assert said in err[0]
