"""The models that can be chosen on the page: studies' winners, runs, and the packaged ones."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_core import models
from mnist_core.checkpoints import checkpoint
from mnist_core.checkpoints.checkpoint import Header
from mnist_core.console.plain_text import one_line
from mnist_core.errors import ConfigError, UserError
from mnist_core.images import MNIST, Images
from mnist_core.runs import run_lookup
from mnist_core.runs.run_lookup import Found

PACKAGED = Path(__file__).parent / "models"
"""Two trained models: ``digits`` classifies, ``pairs`` compares. Their TOML files say how."""

_QUICK = "-quick"  # ends the folder's name of a study's --quick run
_MOST = 60  # runs that are offered, the latest; more make a list that is not read


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A model that can be chosen."""

    title: str
    detail: str  # one line: network, images, how good it was in its training
    found: Found
    pairs: bool  # whether it compares two images
    names: tuple[str, ...]  # of the classes


@dataclass(frozen=True)
class Choices:
    """All models, those to be preferred first."""

    models: tuple[Choice, ...]
    left_out: int  # models that take other images than are drawn here

    def first(self, *, pairs: bool) -> int | None:
        """Return the index of the first model of that kind; None: there is none."""
        return next((k for k, one in enumerate(self.models) if one.pairs == pairs), None)


def gather(what: str | None, *, runs: Path, weights: str | None = None) -> Choices:
    """Return the model ``what`` first, if one is named, and all others after it.

    Args:
        what: as ``run_lookup.find_model`` takes it, or the name of a study beside ``runs``.
        runs: where the runs lie; the folders of studies lie beside it.
        weights: of the run ``what``: ``last`` or ``best``.

    Raises:
        UserError: if ``what`` does not exist, or does not take what is drawn.
    """
    chosen = []
    if what is not None:
        found = _named(what, runs, weights)
        chosen.append(_choice(found, _title(found), checkpoint.read_header(found.checkpoint)))
    elif weights is not None:
        raise ConfigError(f"--checkpoint {weights}: is of a run; name one")
    known = {one.found.checkpoint.resolve() for one in chosen}
    left_out = 0
    for found in _all(runs):
        if found.checkpoint.resolve() in known:
            continue
        try:
            chosen.append(_choice(found, _title(found), checkpoint.read_header(found.checkpoint)))
        except UserError:  # of another size, or damaged: it is named by `evaluate`
            left_out += 1
    return Choices(tuple(chosen), left_out)


def _named(what: str, runs: Path, weights: str | None) -> Found:
    if not Path(what).exists():
        if (study := runs.parent / what / run_lookup.BEST_CONFIG).is_file():
            return run_lookup.find_model(str(study), runs=runs, checkpoint=weights)
        if (runs.parent / f"{what}{_QUICK}" / run_lookup.BEST_CONFIG).is_file():
            raise UserError(
                f"{what}: only its --quick run is in {runs.parent}; name that: {what}{_QUICK}"
            )
    try:
        return run_lookup.find_model(what, runs=runs, checkpoint=weights)
    except UserError as error:
        if Path(what).exists():
            raise
        raise UserError(
            f"{error}, and no finished study in {runs.parent}; without a name the demo takes what"
            " there is, or a packaged model"
        ) from None


def _all(runs: Path) -> Iterator[Found]:
    """Yield winners of studies, runs, the latest first, packaged models, winners of small runs."""
    # A small run trains an epoch or so: its model is worse than a packaged one.
    files = sorted(runs.parent.glob(f"*/{run_lookup.BEST_CONFIG}"))
    small = [file for file in files if _is_small(file)]
    yield from _winners([file for file in files if file not in small], runs)
    for folder in run_lookup.all_runs(runs)[: -_MOST - 1 : -1]:
        last = folder / "last.safetensors"
        if last.is_file():
            yield Found(last, folder, "last")
    for file in sorted(PACKAGED.glob("*.safetensors")):
        yield Found(file)
    yield from _winners(small, runs)


def _winners(files: Iterable[Path], runs: Path) -> Iterator[Found]:
    for file in files:
        try:
            yield run_lookup.find_model(str(file), runs=runs)
        except UserError:  # its model was deleted, or it is of another objective
            continue


def _is_small(file: Path) -> bool:
    """Return whether a winner's file is in the folder of a study's ``--quick`` run."""
    return f"{file.parent.name}-".find(f"{_QUICK}-") > 0


def _title(found: Found) -> str:
    file = found.checkpoint
    if file.parent == PACKAGED:
        return "packaged model"
    if found.run is not None:
        return one_line(f"run {found.run.name}" + ", best report" * (found.name == "best"))
    if file.parts[-3:-1] == ("checkpoints", "confirm"):
        return one_line(f"winner of {file.parents[2].name}")
    return one_line(file.name)


def _choice(found: Found, title: str, header: Header) -> Choice:
    config, about = header.config, header.about
    check_images(found.checkpoint, about)
    accuracy = header.metrics.get("val_accuracy")
    pairs = models.task(config.model) == "pairs"
    judged = "pairs of validation images" if pairs else "validation images"
    detail = f"{config.model.name}, trained on {config.data.title}"
    if accuracy is not None:
        detail += f"; {accuracy:.1%} of the {judged} right".replace("%", " %")
    names = () if pairs else about.named(header.n_classes)
    return Choice(
        title=title,
        detail=one_line(detail),
        found=found,
        pairs=pairs,
        names=tuple(map(one_line, names)),
    )


def check_images(file: Path, about: Images) -> None:
    """Refuse a model of other images than are drawn; the ``ConfigError`` names its ``file``."""
    if (about.shape) != MNIST.shape:
        raise ConfigError(
            f"{file}: takes images of {about}, but what is drawn here is {MNIST} in grey; try the"
            " model with `python -m mnist_core predict` and pictures of your own"
        )
