"""What a study keeps of its plan, so that looking at it needs no settings: its attribute ``plan``.

Places (``results.folder``, ``storage.url``, ``data.root``) and trackers come from the command that
looks, unless they were given to the run alone. Passwords are never kept.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from objectives import kinds
from search_spaces.space import Space
from studies import catalog
from studies.core.attributes import BUDGET, FINGERPRINT, RECORD
from studies.core.redaction import masked
from studies.planning.layers import unused_settings
from studies.planning.plan import Plan
from studies.planning.settings import (
    CONF,
    OPTIONS,
    RECORDED,
    SET,
    Settings,
    own_model_options,
    put_setting,
    setting_of,
    short_name,
)
from studies.spec import StudySpec
from studies.storage.location import StudyLocation

_OF_SPEC = (
    *("name", "goal", "scientific", "baseline", "trials", "trials_per_choice", "metric"),
    *("direction", "confirm_seeds", "steps"),
)
_OWN = ("results.", "storage.", "tracking.", "train.data.root")
"""Settings of the command that looks: places and trackers."""


@dataclass(frozen=True, kw_only=True)
class Now:
    """What a command that looks at a study was given, and where the study was found."""

    settings: Settings  # as resolved now, from ``conf.toml``, the catalog and the command line
    # the source of each setting that is not a default, by full dotted name
    origins: Mapping[str, str]
    location: StudyLocation  # of the study; its URL is "" until the study is found


def plan_attribute(plan: Plan) -> dict[str, Any]:
    """Return what a study keeps of ``plan``, as JSON."""
    spec = plan.spec
    settings = plan.settings.model_dump(mode="json", exclude={"results", "storage"})
    return {
        "spec": {
            **{name: getattr(spec, name) for name in _OF_SPEC},
            "objective": spec.label if spec.own is None else spec.own.to_record(),
            "space": spec.space.to_dict(),
            "defaults": [[choice, dict(given)] for choice, given in spec.defaults.items()],
        },
        "settings": _without_passwords(settings),
        # Places and trackers from --set or another file than conf.toml hold for this study.
        "given": [k for k, source in plan.origins.items() if _is_own(k) and _for_one_run(source)],
        "file": catalog.file_if_needed(spec.name) or plan.file,
        "program": plan.program,
        "device": plan.adapter.device,
        "trials_per_choice": plan.trials_per_choice,
        "workers": plan.workers,
        "threads": plan.threads,
    }


def recorded_plan(attributes: Mapping[str, Any], now: Now) -> Plan | None:
    """Return the plan that the study at ``now.location`` was last run with.

    None: the study keeps none, as another program made it.

    Raises:
        ConfigError: if a recorded setting is unknown to this version.
    """
    fingerprint, record = attributes.get(FINGERPRINT), attributes.get(RECORD)
    if fingerprint is None or record is None:
        return None
    given, name = record["spec"], now.location.name
    spec = StudySpec(
        **{key: given[key] for key in (*_OF_SPEC, "objective")},
        space=Space.from_dict(given["space"]),
        defaults={choice: params for choice, params in given["defaults"]},
        fixed={},
    )
    settings, origins = _settings(record, spec, now, source=f"the record of study {name}")
    adapter = kinds.adapter(spec.objective, settings.train, spec.space)
    machine = {"device": record["device"], "threads": record["threads"]}
    plan = Plan(
        name=name,
        spec=spec,
        settings=settings,
        origins=origins,
        train=adapter.placed(**machine, source=f"study {spec.name}"),
        trials=settings.search.trials or spec.trials,
        trials_per_choice=record["trials_per_choice"],
        confirm_seeds=settings.confirm.seeds or spec.confirm_seeds,
        workers=record["workers"],
        threads=record["threads"],
        folder=now.location.folder,
        storage_url=now.location.url,
        data_fingerprint=fingerprint["values"]["data"],
        file=record.get("file", ""),
        program=record.get("program", ""),
    )
    return dataclasses.replace(plan, **attributes.get(BUDGET, {}))


def contradictions(recorded: Settings, now: Now) -> str:
    """Return which settings of the command line differ from the ``recorded`` settings; or ""."""
    given = [key for key, source in now.origins.items() if source == SET]
    return _changes(recorded, now.settings, given)


def changed_settings(spec: StudySpec, recorded: Settings, settings: Settings) -> str:
    """Return where ``settings`` differ from the ``recorded`` settings, places aside; or ""."""
    searched = unused_settings(spec)
    keys = dict.fromkeys([*_keys(recorded), *_keys(settings)])
    return _changes(recorded, settings, [key for key in keys if key not in searched])


def _changes(recorded: Settings, settings: Settings, keys: Iterable[str]) -> str:
    changed = []
    for key in keys:
        then, now = setting_of(recorded, key), setting_of(settings, key)
        if then != now and not _is_own(key):
            changed.append(f"{short_name(key)} was {then!r}, not {now!r}")
    more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    return "; ".join(changed[:5]) + more


def _settings(
    record: Mapping[str, Any], spec: StudySpec, now: Now, *, source: str
) -> tuple[Settings, dict[str, str]]:
    """Return the recorded settings with the places and trackers of now, and each one's source."""
    nested = now.settings.model_dump(mode="json")
    for key in own_model_options(now.settings):  # the study's model may be another one
        put_setting(nested, key, None)
    kept = set(record["given"])
    for key, value in _leaves(record["settings"]):
        if not _is_own(key) or (key in kept and now.origins.get(key) != SET):
            put_setting(nested, key, value)
    # Before this setting existed, a study confirmed one configuration of each choice.
    if "top" not in record["settings"].get("confirm", {}):
        put_setting(nested, "confirm.top", 1)
    settings = Settings.from_mapping(nested, source=source)
    hidden = {*unused_settings(spec), "train.seed", "train.threads"}
    origins = {}
    for key in dict.fromkeys([*_keys(settings), *now.origins]):
        # What would differ now is marked, so that commands repeat it.
        same = setting_of(settings, key) == setting_of(now.settings, key)
        origin = now.origins.get(key) if same else RECORDED
        if key not in hidden and origin is not None:
            origins[key] = origin
    return settings, origins


def _keys(settings: Settings) -> Iterator[str]:
    """Yield the dotted names of all settings, also within tables with free keys."""
    for key in Settings.setting_names():
        if key in OPTIONS:
            yield from (f"{key}.{name}" for name in setting_of(settings, key))
        else:
            yield key
    yield from own_model_options(settings)


def _leaves(nested: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted names and values; tables with free keys are values."""
    for name, value in nested.items():
        key = f"{above}{name}"
        if isinstance(value, Mapping) and key not in OPTIONS:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _is_own(key: str) -> bool:
    return key.startswith(_OWN)


def _for_one_run(source: str) -> bool:
    """Return whether ``source`` is the command line, or another file than ``conf.toml``."""
    file = source.partition(" [")[0]
    return source == SET or (file.endswith(".toml") and file != str(CONF))


def _without_passwords(nested: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping):
            found[name] = _without_passwords(value)
        elif isinstance(value, list):
            found[name] = [masked(one) if isinstance(one, str) else one for one in value]
        elif not (isinstance(value, str) and masked(value) != value):
            found[name] = value
    return found
