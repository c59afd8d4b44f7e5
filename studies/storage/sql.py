"""Studies in an SQL database: Optuna's storage, with trials read by plain queries.

Optuna reads trials as mapped objects, one for each parameter, attribute and intermediate value, and
parses the distribution of each parameter twice: 7 s for 10,000 trials. Plain rows give the same
trials in a fraction of that.

Optuna keeps every trial of a study that it has read. They are read a page at a time, trials that
are over share what is the same in them, and what an objective left with a trial may stay in the
database, see ``hold_only``.
"""

import copy
import json
import sqlite3
import sys
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import SQLAlchemyError

from studies.core.redaction import masked
from studies.storage.optuna_internals import (
    NOT_FOUND,
    OpenRDBStorage,
    identify,
    tables,
    tables_known,
)
from studies.storage.rows import attribute_rows, forget_begin, insert_trial

_PAGE = 200
"""Trials that are read at a time: SQLite takes some hundred identities in one query, and rows take
several times the memory of the trials that are made of them."""

Rows = Mapping[int, list[Row[Any]]]
"""Rows of one table by trial identity."""


class SqlStorage(OpenRDBStorage):
    """Optuna's storage in an SQL database.

    Where Optuna's tables are not as expected, it does all that Optuna does, in Optuna's own way.

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
            KeyError: if there is none.
        """
        if not tables_known():
            return super().get_trial(trial_id)
        with self.engine.connect() as connection:
            found = self._page(connection, tables().trials.c.trial_id == trial_id)
        if not found:
            raise KeyError(NOT_FOUND)
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
        if tables_known():
            self.held = frozenset(names)

    def set_trial_user_attrs(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Set user attributes of a trial in one transaction; Optuna takes one for each."""
        if not tables_known():
            for name, value in attributes.items():
                self.set_trial_user_attr(trial_id, name, value)
        elif attributes:
            with self._changing(trial_id) as connection:
                _write_attributes(connection, trial_id, attributes)

    def put_back(self, trial_id: int, attributes: Mapping[str, Any]) -> None:
        """Have a trial that runs wait again, and set user attributes of it, in one transaction."""
        if not tables_known():
            # In this order: after a kill in between the next supervisor puts the trial back.
            self.set_trial_user_attrs(trial_id, attributes)
            self.set_trial_state_values(trial_id, TrialState.WAITING)
            return
        trials = tables().trials
        with self._changing(trial_id) as connection:
            _write_attributes(connection, trial_id, attributes)
            one = sqlalchemy.update(trials).where(trials.c.trial_id == trial_id)
            connection.execute(one.values(state=TrialState.WAITING))

    @contextmanager
    def _changing(self, trial_id: int) -> Iterator[Connection]:
        """Yield a connection for one transaction on a trial.

        Raises:
            KeyError: if there is no such trial.
            UpdateFinishedTrialError: if it is finished.
        """
        trials = tables().trials
        which = sqlalchemy.select(trials.c.state).where(trials.c.trial_id == trial_id)
        with self.engine.begin() as connection:
            state = connection.scalar(which.with_for_update())
            if state is None:
                raise KeyError(NOT_FOUND)
            self.check_trial_is_updatable(trial_id, state)
            yield connection

    def ended(self, identity: int, trial: FrozenTrial) -> FrozenTrial:
        """Return ``trial``, which is over now, as it may be held: sharing what others have too."""
        if not tables_known():
            return trial
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
        if not tables_known():
            return self.get_all_trials(study_id, deepcopy=False)
        with self.engine.connect() as connection:
            return sorted(self._read(connection, study_id, names), key=lambda trial: trial.number)

    def add_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        """Add a trial as ``template_trial`` has it; Optuna takes three queries a value."""
        if template_trial is None:
            trial = create_trial(state=TrialState.RUNNING)
            trial.datetime_start = datetime.now()
        else:
            trial = copy.deepcopy(template_trial)
        with self.engine.begin() as connection:
            self._check_study(connection, study_id, lock=True)
            identity, trial.number = insert_trial(connection, study_id, trial)
        identify(trial, identity)
        return trial

    def read_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        """Return trials with these identities, or with a greater one than that, by identity."""
        identity = tables().trials.c.trial_id
        known = sorted(i for i in included_trial_ids if i <= trial_id_greater_than)
        trials: list[FrozenTrial] = []
        with self.engine.connect() as connection:
            # Apart: an OR of both would read the whole study each time.
            for first in range(0, len(known), _PAGE):
                some = identity.in_(known[first : first + _PAGE])
                trials += self._page(connection, some, self.held)
            trials += self._read(connection, study_id, self.held, after=trial_id_greater_than)
            if not trials:
                self._check_study(connection, study_id)
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        return trials

    def _check_study(self, connection: Connection, study_id: int, *, lock: bool = False) -> None:
        """Check that there is such a study, and lock it against other transactions.

        Raises:
            KeyError: if there is none.
        """
        studies = tables().studies
        which = sqlalchemy.select(studies.c.study_id).where(studies.c.study_id == study_id)
        if connection.execute(which.with_for_update() if lock else which).first() is None:
            raise KeyError(NOT_FOUND)

    def _read(
        self,
        connection: Connection,
        study_id: int,
        held: Collection[str] | None,
        after: int = -1,
    ) -> list[FrozenTrial]:
        """Return the trials of a study whose identity is greater than ``after``, by identity."""
        table = tables().trials
        trials: list[FrozenTrial] = []
        while True:
            which = (table.c.study_id == study_id) & (table.c.trial_id > after)
            page, last = self._page_and_last(connection, which, held)
            trials += page
            if len(page) < _PAGE:
                return trials
            after = last

    def _page(
        self,
        connection: Connection,
        which: sqlalchemy.ColumnElement[bool],
        held: Collection[str] | None = None,
    ) -> list[FrozenTrial]:
        return self._page_and_last(connection, which, held)[0]

    def _page_and_last(
        self,
        connection: Connection,
        which: sqlalchemy.ColumnElement[bool],
        held: Collection[str] | None = None,
    ) -> tuple[list[FrozenTrial], int]:
        """Return the first ``_PAGE`` trials that ``which`` chooses, and the last one's identity."""
        known = tables()
        table = known.trials
        first = sqlalchemy.select(table).where(which).order_by(table.c.trial_id).limit(_PAGE)
        found = connection.execute(first).all()
        if not found:
            return [], -1
        identities = [row.trial_id for row in found]

        def of(table: sqlalchemy.Table, *more: sqlalchemy.ColumnElement[bool]) -> Rows:
            query = sqlalchemy.select(table).where(table.c.trial_id.in_(identities), *more)
            grouped = defaultdict(list)
            for row in connection.execute(query):
                grouped[row.trial_id].append(row)
            return grouped

        values, params = of(known.trial_values), of(known.trial_params)
        steps, system = of(known.trial_intermediate_values), of(known.trial_system_attributes)
        user_table = known.trial_user_attributes
        user = of(user_table) if held is None else of(user_table, user_table.c.key.in_(held))
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
        return trials, identities[-1]

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
        to_value, to_step = tables().value_from_stored, tables().step_from_stored
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


def _write_attributes(connection: Connection, trial_id: int, attributes: Mapping[str, Any]) -> None:
    table = tables().trial_user_attributes
    before = (table.c.trial_id == trial_id) & table.c.key.in_(attributes)
    connection.execute(sqlalchemy.delete(table).where(before))
    rows = [{"trial_id": trial_id, **row} for row in attribute_rows(attributes)]
    if rows:
        connection.execute(sqlalchemy.insert(table), rows)


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
