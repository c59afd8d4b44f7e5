"""A PostgreSQL server of the tests' own, in a temporary folder; it can be stopped and restarted."""

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest


def binaries() -> Path | None:
    """Return the folder of ``initdb`` and ``pg_ctl``, or None where there is none."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    # Debian keeps them from the path.
    return next((f.parent for f in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)


def missing() -> str:
    """Return why no server can be started here; "" if one can."""
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "psycopg is not installed"
    if binaries() is None:
        return "PostgreSQL's server is not installed"
    if os.geteuid() == 0 and shutil.which("runuser") is None:
        return "PostgreSQL does not run as root, and there is no runuser"
    return ""


class Server:
    """A server; listens on this machine alone, trusts everybody, flushes nothing."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        if self._as:
            shutil.chown(self.folder, "postgres", "postgres")
        self.port = 0
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "postgres", "--no-sync")
        self._databases = 0
        self.start()

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    def start(self) -> None:
        """Start it, at a port that is free for as long as the server exists."""
        if self.port:
            self._start()
            return
        for left in reversed(range(10)):
            self.port = _free_port()
            try:
                self._start()
                return
            except RuntimeError:  # somebody else took the port since
                if not left:
                    raise

    def _start(self) -> None:
        options = f"-p {self.port} -h 127.0.0.1 -k {self.folder} -c fsync=off"
        log = str(self.folder / "log")
        wait = ["-w", "-t", "600", "-l", log]
        self._run("pg_ctl", "-D", self._data, *wait, "-o", options, "start")

    def stop(self, mode: str = "fast") -> None:
        """``mode``: fast (connections are ended) or immediate (as if it had crashed)."""
        self._run("pg_ctl", "-D", self._data, "-w", "-t", "600", "-m", mode, "stop")

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        self._databases += 1
        name = f"test{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def copy_of(self, url: str) -> str:
        """Return the URL of a copy of the database at ``url``, which nobody is connected to."""
        self._databases += 1
        name = f"test{self._databases}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]}")
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{name}"

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        where = f"host=127.0.0.1 port={self.port} user=postgres dbname={database}"
        with psycopg.connect(where, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        folder = binaries()
        assert folder is not None
        command = [*self._as, str(folder / program), *arguments]
        # The server keeps what it inherits: to a file, or a pipe would never end.
        with (self.folder.parent / f"{self.folder.name}.out").open("w+") as out:
            done = subprocess.run(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd="/", check=False
            )
            out.seek(0)
            said = out.read()
        (self.folder.parent / f"{self.folder.name}.out").unlink()
        if done.returncode != 0:
            raise RuntimeError(f"{program}: {said}")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def server(running_server: Server) -> Server:
    """The server of this process, running; the test is skipped where none can be started."""
    return running_server
