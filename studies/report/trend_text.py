"""The trend over a numeric scientific parameter in one sentence."""

from studies.analysis.result import StudyResult
from studies.analysis.trends import numbers, trend_of
from studies.core.formatting import gap_text, unit
from studies.statistics.trend import Trend


def trend_lines(result: StudyResult) -> list[str]:
    """Say how the metric changes over the scientific parameter; empty: it is not a number."""
    found = trend_of(result)
    if found is None:
        return []
    name, metric = result.plan.spec.scientific, result.plan.spec.metric
    ends = f"from {found.low:g} to {found.high:g}"
    change = f"{gap_text(metric, found.change)} {unit(metric)}".rstrip()
    scale = ", on a logarithmic scale" if found.log else ""
    said = f"a straight line changes by {change} {ends}{scale}"
    if found.bend is not None:
        said += f"; its middle bends by {gap_text(metric, found.bend)} {unit(metric)}".rstrip()
    known = len(numbers(result))
    if found.levels < known:
        said += f"; of {found.levels} of the {known} levels, as the others were not judged"
    if not found.told:
        return [f"Trend over {name}, as tuned here: none can be told ({said})."]
    return [f"Trend over {name}, as tuned here: {trend_words(found)} ({said})."]


def trend_words(found: Trend) -> str:
    """Say where the metric gets better: ``better towards larger values up to about 64``."""
    about = "" if found.turn is None else f"about {found.turn:.3g}"
    if found.up == 0:
        return _bent(found, about)
    towards = f"better towards {'larger' if found.up > 0 else 'smaller'} values"
    if found.peak > 0:
        return (
            f"{towards} {f'up to {about}' if found.up > 0 else f'down to {about}'}"
            if about
            else (f"{towards}, less and less")
        )
    if found.peak < 0:
        return f"{towards} from {about} on" if about else f"{towards}, more and more"
    return towards


def _bent(found: Trend, about: str) -> str:
    """Say what a curve without a slope does."""
    where = about or "one end"
    if found.peak > 0:
        return f"best at {where}, worse towards both ends" if about else f"best towards {where}"
    return f"worst at {where}, better towards both ends" if about else f"worst towards {where}"
