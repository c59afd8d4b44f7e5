"""The commands that hints and errors name, and how addresses with passwords are printed.

Each can be pasted as it is printed, but for a password, which is never printed: it says where the
study is, if its name alone would not be found there.
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
from studies.planning import machine
from studies.planning.layers import setting_of
from studies.planning.plan import Plan
from studies.planning.settings import CONF, RECORDED, SET, short_name
from studies.storage.url import JOURNAL

_PLACE = ("results.folder", "storage.url")
_PATH = "results.folder"


def run_command(plan: Plan, *words: object) -> str:
    """Return the command that runs or resumes the study, with the settings that were given."""
    return command("studies.run", *_named(plan, plan.origins), *words)


def resumable(plan: Plan) -> bool:
    """Return whether ``run_command`` resumes the study: its folder is still called as it is."""
    return plan.folder.name == plan.name


def resume_hint(plan: Plan) -> str:
    """Return ``run_command`` with what has to be done before it, if anything."""
    if resumable(plan):
        return run_command(plan)
    return f"its folder {from_here(plan.folder)} must first be called {plan.name} again"


def look_command(program: str, plan: Plan, *words: object) -> str:
    """Return the command ``python -m studies PROGRAM`` on the study, which is named by its place.

    Args:
        program: e.g. ``status``.
        plan: of the study.
        words: further ones.
    """
    if _known_by_folder(plan):
        return folder_command(program, plan.folder, *words)
    keys = [key for key in _PLACE if key in plan.origins]
    return command("studies", program, *_named(plan, keys), *words)


def folder_command(program: str, folder: Path, *words: object) -> str:
    """Return the command ``python -m studies PROGRAM`` on the study that is kept in ``folder``."""
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
    """Return the command line of a run once more, now to go on with what it has begun."""
    once = ("--fresh", "--retry-failed")
    return command("studies.run", *(masked(word) for word in arguments if word not in once))


def _named(plan: Plan, keys: Iterable[str], *, fork: str | None = None) -> list[str]:
    """Return the words that name the study, with the given ones of the settings ``keys``."""
    quick, own = study_names.parts(plan.name, plan.spec.name)
    words = [study_names.full(plan.spec.name, fork=own if fork is None else fork)]
    if quick:
        words.append("--quick")
    keys = list(keys)
    files = {plan.origins[key].split(" [")[0] for key in keys}
    words += [word for file in sorted(files) if _is_conf(file) for word in ("--conf", file)]
    for key in keys:
        if plan.origins[key] in (SET, RECORDED) and (written := _written(plan, key)) is not None:
            words += ["--set", f"{short_name(key)}={written}"]
    return words


def _known_by_folder(plan: Plan) -> bool:
    """Return whether the study is found by its folder, and not by its name alone."""
    usual = machine.results_folder(plan.settings.results.folder) / plan.name
    given = plan.origins.get(_PATH, str(CONF))
    elsewhere = given in (SET, RECORDED) or _is_conf(given.split(" [")[0]) or usual != plan.folder
    file = Path(plan.storage_url.removeprefix(JOURNAL))
    return elsewhere and (not plan.settings.storage.url or file.parent == plan.folder)


def _is_conf(source: str) -> bool:
    return source.endswith(".toml") and source != str(CONF)


def _written(plan: Plan, key: str) -> str | None:
    """Return a setting as ``--set`` reads it; None: it is not set, which nothing can say."""
    value: Any = setting_of(plan.settings, key)
    if isinstance(value, str):
        text = value if key == _PATH else masked(value)
        # What would be read as a number, or without its spaces, is quoted.
        return text if parse_assignment(f"v={text}")[1] == text else _toml(text)
    return None if value is None else _toml(_plain(plan, key))


def _plain(plan: Plan, key: str) -> Any:
    value: Any = plan.settings.model_dump(mode="json")
    for part in key.split("."):
        value = value[part]
    return value


def _toml(value: Any) -> str:
    """Return a plain value as TOML on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
