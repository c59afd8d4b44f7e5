"""Presets: the files say what is claimed; a run keeps what it did and resumes from there."""

import json
import math
import sys

import pytest
import scipy.stats
import torch

from mnist_core import __main__ as program
from mnist_core import models, presets, train
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint, export, export_formats
from mnist_core.config import DataConfig, TrainConfig
from mnist_core.console import command_line
from mnist_core.data import load, load_test
from mnist_core.errors import ConfigError, UserError
from mnist_core.presets import outcome, runs
from mnist_core.runs import figure_files, run_record
from mnist_core.trainer.results import TrainingFailed

LIGHTNING = {
    "data.name": "mnist",
    "optim.name": "adamw",
    "optim.lr": 1e-2,
    "schedule.name": "one_cycle",
    "average.name": "swa",
    "average.start": 0.8,
    "early_stopping": 3,
    "precision": "auto",
}
COMPARED = {"data.name": "mnist", "batch_size": 64, "epochs": 10}
PAIRED = {
    "data.name": "mnist-10pct",
    "pairs.per_epoch": 12_000,
    "pairs.evaluation": 4_000,
    "batch_size": 256,
    "epochs": 25,
    "optim.name": "adamw",
    "optim.lr": 8e-4,
    "optim.weight_decay": 1e-4,
    "loss.name": "bce",
    "schedule.name": "plateau",
    "schedule.factor": 0.5,
    "schedule.patience": 2,
    "schedule.min_lr": 1e-5,
    "grad_clip": 1.0,
    "augment.rotate": 12.0,
    "augment.shift": 0.12,
    "augment.scale": 0.1,
    "augment.shear": 8.0,
    "augment.affine_p": 0.7,
    "augment.blur_p": 0.2,
    "augment.blur_low": 0.1,
    "augment.blur_high": 1.0,
}
SGD = {**COMPARED, "optim.name": "sgd", "optim.lr": 1e-3}


def same_rate(name):
    return {**COMPARED, "model.name": "net", "optim.name": name, "optim.lr": 0.01}


SPEC = {
    ("cpu_cuda_baseline", "cpu_cuda_baseline"): (
        {
            "data.name": "mnist",
            "model.name": "cnn",
            "optim.name": "adadelta",
            "optim.lr": 1.0,
            "schedule.name": "step",
            "schedule.step_epochs": 1,
            "schedule.gamma": 0.7,
            "epochs": 5,
            "batch_size": 64,
        },
        {"accuracy": 0.9911},
    ),
    ("lightning_cnn", "lightning_cnn"): (
        {**LIGHTNING, "model.name": "cnn", "batch_size": 2048, "epochs": 10},
        {"macro_f1": 0.9891},
    ),
    ("lightning_resnet18", "lightning_resnet18"): (
        {**LIGHTNING, "model.name": "resnet18", "model.stem": 3, "batch_size": 1792, "epochs": 5},
        {"macro_f1": 0.9933},
    ),
    ("siamese_10pct", "siamese"): (
        {**PAIRED, "model.name": "siamese"},
        {"accuracy": 0.9895, "roc_auc": 0.9995},
    ),
    ("siamese_10pct", "pair_concat"): (
        {**PAIRED, "model.name": "pair_concat"},
        {"accuracy": 0.9525},
    ),
    ("optimizer_compare", "sgd"): (same_rate("sgd"), {"accuracy": 0.9863}),
    ("optimizer_compare", "adam"): (same_rate("adam"), {"accuracy": 0.9804}),
    ("optimizer_compare", "rmsprop"): (same_rate("rmsprop"), {}),
    ("optimizer_compare", "adadelta"): (same_rate("adadelta"), {"accuracy": 0.9775}),
    ("optimizer_compare", "adagrad"): (same_rate("adagrad"), {"accuracy": 0.9916}),
    ("architecture_compare", "net"): ({**SGD, "model.name": "net"}, {"accuracy": 0.9541}),
    ("architecture_compare", "net_sigmoid"): (
        {**SGD, "model.name": "net_sigmoid", "epochs": 20, "optim.lr": 1e-2},
        {"accuracy": 0.9189},
    ),
    ("architecture_compare", "mlp512"): ({**SGD, "model.name": "mlp512"}, {"accuracy": 0.9131}),
    ("architecture_compare", "net_deep"): (
        {**SGD, "model.name": "net_deep", "epochs": 15, "optim.lr": 1e-2},
        {"accuracy": 0.9823},
    ),
    ("architecture_compare", "net_adam"): (
        {**SGD, "model.name": "net", "optim.name": "adam"},
        {"accuracy": 0.9912},
    ),
    ("architecture_compare", "net_batch_128"): (
        {**SGD, "model.name": "net", "batch_size": 128},
        {"accuracy": 0.9280},
    ),
    ("drawing_cnn", "drawing_cnn"): (
        {
            "data.name": "mnist",
            "model.name": "drawing_cnn",
            "optim.name": "adam",
            "optim.lr": 1e-3,
            "batch_size": 64,
            "epochs": 10,
        },
        {"accuracy": 0.9931},
    ),
}
ALL = [(name, variant) for name in presets.names() for variant in presets.load(name).variants]
NAMED = pytest.mark.parametrize(
    ("name", "variant"), ALL, ids=[f"{name}-{variant.name}" for name, variant in ALL]
)


