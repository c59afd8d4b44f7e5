"""``--fork``: a study with changed settings goes on under a name of its own.

The study that is forked is read and left as it is. The fork begins with its compatible trials (see
``carrying.py``), which count in the budget, and is there as a whole or not at all. From
then on it is a study like any other. A fork of a study that has read its test set inherits that
reading: its changes may rest on what was seen.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import optuna
from optuna.study import StudyDirection

from mnist_core.errors import UserError
from mnist_core.files import from_here
from studies.core import study_names
from studies.core.attributes import CONFIRM, FINGERPRINT, FORKED, IDENTITY, RECORD, SEARCH_ORDER
from studies.core.trials import Forked
from studies.planning.next_commands import fork_command, run_command
from studies.planning.plan import Plan, storage_url_of
from studies.planning.recorded import plan_attribute
from studies.protocol.carry_over import Carried, carry
from studies.protocol.inherited_readings import (
    inherited,
    names_in,
    opened,
    record_content,
    record_of,
    was_moved,
)
from studies.search.batch_order import order_of
from studies.search.population_checks import is_population
from studies.storage.belonging import check_owner, new_identity
from studies.storage.contents import Content, read_content
from studies.storage.copying import write_studies
from studies.storage.open import Storage, one_line_garbage, shown


def fork(plan: Plan, name: str, *, say: Callable[[str], object]) -> Plan:
    """Return the plan of the fork that has ``plan``'s settings; it is made where there is none.

    Args:
        plan: the changed plan of the study that is forked; it knows its data's fingerprint.
        name: of the fork; "": the next number from 2 on that is free.
        say: gets a line with what was carried over.

    Raises:
        UserError: there is no such study, it is a population, nothing differs, or the name is
            taken.
    """
    if is_population(plan):
        raise UserError(
            "--fork: the members of a population were trained with each other, so none can be"
            " carried over; begin anew (--fresh), or in another results.folder"
        )
    _, own = study_names.parts(plan.name, plan.spec.name)
    name = name.removeprefix(f"{plan.spec.name}-")
    if name:
        study_names.check(name, plan.spec.name)
    with opened(plan.storage_url) as storage:
        old = content(storage, plan.name)
        confirm = content(storage, f"{plan.name}{CONFIRM}")
    if old is None:
        raise UserError(
            f"there is no study {plan.name!r} in {shown(plan.storage_url)} to be forked; run it"
            " without --fork"
        )
    stored = old.user_attrs.get(FINGERPRINT)
    if stored is None:
        raise UserError(f"study {plan.name!r} was not made by this program, and cannot be forked")
    digest, _ = plan.fingerprint()
    with one_line_garbage(plan.storage_url):
        same = stored["hash"] == digest
    if same:
        raise UserError(
            f"study {plan.name!r} was begun with these very settings, so there is nothing to fork"
            " for; run it without --fork"
        )
    for word in [name] if name else (str(n) for n in itertools.count(2)):
        target = _named(plan, word)
        if word == own:
            continue
        with opened(target.storage_url) as storage:
            there = content(storage, target.name)
            begun = there is None and f"{target.name}{CONFIRM}" in names_in(storage)
        if begun and name:
            raise UserError(
                f"--fork {name}: study {target.name} was begun anew (--fresh) and has no trial yet;"
                f" run it: {run_command(target)}"
            )
        if begun:
            continue
        if there is None:
            return _make(target, old, confirm, say)
        with one_line_garbage(target.storage_url):
            same = there.user_attrs.get(FINGERPRINT, {}).get("hash") == digest
            forked = Forked.from_attribute(there.user_attrs.get(FORKED)) if same else None
        if same:
            say(f"going on with {target.name}" + (f", {forked}" if forked else ""))
            return target
        if name:
            break
    raise UserError(
        f"--fork {name}: there is a study {plan.spec.name}-{name} with other settings again; choose"
        " another name"
    )


def check_made(plan: Plan) -> None:
    """Check that a fork that is named as a study was made.

    Raises:
        UserError: it was not; nothing would be carried over.
    """
    _, fork_name = study_names.parts(plan.name, plan.spec.name)
    if not fork_name:
        return
    with opened(plan.storage_url) as storage:
        names = names_in(storage)
    if not names.intersection((plan.name, f"{plan.name}{CONFIRM}")) and not was_moved(plan, names):
        raise UserError(
            f"there is no study {plan.name!r} in {shown(plan.storage_url)}; a fork is made by"
            f" {fork_command(plan, fork_name)}"
        )


def _named(plan: Plan, fork_name: str) -> Plan:
    """Return ``plan`` as that of the fork ``fork_name``, with a folder of its own."""
    quick, _ = study_names.parts(plan.name, plan.spec.name)
    name = study_names.full(plan.spec.name, quick=quick, fork=fork_name)
    folder = plan.folder.with_name(name)
    return dataclasses.replace(
        plan, name=name, folder=folder, storage_url=storage_url_of(plan.settings, folder)
    )


def _make(plan: Plan, old: Content, confirm: Content | None, say: Callable[[str], object]) -> Plan:
    with one_line_garbage(plan.storage_url):
        carried = carry(
            plan,
            study=old.name,
            values=old.user_attrs[FINGERPRINT]["values"],
            trials=old.trials,
        )
        contents = list(_contents(plan, old, confirm, carried))
    check_owner(plan.folder, "", shown(plan.storage_url))
    write_studies(contents, plan.storage_url)
    forked = Forked.from_attribute(contents[0].user_attrs[FORKED])
    say(f"new study {plan.name}, {forked}")
    place = from_here(plan.folder)
    say(f"it is in {place}; run it again by the same command, or by {run_command(plan)}")
    return plan


def _contents(
    plan: Plan, old: Content, confirm: Content | None, carried: Carried
) -> Iterator[Content]:
    digest, values = plan.fingerprint()
    fingerprint = {"hash": digest, "values": values}
    directions = [StudyDirection[one.upper()] for one in plan.goals.directions]
    forked = Forked(study=old.name, carried=carried.count, left=carried.left)
    yield Content(
        name=plan.name,
        directions=directions,
        user_attrs={
            FINGERPRINT: fingerprint,
            FORKED: forked.to_attribute(),
            SEARCH_ORDER: order_of(plan),
            IDENTITY: new_identity(),
            RECORD: plan_attribute(plan),
        },
        system_attrs={},
        trials=list(carried.trials),
    )
    # Also of a fork of this name that was begun anew.
    found = inherited(plan)
    confirmed = None if confirm is None else confirm.user_attrs
    found.add(record_of(plan, plan.storage_url, old.name, old.user_attrs, confirmed))
    found.add_commands(plan, plan.folder.with_name(old.name), old.name)
    if not found.record.empty:
        record = record_content(plan, found.record)
        yield replace(record, user_attrs={FINGERPRINT: fingerprint, **record.user_attrs})


def content(storage: Storage | None, name: str) -> Content | None:
    """Return the study ``name`` of ``storage``; None where there is none."""
    if storage is None or name not in optuna.get_all_study_names(storage):
        return None
    return read_content(storage, name)
