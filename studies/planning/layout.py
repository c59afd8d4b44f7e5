"""Where a study's files are, inside its results folder."""

from pathlib import Path

from studies.planning.plan import Plan
from studies.storage.belonging import MODELS


def models_folder(plan: Plan) -> Path:
    """Return where the confirmed models are kept, ``<number>.safetensors`` each."""
    return plan.folder / MODELS / "confirm"


def states_folder(plan: Plan, phase: str) -> Path:
    """Return where states of the trials of ``phase`` (search, confirm) are kept."""
    return plan.folder / MODELS / "running" / phase
