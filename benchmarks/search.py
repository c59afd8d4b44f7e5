"""How much training a search needs until it has found a good configuration: ours and others.

    nice -n 10 python benchmarks/search.py record     # once; its table is kept in search_table.json
    python benchmarks/search.py --record              # the comparison; no training, some minutes
    python benchmarks/search.py regret --on drawn     # how well each choice is tuned; see below

Method. The table holds full, unpruned trainings of the study ``optim_search`` at its real budget:
equally many random configurations of each optimizer, and each one's default. Every search runs in
virtual time with two workers, and the table stands for the training: a proposal gets the recorded
curve of the nearest recorded training *of the same optimizer* (Euclidean, in the unit cube of its
other parameters, each on its own scale), and an epoch costs one unit of time. Ours is this
project's own book, source of trials, sampler and pruner; Optuna's are a plain script's; of Ray Tune
it is the code that draws configurations and the schedulers' own. Time is epochs trained by both
workers together, in units of a full training, until the first *full* training that is as good as
the 95th percentile of the table's random configurations.

What this is worth. All searches face the same function, which is constant in the cell around each
recorded training, so none gains by proposing the same good place again, and random search reaches
the target with the same small chance at each training. The noise of a training is frozen into its
cell: above the 95th percentile means good on that seed. Cells are coarse, tens of an optimizer
in two to five dimensions, so the function is rougher than the truth; that hurts a search that
models it (TPE, GP) and not random search. ``--smooth`` therefore shows the same on a smoother
function, the mean of the 5 nearest curves, where the target is its own 95th percentile over random
points; that flatters models. The defaults are in the table so that ours, which begins with them,
gets what they truly come to; they count for no percentile.

The other searches may do what they like. Ours must give each optimizer its default configuration,
unpruned, and some trials more before it may prefer one, because the study compares optimizers. The
nine defaults alone take 9 trainings, and random search's median is about 13, so a quarter of that
is out of reach here whatever the sampler does. What the rules are for is in the column "choices":
the optimizers of which a configuration of their own best tenth was found in the time that the
default study takes. "Alone" is our sampler and pruner without these rules. The oracle is the bound:
random proposals, and a pruner that knows after one epoch which training reaches the target.

``regret`` compares how well each optimizer is tuned (``simulated/regret.py`` defines it): under the
study's rules, with the median pruner, on the smoothed table (``--on table``), on instances drawn
from a generator that was fitted to it (``drawn``), and on instances where no choice tells of
another (``unlike``). All searches get the same instances and seeds.

``pausing`` compares rules that stop, or pause and continue, trainings at equal epochs by the same
regret (``simulated/pausing.py``), also on the recorded curves as they are (``--on raw``).

``learned`` gives a search an earlier study, related or not (``simulated/earlier_studies.py``).
"""

import argparse
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:  # the recording's workers import this file, too
    from simulated.loop import Ended
    from simulated.table import Table

STUDY = "optim_search"
TABLE = measure.HERE / "search_table.json"
FOLDER = measure.ROOT / "results" / "search_table"
WORKERS = 2
MOST = 80
"""Trainings after which a search that has not got there is ended."""
RANDOM_TIMES = 5
"""Random search, also with the oracle, gets so many times the seeds of the others."""
LOOKED_AT = 50
"""Trainings that a search is given at least."""
CHECKPOINTS = (10, 20, 40)
"""Trainings after which the best value is looked at."""


