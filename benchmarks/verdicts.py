"""How often a study's verdict is wrong, and how often it sees what is there: simulated studies.

    python benchmarks/verdicts.py                     # 1,000 studies a line, some minutes
    python benchmarks/verdicts.py --only reruns       # the lines whose text has this in it
    python benchmarks/verdicts.py --record            # write the table into RESULTS.md

Method. Studies are drawn from known truths, with fixed random seeds: nine choices, each confirmed
on a few seeds. The column "before" is the rule that judged until November 2026 (paired t intervals,
uncorrected; ``simulated/todays_verdict.py``), "now" is ``studies/statistics/verdicts.py`` itself:
no copy of it, the functions that a study calls. Both see the same numbers. A rate of 1,000 studies
near 5 % has a standard error of .7 points, one near 50 % of 1.6.

How to read a line. *False "better than the default"*: nine choices are exactly as good as the
default, and still the best of them is called better. *Sole best*: the verdict names one choice and
calls all others worse. *Reruns contradict*: the same study is run twice with another search seed,
and one of the two calls the other's winner worse. For these, "now" is the verdict on choices, whose
error has the luck of the search in it; that on configurations does not claim to hold for a rerun.
*Interval of a mean, of a difference*: over fresh seeds and fresh images.

What this is worth. Values are normal and seeds independent; real accuracies have a longer lower
tail (collapsed seeds are a line of their own). Luck is drawn from simple losses with independent
trials; a sampler that learns from its trials makes the two best of a choice more alike, so the luck
is underestimated then: the reruns of the main job itself are the test of that.
"""

import argparse

import measure


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=1000, help="simulated studies a line")
    parser.add_argument("--only", default="", help="questions whose name has this in it")
    parser.add_argument("--record", action="store_true", help="write it into RESULTS.md")
    args = parser.parse_args()
    text = report(args.studies, args.only)
    print(text)
    if args.record:
        title = f"verdicts, {args.only}" if args.only else "verdicts"
        measure.record(title, f"{measure.environment(measure.cpu_name())}\n\n{text}")


def report(studies: int, only: str = "") -> str:
    """Return the table, and a line for each target that was missed."""
    from simulated.verdict_rows import Rate, questions

    found: list[Rate] = []
    for name, ask in questions(studies).items():
        if only in name:
            measure.say(name)
            found += ask()
    missed = [f"- missed: {one.what}" for one in found if one.missed]
    head = ("% of simulated studies", "before", "now", "target")
    table = measure.table(head, [one.cells for one in found])
    verdicts = "\n".join(missed or ["- all targets were met"])
    return f"{table}\n\n{studies:,} studies a line.\n\n{verdicts}"


if __name__ == "__main__":
    main()
