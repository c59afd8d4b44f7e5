"""``result.json``: a study's result for other programs; ``docs/json.md`` describes each key."""

from typing import Any

from mnist_core.version import package_version
from studies.analysis.export import FILE as BEST_CONFIG
from studies.analysis.kept_result import FILE as FILE
from studies.analysis.result import Row, StudyResult, means
from studies.analysis.trends import trend_of
from studies.core.event_log import FILE as EVENTS
from studies.core.formatting import possible
from studies.core.json_text import plain
from studies.core.trials import TrialRecord
from studies.report.front_table import beaten_by
from studies.report.verdict_text import verdict_lines
from studies.report.warnings import warnings
from studies.statistics.intervals import CONFIDENCE, Interval
from studies.statistics.verdicts import Judgement

SCHEMA = 1
"""Changes when a key is renamed, is removed or means something else; new keys do not change it."""


def result_json(result: StudyResult) -> dict[str, Any]:
    """Return ``result`` as plain data; accuracies are in [0, 1]."""
    plan = result.plan
    found: dict[str, Any] = plain(
        {
            "schema": SCHEMA,
            "study": plan.name,
            "goal": plan.spec.goal,
            "scientific": plan.spec.scientific or None,
            "metric": {
                "search": plan.spec.metric,
                "confirm": result.judged_metric,
                "direction": plan.spec.direction,
                "objectives": dict(zip(plan.goals.names, plan.goals.directions, strict=True)),
            },
            "trials": dict(result.states),
            "confirm_seeds": plan.confirm_seeds,
            "confidence": CONFIDENCE,
            "verdict": _verdict(result),
            "table": [_row(result, row) for row in result.rows],
            "winner": _winner(result),
            "front": [_of_front(record) for record in result.front],
            "test_set": {
                "read": list(result.test.times),
                "perhaps_read_by": list(result.test.uncertain),
                "absent": result.test.absent,
            },
            "stopped": None if result.stopped is None else str(result.stopped),
            "forked": None if result.forked is None else str(result.forked),
            "failures": [{"reason": reason, "trials": n} for reason, n in result.failures],
            "files": _files(result),
            "data": {"name": plan.adapter.data_name, **result.environment.get("data", {})},
            "versions": dict(result.environment.get("versions", {})),
            "code": dict(result.environment.get("code", {})),
            "written_by": package_version(),
        }
    )
    return found


def _verdict(result: StudyResult) -> dict[str, Any]:
    found = result.verdicts
    gain = result.to_default
    return {
        "sentences": verdict_lines(result),
        "warnings": warnings(result),
        "best": result.best,
        "configurations": None if result.several else _judged(found.configurations),
        "choices": None if result.several else _judged(found.choices),
        "trend": _trend(result),
        "against_default": None
        if gain is None
        else {
            "difference": gain.difference,
            "low": gain.low,
            "high": gain.high,
            "better": gain.better,
            "worse": gain.worse,
        },
        "judged_on": found.judged_on or None,
        "images_in_intervals": found.images,
    }


def _trend(result: StudyResult) -> dict[str, Any] | None:
    found = trend_of(result)
    if found is None:
        return None
    return {
        "told": found.told,
        "towards": {1: "larger", 0: None, -1: "smaller"}[found.up],
        "middle": {1: "better", 0: None, -1: "worse"}[found.peak],
        "turn": found.turn,
        "low": found.low,
        "high": found.high,
        "log": found.log,
        "change": _interval(found.change),
        "bend": _interval(found.bend),
    }


def _judged(found: Judgement | None) -> dict[str, Any] | None:
    if found is None:
        return None
    one = found.comparison
    return {
        "best": one.best,
        "sole": one.sole,
        "ties": list(one.ties),
        "unclear": list(one.unclear),
        "worse": list(one.worse),
        "collapsed": list(found.collapsed),
    }


def _row(result: StudyResult, row: Row) -> dict[str, Any]:
    metric, found = result.plan.spec.metric, row.candidate
    objectives = means(result, row) if result.several else ()
    return {
        "label": row.label,
        "standing": result.standing(row) or None,
        "default": found.default if found else False,
        "params": dict(found.params) if found else None,
        "trials": {"complete": row.complete, "pruned": row.pruned, "failed": row.failed},
        "search": {
            "trial": found.search_trial if found else None,
            "value": found.search_value if found else None,
            "luck": row.luck,
        },
        "confirm": _interval(row.confirm and possible(metric, row.confirm)),
        "confirm_values": {str(seed): value for seed, value in row.values.items()},
        "confirm_failed": row.confirm_failed,
        "collapsed_seeds": list(row.collapsed.seeds) if row.collapsed else [],
        "stopped_after": row.stopped_after,
        "minus_best": _interval(row.gap and possible(metric, row.gap, gap=True)),
        "minus_default": _interval(
            row.gap_to_default and possible(metric, row.gap_to_default, gap=True)
        ),
        "objectives": dict(zip(result.plan.goals.names, objectives, strict=False)) or None,
        "beaten_by": beaten_by(result, row) or None if result.several else None,
        "test": _interval(row.test and possible(metric, row.test)),
        "seconds": row.seconds,
        "on_bound": list(row.on_bound),
    }


def _winner(result: StudyResult) -> dict[str, Any] | None:
    best = result.best_row
    if best is None or best.candidate is None or best.confirm is None:
        return None
    # best_config.toml records the training on the first seed, and its model is kept.
    first = result.confirm[best.label][0]
    config = result.plan.config_for(first.params, first.seed)
    metric = result.plan.spec.metric
    return {
        "label": best.label,
        "params": dict(best.candidate.params),
        "settings": config.to_dict(),
        "confirm": _interval(possible(metric, best.confirm)),
        "test": _interval(best.test and possible(metric, best.test)),
        "search_trial": best.candidate.search_trial,
        "confirm_trial": first.number,
        "seed": first.seed,
    }


def _files(result: StudyResult) -> dict[str, str | None]:
    """Return the files of the study, from its folder; None: it is not there."""
    names = {"best_config": BEST_CONFIG, "report": "report.md", "events": EVENTS}
    best = result.best_row
    if best is not None and result.confirm.get(best.label):
        number = result.confirm[best.label][0].number
        names["model"] = f"checkpoints/confirm/{number}.safetensors"
    folder = result.plan.folder
    return {what: name if (folder / name).is_file() else None for what, name in names.items()}


def _of_front(record: TrialRecord) -> dict[str, Any]:
    return {"trial": record.number, "params": record.params, "values": list(record.values)}


def _interval(one: Interval | None) -> dict[str, Any] | None:
    """Return a mean with its ends, which are null for a single value."""
    if one is None:
        return None
    return {"n": one.n, "mean": one.mean, "sd": one.sd, "low": one.low, "high": one.high}
