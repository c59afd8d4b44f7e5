"""Beginning a run of W&B, and knowing its folder again."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

INIT_SECONDS = 20.0
"""An online run that the server has not answered for by then is not begun."""
_FOLDER = re.compile(r"(?:offline-)?run-\d+_\d+-(.+)")


def begin_run(about: dict[str, Any], began: float, *, online: bool) -> Any:
    """Return a new run.

    Args:
        about: arguments of ``wandb.init``.
        began: seconds after 1970, or 0.
        online: whether it is sent while it is written; one of the same id goes on.

    Raises:
        wandb.errors.Error: it is to be sent, and the server takes it not, or does not answer.
    """
    import wandb

    return wandb.init(
        **about,
        resume="allow" if online else None,
        reinit="create_new",
        settings=wandb.Settings(
            mode="online" if online else "offline",
            console="off",
            silent=True,
            init_timeout=INIT_SECONDS,
            disable_git=True,
            disable_code=True,
            save_code=False,
            x_start_time=began or None,
            x_disable_stats=True,
            x_disable_meta=True,
            x_disable_machine_info=True,
            # Listing all packages takes forty times as long as all the rest.
            x_save_requirements=False,
            # A kill loses a second of history, not fifteen.
            x_transaction_log_flush_interval=1,
        ),
    )


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into tables, as W&B wants them, but for a name that is a table, too."""
    found: dict[str, Any] = {}
    for name in sorted(config):
        *parents, leaf = name.split(".")
        table: Any = found
        for parent in parents:
            table = table.setdefault(parent, {}) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table[leaf] = config[name]
        else:
            found[name] = config[name]
    return found


def is_of_run(folder: Path, identity: str) -> bool:
    """Whether ``folder`` is that of run ``identity``, not of one whose id ends alike."""
    found = _FOLDER.fullmatch(folder.name)
    return found is not None and found[1] == identity
