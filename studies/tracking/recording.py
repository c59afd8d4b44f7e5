"""The recording of a running study: its event log first, then the trackers that follow it.

Each run starts in the log with the ``study`` event, which holds::

    id          the study's identity, see ``studies/storage/belonging.py``
    name, goal, metric, direction, scientific, baseline, objective, trials, confirm_seeds
    space       of the search, by parameter: kind, range or choices, condition, what it sets
    distributions  the same as Optuna writes them
    train       resolved settings that all trials share, by dotted name
    data        fingerprint of the images
    storage     the URL of the database, without passwords
    machine     device, workers, threads
    versions    python, torch, optuna, this package

A ``start`` event also has ``config``, the trial's resolved settings that differ from ``train``. One
of a confirm trial has ``nth_seed``: which of the confirm seeds it has, from 1.

A finished study ends with the ``result`` event: ``verdict`` (lines), ``table`` (a row a choice),
``best`` (label, params, value, interval, confirm trial) and ``files`` by what they are.
"""

import importlib.metadata
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Self

from mnist_core.errors import UserError
from mnist_core.files import from_here
from objectives.base import CHANGES
from search_spaces.space import SpaceError
from studies.analysis import stored_study
from studies.analysis.result import StudyResult
from studies.core.event_log import FILE, OVER, EventLog, survey
from studies.core.events import Event
from studies.core.redaction import masked
from studies.core.seeds import nth_confirm_seed
from studies.planning.plan import Plan
from studies.storage.belonging import new_identity
from studies.tracking import chosen
from studies.tracking.backfill import missing_events
from studies.tracking.process import TrackerProcesses


