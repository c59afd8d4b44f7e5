"""All checks, the slow ones at the same time."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_core import plugins
from mnist_core.console.plain_text import counted
from mnist_core.errors import ConfigError, UserError
from mnist_core.files import from_here
from studies.cli.doctor import packages
from studies.cli.doctor.children import Answer, Child, Meanwhile
from studies.cli.doctor.data_checks import data_sets
from studies.cli.doctor.finding import Finding, ok, problem
from studies.cli.doctor.gpu import gpu_finding, signs
from studies.cli.doctor.machine_checks import bf16, disks, kernels, memory, processors
from studies.cli.doctor.storage_checks import storage_finding
from studies.cli.doctor.tracker_checks import trackers
from studies.planning.layers import settings_of
from studies.planning.layout import results_folder
from studies.planning.settings import CONF, Settings

NETWORK_SECONDS = 6.0
"""Longest time of the servers of storage and trackers; each has less of its own."""


def findings(
    conf: Path | None, sets: Mapping[str, Any], *, start: Callable[[str], Child] = Child
) -> Iterator[Finding]:
    """Yield what each check found.

    Args:
        conf: read instead of ``conf.toml``.
        sets: settings of the command line, by dotted name.
        start: starts the process of a check.
    """
    broken = _open_project()
    # These take seconds; what is slow in them does not wait for the rest.
    children = {name: start(name) for name in ("torch", "ray", "project")}
    try:
        settings, found = _settings(conf, sets)
        network = Meanwhile(
            lambda: _guarded("trackers", lambda: trackers(settings.tracking)),
            seconds=NETWORK_SECONDS,
            late=[problem("trackers", "no answer about the network", "see the name server")],
        )
        results = results_folder(settings.results.folder)
        stored = Meanwhile(
            lambda: [storage_finding(settings.storage.url, results)],
            seconds=NETWORK_SECONDS,
            late=[problem("storage", "no answer from its server", "see storage.url", stops=True)],
        )
        needed = packages.requirements()
        yield packages.python()
        yield from packages.versions(needed)
        yield from found
        yield from _guarded("processors", lambda: [processors(settings.engine)])
        yield memory(settings.engine)
        yield from _guarded("results", lambda: disks(results))
        yield from stored.result()
        torch = children["torch"].answer()
        project = children["project"].answer()
        needed_here = bool(project.facts.get("trainer", True))
        yield from _guarded("data", lambda: data_sets(settings.train.data, needed=needed_here))
        yield from _of_torch(torch, settings.train.device)
        yield from packages.internals(torch.facts.get("unexpected", []))
        ray = children["ray"].answer()
        error = ray.died or ray.facts.get("error", "")
        yield packages.ray(settings.engine.name, {**ray.facts, "error": error}, needed)
        yield from network.result()
        yield _project(project, broken)
        yield packages.browser()
    finally:
        for child in children.values():
            child.end()


def _open_project() -> str:
    """Find the files of the user's own; return why that cannot be done, or ""."""
    try:
        plugins.open_project()
    except (ConfigError, OSError) as error:
        return str(error)
    return ""


def _settings(conf: Path | None, sets: Mapping[str, Any]) -> tuple[Settings, list[Finding]]:
    """Return the settings, the defaults if they are broken, and what to say about them."""
    file = conf or CONF
    there = file.exists()
    try:
        settings, origins = settings_of("", None, conf=conf, sets=sets)
        results_folder(settings.results.folder)
    except (UserError, OSError) as error:
        remedy = "correct it; until then the defaults are looked at here"
        return Settings(), [problem("settings", str(error), remedy, stops=True)]
    changed = f", {counted(len(origins), 'setting')} not the default" if origins else ""
    if not there:
        return settings, [ok("settings", f"no {file} here: the defaults{changed}")]
    return settings, [ok("settings", f"{from_here(file)} can be read{changed}")]


def _guarded(subject: str, check: Callable[[], Iterator[Finding] | list[Finding]]) -> list[Finding]:
    """Return what ``check`` found; a folder that cannot be looked at is a finding as well."""
    try:
        return list(check())
    except (UserError, OSError) as error:
        return [problem(subject, str(error), "mend it, and look again", stops=True)]


def _of_torch(answer: Answer, device: str) -> Iterator[Finding]:
    facts = answer.facts
    if answer.died:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        hangs = "a GPU or its driver may hang: see nvidia-smi, or set CUDA_VISIBLE_DEVICES=''"
        remedy = "install torch again" if visible == "" else hangs
        yield problem("torch", f"torch cannot be used: {answer.died}", remedy, stops=True)
        return
    if "error" in facts:
        remedy = "pip install --force-reinstall torch"
        yield problem("torch", f"cannot be imported: {facts['error']}", remedy, stops=True)
        return
    if facts["cuda"] or facts["hip"]:
        build = f"with CUDA {facts['cuda']}" if facts["cuda"] else f"with ROCm {facts['hip']}"
    else:
        build = "for the CPU alone"
    yield ok("torch", f"{facts['version']}, built {build}")
    yield gpu_finding(facts, signs(), device=device)
    yield bf16(facts["bf16"])
    yield kernels(facts["kernels"])


def _project(answer: Answer, broken: str) -> Finding:
    if broken:  # the line about the settings says the same
        return problem("project", "not looked at", "correct [project] in conf.toml")
    files = plugins.broken()
    if answer.died:
        remedy = "start each by hand to find it"
        return problem("project", f"importing your own files: {answer.died}", remedy)
    faults = list(dict.fromkeys([*files, *answer.facts["faults"]]))
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        return problem("project", f"{faults[0]}{more}", "correct the file")
    counts = answer.facts["counts"]
    if not counts:
        return ok("project", "no studies, models or other files of your own")
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    folders = ", ".join(str(from_here(one)) for one in plugins.folders()) or "installed packages"
    return ok("project", f"{said} of your own in {folders} can be imported")


def ready(found: Sequence[Finding]) -> bool:
    """Return whether a study can run."""
    return not any(one.stops for one in found)
