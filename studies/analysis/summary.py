"""The result of a study, worked out from its records alone."""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from optuna.trial import FrozenTrial

from mnist_core.evaluation import worst_pairs
from mnist_core.evaluation.right_answers import RightAnswers
from studies.analysis.candidates import Candidate, candidates
from studies.analysis.doubts import pruner_would_stop_winner, seed_spread
from studies.analysis.holdout_record import HoldoutRecord
from studies.analysis.pareto import front_of
from studies.analysis.replay import Pruner
from studies.analysis.result import StudyResult
from studies.analysis.rows import Material, counted_states, is_of
from studies.analysis.runners_up import named, runners_up
from studies.analysis.verdict import reach_verdicts
from studies.core.seeds import confirm_seeds
from studies.core.trials import Forked, TrialRecord, TrialState, tally
from studies.planning.plan import Plan
from studies.search.enqueued import identity
from studies.search.learned import learned_from
from studies.search.stopping import Stop
from studies.spec import StudySpec


def summarize(
    plan: Plan,
    search: Sequence[TrialRecord],
    confirm: Sequence[TrialRecord],
    test: HoldoutRecord,
    *,
    environment: Mapping[str, Any] | None = None,
    trained: int = 0,
    stopped: Stop | None = None,
    race: Mapping[str, int] | None = None,
    trials: Sequence[FrozenTrial] = (),
    forked: Forked | None = None,
    learned: Any = None,
) -> StudyResult:
    """Work out the result from the records of search and confirmation.

    ``learned`` is the attribute of the study that says which earlier studies it has learned from.
    """
    spec, goals = plan.spec, plan.goals
    found = candidates(spec, goals, search, front=plan.settings.confirm.front, top=plan.top)
    seeds = confirm_seeds(plan.settings.search.seed, plan.confirm_seeds)
    confirmed = named(spec, found, confirm, seeds)
    chosen = {candidate.label: candidate for candidate in confirmed}
    # By params, as one configuration may have two labels.
    records = {
        label: tuple(r for r in confirm if r.params == candidate.params)
        for label, candidate in chosen.items()
    }
    complete = {
        label: tuple(r for r in of_label if r.complete and r.value is not None)
        for label, of_label in records.items()
    }
    values = {
        label: {r.seed: r.value for r in of_label if r.value is not None}
        for label, of_label in complete.items()
    }
    default = next((label for label, candidate in chosen.items() if candidate.default), None)
    further = runners_up(confirmed)
    rivals = {label: of for label, of in values.items() if not chosen[label].runner_up}
    tuned = [chosen[label].params for label in rivals if label != default]
    # Where the search found nothing better, one row counts; what is infeasible wins nothing.
    if default and (chosen[default].params in tuned or not chosen[default].feasible):
        del rivals[default]
    step = metric_step(spec.metric, chain.from_iterable(complete.values()))
    of_choice = {
        label: [r for r in search if is_of(r, label, candidate, spec)]
        for label, candidate in chosen.items()
    }
    ended = {
        label: {r.seed for r in of_label if r.state in (TrialState.COMPLETE, TrialState.FAIL)}
        for label, of_label in records.items()
    }
    raced = {
        label: len(ended[label])
        for label, candidate in chosen.items()
        if race and identity(candidate.params) in race and not candidate.runner_up
        # Seeds may have been trained before the race, or by another run without one.
        if len(ended[label]) < plan.confirm_seeds
    }
    failed = {label: len(ended[label] - values[label].keys()) for label in chosen}
    verdicts = reach_verdicts(
        rivals,
        direction=spec.direction,
        step=step,
        default=_compared_with(default, rivals, chosen, several=goals.several),
        stopped=raced,
        failed=[label for label, count in failed.items() if count],
        complete=complete,
        trials={
            label: [r for r in of_choice[label] if r.complete and r.feasible]
            for label in _searched(spec, confirmed, several=goals.several)
        },
        runners_up={
            choice: [values[label] for label in labels] for choice, labels in further.items()
        },
    )
    configurations = verdicts.configurations
    best = configurations.comparison.best if configurations else None
    material = Material(
        plan=plan,
        search=search,
        chosen=chosen,
        default=default,
        complete=complete,
        values=values,
        rivals=rivals,
        failed=failed,
        raced=raced,
        verdicts=verdicts,
        step=step,
        test=test,
    )
    labels = [one.label for one in confirmed if not one.runner_up]
    if spec.compares and not goals.several:  # a choice without a COMPLETE trial has a row, too
        labels = [*map(str, spec.choices), *([default] if default else [])]
    rows = [material.row(label, further.get(label, ())) for label in labels]
    rows.sort(
        # Means over a part of the seeds are not compared with the others'.
        key=lambda row: (
            row.confirm is None,
            row.stopped_after is not None
            or ((row.confirm_failed > 0 or row.collapsed is not None) and row.label != best),
            -goals.sign * row.confirm.mean if row.confirm else math.inf,
        )
    )
    return StudyResult(
        plan=plan,
        rows=tuple(rows),
        best=best,
        verdicts=verdicts,
        test=test,
        confirm=complete,
        states=counted_states(search),
        failures=failure_reasons(search),
        environment=environment or {},
        trained=trained,
        stopped=stopped,
        forked=forked,
        learned=learned_from(spec, plan.settings.search, learned, trials),
        seed_spread=seed_spread(list(of.values()) for of in rivals.values()),
        pruner_stops_winner=pruner_would_stop_winner(
            Pruner.of(plan),
            chosen[best].params,
            search_trial=chosen[best].search_trial,
            curves=[record.curve for record in complete[best]],
            trials=trials,
        )
        if best is not None and not goals.several
        else None,
        front=tuple(front_of(goals, search)) if goals.several else (),
    )


def failure_reasons(records: Iterable[TrialRecord]) -> tuple[tuple[str, int], ...]:
    """Count the reasons of the failed trials (``kind: message``), most frequent first."""
    failures = [record.failure for record in records if record.ending == TrialState.FAIL]
    return tally(one.text if one else "unknown" for one in failures)


def metric_step(metric: str, records: Iterable[TrialRecord]) -> float:
    """Return in which steps the metric is read: an accuracy by the image (or pair); 0: unknown."""
    if not metric.endswith("accuracy"):
        return 0.0
    counts = []
    for record in records:
        if (answers := RightAnswers.of_trial(record.attributes)) is not None:
            counts.append(len(answers.right))
        elif "confusion" in record.attributes:
            counts.append(sum(map(sum, record.attributes["confusion"])))
        elif worst_pairs.NAME in record.attributes:
            counts.append(int(record.attributes[worst_pairs.NAME]["judged"]))
    return 1 / min(counts) if counts else 0.0


def _searched(spec: StudySpec, confirmed: Sequence[Candidate], *, several: bool) -> list[str]:
    """Return the labels of what the search looked for: the best of each choice, or of all."""
    found = [one.label for one in confirmed if not one.default and not one.runner_up]
    # Without choices there is one search, whose best is the first.
    return found if spec.compares else [] if several else found[:1]


def _compared_with(
    default: str | None,
    rivals: Mapping[str, Any],
    chosen: Mapping[str, Candidate],
    *,
    several: bool,
) -> str | None:
    """Return the label that all others are compared with; None: the default cannot win."""
    if default is None or default in rivals or not several or not chosen[default].feasible:
        return default if default in rivals else None
    # On a front the default may be one of the trials, under which it is judged.
    return next((one for one in rivals if chosen[one].params == chosen[default].params), None)
