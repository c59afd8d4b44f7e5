"""Judge what the earlier systems concluded, and write ``docs/findings.md``.

    python benchmarks/findings.py

No figure stands in this file: those of choices come from ``docs/studies/NAME.json``, which
``benchmarks/catalogue.py`` writes, those of presets from the table in ``docs/presets.md``. A claim
whose study has not been run says so.
"""

import argparse
import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.comparison.spread import t_quantile
from mnist_core.files import write_atomically

HOLDS, FAILS, UNKNOWN, MISSING = "holds", "does not hold", "cannot be told", "not run yet"
IMAGES = 10_000
"""Test images of MNIST, by which the earlier systems' accuracies were measured."""
FEWER = dict.fromkeys(
    ("lightning_resnet18", "mnist_10pct_plus", "siamese_10pct", "siamese_10pct_plus"), 1_000
)
"""Presets that are tested on the 1,000 images of mnist-10pct; pairs of them share these images."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A conclusion about two choices of a study: the first is better than the second.

    Attributes:
        second: "": the first is the best of all.
    """

    text: str
    study: str
    first: str
    second: str = ""

    @property
    def command(self) -> str:
        """What a reader runs."""
        return f"python -m studies.run {self.study}"


CLAIMS = (
    Claim(
        text="Adagrad is the best optimizer (99.16 %; all at the learning rate 0.01)",
        study="optim_search",
        first="adagrad",
    ),
    Claim(
        text="SGD is better than Adam (98.63 and 98.04 %; both at 0.01)",
        study="optim_search",
        first="sgd",
        second="adam",
    ),
    Claim(
        text="Adam is better than SGD (99.12 and 95.41 %; both at 0.001)",
        study="optim_search",
        first="adam",
        second="sgd",
    ),
    Claim(
        text="Batches of 128 overfit: 64 is better (95.41 and 92.80 %; both at 0.001)",
        study="batch_size_search",
        first="64",
        second="128",
    ),
    Claim(
        text="A large batch costs accuracy: 64 is better than 2,048 at the same number of images",
        study="batch_size_search",
        first="64",
        second="2048",
    ),
    Claim(
        text="ReLU is better than sigmoid (95.41 and 91.89 %; rates and epochs differed)",
        study="activation_search",
        first="relu",
        second="sigmoid",
    ),
    Claim(
        text="Three convolutions are better than two (98.23 and 95.41 %; rates, epochs and heads"
        " differed)",
        study="depth_width_search",
        first="3",
        second="2",
    ),
    Claim(
        text="The deep network is better than the small one (the same figures, as whole models)",
        study="architecture_search",
        first="net_deep",
        second="net",
    ),
    Claim(
        text="The CNN is better than the perceptron (95.41 and 91.31 %)",
        study="architecture_search",
        first="net",
        second="mlp512",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A difference with its interval, in percentage points; and the verdict."""

    verdict: str
    figure: str = "-"


def judged(claim: Claim, facts: Mapping[str, Any] | None, claims: int) -> Found:
    """Return what a study says of a claim; ``claims`` are made of it, and all intervals hold."""
    if facts is None:
        return Found(verdict=MISSING)
    rows = {row["label"]: row for row in facts["rows"]}
    second = claim.second or next(
        label for label in (facts["best"], *facts["ties"], *rows) if label != claim.first
    )
    if any(rows.get(label, {}).get("mean") is None for label in (claim.first, second)):
        return Found(verdict=UNKNOWN, figure="one of the two was not confirmed")
    gap = rows[claim.first]["mean"] - rows[second]["mean"]
    if facts["pool"] is None:
        return Found(verdict=UNKNOWN, figure=f"{100 * gap:+.2f}, no error is known")
    half = _half(facts["pool"], rows, (claim.first, second), claims)
    against = "" if claim.second else f" (against {second})"
    figure = f"{100 * gap:+.2f} [{100 * (gap - half):+.2f}, {100 * (gap + half):+.2f}]{against}"
    if claim.second:
        verdict = HOLDS if gap - half > 0 else FAILS if gap + half < 0 else UNKNOWN
        return Found(verdict=verdict, figure=figure)
    # Of the best the study's own verdict decides: it is corrected for all choices.
    sole = facts["best"] == claim.first and not facts["ties"] and not facts["noisy"]
    may = claim.first in (facts["best"], *facts["ties"], *facts["noisy"])
    return Found(verdict=HOLDS if sole else UNKNOWN if may else FAILS, figure=figure)


def _half(
    pool: Mapping[str, Any], rows: Mapping[str, Any], labels: Sequence[str], claims: int
) -> float:
    """Return half the interval of a difference: pooled seeds, images, Bonferroni over claims."""
    variance = uncertain = 0.0
    pooled = 0.0
    for label in labels:
        n = len(rows[label]["values"])
        if label in pool["outside"] and n > 1:
            own = pool["own"][label] / n
            variance, uncertain = variance + own, uncertain + own**2 / (n - 1)
        else:
            pooled += pool["variance"] / n
        variance += pool["images"].get(label, 0.0)
    variance, uncertain = variance + pooled, uncertain + pooled**2 / pool["freedom"]
    freedom = variance**2 / uncertain if uncertain else 1e6
    return t_quantile(min(freedom, 1e6), 1 - 0.05 / claims) * math.sqrt(variance)


ROW = re.compile(r"\| `(?P<preset>\w+)` \| (?P<variant>\w+) \| (?P<metric>[^|]+) \|(?P<rest>.*)\|")
MEAN = re.compile(r"([+-]?[\d.]+) ± ([\d.]+)")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A row of the table of presets; accuracies in per cent."""

    name: str
    variant: str
    metric: str
    claim: str
    test: tuple[float, float]  # mean and half its t interval over seeds
    gap: tuple[float, float] | None  # test minus claim
    n: int


def presets(text: str) -> list[Preset]:
    """Read the table that ``python -m mnist_core presets report`` has written."""
    found = []
    for line in text.splitlines():
        if (row := ROW.match(line)) is None:
            continue
        claim, _, test, gap, n, _ = (cell.strip() for cell in row["rest"].split("|"))
        mean, less = MEAN.match(test), MEAN.match(gap)
        if mean is not None:
            found.append(
                Preset(
                    name=row["preset"],
                    variant=row["variant"],
                    metric=row["metric"].strip(),
                    claim=claim,
                    test=(float(mean[1]), float(mean[2])),
                    gap=None if less is None else (float(less[1]), float(less[2])),
                    n=int(n),
                )
            )
    return found


def reached(one: Preset) -> Found:
    """Return whether a preset's claim is reached: seeds and images are both an error of it."""
    assert one.gap is not None
    gap, seeds = one.gap
    share = one.test[0] / (100 if one.metric.endswith("%") else 1)
    # Other test images would move the mean, too: the binomial error, which no seed shows.
    whole = 100 if one.metric.endswith("%") else 1
    images = 1.96 * math.sqrt(share * (1 - share) / FEWER.get(one.name, IMAGES)) * whole
    half = math.hypot(seeds, images)
    # No accuracy is below 0 or above 100 %, however much three seeds differ.
    low, high = max(gap - half, -float(one.claim)), min(gap + half, whole - float(one.claim))
    digits = ".2f" if whole > 1 else ".4f"
    figure = f"{gap:+{digits}} [{low:+{digits}}, {high:+{digits}}]"
    verdict = HOLDS if low > 0 else FAILS if high < 0 else UNKNOWN
    return Found(verdict=verdict, figure=figure)


def against(first: Preset | None, second: Preset | None) -> Found:
    """Return whether the first preset is better than the second, by Welch's interval."""
    if first is None or second is None:
        return Found(verdict=MISSING)
    parts = [(one.test[1] / t_quantile(one.n - 1)) ** 2 for one in (first, second)]
    freedoms = [one.n - 1 for one in (first, second)]
    spread = sum(part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True))
    half = t_quantile(sum(parts) ** 2 / spread) * math.sqrt(sum(parts)) if spread else 0.0
    gap = first.test[0] - second.test[0]
    verdict = HOLDS if gap - half > 0 else FAILS if gap + half < 0 else UNKNOWN
    return Found(verdict=verdict, figure=f"{gap:+.2f} [{gap - half:+.2f}, {gap + half:+.2f}]")


def tiny_difference(one: float, other: float) -> Found:
    """Return what 10,000 test images say of two accuracies in per cent, of one seed each."""
    error = math.sqrt(sum(p * (100 - p) for p in (one, other)) / IMAGES)
    gap, half = one - other, 1.96 * error
    verdict = HOLDS if gap > half else UNKNOWN
    return Found(verdict=verdict, figure=f"{gap:+.2f} [{gap - half:+.2f}, {gap + half:+.2f}]")


HEAD = """# What the earlier systems concluded, judged again

Written by `python benchmarks/findings.py`; do not edit. Differences are in percentage points (of
ROC-AUC: as it is), with 95 % intervals. A claim *holds* if the whole interval is on its side, and
*does not hold* if the whole interval is on the other side. Otherwise it *cannot be told*.

"""
OF_CHOICES = """## Of choices

Each choice has its own learning rate, schedule and decay, found by the study, and is trained again
on fresh seeds. The intervals have the seeds and the images in them, and hold together for all
claims about one study. They are of the configurations that were found, not of another search.

"""
OF_PRESETS = """## Of presets at their own settings

Test accuracy over seeds ([presets.md](presets.md)) minus the claim. The interval has the seeds in
it, and the binomial error of the 10,000 test images (1,000 of mnist-10pct), not the luck of the one
seed that the claim is of. *Holds*: it is exceeded. *Does not hold*: it is not reached.

"""
OF_SETTINGS = """## Not answered by a study

| claim | why | command that would tell |
|---|---|---|
| Random affine changes and blur help the Siamese network | it was never trained without them | \
`python -m mnist_core presets run siamese_10pct --seeds 4 --set augment.affine_p=0 \
--set augment.blur_p=0` |
| ResNet-18 is better than the CNN (0.9933 and 0.9891 macro-F1) | in full it takes hours here | \
`python -m mnist_core presets run lightning_resnet18 --seeds 3 --test` |
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=Path, default=Path("docs/studies"))
    parser.add_argument("--presets", type=Path, default=Path("docs/presets.md"))
    parser.add_argument("--out", type=Path, default=Path("docs/findings.md"))
    options = parser.parse_args(arguments)
    write_atomically(options.out, page(options.studies, options.presets.read_text()))
    return 0


def page(studies: Path, of_presets: str) -> str:
    """Return ``findings.md``."""
    text = HEAD + OF_CHOICES + "| claim | our figure | verdict | command |\n|---|--:|---|---|\n"
    for claim in CLAIMS:
        file = studies / f"{claim.study}.json"
        facts = json.loads(file.read_text()) if file.is_file() else None
        claims = sum(other.study == claim.study for other in CLAIMS)
        text += _line(claim.text, judged(claim, facts, claims), claim.command)
    text += "\n" + OF_PRESETS + "| claim | our figure | verdict | command |\n|---|--:|---|---|\n"
    rows = presets(of_presets)
    for one in rows:
        if one.gap is not None:
            name = one.name if one.name == one.variant else f"{one.name}, {one.variant}"
            said = f"{name}: {one.metric.removesuffix(' %')} {one.claim}"
            said += " %" if one.metric.endswith("%") else ""
            command = f"python -m mnist_core presets run {one.name} --seeds {one.n} --test"
            text += _line(said, reached(one), command)
    named = {(one.variant, one.metric): one for one in rows if one.name == "siamese_10pct"}
    text += _line(
        "The Siamese network is better than one CNN on both images (98.95, 95.25 %; seeds alone)",
        against(named.get(("siamese", "accuracy %")), named.get(("pair_concat", "accuracy %"))),
        "python -m mnist_core presets run siamese_10pct --seeds 3 --test",
    )
    text += _line(
        "99.11 % is better than 99.04 % (one seed each, the interval of 10,000 images alone)",
        tiny_difference(99.11, 99.04),
        "python -m mnist_core presets run cpu_cuda_baseline --seeds 3 --test",
    )
    return text + "\n" + OF_SETTINGS


def _line(claim: str, found: Found, command: str) -> str:
    return f"| {claim} | {found.figure} | {found.verdict} | `{command}` |\n"


if __name__ == "__main__":
    sys.exit(main())
