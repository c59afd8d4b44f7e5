"""The git commits of the code that runs a study: of this program, and of the user's project.

They are not part of the fingerprint: the trainer's version and the hashes of the user's own files
say whether trials can be compared. A commit says where the code can be found.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from mnist_core.plugins.project import folders
from mnist_core.version import PACKAGE

_ROOT = Path(__file__).parents[2]
_PROGRAM: tuple[str, ...] = ("mnist_core", "objectives", "search_spaces", "studies")
_CODE: tuple[str, ...] = ("*.py", "*.toml")
_SECONDS = 10
"""A disk on a network may not answer, and a study does not wait for it."""


class Commit(TypedDict):
    """A commit, and whether the code differs from it; None: git did not say."""

    commit: str
    changed: bool | None


def commits(program: Path = _ROOT) -> dict[str, Commit]:
    """Return the commit of each git checkout with code of the study, by name.

    The program has the package's name, and a project the name of its checkout's folder. Code that
    git does not track is left out, e.g. a package in an environment that lies in a checkout.
    """
    projects = (("", folder, _CODE) for folder in folders())
    found: dict[Path, tuple[str, Commit]] = {}
    for name, folder, paths in ((PACKAGE, program, _PROGRAM), *projects):
        described = _of(folder, paths)
        if described is None:
            continue
        top, now = described
        if top in found:
            name, before = found[top]
            now = {**now, "changed": _any_changed(before, now)}
        found[top] = (name or top.name, now)
    return dict(found.values())


def _of(folder: Path, paths: Sequence[str]) -> tuple[Path, Commit] | None:
    """Return the checkout that tracks ``paths`` of ``folder``, and its commit."""
    known = _git(folder, "rev-parse", "--show-toplevel", "HEAD")
    if known is None or not _git(folder, "ls-files", "--", *paths):
        return None
    top, commit = known.splitlines()
    changes = _git(folder, "status", "--porcelain", "--untracked-files=normal", "--", *paths)
    return Path(top), {"commit": commit, "changed": None if changes is None else bool(changes)}


def _any_changed(one: Commit, other: Commit) -> bool | None:
    both = (one["changed"], other["changed"])
    return True if True in both else None if None in both else False


def _git(folder: Path, *words: str) -> str | None:
    """Return what git prints; None: there is no git, no checkout, or no answer."""
    # GIT_DIR and its like are set in a hook, and would name another checkout.
    environment = {name: of for name, of in os.environ.items() if not name.startswith("GIT_")}
    # A checkout's own settings may name a program that is run to find changed files.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *words]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
