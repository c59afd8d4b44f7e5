"""The table of all searchers on a problem: regrets, ranks, and who is best or tied with the best.

Best is who has the best mean rank of the regrets at the end, over the seeds that all have. Another
one is tied with it unless Wilcoxon's signed-rank test, paired by seed and corrected for their
number after Holm, tells the two apart at 5 %. Few seeds tie much, so the table shows their number.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import measure
import numpy as np
from scipy.stats import rankdata, wilcoxon

from optimizing.races import LOOKS, Run, read

SHOWN = (20, 40, 60)
LEAST = 6
"""Seeds below which no test can tell two apart: such a searcher gets no rank."""
LEVEL = 0.05
BY_SEED = Mapping[int, tuple[float, ...]]

HEADER = ["searcher", *(f"median at {at}" for at in SHOWN), "quartiles", "rank"]
HEADER += ["p to the best", "verdict", "s a search", "seeds"]


def report(file: Path, only: Sequence[str], problems: Sequence[str]) -> str:
    """Return a table for each problem of the runs in ``file``."""
    runs = [run for run in read(file) if any(part in run.searcher for part in only)]
    texts = []
    for problem in problems:
        of_problem = [run for run in runs if run.problem == problem]
        if of_problem:
            texts.append(f"{problem}: simple regret\n\n{_table(of_problem)}")
    return "\n\n".join(texts)


def _table(runs: Sequence[Run]) -> str:
    found: dict[str, dict[int, tuple[float, ...]]] = {}
    for run in runs:
        found.setdefault(run.searcher, {})[run.seed] = run.regrets
    ranks = mean_ranks(found)
    p_values = tested(found, ranks)
    rows = []
    for name in sorted(found, key=lambda name: (ranks.get(name, np.inf), name)):
        table = np.array(list(found[name].values()))
        at = [table[:, LOOKS.index(look)] for look in SHOWN]
        low, high = np.quantile(at[-1], (0.25, 0.75))
        seconds = np.median([run.seconds for run in runs if run.searcher == name])
        rows.append(
            [
                name,
                *(f"{np.median(one):.3g}" for one in at),
                f"{low:.2g}..{high:.2g}",
                f"{ranks[name]:.2f}" if name in ranks else "",
                f"{p_values[name]:.3f}" if name in p_values else "",
                verdict(name, ranks, p_values),
                f"{seconds:.0f}",
                str(len(table)),
            ]
        )
    return measure.table(HEADER, rows)


def mean_ranks(found: Mapping[str, BY_SEED]) -> dict[str, float]:
    """Return the mean rank of the last regret of all that have ``LEAST`` seeds, 1 is best."""
    ranked = [name for name, of_seed in found.items() if len(of_seed) >= LEAST]
    if not ranked:
        return {}
    seeds = set.intersection(*(set(found[name]) for name in ranked))
    if not seeds:
        return {}
    last = np.array([[found[name][seed][-1] for name in ranked] for seed in sorted(seeds)])
    return dict(zip(ranked, rankdata(last, axis=1).mean(axis=0).tolist(), strict=True))


def tested(found: Mapping[str, BY_SEED], ranks: Mapping[str, float]) -> dict[str, float]:
    """Return the p-value of each searcher's difference from the best one, after Holm."""
    if not ranks:
        return {}
    best = min(ranks, key=lambda name: ranks[name])
    raw: dict[str, float] = {}
    for name in ranks:
        if name == best:
            continue
        seeds = sorted(set(found[name]) & set(found[best]))
        gaps = np.array([found[name][seed][-1] - found[best][seed][-1] for seed in seeds])
        raw[name] = float(wilcoxon(gaps).pvalue) if np.any(gaps) else 1.0
    adjusted, so_far = {}, 0.0
    for at, name in enumerate(sorted(raw, key=lambda name: raw[name])):
        so_far = max(so_far, min(1.0, (len(raw) - at) * raw[name]))
        adjusted[name] = so_far
    return adjusted


def verdict(name: str, ranks: Mapping[str, float], p_values: Mapping[str, float]) -> str:
    """Return ``best``, ``tied`` or ``worse``; nothing for one that has no rank."""
    if name not in ranks:
        return ""
    if name not in p_values:
        return "best"
    return "tied" if p_values[name] >= LEVEL else "worse"
