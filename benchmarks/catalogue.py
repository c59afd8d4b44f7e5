"""Run the studies of the catalogue in full, and write what they found to ``docs/studies``.

    python benchmarks/catalogue.py                       # all that run without Ray, an hour or more
    python benchmarks/catalogue.py siamese_search        # one; what was finished is not run again
    python benchmarks/catalogue.py docs/studies/digit_models.py    # a study outside the catalogue
    python benchmarks/catalogue.py --no-run              # write what is in results/ already
    python benchmarks/catalogue.py optim_search --quick --out /tmp/x --results /tmp/y   # a trial

Of each study it writes three files: ``NAME.md``, the report of ``python -m studies report``;
``NAME.parquet``, a row a training with its curve; ``NAME.json``, what the verdict knows. The table
in ``README.md`` and ``benchmarks/findings.py`` are made from the last. A stopped study resumes.
"""

import argparse
import io
import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_core.errors import ConfigError
from mnist_core.files import write_atomically
from studies import catalog
from studies.analysis import stored_study
from studies.analysis.result import StudyResult
from studies.analysis.stored_study import Stored
from studies.analysis.tables import tables
from studies.core.formatting import is_share
from studies.planning import lookup
from studies.report.front_table import beaten_by, cost_text, covered, means
from studies.report.table import markdown
from studies.report.verdict_text import gain_text

