"""``best_config.toml``: the best configuration as a file that the trainer reads.

    python -m mnist_core train results/optim_search/best_config.toml
    python -m studies reproduce results/optim_search/best_config.toml

It holds every setting of the confirm training with the first fresh seed, and in ``[record]`` what
that training measured, so that a repetition can be compared to the last digit.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import tomli_w

from mnist_core.errors import UserError
from mnist_core.files import from_here, write_atomically
from objectives.adapter import Adapter
from studies.analysis.result import StudyResult
from studies.analysis.stored_study import Stored
from studies.core.formatting import possible
from studies.core.goals import judged_by
from studies.core.seal import sealed
from studies.core.trials import TrialRecord
from studies.core.words import words
from studies.planning.next_commands import train_command
from studies.search.population import as_one_training
from studies.statistics.intervals import Interval

FILE = "best_config.toml"


def write_best_config(result: StudyResult, path: Path | None = None) -> Path:
    """Write the best configuration to ``path``, by default in the study's folder; return that.

    Raises:
        UserError: if nothing is confirmed yet, or the file cannot be written.
    """
    target, plan = path or result.plan.folder / FILE, result.plan
    text = f"The best configuration that study {plan.name} found."
    if plan.adapter.trains:
        text += f" {_AGAIN} {train_command(target)}"
    return _write(target, text, best_config(result))


def best_config(result: StudyResult) -> dict[str, Any]:
    """Return the tables of ``best_config.toml``.

    Raises:
        UserError: if nothing is confirmed yet.
    """
    plan, row = result.plan, result.best_row
    environment = result.environment
    if row is None or row.confirm is None or row.candidate is None:
        raise UserError(
            f"study {plan.name} has confirmed nothing yet; run it to its end:"
            f" {plan.commands.resume_hint}"
        )
    records = result.confirm[row.label]
    recorded = records[0]
    metric = judged_by(plan.spec.metric, recorded.metrics)
    judged = result.verdicts
    images = {"judged_on": judged.judged_on} if judged.judged_on else {}
    too_noisy = list(result.noisy)
    record: dict[str, Any] = {
        "study": plan.name,
        **_objective(plan.adapter, plan.program),
        "trial": row.candidate.search_trial,
        "confirm_trial": recorded.number,
        **_measured(metric, recorded, environment),
        "confirm": {
            "metric": metric,
            **images,
            "seeds": [trial.seed for trial in records],
            "values": [trial.value for trial in records],
            **_interval(possible(metric, row.confirm)),
            "ties_with": list(result.ties),
            **({"too_noisy": too_noisy} if too_noisy else {}),
            **_best_choices(result),
        },
        "params": row.candidate.params,
    }
    if row.test is not None:
        record["test"] = {**_interval(possible(metric, row.test)), "read": list(result.test.times)}
    trained = plan.adapter.as_trained(recorded.params, recorded.seed, recorded.attributes)
    return sealed({**trained, "record": _present(record)})


def _best_choices(result: StudyResult) -> dict[str, Any]:
    """Return which choices may be best when tuned as here; {}: the luck of the search is unknown.

    One alone is shown to be the best.
    """
    found = result.verdicts.choices
    if found is None or result.several:
        return {}
    return {"choices_may_be_best": list(found.comparison.possible)}


def write_trial(study: Stored, number: int, path: Path | None = None) -> Path:
    """Write the configuration of one search trial, by default as ``trial_<number>.toml``.

    Raises:
        UserError: if there is no such trial, it has no final value, or the file cannot be written.
    """
    plan, last = study.plan, len(study.search) - 1
    found = {record.number: record for record in study.search}.get(number)
    if found is None:
        raise UserError(f"study {plan.name} has no trial {number}; it has 0 to {last}")
    if not found.complete:
        raise UserError(
            f"trial {number} of study {plan.name} is {found.state}, so it has no value of the full"
            " budget to compare with; name one that is COMPLETE"
        )
    found = as_one_training(found)
    record = {
        "study": plan.name,
        **_objective(plan.adapter, plan.program),
        "trial": number,
        "metric": plan.spec.metric,
        **_measured(plan.spec.metric, found, study.environment),
        "params": found.params,
    }
    target = path or plan.folder / f"trial_{number}.toml"
    called = words(own=plan.spec.own is not None).trial
    text = f"Trial {number} of the search of study {plan.name}: one {called}, not confirmed on"
    text += " fresh seeds."
    if plan.adapter.trains:
        text += f" {_AGAIN} {plan.commands.reproduce(target)}"
    config = plan.adapter.as_trained(found.params, found.seed, found.attributes)
    return _write(target, text, sealed({**config, "record": _present(record)}))


_AGAIN = "Train it again with\n#  "


def _write(target: Path, head: str, tables: Mapping[str, Any]) -> Path:
    write_atomically(target, f"# {head}\n\n{tomli_w.dumps(tables)}")
    return target


def _objective(adapter: Adapter, program: str) -> dict[str, str]:
    """Return the objective's name, where the trainer alone does not give the recorded value.

    With it goes the file that holds it, if it is a program's and no command finds the study.
    """
    if adapter.trains:
        return {}
    found = {"program": str(from_here(Path(program)))} if program else {}
    return {"objective": adapter.label, **found}


def _measured(metric: str, trial: TrialRecord, environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what one training measured, and where; None: not known."""
    versions, data = environment.get("versions", {}), environment.get("data", {})
    return {
        **{name: value for name, value in trial.metrics.items() if math.isfinite(value)},
        metric: trial.value,
        "device_name": trial.attributes.get("device_name"),
        "n_parameters": trial.attributes.get("n_parameters"),
        "date": _iso(trial.ended),
        "torch": versions.get("torch"),
        "data_fingerprint": data.get("fingerprint") or None,  # an objective need not name its data
        "versions": versions,
        "data_sha256": data.get("sha256") or None,
    }


def _present(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}  # TOML has no null


def _iso(moment: datetime | None) -> str | None:
    # Optuna keeps local time without its zone.
    return None if moment is None else moment.astimezone().isoformat(timespec="seconds")


def _interval(interval: Interval) -> dict[str, Any]:
    values: dict[str, Any] = {"n": interval.n, "mean": interval.mean}
    if interval.n > 1:
        values |= {"sd": interval.sd, "ci95": [interval.low, interval.high]}
    return values
