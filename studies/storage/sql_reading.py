"""Reads trials from Optuna's tables by plain queries, a page at a time."""

import json
import sys
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.trial import FrozenTrial
from sqlalchemy.engine import Connection, Row

from studies.storage.optuna_internals import tables
from studies.storage.sharing import forget_begin

PAGE = 200  # trials that are read at a time: SQLite takes some hundred identities in one query
Rows = Mapping[int, list[Row[Any]]]  # rows of one table by trial identity


class TrialReader:
    """Reads trials; finished ones share their distributions."""

    def __init__(self) -> None:
        self._distributions: dict[str, BaseDistribution] = {}
        self._shared: dict[tuple[str, ...], dict[str, BaseDistribution]] = {}

    def share(self, trial: FrozenTrial) -> None:
        """Have ``trial``, which has just ended, share what other trials have too."""
        known = tuple(
            text
            for name, distribution in trial.distributions.items()
            for text in (name, distribution_to_json(distribution))
        )
        trial.distributions = self._shared.setdefault(known, trial.distributions)
        forget_begin(trial)

    def of_study(
        self,
        connection: Connection,
        study_id: int,
        held: Collection[str] | None,
        after: int = -1,
    ) -> list[FrozenTrial]:
        """Return the trials of a study whose identity is greater than ``after``, by identity.

        User attributes are read if their names are in ``held``; None: all.
        """
        # Optuna reads mapped objects, one for each parameter, attribute and intermediate value, and
        # parses each distribution twice: 7 s for 10,000 trials. Rows take a fraction of that, but
        # several times the memory of the trials that are made of them, hence the pages.
        table = tables().trials
        trials: list[FrozenTrial] = []
        while True:
            which = (table.c.study_id == study_id) & (table.c.trial_id > after)
            page = self.page(connection, which, held)
            trials += page.values()
            if len(page) < PAGE:
                return trials
            after = max(page)

    def page(
        self,
        connection: Connection,
        which: sqlalchemy.ColumnElement[bool],
        held: Collection[str] | None = None,
    ) -> dict[int, FrozenTrial]:
        """Return the first ``PAGE`` trials that ``which`` chooses, by identity in order."""
        known = tables()
        table = known.trials
        first = sqlalchemy.select(table).where(which).order_by(table.c.trial_id).limit(PAGE)
        found = connection.execute(first).all()
        if not found:
            return {}
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
        trials = {
            row.trial_id: self._trial(
                row,
                values.get(row.trial_id, ()),
                sorted(params.get(row.trial_id, ()), key=lambda param: param.param_id),
                steps.get(row.trial_id, ()),
                user.get(row.trial_id, ()),
                system.get(row.trial_id, ()),
            )
            for row in found
        }
        if held is not None:
            for trial in trials.values():
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
        """Return the distributions of a trial's ``params`` by name, in order."""
        # Those of a running trial are not shared: Optuna changes them.
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
