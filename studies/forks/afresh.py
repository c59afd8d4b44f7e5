"""``--fresh``: a study is begun anew, and what is there is moved aside.

The test set knows nothing of folders: where the study that is moved aside has read it, that stays
on record, as in a fork. What is begun anew may rest on what was seen.
"""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from optuna.study import StudyDirection

from mnist_core.errors import UserError
from studies.book import stored
from studies.book.opening import CONFIRM
from studies.confirmation.test_record import TEST, Reading
from studies.forks.forking import content, opened, readings_of
from studies.planning.plan import Plan
from studies.search.goals import goals_of
from studies.storages import storage
from studies.storages.contents import Content
from studies.storages.copying import write_studies
from studies.storages.leases import StudyInUse
from studies.storages.storage import storage_file
from studies.storages.storage_url import NoStudies


def begin_afresh(plan: Plan, *, say: Callable[[str], object]) -> Path | None:
    """Move the study's folder aside, and keep on record when the test set was read.

    Args:
        plan: of the study that is begun anew.
        say: gets a line with what was done.

    Returns:
        where the folder is now; None if there was none.

    Raises:
        UserError: its database lies elsewhere and cannot be read; see also ``set_aside``.
    """
    old, confirm, unreadable = None, None, ""
    try:
        with opened(plan) as held:
            old, confirm = content(held, plan.name), content(held, f"{plan.name}{CONFIRM}")
    except NoStudies:
        pass
    except UserError as error:
        if _lies_elsewhere(plan):  # it may hold the study, which would be gone on with
            raise
        unreadable = str(error)  # a broken database is a reason to begin anew
    moved = set_aside(plan)
    if moved is None:
        return None
    say(f"moved what was there to {moved}")
    if unreadable:
        say(f"whether it had read the test set is not known: {unreadable}")
    reading = readings_of(old, confirm, moved.name, plan, moved) if old else Reading()
    if reading.seen:
        kept = Content(
            name=f"{plan.name}{CONFIRM}",
            directions=[StudyDirection[one.upper()] for one in goals_of(plan).directions],
            user_attrs={TEST: reading.to_attribute()},
            system_attrs={},
            trials=[],
        )
        write_studies([kept], plan.storage_url)
    return moved


def set_aside(plan: Plan) -> Path | None:
    """Move the study's folder to ``<folder>.<time>``; return that, or None if there is none.

    Raises:
        UserError: a living process runs the study, or its database lies elsewhere.
    """
    if _lies_elsewhere(plan) and stored.exists(plan):
        raise UserError(
            f"--fresh moves {plan.folder} aside, but the study is kept in"
            f" {storage.shown(plan.storage_url)};"
            " delete it there, or set storage.url to another database"
        )
    if not plan.folder.exists():
        return None
    holder = stored.supervisor(plan)
    if holder is not None:
        raise StudyInUse(
            f"study {plan.name!r} is being run by process {holder.pid} on {holder.host};"
            " stop it before you begin anew"
        )
    target = plan.folder.with_name(f"{plan.folder.name}.{datetime.now():%Y%m%d-%H%M%S}")
    try:
        return plan.folder.rename(target)
    except OSError as error:
        raise UserError(f"cannot move {plan.folder} to {target}: {error.strerror}") from None


def _lies_elsewhere(plan: Plan) -> bool:
    """Return whether the study's database stays where it is when its folder is moved."""
    file = storage_file(plan.storage_url)
    return file is None or not file.absolute().is_relative_to(plan.folder.absolute())
