"""The objective of a study's trials, and what one trial may take."""

from pathlib import Path

from objectives.adapter import Phase
from objectives.base import Objective
from objectives.measured import PARAMETERS
from studies.core.trials import Limits
from studies.planning.layout import states_folder
from studies.planning.plan import Plan
from studies.planning.settings import EngineSettings
from studies.search.pruners import pausing_of


def build_objective(plan: Plan, keep_models: Path | None) -> Objective:
    """Return the objective that the study names; ``keep_models`` is the folder for its models."""
    goals, search = plan.goals, plan.settings.search
    seconds = plan.settings.engine.checkpoint_seconds
    phase = "search" if keep_models is None else "confirm"
    # Members of a population continue each other's states.
    members = plan.settings.population and phase == "search"
    pausing = None
    if phase == "search":
        pausing = pausing_of(search, plan.spec, reports=plan.most_reports)
    asked = Phase(
        metric=plan.spec.metric,
        measured=goals.measured,
        most_parameters=goals.limits.get(PARAMETERS),
        keep=keep_models,
        confirms=phase == "confirm",
        states=states_folder(plan.folder, phase) if seconds or members else None,
        state_seconds=0.0 if members else seconds,
        state_reports=() if pausing is None else pausing.rungs,
    )
    return plan.adapter.objective(asked)


def limits(engine: EngineSettings) -> Limits:
    """Return what one trial may take."""
    return Limits(seconds=engine.trial_seconds, memory=int(engine.trial_memory_gib * 1024**3))
