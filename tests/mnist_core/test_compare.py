"""What differs, where trainings part, how large chance is, and the sentence that follows."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import tomli_w
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mnist_core import models
from mnist_core.checkpoints import checkpoint
from mnist_core.comparison import compare, compare_noise, compare_verdict, model_record
from mnist_core.comparison.compare_noise import Noise
from mnist_core.comparison.compare_verdict import Measured
from mnist_core.comparison.model_record import ModelRecord
from mnist_core.config import TrainConfig
from mnist_core.errors import UserError


def record(seed=0, accuracy=0.98, **more):
    """Return a record of a run that was judged on 1,000 images."""
    settings = {"seed": seed, "device": "cpu", "precision": "fp32", "threads": 1}
    config = TrainConfig().override(settings | more.pop("settings", {}))
    error = math.sqrt(accuracy * (1 - accuracy) / 1000)
    base = {
        "name": "it",
        "config": config,
        "metrics": {"val_accuracy": accuracy, "val_loss": 1 - accuracy},
        "data": {"name": "mnist-10pct", "fingerprint": "f"},
        "judged": {"n": 1000, "of": "images", "accuracy_se": error},
        "versions": {"trainer": "2", "torch": "2.15"},
        "history": [
            {"step": k, "epoch": k, "seconds": 1.0 * k, "val_accuracy": accuracy - 0.1 / k}
            for k in (1, 2, 3)
        ],
    }
    return ModelRecord(**(base | more))


@pytest.fixture
def folder(tmp_path):
    """Write the folder of a run; return its path."""

    def write(name, *, seed=0, accuracy=0.98, status="done", settings=None, environment="cpu", **f):
        config = record(seed, settings=settings or {}).config
        path = tmp_path / environment / name
        path.mkdir(parents=True)
        facts = {
            "status": status,
            "metrics": {"val_accuracy": accuracy},
            "data": {"fingerprint": "f"},
            "versions": {"trainer": "2"},
            "judged": {"n": 1000, "of": "images", "accuracy_se": 0.004},
            "test_readings": [],
        }
        (path / "run.json").write_text(json.dumps(facts | f))
        (path / "config.toml").write_text(tomli_w.dumps(config.to_dict()))
        return path

    return write


def test_equal_records_differ_in_nothing():
    assert compare.differences(record(), record()) == []


def test_differences_are_sorted_by_their_kind():
    a = record(settings={"optim.lr": 0.1}, machine={"device_name": "one"})
    b = record(
        seed=3,
        settings={"epochs": 7, "device": "cuda", "data.split_seed": 5},
        machine={"device_name": "two"},
        versions={"trainer": "2", "torch": "3.0", "cuda": "13"},
        data={"name": "mnist-10pct", "fingerprint": "g"},
    )
    found = [(one.kind, one.name, one.a, one.b) for one in compare.differences(a, b)]
    assert found == [
        ("configuration", "optim.lr", 0.1, None),
        ("configuration", "epochs", 5, 7),
        ("configuration", "seed", 0, 3),
        ("data", "data.split_seed", 0, 5),
        ("data", "fingerprint", "f", "g"),
        ("device", "device", "cpu", "cuda"),
        ("device", "device_name", "one", "two"),
        ("versions", "torch", "2.15", "3.0"),
    ]


def test_curves_part_at_the_first_other_report():
    a, b = record(), record()
    found = compare.curves(a, b)
    assert found.identical and found.common == 3
    changed = [dict(report) for report in b.history]
    changed[1]["val_accuracy"] = math.nextafter(changed[1]["val_accuracy"], 1)
    changed[0]["seconds"] = 99.0  # no figure of the training
    found = compare.curves(a, record(history=changed))
    assert not found.identical
    assert (found.parting.epoch, found.parting.metric) == (2, "val_accuracy")
    assert found.parting.a == a.history[1]["val_accuracy"] != found.parting.b


def test_curves_of_other_lengths_and_steps():
    a, b = record(), record()
    shorter = compare.curves(a, record(history=b.history[:2]))
    assert shorter.parting is None and shorter.common == 2 and not shorter.identical
    twice = [{**report, "epoch": report["epoch"] / 2} for report in b.history]
    halves = compare.curves(a, record(history=twice))
    assert halves.common == 1 and halves.parting.epoch == 1
    assert compare.curves(a, record(history=())) is None


def test_a_loss_that_is_no_number_is_itself():
    assert compare.same(math.nan, math.nan) and not compare.same(math.nan, 0.0)


def test_weights_are_compared_to_the_last_bit(tmp_path):
    config = record().config.override({"model.name": "lenet5"})

    def save(name, change):
        torch.manual_seed(0)
        model = models.build(config.model, 10)
        with torch.no_grad():
            first = next(model.parameters())
            first.view(-1)[0] = torch.nextafter(first.view(-1)[0], torch.tensor(9.0)) * 1
            if change:
                first.view(-1)[1] = torch.nextafter(first.view(-1)[1], torch.tensor(9.0))
        path = tmp_path / f"{name}.safetensors"
        checkpoint.save(path, model, config, n_classes=10, metrics={"val_accuracy": len(name)})
        return record(checkpoint=path)

    one, two, other = save("a", False), save("bb", False), save("c", True)
    assert compare.same_weights(one, two) is True  # the header, with the metrics, does not count
    assert compare.same_weights(one, other) is False
    assert compare.same_weights(one, record()) is None


def test_the_same_images():
    assert compare.same_images(record(), record())
    assert not compare.same_images(record(), record(data={"fingerprint": "g"}))
    assert not compare.same_images(record(), record(settings={"data.split_seed": 1}, data={}))
    assert compare.same_images(record(), record(data={}))


def test_seed_noise_is_the_prediction_interval_of_a_difference():
    values = {1: 0.97, 2: 0.98, 3: 0.985, 4: 0.976}
    found = compare_noise.seed_noise([values], (0, 9), step=0.001)
    sd = np.std(list(values.values()), ddof=1)
    assert found.allowed == pytest.approx(stats.t.ppf(0.975, 3) * sd * math.sqrt(2))
    assert "n = 4" in found.method and f"{100 * sd:.3f} points" in found.method


def test_two_configurations_are_pooled():
    first, second = {1: 0.97, 2: 0.98}, {1: 0.90, 2: 0.91, 3: 0.92}
    found = compare_noise.seed_noise([first, second], (), step=0.0)
    pooled = math.sqrt((np.var([0.97, 0.98]) * 2 + np.var([0.90, 0.91, 0.92]) * 3) / 3)
    assert found.allowed == pytest.approx(stats.t.ppf(0.975, 3) * pooled * math.sqrt(2))
    assert "n = 2 like A, 3 like B" in found.method


def test_too_few_seeds_are_none():
    assert compare_noise.seed_noise([{1: 0.9, 2: 0.8}], (), step=0.001) is None
    # Those that are compared do not count.
    assert compare_noise.seed_noise([{1: 0.9, 2: 0.8, 3: 0.7}], (3,), step=0.001) is None


def test_equal_values_leave_the_rounding():
    found = compare_noise.seed_noise([{1: 0.9, 2: 0.9, 3: 0.9}], (), step=0.001)
    expected = stats.t.ppf(0.975, 2) * 0.001 / math.sqrt(12) * math.sqrt(2)
    assert found.allowed == pytest.approx(expected)


@pytest.mark.parametrize("n", [3, 5, 20])
def test_one_difference_of_twenty_is_larger(n):
    random = np.random.default_rng(n)
    draws = random.normal(0.98, 0.003, (4000, n + 2))
    outside = 0
    for row in draws:
        noise = compare_noise.seed_noise([dict(enumerate(row[2:]))], (), step=0.0)
        outside += abs(row[0] - row[1]) > noise.allowed
    assert outside / len(draws) == pytest.approx(0.05, abs=0.012)


def test_the_stand_in_is_the_test_of_two_proportions():
    a, b = record(accuracy=0.98), record(accuracy=0.97)
    errors = [one.judged["accuracy_se"] for one in (a, b)]
    found = compare_noise.binomial_noise(errors, "images", [1000, 1000])
    assert found.allowed == pytest.approx(1.96 * math.hypot(*errors))
    assert "1,000 images" in found.method and "stand-in" in found.method


def test_other_seeds_are_looked_up(folder, tmp_path):
    a, b = folder("a", seed=0), folder("b", seed=1, accuracy=0.975)
    for seed, accuracy in ((2, 0.97), (3, 0.98), (4, 0.99)):
        folder(f"other{seed}", seed=seed, accuracy=accuracy, environment="cuda")
    folder("twice", seed=4, accuracy=0.5)  # comes after the one in cpu? each seed counts once
    shutil.rmtree(tmp_path / "cpu" / "twice")
    folder("running", seed=5, accuracy=0.5, status="running")
    folder("stopped", seed=6, accuracy=0.5, status="interrupted")
    folder("other_lr", seed=7, accuracy=0.5, settings={"optim.lr": 0.9})
    folder("other_data", seed=8, accuracy=0.5, data={"fingerprint": "g"})
    folder("other_trainer", seed=9, accuracy=0.5, versions={"trainer": "1"})
    folder("other_precision", seed=10, accuracy=0.5, settings={"precision": "bf16"})
    folder("damaged", seed=11)
    (tmp_path / "cpu" / "damaged" / "run.json").write_text("{")
    threads = folder("threads", seed=12, accuracy=0.985, settings={"threads": 4})
    records = [model_record.of_a_run("", path, "last") for path in (a, b)]
    found = compare_noise.find_noise(*records, tmp_path)
    values = [0.97, 0.98, 0.99, 0.985]
    assert "n = 4" in found.method
    expected = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) * math.sqrt(2)
    assert found.allowed == pytest.approx(expected)
    shutil.rmtree(threads)
    for seed in (3, 4):
        shutil.rmtree(tmp_path / "cuda" / f"other{seed}")
    fallback = compare_noise.find_noise(*records, tmp_path)
    assert fallback.allowed == pytest.approx(1.96 * math.hypot(0.004, 0.004))


def test_of_one_configuration_each_run_counts_once(folder, tmp_path):
    for seed in (2, 3, 4):
        folder(f"other{seed}", seed=seed, accuracy=0.97 + seed / 1000)
    bare = record(seed=1, data={}, versions={}, judged={})  # what a checkpoint alone tells
    found = compare_noise.find_noise(record(), bare, tmp_path)
    assert "n = 3)" in found.method
    assert found.allowed == pytest.approx(stats.t.ppf(0.975, 2) * 0.001 * math.sqrt(2))


def test_a_bare_checkpoint_is_judged_on_its_data_set():
    bare = [record(accuracy=x, judged={}, data={}, versions={}) for x in (0.98, 0.97)]
    found = compare_noise.find_noise(*bare, Path("nowhere"))
    rights = [(x * 1000 + 1) / 1002 for x in (0.98, 0.97)]
    errors = [math.sqrt(right * (1 - right) / 1000) for right in rights]
    assert found.allowed == pytest.approx(1.96 * math.hypot(*errors))
    pairs = [record(judged={}, settings={"model.name": "siamese"}) for _ in range(2)]
    assert compare_noise.find_noise(*pairs, Path("nowhere")) is None


def verdict(a, b, *, tolerance=None, noise=None, weights=None, readings=None):
    measured = compare_verdict.measure(a, b, noise, readings)
    curves = compare.curves(a, b)
    return compare_verdict.judge(
        a, b, measured, curves=curves, weights=weights, tolerance=tolerance
    )


def test_identical():
    found = verdict(record(), record(), weights=True)
    assert found.equal
    assert found.sentence == (
        "identical: every figure, every report (3) and all weights are the same to the last bit"
    )
    assert verdict(record(), record()).sentence.startswith("identical: every figure and every rep")


@pytest.mark.parametrize(
    ("a", "b", "weights"),
    [
        (record(), record(), False),
        (record(history=()), record(history=()), None),  # figures alone show it not
        (record(), record(data={"fingerprint": "g"}), True),
        (record(), record(metrics={"val_accuracy": 0.98, "val_loss": 0.03}), True),
        (record(), record(metrics={"val_accuracy": 0.98}), True),
        (record(), record(history=record().history[:2]), True),
    ],
)
def test_not_identical(a, b, weights):
    found = verdict(a, b, weights=weights)
    assert found.equal and found.sentence.startswith("equal: the validation accuracy is the same")


IMAGES = Noise(0.004, "of images", False)
NOISE = Noise(0.004, "of seeds", True)


@pytest.mark.parametrize(
    ("other", "tolerance", "noise", "equal", "said"),
    [
        (0.979, None, NOISE, True, "no difference shown: the validation accuracy differs by 0.100"),
        (0.979, None, NOISE, True, "(A is higher), which is inside the noise (up to 0.400 points)"),
        (0.99, None, NOISE, False, "different: the validation accuracy differs by 1.000 points (B"),
        (0.99, None, NOISE, False, "more than seeds make in 19 cases of 20 (0.400 points)"),
        (0.979, None, IMAGES, True, "which is inside the noise (up to 0.400 points)"),
        (0.99, None, IMAGES, False, "different: as far as the number of images tells, the val"),
        (0.99, None, IMAGES, False, "how much seeds make is not recorded: train some of both"),
        (0.99, 1.0, NOISE, True, "equal: within the tolerance of 1 points, as the validation"),
        (0.983, 0.3, NOISE, True, "equal: within the tolerance of 0.3 points"),  # 0.983 - 0.98
        (
            0.983,
            0.2,
            NOISE,
            False,
            "different: outside the tolerance of 0.2 points, as the validation",
        ),
        (0.983, 0.2, NOISE, False, "one training each cannot show a difference so small"),
        (0.979, None, None, False, "different: "),
        (0.979, None, None, False, "nothing is recorded that tells how much of it is noise"),
        (0.979, 0.0, None, False, "different: outside the tolerance of 0 points"),
        (
            0.98,
            0.0,
            None,
            True,
            "equal: within the tolerance of 0 points, as the validation accuracy",
        ),
    ],
)
def test_verdicts(other, tolerance, noise, equal, said):
    b = record(accuracy=other, history=())
    found = verdict(record(), b, tolerance=tolerance, noise=noise)
    assert found.equal is equal and said in found.sentence


@given(
    st.floats(0, 1),
    st.floats(0, 1),
    st.one_of(st.none(), st.floats(0, 100)),
    st.sampled_from([None, NOISE, IMAGES]),
)
def test_the_order_does_not_matter(first, second, tolerance, noise):
    a, b = record(accuracy=first), record(accuracy=second)
    there, back = (verdict(*pair, tolerance=tolerance, noise=noise) for pair in ((a, b), (b, a)))
    assert there.equal == back.equal
    swapped = {"(A is": "(B is", "(B is": "(A is"}
    said = "".join(swapped.get(part, part) for part in re.split(r"(\([AB] is)", back.sentence))
    assert there.sentence == said
    if tolerance is not None and there.equal:
        assert verdict(a, b, tolerance=tolerance + 1, noise=noise).equal


def test_a_difference_of_seeds_alone_is_seed_noise():
    a, b = record(), record(seed=1, accuracy=0.9)
    for noise in (None, IMAGES):
        found = verdict(a, b, noise=noise)
        assert found.equal and "nothing but the seed differs, so this is seed" in found.sentence
    found = verdict(a, b, noise=NOISE)
    assert found.equal and "if more than other seeds let expect (0.400 points)" in found.sentence
    assert not verdict(a, b, noise=IMAGES, tolerance=1.0).equal
    elsewhere = record(seed=1, accuracy=0.9, settings={"device": "cuda"})
    assert not verdict(a, elsewhere, noise=IMAGES).equal
    other = record(seed=1, accuracy=0.9, data={"fingerprint": "g"})
    assert not verdict(a, other, noise=IMAGES).equal


def test_other_images_are_said():
    other = record(accuracy=0.979, data={"fingerprint": "g"})
    found = verdict(record(), other, noise=NOISE)
    assert found.sentence.endswith("; A and B were judged on different images")


def reading(accuracy, fingerprint="f", checkpoint="last"):
    return {
        "checkpoint": checkpoint,
        "fingerprint": fingerprint,
        "metrics": {"accuracy": accuracy},
        "n": 1000,
        "of": "images",
        "accuracy_se": 0.004,
    }


def test_test_readings_count_if_both_have_one():
    a = record(readings=[reading(0.99)])
    assert compare.readings_of_both(a, record()) is None
    assert compare.readings_of_both(a, record(readings=[reading(0.9, "g")])) is None
    b = record(readings=[reading(0.9, "g"), reading(0.95)])
    both = compare.readings_of_both(a, b)
    assert both == (a.readings[0], b.readings[1])
    found = verdict(a, b, noise=NOISE, readings=both)
    assert not found.equal and "images tells, the test accuracy differs by 4.0" in found.sentence
    assert not verdict(a, b, tolerance=3.9, readings=both).equal
    assert verdict(a, b, tolerance=4.0, readings=both).equal
    broken = ({**a.readings[0], "n": None}, a.readings[0])
    with pytest.raises(UserError, match="damaged"):
        compare_verdict.measure(a, b, NOISE, broken)


def test_the_accuracy_that_fails_is_named():
    one = Measured("validation accuracy", 0.98, 0.97, NOISE)
    other = Measured("test accuracy", 0.98, 0.9, Noise(0.5, "wide", False))
    records = [record(accuracy=accuracy) for accuracy in (0.98, 0.97)]
    found = compare_verdict.judge(*records, [one, other])
    assert not found.equal and "validation accuracy differs by 1.000" in found.sentence


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metrics": {}}, "has no metrics with val_accuracy"),
        ({"judged": {"n": "many"}}, "is damaged: judged"),
        ({"judged": 3}, "judged must be a table"),
        ({"test_readings": [3]}, "test_readings must be a list of tables"),
        ({"status": "running"}, "running"),
    ],
)
def test_damaged_runs(folder, refusal, change, said):
    path = folder("a", **change)
    assert said in refusal(UserError, model_record.of_a_run, "a", path, "last")


def test_metrics_without_epochs(folder, refusal):
    path = folder("a")
    (path / "metrics.csv").write_text("step,val_accuracy\n1,0.9\n")
    assert "no column epoch" in refusal(UserError, model_record.of_a_run, "a", path, "last")


def test_a_study_s_record(tmp_path, refusal):
    path = tmp_path / "best_config.toml"
    settings = record(seed=4).config.to_dict()
    kept = {"val_accuracy": 0.97, "val_loss": 0.1, "trial": 5, "data_fingerprint": "f"}
    confirm = {"metric": "val_accuracy", "seeds": [4, 5, 6], "values": [0.97, 0.96, 0.95]}
    path.write_text(tomli_w.dumps({**settings, "record": {**kept, "confirm": confirm}}))
    for what in (tmp_path, path):
        found = model_record.find(str(what))
        assert found.metrics == {"val_accuracy": 0.97, "val_loss": 0.1}
        assert found.other_seeds == {5: 0.96, 6: 0.95}
        assert found.data["fingerprint"] == "f" and found.checkpoint is None
        assert found.config.model.activation == "relu"  # net's own, which the file leaves out
    confirm["values"] = [0.97]
    path.write_text(tomli_w.dumps({**settings, "record": {**kept, "confirm": confirm}}))
    assert "as many seeds as values" in refusal(UserError, model_record.find, str(path))
    path.write_text(tomli_w.dumps(settings))
    assert "records no val_accuracy" in refusal(UserError, model_record.find, str(path))
