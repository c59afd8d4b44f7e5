"""Two trained models side by side: what differs, and where their trainings parted."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mnist_core.comparison import model_record
from mnist_core.comparison.model_record import ModelRecord
from mnist_core.table import ABSENT, difference

COMPUTED = ("device", "precision", "threads", "deterministic", "compile", "cuda_graph")
"""Settings that say how it is computed; results differ by rounding."""

_NO_FIGURE = ("step", "epoch", "seconds")


@dataclass(frozen=True)
class Difference:
    """A recorded fact that differs between the two models; None: it is not recorded.

    Attributes:
        kind: ``configuration``, ``data``, ``device`` or ``versions``.
    """

    kind: str
    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Parting:
    """The first report in which two trainings are not the same to the last bit."""

    epoch: float
    metric: str
    a: float
    b: float


@dataclass(frozen=True)
class Curves:
    """Two histories of reports, epoch by epoch.

    Attributes:
        common: of how many epochs both have a report.
        parting: the first that differs; None: none does.
    """

    reports: tuple[int, int]
    common: int
    parting: Parting | None

    @property
    def identical(self) -> bool:
        """Whether all reports of both are the same to the last bit."""
        return self.parting is None and self.reports == (self.common, self.common)


def differences(a: ModelRecord, b: ModelRecord) -> list[Difference]:
    """Return what differs in configuration, data, device and versions."""
    found: list[Difference] = []
    for name, x, y in difference(a.config.to_dict(), b.config.to_dict()):
        kind = "configuration"
        if name.startswith("data."):
            kind = "data"
        elif name in COMPUTED:
            kind = "device"
        found.append(Difference(kind, name, *(None if v is ABSENT else v for v in (x, y))))
    for kind, facts, others in (
        ("data", a.data, b.data),
        ("device", a.machine, b.machine),
        ("versions", a.versions, b.versions),
    ):
        found += _facts(kind, facts, others)
    order = ("configuration", "data", "device", "versions")
    return sorted(found, key=lambda one: order.index(one.kind))


def only_the_seed(a: ModelRecord, b: ModelRecord) -> bool:
    """Return whether A and B are trainings of one configuration that differ in the seed alone."""
    found = [one.name for one in differences(a, b) if one.name != "data.root"]
    return found == ["seed"] and same_images(a, b)


def curves(a: ModelRecord, b: ModelRecord) -> Curves | None:
    """Return where the reports part; None if one of the models has none recorded."""
    if not a.history or not b.history:
        return None
    later = {report["epoch"]: report for report in b.history}
    common = [(report, later[report["epoch"]]) for report in a.history if report["epoch"] in later]
    parting = None
    for x, y in common:
        odd = (name for name in x if name in y and name not in _NO_FIGURE)
        name = next((name for name in odd if not same(x[name], y[name])), None)
        if name is not None:
            parting = Parting(x["epoch"], name, x[name], y[name])
            break
    return Curves((len(a.history), len(b.history)), len(common), parting)


def same_weights(a: ModelRecord, b: ModelRecord) -> bool | None:
    """Return whether all weights are the same to the last bit; None: a checkpoint is missing.

    Raises:
        CheckpointError: if one cannot be read.
    """
    if a.checkpoint is None or b.checkpoint is None:
        return None
    digests = [model_record.weights_digest(path) for path in (a.checkpoint, b.checkpoint)]
    return digests[0] == digests[1]


def same_images(a: ModelRecord, b: ModelRecord) -> bool:
    """Return whether both were judged on the same images, or pairs, as far as is recorded."""
    marks = [record.data.get("fingerprint") for record in (a, b)]
    if None not in marks and marks[0] != marks[1]:
        return False
    chosen = [
        (config.data.name, config.data.split_seed, config.pairs.evaluation)
        for config in (a.config, b.config)
    ]
    return chosen[0] == chosen[1]


def same(a: float, b: float) -> bool:
    """Return whether two numbers are the same to the last bit (two NaN are)."""
    return a == b or (math.isnan(a) and math.isnan(b))


def readings_of_both(
    a: ModelRecord, b: ModelRecord
) -> tuple[Mapping[str, Any], Mapping[str, Any]] | None:
    """Return the first readings of the same test images, if both have one."""
    for x in a.readings:
        for y in b.readings:
            if x.get("fingerprint") is not None and x["fingerprint"] == y.get("fingerprint"):
                return x, y
    return None


def _facts(kind: str, x: Mapping[str, Any], y: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what differs; what one of them has not recorded does not count."""
    for name in x:
        if x[name] is not None and y.get(name) not in (None, x[name]):
            yield Difference(kind, name, x[name], y[name])
