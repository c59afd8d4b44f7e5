"""A refined study as the text of a file of a project."""

import dataclasses
import json
from collections.abc import Iterable, Mapping
from typing import Any

from mnist_core.console.plain_text import one_line
from mnist_core.console.shell_words import program
from mnist_core.table import flat_items
from search_spaces.space import Choice, Parameter
from studies.analysis.refinement import Refinement
from studies.planning.layers import unused_settings
from studies.planning.plan import Plan
from studies.planning.settings import Settings, short_name
from studies.spec import StudySpec


def study_file(plan: Plan, found: Refinement, name: str) -> str:
    """Return the text of the file ``<name>.py``."""
    spec = plan.spec
    kinds = {type(one.parameter).__name__ for one in found.parameters.values()}
    when = {"When"} if any(one.parameter.when for one in found.parameters.values()) else set()
    # The goal comes from the database. As a docstring, three quotes in it would begin code.
    lines = [
        f'"""A refined study: {program("studies.run")} {name}"""',
        "",
        f"# Refined from the study {one_line(plan.name)} by `{program('studies')} refine`.",
        "",
        f"from search_spaces.space import {', '.join(sorted({*kinds, *when, 'Space'}))}",
        *(["from studies import catalog"] if spec.own else []),
        "from studies.spec import StudySpec",
        "",
        "SPACE = Space(",
        "    {",
        *(f"        # Left out: {one_line(line)}" for line in found.dropped),
    ]
    for parameter, refined in found.parameters.items():
        lines += [f"        # {one_line(refined.why)}"] if refined.why else []
        lines.append(f"        {_source(parameter)}: {_written(refined.parameter)},")
    lines += ["    }", ")", "", "STUDY = StudySpec("]
    per_choice = min(spec.promised * 2, spec.trials // len(found.defaults))
    values: dict[str, Any] = {
        **{"name": name, "goal": spec.goal, "scientific": spec.scientific},
        "fixed": fixed_settings(plan.spec, plan.settings),
        **{"baseline": found.baseline, "trials": spec.trials, "trials_per_choice": per_choice},
        "confirm_seeds": plan.confirm_seeds,
    }
    if not spec.compares:
        for compared in ("scientific", "baseline", "trials_per_choice"):
            del values[compared]
    usual = {one.name: one.default for one in dataclasses.fields(spec)}
    same = ("metric", "direction", "objective", "steps")
    values |= {key: getattr(spec, key) for key in same if getattr(spec, key) != usual[key]}
    if spec.own:  # the refined study calls the very same objective
        del values["objective"]
        lines.append(f"    objective=catalog.get({_source(spec.name)}).objective,")
    lines += [f"    {key}={_source(value)}," for key, value in values.items()]
    lines.append("    space=SPACE,")
    if not spec.compares:
        lines.append("    # The best confirmed configuration, which has to be beaten.")
        (default,) = found.defaults.values()
        return "\n".join([*lines, f"    default={_source(dict(default))},", ")", ""])
    lines.append("    # The confirmed configurations, which have to be beaten.")
    lines.append("    defaults={")
    for choice, params in found.defaults.items():
        lines.append(f"        {_source(choice)}: {_source(dict(params))},")
    return "\n".join([*lines, "    },", ")", ""])


def fixed_settings(spec: StudySpec, settings: Settings) -> dict[str, Any]:
    """Return what all trials of the study shared and the search did not choose, by short name."""
    usual, searched = dict(flat_items(Settings().to_dict())), unused_settings(spec)
    found = {}
    for key, value in flat_items(settings.to_dict()):
        kind = key.startswith("train.") or key in ("search.sampler", "search.pruner")
        if kind and key not in searched and value is not None and usual.get(key) != value:
            found[short_name(key)] = value
    return found


def _source(value: Any) -> str:
    """Return a value as Python source, with double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_source(k)}: {_source(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple | list):
        inner = ", ".join(map(_source, value)) + ("," if len(value) == 1 else "")
        return f"({inner})" if isinstance(value, tuple) else f"[{inner.rstrip(',')}]"
    return repr(value)


def _written(parameter: Parameter) -> str:
    """Return a parameter as Python source."""
    words: Iterable[str]
    if isinstance(parameter, Choice):
        words = [_source(parameter.choices)]
    else:
        words = [repr(parameter.low), repr(parameter.high)]
        words += ["log=True"] if parameter.log else []
        words += [] if parameter.step is None else [f"step={parameter.step!r}"]
    more = [f"sets={_source(parameter.sets)}"] if parameter.sets else []
    if parameter.when is not None:
        named = f"{_source(parameter.when.parameter)}, {_source(parameter.when.values)}"
        more.append(f"when=When({named})")
    return f"{type(parameter).__name__}({', '.join([*words, *more])})"
