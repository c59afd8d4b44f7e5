"""The commands that hints and errors name, and how addresses with passwords are printed."""

import json
import re
import shlex
from typing import Any

from studies.forks import fork_names
from studies.planning.plan import Plan
from studies.planning.settings import CONF, short_name

# Greedy: a password may hold nearly everything, and better too much is hidden than too little.
_USER = re.compile(r"(://[^:/?#\s]*):.*@")
_QUERY = re.compile(r"(?i)([?&][^=&\s]*(?:pass|pwd|secret|token)[^=&\s]*=)[^&'\"]*")
_PLACE = ("results.folder", "storage.url")


def masked(text: str) -> str:
    """Return ``text`` with ``***`` for every password of an address in it.

    That is what stands between ``:`` and ``@`` before a host, and the query's values whose names
    speak of a password, a secret or a token.
    """
    return _QUERY.sub(r"\1***", _USER.sub(r"\1:***@", text))


def run_command(plan: Plan) -> str:
    """Return the command that runs or resumes the study, with the settings that were given."""
    return _command("studies.run", plan, plan.origins)


def dashboard_command(plan: Plan) -> str:
    """Return the command that opens the dashboard; it needs to know no more than the place."""
    return _command("studies dashboard", plan, [key for key in _PLACE if key in plan.origins])


def status_command(plan: Plan) -> str:
    """Return the command that says how the study stands."""
    return _command("studies status", plan, [key for key in _PLACE if key in plan.origins])


def sync_command(plan: Plan) -> str:
    """Return the command that gives trackers what they lack, and uploads it."""
    return _command("studies sync", plan, [key for key in _PLACE if key in plan.origins])


def _command(program: str, plan: Plan, keys: Any) -> str:
    quick, fork = fork_names.parts(plan.name, plan.spec.name)
    words = ["python", "-m", *program.split(), fork_names.full(plan.spec.name, fork=fork)]
    if quick:
        words.append("--quick")
    files = {plan.origins[key].split(" [")[0] for key in keys}
    words += [word for file in sorted(files) if _is_conf(file) for word in ("--conf", file)]
    for key in keys:
        if plan.origins[key] == "--set":
            words += ["--set", f"{short_name(key)}={_written(plan, key)}"]
    return shlex.join(masked(word) for word in words)


def _is_conf(source: str) -> bool:
    return source.endswith(".toml") and source != str(CONF)


def _written(plan: Plan, key: str) -> str:
    value: Any = plan.settings
    for part in key.split("."):
        value = value[part] if isinstance(value, dict) else getattr(value, part)
    return value if isinstance(value, str) else json.dumps(value)
