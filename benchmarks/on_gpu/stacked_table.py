"""The table of the part ``stacked`` of ``benchmarks/gpu.py``, and whether ``fused`` pays."""

from collections import defaultdict
from collections.abc import Sequence

import measure
from measure import Result

from on_gpu.tables import Measured

_FORMS = ("in turn", "stacked", "processes")

_HOW_TO_READ = (
    "images/s of all trainings together. `in turn`: the members' steps one after the other, "
    "without a graph. `processes`: one training each, on the same device. `x in turn`: of the same "
    "number of members. `loss`: mean of the first steps, which must agree."
)


def stacked(rows: Sequence[Result]) -> Measured:
    """Return the table of stacks, and of each model the best stack over the best of the rest."""
    by_model: dict[str, list[Result]] = defaultdict(list)
    for row in rows:
        if row.get("form") in _FORMS:
            by_model[row["model"]].append(row)
    figures: dict[str, float] = {}
    cells: list[list[str]] = []
    verdicts: list[str] = []
    for model, found in by_model.items():
        in_turn = {row["members"]: row for row in found if row["form"] == "in turn"}
        cells += [_cells(row, in_turn.get(row["members"])) for row in found]
        if (verdict := _verdict(model, found, figures)) is not None:
            verdicts.append(verdict)
    header = ["model", "form", "trainings", "graph", "images/s", "x in turn", "loss"]
    text = [measure.table(header, cells), *verdicts, _HOW_TO_READ]
    return Measured("\n\n".join(text), figures)


def _cells(row: Result, in_turn: Result | None) -> list[str]:
    graph = "on" if row["graph"] else "off"
    name = [row["model"], row["form"], str(row["members"]), graph]
    if "rate" not in row:
        return [*name, "refused" if "refused" in row else "FAILED", "", ""]
    ratio = f"{row['rate'] / in_turn['rate']:.2f}" if in_turn and row["form"] == "stacked" else ""
    return [*name, f"{row['rate']:,.0f}", ratio, f"{row['loss']:.4f}" if "loss" in row else ""]


def _verdict(model: str, rows: Sequence[Result], figures: dict[str, float]) -> str | None:
    """Return a sentence on ``fused``, and note its figures; None: one of the sides is missing."""
    measured = [row for row in rows if "rate" in row]
    stacks = [row for row in measured if row["form"] == "stacked"]
    others = [row for row in measured if row["form"] != "stacked"]
    apart = [
        abs(row["loss"] / one["loss"] - 1)
        for row in stacks
        for one in others
        if one["form"] == "in turn" and one["members"] == row["members"]
    ]
    # Without processes to compare with, the stack has not met the usual way to run a study.
    if not stacks or not any(row["form"] == "processes" for row in others):
        return None
    best, rival = (max(side, key=lambda row: float(row["rate"])) for side in (stacks, others))
    gain = best["rate"] / rival["rate"]
    figures[f"{model}.gain"] = gain
    if apart:
        figures[f"{model}.loss"] = 100 * max(apart)
    against = f"{rival['members']} {rival['form']}{', with a graph' if rival['graph'] else ''}"
    return (
        f"`fused` {'pays' if gain > 1 else 'does not pay'} for {model}: {best['members']} members "
        f"train {best['rate']:,.0f} images/s, {gain:.2f} times the best of the rest ({against})."
    )
