"""A whole study of a toy, to be killed: search, confirm, test, export; for ``faults.py``.

    python benchmarks/ours/toy_study.py --folder FOLDER [--die sqlite:7 | export:2 | confirm:3]

All but the training is the real thing: book, SQLite, lease, two worker processes, protocol, export.
``--die sqlite:N`` ends this process by kill -9 in the middle of its N-th write to the database,
``--die export:N`` at the N-th step of writing the result's files, ``--die confirm:N`` at the end of
the N-th training that confirms. The last line of its output is JSON: how many of each there were.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from toy_trial import ToyTrial, describe, read_test

from mnist_core.config import TrainConfig
from mnist_core.errors import UserError
from search_spaces.space import Choice, Float, Space
from studies import engines, protocol
from studies.book.control import Control
from studies.export import FILE, write_best_config
from studies.planning.plan import Plan
from studies.planning.settings import Settings
from studies.protocol import run_study
from studies.report.table import write_markdown
from studies.spec import StudySpec
from studies.trail.events import Event

SPEC = StudySpec(
    name="toy",
    goal="Which toy is best?",
    space=Space(
        {
            "optim.name": Choice(("sgd", "adam", "adagrad")),
            "lr": Float(1e-4, 1.0, log=True, sets="optim.lr"),
        }
    ),
    scientific="optim.name",
    fixed={},
    defaults={"sgd": {"lr": 0.01}, "adam": {"lr": 0.001}, "adagrad": {"lr": 0.01}},
    baseline="adam",
    trials=12,
    trials_per_choice=2,
)
REPORT = "report.md"


def make_plan(folder: Path) -> Plan:
    """Return the plan of the toy study in ``folder``.

    What is proposed does not depend on the order in which trials end, so that every run of it, with
    or without faults, must come to the same.
    """
    options = {"sampler": "random", "pruner": "none", "retries": 10}
    return Plan(
        name=SPEC.name,
        spec=SPEC,
        settings=Settings.from_mapping({"search": options}, source="toy"),
        origins={},
        train=TrainConfig(device="cpu", threads=1),
        trials=SPEC.trials,
        trials_per_choice=SPEC.trials_per_choice,
        confirm_seeds=SPEC.confirm_seeds,
        workers=2,
        threads=1,
        folder=folder,
        storage_url=f"sqlite:///{folder / 'study.db'}",
        data_fingerprint="toy",
    )


class Deaths:
    """Counts what may be died at, and dies at it.

    Args:
        at: ``sqlite:N``, ``export:N``, ``confirm:N`` or "".
    """

    def __init__(self, at: str) -> None:
        self.counts = {"sqlite": 0, "export": 0, "confirm": 0}
        self._where, _, number = at.partition(":")
        self._number = int(number or 0)
        # After the statement, before the end of its transaction; and before that end itself.
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "after_cursor_execute", self._wrote)
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "commit", lambda _: self._at("sqlite"))
        sys.addaudithook(self._audit)

    def hear(self, event: Event) -> None:
        """Count the trainings that confirm."""
        if (event.phase, event.kind) == ("confirm", "complete"):
            self._at("confirm")

    def _wrote(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            self._at("sqlite")

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, _ = arguments
            writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
            if writes and str(path).endswith((FILE, REPORT)):
                self._at("export")
        elif event == "os.rename" and str(arguments[1]).endswith((FILE, REPORT)):
            self._at("export")

    def _at(self, where: str) -> None:
        self.counts[where] += 1
        if where == self._where and self.counts[where] == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run the study to its end, or die."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--die", default="")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deaths = Deaths(args.die)
    plan = make_plan(args.folder)
    protocol.environment.describe = describe
    try:
        with engines.create("local", workers=plan.workers, threads=plan.threads) as engine:
            result = run_study(
                plan,
                Control(engine),
                objective=lambda _, keep_models: ToyTrial(keep_models),
                read_test=read_test,
                listeners=[deaths.hear],
            )
        write_best_config(result)
        write_markdown(result, plan.folder / REPORT)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(deaths.counts))


if __name__ == "__main__":
    main()
