"""Runs of Weights & Biases, each started on its own and finished when it is on disk, or sent."""

import os
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mnist_core.console.redaction import masked
from mnist_core.tracking.wandb_account import AccountProblem, check_account
from mnist_core.tracking.wandb_internals import (
    import_all,
    run_file,
    run_settings,
    wait_until_ended,
)

WRITE_SECONDS = 10.0
"""Seconds that W&B may take to write what it has finished; normally it takes milliseconds."""
_FOLDER = re.compile(r"(?:offline-)?run-\d+_\d+-(.+)")


class NotWritten(Exception):
    """W&B has finished an offline run that is not on disk to its end."""


class WandbRuns:
    """The runs that one process keeps in ``<folder>/wandb``, and sends if it is online.

    ``say`` gets a line about why runs are kept offline although they were to be sent.

    Attributes:
        online: whether runs are sent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        project: str | None,
        entity: str | None,
        online: bool,
        say: Callable[[str], object],
    ) -> None:
        self.folder = folder / "wandb"
        self._project, self._entity, self._say = project, entity, say
        _set_environment(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.online = online
        if online:
            try:
                check_account()
            except AccountProblem as problem:
                self.online = False
                say(f"{problem}; runs are kept offline")

    def start(
        self,
        identity: str,
        *,
        group: str | None,
        job_type: str,
        name: str,
        config: Mapping[str, Any],
        began: float,
    ) -> Any:
        """Return a new run; ``config`` has dotted names. An online run of the same id resumes."""
        import wandb

        self._remove(identity)
        try:
            return wandb.init(
                project=self._project,
                entity=self._entity,
                group=group,
                job_type=job_type,
                name=name,
                id=identity,
                config=nested(config),
                dir=str(self.folder.parent),
                resume="allow" if self.online else None,
                reinit="create_new",
                settings=run_settings(online=self.online, began=began),
            )
        except wandb.errors.Error as error:
            if self.online:
                self.online = False  # a server that hangs would cost 20 seconds for each run
                reason = " ".join(masked(str(error)).split())
                self._say(f"W&B takes no run: {reason[:120]}; further runs are kept offline")
            raise  # its service starts no other run of this id: that is for the next process

    def finish(self, run: Any, *, exit_code: int = 0) -> None:
        """Finish ``run``, and wait until it is on disk, or sent.

        Raises:
            NotWritten: if it is not on disk: its service may have died, or the disk may be full.
        """
        online, file = not run.offline, run_file(run)
        run.finish(exit_code=exit_code)
        if not online and not wait_until_ended(file, WRITE_SECONDS):
            raise NotWritten(f"W&B has not written {file.name} to its end")

    def _remove(self, identity: str) -> None:
        """Remove what an earlier run ``identity`` has left, not one whose id ends alike."""
        for left in self.folder.glob(f"*run-*-{identity}"):
            found = _FOLDER.fullmatch(left.name)
            if found is not None and found[1] == identity:
                # An offline run of the same id would be uploaded beside the new one.
                shutil.rmtree(left)


def import_early(folder: Path) -> None:
    """Import all of W&B that the runs in ``<folder>/wandb`` need, which takes seconds."""
    _set_environment(folder / "wandb")
    import_all()


def _set_environment(folder: Path) -> None:
    """Set W&B's variables for runs in ``folder``, before its import, which reads them."""
    os.environ["WANDB_ERROR_REPORTING"] = "false"
    # Artifacts wait here, too, with their runs.
    os.environ["WANDB_DATA_DIR"] = os.environ["WANDB_CACHE_DIR"] = str(folder)
    os.environ.pop("WANDB_MODE", None)  # the caller decides
    # The parent process may use W&B, too; its service knows runs that may have our ids.
    os.environ.pop("WANDB_SERVICE", None)


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into tables, as W&B wants them; a name that is also a table stays."""
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


def confusion_chart(matrix: Sequence[Sequence[int]], names: Sequence[str] = ()) -> Any:
    """Return W&B's confusion matrix of ``matrix``, counts ``[true][predicted]``.

    ``names`` are those of the classes; left out: their numbers.
    """
    import wandb

    shown = names if len(names) == len(matrix) else [str(k) for k in range(len(matrix))]
    # W&B's own function wants every single prediction; this is what it makes of them.
    rows: list[Iterable[Any]] = [
        [shown[true], shown[predicted], count]
        for true, counts in enumerate(matrix)
        for predicted, count in enumerate(counts)
    ]
    columns: list[str | int] = ["Actual", "Predicted", "nPredictions"]
    return wandb.plot_table(
        data_table=wandb.Table(columns=columns, data=rows),
        vega_spec_name="wandb/confusion_matrix/v1",
        fields={str(name): str(name) for name in columns},
        string_fields={"title": "Confusion matrix, validation images"},
    )
