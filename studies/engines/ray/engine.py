"""The engine ``ray``: ``python -m studies.run optim_search --engine ray [--ray-address auto]``.

Tune (``Tuner``) places trials and speaks to their workers. The trial book decides what runs, what
stops, what is retried and when all is done, through Tune's extension points (``tune.py``). So the
study is the same as with any engine, and an interrupted run is resumed from the study alone.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError
from mnist_core.files import prepare_folder
from objectives.base import Objective
from studies.core.trials import NO_LIMITS, Limits
from studies.engines._local.calls import Calls
from studies.engines._local.worker_start import pickled
from studies.engines.base import Resources, Work
from studies.engines.ray.cluster import Cluster
from studies.engines.ray.nodes import Claim, check_modules, check_shared_folder, living_nodes
from studies.engines.ray.ray_internals import check_pbt, fitting, keep_last_words
from studies.planning import machine
from studies.planning.ray_settings import RaySettings
from studies.planning.settings import SearchSettings

if TYPE_CHECKING:  # ray takes seconds to import
    from studies.engines.ray.task_table import TaskTable
    from studies.planning.plan import Plan

_GIB = 1024**3
_CHECK = 1.0
"""Seconds between two checks for a node with room for a trial, while none runs."""


class Ray:
    """Runs trials on Ray; workers are used again as long as a run of trials lasts."""

    def __init__(
        self, *, workers: int, threads: int, preload: Sequence[str], resources: Resources
    ) -> None:
        self._settings = resources.ray or RaySettings()
        self._say = resources.say
        self._workers = workers
        self._preload = preload
        self._claim = Claim(
            cpus=self._settings.cpus or float(threads),
            gpus=self._settings.gpus,
            memory=int(self._settings.memory_gib * _GIB),
        )
        cpus = machine.cores()
        if not self._settings.cpus:  # as many as the trials take, even beyond this machine's
            cpus = max(cpus, workers * threads)
        self._cluster = Cluster(
            self._settings.address, cpus=cpus, gpus=None if self._claim.gpus else 0
        )
        self._plan: Plan | None = None
        self._table: TaskTable | None = None
        self._stopping = self._now = False
        self._folder = ""

    def __enter__(self) -> Self:
        """Start or join the cluster.

        Raises:
            UserError: if it cannot be reached, no node has room, or a node lacks a package.
        """
        address = self._settings.address
        self._say(f"joining the Ray cluster at {address} …" if address else "starting Ray …")
        with contextlib.ExitStack() as stack:
            cluster = stack.enter_context(self._cluster)
            room = cluster.wait_for_room(self._claim, self._settings.wait_seconds if address else 0)
            if address:
                check_modules(self._preload)
            elif self._preload:
                self._import_ahead()
            self._folder = tempfile.mkdtemp(prefix="tune-")
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._stack = stack.pop_all()
        count = len(living_nodes())
        self._say(
            f"Ray is up: {counted(count, 'node')}, room for {counted(room, 'trial')} of"
            f" {self._claim}"
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def adapt(self, plan: "Plan") -> "Plan":
        """Return ``plan`` as this cluster can run it.

        Raises:
            UserError: if the results folder is not the same on all nodes, the settings disagree
                about what stops trials, or this Ray cannot train a population.
        """
        if self._settings.scheduler == "pbt":  # its settings are checked with the search
            check_pbt()
        elif self._settings.scheduler == "asha":
            if plan.spec.own is not None and plan.adapter.reports is None:
                raise ConfigError(
                    "engine.ray.scheduler: asha must know how many reports a trial makes; give"
                    f" objective {plan.spec.label} the attribute reports, or use book"
                )
            _check_asha(plan.settings.search, self._settings.asha_grace, plan.adapter.most_reports)
        self._plan = plan
        room = self._cluster.room(self._claim)
        workers = min(plan.workers, room)
        if self._settings.address:  # a cluster may grow while the study runs
            workers = plan.settings.engine.workers or min(room, plan.trials)
            prepare_folder(plan.folder, "results.folder")
            check_shared_folder(plan.folder.absolute())
        self._workers = workers
        # A worker may be on another node, or in another directory.
        return replace(plan, workers=workers, folder=plan.folder.absolute())

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks until there are no more and none is running, or ``stop`` was called.

        Raises:
            WorkerStartError: if workers die at the start, or cannot load ``objective``.
            UserError: if no node has room for a trial any more.
        """
        payload = pickled(objective)
        if isinstance(work, Calls):
            self._run_calls(work, payload)
        else:
            self._run_trials(work, payload, limits)

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; with ``now`` also end the running trials at once."""
        self._stopping = True
        self._now = self._now or now
        if self._table is not None:
            self._table.stopping, self._table.now = True, self._table.now or now

    def _run_trials(self, work: Work, payload: bytes, limits: Limits) -> None:
        from ray import tune

        from studies.engines.ray.calls import search_path
        from studies.engines.ray.pbt import members
        from studies.engines.ray.task_table import TaskTable
        from studies.engines.ray.tune import FairAsha, WorkScheduler, WorkSearcher, WorkStopper
        from studies.engines.ray.worker import Worker

        plan = self._decided_by_tune(work)
        population = plan is not None and plan.settings.population
        # All members of a population run at once.
        places = plan.trials if plan is not None and population else self._workers
        self._table = table = TaskTable(work, places=places, limits=limits)
        table.stopping, table.now = self._stopping, self._now
        searcher: Any = WorkSearcher(table)
        scheduler: Any = WorkScheduler(table, searcher)
        storage = self._folder
        if plan is not None and population:
            searcher, scheduler = members(plan, table)
            storage = self._shared_folder(plan.folder)
        elif plan is not None:
            asha = FairAsha(plan.spec, plan.settings.engine.ray, plan.most_reports)
            scheduler = WorkScheduler(table, searcher, asha)
        trainable = tune.with_parameters(Worker, payload=payload, path=search_path(), limits=limits)
        tuner = tune.Tuner(
            tune.with_resources(trainable, self._claim.resources()),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                # A new process imports torch again: a trial took 3.8 s in place of 0.7.
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=tempfile.mkdtemp(dir=storage),
                stop=WorkStopper(table, self._room_check()),
                # Tune's own record is not needed: the study alone is resumed.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        kept = keep_last_words()
        try:
            with fitting(places):
                tuner.fit()
        finally:
            self._table = None
            table.interrupt()
            del kept
        if table.error is not None:
            raise table.error

    def _decided_by_tune(self, work: Work) -> "Plan | None":
        """Return the plan if Tune, by ASHA or PBT, decides over the trials of ``work``."""
        if self._settings.scheduler == "book" or getattr(work, "phase", "") != "search":
            return None
        return self._plan

    def _shared_folder(self, results: Path) -> str:
        """Return a new folder that all nodes share, where members leave their states."""
        folder = results.absolute() / "checkpoints" / "tune"
        shutil.rmtree(folder, ignore_errors=True)  # left by a run that was killed
        folder.mkdir(parents=True)
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return str(folder)

    def _room_check(self) -> Callable[[], None]:
        """Return what raises when, for too long, no node has had room for a trial."""
        # Long enough for a node that is only silent for a moment, or for one to be added.
        patience = max(self._settings.wait_seconds, _CHECK)
        seen = checked = time.monotonic()

        def check() -> None:
            nonlocal seen, checked
            now = time.monotonic()
            if now - checked < _CHECK:
                return
            checked = now
            if self._cluster.room(self._claim):
                seen = now
            elif now - seen > patience:
                self._cluster.wait_for_room(self._claim, 0)

        return check

    def _import_ahead(self) -> None:
        from studies.engines.ray.calls import import_ahead

        import_ahead(self._preload, options=self._claim.options(), places=self._workers)

    def _run_calls(self, calls: Calls, payload: bytes) -> None:
        from studies.engines.ray.calls import run_calls

        run_calls(
            calls,
            payload,
            options=self._claim.options(),
            places=self._workers,
            stopped=lambda: (self._stopping, self._now),
            check=self._room_check(),
        )


def _check_asha(search: SearchSettings, grace: int, most: int) -> None:
    """Check that Tune's ASHA alone stops trials, and that a trial gets beyond its grace."""
    if search.pruner != "none" or search.sentinels:
        raise ConfigError(
            "engine.ray.scheduler: asha stops trials by itself, so search.pruner must be none and"
            f" search.sentinels 0, but they are {search.pruner} and {search.sentinels:g}"
        )
    if grace > most:
        raise ConfigError(
            f"engine.ray.asha_grace: a trial makes {counted(most, 'report')}, but {grace} are to"
            " be waited for"
        )


def _name(trial: Any) -> str:
    """Return the name of a Tune trial: the number and attempt of the study's."""
    task = trial.config["task"]
    return f"trial-{task.number}-{task.attempt}"
