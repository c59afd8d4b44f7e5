"""Studies from Python: ``studies.run("optim_search")`` runs one, ``studies.load`` reads one."""

import html
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_core import plugins
from mnist_core.console.shell_words import program
from mnist_core.errors import ConfigError
from objectives.own.reference import Reference
from studies import catalog
from studies.analysis import stored_study
from studies.analysis.stored_study import Stored
from studies.planning import lookup, plan
from studies.spec import StudySpec

if TYPE_CHECKING:  # pandas and torch take seconds to import
    import pandas as pd

    from studies.analysis.tables import Tables


@dataclass(frozen=True, repr=False)
class Study:
    """A study as it was read: what it found, its trials as tables, its files.

    A notebook shows the verdict and the table.
    """

    stored: Stored

    def __repr__(self) -> str:
        """Return its name and phase: a study has too much for one line."""
        return f"<Study {self.name}, {self.phase}>"

    @property
    def name(self) -> str:
        """The study's name."""
        return self.stored.plan.name

    @property
    def folder(self) -> Path:
        """The folder of its files."""
        return self.stored.plan.folder

    @property
    def phase(self) -> str:
        """The phase that it is in: search, confirm, test or finished."""
        return self.stored.phase

    @cached_property
    def result(self) -> dict[str, Any]:
        """The content of ``result.json``, see ``docs/json.md``.

        Raises:
            FingerprintMismatch: if the study was run with settings that this version cannot read.
        """
        from studies.report.result_json import result_json

        found = self.stored.comparable().result
        assert found is not None  # it is comparable
        return result_json(found)

    @property
    def verdict(self) -> str:
        """What the study found, in sentences."""
        return " ".join(self.result["verdict"]["sentences"])

    @property
    def best(self) -> str | None:
        """The label of the best row; None before anything is confirmed."""
        label: str | None = self.result["verdict"]["best"]
        return label

    @property
    def params(self) -> dict[str, Any] | None:
        """The winner's configuration, by the names of the space; None before there is one."""
        winner = self.result["winner"]
        return winner and dict(winner["params"])

    @property
    def config(self) -> Any:
        """The winner's settings of the trainer on the first fresh seed, see ``docs/api.md``.

        None before there is one, and where the objective is not a trainer's: see ``params``.
        """
        winner = self.result["winner"]
        return winner and self.stored.plan.adapter.read(winner["settings"], source=self.name)

    @cached_property
    def table(self) -> "pd.DataFrame":
        """The rows of the final table, best first, by label; nested values have dotted columns."""
        import pandas as pd

        return pd.json_normalize(self.result["table"]).set_index("label")

    @cached_property
    def tables(self) -> "Tables":
        """All trials, their curves and the confirmation, see ``studies/analysis/tables.py``."""
        from studies.analysis.tables import tables

        return tables(self.stored)

    @property
    def trials(self) -> "pd.DataFrame":
        """A row for each trial of the search."""
        return self.tables.trials

    @property
    def curves(self) -> "pd.DataFrame":
        """A row for each report of a trial."""
        return self.tables.curves

    @property
    def confirm(self) -> "pd.DataFrame":
        """A row for each training on a fresh seed."""
        return self.tables.confirm

    @property
    def files(self) -> dict[str, Path]:
        """The files that are there: best_config, report, events, model, page, result."""
        names = {**self.result["files"], "page": "report.html", "result": "result.json"}
        files = {what: self.folder / name for what, name in names.items() if name}
        return {what: file for what, file in files.items() if file.is_file()}

    def _repr_html_(self) -> str:
        """Return the verdict and the table for a notebook."""
        from studies.report.table import cells, headings

        if self.stored.result is None or self.stored.differs:
            return f"<p>{html.escape(f'study {self.name}: {self.stored.differs}')}</p>"
        found = self.stored.result
        said = "".join(f"<p>{html.escape(one)}</p>" for one in self.result["verdict"]["sentences"])
        head = "".join(f"<th>{html.escape(one)}</th>" for one in headings(found))
        rows = "".join(
            f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in cells(found, row))}</tr>"
            for row in found.rows
        )
        return f"{said}<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def load(
    study: str,
    *,
    quick: bool = False,
    conf: Path | None = None,
    set: Mapping[str, Any] | None = None,
) -> Study:
    """Read a study by its name or its folder, see ``studies.load``."""
    plugins.open_project()
    study = catalog.named(study)
    return Study(stored_study.read(lookup.find(study, quick=quick, conf=conf, sets=set)))


def run(
    study: str | StudySpec,
    *,
    quick: bool = False,
    conf: Path | None = None,
    set: Mapping[str, Any] | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    plain: bool = False,
) -> Study:
    """Run a study to its end, or resume it, as ``python -m studies.run`` does.

    >>> result = studies.run("optim_search", quick=True, set={"epochs": 1})  # doctest: +SKIP

    Args:
        study: its name, its file, e.g. ``./my_study.py``, or a ``StudySpec``. One that the program
            itself defines runs like one of the catalog; ``studies.load`` reads it by its name.
        quick: the small version of the study, in a folder of its own.
        conf: read instead of ``conf.toml``.
        set: dotted settings, e.g. ``{"epochs": 3, "results.folder": "elsewhere"}``.
        fresh: start again, and move the old study aside.
        retry_failed: run failed trials again.
        plain: print lines instead of the live view.

    Raises:
        UserError: if something that the user can mend is wrong.
        KeyboardInterrupt: if it was interrupted. Ctrl-C once lets the running trials finish, twice
            ends them now; the same call resumes the study.
    """
    from studies.cli.start import start

    plugins.open_project()
    asked = catalog.named(study) if isinstance(study, str) else _checked(study)
    made = plan.resolve(asked, conf=conf, sets=dict(set or {}), quick=quick)
    # No command runs a study that only this program knows.
    known = isinstance(study, str) or study.name in catalog.names()
    if not known:
        made = replace(made, program=_program_of(made.spec))
    command = made.commands.run().removeprefix(program("studies.run")) if known else ""
    code = start(
        made, arguments=shlex.split(command), fresh=fresh, retry_failed=retry_failed, plain=plain
    )
    if code:
        raise KeyboardInterrupt
    return Study(stored_study.read(made))


def _program_of(spec: StudySpec) -> str:
    """Return the file with the objective of ``spec``, which this program defines; "": none."""
    place = None if spec.own is None else spec.own.place
    if isinstance(place, Reference):
        return place.file  # "": it was typed into a notebook
    main = getattr(sys.modules["__main__"], "__file__", None) or ""
    return str(Path(main).absolute()) if spec.own is not None and Path(main).is_file() else ""


def _checked(spec: StudySpec) -> StudySpec:
    """Return ``spec``; raise ConfigError if its name is that of another study."""
    if spec.name in catalog.names() and catalog.get(spec.name) != spec:
        raise ConfigError(
            f"study {spec.name}: {catalog.file_of(spec.name)} has another study of this name; give"
            " the StudySpec another name"
        )
    return spec