def main() -> None:
    """Record, or compare and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("compare", "record", "regret", "pausing", "learned"),
        default="compare",
    )
    parser.add_argument("--per-choice", type=int, default=24, help="record: random ones of each")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="regret: the first seed")
    parser.add_argument("--only", default="", help="searches whose name has this in it, and random")
    parser.add_argument("--on", default="drawn", help="regret: table, drawn or unlike")
    parser.add_argument("--epochs", type=int, default=324, help="pausing: of a search")
    parser.add_argument("--with", dest="chooser", default="screen 2", help="pausing: or random")
    parser.add_argument("--trials", type=int, default=60, help="regret: of a search")
    parser.add_argument("--smooth", action="store_true", help="the mean of the 5 nearest curves")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of ours")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    if args.what == "record":
        from simulated.record import record
        from simulated.table import save

        save(record(STUDY, FOLDER, args.per_choice, measure.say), TABLE)
        measure.say(f"written: {TABLE}")
        return
    made = {"regret": regret, "pausing": pausing, "learned": learned}
    text = made.get(args.what, compare)(args)
    print(text)
    if args.record:
        measure.record(f"search, {args.what}", text)


def regret(args: argparse.Namespace) -> str:
    """Run the searches under the protocol's turns and return the table of their regrets."""
    import optuna
    from simulated.regret_report import HEADER, TODAY, regrets, row
    from simulated.table import load

    from studies import catalog

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = catalog.get(STUDY)
    table = load(TABLE, spec.space, spec.scientific)
    found = {}
    for name, figures in regrets(
        spec,
        table,
        args.on,
        only=args.only,
        seeds=range(args.first, args.first + args.seeds),
        trials=args.trials,
    ):
        measure.say(name)
        found[name] = figures
    rows = [row(name, figures, found.get(TODAY)) for name, figures in found.items()]
    seeds = f"{args.seeds} seeds from {args.first}"
    return f"{args.on}, {seeds}, {args.trials} trials\n\n{measure.table(HEADER, rows)}"


def pausing(args: argparse.Namespace) -> str:
    """Run the rules that pause and continue trials, and return the table of their regrets."""
    from simulated.pausing import HEADER, compare
    from simulated.table import load

    from studies import catalog

    spec = catalog.get(STUDY)
    table = load(TABLE, spec.space, spec.scientific)
    options = {"only": args.only, "seeds": args.seeds, "budget": args.epochs}
    rows = []
    for row in compare(spec, table, args.on, args.chooser, **options):
        measure.say(" ".join(row))
        rows.append(row)
    said = f"{args.on}, {args.chooser}, {args.seeds} seeds, {args.epochs} epochs"
    return f"{said}\n\n{measure.table(HEADER, rows)}"


def learned(args: argparse.Namespace) -> str:
    """Run the searches with a related, an unrelated and no earlier study; return their table."""
    import optuna
    from simulated.learned_rows import HEADER, learned_rows
    from simulated.table import load

    from studies import catalog

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = catalog.get(STUDY)
    table = load(TABLE, spec.space, spec.scientific)
    rows = []
    for row in learned_rows(spec, table, args.on, seeds=args.seeds, trials=args.trials):
        measure.say("  ".join(row))
        rows.append(row)
    return f"{args.on}, {args.seeds} seeds, {args.trials} trials\n\n{measure.table(HEADER, rows)}"


def compare(args: argparse.Namespace) -> str:
    """Run all searches and return the table and the verdicts."""
    import optuna
    from simulated.methods import ORACLE, OURS, RANDOM, searches
    from simulated.table import load

    from mnist_core.table import parse_assignment
    from studies import catalog

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spec = catalog.get(STUDY)
    table = load(TABLE, spec.space, spec.scientific, neighbours=5 if args.smooth else 1)
    target = table.percentile(95)
    sets = dict(parse_assignment(text) for text in args.set)
    chosen = {
        name: make
        for name, make in searches(STUDY, table, sets).items()
        if args.only in name or name == RANDOM
    }
    runs: dict[str, list[list[Ended]]] = {name: [] for name in chosen}
    for name, make in chosen.items():
        # Random search takes no time here, and all others are compared with it.
        seeds = args.seeds * (RANDOM_TIMES if name in (RANDOM, ORACLE) else 1)
        measure.say(f"{name}: {seeds} seeds")
        runs[name] += [_run(make, table, target, seed) for seed in range(seeds)]
    return report(runs, table, target, trials=spec.trials, ours=OURS, random=RANDOM)


def _run(make: Any, table: "Table", target: float, seed: int) -> "list[Ended]":
    from simulated import loop

    reached = False

    def enough(ended: "Ended") -> bool:
        nonlocal reached
        reached = reached or (ended.value is not None and ended.value >= target)
        return reached and ended.spent >= LOOKED_AT * table.epochs

    with tempfile.TemporaryDirectory() as name, make(seed, Path(name)) as work:
        return loop.run(
            work,
            table,
            workers=WORKERS,
            most=MOST * table.epochs,
            enough=enough,
            begun_at=getattr(work, "begun_at", lambda task: 0),
            seed=seed,
        )


