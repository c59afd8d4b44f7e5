"""A study as it is stored, read without changing it."""

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from mnist_core.errors import UserError
from studies.analysis.holdout_record import HoldoutRecord, command_readings, read_record
from studies.analysis.result import StudyResult
from studies.analysis.summary import summarize
from studies.core.attributes import (
    BUDGET,
    ENVIRONMENT,
    FINGERPRINT,
    FORKED,
    IDENTITY,
    LEARNED,
    RACE,
    STOPPED,
)
from studies.core.seeds import FIRST_SEEDS
from studies.core.trials import Forked, TrialRecord
from studies.planning.fingerprint import FingerprintMismatch, check_readable
from studies.planning.plan import Plan
from studies.search.stopping import Stop
from studies.storage import leases
from studies.storage.belonging import foreign_models
from studies.storage.leases import Lease, read_lease
from studies.storage.location import StudyLocation
from studies.storage.open import Storage, shown
from studies.storage.records import read_trials


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A study as it stands in the storage.

    Attributes:
        plan: the plan, with the trials and confirm seeds of the last run.
        result: what it found so far; None if ``differs``.
        lease: of the process that runs it, dead or alive; None: there is none.
        differs: the settings in which plan and study differ; "": none do. Another version of the
            trainer is not such a difference: the study can be read, but not resumed.
        described: versions, data hashes and commits of the confirmation; None before it started.
        identity: of the study, which its files name, too.
        settings: those that the study's fingerprint was taken of, by table.
    """

    plan: Plan
    result: StudyResult | None
    lease: Lease | None
    search: list[TrialRecord]
    confirm: list[TrialRecord]
    differs: str = ""
    stopped: Stop | None = None
    test: HoldoutRecord = field(default_factory=HoldoutRecord)
    described: Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    identity: str = ""
    fingerprint: str = ""

    @property
    def phase(self) -> str:
        """The phase that the study is in: search, confirm, test or finished."""
        over = sum(record.state.finished for record in self.search)
        if over < (len(self.search) if self.stopped else self.plan.trials):
            return "search"
        if self.result is None or not any(r.complete for r in self.search):
            return "confirm" if self.confirm else "search"
        for row in self.result.rows:
            if row.candidate is None:
                continue
            if any(len(one.values) + one.confirm_failed < FIRST_SEEDS for one in row.runners_up):
                return "confirm"
            if row.stopped_after is not None:
                continue
            if len(row.values) + row.confirm_failed < self.plan.confirm_seeds:
                return "confirm"
        test = self.result.test
        return "finished" if test.seen or test.absent else "test"

    @property
    def environment(self) -> Mapping[str, Any]:
        """Versions and data hashes of the confirmation; before it those that the study has."""
        known = dict(self.described or {})
        trainer = self.settings.get("trainer")
        return known or {
            "data": {"fingerprint": self.plan.data_fingerprint},
            "versions": {} if trainer is None else {"trainer": trainer},
        }

    @property
    def foreign_models(self) -> str:
        """The identity of another study that the models in the folder belong to; "": none."""
        return foreign_models(self.plan.folder, self.identity)

    def comparable(self) -> "Stored":
        """Return this.

        Raises:
            FingerprintMismatch: if plan and study differ; the message has the first differences.
        """
        if self.differs:
            raise FingerprintMismatch(self.differs)
        return self

    def finished(self) -> StudyResult:
        """Return the result of a study that has run to its end.

        Raises:
            UserError: if it has not, or plan and study differ.
        """
        self.comparable()
        assert self.result is not None
        if self.phase != "finished":
            raise UserError(
                f"study {self.plan.name} is in its {self.phase} phase, so its best configuration"
                f" is not known yet; run it to its end: {self.plan.commands.resume_hint}"
            )
        return self.result


def read(
    plan: Plan, storage: Storage | None = None, *, result: StudyResult | None = None
) -> Stored:
    """Read the study of ``plan``; a ``storage`` that is open already is left open.

    ``result`` is what it has found, if that is known; otherwise it is worked out, in about 1 s.

    Raises:
        UserError: if there is no such database or study.
    """
    with plan.location.opened(storage, required=True) as studies:
        search_study, confirm_study = studies.search, studies.confirm
        if search_study is None:
            raise UserError(f"there is no study {plan.name!r} in {shown(plan.storage_url)}")
        # The budget of its last run: a command that looks may have another --trials.
        plan = dataclasses.replace(plan, **search_study.user_attrs.get(BUDGET, {}))
        stored, differs = search_study.user_attrs.get(FINGERPRINT), ""
        if stored is not None:
            # The study records its data's fingerprint, so the data need not be loaded.
            plan = plan.with_data(stored["values"]["data"])
            try:
                check_readable(plan.name, stored["values"], plan.fingerprint(code={})[1])
            except FingerprintMismatch as mismatch:
                differs = str(mismatch)
        search = read_trials(search_study)
        confirm = read_trials(confirm_study) if confirm_study else []
        attributes = confirm_study.user_attrs if confirm_study else {}
        lease = read_lease(search_study)
        identity = str(search_study.user_attrs.get(IDENTITY, ""))
        stopped = Stop.from_attribute(search_study.user_attrs.get(STOPPED))
        outside = command_readings(search_study.user_attrs, plan.folder)
        test = read_record(attributes, plan.storage_url, outside)
        if differs:
            result = None
        elif result is None:
            result = summarize(
                plan,
                search,
                confirm,
                test,
                environment=attributes.get(ENVIRONMENT),
                stopped=stopped,
                race=attributes.get(RACE),
                forked=Forked.from_attribute(search_study.user_attrs.get(FORKED)),
                learned=search_study.user_attrs.get(LEARNED),
                trials=search_study.get_trials(deepcopy=False),
            )
    return Stored(
        plan=plan,
        result=result,
        lease=lease,
        search=search,
        confirm=confirm,
        differs=differs,
        stopped=stopped,
        test=test,
        described=attributes.get(ENVIRONMENT),
        settings=stored["values"] if stored else {},
        identity=identity,
        fingerprint=stored["hash"] if stored else "",
    )


def exists(location: StudyLocation) -> bool:
    """Return whether there is such a study, as far as its storage can be read."""
    with suppress(UserError), location.opened() as studies:
        return studies.search is not None
    return False


def data_fingerprint(location: StudyLocation) -> str:
    """Return the data's fingerprint that the study was started with; "": not known."""
    with suppress(UserError), location.opened() as studies:
        known = (studies.attributes(location.name) or {}).get(FINGERPRINT)
        return str(known["values"]["data"]) if known else ""
    return ""


def supervisor(location: StudyLocation) -> Lease | None:
    """Return who runs the study now; None also where there is no readable study."""
    with suppress(UserError), location.opened() as studies:
        return None if studies.search is None else leases.supervisor(studies.search)
    return None
