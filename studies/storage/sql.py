"""Studies in an SQL database: Optuna's storage, with trials read by plain queries.

Optuna reads trials as mapped objects, one for each parameter, attribute and intermediate value, and
parses the distribution of each parameter twice: 7 s for 10,000 trials. Plain rows give the same
trials in a fraction of that.

Optuna keeps every trial of a study that it has read. They are read a page at a time, trials that
are over share what is the same in them, and what an objective left with a trial may stay in the
database, see ``hold_only``.
"""

import json
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, cast

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from studies.core.redaction import masked
from studies.storage.rows import attribute_rows, forget_begin, insert_trial

_STUDIES = models.BaseModel.metadata.tables["studies"]
_TRIALS = models.BaseModel.metadata.tables["trials"]
_VALUES = models.BaseModel.metadata.tables["trial_values"]
_PARAMS = models.BaseModel.metadata.tables["trial_params"]
_STEPS = models.BaseModel.metadata.tables["trial_intermediate_values"]
_USER = models.BaseModel.metadata.tables["trial_user_attributes"]
_SYSTEM = models.BaseModel.metadata.tables["trial_system_attributes"]
_PAGE = 200
"""Trials that are read at a time: SQLite takes some hundred identities in one query, and rows take
several times the memory of the trials that are made of them."""

Rows = Mapping[int, list[Row[Any]]]
"""Rows of one table by trial identity."""


