"""All private parts of Ray that this program uses, and the environment that Ray and Tune run in.

Each part is checked at its first use. If it is not as in the tested Ray, a public and slower way is
taken, and one line says so. Without such a way the run ends with an error.
"""

import contextlib
import functools
import inspect
import logging
import os
import pickle
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from mnist_core.errors import UserError
from studies.core.trials import Failure

if TYPE_CHECKING:  # Ray takes seconds to import, and reads its environment as it is imported
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import PopulationBasedTraining

_log = logging.getLogger(__name__)

TESTED = "2.60"
"""The Ray that the private parts below were tested with."""

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_AUTO_INIT": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    # Tune's own record of a run: nothing is resumed from it.
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",
}
"""Environment while the engine lives: Ray and Tune print nothing and report nothing."""

OF_WORKERS = {"PL_DISABLE_FORK": "1", "RAY_CHDIR_TO_TRIAL_DIR": "0"}
"""Environment of workers: they stay in their working directory."""

OF_CLUSTER = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
"""Environment of our own cluster: how long its agents wait when this process was killed."""


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def fitting(places: int) -> Iterator[None]:
    """Have Tune start ``places`` workers at once, and keep its log to itself."""
    logger = logging.getLogger("ray.tune")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with environment({"TUNE_MAX_PENDING_TRIALS_PG": str(places)}):
            yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def no_chatter() -> Iterator[None]:
    """Drop what Ray's C++ parts write to the standard error; errors are raised as well."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _changed(what: str, error: Exception) -> str:
    import ray

    reason = f"{type(error).__name__}: {error}"
    return f"Ray {ray.__version__}: {what} is not as in Ray {TESTED} ({reason})"


@contextlib.contextmanager
def _otherwise(what: str, instead: str) -> Iterator[None]:
    """Say in one line what is done ``instead`` if a changed Ray lacks what is used inside."""
    try:
        yield
    except (ImportError, AttributeError, TypeError) as error:
        _log.warning("%s; %s", _changed(what, error), instead)


def read_environment() -> None:
    """Have Ray read the environment again, which it otherwise does only when it is imported."""
    with _otherwise("reading the environment again", "it is read when Ray is imported"):
        from ray._raylet import Config  # type: ignore[attr-defined]

        Config.initialize("")


def silence() -> None:
    """Keep Ray from printing into the live view what the trial book says already."""
    with _otherwise("the printing of workers' output", "it may print into the live view"):
        from ray._private.ray_logging import global_worker_stdstream_dispatcher

        global_worker_stdstream_dispatcher.remove_handler("ray_print_logs")


# Why a worker ended itself: it leaves the reason for the driver in Ray's internal store. The public
# way is an actor, at the price of one more process.

_KEEPER = "studies_last_words"


class _Words:
    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}

    def put(self, key: bytes, words: bytes) -> None:
        self._kept[key] = words

    def take(self, key: bytes) -> bytes | None:
        return self._kept.pop(key, None)


@functools.cache
def _store() -> Any:
    """Return the module of Ray's internal store; None if it does not keep what it is given."""
    with _otherwise("the internal key-value store", "an actor keeps why workers end themselves"):
        from ray.experimental import internal_kv

        key = f"studies/probe/{secrets.token_hex(8)}".encode()
        internal_kv._internal_kv_put(key, b"words")
        found = internal_kv._internal_kv_get(key)
        internal_kv._internal_kv_del(key)
        if found != b"words" or internal_kv._internal_kv_get(key) is not None:
            raise AttributeError("a value is not kept, or not deleted")
        return internal_kv
    return None


def keep_last_words() -> object:
    """Be ready for last words; hold the returned object as long as workers run."""
    import ray

    if _store() is not None:
        return None
    return ray.remote(_Words).options(name=_KEEPER, get_if_exists=True, num_cpus=0).remote()


def leave_last_words(ip: str, pid: int, failure: Failure) -> None:
    """Leave the reason for which worker ``pid`` of the node at ``ip`` ends itself."""
    import ray

    key, words = _key(ip, pid), pickle.dumps(failure)
    if (store := _store()) is not None:
        store._internal_kv_put(key, words)
    else:
        ray.get(ray.get_actor(_KEEPER).put.remote(key, words))


def take_last_words(ip: str, pid: int) -> Failure | None:
    """Return, once, what worker ``pid`` of the node at ``ip`` left; None: nothing."""
    import ray

    key = _key(ip, pid)
    if (store := _store()) is not None:
        words = store._internal_kv_get(key)
        if words is not None:
            store._internal_kv_del(key)
    else:
        words = ray.get(ray.get_actor(_KEEPER).take.remote(key))
    failure: Failure | None = None if words is None else pickle.loads(words)
    return failure


