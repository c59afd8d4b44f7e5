"""A study on several hosts: a Ray cluster, or supervisors that share one PostgreSQL."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import measure

from crowd.hosts import Host

RAY_PORT, POSTGRES_PORT = 6379, 5432
PATIENCE = 300.0
"""Seconds for anything here to start."""

_POSTGRES = """
set -e
chown postgres "$1"
run() { runuser -u postgres -- "$@"; }
run "$2/initdb" -D "$1/data" -A trust -U postgres --no-sync
echo "host all all $3/24 trust" >> "$1/data/pg_hba.conf"
exec runuser -u postgres -- "$2/postgres" -D "$1/data" -h "$3" -p "$4" -k "$1" -c fsync=off
"""


class Programs:
    """Programs on hosts, whose output is kept in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            "PYTHONPATH": str(measure.ROOT),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def start(
        self, host: Host, name: str, command: Sequence[object], folder: Path | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a program, which is called ``name`` here; ``folder`` is where it works."""
        with self._log(host, name).open("wb") as output:
            return host.start(command, output=output, environment=self._environment, folder=folder)

    def output(self, host: Host, name: str) -> str:
        """Return what program ``name`` of ``host`` has said so far."""
        log = self._log(host, name)
        return log.read_text(errors="replace") if log.exists() else ""

    def wait_for(self, host: Host, name: str, words: str) -> None:
        """Wait until it says ``words``."""
        end = time.monotonic() + PATIENCE
        while words not in self.output(host, name):
            if time.monotonic() > end:
                raise TimeoutError(f"{host.name}: {name}:\n{self.output(host, name)[-2000:]}")
            time.sleep(0.1)

    def result(self, host: Host, name: str, command: Sequence[object]) -> dict[str, Any]:
        """Run a program to its end; return the JSON object in the last line that it says."""
        program = self.start(host, name, command)
        if program.wait():
            raise RuntimeError(f"{host.name}: {name}:\n{self.output(host, name)[-3000:]}")
        found: dict[str, Any] = json.loads(self.output(host, name).splitlines()[-1])
        return found

    def _log(self, host: Host, name: str) -> Path:
        return self._folder / f"{host.name}-{name}.log"


@contextmanager
def ray_cluster(programs: Programs, hosts: Sequence[Host], places: int) -> Iterator[str]:
    """Start Ray on each host, with so many places each; yield the cluster's address.

    The first host is its head.
    """
    address = f"{hosts[0].address}:{RAY_PORT}"
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    ray += ["--num-cpus", str(places), "--object-store-memory", str(80 * 2**20)]
    begun = []
    for number, host in enumerate(hosts):
        head = ["--head", "--port", str(RAY_PORT), "--include-dashboard=false"]
        where = head if number == 0 else ["--address", address]
        command = [*ray, *where, "--node-ip-address", host.address]
        begun.append(programs.start(host, "ray", command))
        if number == 0:
            programs.wait_for(host, "ray", "Ray runtime started")
    for host in hosts:
        programs.wait_for(host, "ray", "Ray runtime started")
    try:
        yield address
    finally:
        for program in begun:
            program.terminate()
        for program in begun:
            program.wait()


@contextmanager
def postgres(programs: Programs, host: Host) -> Iterator[str]:
    """Start a PostgreSQL server on ``host``; yield the storage URL that leads to it."""
    [binaries] = {f.parent for f in Path("/usr/lib/postgresql").glob("*/bin/initdb")}
    folder = host.folder / "postgres"
    folder.mkdir()
    script = ["sh", "-c", _POSTGRES, "sh", folder, binaries, host.address, POSTGRES_PORT]
    server = programs.start(host, "postgres", script)
    programs.wait_for(host, "postgres", "ready to accept connections")
    try:
        yield f"postgresql+psycopg://postgres@{host.address}:{POSTGRES_PORT}/postgres"
    finally:
        server.terminate()
        server.wait()
