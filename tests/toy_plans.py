"""A small real plan around the toy objective."""

from pathlib import Path
from typing import Any

from mnist_core.config import TrainConfig
from search_spaces.space import Choice, Float, Space, When
from studies.planning.plan import Plan
from studies.planning.settings import Settings
from studies.spec import StudySpec
from studies.storage.open import sqlite_url

SPACE = Space(
    {
        "kind": Choice(("fast", "slow"), sets="optim.name"),
        "x": Float(0.0, 1.0, sets="optim.momentum"),
        "y": Float(1e-4, 1e-1, log=True, sets="optim.lr", when=When("kind", ("slow",))),
    }
)
DEFAULTS = {"fast": {"x": 0.5}, "slow": {"x": 0.5, "y": 0.01}}


class ToyPlan(Plan):
    """The real plan but for the fingerprint and the params, which need real settings."""

    def fingerprint(self) -> tuple[str, dict[str, Any]]:
        space = self.spec.space.to_dict()
        return str(hash(str(space))) if False else str(space), {"space": space, "metric": "m"}

    def required_params(self, number: int) -> dict[str, Any]:
        kinds = list(DEFAULTS)
        kind = kinds[number % len(kinds)]
        if number < len(kinds):
            return {"kind": kind, **DEFAULTS[kind]}
        if number < len(kinds) * self.trials_per_choice:
            return {"kind": kind}
        return {}


def toy_plan(
    folder: Path,
    *,
    trials: int = 8,
    workers: int = 1,
    space: Space = SPACE,
    sqlite: bool = False,
    **search: Any,
) -> ToyPlan:
    """A plan in ``folder``, kept in a journal, or in SQLite; ``search``: settings of the search."""
    spec = StudySpec(
        name="toy",
        goal="Is slow better than fast?",
        space=space,
        scientific="kind",
        fixed={},
        defaults=DEFAULTS,
        baseline="fast",
        trials=trials,
        trials_per_choice=2,
    )
    options = {"pruner": "none", "sampler": "random", **search}
    return ToyPlan(
        name="toy",
        spec=spec,
        settings=Settings.from_mapping({"search": options}, source="test"),
        origins={},
        train=TrainConfig(),
        trials=trials,
        trials_per_choice=2,
        confirm_seeds=3,
        workers=workers,
        threads=1,
        folder=folder,
        storage_url=sqlite_url(folder / "study.db") if sqlite else f"journal:///{folder / 'log'}",
    )
