"""An objective for the tests of populations: like the trainer, but its training is one number."""

import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from objectives.base import CHANGES, Outcome, Report, Task
from studies.planning.layout import states_folder
from studies.planning.plan import Plan, resolve

EPOCHS = 7


def population_plan(folder: Path, **settings: object) -> Plan:
    """Return the plan of a population of six, three generations of two epochs."""
    sets = {
        "results.folder": str(folder),
        "epochs": EPOCHS,
        "search.trials": 6,
        "engine.ray.pbt_quantile": 0.34,
        "engine.workers": 2,
        "engine.threads": 1,
        **settings,
    }
    return resolve("pbt_search", sets=sets).with_data("none")


@dataclass(frozen=True)
class Walk:
    """Each epoch adds its learning rate to the sum so far; the state is on disk at each report.

    Attributes:
        states: folder of states.
        trace: folder of what was really done, a file a member: epoch, rate, sum before and after.
        dies: this member's worker dies once, at the end of the third epoch.
        breaks: this member raises an error in the third epoch.
        seconds: of an epoch.
    """

    states: Path
    trace: Path
    dies: int | None = None
    breaks: int | None = None
    seconds: float = 0.0

    def __call__(self, task: Task, report: Report) -> Outcome:
        rates = self.rates(task)
        curve: list[float] = []
        total = task.seed % 1000 / 1e6
        file = self.states / f"{task.number}.safetensors"
        if file.exists():
            state = json.loads(file.read_bytes())
            if state["seed"] == task.seed and state["rates"] == rates[: len(state["rates"])]:
                curve, total = state["curve"], state["curve"][-1]
        for epoch, value in enumerate(curve, start=1):
            report(epoch, {"val_accuracy": value})
        for epoch in range(len(curve) + 1, EPOCHS + 1):
            time.sleep(self.seconds)
            before, total = total, total + rates[epoch - 1]
            curve = [*curve, total]
            self.states.mkdir(parents=True, exist_ok=True)
            draft = file.with_suffix(f".{os.getpid()}.draft")
            draft.write_text(
                json.dumps({"seed": task.seed, "rates": rates[:epoch], "curve": curve})
            )
            draft.replace(file)
            with (self.trace / f"{task.number}").open("a") as lines:
                lines.write(json.dumps([epoch, rates[epoch - 1], before, total]) + "\n")
            if epoch == 3 and task.number == self.dies and task.attempt == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if epoch == 3 and task.number == self.breaks:
                raise ValueError("broken")
            report(epoch, {"val_accuracy": total})
        return Outcome(metrics={"val_accuracy": total}, attributes={"went_on_from_report": 3})

    @staticmethod
    def rates(task: Task) -> list[float]:
        """Return the learning rate of each epoch."""
        found, rate = [], task.params["optim.lr"]
        for epoch in range(EPOCHS):
            for change in task.params.get(CHANGES, ()):
                if change["epoch"] == epoch:
                    rate = change["optim.lr"]
            found.append(rate)
        return found


def walk(plan: Plan, trace: Path, **how: object) -> Walk:
    """Return the objective for ``plan``."""
    trace.mkdir(exist_ok=True, parents=True)
    return Walk(states_folder(plan.folder, "search"), trace, **how)  # type: ignore[arg-type]
