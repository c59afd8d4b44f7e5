"""A study as tidy pandas tables: ``studies.load("optim_search")``.

``trials``: a row for each trial of the search.

=================  ===============================================================================
study              name of the study
number             of the trial, from 0
state              COMPLETE (ran its full budget), PRUNED, FAIL, RUNNING, PAUSED or WAITING
choice             value of the scientific parameter, as text
value              the study's metric at the end (PRUNED: at the last report)
seconds            from the start of the last attempt to its end
started, ended     local time
attempt            the number of restarts after the trial was lost
seed               of the trial, 64 bits
failure, message   kind and text, of a FAIL trial
param.<name>       hyperparameters; empty where the trial has none of that name
objective.<name>   the final value of each of several objectives
feasible           whether it keeps the limits of the study
metric.<name>      all metrics of the end
info.<name>        other facts of the training, e.g. device, precision, n_parameters
=================  ===============================================================================

``confirm``: the same for each training on a fresh seed, with ``label`` (the choice for the best of
its search trials, ``<choice>, trial <number>`` for the next best, or ``<choice> (default)``), and
``test.<name>``, the metrics on the test images. Its ``value`` is ``metric.confirm_<name>`` where
that was measured. ``info.judged_on`` and ``info.judged_images`` say which images judged the model,
and ``info.wrong_images`` which of them it got wrong, by their places from 0, as text. ``curves``: a
row a report.

A parameter's column is numeric if all its values are numbers, boolean if all are True or False, and
text otherwise.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_core.errors import ConfigError, UserError, unknown_name
from mnist_core.evaluation.right_answers import RightAnswers
from mnist_core.files import write_atomically
from studies.analysis.stored_study import Stored
from studies.core.attributes import ENTRY, LABEL
from studies.core.trials import TrialRecord, TrialState

FORMATS = ("csv", "parquet")
_NOT_INFO = ("confusion", ENTRY, LABEL, "validation", "worst_pairs")


@dataclass(frozen=True)
class Tables:
    """A study as tables; the module's text describes the columns."""

    trials: pd.DataFrame
    curves: pd.DataFrame
    confirm: pd.DataFrame

    def by_name(self) -> dict[str, pd.DataFrame]:
        """Return the tables by name."""
        return {"trials": self.trials, "curves": self.curves, "confirm": self.confirm}


def tables(found: Stored) -> Tables:
    """Return the tables of a study that was read."""
    plan = found.plan
    test = found.test.values
    confirm = [
        {
            **row,
            **_answers(record),
            **{f"test.{name}": value for name, value in test.get(record.number, {}).items()},
        }
        for row, record in zip(_rows(found, found.confirm, labels=True), found.confirm, strict=True)
    ]
    reports = [
        {
            "study": plan.name,
            "phase": phase,
            "number": record.number,
            "choice": _choice(found, record),
            "state": TrialState.PAUSED if record.paused else record.state,
            "step": step,
            "value": value,
        }
        for phase, records in (("search", found.search), ("confirm", found.confirm))
        for record in records
        for step, value in record.curve.items()
    ]
    columns = ["study", "phase", "number", "choice", "state", "step", "value"]
    return Tables(
        trials=_frame(_rows(found, found.search, labels=False)),
        curves=pd.DataFrame(reports, columns=columns),
        confirm=_frame(confirm),
    )


def write(found: Tables, folder: Path, formats: Sequence[str] = ("csv",)) -> list[Path]:
    """Write each table to ``folder``, as ``trials.csv`` and so on; return the files.

    Raises:
        ConfigError: if a format is not one of ``FORMATS``.
        UserError: if a file cannot be written, or pyarrow is missing.
    """
    check_formats(formats)
    writers: dict[str, Callable[[pd.DataFrame], str | bytes]] = {"csv": _csv, "parquet": _parquet}
    files = []
    for form in formats:
        for name, table in found.by_name().items():
            path = folder / f"{name}.{form}"
            write_atomically(path, writers[form](table))
            files.append(path)
    return files