def report(
    runs: "dict[str, list[list[Ended]]]",
    table: "Table",
    target: float,
    *,
    trials: int,
    ours: str,
    random: str,
) -> str:
    """Return the table of all searches, and the verdicts on ours."""
    from simulated.loop import time_to

    times = {
        name: [time_to(ended, target) / table.epochs for ended in of_name]
        for name, of_name in runs.items()
    }
    seeds = min(map(len, times.values()))
    usual = None
    if ours in runs:  # what the default study takes
        usual = statistics.median(_spent_at(ended, trials) for ended in runs[ours])
    rows = [_row(name, runs[name], times[name], times[random], table, usual) for name in runs]
    header = ["search", "trainings", "95 %", "x random", "95 %", "never"]
    header += [f"best at {at}" for at in CHECKPOINTS] + ["choices"]
    share = table.share(target)
    lines = [
        f"{len(table.rows)} recorded trainings of {STUDY}; target {100 * target:.2f} %, reached by"
        f" {100 * share:.1f} % of random proposals, so random search takes"
        f" {math.log(0.5) / math.log1p(-share):.1f} trainings in the median; medians of"
        f" {seeds} seeds ({len(times[random])} of random search), {WORKERS} workers",
        "",
        measure.table(header, rows),
        "",
    ]
    if ours in runs:
        lines += verdicts(times, ours, random)
    return "\n".join(lines)


def verdicts(times: dict[str, list[float]], ours: str, random: str) -> list[str]:
    """Compare ours with each of the others: ratio of the medians, and its bootstrap interval."""
    from scipy.stats import mannwhitneyu
    from simulated.statistic import ratio

    found, low, high = ratio(times[ours], times[random])
    lines = [
        "- "
        + measure.verdict("trainings, ours to random search", found, 0.25, unit="x", at_most=True)
        + f", 95 % interval {low:.2f}..{high:.2f}"
    ]
    for name in times:
        if name in (ours, random):
            continue
        found, low, high = ratio(times[ours], times[name])
        p = mannwhitneyu(times[ours], times[name]).pvalue
        reached = [sum(map(math.isfinite, times[one])) for one in (ours, name)]
        lines.append(
            f"- ours to {name}: {found:.2f}x, {low:.2f}..{high:.2f}; reached in {reached[0]} of"
            f" {len(times[ours])} against {reached[1]} of {len(times[name])}; Mann-Whitney p ="
            f" {p:.3f}, {'told' if p < 0.05 else 'not told'} apart"
        )
    return lines


def _row(
    name: str,
    runs: "list[list[Ended]]",
    times: Sequence[float],
    of_random: Sequence[float],
    table: "Table",
    usual: float | None,
) -> list[str]:
    from simulated.loop import best_after
    from simulated.statistic import median_interval, ratio

    low, high = median_interval(times)
    times_random, least, most = ratio(times, of_random)
    cells = [
        name,
        f"{statistics.median(times):.1f}",
        f"{low:.1f}..{high:.1f}",
        f"{times_random:.2f}",
        f"{least:.2f}..{most:.2f}",
        str(sum(time == float("inf") for time in times)),
    ]
    for at in CHECKPOINTS:
        best = statistics.median(best_after(ended, at * table.epochs) for ended in runs)
        cells.append(f"{100 * best:.2f}")
    return [*cells, "-" if usual is None else f"{_choices(runs, table, usual):.1f}"]


def _choices(runs: "list[list[Ended]]", table: "Table", spent: float) -> float:
    """Return for how many choices one of their own best tenth was found, on average."""
    from simulated.loop import time_to

    names = {row.params[table.scientific] for row in table.rows}
    goals = {name: table.percentile(90, name) for name in names}
    return statistics.fmean(
        time_to([e for e in ended if e.params[table.scientific] == name], goal) <= spent
        for ended in runs
        for name, goal in goals.items()
    ) * len(names)


def _spent_at(ended: "list[Ended]", trials: int) -> int:
    return ended[min(trials, len(ended)) - 1].spent


if __name__ == "__main__":
    sys.exit(main())
