"""The model or run that a user names: a checkpoint, a run's id or folder, a study. No torch."""

import os.path
import re
from dataclasses import dataclass
from pathlib import Path

from mnist_core.config import read_settings
from mnist_core.console.shell_words import argument, command
from mnist_core.errors import UserError, nearest_name

RUNS = Path("results/runs")  # the default folder of runs, with ``<environment>/<run id>`` in it

ENVIRONMENTS = ("cpu", "cuda")
CHECKPOINTS = ("last", "best")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
RUN, CONFIG, BEST_CONFIG = "run.json", "config.toml", "best_config.toml"


@dataclass(frozen=True)
class Found:
    """What was meant."""

    checkpoint: Path  # the file of the trained model; it exists
    run: Path | None = None  # the folder of the run it belongs to; None: of no run
    name: str = ""  # ``last`` or ``best`` of a run, else empty


def check_name(name: str) -> None:
    """Refuse a name that a run's folder cannot have; raise UserError if the name is not allowed."""
    if not _NAME.fullmatch(name) or name in ENVIRONMENTS:
        raise UserError(
            f"--name: letters, digits and . _ + - only, the first a letter or digit, 100 at most,"
            f" not {' or '.join(ENVIRONMENTS)}; but got {name!r}"
        )


def find_model(what: str, *, runs: Path = RUNS, checkpoint: str | None = None) -> Found:
    """Return the model that ``what`` means.

    Args:
        what: a checkpoint; the folder or id of a run, or the beginning of an id; a study's folder
            or its ``best_config.toml``, whose confirmed model it is.
        checkpoint: of a run, ``last`` (if left out) or ``best``.

    Raises:
        UserError: if it does not exist, or has no model yet.
    """
    if checkpoint not in (None, *CHECKPOINTS):
        raise UserError(f"--checkpoint: must be {' or '.join(CHECKPOINTS)}, but got {checkpoint!r}")
    path = Path(what)
    is_file = os.path.isfile(path)
    if is_file and path.name not in (CONFIG, RUN):
        found = _confirmed(path) if path.suffix == ".toml" else _of_a_run(path)
    elif os.path.isfile(path / BEST_CONFIG):
        found = _confirmed(path / BEST_CONFIG)
    else:
        folder = find_run(str(path.parent) if is_file else what, runs=runs)
        name = checkpoint or "last"
        found = Found(folder / f"{name}.safetensors", folder, name)
        if not found.checkpoint.is_file():
            raise UserError(
                f"{folder}: has no {found.checkpoint.name}: the training is not finished; if it"
                f" was interrupted, resume it: {resume_command(folder)}"
            )
    if checkpoint and not (found.run and found.name == checkpoint):
        raise UserError(
            f"--checkpoint {checkpoint}: {what} is not a run, but one model; leave it out"
        )
    return found


def find_run(what: str, *, runs: Path = RUNS) -> Path:
    """Return the folder of the run ``what``; raise UserError if there is none, or several."""
    if os.path.isfile(Path(what) / RUN):
        return Path(what)
    folders = all_runs(runs)
    near = [folder for folder in folders if what in _ids(folder)]
    if not near and os.path.isdir(what):
        raise UserError(f"{what}: is not a run; a run's folder has a {RUN} (name one in {runs})")
    near = near or [f for f in folders if what and any(i.startswith(what) for i in _ids(f))]
    if len(near) == 1:
        return near[0]
    if near:
        ids = ", ".join(_ids(folder)[1] for folder in near[:5]) + " …" * (len(near) > 5)
        raise UserError(f"{what!r} is not one run but {len(near)} ({ids}): name one")
    if not folders:
        raise UserError(f"{what!r}: no such file, and no run in {runs}")
    ids_by_name = [name for folder in folders for name in _ids(folder)]
    alike = nearest_name(what, ids_by_name, likeness=0.4)
    hint = f"; did you mean {alike!r}?" if alike else f", the latest of which is {folders[-1]}"
    raise UserError(f"{what!r}: no such file, and none of the {len(folders)} runs in {runs}{hint}")


def resume_command(folder: Path) -> str:
    """Return the command that resumes the run in ``folder``."""
    return command("mnist_core", "train", "--resume", argument(folder))


def all_runs(folder: Path) -> list[Path]:
    """Return the folders of all runs of all environments in ``folder``, the latest last."""
    found = (path.parent for name in ENVIRONMENTS for path in folder.glob(f"{name}/*/{RUN}"))
    return sorted(found, key=lambda path: (path.name, path.parent.name))


def _ids(folder: Path) -> tuple[str, str]:
    return folder.name, f"{folder.parent.name}/{folder.name}"


def _of_a_run(path: Path) -> Found:
    inside = path.name in [f"{name}.safetensors" for name in CHECKPOINTS]
    inside = inside and (path.parent / RUN).is_file()
    return Found(path, path.parent, path.stem) if inside else Found(path)


def _confirmed(path: Path) -> Found:
    """Return the confirmed model of a study's ``best_config.toml``."""
    _, record = read_settings(path)
    number = record.get("confirm_trial")
    if not isinstance(number, int):
        raise UserError(
            f"{path}: names no trained model: its [record] has no confirm_trial, as a study's"
            f" {BEST_CONFIG} has; train it: {command('mnist_core', 'train', argument(path))}"
        )
    kept = path.parent / "checkpoints" / "confirm" / f"{number}.safetensors"
    if not kept.is_file():
        raise UserError(
            f"{path}: the model that it records is gone ({kept});"
            f" train it again: {command('mnist_core', 'train', argument(path))}"
        )
    return Found(kept)