def check_formats(formats: Sequence[str]) -> None:
    """Check formats.

    Raises:
        ConfigError: if one is not one of ``FORMATS``.
    """
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"--format: {unknown_name('format', name, FORMATS)}")


def _rows(found: Stored, records: Sequence[TrialRecord], *, labels: bool) -> list[dict[str, Any]]:
    rows, names = [], found.plan.goals.names
    for record in records:
        failure = record.failure
        row: dict[str, Any] = {
            "study": found.plan.name,
            "number": record.number,
            "state": TrialState.PAUSED if record.paused else record.state,
            "choice": _choice(found, record),
        }
        if labels:
            row["label"] = record.attributes.get(LABEL, row["choice"])
        row |= {
            "value": record.value,
            "seconds": record.seconds,
            "started": record.started,
            "ended": record.ended,
            "attempt": record.attempt,
            "seed": record.seed,
            "feasible": record.feasible,
            "failure": failure.kind if failure else None,
            "message": failure.message if failure else None,
        }
        row |= {f"param.{name}": value for name, value in _texts(record.params).items()}
        if len(names) > 1 and record.values:
            row |= {
                f"objective.{name}": value for name, value in zip(names, record.values, strict=True)
            }
        row |= {f"metric.{name}": value for name, value in record.metrics.items()}
        row |= {
            f"info.{name}": value
            for name, value in record.attributes.items()
            if name not in _NOT_INFO and isinstance(value, str | int | float | None)
        }
        rows.append(row)
    return rows


def _answers(record: TrialRecord) -> dict[str, Any]:
    """Return which images judged a confirmed model, and which of them it got wrong."""
    found = RightAnswers.of_trial(record.attributes)
    if found is None:
        return {}
    return {
        "info.judged_on": found.of,
        "info.judged_images": len(found.right),
        "info.wrong_images": " ".join(map(str, (~found.right).nonzero()[0])),
    }


def _texts(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with ``None`` as text: an empty cell means no value."""
    return {name: str(value) if value is None else value for name, value in params.items()}


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return a table with one type a column, the fixed columns first."""
    first = ["study", "number", "state", "choice", "value", "seconds", "started", "ended"]
    frame = pd.DataFrame(rows) if rows else pd.DataFrame(columns=first)
    names = [str(name) for name in frame.columns]
    fixed = [name for name in names if "." not in name]
    kinds = [
        name
        for kind in ("param.", "objective.", "metric.", "test.", "info.")
        for name in names
        if name.startswith(kind)
    ]
    frame = frame[fixed + kinds]
    for name in ("value", "seconds"):
        frame[name] = frame[name].astype("float64")
    for name in ("started", "ended"):
        frame[name] = pd.to_datetime(frame[name])
    for name in ("failure", "message"):
        if name in frame:  # or a column without any would have no type
            frame[name] = frame[name].astype("string")
    for name in kinds:
        present = frame[name].dropna()
        if len(present) and present.map(lambda value: isinstance(value, bool)).all():
            frame[name] = frame[name].astype("boolean")
        elif present.map(lambda value: isinstance(value, bool)).any():
            frame[name] = frame[name].map(str, na_action="ignore")
        if present.map(lambda value: isinstance(value, str)).any():
            frame[name] = frame[name].map(str, na_action="ignore")
    return frame


def _choice(found: Stored, record: TrialRecord) -> str:
    return str(record.params.get(found.plan.spec.scientific, ""))


def _csv(table: pd.DataFrame) -> str:
    return str(table.to_csv(index=False, lineterminator="\n"))


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    try:
        table.to_parquet(buffer, index=False, engine="pyarrow")
    except ImportError:
        raise UserError(
            "--format parquet needs pyarrow; install it: pip install 'mnist-studies[parquet]'"
        ) from None
    return buffer.getvalue()