def test_every_preset_of_the_spec_is_there():
    ours = ("fast99", "fast994", "fast997", "siamese99")
    named = [(name, variant.name) for name, variant in ALL if name not in ours]
    there = {one for one in named if not one[0].endswith("_plus")}
    assert there == set(SPEC)


@pytest.mark.parametrize(("name", "variant"), SPEC)
def test_settings_are_those_of_the_spec(name, variant):
    """Every other setting is the default, but for those of the model itself."""
    preset = presets.load(name)
    settings, claimed = SPEC[name, variant]
    assert preset.config_of(preset.variant(variant)) == TrainConfig().override(settings)
    assert preset.variant(variant).claimed == claimed


@NAMED
def test_every_preset_can_be_trained(name, variant):
    preset = presets.load(name)
    config = train.resolve(preset.config_of(variant))
    metrics = {"classification": {"accuracy", "macro_f1"}, "pairs": {"accuracy", "roc_auc"}}
    known = metrics[models.task(config.model)]
    assert {preset.about.metric, *variant.claimed} <= known
    if preset.about.test_on:
        assert preset.about.test_on in ("mnist",)


def test_drawing_cnn_has_the_dropout_of_the_spec():
    drawing = models.build(presets.load("drawing_cnn").config.model, 10)
    assert {m.p for m in drawing.modules() if isinstance(m, torch.nn.Dropout)} == {0.25}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epochs = ", "is not valid TOML"),
        ("epohcs = 1\n[preset]", "preset: title: field required"),
        ("seed = 1", "variants are written [[variant]], and none fixes the seed"),
        ("variant = 1", "variants are written [[variant]], and none fixes the seed"),
        ("[preset]\ntitle = ''\n", "preset: title: string should have at least 1 character"),
        ("{about}\nx = 1", "preset: unknown setting 'x'"),
        ("epohcs = 1\n{about}", "unknown setting 'epohcs'; did you mean 'epochs'?"),
        ("{about}[[variant]]\nname = 'A b'", "variant: name: string should match pattern"),
        (
            "{about}[[variant]]\nname = 'a'\nsettings = {{ lr = 1 }}",
            "variant a: unknown setting 'lr'; did you mean 'optim.lr'?",
        ),
        (
            "{about}[[variant]]\nname = 'a'\nsettings = {{ seed = 1 }}",
            "must not fix the seed",
        ),
        ("{about}[[variant]]\nname = 'a'\n[[variant]]\nname = 'a'", "two variants have the same"),
        (
            "{about}claimed.accuracy = 1\n[[variant]]\nname = 'a'",
            "preset.claimed: with variants, each has its own",
        ),
    ],
)
def test_files_that_are_wrong(tmp_path, refusal, text, said):
    path = tmp_path / "mine.toml"
    about = "[preset]\ntitle = 't'\nsource = 's'\nclaim = 'c'\n"
    path.write_text(text.format(about=about) if "{about}" in text else text)
    assert said in refusal(ConfigError, presets.read, path)