OUT = Path("docs/studies")
LARGEST = 200_000
"""Bytes that a table may have in the repository."""
_PLACES = ("info.state_ignored", "message")
"""Columns whose text may name folders of the machine."""
HEAD = """# Studies, run in full

Written by `python benchmarks/catalogue.py` from the files `NAME.json` here; do not edit. Each
study's link is its report; `NAME.parquet` has all its trainings. Minutes are of the wall, on two
processor cores; a study that was stopped and resumed, or shared the machine, has more of them.

| study | best, and all that may be as good | default | best - default | on | minutes | run |
|---|---|---|---|---|--:|---|
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and write the studies that the command line names."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.quick and options.out == OUT:
        parser.error(f"--quick is a trial: write it elsewhere than {OUT}, with --out FOLDER")
    names = options.studies or [name for name in catalog.names() if _runs_without_ray(name)]
    failed = []
    for name in names:
        if options.run and not _run(name, options):
            failed.append(name)
            continue
        sets = {"results.folder": str(options.results)} if options.results else {}
        _write(stored_study.read(lookup.find(name, sets=sets, quick=options.quick)), options.out)
    write_atomically(options.out / "README.md", overview(options.out))
    for name in failed:
        print(f"{name}: did not run to its end; the same command resumes it", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "studies", nargs="*", metavar="STUDY", type=_study, help="its name, or the path of its file"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the files")
    parser.add_argument("--results", type=Path, help="results.folder of the studies")
    parser.add_argument("--quick", action="store_true", help="their small versions, to try this")
    parser.add_argument("--no-run", dest="run", action="store_false", help="only write")
    return parser


def _study(said: str) -> str:
    """Return the name of the study that is called ``said``; a study in a file is known from now."""
    try:
        name = catalog.named(said)
        catalog.get(name)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name


def _runs_without_ray(name: str) -> bool:
    return catalog.get(name).fixed.get("engine.name") != "ray"


def _run(name: str, options: argparse.Namespace) -> bool:
    """Run or resume a study in a process of its own; return whether it ran to its end."""
    # A process each: what a study leaves in memory must not slow the next one.
    command = [sys.executable, "-m", "studies.run", catalog.word(name), "--plain"]
    command += ["--quick"] if options.quick else []
    command += ["--set", f"results.folder={options.results}"] if options.results else []
    return subprocess.run(command, check=False).returncode == 0


def _write(found: Stored, out: Path) -> None:
    result = found.finished()
    out.mkdir(parents=True, exist_ok=True)
    name = result.plan.spec.name
    write_atomically(out / f"{name}.md", _without_places(markdown(result), found))
    table = trainings(found)
    if len(table) > LARGEST:
        print(f"{name}.parquet: {len(table):,} bytes, more than {LARGEST:,}", file=sys.stderr)
    write_atomically(out / f"{name}.parquet", table)
    write_atomically(out / f"{name}.json", json.dumps(facts(found), indent=1) + "\n")


def _without_places(text: str, found: Stored) -> str:
    """Return ``text`` without the folders of this machine."""
    for place, short in (
        (str(found.plan.folder.resolve()), f"results/{found.plan.name}"),
        (str(found.plan.folder), f"results/{found.plan.name}"),
        (f" --set results.folder={found.plan.folder.parent}", ""),
        (str(found.plan.folder.parent.resolve()), "results"),
        (str(found.plan.folder.parent), "results"),
        (str(Path.cwd()), "."),
        (str(Path.home()), "~"),
    ):
        text = text.replace(place, short)
    return text


def trainings(found: Stored) -> bytes:
    """Return all trainings of a study as a Parquet file: search and confirm, with their curves."""
    parts = tables(found)
    curves = {
        key: (list(of_one["step"]), list(of_one["value"]))
        for key, of_one in parts.curves.groupby(["phase", "number"])
    }
    frames = []
    for phase, frame in (("search", parts.trials), ("confirm", parts.confirm)):
        own = [curves.get((phase, number), ([], [])) for number in frame["number"]]
        frames.append(
            frame.drop(columns=[name for name in _PLACES if name in frame]).assign(
                phase=phase, steps=[steps for steps, _ in own], curve=[values for _, values in own]
            )
        )
    buffer = io.BytesIO()
    together = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    # A parameter may be a number in one table and text in the other.
    for column in together.columns[together.dtypes.map(pd.api.types.is_object_dtype)]:
        if column not in ("steps", "curve"):
            together[column] = together[column].map(str, na_action="ignore")
    together.to_parquet(buffer, index=False, engine="pyarrow", compression="zstd")
    return buffer.getvalue()


def facts(found: Stored) -> dict[str, Any]:
    """Return what the verdicts know, as JSON values; means are in the metric's own unit."""
    result = found.finished()
    judged, best, gain = result.verdicts.configurations, result.best_row, result.to_default
    records = [*found.search, *found.confirm]
    began = [record.started for record in records if record.started is not None]
    ended = [record.ended for record in records if record.ended is not None]
    devices = sorted({str(r.attributes.get("device_name", "")) for r in found.confirm} - {""})
    choices = result.verdicts.choices
    return {
        "study": result.plan.spec.name,
        "scientific": result.plan.spec.scientific,
        "metric": result.judged_metric,
        "direction": result.plan.spec.direction,
        "best": result.best,
        "ties": list(result.ties),
        "noisy": list(result.noisy),
        "collapsed": {row.label: str(row.collapsed) for row in result.rows if row.collapsed},
        "best_choices": list(choices.comparison.possible) if choices else None,
        "default": result.default_row.label if result.default_row else None,
        "best_is_default": bool(
            best
            and best.candidate
            and result.default_row
            and result.default_row.candidate
            and best.candidate.params == result.default_row.candidate.params
        ),
        "gain": None if gain is None else gain_text(result, gain),
        "front": _front(result) if result.several else None,
        "judged_on": result.verdicts.judged_on or _judged_on(result),
        "covered": covered(result),
        "pool": None
        if judged is None or not math.isfinite(judged.pool.variance)
        else {
            "variance": judged.pool.variance,
            "freedom": judged.pool.freedom,
            "outside": list(judged.pool.outside),
            "own": dict(judged.pool.own),
            "images": dict(judged.images),
        },
        "rows": [_row(result, index) for index in range(len(result.rows))],
        "minutes": (max(ended) - min(began)).total_seconds() / 60 if began and ended else None,
        "date": str(max(ended).date()) if ended else "",
        "machine": ", ".join(devices),
        "versions": dict(found.environment.get("versions", {})),
    }


def _judged_on(result: StudyResult) -> str:
    return "validation images" if result.plan.spec.own is None else "the objective's own data"


