"""``--fork``: a study with changed settings continues under a name of its own.

The forked study is read and left as it is. The fork starts with its compatible trials (see
``carry_over.py``), which count in the budget. It is written as a whole or not at all, and is then a
study like any other.
"""

import itertools
from collections.abc import Callable
from dataclasses import replace

from mnist_core.errors import UserError
from mnist_core.files import from_here
from studies.core import study_names
from studies.core.attributes import FINGERPRINT, FORKED, IDENTITY, RECORD, SEARCH_ORDER
from studies.core.trials import Forked
from studies.planning.next_commands import StudyCommands
from studies.planning.plan import Plan
from studies.planning.recorded import plan_attribute
from studies.protocol.carry_over import carry
from studies.protocol.inherited_readings import Heir, directions_of
from studies.protocol.moved_aside import was_moved
from studies.search.batch_order import order_of
from studies.storage.belonging import check_owner, new_identity
from studies.storage.contents import Content, read_content
from studies.storage.copying import write_studies
from studies.storage.location import OpenedStudies
from studies.storage.open import one_line_garbage, shown


def fork(plan: Plan, name: str, *, say: Callable[[str], object]) -> Plan:
    """Return the plan of the fork with ``plan``'s settings; it is made if there is none.

    Args:
        plan: the changed plan of the study to fork; it knows its data's fingerprint.
        name: of the fork; "": the next free number from 2 on.

    Raises:
        UserError: if there is no such study, it is a population, nothing differs, or the name is
            taken.
    """
    if plan.settings.population:
        raise UserError(
            "--fork: the members of a population were trained with each other, so none can be"
            " carried over; start fresh (--fresh), or in another results.folder"
        )
    _, own = study_names.parts(plan.name, plan.spec.name)
    name = name.removeprefix(f"{plan.spec.name}-")
    if name:
        study_names.check(name, plan.spec.name)
    where = shown(plan.storage_url)
    with plan.location.opened() as studies:
        old, confirm = (_content(studies, of) for of in (plan.name, plan.location.confirm))
    if old is None:
        raise UserError(
            f"there is no study {plan.name!r} in {where} to be forked; run it without --fork"
        )
    stored = old.user_attrs.get(FINGERPRINT)
    if stored is None:
        raise UserError(f"study {plan.name!r} was not made by this program, and cannot be forked")
    digest, _ = plan.fingerprint()
    with one_line_garbage(plan.storage_url):
        same = stored["hash"] == digest
    if same:
        raise UserError(
            f"study {plan.name!r} has these very settings, so there is nothing to fork for; run it"
            " without --fork"
        )
    # Without a name: the fork that has these settings already, or else the next free number.
    for word in [name] if name else map(str, itertools.count(2)):
        if word == own:
            continue
        target = plan.forked(word)
        with target.location.opened() as studies:
            there = studies.attributes(target.name)
            started = there is None and target.location.confirm in studies.names
            same = (there or {}).get(FINGERPRINT, {}).get("hash") == digest
            forked = Forked.from_attribute((there or {}).get(FORKED)) if same else None
        if started and name:
            raise UserError(
                f"--fork {name}: study {target.name} was started fresh (--fresh) and has no trial"
                f" yet; run it: {target.commands.run()}"
            )
        if there is None and not started:
            _make(target, old, confirm, say)
            return target
        if same:
            say(f"resuming {target.name}" + (f", {forked}" if forked else ""))
            return target
        if name:
            break
    raise UserError(
        f"--fork {name}: there is a study {plan.spec.name}-{name} with other settings again; choose"
        " another name"
    )


def check_made(commands: StudyCommands) -> None:
    """Check that the study of ``commands`` was made if it is a fork; UserError: if it was not."""
    location = commands.location
    _, fork_name = study_names.parts(location.name, commands.study)
    if not fork_name:
        return
    with location.opened() as studies:
        names = studies.names
    if not names & {location.name, location.confirm} and not was_moved(location, names):
        raise UserError(
            f"{shown(location.url)} has no study {location.name!r}; make the fork by"
            f" {commands.fork(fork_name)}"
        )


def _make(plan: Plan, old: Content, confirm: Content | None, say: Callable[[str], object]) -> None:
    digest, values = plan.fingerprint()
    fingerprint = {"hash": digest, "values": values}
    with one_line_garbage(plan.storage_url):
        carried = carry(
            plan, study=old.name, values=old.user_attrs[FINGERPRINT]["values"], trials=old.trials
        )
        forked = Forked(study=old.name, carried=carried.count, left=carried.left)
        search = Content(
            name=plan.name,
            directions=directions_of(plan.goals),
            user_attrs={
                FINGERPRINT: fingerprint,
                FORKED: forked.to_attribute(),
                SEARCH_ORDER: order_of(plan.settings.search, plan.threads),
                IDENTITY: new_identity(),
                RECORD: plan_attribute(plan),
            },
            system_attrs={},
            trials=list(carried.trials),
        )
        # Its changes may rest on what was seen, so it inherits the readings of the test set.
        heir = Heir(plan.location, plan.adapter.data_name, plan.goals)
        # A study with the fork's name may have been moved aside before.
        found = heir.inherited()
        confirmed = None if confirm is None else confirm.user_attrs
        found.add_study(old.name, plan.storage_url, old.user_attrs, confirmed)
        found.add_commands(plan.folder.with_name(old.name), old.name)
        contents = [search]
        for content in heir.contents(found):
            attributes = {FINGERPRINT: fingerprint, **content.user_attrs}
            contents.append(replace(content, user_attrs=attributes))
    check_owner(plan.folder, "", shown(plan.storage_url))
    write_studies(contents, plan.storage_url)
    say(f"new study {plan.name}, {forked}")
    place = from_here(plan.folder)
    say(f"it is in {place}; run it again by the same command, or by {plan.commands.run()}")


def _content(studies: OpenedStudies, name: str) -> Content | None:
    if studies.storage is None or name not in studies.names:
        return None
    return read_content(studies.storage, name)
