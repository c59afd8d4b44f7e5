"""The commands that hints and errors name; each can be pasted, but passwords are never printed."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_core.console.shell_words import argument, command
from mnist_core.files import from_here
from mnist_core.table import parse_assignment
from studies import catalog
from studies.core import study_names
from studies.core.redaction import masked
from studies.planning.layout import results_folder
from studies.planning.settings import CONF, RECORDED, SET, Settings, setting_of, short_name
from studies.storage.location import StudyLocation
from studies.storage.url import JOURNAL

_PATH = "results.folder"
_PLACE = (_PATH, "storage.url")


@dataclass(frozen=True, kw_only=True)
class StudyCommands:
    """The commands of one study, with the settings that were given."""

    study: str  # the study's name in the catalog
    location: StudyLocation  # its name in the storage, and where it is
    settings: Settings  # as resolved
    # the source of each setting that is not a default, by full dotted name
    origins: Mapping[str, str]
    file: str = ""  # the study's file, as recorded, if only that names it
    program: str = ""  # the file with its objective, if only a program defines the study

    def run(self, *words: object) -> str:
        """Return the command that runs or resumes the study.

        Of a study that only a program defines: the call in that program.
        """
        if not self._found:
            return self._call(words)
        return command("studies.run", *self._named(self.origins), *words)

    @property
    def resumable(self) -> bool:
        """Whether ``run`` resumes the study: its folder still has its name."""
        return self.location.folder.name == self.location.name

    @property
    def resume_hint(self) -> str:
        """The command ``run``, or what has to be done before it."""
        if self.resumable:
            return self.run()
        folder = from_here(self.location.folder)
        return f"its folder {folder} must first be called {self.location.name} again"

    def look(self, program: str, *words: object) -> str:
        """Return ``python -m studies PROGRAM`` for the study, e.g. for ``status``."""
        if self._needs_folder:
            return folder_command(program, self.location.folder, *words)
        keys = [key for key in _PLACE if key in self.origins]
        return command("studies", program, *self._named(keys), *words)

    def reproduce(self, file: Path) -> str:
        """Return the command that runs an exported configuration again, and compares."""
        word = catalog.file_word(self.program) or self._word
        # The objective is the study's, and no code is run that only the exported file names.
        named = [] if word == self.study else ["--study", word]
        return command("studies", "reproduce", argument(file), *named)

    def fork(self, fork: str) -> str:
        """Return the command that makes the fork ``fork`` of the study."""
        return command("studies.run", *self._named(self.origins, fork=""), "--fork", fork)

    def _named(self, keys: Iterable[str], *, fork: str | None = None) -> list[str]:
        """Return the words that name the study, with the given settings among ``keys``."""
        quick, own = study_names.parts(self.location.name, self.study)
        fork = own if fork is None else fork
        word = self._word
        # The name of a fork is part of the study's name; a file takes it as a second word.
        by_file = [word, "--fork", fork] if fork else [word]
        words = [study_names.full(self.study, fork=fork)] if word == self.study else by_file
        if quick:
            words.append("--quick")
        keys = list(keys)
        files = {self.origins[key].split(" [")[0] for key in keys}
        words += [word for file in sorted(files) if _is_conf(file) for word in ("--conf", file)]
        for key in keys:
            if self.origins[key] in (SET, RECORDED):
                written = _written(self.settings, key)
                words += [] if written is None else ["--set", f"{short_name(key)}={written}"]
        return words

    @property
    def _word(self) -> str:
        """How a command line calls the study: by its name, or by its file."""
        word = catalog.word(self.study)
        recorded = catalog.file_word(self.file)
        # A command that only looks was told the folder, so it does not know the study by name.
        unknown = word == self.study and self.study not in catalog.names()
        return recorded if recorded and unknown else word

    @property
    def _found(self) -> bool:
        """Whether a command finds the study, so that it is not only a program's."""
        return self._word != self.study or self.study in catalog.names()

    def _call(self, words: Sequence[object]) -> str:
        quick, _ = study_names.parts(self.location.name, self.study)
        flags = [*(["--quick"] if quick else []), *map(str, words)]
        keywords = [f"{one.removeprefix('--').replace('-', '_')}=True" for one in flags]
        return f"studies.run({', '.join(['spec', *keywords])}) in the program that defines it"

    @property
    def _needs_folder(self) -> bool:
        """Whether the study's name alone would not find it, but its folder does."""
        if self._word != self.study and study_names.parts(self.location.name, self.study)[1]:
            return True  # a fork of a study that is named by its file
        folder = self.location.folder
        usual = results_folder(self.settings.results.folder) / self.location.name
        given = self.origins.get(_PATH, str(CONF))
        elsewhere = given in (SET, RECORDED) or _is_conf(given.split(" [")[0]) or usual != folder
        file = Path(self.location.url.removeprefix(JOURNAL))
        return elsewhere and (not self.settings.storage.url or file.parent == folder)


def folder_command(program: str, folder: Path, *words: object) -> str:
    """Return ``python -m studies PROGRAM`` for the study that is kept in ``folder``."""
    word = str(from_here(folder))
    # Without a slash it would be a study's name.
    word = argument(word) if os.sep in word else os.path.join(os.curdir, word)
    return command("studies", program, word, *words)


def train_command(file: Path) -> str:
    """Return the command that trains an exported configuration again."""
    return command("mnist_core", "train", argument(file))


def again_command(arguments: Sequence[str]) -> str:
    """Return the command line that resumes the run which was started with ``arguments``.

    Without arguments a program has called ``studies.run`` with a ``StudySpec``.
    """
    if not arguments:
        return "the same call of studies.run"
    once = ("--fresh", "--retry-failed")
    return command("studies.run", *(masked(word) for word in arguments if word not in once))


def _is_conf(source: str) -> bool:
    return source.endswith(".toml") and source != str(CONF)


def _written(settings: Settings, key: str) -> str | None:
    """Return a setting as ``--set`` reads it; None: it is not set, which ``--set`` cannot say."""
    value: Any = setting_of(settings, key)
    if isinstance(value, str):
        text = value if key == _PATH else masked(value)
        # Quoted if it would be read as a number, or without its spaces.
        return text if parse_assignment(f"v={text}")[1] == text else _toml(text)
    if value is None:
        return None
    return masked(_toml(setting_of(settings.model_dump(mode="json"), key)))


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(str(k))} = {_toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)
