"""``python -m studies compare A B``: two studies, environments or commits side by side.

python -m studies compare optim_search results/cuda/optim_search --tolerance 0.3
"""

import math
from typing import Annotated

import typer

from mnist_core.errors import ConfigError
from studies.cli import options

_DIFFERENT = 1
_StudyFolder = "a study's name, or the folder that it left, e.g. results/cuda/optim_search"


def compare_command(
    a: Annotated[str, typer.Argument(metavar="A", help=_StudyFolder)],
    b: Annotated[str, typer.Argument(metavar="B", help="the same, to compare with it")],
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="POINTS",
            help="so far apart is equal; percentage points of an accuracy",
            show_default="what the interval does not tell from 0",
        ),
    ] = None,
    assignments: options.SetOption = None,
    conf: options.ConfOption = None,
    quick: options.QuickOption = False,
) -> None:
    """Compare what two studies measured, B less A; nothing is trained or computed again.

    Trainings with equal settings and seeds are paired one by one: what differs between them is the
    environment's doing (CPU and GPU, two commits, two versions of torch). Confirmed configurations
    are paired by seed. Keep environments apart with --set results.folder=DIR.

    The last line is the verdict: identical, equal (all of the 95 % interval is within --tolerance),
    no difference shown, undecided, or different. Exit code: 0 for the first three, otherwise 1, as
    for a mistake, which is one line that begins with "error:".

    Examples:
        python -m studies compare optim_search results/cuda/optim_search --tolerance 0.3

        python -m studies compare optim_search results/optim_search.20261121-101500
    """
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise ConfigError(
            f"--tolerance: must be percentage points from 0 on, but got {tolerance:g}"
        )
    import optuna

    from studies.analysis import stored_study
    from studies.analysis.comparison import compare
    from studies.core.formatting import is_share
    from studies.report.comparison_tables import print_comparison

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = [
        stored_study.read(options.find(name, conf=conf, assignments=assignments, quick=quick))
        for name in (a, b)
    ]
    if found[0].plan.storage_url == found[1].plan.storage_url and (
        found[0].plan.name == found[1].plan.name
    ):
        raise ConfigError(f"A and B are the same study, {a}; name two")
    share = is_share(found[0].plan.spec.metric)
    allowed = tolerance / 100 if tolerance is not None and share else tolerance
    comparison = compare(found[0], found[1], tolerance=allowed)
    print_comparison(found[0], found[1], comparison)
    if comparison.outcome in ("undecided", "different"):
        raise typer.Exit(_DIFFERENT)
