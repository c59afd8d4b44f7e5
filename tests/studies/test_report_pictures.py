"""The worst mistakes and the confusion matrix, held against the judge of kept models."""

import base64
import dataclasses
import io

import numpy as np
import pytest
import torch
from made_search import write_study
from PIL import Image

from mnist_core import models
from mnist_core.checkpoints import checkpoint, evaluate_checkpoint
from mnist_core.data import load
from mnist_core.train import resolve
from studies.analysis import figure_data, stored_study
from studies.planning import lookup
from studies.planning.layout import models_folder
from studies.report.sections import mistakes


def study(tmp_path, name, models_kept):
    """A made-up study with untrained models in the place of the best configuration's."""
    plan = lookup.find(name, sets={"results.folder": str(tmp_path), "device": "cpu"})
    data = load(plan.train.data)
    plan = plan.with_data(data.fingerprint)
    write_study(plan, 12)
    result = stored_study.read(plan).result
    records = result.confirm[result.best]
    folder = models_folder(plan.folder)
    folder.mkdir(parents=True)
    for record in records[:models_kept]:
        torch.manual_seed(record.number)
        config = resolve(plan.config_for(record.params, record.seed))
        model = models.build(config.model, data.n_classes)
        checkpoint.save(
            folder / f"{record.number}.safetensors",
            model,
            config,
            n_classes=data.n_classes,
            metrics={},
        )
    return result, data, [folder / f"{record.number}.safetensors" for record in records]


def pixels(mistake):
    raw = base64.b64decode(mistake.image.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(raw)) as image:
        return 255 - np.asarray(image)


def test_the_surest_mistakes_of_a_classifier(tmp_path):
    result, data, files = study(tmp_path, "optim_search", 1)
    found = mistakes.mistakes(result)
    kept = checkpoint.load(files[0])
    matrix = evaluate_checkpoint.judge(kept, data.validation).confusion
    wrong = int(matrix.sum() - matrix.trace())
    assert found.text.startswith(
        f"{wrong} of 1,000 validation images are misclassified by its model"
    )
    assert len(found.shown) == mistakes.SHOWN and not found.pairs
    odds = evaluate_checkpoint.logits(kept, data.validation.images).double().softmax(dim=1)
    sure, said = odds.max(dim=1)
    sure[said == data.validation.labels] = 0
    worst = int(sure.argmax())
    assert (pixels(found.shown[0]) == data.validation.images[worst].numpy()).all()
    assert found.shown[0].truth == str(int(data.validation.labels[worst]))
    assert found.shown[0].said == str(int(said[worst]))


def test_several_models_are_averaged(tmp_path):
    result, _, _ = study(tmp_path, "optim_search", 3)
    found = mistakes.mistakes(result)
    assert "by the mean of its 3 models" in found.text
    assert found.shown[0].detail.endswith("of 3 models")


def test_the_worst_pairs(tmp_path):
    result, data, files = study(tmp_path, "siamese_search", 1)
    found = mistakes.mistakes(result)
    judged = evaluate_checkpoint.judge(checkpoint.load(files[0]), data.validation)
    wrong = int((judged.predictions != judged.same).sum())
    assert found.pairs and len(found.shown) == min(wrong, mistakes.SHOWN)
    first, second = judged.pairs[judged.hardest(1)[0]].tolist()
    shown = pixels(found.shown[0])
    assert shown.shape == (28, 58)
    assert (shown[:, :28] == data.validation.images[first].numpy()).all()
    assert (shown[:, 30:] == data.validation.images[second].numpy()).all()


def test_what_is_not_here_is_said(tmp_path):
    result, _, files = study(tmp_path, "optim_search", 1)
    other = dataclasses.replace(result, plan=result.plan.with_data("other"))
    assert "the data here are not those of the study" in mistakes.mistakes(other).text
    files[0].write_text("damaged")
    assert mistakes.mistakes(result).text.startswith("Cannot be shown: ")
    files[0].unlink()
    assert "No model of it is kept" in mistakes.mistakes(result).text


def test_the_matrix_is_the_sum_of_what_was_recorded(tmp_path):
    plan = lookup.find("optim_search", sets={"results.folder": str(tmp_path)}).with_data("x")
    write_study(plan, 12)
    result = stored_study.read(plan).result
    found = figure_data.confusion(result)
    records = result.confirm[result.best]
    expected = sum(np.array(record.attributes["confusion"]) for record in records)
    assert (np.array(found.counts) == expected).all() and found.models == len(records)
    assert found.recall(1) == pytest.approx(0.99)
    assert found.precision(1) == pytest.approx(expected[1, 1] / expected[:, 1].sum())
