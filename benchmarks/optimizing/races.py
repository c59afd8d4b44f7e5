"""One search of one problem: what its incumbent is worth after each evaluation; kept in a file."""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from optimizing.problems import Problem
from optimizing.searchers import Searcher

LOOKS = (10, 20, 30, 40, 50, 60)
"""Full evaluations after which the incumbent is looked at."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A search that is over.

    Attributes:
        regrets: simple regret of the incumbent after each of ``LOOKS``.
        seconds: that the search took, without the problem's.
    """

    searcher: str
    problem: str
    seed: int
    regrets: tuple[float, ...]
    seconds: float


def search(problem: Problem, searcher: Searcher) -> tuple[tuple[float, ...], float]:
    """Let ``searcher`` search, and return the regrets of its incumbents and the time it took.

    The incumbent is the full evaluation with the least loss that was seen. Part of an evaluation
    costs that part, and one that is continued costs what was not trained before.
    """
    spent, begun = 0, time.monotonic()
    trained: dict[str, int] = {}
    least, worth = float("inf"), float("inf")
    found: list[float] = []
    while len(found) < len(LOOKS):
        params, epochs, name = searcher.ask()
        loss = problem.loss(params, epochs, name)
        spent += epochs - (trained.get(name, 0) if name else 0)
        trained[name] = epochs
        searcher.tell(loss)
        # What ends after a look is not in it.
        while len(found) < len(LOOKS) and spent > LOOKS[len(found)] * problem.epochs:
            found.append(worth)
        if epochs == problem.epochs and loss < least:
            least, worth = loss, problem.regret(params)
        while len(found) < len(LOOKS) and spent == LOOKS[len(found)] * problem.epochs:
            found.append(worth)
    return tuple(found), time.monotonic() - begun


def read(file: Path) -> Iterator[Run]:
    """Yield the runs in ``file``; a missing file has none."""
    if file.exists():
        for line in file.read_text(encoding="utf-8").splitlines():
            given = json.loads(line)
            yield Run(**{**given, "regrets": tuple(given["regrets"])})


def add(file: Path, run: Run) -> None:
    """Append ``run`` to ``file``."""
    given = asdict(run)
    given["regrets"] = [float(f"{regret:.5g}") for regret in run.regrets]
    given["seconds"] = round(run.seconds, 1)
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(given) + "\n")