def _front(result: StudyResult) -> list[str]:
    """Return the labels that no other configuration beats in all objectives, each once."""
    rows = [row for row in result.rows if means(result, row) and not beaten_by(result, row)]
    params = [row.candidate.params if row.candidate else {} for row in rows]
    # A configuration of the front may be the default, too: one set of trainings.
    return [row.label for at, row in enumerate(rows) if params[at] not in params[:at]]


def _row(result: StudyResult, index: int) -> dict[str, Any]:
    row = result.rows[index]
    interval, test = row.confirm, row.test
    return {
        "label": row.label,
        "params": dict(row.candidate.params) if row.candidate else None,
        "standing": result.standing(row),
        "values": {str(seed): value for seed, value in row.values.items()},
        "mean": interval.mean if interval else None,
        "low": interval.low if interval and math.isfinite(interval.low) else None,
        "high": interval.high if interval and math.isfinite(interval.high) else None,
        "test": test.mean if test else None,
        "objectives": dict(zip(result.plan.goals.names, means(result, row), strict=False)),
        "minus_best": [row.gap.mean, row.gap.low, row.gap.high] if row.gap else None,
        "on_bound": list(row.on_bound),
        "seconds": row.seconds,
    }


def overview(folder: Path) -> str:
    """Return ``README.md``: a line for each study that has been run."""
    lines = [_line(json.loads(file.read_text())) for file in sorted(folder.glob("*.json"))]
    missing = [name for name in catalog.names() if not (folder / f"{name}.json").is_file()]
    text = HEAD + "".join(lines)
    if missing:
        text += f"\nNot run yet under this protocol: {', '.join(missing)}.\n"
    return text


def _line(one: dict[str, Any]) -> str:
    rows = {row["label"]: row for row in one["rows"]}
    scale, digits = (100, ".2f") if is_share(one["metric"]) else (1, ".4g")

    def said(label: str) -> str:
        row = rows[label]
        if row["mean"] is None:
            return label
        ends = [row["low"], row["high"]]
        text = f"{label} {scale * row['mean']:{digits}}"
        if None not in ends:
            low, high = (scale * end for end in ends)
            text += f" [{low:{digits}}, {high:{digits}}]"
        # The first objective is the metric itself.
        others = list(row.get("objectives", {}).items())[1:] if one["front"] is not None else []
        return text + "".join(f", {name} {cost_text(value)}" for name, value in others)

    def from_the_best(label: str) -> str:
        """Return the best minus the default where that is a choice's best, too."""
        gap = rows[label]["minus_best"] if label in rows else None
        if gap is None:
            return "-"
        # Where one end is 0 the default is shown to be worse (Hsu 1984).
        mean, low, high = (-scale * gap[at] for at in (0, 2, 1))
        return f"{mean:+{digits}} [{low + 0:+{digits}}, {high + 0:+{digits}}]"

    if one["front"] is not None:
        answer = f"a front of {len(one['front'])}: " + "; ".join(map(said, one["front"]))
    else:
        answer = f"**{said(one['best'])}**"
        if one["ties"]:
            answer += "; ties: " + ", ".join(map(said, one["ties"]))
        if one["noisy"]:
            answer += "; too noisy to tell: " + ", ".join(map(said, one["noisy"]))
    if one["collapsed"]:
        answer += "; " + ", ".join(f"{name}: {what}" for name, what in one["collapsed"].items())
    default = said(one["default"]) if one["default"] in rows else "-"
    gain = one["gain"] or from_the_best(one["default"])
    if one["best_is_default"]:
        gain = "it is the default"
    minutes = "-" if one["minutes"] is None else f"{one['minutes']:.0f}"
    versions = ", ".join(
        f"{name} {version}"
        for name, version in one["versions"].items()
        if name in ("torch", "optuna", "python")
    )
    run = "; ".join(part for part in (one["date"], one["machine"], versions) if part)
    cells = (
        f"[{one['study']}]({one['study']}.md)",
        answer,
        default,
        gain,
        f"{one['judged_on'] or 'validation images'}, {one['metric']}",
        minutes,
        run,
    )
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    sys.exit(main())
