"""Whether a study contradicts itself: the same study, run again with other search seeds.

    python benchmarks/reruns.py --seeds 10                  # optim_search ten times: about an hour
    python benchmarks/reruns.py --folder reruns --record    # resumes what is there; RESULTS.md

A run is started for each ``search.seed`` from 0 on, one after the other, in a folder of its own.
What has ended is read, not run again. Two runs *contradict* each other if one of them calls the
best of the other worse. *Collapsed* counts the confirmed configurations that collapsed on a fresh
seed, runners-up included.

In the table: ★ the best, = a tie with it, ~ may be as good only because its seeds differ so much,
< shown to be worse, ! collapsed. The mark is of the verdict on choices; the number is the mean of
the choice's leading configuration.
"""

import argparse
import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import measure

if TYPE_CHECKING:
    from studies.analysis.result import StudyResult
    from studies.statistics.verdicts import Judgement


def main() -> None:
    """Run what is missing, judge and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", nargs="?", default="optim_search")
    parser.add_argument("--seeds", type=int, default=10, help="number of runs")
    parser.add_argument("--folder", type=Path, default=Path("results/reruns"))
    parser.add_argument("--quick", action="store_true", help="the study's small run")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    found = [rerun(args, seed) for seed in range(args.seeds)]
    text = report(args.study, found)
    print(text)
    if args.record:
        measure.record("reruns", f"{measure.environment(measure.cpu_name())}\n\n{text}")


def rerun(args: argparse.Namespace, seed: int) -> "StudyResult":
    """Run the study with this search seed, if it has not ended yet, and return its result."""
    import studies

    folder = args.folder / f"seed-{seed}"
    command = [sys.executable, "-m", "studies.run", args.study, "--plain", "--track", "none"]
    command += ["--quick"] * args.quick
    sets = [f"search.seed={seed}", f"results.folder={folder}", *args.set]
    command += [word for one in sets for word in ("--set", one)]
    # A study that has ended trains nothing more, so this is also how one is resumed.
    measure.say(f"search.seed={seed}")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (place,) = (one.parent for one in folder.glob("*/study.db"))
    result = studies.load(place).stored.result
    assert result is not None
    return result


def report(study: str, found: Sequence["StudyResult"]) -> str:
    """Return the table by choice and run, the contradictions and the collapsed configurations."""
    choices = [str(one) for one in found[0].plan.spec.choices]
    rows = [[one, *(_cell(result, one) for result in found)] for one in choices]
    default = next(row.label for row in found[0].rows if row.candidate and row.candidate.default)
    rows.append([default, *(_number(result, default) for result in found)])
    rows.append(["winner's test", *(_test(result) for result in found)])
    lines = [measure.table(("search.seed", *map(str, range(len(found)))), rows), ""]
    pairs = len(found) * (len(found) - 1) // 2
    for what in ("choices", "configurations"):
        bad = contradictions([getattr(result.verdicts, what) for result in found])
        said = "; ".join(f"{a} and {b}" for a, b in bad)
        lines.append(f"- Verdict on {what}: {len(bad)} of {pairs} pairs contradict. {said}".strip())
    every = [row for result in found for row in result.shown_rows if row.candidate]
    lost = [f"{row.label}" for row in every if row.collapsed]
    lines.append(f"- Collapsed on a fresh seed: {len(lost)} of {len(every)}. {', '.join(lost)}")
    for name in sorted(found[0].plan.spec.space.parameters):
        chosen = Counter(
            str(row.candidate.params[name])
            for result in found
            for row in result.rows
            if row.candidate and not row.candidate.default and name in row.candidate.params
        )
        if name != found[0].plan.spec.scientific and 1 < len(chosen) <= 8:
            told = ", ".join(f"{value} {count}" for value, count in chosen.most_common())
            lines.append(f"- {name} of the choices' leading configurations: {told}.")
    return f"{study}, {len(found)} runs\n\n" + "\n".join(lines)


def contradictions(judged: Sequence["Judgement | None"]) -> list[tuple[int, int]]:
    """Return the pairs of runs of which one calls the other's best worse."""
    bad = []
    for (i, a), (j, b) in itertools.combinations(enumerate(judged), 2):
        if a is not None and b is not None:
            first, second = a.comparison, b.comparison
            if first.best in second.worse or second.best in first.worse:
                bad.append((i, j))
    return bad


def _cell(result: "StudyResult", choice: str) -> str:
    judged = result.verdicts.choices
    mark = " "
    if judged is not None:
        of = judged.comparison
        marks = {of.best: "★", **dict.fromkeys(of.ties, "="), **dict.fromkeys(of.unclear, "~")}
        marks |= dict.fromkeys(of.worse, "<") | dict.fromkeys(judged.collapsed, "!")
        mark = marks.get(choice, " ")
    return f"{_number(result, choice)} {mark}"


def _number(result: "StudyResult", label: str) -> str:
    row = next(row for row in result.rows if row.label == label)
    return f"{100 * row.confirm.mean:.2f}" if row.confirm else "-"


def _test(result: "StudyResult") -> str:
    row = next((row for row in result.rows if row.label == result.best), None)
    return f"{100 * row.test.mean:.2f}" if row and row.test else "-"


if __name__ == "__main__":
    main()
