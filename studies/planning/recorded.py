"""What a study keeps of the plan that it was run with, so that looking at it needs no settings.

The storage holds it as the study's user attribute ``plan``: the study's question and space, all
settings, and what the machine gave. Places (``results.folder``, ``storage.url``, ``data.root``) and
trackers are those of who looks, unless the run alone was given them. Passwords are never kept.

A study of a version that kept none is put together from its fingerprint, the settings of its runs
and its file in the catalog.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.errors import ConfigError, UserError
from search_spaces.space import Space, SpaceError
from studies.core.attributes import BUDGET, FINGERPRINT, RECORD
from studies.core.redaction import masked
from studies.planning.layers import searched_settings, setting_of, unset
from studies.planning.plan import Plan
from studies.planning.settings import CONF, OPTIONS, RECORDED, SET, Settings, short_name
from studies.spec import StudySpec

_OF_SPEC = (
    *("name", "goal", "scientific", "baseline", "trials", "trials_per_choice", "metric"),
    *("direction", "confirm_seeds", "objective", "steps"),
)
_OF_MACHINE = ("workers", "threads")
_OWN = ("results.", "storage.", "tracking.", "train.data.root")
"""Settings of who looks: places, and who else hears of the study."""


@dataclass(frozen=True, kw_only=True)
class Now:
    """What somebody who looks at a study has said, and where the study was found.

    Attributes:
        settings: as resolved now, from ``conf.toml``, the catalog and the command line.
        origins: the source of each setting that is not a default, by full dotted name.
        folder: of the study's files.
        storage_url: of the study.
        spec: from the catalog; None: it has no such study, or it is broken.
    """

    settings: Settings
    origins: Mapping[str, str]
    folder: Path
    storage_url: str
    spec: StudySpec | None


def plan_attribute(plan: Plan) -> dict[str, Any]:
    """Return what a study keeps of ``plan``, as JSON."""
    spec = plan.spec
    settings = plan.settings.model_dump(mode="json", exclude={"results", "storage"})
    return {
        "spec": {
            **{name: getattr(spec, name) for name in _OF_SPEC},
            "space": spec.space.to_dict(),
            "defaults": [[choice, dict(given)] for choice, given in spec.defaults.items()],
        },
        "settings": _without_passwords(settings),
        # What --set and another file than conf.toml gave for places and trackers holds for the run.
        "given": [key for key, source in plan.origins.items() if _own(key) and _alone(source)],
        "device": plan.train.device,
        "trials_per_choice": plan.trials_per_choice,
        **{name: getattr(plan, name) for name in _OF_MACHINE},
    }


def recorded_plan(name: str, attributes: Mapping[str, Any], now: Now) -> Plan | None:
    """Return the plan that study ``name`` was last run with.

    Args:
        name: of the study in the storage.
        attributes: the study's user attributes.
        now: what is said now, and where the study is.

    Returns:
        The plan; settings that would be others now have the origin ``RECORDED``, so that its
        commands repeat them. None: the study was not made by this program, or an older version left
        too little.

    Raises:
        UserError: if only the catalog would say what the study asks, and it does not.
        ConfigError: if a recorded setting is unknown to this version.
    """
    fingerprint = attributes.get(FINGERPRINT)
    if fingerprint is None:
        return None
    record = attributes.get(RECORD)
    if record is None:
        record = _of_older(name, fingerprint["values"], attributes, now)
        if record is None:
            return None
    given = record["spec"]
    spec = StudySpec(
        **{key: given[key] for key in _OF_SPEC},
        space=Space.from_dict(given["space"]),
        defaults={choice: params for choice, params in given["defaults"]},
        fixed={},
    )
    settings, origins = _settings(record, spec, now, source=f"the record of study {name}")
    seeds = settings.confirm.seeds
    plan = Plan(
        name=name,
        spec=spec,
        settings=settings,
        origins=origins,
        train=settings.train.override(
            {
                **unset(searched_settings(spec)),
                "device": record["device"],
                "threads": record["threads"],
            }
        ),
        trials=settings.search.trials or spec.trials,
        trials_per_choice=record["trials_per_choice"],
        confirm_seeds=seeds or spec.confirm_seeds,
        workers=record["workers"],
        threads=record["threads"],
        folder=now.folder,
        storage_url=now.storage_url,
        data_fingerprint=fingerprint["values"]["data"],
    )
    return dataclasses.replace(plan, **attributes.get(BUDGET, {}))


def contradictions(plan: Plan, now: Now) -> str:
    """Name the settings of the command line that are not those of the recorded ``plan``; or ""."""
    return _said(plan, now.settings, (key for key, source in now.origins.items() if source == SET))


def changed_settings(plan: Plan, settings: Settings) -> str:
    """Name where ``settings`` are not those of the recorded ``plan``, places aside; or ""."""
    searched = searched_settings(plan.spec)
    keys = dict.fromkeys([*_keys(plan.settings), *_keys(settings)])
    return _said(plan, settings, (key for key in keys if key not in searched))


def _said(plan: Plan, settings: Settings, keys: Iterable[str]) -> str:
    changed = []
    for key in keys:
        then, now = setting_of(plan.settings, key), setting_of(settings, key)
        if then != now and not _own(key):
            changed.append(f"{short_name(key)} was {then!r}, not {now!r}")
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    return "; ".join(changed[:5]) + more


def _settings(
    record: Mapping[str, Any], spec: StudySpec, now: Now, *, source: str
) -> tuple[Settings, dict[str, str]]:
    """Return the recorded settings with those of who looks, and where each comes from."""
    nested = now.settings.model_dump(mode="json")
    kept = set(record["given"])
    for key, value in _leaves(record["settings"]):
        here = _own(key) and (key not in kept or now.origins.get(key) == SET)
        if not here:
            *parents, leaf = key.split(".")
            table = nested
            for parent in parents:
                table = table[parent]
            table[leaf] = value
    settings = Settings.from_mapping(nested, source=source)
    searched, origins = searched_settings(spec), {}
    for key in dict.fromkeys([*_keys(settings), *now.origins]):
        if key in searched or key in ("train.seed", "train.threads"):
            continue
        same = setting_of(settings, key) == setting_of(now.settings, key)
        origin = now.origins.get(key) if same else RECORDED
        if origin is not None:
            origins[key] = origin
    return settings, origins


def _keys(settings: Settings) -> Iterator[str]:
    """Yield the dotted names of all settings, those within free tables too."""
    for key in Settings.setting_names():
        if key in OPTIONS:
            yield from (f"{key}.{name}" for name in setting_of(settings, key))
        else:
            yield key


def _leaves(nested: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values; tables with free keys are values."""
    for name, value in nested.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and key not in OPTIONS:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _own(key: str) -> bool:
    return key.startswith(_OWN)


