"""What a storage holds of a study, read without changing it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import optuna

from mnist_core.errors import UserError
from studies import leases
from studies.book import CONFIRM
from studies.fingerprints import FINGERPRINT, check_fingerprint
from studies.leases import Lease, read_lease
from studies.plan import Plan
from studies.records import TrialRecord, read_trials
from studies.result import ENVIRONMENT, TEST, Reading, StudyResult, summarize
from studies.storage import StorageError, close_storage, one_line_errors, open_storage, shown


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A study as it stands in the storage.

    Attributes:
        result: what it found so far.
        lease: who supervises it, dead or alive; None: nobody.
        search: records of the search.
        confirm: records of the confirmation; empty before it began.
    """

    result: StudyResult
    lease: Lease | None
    search: list[TrialRecord]
    confirm: list[TrialRecord]


def read(plan: Plan) -> Stored:
    """Read the study of ``plan``.

    Raises:
        UserError: there is no such database or study, or it was begun with other settings.
    """
    with _opened(plan) as studies:
        search_study = studies.get(plan.name)
        if search_study is None:
            raise UserError(f"there is no study {plan.name!r} in {shown(plan.storage_url)}")
        stored = search_study.user_attrs.get(FINGERPRINT)
        if stored is not None:
            # The data is not loaded for this: the study itself knows which it was.
            check_fingerprint(search_study, plan.with_data(stored["values"]["data"]).fingerprint())
        search = read_trials(search_study)
        confirm_study = studies.get(f"{plan.name}{CONFIRM}")
        confirm = read_trials(confirm_study) if confirm_study else []
        attributes = confirm_study.user_attrs if confirm_study else {}
        lease = read_lease(search_study)
        result = summarize(
            plan,
            search,
            confirm,
            Reading.from_attribute(attributes.get(TEST)),
            environment=attributes.get(ENVIRONMENT),
        )
    return Stored(result=result, lease=lease, search=search, confirm=confirm)


def supervisor(plan: Plan) -> Lease | None:
    """Return who runs the study of ``plan`` now; None also where there is no readable study."""
    try:
        with _opened(plan) as studies:
            return leases.supervisor(studies[plan.name]) if plan.name in studies else None
    except UserError:
        return None


@contextmanager
def _opened(plan: Plan) -> Iterator[dict[str, optuna.Study]]:
    """Open search and confirmation of the plan, those that there are, by name."""
    storage = open_storage(plan.storage_url, create=False)
    try:
        with one_line_errors(plan.storage_url):
            names = set(optuna.get_all_study_names(storage))
            yield {
                name: optuna.load_study(study_name=name, storage=storage)
                for name in (plan.name, f"{plan.name}{CONFIRM}")
                if name in names
            }
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        # Optuna's, of rows that refer to nothing, or ours, of attributes that are not what we wrote
        raise StorageError(
            f"{shown(plan.storage_url)}: holds what neither Optuna nor this program writes"
            f" ({type(error).__name__}: {' '.join(str(error).split())[:100]}); put a sound copy in"
            " its place, or begin anew (--fresh)"
        ) from error
    finally:
        close_storage(storage)
