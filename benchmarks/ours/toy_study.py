"""A whole study of a toy, to be killed: search, confirm, test, export; for ``faults.py``.

    python benchmarks/ours/toy_study.py --folder FOLDER [--fresh | --fork | --copy URL]
        [--read-test-again] [--die sqlite:7 | export:2 | confirm:3 | log:4 | fresh:5 | …]

All but the training is the real thing: book, SQLite, lease, two worker processes, protocol, event
log, export. ``--die KIND:N`` ends this process by kill -9:

* sqlite: in the middle of its N-th write to the database;
* export: at the N-th step of writing the result's files;
* confirm: at the end of the N-th training that confirms;
* log: after the database has the N-th end of a trial, before the event log has it;
* fresh, fork, copy: before the N-th change to a file or a database that this option makes.

The last line of its output is JSON: how many of each there were.
"""

import argparse
import dataclasses
import functools
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from toy_trial import ToyTrial, describe, read_test

from mnist_core.config import TrainConfig
from mnist_core.errors import UserError
from mnist_core.files import write_atomically
from search_spaces.space import Choice, Float, Space
from studies import engines
from studies.analysis.export import FILE, write_best_config
from studies.core.event_log import OVER
from studies.core.events import Event
from studies.planning.plan import Plan
from studies.planning.settings import Settings
from studies.protocol import phases
from studies.protocol.control import Control
from studies.protocol.fork import fork
from studies.protocol.fresh_start import start_fresh
from studies.protocol.phases import run_study
from studies.report.table import markdown, result_event
from studies.spec import StudySpec
from studies.storage.copying import copy_study
from studies.tracking.recording import Recording

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
FORK = "wide"
MORE = 2
"""Trials that a fork adds to those that it takes over."""

_CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree")


def make_plan(folder: Path) -> Plan:
    """Return the plan of the toy study in ``folder``.

    What is proposed does not depend on the order in which trials end, so that every run of it, with
    or without faults, must come to the same.
    """
    options = {"sampler": "random", "pruner": "none", "retries": 10}
    settings = {"search": options, "tracking": {"trackers": []}}
    return Plan(
        name=SPEC.name,
        spec=SPEC,
        settings=Settings.from_mapping(settings, source="toy"),
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


def changed(plan: Plan) -> Plan:
    """Return the plan with a wider space, which each old trial fits, and a larger budget."""
    lr = Float(1e-5, 1.0, log=True, sets="optim.lr")
    space = Space({**SPEC.space.parameters, "lr": lr})
    spec = dataclasses.replace(SPEC, space=space)
    return dataclasses.replace(plan, spec=spec, trials=SPEC.trials + MORE)


class Deaths:
    """Counts what may be died at, and dies at it.

    Args:
        at: ``KIND:N``, or "".
    """

    def __init__(self, at: str) -> None:
        kinds = ("sqlite", "export", "confirm", "log", "fresh", "fork", "copy")
        self.counts = dict.fromkeys(kinds, 0)
        self._option = ""
        self._where, _, number = at.partition(":")
        self._number = int(number or 0)
        # After the statement, before the end of its transaction; and before that end itself.
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "after_cursor_execute", self._wrote)
        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "commit", lambda _: self._changes())
        sys.addaudithook(self._audit)

    def hear(self, event: Event) -> None:
        """Count the trials that end; the event log hears of each after this."""
        if event.kind in OVER:
            self._at("log")
        if (event.phase, event.kind) == ("confirm", "complete"):
            self._at("confirm")

    @contextmanager
    def during(self, option: str) -> Iterator[None]:
        """Count what is changed meanwhile as that of ``option``."""
        self._option = option
        yield
        self._option = ""

    def _changes(self) -> None:
        self._at(self._option or "sqlite")

    def _wrote(self, connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if statement.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE"):
            self._changes()

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
            if writes and str(path).endswith((FILE, REPORT)):
                self._at("export")
            if self._option and (flags or 0) & (os.O_WRONLY | os.O_RDWR):
                self._at(self._option)
        elif event == "os.rename" and str(arguments[1]).endswith((FILE, REPORT)):
            self._at("export")
        if self._option and event in _CHANGES:
            self._at(self._option)

    def _at(self, where: str) -> None:
        self.counts[where] += 1
        if where == self._where and self.counts[where] == self._number:
            os.kill(os.getpid(), signal.SIGKILL)


def run(plan: Plan, deaths: Deaths, *, again: bool) -> None:
    """Run the study to its end."""
    with (
        engines.create("local", workers=plan.workers, threads=plan.threads) as engine,
        Recording(plan, note, lambda *told: None) as recording,
    ):
        result = run_study(
            plan,
            Control(engine),
            objective=lambda _, keep_models: ToyTrial(keep_models),
            read_test=functools.partial(read_test, study=plan.name),
            listeners=[deaths.hear, recording],
            read_test_again=again,
        )
        write_best_config(result)
        write_atomically(plan.folder / REPORT, markdown(result))
        recording.conclude(result, result_event(result))


def note(text: str) -> None:
    """Print a line beside the output."""
    print(text, file=sys.stderr)


def main() -> None:
    """Run the study to its end, or die."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--copy", default="", metavar="URL")
    parser.add_argument("--read-test-again", action="store_true")
    parser.add_argument("--die", default="")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    deaths = Deaths(args.die)
    plan = make_plan(args.folder)
    phases.fingerprint.describe = describe
    try:
        if args.copy:
            with deaths.during("copy"):
                copy_study(plan.name, source=plan.storage_url, target=args.copy)
        else:
            if args.fresh:
                with deaths.during("fresh"):
                    start_fresh(plan, say=note)
            if args.fork:
                with deaths.during("fork"):
                    plan = fork(changed(plan), FORK, say=note)
            run(plan, deaths, again=args.read_test_again)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(json.dumps(deaths.counts))


if __name__ == "__main__":
    main()
