"""How good the best point of a search is: our samplers, Optuna, SMAC3, NePS, HEBO, Syne Tune.

    python benchmarks/optimizers.py --make-environment   # once: the peers' own packages, 0.5 GB
    python benchmarks/optimizers.py                      # the searches that are not kept yet
    python benchmarks/optimizers.py --report             # the table of those that are

Method. Branin, Hartmann6, and the space of ``optim_search`` on the recorded table and on drawn
instances (``simulated/instances.py``), 60 evaluations one after the other. All searchers have the
same seeds and instances. An evaluation of ``optim_search`` is one full training, whose error has
seed noise; nothing is pruned, and no default configuration comes first. What counts is the true
regret of the evaluation that looked best.

The peers run from their documented defaults in ``.venv-peers``, each in a process that is asked and
told over JSON lines (``peers/ask_tell/``). SMAC3 and ours get the conditions of the space. NePS,
HEBO and Syne Tune have none, so they get all parameters at once. NePS chooses its optimizer itself
(``auto``): Bayesian optimization, or PriorBand where it gets a prior (torch's Adam) and epochs.

Each search is kept in ``optimizers.jsonl`` as it ends; a later call runs what is missing, all
searchers at seed 0 first. A searcher whose code has changed: delete its lines.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import measure

FILE = measure.HERE / "optimizers.jsonl"
ENVIRONMENT = measure.ROOT / ".venv-peers"
STUDY = "optim_search"


def main() -> None:
    """Make the environment, search, or report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--make-environment", action="store_true", help="of the peers, .venv-peers")
    parser.add_argument("--report", action="store_true", help="search nothing")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="searchers: parts of names, by |")
    parser.add_argument("--problems", default="branin,hartmann6,table,drawn")
    parser.add_argument("--file", type=Path, default=FILE, help="where the runs are kept")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    if args.make_environment:
        make_environment(ENVIRONMENT)
        return
    if not args.report:
        search(args)
    from optimizing.report import report

    text = report(args.file, args.only.split("|"), args.problems.split(","))
    print(text)
    if args.record:
        measure.record("optimizers", text)


def make_environment(folder: Path) -> None:
    """Make the peers' environment; it sees the packages of this one, so that torch is not twice."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    [site] = (folder / "lib").glob("python*/site-packages")
    ours = [path for path in sys.path if path.endswith("site-packages")]
    (site / "main.pth").write_text("\n".join(ours) + "\n", encoding="utf-8")
    needed = measure.HERE / "peers" / "ask_tell" / "requirements.txt"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(needed)]
    subprocess.run(pip, check=True)


def search(args: argparse.Namespace) -> None:
    """Run what the file does not hold yet, seed by seed, so that all have equally many."""
    import optuna
    from optimizing import compared, races
    from optimizing.problems import problem
    from simulated.instances import Places
    from simulated.table import load

    from studies import catalog

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spec = catalog.get(STUDY)
    table = load(measure.HERE / "search_table.json", spec.space, spec.scientific)
    places = Places(spec.space, spec.scientific, spec.defaults)
    names = tuple(n for n in compared.NAMES if any(part in n for part in args.only.split("|")))
    kept = {(run.searcher, run.problem, run.seed) for run in races.read(args.file)}
    with compared.opened(names) as searchers:
        for seed in range(args.first, args.seeds):
            for on in args.problems.split(","):
                for name, make in searchers.items():
                    if (name, on, seed) in kept or not compared.suits(name, on):
                        continue
                    solved = problem(on, seed, table, places)
                    regrets, seconds = races.search(solved, make(solved, seed, races.LOOKS[-1]))
                    run = races.Run(
                        searcher=name, problem=on, seed=seed, regrets=regrets, seconds=seconds
                    )
                    races.add(args.file, run)
                    measure.say(f"{seed} {on} {name}: {regrets[-1]:.4g}, {seconds:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
