"""Figures of a study for Optuna's dashboard, as plotly's JSON: its choices side by side."""

from collections.abc import Sequence
from typing import Any

from studies.analysis import figure_data, scales
from studies.analysis.stored_study import Stored
from studies.core.formatting import is_share

# Okabe and Ito (jfly.uni-koeln.de/color): colour-blind people can tell them apart. Further choices
# have other marks, too.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
_MARKS = ("circle", "square", "diamond", "cross", "triangle-up", "star")
_CURVES = 15
"""Curves of a choice that are drawn at most, the best ones."""

Figure = dict[str, Any]
"""``data`` and ``layout`` of plotly."""


def figures(stored: Stored) -> dict[str, Figure]:
    """Return the figures of a search by their identities; none before a trial has reported."""
    if not any(record.curve for record in stored.search):
        return {}
    confirmed = figure_data.confirmed_values(stored.confirm)
    return {
        "trials-by-choice": _trials(stored),
        "curves-by-choice": _curves(stored),
        **({"confirmed": _confirmed(stored, confirmed)} if confirmed else {}),
    }


def _trials(stored: Stored) -> Figure:
    traces = []
    for index, (choice, records) in enumerate(
        figure_data.by_choice(stored.plan.spec, stored.search)
    ):
        known = [record for record in records if record.value is not None]
        full = [record.complete for record in known]
        mark = _MARKS[index // len(_COLOURS) % len(_MARKS)]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": str(choice),
                "x": [record.number for record in known],
                "y": _scaled(stored, [record.value or 0.0 for record in known]),
                "text": [f"trial {r.number}, {r.state.lower()}" for r in known],
                "marker": {
                    "color": _colour(index),
                    "size": 9,
                    "symbol": [mark if whole else f"{mark}-open" for whole in full],
                    "opacity": [1.0 if whole else 0.45 for whole in full],
                },
            }
        )
    return _figure(
        stored,
        f"Trials{_by_choice(stored)}",
        traces,
        {"title": "trial"},
        _range(stored),
    )


def _curves(stored: Stored) -> Figure:
    sign = stored.plan.goals.sign
    traces = []
    for index, (choice, records) in enumerate(
        figure_data.by_choice(stored.plan.spec, stored.search)
    ):
        drawn = [record for record in records if record.curve]
        # By the last report, as pruned trials have no final value.
        drawn.sort(key=lambda record: -sign * list(record.curve.values())[-1])
        x: list[int | None] = []
        y: list[float | None] = []
        for record in drawn[:_CURVES]:  # None: the pen is lifted
            x += [*record.curve, None]
            y += [*_scaled(stored, list(record.curve.values())), None]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": str(choice),
                "x": x,
                "y": y,
                "opacity": 0.7,
                "line": {"color": _colour(index), "width": 1},
                "marker": {
                    "size": 4,
                    "symbol": _MARKS[index // len(_COLOURS) % len(_MARKS)],
                },
            }
        )
    title = f"Curves{_by_choice(stored, f'best {_CURVES}')}"
    return _figure(stored, title, traces, {"title": "report", "dtick": 1}, _range(stored))


def _by_choice(stored: Stored, which: str = "") -> str:
    """Return the end of a title: what the legend is good for, and ``which`` are drawn."""
    if not stored.plan.spec.compares:
        return f" ({which})" if which else ""
    return f" by choice ({f'{which}; ' if which else ''}double click: all)"


def _confirmed(stored: Stored, groups: dict[str, list[float]]) -> Figure:
    traces = [
        {
            "type": "box",
            "boxpoints": "all",
            "name": label,
            "y": _scaled(stored, values),
            "marker": {"color": _colour(index)},
            "showlegend": False,
        }
        for index, (label, values) in enumerate(groups.items())
    ]
    return _figure(stored, "Confirmed on fresh seeds", traces, {"title": ""})


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _scaled(stored: Stored, values: Sequence[float]) -> list[float]:
    share = is_share(stored.plan.spec.metric)
    return [round(100 * value, 3) if share else float(f"{value:.6g}") for value in values]


def _figure(
    stored: Stored,
    title: str,
    traces: list[dict[str, Any]],
    x: dict[str, Any],
    y: dict[str, Any] | None = None,
) -> Figure:
    return {
        "data": traces,
        "layout": {
            "title": {"text": title, "x": 0.02, "y": 0.97, "font": {"size": 15}},
            "xaxis": x,
            "yaxis": {"title": scales.axis_label(stored.plan.spec.metric), **(y or {})},
            "margin": {"t": 70, "r": 20},
        },
    }


def _range(stored: Stored) -> dict[str, Any]:
    """Return an axis that shows the better half of the trials well; a double click shows all."""
    records = figure_data.complete(stored.search)
    values = _scaled(stored, [record.value or 0.0 for record in records])
    ends = scales.better_half(values, stored.plan.goals.sign)
    return {"range": list(ends)} if ends else {}