def _alone(source: str) -> bool:
    """Return whether ``source`` gave a setting to one run: the command line, or another file."""
    file = source.partition(" [")[0]
    return source == SET or (file.endswith(".toml") and file != str(CONF))


def _without_passwords(nested: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found[name] = _without_passwords(value)
        elif not (isinstance(value, str) and masked(value) != value):
            found[name] = value
    return found


def _of_older(
    name: str, values: Mapping[str, Any], attributes: Mapping[str, Any], now: Now
) -> dict[str, Any] | None:
    """Return a record of a study that has only a fingerprint; None: the catalog's does not fit."""
    from studies.core.attributes import RUNS

    spec = now.spec
    if spec is None:
        raise UserError(
            f"study {name} was run by a version that left its question in the catalog, where it is"
            " not (any more): there is no such file in studies/catalog, or it is broken"
        )
    try:
        spec = dataclasses.replace(
            spec,
            space=Space.from_dict(values["space"]),
            **{key: values[key] for key in ("metric", "direction", "objective")},
        )
    except (ConfigError, SpaceError):  # the defaults of today are no points of that space
        return None
    runs = attributes.get(RUNS) or [{}]
    last = runs[-1]
    search = {
        **last.get("search", {}),
        "seed": values["seed"],
        "objectives": values.get("objectives", {}),
        "constraints": values.get("constraints", {}),
    }
    settings = now.settings
    asked = settings.search.trials_per_choice
    return {
        "spec": {
            **{key: getattr(spec, key) for key in _OF_SPEC},
            "space": values["space"],
            "defaults": [[choice, dict(given)] for choice, given in spec.defaults.items()],
        },
        "settings": {"train": values["train"], "search": search},
        "given": [],
        "device": settings.train.device,
        "trials_per_choice": last.get(
            "trials_per_choice", spec.trials_per_choice if asked is None else asked
        ),
        "workers": last.get("workers", 1),
        "threads": 1,
    }
