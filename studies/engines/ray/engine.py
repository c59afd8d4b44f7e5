"""The engine ``ray``: trials are Ray Tune trials, on this machine or on a cluster.

``python -m studies.run optim_search --engine ray [--ray-address auto]``

Tune (``Tuner``) places trials and speaks to their workers; the trial book says what is run, who is
stopped, what is tried again and when all is done, through Tune's extension points
(``_ray_tune.py``). So the study is the same as with any engine, and it alone is what an interrupted
run is resumed from. Workers are used again for as long as a run of trials lasts; plain calls are
Ray tasks.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError, UserError
from mnist_core.files import prepare_folder
from objectives.base import Objective
from studies.core.trials import NO_LIMITS, Limits
from studies.engines._local.calls import _Calls
from studies.engines._local.worker_start import pickled
from studies.engines.base import ALL, Resources, Work
from studies.engines.ray.cluster import Claim, Cluster
from studies.engines.ray.nodes import check_modules, check_shared_folder, living_nodes
from studies.engines.ray.quiet import environment, quiet
from studies.engines.ray.tasks import search_path
from studies.planning import machine
from studies.planning.ray_settings import RaySettings
from studies.search.population_checks import is_population

if TYPE_CHECKING:  # ray takes seconds to import
    from studies.engines.ray.desk import Desk
    from studies.planning.plan import Plan

_GIB = 1024**3
_CHECK = 1.0
"""Seconds between two looks for a node that a trial fits, while none runs."""


def create(
    *, workers: int, threads: int, preload: Sequence[str] = (), resources: Resources = ALL
) -> "Ray":
    """Return the engine with ``workers`` trials at once, of ``threads`` CPU threads each."""
    return Ray(workers=workers, threads=threads, preload=preload, resources=resources)


class Ray:
    """Runs trials on Ray.

    Args:
        workers: trials at once, >= 1.
        threads: CPU threads of each, 0: an equal share of this machine's cores.
        preload: modules that every node must be able to import.
        resources: ``ray`` says where, and what a trial claims.
    """

    def __init__(
        self,
        *,
        workers: int,
        threads: int,
        preload: Sequence[str] = (),
        resources: Resources = ALL,
    ) -> None:
        if workers < 1:
            raise UserError(f"engine.workers must be 1 or more, but got {workers}")
        self._settings = resources.ray or RaySettings()
        self._say = resources.say
        self._workers = workers
        self._preload = preload
        threads = threads or max(1, machine.cores() // workers)
        self._claim = Claim(
            cpus=self._settings.cpus or float(threads),
            gpus=self._settings.gpus,
            memory=int(self._settings.memory_gib * _GIB),
        )
        # Those of this machine, or as many as trials take that say nothing of it.
        cpus = machine.cores()
        if not self._settings.cpus:
            cpus = max(cpus, workers * threads)
        self._cluster = Cluster(
            self._settings.address, cpus=cpus, gpus=None if self._claim.gpus else 0
        )
        self._rules: Plan | None = None
        self._desk: Desk | None = None
        self._stopping = self._now = False
        self._folder = ""

    def __enter__(self) -> Self:
        """Start or join the cluster.

        Raises:
            UserError: it cannot be reached, no node has room for a trial, or one lacks a package.
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
            UserError: the folder of results is not the same on all nodes, or who stops trials
                cannot be told.
        """
        self._rules = self._checked_rules(plan)
        room = self._cluster.room(self._claim)
        workers = min(plan.workers, room)
        if self._settings.address:  # a cluster may grow while the study runs
            workers = plan.settings.engine.workers or min(room, plan.trials)
            prepare_folder(plan.folder, "results.folder")
            check_shared_folder(plan.folder.absolute())
        self._workers = workers
        return replace(plan, workers=workers, folder=plan.folder.absolute())

    def run(self, work: Work, objective: Objective, limits: Limits = NO_LIMITS) -> None:
        """Run tasks until there is none and none is running, or ``stop`` was asked for.

        Raises:
            WorkerStartError: workers die at once, or cannot load ``objective``.
            UserError: no node has room for a trial any more.
        """
        payload = pickled(objective)
        if isinstance(work, _Calls):
            self._run_calls(work, payload)
        else:
            self._run_trials(work, payload, limits)

    def stop(self, *, now: bool = False) -> None:
        """Start nothing more; with ``now`` also end the running trials at once."""
        self._stopping = True
        self._now = self._now or now
        if self._desk is not None:
            self._desk.stopping, self._desk.now = True, self._desk.now or now

    def _run_trials(self, work: Work, payload: bytes, limits: Limits) -> None:
        from ray import tune

        from studies.engines.ray.desk import Desk
        from studies.engines.ray.tune import WorkStopper
        from studies.engines.ray.worker import Worker

        plan = self._rules if getattr(work, "phase", "") == "search" else None
        members = plan.trials if plan is not None and is_population(plan) else 0
        places = members or self._workers  # of a population all are out at once
        self._desk = desk = Desk(work, places=places, limits=limits)
        desk.stopping, desk.now = self._stopping, self._now
        searcher, scheduler = self._extensions(desk, plan)
        trainable = tune.with_parameters(Worker, payload=payload, path=search_path(), limits=limits)
        tuner = tune.Tuner(
            tune.with_resources(trainable, self._claim.resources()),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name="trials",
                storage_path=self._storage(plan if members else None),
                stop=WorkStopper(desk, self._room_check()),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                verbose=0,
            ),
        )
        try:
            # As many workers may start at once as there are places.
            with environment({"TUNE_MAX_PENDING_TRIALS_PG": str(places)}), quiet():
                tuner.fit()
        finally:
            self._desk = None
            desk.interrupt()
        if desk.error is not None:
            raise desk.error

    def _extensions(self, desk: "Desk", plan: "Plan | None") -> "tuple[Any, Any]":
        """Return the searcher and the scheduler; ``plan`` if Tune decides over its trials."""
        from studies.engines.ray.asha import fair_asha
        from studies.engines.ray.tune import WorkScheduler, WorkSearcher

        if plan is not None and is_population(plan):
            from studies.engines.ray.pbt import members

            return members(plan, desk)
        searcher = WorkSearcher(desk)
        return searcher, WorkScheduler(desk, searcher, fair_asha(plan) if plan else None)

    def _storage(self, population: "Plan | None") -> str:
        """Return a new folder for Tune; members of a population need one that all nodes share."""
        if population is None:
            return tempfile.mkdtemp(dir=self._folder)
        folder = population.folder.absolute() / "checkpoints" / "tune"
        shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
        folder.mkdir(parents=True)
        self._stack.callback(shutil.rmtree, folder, ignore_errors=True)
        return str(folder)

    def _room_check(self) -> Callable[[], None]:
        """Return what raises when, for too long, no node has had room for a trial."""
        # Long enough for a node that is only silent for a moment, or for one to be added.
        patience = max(self._settings.wait_seconds, _CHECK)
        seen = looked = time.monotonic()

        def check() -> None:
            nonlocal seen, looked
            now = time.monotonic()
            if now - looked < _CHECK:
                return
            looked = now
            if self._cluster.room(self._claim):
                seen = now
            elif now - seen > patience:
                self._cluster.wait_for_room(self._claim, 0)

        return check

    def _import_ahead(self) -> None:
        from studies.engines.ray.calls import import_ahead

        import_ahead(self._preload, options=self._claim.options(), places=self._workers)

    def _run_calls(self, calls: _Calls, payload: bytes) -> None:
        from studies.engines.ray.calls import run_calls

        run_calls(
            calls,
            payload,
            options=self._claim.options(),
            places=self._workers,
            stopped=lambda: (self._stopping, self._now),
            check=self._room_check(),
        )

    def _checked_rules(self, plan: "Plan") -> "Plan | None":
        """Return the plan if Tune decides over its trials: ASHA, or PBT."""
        if self._settings.scheduler == "book":
            return None
        if self._settings.scheduler == "pbt":  # checked with the search
            return plan
        search = plan.settings.search
        if search.pruner != "none" or search.sentinels:
            raise ConfigError(
                f"engine.ray.scheduler: {self._settings.scheduler} stops trials by itself, so"
                " search.pruner must be none and search.sentinels 0, but they are"
                f" {search.pruner} and {search.sentinels:g}"
            )
        most = plan.train.epochs * plan.train.reports_per_epoch
        if self._settings.asha_grace > most:
            raise ConfigError(
                f"engine.ray.asha_grace: a trial makes {counted(most, 'report')}, but"
                f" {self._settings.asha_grace} are to be waited for"
            )
        return plan


def _name(trial: Any) -> str:
    """Return the name of a Tune trial: the number and attempt of the study's."""
    task = trial.config["task"]
    return f"trial-{task.number}-{task.attempt}"
