"""Tables and charts of a study for W&B, drawn from its events alone."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mnist_core.evaluation.validation_summary import Drawn
from mnist_core.evaluation.worst_pairs import NAME, WorstPairs
from mnist_core.tracking.wandb_runs import confusion_chart
from studies.core.trials import class_names_of
from studies.tracking.base import Study, Trial, as_text
from studies.tracking.trial_mistakes import Validation

CURVES = 100
"""The chart of all curves has at most this number of trials, the best ones."""


def trial_charts(trial: Trial, validation: Validation | None) -> dict[str, Any]:
    """Return what a trial's run shows: confusion matrix, ROC, precision over recall, mistakes."""
    charts: dict[str, Any] = {}
    matrix = trial.attributes.get("confusion")
    if matrix and trial.state == "complete":
        charts["confusion"] = confusion_chart(matrix, class_names_of(trial.attributes))
    if NAME in trial.attributes and trial.state == "complete":
        pairs = WorstPairs.from_json(trial.attributes[NAME])
        charts["confused"] = _confused(pairs, class_names_of(trial.attributes))
    if validation is not None:
        kept = validation.summary
        charts["roc"] = _area_chart(
            kept.roc, "False positive rate", "True positive rate", "ROC, area"
        )
        charts["precision_recall"] = _area_chart(
            kept.precision_recall, "Recall", "Precision", "Precision over recall, average precision"
        )
        if validation.pictures:
            charts["mistakes"] = _images(validation)
    return charts


def _confused(found: WorstPairs, names: Sequence[str]) -> Any:
    import wandb

    def named(label: int) -> str:
        return names[label] if label < len(names) else str(label)

    rows: list[Iterable[Any]] = [
        [named(true), named(said), count, size] for true, said, count, size in found.pairs
    ]
    return wandb.Table(columns=["Actual", "Predicted", "nPredictions", "nActual"], data=rows)


def _area_chart(curve: Drawn, x: str, y: str, title: str) -> Any:
    import wandb

    # W&B's own functions want every single prediction, and scikit-learn.
    rows: list[Iterable[Any]] = [["all", *point] for point in zip(curve.x, curve.y, strict=True)]
    return wandb.plot_table(
        data_table=wandb.Table(columns=["class", "x", "y"], data=rows),
        vega_spec_name="wandb/area-under-curve/v0",
        fields={name: name for name in ("x", "y", "class")},
        string_fields={
            "title": f"{title} {curve.area:.5f}, validation",
            "x-axis-title": x,
            "y-axis-title": y,
        },
    )


def _images(validation: Validation) -> list[Any]:
    import wandb
    from PIL import Image

    return [
        wandb.Image(Image.fromarray(picture), caption=caption)
        for picture, caption in zip(validation.pictures, validation.captions, strict=True)
    ]


def study_charts(study: Study) -> dict[str, Any]:
    """Return what the study's run shows: tables of trials and choices, importances, curves."""
    import pandas as pd
    import wandb

    from studies.analysis import figure_data  # it imports optuna, which takes a second

    charts: dict[str, Any] = {}
    rows = _trial_rows(study)
    if rows:
        # As text where a column holds several kinds, which a table of W&B cannot.
        frame = pd.DataFrame(rows)
        for name in frame.columns:
            if frame[name].dtype == object:
                frame[name] = [None if v is None else as_text(v) for v in frame[name]]
        charts["trials"] = wandb.Table(dataframe=frame)
    if table := study.result.get("table"):
        charts["choices" if study.about.get("scientific") else "confirmed"] = wandb.Table(
            columns=list(table[0]), data=[list(row.values()) for row in table]
        )
    found = _importances(study)
    if found:
        data = wandb.Table(columns=["parameter", "importance"], data=[[*i] for i in found.items()])
        charts["importances"] = wandb.plot.bar(
            data, "parameter", "importance", title="Importance (PED-ANOVA), complete trials"
        )
    ended = [record for record in study.searched if record.value is not None and record.curve]
    shown = figure_data.best_first(ended, study.sign)[:CURVES]
    if shown:
        states = {trial.number: trial.state for trial in study.trials.values()}
        charts["curves"] = wandb.plot.line_series(
            xs=[list(record.curve) for record in shown],
            ys=[list(record.curve.values()) for record in shown],
            keys=[f"{record.number} {states[record.number]}" for record in shown],
            title=f"{study.metric} by step",
            xname="step",
        )
    return charts


def _trial_rows(study: Study) -> list[dict[str, Any]]:
    """Return a row for each trial that ended, in the order of phases and numbers."""
    order = {"search": 0, "confirm": 1, "test": 2}
    trials = sorted(study.trials.values(), key=lambda t: (order.get(t.phase, 3), t.number))
    params = dict.fromkeys(name for trial in trials for name in trial.params)
    metrics = dict.fromkeys(name for trial in trials for name in trial.metrics)
    return [
        {
            "phase": trial.phase,
            "trial": trial.number,
            "state": trial.state,
            study.metric: trial.value,
            "steps": trial.reports[-1].step if trial.reports else None,
            "seconds": trial.seconds,
            **{name: trial.params.get(name) for name in params},
            **{f"end.{name}": trial.metrics.get(name) for name in metrics},
            "seed": None if trial.seed is None else str(trial.seed),
            "failure": trial.failure or None,
        }
        for trial in trials
    ]


def _importances(study: Study) -> dict[str, float]:
    """Return the importances; empty where there are too few trials, or all are alike."""
    from studies.analysis import figure_data
    from studies.analysis.importance import ENOUGH, ped_anova

    complete = figure_data.complete(study.searched)
    if len(complete) < ENOUGH:
        return {}
    from optuna.distributions import json_to_distribution

    written: Mapping[str, str] = study.about.get("distributions", {})
    known = {name: json_to_distribution(text) for name, text in written.items()}
    drawn = [
        (record, {name: known[name] for name in record.params if name in known})
        for record in complete
    ]
    try:
        return ped_anova(drawn, "maximize" if study.maximize else "minimize")
    except (ValueError, RuntimeError):
        return {}