class SqlStorage(RDBStorage):
    """Optuna's storage in an SQL database.

    Args:
        url: an SQLAlchemy URL.
        engine_kwargs: as SQLAlchemy's ``create_engine`` takes them.

    Attributes:
        held: names of the user attributes that a study's trials have when they are read through
            Optuna, which keeps them; None: all.
    """

    held: frozenset[str] | None = None

    def __init__(self, url: str, engine_kwargs: dict[str, Any], **options: Any) -> None:
        self._distributions: dict[str, BaseDistribution] = {}
        self._shared: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}
        # Optuna formats the URL.
        escaped = url.replace("{", "{{").replace("}", "}}")
        super().__init__(escaped, engine_kwargs=engine_kwargs, **options)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return one trial.

        Raises:
            KeyError: there is none.
        """
        with self.engine.connect() as connection:
            found = self._page(connection, _TRIALS.c.trial_id == trial_id)
        if not found:
            raise KeyError(models.NOT_FOUND_MSG)
        return found[0]

    def check_trial_is_updatable(self, trial_id: int, trial_state: TrialState) -> None:
        """Check that a trial may be changed.

        Optuna reads the trial to name it, on a second connection, while the first one has the
        transaction: PostgreSQL's pool has one, and waits half a minute for another.

        Raises:
            UpdateFinishedTrialError: if it is over.
        """
        if trial_state.is_finished():
            raise UpdateFinishedTrialError(
                f"the trial with id {trial_id} is {trial_state.name} and cannot be changed"
            )

    def hold_only(self, names: Collection[str]) -> None:
        """From now on leave user attributes of other names in the database; see ``held``."""
        self.held = frozenset(names)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a trial in one transaction; Optuna takes one for each."""
        rows = [{"trial_id": trial_id, **row} for row in attribute_rows(attributes)]
        if not rows:
            return
        before = (_USER.c.trial_id == trial_id) & _USER.c.key.in_(attributes)
        with _create_scoped_session(self.scoped_session, True) as session:
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session)
            self.check_trial_is_updatable(trial_id, cast(TrialState, trial.state))
            session.execute(sqlalchemy.delete(_USER).where(before))
            session.execute(sqlalchemy.insert(_USER), rows)

    def put_back(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a trial that runs wait again, and set user attributes of it, in one transaction."""
        with _create_scoped_session(self.scoped_session) as session:
            for key, value in attributes.items():
                self._set_trial_attr_without_commit(
                    session, models.TrialUserAttributeModel, trial_id, key, value
                )
            trial = models.TrialModel.find_or_raise_by_id(trial_id, session, for_update=True)
            self.check_trial_is_updatable(trial_id, cast(TrialState, trial.state))
            trial.state = TrialState.WAITING

    def ended(self, trial: FrozenTrial) -> FrozenTrial:
        """Return ``trial``, which is over now, as it may be held: sharing what others have too."""
        known = tuple(
            text
            for name, distribution in trial.distributions.items()
            for text in (name, distribution_to_json(distribution))
        )
        trial.distributions = self._shared.setdefault(known, trial.distributions)
        forget_begin(trial)
        return trial

    def trials_in(self, connection: Connection, study_id: int) -> list[FrozenTrial]:
        """Return all trials of a study, in full, as ``connection``, in its transaction, sees it."""
        return self._read(connection, study_id, None)

    def whole_trials(
        self, study_id: int, names: Collection[str] | None = None
    ) -> list[FrozenTrial]:
        """Return all trials of a study by number, with all user attributes, or those ``names``."""
        with self.engine.connect() as connection:
            return sorted(self._read(connection, study_id, names), key=lambda trial: trial.number)

    def _get_prepared_new_trial(
        self, study_id: int, template_trial: FrozenTrial | None, session: Session
    ) -> models.TrialModel:
        """Add a trial as ``template_trial`` has it; Optuna takes three queries a value."""
        if template_trial is None:
            return super()._get_prepared_new_trial(study_id, template_trial, session)
        identity = insert_trial(session.connection(), study_id, template_trial)
        return models.TrialModel.find_or_raise_by_id(identity, session)

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        with self.engine.connect() as connection:
            # Apart: an OR of both would read the whole study each time.
            trials = self._read(connection, study_id, self.held, after=trial_id_greater_than)
            known = sorted(i for i in included_trial_ids if i <= trial_id_greater_than)
            for first in range(0, len(known), _PAGE):
                some = _TRIALS.c.trial_id.in_(known[first : first + _PAGE])
                trials += self._page(connection, some, self.held)
            if not trials:
                self._check_study(connection, study_id)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return sorted(trials, key=lambda trial: trial._trial_id)

    def _check_study(self, connection: Connection, study_id: int) -> None:
        """Check that there is such a study: one without trials is looked for, as Optuna does.

        Raises:
            KeyError: if there is none.
        """
        which = _STUDIES.c.study_id == study_id
        if connection.execute(sqlalchemy.select(_STUDIES.c.study_id).where(which)).first() is None:
            raise KeyError(models.NOT_FOUND_MSG)

    def _read(
        self,
        connection: Connection,
        study_id: int,
        held: Collection[str] | None,
        after: int = -1,
    ) -> list[FrozenTrial]:
        """Return the trials of a study whose identity is greater than ``after``."""
        trials: list[FrozenTrial] = []
        while True:
            which = (_TRIALS.c.study_id == study_id) & (_TRIALS.c.trial_id > after)
            page = self._page(connection, which, held)
            trials += page
            if len(page) < _PAGE:
                return trials
            after = page[-1]._trial_id

    def _page(
        self,
        connection: Connection,
        which: sqlalchemy.ColumnElement[bool],
        held: Collection[str] | None = None,
    ) -> list[FrozenTrial]:
        """Return the first ``_PAGE`` trials of those that ``which`` chooses, by identity."""
        first = sqlalchemy.select(_TRIALS).where(which).order_by(_TRIALS.c.trial_id).limit(_PAGE)
        found = connection.execute(first).all()
        if not found:
            return []
        identities = [row.trial_id for row in found]

        def of(table: sqlalchemy.Table, *more: sqlalchemy.ColumnElement[bool]) -> Rows:
            query = sqlalchemy.select(table).where(table.c.trial_id.in_(identities), *more)
            grouped = defaultdict(list)
            for row in connection.execute(query):
                grouped[row.trial_id].append(row)
            return grouped

        values, params, steps, system = map(of, (_VALUES, _PARAMS, _STEPS, _SYSTEM))
        user = of(_USER) if held is None else of(_USER, _USER.c.key.in_(held))
        trials = [
            self._trial(
                row,
                values.get(row.trial_id, ()),
                sorted(params.get(row.trial_id, ()), key=lambda param: param.param_id),
                steps.get(row.trial_id, ()),
                user.get(row.trial_id, ()),
                system.get(row.trial_id, ()),
            )
            for row in found
        ]
        if held is not None:
            for trial in trials:
                forget_begin(trial)
        return trials

    def _trial(
        self,
        row: Row[Any],
        values: Collection[Row[Any]],
        params: Sequence[Row[Any]],
        steps: Iterable[Row[Any]],
        user: Iterable[Row[Any]],
        system: Iterable[Row[Any]],
    ) -> FrozenTrial:
        distributions = self._distributions_of(params, share=row.state.is_finished())
        to_value = models.TrialValueModel.stored_repr_to_value
        to_step = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value
        by_objective = sorted(values, key=lambda value: value.objective)
        return FrozenTrial(
            number=row.number,
            state=row.state,
            value=None,
            values=[to_value(v.value, v.value_type) for v in by_objective] or None,
            datetime_start=_local(row.datetime_start),
            datetime_complete=_local(row.datetime_complete),
            params={
                name: distribution.to_external_repr(param.param_value)
                for (name, distribution), param in zip(distributions.items(), params, strict=True)
            },
            distributions=distributions,
            user_attrs=_attributes(user),
            system_attrs=_attributes(system),
            intermediate_values={
                s.step: to_step(s.intermediate_value, s.intermediate_value_type) for s in steps
            },
            trial_id=row.trial_id,
        )

    def _distributions_of(
        self, params: Sequence[Row[Any]], *, share: bool
    ) -> dict[str, BaseDistribution]:
        """Return the distributions of ``params`` by name, in order.

        Args:
            params: of one trial.
            share: whether the trial is over: Optuna changes the distributions of one that runs.
        """
        key = tuple(
            text for param in params for text in (param.param_name, param.distribution_json)
        )
        known = self._shared.get(key) if share else None
        if known is None:
            known = {
                sys.intern(param.param_name): self._distribution(param.distribution_json)
                for param in params
            }
            if share:
                self._shared[key] = known
        return known

    def _distribution(self, text: str) -> BaseDistribution:
        known = self._distributions.get(text)
        if known is None:
            known = self._distributions[text] = json_to_distribution(text)
        return known


def _attributes(rows: Iterable[Row[Any]]) -> dict[str, Any]:
    return {sys.intern(row.key): json.loads(row.value_json) for row in rows}


def _local(stored: datetime | None) -> datetime | None:
    """Optuna stores UTC and gives local time, both without a zone."""
    return None if stored is None else stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def advised(place: str, said: str) -> str:
    """Return one line: what the database said, and what to do about it.

    Args:
        place: the database.
        said: its own words.
    """
    found = [advice for word, advice in _ADVICE if word in said]
    advice = found[0] if found else "make room, or put a sound copy in its place"
    return f"{place}: {said}; {advice}, and run the same command again"


_ADVICE = (
    (
        "locked",
        "another program has locked it (a database viewer, a backup, a copy, an Optuna script):"
        " wait until it is done, or end it",
    ),
    ("full", "make room"),
    ("No space", "make room"),
    ("unable to open", "make the file and its folder readable and writable"),
    ("readonly", "make the file and its folder writable"),
    ("malformed", "put a sound copy in its place"),
    ("not a database", "put a sound copy in its place"),
)
"""What to do, by what the database says."""


def is_damage(error: BaseException) -> bool:
    """Return whether ``error`` says that an SQLite file was cut or written over."""
    cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
    code = getattr(getattr(cause, "orig", cause), "sqlite_errorcode", None)
    # The low byte; the others say more exactly what was found.
    broken = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    return isinstance(code, int) and code & 0xFF in broken


def reason(error: BaseException) -> str:
    """Return the database's own words, without SQLAlchemy's wrapping and links."""
    cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
    origin = getattr(cause, "orig", None)
    lines = str(origin if origin is not None else cause).strip().splitlines()
    # The driver tried several addresses; each has a line of its own.
    text = lines[-1] if lines and lines[0].startswith("Multiple") else "".join(lines[:1])
    return masked(text) or type(error).__name__
