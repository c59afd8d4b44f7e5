"""What ``studies list|show|status --json`` print; ``docs/json.md`` describes each key."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mnist_core import plugins
from studies.analysis.figure_data import best_of, complete
from studies.analysis.found_studies import CatalogStudy
from studies.analysis.kept_result import Best
from studies.analysis.listed_study import FoundStudy
from studies.analysis.stored_study import Stored
from studies.core.trials import TrialRecord
from studies.planning.layers import unused_settings
from studies.planning.plan import Plan
from studies.planning.settings import Settings, setting_of
from studies.report.result_json import SCHEMA, result_json
from studies.storage.leases import Lease


def studies_json(
    shipped: Iterable[CatalogStudy], results: Path, found: Iterable[FoundStudy]
) -> dict[str, Any]:
    """Return the studies of the catalog, and those that exist."""
    return {
        "schema": SCHEMA,
        "catalog": [
            {
                "name": one.name,
                "goal": one.goal or None,
                "minutes": one.minutes,
                "broken": one.broken or None,
                "file": one.file,
            }
            for one in shipped
        ],
        "broken_files": plugins.broken(),
        "folder": str(results),
        "results": [
            {
                "name": one.name,
                "folder": one.folder and str(one.folder),
                "storage": one.storage or None,
                "goal": one.goal,
                "state": one.state,
                "running": one.running,
                "why": one.why or None,
                "done": one.done,
                "planned": one.planned,
                "confirmed": one.confirmed,
                "best": one.best and _best_value(one.best),
                "verdict": one.verdict or None,
                "date": one.date and one.date.isoformat(timespec="seconds"),
                "size": one.size,
            }
            for one in found
        ],
    }


def _best_value(best: Best) -> dict[str, Any]:
    interval = best.interval
    return {
        "metric": best.metric,
        "value": best.value,
        "low": interval and interval.low,
        "high": interval and interval.high,
        "seeds": interval.n if interval else None,
    }


def plan_json(plan: Plan, notes: Sequence[str], *, changed: str | None = None) -> dict[str, Any]:
    """Return the plan, with every setting and its source.

    ``changed``: how the settings differ from those that the study was run with; None: it was not
    run.
    """
    spec = plan.spec
    hidden = {"train.seed", "train.threads", *unused_settings(spec)}
    keys = dict.fromkeys([*Settings.setting_names(), *sorted(plan.origins)])
    return {
        "schema": SCHEMA,
        "study": plan.name,
        "goal": spec.goal,
        "minutes": spec.minutes,
        "metric": spec.metric,
        "direction": spec.direction,
        "scientific": spec.scientific or None,
        "parameters": spec.space.to_dict(),
        "trials": plan.trials,
        "trials_complete": plan.trials_complete or None,
        "trials_per_choice": plan.trials_per_choice if spec.compares else None,
        "confirm_seeds": plan.confirm_seeds,
        "device": plan.adapter.device,
        "workers": plan.workers,
        "threads": plan.threads,
        "folder": str(plan.folder),
        "storage": plan.storage_url,
        "settings": {
            key: {
                "value": setting_of(plan.settings, key),
                "source": plan.origins.get(key, "default"),
            }
            for key in keys
            if key not in hidden
        },
        "notes": list(notes),
        "run": changed is not None,
        "changed": changed or None,
    }


def status_json(stored: Stored, *, failures: bool = False) -> dict[str, Any]:
    """Return how far a study is and what it found; ``failures``: with those of its trials."""
    plan = stored.plan
    return {
        "schema": SCHEMA,
        "study": plan.name,
        "folder": str(plan.folder),
        "storage": plan.storage_url,
        "phase": stored.phase,
        "supervisor": _supervisor(stored.lease),
        "search": {
            "planned": plan.trials,
            "until_complete": plan.trials_complete or None,
            "trials": _counts(stored.search),
            "best": _best(stored),
        },
        "confirm": {"seeds": plan.confirm_seeds, "trials": _counts(stored.confirm)},
        "differs": stored.differs or None,
        "result": None if stored.result is None else result_json(stored.result),
        **({"failures": _failures(stored)} if failures else {}),
    }


def _counts(records: Iterable[TrialRecord]) -> dict[str, int]:
    return dict(sorted(Counter(str(record.ending).lower() for record in records).items()))


def _supervisor(lease: Lease | None) -> dict[str, Any] | None:
    if lease is None:
        return None
    return {
        "host": lease.host,
        "pid": lease.pid,
        "since": lease.taken,
        "here": not lease.elsewhere,
        "alive": None if lease.elsewhere else lease.live,
    }


def _best(stored: Stored) -> dict[str, Any] | None:
    best = best_of(complete(stored.search), stored.plan.goals.sign)
    if best is None:
        return None
    return {"trial": best.number, "value": best.value, "params": best.params}


def _failures(stored: Stored) -> list[dict[str, Any]]:
    return [
        {
            "phase": phase,
            "trial": record.number,
            "retried": failure is not record.failure,
            "kind": failure.kind,
            "message": failure.message,
            "traceback": failure.traceback,
        }
        for phase, records in (("search", stored.search), ("confirm", stored.confirm))
        for record in records
        for failure in (*record.failures, *([record.failure] if record.failure else []))
    ]
