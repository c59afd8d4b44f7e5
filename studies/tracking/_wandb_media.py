"""Tables and charts of a study for W&B, from its trials alone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mnist_core.data.idx import UInt8Array
from mnist_core.evaluation.evaluation import Mistake
from mnist_core.evaluation.validation_summary import Drawn, ValidationSummary
from studies.tracking.base import Study, Trial

ENOUGH = 10
"""Complete trials, below which importances say nothing."""
CURVES = 100
"""So many trials' curves, the best ones, are in the chart of all curves."""


def confusion_chart(matrix: Sequence[Sequence[int]]) -> Any:
    """Return W&B's confusion matrix of ``matrix``, counts ``[true][predicted]``."""
    import wandb

    # W&B's own function wants every single prediction; this is what it makes of them.
    rows: list[Iterable[Any]] = [
        [str(true), str(predicted), count]
        for true, counts in enumerate(matrix)
        for predicted, count in enumerate(counts)
    ]
    return wandb.plot_table(
        data_table=wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=rows),
        vega_spec_name="wandb/confusion_matrix/v1",
        fields={name: name for name in ("Actual", "Predicted", "nPredictions")},
        string_fields={"title": "Confusion matrix, validation images"},
    )


def validation_charts(kept: ValidationSummary) -> dict[str, Any]:
    """Return the curves of a trial's last validation, as ``wandb.plot``'s are drawn."""
    return {
        "roc": _area_chart(kept.roc, "False positive rate", "True positive rate", "ROC, area"),
        "precision_recall": _area_chart(
            kept.precision_recall, "Recall", "Precision", "Precision over recall, average precision"
        ),
    }


def mistake_images(mistakes: Sequence[Mistake], pictures: Sequence[UInt8Array]) -> list[Any]:
    """Return the mistakes as W&B's images, each with what was taken for what."""
    import wandb
    from PIL import Image

    return [
        wandb.Image(Image.fromarray(picture), caption=mistake.text())
        for mistake, picture in zip(mistakes, pictures, strict=True)
    ]


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


def trial_rows(study: Study) -> list[dict[str, Any]]:
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


def importances(study: Study) -> dict[str, float]:
    """Return Optuna's importances (PED-ANOVA) of the parameters that all complete trials have.

    Empty where there are too few trials, or none differ.
    """
    complete = [
        (trial, trial.value)
        for trial in study.trials.values()
        if trial.phase == "search" and trial.state == "complete" and trial.value is not None
    ]
    if len(complete) < ENOUGH:
        return {}
    import warnings

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    made = optuna.create_study(direction="maximize" if study.maximize else "minimize")
    written: Mapping[str, str] = study.about.get("distributions", {})
    known = {
        name: optuna.distributions.json_to_distribution(text) for name, text in written.items()
    }
    for trial, value in complete:
        params = {name: v for name, v in trial.params.items() if name in known}
        distributions = {name: known[name] for name in params}
        made.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dict(optuna.importance.get_param_importances(made))
    except (ValueError, RuntimeError):
        return {}


def study_charts(study: Study) -> dict[str, Any]:
    """Return what the study's run shows: tables of trials and choices, importances, curves."""
    import pandas as pd
    import wandb

    charts: dict[str, Any] = {}
    rows = trial_rows(study)
    if rows:
        # As text where a column holds several kinds, which a table of W&B cannot.
        frame = pd.DataFrame(rows)
        for name in frame.columns:
            if frame[name].dtype == object:
                frame[name] = [None if v is None else _text(v) for v in frame[name]]
        charts["trials"] = wandb.Table(dataframe=frame)
    if study.result.get("table"):
        table = study.result["table"]
        charts["choices"] = wandb.Table(
            columns=list(table[0]), data=[list(row.values()) for row in table]
        )
    found = importances(study)
    if found:
        data = wandb.Table(columns=["parameter", "importance"], data=[[*i] for i in found.items()])
        charts["importances"] = wandb.plot.bar(
            data, "parameter", "importance", title="Importance (PED-ANOVA), complete trials"
        )
    shown = _best_first(study)[:CURVES]
    if shown:
        charts["curves"] = wandb.plot.line_series(
            xs=[[r.step for r in trial.reports] for trial in shown],
            ys=[[r.metrics.get(study.metric) for r in trial.reports] for trial in shown],
            keys=[f"{trial.number} {trial.state}" for trial in shown],
            title=f"{study.metric} by step",
            xname="step",
        )
    return charts


def _best_first(study: Study) -> list[Trial]:
    trials = [
        trial
        for trial in study.trials.values()
        if trial.phase == "search" and trial.value is not None and trial.reports
    ]
    return sorted(trials, key=lambda t: t.value or 0.0, reverse=study.maximize)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
