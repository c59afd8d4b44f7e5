"""The searchers that are compared, by name."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from optuna.samplers import GPSampler, RandomSampler, TPESampler

from optimizing.problems import Problem
from optimizing.searchers import Ours, Peer, Script, Searcher

Open = Callable[[Problem, int, int], Searcher]
"""Opens a search of a problem, with a seed and a number of evaluations."""

OURS = ("qmc", "screen", "tpe", "gp")
PEERS = {
    "SMAC3": "smac",
    "NePS": "neps",
    "HEBO": "hebo",
    "Syne Tune": "syne_tune",
}
"""Peers with an environment of their own: name, and module ``with_…``."""
PRIORBAND = "NePS PriorBand"
NAMES = (
    *(f"ours: {name}" for name in OURS),
    "Optuna TPE",
    "Optuna GP",
    "random",
    *PEERS,
    PRIORBAND,
)


@contextmanager
def opened(names: tuple[str, ...]) -> Iterator[Mapping[str, Open]]:
    """Yield how to open a search, by name; the peers' processes live as long."""
    found: dict[str, Open] = {
        "Optuna TPE": lambda problem, seed, _: Script(problem, TPESampler(seed=seed)),
        "Optuna GP": lambda problem, seed, _: Script(problem, GPSampler(seed=seed)),
        "random": lambda problem, seed, _: Script(problem, RandomSampler(seed=seed)),
    }
    for name in OURS:
        found[f"ours: {name}"] = _ours(name)
    processes: dict[str, Peer] = {}
    for name in names:
        if tool := {**PEERS, PRIORBAND: PEERS["NePS"]}.get(name):
            processes[name] = Peer(tool)
            found[name] = _peer(processes[name], prior=name == PRIORBAND)
    try:
        yield {name: found[name] for name in names}
    finally:
        for process in processes.values():
            process.close()


def suits(name: str, problem: str) -> bool:
    """Whether the searcher ``name`` can search ``problem``: PriorBand needs epochs and a prior."""
    return name != PRIORBAND or problem in ("table", "drawn")


def _ours(name: str) -> Open:
    return lambda problem, seed, trials: Ours(problem, seed, trials, name)


def _peer(process: Peer, *, prior: bool) -> Open:
    def make(problem: Problem, seed: int, trials: int) -> Searcher:
        process.begin(problem, seed, trials, prior=prior)
        return process

    return make
