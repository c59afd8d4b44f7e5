"""Fixtures that all tests share."""

import gc
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from needs import missing

from mnist_core.console.plain_text import counted

REPOSITORY = Path(__file__).resolve().parent.parent

# Machines that run the tests are noisy: a slow example is no failure, and the examples are the same
# in every run, so that a change is judged by what it changes.
settings.register_profile(
    "patient",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("patient")

# A shell's background job ignores Ctrl-C, and so would all that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Threads that wait for each other take time from the other workers of pytest-xdist.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No study of a test is tracked, but where a test asks for it.
os.environ["WANDB_MODE"] = "disabled"


NOT_RUN = pytest.StashKey[int]()
ON_GPU = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Hide a GPU from this process and all that it starts, unless ``-m gpu`` asks for one.

    With a GPU ``device=auto`` means the GPU, but the tests compare exact numbers of a CPU.
    """
    gc.disable()  # until all is imported, of which nothing is garbage: 4 of 24 s
    config.stash[NOT_RUN] = 0
    config.stash[ON_GPU] = bool(re.search(r"(?<!not )\bgpu\b", config.option.markexpr))
    if not config.stash[ON_GPU]:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Tell ``programs.py`` whether the test is a long one, before its fixtures are made."""
    os.environ["LONG_TEST"] = str(int(item.get_closest_marker("long") is not None))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with slow tests first: nobody waits at the end for one that began last."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    if not config.stash[ON_GPU]:
        of_gpu = [item for item in items if item.get_closest_marker("gpu")]
        items[:] = [item for item in items if not item.get_closest_marker("gpu")]
        config.hook.pytest_deselected(items=of_gpu)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave alone what has been imported and collected: the tests make garbage of none of it."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("torch finds no GPU")


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count the long tests that ``make test`` leaves out, with ``-m "not long"``."""
    for item in items if items and "not long" in items[0].config.option.markexpr else ():
        item.config.stash[NOT_RUN] += item.get_closest_marker("long") is not None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist tells the process that starts the workers; each has seen all."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["not_run"] = session.config.stash[NOT_RUN]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    told = getattr(node, "workeroutput", {})  # a worker that was killed leaves none
    node.config.stash[NOT_RUN] = max(node.config.stash[NOT_RUN], told.get("not_run", 0))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the last line what was left out."""
    gc.unfreeze()
    if config.stash[NOT_RUN] and not hasattr(config, "workerinput"):
        print(f"{counted(config.stash[NOT_RUN], 'long test')} not run: make test-all")


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No write waits for the disk: what a power cut would leave, no test can see."""
    monkeypatch.setattr("os.fsync", lambda file: None)
    sqlite = sys.modules.get("studies.storage.sqlite")
    if sqlite is None:
        return
    set_pragmas = sqlite._set_pragmas

    def set_and_flush_nothing(connection: Any, record: Any) -> None:
        set_pragmas(connection, record)
        connection.execute("PRAGMA synchronous=OFF").close()

    monkeypatch.setattr(sqlite, "_set_pragmas", set_and_flush_nothing)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with Optuna's tables, which takes a fifth of a second to make."""
    from studies.storage import sqlite

    path = tmp_path_factory.mktemp("database") / "empty.db"
    sqlite.make_file(path)
    return path


@pytest.fixture(autouse=True)
def ready_made_databases(request: pytest.FixtureRequest) -> Iterator[pytest.MonkeyPatch | None]:
    """Databases are copies of an empty one, whose schema nobody looks at again; see ``undo``.

    test_storage.py has them made and looked at as the product does.
    """
    sqlite = sys.modules.get("studies.storage.sqlite")
    if sqlite is None:
        yield None
        return
    from optuna.storages import RDBStorage

    empty = request.getfixturevalue("empty_database")

    def make_file(path: Path) -> None:
        draft = path.with_name(f".{path.name}.making")
        shutil.copy(empty, draft)
        draft.rename(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "make_file", make_file)
        init = partialmethod(RDBStorage.__init__, skip_compatibility_check=True)
        patch.setattr(RDBStorage, "__init__", init)
        yield patch


@pytest.fixture(scope="session")
def running_server() -> Iterator[Any]:
    """One PostgreSQL server for all tests of this process: to make one takes 2 s of CPU time."""
    import postgres

    reason = postgres.missing()
    if reason:
        missing(reason)
    started = postgres.Server()
    try:
        yield started
    finally:
        started.remove()


@pytest.fixture(scope="session")
def full_mnist() -> Path:
    """Folder with the four files of the full MNIST.

    CI has them beside its checkout. They are not in the repository: elsewhere the test is skipped.
    """
    named = os.environ.get("MNIST_ROOT")
    place = Path(named) if named else REPOSITORY.parent / "shared" / "data" / "mnist"
    if any(place.glob("train-images*")):
        return place
    if named:
        pytest.fail(f"MNIST_ROOT names {place}, which has no train-images*")
    missing("full MNIST files: set MNIST_ROOT to a folder that has them")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 4 MiB of its own; needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode != 0:
        missing(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