class Recording:
    """A listener that keeps every event in the study's log, and has trackers follow it.

    The log starts with the first event, when this process holds the study's lease; trackers start
    with the first trial. When this context ends it waits for them, as long as the settings allow.
    ``say`` gets a line about what goes wrong; ``tell`` gets a tracker's name and its last lines.

    Raises:
        ConfigError: if a tracker is unknown, or its package is not installed.
    """

    def __init__(
        self,
        plan: Plan,
        say: Callable[[str], object],
        tell: Callable[[str, str], object],
        *,
        trackers: TrackerProcesses | None = None,
    ) -> None:
        tracking = plan.settings.tracking
        self._plan, self._say, self._tell = plan, say, tell
        self._trackers = trackers or TrackerProcesses(
            chosen(tracking), plan.folder, tracking, sync=plan.commands.look("sync")
        )
        self._log = EventLog(plan.folder / FILE, say, sync=plan.commands.look("sync"))
        self._over: set[tuple[str, int]] = set()
        self._concluded = False
        self._shared = plan.adapter.shared()
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._log.close()
        with self._trackers as trackers:
            for name, line, complete in trackers.finish(self._say):
                hint = "" if complete else f"; what is missing: {self._plan.commands.look('sync')}"
                self._tell(name, f"{line}{hint}")

    def __call__(self, event: Event) -> None:
        """Write ``event``; the ``study`` event, which comes first, with the data of the study."""
        if event.kind == "study":
            self._begin(str(event.data.get("id", "")))
            return
        if not self._begun:
            self._begin()
        if event.kind == "start":
            more = {"config": self._config(event), **self._nth_seed(event)}
            event = replace(event, data={**event.data, **more})
            for line in self._trackers.start():
                self._say(line)
        elif event.kind in OVER and event.trial is not None:
            self._over.add((event.phase, event.trial))
            self._concluded = False
        elif event.kind == "lost" and event.trial is not None:  # it may have ended before
            self._over.discard((event.phase, event.trial))
        elif event.kind == "phase":
            self._compare(event)
        self._log(event)

    def _compare(self, event: Event) -> None:
        """Say so if the log holds the end of more trials than the database."""
        known = sum(phase == event.data.get("name") for phase, _ in self._over)
        more = known - int(event.data.get("done", known))
        if more > 0 and event.phase != "test":
            self._say(
                f"{from_here(self._plan.folder / FILE)} has the end of {more} more"
                f" {event.phase} trials than the database, which was restored to an earlier state:"
                " they are run again, and the log and the trackers keep their first end; if there"
                " is a newer copy of the database, stop and put it in its place"
            )

    def fill(self) -> None:
        """Write the trials that have ended in the database and not in the log.

        Raises:
            UserError: if the database cannot be read.
        """
        if not self._begun:
            self._begin()
        for event in missing_events(stored_study.read(self._plan), frozenset(self._over)):
            self(event)

    def conclude(self, result: StudyResult, described: Mapping[str, Any]) -> None:
        """Write what the log lacks and the result (see ``result_event``); let trackers catch up.

        Raises:
            UserError: if the database cannot be read.
        """
        if not self._begun:
            self._begin()
        ended = sum(result.states.get(state, 0) for state in ("COMPLETE", "PRUNED", "FAIL"))
        needed = {("confirm", record.number) for record in result.confirmed}
        needed |= {("test", number) for number in result.test.values}
        searched = sum(phase == "search" for phase, _ in self._over)
        # The disk was full, or the supervisor was killed between two writes.
        if searched < ended or not needed <= self._over:
            self.fill()
        if not self._concluded:
            self(Event(kind="result", phase="test", data=described))
            self._concluded = True
        for line in self._trackers.catch_up():
            self._say(line)

    def _begin(self, study: str = "") -> None:
        """Write the ``study`` event; without an identity with that of the log, or a new one."""
        if self._begun:
            return
        self._begun = True
        try:
            contents = survey(self._plan.folder / FILE)
        except OSError as error:
            self._say(f"{self._plan.folder / FILE}: cannot be read: {error.strerror}")
        else:
            self._over, study = set(contents.over), study or contents.study
            self._concluded = contents.concluded
        about = describe(self._plan, study or new_identity(), shared=self._shared)
        self._log(Event(kind="study", phase="", data=about))

    def _nth_seed(self, event: Event) -> dict[str, int]:
        """Return which of the confirm seeds a confirm trial has, from 1: people read no 63 bits."""
        if event.phase != "confirm":
            return {}
        plan, seed = self._plan, event.data.get("seed")
        nth = nth_confirm_seed(plan.settings.search.seed, plan.confirm_seeds, seed)
        return {"nth_seed": nth} if nth else {}

    def _config(self, event: Event) -> dict[str, Any]:
        """Return a trial's resolved settings that differ from those that all trials share."""
        try:
            params, seed = event.data["params"], event.data["seed"]
            self._plan.spec.space.check({n: v for n, v in params.items() if n != CHANGES})
            adapter, source = self._plan.adapter, f"study {self._plan.spec.name}"
            own = adapter.settings_of(params, seed, source=source)
        except (UserError, SpaceError):  # the trial itself will say so
            return {}
        names = [*self._shared, *(name for name in own if name not in self._shared)]
        # None: a setting that this trial does not have.
        return {name: own.get(name) for name in names if self._shared.get(name) != own.get(name)}


def describe(plan: Plan, identity: str, *, shared: dict[str, Any]) -> dict[str, Any]:
    """Return the data of a ``study`` event."""
    from optuna.distributions import distribution_to_json

    from studies.search.optuna_bridge import to_distribution

    spec = plan.spec
    return {
        "id": identity,
        "name": plan.name,
        "goal": spec.goal,
        "metric": spec.metric,
        "direction": spec.direction,
        "scientific": spec.scientific,
        "baseline": spec.baseline,
        "objective": spec.label,
        "trials": plan.trials,
        "confirm_seeds": plan.confirm_seeds,
        "space": spec.space.to_dict(),
        "distributions": {
            name: distribution_to_json(to_distribution(parameter))
            for name, parameter in spec.space.parameters.items()
        },
        "train": dict(shared),
        "data": plan.data_fingerprint,
        "storage": masked(plan.storage_url),
        "machine": {
            "device": plan.adapter.device,
            "workers": plan.workers,
            "threads": plan.threads,
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in ("torch", "optuna")},
        },
    }
