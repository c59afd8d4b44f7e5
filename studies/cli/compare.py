"""``python -m studies compare A B``: two studies, environments or commits side by side."""

from typing import Annotated

import typer

from mnist_core.commands.options import tolerance_option
from mnist_core.errors import ConfigError
from studies.cli import options


@options.on_study(without=["study", "dataset"])
def compare_command(
    chosen: options.Chosen,
    a: Annotated[str, typer.Argument(metavar="A", help=options.STUDY_OR_FOLDER)],
    b: Annotated[str, typer.Argument(metavar="B", help="the study to compare it with")],
    tolerance: Annotated[
        float | None, tolerance_option("what the interval does not tell from 0")
    ] = None,
) -> None:
    """Compare what two studies measured, B minus A; nothing is trained or computed again.

    Trainings with equal settings and seeds are paired: their differences come from the environment
    (CPU and GPU, two commits, two versions of torch). Confirmed configurations are judged as in a
    study's verdict: seeds pooled, the images in the error, intervals that hold together.
    Keep environments apart with --set results.folder=DIR.

    The last line is the verdict: identical, equal (all of the 95 % interval is within --tolerance),
    no difference shown, undecided, or different. Exit code: 0 for the first three, otherwise 1. A
    mistake is one line that begins with "error:", and its exit code is also 1.

    Examples:
        python -m studies compare optim_search results/cuda/optim_search

        python -m studies compare optim_search optim_search.20261121-101500
    """
    plans = [chosen.find(study) for study in (a, b)]
    from studies.analysis import stored_study
    from studies.analysis.comparison import compare
    from studies.core.formatting import is_share
    from studies.report.comparison_tables import print_comparison

    if len({(plan.storage_url, plan.name) for plan in plans}) == 1:
        raise ConfigError(f"A and B are the same study, {a}; name two")
    first, second = map(stored_study.read, plans)
    share = is_share(first.plan.spec.metric)
    allowed = tolerance / 100 if tolerance is not None and share else tolerance
    comparison = compare(first, second, tolerance=allowed)
    print_comparison(first, second, comparison)
    if not comparison.verdict.equal:
        raise typer.Exit(1)
