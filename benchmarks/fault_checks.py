"""What a study holds and whether that is right, for ``faults.py``."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Problem = tuple[str, str]
"""One of ``faults.SORTS`` and what was found."""


@dataclass(frozen=True)
class Trials:
    """All trials of a study's search and confirmation, by phase and number.

    Attributes:
        results: of each finished one what must never change: state, params, seed, value, curve.
        ends: when each of those ended, and after how many seconds.
        open: those that are not finished, and their states.
        readings: how often the test set was read, by the record.
        carried: of each trial that a fork took over the number that it had before.
    """

    results: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    ends: Mapping[tuple[str, int], Any] = field(default_factory=dict)
    open: Mapping[tuple[str, int], str] = field(default_factory=dict)
    readings: int = 0
    carried: Mapping[int, int] = field(default_factory=dict)


def read(folder: Path) -> Trials:
    """Read the trials in the database of ``folder``, whatever the fate of their supervisor."""
    import optuna

    if not (folder / "study.db").exists():
        return Trials()
    # A connection of its own, as the dashboard's.
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'study.db'}")
    try:
        return read_storage(storage)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def read_storage(storage: Any) -> Trials:
    """Read the trials that one of Optuna's storages holds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    results, ends, unfinished, readings, carried = {}, {}, {}, 0, {}
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        openings = study.user_attrs.get("test", {}).get("openings", [])
        readings += sum(one.get("certain", True) for one in openings)
        for trial in study.get_trials(deepcopy=False):
            key = (name, trial.number)
            if "carried" in trial.user_attrs:
                carried[trial.number] = trial.user_attrs["carried"]["trial"]
            if not trial.state.is_finished():
                unfinished[key] = trial.state.name
                continue
            results[key] = (
                trial.state.name,
                dict(sorted(trial.params.items())),
                trial.user_attrs.get("seed"),
                trial.value,
                dict(sorted(trial.intermediate_values.items())),
            )
            ends[key] = (trial.datetime_complete, trial.user_attrs.get("seconds"))
    return Trials(results, ends, unfinished, readings, carried)


def read_config(folder: Path) -> Any:
    """Read best_config.toml as the trainer does; return its settings and what was confirmed."""
    import tomllib

    from mnist_core.config import TrainConfig

    tables = tomllib.loads((folder / "best_config.toml").read_text(encoding="utf-8"))
    record = tables.pop("record")
    config = TrainConfig.from_mapping(tables, source="best_config.toml")
    return config, record["confirm"]["seeds"], record["confirm"]["values"], record["params"]


def compare_fork(final: Trials, source: Trials, whole: Trials) -> list[Problem]:
    """Return what is wrong with a fork, and with the study that it was made of."""
    found = compare([whole], source, whole)
    found += [("unfinished", f"{key} is {state}") for key, state in final.open.items()]
    held = Counter(final.carried.values())
    for number in (number for name, number in whole.results if name == "toy"):
        if held[number] != 1:
            found.append(("double" if held[number] else "lost", f"{number} {held[number]} times"))
    for mine, theirs in final.carried.items():
        if final.results.get(("toy-wide", mine)) != whole.results.get(("toy", theirs)):
            found.append(("changed", f"{theirs} is not what it was before the fork"))
    return found + _doubles(final)


def compare_events(path: Path, final: Trials) -> list[Problem]:
    """Return what is wrong with the event log: it holds the end of each trial once.

    The trials that a fork took over may be there or not: they were trained elsewhere.
    """
    from studies.core.event_log import OVER, Tail

    ends = Counter((event.phase, event.trial) for event in Tail(path).read() if event.kind in OVER)
    found = [("events", f"{key} ends {count} times") for key, count in ends.items() if count > 1]
    for name, number in final.results:
        confirm = name.endswith(".confirm")
        if not confirm and number in final.carried:
            continue
        for phase in ("confirm", "test") if confirm else ("search",):
            if (phase, number) not in ends:
                found.append(("events", f"{(phase, number)} is missing"))
    return found


def compare(seen: Sequence[Trials], final: Trials, whole: Trials) -> list[Problem]:
    """Return what is wrong with the study in the end.

    Args:
        seen: after each kill.
        final: in the end.
        whole: of the run without faults.
    """
    found = [("unfinished", f"{key} is {state}") for key, state in final.open.items()]
    if final.results.keys() != whole.results.keys():
        text = f"{len(final.results)} finished trials, not {len(whole.results)}"
        found.append(("unfinished", text))
    for before in seen:
        for key, result in before.results.items():
            if key not in final.results:
                found.append(("lost", f"{key} was finished and is lost"))
            elif (final.results[key], final.ends[key]) != (result, before.ends[key]):
                found.append(("changed", f"{key} was finished and is changed"))
    for key, result in final.results.items():
        if key in whole.results and whole.results[key] != result:
            found.append(("changed", f"{key} is not what it is without faults"))
    return found + _doubles(final)


def _doubles(final: Trials) -> list[Problem]:
    trained = Counter(
        json.dumps((study, params, seed))
        for (study, _), (_, params, seed, *_) in final.results.items()
    )
    return [("double", f"{one} twice") for one, count in trained.items() if count > 1]
