"""The commands that hints and errors name.

Each can be pasted as printed, except for passwords, which are never printed. A command names the
study's folder if its name alone would not find it.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_core.console.shell_words import argument, command
from mnist_core.files import from_here
from mnist_core.table import parse_assignment
from studies.core import study_names
from studies.core.redaction import masked
from studies.planning.layout import results_folder
from studies.planning.plan import Plan
from studies.planning.settings import CONF, RECORDED, SET, Settings, setting_of, short_name
from studies.storage.url import JOURNAL

_PATH = "results.folder"
_PLACE = (_PATH, "storage.url")


def run_command(plan: Plan, *words: object) -> str:
    """Return the command that runs or resumes the study, with the settings that were given."""
    return command("studies.run", *_named(plan, plan.origins), *words)


def resumable(plan: Plan) -> bool:
    """Return whether ``run_command`` resumes the study: its folder still has its name."""
    return plan.folder.name == plan.name


def resume_hint(plan: Plan) -> str:
    """Return ``run_command``, or what has to be done before it."""
    if resumable(plan):
        return run_command(plan)
    return f"its folder {from_here(plan.folder)} must first be called {plan.name} again"


def look_command(program: str, plan: Plan, *words: object) -> str:
    """Return ``python -m studies PROGRAM`` for the study, e.g. for ``status``."""
    if _needs_folder(plan):
        return folder_command(program, plan.folder, *words)
    keys = [key for key in _PLACE if key in plan.origins]
    return command("studies", program, *_named(plan, keys), *words)


def folder_command(program: str, folder: Path, *words: object) -> str:
    """Return ``python -m studies PROGRAM`` for the study that is kept in ``folder``."""
    word = str(from_here(folder))
    # Without a slash it would be a study's name.
    word = argument(word) if os.sep in word else os.path.join(os.curdir, word)
    return command("studies", program, word, *words)


def fork_command(plan: Plan, fork: str) -> str:
    """Return the command that makes the fork ``fork`` of the study."""
    return command("studies.run", *_named(plan, plan.origins, fork=""), "--fork", fork)


def train_command(file: Path) -> str:
    """Return the command that trains an exported configuration again."""
    return command("mnist_core", "train", argument(file))


def reproduce_command(file: Path) -> str:
    """Return the command that trains an exported configuration again, and compares."""
    return command("studies", "reproduce", argument(file))


def again_command(arguments: Sequence[str]) -> str:
    """Return the command line that resumes the run which was started with ``arguments``."""
    once = ("--fresh", "--retry-failed")
    return command("studies.run", *(masked(word) for word in arguments if word not in once))


def _named(plan: Plan, keys: Iterable[str], *, fork: str | None = None) -> list[str]:
    """Return the words that name the study, with the given settings among ``keys``."""
    quick, own = study_names.parts(plan.name, plan.spec.name)
    words = [study_names.full(plan.spec.name, fork=own if fork is None else fork)]
    if quick:
        words.append("--quick")
    keys = list(keys)
    files = {plan.origins[key].split(" [")[0] for key in keys}
    words += [word for file in sorted(files) if _is_conf(file) for word in ("--conf", file)]
    for key in keys:
        if plan.origins[key] in (SET, RECORDED):
            written = _written(plan.settings, key)
            words += [] if written is None else ["--set", f"{short_name(key)}={written}"]
    return words


def _needs_folder(plan: Plan) -> bool:
    """Return whether the study's name alone would not find it, but its folder does."""
    usual = results_folder(plan.settings.results.folder) / plan.name
    given = plan.origins.get(_PATH, str(CONF))
    elsewhere = given in (SET, RECORDED) or _is_conf(given.split(" [")[0]) or usual != plan.folder
    file = Path(plan.storage_url.removeprefix(JOURNAL))
    return elsewhere and (not plan.settings.storage.url or file.parent == plan.folder)


def _is_conf(source: str) -> bool:
    return source.endswith(".toml") and source != str(CONF)


def _written(settings: Settings, key: str) -> str | None:
    """Return a setting as ``--set`` reads it; None: it is not set, which ``--set`` cannot say."""
    value: Any = setting_of(settings, key)
    if isinstance(value, str):
        text = value if key == _PATH else masked(value)
        # Quoted if it would be read as a number, or without its spaces.
        return text if parse_assignment(f"v={text}")[1] == text else _toml(text)
    if value is None:
        return None
    return _toml(setting_of(settings.model_dump(mode="json"), key))


def _toml(value: Any) -> str:
    """Return a plain value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
