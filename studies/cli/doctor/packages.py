"""Checks of what is installed: Python, packages and their tested versions, Ray, a browser."""

import importlib.util
import logging
import platform
import re
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from mnist_core.version import PACKAGE, package_version
from studies.cli.doctor.finding import Finding, note, ok, problem
from studies.storage import optuna_internals

Find = Callable[[str], str | None]
_TESTED = re.compile(r"Programming Language :: Python :: (\d\.\d+)")
_SERVES = {"torch", "torchvision", "optuna", "numpy", "pydantic", "sqlalchemy", "rich", "typer"}
"""Packages without which no study runs; others are needed for a part only."""


def installed(name: str) -> str | None:
    """Return the installed version of package ``name``; None: it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def requirements() -> list[Requirement]:
    """Return what this package needs, and what its extras need; [] if it is not installed."""
    try:
        return [Requirement(line) for line in metadata.requires(PACKAGE) or []]
    except metadata.PackageNotFoundError:
        return []


def python() -> Finding:
    """Return whether this Python is one that the tests ran with."""
    text = f"{platform.python_version()}, {sys.executable}"
    try:
        classifiers = metadata.metadata(PACKAGE).get_all("Classifier") or []
    except metadata.PackageNotFoundError:
        return ok("python", text)
    tested = [found[1] for one in classifiers if (found := _TESTED.fullmatch(one))]
    if "{}.{}".format(*sys.version_info) in tested or not tested:
        return ok("python", text)
    return note("python", f"{text}; the tests run with {', '.join(tested)}")


def versions(needed: list[Requirement], find: Find = installed) -> Iterator[Finding]:
    """Yield what is missing or was not tested in this version; one line if all is well."""
    if not needed:
        remedy = "pip install -e . in its folder, so that versions can be checked"
        yield note("packages", f"{PACKAGE} is not installed, but run from its source", remedy)
        return
    fine = True
    for one in needed:
        finding = _of_requirement(one, find(one.name))
        fine = fine and finding is None
        if finding is not None:
            yield finding
    if fine:
        yield ok("packages", f"{PACKAGE} {package_version()}, all packages in tested versions")


def _of_requirement(needed: Requirement, there: str | None) -> Finding | None:
    optional = needed.marker is not None and not needed.marker.evaluate({"extra": ""})
    command = f"pip install '{needed.name}{_extras(needed)}{needed.specifier}'"
    if there is None:
        if optional or needed.name == "ray":  # which has a line of its own
            return None
        stops = needed.name in _SERVES
        return problem("packages", f"{needed.name} is not installed", command, stops=stops)
    if needed.specifier.contains(there, prereleases=True):
        return None
    text = f"{needed.name} {there} is outside of {needed.specifier}, the tested versions"
    above = [one for one in needed.specifier if one.operator in (">=", ">")]
    if not SpecifierSet(",".join(map(str, above))).contains(there, prereleases=True):
        return problem("packages", text, command)
    return note("packages", text, command)


def _extras(needed: Requirement) -> str:
    return f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""


def internals(unexpected: list[str]) -> Iterator[Finding]:
    """Yield which private parts are not as expected; ``unexpected``: what torch's module says."""
    # Its own warnings would come between the lines.
    logger = logging.getLogger(optuna_internals.__name__)
    before, logger.disabled = logger.disabled, True
    try:
        checks = {
            "the identities of studies and trials": optuna_internals.identities_known,
            "trials that are not stored yet": optuna_internals.drafts_known,
            "the tables of a database": optuna_internals.tables_known,
        }
        changed = [what for what, known in checks.items() if not known()]
    finally:
        logger.disabled = before
    there = installed("optuna")
    if changed:
        text = f"Optuna {there}: {', '.join(changed)} are not as in the tested versions"
        yield note("internals", f"{text}; the slower public way is taken")
    for line in unexpected:
        yield note("internals", line)
    if not changed and not unexpected:
        yield ok("internals", "the private parts of Optuna and torch are as expected")


def ray(engine: str, answer: Mapping[str, Any], needed: list[Requirement]) -> Finding:
    """Return whether Ray can be used; ``engine`` is the setting ``engine.name``."""
    wanted = engine == "ray"
    version, error = answer.get("version"), answer.get("error", "")
    if version:
        return ok(
            "ray", f"{version} can be imported" + ("" if wanted else "; --engine ray uses it")
        )
    remedy = _install_ray(needed)
    if importlib.util.find_spec("ray") is None:
        text = "is not installed; only --engine ray needs it"
        if not wanted:
            return note("ray", text, remedy)
        return problem("ray", "is not installed, but engine.name is ray", remedy, stops=True)
    return problem("ray", f"cannot be imported: {error}", remedy, stops=wanted)


def _install_ray(needed: list[Requirement]) -> str:
    for one in needed:
        if one.name == "ray":
            extra = re.search(r"extra == ['\"]([\w-]+)['\"]", str(one.marker or ""))
            what = f"{PACKAGE}[{extra[1]}]" if extra else f"ray[tune]{one.specifier}"
            return f"pip install '{what}'"
    return "pip install 'ray[tune]'"


def browser(get: Callable[[], Any] = webbrowser.get) -> Finding:
    """Return whether reports and the dashboard can be opened from here."""
    try:
        found = get()
    except webbrowser.Error:
        remedy = "report.html is one file: copy it to a machine with a browser"
        return note("browser", "none can be opened from here", remedy)
    return ok("browser", f"{getattr(found, 'name', '') or type(found).__name__} opens reports")
