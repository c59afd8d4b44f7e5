"""What proposes points: this project's samplers, plain Optuna, and peers over JSON lines."""

import json
import subprocess
from collections.abc import Callable
from typing import Any, Protocol

import measure
import optuna
from optuna.samplers import RandomSampler

from optimizing.problems import Problem
from studies.core.goals import Goals
from studies.core.seeds import sampler_seed
from studies.search.branches import Search
from studies.search.optuna_bridge import suggest
from studies.search.samplers import create_sampler

PYTHON = measure.ROOT / ".venv-peers" / "bin" / "python"
SERVE = measure.HERE / "peers" / "ask_tell" / "serve.py"


class Searcher(Protocol):
    """A search of one problem with one seed."""

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return params, epochs, and a name for a configuration that is continued later."""
        ...

    def tell(self, loss: float) -> None:
        """Tell the loss of what was asked for last."""
        ...


Make = Callable[[Problem, int, int], Searcher]
"""Makes a searcher for a problem, a seed, and a number of evaluations."""


class Script:
    """Plain Optuna, as a script has it."""

    def __init__(self, problem: Problem, sampler: Any) -> None:
        self.problem = problem
        self.study = optuna.create_study(sampler=sampler)

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return the next configuration."""
        self._trial = self.study.ask()
        return suggest(self.problem.space, self._trial), self.problem.epochs, ""

    def tell(self, loss: float) -> None:
        """Tell the loss of the last one."""
        self.study.tell(self._trial, loss)


class Ours(Script):
    """A sampler of this project, with its defaults; no default configurations, no turns."""

    def __init__(self, problem: Problem, seed: int, trials: int, name: str) -> None:
        super().__init__(problem, RandomSampler())
        self._name, self._seed, self._asked = name, seed, 0
        self._search = Search(
            space=problem.space,
            scientific=problem.scientific,
            seed=seed,
            trials=trials,
            goals=Goals(metric="loss", direction="minimize"),
        )

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return the next configuration."""
        seed = sampler_seed(self._seed, self._asked)
        self._asked += 1
        self.study.sampler = create_sampler(self._name, {}, self._search, seed=seed)
        return super().ask()


class Peer:
    """A tool in a process of its own, see ``peers/ask_tell/serve.py``."""

    def __init__(self, tool: str) -> None:
        self._process = subprocess.Popen(
            [str(PYTHON), "-W", "ignore", str(SERVE), tool],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def begin(self, problem: Problem, seed: int, trials: int, *, prior: bool) -> None:
        """Begin a search; ``prior``: with epochs as a fidelity, and a prior configuration."""
        space = {
            name: one
            for name, one in problem.space.to_dict().items()
            if len(one.get("choices", "more")) > 1
        }
        first = {"space": space, "seed": seed, "trials": trials, "epochs": problem.epochs}
        self._send({"begin": {**first, "prior": problem.prior if prior else None}})

    def ask(self) -> tuple[dict[str, Any], int, str]:
        """Return the next configuration."""
        answer = self._send({"ask": True})
        return answer["params"], answer["epochs"], answer["id"]

    def tell(self, loss: float) -> None:
        """Tell the loss of the last one."""
        self._send({"tell": loss})

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _send(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(message), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{' '.join(map(str, self._process.args))}: it ended")
        answer: dict[str, Any] = json.loads(line)
        return answer
