"""A study by its name, or by a folder of results: another environment's, or one moved aside."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError, UserError, unknown_name
from mnist_core.table import parse_assignment
from studies import catalog
from studies.forks import fork_names
from studies.hints import masked
from studies.planning import plan
from studies.planning.plan import Plan
from studies.storages.file_urls import sqlite_url

DATABASE = "study.db"


def find(
    study: str,
    *,
    conf: Path | None = None,
    assignments: list[str] | None = None,
    sets: Mapping[str, Any] | None = None,
    quick: bool = False,
) -> Plan:
    """Return the plan of a study that has been run.

    Args:
        study: its name, e.g. ``optim_search``, or the folder that it left, e.g.
            ``results/cuda/optim_search-quick`` or ``results/optim_search.20261121-101500``.
        conf: another file than ``conf.toml``.
        assignments: ``KEY=VALUE`` of a command line.
        sets: dotted settings besides those.
        quick: the study's small run; a folder's name says so itself.

    Raises:
        UserError: there is no such study, or a setting is wrong.
    """
    try:
        given = dict(sets or {}) | dict(parse_assignment(text) for text in assignments or [])
        known = catalog.names()
        if study in known or (_study(study) in known and not Path(study).is_dir()):
            return plan.resolve(study, conf=conf, sets=given, quick=quick)
        return _of_folder(Path(study), study, conf=conf, sets=given)
    except ConfigError as error:
        raise ConfigError(masked(str(error))) from None


def _of_folder(folder: Path, said: str, *, conf: Path | None, sets: Mapping[str, Any]) -> Plan:
    if "/" not in said and not folder.is_dir():
        raise UserError(f"{unknown_name('study', said, catalog.names())}, and there is no folder")
    if not (folder / DATABASE).is_file():
        raise UserError(
            f"{folder}: is no folder of a study, which holds a {DATABASE}; name a study, or a"
            " folder such as results/optim_search"
        )
    # --fresh moves the folder of an earlier run to <name>.<time>.
    name = folder.resolve().name.partition(".")[0]
    base = _study(name)
    quick, fork = fork_names.parts(name, base)
    found = plan.resolve(fork_names.full(base, fork=fork), conf=conf, sets=sets, quick=quick)
    folder = folder.absolute()
    return dataclasses.replace(found, folder=folder, storage_url=sqlite_url(folder / DATABASE))


def _study(name: str) -> str:
    """Return the study that ``name``, which may be that of a fork, belongs to."""
    return name if name in catalog.names() else name.partition("-")[0]