@pytest.mark.parametrize("values", [[0.5, 0.7], [0.1, 0.2, 0.4, 0.3]])
def test_intervals_are_those_of_scipy(values):
    found = outcome.estimate(values)
    low, high = scipy.stats.t.interval(
        0.95, len(values) - 1, loc=sum(values) / len(values), scale=scipy.stats.sem(values)
    )
    assert found.mean - found.half_width == pytest.approx(low)
    assert found.mean + found.half_width == pytest.approx(high)


def test_equal_values_have_an_interval_of_no_length():
    found = outcome.estimate([0.9] * 3)
    assert (found.mean, found.half_width) == (0.9, 0.0)


def test_one_value_has_no_interval():
    found = outcome.estimate([0.3])
    assert (found.n, found.mean) == (1, 0.3)
    assert math.isnan(found.half_width)


QUICK = {
    "data.name": "mnist-10pct",
    "epochs": 1,
    "model.name": "mlp512",
    "batch_size": 500,
    "device": "cpu",
    "precision": "fp32",
    "threads": 1,
}
SETS = [word for key, value in QUICK.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture(autouse=True)
def unrendered(monkeypatch):
    """Pictures are drawn, but not rendered, which takes longer than the training."""
    monkeypatch.setattr(figure_files, "save", lambda figure, path: path.touch())


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Run ``python -m mnist_core presets`` in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["mnist_core", "presets", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            command_line.run(program.app, "python -m mnist_core")
        said = capsys.readouterr()
        return caught.value.code or 0, said.out.splitlines(), said.err.splitlines()

    return call


@pytest.fixture
def ran(command):
    """Run a quick preset that must end well; return its lines."""

    def call(*words, name="cpu_cuda_baseline"):
        code, lines, errors = command("run", name, *SETS, *words)
        assert (code, errors) == (0, [])
        return lines

    return call


def kept(tmp_path, name="cpu_cuda_baseline"):
    return json.loads((tmp_path / "results" / "presets" / name / "result.json").read_text())


@pytest.fixture
def trainings(monkeypatch):
    """Count trainings by seed."""
    seeds = []
    original = train.train

    def counted(config, *rest, **keywords):
        seeds.append(config.seed)
        return original(config, *rest, **keywords)

    monkeypatch.setattr(runs.trainer, "train", counted)
    return seeds


@pytest.fixture
def readings(monkeypatch):
    """Count readings of the test images."""
    read = []
    original = evaluate_checkpoint.judge

    def counted(*arguments):
        read.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(runs.evaluate_checkpoint, "judge", counted)
    return read


def test_a_run(ran, tmp_path, trainings, readings):
    """The numbers are those of the trainer, and the test set stays shut."""
    lines = ran("--seeds", 1, "--seed", 7)
    assert (trainings, readings) == ([7], [])
    (entry,) = kept(tmp_path)["trainings"]
    assert (entry["seed"], entry["test"], entry["resumed"]) == (7, {}, False)
    config = presets.load("cpu_cuda_baseline").config.override({**QUICK, "seed": 7})
    expected = train.train(config, load(DataConfig()))
    assert entry["metrics"] == expected.metrics
    assert TrainConfig.from_mapping(entry["config"], source="") == expected.config
    accuracy = f"{100 * expected.metrics['val_accuracy']:.2f}"
    assert lines[0].startswith(f"[1/1] cpu_cuda_baseline, seed 7: validation accuracy {accuracy} %")
    assert f"| accuracy % |        99.11 | {accuracy:>10} |    - |            - | 1 |" in "".join(
        lines
    )
    assert "test: not read; --test reads the test images, once of each model" in lines
    assert any(line.startswith("! changed on the command line: data.name=") for line in lines)


def test_seeds_that_are_there_are_not_trained_again(ran, tmp_path, trainings, readings):
    ran("--seeds", 1)
    lines = ran("--seeds", 2, "--test")
    assert trainings == [0, 1]
    assert lines[0].endswith("(done before)") and not lines[1].endswith("(done before)")
    assert len(readings) == 2
    ran("--seeds", 2, "--test")
    assert (trainings, len(readings)) == ([0, 1], 2)
    content = kept(tmp_path)
    assert [entry["seed"] for entry in content["trainings"]] == [0, 1]
    (row,) = content["summary"]
    accuracies = [e["test"]["mnist-10pct"]["test_accuracy"] for e in content["trainings"]]
    assert row["test"]["mean"] == pytest.approx(sum(accuracies) / 2)
    assert row["test"]["n"] == 2
    ran("--seeds", 1, "--set", "optim.lr=0.5")  # another configuration
    assert trainings == [0, 1, 0]
    # The folder of the files is no part of it.
    ran("--seeds", 1, "--set", f"data.root={load.__globals__['storage'].EMBEDDED}")
    assert trainings == [0, 1, 0]


def test_the_report_has_what_was_summed_up(command, ran, tmp_path):
    code, _, (error,) = command("report")
    assert code == 1 and "no preset was run" in error
    ran("--seeds", 1, "--set", "optim.lr=0.5")
    ran("--seeds", 2, "--test")
    (row,) = kept(tmp_path)["summary"]
    code, lines, errors = command("report")
    assert (code, errors) == (0, [])
    (line,) = (line for line in lines if line.startswith("| `cpu_cuda_baseline`"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    test, half = 100 * row["test"]["mean"], 100 * row["test"]["half_width"]
    assert cells[1:4] == ["cpu_cuda_baseline", "accuracy %", "99.11"]
    assert cells[5] == f"{test:.2f} ± {half:.2f}"
    assert cells[6] == f"{test - 99.11:+.2f} ± {half:.2f}"
    assert cells[7] == "2"
    # What was run otherwise than the preset says is said, what it is not is not.
    (note,) = (line for line in lines if line.startswith("- `cpu_cuda_baseline`"))
    assert "CHANGED:" in note and "epochs=1" in note and "model.name=mlp512" in note
    assert "optim." not in note and "threads=" not in note


@pytest.mark.parametrize("content", ["{", '{"summary": 1}', '{"summary": [{}], "trainings": []}'])
def test_a_report_of_a_damaged_result(command, tmp_path, content):
    folder = tmp_path / "results" / "presets" / "drawing_cnn"
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(content)
    code, lines, (error,) = command("report")
    assert (code, lines) == (1, []) and "result.json" in error and "damaged" in error


def test_the_test_reading_is_of_the_final_model(ran, tmp_path):
    ran("--seeds", 1, "--test")
    (entry,) = kept(tmp_path)["trainings"]
    path = tmp_path / "results" / "presets" / "cpu_cuda_baseline" / f"{entry['name']}.safetensors"
    model, test = checkpoint.load(path).model, load_test(DataConfig())
    with torch.no_grad():
        images = (test.images.unsqueeze(1) / 255 - 0.1307) / 0.3081
        right = (model(images).argmax(1) == test.labels).double().mean().item()
    assert entry["test"]["mnist-10pct"]["test_accuracy"] == pytest.approx(right, abs=0.002)


def test_an_interrupted_run_goes_on(command, ran, tmp_path, trainings, monkeypatch):
    """Ctrl-C within the second training: the first stays, the second goes on at its last report."""
    words = ("--seeds", 2, "--set", "epochs=2")
    original = runs.trainer.train
    seen = []

    def interrupted(config, data, report, **keywords):
        def stop(step, metrics):
            report(step, metrics)
            seen.append((config.seed, step))
            if config.seed == 1 and step == 2 and seen.count((1, 2)) == 1:
                raise KeyboardInterrupt

        return original(config, data, stop, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(runs.trainer, "train", interrupted)
        assert command("run", "cpu_cuda_baseline", *SETS, *words)[0] == 130
    assert [entry["seed"] for entry in kept(tmp_path)["trainings"]] == [0]
    lines = ran(*words)
    assert trainings == [0, 1, 1]
    first, second = kept(tmp_path)["trainings"]
    assert lines[0].endswith("(done before)")
    assert (first["resumed"], second["resumed"]) == (False, True)
    config = presets.load("cpu_cuda_baseline").config.override({**QUICK, "epochs": 2, "seed": 1})
    assert second["metrics"] == train.train(config, load(DataConfig())).metrics
    names = {path.suffix for path in (tmp_path / "results/presets/cpu_cuda_baseline").iterdir()}
    assert names == {".json", ".safetensors", ""}
    run = tmp_path / "results/presets/cpu_cuda_baseline/runs/cpu" / second["name"]
    assert run_record.read(run)["status"] == run_record.DONE
    rows = run_record.read_metrics(run)
    assert [row["step"] for row in rows] == [1, 2] and (run / "curves.png").is_file()
    assert rows[-1].items() >= second["metrics"].items()
    assert 0 < rows[0]["train_accuracy"] < 1 and rows[1]["lr"] < rows[0]["lr"]


def test_a_state_that_is_damaged(ran, tmp_path, trainings):
    ran("--seeds", 1)
    (entry,) = kept(tmp_path)["trainings"]
    folder = tmp_path / "results" / "presets" / "cpu_cuda_baseline"
    (folder / "result.json").unlink()
    (folder / f"{entry['name']}.state").write_bytes(b"half")
    ran("--seeds", 1)
    assert kept(tmp_path)["trainings"][0]["metrics"] == entry["metrics"]
    assert not list(folder.glob("*.state"))


def test_a_model_that_is_gone(ran, tmp_path, trainings, readings):
    """It is trained again where its test images are still to be read, and only there."""
    ran("--seeds", 1)
    folder = tmp_path / "results" / "presets" / "cpu_cuda_baseline"
    (file,) = folder.glob("*.safetensors")
    file.unlink()
    ran("--seeds", 1)
    assert trainings == [0]
    ran("--seeds", 1, "--test")
    assert (trainings, len(readings)) == ([0, 0], 1)
    file.unlink()
    ran("--seeds", 1, "--test")
    assert (trainings, len(readings)) == ([0, 0], 1)


def test_variants(ran, tmp_path):
    words = ("--seeds", 1, "--variant", "adagrad", "--variant", "rmsprop")
    lines = ran(*words, name="optimizer_compare")
    assert [entry["variant"] for entry in kept(tmp_path, "optimizer_compare")["trainings"]] == [
        "adagrad",
        "rmsprop",
    ]
    table = [line for line in lines if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in table] == ["variant", "adagrad", "rmsprop"]
    assert [line.split("|")[3].strip() for line in table[1:]] == ["99.16", "-"]


def test_pairs(ran, tmp_path):
    words = ("--seeds", 1, "--variant", "siamese", "--test", "--set", "model.name=siamese")
    pairs = ("--set", "pairs.per_epoch=500", "--set", "pairs.evaluation=200")
    lines = ran(*words, *pairs, name="siamese_10pct")
    (entry,) = kept(tmp_path, "siamese_10pct")["trainings"]
    read = entry["test"]["mnist-10pct"]
    assert read["test_threshold"] == entry["metrics"]["val_threshold"]
    assert read["test_accuracy_low"] <= read["test_accuracy"] <= read["test_accuracy_high"]
    assert any("| siamese | roc_auc    |       0.9995 |" in line for line in lines)


def test_other_test_images(tmp_path, full_mnist, ran):
    """``test_on``: trained on a tenth, read on all 10,000; unless the data is changed."""
    words = ("--seeds", 1, "--test", "--test-root", full_mnist)
    lines = ran(*words, name="mnist_10pct_plus")
    (entry,) = kept(tmp_path, "mnist_10pct_plus")["trainings"]
    correct = entry["test"]["mnist"]["test_accuracy"] * 10_000
    assert correct == pytest.approx(round(correct))
    assert any(line.startswith("trained on mnist-10pct, tested on mnist; ") for line in lines)
    preset = presets.load("mnist_10pct_plus")
    (job,) = runs.plan(preset, preset.variants, [0], {"epochs": 1})
    changed = runs.Job(
        variant=job.variant, config=job.config.override({"data.name": "kmnist"}), key=""
    )
    assert runs.data_to_test_on(preset, job, "").name == "mnist"
    assert runs.data_to_test_on(preset, changed, "").name == "kmnist"


def test_a_training_that_fails_is_a_result(ran, tmp_path, trainings):
    words = ("--seeds", 1, "--set", "optim.lr=100", "--set", "optim.weight_decay=10")
    words += ("--set", "epochs=2", "--variant", "sgd", "--test")
    lines = ran(*words, name="optimizer_compare")
    (entry,) = kept(tmp_path, "optimizer_compare")["trainings"]
    assert entry["failed"].startswith("NonFiniteLoss: ")
    assert any("0 (1 failed)" in line for line in lines)
    ran(*words, name="optimizer_compare")
    assert trainings == [0]


def test_memory_that_runs_out_is_none(command, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise TrainingFailed("OutOfMemory", "of 8 GiB")

    monkeypatch.setattr(runs.trainer, "train", fail)
    code, _, errors = command("run", "cpu_cuda_baseline", *SETS, "--seeds", 1)
    assert code == 1 and "OutOfMemory: of 8 GiB" in errors[0]
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("content", ["", "[]", '{"trainings": [1]}', '{"trainings": [{}]}'])
def test_a_damaged_result(tmp_path, refusal, content):
    (tmp_path / "result.json").write_text(content)
    message = refusal(UserError, runs.Results, tmp_path)
    assert message.startswith(f"{tmp_path / 'result.json'}: is damaged or cannot be read")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "siamese10pct"], "unknown preset 'siamese10pct'; did you mean 'siamese_10pct'?"),
        (["run", "drawing"], "unknown preset 'drawing'; did you mean 'drawing_cnn'? (valid: "),
        (["run", "optimizer_compare", "--variant", "adm"], "unknown variant of optimizer_compare"),
        (["run", "drawing_cnn", "--set", "lr=1"], "--set: unknown setting 'lr'; did you mean"),
        (["run", "drawing_cnn", "--set", "seed=1"], "--set seed: the seeds are given by --seed"),
        (
            ["run", "drawing_cnn", "--dataset", "mnits"],
            "data.name: unknown data set 'mnits'; did you mean",
        ),
    ],
)
def test_mistakes(command, words, said):
    code, _, errors = command(*words)
    assert (code, len(errors)) == (1, 1)
    assert errors[0].startswith(f"error: {said}")


def test_list_and_show(command):
    code, lines, _ = command("list")
    assert code == 0
    said = "\n".join(lines)
    assert all(f"  {name} " in said for name in presets.names())
    for name in presets.names():
        code, lines, errors = command("show", name)
        preset = presets.load(name)
        assert (code, errors) == (0, [])
        assert f"claim: {preset.about.claim}" in lines
        # What is shown, set on the defaults, is the preset.
        sets = [line for line in lines if "=" in line and line[0] not in " c" and " " not in line]
        pairs = [line.partition("=")[::2] for line in sets]
        from mnist_core.table import parse_assignment

        changes = dict(parse_assignment("=".join(pair)) for pair in pairs)
        assert TrainConfig().override(changes) == preset.config


@pytest.mark.parametrize("file_format", ["torch", pytest.param("onnx", marks=pytest.mark.long)])
def test_a_trained_preset_can_be_exported(ran, tmp_path, file_format):
    """The end of the way: preset, checkpoint, file."""
    ran("--seeds", 1)
    (path,) = (tmp_path / "results" / "presets" / "cpu_cuda_baseline").glob("*.safetensors")
    out = path.with_suffix(export_formats.FORMATS[file_format].suffix)
    trained, place = checkpoint.load(path), DataConfig()
    parity = export.export(
        trained, out, file_format=file_format, data=load(place), test=load_test(place)
    )
    assert parity.samples == 1000 and parity.different == 0
