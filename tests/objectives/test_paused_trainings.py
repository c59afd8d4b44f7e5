"""A real training that is paused and continued: the same curve and model as in one go."""

import dataclasses

import pytest
import torch
from programs import warm_workers  # noqa: F401
from safetensors.torch import load_file
from test_lost_trials import Quiet, objective
from toy_plans import toy_plan

from mnist_core.config import TrainConfig
from studies import engines
from studies.ledger.opening import open_search
from studies.protocol.checkpoints import RunningStates
from studies.storage.open import close_storage, open_storage

OPTIONS = {"min_resource": 1, "reduction_factor": 2, "n_startup_trials": 0}


def searched(folder, engine, *, pruner, lose=False):
    """Run 8 trials of 3 reports; ``lose``: the first two paused lose their states."""
    folder.mkdir()
    options = {"pruner": pruner, "pruner_options": OPTIONS if pruner == "freeze_thaw" else {}}
    plan = dataclasses.replace(toy_plan(folder, **options), train=TrainConfig(epochs=3))
    storage = open_storage(plan.storage_url, create=True)
    made = objective(folder, state_seconds=600.0, state_reports=(1, 2))
    lost, states = [], folder / "states"

    def listen(event):
        if lose and event.kind == "paused" and len(lost) < 2:
            lost.append(event.trial)
            (states / f"{event.trial}.safetensors").unlink()

    listeners = [RunningStates(states), listen]
    with engine, open_search(plan, storage, listeners=listeners) as book:
        engine.run(book, Quiet(made))
        records = book.records()
    close_storage(storage)
    assert not list(states.iterdir())
    return records


@pytest.mark.parametrize(("name", "lose"), [("inline", False), ("inline", True), ("local", False)])
def test_paused_and_continued_is_one_training(tmp_path, warm_workers, name, lose):  # noqa: F811
    inline = engines.create("inline", workers=1, threads=1)
    whole = searched(tmp_path / "whole", inline, pruner="none")
    engine = engines.create(name, workers=1, threads=1)
    thawed = searched(tmp_path / "thawed", engine, pruner="freeze_thaw", lose=lose)
    states = [str(record.state) for record in thawed]
    assert set(states) == {"COMPLETE", "PRUNED"}
    continued = 0
    for one, other in zip(thawed, whole, strict=True):
        assert one.seed == other.seed
        assert list(one.curve.items()) == list(other.curve.items())[: len(one.curve)]
        if not one.complete:
            continue
        assert one.metrics == other.metrics
        continued += "went_on_from_report" in one.attributes
        models = [tmp_path / place / "models" for place in ("thawed", "whole")]
        weights = [load_file(folder / f"{one.number}.safetensors") for folder in models]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert continued