def _key(ip: str, pid: int) -> bytes:
    return f"studies/last_words/{ip}/{pid}".encode()


def actor_of(trial: "Trial") -> Any:
    """Return the worker that ``trial`` is on.

    Raises:
        UserError: if this Tune does not tell it.
    """
    try:
        return trial.temporary_state.ray_actor
    except AttributeError as error:
        raise _unusable("the worker of a Tune trial", error, "another engine") from None


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise AttributeError(what)


def _unusable(what: str, error: Exception, instead: str) -> UserError:
    return UserError(
        f"{_changed(what, error)}; install Ray {TESTED} (`pip install 'ray[tune]~={TESTED}.0'`), or"
        f" use {instead}"
    )


@functools.cache
def check_pbt() -> None:
    """Check that Tune's population based training is as in the tested Ray.

    Raises:
        UserError: if it is not.
    """
    try:
        from ray.tune.schedulers import PopulationBasedTraining
        from ray.tune.schedulers.pbt import _PBTTrialState

        pbt = PopulationBasedTraining(
            metric="value",
            mode="max",
            perturbation_interval=3,
            hyperparam_mutations={"x": float},
            synch=True,
        )
        _require(pbt._trial_state == {}, "_trial_state")
        _require(pbt._perturbation_interval == 3, "_perturbation_interval")
        _require(pbt._next_perturbation_sync == 3, "_next_perturbation_sync")
        for method, taken in (("_quantiles", ()), ("_get_new_config", ("trial", "trial_to_clone"))):
            found = tuple(inspect.signature(getattr(pbt, method)).parameters)
            _require(found == taken, method)
        state = vars(_PBTTrialState(SimpleNamespace(experiment_tag="")))  # type: ignore[arg-type]
        for name in ("last_train_time", "last_perturbation_time", "last_result"):
            _require(name in state, f"_PBTTrialState.{name}")
    except Exception as error:  # whatever a changed Ray raises
        what = "population based training of Tune"
        raise _unusable(what, error, "engine.ray.scheduler book or asha") from None


Config = dict[str, Any]
Quantiles = tuple[list["Trial"], list["Trial"]]
"""The trials that copy, and those that are copied from."""


class PbtState:
    """What Tune's synchronous population based training keeps, under public names.

    Args:
        pbt: the scheduler.
        order: by which Tune looks at the trials.
        quantiles: returns who copies and who is copied from, given what Tune would return.
        new_config: returns the config of a trial that copies, given the trial, the one that it
            copies, and what Tune would return.

    Raises:
        UserError: if this Tune has other parts.
    """

    def __init__(
        self,
        pbt: "PopulationBasedTraining",
        *,
        order: Callable[["Trial"], int],
        quantiles: Callable[[Quantiles], Quantiles],
        new_config: Callable[["Trial", "Trial", Config], Config],
    ) -> None:
        check_pbt()
        self._pbt: Any = pbt
        of_tune, config_of_tune = pbt._quantiles, pbt._get_new_config

        def own_quantiles() -> Quantiles:
            states = self._pbt._trial_state
            self._pbt._trial_state = {trial: states[trial] for trial in sorted(states, key=order)}
            return quantiles(of_tune())

        def own_config(trial: "Trial", trial_to_clone: "Trial") -> tuple[Config, Any]:
            config, operations = config_of_tune(trial, trial_to_clone)
            return new_config(trial, trial_to_clone, config), operations

        self._pbt._quantiles = own_quantiles  # type: ignore[method-assign]
        self._pbt._get_new_config = own_config  # type: ignore[method-assign]

    @property
    def due(self) -> int:
        """The step at which the generation ends."""
        return int(self._pbt._next_perturbation_sync)

    def begin(self, step: int) -> None:
        """Begin the generation after ``step``."""
        self._pbt._next_perturbation_sync = step + self._pbt._perturbation_interval

    def add(self, trial: "Trial", step: int) -> None:
        """Take ``trial`` in, which is at ``step``."""
        from ray.tune.schedulers.pbt import _PBTTrialState

        state = self._pbt._trial_state[trial] = _PBTTrialState(trial)
        state.last_train_time = state.last_perturbation_time = step

    @property
    def members(self) -> list["Trial"]:
        """The trials, in the order in which Tune looks at them."""
        return list(self._pbt._trial_state)

    def step(self, trial: "Trial") -> int:
        """Return the last step at which ``trial`` came to the end of a generation."""
        return int(self._pbt._trial_state[trial].last_train_time)

    def result(self, trial: "Trial") -> dict[str, Any]:
        """Return what ``trial`` reported there."""
        result: dict[str, Any] = self._pbt._trial_state[trial].last_result
        return result
