"""The objective of a study's trials, and what one trial may take."""

import dataclasses
from pathlib import Path

from objectives.base import Objective
from objectives.measured import PARAMETERS, Measured
from objectives.own.run_trial import OwnObjective
from objectives.trainer.adapter import TrainerSettings
from objectives.training import Training
from studies.core.trials import Limits
from studies.planning.layout import states_folder
from studies.planning.objective_class import objective_class
from studies.planning.plan import Plan
from studies.planning.settings import EngineSettings
from studies.search.pruners import pausing_of


def build_objective(plan: Plan, keep_models: Path | None) -> Objective:
    """Return the objective that the study names; ``keep_models`` is the folder for its models."""
    goals = plan.goals
    if plan.spec.own is not None:
        return OwnObjective(
            own=plan.spec.own,
            metric=plan.spec.metric,
            keep=keep_models,
            measured=goals.measured,
            most_parameters=goals.limits.get(PARAMETERS),
            folder=str(Path.cwd()),
        )
    kind = objective_class(plan.spec.label)
    seconds = plan.settings.engine.checkpoint_seconds
    phase = "search" if keep_models is None else "confirm"
    # Members of a population continue each other's states.
    members = plan.settings.population and phase == "search"
    made: Objective = kind(
        base=_with_absolute_root(plan.train),
        space=plan.spec.space,
        keep_models=keep_models,
        states=states_folder(plan.folder, phase) if seconds or members else None,
        state_seconds=0.0 if members else seconds,
    )
    if not isinstance(made, Training):  # ``check_objective`` has seen that nothing is measured
        return made
    search, reports = plan.settings.search, plan.most_reports
    pausing = pausing_of(search, plan.spec, reports=reports) if phase == "search" else None
    made = dataclasses.replace(
        made,
        confirms=phase == "confirm",
        state_reports=() if pausing is None else pausing.rungs,
    )
    if not goals.measured:
        return made
    return Measured(made, most_parameters=goals.limits.get(PARAMETERS))


def limits(engine: EngineSettings) -> Limits:
    """Return what one trial may take."""
    return Limits(seconds=engine.trial_seconds, memory=int(engine.trial_memory_gib * 1024**3))


def _with_absolute_root(config: TrainerSettings) -> TrainerSettings:
    """Return ``config`` with an absolute ``data.root``: an objective may change the directory."""
    root = config.data.root
    absolute = str(Path(root).expanduser().absolute()) if root else ""
    return config if root == absolute else config.override({"data.root": absolute})
